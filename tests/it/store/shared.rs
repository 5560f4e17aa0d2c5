//! What several nodes on one Redis may rely on: leases with clocks apart, changes of the catalogue, what is kept for how
//! long, slots on the move.

use std::time::{Duration, Instant};

use beckon::{
    domain::{
        delivery::DeliveryState,
        ids::{CampaignId, SetName},
        time::Timestamp,
    },
    engine::ports::{
        Attempt, Commit, CommitOutcome, ControlChange, FactCursor, Finish, FinishedUpload, Leased, Store, StoreError,
    },
};
use serde_json::json;
use uuid::Uuid;

use super::{
    AllTogether as _, commit, delivery,
    redis::{again, block_on, facts, open, version, with_fact},
    subject, workspace,
};
use crate::redis_server::{Cluster, Redis};

fn attempt(row: &Leased) -> Attempt {
    Attempt {
        delivery: row.delivery.id,
        workspace: workspace(),
        subject: subject("mia"),
        number: row.attempts + 1,
        leased_until: row.until,
    }
}

async fn with_delivery(store: &Store) {
    let mut work = commit("mia", 0, b"x");
    work.deliveries = vec![delivery(1, 0)];
    store.hot.commit_all(vec![work]).await.expect("an outcome");
}

#[test]
fn a_node_whose_clock_is_ahead_takes_nothing_that_is_under_way() {
    let redis = Redis::start();
    block_on(async {
        let url = redis.url("partitions=4");
        let (one, ahead) = (open(&url).await, open(&url).await);
        with_delivery(&one).await;
        let lasts = 1_500;
        let held = one.hot.lease(Timestamp(10), Timestamp(10 + lasts), 5).await;
        let held = held.expect("rows");
        let hour = 3_600_000;
        let early = ahead
            .hot
            .lease(Timestamp(hour), Timestamp(hour + 60_000), 5)
            .await
            .expect("rows");
        assert_eq!(early, []);
        let begun = one.hot.begin_attempts(vec![attempt(&held[0])]).await;
        assert_eq!(begun.expect("an answer"), [true]);
        // Once the lease has run out it is found, and its holder is too late.
        let started = Instant::now();
        let taken = again(async || {
            let now = hour + started.elapsed().as_millis() as i64;
            let rows = ahead.hot.lease(Timestamp(now), Timestamp(now + 60_000), 5).await?;
            let row = rows.into_iter().next();
            row.ok_or_else(|| StoreError::Unavailable("not yet".to_owned()))
        })
        .await;
        assert!(taken.in_doubt);
        let late = Attempt {
            number: 2,
            ..attempt(&held[0])
        };
        assert_eq!(one.hot.begin_attempts(vec![late]).await.expect("an answer"), [false]);
    });
}

#[test]
fn an_end_that_is_written_again_is_one_fact() {
    let redis = Redis::start();
    block_on(async {
        let store = open(&redis.url("partitions=4")).await;
        with_delivery(&store).await;
        let row = store.hot.lease(Timestamp(10), Timestamp(1_000), 5).await;
        let row = row.expect("rows").remove(0);
        store.hot.begin_attempts(vec![attempt(&row)]).await.expect("begun");
        let end = Finish {
            delivery: row.delivery.id,
            workspace: workspace(),
            subject: subject("mia"),
            state: DeliveryState::Queued,
            attempts: 1,
            begun: 1,
            quiet: false,
            due_at: Timestamp(500),
            at: Timestamp(20),
            reason: None,
        };
        for _ in 0..3 {
            store.hot.finish(vec![end.clone()]).await.expect("written");
        }
        assert_eq!(facts(&store).await, 1);
    });
}

#[test]
fn an_erasure_leaves_no_fact_behind_and_nothing_is_kept_for_ever() {
    let redis = Redis::start();
    block_on(async {
        let store = open(&redis.url("partitions=1&kept_days=1")).await;
        // Told long ago.
        let old = "redis.call('XADD', '{beckon:p0000}:fx:w', '1000-1', 's', 'u:mia', 'b', 'old')
            redis.call('RPUSH', '{beckon:p0000}:fi:w\\0u:mia', '1000-1 ')";
        redis.cli(&["eval", old, "0"]);
        let mut work = with_fact("mia", 0);
        work.deliveries = vec![delivery(1, 0)];
        store.hot.commit_all(vec![work]).await.expect("an outcome");
        let is_kept_for_ever = "local kept = {}
            for _, key in ipairs(redis.call('KEYS', '{beckon:p0000}:[fd][xiulc]:*')) do
                if redis.call('PTTL', key) < 0 then kept[#kept + 1] = key end
            end
            return #kept .. ' of ' .. #redis.call('KEYS', '{beckon:p0000}:[fd][xiulc]:*')";
        assert_eq!(redis.cli(&["eval", is_kept_for_ever, "0"]).trim(), "0 of 5");
        let erase = Commit {
            record: None,
            erase: true,
            ..commit("mia", 1, b"")
        };
        store.hot.commit_all(vec![erase]).await.expect("an outcome");
        assert_eq!(redis.cli(&["xlen", "{beckon:p0000}:fx:w"]).trim(), "0");
    });
}

async fn put_campaign(store: &Store) -> Result<u32, StoreError> {
    let id = CampaignId::new("c").expect("an id");
    let control = &store.control;
    control.put_campaign(&workspace(), &id, &json!({}), Timestamp(1)).await
}

#[test]
fn a_change_that_nobody_can_be_sure_of_is_told_until_it_is_taken_in() {
    let redis = Redis::start();
    block_on(async {
        let store = open(&redis.url("partitions=4&timeout_ms=100")).await;
        let changes = async |since: &str| store.control.changes(Some(since)).await.expect("changes");
        let begin = store.control.changes(None).await.expect("a beginning").upto;
        // Its own change is told, too: reading it again may have failed.
        put_campaign(&store).await.expect("a version");
        let own = changes(&begin).await;
        assert_eq!(own.by_others, [ControlChange::Campaigns(workspace())]);
        redis.signal("-STOP");
        let unknown = put_campaign(&store).await;
        redis.signal("-CONT");
        assert!(matches!(unknown, Err(StoreError::Unavailable(_))), "{unknown:?}");
        again(|| store.hot.ping()).await;
        let mut last = own.upto.clone();
        for _ in 0..2 {
            // The follower could not read everything, and asks again from where it was.
            let told = changes(&own.upto).await;
            assert_eq!(told.by_others, [ControlChange::Everything]);
            last = told.upto;
        }
        let told = changes(&last).await.by_others;
        assert!(!told.contains(&ControlChange::Everything), "{told:?}");
    });
}

#[test]
fn changes_that_are_lost_are_made_up_for_once() {
    let redis = Redis::start();
    block_on(async {
        let store = open(&redis.url("partitions=4")).await;
        put_campaign(&store).await.expect("a version");
        let since = store.control.changes(None).await.expect("a beginning").upto;
        redis.cli(&["del", "{beckon:control}:changes"]);
        let told = store.control.changes(Some(&since)).await.expect("changes");
        assert_eq!(told.by_others, [ControlChange::Everything]);
        let told = store.control.changes(Some(&told.upto)).await.expect("changes");
        assert_eq!(told.by_others, []);
    });
}

#[test]
fn parts_of_a_version_stay_and_those_of_an_upload_go() {
    let redis = Redis::start();
    block_on(async {
        let store = open(&redis.url("partitions=4")).await;
        let upload = Uuid::new_v4();
        let part = |number: u32| format!("{{beckon:u{}}}:{number}", upload.simple());
        let stays = |number| redis.cli(&["pttl", &part(number)]).trim() == "-1";
        let finish = async |parts| {
            let set = SetName::new("a").expect("a name");
            let finished = FinishedUpload {
                upload,
                parts,
                count: 9,
                at: Timestamp(1),
            };
            store.control.finish_upload(&workspace(), &set, finished, 3).await
        };
        for number in 0..40 {
            let kept = store.control.put_part(upload, number, b"x".to_vec()).await;
            kept.expect("kept");
        }
        // A version without one of its parts is none.
        let refused = finish(41).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        assert!((0..40).all(|number| !stays(number)));
        // An earlier attempt came only so far.
        redis.cli(&["persist", &part(5)]);
        assert_eq!(finish(40).await.expect("a version"), 1);
        assert!((0..40).all(stays));
        assert_eq!(finish(40).await.expect("the same"), 1);
        let refused = finish(41).await;
        assert!(refused.is_err() && (0..40).all(stays), "a live version keeps its parts");
    });
}

#[test]
fn a_cursor_that_was_never_given_is_refused() {
    let redis = Redis::start();
    block_on(async {
        let store = open(&redis.url("partitions=8")).await;
        for text in ["18446744073709551615.5.0", "1.2", "1.2.3.4", "a.1.2", "-1.1.1"] {
            let cursor = FactCursor::new(text);
            let answer = store.hot.facts_after(&workspace(), Some(&cursor), 10).await;
            assert!(matches!(answer, Err(StoreError::UnknownCursor)), "{text}: {answer:?}");
        }
    });
}

#[test]
fn while_a_slot_is_moved_nothing_is_done_by_halves() {
    let cluster = Cluster::start();
    block_on(async {
        let store = open(&cluster.url("partitions=1&timeout_ms=300")).await;
        let outcome = store
            .hot
            .commit_all(vec![with_fact("mia", 0), with_fact("ann", 0)])
            .await;
        assert_eq!(outcome.expect("outcomes").len(), 2);
        let slot = cluster.nodes[0].cli(&["cluster", "keyslot", "{beckon:p0000}"]);
        let slot = slot.trim();
        let keys = |node: &Redis| -> Vec<String> {
            let keys = node.cli(&["cluster", "getkeysinslot", slot, "100"]);
            keys.lines().filter(|key| !key.is_empty()).map(str::to_owned).collect()
        };
        let from = cluster.nodes.iter().position(|node| !keys(node).is_empty());
        let (from, to) = (from.expect("a node"), (from.expect("a node") + 1) % cluster.nodes.len());
        let (from, to) = (&cluster.nodes[from], &cluster.nodes[to]);
        let name = |node: &Redis| node.cli(&["cluster", "myid"]).trim().to_owned();
        let (from_name, to_name) = (name(from), name(to));
        to.cli(&["cluster", "setslot", slot, "importing", &from_name]);
        from.cli(&["cluster", "setslot", slot, "migrating", &to_name]);
        let refused = async |name: &str| {
            let outcome = store.hot.commit_all(vec![with_fact(name, 0)]).await;
            assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
        };
        // New customers, and those who are where they were, before and after the first keys have moved.
        refused("zoe").await;
        refused("mia").await;
        let port = to.port.to_string();
        let migrate = |pattern: &str, most: &str| {
            let script = "local moved = 0
                for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
                    if moved == tonumber(ARGV[2]) then break end
                    redis.call('MIGRATE', '127.0.0.1', ARGV[3], key, 0, 5000)
                    moved = moved + 1
                end
                return moved";
            from.cli(&["eval", script, "0", pattern, most, &port])
        };
        assert_eq!(migrate("*:s:*", "1").trim(), "1");
        refused("zoe").await;
        refused("mia").await;
        refused("ann").await;
        migrate("{beckon:p0000}*", "1000");
        assert_eq!(keys(from), Vec::<String>::new());
        for node in [to, from] {
            node.cli(&["cluster", "setslot", slot, "node", &to_name]);
        }
        for name in ["mia", "ann"] {
            let outcome = again(|| store.hot.commit_all(vec![with_fact(name, 1)])).await;
            assert_eq!(outcome, [CommitOutcome::Done(2)], "{name}");
            assert_eq!(version(&store, name).await, 2);
        }
        tokio::time::timeout(Duration::from_secs(10), again(|| store.hot.ping()))
            .await
            .expect("it goes on");
    });
}

#[test]
fn a_master_without_its_replica_holds_up_only_its_own_pushes() {
    let cluster = Cluster::start();
    let _replicas = [cluster.replica_of(0), cluster.replica_of(1)];
    block_on(async {
        let store = open(&cluster.url("partitions=32&replicas=1&timeout_ms=2000")).await;
        let work = (0..60u8).map(|number| {
            let name = format!("customer-{number}");
            let mut row = delivery(u128::from(number), 0);
            row.subject = subject(&name);
            Commit {
                deliveries: vec![row],
                ..commit(&name, 0, b"x")
            }
        });
        store.hot.commit_all(work.collect()).await.expect("outcomes");
        let mut rows = Vec::new();
        while rows.len() < 60 {
            rows.extend(
                store
                    .hot
                    .lease(Timestamp(10), Timestamp(60_000), 60)
                    .await
                    .expect("rows"),
            );
        }
        let attempts = rows.iter().map(|row| Attempt {
            subject: row.delivery.subject.clone(),
            ..attempt(row)
        });
        let begun = store.hot.begin_attempts(attempts.collect()).await.expect("answers");
        let begun = begun.into_iter().filter(|begun| *begun).count();
        assert!((20..=55).contains(&begun), "{begun} of 60");
        // The others were handed back.
        let again = store
            .hot
            .lease(Timestamp(2_000), Timestamp(3_000), 60)
            .await
            .expect("rows");
        assert!(again.iter().all(|row| !row.in_doubt && row.attempts == 0));
        assert_eq!(begun + again.len(), 60);
    });
}
