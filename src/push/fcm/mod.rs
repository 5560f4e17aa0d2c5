//! Firebase Cloud Messaging, HTTP v1 API (firebase.google.com/docs/reference/fcm/rest/v1/projects.messages).

mod access_token;
mod oauth;
mod outcome;
mod payload;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header, uri::PathAndQuery};
use secrecy::SecretString;
use tokio::time::Instant;

use crate::{
    domain::{
        delivery::{Credential, Outcome, Push, PushTarget},
        ids::WorkspaceId,
    },
    engine::ports::Clock,
};

use self::{
    access_token::Source,
    oauth::{AccessTokens, OauthError},
    outcome::{Verdict, verdict},
    payload::{Rendered, render},
};
use super::{
    choice::{Choice, Scope},
    pool::{Endpoint, Pool, PoolOptions, Post, SendError, SetupError},
};

/// Settings of the FCM client.
#[derive(Debug, Clone)]
pub struct FcmConfig {
    /// The Firebase projects, and the apps of each.
    pub credentials: Vec<FcmCredential>,
    /// Where pushes go.
    pub base_url: String,
    /// Root certificates to trust besides the usual ones, PEM.
    pub ca_pem: Option<String>,
    /// The HTTP proxy to go through, `http://[user:password@]host:port`.
    pub proxy: Option<SecretString>,
    /// How connections behave.
    pub pool: PoolOptions,
}

/// A Firebase project.
#[derive(Debug, Clone)]
pub struct FcmCredential {
    /// For which pushes.
    pub scope: Scope,
    /// Who sends.
    pub auth: FcmAuth,
}

/// Whose access tokens are used.
#[derive(Debug, Clone)]
pub enum FcmAuth {
    /// A service account: contents of its key file, JSON. Its `project_id` says for which project pushes are, its
    /// `token_uri` where access tokens come from.
    ServiceAccount(SecretString),
    /// Application Default Credentials: what `GOOGLE_APPLICATION_CREDENTIALS`, `gcloud` or the machine's metadata server
    /// give.
    ApplicationDefault {
        /// For which project pushes are.
        project_id: String,
    },
}

impl FcmConfig {
    /// Google's own host, and a service account for all apps.
    pub fn new(service_account_json: SecretString) -> Self {
        Self {
            credentials: vec![FcmCredential {
                scope: Scope::default(),
                auth: FcmAuth::ServiceAccount(service_account_json),
            }],
            base_url: "https://fcm.googleapis.com".to_owned(),
            ca_pem: None,
            proxy: None,
            pool: PoolOptions::default(),
        }
    }
}

pub(super) struct Fcm {
    desks: Choice<Desk>,
    no_credential: Credential,
}

/// What is sent for one project.
struct Desk {
    credential: Credential,
    pool: Pool,
    path: PathAndQuery,
    tokens: AccessTokens,
    clock: Arc<dyn Clock>,
}

impl Fcm {
    pub(super) fn new(config: &FcmConfig, clock: &Arc<dyn Clock>) -> Result<Self, SetupError> {
        let desks = config
            .credentials
            .iter()
            .map(|one| Ok((one.scope.clone(), Desk::new(config, &one.auth, clock)?)))
            .collect::<Result<Vec<_>, SetupError>>()?;
        Ok(Self {
            desks: Choice::new(desks, "push.fcm")?,
            no_credential: Credential::new("fcm"),
        })
    }

    pub(super) fn credential(&self, workspace: &WorkspaceId, target: &PushTarget) -> Credential {
        let desk = self.desks.of(workspace, &target.app);
        desk.map_or(&self.no_credential, |desk| &desk.credential).clone()
    }

    pub(super) async fn send(&self, push: &Push, deadline: Instant) -> Outcome {
        match self.desks.of(&push.workspace, &push.target.app) {
            Some(desk) => desk.send(push, deadline).await,
            None => Outcome::Misconfigured {
                credential: self.no_credential.clone(),
                reason: format!("no project in [push.fcm] is for the app {}", push.target.app),
            },
        }
    }
}

impl Desk {
    fn new(config: &FcmConfig, auth: &FcmAuth, clock: &Arc<dyn Clock>) -> Result<Self, SetupError> {
        let endpoint = Endpoint {
            base_url: &config.base_url,
            ca_pem: config.ca_pem.as_deref(),
            identity_pem: None,
            proxy: config.proxy.as_ref(),
        };
        let (source, project) = Source::new(auth, &endpoint)?;
        let path = PathAndQuery::try_from(format!("/v1/projects/{project}/messages:send"))
            .map_err(|_| SetupError::Key(format!("`{project}` is not a Firebase project's id")))?;
        Ok(Self {
            credential: Credential::new(format!("fcm:{project}")),
            pool: Pool::new(&endpoint, config.pool.clone())?,
            path,
            tokens: AccessTokens::new(source, Arc::clone(clock)),
            clock: Arc::clone(clock),
        })
    }

    async fn send(&self, push: &Push, deadline: Instant) -> Outcome {
        let rendered = match render(push, self.clock.now()) {
            Ok(rendered) => rendered,
            Err(refusal) => return refusal,
        };
        let token = match self.tokens.current(deadline).await {
            Ok(token) => token,
            Err(error) => return self.no_token(error),
        };
        let refused = match self.attempt(&token, &rendered, deadline).await {
            Verdict::Done(outcome) => return outcome,
            Verdict::Misconfigured(reason) => return self.misconfigured(reason),
            Verdict::TokenRefused(reason) => reason,
        };
        match self.tokens.renewed_after(&token, deadline).await {
            None => self.misconfigured(refused),
            Some(Err(error)) => self.no_token(error),
            Some(Ok(renewed)) => match self.attempt(&renewed, &rendered, deadline).await {
                Verdict::Done(outcome) => outcome,
                Verdict::TokenRefused(reason) | Verdict::Misconfigured(reason) => self.misconfigured(reason),
            },
        }
    }

    async fn attempt(&self, token: &HeaderValue, rendered: &Rendered, deadline: Instant) -> Verdict {
        let post = || {
            let mut headers = HeaderMap::with_capacity(2);
            headers.insert(header::AUTHORIZATION, token.clone());
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Post {
                path: self.path.clone(),
                headers,
                body: Bytes::clone(&rendered.body),
            }
        };
        match self.pool.post(post, deadline).await {
            Ok(reply) => verdict(&reply, rendered.shortened, self.clock.now()),
            Err(SendError::NotSent { reason, retry_after }) => Verdict::Done(Outcome::TryLater { reason, retry_after }),
            Err(SendError::Ambiguous { reason }) => Verdict::Done(Outcome::Unknown { reason }),
        }
    }

    fn no_token(&self, error: OauthError) -> Outcome {
        match error {
            OauthError::Unreachable(reason) => Outcome::TryLater {
                reason,
                retry_after: None,
            },
            OauthError::Refused(reason) => self.misconfigured(reason),
        }
    }

    fn misconfigured(&self, reason: String) -> Outcome {
        Outcome::Misconfigured {
            credential: self.credential.clone(),
            reason,
        }
    }
}
