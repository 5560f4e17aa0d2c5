//! Asking the campaigns: which of them speaks at an event, and why the others don't.

use serde_json::{Map, Value};

use super::{Context, Effects};
use crate::domain::{
    audience::Person,
    campaign::{Campaign, GeofenceSelector, Offer, Trigger},
    customer::Device,
    delivery::{Delivery, PushTarget, Suppression, TriggerKind},
    event::{EventTarget, Fact, OutsideEvent, Verdict},
    geofence::Geofence,
    ids::{DeliveryId, DeviceId, EventId, GeofenceId},
    presence::Visit,
    record::Record,
    time::{DurationMs, Timestamp},
};

/// One reason to ask the campaigns.
pub(super) struct Occasion<'a> {
    pub(super) kind: TriggerKind,
    pub(super) event: EventId,
    /// When it happened, by the clock of who told it.
    pub(super) at: Timestamp,
    /// From when on a push about it loses its worth, by the server's clock.
    pub(super) known_at: Timestamp,
    pub(super) device: Option<&'a DeviceId>,
    pub(super) geofence: Option<&'a Geofence>,
    /// How long the stay was, for dwelled.
    pub(super) stay: Option<DurationMs>,
    pub(super) outside: Option<&'a OutsideEvent>,
}

impl Occasion<'_> {
    /// The active campaigns that it triggers, best first.
    fn triggers<'c>(&self, context: Context<'c>) -> Vec<&'c Campaign> {
        let campaigns = &context.catalogue.campaigns;
        if let Some(outside) = self.outside {
            let topic = match &outside.target {
                EventTarget::Topic(topic) => Some(topic),
                EventTarget::User(_) => None,
            };
            return campaigns.at_event(&outside.event_type, topic);
        }
        let Some(geofence) = self.geofence else {
            return Vec::new();
        };
        let mut triggered = campaigns.at_geofence(self.kind, geofence);
        triggered.retain(|campaign| match &campaign.trigger {
            Trigger::Dwelled { after, .. } => self.stay.is_some() && self.stay == after.or(geofence.dwell_threshold),
            _ => true,
        });
        triggered
    }

    /// Whether another device makes this no event of the customer: who has two phones comes and goes once.
    fn is_within_anothers_visit(&self, record: &Record) -> bool {
        match (self.kind, self.device, self.geofence) {
            (TriggerKind::Entered | TriggerKind::Exited, Some(device), Some(geofence)) => {
                record.has_other_in(&geofence.id, device)
            }
            _ => false,
        }
    }

    fn data(&self) -> Option<&Map<String, Value>> {
        self.outside.map(|outside| &outside.data)
    }
}

/// A campaign that may speak, with all that the delivery needs.
struct Chosen<'a> {
    offer: usize,
    rule: &'a Offer,
    device: &'a Device,
    target: &'a PushTarget,
    place: Option<GeofenceId>,
}

/// Asks every campaign that the occasion triggers, best first. The first without an objection speaks; the rest are
/// outranked. Every one leaves its verdict.
pub(super) fn ask(record: &mut Record, occasion: &Occasion<'_>, context: Context<'_>, effects: &mut Effects) {
    let mut verdicts = Vec::new();
    let mut delivery = None;
    for campaign in occasion.triggers(context) {
        let suppressed = match consider(record, campaign, occasion, context) {
            Err(suppression) => Some(suppression),
            Ok(_) if delivery.is_some() => Some(Suppression::Outranked),
            Ok(chosen) => {
                delivery = Some(deliver(campaign, &chosen, occasion, context));
                None
            }
        };
        if suppressed.is_none() {
            record.note_send(campaign, occasion.at, context.now);
        }
        verdicts.push(Verdict {
            campaign: campaign.id.clone(),
            version: campaign.version,
            suppressed,
        });
    }
    if verdicts.is_empty() {
        return;
    }
    effects.facts.push(Fact::Decision {
        event: occasion.event,
        at: context.now,
        verdicts,
        delivery: delivery.as_ref().map(|delivery| delivery.id),
    });
    effects.deliveries.extend(delivery);
}

/// Whether the campaign has a push for this customer now: objections in the order in which a marketer would ask.
fn consider<'a>(
    record: &'a Record,
    campaign: &'a Campaign,
    occasion: &Occasion<'_>,
    context: Context<'_>,
) -> Result<Chosen<'a>, Suppression> {
    let place = match &campaign.trigger {
        Trigger::Event {
            present: Some(selector),
            ..
        } => Some(present_at(record, selector, context).ok_or(Suppression::NotPresent)?),
        Trigger::Event { present: None, .. } => None,
        Trigger::Entered(_) | Trigger::Exited(_) | Trigger::Scanned(_) | Trigger::Dwelled { .. } => {
            occasion.geofence.map(|geofence| geofence.id.clone())
        }
    };
    if context.now >= occasion.known_at.plus(campaign.valid_for) {
        return Err(Suppression::Expired);
    }
    if occasion.is_within_anothers_visit(record) {
        return Err(Suppression::OtherDevice);
    }
    if record.profile.consent.push == Some(false) {
        return Err(Suppression::Consent);
    }
    let (device, target) = record.push_device(occasion.device).ok_or(Suppression::NoToken)?;
    let person = Person {
        profile: &record.profile,
        device: Some(device),
        data: occasion.data(),
    };
    if campaign.audience.as_ref().is_some_and(|rule| !rule.holds(person)) {
        return Err(Suppression::Audience);
    }
    let (offer, rule) = campaign
        .offers
        .iter()
        .enumerate()
        .find(|(_, offer)| offer.when.as_ref().is_none_or(|rule| rule.holds(person)))
        .ok_or(Suppression::NoOffer)?;
    if record.cooling_down(campaign, occasion.at) {
        return Err(Suppression::Cooldown);
    }
    if campaign
        .caps
        .iter()
        .any(|cap| record.cap_reached(cap, campaign, occasion.at))
    {
        return Err(Suppression::Cap);
    }
    Ok(Chosen {
        offer,
        rule,
        device,
        target,
        place,
    })
}

/// A geofence of the selection that the customer is in.
fn present_at(record: &Record, selector: &GeofenceSelector, context: Context<'_>) -> Option<GeofenceId> {
    let places = &context.catalogue.places;
    let selected = |visit: &Visit| {
        places
            .find(&visit.geofence)
            .is_some_and(|place| selector.selects(places.get(place)))
    };
    let of_device = |device: &Device| {
        let now = device.decided_until(context.now);
        let mut visits = device.whereabouts.visits.iter();
        let found = visits.find(|visit| selected(visit) && visit.holds_at(now, context.rules));
        found.map(|visit| visit.geofence.clone())
    };
    record.devices.iter().find_map(of_device)
}

fn deliver(campaign: &Campaign, chosen: &Chosen<'_>, occasion: &Occasion<'_>, context: Context<'_>) -> Delivery {
    Delivery {
        id: DeliveryId::derive(context.workspace, &campaign.id, context.subject, occasion.event),
        workspace: context.workspace.clone(),
        subject: context.subject.clone(),
        device: chosen.device.id.clone(),
        platform: chosen.target.platform,
        app: chosen.target.app.clone(),
        campaign: campaign.id.clone(),
        campaign_version: campaign.version,
        class: campaign.class,
        brand: campaign.brand.clone(),
        offer: chosen.offer,
        trigger: occasion.kind,
        event: occasion.event,
        event_at: occasion.at,
        geofence: chosen.place.clone(),
        data: occasion.data().map_or(Value::Null, |data| Value::Object(data.clone())),
        decided_at: context.now,
        expires_at: occasion.known_at.plus(campaign.valid_for),
        still_there: campaign.still_there,
        why: explain(campaign, chosen, occasion),
    }
}

/// Why this campaign and this offer, for people.
fn explain(campaign: &Campaign, chosen: &Chosen<'_>, occasion: &Occasion<'_>) -> Vec<String> {
    let place = chosen.place.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut why = vec![match (occasion.kind, occasion.outside) {
        (TriggerKind::Entered, _) => format!("entered {place}"),
        (TriggerKind::Exited, _) => format!("left {place}"),
        (TriggerKind::Scanned, _) => format!("scanned a code of {place}"),
        (TriggerKind::Dwelled, _) => {
            let stay = occasion.stay.unwrap_or_default();
            format!("stayed {stay} in {place}")
        }
        (TriggerKind::Event, Some(outside)) if place.is_empty() => outside.event_type.clone(),
        (TriggerKind::Event, Some(outside)) => format!("{} while in {place}", outside.event_type),
        (TriggerKind::Event, None) => "an outside event".to_owned(),
    }];
    why.extend(campaign.audience.as_ref().map(ToString::to_string));
    why.extend(
        chosen
            .rule
            .when
            .as_ref()
            .map(|rule| format!("offer {}: {rule}", chosen.offer + 1)),
    );
    why
}
