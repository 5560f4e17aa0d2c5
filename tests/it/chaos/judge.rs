//! The gateway's log held against what the server's store says of its deliveries.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::{Duration, Instant},
};

use beckon::{
    app::DEFAULT_WORKSPACE,
    domain::{
        delivery::DeliveryState,
        event::Fact,
        ids::{DeliveryId, WorkspaceId},
    },
    engine::ports::{DeliveryFilter, HotStore, StoreError},
    store,
};
use serde::Deserialize;
use serde_json::Value;

use super::{GONE, is_gone};
use crate::harness::Api;

/// Entries of the log read at once.
const ENTRIES: u64 = 5000;
/// Rows and facts read at once.
const ROWS: usize = 2000;
/// A busy machine may take so long to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again while the store does not answer in time.
async fn again<T, F: Future<Output = Result<T, StoreError>>>(mut ask: impl FnMut() -> F) -> T {
    let patience = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < patience, "waited {PATIENCE:?} for the store: {error}"),
        }
    }
}

/// Why nothing is sent to a phone whose token has died.
const NO_TOKEN: &str = "no_token";

/// An entry of the gateway's log, as far as it counts here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    seq: u64,
    provider: String,
    status: u16,
    apns_id: Option<String>,
    token: Option<String>,
    collapse_id: Option<String>,
    data: HashMap<String, Value>,
}

/// What of one delivery arrived.
#[derive(Default)]
struct Arrivals {
    /// Requests that were taken, whatever the server has heard of that.
    taken: u32,
    /// Different places on screens that they took: phone, and collapse id or tag. All but the last on one place are gone.
    places: Vec<u64>,
    /// Whether the gateway has called the token dead.
    called_dead: bool,
}

/// What arrived at the gateway, read while it comes: its log forgets.
#[derive(Default)]
pub(super) struct Arrived {
    pub(super) seen: u64,
    of: HashMap<u128, Arrivals>,
    statuses: BTreeMap<(String, u16), u64>,
}

impl Arrived {
    pub(super) fn read(&mut self, log: &Api) {
        loop {
            let mut page = log.get(&format!("/log?after={}&limit={ENTRIES}", self.seen));
            let items: Vec<Entry> = serde_json::from_value(page["items"].take()).expect("entries");
            let (Some(first), Some(last)) = (items.first(), items.last()) else {
                return;
            };
            assert_eq!(first.seq, self.seen + 1, "the log forgot what was not read");
            self.seen = last.seq;
            for entry in items {
                self.note(entry);
            }
        }
    }

    fn note(&mut self, entry: Entry) {
        let id = entry.data.get("deliveryId").and_then(Value::as_str);
        let id = id.expect("each push names its delivery");
        let (status, key) = (entry.status, uuid::Uuid::parse_str(id).expect("a UUID").as_u128());
        let arrivals = self.of.entry(key).or_default();
        arrivals.called_dead |= matches!(status, 404 | 410);
        if status == 200 {
            assert_eq!(entry.collapse_id.as_deref(), Some(id), "the place on the screen");
            assert!(
                entry.provider != "apns" || entry.apns_id.as_deref() == Some(id),
                "{id} had another apns-id"
            );
            let mut hash = DefaultHasher::new();
            (&entry.token, &entry.collapse_id).hash(&mut hash);
            let place = hash.finish();
            if !arrivals.places.contains(&place) {
                arrivals.places.push(place);
            }
            arrivals.taken += 1;
        }
        *self.statuses.entry((entry.provider, status)).or_default() += 1;
    }
}

/// What the facts say of one delivery's requests.
#[derive(Default)]
struct Told {
    /// One bit for each request whose end is a fact, the first one's is the lowest.
    ended: u64,
    /// Why it was in doubt, each time, as an index into [`Facts::words`].
    doubts: Vec<usize>,
}

/// What the facts say.
#[derive(Default)]
struct Facts {
    of: HashMap<u128, Told>,
    /// Reasons of doubt.
    words: Vec<String>,
}

impl Facts {
    async fn read(hot: &dyn HotStore, workspace: &WorkspaceId) -> Self {
        let (mut all, mut after) = (Self::default(), None);
        loop {
            let page = again(|| hot.facts_after(workspace, after.as_ref(), ROWS)).await;
            assert_eq!(page.unreadable, [], "facts that can't be read");
            let Some(last) = page.upto else { return all };
            after = Some(last);
            for (_, fact) in page.facts {
                if let Fact::Delivery {
                    delivery,
                    state,
                    attempt,
                    reason,
                    ..
                } = fact
                {
                    all.note(delivery, state, attempt, reason.unwrap_or_default());
                }
            }
        }
    }

    fn note(&mut self, delivery: DeliveryId, state: DeliveryState, attempt: u32, reason: String) {
        let told = self.of.entry(delivery.0.as_u128()).or_default();
        // Found not to be worth a further request: that is no end of the one before.
        let is_suppressed = state == DeliveryState::Unknown && reason == NO_TOKEN;
        if !is_suppressed {
            told.ended |= 1_u64.checked_shl(attempt.saturating_sub(1)).unwrap_or_default();
        }
        if state == DeliveryState::Sending {
            let known = self.words.iter().position(|word| *word == reason);
            told.doubts.push(known.unwrap_or_else(|| {
                self.words.push(reason);
                self.words.len() - 1
            }));
        }
    }
}

/// Of a request that was begun and whose end is no fact: its server died or stood still.
const NO_END: &str =
    "its end was never written: the server was killed, or stood still until another one had taken over";

/// Holds the gateway's log against the store, which no server uses any more.
pub(super) async fn judge(url: &str, arrived: &Arrived, customers: u64, events: u64) {
    let store = store::open(url).await.expect("the store");
    let workspace = WorkspaceId::new(DEFAULT_WORKSPACE).expect("an id");
    let facts = Facts::read(&*store.hot, &workspace).await;
    let mut sums = Sums::default();
    let mut filter = DeliveryFilter::default();
    loop {
        let page = again(|| store.hot.deliveries(&workspace, filter.clone(), ROWS)).await;
        let Some(last) = page.last() else { break };
        filter.before = Some((last.delivery.decided_at, last.delivery.id));
        for row in &page {
            sums.judge(row, arrived, &facts);
        }
    }
    store.hot.close().await;
    let Sums {
        states,
        of_customer,
        known,
        doubted,
        doubled,
        because,
    } = sums;
    assert_eq!(known, arrived.of.len(), "invented arrivals");
    // Whose token is dead gets no more deliveries some time; everybody else gets one of each event.
    assert_eq!(of_customer.len() as u64, customers, "customers with deliveries");
    for (device, count) in &of_customer {
        assert!(
            *count == events || (is_gone(device) && (1..=events).contains(count)),
            "{device}: {count} deliveries"
        );
    }
    println!(
        "{} deliveries ended: {states:?}; {} requests: {:?}",
        states.values().sum::<u64>(),
        arrived.seen,
        arrived.statuses
    );
    println!("{doubted} were in doubt, {doubled} of them arrived more than once, after:");
    for (reason, count) in because {
        println!("  {count:>8} {reason}");
    }
}

#[derive(Default)]
struct Sums {
    states: BTreeMap<&'static str, u64>,
    of_customer: HashMap<String, u64>,
    /// Deliveries of which something arrived.
    known: usize,
    doubted: u64,
    doubled: u64,
    /// Why those that arrived more than once were in doubt.
    because: BTreeMap<String, u64>,
}

impl Sums {
    fn judge(&mut self, row: &beckon::engine::ports::DeliveryRow, arrived: &Arrived, facts: &Facts) {
        let (key, device) = (row.delivery.id.0.as_u128(), row.delivery.device.as_str());
        *self.states.entry(row.state.as_str()).or_default() += 1;
        *self.of_customer.entry(device.to_owned()).or_default() += 1;
        let none = Arrivals::default();
        let arrivals = arrived.of.get(&key).inspect(|_| self.known += 1).unwrap_or(&none);
        let Some(told) = facts.of.get(&key) else {
            panic!("{row:?} ended and no fact says so")
        };
        let doubts = told.doubts.len() as u32 + (row.attempts - told.ended.count_ones().min(row.attempts));
        let taken = arrivals.taken;
        match row.state {
            DeliveryState::Accepted => assert!(taken >= 1, "{row:?} never arrived"),
            DeliveryState::DeadToken => assert!(
                arrivals.called_dead && taken == 0,
                "{row:?}: nobody called the token dead, or it arrived {taken} times"
            ),
            DeliveryState::Unknown => assert!(doubts >= 1, "{row:?} was never in doubt"),
            DeliveryState::Suppressed => assert!(
                is_gone(device) && row.reason.as_deref() == Some(NO_TOKEN) && taken == 0,
                "{row:?} for no reason, or it arrived {taken} times ({GONE} are those whose tokens die)"
            ),
            DeliveryState::Queued | DeliveryState::Sending | DeliveryState::Failed | DeliveryState::DeadLetter => {
                panic!("{row:?} for no reason")
            }
        }
        assert!(
            taken <= 1 + doubts,
            "{row:?} arrived {taken} times and was in doubt {doubts} times"
        );
        let stand = arrivals.places.len();
        assert!(stand <= 1, "{row:?} would stand {stand} times on phones");
        self.doubted += u64::from(doubts > 0);
        if taken > 1 {
            self.doubled += 1;
            let reasons = told.doubts.iter().map(|&word| facts.words[word].clone());
            let silent = doubts as usize - told.doubts.len();
            for reason in reasons.chain(std::iter::repeat_n(NO_END.to_owned(), silent)) {
                *self.because.entry(reason).or_default() += 1;
            }
        }
    }
}
