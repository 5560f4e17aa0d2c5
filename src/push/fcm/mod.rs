//! Firebase Cloud Messaging, HTTP v1 API (firebase.google.com/docs/reference/fcm/rest/v1/projects.messages).

mod oauth;
mod outcome;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header, uri::PathAndQuery};
use secrecy::SecretString;
use serde::{Serialize, Serializer};
use tokio::time::Instant;

use crate::{
    domain::{
        delivery::{Outcome, Push},
        time::{DurationMs, Timestamp},
    },
    engine::ports::Clock,
};

use self::{
    oauth::{AccessTokens, OauthError},
    outcome::{Verdict, verdict},
};
use super::{
    payload::fit,
    pool::{Pool, PoolOptions, Post, SendError, SetupError},
};

/// FCM keeps a message at most four weeks.
const TTL_MAX: DurationMs = DurationMs::from_secs(28 * 24 * 3600);

/// Settings of the FCM client.
#[derive(Debug, Clone)]
pub struct FcmConfig {
    /// Contents of the service account's key file, JSON. Its `project_id` says for which project pushes are, its
    /// `token_uri` where access tokens come from.
    pub service_account_json: SecretString,
    /// Where pushes go.
    pub base_url: String,
    /// Root certificates to trust besides the usual ones at `base_url`, PEM.
    pub ca_pem: Option<String>,
    /// How connections behave.
    pub pool: PoolOptions,
}

impl FcmConfig {
    /// Google's own host.
    pub fn new(service_account_json: SecretString) -> Self {
        Self {
            service_account_json,
            base_url: "https://fcm.googleapis.com".to_owned(),
            ca_pem: None,
            pool: PoolOptions::default(),
        }
    }
}

pub(super) struct Fcm {
    pool: Pool,
    path: PathAndQuery,
    tokens: AccessTokens,
    clock: Arc<dyn Clock>,
}

impl Fcm {
    pub(super) fn new(config: &FcmConfig, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        let (tokens, project) = AccessTokens::new(&config.service_account_json)?;
        let path = PathAndQuery::try_from(format!("/v1/projects/{project}/messages:send"))
            .map_err(|_| SetupError::Key("the service account's `project_id` is not one".to_owned()))?;
        Ok(Self {
            pool: Pool::new(&config.base_url, config.ca_pem.as_deref(), config.pool.clone())?,
            path,
            tokens,
            clock,
        })
    }

    pub(super) async fn send(&self, push: &Push, deadline: Instant) -> Outcome {
        let body = match body(push, self.clock.now()) {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let token = match self.tokens.current(deadline).await {
            Ok(token) => token,
            Err(error) => return no_token(error),
        };
        match self.attempt(&token, &body, deadline).await {
            Verdict::Done(outcome) => outcome,
            Verdict::TokenRefused(reason) => match self.tokens.renewed_after(&token, deadline).await {
                None => Outcome::Misconfigured { reason },
                Some(Err(error)) => no_token(error),
                Some(Ok(renewed)) => match self.attempt(&renewed, &body, deadline).await {
                    Verdict::Done(outcome) => outcome,
                    Verdict::TokenRefused(reason) => Outcome::Misconfigured { reason },
                },
            },
        }
    }

    async fn attempt(&self, token: &HeaderValue, body: &Bytes, deadline: Instant) -> Verdict {
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(header::AUTHORIZATION, token.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let post = Post {
            path: self.path.clone(),
            headers,
            body: body.clone(),
        };
        match self.pool.post(&post, deadline).await {
            Ok(reply) => verdict(&reply),
            Err(SendError::NotSent { reason, retry_after }) => Verdict::Done(Outcome::TryLater { reason, retry_after }),
            Err(SendError::Ambiguous { reason }) => Verdict::Done(Outcome::Unknown { reason }),
        }
    }
}

fn no_token(error: OauthError) -> Outcome {
    match error {
        OauthError::Unreachable(reason) => Outcome::TryLater {
            reason,
            retry_after: None,
        },
        OauthError::Refused(reason) => Outcome::Misconfigured { reason },
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    message: Message<'a>,
}

#[derive(Serialize)]
struct Message<'a> {
    token: &'a str,
    notification: Notification<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "as_map")]
    data: &'a [(String, String)],
    android: Android,
}

#[derive(Serialize)]
struct Notification<'a> {
    title: &'a str,
    body: &'a str,
}

/// No `collapse_key`: a device has only four of them, and the tag replaces on the screen.
#[derive(Serialize)]
struct Android {
    priority: &'static str,
    ttl: String,
    notification: AndroidNotification,
}

#[derive(Serialize)]
struct AndroidNotification {
    tag: String,
}

fn as_map<S: Serializer>(data: &&[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(data.iter().map(|(key, value)| (key, value)))
}

fn body(push: &Push, now: Timestamp) -> Result<Bytes, Outcome> {
    let ttl = push.expires_at.since(now).min(TTL_MAX);
    let rendered = fit(&push.message.body, |body| {
        serde_json::to_vec(&Envelope {
            message: Message {
                token: push.target.token.as_str(),
                notification: Notification {
                    title: &push.message.title,
                    body,
                },
                data: &push.data,
                android: Android {
                    priority: "HIGH",
                    ttl: format!("{}s", ttl.0 / 1000),
                    notification: AndroidNotification {
                        tag: push.delivery.to_string(),
                    },
                },
            },
        })
    });
    let never = |reason: &str| Outcome::Never {
        reason: reason.to_owned(),
    };
    match rendered {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(never("the message is larger than 4096 bytes")),
        Err(_) => Err(never("the message can't be written as JSON")),
    }
}
