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
