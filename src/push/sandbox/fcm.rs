//! Google's checks of `messages:send`, from a request's parts to a verdict; no I/O.
//!
//! Field names are taken as Google's JSON takes them, `collapse_key` and `collapseKey` alike. Messages go to tokens
//! only; topics and conditions are refused.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::domain::time::Timestamp;

use super::log::Asked;

const PAYLOAD_BYTES_MAX: usize = 4096;
const TOKEN_BYTES_MAX: usize = 4096;
const TTL_MAX_S: u64 = 28 * 24 * 3600;

const MESSAGE_FIELDS: &[&str] = &[
    "name",
    "data",
    "notification",
    "android",
    "webpush",
    "apns",
    "fcm_options",
    "token",
    "topic",
    "condition",
];
const NOTIFICATION_FIELDS: &[&str] = &["title", "body", "image"];
const ANDROID_FIELDS: &[&str] = &[
    "collapse_key",
    "priority",
    "ttl",
    "restricted_package_name",
    "data",
    "notification",
    "fcm_options",
    "direct_boot_ok",
    "bandwidth_constrained_ok",
    "restricted_satellite_ok",
];
const ANDROID_NOTIFICATION_FIELDS: &[&str] = &[
    "title",
    "body",
    "icon",
    "color",
    "sound",
    "tag",
    "click_action",
    "body_loc_key",
    "body_loc_args",
    "title_loc_key",
    "title_loc_args",
    "channel_id",
    "ticker",
    "sticky",
    "event_time",
    "local_only",
    "notification_priority",
    "default_sound",
    "default_vibrate_timings",
    "default_light_settings",
    "vibrate_timings",
    "visibility",
    "notification_count",
    "light_settings",
    "image",
    "proxy",
];
const ANDROID_NOTIFICATION_TEXTS: &[&str] = &[
    "title",
    "body",
    "icon",
    "color",
    "sound",
    "tag",
    "click_action",
    "channel_id",
];

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The general status of Google's APIs.
    general: &'static str,
    /// FCM's own code.
    code: Option<&'static str>,
    message: String,
    /// The field at fault.
    field: Option<String>,
}

impl Refusal {
    /// The word for the log.
    pub(super) fn reason(&self) -> &'static str {
        self.code.unwrap_or(self.general)
    }

    pub(super) fn body(&self) -> Value {
        let mut details = Vec::new();
        if let Some(code) = self.code {
            details.push(json!({
                "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
                "errorCode": code,
            }));
        }
        if let Some(field) = &self.field {
            details.push(json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{ "field": field, "description": self.message }],
            }));
        }
        json!({ "error": {
            "code": self.status,
            "message": self.message,
            "status": self.general,
            "details": details,
        }})
    }

    pub(super) fn unauthenticated() -> Self {
        Self {
            status: 401,
            general: "UNAUTHENTICATED",
            code: None,
            message: "Request had invalid authentication credentials. Expected OAuth 2 access token.".to_owned(),
            field: None,
        }
    }

    pub(super) fn not_found() -> Self {
        Self {
            status: 404,
            general: "NOT_FOUND",
            code: None,
            message: "There is only POST /v1/projects/{project}/messages:send.".to_owned(),
            field: None,
        }
    }

    pub(super) fn other_project() -> Self {
        Self {
            status: 403,
            general: "PERMISSION_DENIED",
            code: None,
            message: "The service account may not send for this project.".to_owned(),
            field: None,
        }
    }

    fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            general: "INVALID_ARGUMENT",
            code: None,
            message: message.into(),
            field: Some(field.into()),
        }
    }

    fn token() -> Self {
        Self {
            status: 400,
            general: "INVALID_ARGUMENT",
            code: Some("INVALID_ARGUMENT"),
            message: "The registration token is not a valid FCM registration token".to_owned(),
            field: None,
        }
    }

    fn unregistered() -> Self {
        Self {
            status: 404,
            general: "NOT_FOUND",
            code: Some("UNREGISTERED"),
            message: "Requested entity was not found.".to_owned(),
            field: None,
        }
    }
}

/// `collapseKey` is `collapse_key`.
fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}

/// The fields of the object at `path`, by their snake-case names; empty when it is absent.
fn object<'a>(value: Option<&'a Value>, path: &str, known: &[&str]) -> Result<BTreeMap<String, &'a Value>, Refusal> {
    let map = match value {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(map)) => map,
        Some(other) => return Err(Refusal::field(path, format!("Invalid value at '{path}', {other}"))),
    };
    let mut fields = BTreeMap::new();
    for (name, value) in map {
        let snake = snake(name);
        if !known.contains(&snake.as_str()) {
            let message =
                format!("Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field.");
            return Err(Refusal::field(path, message));
        }
        fields.insert(snake, value);
    }
    Ok(fields)
}

fn text<'a>(fields: &BTreeMap<String, &'a Value>, path: &str, name: &str) -> Result<Option<&'a str>, Refusal> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => {
            let field = format!("{path}.{name}");
            let message = format!("Invalid value at '{field}' (TYPE_STRING), {other}");
            Err(Refusal::field(field, message))
        }
    }
}

/// What the request asks for, as far as it can be read.
pub(super) fn read(body: &[u8], now: Timestamp) -> Asked {
    let root: Value = serde_json::from_slice(body).unwrap_or_default();
    let at = |pointer: &str| root.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let data = root.pointer("/message/data").and_then(Value::as_object).cloned();
    Asked {
        token: at("/message/token"),
        topic: at("/message/android/restricted_package_name"),
        collapse_id: at("/message/android/notification/tag"),
        title: at("/message/android/notification/title").or_else(|| at("/message/notification/title")),
        body: at("/message/android/notification/body").or_else(|| at("/message/notification/body")),
        data: data.unwrap_or_default(),
        priority: at("/message/android/priority"),
        expiration: at("/message/android/ttl")
            .and_then(|ttl| ttl_seconds(&ttl))
            .map(|ttl| now.0.div_euclid(1000).saturating_add_unsigned(ttl)),
        payload: Bytes::copy_from_slice(body),
        ..Asked::default()
    }
}

/// All of Google's checks of a message, for a request whose path and credentials are in order.
pub(super) fn check(body: &[u8], unregistered: &HashMap<String, Timestamp>) -> Result<(), Refusal> {
    let root: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::field("", format!("Invalid JSON payload received. {error}")))?;
    let root = object(Some(&root), "", &["message", "validate_only"])?;
    if !matches!(root.get("validate_only"), None | Some(Value::Bool(_))) {
        return Err(Refusal::field(
            "validate_only",
            "Invalid value at 'validate_only' (TYPE_BOOL)",
        ));
    }
    let message = object(root.get("message").copied(), "message", MESSAGE_FIELDS)?;
    let notification = object(
        message.get("notification").copied(),
        "message.notification",
        NOTIFICATION_FIELDS,
    )?;
    for name in NOTIFICATION_FIELDS {
        text(&notification, "message.notification", name)?;
    }
    check_data(message.get("data").copied(), "message.data")?;
    check_android(message.get("android").copied())?;
    let sized = json!([message.get("notification"), message.get("data")]);
    if sized.to_string().len() > PAYLOAD_BYTES_MAX {
        return Err(Refusal::field(
            "message",
            "Message too big: its payload is over 4096 bytes",
        ));
    }
    let Some(token) = text(&message, "message", "token")? else {
        return Err(Refusal::field(
            "message",
            "Recipient of the message is not set: the sandbox sends to tokens only.",
        ));
    };
    if message.contains_key("topic") || message.contains_key("condition") {
        return Err(Refusal::field(
            "message",
            "Only one of token, topic and condition may be set.",
        ));
    }
    let plausible = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'.');
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(plausible) {
        return Err(Refusal::token());
    }
    if unregistered.contains_key(token) {
        return Err(Refusal::unregistered());
    }
    Ok(())
}

fn check_data(data: Option<&Value>, path: &str) -> Result<(), Refusal> {
    let empty = Map::new();
    let map = match data {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(map)) => map,
        Some(other) => return Err(Refusal::field(path, format!("Invalid value at '{path}', {other}"))),
    };
    for (index, (key, value)) in map.iter().enumerate() {
        if !value.is_string() {
            let field = format!("{path}[{index}].value");
            let message = format!("Invalid value at '{field}' (TYPE_STRING), {value}");
            return Err(Refusal::field(field, message));
        }
        let reserved = matches!(key.as_str(), "from" | "message_type" | "collapse_key")
            || key.starts_with("google.")
            || key.starts_with("gcm.");
        if key.is_empty() || reserved {
            return Err(Refusal::field(path, format!("Invalid data payload key: {key}")));
        }
    }
    Ok(())
}

fn check_android(android: Option<&Value>) -> Result<(), Refusal> {
    let path = "message.android";
    let android = object(android, path, ANDROID_FIELDS)?;
    for name in ["collapse_key", "restricted_package_name"] {
        text(&android, path, name)?;
    }
    if let Some(priority) = text(&android, path, "priority")?
        && !matches!(priority, "HIGH" | "NORMAL")
    {
        let field = format!("{path}.priority");
        let message = format!("Invalid value at '{field}' (TYPE_ENUM), \"{priority}\"");
        return Err(Refusal::field(field, message));
    }
    if let Some(ttl) = text(&android, path, "ttl")?
        && ttl_seconds(ttl).is_none_or(|seconds| seconds > TTL_MAX_S)
    {
        let field = format!("{path}.ttl");
        let message = format!("Invalid value at '{field}' (Duration), \"{ttl}\"");
        return Err(Refusal::field(field, message));
    }
    check_data(android.get("data").copied(), "message.android.data")?;
    let path = "message.android.notification";
    let notification = object(android.get("notification").copied(), path, ANDROID_NOTIFICATION_FIELDS)?;
    for name in ANDROID_NOTIFICATION_TEXTS {
        text(&notification, path, name)?;
    }
    Ok(())
}

/// `300s`
fn ttl_seconds(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('s')?;
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(message: &Value) -> Option<(u16, &'static str, Option<String>)> {
        let body = json!({ "message": message }).to_string();
        let unregistered = HashMap::from([("gone".to_owned(), Timestamp(1))]);
        check(body.as_bytes(), &unregistered)
            .err()
            .map(|refusal| (refusal.status, refusal.reason(), refusal.field))
    }

    fn at(field: &str) -> (u16, &'static str, Option<String>) {
        (400, "INVALID_ARGUMENT", Some(field.to_owned()))
    }

    #[test]
    fn what_googles_examples_send_is_accepted() {
        let message = json!({
            "token": "bk3RNwTe3H0:CI2k_HHwgIpoDKCIZvvDMExUdFQ3P1",
            "notification": { "title": "FCM", "body": "Hello" },
            "data": { "story_id": "story_12345" },
            "android": {
                "priority": "HIGH", "ttl": "3600s", "collapseKey": "x",
                "notification": { "tag": "t", "channel_id": "c", "clickAction": "OPEN" },
            },
        });
        assert_eq!(refusal(&message), None);
        assert_eq!(refusal(&json!({ "token": "t" })), None);
    }

    #[test]
    fn each_way_to_be_wrong_names_its_field() {
        for (message, expected) in [
            (json!({ "token": "t", "notify": {} }), at("message")),
            (
                json!({ "token": "t", "notification": { "text": "x" } }),
                at("message.notification"),
            ),
            (
                json!({ "token": "t", "notification": { "title": 5 } }),
                at("message.notification.title"),
            ),
            (json!({ "token": "t", "data": { "n": 5 } }), at("message.data[0].value")),
            (json!({ "token": "t", "data": [] }), at("message.data")),
            (json!({ "token": "t", "data": { "google.x": "1" } }), at("message.data")),
            (
                json!({ "token": "t", "android": { "priority": "high" } }),
                at("message.android.priority"),
            ),
            (
                json!({ "token": "t", "android": { "ttl": "300" } }),
                at("message.android.ttl"),
            ),
            (
                json!({ "token": "t", "android": { "ttl": 300 } }),
                at("message.android.ttl"),
            ),
            (
                json!({ "token": "t", "android": { "ttl": "-1s" } }),
                at("message.android.ttl"),
            ),
            (
                json!({ "token": "t", "android": { "ttl": "2419201s" } }),
                at("message.android.ttl"),
            ),
            (
                json!({ "token": "t", "android": { "notification": { "tags": "x" } } }),
                at("message.android.notification"),
            ),
            (
                json!({ "token": "t", "notification": { "body": "x".repeat(4096) } }),
                at("message"),
            ),
            (json!({ "token": "t", "topic": "news" }), at("message")),
            (json!({ "topic": "news" }), at("message")),
            (json!({ "token": 5 }), at("message.token")),
            (json!("hello"), at("message")),
        ] {
            assert_eq!(refusal(&message), Some(expected), "{message}");
        }
    }

    #[test]
    fn a_wrong_token_is_fcms_own_error() {
        for token in ["", "with blank", "张", &"x".repeat(4097)] {
            assert_eq!(
                refusal(&json!({ "token": token })),
                Some((400, "INVALID_ARGUMENT", None)),
                "{token}"
            );
        }
        assert_eq!(refusal(&json!({ "token": "gone" })), Some((404, "UNREGISTERED", None)));
    }

    #[test]
    fn a_body_that_is_no_json_is_refused() {
        assert!(check(b"{", &HashMap::new()).is_err());
        assert!(check(br#"{"mesage":{}}"#, &HashMap::new()).is_err());
    }
}
