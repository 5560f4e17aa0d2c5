//! Ways to the providers: a proxy, a certificate, several credentials, options of a push.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::stage::{PHONE, Stage, send, store};
use crate::{
    domain::{
        delivery::{Outcome, Platform},
        ids::{AppId, WorkspaceId},
        json_reader::Node,
        push_options::PushOptions,
    },
    engine::ports::{Clock, PushSender as _},
    push::{ApnsAuth, ApnsCredential, FcmAuth, Providers, Scope, sandbox::Arrival},
};

/// A proxy that knows one user; counts its tunnels.
async fn proxy(authorization: &'static str) -> (String, Arc<AtomicUsize>, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tunnels, targets) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (counter, asked) = (Arc::clone(&tunnels), Arc::clone(&targets));
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let (counter, asked) = (Arc::clone(&counter), Arc::clone(&asked));
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                if !head.contains(&format!("Proxy-Authorization: {authorization}\r\n")) {
                    let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
                    return client.write_all(refusal).await.unwrap();
                }
                let target = head
                    .strip_prefix("CONNECT ")
                    .and_then(|rest| rest.split(' ').next())
                    .unwrap();
                let mut server = TcpStream::connect(target).await.unwrap();
                asked.lock().unwrap().push(target.to_owned());
                counter.fetch_add(1, Ordering::SeqCst);
                client
                    .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    .await
                    .unwrap();
                copy_bidirectional(&mut client, &mut server)
                    .await
                    .map(drop)
                    .unwrap_or_default();
            });
        }
    });
    (address, tunnels, targets)
}

#[tokio::test]
async fn everything_goes_through_the_proxy() {
    let stage = Stage::new(|_| {}).await;
    let (address, tunnels, targets) = proxy("Basic bWU6cEBzcw==").await;
    let providers = |user: &str| {
        let proxy = SecretString::from(format!("http://{user}@{address}"));
        stage.providers(|apns, fcm| {
            apns.proxy = Some(proxy.clone());
            fcm.proxy = Some(proxy);
            // The token endpoint, too, where it is one with TLS.
            let FcmAuth::ServiceAccount(json) = &fcm.credentials[0].auth else {
                panic!("the sandbox has a service account");
            };
            let mut account: Value = serde_json::from_str(secrecy::ExposeSecret::expose_secret(json)).unwrap();
            account["token_uri"] = json!(format!("{}/token", stage.sandbox.apns_url()));
            fcm.credentials[0].auth = FcmAuth::ServiceAccount(SecretString::from(account.to_string()));
        })
    };
    let good = providers("me:p%40ss");
    for push in [stage.push(Platform::Ios, PHONE), stage.push(Platform::Android, "phone")] {
        let outcome = send(&good, &push).await;
        assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    }
    assert_eq!(
        tunnels.load(Ordering::SeqCst),
        3,
        "Apple, Google's token endpoint, Google"
    );
    let sandbox = stage.sandbox.apns_url();
    let all_there = targets.lock().unwrap().iter().all(|target| sandbox.ends_with(target));
    assert!(all_there);
    let outcome = send(&providers("you:other"), &stage.push(Platform::Ios, PHONE)).await;
    assert!(
        matches!(&outcome, Outcome::TryLater { reason, .. } if reason.contains("407")),
        "{outcome:?}"
    );
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn a_certificate_is_enough_and_has_connections_of_its_own() {
    let stage = Stage::new(|_| {}).await;
    let certificate = fs::read_to_string(&stage.sandbox.files().apns_certificate).unwrap();
    let (mut apns, _) = stage.configs();
    apns.credentials.push(ApnsCredential {
        scope: Scope {
            workspace: None,
            apps: vec![AppId::new("com.example.shop").unwrap()],
        },
        auth: ApnsAuth::Certificate {
            pem: SecretString::from(certificate),
            name: "shop".to_owned(),
        },
    });
    let clock: Arc<dyn Clock> = Arc::<super::TestClock>::clone(&stage.clock);
    let providers = Providers::new(Some(&apns), None, &clock, &store()).unwrap();
    let mut push = stage.push(Platform::Ios, PHONE);
    push.target.app = AppId::new("com.example.shop").unwrap();
    let outcome = send(&providers, &push).await;
    assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    assert_eq!(stage.sandbox.log_page(0, 1).provider_tokens, 0, "no token was shown");
    let credential = providers.credential(&push.workspace, &push.target);
    assert_eq!(credential.as_str(), "apns:certificate:shop");
    let other = stage.push(Platform::Ios, PHONE);
    let outcome = send(&providers, &other).await;
    assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    assert_eq!(stage.sandbox.log_page(0, 1).provider_tokens, 1);
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn an_app_without_a_credential_waits_for_one() {
    let stage = Stage::new(|_| {}).await;
    let providers = stage.providers(|apns, _| {
        apns.credentials[0].scope.workspace = WorkspaceId::new("alliance").ok();
    });
    let mut push = stage.push(Platform::Ios, PHONE);
    let outcome = send(&providers, &push).await;
    assert!(
        matches!(&outcome, Outcome::Misconfigured { credential, reason } if credential.as_str() == "apns"
            && reason.contains("com.example.app")),
        "{outcome:?}"
    );
    push.workspace = WorkspaceId::new("alliance").unwrap();
    let outcome = send(&providers, &push).await;
    assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    stage.sandbox.stop().await;
}

fn payload(arrival: &Arrival) -> Value {
    serde_json::from_slice(&arrival.asked.payload).unwrap()
}

fn options(value: &Value) -> Arc<PushOptions> {
    Arc::new(PushOptions::read(&Node::root(value), &PushOptions::default()).unwrap())
}

#[tokio::test]
async fn options_reach_both_platforms() {
    let stage = Stage::new(|_| {}).await;
    let providers = stage.providers(|_, _| {});
    let all = options(&json!({
        "sound": "bell.caf", "badge": 3, "interruptionLevel": "time-sensitive", "relevanceScore": 0.5,
        "threadId": "offers", "category": "OFFER", "channel": "deals", "image": "https://cdn.example/a.png",
        "priority": "normal", "data": {"url": "app://offers/7"},
    }));
    let mut push = stage.push(Platform::Ios, PHONE);
    push.options = Arc::clone(&all);
    assert!(matches!(send(&providers, &push).await, Outcome::Accepted { .. }));
    let arrival = stage.last();
    assert_eq!(
        payload(&arrival),
        json!({
            "aps": {
                "alert": {"title": "Welcome, 丽", "body": "Your coffee is 25 % off"}, "sound": "bell.caf", "badge": 3,
                "thread-id": "offers", "category": "OFFER", "mutable-content": 1, "interruption-level": "time-sensitive",
                "relevance-score": 0.5,
            },
            "image": "https://cdn.example/a.png", "url": "app://offers/7", "offer": "7",
        })
    );
    assert_eq!(arrival.asked.priority.as_deref(), Some("5"));

    let mut push = stage.push(Platform::Android, "phone");
    push.options = all;
    assert!(matches!(send(&providers, &push).await, Outcome::Accepted { .. }));
    assert_eq!(
        payload(&stage.last()),
        json!({"message": {
            "token": "phone",
            "notification": {"title": "Welcome, 丽", "body": "Your coffee is 25 % off", "image": "https://cdn.example/a.png"},
            "data": {"url": "app://offers/7", "offer": "7"},
            "android": {"priority": "NORMAL", "ttl": "600s", "notification": {
                "tag": push.delivery.to_string(), "channel_id": "deals", "sound": "bell.caf", "click_action": "OFFER",
                "notification_count": 3,
            }},
        }})
    );
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn a_background_push_shows_nothing_and_carries_its_words() {
    let stage = Stage::new(|_| {}).await;
    let providers = stage.providers(|_, _| {});
    for (priority, expected) in [("normal", "5"), ("low", "1")] {
        let mut push = stage.push(Platform::Ios, PHONE);
        push.options = options(&json!({"background": true, "priority": priority}));
        assert!(matches!(send(&providers, &push).await, Outcome::Accepted { .. }));
        let arrival = stage.last();
        let asked = &arrival.asked;
        assert_eq!(
            (asked.push_type.as_deref(), asked.priority.as_deref()),
            (Some("background"), Some(expected))
        );
        let expected = json!({
            "aps": {"content-available": 1}, "title": "Welcome, 丽", "body": "Your coffee is 25 % off", "offer": "7",
        });
        assert_eq!(payload(&arrival), expected);
    }
    let mut push = stage.push(Platform::Android, "phone");
    push.options = options(&json!({"background": true}));
    assert!(matches!(send(&providers, &push).await, Outcome::Accepted { .. }));
    let expected = json!({"message": {
        "token": "phone", "data": {"title": "Welcome, 丽", "body": "Your coffee is 25 % off", "offer": "7"},
        "android": {"priority": "NORMAL", "ttl": "600s"},
    }});
    assert_eq!(payload(&stage.last()), expected);
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn a_critical_push_sounds_through_the_mute_switch() {
    let stage = Stage::new(|_| {}).await;
    let providers = stage.providers(|_, _| {});
    let mut push = stage.push(Platform::Ios, PHONE);
    push.options = options(&json!({"interruptionLevel": "critical"}));
    assert!(matches!(send(&providers, &push).await, Outcome::Accepted { .. }));
    assert_eq!(
        payload(&stage.last())["aps"]["sound"],
        json!({"critical": 1, "name": "default", "volume": 1.0})
    );
    stage.sandbox.stop().await;
}
