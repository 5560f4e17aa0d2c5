//! What a campaign offers, to whom of its audience, in which words.

use std::sync::Arc;

use serde_json::Value;

use crate::domain::{
    audience::Rule,
    json_reader::{Node, Refusal},
    message::Messages,
    push_options::PushOptions,
};

/// An offer, for whom, in which words.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// For whom; `None`: for everybody in the audience.
    pub when: Option<Rule>,
    /// What templates see as `offer`: `kind`, `value`, `name`, `code`.
    pub terms: Value,
    /// The words.
    pub messages: Messages,
    /// How the push looks, sounds and behaves: the offer's own wishes over the campaign's.
    pub push: Arc<PushOptions>,
}

impl Offer {
    pub(super) fn read(node: &Node<'_>, push: &Arc<PushOptions>) -> Result<Self, Refusal> {
        node.only(&["when", "offer", "message", "push"])?;
        let terms = match node.field("offer")? {
            None => Value::Null,
            Some(terms) => {
                terms.only(&["kind", "value", "name", "code", "currency"])?;
                terms
                    .required("kind")?
                    .one_of(&[("percent", ()), ("amount", ()), ("voucher", ()), ("content", ())])?;
                if let Some(value) = terms.field("value")? {
                    value.number()?;
                }
                for text in ["name", "code", "currency"] {
                    if let Some(field) = terms.field(text)? {
                        field.text()?;
                    }
                }
                terms.value().clone()
            }
        };
        Ok(Self {
            when: node.field("when")?.map(|rule| Rule::read(&rule)).transpose()?,
            terms,
            messages: Messages::read(&node.required("message")?)?,
            push: node.field("push")?.map_or_else(
                || Ok(Arc::clone(push)),
                |own| PushOptions::read(&own, push).map(Arc::new),
            )?,
        })
    }
}
