//! One campaign at one occasion: does it fit this customer here and now, and may they be pushed? The objections come in the
//! order in which a marketer would ask.

use serde_json::{Map, Value};

use super::{Context, Occasion};
use crate::domain::{
    campaign::{Campaign, CampaignRules, Cap, Class, HoldoutScope, Present, Schedule, Share, Then, Trigger, Zones},
    catalogue::Catalogue,
    customer::{Device, Profile, Purpose},
    delivery::Suppression,
    event::EventTarget,
    ids::GeofenceId,
    ladder::{LadderStep, Untold},
    presence::Visit,
    record::Record,
    rule::{Person, Rule},
    time::Timestamp,
    zone::Zone,
};

/// What a campaign would say to this customer.
pub(super) struct Fit {
    /// Which offer, counted from 0.
    pub(super) offer: usize,
    /// Where.
    pub(super) place: Option<GeofenceId>,
    /// The step of a ladder.
    pub(super) ladder: Option<LadderStep>,
    zones: Zones,
}

/// Why a campaign that fits doesn't speak at once.
pub(super) enum Objection {
    /// It doesn't at all.
    Never(Suppression),
    /// It is asked again then, when quiet hours are over.
    Later(Timestamp),
}

/// Whether the campaign fits this customer, here and now.
pub(super) fn fit(
    record: &Record,
    campaign: &Campaign,
    occasion: &Occasion<'_>,
    context: Context<'_>,
) -> Result<Fit, Suppression> {
    let place = place(record, campaign, occasion, context)?;
    let ladder = ladder_step(record, campaign, occasion)?;
    if context.now >= occasion.known_at.plus(campaign.valid_for) {
        return Err(Suppression::Expired);
    }
    let device = device_of(record, occasion);
    let zones = zones(&record.profile, device, place.as_ref(), context.catalogue);
    in_time(campaign, place.as_ref(), &zones, context)?;
    let person = person(record, campaign, occasion, device, &zones);
    if campaign.audience.as_ref().is_some_and(|rule| !rule.holds(person)) {
        return Err(Suppression::Audience);
    }
    let fits = |rule: &Rule| rule.holds(person);
    let offer = campaign
        .offers
        .iter()
        .position(|offer| offer.when.as_ref().is_none_or(fits))
        .ok_or(Suppression::NoOffer)?;
    Ok(Fit {
        offer,
        place,
        ladder,
        zones,
    })
}

/// Whether the customer may be pushed now by a campaign that fits.
pub(super) fn may_push(
    record: &Record,
    campaign: &Campaign,
    fit: &Fit,
    occasion: &Occasion<'_>,
    context: Context<'_>,
) -> Result<(), Objection> {
    let rules = &context.catalogue.settings.campaigns;
    let at = occasion.counts_at;
    let never = |suppression| Err(Objection::Never(suppression));
    if !record.profile.consent.allows(Purpose::Push, campaign.brand.as_ref()) {
        return never(Suppression::Consent);
    }
    if record.push_device(occasion.device).is_none() {
        return never(Suppression::NoToken);
    }
    if record.cooling_down(campaign, at) {
        return never(Suppression::Cooldown);
    }
    if caps(campaign, rules).any(|cap| record.cap_reached(cap, campaign, at, fit.zones.of_customer())) {
        return never(Suppression::Cap);
    }
    if campaign.gap(rules).is_some_and(|gap| record.within_gap(gap, at)) {
        return never(Suppression::MinimumGap);
    }
    match campaign.quiet(rules, context.now, &fit.zones) {
        None => Ok(()),
        Some((Then::Drop, _)) => never(Suppression::QuietHours),
        Some((Then::Defer, end)) => Err(Objection::Later(end)),
    }
}

/// What rules of the campaign look at.
pub(super) fn person<'a>(
    record: &'a Record,
    campaign: &'a Campaign,
    occasion: &Occasion<'a>,
    device: Option<&'a Device>,
    zones: &Zones,
) -> Person<'a> {
    Person {
        record,
        device,
        data: data(occasion),
        geofence: occasion.geofence,
        geofence_zone: zones.geofence,
        workspace_zone: zones.workspace,
        brand: campaign.brand.as_ref(),
        at: occasion.at,
    }
}

/// The caps that count for the campaign.
pub(super) fn caps<'a>(campaign: &'a Campaign, rules: &'a CampaignRules) -> impl Iterator<Item = &'a Cap> {
    let of_class = rules.caps.iter().filter(|cap| cap.class == campaign.class);
    campaign.caps.iter().chain(of_class.map(|cap| &cap.cap))
}

/// By whose share the customer gets nothing. The workspace's is about marketing: nobody is kept from what they need to know
/// unless a campaign asks for that itself.
pub(super) fn held_out(campaign: &Campaign, context: Context<'_>) -> Option<(HoldoutScope, Share)> {
    let of_all = context.catalogue.settings.campaigns.holdout;
    let (workspace, subject) = (context.workspace, context.subject);
    if campaign.class == Class::Marketing && of_all.holds_out(workspace, None, subject) {
        return Some((HoldoutScope::Workspace, of_all));
    }
    let own = campaign.holdout;
    own.holds_out(workspace, Some(&campaign.id), subject)
        .then_some((HoldoutScope::Campaign, own))
}

/// Where the customer is, or was, as far as the campaign asks.
pub(super) fn place(
    record: &Record,
    campaign: &Campaign,
    occasion: &Occasion<'_>,
    context: Context<'_>,
) -> Result<Option<GeofenceId>, Suppression> {
    let of_event = match occasion.outside.map(|outside| &outside.target) {
        Some(EventTarget::Geofence(id)) if !record.is_in(id, context.now, context.rules) => {
            return Err(Suppression::NotPresent);
        }
        Some(EventTarget::Geofence(id)) => Some(id.clone()),
        Some(EventTarget::User(_) | EventTarget::Topic(_)) | None => None,
    };
    match &campaign.trigger {
        Trigger::Event {
            present: Some(present), ..
        } => present_at(record, present, context)
            .ok_or(Suppression::NotPresent)
            .map(Some),
        Trigger::Event { present: None, .. } => Ok(of_event),
        Trigger::Entered(_) | Trigger::Exited(_) | Trigger::Scanned(_) | Trigger::Dwelled { .. } => {
            Ok(occasion.geofence.map(|geofence| geofence.id.clone()))
        }
    }
}

/// A geofence of the selection that the customer is in, or has left within the time.
fn present_at(record: &Record, present: &Present, context: Context<'_>) -> Option<GeofenceId> {
    let places = &context.catalogue.places;
    let selected = |id: &GeofenceId| {
        let place = places.find(id);
        place.is_some_and(|place| present.geofences.selects(places.get(place)))
    };
    let of_device = |device: &Device| {
        let now = device.decided_until(context.now);
        let is_there = |visit: &&Visit| selected(&visit.geofence) && visit.holds_at(now, context.rules);
        let found = device.whereabouts.visits.iter().find(is_there);
        found.map(|visit| visit.geofence.clone())
    };
    let now = record.devices.iter().find_map(of_device);
    now.or_else(|| {
        let opens = context.now.minus(present.within?);
        // The latest stands last.
        let mut been = record.been.iter().rev().take_while(|been| been.left_at > opens);
        been.find(|been| selected(&been.geofence))
            .map(|been| been.geofence.clone())
    })
}

/// The step of the ladder that the event is to tell; `None`: there is no ladder.
pub(super) fn ladder_step(
    record: &Record,
    campaign: &Campaign,
    occasion: &Occasion<'_>,
) -> Result<Option<LadderStep>, Suppression> {
    let Trigger::Event {
        ladder: Some(ladder), ..
    } = &campaign.trigger
    else {
        return Ok(None);
    };
    let event = occasion.outside.ok_or(Suppression::LadderStep)?;
    match record.step_to_tell(&campaign.id, ladder, event) {
        Ok(step) => Ok(Some(step)),
        Err(Untold::NotNew) => Err(Suppression::LadderStep),
        Err(Untold::Over) => Err(Suppression::LadderEnded),
    }
}

/// Whether the campaign runs, and the place is open.
fn in_time(
    campaign: &Campaign,
    place: Option<&GeofenceId>,
    zones: &Zones,
    context: Context<'_>,
) -> Result<(), Suppression> {
    if campaign.is_over(context.now, zones) {
        return Err(Suppression::CampaignEnded);
    }
    if !is_in_schedule(campaign, zones, context) {
        return Err(Suppression::NotScheduled);
    }
    if campaign.during_opening_hours && !is_open(place, zones, context) {
        return Err(Suppression::Closed);
    }
    Ok(())
}

/// Whether the campaign's schedule holds now.
pub(super) fn is_in_schedule(campaign: &Campaign, zones: &Zones, context: Context<'_>) -> bool {
    let is_on = |schedule: &Schedule| schedule.is_on(context.now, zones.choose(schedule.zone));
    campaign.schedule.as_ref().is_none_or(is_on)
}

/// Whether the place is open now, by its own hours.
pub(super) fn is_open(place: Option<&GeofenceId>, zones: &Zones, context: Context<'_>) -> bool {
    let places = &context.catalogue.places;
    let hours = place.and_then(|id| places.get(places.find(id)?).operating_hours.as_ref());
    let local = zones.geofence.unwrap_or(zones.workspace).local(context.now);
    let minute = u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
    hours.is_some_and(|hours| hours.is_open(local.weekday(), minute))
}

/// Among which zones the campaign may choose.
pub fn zones(profile: &Profile, device: Option<&Device>, place: Option<&GeofenceId>, catalogue: &Catalogue) -> Zones {
    let places = &catalogue.places;
    let of_customer = profile.time_zone(device).and_then(|name| Zone::named(name).ok());
    Zones {
        geofence: place.and_then(|id| places.find(id)).map(|place| places.zone(place)),
        customer: of_customer,
        workspace: catalogue.settings.campaigns.time_zone,
    }
}

/// The device that would be pushed, else the one that it happened on.
pub(super) fn device_of<'r>(record: &'r Record, occasion: &Occasion<'_>) -> Option<&'r Device> {
    let pushed = record.push_device(occasion.device).map(|(device, _)| device);
    pushed.or_else(|| record.device(occasion.device?))
}

/// The outside event's fields.
pub(super) fn data<'a>(occasion: &Occasion<'a>) -> Option<&'a Map<String, Value>> {
    occasion.outside.map(|outside| &outside.data)
}
