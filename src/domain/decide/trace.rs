//! What a decision leaves for whoever asks why: campaign by campaign, all that was asked, with what was seen, also what
//! comes after the first no.
//!
//! It is made for decisions that speak, for customers who are looked at (`debug`), and for a share of the others; they
//! follow from the event's name, so that a step that is done again leaves the same.

use super::{
    Context, Occasion,
    choose::{Contender, why_outranked},
    consider::{Fit, caps, device_of, held_out, is_in_schedule, is_open, ladder_step, person, place, zones},
    decision::{Answer, Asked},
};
use crate::domain::{
    campaign::{Campaign, CampaignStatus, Then, Trigger, Zones},
    customer::Purpose,
    delivery::Suppression,
    ids::{EventId, GeofenceId},
    record::Record,
    rule::Person,
    trace::{Check, CheckKind},
    waiting::WaitsFor,
};

/// Most checks that one decision keeps, each part of a rule counted.
const CHECKS_MAX: usize = 600;
/// Most offers of a campaign that are looked at.
const OFFERS_MAX: usize = 10;

/// Adds the traces of those decisions that are to have one. To be called before the record learns of the push.
pub(super) fn add(record: &Record, asked: &mut [Asked<'_>], winner: Option<usize>, context: Context<'_>) {
    let spoken = winner.map(|winner| asked[winner].occasion.event);
    let is_traced = |event: EventId| {
        let sampled = context.catalogue.settings.campaigns.trace.sampled;
        record.profile.debug || spoken == Some(event) || event.place_in_shares() < sampled.value()
    };
    let mut left = CHECKS_MAX;
    let others = (0..asked.len()).filter(|position| Some(*position) != winner);
    // Whoever speaks is told of in any case.
    for position in winner.into_iter().chain(others) {
        if !is_traced(asked[position].occasion.event) {
            continue;
        }
        let checks = checks(record, asked, position, winner, context);
        let size: usize = checks.iter().map(Check::size).sum();
        if size > left {
            break;
        }
        left -= size;
        asked[position].trace = checks;
    }
}

/// The checks of one campaign, as they are collected.
struct Checks(Vec<Check>);

impl Checks {
    fn add(&mut self, check: CheckKind, holds: bool, saw: impl Into<Option<String>>) {
        self.0.push(Check {
            check,
            holds,
            saw: saw.into(),
            rule: None,
        });
    }
}

fn checks(
    record: &Record,
    asked: &[Asked<'_>],
    position: usize,
    winner: Option<usize>,
    context: Context<'_>,
) -> Vec<Check> {
    let Asked {
        occasion,
        campaign,
        answer,
        ..
    } = &asked[position];
    let mut checks = Checks(Vec::new());
    let at = place(record, campaign, occasion, context);
    let found = at.as_ref().ok().and_then(Option::as_ref);
    checks.add(CheckKind::Trigger, true, occasion.words(found));
    if campaign.status != CampaignStatus::Active {
        checks.add(CheckKind::Status, false, campaign.status.as_str().to_owned());
    }
    check_presence(&mut checks, campaign, occasion, answer, at.as_ref());
    let device = device_of(record, occasion);
    let zones = zones(&record.profile, device, found, context.catalogue);
    check_time(&mut checks, record, campaign, occasion, (found, &zones), context);
    let person = person(record, campaign, occasion, device, &zones);
    let offer = check_person(&mut checks, campaign, person);
    check_limits(&mut checks, record, campaign, occasion, &zones, context);
    check_choice(&mut checks, record, asked, (position, offer), winner, context);
    checks.0
}

fn check_presence(
    checks: &mut Checks,
    campaign: &Campaign,
    occasion: &Occasion<'_>,
    answer: &Answer,
    at: Result<&Option<GeofenceId>, &Suppression>,
) {
    match at {
        Err(_) => checks.add(
            CheckKind::Presence,
            false,
            "is in none of the places that it asks for".to_owned(),
        ),
        Ok(Some(place)) if matches!(campaign.trigger, Trigger::Event { .. }) => {
            checks.add(CheckKind::Presence, true, format!("in {place}"));
        }
        Ok(_) => {}
    }
    if matches!(answer, Answer::Silent(Suppression::LeftGeofence)) {
        let place = occasion.geofence.map(|geofence| format!("has left {}", geofence.id));
        checks.add(CheckKind::Presence, false, place);
    }
    if matches!(answer, Answer::Silent(Suppression::OtherDevice)) {
        let saw = "another device of the customer is there: the visit had begun before, or goes on";
        checks.add(CheckKind::OtherDevice, false, saw.to_owned());
    }
}

fn check_time(
    checks: &mut Checks,
    record: &Record,
    campaign: &Campaign,
    occasion: &Occasion<'_>,
    (place, zones): (Option<&GeofenceId>, &Zones),
    context: Context<'_>,
) {
    match ladder_step(record, campaign, occasion) {
        Ok(None) => {}
        Ok(Some(step)) => checks.add(CheckKind::Ladder, true, format!("step {}", step.step)),
        Err(Suppression::LadderEnded) => checks.add(CheckKind::Ladder, false, "the ladder has ended".to_owned()),
        Err(_) => {
            let saw = "the step is none, was told, or is behind";
            checks.add(CheckKind::Ladder, false, saw.to_owned());
        }
    }
    let expires_at = occasion.known_at.plus(campaign.valid_for);
    checks.add(
        CheckKind::ValidFor,
        context.now < expires_at,
        format!("until {expires_at}"),
    );
    if let Some(schedule) = &campaign.schedule {
        let zone = zones.choose(schedule.zone);
        let saw = format!("{} in {}", zone.local(context.now).strftime("%a %F %H:%M"), zone.name());
        let holds = is_in_schedule(campaign, zones, context) && !campaign.is_over(context.now, zones);
        checks.add(CheckKind::Schedule, holds, saw);
    }
    if campaign.during_opening_hours {
        let zone = zones.geofence.unwrap_or(zones.workspace);
        let saw = format!("{} in {}", zone.local(context.now).strftime("%a %H:%M"), zone.name());
        checks.add(CheckKind::OpeningHours, is_open(place, zones, context), saw);
    }
}

/// Which offer fits, counted from 0.
fn check_person(checks: &mut Checks, campaign: &Campaign, person: Person<'_>) -> Option<usize> {
    if let Some(audience) = &campaign.audience {
        let explained = audience.explain(person);
        checks.0.push(Check {
            check: CheckKind::Audience,
            holds: explained.holds,
            saw: None,
            rule: Some(explained),
        });
    }
    for (index, offer) in campaign.offers.iter().take(OFFERS_MAX).enumerate() {
        let rule = offer.when.as_ref().map(|rule| rule.explain(person));
        let holds = rule.as_ref().is_none_or(|rule| rule.holds);
        checks.0.push(Check {
            check: CheckKind::Offer,
            holds,
            saw: Some(format!("offer {}", index + 1)),
            rule,
        });
        if holds {
            return Some(index);
        }
    }
    let fits = |offer: &crate::domain::campaign::Offer| offer.when.as_ref().is_none_or(|rule| rule.holds(person));
    campaign.offers.iter().position(fits)
}

fn check_limits(
    checks: &mut Checks,
    record: &Record,
    campaign: &Campaign,
    occasion: &Occasion<'_>,
    zones: &Zones,
    context: Context<'_>,
) {
    let rules = &context.catalogue.settings.campaigns;
    let at = occasion.counts_at;
    let said = match record.profile.consent.to(Purpose::Push, campaign.brand.as_ref()) {
        Some(true) => "given",
        Some(false) => "refused",
        None => "never asked, which allows",
    };
    let consent = &record.profile.consent;
    let may = consent.allows(Purpose::Push, campaign.brand.as_ref());
    checks.add(CheckKind::Consent, may, said.to_owned());
    let device = record.push_device(occasion.device);
    let name = device.map_or("no device with a push token", |(device, _)| device.id.as_str());
    checks.add(CheckKind::Device, device.is_some(), name.to_owned());
    if let Some(cooldown) = campaign.cooldown {
        let last = record.last_send_of(&campaign.id);
        let saw = last.map_or_else(
            || "was not sent yet".to_owned(),
            |last| format!("was sent at {last}, may be again {cooldown} later"),
        );
        checks.add(CheckKind::Cooldown, !record.cooling_down(campaign, at), saw);
    }
    for cap in caps(campaign, rules) {
        let count = record.count_for_cap(cap, campaign, at, zones.of_customer());
        let saw = format!(
            "{count} of {} per {}, counted by {}",
            cap.max,
            cap.per,
            cap.scope.as_str()
        );
        checks.add(CheckKind::Cap, count < cap.max, saw);
    }
    if let Some(gap) = campaign.gap(rules) {
        let last = record.sends.iter().filter_map(|sends| sends.at.last()).max();
        let saw = last.map_or_else(
            || "no push yet".to_owned(),
            |last| format!("the latest push was at {last}, the least gap is {gap}"),
        );
        checks.add(CheckKind::MinimumGap, !record.within_gap(gap, at), saw);
    }
    match campaign.quiet(rules, context.now, zones) {
        None => {}
        Some((Then::Drop, end)) => checks.add(CheckKind::QuietHours, false, format!("until {end}")),
        Some((Then::Defer, end)) => {
            checks.add(
                CheckKind::QuietHours,
                false,
                format!("until {end}, and asked again then"),
            );
        }
    }
}

fn check_choice(
    checks: &mut Checks,
    record: &Record,
    asked: &[Asked<'_>],
    (position, offer): (usize, Option<usize>),
    winner: Option<usize>,
    context: Context<'_>,
) {
    let one = &asked[position];
    if let Some((scope, share)) = held_out(one.campaign, context) {
        let whose = format!("belongs to the {}'s hold-out of {}", scope.as_str(), share.value());
        checks.add(CheckKind::Holdout, false, whose);
    }
    match &one.answer {
        Answer::Speaks(_) => {
            let others = asked
                .iter()
                .filter(|one| matches!(one.answer, Answer::Outranked(_)))
                .count();
            checks.add(CheckKind::Arbitration, true, format!("the best of {}", others + 1));
        }
        Answer::Outranked(by) => {
            let mine = Contender {
                campaign: one.campaign,
                offer: offer.unwrap_or_default(),
                at: one.occasion.counts_at,
            };
            let better = winner.and_then(|winner| contender(&asked[winner]));
            let why = better.map(|better| why_outranked(&better, &mine, record, context));
            checks.add(CheckKind::Arbitration, false, why.unwrap_or_else(|| by.to_string()));
        }
        Answer::Waits(until, WaitsFor::Choice) => {
            checks.add(
                CheckKind::Arbitration,
                true,
                format!("waits until {until} for better ones"),
            );
        }
        Answer::Silent(Suppression::WaitingFull) => {
            checks.add(
                CheckKind::Waiting,
                false,
                "too much waits for this customer already".to_owned(),
            );
        }
        Answer::Silent(_) | Answer::Waits(_, WaitsFor::QuietHours) => {}
    }
}

fn contender<'a>(asked: &Asked<'a>) -> Option<Contender<'a>> {
    let Answer::Speaks(Fit { offer, .. }) = &asked.answer else {
        return None;
    };
    Some(Contender {
        campaign: asked.campaign,
        offer: *offer,
        at: asked.occasion.counts_at,
    })
}
