//! What the engine asks of the outside: a clock, a store, a sender of pushes.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

mod control;
mod offers;
mod outbox;
mod shared_tokens;
mod webhooks;

pub use control::{
    ApiKey, CAMPAIGN_VERSIONS_KEPT, CampaignVersion, ControlChange, ControlChanges, ControlStore, FinishedUpload, Role,
    SetSummary, SetVersion, StoredEdit, StoredSettings,
};
pub use shared_tokens::{SharedToken, SharedTokens};

pub use offers::{
    CODES_MAX, Claim, Claimed, CodeSource, GRANT_KEPT, Grant, GrantState, OfferStore, PoolState, Redeemed, Redemption,
    Settlement,
};
pub use outbox::{
    Attempt, DeadLetter, DeliveryFilter, DeliveryRow, Finish, LEASES_MAX, LeaseAsk, Leased, REACTIONS_MAX,
    ReactionNoted,
};
pub use webhooks::{StoredWebhook, WebhookCall, WebhookFailure, WebhookSender, WebhookStore};

use crate::domain::{
    delivery::{Credential, Delivery, Outcome, Push, PushTarget},
    event::{Event, Fact, OutsideEvent},
    ids::{CauseId, DeliveryId, DeviceId, GeofenceId, SubjectId, Topic, WorkspaceId},
    lane::LanePart,
    pace::{Slot, SlotAsks},
    presence::Evidence,
    time::Timestamp,
};

/// The only clock.
pub trait Clock: Send + Sync {
    /// What time it is.
    fn now(&self) -> Timestamp;
}

/// Sends pushes. Hides which protocol a provider speaks.
#[async_trait]
pub trait PushSender: Send + Sync {
    /// Makes one request and says what it came to. Ends by `deadline`, whatever the peer does.
    async fn send(&self, push: &Push, deadline: Instant) -> Outcome;
    /// What a push there is sent with. Pushes of one credential share connections, and wait together when it is wrong or
    /// its provider does not answer.
    fn credential(&self, workspace: &WorkspaceId, target: &PushTarget) -> Credential;
}

/// All sides of an open store.
#[derive(Clone)]
pub struct Store {
    /// Records, outbox, facts.
    pub hot: Arc<dyn HotStore>,
    /// Catalogue and keys.
    pub control: Arc<dyn ControlStore>,
    /// Provider tokens.
    pub tokens: Arc<dyn SharedTokens>,
    /// Endpoints that are told what happens.
    pub webhooks: Arc<dyn WebhookStore>,
    /// Offers of a limited number.
    pub offers: Arc<dyn OfferStore>,
}

/// Why the store did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It can't promise anything now: disk full, closed, overloaded. Trying again later may help.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What it holds makes no sense to this Beckon.
    #[error("the store holds what this Beckon can't read: {0}")]
    Damaged(String),
    /// It never gave that cursor.
    #[error("it is no cursor that this server gave")]
    UnknownCursor,
}

/// A record as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Counted up at each commit, from 1. A record that is made anew soon after it was deleted may count on.
    pub version: u64,
    /// The form of `bytes`.
    pub schema: u8,
    /// The encoded record.
    pub bytes: Vec<u8>,
}

/// Everything that one step changes, done as a whole or not at all: if the record still has `expected`, it is swapped
/// and the rest is appended.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Tenant.
    pub workspace: WorkspaceId,
    /// Whose record.
    pub subject: SubjectId,
    /// The version that was read; 0: there was none.
    pub expected: u64,
    /// Schema and bytes of the new record; `None` deletes it.
    pub record: Option<(u8, Vec<u8>)>,
    /// New rows of the outbox.
    pub deliveries: Vec<Delivery>,
    /// What happened, with the input that caused it.
    pub facts: Vec<(Option<CauseId>, Fact)>,
    /// Devices that belong to this subject from now on.
    pub claims: Vec<DeviceId>,
    /// Devices that belong to this subject from now on if nobody has them; one that another subject has is a conflict.
    pub first_claims: Vec<DeviceId>,
    /// Devices that no longer do, if they still did.
    pub releases: Vec<DeviceId>,
    /// Topics that the customer follows from now on.
    pub follows: Vec<Topic>,
    /// Topics no longer followed.
    pub unfollows: Vec<Topic>,
    /// Whether all facts and deliveries of the customer go too.
    pub erase: bool,
    /// When the record wants to be looked at without an input, in place of what it wanted before; `None`: never.
    pub wake_at: Option<Timestamp>,
    /// What it means for who is where.
    pub presence: Vec<PresenceChange>,
}

/// A stay as people look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay {
    /// Since when, by the phone's clock.
    pub since: Timestamp,
    /// What says so.
    pub evidence: Evidence,
}

/// A device has come into a geofence, or its stay there has changed or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceChange {
    /// Where.
    pub geofence: GeofenceId,
    /// Which device.
    pub device: DeviceId,
    /// Its stay from now on; `None`: it is gone.
    pub stay: Option<Stay>,
}

/// A device that is in a geofence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Whose.
    pub subject: SubjectId,
    /// Which.
    pub device: DeviceId,
    /// Since when, and what says so.
    pub stay: Stay,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Done and durable; the record has this version now.
    Done(u64),
    /// Another one was first; read again.
    Conflict,
}

/// A place among a workspace's facts: short, without blanks, good for ever after and on every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactCursor(String);

impl FactCursor {
    /// Takes what a store made, or what a client says that it was given.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Facts after or before a place.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FactPage {
    /// Those that can be read, each with its place.
    pub facts: Vec<(FactCursor, Fact)>,
    /// Places of those that can't be, and why: they must not hold up the others.
    pub unreadable: Vec<(FactCursor, String)>,
    /// Everything up to there, or back to there, is in this page; `None`: there is nothing.
    pub upto: Option<FactCursor>,
    /// As many were found as were asked for, so that there may be more.
    pub is_full: bool,
}

impl FactPage {
    /// A page of what is kept, in order: up to `limit` places with a fact or why there is none.
    pub fn of(kept: impl IntoIterator<Item = (FactCursor, Result<Fact, String>)>, limit: usize) -> Self {
        let mut page = Self::default();
        for (place, fact) in kept {
            page.upto = Some(place.clone());
            match fact {
                Ok(fact) => page.facts.push((place, fact)),
                Err(why) => page.unreadable.push((place, why)),
            }
        }
        page.is_full = page.facts.len() + page.unreadable.len() >= limit;
        page
    }
}

/// An outside event that is being told to those it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct FanOut {
    /// Tenant.
    pub workspace: WorkspaceId,
    /// What happened.
    pub event: OutsideEvent,
    /// The last customer who was told.
    pub after: Option<SubjectId>,
}

/// Records, outbox and facts: what every check-in touches.
#[async_trait]
pub trait HotStore: Send + Sync {
    /// Reads records, each for itself; `None` where there is none.
    async fn load(
        &self,
        workspace: &WorkspaceId,
        subjects: &[SubjectId],
    ) -> Vec<Result<Option<StoredRecord>, StoreError>>;
    /// Whose devices these are, each for itself.
    async fn subjects_of(
        &self,
        workspace: &WorkspaceId,
        devices: &[DeviceId],
    ) -> Vec<Result<Option<SubjectId>, StoreError>>;
    /// Tries each commit for itself; all that are done are durable when this returns. Whether one with an error was done is
    /// unknown.
    async fn commit(&self, commits: Vec<Commit>) -> Vec<Result<CommitOutcome, StoreError>>;
    /// The events that an earlier input brought about.
    async fn events_of(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        cause: &CauseId,
    ) -> Result<Vec<Event>, StoreError>;
    /// Up to `limit` facts of the workspace after a place, each with its own; `None`: from the first that is kept. Those
    /// of one customer come in the order in which they were committed. None is passed over, whatever is committed
    /// meanwhile, but those that can't be read, which are named.
    async fn facts_after(
        &self,
        workspace: &WorkspaceId,
        after: Option<&FactCursor>,
        limit: usize,
    ) -> Result<FactPage, StoreError>;
    /// Up to `limit` facts of one customer before a place, newest first; `None`: the newest. A store may keep only the
    /// latest ones, at least 4,096.
    async fn facts_of(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        before: Option<&FactCursor>,
        limit: usize,
    ) -> Result<FactPage, StoreError>;
    /// The place after the last fact that there is now.
    async fn facts_end(&self, workspace: &WorkspaceId) -> Result<FactCursor, StoreError>;
    /// Whether a reader may go on from that place: this store has given it, and keeps everything after it.
    async fn leads_on(&self, workspace: &WorkspaceId, place: &FactCursor) -> Result<bool, StoreError>;
    /// Whether the first place comes after the second one.
    fn is_later(&self, place: &FactCursor, than: &FactCursor) -> Result<bool, StoreError>;

    /// Takes due rows, fairly from all lanes; they are nobody else's until their lease ends.
    async fn lease_rows(&self, ask: &LeaseAsk) -> Result<Vec<Leased>, StoreError>;
    /// Takes up to `limit` due rows of any lane.
    async fn lease(&self, now: Timestamp, until: Timestamp, limit: usize) -> Result<Vec<Leased>, StoreError> {
        self.lease_rows(&LeaseAsk::any(now, until, limit)).await
    }
    /// Notes that a request is about to be made (queued or in doubt -> sending), durably. False where the lease was lost.
    async fn begin_attempts(&self, attempts: Vec<Attempt>) -> Result<Vec<bool>, StoreError>;
    /// Writes what leased rows came to, each for itself: where the store has lost one part of it, the others are written.
    async fn finish_each(&self, finishes: Vec<Finish>) -> Vec<Result<(), StoreError>>;
    /// The same for all of them.
    async fn finish(&self, finishes: Vec<Finish>) -> Result<(), StoreError> {
        self.finish_each(finishes).await.into_iter().collect()
    }
    /// When the next row of the outbox is due, but for lanes that are held.
    async fn next_due_but(&self, held: &[LanePart]) -> Result<Option<Timestamp>, StoreError>;
    /// When the next row of the outbox is due.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.next_due_but(&[]).await
    }
    /// Gives slots under limits that hold over everybody who shares the store, by its own clock.
    async fn give_slots(&self, asks: &SlotAsks) -> Result<Vec<Slot>, StoreError>;
    /// How many rows of the outbox have not ended.
    async fn outbox_depth(&self) -> Result<u64, StoreError>;
    /// One delivery.
    async fn delivery(&self, workspace: &WorkspaceId, id: DeliveryId) -> Result<Option<DeliveryRow>, StoreError>;
    /// Deliveries, newest first.
    async fn deliveries(
        &self,
        workspace: &WorkspaceId,
        filter: DeliveryFilter,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError>;

    /// Dead letters of the workspace, newest first, from the one after `before`.
    async fn dead_letters(
        &self,
        workspace: &WorkspaceId,
        before: Option<(Timestamp, DeliveryId)>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError>;
    /// Puts a dead letter back into the outbox, due at `at`; in doubt if a request was begun. False when it is none.
    async fn requeue(&self, workspace: &WorkspaceId, id: DeliveryId, at: Timestamp) -> Result<bool, StoreError>;

    /// Keeps a fact about a delivery that has ended or is under way, once for each `name`.
    async fn note_reaction(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        delivery: DeliveryId,
        name: &str,
        fact: &Fact,
    ) -> Result<ReactionNoted, StoreError>;

    /// Takes up to `limit` records whose [`Commit::wake_at`] has come, the longest due first. They are nobody else's until
    /// `until`, when they are due again; a commit of the record ends that.
    async fn lease_wakes(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(WorkspaceId, SubjectId)>, StoreError>;
    /// When the next record wants to be looked at.
    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Who is in a geofence, ordered by customer and device, from those after `after`.
    async fn present(
        &self,
        workspace: &WorkspaceId,
        geofence: &GeofenceId,
        after: Option<(&SubjectId, &DeviceId)>,
        limit: usize,
    ) -> Result<Vec<Present>, StoreError>;

    /// How many devices are in a geofence.
    async fn count_present(&self, workspace: &WorkspaceId, geofence: &GeofenceId) -> Result<u64, StoreError>;

    /// Keeps an outside event until everybody whom it is about was told. False when it is known already.
    async fn put_event(&self, workspace: &WorkspaceId, event: &OutsideEvent, at: Timestamp)
    -> Result<bool, StoreError>;
    /// Events that have not reached everybody yet.
    async fn pending_events(&self, limit: usize) -> Result<Vec<FanOut>, StoreError>;
    /// Notes how far an event has come; `None`: it has reached everybody.
    async fn advance_event(
        &self,
        workspace: &WorkspaceId,
        event: &CauseId,
        after: Option<&SubjectId>,
    ) -> Result<(), StoreError>;
    /// Followers of a topic in a stable order, from the one after `after`.
    async fn followers(
        &self,
        workspace: &WorkspaceId,
        topic: &Topic,
        after: Option<&SubjectId>,
        limit: usize,
    ) -> Result<Vec<SubjectId>, StoreError>;
    /// How many follow a topic.
    async fn count_followers(&self, workspace: &WorkspaceId, topic: &Topic) -> Result<u64, StoreError>;

    /// Whether other processes write to it, too: what was read before may be outdated.
    fn is_shared(&self) -> bool;
    /// A trivial durable write, for readiness.
    async fn ping(&self) -> Result<(), StoreError>;
    /// Writes out what is queued and closes.
    async fn close(&self);
}
