//! What only the store for several nodes promises: nobody guesses what became of a commit, and no node's death leaves
//! anything undecided.

use std::time::{Duration, Instant};

use beckon::{
    domain::{
        event::Fact,
        ids::{DeviceId, Topic},
        time::Timestamp,
    },
    engine::ports::{Attempt, Commit, CommitOutcome, Leased, Store, StoreError},
    store,
};
use futures_util::future::join_all;
use tokio::runtime::Runtime;

use super::{AllTogether as _, commit, delivery, subject, workspace};
use crate::redis_server::{Cluster, Redis};

pub(super) fn phone() -> DeviceId {
    DeviceId::new("phone").expect("an id")
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    Runtime::new().expect("threads").block_on(future)
}

pub(super) async fn open(url: &str) -> Store {
    store::open(url).await.expect("a store")
}

pub(super) fn with_fact(name: &str, expected: u64) -> Commit {
    Commit {
        facts: vec![(
            None,
            Fact::TokenDropped {
                device: phone(),
                at: Timestamp(expected as i64),
                reason: String::new(),
            },
        )],
        ..commit(name, expected, b"x")
    }
}

pub(super) async fn version(store: &Store, name: &str) -> u64 {
    let stored = store.hot.load_all(&workspace(), &[subject(name)]).await;
    stored.expect("a record").remove(0).map_or(0, |stored| stored.version)
}

pub(super) async fn facts(store: &Store) -> usize {
    let facts = store.hot.facts_after(&workspace(), None, 10_000).await;
    facts.expect("facts").facts.len()
}

/// Tries until Redis is reached again.
pub(super) async fn again<T, F: Future<Output = Result<T, StoreError>>>(mut attempt: impl FnMut() -> F) -> T {
    for _ in 0..200 {
        if let Ok(done) = attempt().await {
            return done;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("Redis is not reached again")
}

pub(super) fn refusal(url: &str) -> String {
    block_on(store::open(url)).err().expect("refused").to_string()
}

#[test]
fn a_redis_that_would_lose_data_is_refused() {
    let redis = Redis::start_with(&["--appendonly", "no", "--maxmemory-policy", "allkeys-lru"]);
    assert!(refusal(&redis.url("")).contains("maxmemory-policy is `allkeys-lru`"));
    redis.cli(&["config", "set", "maxmemory-policy", "noeviction"]);
    assert!(refusal(&redis.url("")).contains("appendonly yes"));
    block_on(open(&redis.url("allow_volatile=true&partitions=8")));
    redis.cli(&["config", "set", "appendonly", "yes"]);
    assert!(refusal(&redis.url("partitions=16")).contains("installed with 8 partitions"));
    block_on(open(&redis.url("")));
    redis.cli(&["hset", "{beckon:meta}", "schema", "9999"]);
    assert!(refusal(&redis.url("")).contains("use a newer Beckon"));
    assert!(refusal("redis://127.0.0.1:1").contains("can't reach Redis"));
    redis.cli(&["acl", "setuser", "default", "off"]);
    redis.cli(&["config", "set", "maxmemory", "0"]);
    assert!(!refusal(&redis.url("")).is_empty());
}

#[test]
fn a_password_and_a_user_are_shown_to_redis() {
    let redis = Redis::start();
    redis.cli(&["acl", "setuser", "app", "on", ">p@ss", "~*", "+@all"]);
    redis.cli(&["acl", "setuser", "default", "off"]);
    let url = redis.url("");
    let named = url.replacen("redis://", "redis://app:p%40ss@", 1);
    block_on(async {
        let store = open(&named).await;
        store.hot.ping().await.expect("a write");
    });
    assert!(!refusal(&url).contains("p@ss"));
    let shown = store::without_password(&named);
    assert!(!shown.contains("p%40ss") && shown.contains("127.0.0.1"), "{shown}");
}

#[test]
fn a_commit_whose_answer_is_late_is_done_once_and_said_to_be() {
    let redis = Redis::start();
    block_on(async {
        let store = open(&redis.url("timeout_ms=100&partitions=4")).await;
        for round in 0..6u64 {
            redis.signal("-STOP");
            let sent = {
                let store = store.clone();
                tokio::spawn(async move { store.hot.commit_all(vec![with_fact("mia", round)]).await })
            };
            // Longer than the time-out: by now it was sent more than once.
            tokio::time::sleep(Duration::from_millis(180)).await;
            redis.signal("-CONT");
            let outcome = sent.await.expect("it ends").expect("an outcome");
            assert_eq!(outcome, [CommitOutcome::Done(round + 1)]);
        }
        assert_eq!((version(&store, "mia").await, facts(&store).await), (6, 6));
    });
}

#[test]
fn a_commit_without_an_answer_is_never_called_a_conflict() {
    let redis = Redis::start();
    block_on(async {
        let store = open(&redis.url("timeout_ms=50&partitions=4")).await;
        redis.signal("-STOP");
        let outcome = store.hot.commit_all(vec![with_fact("mia", 0)]).await;
        redis.signal("-CONT");
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
        // What was sent may be done now, once.
        again(|| store.hot.ping()).await;
        let now = version(&store, "mia").await;
        assert_eq!(facts(&store).await as u64, now);
        let outcome = again(|| store.hot.commit_all(vec![with_fact("mia", now)])).await;
        assert_eq!(outcome, [CommitOutcome::Done(now + 1)]);
    });
}

#[test]
fn what_was_acknowledged_survives_the_kill_of_redis() {
    let mut redis = Redis::start();
    let store = {
        let url = redis.url("partitions=16");
        block_on(async { open(&url).await.hot.ping().await.expect("a write") });
        url
    };
    let runtime = Runtime::new().expect("threads");
    let store = runtime.block_on(open(&store));
    let mut acknowledged = 0;
    for _ in 0..3 {
        runtime.block_on(async {
            for _ in 0..50 {
                let outcome = again(|| store.hot.commit_all(vec![with_fact("mia", acknowledged)])).await;
                assert_eq!(outcome, [CommitOutcome::Done(acknowledged + 1)]);
                acknowledged += 1;
            }
        });
        redis.restart();
        runtime.block_on(async {
            again(|| store.hot.ping()).await;
            assert_eq!(version(&store, "mia").await, acknowledged);
            assert_eq!(facts(&store).await as u64, acknowledged);
        });
    }
}

#[test]
fn a_full_redis_takes_nothing_and_leaves_nothing_half_done() {
    let redis = Redis::start();
    block_on(async {
        let store = open(&redis.url("partitions=4")).await;
        store
            .hot
            .commit_all(vec![with_fact("mia", 0)])
            .await
            .expect("an outcome");
        redis.cli(&["config", "set", "maxmemory", "1mb"]);
        let full = |expected| Commit {
            deliveries: vec![delivery(1, 0)],
            follows: vec![Topic::new("t").expect("a topic")],
            claims: vec![phone()],
            wake_at: Some(Timestamp(5)),
            ..with_fact("mia", expected)
        };
        let refused = store.hot.commit_all(vec![full(1)]).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        let mut plain = full(1);
        plain.claims.clear();
        let refused = store.hot.commit_all(vec![plain]).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        assert_eq!(version(&store, "mia").await, 1);
        redis.cli(&["config", "set", "maxmemory", "0"]);
        assert_eq!(store.hot.outbox_depth().await.expect("a number"), 0);
        assert_eq!(facts(&store).await, 1);
        assert_eq!(
            store.hot.owners_of(&workspace(), &[phone()]).await.expect("owners"),
            [None]
        );
        assert_eq!(store.hot.next_wake().await.expect("an answer"), None);
        let done = store.hot.commit_all(vec![full(1)]).await.expect("an outcome");
        assert_eq!(done, [CommitOutcome::Done(2)]);
    });
}

/// What a node leaves behind that dies in the middle of a commit that claims a device.
fn leave_reservation(redis: &Redis, is_done: bool) {
    let script =
        "redis.call('HSET', '{beckon:p0000}:v:w\\0phone', 'o', 'u:mia', 'i', 'deadnode', 'q', '0', 't', 'u:ann')
        if ARGV[1] == 'true' then redis.call('SET', '{beckon:p0000}:c:deadnode', 'd') end";
    redis.cli(&["eval", script, "0", if is_done { "true" } else { "false" }]);
}

#[test]
fn a_claim_of_a_dead_node_counts_if_its_commit_was_done() {
    let redis = Redis::start();
    block_on(async {
        let store = open(&redis.url("partitions=1")).await;
        let owner = async || {
            store
                .hot
                .owners_of(&workspace(), &[phone()])
                .await
                .expect("owners")
                .remove(0)
        };
        for (is_done, expected) in [(false, "mia"), (true, "ann")] {
            leave_reservation(&redis, is_done);
            assert_eq!(owner().await, Some(subject(expected)));
            // Who claims it next is not held up, and takes it from whom it belonged to.
            let release = Commit {
                releases: vec![phone()],
                ..commit(expected, version(&store, expected).await, b"x")
            };
            let outcome = store.hot.commit_all(vec![release]).await.expect("an outcome");
            assert!(matches!(outcome[0], CommitOutcome::Done(_)));
            assert_eq!(owner().await, None);
            redis.cli(&["del", "{beckon:p0000}:c:deadnode"]);
        }
        // Who only reads settles it, too, so that nothing hangs on the mark for ever.
        leave_reservation(&redis, true);
        assert_eq!(owner().await, Some(subject("ann")));
        redis.cli(&["del", "{beckon:p0000}:c:deadnode"]);
        assert_eq!(owner().await, Some(subject("ann")));
        leave_reservation(&redis, false);
        let claim = Commit {
            claims: vec![phone()],
            ..commit("zoe", 0, b"x")
        };
        store.hot.commit_all(vec![claim]).await.expect("an outcome");
        assert_eq!(owner().await, Some(subject("zoe")));
        // The dead node's commit can't be done any more.
        let void = redis.cli(&["get", "{beckon:p0000}:c:deadnode"]);
        assert_eq!(void.trim(), "v");
    });
}

#[test]
fn what_one_node_leaves_another_one_finds() {
    let redis = Redis::start();
    block_on(async {
        let url = redis.url("partitions=64");
        let (one, other) = (open(&url).await, open(&url).await);
        assert_eq!(other.hot.next_due().await.expect("an answer"), None);
        let work = Commit {
            deliveries: vec![delivery(1, 10)],
            wake_at: Some(Timestamp(10)),
            ..commit("mia", 0, b"x")
        };
        one.hot.commit_all(vec![work]).await.expect("an outcome");
        assert_eq!(
            one.hot
                .lease(Timestamp(10), Timestamp(1_000), 5)
                .await
                .expect("rows")
                .len(),
            1
        );
        assert_eq!(
            one.hot
                .lease_wakes(Timestamp(10), Timestamp(1_000), 5)
                .await
                .expect("records")
                .len(),
            1
        );
        // Now `one` is gone. Nobody tells the other, which looks by itself.
        again(async || match other.hot.next_due().await {
            Ok(Some(Timestamp(1_000))) => Ok(()),
            answer => Err(StoreError::Unavailable(format!("{answer:?}"))),
        })
        .await;
        assert_eq!(
            other
                .hot
                .lease(Timestamp(999), Timestamp(2_000), 5)
                .await
                .expect("rows"),
            []
        );
        // By the clock of Redis the lease lasts as long as it was to last.
        let started = Instant::now();
        again(async || {
            let now = 1_000 + started.elapsed().as_millis() as i64;
            let rows = other.hot.lease(Timestamp(now), Timestamp(now + 1_000), 5).await?;
            let taken = rows.first().map(|row| row.delivery.id);
            taken.ok_or_else(|| StoreError::Unavailable("not yet".to_owned()))
        })
        .await;
        assert_eq!(
            other
                .hot
                .lease_wakes(Timestamp(1_000), Timestamp(2_000), 5)
                .await
                .expect("records")
                .len(),
            1
        );
    });
}

#[test]
fn a_dead_master_holds_up_only_its_own_customers() {
    let mut cluster = Cluster::start();
    for node in &cluster.nodes {
        node.cli(&["config", "set", "cluster-require-full-coverage", "no"]);
    }
    let runtime = Runtime::new().expect("threads");
    let store = runtime.block_on(open(&cluster.url("partitions=32&timeout_ms=200")));
    let commits = |expected| {
        (0..60)
            .map(|number| with_fact(&format!("customer-{number}"), expected))
            .collect::<Vec<_>>()
    };
    runtime.block_on(async { store.hot.commit_all(commits(0)).await.expect("outcomes") });
    cluster.nodes[1].signal("-STOP");
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    let outcomes = runtime.block_on(join_all(commits(1).into_iter().map(async |commit| {
        let name = commit.subject.clone();
        (name, store.hot.commit_all(vec![commit]).await)
    })));
    for (name, outcome) in outcomes {
        match outcome {
            Ok(outcome) => {
                assert_eq!(outcome, [CommitOutcome::Done(2)]);
                done.push(name);
            }
            Err(StoreError::Unavailable(_)) => failed.push(name),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(
        done.len() >= 20 && failed.len() >= 5,
        "{} done, {} failed",
        done.len(),
        failed.len()
    );
    cluster.nodes[1].restart();
    runtime.block_on(async {
        again(async || store.hot.load_all(&workspace(), &failed).await.map(drop)).await;
        let kept = store.hot.load_all(&workspace(), &done).await.expect("records");
        assert!(
            kept.iter()
                .all(|record| record.as_ref().is_some_and(|record| record.version == 2))
        );
        for subject in &failed {
            let stored = store
                .hot
                .load_all(&workspace(), std::slice::from_ref(subject))
                .await
                .expect("a record");
            let version = stored[0].as_ref().map_or(0, |stored| stored.version);
            assert!((1..=2).contains(&version), "{subject:?} has version {version}");
        }
    });
}

#[test]
fn no_attempt_is_begun_that_the_replicas_do_not_know_of() {
    let redis = Redis::start();
    let replica = redis.replica();
    block_on(async {
        let store = open(&redis.url("partitions=4&replicas=1&timeout_ms=3000")).await;
        let mut work = commit("mia", 0, b"x");
        work.deliveries = vec![delivery(1, 0), delivery(2, 0)];
        store.hot.commit_all(vec![work]).await.expect("an outcome");
        let rows = store.hot.lease(Timestamp(10), Timestamp(1_000), 5).await.expect("rows");
        let begin = async |row: &Leased| {
            let attempt = Attempt {
                delivery: row.delivery.id,
                workspace: workspace(),
                subject: subject("mia"),
                number: 1,
                leased_until: row.until,
            };
            store.hot.begin_attempts(vec![attempt]).await
        };
        redis.wait_for_copy();
        assert_eq!(begin(&rows[0]).await.expect("an answer"), [true]);
        replica.signal("-STOP");
        // Waiting for the replica holds up nobody else.
        let others = async {
            for round in 0..5 {
                let outcome = store.hot.commit_all(vec![with_fact("ann", round)]).await;
                assert_eq!(outcome.expect("an outcome"), [CommitOutcome::Done(round + 1)]);
            }
            Instant::now()
        };
        let refused = async { (begin(&rows[1]).await, Instant::now()) };
        let ((refused, refused_at), others_at) = tokio::join!(refused, others);
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        assert!(others_at < refused_at, "they waited, too");
        // Nothing was sent, so nothing is in doubt, and it goes on when the replica is back.
        replica.signal("-CONT");
        redis.wait_for_copy();
        let rows = store.hot.lease(Timestamp(2_000), Timestamp(3_000), 5).await;
        let rows = rows.expect("rows");
        let (doubtful, again): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.in_doubt);
        assert_eq!((doubtful.len(), again.len()), (1, 1));
        assert_eq!((again[0].delivery.id, again[0].attempts), (delivery(2, 0).id, 0));
        assert_eq!(begin(again[0]).await.expect("an answer"), [true]);
    });
}
