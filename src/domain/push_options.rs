//! How a push looks, sounds and behaves on the phone, besides its words.
//!
//! One vocabulary for both providers; what a platform does not know is left out there. Names follow Apple's payload keys
//! and FCM's `AndroidNotification`.

use std::sync::Arc;

use serde_json::Value;

use super::json_reader::{Node, Refusal};

/// Longest name of a sound, thread, category or channel, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 64;
/// Longest image address, in bytes.
pub(super) const IMAGE_BYTES_MAX: usize = 1024;
/// Greatest number on the app's icon.
pub(super) const BADGE_MAX: i64 = 99_999;
/// Most custom fields.
pub(super) const DATA_FIELDS_MAX: usize = 20;
/// Longest value of a custom field, in bytes.
pub(super) const DATA_VALUE_BYTES_MAX: usize = 1024;
/// Names that Beckon itself, Apple or Google give a meaning.
pub(super) const RESERVED: [&str; 10] = [
    "aps",
    "deliveryId",
    "campaign",
    "geofence",
    "image",
    "title",
    "body",
    "from",
    "notification",
    "message_type",
];
/// Beginnings of names that Google keeps to itself.
const RESERVED_PREFIXES: [&str; 2] = ["google", "gcm"];
/// What only a push that is shown can have.
const SHOWN_ONLY: [&str; 9] = [
    "sound",
    "badge",
    "interruptionLevel",
    "relevanceScore",
    "threadId",
    "category",
    "mutableContent",
    "image",
    "channel",
];

/// What the phone plays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sound {
    /// The system's.
    #[default]
    Default,
    /// Nothing.
    None,
    /// A file of the app's.
    Named(Arc<str>),
}

/// How much a push may disturb (iOS 15 and later).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterruptionLevel {
    /// Into the list, without light or sound.
    Passive,
    /// As usual.
    Active,
    /// Through a focus.
    TimeSensitive,
    /// Through the mute switch; Apple grants that to few apps.
    Critical,
}

impl InterruptionLevel {
    /// Apple's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passive => "passive",
            Self::Active => "active",
            Self::TimeSensitive => "time-sensitive",
            Self::Critical => "critical",
        }
    }
}

/// How soon the provider delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushPriority {
    /// At once: 10 at Apple, HIGH at Google.
    High,
    /// When it suits the battery: 5, NORMAL.
    Normal,
    /// Whenever, without waking the phone: 1, NORMAL.
    Low,
}

/// Everything but words and address, validated.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PushOptions {
    /// What it plays.
    pub sound: Sound,
    /// The number on the app's icon; 0 takes it away.
    pub badge: Option<u32>,
    /// How much it may disturb.
    pub interruption_level: Option<InterruptionLevel>,
    /// Its place in a summary, 0 to 1.
    pub relevance_score: Option<f64>,
    /// Groups notifications (iOS).
    pub thread_id: Option<Arc<str>>,
    /// Which buttons it has: the category (iOS), the click action (Android).
    pub category: Option<Arc<str>>,
    /// Whether the app's service extension may change it first (iOS); with an image unless it is said otherwise.
    pub mutable_content: Option<bool>,
    /// A picture's https address.
    pub image: Option<Arc<str>>,
    /// The notification channel (Android).
    pub channel: Option<Arc<str>>,
    /// How soon; `None`: high, in the background normal.
    pub priority: Option<PushPriority>,
    /// Wakes the app and shows nothing; the words come as custom fields.
    pub background: bool,
    /// Custom fields for the app.
    pub data: Vec<(String, String)>,
}

impl PushOptions {
    /// Reads a `push` object; what it does not say is as in `base`.
    pub fn read(node: &Node<'_>, base: &Self) -> Result<Self, Refusal> {
        node.only(&[
            "sound",
            "badge",
            "interruptionLevel",
            "relevanceScore",
            "threadId",
            "category",
            "mutableContent",
            "image",
            "channel",
            "priority",
            "background",
            "data",
        ])?;
        let mut options = base.clone();
        if let Some(sound) = node.field("sound")? {
            options.sound = read_sound(&sound)?;
        }
        if let Some(badge) = node.field("badge")? {
            options.badge = Some(badge.integer(0, BADGE_MAX)? as u32);
        }
        if let Some(level) = node.field("interruptionLevel")? {
            options.interruption_level = Some(
                level.one_of(
                    &[
                        InterruptionLevel::Passive,
                        InterruptionLevel::Active,
                        InterruptionLevel::TimeSensitive,
                        InterruptionLevel::Critical,
                    ]
                    .map(|level| (level.as_str(), level)),
                )?,
            );
        }
        if let Some(score) = node.field("relevanceScore")? {
            options.relevance_score = Some(read_score(&score)?);
        }
        for (key, place) in [
            ("threadId", &mut options.thread_id),
            ("category", &mut options.category),
            ("channel", &mut options.channel),
        ] {
            if let Some(name) = node.field(key)? {
                *place = Some(read_name(&name)?);
            }
        }
        if let Some(flag) = node.field("mutableContent")? {
            options.mutable_content = Some(flag.boolean()?);
        }
        if let Some(image) = node.field("image")? {
            options.image = Some(read_image(&image)?);
        }
        if let Some(priority) = node.field("priority")? {
            options.priority = Some(priority.one_of(&[
                ("high", PushPriority::High),
                ("normal", PushPriority::Normal),
                ("low", PushPriority::Low),
            ])?);
        }
        if let Some(background) = node.field("background")? {
            options.background = background.boolean()?;
        }
        if let Some(data) = node.field("data")? {
            options.data = read_data(&data)?;
        }
        options.check_background(node)?;
        Ok(options)
    }

    /// How soon the provider delivers.
    pub fn priority(&self) -> PushPriority {
        self.priority.unwrap_or(if self.background {
            PushPriority::Normal
        } else {
            PushPriority::High
        })
    }

    /// Whether the app's service extension may change it before it is shown.
    pub fn is_mutable(&self) -> bool {
        self.mutable_content.unwrap_or(self.image.is_some())
    }

    /// Apple refuses a background push of priority 10, and asks that it shows nothing.
    fn check_background(&self, node: &Node<'_>) -> Result<(), Refusal> {
        if !self.background {
            return Ok(());
        }
        for key in SHOWN_ONLY {
            if let Some(field) = node.field(key)? {
                return Err(field.refuse("has no meaning with `background`, which shows nothing; leave it out"));
            }
        }
        if self.priority == Some(PushPriority::High) {
            let place = node.field("priority")?.unwrap_or_else(|| node.clone());
            return Err(place.refuse("must be `normal` or `low` with `background`: Apple refuses others"));
        }
        Ok(())
    }
}

fn read_name(node: &Node<'_>) -> Result<Arc<str>, Refusal> {
    let name = node.text()?;
    if name.trim().is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(node.refuse(format!(
            "must be a text of 1 to {NAME_BYTES_MAX} bytes without control characters"
        )));
    }
    Ok(Arc::from(name))
}

fn read_sound(node: &Node<'_>) -> Result<Sound, Refusal> {
    Ok(match node.text()? {
        "default" => Sound::Default,
        "none" => Sound::None,
        name => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
                return Err(node.refuse(
                    "must be `default`, `none`, or the name of a sound file in the app (letters, digits, `.`, `_`, `-`)",
                ));
            }
            Sound::Named(Arc::from(name))
        }
    })
}

fn read_score(node: &Node<'_>) -> Result<f64, Refusal> {
    let score = node.number()?;
    if !(0.0..=1.0).contains(&score) {
        return Err(node.refuse("must be from 0 to 1"));
    }
    Ok(score)
}

fn read_image(node: &Node<'_>) -> Result<Arc<str>, Refusal> {
    let address = node.text()?;
    let host = address.strip_prefix("https://").map(|rest| {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    });
    let well_formed = host.is_some_and(|host| !host.is_empty() && !host.contains('@'))
        && address.len() <= IMAGE_BYTES_MAX
        && address.bytes().all(|byte| byte.is_ascii_graphic());
    if !well_formed {
        return Err(node.refuse(format!(
            "must be an https address of at most {IMAGE_BYTES_MAX} ASCII characters, without user or password"
        )));
    }
    Ok(Arc::from(address))
}

fn read_data(node: &Node<'_>) -> Result<Vec<(String, String)>, Refusal> {
    let fields = node.fields()?;
    if fields.len() > DATA_FIELDS_MAX {
        return Err(node.refuse(format!("has more than {DATA_FIELDS_MAX} fields")));
    }
    let mut data = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
            return Err(value.refuse(format!(
                "a field's name has 1 to {NAME_BYTES_MAX} letters, digits, `.`, `_` or `-`"
            )));
        }
        let lower = name.to_ascii_lowercase();
        if RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
            return Err(value.refuse(format!("`{name}` has a meaning of its own; choose another name")));
        }
        let text = match value.value() {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return Err(value.refuse("must be a text, a number, true or false: providers carry flat texts only"));
            }
        };
        if text.len() > DATA_VALUE_BYTES_MAX {
            return Err(value.refuse(format!(
                "is {} bytes long, the limit is {DATA_VALUE_BYTES_MAX}",
                text.len()
            )));
        }
        data.push((name.to_owned(), text));
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Result<PushOptions, Refusal> {
        PushOptions::read(&Node::root(value), &PushOptions::default())
    }

    #[test]
    fn an_offers_options_lie_over_the_campaigns() {
        let campaign = read(&json!({
            "sound": "bell.caf", "badge": 3, "interruptionLevel": "time-sensitive", "relevanceScore": 0.5,
            "threadId": "offers", "category": "OFFER", "channel": "offers", "image": "https://cdn.example/a.png?x=1",
            "priority": "normal", "data": {"url": "app://offers/7", "level": 3, "vip": true},
        }))
        .expect("valid");
        assert_eq!(campaign.sound, Sound::Named(Arc::from("bell.caf")));
        assert!(campaign.is_mutable(), "a picture needs the service extension");
        assert_eq!(
            campaign.data,
            [("level", "3"), ("url", "app://offers/7"), ("vip", "true")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        let offer = json!({"sound": "none", "mutableContent": false});
        let offer = PushOptions::read(&Node::root(&offer), &campaign).expect("valid");
        let expected = PushOptions {
            sound: Sound::None,
            mutable_content: Some(false),
            ..campaign
        };
        assert_eq!(offer, expected);
        assert!(!offer.is_mutable());
    }

    #[test]
    fn priority_is_high_unless_nothing_is_shown() {
        assert_eq!(read(&json!({})).expect("valid").priority(), PushPriority::High);
        let background = read(&json!({"background": true})).expect("valid");
        assert_eq!(background.priority(), PushPriority::Normal);
    }

    #[test]
    fn what_a_provider_would_refuse_is_refused_with_its_place() {
        for (value, pointer) in [
            (json!({"sound": "../bell"}), "/sound"),
            (json!({"sound": ""}), "/sound"),
            (json!({"badge": -1}), "/badge"),
            (json!({"badge": 1.5}), "/badge"),
            (json!({"interruptionLevel": "loud"}), "/interruptionLevel"),
            (json!({"relevanceScore": 1.01}), "/relevanceScore"),
            (json!({"threadId": "x".repeat(65)}), "/threadId"),
            (json!({"category": "a\nb"}), "/category"),
            (json!({"channel": " "}), "/channel"),
            (json!({"mutableContent": "yes"}), "/mutableContent"),
            (json!({"image": "http://cdn.example/a.png"}), "/image"),
            (json!({"image": "https:///a.png"}), "/image"),
            (json!({"image": "https://me:word@host/a.png"}), "/image"),
            (json!({"image": "https://host/a b.png"}), "/image"),
            (json!({"priority": 10}), "/priority"),
            (json!({"background": true, "priority": "high"}), "/priority"),
            (json!({"background": true, "badge": 1}), "/badge"),
            (json!({"data": {"aps": "x"}}), "/data/aps"),
            (json!({"data": {"Google.x": "x"}}), "/data/Google.x"),
            (json!({"data": {"a b": "x"}}), "/data/a b"),
            (json!({"data": {"deep": {"er": 1}}}), "/data/deep"),
            (json!({"data": {"long": "x".repeat(1025)}}), "/data/long"),
            (json!({"colour": "red"}), "/colour"),
        ] {
            let refusal = read(&value).expect_err("refused");
            assert_eq!(refusal.pointer, pointer, "{value}");
        }
        let many: serde_json::Map<String, Value> = (0..21).map(|n| (format!("f{n}"), json!("x"))).collect();
        assert_eq!(read(&json!({ "data": many })).expect_err("refused").pointer, "/data");
        let base = read(&json!({"priority": "high"})).expect("valid");
        let background = json!({"background": true});
        let refusal = PushOptions::read(&Node::root(&background), &base).expect_err("refused");
        assert_eq!(refusal.pointer, "", "inherited, so the object itself is named");
    }
}
