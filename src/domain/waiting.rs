//! What was not decided at once: pushes that quiet hours put off, and campaigns that wait whether a better one comes.
//!
//! They are kept in the record, with all that is needed to ask the campaigns again, and the record's timer looks at them
//! when their time has come ([`decide::time_passed`](super::decide::time_passed)). So they outlive a crash.

use serde::{Deserialize, Serialize};

use super::{
    customer::JsonObject,
    delivery::TriggerKind,
    event::{EventTarget, OutsideEvent},
    ids::{CampaignId, CauseId, DeviceId, EventId, GeofenceId},
    record::Record,
    time::{DurationMs, Timestamp},
};

/// Most occasions that wait for one customer.
pub const WAITING_MAX: usize = 16;

/// An occasion at which some campaigns are asked once more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// When.
    pub until: Timestamp,
    /// For what.
    pub what_for: WaitsFor,
    /// Which campaigns.
    pub campaigns: Vec<CampaignId>,
    /// What happened.
    pub occasion: KeptOccasion,
}

/// For what somebody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// For campaigns that may be better.
    Choice,
    /// For the end of quiet hours.
    QuietHours,
}

/// What happened, as the record keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptOccasion {
    /// What kind of thing.
    pub kind: TriggerKind,
    /// Its name.
    pub event: EventId,
    /// When, by the clock of who told it.
    pub at: Timestamp,
    /// From when on a push about it loses its worth, by the server's clock.
    pub known_at: Timestamp,
    /// On which device.
    pub device: Option<DeviceId>,
    /// Where.
    pub geofence: Option<GeofenceId>,
    /// After how long a stay.
    pub stay: Option<DurationMs>,
    /// The outside event.
    pub outside: Option<KeptEvent>,
}

/// An outside event, as the record keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptEvent {
    id: CauseId,
    event_type: String,
    at: Timestamp,
    target: EventTarget,
    data: JsonObject,
}

impl From<&OutsideEvent> for KeptEvent {
    fn from(event: &OutsideEvent) -> Self {
        Self {
            id: event.id.clone(),
            event_type: event.event_type.clone(),
            at: event.at,
            target: event.target.clone(),
            data: JsonObject(event.data.clone()),
        }
    }
}

impl From<KeptEvent> for OutsideEvent {
    fn from(event: KeptEvent) -> Self {
        Self {
            id: event.id,
            event_type: event.event_type,
            at: event.at,
            target: event.target,
            data: event.data.0,
        }
    }
}

impl Record {
    /// Lets a campaign wait; false when too much waits already. What it had put off before gives way: at the end of the
    /// quiet hours it would speak once at most.
    pub fn wait(
        &mut self,
        campaign: &CampaignId,
        occasion: KeptOccasion,
        until: Timestamp,
        what_for: WaitsFor,
    ) -> bool {
        if what_for == WaitsFor::QuietHours {
            for waiting in self.waiting.iter_mut().filter(|waiting| waiting.what_for == what_for) {
                waiting.campaigns.retain(|other| other != campaign);
            }
            self.waiting.retain(|waiting| !waiting.campaigns.is_empty());
        }
        let same = self.waiting.iter_mut().find(|waiting| {
            waiting.until == until && waiting.what_for == what_for && waiting.occasion.event == occasion.event
        });
        if let Some(same) = same {
            if !same.campaigns.contains(campaign) {
                same.campaigns.push(campaign.clone());
            }
            return true;
        }
        if self.waiting.len() >= WAITING_MAX {
            return false;
        }
        self.waiting.push(Waiting {
            until,
            what_for,
            campaigns: vec![campaign.clone()],
            occasion,
        });
        true
    }

    /// When the choice that is open is made; `None`: none is.
    pub fn choice_at(&self) -> Option<Timestamp> {
        let open = self
            .waiting
            .iter()
            .filter(|waiting| waiting.what_for == WaitsFor::Choice);
        open.map(|waiting| waiting.until).min()
    }

    /// Takes out what has waited long enough at `now`, oldest first.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<Waiting> {
        let (mut due, waiting): (Vec<Waiting>, Vec<Waiting>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| waiting.until <= now);
        self.waiting = waiting;
        due.sort_by_key(|waiting| waiting.until);
        due
    }

    /// Takes over what waits for an anonymous customer, as far as there is room.
    pub(super) fn adopt_waiting(&mut self, others: &[Waiting]) {
        for other in others {
            for campaign in &other.campaigns {
                self.wait(campaign, other.occasion.clone(), other.until, other.what_for);
            }
        }
    }
}
