//! What every store promises about whose a device is.

use beckon::{
    domain::ids::{DeviceId, SubjectId},
    engine::ports::{Commit, CommitOutcome, Store},
};

use super::{AllTogether as _, commit, subject, workspace};

fn phone() -> DeviceId {
    DeviceId::new("phone").expect("an id")
}

async fn owner(store: &Store) -> Option<SubjectId> {
    let owners = store.hot.owners_of(&workspace(), &[phone()]).await;
    owners.expect("owners").remove(0)
}

async fn version(store: &Store, name: &str) -> u64 {
    let stored = store.hot.load_all(&workspace(), &[subject(name)]).await;
    stored.expect("a record").remove(0).map_or(0, |stored| stored.version)
}

async fn one(store: &Store, commit: Commit) -> CommitOutcome {
    store.hot.commit_all(vec![commit]).await.expect("an outcome").remove(0)
}

fn claim(name: &str, expected: u64) -> Commit {
    Commit {
        claims: vec![phone()],
        ..commit(name, expected, b"x")
    }
}

fn first_claim(name: &str, expected: u64) -> Commit {
    Commit {
        first_claims: vec![phone()],
        ..commit(name, expected, b"x")
    }
}

fn release(name: &str, expected: u64) -> Commit {
    Commit {
        releases: vec![phone()],
        ..commit(name, expected, b"x")
    }
}

pub(super) async fn a_device_belongs_to_who_claimed_it_last(store: Store) {
    assert_eq!(owner(&store).await, None);
    assert_eq!(one(&store, first_claim("mia", 0)).await, CommitOutcome::Done(1));
    assert_eq!(owner(&store).await, Some(subject("mia")));
    assert_eq!(one(&store, first_claim("mia", 1)).await, CommitOutcome::Done(2));
    assert_eq!(one(&store, first_claim("ann", 0)).await, CommitOutcome::Conflict);
    assert_eq!(version(&store, "ann").await, 0, "nothing of it was done");
    assert_eq!(one(&store, claim("ann", 7)).await, CommitOutcome::Conflict);
    assert_eq!(owner(&store).await, Some(subject("mia")), "a claim that lost is void");
    assert_eq!(one(&store, release("ann", 0)).await, CommitOutcome::Done(1));
    assert_eq!(owner(&store).await, Some(subject("mia")), "ann can't give it away");
    assert_eq!(one(&store, claim("ann", 1)).await, CommitOutcome::Done(2));
    assert_eq!(owner(&store).await, Some(subject("ann")));
    assert_eq!(one(&store, release("mia", 2)).await, CommitOutcome::Done(3));
    assert_eq!(owner(&store).await, Some(subject("ann")), "it is no longer mia's");
    assert_eq!(one(&store, release("ann", 1)).await, CommitOutcome::Conflict);
    assert_eq!(owner(&store).await, Some(subject("ann")), "nor is a release that lost");
    let mut gone = release("ann", 2);
    gone.record = None;
    assert_eq!(one(&store, gone).await, CommitOutcome::Done(3));
    assert_eq!((owner(&store).await, version(&store, "ann").await), (None, 0));
    assert_eq!(one(&store, first_claim("mia", 3)).await, CommitOutcome::Done(4));
}

pub(super) async fn of_racing_first_claims_one_wins(store: Store) {
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..8 {
        let store = store.clone();
        racers.spawn(async move {
            let name = format!("racer-{racer}");
            while owner(&store).await.is_none() {
                let before = version(&store, &name).await;
                if let CommitOutcome::Done(_) = one(&store, first_claim(&name, before)).await {
                    return Some(name);
                }
            }
            None
        });
    }
    let winners: Vec<String> = racers.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(owner(&store).await, Some(subject(&winners[0])));
}

pub(super) async fn racing_claims_leave_an_owner_whose_commit_was_done(store: Store) {
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..4 {
        let store = store.clone();
        racers.spawn(async move {
            let name = format!("racer-{racer}");
            let mut done = 0;
            for _ in 0..200 {
                let before = version(&store, &name).await;
                if let CommitOutcome::Done(now) = one(&store, claim(&name, before)).await {
                    assert_eq!(now, before + 1);
                    done += 1;
                }
                assert_eq!(version(&store, &name).await, done, "what was told is what was done");
                if done == 10 {
                    break;
                }
            }
            done
        });
    }
    let done = racers.join_all().await;
    assert_eq!(done, [10; 4], "everybody gets their turn");
    let owner = owner(&store).await.expect("an owner");
    assert!((0..4).any(|racer| owner == subject(&format!("racer-{racer}"))));
}
