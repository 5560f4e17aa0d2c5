//! Masters of a Redis Cluster die or stand still, and their replicas take over.

use std::time::{Duration, Instant};

use super::{INSIDE, Phones, Random, insist, named, prepare, rounds, seed, wait_until_prepared};
use crate::{
    harness::{Api, wait_for},
    redis_server::{Cluster, Redis},
    stage::Stage,
};

const CUSTOMERS: usize = 10;
const SERVERS: usize = 2;
/// Replicas elect one of themselves within this, if the machine is not too busy.
const ELECTION_MAX: Duration = Duration::from_secs(10);

fn device(round: u64, customer: usize) -> String {
    format!("r{round}-c{customer}-phone")
}

/// The customer walks in: how often that was turned away, and what became of it.
fn walk_in(api: &Api, round: u64, customer: usize) -> (usize, String) {
    let device = device(round, customer);
    let check_in = named(&format!("{device}-in"), &device, INSIDE);
    let (turned_away, answer) = insist(|| api.clone(), "POST", "/v1/check-ins", &check_in);
    let status = answer["results"][0]["status"].as_str().expect("a status").to_owned();
    (turned_away, status)
}

/// One of a master and its replica, and the other one; either may be the master.
type Pair = [Redis; 2];

/// The master goes, and its replica takes over; later the old one is back as a replica.
fn take_over(pair: &mut Pair, kind: usize, random: &mut Random) -> &'static str {
    random.pause(0, 300);
    let master = pair.iter().position(Redis::is_master).expect("a master");
    let promoted = |pair: &Pair| {
        let (replica, begun) = (&pair[1 - master], Instant::now());
        wait_for("the replica to take over", || {
            // On a busy machine elections fail now and then: the operator decides.
            if begun.elapsed() > ELECTION_MAX {
                replica.cli(&["cluster", "failover", "takeover"]);
            }
            replica.is_master()
        });
    };
    let demoted = |pair: &Pair| wait_for("the old master to follow", || !pair[master].is_master());
    match kind % 3 {
        0 => {
            pair[master].stop();
            promoted(pair);
            pair[master].restart();
            demoted(pair);
            "killed"
        }
        1 => {
            pair[master].signal("-STOP");
            promoted(pair);
            // It wakes up and believes that it still leads.
            pair[master].signal("-CONT");
            demoted(pair);
            "stopped"
        }
        _ => {
            pair[1 - master].cli(&["cluster", "failover", "takeover"]);
            promoted(pair);
            demoted(pair);
            "told to hand over"
        }
    }
}

#[test]
fn no_push_is_sent_twice_or_lost_for_good_when_replicas_take_over() {
    let mut random = Random(seed());
    let mut cluster = Cluster::start();
    let replicas: Vec<Redis> = (0..cluster.nodes.len())
        .map(|master| cluster.replica_of(master))
        .collect();
    let stage = Stage::set_on(&cluster.url("replicas=1&timeout_ms=500"));
    let mut pairs: Vec<Pair> = cluster.nodes.drain(..).zip(replicas).map(Into::into).collect();
    stage.write_settings("node.toml", None);
    let nodes: Vec<_> = (0..SERVERS).map(|_| stage.serve_with("node.toml")).collect();
    let servers: Vec<Api> = nodes.iter().map(|(_, api)| api.clone()).collect();
    prepare(&servers[0], 1);
    servers.iter().for_each(wait_until_prepared);
    let mut phones = Phones::default();
    for round in 0..rounds(3) {
        for customer in 0..CUSTOMERS {
            phones.put(
                &servers[customer % SERVERS],
                &device(round, customer),
                &format!("r{round}-c{customer}"),
            );
        }
        // The first half has come in before the fault, and replicas know of it.
        let (early, late) = (0..CUSTOMERS / 2, CUSTOMERS / 2..CUSTOMERS);
        for customer in early.clone() {
            assert_eq!(walk_in(&servers[customer % SERVERS], round, customer).1, "processed");
        }
        for pair in &pairs {
            pair.iter()
                .filter(|node| node.is_master())
                .for_each(Redis::wait_for_copy);
        }
        let chosen = random.below(pairs.len());
        // The others come in before, while and after a replica takes over.
        let moments: Vec<Duration> = late
            .clone()
            .map(|_| Duration::from_millis(random.below(4000) as u64))
            .collect();
        let (turned_away, fault) = std::thread::scope(|scope| {
            let disturbing = scope.spawn(|| take_over(&mut pairs[chosen], round as usize, &mut random));
            let walkers = late.clone().zip(moments).map(|(customer, moment)| {
                let api = &servers[customer % SERVERS];
                scope.spawn(move || {
                    std::thread::sleep(moment);
                    walk_in(api, round, customer).0
                })
            });
            let walkers: Vec<_> = walkers.collect();
            let turned_away: usize = walkers.into_iter().map(|one| one.join().expect("a walker")).sum();
            (turned_away, disturbing.join().expect("a fault"))
        });
        // A check-in that only the lost master knew of may be gone: sent again under its name, it counts once.
        let again = |customers: std::ops::Range<usize>| {
            let walks = customers.map(|customer| walk_in(&servers[customer % SERVERS], round, customer).1);
            walks.filter(|status| status == "processed").count()
        };
        assert_eq!(again(early), 0, "what a replica knew of is lost in round {round}");
        let lost = again(late);
        println!("round {round}: a master {fault}, {turned_away} times turned away, {lost} taken once more");
        for api in &servers {
            wait_for("every delivery to end", || {
                let status = api.call("GET", "/v1/status", "", &[]);
                status.status == 200 && status.body["outbox"] == 0
            });
        }
        for (user, count) in phones.pushes(&stage) {
            assert_eq!(count, 1, "pushes that reached {user} in round {round}");
        }
    }
    assert_eq!(stage.judge(&servers[0]), rounds(3) as usize * CUSTOMERS);
}
