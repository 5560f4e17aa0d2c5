//! What a campaign offers, to whom of its audience, in which words.

use std::sync::Arc;

use serde_json::Value;

use super::codes::Codes;
use crate::domain::{
    json_reader::{Node, Refusal},
    message::{Messages, Words},
    push_options::PushOptions,
    rule::Rule,
};

/// Largest document for the app, in bytes of JSON.
pub const CONTENT_BYTES_MAX: usize = 16 * 1024;
/// What an offer may be worth at most.
pub(super) const WORTH_MAX: f64 = 1e9;

/// An offer, for whom, in which words.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// For whom; `None`: for everybody in the audience.
    pub when: Option<Rule>,
    /// What templates see as `offer`: `kind`, `value`, `name`, `code`.
    pub terms: Value,
    /// Where each delivery's own code comes from.
    pub codes: Codes,
    /// What it is worth to the marketer, for the choice among campaigns; `None`: as much as the campaign.
    pub worth: Option<f64>,
    /// A document for the app, of an offer of the kind `content`; what a check-in is answered with.
    pub content: Option<Value>,
    /// The words.
    pub messages: Messages,
    /// How the push looks, sounds and behaves: the offer's own wishes over the campaign's.
    pub push: Arc<PushOptions>,
}

impl Offer {
    /// What its messages can count on.
    pub(super) fn seen_terms(&self) -> Value {
        seen_terms(&self.terms, &self.codes)
    }

    pub(super) fn read(node: &Node<'_>, push: &Arc<PushOptions>, words: &Words) -> Result<Self, Refusal> {
        node.only(&["when", "value", "offer", "message", "push"])?;
        let (mut content, mut codes) = (None, Codes::None);
        let terms = match node.field("offer")? {
            None => Value::Null,
            Some(terms) => {
                terms.only(&["kind", "value", "name", "code", "currency", "content", "codes"])?;
                let kinds = [
                    ("percent", false),
                    ("amount", false),
                    ("voucher", false),
                    ("content", true),
                ];
                let is_content = terms.required("kind")?.one_of(&kinds)?;
                if let Some(document) = terms.field("content")? {
                    if !is_content {
                        return Err(document.refuse("only an offer of the kind `content` has it"));
                    }
                    let bytes = document.value().to_string().len();
                    if bytes > CONTENT_BYTES_MAX {
                        let detail = format!("is {bytes} bytes of JSON, the limit is {CONTENT_BYTES_MAX}");
                        return Err(document.refuse(detail));
                    }
                    content = Some(document.value().clone());
                }
                if let Some(value) = terms.field("value")? {
                    value.number()?;
                }
                for text in ["name", "code", "currency"] {
                    if let Some(field) = terms.field(text)? {
                        field.text()?;
                    }
                }
                if let Some(source) = terms.field("codes")? {
                    if terms.field("code")?.is_some() {
                        return Err(
                            source.refuse("each push gets a code of its own; leave out `code`, which all share")
                        );
                    }
                    codes = Codes::read(&source)?;
                }
                let mut seen = terms.value().clone();
                if let Some(fields) = seen.as_object_mut() {
                    fields.remove("content");
                    fields.remove("codes");
                }
                seen
            }
        };
        Ok(Self {
            when: node.field("when")?.map(|rule| Rule::read(&rule)).transpose()?,
            messages: Messages::read(&node.required("message")?, words, &seen_terms(&terms, &codes))?,
            terms,
            codes,
            worth: node.field("value")?.map(|worth| read_worth(&worth)).transpose()?,
            content,
            push: node.field("push")?.map_or_else(
                || Ok(Arc::clone(push)),
                |own| PushOptions::read(&own, push).map(Arc::new),
            )?,
        })
    }
}

/// What messages can count on: the terms, and a code where each push gets its own.
fn seen_terms(terms: &Value, codes: &Codes) -> Value {
    let mut seen = terms.clone();
    if let (Some(fields), false) = (seen.as_object_mut(), *codes == Codes::None) {
        fields.insert("code".to_owned(), Value::from("7KQ4-M2ZD-9XFT"));
    }
    seen
}

/// What a push is worth to the marketer: any number from 0, in a unit of their own.
pub(super) fn read_worth(node: &Node<'_>) -> Result<f64, Refusal> {
    let worth = node.number()?;
    if (0.0..=WORTH_MAX).contains(&worth) {
        Ok(worth)
    } else {
        Err(node.refuse(format!("must be from 0 to {WORTH_MAX}")))
    }
}
