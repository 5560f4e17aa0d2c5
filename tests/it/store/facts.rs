//! What every store promises about facts and lists.

use std::collections::{BTreeMap, BTreeSet};

use beckon::{
    domain::{
        delivery::DeliveryState,
        event::{Event, EventGeofence, EventType, Fact},
        ids::{CampaignId, CauseId, DeviceId, EventId, ExternalId, GeofenceId, Tag, UserId, WorkspaceId},
        presence::Evidence,
        time::Timestamp,
    },
    engine::ports::{CommitOutcome, DeliveryFilter, FactCursor, Finish, Store},
};
use uuid::Uuid;

use super::{AllTogether as _, commit, delivery, subject, workspace};

const WRITERS: usize = 4;
const CUSTOMERS: usize = 8;
const COMMITS: i64 = 25;

fn told(customer: usize, number: i64) -> Fact {
    Fact::TokenDropped {
        device: DeviceId::new(format!("of-{customer}")).expect("an id"),
        at: Timestamp(number),
        reason: String::new(),
    }
}

pub(super) async fn facts_are_read_in_order_and_none_is_passed_over(store: Store) {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            for number in 0..COMMITS {
                for customer in (writer..CUSTOMERS).step_by(WRITERS) {
                    let mut one = commit(&format!("customer-{customer}"), number as u64, b"x");
                    one.facts = vec![
                        (None, told(customer, number * 2)),
                        (None, told(customer, number * 2 + 1)),
                    ];
                    let outcome = store.hot.commit_all(vec![one]).await.expect("an outcome");
                    assert_eq!(outcome, [CommitOutcome::Done(number as u64 + 1)]);
                }
            }
        });
    }
    let (mut seen, mut last): (BTreeMap<String, Vec<i64>>, Option<FactCursor>) = (BTreeMap::new(), None);
    let mut cursors = BTreeSet::new();
    let mut done = false;
    loop {
        let page = store
            .hot
            .facts_after(&workspace(), last.as_ref(), 7)
            .await
            .expect("facts")
            .facts;
        assert!(page.len() <= 7);
        if page.is_empty() {
            if done {
                break;
            }
            done = writers.try_join_next().is_some() && writers.is_empty() || writers.is_empty();
            tokio::task::yield_now().await;
            continue;
        }
        for (cursor, fact) in page {
            assert!(
                cursors.insert(cursor.as_str().to_owned()),
                "each has a place of its own"
            );
            assert!(!cursor.as_str().contains(char::is_whitespace) && cursor.as_str().len() < 64);
            last = Some(cursor);
            let Fact::TokenDropped { device, at, .. } = fact else {
                panic!("another fact: {fact:?}")
            };
            seen.entry(device.as_str().to_owned()).or_default().push(at.0);
        }
    }
    writers.join_all().await;
    let expected: Vec<i64> = (0..COMMITS * 2).collect();
    assert_eq!(seen.len(), CUSTOMERS);
    for (customer, numbers) in seen {
        assert_eq!(numbers, expected, "{customer}");
    }
    let other = WorkspaceId::new("other").expect("an id");
    assert_eq!(store.hot.facts_after(&other, None, 10).await.expect("facts").facts, []);

    let end = store.hot.facts_end(&workspace()).await.expect("a place");
    assert_eq!(
        store
            .hot
            .facts_after(&workspace(), Some(&end), 10)
            .await
            .expect("facts")
            .facts,
        []
    );
    let mut one = commit("customer-0", COMMITS as u64, b"x");
    one.facts = vec![(None, told(0, 1_000))];
    store.hot.commit_all(vec![one]).await.expect("an outcome");
    let after = store
        .hot
        .facts_after(&workspace(), Some(&end), 10)
        .await
        .expect("facts")
        .facts;
    assert_eq!(
        after.into_iter().map(|(_, fact)| fact).collect::<Vec<_>>(),
        [told(0, 1_000)]
    );
    let wrong = FactCursor::new("not a cursor");
    assert!(store.hot.facts_after(&workspace(), Some(&wrong), 10).await.is_err());

    // A reader may go on from any place that it was given, and from no other.
    let last = last.expect("a place");
    for place in [&last, &end] {
        assert!(
            store.hot.leads_on(&workspace(), place).await.expect("an answer"),
            "{place:?}"
        );
    }
    for text in [
        "not a cursor",
        "",
        "9999999999999999",
        "99999999999999.0.7",
        "1.0.0",
        "1.99999.0",
    ] {
        let place = FactCursor::new(text);
        let known = store.hot.leads_on(&workspace(), &place).await.expect("an answer");
        // SQLite counts from 1, and keeps all.
        assert!(!known, "{text}");
    }
    let later = |a, b| store.hot.is_later(a, b).expect("an order");
    assert!(later(&end, &last) || end == last);
    assert!(!later(&last, &end) && !later(&last, &last));
}

fn entered(number: u128) -> Event {
    Event {
        id: EventId(Uuid::from_u128(number)),
        kind: EventType::Entered,
        at: Timestamp(1),
        user_id: None,
        device_id: DeviceId::new("phone").expect("an id"),
        geofence: EventGeofence::describe(
            &GeofenceId {
                tag: Tag::new("t").expect("a tag"),
                external_id: ExternalId::new("1").expect("an id"),
            },
            None,
        ),
        evidence: Evidence::Gps,
        confidence: 3,
        duration: None,
        reason: None,
        content: None,
    }
}

pub(super) async fn a_customers_facts_are_listed_newest_first_page_by_page(store: Store) {
    for number in 0..10 {
        for (name, customer) in [("mia", 0), ("leo", 1)] {
            let mut one = commit(name, number as u64, b"x");
            one.facts = vec![
                (None, told(customer, number * 2)),
                (None, told(customer, number * 2 + 1)),
            ];
            store.hot.commit_all(vec![one]).await.expect("an outcome");
        }
    }
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let page = store
            .hot
            .facts_of(&workspace(), &subject("mia"), before.as_ref(), 7)
            .await;
        let page = page.expect("facts");
        assert!(page.facts.len() <= 7);
        let Some(last) = page.upto else { break };
        before = Some(last);
        listed.extend(page.facts.into_iter().map(|(_, fact)| fact));
    }
    let expected: Vec<Fact> = (0..20).rev().map(|number| told(0, number)).collect();
    assert_eq!(listed, expected);
    let other = WorkspaceId::new("other").expect("an id");
    assert_eq!(
        store
            .hot
            .facts_of(&other, &subject("mia"), None, 10)
            .await
            .expect("facts")
            .facts,
        []
    );
    let wrong = FactCursor::new("not a cursor");
    assert!(
        store
            .hot
            .facts_of(&workspace(), &subject("mia"), Some(&wrong), 10)
            .await
            .is_err()
    );
    let mut erasure = commit("mia", 10, b"");
    (erasure.record, erasure.erase) = (None, true);
    store.hot.commit_all(vec![erasure]).await.expect("an outcome");
    assert_eq!(
        store
            .hot
            .facts_of(&workspace(), &subject("mia"), None, 10)
            .await
            .expect("facts")
            .facts,
        []
    );
    assert_eq!(
        store
            .hot
            .facts_of(&workspace(), &subject("leo"), None, 100)
            .await
            .expect("facts")
            .facts
            .len(),
        20
    );
}

pub(super) async fn what_an_input_brought_about_is_found_again_until_it_is_erased(store: Store) {
    let cause = |name: &str| CauseId::new(name).expect("an id");
    let mut one = commit("mia", 0, b"x");
    one.facts = vec![
        (Some(cause("a")), Fact::Event(entered(1))),
        (Some(cause("b")), Fact::Event(entered(2))),
        (Some(cause("a")), told(0, 1)),
        (Some(cause("a")), Fact::Event(entered(3))),
    ];
    one.deliveries = vec![delivery(1, 5), delivery(2, 6)];
    store.hot.commit_all(vec![one]).await.expect("an outcome");
    let events = async |cause: &CauseId| {
        let events = store.hot.events_of(&workspace(), &subject("mia"), cause).await;
        events
            .expect("events")
            .into_iter()
            .map(|event| event.id.0.as_u128())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (events(&cause("a")).await, events(&cause("b")).await),
        (vec![1, 3], vec![2])
    );
    assert_eq!(events(&cause("c")).await, Vec::<u128>::new());

    let mut erasure = commit("mia", 1, b"");
    (erasure.record, erasure.erase) = (None, true);
    assert_eq!(
        store.hot.commit_all(vec![erasure]).await.expect("an outcome"),
        [CommitOutcome::Done(2)]
    );
    assert_eq!(events(&cause("a")).await, Vec::<u128>::new());
    assert_eq!(
        store
            .hot
            .facts_after(&workspace(), None, 10)
            .await
            .expect("facts")
            .facts,
        []
    );
    assert_eq!(store.hot.outbox_depth().await.expect("a number"), 0);
    let all = store.hot.deliveries(&workspace(), DeliveryFilter::default(), 10).await;
    assert_eq!(all.expect("rows"), []);
    assert_eq!(
        store.hot.lease(Timestamp(100), Timestamp(200), 10).await.expect("rows"),
        []
    );
    // The name is free again.
    let made_anew = store.hot.commit_all(vec![commit("mia", 0, b"y")]).await;
    assert!(matches!(made_anew.expect("an outcome")[0], CommitOutcome::Done(_)));
}

pub(super) async fn deliveries_are_found_by_user_campaign_and_state(store: Store) {
    let campaign = |name: &str| CampaignId::new(name).expect("an id");
    let mut commits = Vec::new();
    for customer in 0..20u128 {
        let mut one = commit(&format!("customer-{customer}"), 0, b"x");
        one.deliveries = (0..10u128)
            .map(|number| {
                let mut row = delivery(customer * 10 + number, (number * 20 + customer) as i64 / 4);
                row.subject = subject(&format!("customer-{customer}"));
                row.campaign = campaign(if number % 3 == 0 { "third" } else { "other" });
                row
            })
            .collect();
        commits.push(one);
    }
    let mut expected: Vec<_> = commits.iter().flat_map(|commit| commit.deliveries.clone()).collect();
    expected.sort_by_key(|row| std::cmp::Reverse((row.decided_at, row.id)));
    store.hot.commit_all(commits).await.expect("outcomes");
    let leased = store.hot.lease(Timestamp(0), Timestamp(9_000), 3).await.expect("rows");
    assert_eq!(leased.len(), 3);
    let ends = leased.iter().map(|row| Finish {
        delivery: row.delivery.id,
        workspace: workspace(),
        subject: row.delivery.subject.clone(),
        state: DeliveryState::Accepted,
        attempts: 0,
        begun: 0,
        quiet: true,
        due_at: Timestamp(0),
        at: Timestamp(15),
        reason: None,
    });
    store.hot.finish(ends.collect()).await.expect("ends");

    let listed = async |mut filter: DeliveryFilter, page: usize| {
        let mut all = Vec::new();
        loop {
            let rows = store
                .hot
                .deliveries(&workspace(), filter.clone(), page)
                .await
                .expect("rows");
            let Some(last) = rows.last() else { break };
            filter.before = Some((last.delivery.decided_at, last.delivery.id));
            let is_last = rows.len() < page;
            all.extend(rows.into_iter().map(|row| row.delivery.id));
            if is_last {
                break;
            }
        }
        all
    };
    let ids = |wanted: &dyn Fn(&beckon::domain::delivery::Delivery) -> bool| {
        expected
            .iter()
            .filter(|row| wanted(row))
            .map(|row| row.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(DeliveryFilter::default(), 7).await, ids(&|_| true));
    let of_third = DeliveryFilter {
        campaign: Some(campaign("third")),
        ..DeliveryFilter::default()
    };
    assert_eq!(listed(of_third, 9).await, ids(&|row| row.campaign == campaign("third")));
    let of_one = DeliveryFilter {
        user: Some(UserId::new("customer-7").expect("an id")),
        ..DeliveryFilter::default()
    };
    assert_eq!(
        listed(of_one.clone(), 4).await,
        ids(&|row| row.subject == subject("customer-7"))
    );
    let both = DeliveryFilter {
        campaign: Some(campaign("third")),
        ..of_one
    };
    let wanted = ids(&|row| row.subject == subject("customer-7") && row.campaign == campaign("third"));
    assert_eq!(listed(both, 3).await, wanted);
    let ended = DeliveryFilter {
        state: Some(DeliveryState::Accepted),
        ..DeliveryFilter::default()
    };
    let done: BTreeSet<_> = leased.iter().map(|row| row.delivery.id).collect();
    assert_eq!(listed(ended, 2).await, ids(&|row| done.contains(&row.id)));
}
