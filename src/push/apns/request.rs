//! Path and headers of a push.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header, uri::PathAndQuery};

use crate::domain::{
    delivery::{Outcome, Push},
    push_options::PushPriority,
};

use super::{
    super::pool::Post,
    APNS_ID,
    outcome::BAD_DEVICE_TOKEN,
    payload::{Rendered, render},
};

const APNS_PUSH_TYPE: HeaderName = HeaderName::from_static("apns-push-type");
const APNS_PRIORITY: HeaderName = HeaderName::from_static("apns-priority");
const APNS_EXPIRATION: HeaderName = HeaderName::from_static("apns-expiration");
const APNS_TOPIC: HeaderName = HeaderName::from_static("apns-topic");
const APNS_COLLAPSE_ID: HeaderName = HeaderName::from_static("apns-collapse-id");

/// A push as Apple takes it, but for the provider token.
pub(super) struct Letter {
    path: PathAndQuery,
    id: HeaderValue,
    expiration: HeaderValue,
    topic: HeaderValue,
    push_type: &'static str,
    priority: &'static str,
    authorization: Option<HeaderValue>,
    body: Bytes,
    /// Whether the text was cut to fit.
    pub(super) shortened: bool,
}

impl Letter {
    /// Or what the push comes to without being sent.
    pub(super) fn new(push: &Push) -> Result<Self, Outcome> {
        let token = push.target.token.as_str();
        if !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            // Would not even stay one segment of the path.
            return Err(Outcome::DeadToken {
                reason: BAD_DEVICE_TOKEN.to_owned(),
                since: None,
            });
        }
        let path = PathAndQuery::try_from(format!("/3/device/{token}")).map_err(|_| never("BadPath"))?;
        let app = Some(push.target.app.as_str()).filter(|app| app.is_ascii());
        let topic = app.and_then(|app| HeaderValue::from_str(app).ok());
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        let id = unindexed(push.delivery.0.as_hyphenated().encode_lower(&mut id))?;
        let seconds = push.expires_at.0.div_euclid(1000).max(0);
        let Rendered { body, shortened } = render(push)?;
        Ok(Self {
            path,
            id,
            expiration: unindexed(&seconds.to_string())?,
            topic: topic.ok_or_else(|| never("BadTopic"))?,
            push_type: if push.options.background { "background" } else { "alert" },
            priority: match push.options.priority() {
                PushPriority::High => "10",
                PushPriority::Normal => "5",
                PushPriority::Low => "1",
            },
            authorization: None,
            body,
            shortened,
        })
    }

    /// Shows a provider token.
    pub(super) fn authorize(&mut self, token: HeaderValue) {
        self.authorization = Some(token);
    }

    /// The request.
    pub(super) fn post(&self) -> Post {
        let mut headers = HeaderMap::with_capacity(8);
        if let Some(token) = &self.authorization {
            headers.insert(header::AUTHORIZATION, token.clone());
        }
        headers.insert(APNS_ID, self.id.clone());
        headers.insert(APNS_COLLAPSE_ID, self.id.clone());
        headers.insert(APNS_EXPIRATION, self.expiration.clone());
        headers.insert(APNS_PUSH_TYPE, HeaderValue::from_static(self.push_type));
        headers.insert(APNS_PRIORITY, HeaderValue::from_static(self.priority));
        headers.insert(APNS_TOPIC, self.topic.clone());
        Post {
            path: self.path.clone(),
            headers,
            body: self.body.clone(),
        }
    }
}

/// Different in each push, so it must not push useful entries out of the header table.
fn unindexed(text: &str) -> Result<HeaderValue, Outcome> {
    let mut value = HeaderValue::from_str(text).map_err(|_| never("BadMessageId"))?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) fn never(reason: &str) -> Outcome {
    Outcome::Never {
        reason: reason.to_owned(),
    }
}
