//! What a template sees: only the variables that it reads, each of them bounded, with the campaign's own words in place of
//! those that are missing.

use minijinja::value::Value;
use serde_json::Value as Json;

use super::{filters::TEXT_BYTES_MAX, path::Path};

/// Where the reader's conventions are; no template can write this name.
pub(super) const FORMATS: &str = "=formats";
/// Most items that are taken of a list or object, in all.
const ITEMS_MAX: usize = 100;
/// Deepest list or object.
const DEPTH_MAX: u8 = 4;

/// The variables that a template reads, as a tree of their parts.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Wanted {
    below: Vec<(String, Wanted)>,
    is_read: bool,
    default: Option<Json>,
}

impl Wanted {
    /// Adds a variable, and what stands for it where it is missing.
    pub(super) fn add(&mut self, path: &Path, default: Option<Json>) {
        let mut node = self;
        for part in path.parts() {
            let at = node.below.iter().position(|(name, _)| name == part).unwrap_or_else(|| {
                node.below.push((part.clone(), Self::default()));
                node.below.len() - 1
            });
            let Some((_, next)) = node.below.get_mut(at) else {
                return;
            };
            node = next;
        }
        node.is_read = true;
        if default.is_some() {
            node.default = default;
        }
    }

    /// What a template sees of a context.
    pub(super) fn see(&self, context: &Json, formats: Value) -> Value {
        let below = self.below.iter().filter_map(|(name, wanted)| {
            let value = wanted.value(context.get(name))?;
            Some((name.as_str(), value))
        });
        Value::from_pairs(below.chain([(FORMATS, formats)]))
    }

    fn value(&self, found: Option<&Json>) -> Option<Value> {
        // A blank text is as good as none.
        let found = found.filter(|found| match found {
            Json::Null => false,
            Json::String(text) => !text.trim().is_empty(),
            Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => true,
        });
        let is_scalar = self.is_read && found.is_some_and(|found| !found.is_object());
        if !self.below.is_empty() && !is_scalar {
            let below: Vec<(&str, Value)> = self
                .below
                .iter()
                .filter_map(|(name, wanted)| {
                    Some((name.as_str(), wanted.value(found.and_then(|found| found.get(name)))?))
                })
                .collect();
            if !below.is_empty() {
                return Some(Value::from_pairs(below));
            }
        }
        if !self.is_read {
            return None;
        }
        let mut items_left = ITEMS_MAX;
        let found = found.or(self.default.as_ref());
        found.map(|found| copy(found, &mut items_left, DEPTH_MAX))
    }
}

fn copy(json: &Json, items_left: &mut usize, depth_left: u8) -> Value {
    match json {
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => number
            .as_i64()
            .map(Value::from)
            .or_else(|| number.as_f64().map(Value::from))
            .unwrap_or_default(),
        Json::String(text) => Value::from(text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default()),
        Json::Array(items) if depth_left > 0 => items
            .iter()
            .take_while(|_| take_one(items_left))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|item| copy(item, items_left, depth_left - 1))
            .collect(),
        Json::Object(fields) if depth_left > 0 => {
            let fields: Vec<_> = fields.iter().take_while(|_| take_one(items_left)).collect();
            Value::from_pairs(
                fields
                    .into_iter()
                    .map(|(name, value)| (name.as_str(), copy(value, items_left, depth_left - 1)))
                    .collect::<Vec<_>>(),
            )
        }
        Json::Null | Json::Array(_) | Json::Object(_) => Value::UNDEFINED,
    }
}

fn take_one(left: &mut usize) -> bool {
    *left = left.saturating_sub(1);
    *left > 0
}
