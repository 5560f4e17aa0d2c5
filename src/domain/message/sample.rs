//! Messages as a made-up customer would get them, looked at when a campaign is saved.

use serde_json::{Map, Value, json};
use unicode_segmentation::UnicodeSegmentation as _;

use super::{Messages, Reader, Words};
use crate::domain::json_reader::{Node, Refusal};

/// What lock screens show of a title, in characters, roughly.
const TITLE_CHARACTERS: usize = 65;
/// What they show of a body once it is opened, in characters, roughly.
const BODY_CHARACTERS: usize = 240;
/// Longest sample, in bytes of JSON.
const SAMPLE_BYTES_MAX: usize = 16 * 1024;

/// A customer whom templates are tried with.
#[derive(Debug, Clone)]
pub struct Sample(Value);

impl Sample {
    /// Reads `sample` of a campaign: parts of a context, over those that are built in.
    pub fn read(campaign: &Node<'_>, words: &Words) -> Result<Self, Refusal> {
        let mut context = built_in(words.has_geofence());
        if let Some(sample) = campaign.field("sample")? {
            if sample.value().to_string().len() > SAMPLE_BYTES_MAX {
                return Err(sample.refuse(format!("is longer than {SAMPLE_BYTES_MAX} bytes")));
            }
            sample.only(&["user", "geofence", "event", "usual", "visits", "ladder"])?;
            merge(&mut context, sample.object()?);
        }
        Ok(Self(context))
    }
}

/// The least that a context has, and a little of what it may have.
fn built_in(has_geofence: bool) -> Value {
    let mut context = json!({"user": {"id": "sample", "name": "Alex", "traits": {}}, "event": {}});
    if has_geofence {
        context["geofence"] =
            json!({"tag": "shop", "externalId": "shop-1", "description": "Corner Shop", "metadata": {}});
    }
    context
}

fn merge(into: &mut Value, fields: &Map<String, Value>) {
    for (name, value) in fields {
        match (value, &into[name]) {
            (Value::Object(inner), Value::Object(_)) => merge(&mut into[name], inner),
            _ => into[name] = value.clone(),
        }
    }
}

impl Messages {
    /// Renders every language for the sample and for somebody of whom nothing is known. Refuses what fails or is empty;
    /// `pointer` is the place of the message. Answers what is longer than phones show.
    pub fn try_out(&self, pointer: &str, sample: &Sample, terms: &Value) -> Result<Vec<String>, Refusal> {
        let mut context = sample.0.clone();
        context["offer"] = terms.clone();
        let mut unknown = json!({"offer": terms});
        if !context["geofence"].is_null() {
            let sure = |field: &str| context["geofence"][field].clone();
            unknown["geofence"] = json!({
                "tag": sure("tag"), "externalId": sure("externalId"), "description": sure("description"),
            });
        }
        let mut warnings = Vec::new();
        for tag in self.languages() {
            let reader = Reader {
                locale: Some(tag),
                time_zone: None,
            };
            let refuse = |field: &str, detail: String| Refusal {
                pointer: format!("{pointer}/{}{field}", self.written_tag(tag)),
                detail,
            };
            let known = self
                .render(&reader, &context)
                .map_err(|error| refuse("", error.to_string()))?;
            let bare = self
                .render(&reader, &unknown)
                .map_err(|error| refuse("", error.to_string()))?;
            let parts = [
                ("/title", &known.title, &bare.title, TITLE_CHARACTERS),
                ("/body", &known.body, &bare.body, BODY_CHARACTERS),
            ];
            for (field, known, bare, characters_max) in parts {
                if known.trim().is_empty() {
                    return Err(refuse(field, "comes out empty for the sample".to_owned()));
                }
                if bare.trim().is_empty() {
                    let detail = "comes out empty for a customer of whom nothing is known; give its `if` an `else`";
                    return Err(refuse(field, detail.to_owned()));
                }
                let characters = known.graphemes(true).count().max(bare.graphemes(true).count());
                if characters > characters_max {
                    let place = refuse(field, String::new()).pointer;
                    warnings.push(format!(
                        "{place} has {characters} characters, phones show about {characters_max}"
                    ));
                }
            }
        }
        Ok(warnings)
    }
}
