//! What a decision tells of how it came about.

use super::{
    decisions::{HOUR, at_sale, day_at, happens, sale, settle, verdicts},
    stays::{ALONE, Day, campaigns_of},
    *,
};
use crate::domain::{
    event::{Fact, Verdict},
    trace::{Check, CheckKind},
};

/// A day of a customer who is looked at, at nine by UTC.
fn looked_at(campaigns: Vec<Campaign>) -> Day {
    let mut day = day_at(9, campaigns);
    day.record.profile.debug = true;
    day
}

fn next_sale(day: &mut Day) -> Effects {
    day.now += 1000;
    let event = sale(day, &format!("s-{}", day.now));
    happens(day, &event)
}

fn of<'e>(effects: &'e Effects, campaign: &str) -> &'e Verdict {
    let all = verdicts(effects);
    let found = all.into_iter().find(|verdict| verdict.campaign.as_str() == campaign);
    found.expect("a verdict")
}

fn checks(effects: &Effects, campaign: &str, kind: CheckKind) -> Vec<(bool, String)> {
    let trace = of(effects, campaign).trace.iter();
    trace
        .filter(|check| check.check == kind)
        .map(|check| (check.holds, check.saw.clone().unwrap_or_default()))
        .collect()
}

fn no(saw: &str) -> Vec<(bool, String)> {
    vec![(false, saw.to_owned())]
}

fn yes(saw: &str) -> Vec<(bool, String)> {
    vec![(true, saw.to_owned())]
}

#[test]
fn the_audience_tells_what_it_saw_and_what_comes_after_it() {
    let fields = json!({
        "audience": {"all": [{"trait": "persona", "is": "shopper"}, {"data": "shop", "atLeast": 5}]},
        "offers": [
            {"when": {"data": "shop", "is": 8}, "message": {"en": {"title": "t", "body": "b"}}},
            {"message": {"en": {"title": "t", "body": "b"}}}],
    });
    let mut day = looked_at(vec![at_sale("c", &fields)]);
    day.record
        .profile
        .traits
        .0
        .insert("persona".to_owned(), json!("tourist"));
    let effects = next_sale(&mut day);
    let audience = of(&effects, "c")
        .trace
        .iter()
        .find(|check| check.check == CheckKind::Audience);
    let rule = audience.and_then(|check| check.rule.as_ref()).expect("the rule");
    let parts: Vec<(bool, Option<&str>)> = rule.of.iter().map(|part| (part.holds, part.saw.as_deref())).collect();
    assert_eq!(parts, [(false, Some("\"tourist\"")), (true, Some("7"))]);
    assert_eq!(checks(&effects, "c", CheckKind::Trigger), yes("sale"));
    let offers = [(false, "offer 1".to_owned()), (true, "offer 2".to_owned())];
    assert_eq!(checks(&effects, "c", CheckKind::Offer), offers);
    assert_eq!(
        checks(&effects, "c", CheckKind::Device),
        yes("phone-1"),
        "asked though the audience said no"
    );
}

#[test]
fn caps_cooldowns_and_gaps_tell_what_they_count() {
    let fields =
        json!({"caps": [{"max": 1, "per": "day"}, {"max": 5, "per": "P7D"}], "cooldown": "PT1H", "minimumGap": "PT2H"});
    let mut day = looked_at(vec![at_sale("c", &fields)]);
    let first = next_sale(&mut day);
    let rooms = [
        "0 of 1 per day, counted by campaign",
        "0 of 5 per PT168H, counted by campaign",
    ];
    assert_eq!(
        checks(&first, "c", CheckKind::Cap),
        rooms.map(|room| (true, room.to_owned())),
        "before this push is counted"
    );
    assert_eq!(checks(&first, "c", CheckKind::Cooldown), yes("was not sent yet"));
    assert_eq!(checks(&first, "c", CheckKind::MinimumGap), yes("no push yet"));
    let sent = Timestamp(day.now);
    let second = next_sale(&mut day);
    assert_eq!(
        checks(&second, "c", CheckKind::Cap),
        [
            (false, "1 of 1 per day, counted by campaign".to_owned()),
            (true, "1 of 5 per PT168H, counted by campaign".to_owned()),
        ]
    );
    assert_eq!(
        checks(&second, "c", CheckKind::Cooldown),
        no(&format!("was sent at {sent}, may be again PT1H later"))
    );
    assert_eq!(
        checks(&second, "c", CheckKind::MinimumGap),
        no(&format!("the latest push was at {sent}, the least gap is PT2H"))
    );
}

#[test]
fn consent_and_the_device_are_told() {
    let mut day = looked_at(vec![at_sale("c", &json!({}))]);
    assert_eq!(
        checks(&next_sale(&mut day), "c", CheckKind::Consent),
        yes("never asked, which allows")
    );
    day.record.profile.consent.push = Some(false);
    for device in &mut day.record.devices {
        device.target = None;
    }
    let effects = next_sale(&mut day);
    assert_eq!(checks(&effects, "c", CheckKind::Consent), no("refused"));
    assert_eq!(
        checks(&effects, "c", CheckKind::Device),
        no("no device with a push token")
    );
}

#[test]
fn times_are_told_by_the_clock_that_counts() {
    let fields = json!({
        "trigger": {"on": "event", "type": "sale", "present": {"tag": "shop"}},
        "schedule": {"hours": ["12:00", "13:00"], "timeZone": "Asia/Tokyo"}, "duringOpeningHours": true,
        "quietHours": {"from": "08:00", "until": "10:00", "timeZone": "UTC", "then": "defer"}, "validFor": "PT1M",
    });
    let mut day = looked_at(vec![at_sale("c", &fields)]);
    let effects = next_sale(&mut day);
    assert_eq!(
        checks(&effects, "c", CheckKind::Schedule),
        no("Sun 1970-01-11 18:00 in Asia/Tokyo")
    );
    assert_eq!(checks(&effects, "c", CheckKind::OpeningHours), no("Sun 09:00 in UTC"));
    let ten = Timestamp(10 * DAY + 10 * HOUR);
    assert_eq!(
        checks(&effects, "c", CheckKind::QuietHours),
        no(&format!("until {ten}, and asked again then"))
    );
    let mut old = sale(&day, "old");
    old.at = Timestamp(day.now - HOUR);
    let until = Timestamp(old.at.0 + 60_000);
    let effects = happens(&mut day, &old);
    assert_eq!(
        checks(&effects, "c", CheckKind::ValidFor),
        no(&format!("until {until}"))
    );
}

#[test]
fn places_and_ladders_are_told() {
    let trigger = json!({
        "on": "event", "type": "sale", "present": {"tag": "shop"}, "ladder": {"field": "shop", "every": 5},
    });
    let mut day = looked_at(vec![campaign("c", &json!({"trigger": trigger}))]);
    let away = next_sale(&mut day);
    assert_eq!(
        checks(&away, "c", CheckKind::Presence),
        no("is in none of the places that it asks for")
    );
    assert_eq!(checks(&away, "c", CheckKind::Ladder), yes("step 1"));
    day.is_at(0, ALONE);
    let there = next_sale(&mut day);
    assert_eq!(campaigns_of([&there]), ["c"]);
    assert_eq!(checks(&there, "c", CheckKind::Presence), yes("in shop/2"));
    assert_eq!(checks(&there, "c", CheckKind::Trigger), yes("sale while in shop/2"));
    let again = next_sale(&mut day);
    assert_eq!(
        checks(&again, "c", CheckKind::Ladder),
        no("the step is none, was told, or is behind")
    );
}

#[test]
fn the_choice_tells_by_what_another_one_was_better() {
    let mut day = looked_at(vec![
        at_sale("first", &json!({"priority": 5, "value": 3})),
        at_sale("equal", &json!({"priority": 5, "value": 1})),
        at_sale("lower", &json!({"priority": 2})),
    ]);
    let effects = next_sale(&mut day);
    assert_eq!(checks(&effects, "first", CheckKind::Arbitration), yes("the best of 3"));
    assert_eq!(
        checks(&effects, "equal", CheckKind::Arbitration),
        no("first is worth 3, this one 1")
    );
    assert_eq!(
        checks(&effects, "lower", CheckKind::Arbitration),
        no("first has priority 5, this one 2")
    );

    let mut day = looked_at(vec![
        at_sale("a", &json!({"brand": "loud"})),
        at_sale("b", &json!({"brand": "soft"})),
    ]);
    next_sale(&mut day);
    let effects = next_sale(&mut day);
    assert_eq!(
        checks(&effects, "a", CheckKind::Arbitration),
        no("b's brand has had 0 of its share of attention, this one's 1")
    );
}

#[test]
fn who_is_held_out_is_told_by_which_share() {
    let mut day = looked_at(vec![at_sale("c", &json!({"holdout": 1}))]);
    let effects = next_sale(&mut day);
    assert_eq!(
        checks(&effects, "c", CheckKind::Holdout),
        no("belongs to the campaign's hold-out of 1")
    );
    assert_eq!(checks(&effects, "c", CheckKind::Arbitration), yes("the best of 1"));
}

fn has_trace(effects: &Effects) -> bool {
    verdicts(effects).iter().any(|verdict| !verdict.trace.is_empty())
}

#[test]
fn pushes_are_traced_always_and_the_rest_by_a_share_or_a_flag() {
    let nobody = json!({"audience": {"trait": "persona", "is": "shopper"}});
    let mut day = day_at(9, vec![at_sale("c", &json!({}))]);
    settle(&mut day, &json!({"trace": {"sampled": 0}}));
    assert!(has_trace(&next_sale(&mut day)), "a push");

    let mut day = day_at(9, vec![at_sale("c", &nobody)]);
    let traced = |day: &mut Day| (0..1000).filter(|_| has_trace(&next_sale(day))).count();
    settle(&mut day, &json!({"trace": {"sampled": 0}}));
    assert_eq!(traced(&mut day), 0);
    settle(&mut day, &json!({"trace": {"sampled": 0.1}}));
    assert!((70..130).contains(&traced(&mut day)));
    settle(&mut day, &json!({"trace": {"sampled": 1}}));
    assert_eq!(traced(&mut day), 1000);
    settle(&mut day, &json!({"trace": {"sampled": 0}}));
    day.record.profile.debug = true;
    assert_eq!(traced(&mut day), 1000);
}

#[test]
fn a_trace_changes_nothing_but_itself() {
    let campaigns = || {
        vec![
            at_sale("capped", &json!({"priority": 3, "caps": [{"max": 2, "per": "day"}]})),
            at_sale("held", &json!({"priority": 2, "holdout": 0.5, "cooldown": "PT3S"})),
            at_sale(
                "rest",
                &json!({"caps": [{"max": 9, "per": "day", "scope": "workspace"}]}),
            ),
        ]
    };
    let (mut plain, mut debugged) = (day_at(9, campaigns()), looked_at(campaigns()));
    settle(&mut plain, &json!({"trace": {"sampled": 0}}));
    for _ in 0..20 {
        let (one, mut other) = (next_sale(&mut plain), next_sale(&mut debugged));
        assert!(has_trace(&other));
        let bare = |effects: &Effects| {
            let bare = |verdict: &Verdict| Verdict {
                trace: Vec::new(),
                ..verdict.clone()
            };
            verdicts(effects).into_iter().map(bare).collect::<Vec<_>>()
        };
        assert_eq!(bare(&one), bare(&other));
        assert_eq!(one.deliveries, std::mem::take(&mut other.deliveries));
    }
    debugged.record.profile.debug = false;
    assert_eq!(plain.record, debugged.record);
}

#[test]
fn a_trace_is_bounded_and_has_who_spoke() {
    let rules: Vec<Value> = (0..90)
        .map(|number| json!({"trait": format!("t{number}"), "is": 1}))
        .collect();
    let large = json!({"audience": {"all": rules}, "priority": 9});
    let mut campaigns: Vec<Campaign> = (0..50)
        .map(|number| at_sale(&format!("large-{number:02}"), &large))
        .collect();
    campaigns.push(at_sale("small", &json!({"priority": -1})));
    let mut day = looked_at(campaigns);
    let effects = next_sale(&mut day);
    let size = |verdict: &&Verdict| verdict.trace.iter().map(Check::size).sum::<usize>();
    let sizes: Vec<usize> = verdicts(&effects).iter().map(size).collect();
    assert_eq!(sizes.len(), 51, "every one has its verdict");
    assert!(sizes.iter().sum::<usize>() <= 600, "{sizes:?}");
    assert!(of(&effects, "small").suppressed.is_none());
    assert!(!of(&effects, "small").trace.is_empty());
    let bytes = effects.facts.iter().find_map(|fact| match fact {
        Fact::Decision { .. } => serde_json::to_vec(fact).ok(),
        _ => None,
    });
    let fact: Fact = serde_json::from_slice(&bytes.expect("a decision")).expect("it comes back from its JSON");
    assert!(effects.facts.contains(&fact));
}
