//! Google's token endpoint for service accounts (RFC 7523), and the tokens that it has issued.

use std::collections::HashMap;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::time::{DurationMs, Timestamp};

use super::jwt::Jwt;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// An access token lives so long.
const LIFETIME: DurationMs = DurationMs::from_secs(3600);
/// Longest validity of an assertion, in seconds.
const ASSERTION_LIFETIME_MAX_S: i64 = 3600;
/// How much the clocks may differ, in seconds.
const SKEW_MAX_S: i64 = 300;
/// Access tokens that are known at the same time.
const TOKENS_MAX: usize = 10_000;

/// The account that may ask for tokens.
pub(super) struct Account {
    pub(super) key: DecodingKey,
    pub(super) client_email: String,
    /// The addresses of the token endpoint: of the plain listener, and of the one with TLS.
    pub(super) token_uris: [String; 2],
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    scope: String,
    iat: i64,
    exp: i64,
}

/// Why there is no token: RFC 6749 section 5.2.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    error: &'static str,
    description: &'static str,
}

impl Refusal {
    pub(super) fn body(&self) -> Value {
        json!({ "error": self.error, "error_description": self.description })
    }
}

/// All of Google's checks of a token request; `form` is `application/x-www-form-urlencoded`.
pub(super) fn check(form: &str, account: &Account, now: Timestamp) -> Result<(), Refusal> {
    let refuse = |error, description| Err(Refusal { error, description });
    if field(form, "grant_type").as_deref() != Some(GRANT_TYPE) {
        return refuse("unsupported_grant_type", "the grant type is not JWT bearer");
    }
    let Some(assertion) = field(form, "assertion") else {
        return refuse("invalid_request", "there is no assertion");
    };
    let Some(jwt) = Jwt::<Claims>::read(&assertion) else {
        return refuse(
            "invalid_grant",
            "the assertion is not a JWT with iss, aud, scope, iat and exp",
        );
    };
    if jwt.claims.iss != account.client_email {
        return refuse("invalid_grant", "the account is not known");
    }
    if !jwt.is_signed_by(&account.key, Algorithm::RS256) {
        return refuse("invalid_grant", "the signature is wrong");
    }
    if !account.token_uris.contains(&jwt.claims.aud) {
        return refuse("invalid_grant", "the audience is not this endpoint");
    }
    let now_s = now.0.div_euclid(1000);
    let Claims { iat, exp, .. } = jwt.claims;
    if iat > now_s + SKEW_MAX_S || exp < now_s - SKEW_MAX_S || !(0..=ASSERTION_LIFETIME_MAX_S).contains(&(exp - iat)) {
        return refuse(
            "invalid_grant",
            "the assertion is not valid now, or valid for more than an hour",
        );
    }
    if !jwt.claims.scope.split(' ').any(|scope| scope == SCOPE) {
        return refuse("invalid_scope", "the scope of Firebase messaging is missing");
    }
    Ok(())
}

/// One field of a form, decoded.
fn field(form: &str, name: &str) -> Option<String> {
    form.split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| percent_decoded(value))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                (high * 16 + low) as u8
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

/// The tokens that are valid.
#[derive(Default)]
pub(super) struct AccessTokens(HashMap<String, Timestamp>);

impl AccessTokens {
    pub(super) fn issue(&mut self, now: Timestamp) -> Value {
        if self.0.len() >= TOKENS_MAX {
            self.0.retain(|_, expires_at| *expires_at > now);
        }
        if self.0.len() >= TOKENS_MAX {
            self.0.clear();
        }
        let token = format!("sandbox.{}", Uuid::new_v4().simple());
        self.0.insert(token.clone(), now.plus(LIFETIME));
        json!({ "access_token": token, "expires_in": LIFETIME.0 / 1000, "token_type": "Bearer" })
    }

    pub(super) fn is_valid(&self, token: &str, now: Timestamp) -> bool {
        self.0.get(token).is_some_and(|expires_at| *expires_at > now)
    }

    pub(super) fn revoke_all(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use rcgen::{KeyPair, PKCS_RSA_SHA256};

    use super::*;

    const NOW: Timestamp = Timestamp(1_795_336_200_000);

    #[test]
    fn forms_are_decoded() {
        assert_eq!(field("a=1&b=x%3Ay+z", "b").as_deref(), Some("x:y z"));
        assert_eq!(field("a=1&b=%4", "b"), None);
        assert_eq!(field("a=1", "b"), None);
    }

    #[test]
    fn tokens_end_after_their_hour() {
        let mut tokens = AccessTokens::default();
        let issued = tokens.issue(NOW);
        let token = issued["access_token"].as_str().unwrap();
        assert!(tokens.is_valid(token, NOW.plus(DurationMs::from_secs(3599))));
        assert!(!tokens.is_valid(token, NOW.plus(DurationMs::from_secs(3600))));
        assert!(!tokens.is_valid("sandbox.guess", NOW));
        tokens.revoke_all();
        assert!(!tokens.is_valid(token, NOW));
    }

    #[test]
    fn each_way_to_ask_wrongly() {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let other = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let account = Account {
            key: DecodingKey::from_rsa_pem(pair.public_key_pem().as_bytes()).unwrap(),
            client_email: "me@project.test".to_owned(),
            token_uris: ["http://127.0.0.1:1/token", "https://127.0.0.1:2/token"].map(str::to_owned),
        };
        let now_s = NOW.0 / 1000;
        let good = json!({
            "iss": "me@project.test", "aud": "http://127.0.0.1:1/token", "scope": SCOPE, "iat": now_s, "exp": now_s + 3600,
        });
        let form = |claims: &Value, pair: &KeyPair| {
            let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
            let jwt = encode(&Header::new(Algorithm::RS256), claims, &key).unwrap();
            format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={jwt}")
        };
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            claims
        };
        let error = |form: &str| check(form, &account, NOW).err().map(|refusal| refusal.error);
        assert_eq!(error(&form(&good, &pair)), None);
        assert_eq!(error(&form(&good, &other)), Some("invalid_grant"));
        for (name, value, expected) in [
            ("iss", json!("you@project.test"), "invalid_grant"),
            ("aud", json!("https://oauth2.googleapis.com/token"), "invalid_grant"),
            (
                "scope",
                json!("https://www.googleapis.com/auth/cloud-platform"),
                "invalid_scope",
            ),
            ("iat", json!(now_s - 1), "invalid_grant"),
            ("exp", json!(now_s - 400), "invalid_grant"),
            ("exp", json!("soon"), "invalid_grant"),
        ] {
            assert_eq!(
                error(&form(&with(name, value.clone()), &pair)),
                Some(expected),
                "{name} {value}"
            );
        }
        let late = json!({ "iss": "me@project.test", "aud": account.token_uris[1], "scope": SCOPE, "iat": now_s + 400, "exp": now_s + 500 });
        assert_eq!(error(&form(&late, &pair)), Some("invalid_grant"));
        assert_eq!(error("grant_type=password"), Some("unsupported_grant_type"));
        assert_eq!(
            error(&form(&good, &pair).replace("assertion", "assert")),
            Some("invalid_request")
        );
    }
}
