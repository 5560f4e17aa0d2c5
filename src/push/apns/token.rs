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
mod tests {
    use jsonwebtoken::{DecodingKey, Validation, decode};
    use rcgen::KeyPair;
    use serde_json::Value;

    use super::*;
    use crate::{
        engine::ports::StoreError,
        push::tests::{TestClock, deadline},
        store::OneProcess,
    };

    fn made(pair: &KeyPair, clock: &Arc<TestClock>, store: &Arc<dyn SharedTokens>) -> Arc<TokenSource> {
        let pem = SecretString::from(pair.serialize_pem());
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(clock);
        let name = Credential::new("apns:TEAM567890/KEY4567890");
        Arc::new(TokenSource::new(&pem, "KEY4567890", "TEAM567890", name, &clock, store).unwrap())
    }

    fn source(clock: &Arc<TestClock>) -> (Arc<TokenSource>, KeyPair) {
        let pair = KeyPair::generate().unwrap();
        let store: Arc<dyn SharedTokens> = Arc::new(OneProcess::default());
        (made(&pair, clock, &store), pair)
    }

    fn from_pem(pem: String) -> Result<TokenSource, SetupError> {
        let clock: Arc<dyn Clock> = TestClock::at("2026-11-22T08:30:00Z");
        let store: Arc<dyn SharedTokens> = Arc::new(OneProcess::default());
        TokenSource::new(
            &SecretString::from(pem),
            "K",
            "T",
            Credential::new("apns"),
            &clock,
            &store,
        )
    }

    #[tokio::test]
    async fn a_token_verifies_and_names_key_and_team() {
        let clock = TestClock::at("2026-11-22T08:30:00Z");
        let (source, pair) = source(&clock);
        let value = source.current(deadline()).await.unwrap();
        assert!(value.is_sensitive());
        let jwt = value.to_str().unwrap().strip_prefix("bearer ").unwrap().to_owned();
        let key = DecodingKey::from_ec_pem(pair.public_key_pem().as_bytes()).unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let token = decode::<Value>(&jwt, &key, &validation).unwrap();
        assert_eq!(token.header.kid.as_deref(), Some("KEY4567890"));
        assert_eq!(
            token.claims,
            serde_json::json!({ "iss": "TEAM567890", "iat": 1_795_336_200 })
        );
        let signature = jwt.rsplit('.').next().unwrap();
        assert_eq!(signature.len(), 86, "64 bytes r||s, base64url without padding");
    }

    #[test]
    fn a_key_in_apples_own_layout_is_read() {
        // Apple repeats the curve inside the EC key (RFC 5915, `parameters`); other tools leave it out.
        let pair = KeyPair::generate().unwrap();
        let plain = pair.serialized_der();
        assert_eq!(
            (plain.len(), &plain[27..36]),
            (138, [4, 0x6d, 0x30, 0x6b, 2, 1, 1, 4, 32].as_slice())
        );
        let mut der = vec![0x30, 0x81, 0x93];
        der.extend_from_slice(&plain[3..27]);
        der.extend_from_slice(&[4, 0x79, 0x30, 0x77, 2, 1, 1, 4, 32]);
        der.extend_from_slice(&plain[36..68]);
        der.extend_from_slice(&[0xa0, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
        der.extend_from_slice(&plain[68..]);
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----");
        assert!(from_pem(pem).is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_token_serves_all_for_40_minutes_and_is_renewed_beside_the_pushes() {
        let clock = TestClock::at("2026-11-22T08:30:00Z");
        let (source, _) = source(&clock);
        // An ECDSA signature holds chance, so equal values are one and the same mint.
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..32 {
            let source = Arc::clone(&source);
            asking.spawn(async move { source.current(deadline()).await.unwrap() });
        }
        let tokens = asking.join_all().await;
        let first = tokens.first().unwrap().clone();
        assert!(tokens.iter().all(|token| token == first));
        clock.advance(39 * 60);
        assert_eq!(source.current(deadline()).await.unwrap(), first);
        clock.advance(60);
        assert_eq!(
            source.current(deadline()).await.unwrap(),
            first,
            "nobody waits for the new one"
        );
        while source.current(deadline()).await.unwrap() == first {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_token_that_was_not_asked_for_in_time_is_made_before_it_is_used() {
        let clock = TestClock::at("2026-11-22T08:30:00Z");
        let (source, _) = source(&clock);
        let first = source.current(deadline()).await.unwrap();
        clock.advance(50 * 60);
        assert_ne!(source.current(deadline()).await.unwrap(), first);
    }

    #[tokio::test]
    async fn servers_on_one_store_use_one_token() {
        let clock = TestClock::at("2026-11-22T08:30:00Z");
        let store: Arc<dyn SharedTokens> = Arc::new(OneProcess::default());
        let pair = KeyPair::generate().unwrap();
        let server = || made(&pair, &clock, &store);
        let (one, two) = (server(), server());
        let first = one.current(deadline()).await.unwrap();
        assert_eq!(two.current(deadline()).await.unwrap(), first);
        clock.advance(29 * 60);
        assert_eq!(
            server().current(deadline()).await.unwrap(),
            first,
            "one that comes later takes it, too"
        );
        clock.advance(21 * 60);
        let second = two.current(deadline()).await.unwrap();
        assert_ne!(second, first);
        assert_eq!(one.current(deadline()).await.unwrap(), second);
        clock.advance(20 * 60);
        let third = one.renewed_after(&second, deadline()).await.unwrap();
        assert_ne!(third, second);
        assert_eq!(two.renewed_after(&second, deadline()).await.unwrap(), third);
    }

    struct Away;

    #[async_trait::async_trait]
    impl SharedTokens for Away {
        async fn share_token(
            &self,
            _: &str,
            _: SharedToken,
            _: RangeInclusive<Timestamp>,
        ) -> Result<SharedToken, StoreError> {
            Err(StoreError::Unavailable("it is away".to_owned()))
        }
    }

    #[tokio::test]
    async fn a_store_that_is_away_holds_nobody_up() {
        let clock = TestClock::at("2026-11-22T08:30:00Z");
        let source = made(
            &KeyPair::generate().unwrap(),
            &clock,
            &(Arc::new(Away) as Arc<dyn SharedTokens>),
        );
        let first = source.current(deadline()).await.unwrap();
        assert_eq!(source.current(deadline()).await.unwrap(), first);
    }

    #[tokio::test]
    async fn a_rejected_token_is_replaced_once_and_not_before_20_minutes() {
        let clock = TestClock::at("2026-11-22T08:30:00Z");
        let (source, _) = source(&clock);
        let first = source.current(deadline()).await.unwrap();
        assert_eq!(source.renewed_after(&first, deadline()).await, None);
        clock.advance(20 * 60);
        let second = source.renewed_after(&first, deadline()).await.unwrap();
        assert_ne!(second, first);
        assert_eq!(
            source.renewed_after(&first, deadline()).await,
            Some(second.clone()),
            "shared by all that were rejected"
        );
        assert_eq!(source.renewed_after(&second, deadline()).await, None);
    }

    #[tokio::test]
    async fn a_clock_set_back_does_not_freeze_a_token_of_the_future() {
        let clock = TestClock::at("2026-11-22T08:30:00Z");
        let (source, _) = source(&clock);
        let first = source.current(deadline()).await.unwrap();
        clock.advance(-86_400);
        assert_ne!(source.current(deadline()).await.unwrap(), first);
    }

    #[test]
    fn other_keys_are_refused_without_showing_them() {
        let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)
            .unwrap()
            .serialize_pem();
        let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap().serialize_pem();
        for pem in [p384, rsa, "hunter2".to_owned(), String::new()] {
            let refused = from_pem(pem.clone());
            let text = refused.err().map(|error| error.to_string()).unwrap();
            assert!(text.starts_with("the APNs key"), "{text}");
            assert!(pem.is_empty() || !text.contains(pem.trim()));
        }
    }
}
