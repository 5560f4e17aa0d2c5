//! What every store promises about geofence sets: versions as a whole, edits on top.

use beckon::{
    domain::{
        ids::{ExternalId, GeofenceId, SetName, Tag},
        time::Timestamp,
    },
    engine::ports::{ControlStore, FinishedUpload, Store, StoredEdit},
};
use uuid::Uuid;

use super::workspace;

const KEPT: u32 = 3;

fn set(name: &str) -> SetName {
    SetName::new(name).expect("a name")
}

fn edit(set_name: &str, id: &str, pack: Option<&[u8]>) -> StoredEdit {
    StoredEdit {
        set: set(set_name),
        id: GeofenceId {
            tag: Tag::new("t").expect("a tag"),
            external_id: ExternalId::new(id).expect("an id"),
        },
        pack: pack.map(<[u8]>::to_vec),
    }
}

async fn upload(store: &dyn ControlStore, name: &str, parts: &[&[u8]]) -> u32 {
    let upload = Uuid::new_v4();
    for (number, part) in (0..).zip(parts) {
        store.put_part(upload, number, part.to_vec()).await.expect("a part");
    }
    let finished = FinishedUpload {
        upload,
        parts: parts.len() as u32,
        count: parts.len() as u64,
        at: Timestamp(7),
    };
    let version = store.finish_upload(&workspace(), &set(name), finished, KEPT).await;
    version.expect("a version")
}

async fn parts(store: &dyn ControlStore, name: &str, version: u32) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    while let Some(part) = store
        .load_part(&workspace(), &set(name), version, parts.len() as u32)
        .await
        .expect("a part or none")
    {
        parts.push(part);
    }
    parts
}

async fn versions(store: &dyn ControlStore, name: &str) -> Vec<(u32, bool)> {
    let versions = store.set_versions(&workspace(), &set(name)).await.expect("versions");
    versions.iter().map(|version| (version.version, version.live)).collect()
}

pub(super) async fn versions_are_kept_made_live_and_forgotten_as_a_whole(opened: Store) {
    let store = opened.control.as_ref();
    assert_eq!(versions(store, "a").await, []);
    for (number, content) in (1..=5).zip([b"1", b"2", b"3", b"4", b"5"]) {
        assert_eq!(upload(store, "a", &[content, b"more"]).await, number);
    }
    assert_eq!(versions(store, "a").await, [(5, true), (4, false), (3, false)]);
    assert_eq!(parts(store, "a", 5).await, [b"5".to_vec(), b"more".to_vec()]);
    assert_eq!(parts(store, "a", 2).await, Vec::<Vec<u8>>::new(), "beyond those kept");
    assert!(
        !store
            .activate_version(&workspace(), &set("a"), 2, Timestamp(8))
            .await
            .expect("told")
    );
    assert!(
        store
            .activate_version(&workspace(), &set("a"), 3, Timestamp(8))
            .await
            .expect("told")
    );
    assert_eq!(versions(store, "a").await, [(5, false), (4, false), (3, true)]);
    // One that is never finished leaves nothing.
    store
        .put_part(Uuid::new_v4(), 0, b"lost".to_vec())
        .await
        .expect("a part");
    let discarded = Uuid::new_v4();
    store
        .put_part(discarded, 0, b"discarded".to_vec())
        .await
        .expect("a part");
    store.discard_upload(discarded).await.expect("gone");
    assert_eq!(versions(store, "a").await, [(5, false), (4, false), (3, true)]);
    assert_eq!(upload(store, "a", &[b"6"]).await, 6);
    assert_eq!(versions(store, "a").await, [(6, true), (5, false), (4, false)]);
    let summaries = store.list_sets(&workspace()).await.expect("sets");
    assert_eq!((summaries.len(), summaries[0].version), (1, 6));
    assert!(store.delete_set(&workspace(), &set("a")).await.expect("told"));
    assert!(!store.delete_set(&workspace(), &set("a")).await.expect("told"));
    assert_eq!(parts(store, "a", 6).await, Vec::<Vec<u8>>::new());
    assert_eq!(store.list_sets(&workspace()).await.expect("sets"), []);
}

pub(super) async fn edits_lie_on_top_of_a_version_until_the_next(opened: Store) {
    let store = opened.control.as_ref();
    upload(store, "a", &[b"1"]).await;
    let put = async |edit: &StoredEdit| store.put_edit(&workspace(), edit, Timestamp(9)).await.expect("kept");
    let edits = async || store.load_edits(&workspace()).await.expect("edits");
    put(&edit("a", "1", Some(b"x"))).await;
    put(&edit("a", "1", Some(b"y"))).await;
    put(&edit("a", "2", None)).await;
    put(&edit("singles", "3", Some(b"z"))).await;
    let expected = [
        edit("a", "1", Some(b"y")),
        edit("a", "2", None),
        edit("singles", "3", Some(b"z")),
    ];
    assert_eq!(edits().await, expected);
    let named = |edits: &[StoredEdit]| {
        edits
            .iter()
            .map(|edit| (edit.set.clone(), edit.id.clone()))
            .collect::<Vec<_>>()
    };
    let mut asked = named(&expected[1..]);
    asked.extend(named(&[edit("b", "1", None), edit("a", "9", None)]));
    let found = store.edits_of(&workspace(), &asked).await.expect("edits");
    assert_eq!(found, expected[1..]);
    let names = store.list_sets(&workspace()).await.expect("sets");
    let names: Vec<(&str, u32)> = names.iter().map(|set| (set.set.as_str(), set.version)).collect();
    assert_eq!(names, [("a", 1), ("singles", 0)]);
    upload(store, "a", &[b"2"]).await;
    assert_eq!(edits().await, [edit("singles", "3", Some(b"z"))]);
    put(&edit("a", "1", Some(b"x"))).await;
    assert!(
        store
            .activate_version(&workspace(), &set("a"), 1, Timestamp(9))
            .await
            .expect("told")
    );
    put(&edit("singles", "3", None)).await;
    assert_eq!(edits().await, [], "what is in no version needs no note that it is gone");
}
