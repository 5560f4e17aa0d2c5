//! Offers of a limited number: one for each delivery, back when it ends unsent, redeemed once.

use std::sync::Arc;

use beckon::{
    domain::{
        ids::{CampaignId, DeliveryId},
        offer_code::OfferCode,
        time::{DurationMs, Timestamp},
    },
    engine::ports::{Claim, Claimed, CodeSource, GrantState, Redeemed, Redemption, Settlement, Store},
};
use futures_util::future::join_all;
use uuid::Uuid;

use super::{subject, workspace};

/// Far ahead: Redis forgets by its own clock.
const NOW: Timestamp = Timestamp(4_000_000_000_000);

fn code(text: &str) -> OfferCode {
    OfferCode::uploaded(text).expect("a code")
}

fn campaign() -> CampaignId {
    CampaignId::new("c").expect("an id")
}

fn claim(number: u128, codes: CodeSource) -> Claim {
    Claim {
        workspace: workspace(),
        delivery: DeliveryId(Uuid::from_u128(number)),
        subject: subject("mia"),
        campaign: campaign(),
        budget_max: None,
        codes,
        terms: r#"{"kind":"percent"}"#.to_owned(),
        at: NOW,
        expires_at: NOW.plus(DurationMs::from_secs(60)),
    }
}

fn ended(number: u128, is_sent: bool) -> Settlement {
    Settlement {
        workspace: workspace(),
        delivery: DeliveryId(Uuid::from_u128(number)),
        is_sent,
    }
}

fn redemption(id: &str, at: Timestamp) -> Redemption {
    Redemption {
        id: id.to_owned(),
        at,
        details: r#"{"amount":5}"#.to_owned(),
    }
}

async fn claimed(store: &Store, claims: Vec<Claim>) -> Vec<Claimed> {
    store.offers.claim(claims).await.expect("an answer")
}

fn granted(text: &str) -> Claimed {
    Claimed::Granted(Some(code(text)))
}

pub(super) async fn each_delivery_gets_one_code_of_a_pool(store: Store) {
    let pool = || CodeSource::Pool("summer".to_owned());
    let codes = ["a", "b", "c"].map(code);
    assert_eq!(
        store
            .offers
            .put_codes(&workspace(), "summer", &codes)
            .await
            .expect("put"),
        3
    );
    assert_eq!(
        store
            .offers
            .put_codes(&workspace(), "summer", &[code("c"), code("d")])
            .await
            .expect("put"),
        1,
        "what is there already is passed over"
    );
    let both = claimed(&store, vec![claim(1, pool()), claim(2, pool())]).await;
    assert_eq!(both, [granted("a"), granted("b")]);
    assert_eq!(
        claimed(&store, vec![claim(1, pool())]).await,
        [granted("a")],
        "however often it asks"
    );
    store
        .offers
        .settle(vec![ended(2, false), ended(1, true)])
        .await
        .expect("settled");
    let more = vec![claim(3, pool()), claim(4, pool()), claim(5, pool()), claim(6, pool())];
    let mut more = claimed(&store, more).await;
    assert_eq!(more.pop(), Some(Claimed::PoolEmpty));
    let mut again: Vec<String> = more.iter().map(|claimed| format!("{claimed:?}")).collect();
    again.sort();
    let expected = ["b", "c", "d"].map(|text| format!("{:?}", granted(text)));
    assert_eq!(again, expected, "the code of what was not sent is given again");
    let pools = store.offers.pools(&workspace()).await.expect("pools");
    assert_eq!((pools.len(), pools[0].free, pools[0].taken), (1, 0, 4));
    store.offers.settle(vec![ended(1, false)]).await.expect("settled");
    let live = store
        .offers
        .grants_of(&workspace(), &subject("mia"), NOW, 10)
        .await
        .expect("grants");
    assert_eq!(live.len(), 1, "what was sent stays with its customer");
    assert_eq!(live[0].code, Some(code("a")));
}

pub(super) async fn a_budget_is_never_overdrawn(store: Store) {
    let store = Arc::new(store);
    let tries = (0..40_u128).map(|number| {
        let store = Arc::clone(&store);
        async move {
            let claim = Claim {
                budget_max: Some(7),
                ..claim(number, CodeSource::None)
            };
            claimed(&store, vec![claim]).await.remove(0)
        }
    });
    let outcomes = join_all(tries).await;
    let count = |wanted: &Claimed| outcomes.iter().filter(|claimed| *claimed == wanted).count();
    assert_eq!((count(&Claimed::Granted(None)), count(&Claimed::BudgetSpent)), (7, 33));
    let given = outcomes
        .iter()
        .position(|claimed| *claimed == Claimed::Granted(None))
        .expect("one");
    store
        .offers
        .settle(vec![ended(given as u128, false), ended(given as u128, false)])
        .await
        .expect("settled");
    assert_eq!(
        store
            .offers
            .budget_used(&workspace(), &campaign())
            .await
            .expect("a count"),
        6
    );
    let next = Claim {
        budget_max: Some(7),
        ..claim(100, CodeSource::None)
    };
    assert_eq!(
        claimed(&store, vec![next]).await,
        [Claimed::Granted(None)],
        "what comes back is given again"
    );
}

pub(super) async fn racing_tills_redeem_a_code_once(store: Store) {
    let store = Arc::new(store);
    let generated = OfferCode::generated(12_345);
    let grant = claim(1, CodeSource::Generated(generated.clone()));
    assert_eq!(
        claimed(&store, vec![grant]).await,
        [Claimed::Granted(Some(generated.clone()))]
    );
    let other = claim(2, CodeSource::Generated(generated.clone()));
    assert_eq!(claimed(&store, vec![other]).await, [Claimed::CodeTaken]);
    let tills = (0..20).map(|till| {
        let (store, code) = (Arc::clone(&store), generated.clone());
        async move {
            let redemption = redemption(&format!("till {till}"), NOW);
            store
                .offers
                .redeem(&workspace(), &code, &redemption)
                .await
                .expect("an answer")
        }
    });
    let outcomes = join_all(tills).await;
    let done: Vec<usize> = (0..20)
        .filter(|till| matches!(outcomes[*till], Redeemed::Done(_)))
        .collect();
    assert_eq!(done.len(), 1, "{outcomes:?}");
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Redeemed::Done(_) | Redeemed::Used(_)))
    );
    let same = redemption(&format!("till {}", done[0]), NOW.plus(DurationMs::from_secs(9)));
    let again = store
        .offers
        .redeem(&workspace(), &generated, &same)
        .await
        .expect("an answer");
    let Redeemed::Done(grant) = again else {
        panic!("asked again under the same name: {again:?}")
    };
    assert_eq!(grant.state, GrantState::Redeemed);
    assert_eq!(grant.redemption.map(|redemption| redemption.at), Some(NOW));
    assert_eq!(grant.subject, subject("mia"));
}

pub(super) async fn a_code_ends_and_an_unknown_one_is_said_to_be(store: Store) {
    let late = NOW.plus(DurationMs::from_secs(60));
    claimed(&store, vec![claim(1, CodeSource::Generated(code("x")))]).await;
    let outcome = store
        .offers
        .redeem(&workspace(), &code("x"), &redemption("r", late))
        .await
        .expect("an answer");
    assert!(matches!(outcome, Redeemed::Expired(_)), "{outcome:?}");
    let outcome = store
        .offers
        .redeem(&workspace(), &code("y"), &redemption("r", NOW))
        .await
        .expect("an answer");
    assert_eq!(outcome, Redeemed::Unknown);
    store
        .offers
        .put_codes(&workspace(), "p", &[code("free")])
        .await
        .expect("put");
    let outcome = store
        .offers
        .redeem(&workspace(), &code("free"), &redemption("r", NOW))
        .await
        .expect("an answer");
    assert_eq!(outcome, Redeemed::Unknown, "nobody was given it");
    assert_eq!(
        store.offers.drop_free_codes(&workspace(), "p").await.expect("dropped"),
        1
    );
    assert!(store.offers.pools(&workspace()).await.expect("pools").is_empty());
}

pub(super) async fn what_nobody_settled_is_found(store: Store) {
    let early = Claim {
        at: NOW.minus(DurationMs::from_secs(100)),
        ..claim(1, CodeSource::None)
    };
    claimed(&store, vec![early, claim(2, CodeSource::None)]).await;
    let found = store.offers.reserved(&workspace(), NOW, 10).await.expect("found");
    assert_eq!(found, [DeliveryId(Uuid::from_u128(1))]);
    store.offers.settle(vec![ended(1, true)]).await.expect("settled");
    assert!(
        store
            .offers
            .reserved(&workspace(), NOW, 10)
            .await
            .expect("found")
            .is_empty()
    );
    store
        .offers
        .forget_grants(&workspace(), &subject("mia"))
        .await
        .expect("forgotten");
    let live = store
        .offers
        .grants_of(&workspace(), &subject("mia"), NOW, 10)
        .await
        .expect("grants");
    assert!(live.is_empty());
}
