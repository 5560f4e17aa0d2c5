//! The owner's own fields of a geofence.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// A JSON object, kept as its text: a tenth of the memory of a map, and most are never looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata(Option<Arc<str>>);

impl Metadata {
    /// Takes back what [`Metadata::as_text`] gave.
    pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_str::<&serde_json::value::RawValue>(text)?;
        Ok(Self(Some(text.into())))
    }

    /// The object as JSON with its keys in order; empty when there are no fields.
    pub fn as_text(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// One field. Where the text doesn't even have its name, nothing is read.
    pub fn field(&self, name: &str) -> Option<Value> {
        self.as_text().contains(name).then(|| self.to_map().remove(name))?
    }

    /// The fields.
    pub fn to_map(&self) -> Map<String, Value> {
        serde_json::from_str(self.as_text()).unwrap_or_default()
    }
}

impl From<Map<String, Value>> for Metadata {
    fn from(fields: Map<String, Value>) -> Self {
        Self((!fields.is_empty()).then(|| Value::Object(fields).to_string().into()))
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_map().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_come_back_and_equal_ones_are_equal() {
        let fields: Metadata = serde_json::from_str(r#"{"b": [1.5, null], "a": "é"}"#).unwrap();
        let same: Metadata = serde_json::from_str(r#"{"a":"\u00e9","b":[1.5,null]}"#).unwrap();
        assert_eq!(fields, same);
        assert_eq!(json!(fields), json!({"a": "é", "b": [1.5, null]}));
        assert_eq!(Metadata::from_text(fields.as_text()).unwrap(), fields);
        assert!(Metadata::from(Map::new()).is_empty());
        assert_eq!(json!(Metadata::from_text("").unwrap()), json!({}));
        assert!(Metadata::from_text("{\"a\":").is_err());
    }
}
