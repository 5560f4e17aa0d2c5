//! Apple Push Notification service, provider API over HTTP/2 with token authentication
//! (developer.apple.com, "Sending notification requests to APNs").

mod outcome;
mod token;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header, uri::PathAndQuery};
use secrecy::SecretString;
use serde::{Serialize, Serializer};
use tokio::time::Instant;

use crate::{
    domain::delivery::{Environment, Outcome, Push},
    engine::ports::Clock,
};

use self::{
    outcome::{Verdict, verdict},
    token::TokenSource,
};
use super::{
    payload::fit,
    pool::{Pool, PoolOptions, Post, SendError, SetupError},
};

const APNS_ID: HeaderName = HeaderName::from_static("apns-id");
const APNS_PUSH_TYPE: HeaderName = HeaderName::from_static("apns-push-type");
const APNS_PRIORITY: HeaderName = HeaderName::from_static("apns-priority");
const APNS_EXPIRATION: HeaderName = HeaderName::from_static("apns-expiration");
const APNS_TOPIC: HeaderName = HeaderName::from_static("apns-topic");
const APNS_COLLAPSE_ID: HeaderName = HeaderName::from_static("apns-collapse-id");

/// Settings of the APNs client.
#[derive(Debug, Clone)]
pub struct ApnsConfig {
    /// Contents of the `AuthKey_*.p8` file.
    pub key_pem: SecretString,
    /// Ten characters, as Apple shows it beside the key.
    pub key_id: String,
    /// Ten characters, the developer team's.
    pub team_id: String,
    /// Where pushes to apps from the store go.
    pub base_url: String,
    /// Where pushes to development builds go.
    pub sandbox_base_url: String,
    /// Root certificates to trust besides the usual ones, PEM.
    pub ca_pem: Option<String>,
    /// How connections behave.
    pub pool: PoolOptions,
}

impl ApnsConfig {
    /// Apple's own hosts.
    pub fn new(key_pem: SecretString, key_id: impl Into<String>, team_id: impl Into<String>) -> Self {
        Self {
            key_pem,
            key_id: key_id.into(),
            team_id: team_id.into(),
            base_url: "https://api.push.apple.com".to_owned(),
            sandbox_base_url: "https://api.sandbox.push.apple.com".to_owned(),
            ca_pem: None,
            pool: PoolOptions::default(),
        }
    }
}

pub(super) struct Apns {
    production: Pool,
    sandbox: Pool,
    tokens: TokenSource,
}

impl Apns {
    pub(super) fn new(config: &ApnsConfig, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        let pool = |url: &str| Pool::new(url, config.ca_pem.as_deref(), config.pool.clone());
        let production = pool(&config.base_url)?;
        let sandbox = if config.sandbox_base_url == config.base_url {
            production.clone()
        } else {
            pool(&config.sandbox_base_url)?
        };
        Ok(Self {
            production,
            sandbox,
            tokens: TokenSource::new(&config.key_pem, &config.key_id, &config.team_id, clock)?,
        })
    }

    pub(super) async fn send(&self, push: &Push, deadline: Instant) -> Outcome {
        let mut post = match post(push) {
            Ok(post) => post,
            Err(refusal) => return refusal,
        };
        let pool = match push.target.environment {
            Environment::Production => &self.production,
            Environment::Sandbox => &self.sandbox,
        };
        let token = match self.tokens.current() {
            Ok(token) => token,
            Err(reason) => return Outcome::Misconfigured { reason },
        };
        post.headers.insert(header::AUTHORIZATION, token.clone());
        match attempt(pool, &post, push, deadline).await {
            Verdict::Done(outcome) => outcome,
            Verdict::TokenExpired => {
                let Some(renewed) = self.tokens.renewed_after(&token) else {
                    return expired_while_young();
                };
                post.headers.insert(header::AUTHORIZATION, renewed);
                match attempt(pool, &post, push, deadline).await {
                    Verdict::Done(outcome) => outcome,
                    Verdict::TokenExpired => expired_while_young(),
                }
            }
        }
    }
}

fn expired_while_young() -> Outcome {
    Outcome::Misconfigured {
        reason: "ExpiredProviderToken: Apple calls a fresh token expired; check this server's clock".to_owned(),
    }
}

async fn attempt(pool: &Pool, post: &Post, push: &Push, deadline: Instant) -> Verdict {
    match pool.post(post, deadline).await {
        Ok(reply) => verdict(&reply, push.delivery),
        Err(SendError::NotSent { reason, retry_after }) => Verdict::Done(Outcome::TryLater { reason, retry_after }),
        Err(SendError::Ambiguous { reason }) => Verdict::Done(Outcome::Unknown { reason }),
    }
}

/// The request without its authorization; or what the push comes to without one.
fn post(push: &Push) -> Result<Post, Outcome> {
    let never = |reason: &str| Outcome::Never {
        reason: reason.to_owned(),
    };
    let token = push.target.token.as_str();
    if !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        // Would not even stay one segment of the path.
        return Err(Outcome::DeadToken {
            reason: "BadDeviceToken".to_owned(),
            since: None,
        });
    }
    let path = PathAndQuery::try_from(format!("/3/device/{token}")).map_err(|_| never("BadPath"))?;
    let app = Some(push.target.app.as_str()).filter(|app| app.is_ascii());
    let topic = app.and_then(|app| HeaderValue::from_str(app).ok());
    let topic = topic.ok_or_else(|| never("BadTopic"))?;
    let id = push.delivery.to_string();
    let plain = |text: &str| HeaderValue::from_str(text).map_err(|_| never("BadMessageId"));
    // Different in each push, so it must not push useful entries out of the header table.
    let unindexed = |text: &str| {
        plain(text).map(|mut value| {
            value.set_sensitive(true);
            value
        })
    };
    let seconds = push.expires_at.0.div_euclid(1000).max(0);
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(APNS_ID, unindexed(&id)?);
    headers.insert(APNS_COLLAPSE_ID, unindexed(&id)?);
    headers.insert(APNS_EXPIRATION, unindexed(&seconds.to_string())?);
    headers.insert(APNS_PUSH_TYPE, HeaderValue::from_static("alert"));
    headers.insert(APNS_PRIORITY, HeaderValue::from_static("10"));
    headers.insert(APNS_TOPIC, topic);
    Ok(Post {
        path,
        headers,
        body: body(push)?,
    })
}

#[derive(Serialize)]
struct Payload<'a> {
    aps: Aps<'a>,
    #[serde(flatten, serialize_with = "as_map")]
    data: &'a [(String, String)],
}

#[derive(Serialize)]
struct Aps<'a> {
    alert: Alert<'a>,
    sound: &'static str,
}

#[derive(Serialize)]
struct Alert<'a> {
    title: &'a str,
    body: &'a str,
}

fn as_map<S: Serializer>(data: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(data.iter().map(|(key, value)| (key, value)))
}

fn body(push: &Push) -> Result<Bytes, Outcome> {
    let never = |reason: &str| Outcome::Never {
        reason: reason.to_owned(),
    };
    if push.data.iter().any(|(key, _)| key == "aps") {
        return Err(never("a custom field must not be named `aps`"));
    }
    let rendered = fit(&push.message.body, |body| {
        serde_json::to_vec(&Payload {
            aps: Aps {
                alert: Alert {
                    title: &push.message.title,
                    body,
                },
                sound: "default",
            },
            data: &push.data,
        })
    });
    match rendered {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(never("PayloadTooLarge")),
        Err(_) => Err(never("the payload can't be written as JSON")),
    }
}
