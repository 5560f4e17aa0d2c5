//! What every store promises about what a workspace decides for itself.

use beckon::{
    domain::{ids::WorkspaceId, time::Timestamp},
    engine::ports::Store,
};
use futures_util::future::join_all;
use serde_json::json;

use super::workspace;

pub(super) async fn of_racing_changes_of_a_workspaces_settings_one_wins(store: Store) {
    let store = store.control;
    let mine = workspace();
    let before = store.load_settings(&mine).await.expect("settings");
    assert_eq!((before.version, before.document), (0, json!({})));
    for version in 0..3 {
        let documents = (0..4).map(|racer| json!({"presence": {"exitAfterFixes": 2 + racer}}));
        let documents: Vec<_> = documents.collect();
        let racing = documents
            .iter()
            .map(|one| store.put_settings(&mine, version, one, Timestamp(7)));
        let won: Vec<bool> = join_all(racing)
            .await
            .into_iter()
            .map(|done| done.expect("an answer"))
            .collect();
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
        let after = store.load_settings(&mine).await.expect("settings");
        let winner = won.iter().position(|won| *won).expect("one");
        assert_eq!((after.version, &after.document), (version + 1, &documents[winner]));
    }
    let other = WorkspaceId::new("other").expect("an id");
    assert_eq!(store.load_settings(&other).await.expect("settings").version, 0);
    assert!(store.workspaces().await.expect("workspaces").contains(&mine));
}
