//! Apple Push Notification service, provider API over HTTP/2 with tokens or certificates
//! (developer.apple.com, "Sending notification requests to APNs").

mod outcome;
mod payload;
mod request;
mod token;

use std::sync::Arc;

use http::HeaderName;
use secrecy::SecretString;
use tokio::time::Instant;

use crate::{
    domain::{
        delivery::{Credential, Environment, Outcome, Push, PushTarget},
        ids::WorkspaceId,
    },
    engine::ports::{Clock, SharedTokens},
};

use self::{
    outcome::{BAD_DEVICE_TOKEN, Verdict, verdict},
    request::Letter,
    token::TokenSource,
};
use super::{
    choice::{Choice, Scope},
    pool::{Endpoint, Pool, PoolOptions, SendError, SetupError},
};

const APNS_ID: HeaderName = HeaderName::from_static("apns-id");

/// Settings of the APNs client.
#[derive(Debug, Clone)]
pub struct ApnsConfig {
    /// How it shows Apple that it may send, and to which apps. Each has connections of its own.
    pub credentials: Vec<ApnsCredential>,
    /// Where pushes to apps from the store go.
    pub base_url: String,
    /// Where pushes to development builds go.
    pub sandbox_base_url: String,
    /// Root certificates to trust besides the usual ones, PEM.
    pub ca_pem: Option<String>,
    /// The HTTP proxy to go through, `http://[user:password@]host:port`.
    pub proxy: Option<SecretString>,
    /// How connections behave.
    pub pool: PoolOptions,
}

/// One way to send to some apps.
#[derive(Debug, Clone)]
pub struct ApnsCredential {
    /// For which pushes.
    pub scope: Scope,
    /// What it shows.
    pub auth: ApnsAuth,
}

/// What Apple is shown.
#[derive(Debug, Clone)]
pub enum ApnsAuth {
    /// A token that is made with a key of the developer team.
    Token {
        /// Contents of the `AuthKey_*.p8` file.
        key_pem: SecretString,
        /// Ten characters, as Apple shows it beside the key.
        key_id: String,
        /// Ten characters, the developer team's.
        team_id: String,
    },
    /// A certificate for some apps, shown when connecting.
    Certificate {
        /// Certificate, chain and private key, PEM.
        pem: SecretString,
        /// What it is called in the log.
        name: String,
    },
}

impl ApnsConfig {
    /// Apple's own hosts, and a key for all apps.
    pub fn new(key_pem: SecretString, key_id: impl Into<String>, team_id: impl Into<String>) -> Self {
        Self {
            credentials: vec![ApnsCredential {
                scope: Scope::default(),
                auth: ApnsAuth::Token {
                    key_pem,
                    key_id: key_id.into(),
                    team_id: team_id.into(),
                },
            }],
            base_url: "https://api.push.apple.com".to_owned(),
            sandbox_base_url: "https://api.sandbox.push.apple.com".to_owned(),
            ca_pem: None,
            proxy: None,
            pool: PoolOptions::default(),
        }
    }
}

pub(super) struct Apns {
    desks: Choice<Desk>,
    no_credential: Credential,
}

/// What is sent with one credential.
struct Desk {
    credential: Credential,
    production: Pool,
    sandbox: Pool,
    /// Whether the two are one, as with a stand-in.
    one_world: bool,
    /// None: the connections' certificate says it.
    tokens: Option<Arc<TokenSource>>,
    clock: Arc<dyn Clock>,
}

impl Apns {
    pub(super) fn new(
        config: &ApnsConfig,
        clock: &Arc<dyn Clock>,
        shared: &Arc<dyn SharedTokens>,
    ) -> Result<Self, SetupError> {
        let desks = config
            .credentials
            .iter()
            .map(|one| Ok((one.scope.clone(), Desk::new(config, &one.auth, clock, shared)?)))
            .collect::<Result<Vec<_>, SetupError>>()?;
        Ok(Self {
            desks: Choice::new(desks, "push.apns")?,
            no_credential: Credential::new("apns"),
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
                reason: format!("no credential in [push.apns] is for the app {}", push.target.app),
            },
        }
    }
}

impl Desk {
    fn new(
        config: &ApnsConfig,
        auth: &ApnsAuth,
        clock: &Arc<dyn Clock>,
        shared: &Arc<dyn SharedTokens>,
    ) -> Result<Self, SetupError> {
        let (credential, identity_pem, tokens) = match auth {
            ApnsAuth::Token {
                key_pem,
                key_id,
                team_id,
            } => {
                let credential = Credential::new(format!("apns:{team_id}/{key_id}"));
                let tokens = TokenSource::new(key_pem, key_id, team_id, credential.clone(), clock, shared)?;
                (credential, None, Some(Arc::new(tokens)))
            }
            ApnsAuth::Certificate { pem, name } => {
                (Credential::new(format!("apns:certificate:{name}")), Some(pem), None)
            }
        };
        let pool = |base_url: &str| {
            let endpoint = Endpoint {
                base_url,
                ca_pem: config.ca_pem.as_deref(),
                identity_pem,
                proxy: config.proxy.as_ref(),
            };
            Pool::new(&endpoint, config.pool.clone())
        };
        let production = pool(&config.base_url)?;
        let one_world = config.sandbox_base_url == config.base_url;
        let sandbox = if one_world {
            production.clone()
        } else {
            pool(&config.sandbox_base_url)?
        };
        Ok(Self {
            credential,
            production,
            sandbox,
            one_world,
            tokens,
            clock: Arc::clone(clock),
        })
    }

    async fn send(&self, push: &Push, deadline: Instant) -> Outcome {
        let mut letter = match Letter::new(push) {
            Ok(letter) => letter,
            Err(refusal) => return refusal,
        };
        let told = push.target.environment;
        let outcome = self.send_to(told, &mut letter, push, deadline).await;
        let Outcome::DeadToken { reason, .. } = &outcome else {
            return outcome;
        };
        if reason != BAD_DEVICE_TOKEN || self.one_world {
            return outcome;
        }
        // Apple says so of tokens of its other world, too; an app that was told wrong is found there.
        let other = match told {
            Environment::Production => Environment::Sandbox,
            Environment::Sandbox => Environment::Production,
        };
        match self.send_to(other, &mut letter, push, deadline).await {
            Outcome::Accepted {
                provider_id, shortened, ..
            } => Outcome::Accepted {
                provider_id,
                environment: Some(other),
                shortened,
            },
            // Known there, though not alive; or nobody knows.
            there
            @ (Outcome::DeadToken { since: Some(_), .. } | Outcome::TryLater { .. } | Outcome::Unknown { .. }) => there,
            Outcome::DeadToken { since: None, .. } | Outcome::Never { .. } | Outcome::Misconfigured { .. } => outcome,
        }
    }

    /// Sends it to one of Apple's worlds; a token that Apple calls expired is renewed, once.
    async fn send_to(&self, world: Environment, letter: &mut Letter, push: &Push, deadline: Instant) -> Outcome {
        let Some(tokens) = &self.tokens else {
            return match self.attempt(world, letter, push, deadline).await {
                Verdict::Done(outcome) => outcome,
                Verdict::Misconfigured(reason) => self.misconfigured(reason),
                Verdict::TokenExpired => {
                    self.misconfigured("ExpiredProviderToken, though a certificate was shown".to_owned())
                }
            };
        };
        let token = match tokens.current(deadline).await {
            Ok(token) => token,
            Err(reason) => return self.misconfigured(reason),
        };
        letter.authorize(token.clone());
        match self.attempt(world, letter, push, deadline).await {
            Verdict::Done(outcome) => return outcome,
            Verdict::Misconfigured(reason) => return self.misconfigured(reason),
            Verdict::TokenExpired => {}
        }
        let Some(renewed) = tokens.renewed_after(&token, deadline).await else {
            return self.expired_while_young();
        };
        letter.authorize(renewed);
        match self.attempt(world, letter, push, deadline).await {
            Verdict::Done(outcome) => outcome,
            Verdict::Misconfigured(reason) => self.misconfigured(reason),
            Verdict::TokenExpired => self.expired_while_young(),
        }
    }

    async fn attempt(&self, world: Environment, letter: &Letter, push: &Push, deadline: Instant) -> Verdict {
        let pool = match world {
            Environment::Production => &self.production,
            Environment::Sandbox => &self.sandbox,
        };
        match pool.post(|| letter.post(), deadline).await {
            Ok(reply) => verdict(&reply, push.delivery, letter.shortened, &*self.clock),
            Err(SendError::NotSent { reason, retry_after }) => Verdict::Done(Outcome::TryLater { reason, retry_after }),
            Err(SendError::Ambiguous { reason }) => Verdict::Done(Outcome::Unknown { reason }),
        }
    }

    fn misconfigured(&self, reason: String) -> Outcome {
        Outcome::Misconfigured {
            credential: self.credential.clone(),
            reason,
        }
    }

    fn expired_while_young(&self) -> Outcome {
        self.misconfigured(
            "ExpiredProviderToken: Apple calls a fresh token expired; check this server's clock".to_owned(),
        )
    }
}
