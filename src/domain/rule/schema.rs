//! The vocabulary as a JSON Schema (draft 2020-12), for editors and forms.

use serde_json::{Value, json};

use super::{
    DEPTH_MAX, ITEMS_MAX, RULES_MAX, Rule, TEXT_BYTES_MAX,
    read::{DAYS, MOMENT_WORDS, NUMBER_WORDS, VALUE_WORDS},
};
use crate::domain::{
    figures::{AMOUNT_MAX, COUNT_MAX},
    ids::ID_BYTES_MAX,
};

impl Rule {
    /// What [`Rule::read`] takes, but for limits that no schema can say: how deep and how many rules there are in all, that
    /// lengths count bytes, that ids hold no control characters, how long durations may be, which zones and instants there
    /// are, and that a time of the day doesn't end where it begins.
    pub fn json_schema() -> Value {
        let rules = json!({"type": "array", "maxItems": ITEMS_MAX, "items": {"$ref": "#/$defs/rule"}});
        let leaf = |kind: &str, description: &str, value: Value| compared(kind, description, value, &[], &json!({}));
        let id = || json!({"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX});
        let windowed = |mut fields: Value, required: &[&str]| {
            fields["within"] =
                json!({"$ref": "#/$defs/duration", "description": "In this length before the event; at most P400D."});
            fields["this"] = json!({"enum": ["day", "week", "month", "year"], "description": "Since it began, by the customer's calendar."});
            json!({"type": "object", "properties": fields, "required": required, "additionalProperties": false,
                "not": {"required": ["within", "this"]}})
        };
        let count = json!({"type": "integer", "minimum": 0, "maximum": COUNT_MAX});
        let counts = |kind: &str, description: &str, value: Value| {
            let words: serde_json::Map<_, _> = NUMBER_WORDS
                .iter()
                .map(|word| ((*word).to_owned(), count.clone()))
                .collect();
            let mut rule = compared(kind, description, value, &[], &Value::Object(words));
            rule["maxProperties"] = json!(2);
            rule
        };
        let amount = json!({"type": "number", "minimum": 0, "maximum": AMOUNT_MAX});
        let amounts: serde_json::Map<_, _> = NUMBER_WORDS
            .iter()
            .map(|word| ((*word).to_owned(), amount.clone()))
            .collect();
        let moment = json!({"type": "object", "properties": {
                "before": {"$ref": "#/$defs/instant"}, "after": {"$ref": "#/$defs/instant"},
                "within": {"$ref": "#/$defs/duration"}},
            "additionalProperties": false, "oneOf": one_of(&MOMENT_WORDS)});
        let clock = json!({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$"});
        let days: Vec<&str> = DAYS.iter().map(|(name, _)| *name).collect();
        let reaction = || windowed(json!({"campaign": id()}), &[]);
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Rule",
            "description": format!("Whom a campaign or an offer is for. At most {DEPTH_MAX} deep and {RULES_MAX} rules in all. \
                What is missing makes a rule false."),
            "$ref": "#/$defs/rule",
            "$defs": {
                "instant": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}", "description": "RFC 3339 with zone, or a date (its midnight in UTC)."},
                "duration": {"type": "string", "pattern": "^P", "description": "ISO 8601, without months and years."},
                "scalar": {"anyOf": [{"type": "string", "maxLength": TEXT_BYTES_MAX}, {"type": "number"}, {"type": "boolean"}]},
                "rule": {"oneOf": [
                    leaf("all", "Every one holds.", rules.clone()),
                    leaf("any", "At least one holds.", rules),
                    leaf("not", "It does not hold.", json!({"$ref": "#/$defs/rule"})),
                    value_rule("trait", "A trait of the customer compares so."),
                    value_rule("data", "A field of the outside event's data compares so."),
                    counts("visits", "So many visits; without a number at least one.", windowed(json!({
                        "tag": id(), "externalId": id(), "set": id(), "brand": id(),
                        "here": {"type": "boolean", "description": "Only the geofence that the event is about."}}), &[])),
                    counts("purchased", "So many items bought; without a number at least one.",
                        windowed(json!({"category": id(), "product": id()}), &[])),
                    {
                        "type": "object", "description": "So much spent.", "required": ["spent"],
                        "properties": with(Value::Object(amounts), "spent", windowed(
                            json!({"currency": {"type": "string", "pattern": "^[A-Z]{3}$"}}), &["currency"])),
                        "additionalProperties": false, "oneOf": one_of(&NUMBER_WORDS),
                    },
                    counts("opened", "So many pushes opened; without a number at least one.", reaction()),
                    counts("dismissed", "So many pushes dismissed; without a number at least one.", reaction()),
                    leaf("firstSeen", "When a device of the customer was heard of first.", moment.clone()),
                    leaf("lastSeen", "When one was heard of last.", moment),
                    leaf("topic", "The customer follows it.", json!({"anyOf": [id(), {
                        "type": "object", "properties": {"startsWith": id()}, "required": ["startsWith"],
                        "additionalProperties": false}]})),
                    compared("consent", "What the customer has said; without `is`: anything but no.",
                        json!({"enum": ["push", "location", "personalisation"]}), &[],
                        &json!({"is": {"enum": ["given", "refused", "unsaid"]}})),
                    leaf("platform", "The device is of it.", json!({"enum": ["ios", "android"]})),
                    leaf("app", "The device runs it: bundle id or package name.", id()),
                    leaf("locale", "The customer's language is it, or begins with it and a dash.", id()),
                    leaf("localTime", "It is that time of the day or week.", json!({
                        "type": "object", "additionalProperties": false, "properties": {
                            "from": clock, "until": clock,
                            "days": {"type": "array", "maxItems": days.len(), "items": {"enum": days}},
                            "zone": {"type": "string", "description": "`customer` (default), `geofence`, or an IANA zone."}}})),
                ]},
            },
        })
    }
}

/// An object with the rule's field, and perhaps others.
fn compared(kind: &str, description: &str, value: Value, required: &[&str], others: &Value) -> Value {
    let mut required = required.to_vec();
    required.push(kind);
    json!({"type": "object", "description": description, "required": required,
        "properties": with(others.clone(), kind, value), "additionalProperties": false})
}

fn with(mut fields: Value, name: &str, value: Value) -> Value {
    fields[name] = value;
    fields
}

fn one_of(words: &[&str]) -> Vec<Value> {
    words.iter().map(|word| json!({"required": [word]})).collect()
}

fn value_rule(kind: &str, description: &str) -> Value {
    let fields = json!({
        "is": {"$ref": "#/$defs/scalar"}, "contains": {"$ref": "#/$defs/scalar"},
        "in": {"type": "array", "maxItems": ITEMS_MAX, "items": {"$ref": "#/$defs/scalar"}},
        "atLeast": {"type": "number"}, "atMost": {"type": "number"}, "moreThan": {"type": "number"},
        "lessThan": {"type": "number"}, "exists": {"type": "boolean"},
        "before": {"$ref": "#/$defs/instant"}, "after": {"$ref": "#/$defs/instant"}, "within": {"$ref": "#/$defs/duration"},
    });
    let name = json!({"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX});
    let mut rule = compared(kind, description, name, &[], &fields);
    rule["oneOf"] = Value::from(one_of(&VALUE_WORDS));
    rule
}
