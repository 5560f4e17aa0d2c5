//! How an endpoint goes on from fact to fact, whatever becomes of the facts.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use beckon::{
    config::Config,
    domain::{
        event::{Event, EventGeofence, EventType, Fact},
        ids::{DeviceId, EventId, ExternalId, GeofenceId, Tag, UserId},
        presence::{Evidence, PresenceRules},
        time::{DurationMs, Timestamp},
    },
    engine::{
        Engine,
        ports::{Clock, Commit, WebhookCall, WebhookFailure, WebhookSender},
        webhooks::{Webhook, WebhookLimits},
    },
    store,
};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use crate::{
    redis_server::Redis,
    store::{AllTogether as _, commit, workspace},
};

struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Takes calls, slowly or not at all.
#[derive(Default)]
struct Endpoint {
    fails: AtomicBool,
    takes: Duration,
    told: Mutex<Vec<String>>,
}

#[async_trait]
impl WebhookSender for Endpoint {
    fn check(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    async fn call(&self, call: &WebhookCall, _: Instant) -> Result<(), WebhookFailure> {
        tokio::time::sleep(self.takes).await;
        if self.fails.load(Ordering::SeqCst) {
            return Err(WebhookFailure::Failed("no".to_owned()));
        }
        self.told.lock().expect("a lock").push(call.id.clone());
        Ok(())
    }
}

/// One endpoint, and the engine that tells it.
struct Told {
    clock: Arc<HandClock>,
    engine: Arc<Engine>,
    endpoint: Arc<Endpoint>,
}

impl Told {
    async fn start(url: &str, takes: Duration) -> Self {
        let clock = Arc::new(HandClock(AtomicI64::new(1_000_000)));
        let shared: Arc<dyn Clock> = Arc::<HandClock>::clone(&clock);
        let engine = Engine::new(
            store::open(url).await.expect("a store"),
            shared,
            PresenceRules::DEFAULT,
            1,
            1000,
            Config::load(None).expect("the defaults").stream_limits(),
            Arc::default(),
        );
        let workspace = workspace();
        let put = engine.put_webhook(&workspace, "wh_1", "https://example.org", Vec::new(), "whsec_");
        put.await.expect("put");
        Self {
            clock,
            engine: Arc::new(engine),
            endpoint: Arc::new(Endpoint {
                takes,
                ..Endpoint::default()
            }),
        }
    }

    /// Tells the endpoint until that is stopped.
    fn tell(&self, lease: DurationMs) -> (watch::Sender<bool>, JoinHandle<()>) {
        let limits = WebhookLimits {
            sweep: DurationMs(5),
            timeout: Duration::from_secs(10),
            lease,
        };
        let (stop, stopped) = watch::channel(false);
        let sender: Arc<dyn WebhookSender> = Arc::<Endpoint>::clone(&self.endpoint);
        let telling = Arc::clone(&self.engine).tell_webhooks(sender, limits, stopped);
        (stop, tokio::spawn(telling))
    }

    async fn happens(&self, commit: Commit) {
        self.engine.store.hot.commit_all(vec![commit]).await.expect("committed");
    }

    async fn webhook(&self) -> Webhook {
        let webhooks = &self.engine.store.webhooks;
        let all = webhooks.webhooks(&workspace()).await.expect("endpoints");
        Webhook::read(&all[0]).expect("an endpoint")
    }

    /// Waits with the clock going on fast.
    async fn until(&self, what: &str, happened: impl Fn(&Webhook, &[String]) -> bool) {
        self.until_by(100, what, happened).await;
    }

    async fn until_by(&self, step: i64, what: &str, happened: impl Fn(&Webhook, &[String]) -> bool) {
        for _ in 0..3_000 {
            self.clock.0.fetch_add(step, Ordering::SeqCst);
            let told = self.endpoint.told.lock().expect("a lock").clone();
            if happened(&self.webhook().await, &told) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("waited for {what}");
    }
}

fn folder() -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().display());
    (folder, url)
}

fn entered(number: u128, user: &str) -> (EventId, Fact) {
    let geofence = GeofenceId {
        tag: Tag::new("t").expect("a tag"),
        external_id: ExternalId::new("1").expect("an id"),
    };
    let event = Event {
        id: EventId(uuid::Uuid::from_u128(number)),
        kind: EventType::Entered,
        at: Timestamp(1),
        user_id: Some(UserId::new(user).expect("an id")),
        device_id: DeviceId::new("phone").expect("an id"),
        geofence: EventGeofence::describe(&geofence, None),
        evidence: Evidence::Gps,
        confidence: 3,
        duration: None,
        reason: None,
        content: None,
    };
    (event.id, Fact::Event(event))
}

async fn stop(telling: (watch::Sender<bool>, JoinHandle<()>)) {
    telling.0.send_replace(true);
    telling.1.await.expect("it ends");
}

#[tokio::test]
async fn an_unreadable_record_leaves_out_what_happens_to_that_customer_only() {
    let (_folder, url) = folder();
    let told = Told::start(&url, Duration::ZERO).await;
    let (_, of_mia) = entered(1, "mia");
    let (id, of_ann) = entered(2, "ann");
    told.happens(Commit {
        facts: vec![(None, of_mia), (None, of_ann)],
        ..commit("mia", 0, b"garbage")
    })
    .await;
    let telling = told.tell(DurationMs(60_000));
    told.until("what happens to the other", |_, all| *all == [id.to_string()])
        .await;
    stop(telling).await;
}

/// Facts that nobody can read come after each of Ann's, also at the end: webhooks and streams pass them over.
async fn what_cannot_be_read_is_passed_over(told: Told, damage: impl Fn()) {
    let workspace = workspace();
    let start = told.engine.store.hot.facts_end(&workspace).await.expect("a place");
    let passed_over = |count: usize| {
        let text = told.engine.metrics.render(0, 0, 0).expect("text");
        text.contains(&format!("beckon_facts_unreadable_total {count}\n"))
    };
    let mut ids = Vec::new();
    let telling = told.tell(DurationMs(60_000));
    for number in 1..=3 {
        let (id, fact) = entered(number.into(), "ann");
        ids.push(id.to_string());
        told.happens(Commit {
            facts: vec![(None, fact)],
            ..commit("mia", number - 1, b"x")
        })
        .await;
        damage();
        // Each is counted once: it is not looked at again.
        told.until("what can be read", |_, all| *all == ids && passed_over(number as usize))
            .await;
    }
    stop(telling).await;
    let listening = Arc::clone(&told.engine).listen(&workspace, Some(start));
    let (mut stream, mut heard) = (listening.await.expect("a stream"), Vec::new());
    while heard.len() < ids.len() {
        let page = stream.next().await.expect("a page");
        heard.extend(page.events.iter().map(|(_, event)| event.id.to_string()));
    }
    assert_eq!(heard, ids);
    assert!(passed_over(6), "once by each reader");
}

#[tokio::test]
async fn a_fact_that_cannot_be_read_is_passed_over() {
    let (folder, url) = folder();
    let told = Told::start(&url, Duration::ZERO).await;
    what_cannot_be_read_is_passed_over(told, || {
        let store = rusqlite::Connection::open(folder.path().join("beckon.sqlite3")).expect("a store");
        let garbage = "INSERT INTO fact (workspace, subject, body) VALUES ('w', 'u:mia', 'garbage')";
        assert_eq!(store.execute(garbage, []).expect("written"), 1);
    })
    .await;
}

#[tokio::test]
async fn a_fact_that_cannot_be_read_is_passed_over_on_redis() {
    let redis = Redis::start();
    let told = Told::start(&redis.url("partitions=1"), Duration::ZERO).await;
    let stream = "{beckon:p0000}:fx:w";
    let number = AtomicI64::new(0);
    what_cannot_be_read_is_passed_over(told, || {
        let field = ["b", "x", "b"][number.fetch_add(1, Ordering::SeqCst) as usize];
        redis.cli(&["xadd", stream, "*", field, "garbage"]);
    })
    .await;
}

#[tokio::test]
async fn a_failure_whose_event_is_gone_is_over() {
    let (_folder, url) = folder();
    let told = Told::start(&url, Duration::ZERO).await;
    told.endpoint.fails.store(true, Ordering::SeqCst);
    told.happens(Commit {
        facts: vec![(None, entered(1, "ann").1)],
        ..commit("mia", 0, b"x")
    })
    .await;
    let telling = told.tell(DurationMs(60_000));
    told.until("a failure", |webhook, _| webhook.failing_since.is_some())
        .await;
    told.happens(Commit {
        record: None,
        erase: true,
        ..commit("mia", 1, b"")
    })
    .await;
    told.until("its end", |webhook, _| webhook.failing_since.is_none())
        .await;
    told.clock.0.fetch_add(80 * 3_600_000, Ordering::SeqCst);
    told.happens(Commit {
        facts: vec![(None, entered(2, "ann").1)],
        ..commit("bob", 0, b"x")
    })
    .await;
    told.until("another failure", |webhook, _| webhook.failures > 0).await;
    assert_eq!(told.webhook().await.disabled_at, None);
    stop(telling).await;
}

#[tokio::test]
async fn a_slow_endpoint_is_left_in_the_middle_of_a_page_and_goes_on_from_there() {
    let (_folder, url) = folder();
    let told = Told::start(&url, Duration::from_millis(200)).await;
    let (ids, facts): (Vec<EventId>, Vec<Fact>) = (1..=40).map(|number| entered(number, "ann")).unzip();
    told.happens(Commit {
        facts: facts.into_iter().map(|fact| (None, fact)).collect(),
        ..commit("mia", 0, b"x")
    })
    .await;
    let telling = told.tell(DurationMs(60_000));
    told.until("the first ones", |_, all| !all.is_empty()).await;
    stop(telling).await;
    let count = told.endpoint.told.lock().expect("a lock").len();
    assert!((8..40).contains(&count), "{count}");
    // Half of this lease is over after one call; by the clock, which stands still, it does not end.
    let telling = told.tell(DurationMs(300));
    told.until_by(0, "the others", |_, all| all.len() >= 40).await;
    stop(telling).await;
    let mut all = told.endpoint.told.lock().expect("a lock").clone();
    all.sort_unstable();
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    assert_eq!(all, ids, "each one once");
}

#[tokio::test]
async fn after_a_long_silence_nothing_old_is_told_again() {
    const STREAM: &str = "{beckon:p0000}:fx:w";
    let redis = Redis::start();
    let told = Told::start(&redis.url("partitions=1"), Duration::ZERO).await;
    // A fact of long ago, which was told.
    let old = serde_json::to_string(&entered(1, "ann").1).expect("JSON");
    redis.cli(&["del", STREAM]);
    redis.cli(&["xadd", STREAM, "5-0", "b", &old]);
    let webhooks = &told.engine.store.webhooks;
    let mut stored = webhooks.webhooks(&workspace()).await.expect("endpoints").remove(0);
    let place = Some("5.0.0".to_owned());
    let webhook = Webhook {
        place: place.clone(),
        ..told.webhook().await
    };
    stored.body = serde_json::to_string(&webhook).expect("JSON");
    assert!(webhooks.change_webhook(&stored).await.expect("an answer"));
    let telling = told.tell(DurationMs(60_000));
    told.until("a younger place", |webhook, _| webhook.place != place).await;
    let (id, fact) = entered(2, "ann");
    told.happens(Commit {
        facts: vec![(None, fact)],
        ..commit("mia", 0, b"x")
    })
    .await;
    told.until("the new one", |_, all| !all.is_empty()).await;
    stop(telling).await;
    assert_eq!(*told.endpoint.told.lock().expect("a lock"), [id.to_string()]);
}
