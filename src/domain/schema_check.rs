//! What of JSON Schema our schemas use, in a few lines, so that tests can hold them against the readers. A keyword that is not
//! known here fails.

use serde_json::Value;

/// Whether the schema takes the value.
pub(super) fn is_valid(schema: &Value, value: &Value) -> bool {
    holds(schema, schema, value)
}

fn holds(root: &Value, schema: &Value, value: &Value) -> bool {
    let keywords = schema.as_object().expect("a schema");
    keywords.iter().all(|(keyword, wanted)| {
        let each = || wanted.as_array().expect("a list").iter();
        let valid = |schema: &Value, value: &Value| holds(root, schema, value);
        let bound = || wanted.as_u64().expect("a count") as usize;
        match keyword.as_str() {
            "$schema" | "title" | "description" | "format" | "$defs" => true,
            "$ref" => valid(
                root.pointer(wanted.as_str().expect("a path").trim_start_matches('#'))
                    .expect("a definition"),
                value,
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
            "oneOf" => each().filter(|schema| valid(schema, value)).count() == 1,
            "anyOf" => each().any(|schema| valid(schema, value)),
            "not" => !valid(wanted, value),
            "required" => value
                .as_object()
                .is_none_or(|object| each().all(|key| object.contains_key(key.as_str().expect("a key")))),
            "properties" => value.as_object().is_none_or(|object| {
                object
                    .iter()
                    .all(|(key, value)| wanted.get(key).is_none_or(|schema| holds(root, schema, value)))
            }),
            "additionalProperties" => value.as_object().is_none_or(|object| {
                let known = keywords.get("properties").and_then(Value::as_object);
                let others = object
                    .iter()
                    .filter(|(key, _)| known.is_none_or(|known| !known.contains_key(*key)));
                match wanted {
                    Value::Bool(allowed) => *allowed || others.count() == 0,
                    schema => others.into_iter().all(|(_, value)| valid(schema, value)),
                }
            }),
            "propertyNames" => value
                .as_object()
                .is_none_or(|object| object.keys().all(|key| valid(wanted, &Value::from(key.as_str())))),
            "dependentRequired" => value.as_object().is_none_or(|object| {
                let asked = wanted.as_object().expect("fields").iter();
                let mut asked = asked.filter(|(key, _)| object.contains_key(*key));
                asked.all(|(_, others)| {
                    let mut others = others.as_array().expect("a list").iter();
                    others.all(|key| object.contains_key(key.as_str().expect("a key")))
                })
            }),
            "minProperties" => value.as_object().is_none_or(|object| object.len() >= bound()),
            "maxProperties" => value.as_object().is_none_or(|object| object.len() <= bound()),
            "items" => value
                .as_array()
                .is_none_or(|items| items.iter().all(|item| holds(root, wanted, item))),
            "maxItems" => value.as_array().is_none_or(|items| items.len() <= bound()),
            "minItems" => value.as_array().is_none_or(|items| items.len() >= bound()),
            "minLength" => value.as_str().is_none_or(|text| text.chars().count() >= bound()),
            "maxLength" => value.as_str().is_none_or(|text| text.chars().count() <= bound()),
            "minimum" => value
                .as_f64()
                .is_none_or(|number| number >= wanted.as_f64().expect("a number")),
            "maximum" => value
                .as_f64()
                .is_none_or(|number| number <= wanted.as_f64().expect("a number")),
            "exclusiveMinimum" => value
                .as_f64()
                .is_none_or(|number| number > wanted.as_f64().expect("a number")),
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
            let is_dash = |index: usize| index == 4 || index == 7;
            let mut start = text.bytes().take(10).enumerate();
            text.len() >= 10
                && start.all(|(index, byte)| {
                    if is_dash(index) {
                        byte == b'-'
                    } else {
                        byte.is_ascii_digit()
                    }
                })
        }
        "^https://" => text.starts_with("https://"),
        "^[A-Za-z0-9._-]+$" => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !text.is_empty() && text.bytes().all(plain)
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
