//! Rows of the outbox: what is leased, begun, finished, listed and set aside.

use crate::domain::{
    delivery::{Delivery, DeliveryState},
    event::Fact,
    ids::{CampaignId, DeliveryId, SubjectId, UserId, WorkspaceId},
    lane::LanePart,
    time::Timestamp,
};

/// Which rows of the outbox a worker takes.
#[derive(Debug, Clone)]
pub struct LeaseAsk {
    /// Those that are due now.
    pub now: Timestamp,
    /// When the leases run out.
    pub until: Timestamp,
    /// Most rows for iOS.
    pub ios_max: usize,
    /// Most rows for Android.
    pub android_max: usize,
    /// Most rows in all.
    pub rows_max: usize,
    /// Lanes that are left alone.
    pub held: Vec<LanePart>,
    /// Counted up from lease to lease: whose turn it is where not all have room.
    pub turn: u64,
}

impl LeaseAsk {
    /// Up to `limit` rows of any lane.
    pub fn any(now: Timestamp, until: Timestamp, limit: usize) -> Self {
        Self {
            now,
            until,
            ios_max: limit,
            android_max: limit,
            rows_max: limit,
            held: Vec::new(),
            turn: 0,
        }
    }
}

/// A row of the outbox that this worker may work on until the lease runs out.
#[derive(Debug, Clone, PartialEq)]
pub struct Leased {
    /// What to send.
    pub delivery: Delivery,
    /// Requests begun so far.
    pub attempts: u32,
    /// A request was begun and its end never written: it may have arrived.
    pub in_doubt: bool,
    /// When the lease runs out, which also names it.
    pub until: Timestamp,
}

/// A request that is about to be made for a leased row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Which row.
    pub delivery: DeliveryId,
    /// Tenant.
    pub workspace: WorkspaceId,
    /// Customer.
    pub subject: SubjectId,
    /// Which request of the row it is, from 1.
    pub number: u32,
    /// The lease under which it is made.
    pub leased_until: Timestamp,
}

/// What a leased row comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Finish {
    /// Which.
    pub delivery: DeliveryId,
    /// Tenant, for the fact.
    pub workspace: WorkspaceId,
    /// Customer, for the fact.
    pub subject: SubjectId,
    /// Its state from now on.
    pub state: DeliveryState,
    /// Requests that count so far.
    pub attempts: u32,
    /// Requests begun when this was found; an end of an earlier one changes nothing.
    pub begun: u32,
    /// Whether it is too common to be kept as a fact.
    pub quiet: bool,
    /// When to look at it again, for [`DeliveryState::Queued`].
    pub due_at: Timestamp,
    /// When this was found.
    pub at: Timestamp,
    /// Why, in the provider's or our own words.
    pub reason: Option<String>,
}

impl Finish {
    /// What it says to those who follow what happens.
    pub fn fact(&self) -> Fact {
        Fact::Delivery {
            delivery: self.delivery,
            user: self.subject.user().cloned(),
            at: self.at,
            state: self.state,
            attempt: self.attempts,
            reason: self.reason.clone(),
        }
    }

    /// Sets a row aside.
    pub fn set_aside(row: &Delivery, attempts: u32, now: Timestamp, reason: String) -> Self {
        Self {
            delivery: row.id,
            workspace: row.workspace.clone(),
            subject: row.subject.clone(),
            state: DeliveryState::DeadLetter,
            attempts,
            begun: attempts,
            quiet: false,
            due_at: now,
            at: now,
            reason: Some(reason),
        }
    }

    /// Gives a row back as it was, due again at `due_at`.
    pub fn deferred(row: &Leased, due_at: Timestamp, now: Timestamp) -> Self {
        Self {
            delivery: row.delivery.id,
            workspace: row.delivery.workspace.clone(),
            subject: row.delivery.subject.clone(),
            state: if row.in_doubt {
                DeliveryState::Sending
            } else {
                DeliveryState::Queued
            },
            attempts: row.attempts,
            begun: row.attempts,
            quiet: true,
            due_at,
            at: now,
            reason: None,
        }
    }
}

/// A delivery as people look at it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryRow {
    /// What was decided.
    pub delivery: Delivery,
    /// Where it stands.
    pub state: DeliveryState,
    /// Requests begun so far.
    pub attempts: u32,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it stands there.
    pub reason: Option<String>,
}

/// A row that was leased so often in a row, and never finished or given back, is a dead letter: whoever takes it dies.
pub const LEASES_MAX: u32 = 10;

/// Most different reactions to one delivery.
pub const REACTIONS_MAX: usize = 32;

/// What became of a reaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReactionNoted {
    /// It is a fact.
    Now,
    /// It was one already.
    Before,
    /// There are [`REACTIONS_MAX`] others.
    TooMany,
}

/// A row of the outbox that was set aside.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Which.
    pub delivery: DeliveryId,
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// Requests begun so far.
    pub attempts: u32,
    /// The row as it is kept, readable or not.
    pub body: String,
}

/// Which deliveries to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Of one customer.
    pub user: Option<UserId>,
    /// Of one campaign.
    pub campaign: Option<CampaignId>,
    /// In one state.
    pub state: Option<DeliveryState>,
    /// Older than this one: the last of the page before.
    pub before: Option<(Timestamp, DeliveryId)>,
}
