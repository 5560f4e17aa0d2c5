//! The same commits on SQLite and on Redis come to the same: outcomes, records, owners, followers, facts, rows.

use std::collections::{BTreeMap, BTreeSet};

use beckon::{
    domain::{
        event::Fact,
        ids::{CauseId, DeviceId, ExternalId, GeofenceId, SubjectId, Tag, Topic, WorkspaceId},
        presence::Evidence,
        time::Timestamp,
    },
    engine::ports::{Commit, CommitOutcome, DeliveryFilter, PresenceChange, Stay, Store},
    store,
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use tokio::runtime::Runtime;

use super::{AllTogether as _, delivery, subject};
use crate::redis_server::Redis;

const CASES: u32 = 40;
const CUSTOMERS: usize = 4;
const DEVICES: usize = 3;
const TOPICS: usize = 2;

/// What one commit does, by small numbers.
#[derive(Debug, Clone)]
struct Doing {
    customer: usize,
    /// Made from another version than the latest one.
    is_stale: bool,
    deletes: bool,
    erases: bool,
    bytes: Vec<u8>,
    deliveries: Vec<u8>,
    facts: Vec<u8>,
    claim: Option<usize>,
    first_claim: Option<usize>,
    release: Option<usize>,
    follow: Option<usize>,
    unfollow: Option<usize>,
    wake_at: Option<u16>,
    /// A device comes into a place, or leaves it.
    moves: Option<(usize, usize, Option<u16>)>,
}

fn some_of(count: usize) -> impl Strategy<Value = Option<usize>> {
    proptest::option::weighted(0.3, 0..count)
}

fn doing() -> impl Strategy<Value = Doing> {
    let record = (
        0..CUSTOMERS,
        proptest::bool::weighted(0.15),
        proptest::bool::weighted(0.1),
        any::<bool>(),
        vec(any::<u8>(), 0..20),
    );
    let rows = (vec(any::<u8>(), 0..3), vec(any::<u8>(), 0..3));
    let devices = (some_of(DEVICES), some_of(DEVICES), some_of(DEVICES));
    let moves = proptest::option::of((0..DEVICES, 0..TOPICS, proptest::option::of(any::<u16>())));
    let rest = (
        some_of(TOPICS),
        some_of(TOPICS),
        proptest::option::of(any::<u16>()),
        moves,
    );
    (record, rows, devices, rest).prop_map(|(record, rows, devices, rest)| Doing {
        customer: record.0,
        is_stale: record.1,
        deletes: record.2,
        erases: record.2 && record.3,
        bytes: record.4,
        deliveries: rows.0,
        facts: rows.1,
        claim: devices.0,
        // One wish a device: what is claimed twice in one commit is not asked for by anybody.
        first_claim: devices.1.filter(|device| Some(*device) != devices.0),
        release: devices
            .2
            .filter(|device| Some(*device) != devices.0 && Some(*device) != devices.1),
        follow: rest.0,
        unfollow: rest.1.filter(|topic| Some(*topic) != rest.0),
        wake_at: rest.2,
        moves: rest.3,
    })
}

fn customer(number: usize) -> SubjectId {
    subject(&format!("customer-{number}"))
}

fn device(number: usize) -> DeviceId {
    DeviceId::new(format!("device-{number}")).expect("an id")
}

fn topic(number: usize) -> Topic {
    Topic::new(format!("topic-{number}")).expect("a topic")
}

fn place(number: usize) -> GeofenceId {
    GeofenceId {
        tag: Tag::new("t").expect("a tag"),
        external_id: ExternalId::new(format!("{number}")).expect("an id"),
    }
}

fn to_change((who, at, since): (usize, usize, Option<u16>)) -> PresenceChange {
    PresenceChange {
        geofence: place(at),
        device: device(who),
        stay: since.map(|since| Stay {
            since: Timestamp(i64::from(since)),
            evidence: if since % 2 == 0 { Evidence::Code } else { Evidence::Gps },
        }),
    }
}

fn told(number: u8) -> (Option<CauseId>, Fact) {
    let fact = Fact::TokenDropped {
        device: device(0),
        at: Timestamp(i64::from(number)),
        reason: String::new(),
    };
    (None, fact)
}

fn to_commit(doing: &Doing, workspace: &WorkspaceId, versions: &[u64; CUSTOMERS]) -> Commit {
    let version = versions[doing.customer];
    let mut deliveries = Vec::new();
    for &number in &doing.deliveries {
        // Ids are unique in the installation; those of one customer may come again.
        let hash = workspace
            .as_str()
            .bytes()
            .fold(7u128, |hash, byte| hash * 131 + u128::from(byte));
        let id = hash % (1 << 60) * 65_536 + doing.customer as u128 * 256 + u128::from(number);
        let mut row = delivery(id, i64::from(number));
        row.workspace = workspace.clone();
        row.subject = customer(doing.customer);
        deliveries.push(row);
    }
    Commit {
        workspace: workspace.clone(),
        subject: customer(doing.customer),
        // Never 0: that would be another thing for one that was deleted.
        expected: if doing.is_stale { version + 1_000 } else { version },
        record: (!doing.deletes).then(|| (1, doing.bytes.clone())),
        deliveries,
        facts: doing.facts.iter().copied().map(told).collect(),
        claims: doing.claim.map(device).into_iter().collect(),
        first_claims: doing.first_claim.map(device).into_iter().collect(),
        releases: doing.release.map(device).into_iter().collect(),
        follows: doing.follow.map(topic).into_iter().collect(),
        unfollows: doing.unfollow.map(topic).into_iter().collect(),
        erase: doing.erases,
        wake_at: doing.wake_at.map(|at| Timestamp(i64::from(at))),
        presence: doing.moves.into_iter().map(to_change).collect(),
    }
}

/// Devices that two commits of one batch want would be decided by chance; only the first one asks for them.
fn for_itself(mut commit: Commit, wanted: &mut BTreeSet<DeviceId>) -> Commit {
    for devices in [&mut commit.claims, &mut commit.first_claims, &mut commit.releases] {
        devices.retain(|device| wanted.insert(device.clone()));
    }
    commit
}

/// All that can be seen of a workspace; facts by customer are not told apart, so they are sorted.
async fn picture(store: &Store, workspace: &WorkspaceId) -> Vec<String> {
    let customers: Vec<SubjectId> = (0..CUSTOMERS).map(customer).collect();
    let devices: Vec<DeviceId> = (0..DEVICES).map(device).collect();
    let mut seen = Vec::new();
    for record in store.hot.load_all(workspace, &customers).await.expect("records") {
        // A record that was made anew may have another version.
        seen.push(format!("{:?}", record.map(|record| (record.schema, record.bytes))));
    }
    for owner in store.hot.owners_of(workspace, &devices).await.expect("owners") {
        seen.push(format!("{owner:?}"));
    }
    for number in 0..TOPICS {
        let followers = store.hot.followers(workspace, &topic(number), None, 100).await;
        seen.push(format!("{:?}", followers.expect("followers")));
        let count = store.hot.count_followers(workspace, &topic(number)).await;
        seen.push(format!("{}", count.expect("a number")));
        let present = store.hot.present(workspace, &place(number), None, 100).await;
        seen.push(format!("{:?}", present.expect("a list")));
    }
    let rows = store.hot.deliveries(workspace, DeliveryFilter::default(), 1000).await;
    seen.extend(rows.expect("rows").into_iter().map(|row| format!("{row:?}")));
    let facts = store.hot.facts_after(workspace, None, 1000).await.expect("facts").facts;
    let mut facts: Vec<String> = facts.into_iter().map(|(_, fact)| format!("{fact:?}")).collect();
    facts.sort_unstable();
    seen.extend(facts);
    seen
}

/// Wakes and leases everything, to see what was due.
async fn due(store: &Store) -> BTreeMap<String, u32> {
    let mut all: BTreeMap<String, u32> = BTreeMap::new();
    let (now, until) = (Timestamp(1 << 40), Timestamp(1 << 41));
    for woken in store.hot.lease_wakes(now, until, 10_000).await.expect("records") {
        *all.entry(format!("{woken:?}")).or_default() += 1;
    }
    for row in store.hot.lease(now, until, 10_000).await.expect("rows") {
        *all.entry(format!("{:?}", row.delivery.id)).or_default() += 1;
    }
    all
}

#[test]
fn the_same_commits_come_to_the_same_on_sqlite_and_redis() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = Runtime::new().expect("threads");
    let (sqlite, other) = runtime.block_on(async {
        let sqlite = store::open(&format!("sqlite:{}", folder.path().display())).await;
        let other = store::open(&redis.url("partitions=16")).await;
        (sqlite.expect("a store"), other.expect("a store"))
    });
    let seed = [29; 32];
    println!("seed {seed:?}");
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let mut case = 0;
    let mut outcomes: BTreeMap<String, u32> = BTreeMap::new();
    let case = std::cell::RefCell::new(&mut case);
    let outcomes = std::cell::RefCell::new(&mut outcomes);
    let tested = runner.run(&vec(vec(doing(), 1..4), 1..40), |batches| {
        **case.borrow_mut() += 1;
        let workspace = WorkspaceId::new(format!("case-{}", case.borrow())).expect("an id");
        runtime.block_on(async {
            let mut versions = [[0u64; CUSTOMERS]; 2];
            for batch in batches {
                let [commits, others] = versions.map(|versions| {
                    let mut wanted = BTreeSet::new();
                    let commits = batch.iter().map(|doing| to_commit(doing, &workspace, &versions));
                    commits
                        .map(|commit| for_itself(commit, &mut wanted))
                        .collect::<Vec<_>>()
                });
                let expected = sqlite.hot.commit_all(commits).await.expect("outcomes");
                let got = other.hot.commit_all(others).await.expect("outcomes");
                for ((doing, expected), got) in batch.iter().zip(expected).zip(got) {
                    let name = match (expected, got) {
                        (CommitOutcome::Done(one), CommitOutcome::Done(two)) => {
                            versions[0][doing.customer] = if doing.deletes { 0 } else { one };
                            versions[1][doing.customer] = if doing.deletes { 0 } else { two };
                            "Done"
                        }
                        (CommitOutcome::Conflict, CommitOutcome::Conflict) => "Conflict",
                        _ => return Err(TestCaseError::fail(format!("{doing:?}: {expected:?} and {got:?}"))),
                    };
                    *outcomes.borrow_mut().entry(name.to_owned()).or_default() += 1;
                }
            }
            let (expected, got) = (picture(&sqlite, &workspace).await, picture(&other, &workspace).await);
            prop_assert_eq!(got, expected);
            Ok(())
        })
    });
    tested.expect("both do the same");
    println!("{outcomes:?}");
    let told = outcomes.borrow();
    assert!(
        told["Done"] > 500 && told["Conflict"] > 100,
        "the cases must have both: {told:?}"
    );
    runtime.block_on(async {
        let (expected, got) = (due(&sqlite).await, due(&other).await);
        assert!(expected.len() > 100 && expected.values().all(|&times| times == 1));
        assert_eq!(got, expected);
    });
}
