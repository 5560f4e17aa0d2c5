//! The one step that every input takes: presence moves on, campaigns are asked, and what follows is told. Pure: the same
//! record, input, time and catalogue always give the same effects, so a commit that lost a race is simply done again.

use serde_json::{Map, Value};

use super::{
    audience::Person,
    campaign::{Campaign, GeofenceSelector, Offer, Trigger},
    catalogue::Catalogue,
    checkin::CheckIn,
    customer::{Device, remember},
    delivery::{Delivery, Suppression, TriggerKind},
    event::{Event, EventGeofence, EventType, Fact, OutsideEvent, Verdict},
    geofence::Geofence,
    ids::{DeliveryId, DeviceId, EventId, GeofenceId, SubjectId, WorkspaceId},
    presence::{Evidence, PlaceMatch, PresenceRules, TransitionKind, Visit, observe},
    record::Record,
    time::Timestamp,
};

/// What a step needs besides record and input.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Tenant.
    pub workspace: &'a WorkspaceId,
    /// Whose record it is.
    pub subject: &'a SubjectId,
    /// The server's time.
    pub now: Timestamp,
    /// Geofences and campaigns.
    pub catalogue: &'a Catalogue,
    /// How long evidence holds.
    pub rules: PresenceRules,
}

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It moved the record on.
    Processed,
    /// It had been processed before; nothing changed.
    Duplicate,
    /// A later check-in of the device was there first; nothing changed.
    Late,
    /// The customer does not allow it; nothing was kept.
    Ignored,
    /// The record does not have the device: it was moved to another customer or deleted.
    NotHere,
}

/// What follows from a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Effects {
    /// What became of the input.
    pub status: Status,
    /// What the answer tells.
    pub events: Vec<Event>,
    /// What the outbox gets.
    pub deliveries: Vec<Delivery>,
    /// What the store keeps.
    pub facts: Vec<Fact>,
}

impl Effects {
    fn none(status: Status) -> Self {
        Self {
            status,
            events: Vec::new(),
            deliveries: Vec::new(),
            facts: Vec::new(),
        }
    }
}

/// Moves the record on by one check-in.
pub fn check_in(record: &mut Record, input: &CheckIn, matches: &[PlaceMatch], context: Context<'_>) -> Effects {
    if record.profile.consent.location == Some(false) {
        return Effects::none(Status::Ignored);
    }
    let Some(device) = record.device_mut(&input.device) else {
        return Effects::none(Status::NotHere);
    };
    if device.recent.contains(&input.id.fingerprint()) {
        return Effects::none(Status::Duplicate);
    }
    if device.last_at.is_some_and(|last| input.at < last) {
        return Effects::none(Status::Late);
    }
    remember(&mut device.recent, &input.id);
    device.last_at = Some(input.at);
    device.seen_at = context.now;

    let places = &context.catalogue.places;
    let event = |kind: EventType, geofence: &GeofenceId, evidence, confidence, duration| Event {
        id: EventId::derive(
            context.workspace,
            input.device.as_str(),
            &input.id,
            &[kind.as_str(), geofence.tag.as_str(), geofence.external_id.as_str()],
        ),
        kind,
        at: input.at,
        user_id: context.subject.user().cloned(),
        device_id: input.device.clone(),
        geofence: EventGeofence::describe(geofence, places.find(geofence).map(|place| places.get(place))),
        evidence,
        confidence,
        duration,
    };
    let transitions = observe(&mut device.visits, input, matches, places, context.rules);
    let mut events: Vec<Event> = transitions
        .iter()
        .map(|change| {
            let kind = match change.kind {
                TransitionKind::Entered => EventType::Entered,
                TransitionKind::Exited => EventType::Exited,
            };
            event(
                kind,
                &change.geofence,
                change.evidence,
                change.confidence,
                change.duration,
            )
        })
        .collect();
    events.extend(
        matches
            .iter()
            .filter(|seen| seen.evidence == Evidence::Code)
            .map(|seen| event(EventType::Scanned, &places.get(seen.place).id, Evidence::Code, 3, None)),
    );

    let mut effects = Effects::none(Status::Processed);
    for event in &events {
        effects.facts.push(Fact::Event(event.clone()));
        let occasion = Occasion {
            kind: match event.kind {
                EventType::Entered => TriggerKind::Entered,
                EventType::Exited => TriggerKind::Exited,
                EventType::Scanned => TriggerKind::Scanned,
            },
            event: event.id,
            at: event.at,
            device: Some(&input.device),
            geofence: places.find(&event.geofence.id).map(|place| places.get(place)),
            outside: None,
        };
        decide(record, &occasion, context, &mut effects);
    }
    effects.events = events;
    effects
}

/// Tells a customer's campaigns of an outside event.
pub fn outside_event(record: &mut Record, input: &OutsideEvent, context: Context<'_>) -> Effects {
    if !remember(&mut record.recent, &input.id) {
        return Effects::none(Status::Duplicate);
    }
    let mut effects = Effects::none(Status::Processed);
    let occasion = Occasion {
        kind: TriggerKind::Event,
        event: EventId::derive(context.workspace, "", &input.id, &[&input.event_type]),
        at: input.at,
        device: None,
        geofence: None,
        outside: Some(input),
    };
    decide(record, &occasion, context, &mut effects);
    effects
}

/// One reason to ask the campaigns.
struct Occasion<'a> {
    kind: TriggerKind,
    event: EventId,
    at: Timestamp,
    device: Option<&'a DeviceId>,
    geofence: Option<&'a Geofence>,
    outside: Option<&'a OutsideEvent>,
}

impl Occasion<'_> {
    fn fits(&self, trigger: &Trigger) -> bool {
        match trigger {
            Trigger::Entered(selector) | Trigger::Exited(selector) | Trigger::Scanned(selector) => {
                self.geofence.is_some_and(|geofence| selector.selects(geofence))
            }
            Trigger::Event { event_type, topic, .. } => self.outside.is_some_and(|outside| {
                outside.event_type == *event_type
                    && topic
                        .as_ref()
                        .is_none_or(|topic| outside.target == super::event::EventTarget::Topic(topic.clone()))
            }),
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
    place: Option<GeofenceId>,
}

/// Asks every campaign that the occasion triggers, best first. The first without an objection speaks; the rest are
/// outranked. Every one leaves its verdict.
fn decide(record: &mut Record, occasion: &Occasion<'_>, context: Context<'_>, effects: &mut Effects) {
    let mut verdicts = Vec::new();
    let mut delivery = None;
    let campaigns = &context.catalogue.campaigns;
    for campaign in campaigns.triggered(occasion.kind, |trigger| occasion.fits(trigger)) {
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
        Trigger::Entered(_) | Trigger::Exited(_) | Trigger::Scanned(_) => {
            occasion.geofence.map(|geofence| geofence.id.clone())
        }
    };
    if record.profile.consent.push == Some(false) {
        return Err(Suppression::Consent);
    }
    let (device, _) = record.push_device(occasion.device).ok_or(Suppression::NoToken)?;
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
        place,
    })
}

/// A geofence of the selection that the customer is in.
fn present_at(record: &Record, selector: &GeofenceSelector, context: Context<'_>) -> Option<GeofenceId> {
    let places = &context.catalogue.places;
    let selected = |visit: &&Visit| {
        visit.holds_at(context.now, context.rules)
            && places
                .find(&visit.geofence)
                .is_some_and(|place| selector.selects(places.get(place)))
    };
    record
        .devices
        .iter()
        .flat_map(|device| &device.visits)
        .find(selected)
        .map(|visit| visit.geofence.clone())
}

fn deliver(campaign: &Campaign, chosen: &Chosen<'_>, occasion: &Occasion<'_>, context: Context<'_>) -> Delivery {
    Delivery {
        id: DeliveryId::derive(context.workspace, &campaign.id, context.subject, occasion.event),
        workspace: context.workspace.clone(),
        subject: context.subject.clone(),
        device: chosen.device.id.clone(),
        campaign: campaign.id.clone(),
        campaign_version: campaign.version,
        brand: campaign.brand.clone(),
        offer: chosen.offer,
        trigger: occasion.kind,
        event: occasion.event,
        event_at: occasion.at,
        geofence: chosen.place.clone(),
        data: occasion.data().map_or(Value::Null, |data| Value::Object(data.clone())),
        decided_at: context.now,
        expires_at: context.now.plus(campaign.valid_for),
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
