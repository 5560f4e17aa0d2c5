//! The schema says what the reader takes. What of JSON Schema it uses is checked here in a few lines; a keyword that is not
//! known here fails.

use serde_json::{Value, json};

use super::{Rule, read};

/// Whether the schema takes a rule.
pub(super) fn takes(value: &Value) -> bool {
    let schema = Rule::json_schema();
    is_valid(&schema, &schema, value)
}

fn is_valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let keywords = schema.as_object().expect("a schema");
    keywords.iter().all(|(keyword, wanted)| {
        let each = || wanted.as_array().expect("a list").iter();
        let valid = |schema: &Value| is_valid(root, schema, value);
        let bound = || wanted.as_u64().expect("a count") as usize;
        match keyword.as_str() {
            "$schema" | "title" | "description" | "$defs" => true,
            "$ref" => valid(
                root.pointer(wanted.as_str().expect("a path").trim_start_matches('#'))
                    .expect("a definition"),
            ),
            "type" => match wanted.as_str().expect("a type") {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "number" => value.is_number(),
                "integer" => value.as_i64().is_some(),
                other => panic!("type {other}"),
            },
            "enum" => each().any(|one| one == value),
            "oneOf" => each().filter(|schema| valid(schema)).count() == 1,
            "anyOf" => each().any(valid),
            "not" => !valid(wanted),
            "required" => value
                .as_object()
                .is_none_or(|object| each().all(|key| object.contains_key(key.as_str().expect("a key")))),
            "properties" => value.as_object().is_none_or(|object| {
                object
                    .iter()
                    .all(|(key, value)| wanted.get(key).is_none_or(|schema| is_valid(root, schema, value)))
            }),
            "additionalProperties" => {
                assert_eq!(*wanted, json!(false));
                let known = keywords["properties"].as_object().expect("properties");
                value
                    .as_object()
                    .is_none_or(|object| object.keys().all(|key| known.contains_key(key)))
            }
            "maxProperties" => value.as_object().is_none_or(|object| object.len() <= bound()),
            "items" => value
                .as_array()
                .is_none_or(|items| items.iter().all(|item| is_valid(root, wanted, item))),
            "maxItems" => value.as_array().is_none_or(|items| items.len() <= bound()),
            "minLength" => value.as_str().is_none_or(|text| text.chars().count() >= bound()),
            "maxLength" => value.as_str().is_none_or(|text| text.chars().count() <= bound()),
            "minimum" => value
                .as_f64()
                .is_none_or(|number| number >= wanted.as_f64().expect("a number")),
            "maximum" => value
                .as_f64()
                .is_none_or(|number| number <= wanted.as_f64().expect("a number")),
            "pattern" => value
                .as_str()
                .is_none_or(|text| fits(wanted.as_str().expect("a pattern"), text)),
            other => panic!("keyword {other}"),
        }
    })
}

/// The patterns that the schema has.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern {
        "^P" => text.starts_with('P'),
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}" => {
            let date = text.bytes().zip("0000-00-00".bytes());
            text.len() >= 10
                && date
                    .into_iter()
                    .all(|(byte, form)| byte == form || (form == b'0' && byte.is_ascii_digit()))
        }
        "^[A-Z]{3}$" => text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()),
        "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$" => {
            let digits = text.bytes().enumerate().all(|(index, byte)| {
                if index == 2 {
                    byte == b':'
                } else {
                    byte.is_ascii_digit()
                }
            });
            text.len() == 5 && digits && (text == "24:00" || (&text[..2] < "24" && &text[3..] < "60"))
        }
        other => panic!("pattern {other}"),
    }
}

#[test]
fn the_schema_takes_what_the_reader_takes() {
    for (rule, good) in [
        (json!({"all": []}), true),
        (
            json!({"any": [{"topic": "t"}, {"not": {"topic": {"startsWith": "f"}}}]}),
            true,
        ),
        (json!({"topic": {"startsWith": ""}}), false),
        (json!({"topic": 1}), false),
        (json!({"trait": "a", "is": "b"}), true),
        (json!({"trait": "a", "is": "b", "in": []}), false),
        (json!({"trait": "a", "in": ["b", 1, true]}), true),
        (json!({"trait": "a", "in": "b"}), false),
        (json!({"trait": "", "is": 1}), false),
        (json!({"data": "a", "exists": true}), true),
        (json!({"data": "a", "exists": 1}), false),
        (json!({"data": "a", "within": "3 days"}), false),
        (json!({"visits": {"tag": "cafe", "within": "P30D"}, "atLeast": 3}), true),
        (
            json!({"visits": {"tag": "cafe", "within": "P30D", "this": "day"}}),
            false,
        ),
        (json!({"visits": {"tag": "cafe"}, "atLeast": 3, "atMost": 4}), false),
        (json!({"visits": {"tag": "cafe"}, "atLeast": 101}), false),
        (json!({"visits": {"tag": "cafe"}, "exists": true}), false),
        (
            json!({"visits": {"here": true, "set": "s", "brand": "b", "externalId": "e", "this": "year"}}),
            true,
        ),
        (json!({"visits": "cafe"}), false),
        (
            json!({"purchased": {"category": "c", "product": "p", "within": "P7D"}}),
            true,
        ),
        (json!({"purchased": {"tag": "c"}}), false),
        (
            json!({"spent": {"currency": "EUR", "this": "month"}, "moreThan": 10.5}),
            true,
        ),
        (json!({"spent": {"currency": "EUR"}}), false),
        (json!({"spent": {"currency": "eur"}, "is": 1}), false),
        (json!({"spent": {}, "is": 1}), false),
        (json!({"spent": {"currency": "EUR"}, "is": -1}), false),
        (json!({"opened": {"campaign": "c", "within": "P7D"}}), true),
        (json!({"dismissed": {}, "lessThan": 2}), true),
        (json!({"opened": {"brand": "c"}}), false),
        (json!({"lastSeen": {"within": "P7D"}}), true),
        (json!({"lastSeen": {"within": "P7D", "before": "2026-01-01"}}), false),
        (json!({"firstSeen": {}}), false),
        (json!({"firstSeen": {"before": "2026-01-01"}, "is": 1}), false),
        (json!({"consent": "push"}), true),
        (json!({"consent": "push", "is": "given"}), true),
        (json!({"consent": "push", "is": true}), false),
        (json!({"consent": "sound"}), false),
        (json!({"platform": "ios"}), true),
        (json!({"platform": "windows"}), false),
        (json!({"app": "app.beckon.test"}), true),
        (json!({"locale": "zh"}), true),
        (json!({"locale": ""}), false),
        (
            json!({"localTime": {"from": "22:00", "until": "24:00", "days": ["mon"], "zone": "customer"}}),
            true,
        ),
        (json!({"localTime": {"from": "24:01"}}), false),
        (json!({"localTime": {"days": ["monday"]}}), false),
        (json!({"localTime": {"at": "10:00"}}), false),
        (json!({"topic": "t", "platform": "ios"}), false),
        (json!({}), false),
        (json!("topic"), false),
        (json!(null), false),
    ] {
        assert_eq!(read(&rule).is_ok(), good, "the reader: {rule}: {:?}", read(&rule));
        assert_eq!(takes(&rule), good, "the schema: {rule}");
    }
}

#[test]
fn the_examples_of_the_page_are_rules() {
    let page = include_str!("../../../../docs/rules.md");
    let mut examples = 0;
    for block in page.split("```json\n").skip(1) {
        let text = block.split("```").next().expect("an end");
        let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let rule = read(&value);
        assert!(rule.is_ok() && takes(&value), "{text}: {rule:?}");
        examples += 1;
    }
    for line in page.lines().filter(|line| line.starts_with("| `{")) {
        let text = line.trim_start_matches("| `").split('`').next().expect("an end");
        let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let rule = read(&value);
        assert!(rule.is_ok() && takes(&value), "{text}: {rule:?}");
        examples += 1;
    }
    assert!(examples >= 25, "{examples} examples");
}
