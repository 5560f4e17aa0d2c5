//! The way to the providers breaks at random, the server dies at random, and every push must come to one end.

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    harness::{Api, wait_for},
    redis_server::Redis,
    stage::Stage,
};

/// Pushes; `BECKON_PROVE_PUSHES` makes it a long proof, `BECKON_PROVE_SEED` another one.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Customers; each gets several pushes.
const CUSTOMERS_MAX: u64 = 10_000;

fn next(random: &AtomicU64) -> u64 {
    let seed = random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Stands between server and gateway, and cuts, stalls and refuses by chance.
struct Chaos {
    url: String,
    calm: Arc<AtomicBool>,
    cuts: Arc<AtomicU64>,
}

impl Chaos {
    fn before(gateway: &str, seed: u64) -> Self {
        let gateway = gateway.trim_start_matches("https://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("https://{}", listener.local_addr().expect("an address"));
        let (calm, cuts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let random = Arc::new(AtomicU64::new(seed));
        let (is_calm, counted) = (Arc::clone(&calm), Arc::clone(&cuts));
        std::thread::spawn(move || {
            for from in listener.incoming().map_while(Result::ok) {
                if !is_calm.load(Ordering::Relaxed) && next(&random).is_multiple_of(8) {
                    continue;
                }
                let Ok(to) = TcpStream::connect(&gateway) else { continue };
                for (mut from, mut to) in [(from.try_clone(), to.try_clone()), (to.try_clone(), from.try_clone())]
                    .into_iter()
                    .filter_map(|(from, to)| Some((from.ok()?, to.ok()?)))
                {
                    let (random, is_calm, counted) = (Arc::clone(&random), Arc::clone(&is_calm), Arc::clone(&counted));
                    std::thread::spawn(move || {
                        forward(&mut from, &mut to, &random, &is_calm, &counted);
                        from.shutdown(Shutdown::Both).unwrap_or_default();
                        to.shutdown(Shutdown::Both).unwrap_or_default();
                    });
                }
            }
        });
        Self { url, calm, cuts }
    }
}

/// Copies up to a byte that chance chooses.
fn forward(from: &mut TcpStream, to: &mut TcpStream, random: &AtomicU64, calm: &AtomicBool, cuts: &AtomicU64) {
    let mut left = 20_000 + next(random) % 800_000;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer) else {
            return;
        };
        let count = if calm.load(Ordering::Relaxed) {
            count as u64
        } else {
            (count as u64).min(left)
        };
        if to.write_all(&buffer[..count as usize]).is_err() {
            return;
        }
        left = left.saturating_sub(count);
        if left == 0 && !calm.load(Ordering::Relaxed) {
            cuts.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if next(random).is_multiple_of(2000) && !calm.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(next(random) % 1500));
        }
    }
}

/// What arrived at the gateway, read while it comes: its log forgets.
#[derive(Default)]
struct Arrived {
    after: u64,
    accepted: HashMap<String, Vec<(String, String)>>,
}

impl Arrived {
    fn read(&mut self, log: &Api) {
        loop {
            let page = log.get(&format!("/log?after={}&limit=10000", self.after));
            let items = page["items"].as_array().expect("items");
            let Some(last) = items.last() else { return };
            let first = items[0]["seq"].as_u64().expect("a number");
            assert!(
                self.after == 0 || first == self.after + 1,
                "the log forgot what was not read"
            );
            self.after = last["seq"].as_u64().expect("a number");
            for entry in items.iter().filter(|entry| entry["status"] == 200) {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let names = (text(&entry["token"]), text(&entry["collapseId"]));
                self.accepted
                    .entry(text(&entry["data"]["deliveryId"]))
                    .or_default()
                    .push(names);
            }
        }
    }
}

fn put_customers(api: &Api, count: u64) {
    std::thread::scope(|scope| {
        for worker in 0..8 {
            scope.spawn(move || {
                for number in (worker..count).step_by(8) {
                    api.put_phone(&format!("phone-{number}"), &format!("user-{number}"));
                    api.ok("PUT", &format!("/v1/users/user-{number}"), &json!({"topics": ["all"]}));
                }
            });
        }
    });
}

#[test]
fn every_push_comes_to_one_end_through_cuts_and_kills() {
    comes_to_one_end(&Stage::set());
}

#[test]
fn every_push_comes_to_one_end_through_cuts_and_kills_on_redis() {
    let redis = Redis::start();
    comes_to_one_end(&Stage::set_on(&redis.url("")));
}

fn comes_to_one_end(stage: &Stage) {
    let (pushes, seed) = (
        setting("BECKON_PROVE_PUSHES", 1_500),
        setting("BECKON_PROVE_SEED", 20_261_122),
    );
    let customers = (pushes / 5).clamp(1, CUSTOMERS_MAX);
    let events = pushes.div_ceil(customers);
    println!("{} pushes to {customers} customers, seed {seed}", events * customers);
    let chaos = Chaos::before(&stage.gateway_url(), seed);
    stage.write_settings("chaos.toml", Some(&chaos.url));
    let (server, mut api) = stage.serve_with("chaos.toml");
    let mut server = Some(server);
    let trigger = json!({"on": "event", "type": "news"});
    let offers = json!([{"message": {"en": {"title": "{{ event.number }}", "body": "b"}}}]);
    api.ok(
        "PUT",
        "/v1/campaigns/news",
        &json!({"trigger": trigger, "validFor": "P1D", "offers": offers}),
    );
    put_customers(&api, customers);

    let arrived = Mutex::new(Arrived::default());
    let done = AtomicBool::new(false);
    let log = stage.log_api();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                arrived.lock().expect("a lock").read(&log);
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let random = AtomicU64::new(seed + 1);
        for event in 0..events {
            let body = json!({"id": format!("e{event}"), "type": "news", "topic": "all", "data": {"number": event}});
            wait_for("the event to be taken", || {
                let posted = api.try_call("POST", "/v1/events", "application/json", body.to_string().as_bytes());
                posted.is_some_and(|answer| answer.status == 202)
            });
            // Now and then the server dies, after so many pushes as chance says.
            if event * 6 / events != (event + 1) * 6 / events {
                let now = arrived.lock().expect("a lock").after;
                let wanted = now + 1 + next(&random) % (customers / 2).max(1);
                wait_for("some pushes", || {
                    arrived.lock().expect("a lock").after >= wanted || api.get("/v1/status")["outbox"] == 0
                });
                let running = server.take().expect("a server");
                if next(&random).is_multiple_of(3) {
                    assert_eq!(running.terminate(), Some(0));
                } else {
                    running.kill();
                }
                let (anew, new_api) = stage.serve_with("chaos.toml");
                (server, api) = (Some(anew), new_api);
            }
        }
        // Faults stop; every row must end.
        chaos.calm.store(true, Ordering::Relaxed);
        let patience = Instant::now() + Duration::from_secs(60 + pushes / 200);
        // An event that a dead server was telling is told on by the next one when its lease has run out.
        while api.get("/v1/status")["outbox"] != 0 || deliveries(&api).len() as u64 != pushes {
            assert!(
                Instant::now() < patience,
                "some pushes come to no end: {}",
                api.get("/v1/status")
            );
            std::thread::sleep(Duration::from_millis(300));
        }
        done.store(true, Ordering::Relaxed);
    });
    let mut arrived = arrived.into_inner().expect("a lock");
    arrived.read(&log);
    judge(&api, &arrived, pushes);
    println!(
        "{} connections were cut in the middle",
        chaos.cuts.load(Ordering::Relaxed)
    );
}

/// A delivery as the server tells of it.
#[derive(Debug)]
struct Row {
    id: String,
    state: String,
    reason: String,
}

fn deliveries(api: &Api) -> Vec<Row> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/deliveries?limit=1000{cursor}"));
        rows.extend(page["items"].as_array().expect("items").iter().map(|row| {
            let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            Row {
                id: text("id"),
                state: text("state"),
                reason: text("reason"),
            }
        }));
        let Some(next) = page["nextCursor"].as_str() else {
            return rows;
        };
        cursor = format!("&cursor={next}");
    }
}

/// Holds the gateway's log against what the server says of its deliveries.
fn judge(api: &Api, arrived: &Arrived, pushes: u64) {
    let (mut doubled, mut doubted, mut known) = (0, 0, 0);
    let mut states: HashMap<String, u64> = HashMap::new();
    let all = deliveries(api);
    for row in &all {
        let (id, state) = (row.id.as_str(), row.state.as_str());
        *states.entry(state.to_owned()).or_default() += 1;
        let times = arrived.accepted.get(id).map_or(0, Vec::len);
        let in_doubt = state == "unknown" || row.reason.contains("sent again under the same names");
        assert!(["accepted", "unknown"].contains(&state), "{row:?} for no reason");
        assert!(state != "accepted" || times >= 1, "{row:?} never arrived");
        assert!(
            times < 2 || in_doubt,
            "{row:?} arrived {times} times and was never in doubt"
        );
        known += usize::from(times > 0);
        doubled += u64::from(times > 1);
        doubted += u64::from(in_doubt);
        let names = arrived.accepted.get(id).into_iter().flatten();
        let mut names: Vec<_> = names.collect();
        names.dedup();
        assert!(names.len() <= 1, "{row:?} would stand twice on a phone: {names:?}");
        assert!(names.iter().all(|(_, collapse)| collapse == id), "{names:?}");
    }
    let count = all.len() as u64;
    assert_eq!(count, pushes, "lost or invented deliveries");
    assert_eq!(known, arrived.accepted.len(), "invented arrivals");
    println!("{count} deliveries ended: {states:?}; {doubted} in doubt, of which {doubled} arrived twice");
}
