//! What every store promises about who is where.

use beckon::{
    domain::{
        ids::{DeviceId, ExternalId, GeofenceId, Tag, WorkspaceId},
        presence::Evidence,
        time::Timestamp,
    },
    engine::ports::{Commit, CommitOutcome, PresenceChange, Present, Stay, Store},
};

use super::{AllTogether as _, commit, workspace};

fn shop(name: &str) -> GeofenceId {
    GeofenceId {
        tag: Tag::new("shop").expect("a tag"),
        external_id: ExternalId::new(name).expect("an id"),
    }
}

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).expect("an id")
}

fn change(place: &str, phone: &str, stay: Option<(i64, Evidence)>) -> PresenceChange {
    PresenceChange {
        geofence: shop(place),
        device: device(phone),
        stay: stay.map(|(since, evidence)| Stay {
            since: Timestamp(since),
            evidence,
        }),
    }
}

fn moving(name: &str, expected: u64, presence: Vec<PresenceChange>) -> Commit {
    Commit {
        presence,
        ..commit(name, expected, b"x")
    }
}

/// Names of customers and devices with their stays, page by page.
async fn list(store: &Store, place: &str) -> Vec<(String, String, Stay)> {
    let mut all: Vec<Present> = Vec::new();
    loop {
        let after = all.last().map(|last| (&last.subject, &last.device));
        let page = store
            .hot
            .present(&workspace(), &shop(place), after, 2)
            .await
            .expect("a page");
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    let count = store.hot.count_present(&workspace(), &shop(place)).await;
    assert_eq!(count.expect("a count"), all.len() as u64);
    let name = |present: Present| {
        let user = present.subject.user().expect("a user").to_string();
        (user, present.device.to_string(), present.stay)
    };
    all.into_iter().map(name).collect()
}

pub(super) async fn who_is_where_changes_with_the_record(store: Store) {
    let here = |user: &str, phone: &str, since, evidence| {
        let since = Timestamp(since);
        (user.to_owned(), phone.to_owned(), Stay { since, evidence })
    };
    let commits = vec![
        moving(
            "mia",
            0,
            vec![
                change("a", "m1", Some((1, Evidence::Gps))),
                change("b", "m1", Some((2, Evidence::Code))),
            ],
        ),
        moving(
            "ann",
            0,
            vec![
                change("a", "a2", Some((3, Evidence::Gps))),
                change("a", "a1", Some((4, Evidence::Beacon))),
            ],
        ),
        moving("bob", 7, vec![change("a", "b1", Some((5, Evidence::Gps)))]),
    ];
    let outcomes = store.hot.commit_all(commits).await.expect("outcomes");
    assert_eq!(outcomes[2], CommitOutcome::Conflict);
    let in_a = [
        here("ann", "a1", 4, Evidence::Beacon),
        here("ann", "a2", 3, Evidence::Gps),
        here("mia", "m1", 1, Evidence::Gps),
    ];
    assert_eq!(list(&store, "a").await, in_a, "bob's commit lost");
    assert_eq!(list(&store, "b").await, [here("mia", "m1", 2, Evidence::Code)]);
    let later = vec![
        moving(
            "mia",
            1,
            vec![change("a", "m1", Some((1, Evidence::Beacon))), change("b", "m1", None)],
        ),
        moving("ann", 1, vec![change("a", "a2", None), change("b", "a2", None)]),
    ];
    store.hot.commit_all(later).await.expect("outcomes");
    let in_a = [
        here("ann", "a1", 4, Evidence::Beacon),
        here("mia", "m1", 1, Evidence::Beacon),
    ];
    assert_eq!(
        (list(&store, "a").await, list(&store, "b").await),
        (in_a.to_vec(), vec![])
    );
    let other = WorkspaceId::new("other").expect("an id");
    assert_eq!(
        store.hot.present(&other, &shop("a"), None, 10).await.expect("a page"),
        []
    );
}
