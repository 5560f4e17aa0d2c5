//! Where an access token comes from (developers.google.com/identity/protocols/oauth2/service-account).
//!
//! `gcp_auth` signs the request and speaks to the token endpoint, and finds Application Default Credentials. It can't go
//! through a proxy and trusts the usual roots only; where the settings ask for one of that, the request of a service
//! account (RFC 7523) goes out through a pool of our own.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use gcp_auth::{CustomServiceAccount, TokenProvider as _};
use http::{HeaderMap, HeaderValue, Uri, header, uri::PathAndQuery};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use crate::engine::ports::Clock;

use super::{
    super::pool::{Endpoint, Pool, PoolOptions, Post, SendError, SetupError},
    FcmAuth,
    oauth::OauthError,
};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT_TYPE: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
/// Longest fetch, with the retries of `gcp_auth`.
const FETCH_TIMEOUT: Duration = Duration::from_secs(15);
/// An assertion is good for so long, in seconds; Google takes no longer ones.
const ASSERTION_LIFETIME_S: i64 = 3600 - 5;
/// A token whose lifetime is not told has this one, in seconds.
const LIFETIME_DEFAULT_S: u64 = 3600;

/// A token that was just fetched.
pub(super) struct Fetched {
    pub(super) text: SecretString,
    /// From now on.
    pub(super) lifetime: Duration,
}

/// Where access tokens come from.
pub(super) enum Source {
    /// `gcp_auth` with a service account's key file.
    Account(SecretString),
    /// `gcp_auth` with what it finds on the machine.
    ApplicationDefault,
    /// A service account through a pool of our own.
    Pool(Box<PoolSource>),
}

pub(super) struct PoolSource {
    pool: Pool,
    path: PathAndQuery,
    account: Account,
    key: EncodingKey,
}

/// A service account's key file, as far as it is used.
#[derive(Deserialize)]
struct Account {
    client_email: String,
    private_key: SecretString,
    token_uri: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    scope: &'static str,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct Answer {
    access_token: SecretString,
    expires_in: Option<u64>,
}

impl Source {
    /// Also gives the project that pushes are for.
    pub(super) fn new(auth: &FcmAuth, endpoint: &Endpoint<'_>) -> Result<(Self, String), SetupError> {
        let json = match auth {
            FcmAuth::ApplicationDefault { project_id } => return Ok((Self::ApplicationDefault, project_id.clone())),
            FcmAuth::ServiceAccount(json) => json,
        };
        let unusable = || SetupError::Key("the FCM service account file is not a usable key file of Google's".into());
        // What parsers say may quote the file, so it is not passed on.
        let found = CustomServiceAccount::from_json(json.expose_secret()).map_err(|_| unusable())?;
        let project = found
            .project_id()
            .ok_or_else(|| SetupError::Key("the FCM service account file has no `project_id`".to_owned()))?
            .to_owned();
        let account: Account = serde_json::from_str(json.expose_secret()).map_err(|_| unusable())?;
        let uri: Uri = account.token_uri.parse().map_err(|_| unusable())?;
        let own_way = endpoint.proxy.is_some() || endpoint.ca_pem.is_some();
        if !own_way || uri.scheme_str() != Some("https") {
            return Ok((Self::Account(json.clone()), project));
        }
        let authority = uri.authority().ok_or_else(unusable)?;
        let pool = Pool::new(
            &Endpoint {
                base_url: &format!("https://{authority}"),
                ..*endpoint
            },
            PoolOptions {
                connections_max: 1,
                ..PoolOptions::default()
            },
        )?;
        let path = uri.path_and_query().cloned().ok_or_else(unusable)?;
        let key = EncodingKey::from_rsa_pem(account.private_key.expose_secret().as_bytes()).map_err(|_| unusable())?;
        let source = PoolSource {
            pool,
            path,
            account,
            key,
        };
        Ok((Self::Pool(Box::new(source)), project))
    }

    pub(super) async fn fetch(&self, clock: &dyn Clock) -> Result<Fetched, OauthError> {
        match self {
            // A fresh one each time: it would give its cached token until that is all but expired.
            Self::Account(json) => {
                let account = CustomServiceAccount::from_json(json.expose_secret())
                    .map_err(|_| OauthError::Refused("the FCM service account file is not usable".to_owned()))?;
                from_library(account.token(&[SCOPE])).await
            }
            Self::ApplicationDefault => application_default().await,
            Self::Pool(source) => source.fetch(clock).await,
        }
    }
}

/// A token of Application Default Credentials, which are looked for anew each time.
async fn application_default() -> Result<Fetched, OauthError> {
    let refuse = |why: &str| OauthError::Refused(why.to_owned());
    let found = timeout(FETCH_TIMEOUT, gcp_auth::provider()).await;
    let found = found.map_err(|_| OauthError::Unreachable("the token endpoint does not answer in time".to_owned()))?;
    let provider = found.map_err(|error| match error {
        gcp_auth::Error::NoAuthMethod(..) => refuse(
            "there are no Application Default Credentials: set GOOGLE_APPLICATION_CREDENTIALS, or run where there is a \
             metadata server",
        ),
        // Everything else is about that file. What is said of it may quote it, so it is not passed on.
        _ => refuse(
            "GOOGLE_APPLICATION_CREDENTIALS must name a service account's key file that can be read; what `gcloud` writes \
             for a user is found in its own place, without that variable",
        ),
    })?;
    from_library(provider.token(&[SCOPE])).await
}

async fn from_library(
    token: impl Future<Output = Result<Arc<gcp_auth::Token>, gcp_auth::Error>>,
) -> Result<Fetched, OauthError> {
    let token = timeout(FETCH_TIMEOUT, token)
        .await
        .map_err(|_| OauthError::Unreachable("the token endpoint does not answer in time".to_owned()))?
        .map_err(|error| match error {
            gcp_auth::Error::Str(what) => OauthError::Refused(format!(
                "{what}: the endpoint at the service account's `token_uri` answers without a token; check the account"
            )),
            gcp_auth::Error::Json(..) => {
                OauthError::Refused("what answers at the service account's `token_uri` is no token endpoint".to_owned())
            }
            other => OauthError::Unreachable(format!("the token endpoint can't be reached: {other}")),
        })?;
    Ok(Fetched {
        text: SecretString::from(token.as_str().to_owned()),
        // The library dates it by the machine's clock.
        lifetime: SystemTime::from(token.expires_at())
            .elapsed()
            .err()
            .map(|ahead| ahead.duration())
            .unwrap_or_default(),
    })
}

impl PoolSource {
    async fn fetch(&self, clock: &dyn Clock) -> Result<Fetched, OauthError> {
        let iat = clock.now().0.div_euclid(1000);
        let claims = Claims {
            iss: &self.account.client_email,
            aud: &self.account.token_uri,
            scope: SCOPE,
            iat,
            exp: iat + ASSERTION_LIFETIME_S,
        };
        let assertion = encode(&Header::new(Algorithm::RS256), &claims, &self.key)
            .map_err(|_| OauthError::Refused("the service account's key can't sign".to_owned()))?;
        let mut headers = HeaderMap::with_capacity(1);
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form);
        let post = Post {
            path: self.path.clone(),
            headers,
            body: Bytes::from(format!("grant_type={GRANT_TYPE}&assertion={assertion}")),
        };
        let reply = match self.pool.post(|| post.clone(), Instant::now() + FETCH_TIMEOUT).await {
            Ok(reply) => reply,
            Err(SendError::NotSent { reason, .. } | SendError::Ambiguous { reason }) => {
                return Err(OauthError::Unreachable(format!(
                    "the token endpoint can't be reached: {reason}"
                )));
            }
        };
        let answer: Option<Answer> = serde_json::from_slice(&reply.body).ok();
        match (reply.status, answer) {
            (200, Some(answer)) => Ok(Fetched {
                text: answer.access_token,
                lifetime: Duration::from_secs(answer.expires_in.unwrap_or(LIFETIME_DEFAULT_S)),
            }),
            (429 | 500..=599, _) => Err(OauthError::Unreachable(format!(
                "the token endpoint answers with status {}",
                reply.status
            ))),
            (status, _) => Err(OauthError::Refused(format!(
                "the endpoint at the service account's `token_uri` answers without a token (status {status}); check the account"
            ))),
        }
    }
}
