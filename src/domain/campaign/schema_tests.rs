//! The schema says what the reader takes.

use serde_json::{Value, json};

use super::Campaign;
use crate::domain::schema_check::is_valid;

/// A campaign that says little, with other fields over it.
fn document(extra: &Value) -> Value {
    let mut document = json!({
        "id": "c", "trigger": {"on": "entered", "geofences": {"tag": "shop"}},
        "offers": [{"message": {"en": {"title": "t", "body": "b"}}}],
    });
    for (field, value) in extra.as_object().into_iter().flatten() {
        document[field] = value.clone();
    }
    document
}

fn offer(fields: &Value) -> Value {
    let mut offer = json!({"message": {"en": {"title": "t", "body": "b"}}});
    for (field, value) in fields.as_object().into_iter().flatten() {
        offer[field] = value.clone();
    }
    json!({ "offers": [offer] })
}

fn on(trigger: &Value) -> Value {
    json!({ "trigger": trigger })
}

/// Both the reader and the schema say so.
fn agree(document: &Value, good: bool) {
    let read = Campaign::read(document, 0);
    assert_eq!(read.is_ok(), good, "the reader: {document}: {:?}", read.err());
    assert_eq!(
        is_valid(&Campaign::json_schema(), document),
        good,
        "the schema: {document}"
    );
}

#[test]
fn the_schema_takes_the_campaigns_of_the_demo_and_of_the_guide() {
    for text in [
        include_str!("../../../config/campaigns/cafe-welcome.json"),
        include_str!("../../../config/campaigns/duty-free-usual.json"),
        include_str!("../../../config/campaigns/flight-delayed.json"),
        include_str!("../../../config/campaigns/gate-info.json"),
        include_str!("../../../config/campaigns/security-fast-lane.json"),
    ] {
        agree(&serde_json::from_str(text).expect("JSON"), true);
    }
    let mut examples = 0;
    for block in include_str!("../../../docs/campaigns.md").split("```json\n").skip(1) {
        let text = block.split("```").next().expect("an end");
        let example: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        if example.get("campaigns").is_none() {
            agree(&document(&example), true);
            examples += 1;
        }
    }
    assert!(examples >= 13, "{examples} examples");
}

#[test]
fn the_schema_takes_what_the_reader_takes() {
    for good in [
        json!({"$schema": "https://beckon.example/schemas/campaign.json"}),
        json!({"status": "paused", "brand": "b", "class": "service", "priority": -1000, "value": 0, "holdout": 1}),
        json!({"speed": {"max": 1000, "per": "PT1M"}, "budget": {"max": 1}, "caps": []}),
        json!({"schedule": {}, "quietHours": {"from": "22:00", "until": "08:00", "timeZone": "Asia/Shanghai"}}),
        on(&json!({"on": "dwelled", "geofences": {"set": "s", "brand": "b"}, "after": "PT10M"})),
        on(
            &json!({"on": "event", "type": "t", "topic": "x", "present": {"tag": "a"}, "ladder": {"field": "f", "every": 0.5}}),
        ),
        offer(
            &json!({"offer": {"kind": "voucher", "codes": "generated", "name": "n", "value": 1.5, "currency": "EUR"}}),
        ),
        offer(&json!({"offer": {"kind": "content", "codes": {"pool": "p"}, "content": [1, {"a": null}]}})),
        json!({"push": {"sound": "bell.caf", "badge": 0, "interruptionLevel": "time-sensitive", "relevanceScore": 0.5,
            "threadId": "t", "category": "c", "mutableContent": true, "image": "https://cdn.example/a.png", "channel": "o",
            "priority": "low", "background": false, "data": {"url": "app://x", "level": 3, "vip": true}}}),
    ] {
        agree(&document(&good), true);
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let reserved = crate::domain::push_options::RESERVED[0];
    for bad in [
        json!({"sceduhle": {}}),
        json!({"version": 3}),
        json!({"id": ""}),
        json!({"id": 7}),
        json!({"status": "running"}),
        json!({"class": "news"}),
        json!({"priority": 1001}),
        json!({"priority": 1.5}),
        json!({"audience": {"trait": "a"}}),
        json!({"audience": []}),
        json!({"holdout": 1.1}),
        json!({"value": -1}),
        json!({"validFor": "30 minutes"}),
        json!({"cooldown": 60}),
        json!({"stillThere": "yes"}),
        json!({"duringOpeningHours": 1}),
        json!({"speed": {"max": 0, "per": "PT1M"}}),
        json!({"speed": {"max": 1}}),
        json!({"budget": {"max": 0}}),
        json!({"budget": 100}),
        json!({"caps": [{"max": 101, "per": "day"}]}),
        json!({"caps": [{"max": 1, "per": "year"}]}),
        json!({"caps": [{"max": 1, "per": "day", "scope": "user"}]}),
        json!({"caps": vec![json!({"max": 1, "per": "day"}); 11]}),
        json!({"schedule": {"days": []}}),
        json!({"schedule": {"days": ["monday"]}}),
        json!({"schedule": {"hours": ["09:00"]}}),
        json!({"schedule": {"hours": ["9:00", "10:00"]}}),
        json!({"schedule": {"hours": ["09:00", "24:01"]}}),
        json!({"schedule": {"except": "2026-12-25"}}),
        json!({"schedule": {"zone": "UTC"}}),
        json!({"quietHours": {"from": "22:00"}}),
        json!({"quietHours": {"from": "22:00", "until": "08:00", "then": "wait"}}),
        json!({"trigger": null}),
        on(&json!({"on": "arrived", "geofences": {"tag": "a"}})),
        on(&json!({"on": "entered"})),
        on(&json!({"on": "entered", "geofences": {}})),
        on(&json!({"on": "entered", "geofences": {"tag": "a"}, "after": "PT1M"})),
        on(&json!({"on": "entered", "geofences": {"kind": "a"}})),
        on(&json!({"on": "event"})),
        on(&json!({"on": "event", "type": "t", "present": {"within": "PT1M"}})),
        on(&json!({"on": "event", "type": "t", "until": ["u"]})),
        on(&json!({"on": "event", "type": "t", "ladder": {"field": "f", "every": 0}})),
        on(&json!({"on": "event", "type": "t", "ladder": {"field": "f", "every": 1, "per": "day"}})),
        json!({"offers": []}),
        json!({"offers": {}}),
        json!({"offers": [{}]}),
        json!({"offers": [{"message": {}}]}),
        json!({"offers": [{"message": {"en": {"title": "t"}}}]}),
        json!({"offers": [{"message": {"en": {"title": "t", "body": "b", "sub": "s"}}}]}),
        json!({"offers": [{"message": {"en": {"title": "t", "body": "b".repeat(4097)}}}]}),
        offer(&json!({"when": {"topic": 1}})),
        offer(&json!({"offer": {"value": 20}})),
        offer(&json!({"offer": {"kind": "gift"}})),
        offer(&json!({"offer": {"kind": "percent", "value": "20"}})),
        offer(&json!({"offer": {"kind": "percent", "content": {}}})),
        offer(&json!({"offer": {"kind": "voucher", "code": "A", "codes": "generated"}})),
        offer(&json!({"offer": {"kind": "voucher", "codes": "made"}})),
        offer(&json!({"offer": {"kind": "voucher", "codes": {"pool": ""}}})),
        json!({"push": {"sound": "../bell"}}),
        json!({"push": {"badge": -1}}),
        json!({"push": {"interruptionLevel": "loud"}}),
        json!({"push": {"relevanceScore": 1.01}}),
        json!({"push": {"threadId": ""}}),
        json!({"push": {"image": "http://cdn.example/a.png"}}),
        json!({"push": {"priority": 10}}),
        json!({"push": {"colour": "red"}}),
        json!({"push": {"data": {reserved: "x"}}}),
        json!({"push": {"data": {"a b": "x"}}}),
        json!({"push": {"data": {"deep": {"er": 1}}}}),
    ] {
        agree(&document(&bad), false);
    }
    for field in ["id", "trigger", "offers"] {
        let mut lacking = document(&json!({}));
        lacking.as_object_mut().expect("an object").remove(field);
        agree(&lacking, false);
    }
    agree(&json!([]), false);
}

/// Forms and editors show them; a field that has none is a riddle.
#[test]
fn every_field_of_a_campaign_is_described() {
    let schema = Campaign::json_schema();
    for (name, field) in schema["properties"].as_object().expect("fields") {
        let described = match field["$ref"].as_str() {
            Some(place) => &schema.pointer(place.trim_start_matches('#')).expect("a definition")["description"],
            None => &field["description"],
        };
        assert!(described.is_string() || field["description"].is_string(), "{name}");
    }
}
