//! What happens, told to the owner's systems: a projection of the facts.
//!
//! Each endpoint has a place among the facts, which moves on when it has taken everything up to there. The place is
//! durable, and each endpoint is leased by one node at a time: so each event is told at least once, whatever dies, and
//! mostly once. The same event told again has the same `webhook-id`. An endpoint that fails gets the event again, ever more
//! seldom, for 72 hours; then it is disabled, and its place is kept. Nothing waits for it but what is meant for it.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, task::JoinSet, time::Instant};

mod told;

pub use told::TYPES;
use told::Told;

use super::{
    Engine, EngineError,
    ports::{FactCursor, StoreError, StoredWebhook, WebhookCall, WebhookFailure, WebhookSender},
};
use crate::domain::{
    ids::WorkspaceId,
    time::{DurationMs, Timestamp},
};

/// Most endpoints of a workspace.
pub const WEBHOOKS_MAX: usize = 20;
/// An endpoint that fails for so long is disabled.
const GIVE_UP_AFTER: DurationMs = DurationMs::from_secs(72 * 3600);
/// The first wait after a failure; each one is twice as long.
const BACKOFF_FIRST: DurationMs = DurationMs::from_secs(5);
/// No wait is longer.
const BACKOFF_MAX: DurationMs = DurationMs::from_secs(3600);
/// Facts read at once.
const PAGE_FACTS_MAX: usize = 128;
/// Calls of one endpoint under way at once.
const CALLS_MAX: usize = 8;
/// Endpoints that one node calls at once.
const ENDPOINTS_MAX: usize = 32;
/// How often a change is made again because another one was first.
const TRIES_MAX: usize = 20;
/// Longest note of a failure, in characters.
const NOTE_CHARS_MAX: usize = 200;

/// Limits of the webhooks.
#[derive(Debug, Clone, Copy)]
pub struct WebhookLimits {
    /// How often to look for what has happened.
    pub sweep: DurationMs,
    /// A call has ended after this.
    pub timeout: Duration,
    /// How long a node has an endpoint.
    pub lease: DurationMs,
}

/// An endpoint of the owner's systems.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Where to.
    pub url: String,
    /// Which types; none: all.
    pub types: Vec<String>,
    /// With what calls are signed. A secret.
    pub secret: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Everything up to there was taken; `None`: from the first fact that is kept.
    pub place: Option<String>,
    /// Failures since the last success.
    #[serde(default)]
    pub failures: u32,
    /// Since when it fails.
    #[serde(default)]
    pub failing_since: Option<Timestamp>,
    /// The last failure, in words.
    #[serde(default)]
    pub failure: Option<String>,
    /// Since when it is not called any more.
    #[serde(default)]
    pub disabled_at: Option<Timestamp>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("url", &self.url)
            .field("types", &self.types)
            .field("created_at", &self.created_at)
            .field("place", &self.place)
            .field("failures", &self.failures)
            .field("failing_since", &self.failing_since)
            .field("failure", &self.failure)
            .field("disabled_at", &self.disabled_at)
            .finish_non_exhaustive()
    }
}

impl Webhook {
    /// Reads what was kept.
    pub fn read(stored: &StoredWebhook) -> Result<Self, StoreError> {
        serde_json::from_str(&stored.body).map_err(|error| StoreError::Damaged(error.to_string()))
    }

    fn takes(&self, kind: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|wanted| wanted == kind)
    }

    /// Everything was taken, or nothing is left of what failed.
    fn succeeded(&mut self) {
        (self.failures, self.failing_since, self.failure) = (0, None, None);
    }

    /// A call has failed; when to try again, `None`: it is disabled.
    fn failed(&mut self, failure: &WebhookFailure, id: &str, now: Timestamp) -> Option<Timestamp> {
        self.failures = self.failures.saturating_add(1);
        let since = *self.failing_since.get_or_insert(now);
        self.failure = Some(failure.to_string().chars().take(NOTE_CHARS_MAX).collect());
        if *failure == WebhookFailure::Gone || now.since(since) >= GIVE_UP_AFTER {
            self.disabled_at = Some(now);
            return None;
        }
        Some(now.plus(backoff(id, self.failures)))
    }
}

/// Waits double from five seconds to an hour, up to a quarter earlier by chance of the id.
fn backoff(id: &str, failures: u32) -> DurationMs {
    let doubled = BACKOFF_FIRST
        .0
        .saturating_mul(1_i64 << failures.saturating_sub(1).min(20));
    let wait = doubled.min(BACKOFF_MAX.0);
    let chance = id
        .bytes()
        .chain(failures.to_le_bytes())
        .fold(17_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    DurationMs(wait - wait * i64::from(chance % 256) / (4 * 255))
}

/// How a round with one endpoint ended.
enum Round {
    /// It has taken everything that there is.
    CaughtUp,
    /// There is more.
    More,
    /// A call failed.
    Failed(WebhookFailure),
    /// Another node has it now.
    Lost,
}

impl Engine {
    /// Tells endpoints until `stop` turns true.
    pub async fn tell_webhooks(
        self: Arc<Self>,
        sender: Arc<dyn WebhookSender>,
        limits: WebhookLimits,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut rounds = JoinSet::new();
        while !*stop.borrow() {
            while rounds.try_join_next().is_some() {}
            let now = self.clock.now();
            let room = ENDPOINTS_MAX - rounds.len().min(ENDPOINTS_MAX);
            let due = if room == 0 {
                Ok(Vec::new())
            } else {
                self.store
                    .webhooks
                    .lease_webhooks(now, now.plus(limits.lease), room)
                    .await
            };
            match due {
                Ok(due) => {
                    for stored in due {
                        let (engine, sender) = (Arc::clone(&self), Arc::clone(&sender));
                        let stopping = stop.clone();
                        rounds.spawn(async move { engine.tell_webhook(stored, &*sender, limits, stopping).await });
                    }
                }
                Err(error) => tracing::warn!(%error, "webhooks wait; trying again"),
            }
            tokio::select! {
                () = tokio::time::sleep(limits.sweep.to_std()) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
        while rounds.join_next().await.is_some() {}
    }

    async fn tell_webhook(
        &self,
        mut stored: StoredWebhook,
        sender: &dyn WebhookSender,
        limits: WebhookLimits,
        stop: watch::Receiver<bool>,
    ) {
        // Half of the lease, so that nobody else begins before the last call has ended.
        let until = Instant::now() + limits.lease.to_std() / 2;
        if let Err(error) = self.tell_until(&mut stored, sender, limits, until, stop).await {
            tracing::warn!(%error, webhook = stored.id, "a webhook waits until its lease ends");
        }
    }

    async fn tell_until(
        &self,
        stored: &mut StoredWebhook,
        sender: &dyn WebhookSender,
        limits: WebhookLimits,
        until: Instant,
        stop: watch::Receiver<bool>,
    ) -> Result<(), EngineError> {
        let mut webhook = Webhook::read(stored)?;
        let end = self.end_after_gap(stored, &mut webhook).await?;
        let may_go_on = || Instant::now() < until && !*stop.borrow();
        loop {
            let before = webhook.place.clone();
            let round = self
                .tell_facts(stored, &mut webhook, sender, limits, &may_go_on)
                .await?;
            let now = self.clock.now();
            let due_at = match round {
                Round::More if may_go_on() => continue,
                Round::Lost => return Ok(()),
                Round::More => Some(now),
                Round::CaughtUp => {
                    if let Some(end) = end.filter(|_| webhook.place == before) {
                        webhook.place = Some(end.as_str().to_owned());
                    }
                    Some(now.plus(limits.sweep))
                }
                Round::Failed(failure) => {
                    let due_at = webhook.failed(&failure, &stored.id, now);
                    if due_at.is_none() {
                        tracing::error!(webhook = stored.id, %failure, "a webhook is disabled: it has failed for too long");
                    }
                    due_at
                }
            };
            stored.due_at = due_at;
            self.keep(stored, &webhook).await?;
            return Ok(());
        }
    }

    /// Looks whether everything after the endpoint's place is still kept. If not, it goes on with what is kept after it,
    /// and where the facts end now is answered: its place once nothing is found. A place that is none here begins anew.
    async fn end_after_gap(
        &self,
        stored: &StoredWebhook,
        webhook: &mut Webhook,
    ) -> Result<Option<FactCursor>, EngineError> {
        let hot = &self.store.hot;
        let Some(place) = webhook.place.as_deref().map(FactCursor::new) else {
            return Ok(None);
        };
        if hot.leads_on(&stored.workspace, &place).await? {
            return Ok(None);
        }
        let end = hot.facts_end(&stored.workspace).await?;
        if hot.is_later(&place, &end).unwrap_or(true) {
            tracing::warn!(
                webhook = stored.id,
                "a webhook's place is none of this store; it begins with what is kept"
            );
            webhook.place = None;
            return Ok(None);
        }
        tracing::warn!(
            webhook = stored.id,
            "a webhook's place is older than what is kept; anything not told that is gone is left out"
        );
        Ok(Some(end))
    }

    /// Tells one page of facts, or as much of it as there is time for, and moves the endpoint's place on.
    async fn tell_facts(
        &self,
        stored: &mut StoredWebhook,
        webhook: &mut Webhook,
        sender: &dyn WebhookSender,
        limits: WebhookLimits,
        may_go_on: &(impl Fn() -> bool + Sync),
    ) -> Result<Round, EngineError> {
        let place = webhook.place.as_deref().map(FactCursor::new);
        let facts = self
            .store
            .hot
            .facts_after(&stored.workspace, place.as_ref(), PAGE_FACTS_MAX)
            .await?;
        let Some(end) = facts.last().map(|(place, _)| place.as_str().to_owned()) else {
            webhook.succeeded();
            return Ok(Round::CaughtUp);
        };
        let is_full = facts.len() >= PAGE_FACTS_MAX;
        let told: Vec<Told> = self.told(&stored.workspace, facts).await?;
        let told: Vec<&Told> = told.iter().filter(|told| webhook.takes(told.kind)).collect();
        for (round, some) in told.chunks(CALLS_MAX).enumerate() {
            // A slow endpoint must not outlast its lease, or another node would tell it the same.
            if round > 0 && !may_go_on() {
                return Ok(Round::More);
            }
            let deadline = Instant::now() + limits.timeout;
            let at = self.clock.now();
            let calls = some.iter().map(|told| WebhookCall {
                url: webhook.url.clone(),
                secret: webhook.secret.clone(),
                id: told.id.clone(),
                at,
                body: told.document(&stored.workspace),
            });
            let calls: Vec<WebhookCall> = calls.collect();
            let answers = join_all(calls.iter().map(|call| sender.call(call, deadline))).await;
            let taken = answers.iter().take_while(|answer| answer.is_ok()).count();
            self.metrics
                .webhook_calls(answers.iter().filter(|answer| answer.is_ok()).count(), answers.len());
            if let Some(last) = taken.checked_sub(1) {
                webhook.place = Some(some[last].place.as_str().to_owned());
                webhook.succeeded();
            }
            if let Some(Err(failure)) = answers.into_iter().find(Result::is_err) {
                return Ok(Round::Failed(failure));
            }
            if !self.keep(stored, webhook).await? {
                return Ok(Round::Lost);
            }
        }
        // What failed earlier may be gone, and then nothing was told here.
        webhook.succeeded();
        webhook.place = Some(end);
        if is_full {
            return Ok(if self.keep(stored, webhook).await? {
                Round::More
            } else {
                Round::Lost
            });
        }
        Ok(Round::CaughtUp)
    }

    /// Writes where the endpoint stands; false when another node has it.
    async fn keep(&self, stored: &mut StoredWebhook, webhook: &Webhook) -> Result<bool, EngineError> {
        stored.body = serde_json::to_string(webhook).map_err(|error| StoreError::Damaged(error.to_string()))?;
        let kept = self.store.webhooks.change_webhook(stored).await?;
        stored.version += u64::from(kept);
        Ok(kept)
    }

    /// Adds an endpoint that is told of everything from now on.
    pub async fn put_webhook(
        &self,
        workspace: &WorkspaceId,
        id: &str,
        url: &str,
        types: Vec<String>,
        secret: &str,
    ) -> Result<StoredWebhook, EngineError> {
        let now = self.clock.now();
        let place = self.store.hot.facts_end(workspace).await?;
        let webhook = Webhook {
            url: url.to_owned(),
            types,
            secret: secret.to_owned(),
            created_at: now,
            place: Some(place.as_str().to_owned()),
            failures: 0,
            failing_since: None,
            failure: None,
            disabled_at: None,
        };
        let stored = StoredWebhook {
            id: id.to_owned(),
            workspace: workspace.clone(),
            version: 1,
            due_at: Some(now),
            body: serde_json::to_string(&webhook).map_err(|error| StoreError::Damaged(error.to_string()))?,
        };
        self.store.webhooks.put_webhook(&stored).await?;
        Ok(stored)
    }

    /// Calls an endpoint again that was disabled, from where it was; false when there is none of that name.
    pub async fn enable_webhook(&self, workspace: &WorkspaceId, id: &str) -> Result<bool, EngineError> {
        for _ in 0..TRIES_MAX {
            let all = self.store.webhooks.webhooks(workspace).await?;
            let Some(mut stored) = all.into_iter().find(|stored| stored.id == id) else {
                return Ok(false);
            };
            let mut webhook = Webhook::read(&stored)?;
            webhook.succeeded();
            webhook.disabled_at = None;
            stored.due_at = Some(self.clock.now());
            if self.keep(&mut stored, &webhook).await? {
                return Ok(true);
            }
        }
        Err(EngineError::Contended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook() -> Webhook {
        Webhook {
            url: "https://example.org/hook".to_owned(),
            types: vec!["delivery.opened".to_owned()],
            secret: "whsec_".to_owned(),
            created_at: Timestamp(0),
            place: None,
            failures: 0,
            failing_since: None,
            failure: None,
            disabled_at: None,
        }
    }

    #[test]
    fn failures_wait_ever_longer_and_end_after_72_hours() {
        let (mut webhook, mut now, mut tries) = (webhook(), Timestamp(0), 0);
        let failure = WebhookFailure::Failed("500".to_owned());
        let mut last_wait = DurationMs(0);
        while let Some(next) = webhook.failed(&failure, "wh_1", now) {
            let wait = next.since(now);
            assert!(wait <= BACKOFF_MAX && wait.0 >= BACKOFF_FIRST.0 * 3 / 4, "{wait}");
            assert!(wait > last_wait || wait.0 >= BACKOFF_MAX.0 * 3 / 4);
            (now, last_wait, tries) = (next, wait, tries + 1);
        }
        assert!((72..74).contains(&(now.0 / 3_600_000)), "{now}");
        assert!((75..110).contains(&tries), "{tries}");
        assert_eq!(webhook.disabled_at, Some(now));
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let webhook = webhook();
        let stored = StoredWebhook {
            id: "wh_1".to_owned(),
            workspace: WorkspaceId::new("w").expect("an id"),
            version: 1,
            due_at: None,
            body: serde_json::to_string(&webhook).expect("JSON"),
        };
        let call = WebhookCall {
            url: webhook.url.clone(),
            secret: webhook.secret.clone(),
            id: "1".to_owned(),
            at: Timestamp(0),
            body: "whsec_".to_owned(),
        };
        let shown = format!("{webhook:?} {stored:?} {call:?}");
        assert!(shown.contains("wh_1") && !shown.contains("whsec_"), "{shown}");
    }

    #[test]
    fn an_endpoint_that_is_gone_is_disabled_at_once() {
        let mut webhook = webhook();
        assert_eq!(webhook.failed(&WebhookFailure::Gone, "wh_1", Timestamp(5)), None);
        assert_eq!(webhook.disabled_at, Some(Timestamp(5)));
        assert!(webhook.takes("delivery.opened") && !webhook.takes("delivery.accepted"));
    }
}
