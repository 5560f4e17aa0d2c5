//! What every store promises about records and the outbox.

use std::collections::BTreeSet;

use beckon::{
    domain::{
        delivery::DeliveryState,
        ids::{DeviceId, Topic, WorkspaceId},
        time::Timestamp,
    },
    engine::ports::{Attempt, Commit, CommitOutcome, DeliveryFilter, Finish, LEASES_MAX, Leased, Store},
};

use super::{AllTogether as _, commit, delivery, subject, workspace};

fn attempt(row: &Leased, number: u32) -> Attempt {
    Attempt {
        delivery: row.delivery.id,
        workspace: row.delivery.workspace.clone(),
        subject: row.delivery.subject.clone(),
        number,
        leased_until: row.until,
    }
}

pub(super) async fn only_one_of_racing_commits_wins_each_version(store: Store) {
    let mut races = tokio::task::JoinSet::new();
    for racer in 0..8u8 {
        let store = store.clone();
        races.spawn(async move {
            let (mut won, mut version) = (0u64, 0);
            while version < 50 {
                let outcome = store
                    .hot
                    .commit_all(vec![commit("mia", version, &[racer])])
                    .await
                    .expect("a commit");
                if let CommitOutcome::Done(now) = outcome[0] {
                    assert_eq!(now, version + 1);
                    won += 1;
                }
                let stored = store
                    .hot
                    .load_all(&workspace(), &[subject("mia")])
                    .await
                    .expect("a record");
                version = stored[0].as_ref().map_or(0, |stored| stored.version);
            }
            won
        });
    }
    let won: u64 = races.join_all().await.iter().sum();
    let stored = store
        .hot
        .load_all(&workspace(), &[subject("mia")])
        .await
        .expect("a record");
    assert_eq!(stored[0].as_ref().map(|stored| stored.version), Some(won));
}

pub(super) async fn a_commit_that_lost_leaves_nothing_behind(store: Store) {
    let topic = Topic::new("t").expect("a topic");
    let phone = DeviceId::new("phone").expect("an id");
    store
        .hot
        .commit_all(vec![commit("mia", 0, b"one")])
        .await
        .expect("a commit");
    let mut stale = commit("mia", 0, b"two");
    stale.deliveries.push(delivery(1, 0));
    stale.claims.push(phone.clone());
    stale.follows.push(topic.clone());
    let good = commit("ann", 0, b"three");
    let outcomes = store.hot.commit_all(vec![stale, good]).await.expect("commits");
    assert_eq!(outcomes, [CommitOutcome::Conflict, CommitOutcome::Done(1)]);
    assert_eq!(store.hot.outbox_depth().await.expect("a number"), 0);
    assert_eq!(
        store.hot.owners_of(&workspace(), &[phone]).await.expect("owners"),
        [None]
    );
    assert_eq!(
        store.hot.count_followers(&workspace(), &topic).await.expect("a number"),
        0
    );
    let stored = store
        .hot
        .load_all(&workspace(), &[subject("mia")])
        .await
        .expect("a record");
    assert_eq!(
        stored[0].as_ref().map(|stored| stored.bytes.clone()),
        Some(b"one".to_vec())
    );
}

pub(super) async fn a_row_is_leased_to_one_worker_and_again_when_the_lease_runs_out(store: Store) {
    let mut all = commit("mia", 0, b"x");
    all.deliveries = (0..100).map(|number| delivery(number, number as i64)).collect();
    store.hot.commit_all(vec![all.clone()]).await.expect("a commit");
    // The same deliveries decided again are the same rows.
    all.expected = 1;
    store.hot.commit_all(vec![all]).await.expect("a commit");
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let store = store.clone();
        workers.spawn(async move {
            store
                .hot
                .lease(Timestamp(1_000), Timestamp(2_000), 20)
                .await
                .expect("rows")
        });
    }
    let leased: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!(leased.len(), 100);
    let names: BTreeSet<_> = leased.iter().map(|row| row.delivery.id).collect();
    assert_eq!(names.len(), 100);
    assert_eq!(
        store
            .hot
            .lease(Timestamp(1_999), Timestamp(3_000), 20)
            .await
            .expect("rows"),
        []
    );

    let begun = store
        .hot
        .begin_attempts(vec![
            attempt(&leased[0], 1),
            attempt(&leased[1], 7),
            Attempt {
                leased_until: Timestamp(1_999),
                ..attempt(&leased[2], 1)
            },
        ])
        .await;
    assert_eq!(
        begun.expect("answers"),
        [true, false, false],
        "an attempt is begun once, in its turn, by who has the lease"
    );
    let again = store
        .hot
        .lease(Timestamp(2_000), Timestamp(3_000), 200)
        .await
        .expect("rows");
    assert_eq!(again.len(), 100);
    let in_doubt: Vec<_> = again
        .iter()
        .filter(|row| row.in_doubt)
        .map(|row| row.delivery.id)
        .collect();
    assert_eq!(in_doubt, [leased[0].delivery.id]);
}

pub(super) async fn a_record_is_woken_once_when_it_wants_and_a_commit_takes_the_wish_back(store: Store) {
    let wakes = async |now, until, limit| {
        let leased = store.hot.lease_wakes(Timestamp(now), Timestamp(until), limit).await;
        let names = leased.expect("records").into_iter().map(|(in_workspace, subject)| {
            assert_eq!(in_workspace, workspace());
            subject
        });
        names.collect::<Vec<_>>()
    };
    let wish = |name: &str, expected, wake_at: Option<i64>| Commit {
        wake_at: wake_at.map(Timestamp),
        ..commit(name, expected, b"x")
    };
    assert_eq!(store.hot.next_wake().await.expect("an answer"), None);
    let first = vec![
        wish("mia", 0, Some(100)),
        wish("ann", 0, Some(50)),
        wish("bob", 0, None),
    ];
    store.hot.commit_all(first).await.expect("commits");
    assert_eq!(store.hot.next_wake().await.expect("an answer"), Some(Timestamp(50)));
    assert!(wakes(49, 1_000, 10).await.is_empty(), "nobody's time has come");
    assert_eq!(
        wakes(200, 1_000, 1).await,
        [subject("ann")],
        "the longest due comes first"
    );
    assert_eq!(wakes(200, 1_000, 10).await, [subject("mia")], "ann is somebody's");
    assert!(wakes(999, 2_000, 10).await.is_empty());

    // What was committed replaces the wish, whoever leased it; a lease that nobody ended runs out.
    store
        .hot
        .commit_all(vec![wish("ann", 1, None)])
        .await
        .expect("a commit");
    assert_eq!(wakes(1_000, 2_000, 10).await, [subject("mia")]);
    let later = wish("mia", 1, Some(1_500));
    store.hot.commit_all(vec![later]).await.expect("a commit");
    assert_eq!(store.hot.next_wake().await.expect("an answer"), Some(Timestamp(1_500)));
    let stale = wish("mia", 1, Some(1));
    store.hot.commit_all(vec![stale]).await.expect("a conflict");
    assert!(
        wakes(1_499, 9_000, 10).await.is_empty(),
        "a commit that lost wishes nothing"
    );
    // Also one that wishes the same as before ends a lease.
    assert_eq!(wakes(1_500, 2_500, 10).await, [subject("mia")]);
    let same = wish("mia", 2, Some(1_500));
    store.hot.commit_all(vec![same]).await.expect("a commit");
    assert_eq!(wakes(1_500, 2_500, 10).await, [subject("mia")]);
    let mut gone = wish("mia", 3, Some(1));
    gone.record = None;
    store.hot.commit_all(vec![gone]).await.expect("a commit");
    assert_eq!(store.hot.next_wake().await.expect("an answer"), None);
}

pub(super) async fn an_ended_delivery_stays_ended_and_lists_newest_first(store: Store) {
    let mut all = commit("mia", 0, b"x");
    all.deliveries = (0..5).map(|number| delivery(number, number as i64)).collect();
    store.hot.commit_all(vec![all]).await.expect("a commit");
    let leased = store.hot.lease(Timestamp(10), Timestamp(20), 5).await.expect("rows");
    let end = |state, due_at| Finish {
        delivery: leased[0].delivery.id,
        workspace: workspace(),
        subject: subject("mia"),
        state,
        attempts: 0,
        begun: 0,
        quiet: false,
        due_at: Timestamp(due_at),
        at: Timestamp(15),
        reason: None,
    };
    store
        .hot
        .finish(vec![end(DeliveryState::Accepted, 15)])
        .await
        .expect("an end");
    store
        .hot
        .finish(vec![end(DeliveryState::Queued, 16)])
        .await
        .expect("nothing");
    let row = store
        .hot
        .delivery(&workspace(), leased[0].delivery.id)
        .await
        .expect("a row")
        .expect("it is there");
    assert_eq!(
        (row.state, row.ended_at),
        (DeliveryState::Accepted, Some(Timestamp(15)))
    );
    assert_eq!(store.hot.outbox_depth().await.expect("a number"), 4);
    let newest = store
        .hot
        .deliveries(&workspace(), DeliveryFilter::default(), 2)
        .await
        .expect("rows");
    let times: Vec<i64> = newest.iter().map(|row| row.delivery.decided_at.0).collect();
    assert_eq!(times, [4, 3]);
    let last = &newest[1].delivery;
    let filter = DeliveryFilter {
        before: Some((last.decided_at, last.id)),
        ..DeliveryFilter::default()
    };
    let next = store.hot.deliveries(&workspace(), filter, 10).await.expect("rows");
    assert_eq!(
        next.iter().map(|row| row.delivery.decided_at.0).collect::<Vec<_>>(),
        [2, 1, 0]
    );
    let other = WorkspaceId::new("other").expect("an id");
    assert_eq!(
        store.hot.delivery(&other, last.id).await.expect("an answer"),
        None,
        "nothing crosses workspaces"
    );
    assert_eq!(
        store
            .hot
            .deliveries(&other, DeliveryFilter::default(), 10)
            .await
            .expect("rows"),
        []
    );
}

pub(super) async fn a_row_that_nobody_finishes_is_set_aside_until_somebody_asks(store: Store) {
    let mut all = commit("mia", 0, b"x");
    all.deliveries = vec![delivery(1, 0), delivery(2, 0)];
    store.hot.commit_all(vec![all]).await.expect("a commit");
    let letters = async || store.hot.dead_letters(&workspace(), None, 10).await.expect("rows");
    // Each time whoever took the first one dies; the other one is given back.
    for round in 1..=i64::from(LEASES_MAX) {
        let (now, until) = (Timestamp(round * 100), Timestamp(round * 100 + 50));
        let rows = store.hot.lease(now, until, 10).await.expect("rows");
        assert_eq!((rows.len(), letters().await.len()), (2, 0), "round {round}");
        let given_back = rows.iter().find(|row| row.delivery.id == delivery(2, 0).id);
        let given_back = Finish {
            delivery: given_back.expect("the row").delivery.id,
            workspace: workspace(),
            subject: subject("mia"),
            state: DeliveryState::Queued,
            attempts: 0,
            begun: 0,
            quiet: true,
            due_at: until,
            at: now,
            reason: None,
        };
        store.hot.finish(vec![given_back]).await.expect("given back");
    }
    let rows = store
        .hot
        .lease(Timestamp(5_000), Timestamp(6_000), 10)
        .await
        .expect("rows");
    assert_eq!(rows.len(), 1, "the other one goes on");
    let dead = letters().await;
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].delivery, dead[0].at), (delivery(1, 0).id, Timestamp(5_000)));
    assert!(dead[0].reason.contains("never finished"), "{}", dead[0].reason);
    let told = store
        .hot
        .facts_after(&workspace(), None, 10)
        .await
        .expect("facts")
        .facts;
    assert!(
        told.len() == 1 && format!("{told:?}").contains("DeadLetter"),
        "{told:?}"
    );
    let row = store
        .hot
        .delivery(&workspace(), dead[0].delivery)
        .await
        .expect("an answer");
    assert_eq!(row.map(|row| row.state), Some(DeliveryState::DeadLetter));
    assert_eq!(store.hot.outbox_depth().await.expect("a number"), 1);
    let place = Some((dead[0].at, dead[0].delivery));
    assert_eq!(store.hot.dead_letters(&workspace(), place, 10).await.expect("rows"), []);

    let other = WorkspaceId::new("other").expect("an id");
    let requeue = async |of: &WorkspaceId| {
        store
            .hot
            .requeue(of, dead[0].delivery, Timestamp(7_000))
            .await
            .expect("told")
    };
    assert!(!requeue(&other).await, "nothing crosses workspaces");
    assert!(requeue(&workspace()).await);
    assert!(!requeue(&workspace()).await, "it is none any more");
    let rows = store
        .hot
        .lease(Timestamp(7_000), Timestamp(8_000), 10)
        .await
        .expect("rows");
    assert_eq!((rows.len(), letters().await.len()), (2, 0));
}
