//! Whose turn it is in the outbox, and how fast it may go.

use std::{collections::BTreeMap, time::Duration};

use beckon::{
    domain::{
        campaign::Class,
        delivery::{Delivery, Platform},
        ids::{AppId, CampaignId, WorkspaceId},
        lane::LanePart,
        pace::{Limit, SlotAsk, SlotAsks, Speed},
        time::{DurationMs, Timestamp},
    },
    engine::ports::{Commit, LeaseAsk, Store},
};
use tokio::time::Instant;

use super::{AllTogether as _, commit, delivery, subject, workspace};
use crate::store::run_with_nodes;

/// Puts pushes of a campaign into the outbox, each of another customer.
async fn put(store: &Store, numbers: std::ops::Range<u128>, due: i64, change: impl Fn(&mut Delivery)) {
    let commits = numbers.map(|number| {
        let name = format!("user-{number}");
        let mut row = delivery(number, due);
        row.subject = subject(&name);
        change(&mut row);
        Commit {
            workspace: row.workspace.clone(),
            deliveries: vec![row],
            ..commit(&name, 0, b"x")
        }
    });
    store.hot.commit_all(commits.collect()).await.expect("committed");
}

fn campaign(name: &str) -> CampaignId {
    CampaignId::new(name).expect("an id")
}

/// How many rows of which campaign a lease of up to `rows` gives.
async fn lease(store: &Store, rows: usize, turn: u64) -> BTreeMap<String, usize> {
    let ask = LeaseAsk {
        turn,
        ..LeaseAsk::any(Timestamp(1000), Timestamp(60_000), rows)
    };
    let leased = store.hot.lease_rows(&ask).await.expect("rows");
    let mut counts = BTreeMap::new();
    for row in leased {
        *counts.entry(row.delivery.campaign.to_string()).or_default() += 1;
    }
    counts
}

pub(super) async fn a_lane_with_much_does_not_hold_up_the_others(store: Store) {
    put(&store, 0..3000, 10, |row| row.campaign = campaign("big")).await;
    put(&store, 4000..4001, 500, |row| row.campaign = campaign("small")).await;
    let other = WorkspaceId::new("other").expect("an id");
    put(&store, 5000..5040, 500, |row| row.workspace = other.clone()).await;
    let mut seen = BTreeMap::new();
    let mut turns = 0;
    // Partitions take turns, too: all have had theirs long before the big lane is empty.
    while !seen.contains_key("small") || seen.get("c") < Some(&40) {
        turns += 1;
        assert!(turns <= 18, "{seen:?}");
        for (name, count) in lease(&store, 128, turns).await {
            *seen.entry(name).or_insert(0) += count;
        }
    }
    // Service goes first, however late it comes.
    put(&store, 6000..6016, 900, |row| {
        row.campaign = campaign("delay");
        row.class = Class::Service;
    })
    .await;
    let mut service = 0;
    let mut marketing = 0;
    for turn in 0..40 {
        for (name, count) in lease(&store, 64, turn).await {
            if name == "delay" {
                service += count;
            } else {
                marketing += count;
            }
        }
        if service == 16 {
            break;
        }
    }
    assert_eq!(service, 16);
    assert!(marketing < 1400, "{marketing} before 16 service messages");
}

pub(super) async fn lanes_that_are_held_are_left_alone(store: Store) {
    put(&store, 0..4, 10, |row| row.campaign = campaign("slow")).await;
    put(&store, 10..14, 20, |row| row.campaign = campaign("free")).await;
    put(&store, 20..24, 30, |row| row.platform = Platform::Android).await;
    let slow = {
        let mut row = delivery(0, 10);
        row.campaign = campaign("slow");
        row.lane().itself()
    };
    let app = AppId::new("app").expect("an id");
    let ios = LanePart::of_app(Platform::Ios, &workspace(), &app);
    let next = async |held: &[LanePart]| store.hot.next_due_but(held).await.expect("an answer");
    assert_eq!(next(std::slice::from_ref(&slow)).await, Some(Timestamp(20)));
    assert_eq!(next(std::slice::from_ref(&ios)).await, Some(Timestamp(30)));
    assert_eq!(next(&[]).await, Some(Timestamp(10)), "let go, they are known at once");
    let leased = async |held: Vec<LanePart>, ios_max, android_max| {
        let ask = LeaseAsk {
            ios_max,
            android_max,
            held,
            ..LeaseAsk::any(Timestamp(1000), Timestamp(60_000), 100)
        };
        let mut rows = store.hot.lease_rows(&ask).await.expect("rows");
        rows.sort_by_key(|row| row.delivery.id.0);
        rows.iter().map(|row| row.delivery.id.0.as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(leased(vec![ios.clone()], 100, 0).await, Vec::<u128>::new());
    assert_eq!(leased(vec![ios], 100, 100).await, [20, 21, 22, 23]);
    assert_eq!(
        leased(vec![slow.clone()], 3, 100).await.len(),
        3,
        "no more than there is room for"
    );
    assert_eq!(leased(vec![slow], 100, 100).await.len(), 1);
    assert_eq!(
        leased(Vec::new(), 100, 100).await,
        [0, 1, 2, 3],
        "let go, they are found at once"
    );
    assert_eq!(store.hot.outbox_depth().await.expect("a depth"), 12);
}

pub(super) async fn a_free_lane_is_found_behind_many_that_are_held(store: Store) {
    // All of one customer, so that they lie together.
    let rows = (0..600).map(|number| {
        let mut row = delivery(number, 10);
        row.campaign = campaign(&format!("held-{number}"));
        row
    });
    let mut free = delivery(1000, 900);
    free.campaign = campaign("free");
    free.platform = Platform::Android;
    let mut all = commit("mia", 0, b"x");
    all.deliveries = rows.chain([free]).collect();
    store.hot.commit_all(vec![all]).await.expect("committed");
    let held = vec![LanePart::of_platform(Platform::Ios)];
    assert_eq!(
        store.hot.next_due_but(&held).await.expect("an answer"),
        Some(Timestamp(900))
    );
    let ask = LeaseAsk {
        held: held.clone(),
        ..LeaseAsk::any(Timestamp(1000), Timestamp(60_000), 100)
    };
    let leased = store.hot.lease_rows(&ask).await.expect("rows");
    let numbers: Vec<u128> = leased.iter().map(|row| row.delivery.id.0.as_u128()).collect();
    assert_eq!(numbers, [1000]);
    assert_eq!(
        store.hot.next_due_but(&held).await.expect("an answer"),
        Some(Timestamp(60_000))
    );
}

pub(super) async fn service_is_found_behind_many_lanes_of_marketing(store: Store) {
    let rows = (0..300).map(|number| {
        let mut row = delivery(number, 10);
        row.campaign = campaign(&format!("c-{number}"));
        row
    });
    let mut delay = delivery(1000, 900);
    delay.class = Class::Service;
    let mut all = commit("mia", 0, b"x");
    all.deliveries = rows.chain([delay]).collect();
    store.hot.commit_all(vec![all]).await.expect("committed");
    let ask = LeaseAsk::any(Timestamp(1000), Timestamp(60_000), 8);
    let leased = store.hot.lease_rows(&ask).await.expect("rows");
    assert_eq!(leased[0].delivery.id.0.as_u128(), 1000);
}

fn asks(name: &str, max: u32, rows: usize, ahead: Duration) -> SlotAsks {
    let speed = Speed {
        max,
        per: DurationMs::from_secs(1),
    };
    SlotAsks {
        limits: vec![Limit::smooth(name.to_owned(), speed)],
        rows: vec![SlotAsk { limits: vec![0], ahead }; rows],
    }
}

pub(super) async fn slots_are_given_once_and_evenly(store: Store) {
    let slots = store
        .hot
        .give_slots(&asks("a", 10, 20, Duration::from_millis(950)))
        .await
        .expect("slots");
    let waits: Vec<u128> = slots.iter().map(|slot| slot.wait.as_millis()).collect();
    assert_eq!(waits[..10], [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    assert!(slots[..10].iter().all(|slot| slot.refused_by.is_none()));
    assert!(
        slots[10..]
            .iter()
            .all(|slot| slot.refused_by == Some(0) && slot.wait == slots[10].wait)
    );
    // What is given is given, and other limits are free.
    let again = store
        .hot
        .give_slots(&asks("a", 10, 1, Duration::ZERO))
        .await
        .expect("slots");
    assert_eq!(again[0].refused_by, Some(0));
    let other = store
        .hot
        .give_slots(&asks("b", 10, 1, Duration::ZERO))
        .await
        .expect("slots");
    assert_eq!((other[0].refused_by, other[0].wait), (None, Duration::ZERO));
    let free = SlotAsks {
        limits: Vec::new(),
        rows: vec![
            SlotAsk {
                limits: Vec::new(),
                ahead: Duration::ZERO
            };
            3
        ],
    };
    assert_eq!(store.hot.give_slots(&free).await.expect("slots").len(), 3);
}

#[test]
fn four_nodes_share_one_speed_within_a_hundredth() {
    let seed: u64 = 20_261_122;
    println!("seed {seed}");
    run_with_nodes(4, async |nodes| {
        let (max, ahead, length) = (5_000, Duration::from_secs(2), Duration::from_secs(2));
        // The first ask starts the limit's time.
        let start = Instant::now();
        let tasks = nodes.into_iter().enumerate().map(|(node, store)| {
            tokio::spawn(async move {
                let mut random = seed ^ (node as u64 + 1);
                let mut given = 0;
                while start.elapsed() < length {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let rows = 1 + (random >> 33) as usize % 64;
                    let slots = store
                        .hot
                        .give_slots(&asks("shared", max, rows, ahead))
                        .await
                        .expect("slots");
                    given += slots.iter().filter(|slot| slot.refused_by.is_none()).count();
                }
                given
            })
        });
        let mut given = 0;
        for task in tasks.collect::<Vec<_>>() {
            given += task.await.expect("a node");
        }
        let wanted = (start.elapsed() + ahead).as_secs_f64() * f64::from(max);
        let ratio = given as f64 / wanted;
        println!("{given} slots of {wanted:.0}");
        assert!((0.99..=1.01).contains(&ratio), "{given} of {wanted:.0}");
    });
}
