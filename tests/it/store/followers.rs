//! What every store promises about topics and outside events.

use beckon::{
    domain::{
        event::{EventTarget, OutsideEvent},
        ids::{CauseId, SubjectId, Topic},
        time::Timestamp,
    },
    engine::ports::{Commit, FanOut, Store},
};

use super::{AllTogether as _, commit, subject, workspace};

fn topic() -> Topic {
    Topic::new("flight:CA1501").expect("a topic")
}

pub(super) async fn followers_of_a_topic_come_page_by_page(store: Store) {
    let names: Vec<String> = (0..500).map(|number| format!("customer-{number:03}")).collect();
    let follow = |name: &String| Commit {
        follows: vec![topic()],
        ..commit(name, 0, b"x")
    };
    let outcomes = store.hot.commit_all(names.iter().map(follow).collect()).await;
    assert_eq!(outcomes.expect("outcomes").len(), 500);
    let unfollow = |name: &String| Commit {
        unfollows: vec![topic()],
        ..commit(name, 1, b"x")
    };
    let leaving = names.iter().step_by(5).map(unfollow).collect();
    store.hot.commit_all(leaving).await.expect("outcomes");
    assert_eq!(
        store
            .hot
            .count_followers(&workspace(), &topic())
            .await
            .expect("a number"),
        400
    );
    let (mut all, mut after): (Vec<SubjectId>, Option<SubjectId>) = (Vec::new(), None);
    loop {
        let page = store
            .hot
            .followers(&workspace(), &topic(), after.as_ref(), 64)
            .await
            .expect("a page");
        assert!(page.len() <= 64);
        after = page.last().cloned();
        let is_last = page.len() < 64;
        all.extend(page);
        if is_last {
            break;
        }
    }
    let expected: Vec<SubjectId> = (0..500)
        .filter(|number| number % 5 != 0)
        .map(|number| subject(&format!("customer-{number:03}")))
        .collect();
    assert_eq!(all, expected);
}

pub(super) async fn an_outside_event_is_kept_until_everybody_was_told(store: Store) {
    let event = |id: &str| OutsideEvent {
        id: CauseId::new(id).expect("an id"),
        event_type: "flight.delayed".to_owned(),
        at: Timestamp(1),
        target: EventTarget::Topic(topic()),
        data: serde_json::Map::default(),
    };
    let put = async |id: &str, at| {
        store
            .hot
            .put_event(&workspace(), &event(id), Timestamp(at))
            .await
            .expect("told")
    };
    assert!(put("b", 1).await && put("a", 2).await);
    assert!(!put("b", 3).await, "it is known");
    let pending = async |limit| store.hot.pending_events(limit).await.expect("events");
    let waiting = |id: &str, after: Option<&str>| FanOut {
        workspace: workspace(),
        event: event(id),
        after: after.map(subject),
    };
    assert_eq!(pending(10).await, [waiting("b", None), waiting("a", None)]);
    assert_eq!(pending(1).await, [waiting("b", None)]);
    let b = CauseId::new("b").expect("an id");
    let mia = subject("mia");
    store
        .hot
        .advance_event(&workspace(), &b, Some(&mia))
        .await
        .expect("noted");
    assert_eq!(pending(1).await, [waiting("b", Some("mia"))]);
    store.hot.advance_event(&workspace(), &b, None).await.expect("noted");
    assert_eq!(pending(10).await, [waiting("a", None)]);
    assert!(!put("b", 4).await, "it is known, and everybody was told");
}
