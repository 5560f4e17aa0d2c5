//! What every store promises about campaigns and what they were.

use beckon::{
    domain::{
        ids::{CampaignId, WorkspaceId},
        time::Timestamp,
    },
    engine::ports::{CAMPAIGN_VERSIONS_KEPT, Store},
};
use serde_json::{Value, json};

use super::workspace;

pub(super) async fn the_newest_versions_of_a_campaign_are_kept(store: Store) {
    let store = store.control;
    let (mine, other) = (workspace(), WorkspaceId::new("other").expect("an id"));
    let id = CampaignId::new("hello").expect("an id");
    let document = |number: u32| {
        json!({"id": "hello", "priority": number, "trigger": {"on": "entered", "geofences": {"tag": "shop"}},
               "offers": [{"message": {"en": {"title": "é\nt", "body": "b"}}}]})
    };
    let last = CAMPAIGN_VERSIONS_KEPT + 3;
    for number in 1..=last {
        let (said, at) = (document(number), Timestamp(i64::from(number) * 10));
        let version = store.put_campaign(&mine, &id, &said, at).await;
        assert_eq!(version.expect("a version"), number);
    }
    let kept = store.campaign_versions(&mine, &id).await.expect("versions");
    let kept: Vec<(u32, i64, Value)> = kept
        .into_iter()
        .map(|version| (version.version, version.created_at.0, version.document))
        .collect();
    let expected: Vec<(u32, i64, Value)> = (4..=last)
        .rev()
        .map(|number| (number, i64::from(number) * 10, document(number)))
        .collect();
    assert_eq!(kept, expected);
    assert_eq!(store.campaign_versions(&other, &id).await.expect("versions"), []);
    assert!(store.delete_campaign(&mine, &id).await.expect("an answer"));
    assert_eq!(store.campaign_versions(&mine, &id).await.expect("versions"), []);
}
