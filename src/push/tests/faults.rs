//! The clients against a sandbox that fails on demand.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::Instant};

use super::{
    deadline,
    stage::{PHONE, Stage, dead, send},
};
use crate::{
    domain::{
        delivery::{Environment, Outcome, Platform},
        time::DurationMs,
    },
    engine::ports::{Clock as _, PushSender},
    push::{Providers, sandbox::FaultScript},
};

fn script(json: &str) -> FaultScript {
    FaultScript::read(json.as_bytes()).unwrap()
}

/// So many pushes at the same time, each to a phone of its own.
async fn send_many(stage: &Stage, providers: &Arc<Providers>, count: usize) -> Vec<Outcome> {
    let mut sends = JoinSet::new();
    for n in 0..count {
        let push = stage.push(Platform::Ios, &format!("{n:064x}"));
        let providers = Arc::clone(providers);
        sends.spawn(async move { providers.send(&push, deadline()).await });
    }
    sends.join_all().await
}

fn accepted(outcomes: &[Outcome]) -> usize {
    let is_accepted = |outcome: &&Outcome| matches!(outcome, Outcome::Accepted { .. });
    outcomes.iter().filter(is_accepted).count()
}

/// How often each phone was pushed, as the sandbox saw it: at least and at most.
fn arrivals_a_phone(stage: &Stage) -> (usize, usize) {
    let mut phones = std::collections::HashMap::new();
    for arrival in stage.sandbox.arrivals() {
        let count = phones.entry(arrival.asked.token.clone()).or_insert(0_usize);
        *count += usize::from(arrival.status == 200);
    }
    let counts = || phones.values().copied();
    (counts().min().unwrap_or(0), counts().max().unwrap_or(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn goaway_again_and_again_loses_nothing_and_doubles_nothing() {
    let stage = Stage::new(|options| {
        options.streams_max = 20;
        options.faults = script(
            r#"{"rules": [{"fault": "goaway", "last": "before", "every": 37},
                          {"fault": "goaway", "last": "this", "every": 53},
                          {"fault": "goaway", "last": "all", "every": 71},
                          {"fault": "reset", "code": "refused_stream", "every": 29}]}"#,
        );
    })
    .await;
    let providers = stage.providers(|_, _| {});
    let mut waiting = 0;
    let outcomes = send_many(&stage, &providers, 500).await;
    for outcome in &outcomes {
        match outcome {
            Outcome::Accepted { .. } => {}
            Outcome::TryLater { .. } => waiting += 1,
            other => panic!("{other:?}"),
        }
    }
    let arrived = stage.sandbox.arrivals();
    let taken = arrived.iter().filter(|arrival| arrival.status == 200).count();
    assert_eq!(taken, accepted(&outcomes), "what was taken was heard of");
    assert_eq!(arrivals_a_phone(&stage).1, 1, "none twice");
    assert!(waiting < 50, "{waiting} gave up");
    assert_eq!(stage.sandbox.log_page(0, 1).streams_beyond_limit, 0);
    stage.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_streams_is_obeyed_as_it_changes() {
    let stage = Stage::new(|options| {
        options.streams_max = 200;
        options.cautious = true;
        options.faults = script(
            r#"{"rules": [{"fault": "delay", "ms": 2},
                          {"fault": "streams", "max": 1, "after": 300, "times": 4, "every": 10},
                          {"fault": "streams", "max": 50, "after": 600, "times": 4, "every": 10}]}"#,
        );
    })
    .await;
    let providers = stage.providers(|_, _| {});
    assert_eq!(accepted(&send_many(&stage, &providers, 1000).await), 1000);
    assert_eq!(arrivals_a_phone(&stage), (1, 1));
    // Streams that were on their way out when the limit fell may cross its acknowledgement; they are refused and sent again.
    let beyond = stage.sandbox.log_page(0, 1).streams_beyond_limit;
    assert!(beyond < 20, "{beyond}");
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn what_breaks_in_flight_is_unknown_whether_it_was_taken_or_not() {
    let stage = Stage::new(|_| {}).await;
    let providers = stage.providers(|_, _| {});
    for (fault, taken) in [
        (r#"{"fault": "reset", "code": "internal_error"}"#, 0),
        (r#"{"fault": "reset", "code": "cancel", "processed": true}"#, 1),
        (r#"{"fault": "cut"}"#, 0),
        (r#"{"fault": "cut", "bytes": 5, "processed": true}"#, 1),
        (r#"{"fault": "goaway", "last": "this", "close": true}"#, 1),
    ] {
        // A peer that answers in between is not avoided.
        stage.sandbox.play(FaultScript::default());
        let outcome = send(&providers, &stage.push(Platform::Ios, PHONE)).await;
        assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
        stage.sandbox.play(script(&format!("{{\"rules\": [{fault}]}}")));
        let before = stage.sandbox.log_page(0, 1).accepted;
        let outcome = send(&providers, &stage.push(Platform::Ios, PHONE)).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{fault}: {outcome:?}");
        assert_eq!(stage.sandbox.log_page(0, 1).accepted - before, taken, "{fault}");
    }
    stage.sandbox.play(script(r#"{"rules": [{"fault": "stall"}]}"#));
    let push = stage.push(Platform::Ios, PHONE);
    let outcome = providers.send(&push, Instant::now() + Duration::from_millis(200)).await;
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    stage.sandbox.play(FaultScript::default());
    let outcome = send(&providers, &push).await;
    assert!(matches!(outcome, Outcome::Accepted { .. }), "it goes on: {outcome:?}");
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn a_stream_that_was_given_up_leaves_room_for_another() {
    let stage = Stage::new(|options| {
        options.streams_max = 1;
        options.faults = script(r#"{"rules": [{"fault": "stall", "times": 3}]}"#);
    })
    .await;
    let providers = stage.providers(|apns, _| apns.pool.connections_max = 1);
    let push = stage.push(Platform::Ios, PHONE);
    for _ in 0..3 {
        let outcome = providers.send(&push, Instant::now() + Duration::from_millis(500)).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    }
    let outcome = send(&providers, &push).await;
    assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    assert_eq!(stage.sandbox.log_page(0, 1).streams_beyond_limit, 0);
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn a_provider_that_stalls_does_not_hold_up_the_other() {
    let stage =
        Stage::new(|options| options.faults = script(r#"{"rules": [{"fault": "stall", "provider": "apns"}]}"#)).await;
    let providers = stage.providers(|_, _| {});
    let stalled: Vec<_> = (0..50)
        .map(|_| {
            let (providers, push) = (Arc::clone(&providers), stage.push(Platform::Ios, PHONE));
            tokio::spawn(async move { providers.send(&push, deadline()).await })
        })
        .collect();
    let outcome = send(&providers, &stage.push(Platform::Android, "phone")).await;
    assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    let (ios, android) = (stage.push(Platform::Ios, PHONE), stage.push(Platform::Android, "phone"));
    let credential = |push: &crate::domain::delivery::Push| providers.credential(&push.workspace, &push.target);
    assert_ne!(credential(&ios), credential(&android));
    assert_eq!(credential(&android).as_str(), "fcm:beckon-sandbox");
    for task in stalled {
        task.abort();
    }
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn answers_of_every_kind_come_back_as_what_they_mean() {
    let stage = Stage::new(|_| {}).await;
    let providers = stage.providers(|_, _| {});
    let now = stage.clock.now();
    let later = |reason: &str, seconds: Option<i64>| Outcome::TryLater {
        reason: reason.to_owned(),
        retry_after: seconds.map(DurationMs::from_secs),
    };
    let since = |seconds: i64| Some(now.plus(DurationMs::from_secs(seconds)));
    let rule = |platform, rule: &str| (platform, format!("{{\"rules\": [{rule}]}}"));
    for ((platform, json), expected) in [
        (
            rule(
                Platform::Ios,
                r#"{"fault": "answer", "status": 429, "reason": "TooManyRequests"}"#,
            ),
            later("TooManyRequests", None),
        ),
        (
            rule(
                Platform::Ios,
                r#"{"fault": "answer", "status": 503, "reason": "Shutdown", "retryAfter": 7}"#,
            ),
            later("Shutdown", Some(7)),
        ),
        (
            rule(
                Platform::Android,
                r#"{"fault": "answer", "status": 503, "reason": "UNAVAILABLE", "retryAfter": 90}"#,
            ),
            later("UNAVAILABLE", Some(90)),
        ),
        (
            rule(
                Platform::Android,
                r#"{"fault": "answer", "status": 429, "reason": "QUOTA_EXCEEDED"}"#,
            ),
            later("QUOTA_EXCEEDED", Some(60)),
        ),
        (
            rule(
                Platform::Ios,
                r#"{"fault": "answer", "status": 410, "reason": "Unregistered", "since": -3600}"#,
            ),
            dead("Unregistered", since(-3600)),
        ),
        (
            rule(
                Platform::Ios,
                r#"{"fault": "answer", "status": 410, "reason": "ExpiredToken", "since": 60}"#,
            ),
            dead("ExpiredToken", since(60)),
        ),
        (
            rule(
                Platform::Android,
                r#"{"fault": "answer", "status": 404, "reason": "UNREGISTERED"}"#,
            ),
            dead("UNREGISTERED", None),
        ),
    ] {
        stage.sandbox.play(script(&json));
        let token = if platform == Platform::Ios { PHONE } else { "phone" };
        assert_eq!(send(&providers, &stage.push(platform, token)).await, expected, "{json}");
    }
    let dated =
        r#"{"rules": [{"fault": "answer", "status": 503, "reason": "Shutdown", "retryAfter": 30, "asDate": true}]}"#;
    stage.sandbox.play(script(dated));
    let Outcome::TryLater { retry_after, .. } = send(&providers, &stage.push(Platform::Ios, PHONE)).await else {
        panic!("not later");
    };
    assert!(
        retry_after.is_some_and(|wait| (29_000..=30_000).contains(&wait.0)),
        "{retry_after:?}"
    );
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn a_token_of_apples_other_world_is_found_there_once() {
    let stage = Stage::new(|options| {
        options.faults =
            script(r#"{"rules": [{"fault": "world", "world": "development", "token": "dd*"}, {"fault": "world", "token": "aa*"}]}"#);
    })
    .await;
    let providers = stage.providers(|_, _| {});
    let environment = |outcome: &Outcome| match outcome {
        Outcome::Accepted { environment, .. } => *environment,
        other => panic!("{other:?}"),
    };
    let mut push = stage.push(Platform::Ios, &"dd".repeat(32));
    let outcome = send(&providers, &push).await;
    assert_eq!(environment(&outcome), Some(Environment::Sandbox));
    let statuses: Vec<u16> = stage.sandbox.arrivals().iter().map(|arrival| arrival.status).collect();
    assert_eq!(statuses, [400, 200]);
    push.target.environment = Environment::Sandbox;
    assert_eq!(environment(&send(&providers, &push).await), None, "told right");
    assert_eq!(stage.sandbox.arrivals().len(), 3);
    let mut push = stage.push(Platform::Ios, &"aa".repeat(32));
    push.target.environment = Environment::Sandbox;
    let outcome = send(&providers, &push).await;
    assert_eq!(environment(&outcome), Some(Environment::Production));
    let nowhere = send(&providers, &stage.push(Platform::Ios, "abcd")).await;
    assert_eq!(nowhere, dead("BadDeviceToken", None));
    stage.sandbox.stop().await;
}

#[tokio::test]
async fn a_provider_token_that_is_called_expired_while_it_is_young_alarms() {
    let stage =
        Stage::new(|options| options.faults = script(r#"{"rules": [{"fault": "expiredToken", "times": 1}]}"#)).await;
    let providers = stage.providers(|_, _| {});
    let outcome = send(&providers, &stage.push(Platform::Ios, PHONE)).await;
    let Outcome::Misconfigured { credential, reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(
        reason.contains("clock") && credential.as_str().starts_with("apns:BECKONTEAM/"),
        "{reason}"
    );
    let outcome = send(&providers, &stage.push(Platform::Ios, PHONE)).await;
    assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    stage.sandbox.stop().await;
}
