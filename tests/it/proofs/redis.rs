//! Redis is killed, stands still, is full, answers too late, or can't be reached, while check-ins come in.

use std::{collections::BTreeMap, sync::Mutex};

use serde_json::Value;

use super::{INSIDE, Phones, Random, insist, named, prepare, proxy::Proxy, rounds, seed, wait_until_prepared};
use crate::{
    harness::{Api, wait_for},
    redis_server::Redis,
    stage::Stage,
};

const CUSTOMERS: usize = 8;
const PHONES: usize = 2;
const SERVERS: usize = 2;

/// The shop knows that the customer has come, and who has told.
type Acknowledged = BTreeMap<String, Value>;

fn device(round: u64, customer: usize, phone: usize) -> String {
    format!("r{round}-c{customer}-p{phone}")
}

fn check_in(device: &str) -> Value {
    named(&format!("{device}-in"), device, INSIDE)
}

/// Whatever happens to Redis, and its end.
fn disturb(redis: &mut Redis, proxy: &Proxy, kind: usize, random: &mut Random) -> &'static str {
    random.pause(0, 120);
    match kind % 6 {
        0 => {
            redis.restart();
            "killed"
        }
        1 => {
            redis.signal("-STOP");
            random.pause(50, 1500);
            redis.signal("-CONT");
            "stopped"
        }
        2 => {
            redis.cli(&["config", "set", "maxmemory", "1mb"]);
            random.pause(50, 800);
            redis.cli(&["config", "set", "maxmemory", "0"]);
            "full"
        }
        3 => {
            // The servers wait for 200 ms.
            proxy.delay(150 + random.below(600) as u64);
            random.pause(200, 1500);
            proxy.delay(0);
            "late"
        }
        4 => {
            for _ in 0..5 {
                proxy.cut();
                random.pause(0, 100);
            }
            "cut"
        }
        _ => {
            proxy.delay(250);
            random.pause(0, 200);
            redis.restart();
            proxy.cut();
            proxy.delay(0);
            "late, then killed"
        }
    }
}

/// Each phone walks in, one server for each phone of a customer, so that two of them race.
fn walk_in(servers: &[Api], round: u64, acknowledged: &Mutex<Acknowledged>) -> usize {
    std::thread::scope(|scope| {
        let walkers = (0..PHONES).flat_map(|phone| (0..2).map(move |half| (phone, half)));
        let walkers = walkers.map(|(phone, half)| {
            let api = &servers[phone % SERVERS];
            scope.spawn(move || {
                let mut turned_away = 0;
                for customer in (0..CUSTOMERS).filter(|customer| customer % 2 == half) {
                    let device = device(round, customer, phone);
                    let (times, answer) = insist(|| api.clone(), "POST", "/v1/check-ins", &check_in(&device));
                    turned_away += times;
                    let event = answer["results"][0]["events"][0]["id"].clone();
                    assert!(event.is_string(), "{answer}");
                    acknowledged.lock().expect("a lock").insert(device, event);
                }
                turned_away
            })
        });
        let walkers: Vec<_> = walkers.collect();
        walkers.into_iter().map(|walker| walker.join().expect("a walker")).sum()
    })
}

/// Everything acknowledged is known, under the names that it was given.
fn nothing_is_lost(api: &Api, acknowledged: &Acknowledged) {
    for (device, event) in acknowledged {
        let again = &api.check_in(&check_in(device))[0];
        assert_eq!(again["status"], "duplicate", "{device}: {again}");
        assert_eq!(again["events"][0]["id"], *event, "{device}: {again}");
        assert_eq!(again["geofences"][0]["externalId"], "one", "{device}: {again}");
    }
}

#[test]
fn nothing_acknowledged_is_lost_whatever_happens_to_redis() {
    let mut random = Random(seed());
    let mut redis = Redis::start();
    let proxy = Proxy::start(redis.port);
    let stage = Stage::set_on(&format!("redis://127.0.0.1:{}?timeout_ms=200", proxy.port));
    stage.write_settings("node.toml", None);
    let nodes: Vec<_> = (0..SERVERS).map(|_| stage.serve_with("node.toml")).collect();
    let servers: Vec<Api> = nodes.iter().map(|(_, api)| api.clone()).collect();
    prepare(&servers[0], 1);
    servers.iter().for_each(wait_until_prepared);
    let (mut phones, acknowledged) = (Phones::default(), Mutex::new(Acknowledged::new()));
    for round in 0..rounds(6) {
        for customer in 0..CUSTOMERS {
            for (phone, api) in (0..PHONES).zip(&servers) {
                let user = format!("r{round}-c{customer}");
                phones.put(api, &device(round, customer, phone), &user);
            }
        }
        let (turned_away, fault) = std::thread::scope(|scope| {
            let disturbing = scope.spawn(|| disturb(&mut redis, &proxy, round as usize, &mut random));
            let turned_away = walk_in(&servers, round, &acknowledged);
            (turned_away, disturbing.join().expect("a fault"))
        });
        println!("round {round}: {fault}, {turned_away} times turned away");
        for api in &servers {
            wait_for("every delivery to end", || {
                let status = api.call("GET", "/v1/status", "", &[]);
                status.status == 200 && status.body["outbox"] == 0
            });
        }
        let mut latest = acknowledged.lock().expect("a lock").clone();
        latest.retain(|device, _| device.starts_with(&format!("r{round}-")));
        assert_eq!(latest.len(), CUSTOMERS * PHONES);
        nothing_is_lost(&servers[0], &latest);
        for (user, count) in phones.pushes(&stage) {
            assert_eq!(count, 1, "pushes that reached {user} in round {round}");
        }
    }
    nothing_is_lost(&servers[1], &acknowledged.into_inner().expect("a lock"));
    let arrived = stage.judge(&servers[0]);
    assert_eq!(arrived, rounds(6) as usize * CUSTOMERS);
}
