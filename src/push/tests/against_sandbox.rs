use std::{collections::HashMap, fs, sync::Arc};

use http::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::{
    TestClock,
    stage::{PHONE, Stage, accepted, dead, misconfigured, never, send, store, wrong_pem},
};
use crate::{
    domain::{
        delivery::{Environment, Outcome, Platform},
        ids::{AppId, PushToken},
        time::{DurationMs, Timestamp},
    },
    engine::ports::Clock,
    push::{
        PoolOptions, Providers,
        sandbox::{Sandbox, SandboxOptions},
    },
};

#[tokio::test]
async fn a_push_arrives_at_an_iphone_as_it_was_meant() {
    let stage = Stage::new(|_| {}).await;
    let providers = stage.providers(|_, _| {});
    let mut news = stage.sandbox.subscribe();
    let push = stage.push(Platform::Ios, PHONE);
    let id = push.delivery.to_string();
    let accepted = accepted(&id);
    assert_eq!(send(&providers, &push).await, accepted);
    let arrival = news.recv().await.unwrap();
    assert_eq!(
        serde_json::to_value(&*arrival).unwrap(),
        json!({
            "seq": 1, "at": stage.clock.now().to_string(), "provider": "apns", "status": 200, "reason": null,
            "apnsId": id, "name": null, "token": PHONE, "topic": "com.example.app", "collapseId": id,
            "title": "Welcome, 丽", "body": "Your coffee is 25 % off", "data": { "offer": "7" },
            "priority": "10", "pushType": "alert", "expiration": push.expires_at.0 / 1000, "replaces": null,
        })
    );
    assert_eq!(send(&providers, &push).await, accepted);
    assert_eq!(
        news.recv().await.unwrap().replaces,
        Some(1),
        "the second one replaces the first"
    );
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn a_push_arrives_at_an_android_phone_as_it_was_meant() {
    let stage = Stage::new(|_| {}).await;
    let providers = stage.providers(|_, _| {});
    let push = stage.push(Platform::Android, "abc:APA91-x_y");
    let outcome = send(&providers, &push).await;
    let arrival = serde_json::to_value(&*stage.last()).unwrap();
    assert_eq!(outcome, accepted(arrival["name"].as_str().unwrap()));
    assert_eq!(
        arrival,
        json!({
            "seq": 1, "at": stage.clock.now().to_string(), "provider": "fcm", "status": 200, "reason": null,
            "apnsId": null, "name": arrival["name"], "token": "abc:APA91-x_y", "topic": null,
            "collapseId": push.delivery.to_string(), "title": "Welcome, 丽", "body": "Your coffee is 25 % off",
            "data": { "offer": "7" }, "priority": "HIGH", "pushType": null, "expiration": push.expires_at.0 / 1000,
            "replaces": null,
        })
    );
    send(&providers, &push).await;
    assert_eq!(stage.last().replaces, Some(1));
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn refusals_come_back_as_what_they_mean() {
    let since = Timestamp(1_795_336_200_123);
    let gone = "b".repeat(64);
    let stage = Stage::new(|options| {
        options.topics = Some(["com.example.app".to_owned()].into());
        options.unregistered = HashMap::from([(gone.clone(), since), ("gone".to_owned(), since)]);
    })
    .await;
    let providers = stage.providers(|_, _| {});
    let ios = |token: &str| stage.push(Platform::Ios, token);
    let android = |token: &str| stage.push(Platform::Android, token);

    assert_eq!(send(&providers, &ios(&gone)).await, dead("Unregistered", Some(since)));
    assert_eq!(send(&providers, &ios("abcd")).await, dead("BadDeviceToken", None));
    assert_eq!(send(&providers, &ios("../../log")).await, dead("BadDeviceToken", None));
    let mut topic = ios(PHONE);
    topic.target.app = AppId::new("com.example.other").unwrap();
    assert_eq!(send(&providers, &topic).await, never("TopicDisallowed"));
    topic.target.app = AppId::new("com.例え").unwrap();
    assert_eq!(send(&providers, &topic).await, never("BadTopic"));
    let mut aps = ios(PHONE);
    aps.data.push(("aps".to_owned(), "{}".to_owned()));
    assert_eq!(
        send(&providers, &aps).await,
        never("a custom field must not be named `aps`")
    );

    assert_eq!(send(&providers, &android("gone")).await, dead("UNREGISTERED", None));
    assert_eq!(
        send(&providers, &android("not a token")).await,
        dead("INVALID_ARGUMENT", None)
    );
    let mut reserved = android("phone");
    reserved.data.push(("google.x".to_owned(), "1".to_owned()));
    assert_eq!(send(&providers, &reserved).await, never("INVALID_ARGUMENT"));
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn wrong_credentials_are_ours_to_mend() {
    let stage = Stage::new(|_| {}).await;
    let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&stage.clock);
    let nobody = Providers::new(None, None, &clock, &store()).unwrap();
    let (ios, android) = (stage.push(Platform::Ios, PHONE), stage.push(Platform::Android, "phone"));
    let expected = misconfigured("apns", "APNs is not set up: fill the section [push.apns]");
    assert_eq!(send(&nobody, &ios).await, expected);
    let expected = misconfigured("fcm", "FCM is not set up: fill the section [push.fcm]");
    assert_eq!(send(&nobody, &android).await, expected);

    let other = Stage::new(|_| {}).await;
    let (apns, fcm) = other.configs();
    let wrong_key = stage.providers(|ours, _| {
        ours.credentials[0].auth = wrong_pem(&ours.credentials[0].auth, &apns.credentials[0].auth);
    });
    assert_eq!(
        send(&wrong_key, &ios).await,
        misconfigured(
            &format!("apns:BECKONTEAM/{}", stage.sandbox.key_id()),
            "InvalidProviderToken"
        )
    );
    // The account of the other sandbox has its own token endpoint, so its tokens mean nothing here.
    let wrong_account = stage.providers(|_, ours| ours.credentials = fcm.credentials.clone());
    assert_eq!(
        send(&wrong_account, &android).await,
        misconfigured("fcm:beckon-sandbox", "UNAUTHENTICATED")
    );
    assert_eq!(
        other.sandbox.log_page(0, 1).access_tokens,
        1,
        "a fresh token is not worth another fetch"
    );

    other.sandbox.stop().await;
    let unreachable = stage.providers(|_, ours| ours.credentials = fcm.credentials.clone());
    let outcome = send(&unreachable, &android).await;
    assert!(
        matches!(&outcome, Outcome::TryLater { reason, .. } if reason.contains("token endpoint")),
        "{outcome:?}"
    );
    stage.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_made_once_for_all_who_wait() {
    let stage = Stage::new(|_| {}).await;
    let providers = stage.providers(|_, _| {});
    let mut sends = JoinSet::new();
    for n in 0..400 {
        let platform = if n % 2 == 0 { Platform::Ios } else { Platform::Android };
        let (push, providers) = (stage.push(platform, PHONE), Arc::clone(&providers));
        sends.spawn(async move { send(&providers, &push).await });
    }
    for outcome in sends.join_all().await {
        assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    }
    let page = stage.sandbox.log_page(0, 1);
    assert_eq!((page.accepted, page.provider_tokens, page.access_tokens), (400, 1, 1));
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn an_expired_provider_token_is_renewed_unseen() {
    let stage = Stage::new(|_| {}).await;
    // A clock of its own, an hour behind: what it mints is expired on arrival.
    let clock = TestClock::today();
    clock.advance(-3700);
    let (apns, _) = stage.configs();
    let ours: Arc<dyn Clock> = Arc::<TestClock>::clone(&clock);
    let providers = Providers::new(Some(&apns), None, &ours, &store()).unwrap();
    let push = stage.push(Platform::Ios, PHONE);
    let refused = send(&providers, &push).await;
    assert!(
        matches!(&refused, Outcome::Misconfigured { reason, .. } if reason.contains("clock")),
        "{refused:?}"
    );
    // 21 minutes on, the clock is right by a margin, and the old token old enough to be replaced.
    clock.advance(21 * 60);
    assert!(matches!(send(&providers, &push).await, Outcome::Accepted { .. }));
    assert_eq!(stage.sandbox.arrivals().len(), 3);
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn a_connection_that_changes_its_token_too_fast_has_to_wait() {
    let stage = Stage::new(|_| {}).await;
    let (apns, _) = stage.configs();
    let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&stage.clock);
    let providers = Providers::new(Some(&apns), None, &clock, &store()).unwrap();
    let push = stage.push(Platform::Ios, PHONE);
    for _ in 0..3 {
        assert!(matches!(send(&providers, &push).await, Outcome::Accepted { .. }));
        stage.clock.advance(51 * 60);
    }
    assert_eq!(stage.sandbox.log_page(0, 1).provider_tokens, 3);
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn a_text_that_is_too_long_is_shortened_at_both() {
    let stage = Stage::new(|_| {}).await;
    let providers = stage.providers(|_, _| {});
    for (platform, token) in [(Platform::Ios, PHONE), (Platform::Android, "phone")] {
        let mut push = stage.push(platform, token);
        push.message.body = "咖啡 \"☕\" ".repeat(1000);
        assert!(matches!(send(&providers, &push).await, Outcome::Accepted { .. }));
        let arrival = stage.last();
        let body = arrival.asked.body.as_deref().unwrap();
        let kept = body.strip_suffix('…').unwrap();
        assert!(
            kept.len() > 3000 && push.message.body.starts_with(kept),
            "{}",
            kept.len()
        );
        push.data.push(("story".to_owned(), "x".repeat(4096)));
        let outcome = send(&providers, &push).await;
        assert!(matches!(outcome, Outcome::Never { .. }), "{outcome:?}");
    }
    stage.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_streams_are_enough_for_many_pushes() {
    let stage = Stage::new(|options| options.streams_max = 3).await;
    let providers = stage.providers(|_, _| {});
    let mut sends = JoinSet::new();
    for n in 0..1000 {
        let mut push = stage.push(Platform::Ios, &format!("{n:064x}"));
        push.target.environment = if n % 2 == 0 {
            Environment::Production
        } else {
            Environment::Sandbox
        };
        let providers = Arc::clone(&providers);
        sends.spawn(async move { send(&providers, &push).await });
    }
    for outcome in sends.join_all().await {
        assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    }
    let arrivals = stage.sandbox.arrivals();
    let tokens: std::collections::HashSet<_> = arrivals.iter().map(|arrival| arrival.asked.token.clone()).collect();
    assert_eq!((arrivals.len(), tokens.len()), (1000, 1000), "each once");
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn the_client_finds_back_after_a_restart() {
    let mut stage = Stage::new(|_| {}).await;
    let providers = stage.providers(|_, _| {});
    let pushes = [stage.push(Platform::Ios, PHONE), stage.push(Platform::Android, "phone")];
    for push in &pushes {
        assert!(matches!(send(&providers, push).await, Outcome::Accepted { .. }));
    }
    let mut options = SandboxOptions::new(stage.dir.path(), Arc::<TestClock>::clone(&stage.clock));
    options.tls_listen = stage.sandbox.apns_url().trim_start_matches("https://").parse().unwrap();
    options.http_listen = stage.sandbox.http_url().trim_start_matches("http://").parse().unwrap();
    let key_id = stage.sandbox.key_id().to_owned();
    stage.sandbox.stop().await;
    for push in &pushes {
        let outcome = send(&providers, push).await;
        assert!(matches!(outcome, Outcome::TryLater { .. }), "nobody there: {outcome:?}");
    }
    stage.sandbox = Sandbox::start(options).await.unwrap();
    assert_eq!(stage.sandbox.key_id(), key_id, "identities are kept");
    let mut outcome = send(&providers, &pushes[0]).await;
    while let Outcome::TryLater {
        retry_after: Some(pause),
        ..
    } = outcome
    {
        tokio::time::sleep(pause.max(DurationMs(1)).to_std()).await;
        outcome = send(&providers, &pushes[0]).await;
    }
    assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    stage.sandbox.stop().await;
}

/// One request over the plain listener, answered with JSON.
async fn plain(stage: &Stage, method: Method, path: &str) -> (u16, Value) {
    let address = stage.sandbox.http_url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn the_log_can_be_read_and_cleared_by_plain_http() {
    let stage = Stage::new(|_| {}).await;
    let providers = stage.providers(|_, _| {});
    for _ in 0..3 {
        send(&providers, &stage.push(Platform::Ios, PHONE)).await;
    }
    assert_eq!(
        plain(&stage, Method::GET, "/livez").await,
        (200, json!({ "status": "ok" }))
    );
    let (status, page) = plain(&stage, Method::GET, "/log?limit=2&after=0").await;
    assert_eq!(
        (status, &page["nextCursor"], &page["accepted"]),
        (200, &json!(2), &json!(3))
    );
    assert_eq!(page["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(plain(&stage, Method::GET, "/log?limit=x").await.0, 400);
    assert_eq!(plain(&stage, Method::POST, &format!("/3/device/{PHONE}")).await.0, 404);
    assert_eq!(plain(&stage, Method::DELETE, "/log").await.0, 200);
    assert_eq!(plain(&stage, Method::GET, "/log").await.1["total"], 0);
    assert_eq!(plain(&stage, Method::POST, "/token").await.0, 400);
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn the_written_configuration_names_files_that_are_there() {
    let stage = Stage::new(|_| {}).await;
    let text = fs::read_to_string(&stage.sandbox.files().config).unwrap();
    let config = config::Config::builder()
        .add_source(config::File::from_str(&text, config::FileFormat::Toml))
        .build()
        .unwrap();
    for key in [
        "push.apns.key_file",
        "push.apns.ca_file",
        "push.fcm.service_account_file",
        "push.fcm.ca_file",
    ] {
        let path = config.get_string(key).unwrap();
        assert!(
            std::path::Path::new(&path).is_absolute() && fs::metadata(&path).is_ok(),
            "{key}: {path}"
        );
    }
    assert_eq!(
        config.get_string("push.apns.base_url").unwrap(),
        stage.sandbox.apns_url()
    );
    assert_eq!(config.get_string("push.apns.key_id").unwrap(), stage.sandbox.key_id());
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn options_of_the_pool_may_be_as_small_as_they_get() {
    let stage = Stage::new(|options| options.streams_max = 1).await;
    let providers = stage.providers(|apns, _| {
        apns.pool = PoolOptions {
            connections_max: 0,
            streams_max: 1,
            waiting_max: 1,
            ..PoolOptions::default()
        };
    });
    let push = stage.push(Platform::Ios, PHONE);
    let mut wrong = push.clone();
    wrong.target.token = PushToken::new("abcd").unwrap();
    assert!(matches!(send(&providers, &push).await, Outcome::Accepted { .. }));
    assert!(matches!(send(&providers, &wrong).await, Outcome::DeadToken { .. }));
    stage.sandbox.stop().await;
}
