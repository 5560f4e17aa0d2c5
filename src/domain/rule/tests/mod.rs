//! Rules: what they see, that they never fail, and that reader, schema and words agree.

use serde_json::json;

use super::*;
use crate::domain::{
    customer::Consent,
    figures::Purchase,
    ids::GeofenceId,
    json_reader::{Node, Refusal},
};
use crate::geo::{Position, Shape};

mod properties;
mod schema;

const DAY: i64 = 24 * 3600 * 1000;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

/// A Sunday evening.
fn now() -> Timestamp {
    at("2026-11-22T20:30:00Z")
}

fn read(rule: &Value) -> Result<Rule, Refusal> {
    Rule::read(&Node::root(rule))
}

fn rule(value: &Value) -> Rule {
    read(value).expect("a rule")
}

fn geofence(tag: &str, id: &str) -> Geofence {
    let shape = Shape::circle(Position::new(46.5, 12.3).expect("a position"), 100.0).expect("a circle");
    let id = GeofenceId {
        tag: Tag::new(tag).expect("a tag"),
        external_id: ExternalId::new(id).expect("an id"),
    };
    Geofence::new(id, shape)
}

fn record(traits: &Value) -> Record {
    let mut record = Record::default();
    record.profile.traits.0 = traits.as_object().expect("an object").clone();
    record
}

fn person(record: &Record) -> Person<'_> {
    Person {
        record,
        device: record.devices.first(),
        data: None,
        geofence: None,
        geofence_zone: None,
        workspace_zone: crate::domain::zone::Zone::default(),
        brand: None,
        at: now(),
    }
}

fn holds(value: &Value, traits: &Value) -> bool {
    rule(value).holds(person(&record(traits)))
}

fn visited(record: &mut Record, tag: &str, times: &[&str]) {
    for time in times {
        let place = Place::of(&geofence(tag, "one"));
        record.figures_mut().note_visit(place, at(time), now());
    }
}

#[test]
fn a_missing_trait_is_false_and_not_turns_it() {
    let shopper = json!({"trait": "persona", "is": "shopper"});
    assert!(holds(&shopper, &json!({"persona": "shopper"})));
    assert!(!holds(&shopper, &json!({})));
    assert!(holds(&json!({"not": shopper}), &json!({})));
    assert!(!holds(
        &json!({"trait": "age", "atMost": 30}),
        &json!({"age": "thirty"})
    ));
}

#[test]
fn numbers_compare_by_value_and_lists_by_member() {
    assert!(holds(&json!({"trait": "level", "is": 2}), &json!({"level": 2.0})));
    assert!(holds(
        &json!({"trait": "likes", "contains": "tea"}),
        &json!({"likes": ["tea", "cake"]})
    ));
    assert!(holds(
        &json!({"all": [{"trait": "level", "moreThan": 1}, {"any": [{"trait": "x", "exists": true}, {"trait": "level", "in": [2, 3]}]}]}),
        &json!({"level": 3})
    ));
}

#[test]
fn traits_that_are_dates_compare_as_dates() {
    let member = json!({"since": "2026-11-20", "until": "2027-01-01T00:00:00+01:00", "note": "soon"});
    assert!(holds(&json!({"trait": "since", "within": "P3D"}), &member));
    assert!(!holds(&json!({"trait": "since", "within": "P2D"}), &member));
    assert!(
        !holds(&json!({"trait": "until", "within": "P400D"}), &member),
        "not yet"
    );
    assert!(holds(&json!({"trait": "until", "after": "2026-12-31"}), &member));
    assert!(
        holds(&json!({"trait": "until", "before": "2027-01-01"}), &member),
        "an hour before midnight in UTC"
    );
    assert!(
        !holds(&json!({"trait": "note", "before": "2030-01-01"}), &member),
        "no date"
    );
}

#[test]
fn visits_are_counted_in_windows_that_end_with_the_event() {
    let mut record = record(&json!({}));
    visited(
        &mut record,
        "cafe",
        &[
            "2026-10-31T12:00:00Z",
            "2026-11-02T12:00:00Z",
            "2026-11-21T12:00:00Z",
            "2026-11-22T20:30:00Z",
        ],
    );
    visited(&mut record, "shop", &["2026-11-22T20:00:00Z"]);
    let (cafe, shop) = (geofence("cafe", "one"), geofence("shop", "one"));
    let holds = |value: Value| {
        let person = Person {
            geofence: Some(&cafe),
            ..person(&record)
        };
        rule(&value).holds(person)
    };
    assert!(
        holds(json!({"visits": {"tag": "cafe", "this": "month"}, "is": 3})),
        "with this one"
    );
    assert!(holds(json!({"visits": {"tag": "cafe", "within": "P30D"}, "is": 4})));
    assert!(
        holds(json!({"visits": {"tag": "cafe", "this": "week"}, "is": 2})),
        "a week begins on Monday"
    );
    assert!(holds(json!({"visits": {"tag": "cafe", "this": "day"}, "is": 1})));
    assert!(
        holds(json!({"visits": {"tag": "cafe", "within": "PT1M"}})),
        "at least one, if nothing is said"
    );
    assert!(holds(json!({"visits": {"this": "year"}, "is": 5})), "of any place");
    assert!(holds(json!({"visits": {"here": true}, "is": 4})));
    assert!(
        holds(json!({"visits": {"tag": "lounge"}, "atMost": 0})),
        "none is a number"
    );
    assert!(holds(
        json!({"visits": {"set": "singles", "brand": "b"}, "lessThan": 1})
    ));
    let earlier = Person {
        at: at("2026-11-21T12:00:00Z"),
        geofence: Some(&shop),
        ..person(&record)
    };
    assert!(
        rule(&json!({"visits": {"tag": "cafe", "this": "month"}, "is": 2})).holds(earlier),
        "as it was then"
    );
    assert!(!rule(&json!({"visits": {"here": true}})).holds(earlier));
}

#[test]
fn a_month_begins_where_the_customer_is() {
    let mut record = record(&json!({}));
    // The first of November in Tokyo, still October in London.
    visited(&mut record, "cafe", &["2026-10-31T16:00:00Z"]);
    let month = rule(&json!({"visits": {"tag": "cafe", "this": "month"}}));
    record.profile.time_zone = Some("Europe/London".to_owned());
    assert!(!month.holds(person(&record)));
    let mut device = Device::new(crate::domain::ids::DeviceId::new("d").expect("an id"), now());
    device.time_zone = Some("Asia/Tokyo".to_owned());
    record.put_device(device);
    assert!(month.holds(person(&record)), "the device knows better where it is");
    let nowhere = {
        let mut record = record.clone();
        record.devices.clear();
        record.profile.time_zone = None;
        record
    };
    assert!(!month.holds(person(&nowhere)), "UTC");
    assert!(month.holds(Person {
        geofence_zone: crate::domain::zone::Zone::named("Asia/Tokyo").ok(),
        ..person(&nowhere)
    }));
}

#[test]
fn purchases_spend_and_reactions_are_counted() {
    let mut record = record(&json!({}));
    for (data, time) in [
        (
            json!({"product": "serum", "category": "skincare", "amount": 39.9, "currency": "EUR"}),
            "2026-11-01T10:00:00Z",
        ),
        (
            json!({"product": "serum", "category": "skincare", "amount": 20.1, "currency": "EUR"}),
            "2026-11-20T10:00:00Z",
        ),
        (
            json!({"product": "gin", "category": "spirits", "amount": 2000, "currency": "JPY"}),
            "2026-11-21T10:00:00Z",
        ),
    ] {
        let purchase = Purchase::of(data.as_object().expect("an object")).expect("a purchase");
        record.figures_mut().note_purchase(purchase, at(time), now());
    }
    let reacted = Reacted {
        campaign: CampaignId::new("hello").expect("an id"),
        answer: Answer::Opened,
    };
    record
        .figures_mut()
        .note_reaction(reacted, at("2026-11-22T10:00:00Z"), now());
    for (value, wanted) in [
        (json!({"purchased": {"category": "skincare"}, "is": 2}), true),
        (
            json!({"purchased": {"category": "skincare", "within": "P7D"}, "is": 1}),
            true,
        ),
        (json!({"purchased": {"product": "gin"}}), true),
        (json!({"purchased": {"category": "skincare", "product": "gin"}}), false),
        (json!({"spent": {"currency": "EUR"}, "is": 60}), true),
        (
            json!({"spent": {"currency": "EUR", "within": "P7D"}, "atLeast": 20.1}),
            true,
        ),
        (
            json!({"spent": {"currency": "EUR", "within": "P7D"}, "moreThan": 20.1}),
            false,
        ),
        (json!({"spent": {"currency": "USD"}, "atMost": 0}), true),
        (json!({"opened": {"campaign": "hello", "within": "P1D"}}), true),
        (json!({"opened": {"campaign": "bye"}}), false),
        (json!({"opened": {}, "is": 1}), true),
        (json!({"dismissed": {}}), false),
    ] {
        assert_eq!(rule(&value).holds(person(&record)), wanted, "{value}");
    }
    record.profile.consent.personalisation = Some(false);
    for value in [
        json!({"purchased": {"category": "skincare"}}),
        json!({"spent": {"currency": "EUR"}, "atMost": 1000}),
        json!({"visits": {}, "atMost": 100}),
        json!({"opened": {}}),
    ] {
        assert!(!rule(&value).holds(person(&record)), "{value}");
        assert!(rule(&json!({"not": value})).holds(person(&record)), "not {value}");
    }
}

#[test]
fn consent_is_looked_at_for_the_brand_who_asks() {
    let mut record = record(&json!({"persona": "shopper"}));
    record.profile.consent = serde_json::from_value::<Consent>(json!({
        "push": true, "brands": {"sunrise": {"push": false}, "blue-cup": {"personalisation": false}}}))
    .expect("a consent");
    let holds = |value: Value, brand: Option<&str>| {
        let brand = brand.map(|brand| BrandId::new(brand).expect("an id"));
        rule(&value).holds(Person {
            brand: brand.as_ref(),
            ..person(&record)
        })
    };
    assert!(holds(json!({"consent": "push", "is": "given"}), None));
    assert!(holds(json!({"consent": "push", "is": "refused"}), Some("sunrise")));
    assert!(!holds(json!({"consent": "push"}), Some("sunrise")));
    assert!(holds(json!({"consent": "push"}), Some("blue-cup")));
    assert!(holds(json!({"consent": "location", "is": "unsaid"}), Some("sunrise")));
    let shopper = json!({"trait": "persona", "is": "shopper"});
    assert!(holds(shopper.clone(), Some("sunrise")) && !holds(shopper, Some("blue-cup")));
}

#[test]
fn when_somebody_was_seen_and_what_they_follow() {
    let mut record = record(&json!({}));
    assert!(
        !rule(&json!({"firstSeen": {"before": "2027-01-01"}})).holds(person(&record)),
        "never seen"
    );
    let id = |name| crate::domain::ids::DeviceId::new(name).expect("an id");
    record.put_device(Device::new(id("old"), Timestamp(now().0 - 50 * DAY)));
    record.put_device(Device::new(id("new"), Timestamp(now().0 - 5 * DAY)));
    record.profile.topics = ["flight:CA1501/2026-11-22", "news"]
        .map(|topic| Topic::new(topic).expect("a topic"))
        .into();
    for (value, wanted) in [
        (json!({"firstSeen": {"within": "P40D"}}), false),
        (json!({"firstSeen": {"before": "2026-11-01T00:00:00Z"}}), true),
        (json!({"lastSeen": {"within": "P7D"}}), true),
        (json!({"lastSeen": {"after": "2026-11-20"}}), false),
        (json!({"topic": "news"}), true),
        (json!({"topic": "flight"}), false),
        (json!({"topic": {"startsWith": "flight:"}}), true),
        (json!({"topic": {"startsWith": "g"}}), false),
    ] {
        assert_eq!(rule(&value).holds(person(&record)), wanted, "{value}");
    }
    record.remove_device(&id("new"));
    assert!(
        rule(&json!({"lastSeen": {"within": "P7D"}})).holds(person(&record)),
        "by a device that is gone"
    );
}

#[test]
fn local_time_goes_by_the_clock_over_midnight_and_over_changes_of_the_clock() {
    let mut record = record(&json!({}));
    record.profile.time_zone = Some("America/New_York".to_owned());
    // 2026-11-22T20:30:00Z is Sunday, 15:30 in New York.
    for (value, wanted) in [
        (json!({"from": "15:00", "until": "16:00"}), true),
        (json!({"from": "15:30", "until": "15:31"}), true),
        (json!({"from": "15:00", "until": "15:30"}), false),
        (json!({"days": ["sun"]}), true),
        (json!({"days": ["mon", "sat"]}), false),
        (json!({"from": "22:00", "until": "16:00", "days": ["sat"]}), true),
        (json!({"from": "22:00", "until": "16:00", "days": ["sun"]}), false),
        (
            json!({"from": "05:00", "until": "06:00", "days": ["mon"], "zone": "Asia/Tokyo"}),
            true,
        ),
        (json!({"from": "15:00", "until": "16:00", "zone": "geofence"}), true),
    ] {
        assert_eq!(
            rule(&json!({"localTime": value})).holds(person(&record)),
            wanted,
            "{value}"
        );
    }
    let night = rule(&json!({"localTime": {"from": "01:00", "until": "02:00"}}));
    let then = |time: &str| {
        night.holds(Person {
            at: at(time),
            ..person(&record)
        })
    };
    // The clocks go back at 2:00 on the first of November: that hour comes twice.
    assert!(then("2026-11-01T05:30:00Z") && then("2026-11-01T06:30:00Z") && !then("2026-11-01T07:30:00Z"));
    record.profile.time_zone = None;
    let at_half_past_one = Person {
        at: at("2026-11-01T01:30:00Z"),
        ..person(&record)
    };
    assert!(night.holds(at_half_past_one), "by the workspace's clock");
}

#[test]
fn wrong_rules_are_refused_with_their_place_and_a_hint() {
    let refusal = |rule: Value| read(&rule).expect_err("refused").to_string();
    assert_eq!(
        refusal(json!({"all": [{"trait": "a", "is": 1}, {"trait": "b", "equals": 2}]})),
        "/all/1/equals: unknown field; known here are trait, is, in, atLeast, atMost, moreThan, lessThan, exists, contains, before, after, within"
    );
    for (rule, place, hint) in [
        (
            json!({"trait": "a", "atleast": 1}),
            "/atleast: ",
            "did you mean `atLeast`?",
        ),
        (
            json!({"visit": {"tag": "cafe"}}),
            ": is no rule",
            "did you mean `visits`?",
        ),
        (
            json!({"visits": {"tagg": "cafe"}}),
            "/visits/tagg: ",
            "did you mean `tag`?",
        ),
        (
            json!({"visits": {"this": "mont"}}),
            "/visits/this: ",
            "did you mean `month`?",
        ),
        (
            json!({"visits": {"within": "P401D"}}),
            "/visits/within: ",
            "at most P400D",
        ),
        (
            json!({"visits": {"within": "P1D", "this": "day"}}),
            "/visits/this: ",
            "keep one",
        ),
        (json!({"visits": {}, "atLeast": 101}), "/atLeast: ", "from 0 to 100"),
        (json!({"visits": {}, "atLeast": 1.5}), "/atLeast: ", "whole number"),
        (
            json!({"spent": {"within": "P1D"}, "atLeast": 1}),
            "/spent/currency: ",
            "is required",
        ),
        (json!({"spent": {"currency": "EUR"}}), ": needs one of", "atLeast"),
        (json!({"trait": "a"}), ": needs exactly one of", "exists"),
        (json!({"trait": "a", "is": [1]}), "/is: ", "write `in`"),
        (
            json!({"trait": "a", "before": "tomorrow"}),
            "/before: ",
            "such as 2026-11-22",
        ),
        (
            json!({"trait": "a", "is": 1, "topic": "t"}),
            ": has both",
            "{\"all\": [...]}",
        ),
        (
            json!({"localTime": {"from": "9:00"}}),
            "/localTime/from: ",
            "from 00:00 to 24:00",
        ),
        (
            json!({"localTime": {"from": "09:00", "until": "09:00"}}),
            "/localTime: ",
            "whole day",
        ),
        (
            json!({"localTime": {"zone": "Mars/North"}}),
            "/localTime/zone: ",
            "Europe/Lisbon",
        ),
        (json!({"consent": "pusch"}), "/consent: ", "did you mean `push`?"),
        (
            json!({"any": [{"not": {"platform": "iOS"}}]}),
            "/any/0/not/platform: ",
            "did you mean `ios`?",
        ),
        (json!([]), ": must be an object", ""),
    ] {
        let refusal = refusal(rule);
        assert!(refusal.starts_with(place) && refusal.contains(hint), "{refusal}");
    }
    let deep = (0..20).fold(json!({"topic": "t"}), |rule, _| json!({"not": rule}));
    assert!(refusal(deep).contains("nested deeper than 8"));
    let hundred: Vec<Value> = (0..100).map(|_| json!({"topic": "t"})).collect();
    assert!(read(&json!({"all": hundred})).is_ok());
    let twice = json!({"all": [{"all": hundred}, {"all": hundred}]});
    assert!(refusal(twice).contains("more than 200 rules"));
}

#[test]
fn an_explanation_tells_each_part_and_what_it_saw() {
    let mut record = record(&json!({"persona": "shopper", "story": "x".repeat(1000)}));
    visited(&mut record, "cafe", &["2026-11-02T12:00:00Z"]);
    let value = json!({"all": [
        {"trait": "persona", "is": "business"}, {"not": {"trait": "nothing", "exists": true}},
        {"visits": {"tag": "cafe", "this": "month"}, "atLeast": 3}, {"trait": "story", "contains": "x"}]});
    let explained = rule(&value).explain(person(&record));
    assert_eq!(
        serde_json::to_value(&explained).expect("JSON"),
        json!({"rule": "all of", "holds": false, "of": [
            {"rule": "persona is \"business\"", "holds": false, "saw": "\"shopper\""},
            {"rule": "not", "holds": true, "of": [{"rule": "nothing exists", "holds": false}]},
            {"rule": "visits to places tag cafe this month are at least 3", "holds": false, "saw": "1"},
            {"rule": "story contains \"x\"", "holds": true, "saw": format!("\"{}…", "x".repeat(119))},
        ]})
    );
    record.profile.consent.personalisation = Some(false);
    let hidden = rule(&value).explain(person(&record));
    assert_eq!(hidden.of[0].saw.as_deref(), Some("personalisation is refused"));
}
