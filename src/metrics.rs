//! What operators measure. Every label value is an enum variant, so that no series can grow without bound.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::domain::{
    decide::Status,
    delivery::{DeliveryState, Outcome, Platform},
    event::{EventType, ReactionKind},
};

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the variants are the label's values")]
        pub enum $name { $($variant),+ }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
                let text = match self { $(Self::$variant => $text),+ };
                EncodeLabelValue::encode(&text, encoder)
            }
        }
    };
}

label! {
    /// What became of a check-in.
    CheckInLabel { Processed = "processed", Duplicate = "duplicate", Late = "late", Ignored = "ignored", Rejected = "rejected",
        TurnedAway = "turned_away" }
}
label! {
    /// What happened.
    EventLabel {
        Entered = "entered", Exited = "exited", Scanned = "scanned", Dwelled = "dwelled", Crossed = "crossed",
    }
}
label! {
    /// What one request to a provider came to.
    OutcomeLabel {
        Accepted = "accepted", DeadToken = "dead_token", TryLater = "try_later", Never = "never",
        Misconfigured = "misconfigured", Unknown = "unknown",
    }
}
label! {
    /// Which provider.
    ProviderLabel { Apns = "apns", Fcm = "fcm" }
}
label! {
    /// What became of a push on the phone.
    ReactionLabel { Delivered = "delivered", Opened = "opened", Dismissed = "dismissed", Action = "action" }
}
label! {
    /// Whether a call was taken.
    CallLabel { Taken = "taken", Failed = "failed" }
}
label! {
    /// How a delivery ended.
    EndLabel {
        Accepted = "accepted", DeadToken = "dead_token", Failed = "failed", Suppressed = "suppressed", Unknown = "unknown",
        DeadLetter = "dead_letter",
    }
}

/// Labels of `beckon_check_ins_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckInLabels {
    status: CheckInLabel,
}
/// Labels of `beckon_events_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    kind: EventLabel,
}
/// Labels of `beckon_push_requests_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PushLabels {
    provider: ProviderLabel,
    outcome: OutcomeLabel,
}
/// Labels of `beckon_deliveries_ended_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    state: EndLabel,
}

/// Labels of `beckon_reactions_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReactionLabels {
    kind: ReactionLabel,
}
/// Labels of `beckon_webhook_calls_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    outcome: CallLabel,
}

/// All metrics of one server.
pub struct Metrics {
    registry: Registry,
    check_ins: Family<CheckInLabels, Counter>,
    events: Family<EventLabels, Counter>,
    pushes: Family<PushLabels, Counter>,
    ended: Family<EndLabels, Counter>,
    reactions: Family<ReactionLabels, Counter>,
    webhook_calls: Family<CallLabels, Counter>,
    decided: Counter,
    conflicts: Counter,
    deferred: Counter,
    unreadable_facts: Counter,
    paused: Gauge<i64, AtomicI64>,
    outbox: Gauge<i64, AtomicI64>,
    geofences: Gauge<i64, AtomicI64>,
    streams: Gauge<i64, AtomicI64>,
    commit_seconds: Histogram,
    push_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let latency = || {
            Histogram::new([
                0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
            ])
        };
        let metrics = Self {
            registry: Registry::with_prefix("beckon"),
            check_ins: Family::default(),
            events: Family::default(),
            pushes: Family::default(),
            ended: Family::default(),
            reactions: Family::default(),
            webhook_calls: Family::default(),
            decided: Counter::<u64, AtomicU64>::default(),
            conflicts: Counter::<u64, AtomicU64>::default(),
            deferred: Counter::<u64, AtomicU64>::default(),
            unreadable_facts: Counter::<u64, AtomicU64>::default(),
            paused: Gauge::default(),
            outbox: Gauge::default(),
            geofences: Gauge::default(),
            streams: Gauge::default(),
            commit_seconds: latency(),
            push_seconds: latency(),
        };
        metrics.register()
    }
}

impl Metrics {
    fn register(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("check_ins", "Check-ins by what became of them", self.check_ins.clone());
        registry.register("events", "Presence events by kind", self.events.clone());
        registry.register(
            "push_requests",
            "Requests to providers by what they came to",
            self.pushes.clone(),
        );
        registry.register("deliveries_ended", "Deliveries by how they ended", self.ended.clone());
        registry.register("reactions", "What phones told of pushes", self.reactions.clone());
        registry.register(
            "webhook_calls",
            "Calls of webhooks by whether they were taken",
            self.webhook_calls.clone(),
        );
        registry.register(
            "deliveries_decided",
            "Deliveries put into the outbox",
            self.decided.clone(),
        );
        registry.register(
            "commit_conflicts",
            "Commits done again because another was first",
            self.conflicts.clone(),
        );
        registry.register(
            "deliveries_deferred",
            "Times that a delivery waits for a speed, a quota or a credential",
            self.deferred.clone(),
        );
        registry.register(
            "facts_unreadable",
            "Facts that a stream or a webhook has left out because they can't be read",
            self.unreadable_facts.clone(),
        );
        registry.register(
            "push_credentials_paused",
            "Push credentials that are wrong, so that their pushes wait",
            self.paused.clone(),
        );
        registry.register("outbox_depth", "Deliveries that have not ended", self.outbox.clone());
        registry.register("geofences", "Enabled geofences", self.geofences.clone());
        registry.register("streams", "Live streams that are open", self.streams.clone());
        registry.register(
            "commit_seconds",
            "Time of a durable commit",
            self.commit_seconds.clone(),
        );
        registry.register(
            "push_seconds",
            "Time of a request to a provider",
            self.push_seconds.clone(),
        );
        self
    }

    /// A check-in was answered.
    pub fn check_in(&self, label: CheckInLabel) {
        self.check_ins.get_or_create(&CheckInLabels { status: label }).inc();
    }

    /// An event happened.
    pub fn event(&self, kind: EventType) {
        let kind = match kind {
            EventType::Entered => EventLabel::Entered,
            EventType::Exited => EventLabel::Exited,
            EventType::Scanned => EventLabel::Scanned,
            EventType::Dwelled => EventLabel::Dwelled,
            EventType::Crossed => EventLabel::Crossed,
        };
        self.events.get_or_create(&EventLabels { kind }).inc();
    }

    /// Deliveries went into the outbox.
    pub fn decided(&self, count: usize) {
        self.decided.inc_by(count as u64);
    }

    /// A commit has to be done again.
    pub fn conflict(&self) {
        self.conflicts.inc();
    }

    /// A delivery waits for a speed, a quota or a credential.
    pub fn deferred(&self) {
        self.deferred.inc();
    }

    /// A fact can't be read, and somebody who is told of facts is not told of it.
    pub fn fact_unreadable(&self) {
        self.unreadable_facts.inc();
    }

    /// So many push credentials are wrong.
    pub fn paused_credentials(&self, count: usize) {
        self.paused.set(count as i64);
    }

    /// A request to a provider ended.
    pub fn push(&self, platform: Platform, outcome: &Outcome, took: std::time::Duration) {
        let provider = match platform {
            Platform::Ios => ProviderLabel::Apns,
            Platform::Android => ProviderLabel::Fcm,
        };
        let outcome = match outcome {
            Outcome::Accepted { .. } => OutcomeLabel::Accepted,
            Outcome::DeadToken { .. } => OutcomeLabel::DeadToken,
            Outcome::TryLater { .. } => OutcomeLabel::TryLater,
            Outcome::Never { .. } => OutcomeLabel::Never,
            Outcome::Misconfigured { .. } => OutcomeLabel::Misconfigured,
            Outcome::Unknown { .. } => OutcomeLabel::Unknown,
        };
        self.pushes.get_or_create(&PushLabels { provider, outcome }).inc();
        self.push_seconds.observe(took.as_secs_f64());
    }

    /// A phone told what became of a push.
    pub fn reaction(&self, kind: ReactionKind) {
        let kind = match kind {
            ReactionKind::Delivered => ReactionLabel::Delivered,
            ReactionKind::Opened => ReactionLabel::Opened,
            ReactionKind::Dismissed => ReactionLabel::Dismissed,
            ReactionKind::Action => ReactionLabel::Action,
        };
        self.reactions.get_or_create(&ReactionLabels { kind }).inc();
    }

    /// Of so many calls of a webhook these were taken.
    pub fn webhook_calls(&self, taken: usize, all: usize) {
        let of = |outcome| self.webhook_calls.get_or_create(&CallLabels { outcome }).clone();
        of(CallLabel::Taken).inc_by(taken as u64);
        of(CallLabel::Failed).inc_by((all - taken) as u64);
    }

    /// A delivery ended, unless the state says that it goes on.
    pub fn delivery(&self, state: DeliveryState) {
        let state = match state {
            DeliveryState::Queued | DeliveryState::Sending => return,
            DeliveryState::Accepted => EndLabel::Accepted,
            DeliveryState::DeadToken => EndLabel::DeadToken,
            DeliveryState::Failed => EndLabel::Failed,
            DeliveryState::Suppressed => EndLabel::Suppressed,
            DeliveryState::Unknown => EndLabel::Unknown,
            DeliveryState::DeadLetter => EndLabel::DeadLetter,
        };
        self.ended.get_or_create(&EndLabels { state }).inc();
    }

    /// A commit became durable.
    pub fn committed(&self, took: std::time::Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// The text that Prometheus scrapes.
    pub fn render(&self, outbox_depth: u64, geofences: usize, streams: usize) -> Result<String, std::fmt::Error> {
        self.outbox.set(outbox_depth as i64);
        self.geofences.set(geofences as i64);
        self.streams.set(streams as i64);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl From<Status> for CheckInLabel {
    fn from(status: Status) -> Self {
        match status {
            Status::Processed => Self::Processed,
            Status::Duplicate => Self::Duplicate,
            Status::Late => Self::Late,
            Status::Ignored => Self::Ignored,
            Status::ClockAhead | Status::NotHere => Self::Rejected,
        }
    }
}

/// Metrics are shared by every part of a server.
pub type SharedMetrics = Arc<Metrics>;
