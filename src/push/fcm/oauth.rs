//! Access tokens of a service account (developers.google.com/identity/protocols/oauth2/service-account).
//!
//! `gcp_auth` signs the request and speaks to `token_uri`. It fetches once for *each* caller that waits while there is
//! no token, and only when the old one is all but expired. So this wraps it: one fetch serves all who wait, a token is
//! renewed in the background at 45 of its 60 minutes, and a failed fetch is not repeated by each push.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gcp_auth::{CustomServiceAccount, Token, TokenProvider};
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use super::SetupError;

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// A token is renewed in the background from this age on.
const RENEW_AT: Duration = Duration::from_mins(45);
/// A token that FCM refuses is not replaced below this age.
const RENEW_NOT_BEFORE: Duration = Duration::from_secs(10);
/// Longest fetch, with the retries of `gcp_auth`.
const FETCH_TIMEOUT: Duration = Duration::from_secs(15);
/// No further fetch for so long after a failed one.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);

/// Why there is no access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OauthError {
    /// The token endpoint can't be reached or does not answer in time.
    Unreachable(String),
    /// The token endpoint answers, with no token.
    Refused(String),
}

type Fetched = Result<Arc<Held>, OauthError>;

pub(super) struct AccessTokens {
    inner: Arc<Inner>,
}

struct Inner {
    account_json: SecretString,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Held>>,
    /// The one fetch under way.
    fetching: Option<watch::Receiver<Option<Fetched>>>,
    failed: Option<(Instant, OauthError)>,
}

struct Held {
    authorization: HeaderValue,
    token: Arc<Token>,
    at: Instant,
}

impl AccessTokens {
    /// Also gives the project that the account belongs to.
    pub(super) fn new(account_json: &SecretString) -> Result<(Self, String), SetupError> {
        // What the parser says may quote the file, so it is not passed on.
        let account = CustomServiceAccount::from_json(account_json.expose_secret())
            .map_err(|_| SetupError::Key("the FCM service account file is not a usable key file of Google's".into()))?;
        let project = account
            .project_id()
            .ok_or_else(|| SetupError::Key("the FCM service account file has no `project_id`".to_owned()))?
            .to_owned();
        let tokens = Self {
            inner: Arc::new(Inner {
                account_json: account_json.clone(),
                state: Mutex::default(),
            }),
        };
        Ok((tokens, project))
    }

    /// The value of `authorization`.
    pub(super) async fn current(&self, deadline: Instant) -> Result<HeaderValue, OauthError> {
        let waiting = {
            let mut state = self.inner.lock();
            let held = state.current.clone().filter(|held| !held.token.has_expired());
            if let Some(held) = held {
                if held.at.elapsed() >= RENEW_AT && state.paused().is_none() {
                    self.inner.fetching(&mut state);
                }
                return Ok(held.authorization.clone());
            }
            if let Some(error) = state.paused() {
                return Err(error);
            }
            self.inner.fetching(&mut state)
        };
        wait(waiting, deadline).await
    }

    /// A token other than `refused`. Nothing when that one is too young to be worth a fetch.
    pub(super) async fn renewed_after(
        &self,
        refused: &HeaderValue,
        deadline: Instant,
    ) -> Option<Result<HeaderValue, OauthError>> {
        {
            let mut state = self.inner.lock();
            if let Some(held) = &state.current
                && held.authorization == refused
            {
                if held.at.elapsed() < RENEW_NOT_BEFORE {
                    return None;
                }
                state.current = None;
            }
        }
        Some(self.current(deadline).await)
    }
}

async fn wait(mut fetch: watch::Receiver<Option<Fetched>>, deadline: Instant) -> Result<HeaderValue, OauthError> {
    let fetched = match timeout_at(deadline, fetch.wait_for(Option::is_some)).await {
        Ok(Ok(fetched)) => fetched.clone(),
        Ok(Err(_)) => None,
        Err(_) => Some(Err(OauthError::Unreachable(
            "no access token before the deadline".to_owned(),
        ))),
    };
    match fetched {
        Some(Ok(held)) => Ok(held.authorization.clone()),
        Some(Err(error)) => Err(error),
        None => Err(OauthError::Unreachable("the token fetch was cut off".to_owned())),
    }
}

impl State {
    fn paused(&self) -> Option<OauthError> {
        self.failed
            .as_ref()
            .filter(|(at, _)| at.elapsed() < FAILURE_PAUSE)
            .map(|(_, error)| error.clone())
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fetch under way, or a new one. It runs by itself, so that no caller's deadline cuts it for the others.
    fn fetching(self: &Arc<Self>, state: &mut State) -> watch::Receiver<Option<Fetched>> {
        if let Some(fetch) = &state.fetching {
            return fetch.clone();
        }
        let (result, fetch) = watch::channel(None);
        state.fetching = Some(fetch.clone());
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            let fetched = fetch_token(&inner.account_json).await;
            let mut state = inner.lock();
            state.fetching = None;
            match &fetched {
                Ok(held) => {
                    state.current = Some(Arc::clone(held));
                    state.failed = None;
                }
                Err(error) => {
                    tracing::warn!(?error, "can't get an FCM access token");
                    state.failed = Some((Instant::now(), error.clone()));
                }
            }
            drop(state);
            result.send_replace(Some(fetched));
        });
        fetch
    }
}

async fn fetch_token(account_json: &SecretString) -> Fetched {
    let broken = || OauthError::Refused("the FCM service account file is not usable".to_owned());
    // A fresh one each time: it would give its cached token until that is all but expired.
    let account = CustomServiceAccount::from_json(account_json.expose_secret()).map_err(|_| broken())?;
    let token = timeout(FETCH_TIMEOUT, account.token(&[SCOPE]))
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
    let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.as_str()))
        .map_err(|_| OauthError::Refused("the access token is not a header value".to_owned()))?;
    authorization.set_sensitive(true);
    Ok(Arc::new(Held {
        authorization,
        token,
        at: Instant::now(),
    }))
}
