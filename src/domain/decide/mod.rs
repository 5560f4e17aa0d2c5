//! The one step that every input takes: presence moves on, campaigns are asked, and what follows is told. Pure: the same
//! record, input, time and catalogue always give the same effects, so a commit that lost a race is simply done again.

use super::{
    catalogue::Catalogue,
    checkin::CheckIn,
    customer::{Purpose, remember},
    delivery::Delivery,
    event::{Event, EventTarget, Fact, OutsideEvent},
    figures::{PURCHASE, Purchase},
    geofence::Geofence,
    ids::{DeviceId, SubjectId, WorkspaceId},
    presence::{Doubt, Evidence, ExitReason, Observation, PlaceMatch, PresenceRules, Transition, TransitionKind},
    record::Record,
    time::{DurationMs, Timestamp},
};

mod choose;
mod consider;
mod decision;
mod happened;
mod occasion;
mod trace;

pub use consider::zones;

use decision::{ask, ask_again};
use happened::{Happened, tell};
use occasion::Occasion;

/// A device that has changed hands, and whose server ended in the middle of it, is looked after when so much has passed.
const MOVE_MAX: DurationMs = DurationMs::from_secs(30);

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
    /// How evidence is weighed and how long it holds.
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
    /// Its time is ahead of the server's by more than a clock may be; nothing was kept of it.
    ClockAhead,
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
    /// What of it was not believed.
    pub doubt: Option<Doubt>,
    /// What the outbox gets.
    pub deliveries: Vec<Delivery>,
    /// What the store keeps.
    pub facts: Vec<Fact>,
}

impl Effects {
    /// Nothing but what became of the input.
    pub fn none(status: Status) -> Self {
        Self {
            status,
            events: Vec::new(),
            doubt: None,
            deliveries: Vec::new(),
            facts: Vec::new(),
        }
    }
}

/// Moves the record on by one check-in.
pub fn check_in(record: &mut Record, input: &CheckIn, matches: &[PlaceMatch], context: Context<'_>) -> Effects {
    if !record.profile.consent.allows(Purpose::Location, None) {
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
    if input.at > context.now.plus(context.rules.clock_ahead_max) {
        return clock_ahead(record, input);
    }
    remember(&mut device.recent, &input.id);
    device.clock_ahead = false;
    let mut effects = Effects::none(Status::Processed);
    ask_again(record, context, &mut effects);

    // Time passes up to the check-in, which itself may be the next word of a beacon.
    let before = Timestamp(input.at.0.saturating_sub(1));
    let mut transitions = pass(record, &input.device, before, context);
    let mut doubt = None;
    if let Some(device) = record.device_mut(&input.device) {
        device.hears(input.at, context.now);
        let seen = Observation {
            check_in: input,
            matches,
            platform: device.platform,
        };
        let places = &context.catalogue.places;
        let (moved, doubted) = device.whereabouts.observe(seen, places, context.rules);
        transitions.extend(moved);
        doubt = doubted;
    }

    let mut happened = Vec::new();
    if let Some(device) = record.device(&input.device) {
        let of_this = |transition: &Transition| Happened::of(transition, device, Some(&input.id), context);
        happened.extend(transitions.iter().map(of_this));
    }
    let scanned = matches.iter().filter(|seen| seen.evidence == Evidence::Code);
    happened.extend(scanned.map(|seen| {
        let geofence = context.catalogue.places.get(seen.place);
        Happened::scanned(geofence, input, context)
    }));
    effects.doubt = doubt;
    effects.facts.extend(doubt.map(|doubt| Fact::Doubted {
        device: input.device.clone(),
        at: input.at,
        doubt,
    }));
    tell(record, happened, context, &mut effects);
    schedule(record, context);
    effects
}

/// A check-in of a time to come moves nothing. Of a wrong clock one fact is kept, until it is right again.
fn clock_ahead(record: &mut Record, input: &CheckIn) -> Effects {
    let mut effects = Effects::none(Status::ClockAhead);
    if let Some(device) = record.device_mut(&input.device)
        && !std::mem::replace(&mut device.clock_ahead, true)
    {
        effects.facts.push(Fact::Doubted {
            device: input.device.clone(),
            at: input.at,
            doubt: Doubt::ClockAhead,
        });
    }
    effects
}

/// Moves the record on by nothing but time: stays that have grown long enough, evidence that has run out.
pub fn time_passed(record: &mut Record, context: Context<'_>) -> Effects {
    let mut effects = Effects::none(Status::Processed);
    ask_again(record, context, &mut effects);
    let devices: Vec<DeviceId> = record.devices.iter().map(|device| device.id.clone()).collect();
    for id in devices {
        let Some(now) = record.device(&id).map(|device| device.decided_until(context.now)) else {
            continue;
        };
        let transitions = pass(record, &id, now, context);
        let mut happened = Vec::new();
        if let Some(device) = record.device(&id) {
            let of_this = |transition: &Transition| Happened::of(transition, device, None, context);
            happened.extend(transitions.iter().map(of_this));
        }
        tell(record, happened, context, &mut effects);
    }
    schedule(record, context);
    effects
}

/// Ends all visits of one device, or of all, with the facts about it. No campaign is asked: the customer has gone nowhere.
pub fn end_visits(
    record: &mut Record,
    device: Option<&DeviceId>,
    reason: ExitReason,
    context: Context<'_>,
) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut ended = Vec::new();
    for found in &mut record.devices {
        if device.is_some_and(|device| *device != found.id) {
            continue;
        }
        let now = found.clock(context.now);
        for transition in found.whereabouts.end(now, reason) {
            facts.push(Fact::Event(Happened::of(&transition, found, None, context).event));
            ended.push((transition, found.id.clone()));
        }
    }
    for (transition, device) in ended {
        record.hand_on_stay(&transition.geofence, &device, transition.dwelled);
    }
    schedule(record, context);
    facts
}

/// Tells a customer's campaigns of an outside event.
pub fn outside_event(record: &mut Record, input: &OutsideEvent, context: Context<'_>) -> Effects {
    if !record.remember(&input.id) {
        return Effects::none(Status::Duplicate);
    }
    if input.event_type == PURCHASE
        && matches!(input.target, EventTarget::User(_))
        && record.is_folded()
        && let Some(purchase) = Purchase::of(&input.data)
    {
        record.figures_mut().note_purchase(purchase, input.at, context.now);
    }
    let mut effects = Effects::none(Status::Processed);
    ask_again(record, context, &mut effects);
    let topic = match &input.target {
        EventTarget::Topic(topic) => Some(topic),
        EventTarget::User(_) | EventTarget::Geofence(_) => None,
    };
    let campaigns = &context.catalogue.campaigns;
    for ended in campaigns.with_ladder_until(&input.event_type, topic) {
        record.end_ladder(&ended.id, input, context.now);
    }
    ask(record, &Occasion::outside(input, context), context, &mut effects);
    schedule(record, context);
    effects
}

/// Lets a device's time pass. A stay that another device of the customer has told already is not told again.
fn pass(record: &mut Record, device: &DeviceId, until: Timestamp, context: Context<'_>) -> Vec<Transition> {
    let lengths = |geofence: &Geofence| context.catalogue.dwell_lengths(geofence);
    let Some(found) = record.device_mut(device) else {
        return Vec::new();
    };
    let places = &context.catalogue.places;
    let mut transitions = found
        .whereabouts
        .pass(until, context.now, places, lengths, context.rules);
    transitions.retain(|transition| {
        transition.kind != TransitionKind::Dwelled
            || transition.duration > Some(record.told_of_others(&transition.geofence, device))
    });
    transitions
}

/// Notes when time alone brings something about next. To be called when a device with visits, or what waits, comes to a
/// record.
pub fn schedule(record: &mut Record, context: Context<'_>) {
    let lengths = |geofence: &Geofence| context.catalogue.dwell_lengths(geofence);
    let due = record.devices.iter().filter_map(|device| {
        let places = &context.catalogue.places;
        let server_time = |at| device.decided_at(at);
        device.whereabouts.next_due(places, lengths, context.rules, server_time)
    });
    let moved = record.moving().next().map(|_| context.now.plus(MOVE_MAX));
    let waiting = record.waiting.iter().map(|waiting| waiting.until);
    record.wake_at = match (record.wake_at, due.chain(moved).chain(waiting).min()) {
        // To be woken too early costs one look now and then; to change the wish with every check-in costs each of them.
        (Some(wish), Some(due)) if wish > context.now && wish <= due => Some(wish),
        (_, due) => due,
    };
}
