//! JSON into a value, with an eye on names that appear twice in an object.

use serde::de::{DeserializeSeed, Deserializer as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Parses one value. The name that appears twice first, if one does; of the two the last counts.
pub(super) fn parse(text: &[u8]) -> Result<(Value, Option<String>), serde_json::Error> {
    let mut twice = None;
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = deserializer.deserialize_any(Builder { twice: &mut twice })?;
    deserializer.end()?;
    Ok((value, twice))
}

struct Builder<'a> {
    twice: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Builder<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Builder<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Builder { twice: self.twice })? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Builder { twice: self.twice })?;
            if object.contains_key(&name) {
                self.twice.get_or_insert_with(|| name.clone());
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_appear_twice_are_told() {
        let text = r#"{"a": [1, -2, 1.5, "x", true, null, {"b": 1, "c": {}, "b": 2}], "a": 1}"#;
        let (value, twice) = parse(text.as_bytes()).unwrap();
        assert_eq!(value, serde_json::json!({"a": 1}));
        assert_eq!(twice.as_deref(), Some("b"));
        assert_eq!(parse(b"[[1.25]]").unwrap(), (serde_json::json!([[1.25]]), None));
    }

    #[test]
    fn the_parsers_limits_hold() {
        for text in [
            "[".repeat(5_000),
            "1e999".to_owned(),
            "{} {}".to_owned(),
            "[1,]".to_owned(),
        ] {
            assert!(parse(text.as_bytes()).is_err());
        }
    }
}
