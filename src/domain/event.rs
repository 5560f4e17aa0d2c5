//! What happened: the events that answers carry, and the facts that the store keeps.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    campaign::HoldoutScope,
    delivery::{DeliveryState, Suppression, TriggerKind},
    geofence::Geofence,
    ids::{CampaignId, CauseId, DeliveryId, DeviceId, EventId, GeofenceId, SetName, Topic, UserId},
    metadata::Metadata,
    presence::{Doubt, Evidence, ExitReason},
    time::{DurationMs, Timestamp},
    trace::Check,
    waiting::WaitsFor,
};

/// The kinds of events, named as app developers know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventType {
    /// Came in.
    #[serde(rename = "user.entered_geofence")]
    Entered,
    /// Went out.
    #[serde(rename = "user.exited_geofence")]
    Exited,
    /// Scanned a code of the place.
    #[serde(rename = "user.scanned_code")]
    Scanned,
    /// Has stayed for so long.
    #[serde(rename = "user.dwelled_in_geofence")]
    Dwelled,
    /// Went through between two fixes.
    #[serde(rename = "user.crossed_geofence")]
    Crossed,
}

impl EventType {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Entered, Self::Exited, Self::Scanned, Self::Dwelled, Self::Crossed];

    /// Reads [`EventType::as_str`] back.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Entered => "user.entered_geofence",
            Self::Exited => "user.exited_geofence",
            Self::Scanned => "user.scanned_code",
            Self::Dwelled => "user.dwelled_in_geofence",
            Self::Crossed => "user.crossed_geofence",
        }
    }
}

/// The place of an event, as the catalogue had it then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventGeofence {
    /// The file that it came with; `None` when the geofence was gone by then.
    pub set: Option<SetName>,
    /// Identity.
    #[serde(flatten)]
    pub id: GeofenceId,
    /// What people call it.
    pub description: Option<String>,
    /// The owner's fields.
    pub metadata: Metadata,
}

impl EventGeofence {
    /// The place, described from the catalogue where it still has it.
    pub fn describe(id: &GeofenceId, geofence: Option<&Geofence>) -> Self {
        Self {
            set: geofence.map(|geofence| geofence.set.clone()),
            id: id.clone(),
            description: geofence.and_then(|geofence| geofence.description.clone()),
            metadata: geofence.map(|geofence| geofence.metadata.clone()).unwrap_or_default(),
        }
    }
}

/// Something that a check-in, or time alone, brought about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Its name; the same check-in sent again gives the same.
    pub id: EventId,
    /// What.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// When, by the phone's clock.
    pub at: Timestamp,
    /// Whose; `None` for an anonymous customer.
    pub user_id: Option<UserId>,
    /// Which device.
    pub device_id: DeviceId,
    /// Where.
    pub geofence: EventGeofence,
    /// What says so.
    pub evidence: Evidence,
    /// How sure, 1 to 3.
    pub confidence: u8,
    /// How long the visit was, or has been so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<DurationMs>,
    /// Why it was exited, unless the device was seen to leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ExitReason>,
    /// A document for the app, for what was scanned, of the campaign that fits the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Value>,
}

impl Event {
    /// The document for the app that it is answered with: for what was scanned, the campaign's, else `content` of the
    /// geofence's metadata.
    pub fn document(&self) -> Option<Value> {
        if self.kind != EventType::Scanned {
            return None;
        }
        let own = || self.geofence.metadata.field("content");
        self.content.clone().or_else(own).filter(|content| !content.is_null())
    }
}

/// Whom an outside event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EventTarget {
    /// One customer.
    User(UserId),
    /// All who follow a topic.
    Topic(Topic),
    /// All who are in a geofence.
    Geofence(GeofenceId),
}

/// Something that happened outside and was told by the owner's systems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutsideEvent {
    /// Names it for idempotency.
    pub id: CauseId,
    /// Such as `flight.delayed`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When it happened.
    pub at: Timestamp,
    /// Whom it is about.
    pub target: EventTarget,
    /// Its fields, for rules and messages.
    pub data: Map<String, Value>,
}

/// What one campaign came to at one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The campaign.
    pub campaign: CampaignId,
    /// Its version.
    pub version: u32,
    /// Why it stays silent; `None`: it speaks, or waits.
    pub suppressed: Option<Suppression>,
    /// Who speaks instead, when it is outranked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outranked_by: Option<CampaignId>,
    /// When it is asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<Timestamp>,
    /// For what it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
    /// How it came about, where the decision tells that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<Check>,
}

/// What became of a push on the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReactionKind {
    /// It was shown.
    Delivered,
    /// It was tapped.
    Opened,
    /// It was swiped away.
    Dismissed,
    /// One of its buttons was.
    Action,
}

impl ReactionKind {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Opened => "opened",
            Self::Dismissed => "dismissed",
            Self::Action => "action",
        }
    }
}

/// What the store keeps of what happened. Ledger, lists and reports are made from these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Fact {
    /// A check-in brought an event about.
    Event(Event),
    /// Campaigns were asked.
    Decision {
        /// About which event.
        event: EventId,
        /// What that was.
        trigger: TriggerKind,
        /// Where it happened.
        geofence: Option<GeofenceId>,
        /// The type of an outside event.
        event_type: Option<String>,
        /// When they were asked.
        at: Timestamp,
        /// What each said.
        verdicts: Vec<Verdict>,
        /// What came of it.
        delivery: Option<DeliveryId>,
    },
    /// A customer was held out: got nothing although a campaign would have spoken.
    HeldOut {
        /// The name that the delivery would have had.
        delivery: DeliveryId,
        /// Whose, unless the customer is anonymous.
        user: Option<UserId>,
        /// When.
        at: Timestamp,
        /// About which event.
        event: EventId,
        /// Of which campaign.
        campaign: CampaignId,
        /// Its version.
        version: u32,
        /// Which of its offers, counted from 0.
        offer: usize,
        /// Where.
        geofence: Option<GeofenceId>,
        /// By whose share.
        scope: HoldoutScope,
        /// How large that was then.
        share: f64,
    },
    /// A delivery moved on.
    Delivery {
        /// Which.
        delivery: DeliveryId,
        /// Whose, unless the customer is anonymous.
        user: Option<UserId>,
        /// When.
        at: Timestamp,
        /// To where.
        state: DeliveryState,
        /// The request it is about, from 1; 0 before the first.
        attempt: u32,
        /// Why, in the provider's or our own words.
        reason: Option<String>,
    },
    /// A phone told what became of a push.
    Reaction {
        /// Which.
        delivery: DeliveryId,
        /// Whose, unless the customer is anonymous.
        user: Option<UserId>,
        /// On which device.
        device: DeviceId,
        /// Of which campaign.
        campaign: CampaignId,
        /// When, by the phone's clock.
        at: Timestamp,
        /// What.
        kind: ReactionKind,
        /// Which button, for [`ReactionKind::Action`].
        action: Option<String>,
    },
    /// A customer made use of an offer.
    Redeemed {
        /// The push that brought it.
        delivery: DeliveryId,
        /// Whose, unless the customer is anonymous.
        user: Option<UserId>,
        /// Of which campaign.
        campaign: CampaignId,
        /// When.
        at: Timestamp,
        /// `amount`, `currency` and `geofence`, as the till told.
        details: Value,
    },
    /// Something that a device reported was not believed.
    Doubted {
        /// Which device.
        device: DeviceId,
        /// When, by its clock.
        at: Timestamp,
        /// What.
        doubt: Doubt,
    },
    /// A device's push token was dropped.
    TokenDropped {
        /// Whose.
        device: DeviceId,
        /// When.
        at: Timestamp,
        /// The provider's word.
        reason: String,
    },
}
