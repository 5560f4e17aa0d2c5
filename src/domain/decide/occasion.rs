//! One reason to ask the campaigns.

use super::{Context, happened::counts_from};
use crate::domain::{
    campaign::{Campaign, Trigger},
    delivery::TriggerKind,
    event::{EventTarget, OutsideEvent},
    geofence::Geofence,
    ids::{DeviceId, EventId, GeofenceId},
    record::Record,
    time::{DurationMs, Timestamp},
    waiting::{KeptEvent, KeptOccasion, Waiting, WaitsFor},
};

/// One reason to ask the campaigns.
#[derive(Clone, Copy)]
pub(super) struct Occasion<'a> {
    pub(super) kind: TriggerKind,
    pub(super) event: EventId,
    /// When it happened, by the clock of who told it.
    pub(super) at: Timestamp,
    /// When a push about it counts, for caps and pauses: when it happened, but when quiet hours end that put it off.
    pub(super) counts_at: Timestamp,
    /// From when on a push about it loses its worth, by the server's clock.
    pub(super) known_at: Timestamp,
    pub(super) device: Option<&'a DeviceId>,
    pub(super) geofence: Option<&'a Geofence>,
    /// How long the stay was, for dwelled.
    pub(super) stay: Option<DurationMs>,
    pub(super) outside: Option<&'a OutsideEvent>,
}

impl<'a> Occasion<'a> {
    /// What an outside event comes to. One about a geofence happens there.
    pub(super) fn outside(input: &'a OutsideEvent, context: Context<'a>) -> Self {
        let places = &context.catalogue.places;
        let geofence = match &input.target {
            EventTarget::Geofence(id) => places.find(id).map(|place| places.get(place)),
            EventTarget::User(_) | EventTarget::Topic(_) => None,
        };
        Self {
            kind: TriggerKind::Event,
            event: EventId::derive(context.workspace, "", input.id.as_str(), &[&input.event_type]),
            at: input.at,
            counts_at: input.at,
            known_at: counts_from(input.at, context),
            device: None,
            geofence,
            stay: None,
            outside: Some(input),
        }
    }

    /// What the record has kept. `outside`: its outside event, read.
    pub(super) fn kept(waiting: &'a Waiting, outside: Option<&'a OutsideEvent>, context: Context<'a>) -> Self {
        let kept = &waiting.occasion;
        let places = &context.catalogue.places;
        let place = kept.geofence.as_ref().and_then(|id| places.find(id));
        Self {
            kind: kept.kind,
            event: kept.event,
            at: kept.at,
            counts_at: match waiting.what_for {
                WaitsFor::Choice => kept.at,
                WaitsFor::QuietHours => waiting.until,
            },
            known_at: kept.known_at,
            device: kept.device.as_ref(),
            geofence: place.map(|place| places.get(place)),
            stay: kept.stay,
            outside,
        }
    }

    /// For the record to keep.
    pub(super) fn to_kept(self, known_at: Timestamp) -> KeptOccasion {
        KeptOccasion {
            kind: self.kind,
            event: self.event,
            at: self.at,
            known_at,
            device: self.device.cloned(),
            geofence: self.geofence.map(|geofence| geofence.id.clone()),
            stay: self.stay,
            outside: self.outside.map(KeptEvent::from),
        }
    }

    /// The active campaigns that it triggers, best first.
    pub(super) fn triggers<'c>(&self, context: Context<'c>) -> Vec<&'c Campaign> {
        let campaigns = &context.catalogue.campaigns;
        if let Some(outside) = self.outside {
            let topic = match &outside.target {
                EventTarget::Topic(topic) => Some(topic),
                EventTarget::User(_) | EventTarget::Geofence(_) => None,
            };
            return campaigns.at_event(&outside.event_type, topic);
        }
        let Some(geofence) = self.geofence else {
            return Vec::new();
        };
        let mut triggered = campaigns.at_geofence(self.kind, geofence);
        triggered.retain(|campaign| match &campaign.trigger {
            Trigger::Dwelled { after, .. } => self.stay.is_some() && self.stay == after.or(geofence.dwell_threshold),
            Trigger::Entered(_) | Trigger::Exited(_) | Trigger::Scanned(_) | Trigger::Event { .. } => true,
        });
        triggered
    }

    /// What happened, for people. `place`: where.
    pub(super) fn words(&self, place: Option<&GeofenceId>) -> String {
        let place = place.map(ToString::to_string).unwrap_or_default();
        match (self.kind, self.outside) {
            (TriggerKind::Entered, _) => format!("entered {place}"),
            (TriggerKind::Exited, _) => format!("left {place}"),
            (TriggerKind::Scanned, _) => format!("scanned a code of {place}"),
            (TriggerKind::Dwelled, _) => {
                let stay = self.stay.unwrap_or_default();
                format!("stayed {stay} in {place}")
            }
            (TriggerKind::Event, Some(outside)) if place.is_empty() => outside.event_type.clone(),
            (TriggerKind::Event, Some(outside)) => format!("{} while in {place}", outside.event_type),
            (TriggerKind::Event, None) => "an outside event".to_owned(),
        }
    }

    /// Whether another device makes this no event of the customer: who has two phones comes and goes once.
    pub(super) fn is_within_anothers_visit(&self, record: &Record) -> bool {
        match (self.kind, self.device, self.geofence) {
            (TriggerKind::Entered | TriggerKind::Exited, Some(device), Some(geofence)) => {
                record.has_other_in(&geofence.id, device)
            }
            _ => false,
        }
    }
}
