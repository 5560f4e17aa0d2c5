//! What came of pushes: what phones tell, and endpoints that are told.

use beckon::{
    domain::{
        delivery::Delivery,
        event::{Fact, ReactionKind},
        time::Timestamp,
    },
    engine::ports::{Commit, REACTIONS_MAX, ReactionNoted, Store, StoredWebhook},
};

use super::{AllTogether as _, commit, delivery, subject, workspace};

fn opened(delivery: &Delivery) -> Fact {
    Fact::Reaction {
        delivery: delivery.id,
        user: delivery.subject.user().cloned(),
        device: delivery.device.clone(),
        campaign: delivery.campaign.clone(),
        at: Timestamp(5),
        kind: ReactionKind::Opened,
        action: None,
    }
}

pub(super) async fn what_became_of_a_push_is_kept_once(store: Store) {
    let row = delivery(1, 10);
    let first = Commit {
        deliveries: vec![row.clone()],
        ..commit("mia", 0, b"x")
    };
    store.hot.commit_all(vec![first]).await.expect("committed");
    let note = async |name: &str| {
        let noted = store
            .hot
            .note_reaction(&workspace(), &subject("mia"), row.id, name, &opened(&row))
            .await;
        noted.expect("an answer")
    };
    assert_eq!(note("opened").await, ReactionNoted::Now);
    assert_eq!(note("opened").await, ReactionNoted::Before);
    for number in 1..REACTIONS_MAX {
        assert_eq!(note(&format!("action {number}")).await, ReactionNoted::Now);
    }
    assert_eq!(note("one too many").await, ReactionNoted::TooMany);
    let (mut facts, mut place) = (Vec::new(), None);
    loop {
        let page = store.hot.facts_after(&workspace(), place.as_ref(), 100).await;
        let page = page.expect("facts");
        let Some(last) = page.upto else { break };
        place = Some(last);
        facts.extend(page.facts);
    }
    assert_eq!(facts.len(), REACTIONS_MAX);
    assert_eq!(facts[0].1, opened(&row));
}

fn names(leased: &[StoredWebhook]) -> Vec<(&str, u64)> {
    leased
        .iter()
        .map(|stored| (stored.id.as_str(), stored.version))
        .collect()
}

pub(super) async fn an_endpoint_is_leased_by_one_and_changed_by_who_has_it(store: Store) {
    let endpoint = |id: &str, due| StoredWebhook {
        id: id.to_owned(),
        workspace: workspace(),
        version: 1,
        due_at: Some(Timestamp(due)),
        body: format!("{{\"of\": \"{id}\"}}"),
    };
    let webhooks = &store.webhooks;
    for stored in [endpoint("a", 10), endpoint("b", 20)] {
        webhooks.put_webhook(&stored).await.expect("put");
    }
    let lease = async |now, until| {
        webhooks
            .lease_webhooks(Timestamp(now), Timestamp(until), 5)
            .await
            .expect("endpoints")
    };
    let mut mine = lease(10, 100).await;
    assert_eq!(names(&mine), [("a", 2)]);
    assert_eq!(names(&lease(20, 100).await), [("b", 2)]);
    assert_eq!(names(&lease(99, 200).await), []);
    // The lease has run out, and another node has it.
    assert_eq!(names(&lease(100, 200).await), [("a", 3), ("b", 3)]);
    assert!(!webhooks.change_webhook(&mine[0]).await.expect("an answer"));
    mine[0].version = 3;
    mine[0].due_at = None;
    "{}".clone_into(&mut mine[0].body);
    assert!(webhooks.change_webhook(&mine[0]).await.expect("an answer"));
    assert_eq!(
        names(&lease(1_000, 2_000).await),
        [("b", 4)],
        "one without a time is left alone"
    );
    let all = webhooks.webhooks(&workspace()).await.expect("endpoints");
    assert_eq!((all[0].version, all[0].body.as_str(), all[0].due_at), (4, "{}", None));
    assert!(webhooks.delete_webhook(&workspace(), "a").await.expect("an answer"));
    assert!(!webhooks.delete_webhook(&workspace(), "a").await.expect("an answer"));
    assert_eq!(webhooks.webhooks(&workspace()).await.expect("endpoints").len(), 1);
}
