//! The gateway does everything wrong that providers do, the way to it breaks, servers die and stand still, all at random:
//! and every push must come to one end. The gateway's log is the judge.
//!
//! Short and with one seed in every run of the tests, on SQLite and on Redis with two servers; `make prove-dispatch` makes
//! it long. `BECKON_PROVE_PUSHES` says how many pushes, `BECKON_PROVE_SEED` repeats a run.

use std::{
    io::Write as _,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    harness::{Api, registration, wait_for},
    process::Process,
    redis_server::Redis,
    stage::Stage,
};
use cuts::Cuts;
use faults::{Faults, Shares, script};
use judge::{Arrived, judge};

mod cuts;
mod faults;
mod judge;

/// Most customers; each gets several pushes.
const CUSTOMERS_MAX: u64 = 10_000;
/// From so many pushes on the proof is a long one.
const LONG: u64 = 20_000;
/// Two customers of so many, an iPhone's and an Android's, have a token that dies.
const GONE_EVERY: u64 = 50;
/// How devices with such a token are called.
const GONE: &str = "gone-";

fn is_gone(device: &str) -> bool {
    device.starts_with(GONE)
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// The next random number (`SplitMix64`), for any thread.
fn next(random: &AtomicU64) -> u64 {
    let seed = random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What is to be proven, and how.
struct Plan {
    customers: u64,
    events: u64,
    /// Times that a server dies or stands still.
    deaths: u64,
    seed: u64,
    is_long: bool,
}

impl Plan {
    fn read() -> Self {
        let (pushes, seed) = (
            setting("BECKON_PROVE_PUSHES", 1_500),
            setting("BECKON_PROVE_SEED", 20_261_122),
        );
        let customers = (pushes / 5).clamp(1, CUSTOMERS_MAX);
        let is_long = pushes >= LONG;
        let plan = Self {
            customers,
            events: pushes.div_ceil(customers),
            deaths: if is_long { 24 } else { 5 },
            seed,
            is_long,
        };
        println!("{} pushes to {customers} customers, seed {seed}", plan.pushes());
        plan
    }

    fn pushes(&self) -> u64 {
        self.customers * self.events
    }

    /// Whether a server dies after this event.
    fn dies_after(&self, event: u64) -> bool {
        event * self.deaths / self.events != (event + 1) * self.deaths / self.events
    }
}

/// Servers on one store.
struct Servers<'a> {
    stage: &'a Stage,
    all: Vec<(Option<Process>, Api)>,
}

impl<'a> Servers<'a> {
    fn start(stage: &'a Stage, count: usize) -> Self {
        let mut servers = Self { stage, all: Vec::new() };
        servers.all = (0..count).map(|_| servers.one()).collect();
        servers
    }

    fn one(&self) -> (Option<Process>, Api) {
        let (process, api) = self.stage.serve_with("chaos.toml");
        (Some(process), api)
    }

    fn api(&self) -> &Api {
        &self.all[0].1
    }

    /// One of them is killed, ends in order, or stands still; what happened.
    fn disturb(&mut self, random: &AtomicU64) -> &'static str {
        let number = next(random) as usize % self.all.len();
        let process = &mut self.all[number].0;
        match next(random) % 4 {
            0 => {
                assert_eq!(process.take().expect("a server").terminate(), Some(0));
                self.all[number] = self.one();
                "ended in order"
            }
            1 => {
                let process = process.as_ref().expect("a server");
                process.signal("-STOP");
                // Less or more than a request may take, and than a lease lasts.
                std::thread::sleep(Duration::from_millis(100 + next(random) % 7000));
                process.signal("-CONT");
                "stood still"
            }
            _ => {
                process.take().expect("a server").kill();
                self.all[number] = self.one();
                "killed"
            }
        }
    }

    /// How many deliveries have not ended, and events not been told; `None` while nobody says so.
    fn waiting(&self) -> Option<(u64, u64)> {
        let status = self.api().try_call("GET", "/v1/status", "", &[])?;
        let number = |name: &str| status.body[name].as_u64();
        Some((number("outbox")?, number("eventsWaiting")?))
    }

    /// Nobody uses the store any more.
    fn end(self) {
        for (process, _) in self.all {
            assert_eq!(process.expect("a server").terminate(), Some(0));
        }
    }
}

/// Iphones and Androids by turns, some with a token that dies; all follow one topic.
fn put_customers(api: &Api, count: u64) {
    std::thread::scope(|scope| {
        for worker in 0..8 {
            scope.spawn(move || {
                for number in (worker..count).step_by(8) {
                    let user = format!("user-{number:05}{}", if number % 2 == 0 { "" } else { "x" });
                    let prefix = if number % GONE_EVERY < 2 { GONE } else { "phone-" };
                    let device = format!("{prefix}{number}");
                    api.ok("PUT", &format!("/v1/devices/{device}"), &registration(&device, &user));
                    api.ok("PUT", &format!("/v1/users/{user}"), &json!({"topics": ["all"]}));
                }
            });
        }
    });
}

#[test]
fn every_push_comes_to_one_end_through_faults_cuts_and_kills() {
    comes_to_one_end(&Stage::set(), 1);
}

#[test]
fn every_push_comes_to_one_end_through_faults_cuts_and_kills_on_redis() {
    // As in production: this Redis does not die, and a write that waits for the disk each time would be all that is seen.
    let redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    comes_to_one_end(&Stage::set_on(&redis.url("")), 2);
}

/// The settings for it: through the cuts, and with requests that are soon in doubt.
fn write_settings(stage: &Stage, cuts: &Cuts) {
    stage.write_settings("chaos.toml", Some(&cuts.url));
    if stage.store.starts_with("sqlite:") {
        let file = std::fs::OpenOptions::new().append(true).open(stage.path("chaos.toml"));
        let mut file = file.expect("settings");
        writeln!(file, "[dispatch]\nsend_timeout = \"PT2S\"\nlease = \"PT6S\"").expect("written");
    }
}

fn comes_to_one_end(stage: &Stage, count: usize) {
    let (plan, begun) = (Plan::read(), Instant::now());
    let cuts = Cuts::before(
        &stage.gateway_url(),
        plan.seed,
        if plan.is_long { 20_000_000 } else { 400_000 },
    );
    write_settings(stage, &cuts);
    let mut servers = Servers::start(stage, count);
    let trigger = json!({"on": "event", "type": "news"});
    let offers = json!([{"message": {"en": {"title": "{{ event.number | default('none') }}", "body": "b"}}}]);
    let campaign = json!({"trigger": trigger, "validFor": "P1D", "offers": offers});
    servers.api().ok("PUT", "/v1/campaigns/news", &campaign);
    put_customers(servers.api(), plan.customers);

    let (arrived, done) = (Mutex::new(Arrived::default()), AtomicBool::new(false));
    let log = stage.log_api();
    let mut faults = Faults::of(stage.log_api());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                arrived.lock().expect("a lock").read(&log);
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let seen = || arrived.lock().expect("a lock").seen;
        send_through(&plan, &mut servers, &mut faults, &seen);
        // Faults stop; every row must end.
        faults.end();
        cuts.end();
        let patience = Instant::now() + Duration::from_secs(120 + plan.pushes() / 200);
        // Twice in a row: rows may come in between the two counts.
        while (servers.waiting(), servers.waiting()) != (Some((0, 0)), Some((0, 0))) {
            assert!(
                Instant::now() < patience,
                "some pushes come to no end: {:?}",
                servers.waiting()
            );
            std::thread::sleep(Duration::from_millis(300));
        }
        done.store(true, Ordering::Relaxed);
    });
    let took = begun.elapsed();
    servers.end();
    let mut arrived = arrived.into_inner().expect("a lock");
    arrived.read(&log);
    println!(
        "sent within {took:.0?}; {} connections were cut; faults: {:?}",
        cuts.count(),
        faults.met()
    );
    if plan.is_long {
        let never: Vec<&String> = faults
            .met()
            .iter()
            .filter(|(_, times)| **times == 0)
            .map(|(name, _)| name)
            .collect();
        assert!(never.is_empty() && cuts.count() > 0, "never met: {never:?}");
    }
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(judge(&stage.store, &arrived, plan.customers, plan.events));
}

/// Posts the events, never many more than can be sent, while everything breaks.
fn send_through(plan: &Plan, servers: &mut Servers<'_>, faults: &mut Faults, seen: &dyn Fn() -> u64) {
    let random = AtomicU64::new(plan.seed + 1);
    let shares = Shares::of(plan.pushes(), plan.is_long);
    faults.play(&script(shares, &random));
    for event in 0..plan.events {
        let body = json!({"id": format!("e{event}"), "type": "news", "topic": "all", "data": {"number": event}});
        wait_for("the event to be taken", || {
            let posted = servers
                .api()
                .try_call("POST", "/v1/events", "application/json", body.to_string().as_bytes());
            posted.is_some_and(|answer| answer.status == 202)
        });
        if plan.dies_after(event) {
            // After so many requests more as chance says, or when all is done.
            let wanted = seen() + 1 + next(&random) % (plan.customers / 2).max(1);
            wait_for("some pushes", || seen() >= wanted || servers.waiting() == Some((0, 0)));
            let what = servers.disturb(&random);
            println!(
                "after event {event} and {} requests a server was disturbed: {what}",
                seen()
            );
            faults.play(&script(shares, &random));
        }
        let patience = Instant::now() + Duration::from_mins(10);
        while servers
            .waiting()
            .is_none_or(|(outbox, events)| outbox > 3 * plan.customers || events > 2)
        {
            assert!(Instant::now() < patience, "nothing goes on: {:?}", servers.waiting());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
