use http::{HeaderName, HeaderValue};
use jsonwebtoken::{EncodingKey, Header, encode};
use rcgen::KeyPair;

use super::*;

const NOW: Timestamp = Timestamp(1_795_336_200_000);
const NOW_S: i64 = NOW.0 / 1000;
const DEVICE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const PAYLOAD: &str = r#"{"aps":{"alert":{"title":"Hello","body":"World"}},"offer":"7"}"#;

struct Desk {
    pair: KeyPair,
    rules: Rules,
}

impl Desk {
    fn new() -> Self {
        let pair = KeyPair::generate().unwrap();
        let rules = Rules {
            key: DecodingKey::from_ec_pem(pair.public_key_pem().as_bytes()).unwrap(),
            key_id: "KEY".to_owned(),
            team_id: "TEAM".to_owned(),
            topics: Some(BTreeSet::from(["com.example.app".to_owned()])),
            unregistered: HashMap::from([("b".repeat(64), Timestamp(77))]),
        };
        Self { pair, rules }
    }

    fn token(&self, kid: &str, iss: &str, iat: i64) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(kid.to_owned());
        let key = EncodingKey::from_ec_pem(self.pair.serialize_pem().as_bytes()).unwrap();
        encode(&header, &json!({ "iss": iss, "iat": iat }), &key).unwrap()
    }

    fn headers(&self, changes: &[(&str, Option<&str>)]) -> HeaderMap {
        let authorization = format!("bearer {}", self.token("KEY", "TEAM", NOW_S));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", authorization.as_str()),
            ("apns-id", "3f2504e0-4f89-41d3-9a0c-0305e82c3301"),
            ("apns-push-type", "alert"),
            ("apns-priority", "10"),
            ("apns-expiration", "0"),
            ("apns-topic", "com.example.app"),
            ("apns-collapse-id", "c"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        for (name, value) in changes {
            headers.remove(*name);
            if let Some(value) = value {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        headers
    }

    fn judge(&self, method: &Method, path: &str, headers: &HeaderMap, body: &str) -> (u16, &'static str) {
        let parts = Parts {
            method,
            path,
            headers,
            has_certificate: false,
            body: body.as_bytes(),
        };
        match check(&parts, &self.rules, &mut ConnectionToken::default(), NOW) {
            Ok(()) => (200, ""),
            Err(refusal) => (refusal.status, refusal.reason),
        }
    }

    fn with_headers(&self, changes: &[(&str, Option<&str>)]) -> (u16, &'static str) {
        let path = format!("/3/device/{DEVICE}");
        self.judge(&Method::POST, &path, &self.headers(changes), PAYLOAD)
    }
}

#[test]
fn a_whole_request_is_accepted_and_read() {
    let desk = Desk::new();
    assert_eq!(desk.with_headers(&[]), (200, ""));
    let asked = read(&Parts {
        method: &Method::POST,
        path: &format!("/3/device/{DEVICE}"),
        headers: &desk.headers(&[("apns-expiration", Some("1795336300"))]),
        has_certificate: false,
        body: PAYLOAD.as_bytes(),
    });
    assert_eq!(asked.token.as_deref(), Some(DEVICE));
    assert_eq!(
        (asked.title.as_deref(), asked.body.as_deref()),
        (Some("Hello"), Some("World"))
    );
    assert_eq!(asked.data.get("offer"), Some(&json!("7")));
    assert_eq!(asked.expiration, Some(1_795_336_300));
}

#[test]
fn each_header_has_its_refusal() {
    let desk = Desk::new();
    let long = "x".repeat(65);
    for (name, value, expected) in [
        ("apns-id", Some("1"), (400, "BadMessageId")),
        (
            "apns-id",
            Some("3f2504e04f8941d39a0c0305e82c3301"),
            (400, "BadMessageId"),
        ),
        ("apns-topic", None, (400, "MissingTopic")),
        ("apns-topic", Some("not a bundle id"), (400, "BadTopic")),
        ("apns-topic", Some("com.example.other"), (400, "TopicDisallowed")),
        ("apns-push-type", None, (400, "InvalidPushType")),
        ("apns-push-type", Some("shout"), (400, "InvalidPushType")),
        ("apns-push-type", Some("background"), (400, "BadPriority")),
        ("apns-priority", Some("7"), (400, "BadPriority")),
        ("apns-expiration", Some("tomorrow"), (400, "BadExpirationDate")),
        ("apns-collapse-id", Some(long.as_str()), (400, "BadCollapseId")),
    ] {
        assert_eq!(desk.with_headers(&[(name, value)]), expected, "{name}: {value:?}");
    }
    for absent in ["apns-id", "apns-priority", "apns-expiration", "apns-collapse-id"] {
        assert_eq!(desk.with_headers(&[(absent, None)]), (200, ""), "{absent} is optional");
    }
    let mut twice = desk.headers(&[]);
    twice.append("apns-priority", HeaderValue::from_static("5"));
    let path = format!("/3/device/{DEVICE}");
    assert_eq!(
        desk.judge(&Method::POST, &path, &twice, PAYLOAD),
        (400, "DuplicateHeaders")
    );
}

#[test]
fn provider_tokens_are_checked_to_the_last_claim() {
    let desk = Desk::new();
    let other = Desk::new();
    let bearer = |token: String| format!("bearer {token}");
    for (authorization, expected) in [
        (String::new(), (403, "MissingProviderToken")),
        ("basic abc".to_owned(), (403, "MissingProviderToken")),
        ("bearer ".to_owned(), (403, "MissingProviderToken")),
        ("bearer abc".to_owned(), (403, "InvalidProviderToken")),
        (bearer(other.token("KEY", "TEAM", NOW_S)), (403, "InvalidProviderToken")),
        (bearer(desk.token("KAY", "TEAM", NOW_S)), (403, "InvalidProviderToken")),
        (bearer(desk.token("KEY", "TIME", NOW_S)), (403, "InvalidProviderToken")),
        (
            bearer(desk.token("KEY", "TEAM", NOW_S - 3601)),
            (403, "ExpiredProviderToken"),
        ),
        (
            bearer(desk.token("KEY", "TEAM", NOW_S + 61)),
            (403, "ExpiredProviderToken"),
        ),
        (bearer(desk.token("KEY", "TEAM", NOW_S - 3600)), (200, "")),
    ] {
        let given = desk.with_headers(&[("authorization", Some(&authorization))]);
        assert_eq!(given, expected, "{authorization}");
    }
    assert_eq!(
        desk.with_headers(&[("authorization", None)]),
        (403, "MissingProviderToken")
    );
}

#[test]
fn a_connection_may_change_its_token_only_after_20_minutes() {
    let desk = Desk::new();
    let mut connection = ConnectionToken::default();
    let mut ask = |iat: i64| {
        let authorization = format!("bearer {}", desk.token("KEY", "TEAM", iat));
        let parts = Parts {
            method: &Method::POST,
            path: &format!("/3/device/{DEVICE}"),
            headers: &desk.headers(&[("authorization", Some(&authorization))]),
            has_certificate: false,
            body: PAYLOAD.as_bytes(),
        };
        let result = check(&parts, &desk.rules, &mut connection, NOW);
        result.err().map_or("", |refusal| refusal.reason)
    };
    assert_eq!(ask(NOW_S - 1500), "");
    assert_eq!(ask(NOW_S - 1400), "TooManyProviderTokenUpdates");
    assert_eq!(ask(NOW_S - 300), "");
}

#[test]
fn method_path_payload_and_device() {
    let desk = Desk::new();
    let headers = desk.headers(&[]);
    let good = format!("/3/device/{DEVICE}");
    let device = |token: &str| format!("/3/device/{token}");
    let big = format!(r#"{{"aps":{{}},"x":"{}"}}"#, "y".repeat(4096));
    for (method, path, body, expected) in [
        (Method::GET, good.clone(), PAYLOAD, (405, "MethodNotAllowed")),
        (Method::POST, "/4/device/x".to_owned(), PAYLOAD, (404, "BadPath")),
        (Method::POST, device(""), PAYLOAD, (400, "MissingDeviceToken")),
        (Method::POST, device("abc"), PAYLOAD, (400, "BadDeviceToken")),
        (Method::POST, device(&"a".repeat(65)), PAYLOAD, (400, "BadDeviceToken")),
        (Method::POST, device(&"g".repeat(64)), PAYLOAD, (400, "BadDeviceToken")),
        (Method::POST, device(&"a".repeat(202)), PAYLOAD, (400, "BadDeviceToken")),
        (Method::POST, device(&"a".repeat(200)), PAYLOAD, (200, "")),
        (Method::POST, device(&"b".repeat(64)), PAYLOAD, (410, "Unregistered")),
        (Method::POST, good.clone(), "", (400, "PayloadEmpty")),
        (Method::POST, good.clone(), "[]", (400, "PayloadEmpty")),
        (Method::POST, good.clone(), r#"{"data":1}"#, (400, "PayloadEmpty")),
        (Method::POST, good.clone(), big.as_str(), (413, "PayloadTooLarge")),
    ] {
        assert_eq!(desk.judge(&method, &path, &headers, body), expected, "{method} {path}");
    }
}
