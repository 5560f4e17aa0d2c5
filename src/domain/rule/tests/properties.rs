//! Whatever rule meets whatever customer.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{DAY, geofence, now, person, read, schema};
use crate::domain::{
    figures::Place,
    record::Record,
    rule::{Explained, Person},
    time::Timestamp,
};

fn a_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..3i32).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
        Just(json!("2026-11-20")),
        Just(json!("2026-11-22T10:00:00Z")),
        Just(json!(["a", 1])),
        Just(json!({"a": 1})),
    ]
}

/// Most are rules; those that are none are refused.
fn a_rule() -> impl Strategy<Value = Value> {
    let comparison = prop_oneof![
        (
            "is|contains|atLeast|atMost|moreThan|lessThan|exists|before|after",
            a_value()
        ),
        ("in", prop::collection::vec(a_value(), 0..3).prop_map(Value::from)),
        ("within", prop_oneof![Just(json!("P3D")), Just(json!("PT1S"))]),
    ];
    let windows = prop_oneof![
        Just(json!({})),
        Just(json!({"within": "P30D"})),
        Just(json!({"this": "month"})),
        Just(json!({"this": "week"})),
        Just(json!({"tag": "cafe"})),
        Just(json!({"campaign": "c"})),
        Just(json!({"category": "c", "this": "year"})),
        Just(json!({"currency": "EUR"})),
        Just(json!({"here": true})),
    ];
    let count = ("atLeast|atMost|is|moreThan|lessThan", (0..4i32).prop_map(Value::from));
    let leaf = prop_oneof![
        ("trait|data", "[a-c]{1,2}", comparison).prop_map(|(kind, name, (word, value))| json!({kind: name, word: value})),
        ("visits|purchased|opened|dismissed|spent", windows, count)
            .prop_map(|(kind, window, (word, number))| json!({kind: window, word: number})),
        ("firstSeen|lastSeen", "P[1-9]D").prop_map(|(kind, length)| json!({kind: {"within": length}})),
        ("topic|app|locale", "[a-c]{1,2}").prop_map(|(kind, text)| json!({kind: text})),
        "push|location|personalisation".prop_map(|purpose| json!({"consent": purpose})),
        (0..24u8, 0..24u8, "customer|geofence|Europe/Lisbon")
            .prop_map(|(from, until, zone)| json!({"localTime": {"from": format!("{from:02}:00"), "until": format!("{until:02}:30"), "zone": zone}})),
        a_value(),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            ("all|any", prop::collection::vec(inner.clone(), 0..4)).prop_map(|(kind, rules)| json!({kind: rules})),
            inner.prop_map(|rule| json!({"not": rule})),
        ]
    })
}

fn a_record() -> impl Strategy<Value = Record> {
    let traits = prop::collection::btree_map("[a-c]{1,2}", a_value(), 0..4);
    let zone = prop::option::of(prop_oneof![
        Just("Asia/Tokyo"),
        Just("America/New_York"),
        Just("nowhere")
    ]);
    (
        traits,
        zone,
        prop::option::of(any::<bool>()),
        prop::collection::vec(-40 * DAY..DAY, 0..5),
    )
        .prop_map(|(traits, zone, personalisation, times)| {
            let mut record = Record::default();
            record.profile.traits.0 = traits.into_iter().collect();
            record.profile.time_zone = zone.map(str::to_owned);
            record.profile.consent.personalisation = personalisation;
            for time in times {
                let place = Place::of(&geofence("cafe", "one"));
                record.figures_mut().note_visit(place, Timestamp(now().0 + time), now());
            }
            record
        })
}

proptest! {
    #[test]
    fn evaluation_never_fails_and_not_inverts(value in a_rule(), record in a_record(), at in any::<i64>(), sane in any::<bool>()) {
        let Ok(one) = read(&value) else { return Ok(()) };
        let cafe = geofence("cafe", "one");
        let at = if sane { now() } else { Timestamp(at) };
        let person = Person { geofence: Some(&cafe), at, ..person(&record) };
        let held = one.holds(person);
        if let Ok(not) = read(&json!({"not": value})) {
            prop_assert_eq!(not.holds(person), !held);
        }
        let explained = one.explain(person);
        prop_assert_eq!(explained.holds, held);
        prop_assert!(explained.rule.len() <= 203);
        let again: Explained = serde_json::from_value(serde_json::to_value(&explained).expect("JSON")).expect("read back");
        prop_assert_eq!(again, explained);
    }

    #[test]
    fn whatever_compares_a_missing_trait_is_false(word in "is|contains|atLeast|atMost|moreThan|lessThan|before|after", value in a_value()) {
        let Ok(one) = read(&json!({"trait": "missing", word: value})) else { return Ok(()) };
        prop_assert!(!one.holds(person(&Record::default())));
    }

    #[test]
    fn reader_and_schema_agree(value in a_rule()) {
        prop_assert_eq!(read(&value).is_ok(), schema::takes(&value), "{}: {:?}", value, read(&value));
    }
}
