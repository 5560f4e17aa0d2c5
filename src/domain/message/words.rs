//! A campaign's own words for what is missing, and the language that counts when no other fits.

use serde_json::Value;

use super::{locale::Language, path::Path};
use crate::domain::json_reader::{Node, Refusal};

/// Most variables with a default.
const DEFAULTS_MAX: usize = 100;
/// Longest default, in bytes.
const DEFAULT_BYTES_MAX: usize = 200;
/// Most languages of one default.
const LANGUAGES_MAX: usize = 100;

/// What all messages of a campaign share.
#[derive(Debug, Clone, Default)]
pub struct Words {
    language: Option<Language>,
    defaults: Vec<(Path, Default)>,
    has_geofence: bool,
    has_ladder: bool,
}

/// What stands for a missing variable.
#[derive(Debug, Clone)]
enum Default {
    Everywhere(Value),
    ByLanguage(Vec<(Language, Value)>),
}

impl Words {
    /// Reads `defaults` and `defaultLocale` of a campaign. `has_geofence`: its trigger puts the customer into one;
    /// `has_ladder`: it counts steps.
    pub fn read(campaign: &Node<'_>, has_geofence: bool, has_ladder: bool) -> Result<Self, Refusal> {
        let language = campaign.field("defaultLocale")?;
        let language = language.map(|tag| tag.parse(Language::parse)).transpose()?;
        let mut defaults = Vec::new();
        if let Some(fields) = campaign.field("defaults")? {
            if fields.object()?.len() > DEFAULTS_MAX {
                return Err(fields.refuse(format!("has more than {DEFAULTS_MAX} fields")));
            }
            for (name, value) in fields.fields()? {
                let path = Path::parse(name).map_err(|detail| value.refuse(detail))?;
                defaults.push((path, read_default(&value)?));
            }
        }
        Ok(Self {
            language,
            defaults,
            has_geofence,
            has_ladder,
        })
    }

    /// The language that counts when no other fits.
    pub(super) fn language(&self) -> Option<&Language> {
        self.language.as_ref()
    }

    /// What stands for a missing variable in a message of that language.
    pub(super) fn default(&self, path: &Path, language: &Language) -> Option<Value> {
        let (_, default) = self.defaults.iter().find(|(known, _)| known == path)?;
        match default {
            Default::Everywhere(value) => Some(value.clone()),
            Default::ByLanguage(values) => {
                let wider = language.and_wider();
                let nearest = wider
                    .iter()
                    .find_map(|tag| values.iter().find(|(language, _)| language.to_string() == *tag));
                nearest.map(|(_, value)| value.clone())
            }
        }
    }

    /// Whether the variable is there for every customer.
    pub(super) fn is_sure(&self, path: &Path, terms: &Value) -> bool {
        let parts: Vec<&str> = path.parts().iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["offer", field] => terms.get(*field).is_some_and(|value| !value.is_null()),
            ["geofence", "tag" | "externalId" | "description"] => self.has_geofence,
            ["ladder", "step"] => self.has_ladder,
            _ => false,
        }
    }

    /// Whether templates know where the customer is.
    pub(super) fn has_geofence(&self) -> bool {
        self.has_geofence
    }
}

fn read_default(node: &Node<'_>) -> Result<Default, Refusal> {
    if !node.value().is_object() {
        return Ok(Default::Everywhere(read_scalar(node)?));
    }
    let fields = node.fields()?;
    if fields.is_empty() || fields.len() > LANGUAGES_MAX {
        return Err(node.refuse(format!("needs one to {LANGUAGES_MAX} languages")));
    }
    let by_language = fields.into_iter().map(|(tag, value)| {
        let language = Language::parse(tag).map_err(|detail| value.refuse(detail))?;
        Ok((language, read_scalar(&value)?))
    });
    Ok(Default::ByLanguage(by_language.collect::<Result<_, Refusal>>()?))
}

fn read_scalar(node: &Node<'_>) -> Result<Value, Refusal> {
    match node.value() {
        Value::String(text) if text.trim().is_empty() => Err(node.refuse("must not be blank")),
        Value::String(text) if text.len() > DEFAULT_BYTES_MAX => Err(node.refuse(format!(
            "is {} bytes long, the limit is {DEFAULT_BYTES_MAX}",
            text.len()
        ))),
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(node.value().clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(node.refuse("must be a text or a number")),
    }
}
