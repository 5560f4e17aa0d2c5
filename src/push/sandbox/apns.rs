//! Apple's checks, from a request's parts to a verdict; no I/O.
//!
//! Where Apple's documentation leaves the order of checks open, this one goes from the outside in: method, path,
//! credentials, headers, payload, device. A payload that is not a JSON object with `aps` gets `PayloadEmpty`, the
//! nearest of Apple's reasons.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::domain::time::Timestamp;

use super::{jwt::Jwt, log::Asked};

const PAYLOAD_BYTES_MAX: usize = 4096;
const COLLAPSE_ID_BYTES_MAX: usize = 64;
/// Oldest provider token, in seconds.
const TOKEN_AGE_MAX_S: i64 = 3600;
/// A provider token may be from the future by so much, for clocks differ; in seconds.
const TOKEN_SKEW_MAX_S: i64 = 60;
/// A connection may change its provider token for one at least so much younger; in seconds.
const TOKEN_STEP_MIN_S: i64 = 20 * 60;

const PUSH_TYPES: [&str; 11] = [
    "alert",
    "background",
    "complication",
    "controls",
    "fileprovider",
    "liveactivity",
    "location",
    "mdm",
    "pushtotalk",
    "voip",
    "widgets",
];

/// What a request is judged by.
pub(super) struct Rules {
    pub(super) key: DecodingKey,
    pub(super) key_id: String,
    pub(super) team_id: String,
    /// None: every well-formed bundle id.
    pub(super) topics: Option<BTreeSet<String>>,
    /// Since when a device token is dead.
    pub(super) unregistered: HashMap<String, Timestamp>,
}

/// The provider token that one connection uses. Apple counts changes somewhere inside; here each connection counts for
/// itself, so that several processes with tokens of their own get along, while one that mints a token for each push is
/// caught.
#[derive(Default)]
pub(super) struct ConnectionToken(Option<(String, i64)>);

impl ConnectionToken {
    pub(super) fn current(&self) -> Option<&str> {
        self.0.as_ref().map(|(token, _)| token.as_str())
    }
}

/// A request's parts.
pub(super) struct Parts<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// Whether the connection has shown a certificate of ours.
    pub(super) has_certificate: bool,
    pub(super) body: &'a [u8],
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) reason: &'static str,
    /// Since when the device token is dead.
    pub(super) timestamp: Option<Timestamp>,
}

impl Refusal {
    pub(super) fn not_http2() -> Self {
        Self {
            status: 505,
            reason: "APNs speaks HTTP/2 only",
            timestamp: None,
        }
    }

    pub(super) fn body(&self) -> Value {
        match self.timestamp {
            Some(since) => json!({ "reason": self.reason, "timestamp": since.0 }),
            None => json!({ "reason": self.reason }),
        }
    }
}

fn refuse(status: u16, reason: &'static str) -> Result<(), Refusal> {
    Err(Refusal {
        status,
        reason,
        timestamp: None,
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What the request asks for, as far as it can be read. Gives it an id when it has none.
pub(super) fn read(parts: &Parts<'_>) -> Asked {
    let owned = |name| text(parts.headers, name).map(str::to_owned);
    let payload: Option<Map<String, Value>> = serde_json::from_slice(parts.body).ok();
    let mut data = payload.unwrap_or_default();
    let alert = data
        .remove("aps")
        .and_then(|mut aps| aps.get_mut("alert").map(Value::take))
        .unwrap_or_default();
    let line = |name: &str| alert.get(name).and_then(Value::as_str).map(str::to_owned);
    Asked {
        apns_id: owned("apns-id").or_else(|| Some(Uuid::new_v4().to_string())),
        name: None,
        token: parts.path.strip_prefix("/3/device/").map(str::to_owned),
        topic: owned("apns-topic"),
        collapse_id: owned("apns-collapse-id"),
        title: line("title"),
        body: line("body").or_else(|| alert.as_str().map(str::to_owned)),
        data,
        priority: owned("apns-priority"),
        push_type: owned("apns-push-type"),
        expiration: text(parts.headers, "apns-expiration").and_then(|text| text.parse().ok()),
        payload: Bytes::copy_from_slice(parts.body),
    }
}

/// All of Apple's checks.
pub(super) fn check(
    parts: &Parts<'_>,
    rules: &Rules,
    connection: &mut ConnectionToken,
    now: Timestamp,
) -> Result<(), Refusal> {
    if !parts.path.starts_with("/3/device/") {
        return refuse(404, "BadPath");
    }
    if parts.method != Method::POST {
        return refuse(405, "MethodNotAllowed");
    }
    // Who has shown a certificate needs no token; one that is given must be right all the same.
    if !parts.has_certificate || parts.headers.contains_key(header::AUTHORIZATION) {
        check_provider_token(parts.headers, rules, connection, now)?;
    }
    check_headers(parts.headers, rules)?;
    check_payload(parts.body)?;
    let token = parts.path.strip_prefix("/3/device/").unwrap_or_default();
    check_device(token, rules)
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: i64,
}

fn check_provider_token(
    headers: &HeaderMap,
    rules: &Rules,
    connection: &mut ConnectionToken,
    now: Timestamp,
) -> Result<(), Refusal> {
    let given = text(headers, header::AUTHORIZATION.as_str()).and_then(|value| value.split_once(' '));
    let token = match given {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => token.trim(),
        _ => return refuse(403, "MissingProviderToken"),
    };
    let iat = match &connection.0 {
        Some((known, iat)) if known == token => *iat,
        _ => match verified_iat(token, rules) {
            Some(iat) => iat,
            None => return refuse(403, "InvalidProviderToken"),
        },
    };
    let age_s = now.0.div_euclid(1000) - iat;
    if !(-TOKEN_SKEW_MAX_S..=TOKEN_AGE_MAX_S).contains(&age_s) {
        return refuse(403, "ExpiredProviderToken");
    }
    match &connection.0 {
        Some((known, _)) if known == token => {}
        Some((_, before)) if iat - before < TOKEN_STEP_MIN_S => return refuse(429, "TooManyProviderTokenUpdates"),
        _ => connection.0 = Some((token.to_owned(), iat)),
    }
    Ok(())
}

fn verified_iat(token: &str, rules: &Rules) -> Option<i64> {
    // Apple wants no padding.
    let jwt = Jwt::<Claims>::read(token).filter(|_| !token.contains('='))?;
    let valid = jwt.head.kid.as_deref() == Some(rules.key_id.as_str())
        && jwt.claims.iss == rules.team_id
        && jwt.is_signed_by(&rules.key, Algorithm::ES256);
    valid.then_some(jwt.claims.iat)
}

fn check_headers(headers: &HeaderMap, rules: &Rules) -> Result<(), Refusal> {
    for name in [
        "apns-id",
        "apns-push-type",
        "apns-priority",
        "apns-expiration",
        "apns-topic",
        "apns-collapse-id",
    ] {
        if headers.get_all(name).iter().count() > 1 {
            return refuse(400, "DuplicateHeaders");
        }
    }
    if headers.get("apns-id").is_some() && text(headers, "apns-id").is_none_or(|id| !is_canonical_uuid(id)) {
        return refuse(400, "BadMessageId");
    }
    if !headers.contains_key("apns-topic") {
        return refuse(400, "MissingTopic");
    }
    let Some(topic) = text(headers, "apns-topic").filter(|topic| is_bundle_id(topic)) else {
        return refuse(400, "BadTopic");
    };
    if rules.topics.as_ref().is_some_and(|topics| !topics.contains(topic)) {
        return refuse(400, "TopicDisallowed");
    }
    let push_type = text(headers, "apns-push-type").unwrap_or_default();
    if !PUSH_TYPES.contains(&push_type) {
        return refuse(400, "InvalidPushType");
    }
    match (headers.get("apns-priority").map(http::HeaderValue::as_bytes), push_type) {
        // Background pushes must not ask for immediate delivery, and they do when they say nothing.
        (None | Some(b"10"), "background") => return refuse(400, "BadPriority"),
        (None | Some(b"10" | b"5" | b"1"), _) => {}
        _ => return refuse(400, "BadPriority"),
    }
    if headers.get("apns-expiration").is_some()
        && text(headers, "apns-expiration").is_none_or(|value| value.parse::<u64>().is_err())
    {
        return refuse(400, "BadExpirationDate");
    }
    if let Some(id) = headers.get("apns-collapse-id")
        && (id.is_empty() || id.len() > COLLAPSE_ID_BYTES_MAX)
    {
        return refuse(400, "BadCollapseId");
    }
    Ok(())
}

fn is_canonical_uuid(text: &str) -> bool {
    // Other notations of a UUID have other lengths.
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}

fn is_bundle_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !text.is_empty() && text.len() <= 155 && text.bytes().all(allowed) && text.split('.').all(|part| !part.is_empty())
}

fn check_payload(body: &[u8]) -> Result<(), Refusal> {
    if body.len() > PAYLOAD_BYTES_MAX {
        return refuse(413, "PayloadTooLarge");
    }
    let payload: Option<Map<String, Value>> = serde_json::from_slice(body).ok();
    match payload.as_ref().and_then(|payload| payload.get("aps")) {
        Some(Value::Object(_)) => Ok(()),
        _ => refuse(400, "PayloadEmpty"),
    }
}

fn check_device(token: &str, rules: &Rules) -> Result<(), Refusal> {
    if token.is_empty() {
        return refuse(400, "MissingDeviceToken");
    }
    let well_formed = (64..=200).contains(&token.len())
        && token.len().is_multiple_of(2)
        && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !well_formed {
        return refuse(400, "BadDeviceToken");
    }
    match rules.unregistered.get(token) {
        None => Ok(()),
        Some(since) => Err(Refusal {
            status: 410,
            reason: "Unregistered",
            timestamp: Some(*since),
        }),
    }
}

#[cfg(test)]
#[path = "apns_tests.rs"]
mod tests;
