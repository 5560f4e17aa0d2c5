//! What only the embedded store promises: one process at a time, whose leases die with it.

use beckon::{domain::time::Timestamp, store};
use tokio::runtime::Runtime;

use super::{AllTogether as _, commit, delivery, subject, workspace};

#[test]
fn a_store_belongs_to_one_process_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().display());
    let runtime = Runtime::new().expect("threads");
    runtime.block_on(async {
        let store = store::open(&url).await.expect("a store");
        let refused = store::open(&url).await.err().expect("refused").to_string();
        assert!(refused.contains("another Beckon is using"), "{refused}");
        let mut all = commit("mia", 0, b"x");
        all.deliveries.push(delivery(1, 0));
        store.hot.commit_all(vec![all]).await.expect("a commit");
        store
            .hot
            .lease(Timestamp(10), Timestamp(1_000_000), 5)
            .await
            .expect("rows");
        let mut woken = commit("zoe", 0, b"x");
        woken.wake_at = Some(Timestamp(5));
        store.hot.commit_all(vec![woken]).await.expect("a commit");
        let leased = store.hot.lease_wakes(Timestamp(10), Timestamp(1_000_000), 5).await;
        assert_eq!(leased.expect("records").len(), 1);
        store.hot.close().await;
        assert!(
            store.hot.commit_all(vec![commit("ann", 0, b"y")]).await.is_err(),
            "a closed store promises nothing"
        );
        drop(store);
        let store = store::open(&url).await.expect("it opens again");
        let stored = store
            .hot
            .load_all(&workspace(), &[subject("mia"), subject("ann")])
            .await
            .expect("records");
        assert_eq!((stored[0].is_some(), stored[1].is_some()), (true, false));
        // A lease dies with its process.
        let leased = store.hot.lease_wakes(Timestamp(11), Timestamp(20), 5).await;
        assert_eq!(leased.expect("records").len(), 1);
        assert_eq!(
            store
                .hot
                .lease(Timestamp(11), Timestamp(20), 5)
                .await
                .expect("rows")
                .len(),
            1
        );
    });
}
