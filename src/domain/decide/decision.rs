//! One decision, from what happened to the one push that comes of it: every campaign that is triggered is asked, the best
//! of those without an objection speaks, and each leaves its verdict.
//!
//! Two things put a decision off. A workspace may wait a moment for campaigns that are better (`arbitrationWindow`), and
//! quiet hours may defer pushes. Both wait in the record ([`waiting`](crate::domain::waiting)), and are asked all the same
//! questions again.

use serde_json::Value;

use super::{
    Context, Effects, Occasion,
    choose::{Contender, best},
    consider::{Fit, Objection, data, fit, held_out, may_push},
    trace,
};
use crate::domain::{
    campaign::{Campaign, CampaignStatus, Trigger},
    delivery::{Delivery, Suppression},
    event::{Fact, OutsideEvent, Verdict},
    ids::{CampaignId, DeliveryId},
    record::Record,
    time::Timestamp,
    trace::Check,
    waiting::{Waiting, WaitsFor},
};

/// One campaign at one occasion.
pub(super) struct Asked<'a> {
    pub(super) occasion: &'a Occasion<'a>,
    pub(super) campaign: &'a Campaign,
    pub(super) answer: Answer,
    /// How it came about, where that is to be told.
    pub(super) trace: Vec<Check>,
}

/// What a campaign says.
pub(super) enum Answer {
    /// It would speak.
    Speaks(Fit),
    /// It does not.
    Silent(Suppression),
    /// Another one does.
    Outranked(CampaignId),
    /// It is asked again.
    Waits(Timestamp, WaitsFor),
}

/// Asks every campaign that the occasion triggers. The document for the app of the best one that fits the customer, whether
/// or not it may push.
pub(super) fn ask(
    record: &mut Record,
    occasion: &Occasion<'_>,
    context: Context<'_>,
    effects: &mut Effects,
) -> Option<Value> {
    let campaigns = occasion.triggers(context);
    let mut content = None;
    let mut asked = Vec::with_capacity(campaigns.len());
    for campaign in campaigns {
        hear_ladder(record, campaign, occasion, context);
        let answer = match fit(record, campaign, occasion, context) {
            Err(suppression) => Answer::Silent(suppression),
            Ok(_) if occasion.is_within_anothers_visit(record) => Answer::Silent(Suppression::OtherDevice),
            Ok(fit) => {
                content = content.or_else(|| campaign.offers[fit.offer].content.clone());
                answer(record, campaign, fit, occasion, context)
            }
        };
        asked.push(Asked {
            occasion,
            campaign,
            answer,
            trace: Vec::new(),
        });
    }
    let window = context.catalogue.settings.campaigns.arbitration_window;
    if window.0 > 0 {
        let until = record.choice_at().unwrap_or(context.now.plus(window));
        for one in &mut asked {
            if let Answer::Speaks(_) = one.answer {
                one.answer = wait(record, one, until, WaitsFor::Choice);
            }
        }
    }
    conclude(record, asked, context, effects);
    content
}

/// Asks those once more whose time has come, all in one choice.
pub(super) fn ask_again(record: &mut Record, context: Context<'_>, effects: &mut Effects) {
    let due = record.take_due(context.now);
    if due.is_empty() {
        return;
    }
    let outside: Vec<Option<OutsideEvent>> = due
        .iter()
        .map(|waiting| waiting.occasion.outside.clone().map(OutsideEvent::from))
        .collect();
    let occasions: Vec<Occasion<'_>> = due
        .iter()
        .zip(&outside)
        .map(|(waiting, outside)| Occasion::kept(waiting, outside.as_ref(), context))
        .collect();
    let mut asked = Vec::new();
    for (waiting, occasion) in due.iter().zip(&occasions) {
        for id in &waiting.campaigns {
            // Of one that was deleted there is nothing left to tell.
            if let Some(campaign) = context.catalogue.campaigns.get(id) {
                let answer = answer_again(record, campaign, waiting, occasion, context);
                asked.push(Asked {
                    occasion,
                    campaign,
                    answer,
                    trace: Vec::new(),
                });
            }
        }
    }
    conclude(record, asked, context, effects);
}

fn answer_again(
    record: &mut Record,
    campaign: &Campaign,
    waiting: &Waiting,
    occasion: &Occasion<'_>,
    context: Context<'_>,
) -> Answer {
    if campaign.status != CampaignStatus::Active {
        return Answer::Silent(Suppression::CampaignEnded);
    }
    let has_left = |occasion: &Occasion<'_>| {
        let geofence = occasion.geofence.map(|geofence| &geofence.id);
        !geofence.is_some_and(|id| record.is_in(id, context.now, context.rules))
    };
    if campaign.still_there && occasion.outside.is_none() && has_left(occasion) {
        return Answer::Silent(Suppression::LeftGeofence);
    }
    match fit(record, campaign, occasion, context) {
        Err(suppression) => Answer::Silent(suppression),
        Ok(fit) => match answer(record, campaign, fit, occasion, context) {
            // Once is enough: a customer who travels could be put off for ever.
            Answer::Waits(..) if waiting.what_for == WaitsFor::QuietHours => Answer::Silent(Suppression::QuietHours),
            answer => answer,
        },
    }
}

/// What a campaign that fits says.
fn answer(record: &mut Record, campaign: &Campaign, fit: Fit, occasion: &Occasion<'_>, context: Context<'_>) -> Answer {
    match may_push(record, campaign, &fit, occasion, context) {
        Ok(()) => Answer::Speaks(fit),
        Err(Objection::Never(suppression)) => Answer::Silent(suppression),
        Err(Objection::Later(until)) => Answer::Waits(until, WaitsFor::QuietHours),
    }
}

/// Has the record keep what waits. A push that was put off loses its worth only from then on.
fn wait(record: &mut Record, asked: &Asked<'_>, until: Timestamp, what_for: WaitsFor) -> Answer {
    let known_at = match what_for {
        WaitsFor::Choice => asked.occasion.known_at,
        WaitsFor::QuietHours => until,
    };
    let occasion = asked.occasion.to_kept(known_at);
    if record.wait(&asked.campaign.id, occasion, until, what_for) {
        Answer::Waits(until, what_for)
    } else {
        Answer::Silent(Suppression::WaitingFull)
    }
}

/// Chooses, decides, and leaves the verdicts.
fn conclude(record: &mut Record, mut asked: Vec<Asked<'_>>, context: Context<'_>, effects: &mut Effects) {
    for one in &mut asked {
        if let Answer::Waits(until, WaitsFor::QuietHours) = one.answer {
            one.answer = wait(record, one, until, WaitsFor::QuietHours);
        }
    }
    let speakers: Vec<usize> = (0..asked.len())
        .filter(|position| matches!(asked[*position].answer, Answer::Speaks(_)))
        .collect();
    let contenders: Vec<Contender<'_>> = speakers
        .iter()
        .filter_map(|position| match &asked[*position].answer {
            Answer::Speaks(fit) => Some(Contender {
                campaign: asked[*position].campaign,
                offer: fit.offer,
                at: asked[*position].occasion.counts_at,
            }),
            Answer::Silent(_) | Answer::Outranked(_) | Answer::Waits(..) => None,
        })
        .collect();
    let winner = best(&contenders, record, context).map(|best| speakers[best]);
    if let Some(winner) = winner {
        let won = asked[winner].campaign;
        for position in speakers.into_iter().filter(|position| *position != winner) {
            asked[position].answer = Answer::Outranked(won.id.clone());
        }
    }
    trace::add(record, &mut asked, winner, context);
    let delivery = winner.and_then(|winner| speak(record, &mut asked[winner], context, effects));
    leave_verdicts(asked, delivery.as_ref(), context, effects);
    effects.deliveries.extend(delivery);
}

/// The push, unless the customer is held out: then everything is as if there were one.
fn speak(record: &mut Record, asked: &mut Asked<'_>, context: Context<'_>, effects: &mut Effects) -> Option<Delivery> {
    let (campaign, occasion) = (asked.campaign, asked.occasion);
    let Answer::Speaks(fit) = &asked.answer else {
        return None;
    };
    let delivery = deliver(record, campaign, fit, occasion, context)?;
    record.note_send(campaign, occasion.counts_at, context.now);
    if let Some(step) = &fit.ladder {
        record.tell_step(&campaign.id, step, context.now);
    }
    let Some((scope, share)) = held_out(campaign, context) else {
        return Some(delivery);
    };
    effects.facts.push(Fact::HeldOut {
        delivery: delivery.id,
        user: context.subject.user().cloned(),
        at: context.now,
        event: occasion.event,
        campaign: campaign.id.clone(),
        version: campaign.version,
        offer: fit.offer,
        geofence: fit.place.clone(),
        scope,
        share: share.value(),
    });
    asked.answer = Answer::Silent(Suppression::HeldOut);
    None
}

/// One fact an event, with what each campaign said.
fn leave_verdicts(asked: Vec<Asked<'_>>, delivery: Option<&Delivery>, context: Context<'_>, effects: &mut Effects) {
    let mut rest = asked.into_iter().peekable();
    while let Some(first) = rest.next() {
        let occasion = first.occasion;
        let event = occasion.event;
        let mut verdicts = vec![verdict(first)];
        while let Some(next) = rest.next_if(|next| next.occasion.event == event) {
            verdicts.push(verdict(next));
        }
        effects.facts.push(Fact::Decision {
            event,
            trigger: occasion.kind,
            geofence: occasion.geofence.map(|geofence| geofence.id.clone()),
            event_type: occasion.outside.map(|outside| outside.event_type.clone()),
            at: context.now,
            verdicts,
            delivery: delivery
                .filter(|delivery| delivery.event == event)
                .map(|delivery| delivery.id),
        });
    }
}

fn verdict(asked: Asked<'_>) -> Verdict {
    let mut verdict = Verdict {
        campaign: asked.campaign.id.clone(),
        version: asked.campaign.version,
        suppressed: None,
        outranked_by: None,
        waits_until: None,
        waits_for: None,
        trace: asked.trace,
    };
    match asked.answer {
        Answer::Speaks(_) => {}
        Answer::Silent(suppression) => verdict.suppressed = Some(suppression),
        Answer::Outranked(by) => {
            verdict.suppressed = Some(Suppression::Outranked);
            verdict.outranked_by = Some(by);
        }
        Answer::Waits(until, what_for) => {
            verdict.waits_until = Some(until);
            verdict.waits_for = Some(what_for);
        }
    }
    verdict
}

/// Notes how far an event has brought the campaign's ladder, also when it says nothing about it.
fn hear_ladder(record: &mut Record, campaign: &Campaign, occasion: &Occasion<'_>, context: Context<'_>) {
    if let (
        Trigger::Event {
            ladder: Some(ladder), ..
        },
        Some(event),
    ) = (&campaign.trigger, occasion.outside)
    {
        record.hear_step(&campaign.id, ladder, event, context.now);
    }
}

fn deliver(
    record: &Record,
    campaign: &Campaign,
    fit: &Fit,
    occasion: &Occasion<'_>,
    context: Context<'_>,
) -> Option<Delivery> {
    let (device, target) = record.push_device(occasion.device)?;
    Some(Delivery {
        id: DeliveryId::derive(context.workspace, &campaign.id, context.subject, occasion.event),
        workspace: context.workspace.clone(),
        subject: context.subject.clone(),
        device: device.id.clone(),
        platform: target.platform,
        app: target.app.clone(),
        campaign: campaign.id.clone(),
        campaign_version: campaign.version,
        class: campaign.class,
        brand: campaign.brand.clone(),
        offer: fit.offer,
        trigger: occasion.kind,
        event: occasion.event,
        event_at: occasion.at,
        geofence: fit.place.clone(),
        data: data(occasion).map_or(Value::Null, |data| Value::Object(data.clone())),
        decided_at: context.now,
        expires_at: occasion.known_at.plus(campaign.valid_for),
        still_there: campaign.still_there,
        ladder: fit.ladder.clone(),
        why: explain(campaign, fit, occasion),
    })
}

/// Why this campaign and this offer, for people.
fn explain(campaign: &Campaign, fit: &Fit, occasion: &Occasion<'_>) -> Vec<String> {
    let mut why = vec![occasion.words(fit.place.as_ref())];
    why.extend(fit.ladder.as_ref().map(|ladder| format!("step {}", ladder.step)));
    why.extend(campaign.audience.as_ref().map(ToString::to_string));
    let rule = campaign.offers[fit.offer].when.as_ref();
    why.extend(rule.map(|rule| format!("offer {}: {rule}", fit.offer + 1)));
    why
}
