//! One decision: what is chosen, who is held out, what is answered.

use super::{
    stays::{ALONE, Day, MINUTE, NOWHERE, campaigns_of, suppressed},
    *,
};
use crate::domain::{
    campaign::HoldoutScope,
    delivery::Suppression,
    event::{Event, Fact, Verdict},
    settings::Settings,
};

pub(super) const HOUR: i64 = 60 * MINUTE;

pub(super) fn settle(day: &mut Day, settings: &Value) {
    day.stage.catalogue.settings = Arc::new(Settings::read(&json!({"campaigns": settings})).expect("settings"));
}

/// A day that begins at an hour by UTC.
pub(super) fn day_at(hour: i64, campaigns: Vec<Campaign>) -> Day {
    let mut day = Day::with(campaigns);
    day.now = 10 * DAY + hour * HOUR;
    day
}

pub(super) fn verdicts(effects: &Effects) -> Vec<&Verdict> {
    let decisions = effects.facts.iter().filter_map(|fact| match fact {
        Fact::Decision { verdicts, .. } => Some(verdicts),
        _ => None,
    });
    decisions.flatten().collect()
}

pub(super) fn sale(day: &Day, id: &str) -> OutsideEvent {
    OutsideEvent {
        id: CauseId::new(id).expect("an id"),
        event_type: "sale".to_owned(),
        at: Timestamp(day.now),
        target: EventTarget::User(UserId::new("mia").expect("an id")),
        data: json!({"shop": 7}).as_object().cloned().unwrap_or_default(),
    }
}

pub(super) fn happens(day: &mut Day, event: &OutsideEvent) -> Effects {
    let mut record = std::mem::take(&mut day.record);
    let effects = decide::outside_event(&mut record, event, day.context());
    day.record = record;
    effects
}

/// A campaign that a sale triggers.
pub(super) fn at_sale(id: &str, extra: &Value) -> Campaign {
    let mut fields = json!({"trigger": {"on": "event", "type": "sale"}});
    for (field, value) in extra.as_object().into_iter().flatten() {
        fields[field] = value.clone();
    }
    campaign(id, &fields)
}

#[test]
fn a_workspaces_caps_and_gap_hold_for_all_its_marketing() {
    let quiet = |id: &str| at_sale(id, &json!({}));
    let mut day = day_at(
        9,
        vec![
            quiet("a"),
            at_sale("told", &json!({"class": "service", "priority": -1})),
        ],
    );
    settle(
        &mut day,
        &json!({"timeZone": "Europe/Zurich", "caps": [{"max": 2, "per": "day"}], "minimumGap": "PT30M"}),
    );
    let mut said = Vec::new();
    for number in 0..8 {
        let event = sale(&day, &format!("s-{number}"));
        let effects = happens(&mut day, &event);
        said.push(campaigns_of([&effects]).concat());
        day.now += 40 * MINUTE;
    }
    // At first the service message can't come between: the gap counts every push, and is only for marketing.
    assert_eq!(said, ["a", "a", "told", "told", "told", "told", "told", "told"]);
    // Midnight in Zurich is 23:00 by UTC.
    day.now = 10 * DAY + 22 * HOUR + 59 * MINUTE;
    let event = sale(&day, "late");
    assert_eq!(campaigns_of([&happens(&mut day, &event)]), ["told"]);
    day.now = 10 * DAY + 23 * HOUR;
    let event = sale(&day, "midnight");
    let effects = happens(&mut day, &event);
    assert_eq!(suppressed(&effects), [Suppression::MinimumGap]);
    day.now += 30 * MINUTE;
    let event = sale(&day, "later");
    assert_eq!(campaigns_of([&happens(&mut day, &event)]), ["a"]);
}

#[test]
fn schedules_and_opening_hours_are_by_the_clock_of_the_place() {
    let scheduled = campaign(
        "hours",
        &json!({"schedule": {"hours": ["09:00", "10:00"], "timeZone": "geofence"}}),
    );
    let open = campaign("open", &json!({"duringOpeningHours": true}));
    let mut day = day_at(8, vec![scheduled, open]);
    let reasons = |day: &mut Day| {
        let effects = day.is_at(0, ALONE);
        let reasons = suppressed(&effects);
        day.now += MINUTE;
        day.is_at(0, NOWHERE);
        day.now -= MINUTE;
        (campaigns_of([&effects]), reasons)
    };
    // The street is in Italy: 08:00 by UTC is 09:00 there.
    assert_eq!(
        reasons(&mut day),
        (vec!["hours".to_owned()], vec![Suppression::Closed]),
        "hours that nobody knows"
    );
    day.now += HOUR;
    assert_eq!(reasons(&mut day).1, [Suppression::NotScheduled, Suppression::Closed]);
    // The place says its own zone and hours. It is 1970, a Sunday.
    let mut own = Geofence::clone(day.stage.catalogue.places.get(2));
    own.metadata = serde_json::from_value(json!({"timeZone": "Pacific/Auckland"})).expect("metadata");
    own.operating_hours = crate::domain::operating_hours::OperatingHours::parse("Su 22:00-23:00").ok();
    day.stage.catalogue.places = Arc::new(Places::build([Arc::new(own)]));
    day.now += HOUR;
    assert_eq!(
        reasons(&mut day),
        (vec!["open".to_owned()], vec![Suppression::NotScheduled])
    );
    day.now += HOUR;
    assert_eq!(reasons(&mut day).1, [Suppression::NotScheduled, Suppression::Closed]);
}

#[test]
fn the_worthiest_then_the_longest_unheard_speaks_and_the_others_say_who_did() {
    let offers = json!([{"value": 9, "when": {"trait": "level", "atLeast": 2}, "message": {"en": {"title": "t", "body": "b"}}},
                        {"message": {"en": {"title": "t", "body": "b"}}}]);
    let mut day = day_at(
        9,
        vec![
            at_sale("a", &json!({"value": 2})),
            at_sale("b", &json!({"value": 2})),
            at_sale("c", &json!({"value": 1, "offers": offers})),
        ],
    );
    let said = |day: &mut Day, id: &str| {
        day.now += HOUR;
        let event = sale(day, id);
        happens(day, &event)
    };
    let first = said(&mut day, "s-1");
    assert_eq!(campaigns_of([&first]), ["a"]);
    let b = verdicts(&first)
        .into_iter()
        .find(|verdict| verdict.campaign.as_str() == "b")
        .expect("a verdict");
    assert_eq!(
        (
            b.suppressed,
            b.outranked_by.as_ref().map(crate::domain::ids::CampaignId::as_str)
        ),
        (Some(Suppression::Outranked), Some("a"))
    );
    assert_eq!(campaigns_of([&said(&mut day, "s-2")]), ["b"]);
    assert_eq!(campaigns_of([&said(&mut day, "s-3")]), ["a"]);
    day.record.profile.traits.0.insert("level".to_owned(), json!(3));
    assert_eq!(
        campaigns_of([&said(&mut day, "s-4")]),
        ["c"],
        "its offer is worth more to this customer"
    );
}

#[test]
fn who_is_held_out_is_decided_like_everybody_and_gets_nothing() {
    let all = json!({"holdout": 1.0, "caps": [{"max": 2, "per": "P1D"}], "priority": 5});
    let mut day = day_at(9, vec![at_sale("held", &all), at_sale("other", &json!({}))]);
    let mut reasons = Vec::new();
    let mut facts = Vec::new();
    for number in 0..3 {
        day.now += MINUTE;
        let event = sale(&day, &format!("s-{number}"));
        let effects = happens(&mut day, &event);
        reasons.push((campaigns_of([&effects]).concat(), suppressed(&effects)));
        facts.extend(
            effects
                .facts
                .into_iter()
                .filter(|fact| matches!(fact, Fact::HeldOut { .. })),
        );
    }
    let held = (String::new(), vec![Suppression::HeldOut, Suppression::Outranked]);
    // The cap counts what they would have got.
    assert_eq!(
        reasons,
        [held.clone(), held, ("other".to_owned(), vec![Suppression::Cap])]
    );
    let [
        Fact::HeldOut {
            campaign,
            version,
            scope,
            share,
            user,
            ..
        },
        _,
    ] = facts.as_slice()
    else {
        panic!("{facts:?}")
    };
    assert_eq!(
        (campaign.as_str(), *version, *scope, *share),
        ("held", 1, HoldoutScope::Campaign, 1.0)
    );
    assert_eq!(user.as_ref().map(UserId::as_str), Some("mia"));
    // The workspace's share is about marketing.
    let mut day = day_at(
        9,
        vec![
            at_sale("delay", &json!({"class": "service"})),
            at_sale("advert", &json!({"priority": 1})),
        ],
    );
    settle(&mut day, &json!({"holdout": 1.0}));
    let event = sale(&day, "s-1");
    let effects = happens(&mut day, &event);
    assert!(suppressed(&effects).contains(&Suppression::HeldOut) && campaigns_of([&effects]).is_empty());
    day.stage.catalogue.campaigns = Arc::new(Campaigns::build([Arc::new(at_sale(
        "delay",
        &json!({"class": "service"}),
    ))]));
    let event = sale(&day, "s-2");
    assert_eq!(campaigns_of([&happens(&mut day, &event)]), ["delay"]);
}

#[test]
fn who_was_there_a_while_ago_is_asked_too() {
    let trigger = json!({"on": "event", "type": "sale", "present": {"tag": "shop", "within": "PT30M"}});
    let mut day = day_at(9, vec![campaign("c", &json!({"trigger": trigger}))]);
    let said = |day: &mut Day, id: &str| {
        let event = sale(day, id);
        let effects = happens(day, &event);
        effects
            .deliveries
            .first()
            .and_then(|delivery| delivery.geofence.clone())
            .map(|id| id.to_string())
    };
    assert_eq!(said(&mut day, "never there"), None);
    day.is_at(0, ALONE);
    assert_eq!(said(&mut day, "there").as_deref(), Some("shop/2"));
    day.now += MINUTE;
    day.is_at(0, NOWHERE);
    day.now += 29 * MINUTE;
    assert_eq!(said(&mut day, "just now").as_deref(), Some("shop/2"));
    day.now += MINUTE;
    assert_eq!(said(&mut day, "too long ago"), None);
    // Who doesn't want to be located any more has been nowhere.
    day.is_at(0, ALONE);
    day.now += MINUTE;
    day.is_at(0, NOWHERE);
    assert_eq!(day.record.been.len(), 1);
    day.record.update_consent(&crate::domain::customer::Consent {
        location: Some(false),
        ..Default::default()
    });
    assert!(day.record.been.is_empty());
}

#[test]
fn what_is_scanned_is_answered_with_a_document_also_when_nobody_may_be_pushed() {
    let story = |id: &str, extra: &Value| {
        let message = json!({"en": {"title": "t", "body": "b"}});
        let mut fields = json!({
            "trigger": {"on": "scanned", "geofences": {"tag": "shop"}}, "caps": [{"max": 1, "per": "P1D"}],
            "offers": [{"offer": {"kind": "content", "content": {"story": id}}, "message": message}],
        });
        for (field, value) in extra.as_object().into_iter().flatten() {
            fields[field] = value.clone();
        }
        campaign(id, &fields)
    };
    let shopper = json!({"audience": {"trait": "persona", "is": "shopper"}, "priority": 5});
    let mut day = day_at(9, vec![story("all", &json!({})), story("shopper", &shopper)]);
    let scan = |day: &mut Day| {
        day.now += MINUTE;
        let effects = day.check_in(0, |check_in| check_in.code = Some("code-2".to_owned()));
        let content = effects.events.iter().find_map(Event::document);
        let kept = effects.facts.iter().find_map(|fact| match fact {
            Fact::Event(event) => event.document(),
            _ => None,
        });
        assert_eq!(content, kept, "a repeated request is answered with the same");
        content
    };
    assert_eq!(scan(&mut day), Some(json!({"story": "all"})));
    assert_eq!(scan(&mut day), Some(json!({"story": "all"})), "the cap is about pushes");
    day.record
        .profile
        .traits
        .0
        .insert("persona".to_owned(), json!("shopper"));
    assert_eq!(scan(&mut day), Some(json!({"story": "shopper"})));
    let mut own = Geofence::clone(day.stage.catalogue.places.get(2));
    own.metadata = serde_json::from_value(json!({"content": {"story": "of the place"}})).expect("metadata");
    day.stage.catalogue.places = Arc::new(Places::build([Arc::new(own)]));
    assert_eq!(scan(&mut day), Some(json!({"story": "shopper"})));
    day.stage.catalogue.campaigns = Arc::default();
    assert_eq!(scan(&mut day), Some(json!({"story": "of the place"})));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// While the same brands compete, no brand gets further ahead of its share than one push.
    #[test]
    fn brands_share_attention_by_their_weights(
        weights in prop::collection::vec(1..5u8, 2..5),
        campaigns in prop::collection::vec((0..5usize, 0..100u32), 0..8),
        gaps in prop::collection::vec(1..90i64, 60..100),
    ) {
        let brands = weights.len();
        // Each brand has one campaign, some have more, of any worth.
        let all = (0..brands).map(|brand| (brand, 0)).chain(campaigns.into_iter().map(|(brand, value)| (brand % brands, value)));
        let all: Vec<Campaign> = all.enumerate().map(|(number, (brand, value))| {
            at_sale(&format!("c-{number}"), &json!({"brand": format!("brand-{brand}"), "value": value}))
        }).collect();
        let mut day = day_at(9, all);
        let named: serde_json::Map<String, Value> = weights.iter().enumerate()
            .map(|(brand, weight)| (format!("brand-{brand}"), json!(weight))).collect();
        settle(&mut day, &json!({"fairness": {"within": "P31D", "weights": named}}));
        let mut pushes = vec![0.0; brands];
        for (number, gap) in gaps.into_iter().enumerate() {
            day.now += gap * MINUTE;
            let event = sale(&day, &format!("s-{number}"));
            let effects = happens(&mut day, &event);
            let brand = effects.deliveries[0].brand.as_ref().expect("a brand").as_str().trim_start_matches("brand-").to_owned();
            pushes[brand.parse::<usize>().expect("a number")] += 1.0;
            let shares: Vec<f64> = pushes.iter().zip(&weights).map(|(pushes, weight)| pushes / f64::from(*weight)).collect();
            let (least, most) = shares.iter().fold((f64::MAX, 0.0_f64), |(least, most), share| (least.min(*share), most.max(*share)));
            prop_assert!(most - least <= 1.0 + 1e-9, "{shares:?}");
        }
    }
}
