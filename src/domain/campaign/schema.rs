//! A campaign's document as a JSON Schema (draft 2020-12), for editors and forms.

use serde_json::{Map, Value, json};

use super::{
    CAP_MAX, CAPS_MAX, Campaign, CampaignStatus, CapScope, Class, OFFERS_MAX, POOL_BYTES_MAX, Then,
    codes::BUDGET_MAX,
    offer::WORTH_MAX,
    schedule::{DAYS, EXCEPT_MAX},
    trigger::UNTIL_MAX,
};
use crate::domain::{
    ids::ID_BYTES_MAX,
    message::{LOCALES_MAX, TEMPLATE_BYTES_MAX},
    pace::SPEED_MAX,
    push_options::{
        BADGE_MAX, DATA_FIELDS_MAX, DATA_VALUE_BYTES_MAX, IMAGE_BYTES_MAX, InterruptionLevel, NAME_BYTES_MAX, RESERVED,
    },
    rule::Rule,
};

impl Campaign {
    /// What [`Campaign::read`] takes, but for limits that no schema can say simply: those of [`Rule::json_schema`], which
    /// durations, dates, zones and templates there are, what depends on two fields (`from` before `until`, `stillThere` and
    /// `duringOpeningHours` with the trigger, `background` with the rest of `push`), and that null counts as absent.
    pub fn json_schema() -> Value {
        let rules = Rule::json_schema();
        let mut definitions = rules["$defs"].as_object().cloned().unwrap_or_default();
        definitions.extend(shared_definitions());
        definitions.insert("trigger".to_owned(), trigger());
        definitions.insert("offer".to_owned(), offer());
        definitions.insert("push".to_owned(), push());
        let rule = |description: &str| json!({"$ref": "#/$defs/rule", "description": description});
        let flag = |description: &str| json!({"type": "boolean", "description": description});
        let mut schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Campaign",
            "description": "When to speak, to whom, with which offer and how often.",
            "type": "object", "required": ["id", "trigger", "offers"], "additionalProperties": false,
            "properties": {
                "$schema": {"description": "Where editors find this schema. Beckon ignores it."},
                "id": id("Its name, the same in its path."),
                "status": word("Whether it speaks; without it: active.", &names(&CampaignStatus::NAMES)),
                "brand": id("The merchant."),
                "class": word("Advertising, or what customers need to know; without it: marketing.", &names(&Class::NAMES)),
                "priority": {"type": "integer", "minimum": -1000, "maximum": 1000,
                    "description": "Of several that fit, the highest speaks; without it: 0."},
                "trigger": {"$ref": "#/$defs/trigger"},
                "audience": rule("To whom; without it: everybody."),
                "schedule": schedule(),
                "duringOpeningHours": flag("Only while the geofence is open, by its own hours."),
                "quietHours": quiet_hours(),
                "caps": {"type": "array", "maxItems": CAPS_MAX, "items": cap(), "description": "At most so often."},
                "cooldown": window("Least time between two of its pushes to one customer."),
                "minimumGap": window("Least time after any push to the customer."),
                "value": worth("What a push is worth to you, in any unit, for the choice among campaigns; without it: 0."),
                "holdout": {"type": "number", "minimum": 0, "maximum": 1,
                    "description": "The share of customers who get nothing, so that others can be compared with them."},
                "speed": {"type": "object", "description": "At most so many pushes a time, over all customers.",
                    "required": ["max", "per"], "additionalProperties": false, "properties": {
                        "max": {"type": "integer", "minimum": 1, "maximum": SPEED_MAX},
                        "per": {"$ref": "#/$defs/duration", "description": "PT1S to P1D."}}},
                "validFor": window("How long a push is worth sending; without it: PT30M."),
                "stillThere": flag("Send only while the customer is still in the geofence."),
                "push": {"$ref": "#/$defs/push", "description": "How its pushes look, sound and behave."},
                "budget": {"type": "object", "description": "How many pushes there may be in all.",
                    "required": ["max"], "additionalProperties": false,
                    "properties": {"max": {"type": "integer", "minimum": 1, "maximum": BUDGET_MAX}}},
                "offers": {"type": "array", "minItems": 1, "maxItems": OFFERS_MAX, "items": {"$ref": "#/$defs/offer"},
                    "description": "The first whose `when` holds is made."},
            },
            "$defs": definitions,
        });
        for (name, field) in message_fields() {
            schema["properties"][name] = field;
        }
        schema
    }
}

/// What all messages of a campaign share.
fn message_fields() -> [(&'static str, Value); 3] {
    [
        (
            "defaults",
            json!({"type": "object", "description": "What templates say for what is not known, by the variable's path."}),
        ),
        (
            "defaultLocale",
            json!({"type": "string", "description": "The language that counts when no other fits, such as en."}),
        ),
        (
            "sample",
            json!({"type": "object", "description": "Whom templates are tried with when the campaign is saved.",
                "additionalProperties": false,
                "properties": {"user": {}, "geofence": {}, "event": {}, "usual": {}, "visits": {}, "ladder": {}}}),
        ),
    ]
}

fn names<T>(known: &[(&'static str, T)]) -> Vec<&'static str> {
    known.iter().map(|(name, _)| *name).collect()
}

fn word(description: &str, words: &[&str]) -> Value {
    json!({"enum": words, "description": description})
}

fn id(description: &str) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX, "description": description})
}

fn window(description: &str) -> Value {
    json!({"$ref": "#/$defs/duration", "description": format!("{description} At most P31D.")})
}

fn worth(description: &str) -> Value {
    json!({"type": "number", "minimum": 0, "maximum": WORTH_MAX, "description": description})
}

fn selector_fields() -> Value {
    json!({"tag": id("Kind of place."), "externalId": id("Which one."), "set": id("The file it came with."),
        "brand": id("The merchant.")})
}

fn shared_definitions() -> Map<String, Value> {
    let definitions = [
        (
            "clock",
            json!({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$",
                "description": "A time of the day, such as 09:00, up to 24:00."}),
        ),
        (
            "zone",
            json!({"type": "string", "description": "`geofence`, `customer`, or an IANA zone such as Europe/Zurich."}),
        ),
        (
            "geofences",
            json!({"type": "object", "description": "Which geofences: every field that is given must fit.",
                "minProperties": 1, "additionalProperties": false, "properties": selector_fields()}),
        ),
    ];
    definitions
        .map(|(name, schema)| (name.to_owned(), schema))
        .into_iter()
        .collect()
}

fn trigger() -> Value {
    let geofences = || json!({"$ref": "#/$defs/geofences"});
    let mut present = selector_fields();
    present["within"] = json!({"$ref": "#/$defs/duration",
        "description": "Or has left one no longer ago than this; at most PT24H."});
    let is_named: Vec<Value> = ["tag", "externalId", "set", "brand"]
        .iter()
        .map(|name| json!({"required": [name]}))
        .collect();
    json!({"description": "What makes it speak.", "oneOf": [
        {"type": "object", "description": "A customer comes in, leaves, or scans a code.",
            "required": ["on", "geofences"], "additionalProperties": false,
            "properties": {"on": {"enum": ["entered", "exited", "scanned"]}, "geofences": geofences()}},
        {"type": "object", "description": "A customer has stayed.",
            "required": ["on", "geofences"], "additionalProperties": false,
            "properties": {"on": {"enum": ["dwelled"]}, "geofences": geofences(),
                "after": {"$ref": "#/$defs/duration",
                    "description": "For so long, at most P7D; without it: the geofence's `dwellThreshold`."}}},
        {"type": "object", "description": "Your systems tell of something.",
            "required": ["on", "type"], "additionalProperties": false, "dependentRequired": {"until": ["ladder"]},
            "properties": {
                "on": {"enum": ["event"]},
                "type": {"type": "string", "description": "Such as flight.delayed."},
                "topic": id("Only for this topic."),
                "present": {"type": "object", "description": "Only for customers who are in one of these geofences.",
                    "additionalProperties": false, "properties": present, "anyOf": is_named},
                "ladder": {"type": "object", "description": "Speaks again each time that a number has grown by so much.",
                    "required": ["field", "every"], "additionalProperties": false, "properties": {
                        "field": {"type": "string", "description": "The event's field with the number."},
                        "every": {"type": "number", "exclusiveMinimum": 0},
                        "per": {"enum": ["topic"]}}},
                "until": {"type": "array", "maxItems": UNTIL_MAX, "items": {"type": "string"},
                    "description": "Types of events after which the ladder is over."}}},
    ]})
}

fn schedule() -> Value {
    let moment = |description: &str| json!({"type": "string", "description": description});
    json!({"type": "object", "description": "In which time; without it: always.", "additionalProperties": false,
        "properties": {
            "from": moment("2026-11-01T09:00 by the zone's clock, or an instant with a zone of its own."),
            "until": moment("Not from then on."),
            "days": {"type": "array", "minItems": 1, "maxItems": DAYS.len(), "items": {"enum": names(&DAYS)}},
            "hours": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"$ref": "#/$defs/clock"},
                "description": "From and until; over midnight they belong to the day on which they begin."},
            "except": {"type": "array", "maxItems": EXCEPT_MAX, "items": {"type": "string", "format": "date"},
                "description": "Dates on which it is silent."},
            "timeZone": {"$ref": "#/$defs/zone"}}})
}

fn quiet_hours() -> Value {
    json!({"type": "object", "description": "When customers are left alone.",
        "required": ["from", "until"], "additionalProperties": false, "properties": {
            "from": {"$ref": "#/$defs/clock"}, "until": {"$ref": "#/$defs/clock"},
            "timeZone": {"$ref": "#/$defs/zone"},
            "then": word("Not sent, or looked at again when they are over; without it: drop.", &names(&Then::NAMES))}})
}

fn cap() -> Value {
    json!({"type": "object", "required": ["max", "per"], "additionalProperties": false, "properties": {
        "max": {"type": "integer", "minimum": 1, "maximum": CAP_MAX},
        "per": {"description": "By the customer's clock, or a duration that rolls; at most P31D.",
            "anyOf": [{"enum": ["day", "week", "month"]}, {"$ref": "#/$defs/duration"}]},
        "scope": word("What it counts; without it: campaign.", &names(&CapScope::NAMES))}})
}

fn offer() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let template = || json!({"type": "string", "maxLength": TEMPLATE_BYTES_MAX});
    json!({"type": "object", "required": ["message"], "additionalProperties": false, "properties": {
        "when": {"$ref": "#/$defs/rule", "description": "For whom; without it: for everybody in the audience."},
        "value": worth("What it is worth to you; without it: as much as the campaign."),
        "offer": {"type": "object", "description": "What templates see as `offer`.",
            "required": ["kind"], "additionalProperties": false,
            "properties": {
                "kind": {"enum": ["percent", "amount", "voucher", "content"]},
                "value": {"type": "number"},
                "name": text("Of what."),
                "code": text("One that all share."),
                "currency": text("ISO 4217, such as EUR."),
                "content": {"description": "A document for the app; at most 16 KiB of JSON."},
                "codes": {"description": "Where each push's own code comes from.", "anyOf": [
                    {"enum": ["generated"]},
                    {"type": "object", "required": ["pool"], "additionalProperties": false, "properties": {
                        "pool": {"type": "string", "minLength": 1, "maxLength": POOL_BYTES_MAX}}}]}},
            "not": {"required": ["code", "codes"]},
            "anyOf": [{"properties": {"kind": {"enum": ["content"]}}}, {"not": {"required": ["content"]}}]},
        "message": {"type": "object", "description": "The words by language, such as en or zh-Hant.",
            "minProperties": 1, "maxProperties": LOCALES_MAX,
            "additionalProperties": {"type": "object", "required": ["title", "body"], "additionalProperties": false,
                "properties": {"title": template(), "body": template()}}},
        "push": {"$ref": "#/$defs/push", "description": "Lies over the campaign's."},
    }})
}

fn push() -> Value {
    const PLAIN: &str = "^[A-Za-z0-9._-]+$";
    let name = |description: &str| json!({"type": "string", "minLength": 1, "maxLength": NAME_BYTES_MAX, "description": description});
    let levels = [
        InterruptionLevel::Passive,
        InterruptionLevel::Active,
        InterruptionLevel::TimeSensitive,
        InterruptionLevel::Critical,
    ];
    json!({"type": "object", "additionalProperties": false, "properties": {
        "sound": {"type": "string", "pattern": PLAIN, "maxLength": NAME_BYTES_MAX,
            "description": "`default`, `none`, or a file of the app's."},
        "badge": {"type": "integer", "minimum": 0, "maximum": BADGE_MAX,
            "description": "The number on the app's icon; 0 takes it away."},
        "interruptionLevel": word("How much it may disturb (iOS).", &levels.map(InterruptionLevel::as_str)),
        "relevanceScore": {"type": "number", "minimum": 0, "maximum": 1, "description": "Its place in a summary (iOS)."},
        "threadId": name("Groups notifications (iOS)."),
        "category": name("Which buttons it has."),
        "mutableContent": {"type": "boolean", "description": "The app's service extension may change it first (iOS)."},
        "image": {"type": "string", "pattern": "^https://", "maxLength": IMAGE_BYTES_MAX, "description": "A picture's address."},
        "channel": name("The notification channel (Android)."),
        "priority": word("How soon the provider delivers.", &["high", "normal", "low"]),
        "background": {"type": "boolean", "description": "Wakes the app and shows nothing."},
        "data": {"type": "object", "description": "Custom fields for the app.", "maxProperties": DATA_FIELDS_MAX,
            "propertyNames": {"pattern": PLAIN, "maxLength": NAME_BYTES_MAX, "not": {"enum": RESERVED}},
            "additionalProperties": {"anyOf": [
                {"type": "string", "maxLength": DATA_VALUE_BYTES_MAX}, {"type": "number"}, {"type": "boolean"}]}},
    }})
}
