//! Provider tokens: ES256 JWTs (RFC 7519, RFC 7518 section 3.4) that name the team and the key.
//!
//! Apple refuses a token older than an hour, and answers `TooManyProviderTokenUpdates` to a client that changes its
//! token more often than every 20 minutes. So one token serves 40 minutes, and none is replaced before it is 20
//! minutes old, whatever Apple says about it.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::{
    domain::time::{DurationMs, Timestamp},
    engine::ports::Clock,
};

use super::SetupError;

/// A token is replaced at this age.
const RENEW_AT: DurationMs = DurationMs::from_secs(40 * 60);
/// A token that Apple calls expired is not replaced below this age.
const RENEW_NOT_BEFORE: DurationMs = DurationMs::from_secs(20 * 60);

pub(super) struct TokenSource {
    key: EncodingKey,
    header: Header,
    team_id: String,
    clock: Arc<dyn Clock>,
    /// Minting takes well below a millisecond and awaits nothing, so the lock itself makes it happen once.
    current: Mutex<Option<Minted>>,
}

struct Minted {
    authorization: HeaderValue,
    at: Timestamp,
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
        clock: Arc<dyn Clock>,
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
            clock,
            current: Mutex::new(None),
        };
        // A key of another curve is found here and not at the first push.
        source.mint(Timestamp(0)).map_err(SetupError::Key)?;
        Ok(source)
    }

    /// The value of `authorization`.
    pub(super) fn current(&self) -> Result<HeaderValue, String> {
        let now = self.clock.now();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(minted) = current.as_ref()
            && age(minted.at, now) < RENEW_AT
        {
            return Ok(minted.authorization.clone());
        }
        let minted = self.mint(now)?;
        Ok(current.insert(minted).authorization.clone())
    }

    /// A token other than `rejected`, which Apple called expired. Nothing when it is too young to be replaced.
    pub(super) fn renewed_after(&self, rejected: &HeaderValue) -> Option<HeaderValue> {
        let now = self.clock.now();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(minted) = current.as_ref() {
            if minted.authorization != rejected {
                return Some(minted.authorization.clone());
            }
            if age(minted.at, now) < RENEW_NOT_BEFORE {
                return None;
            }
        }
        let minted = self.mint(now).ok()?;
        Some(current.insert(minted).authorization.clone())
    }

    fn mint(&self, now: Timestamp) -> Result<Minted, String> {
        let claims = Claims {
            iss: &self.team_id,
            iat: now.0.div_euclid(1000),
        };
        let jwt = encode(&self.header, &claims, &self.key)
            .map_err(|_| "the APNs key can't sign: it must be on the curve P-256".to_owned())?;
        let mut authorization = HeaderValue::try_from(format!("bearer {jwt}"))
            .map_err(|_| "the APNs token is not a header value".to_owned())?;
        authorization.set_sensitive(true);
        Ok(Minted { authorization, at: now })
    }
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
    use crate::push::tests::TestClock;

    fn source(clock: &Arc<TestClock>) -> (TokenSource, KeyPair) {
        let pair = KeyPair::generate().unwrap();
        let pem = SecretString::from(pair.serialize_pem());
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(clock);
        (TokenSource::new(&pem, "KEY4567890", "TEAM567890", clock).unwrap(), pair)
    }

    #[test]
    fn a_token_verifies_and_names_key_and_team() {
        let clock = TestClock::at("2026-11-22T08:30:00Z");
        let (source, pair) = source(&clock);
        let value = source.current().unwrap();
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
        let clock = TestClock::at("2026-11-22T08:30:00Z");
        let source = TokenSource::new(&SecretString::from(pem), "K", "T", clock).unwrap();
        assert!(source.current().is_ok());
    }

    #[test]
    fn one_token_serves_all_for_40_minutes() {
        let clock = TestClock::at("2026-11-22T08:30:00Z");
        let (source, _) = source(&clock);
        let source = &source;
        // An ECDSA signature holds chance, so equal values are one and the same mint.
        let tokens: Vec<HeaderValue> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..32).map(|_| scope.spawn(|| source.current().unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(tokens.iter().all(|token| token == tokens[0]));
        clock.advance(39 * 60);
        assert_eq!(source.current().unwrap(), tokens[0]);
        clock.advance(60);
        assert_ne!(source.current().unwrap(), tokens[0]);
    }

    #[test]
    fn a_rejected_token_is_replaced_once_and_not_before_20_minutes() {
        let clock = TestClock::at("2026-11-22T08:30:00Z");
        let (source, _) = source(&clock);
        let first = source.current().unwrap();
        assert_eq!(source.renewed_after(&first), None);
        clock.advance(20 * 60);
        let second = source.renewed_after(&first).unwrap();
        assert_ne!(second, first);
        assert_eq!(
            source.renewed_after(&first),
            Some(second.clone()),
            "shared by all that were rejected"
        );
        assert_eq!(source.renewed_after(&second), None);
    }

    #[test]
    fn a_clock_set_back_does_not_freeze_a_token_of_the_future() {
        let clock = TestClock::at("2026-11-22T08:30:00Z");
        let (source, _) = source(&clock);
        let first = source.current().unwrap();
        clock.advance(-86_400);
        assert_ne!(source.current().unwrap(), first);
    }

    #[test]
    fn other_keys_are_refused_without_showing_them() {
        let clock: Arc<dyn Clock> = TestClock::at("2026-11-22T08:30:00Z");
        let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)
            .unwrap()
            .serialize_pem();
        let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap().serialize_pem();
        for pem in [p384, rsa, "hunter2".to_owned(), String::new()] {
            let refused = TokenSource::new(&SecretString::from(pem.clone()), "K", "T", Arc::clone(&clock));
            let text = refused.err().map(|error| error.to_string()).unwrap();
            assert!(text.starts_with("the APNs key"), "{text}");
            assert!(pem.is_empty() || !text.contains(pem.trim()));
        }
    }
}
