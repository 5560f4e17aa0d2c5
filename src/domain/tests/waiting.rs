//! What is not decided at once: pushes that quiet hours put off, and campaigns that wait for better ones.

use super::{
    decisions::{HOUR, at_sale, day_at, happens, sale, settle, verdicts},
    stays::{ALONE, Day, MINUTE, NOWHERE, campaigns_of, suppressed},
    *,
};
use crate::domain::{
    delivery::Suppression,
    event::Fact,
    time::DurationMs,
    waiting::{WAITING_MAX, WaitsFor},
};

const NIGHT: &str = r#"{"from": "22:00", "until": "08:00", "then": "defer"}"#;

fn night() -> Value {
    serde_json::from_str(NIGHT).expect("quiet hours")
}

fn decide_event(effects: &Effects) -> crate::domain::ids::EventId {
    effects
        .facts
        .iter()
        .find_map(|fact| match fact {
            Fact::Decision { event, .. } => Some(*event),
            _ => None,
        })
        .expect("a decision")
}

#[test]
fn a_push_that_night_puts_off_is_looked_at_again_in_the_morning() {
    let mut day = day_at(
        23,
        vec![at_sale("sale", &json!({"quietHours": night(), "validFor": "PT10M"}))],
    );
    let event = sale(&day, "s-1");
    let effects = happens(&mut day, &event);
    assert_eq!(campaigns_of([&effects]), Vec::<String>::new());
    let morning = Timestamp(11 * DAY + 8 * HOUR);
    let waits = verdicts(&effects)[0];
    assert_eq!(
        (waits.waits_until, waits.waits_for),
        (Some(morning), Some(WaitsFor::QuietHours))
    );
    assert_eq!(
        day.record.wake_at,
        Some(morning),
        "the timer is durable with the record"
    );
    // It outlives its bytes.
    let bytes = day.record.encode().expect("encodes");
    day.record = Record::decode(RECORD_SCHEMA, &bytes).expect("decodes");
    let woken = day.passes(9 * 60);
    assert_eq!(campaigns_of(&woken), ["sale"]);
    let delivery = &woken[0].deliveries[0];
    assert_eq!(
        (delivery.expires_at, &delivery.data),
        (morning.plus(DurationMs::from_secs(600)), &json!({"shop": 7}))
    );
    assert_eq!(delivery.event, decide_event(&effects));
    assert!(day.record.waiting.is_empty());
    assert!(day.passes(48 * 60).is_empty(), "once");
}

#[test]
fn what_night_put_off_counts_from_when_it_was_sent() {
    for limit in [
        json!({"cooldown": "PT4H"}),
        json!({"minimumGap": "PT30M"}),
        json!({"caps": [{"max": 1, "per": "day"}]}),
    ] {
        let mut fields = limit.clone();
        fields["quietHours"] = night();
        let mut day = day_at(23, vec![at_sale("sale", &fields)]);
        let event = sale(&day, "s-1");
        happens(&mut day, &event);
        // Nine hours later it is five past eight.
        assert_eq!(campaigns_of(&day.passes(9 * 60 + 5)), ["sale"], "{limit}");
        let event = sale(&day, "s-2");
        let effects = happens(&mut day, &event);
        assert_eq!(campaigns_of([&effects]), Vec::<String>::new(), "{limit}");
    }
}

#[test]
fn what_waits_about_a_place_goes_with_the_leave_to_know_it() {
    let mut day = day_at(23, vec![campaign("shop", &json!({"quietHours": night()}))]);
    day.is_at(0, ALONE);
    assert_eq!(day.record.waiting.len(), 1);
    day.record.update_consent(&crate::domain::customer::Consent {
        location: Some(false),
        ..Default::default()
    });
    assert!(day.record.waiting.is_empty());
}

#[test]
fn in_the_morning_everything_is_asked_again() {
    let shopper = json!({"trait": "persona", "is": "shopper"});
    let deferred = json!({"quietHours": night(), "audience": shopper, "caps": [{"max": 1, "per": "P2D"}]});
    let shop = json!({"quietHours": night(), "stillThere": true});
    let start = || {
        let mut day = day_at(23, vec![at_sale("sale", &deferred), campaign("shop", &shop)]);
        day.record
            .profile
            .traits
            .0
            .insert("persona".to_owned(), json!("shopper"));
        day
    };
    let morning = |day: &mut Day| {
        let woken = day.passes(9 * 60 + 5);
        let reasons: Vec<Suppression> = woken.iter().flat_map(suppressed).collect();
        (campaigns_of(&woken), reasons)
    };
    let mut day = start();
    let event = sale(&day, "s-1");
    happens(&mut day, &event);
    day.record.profile.traits.0.clear();
    assert_eq!(morning(&mut day), (vec![], vec![Suppression::Audience]));

    let mut day = start();
    let event = sale(&day, "s-1");
    happens(&mut day, &event);
    day.record.profile.consent.push = Some(false);
    assert_eq!(morning(&mut day), (vec![], vec![Suppression::Consent]));

    let mut day = start();
    day.is_at(0, ALONE);
    assert_eq!(day.record.waiting.len(), 1);
    day.now += MINUTE;
    day.is_at(0, NOWHERE);
    assert_eq!(morning(&mut day), (vec![], vec![Suppression::LeftGeofence]));

    // Two wait: the best one speaks.
    let mut day = start();
    let event = sale(&day, "s-1");
    happens(&mut day, &event);
    let other = at_sale("better", &json!({"quietHours": night(), "priority": 5}));
    day.stage.catalogue.campaigns = Arc::new(Campaigns::build(
        [other, at_sale("sale", &deferred)].into_iter().map(Arc::new),
    ));
    let event = sale(&day, "s-2");
    happens(&mut day, &event);
    assert_eq!(
        morning(&mut day),
        (vec!["better".to_owned()], vec![Suppression::Outranked])
    );
}

#[test]
fn what_waits_is_bounded_and_one_campaign_waits_once() {
    let many = (0..2 * WAITING_MAX).map(|number| {
        let trigger = json!({"on": "event", "type": format!("sale-{number}")});
        campaign(
            &format!("c-{number:02}"),
            &json!({"trigger": trigger, "quietHours": night()}),
        )
    });
    let mut day = day_at(23, many.collect());
    let mut full = 0;
    for round in 0..3 {
        for number in 0..2 * WAITING_MAX {
            day.now += 1;
            let mut event = sale(&day, &format!("s-{round}-{number}"));
            event.event_type = format!("sale-{number}");
            let effects = happens(&mut day, &event);
            full += suppressed(&effects)
                .iter()
                .filter(|reason| **reason == Suppression::WaitingFull)
                .count();
            assert!(day.record.waiting.len() <= WAITING_MAX);
        }
    }
    assert_eq!(full, 3 * WAITING_MAX);
}

#[test]
fn the_workspaces_night_is_for_marketing_and_service_goes_on() {
    let mut day = day_at(
        23,
        vec![
            at_sale("advert", &json!({"priority": 9})),
            at_sale("delay", &json!({"class": "service"})),
        ],
    );
    settle(&mut day, &json!({"quietHours": {"from": "22:00", "until": "08:00"}}));
    let event = sale(&day, "s-1");
    let effects = happens(&mut day, &event);
    assert_eq!(
        (campaigns_of([&effects]), suppressed(&effects)),
        (vec!["delay".to_owned()], vec![Suppression::QuietHours])
    );
    // By the customer's clock it is morning.
    day.record.devices[0].time_zone = Some("Asia/Tokyo".to_owned());
    day.record.devices[0].seen_at = Timestamp(day.now);
    let event = sale(&day, "s-2");
    assert_eq!(campaigns_of([&happens(&mut day, &event)]), ["advert"]);
}

#[test]
fn a_workspace_may_wait_a_moment_for_something_better() {
    let scans = json!({"trigger": {"on": "scanned", "geofences": {"tag": "shop"}}, "priority": 5});
    let mut day = day_at(9, vec![campaign("enters", &json!({})), campaign("scans", &scans)]);
    settle(&mut day, &json!({"arbitrationWindow": "PT10S"}));
    let entered = day.is_at(0, ALONE);
    assert_eq!(campaigns_of([&entered]), Vec::<String>::new());
    assert_eq!(verdicts(&entered)[0].waits_for, Some(WaitsFor::Choice));
    day.now += 6000;
    let scanned = day.check_in(0, |check_in| check_in.code = Some("code-2".to_owned()));
    assert_eq!(campaigns_of([&scanned]), Vec::<String>::new());
    assert_eq!(
        day.record.wake_at,
        Some(Timestamp(10 * DAY + 9 * HOUR + 10_000)),
        "the window is open since the first"
    );
    let chosen = day.passes(1);
    assert_eq!(
        (campaigns_of(&chosen), suppressed(&chosen[0])),
        (vec!["scans".to_owned()], vec![Suppression::Outranked])
    );
    // A check-in that comes before a late timer settles it as well.
    let mut day = day_at(9, vec![campaign("enters", &json!({}))]);
    settle(&mut day, &json!({"arbitrationWindow": "PT10S"}));
    day.is_at(0, ALONE);
    day.now += 11_000;
    assert_eq!(campaigns_of([&day.is_at(0, ALONE)]), ["enters"]);
}
