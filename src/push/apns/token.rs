//! Provider tokens: ES256 JWTs (RFC 7519, RFC 7518 section 3.4) that name the team and the key.
//!
//! Apple refuses a token older than an hour, and answers `TooManyProviderTokenUpdates` to a client that changes its
//! token more often than every 20 minutes. So:
//!
//! - A token is renewed at 40 minutes, beside the pushes, which go on with the old one, and at 50 by a push that waits.
//! - None is replaced before it is 20 minutes old, whatever Apple says about it.
//! - Servers on one store use one token: who renews first leaves it there, and the others take it. ES256 signatures hold
//!   chance, so two servers can't make the same token by themselves. A store that does not answer holds nobody up: then
//!   the server's own token serves.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    domain::{
        delivery::Credential,
        time::{DurationMs, Timestamp},
    },
    engine::ports::{Clock, SharedToken, SharedTokens},
};

use super::SetupError;

/// A token is renewed from this age on.
const RENEW_AT: DurationMs = DurationMs::from_secs(40 * 60);
/// A token of this age is not used any more.
const USED_UNTIL: DurationMs = DurationMs::from_secs(50 * 60);
/// Another server's token is taken up to this age.
const TAKEN_UNTIL: DurationMs = DurationMs::from_secs(30 * 60);
/// A token that Apple calls expired is not replaced below this age.
const RENEW_NOT_BEFORE: DurationMs = DurationMs::from_secs(20 * 60);
/// Another server's clock may be ahead by so much.
const SKEW_MAX: DurationMs = DurationMs::from_secs(60);
/// The store has so long to answer.
const SHARE_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct TokenSource {
    key: EncodingKey,
    header: Header,
    team_id: String,
    /// What the token is called in the store.
    name: Credential,
    clock: Arc<dyn Clock>,
    shared: Arc<dyn SharedTokens>,
    held: Mutex<Option<Held>>,
    /// Whoever has it renews; the others wait and use what there is then.
    renewing: tokio::sync::Mutex<()>,
    /// A renewal beside the pushes is under way.
    beside: AtomicBool,
}

#[derive(Clone)]
struct Held {
    authorization: HeaderValue,
    made_at: Timestamp,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    /// Unix seconds.
    iat: i64,
}

impl TokenSource {
    pub(super) fn new(
        key_pem: &SecretString,
        key_id: &str,
        team_id: &str,
        name: Credential,
        clock: &Arc<dyn Clock>,
        shared: &Arc<dyn SharedTokens>,
    ) -> Result<Self, SetupError> {
        let key = EncodingKey::from_ec_pem(key_pem.expose_secret().as_bytes()).map_err(|_| {
            SetupError::Key("the APNs key is not a PKCS#8 PEM file with an EC key, as Apple's AuthKey_*.p8".to_owned())
        })?;
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(key_id.to_owned());
        let source = Self {
            key,
            header,
            team_id: team_id.to_owned(),
            name,
            clock: Arc::clone(clock),
            shared: Arc::clone(shared),
            held: Mutex::new(None),
            renewing: tokio::sync::Mutex::new(()),
            beside: AtomicBool::new(false),
        };
        // A key of another curve is found here and not at the first push.
        source.mint(Timestamp(0)).map_err(SetupError::Key)?;
        Ok(source)
    }

    /// The value of `authorization`.
    pub(super) async fn current(self: &Arc<Self>, deadline: Instant) -> Result<HeaderValue, String> {
        let now = self.clock.now();
        if let Some(held) = self.held_until(USED_UNTIL, now) {
            if age(held.made_at, now) >= RENEW_AT && !self.beside.swap(true, Ordering::AcqRel) {
                let source = Arc::clone(self);
                tokio::spawn(async move {
                    let renewed = source.renew(RENEW_AT, TAKEN_UNTIL).await;
                    source.beside.store(false, Ordering::Release);
                    if let Err(error) = renewed {
                        tracing::warn!(error, "can't renew the APNs token");
                    }
                });
            }
            return Ok(held.authorization);
        }
        self.renew_by(deadline, USED_UNTIL, TAKEN_UNTIL).await
    }

    /// A token other than `rejected`, which Apple called expired. Nothing when it is too young to be replaced.
    pub(super) async fn renewed_after(
        self: &Arc<Self>,
        rejected: &HeaderValue,
        deadline: Instant,
    ) -> Option<HeaderValue> {
        let now = self.clock.now();
        let held = self.lock().clone();
        if let Some(held) = held {
            if held.authorization != rejected {
                return Some(held.authorization);
            }
            if age(held.made_at, now) < RENEW_NOT_BEFORE {
                return None;
            }
        }
        self.renew_by(deadline, RENEW_NOT_BEFORE, RENEW_NOT_BEFORE).await.ok()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token that is held, if it is younger.
    fn held_until(&self, limit: DurationMs, now: Timestamp) -> Option<Held> {
        self.lock().clone().filter(|held| age(held.made_at, now) < limit)
    }

    async fn renew_by(&self, deadline: Instant, held: DurationMs, taken: DurationMs) -> Result<HeaderValue, String> {
        timeout_at(deadline, self.renew(held, taken))
            .await
            .unwrap_or_else(|_| Err("no APNs token before the deadline".to_owned()))
    }

    /// Once for all who ask at the same time: a token below the age `held` serves, and another server's below `taken`.
    async fn renew(&self, held: DurationMs, taken: DurationMs) -> Result<HeaderValue, String> {
        let _turn = self.renewing.lock().await;
        let now = self.clock.now();
        if let Some(held) = self.held_until(held, now) {
            return Ok(held.authorization);
        }
        let ours = SharedToken {
            text: self.mint(now)?,
            made_at: now,
        };
        let kept = self.exchange(ours, fresh(now, taken)).await;
        let mut authorization = HeaderValue::try_from(format!("bearer {}", kept.text))
            .map_err(|_| "the APNs token is not a header value".to_owned())?;
        authorization.set_sensitive(true);
        *self.lock() = Some(Held {
            authorization: authorization.clone(),
            made_at: kept.made_at,
        });
        Ok(authorization)
    }

    /// The token that all servers use.
    async fn exchange(&self, ours: SharedToken, fresh: RangeInclusive<Timestamp>) -> SharedToken {
        let answer = self.shared.share_token(self.name.as_str(), ours.clone(), fresh);
        match timeout(SHARE_TIMEOUT, answer).await {
            Ok(Ok(kept)) => kept,
            Ok(Err(error)) => {
                tracing::warn!(%error, "can't share the APNs token; this server's own serves");
                ours
            }
            Err(_) => {
                tracing::warn!("the store does not answer in time; this server's own APNs token serves");
                ours
            }
        }
    }

    fn mint(&self, now: Timestamp) -> Result<String, String> {
        let claims = Claims {
            iss: &self.team_id,
            iat: now.0.div_euclid(1000),
        };
        encode(&self.header, &claims, &self.key)
            .map_err(|_| "the APNs key can't sign: it must be on the curve P-256".to_owned())
    }
}

/// When a token was made that is below an age.
fn fresh(now: Timestamp, age: DurationMs) -> RangeInclusive<Timestamp> {
    Timestamp(now.0 - age.0 + 1)..=now.plus(SKEW_MAX)
}

/// A clock that was set back makes a token of the future, which is as useless as an old one.
fn age(at: Timestamp, now: Timestamp) -> DurationMs {
    DurationMs(now.0.saturating_sub(at.0).saturating_abs())
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
