//! Four servers on one Redis race on few customers, and die and stop in the middle of it.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use serde_json::json;

use super::{INSIDE, OUTSIDE, Phones, Random, insist, named, prepare, rounds, seed, wait_until_prepared};
use crate::{
    harness::{Api, Process, wait_for},
    redis_server::Redis,
    stage::Stage,
};

const NODES: usize = 4;
const CUSTOMERS: usize = 5;
/// Times that each phone goes in or out while the nodes race.
const MOVES: usize = 6;
/// Most pushes to a customer.
const PUSHES_MAX: usize = 2;

/// A server that is killed and started again, elsewhere.
struct Node {
    process: Option<Process>,
    api: Api,
}

struct Nodes<'a> {
    stage: &'a Stage,
    all: Vec<Mutex<Node>>,
}

impl<'a> Nodes<'a> {
    fn start(stage: &'a Stage) -> Self {
        let start = || {
            let (process, api) = stage.serve_with("node.toml");
            let process = Some(process);
            Mutex::new(Node { process, api })
        };
        let all = (0..NODES).map(|_| start()).collect();
        Self { stage, all }
    }

    fn api(&self, number: usize) -> Api {
        self.all[number % NODES].lock().expect("a lock").api.clone()
    }

    /// kill -9, and another one in its place.
    fn kill(&self, number: usize) {
        let killed = self.all[number].lock().expect("a lock").process.take();
        killed.expect("a process").kill();
        let (process, api) = self.stage.serve_with("node.toml");
        let mut node = self.all[number].lock().expect("a lock");
        (node.process, node.api) = (Some(process), api);
    }

    fn signal(&self, number: usize, signal: &str) {
        let node = self.all[number].lock().expect("a lock");
        node.process.as_ref().expect("a process").signal(signal);
    }

    /// One fault: a node is killed, or stands still for less or more than a lease.
    fn disturb(&self, random: &mut Random) -> &'static str {
        let number = random.below(NODES);
        match random.below(3) {
            0 => {
                self.kill(number);
                "kill"
            }
            length => {
                self.signal(number, "-STOP");
                random.pause(50, if length == 1 { 800 } else { 4500 });
                self.signal(number, "-CONT");
                "stop"
            }
        }
    }
}

/// Every phone of every customer goes in and out, each by a node of its own; whoever is turned away goes to the next.
fn race(nodes: &Nodes<'_>, round: u64) -> usize {
    std::thread::scope(|scope| {
        let racers = (0..NODES).map(|phone| {
            scope.spawn(move || {
                let mut turned_away = 0;
                for step in 0..MOVES {
                    for customer in 0..CUSTOMERS {
                        let device = device(round, customer, phone);
                        let at = if step % 2 == 0 { INSIDE } else { OUTSIDE };
                        let tries = std::cell::Cell::new(phone);
                        let next = || nodes.api(tries.replace(tries.get() + 1));
                        let check_in = named(&format!("{device}-{step}"), &device, at);
                        turned_away += insist(next, "POST", "/v1/check-ins", &check_in).0;
                    }
                }
                turned_away
            })
        });
        let racers: Vec<_> = racers.collect();
        racers.into_iter().map(|racer| racer.join().expect("a racer")).sum()
    })
}

fn device(round: u64, customer: usize, phone: usize) -> String {
    format!("r{round}-c{customer}-d{phone}")
}

/// Each customer's first phone goes in and out alone, often enough that whoever has a push left gets it.
fn use_up(nodes: &Nodes<'_>, round: u64) {
    for customer in 0..CUSTOMERS {
        let send = |phone, step: usize, at| {
            let device = device(round, customer, phone);
            let check_in = named(&format!("{device}-alone{step}"), &device, at);
            insist(|| nodes.api(step), "POST", "/v1/check-ins", &check_in);
        };
        for phone in 0..NODES {
            send(phone, 0, OUTSIDE);
        }
        for step in 1..=2 * PUSHES_MAX {
            send(0, step, if step % 2 == 1 { INSIDE } else { OUTSIDE });
        }
    }
}

#[test]
fn no_cap_is_broken_and_nothing_sent_twice_by_nodes_that_race_and_die() {
    let mut random = Random(seed());
    let redis = Redis::start();
    let stage = Stage::set_on(&redis.url(""));
    stage.write_settings("node.toml", None);
    let nodes = Nodes::start(&stage);
    prepare(&nodes.api(0), PUSHES_MAX);
    for number in 0..NODES {
        wait_until_prepared(&nodes.api(number));
    }
    let mut phones = Phones::default();
    for round in 0..rounds(2) {
        for customer in 0..CUSTOMERS {
            for phone in 0..NODES {
                phones.put(
                    &nodes.api(phone),
                    &device(round, customer, phone),
                    &format!("r{round}-c{customer}"),
                );
            }
        }
        let raced = AtomicBool::new(false);
        let (turned_away, faults) = std::thread::scope(|scope| {
            let disturbing = scope.spawn(|| {
                let mut faults = Vec::new();
                while !raced.load(Ordering::Acquire) {
                    random.pause(0, 200);
                    faults.push(nodes.disturb(&mut random));
                }
                faults
            });
            let turned_away = race(&nodes, round);
            raced.store(true, Ordering::Release);
            (turned_away, disturbing.join().expect("the faults"))
        });
        use_up(&nodes, round);
        // Every delivery ends, whoever had leased it.
        for number in 0..NODES {
            wait_for("every delivery to end", || {
                nodes.api(number).get("/v1/status")["outbox"] == 0
            });
        }
        println!("round {round}: {faults:?}, {turned_away} times turned away");
        for (user, count) in phones.pushes(&stage) {
            assert_eq!(count, PUSHES_MAX, "pushes that reached {user} in round {round}");
        }
    }
    let arrived = stage.judge(&nodes.api(0));
    assert_eq!(arrived, rounds(2) as usize * CUSTOMERS * PUSHES_MAX);
    assert_eq!(nodes.api(1).get("/v1/dead-letters")["items"], json!([]));
}
