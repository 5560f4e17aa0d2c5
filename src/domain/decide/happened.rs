//! What has happened to a customer: kept as facts, told to the campaigns.

use super::{Context, Effects, Occasion, ask};
use crate::domain::{
    campaign::WINDOW_MAX,
    checkin::CheckIn,
    customer::Device,
    delivery::TriggerKind,
    event::{Event, EventGeofence, EventType, Fact},
    figures::Place,
    geofence::Geofence,
    ids::{CauseId, EventId},
    presence::{Evidence, Transition, TransitionKind},
    record::{Been, Record},
    time::{DurationMs, Timestamp},
};

/// Something that has happened, before the campaigns are asked.
pub(super) struct Happened {
    pub(super) event: Event,
    kind: Option<TriggerKind>,
    known_at: Timestamp,
    /// The longest stay that was told of a visit that is over.
    told: DurationMs,
}

impl Happened {
    /// What a change of presence comes to. What time alone brings about has its name from the visit, so that it is the
    /// same event whether a timer or a check-in notices.
    pub(super) fn of(transition: &Transition, device: &Device, cause: Option<&CauseId>, context: Context<'_>) -> Self {
        let (event_type, kind) = match transition.kind {
            TransitionKind::Entered => (EventType::Entered, Some(TriggerKind::Entered)),
            TransitionKind::Exited => (EventType::Exited, Some(TriggerKind::Exited)),
            TransitionKind::Dwelled => (EventType::Dwelled, Some(TriggerKind::Dwelled)),
            TransitionKind::Crossed => (EventType::Crossed, None),
        };
        let geofence = &transition.geofence;
        let name = [
            event_type.as_str(),
            geofence.tag.as_str(),
            geofence.external_id.as_str(),
        ];
        let id = if let Some(cause) = cause.filter(|_| !transition.timed) {
            EventId::derive(context.workspace, device.id.as_str(), cause.as_str(), &name)
        } else {
            let since = transition.since.to_string();
            let stay = transition.duration.unwrap_or_default().to_string();
            let parts = [name[0], name[1], name[2], &since, &stay];
            EventId::derive(context.workspace, device.id.as_str(), "time", &parts)
        };
        let places = &context.catalogue.places;
        let event = Event {
            id,
            kind: event_type,
            at: transition.at,
            user_id: context.subject.user().cloned(),
            device_id: device.id.clone(),
            geofence: EventGeofence::describe(geofence, places.find(geofence).map(|place| places.get(place))),
            evidence: transition.evidence,
            confidence: transition.confidence,
            duration: transition.duration,
            reason: transition.reason,
            content: None,
        };
        Self {
            event,
            kind,
            known_at: match cause {
                _ if !transition.timed => counts_from(transition.at, context),
                Some(_) => device.server_time(transition.at),
                None => device.decided_at(transition.at),
            },
            told: transition.dwelled,
        }
    }

    pub(super) fn scanned(geofence: &Geofence, input: &CheckIn, context: Context<'_>) -> Self {
        let id = &geofence.id;
        let parts = [EventType::Scanned.as_str(), id.tag.as_str(), id.external_id.as_str()];
        let event = Event {
            id: EventId::derive(context.workspace, input.device.as_str(), input.id.as_str(), &parts),
            kind: EventType::Scanned,
            at: input.at,
            user_id: context.subject.user().cloned(),
            device_id: input.device.clone(),
            geofence: EventGeofence::describe(id, Some(geofence)),
            evidence: Evidence::Code,
            confidence: 3,
            duration: None,
            reason: None,
            content: None,
        };
        Self {
            event,
            kind: Some(TriggerKind::Scanned),
            known_at: counts_from(input.at, context),
            told: DurationMs::default(),
        }
    }
}

/// From when on a push about something told loses its worth: from when it happened, so that what a phone had kept while it
/// was offline makes no push that comes too late. A time beyond any `validFor` is no late upload but a wrong clock or a
/// track that is replayed, and counts from its arrival.
pub(super) fn counts_from(at: Timestamp, context: Context<'_>) -> Timestamp {
    if context.now.since(at) > WINDOW_MAX {
        context.now
    } else {
        at.min(context.now)
    }
}

/// Keeps each event as a fact and asks the campaigns about it.
pub(super) fn tell(record: &mut Record, happened: Vec<Happened>, context: Context<'_>, effects: &mut Effects) {
    let places = &context.catalogue.places;
    for Happened {
        mut event,
        kind,
        known_at,
        told,
    } in happened
    {
        let geofence = places.find(&event.geofence.id).map(|place| places.get(place));
        if event.kind == EventType::Exited {
            record.hand_on_stay(&event.geofence.id, &event.device_id, told);
            if geofence.is_some_and(|geofence| context.catalogue.campaigns.ask_for_past(geofence)) {
                record.note_been(Been {
                    geofence: event.geofence.id.clone(),
                    left_at: known_at,
                });
            }
        }
        // The visit that is told counts, so that "the third one" means this one.
        if let (EventType::Entered, Some(geofence)) = (event.kind, geofence)
            && record.is_folded()
            && !record.has_other_in(&event.geofence.id, &event.device_id)
        {
            let figures = record.figures_mut();
            figures.note_visit(Place::of(geofence), event.at, context.now);
        }
        let place = effects.facts.len();
        if let Some(kind) = kind {
            let occasion = Occasion {
                kind,
                event: event.id,
                at: event.at,
                counts_at: event.at,
                known_at,
                device: Some(&event.device_id),
                geofence,
                stay: event.duration.filter(|_| kind == TriggerKind::Dwelled),
                outside: None,
            };
            let content = ask(record, &occasion, context, effects);
            event.content = content.filter(|_| kind == TriggerKind::Scanned);
        }
        // What happened stands before what was decided about it.
        effects.facts.insert(place, Fact::Event(event.clone()));
        effects.events.push(event);
    }
}
