//! What is found at the last moment before a request: it is too late, a part of the store is away, or who sends is told by
//! the machine.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use beckon::{
    app::SystemClock,
    config::Config,
    domain::{
        delivery::{Credential, Outcome, Push, PushTarget},
        ids::WorkspaceId,
        presence::PresenceRules,
        time::{DurationMs, Timestamp},
    },
    engine::{
        Engine,
        dispatch::{DispatchLimits, Dispatcher},
        ports::{Clock, DeliveryFilter, PushSender},
    },
    store,
};
use serde_json::json;
use tokio::{runtime::Runtime, sync::watch, time::Instant};

use crate::{
    harness::{Api, registration, wait_for},
    redis_server::Cluster,
    stage::Stage,
};

/// So long after the start of the tests.
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(DurationMs(self.0.load(Ordering::SeqCst)))
    }
}

/// While the dispatcher asks what a push is sent with, which is after the last look, its time runs out.
struct TooSlow {
    clock: Arc<Ahead>,
    asked: AtomicUsize,
    sent: AtomicUsize,
}

#[async_trait]
impl PushSender for TooSlow {
    async fn send(&self, _: &Push, _: Instant) -> Outcome {
        self.sent.fetch_add(1, Ordering::SeqCst);
        Outcome::Unknown {
            reason: "it was sent".to_owned(),
        }
    }

    fn credential(&self, _: &WorkspaceId, _: &PushTarget) -> Credential {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.clock.0.fetch_add(3_600_000, Ordering::SeqCst);
        Credential::new("fcm:project")
    }
}

#[test]
fn a_push_whose_time_runs_out_after_the_last_look_is_not_sent() {
    let stage = Stage::set();
    stage.write_settings("unreachable.toml", Some("https://127.0.0.1:9"));
    let (server, api) = stage.serve_with("unreachable.toml");
    let offers = json!([{"message": {"en": {"title": "t", "body": "b"}}}]);
    let news = json!({"trigger": {"on": "event", "type": "news"}, "validFor": "PT30M", "offers": offers});
    api.ok("PUT", "/v1/campaigns/news", &news);
    // An Android's.
    api.put_phone("phone", "mia");
    api.ok(
        "POST",
        "/v1/events",
        &json!({"id": "1", "type": "news", "userId": "mia"}),
    );
    wait_for("the push to wait", || api.get("/v1/status")["outbox"] == 1);
    assert_eq!(server.terminate(), Some(0));

    Runtime::new().expect("threads").block_on(async {
        let clock = Arc::new(Ahead(AtomicI64::new(0)));
        let shared: Arc<dyn Clock> = Arc::<Ahead>::clone(&clock);
        let config = Config::load(None).expect("the defaults");
        let store = store::open(&stage.store).await.expect("the store");
        let limits = config.stream_limits();
        let engine = Engine::new(store, shared, PresenceRules::DEFAULT, 1, 1000, limits, Arc::default());
        let engine = Arc::new(engine);
        engine.catalogues.load_all().await.expect("the campaign");
        let sender = Arc::new(TooSlow {
            clock,
            asked: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
        });
        let sends: Arc<dyn PushSender> = Arc::<TooSlow>::clone(&sender);
        let limits = DispatchLimits {
            sweep: Duration::from_millis(20),
            ..config.dispatch_limits()
        };
        let dispatcher = Arc::new(Dispatcher::new(Arc::clone(&engine), sends, limits));
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(dispatcher.run(stopped));
        let hot = &engine.store.hot;
        let ended = async {
            while hot.outbox_depth().await.expect("a number") > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), ended)
            .await
            .expect("an end");
        stop.send_replace(true);
        running.await.expect("it ends");
        let workspace = WorkspaceId::new("default").expect("an id");
        let rows = hot
            .deliveries(&workspace, DeliveryFilter::default(), 10)
            .await
            .expect("rows");
        assert_eq!(sender.asked.load(Ordering::SeqCst), 1, "the last look found nothing");
        assert_eq!(sender.sent.load(Ordering::SeqCst), 0);
        assert_eq!(
            (rows[0].state.as_str(), rows[0].reason.as_deref()),
            ("suppressed", Some("expired"))
        );
        hot.close().await;
    });
}

/// Names of keys that all pushes need, wherever their customers are.
const COMMON: [&str; 6] = ["meta", "control", "events", "token", "webhooks", "pace"];

/// A name for an installation, and a master that holds only customers of it.
fn masters_own_customers(cluster: &Cluster) -> (String, usize) {
    let holder = |key: &str| {
        let slot: usize = cluster.nodes[0]
            .cli(&["cluster", "keyslot", key])
            .trim()
            .parse()
            .expect("a slot");
        slot / 16_384_usize.div_ceil(cluster.nodes.len())
    };
    (0..100)
        .find_map(|number| {
            let name = format!("late{number}");
            let held: BTreeSet<usize> = COMMON.iter().map(|key| holder(&format!("{{{name}:{key}}}"))).collect();
            let free = (0..cluster.nodes.len()).find(|node| !held.contains(node))?;
            Some((name, free))
        })
        .expect("a name")
}

/// Whose pushes have arrived.
fn arrived(stage: &Stage) -> BTreeSet<String> {
    let arrivals = stage.arrivals();
    let token = |arrival: &serde_json::Value| arrival["token"].as_str().expect("a token").to_owned();
    arrivals
        .iter()
        .filter_map(|arrival| Some(token(arrival).split_once(':')?.0.to_owned()))
        .collect()
}

#[test]
fn while_a_master_is_away_pushes_of_the_others_leave_and_its_own_follow() {
    const PHONES: usize = 90;
    let cluster = Cluster::start();
    for node in &cluster.nodes {
        node.cli(&["config", "set", "cluster-require-full-coverage", "no"]);
    }
    let (name, lost) = masters_own_customers(&cluster);
    let lost = &cluster.nodes[lost];
    let stage = Stage::set_on(&cluster.url(&format!("prefix={name}&partitions=32&timeout_ms=200")));
    stage.write_settings("node.toml", None);
    let (_server, api) = stage.serve_with("node.toml");
    // Slow enough that most wait when the master goes.
    let offers = json!([{"message": {"en": {"title": "t", "body": "b"}}}]);
    let trigger = json!({"on": "event", "type": "news"});
    let speed = json!({"max": 30, "per": "PT1S"});
    let news = json!({"trigger": trigger, "validFor": "P1D", "offers": offers, "speed": speed});
    api.ok("PUT", "/v1/campaigns/news", &news);
    let phones: BTreeSet<String> = (0..PHONES).map(|number| format!("phone-{number:02}")).collect();
    for phone in &phones {
        // All Androids.
        let user = format!("of-{phone}");
        put_follower(&api, phone, &user);
    }
    // Those whose record is there, or whose device's owner.
    let keys = lost.cli(&["keys", "*:[sv]:*"]);
    let own: BTreeSet<String> = phones
        .iter()
        .filter(|phone| keys.contains(phone.as_str()))
        .cloned()
        .collect();
    let others: BTreeSet<String> = phones.difference(&own).cloned().collect();
    assert!(
        own.len() >= 10 && others.len() >= 20,
        "{} are on the lost master",
        own.len()
    );
    api.ok(
        "POST",
        "/v1/events",
        &json!({"id": "1", "type": "news", "topic": "all"}),
    );
    wait_for("all to wait, and the first pushes", || {
        api.get("/v1/status")["eventsWaiting"] == 0 && !arrived(&stage).is_empty()
    });

    lost.signal("-STOP");
    wait_for("the others' pushes", || others.is_subset(&arrived(&stage)));
    let waiting: Vec<String> = own.difference(&arrived(&stage)).cloned().collect();
    println!("{} of {} wait for their master", waiting.len(), own.len());
    assert!(!waiting.is_empty());
    lost.signal("-CONT");
    wait_for("those of the lost master", || arrived(&stage) == phones);
    wait_for("the server", || api.call("GET", "/v1/status", "", &[]).status == 200);
    assert_eq!(stage.judge(&api), PHONES);
}

fn put_follower(api: &Api, phone: &str, user: &str) {
    let mut body = registration(phone, user);
    body["platform"] = json!("android");
    body["pushToken"] = json!(format!("{phone}:{}", "t".repeat(140)));
    api.ok("PUT", &format!("/v1/devices/{phone}"), &body);
    api.ok("PUT", &format!("/v1/users/{user}"), &json!({"topics": ["all"]}));
}

#[test]
fn google_is_shown_what_the_machine_says_who_sends() {
    let stage = Stage::set();
    let config = fs::read_to_string(stage.path("gateway/beckon.toml")).expect("settings");
    let lines = config.lines().map(|line| match line.split_once(" = ") {
        Some(("service_account_file", _)) => {
            "application_default_credentials = true\nproject_id = \"beckon-sandbox\"\n".to_owned()
        }
        _ => format!("{line}\n"),
    });
    fs::write(stage.path("machine.toml"), lines.collect::<String>()).expect("written");
    let serve = |file: &std::path::Path| {
        let file = file.to_str().expect("a path");
        stage.serve_among("machine.toml", &[("GOOGLE_APPLICATION_CREDENTIALS", file)])
    };
    // A user's credentials, as gcloud writes them, are taken from gcloud's own place only.
    let user =
        json!({"type": "authorized_user", "client_id": "c", "client_secret": "secret-of-mine", "refresh_token": "r"});
    fs::write(stage.path("user.json"), user.to_string()).expect("written");
    let (server, api) = serve(&stage.path("user.json"));
    let offers = json!([{"message": {"en": {"title": "t", "body": "b"}}}]);
    let news = json!({"trigger": {"on": "event", "type": "news"}, "validFor": "P1D", "offers": offers});
    api.ok("PUT", "/v1/campaigns/news", &news);
    put_follower(&api, "phone", "mia");
    api.ok(
        "POST",
        "/v1/events",
        &json!({"id": "1", "type": "news", "userId": "mia"}),
    );
    wait_for("the alarm", || {
        api.get("/v1/status")["paused"][0]["platform"] == "android"
    });
    let paused = api.get("/v1/status")["paused"].to_string();
    assert!(
        paused.contains("GOOGLE_APPLICATION_CREDENTIALS must name a service account's key"),
        "{paused}"
    );
    assert!(!paused.contains("secret-of-mine"));
    assert_eq!(server.terminate(), Some(0));

    let (_server, api) = serve(&stage.path("gateway/service-account.json"));
    wait_for("the push", || stage.arrivals().len() == 1);
    assert_eq!(stage.judge(&api), 1);
}
