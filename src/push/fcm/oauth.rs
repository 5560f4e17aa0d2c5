//! The access token that serves all pushes of one project.
//!
//! Libraries fetch once for *each* caller that waits while there is no token, and only when the old one is all but
//! expired. So one fetch serves all who wait here, a token is renewed in the background at three quarters of its life
//! (45 of 60 minutes), and a failed fetch is not repeated by each push.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderValue;
use secrecy::ExposeSecret;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::engine::ports::Clock;

use super::access_token::Source;

/// A token is not used for so long before its end.
const MARGIN: Duration = Duration::from_secs(30);
/// A token that FCM refuses is not replaced below this age.
const RENEW_NOT_BEFORE: Duration = Duration::from_secs(10);
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
    source: Source,
    clock: Arc<dyn Clock>,
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
    at: Instant,
    lifetime: Duration,
}

impl AccessTokens {
    pub(super) fn new(source: Source, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::new(Inner {
                source,
                clock,
                state: Mutex::default(),
            }),
        }
    }

    /// The value of `authorization`.
    pub(super) async fn current(&self, deadline: Instant) -> Result<HeaderValue, OauthError> {
        let waiting = {
            let mut state = self.inner.lock();
            let held = state
                .current
                .clone()
                .filter(|held| held.at.elapsed() + MARGIN < held.lifetime);
            if let Some(held) = held {
                if held.at.elapsed() >= held.lifetime.mul_f32(0.75) && state.paused().is_none() {
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
            let fetched = inner.fetch().await;
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

    async fn fetch(&self) -> Fetched {
        let fetched = self.source.fetch(&*self.clock).await?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", fetched.text.expose_secret()))
            .map_err(|_| OauthError::Refused("the access token is not a header value".to_owned()))?;
        authorization.set_sensitive(true);
        Ok(Arc::new(Held {
            authorization,
            at: Instant::now(),
            lifetime: fetched.lifetime,
        }))
    }
}
