//! The message (firebase.google.com/docs/reference/fcm/rest/v1/projects.messages).

use bytes::Bytes;
use serde::{Serialize, Serializer};

use crate::domain::{
    delivery::{Outcome, Push},
    push_options::{PushOptions, PushPriority, Sound},
    time::{DurationMs, Timestamp},
};

use super::super::payload::fit;

/// FCM keeps a message at most four weeks.
const TTL_MAX: DurationMs = DurationMs::from_secs(28 * 24 * 3600);

pub(super) struct Rendered {
    pub(super) body: Bytes,
    /// Whether the text was cut to fit.
    pub(super) shortened: bool,
}

/// At most 4096 bytes; a longer text is cut.
pub(super) fn render(push: &Push, now: Timestamp) -> Result<Rendered, Outcome> {
    let never = |reason: &str| Outcome::Never {
        reason: reason.to_owned(),
    };
    let ttl = push.expires_at.since(now).min(TTL_MAX);
    let ttl = format!("{}s", ttl.0.max(0) / 1000);
    match fit(&push.message.body, |body| {
        serde_json::to_vec(&Envelope::new(push, body, &ttl))
    }) {
        Ok(Some(fitted)) => Ok(Rendered {
            body: fitted.bytes,
            shortened: fitted.shortened || push.message.shortened,
        }),
        Ok(None) => Err(never("the message is larger than 4096 bytes")),
        Err(_) => Err(never("the message can't be written as JSON")),
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    message: Message<'a>,
}

#[derive(Serialize)]
struct Message<'a> {
    token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification: Option<Notification<'a>>,
    #[serde(skip_serializing_if = "Data::is_empty")]
    data: Data<'a>,
    android: Android<'a>,
}

#[derive(Serialize)]
struct Notification<'a> {
    title: &'a str,
    body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
}

/// Custom fields; with a background push also the words, for the app to do with as it likes.
struct Data<'a> {
    words: Option<(&'a str, &'a str)>,
    of_campaign: &'a [(String, String)],
    of_delivery: &'a [(String, String)],
}

impl Data<'_> {
    fn is_empty(&self) -> bool {
        self.words.is_none() && self.of_campaign.is_empty() && self.of_delivery.is_empty()
    }
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let words = self.words.map(|(title, body)| [("title", title), ("body", body)]);
        let fields = self.of_campaign.iter().chain(self.of_delivery);
        let fields = fields.map(|(key, value)| (key.as_str(), value.as_str()));
        serializer.collect_map(words.into_iter().flatten().chain(fields))
    }
}

/// No `collapse_key`: a device has only four of them, and the tag replaces on the screen.
#[derive(Serialize)]
struct Android<'a> {
    priority: &'static str,
    ttl: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification: Option<AndroidNotification<'a>>,
}

#[derive(Serialize)]
struct AndroidNotification<'a> {
    tag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sound: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    click_action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification_count: Option<u32>,
}

impl<'a> Envelope<'a> {
    fn new(push: &'a Push, body: &'a str, ttl: &'a str) -> Self {
        let options = &*push.options;
        let title = push.message.title.as_str();
        let shown = !options.background;
        Self {
            message: Message {
                token: push.target.token.as_str(),
                notification: shown.then_some(Notification {
                    title,
                    body,
                    image: options.image.as_deref(),
                }),
                data: Data {
                    words: options.background.then_some((title, body)),
                    of_campaign: &options.data,
                    of_delivery: &push.data,
                },
                android: Android {
                    priority: match options.priority() {
                        PushPriority::High => "HIGH",
                        PushPriority::Normal | PushPriority::Low => "NORMAL",
                    },
                    ttl,
                    notification: shown.then(|| AndroidNotification::new(push, options)),
                },
            },
        }
    }
}

impl<'a> AndroidNotification<'a> {
    fn new(push: &Push, options: &'a PushOptions) -> Self {
        Self {
            tag: push.delivery.to_string(),
            channel_id: options.channel.as_deref(),
            sound: match &options.sound {
                Sound::Default => Some("default"),
                Sound::None => None,
                Sound::Named(name) => Some(name),
            },
            click_action: options.category.as_deref(),
            // 0 takes the number away on iOS; Google knows no such thing.
            notification_count: options.badge.filter(|badge| *badge > 0),
        }
    }
}
