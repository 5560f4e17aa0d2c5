//! The payload: Apple's `aps` dictionary and custom fields beside it (developer.apple.com, "Generating a remote
//! notification").

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::domain::{
    delivery::{Outcome, Push},
    push_options::{InterruptionLevel, PushOptions, Sound},
};

use super::{super::payload::fit, request::never};

pub(super) struct Rendered {
    pub(super) body: Bytes,
    /// Whether the text was cut to fit.
    pub(super) shortened: bool,
}

/// At most 4096 bytes; a longer text is cut.
pub(super) fn render(push: &Push) -> Result<Rendered, Outcome> {
    if push.data.iter().any(|(key, _)| key == "aps") {
        return Err(never("a custom field must not be named `aps`"));
    }
    let fitted = fit(&push.message.body, |body| serde_json::to_vec(&Payload { push, body }));
    match fitted {
        Ok(Some(fitted)) => Ok(Rendered {
            body: fitted.bytes,
            shortened: fitted.shortened || push.message.shortened,
        }),
        Ok(None) => Err(never("PayloadTooLarge")),
        Err(_) => Err(never("the payload can't be written as JSON")),
    }
}

struct Payload<'a> {
    push: &'a Push,
    body: &'a str,
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { push, body } = self;
        let options = &*push.options;
        let mut map = serializer.serialize_map(None)?;
        if options.background {
            map.serialize_entry("aps", &Silent { content_available: 1 })?;
            map.serialize_entry("title", &push.message.title)?;
            map.serialize_entry("body", body)?;
        } else {
            map.serialize_entry("aps", &Aps::new(push, body, options))?;
        }
        if let Some(image) = options.image.as_deref().filter(|_| !options.background) {
            map.serialize_entry("image", image)?;
        }
        for (key, value) in options.data.iter().chain(&push.data) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Silent {
    content_available: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Aps<'a> {
    alert: Alert<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sound: Option<ApsSound<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    badge: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mutable_content: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interruption_level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relevance_score: Option<f64>,
}

#[derive(Serialize)]
struct Alert<'a> {
    title: &'a str,
    body: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ApsSound<'a> {
    Plain(&'a str),
    Critical { critical: u8, name: &'a str, volume: f64 },
}

impl<'a> Aps<'a> {
    fn new(push: &'a Push, body: &'a str, options: &'a PushOptions) -> Self {
        let sound = match &options.sound {
            Sound::Default => Some("default"),
            Sound::None => None,
            Sound::Named(name) => Some(&**name),
        };
        let critical = options.interruption_level == Some(InterruptionLevel::Critical);
        Self {
            alert: Alert {
                title: &push.message.title,
                body,
            },
            sound: sound.map(|name| {
                if critical {
                    ApsSound::Critical {
                        critical: 1,
                        name,
                        volume: 1.0,
                    }
                } else {
                    ApsSound::Plain(name)
                }
            }),
            badge: options.badge,
            thread_id: options.thread_id.as_deref(),
            category: options.category.as_deref(),
            mutable_content: options.is_mutable().then_some(1),
            interruption_level: options.interruption_level.map(InterruptionLevel::as_str),
            relevance_score: options.relevance_score,
        }
    }
}
