//! Drives a server: as fast as the connections go, or on a fixed schedule whatever the server does.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::client::{Connection, Target};

/// Latencies up to this are told apart; in microseconds.
const LATENCY_MAX_US: u64 = 120_000_000;
/// After the last request was due, those that wait have this long.
const GRACE: Duration = Duration::from_secs(10);

/// Makes the body of a check-in and hears of its answer.
pub(crate) trait Traffic: Send + Sync + 'static {
    /// The body of the check-in of that number.
    fn body(&self, number: u64) -> String;
    /// The answer, and when the request was due.
    fn answered(&self, number: u64, due: Instant, status: u16, answer: &[u8]);
}

/// How requests are paced.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// The next as soon as a connection is free.
    Saturate,
    /// So many a second, at equal distances, whatever the server does.
    Rate(f64),
}

/// What one round came to.
pub(crate) struct Round {
    /// From due to answered, in microseconds.
    pub(crate) latencies: Histogram<u64>,
    /// How long it took.
    pub(crate) took: Duration,
    /// Requests that went wrong, by what.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Requests that were due and not sent within the grace.
    pub(crate) unsent: u64,
}

/// An empty histogram of microseconds. It has its full range from the start: one that grows by itself would record what
/// is beyond its range as less than it was.
pub(crate) fn latencies() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(LATENCY_MAX_US, 3)?)
}

impl Round {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latencies: latencies()?,
            took: Duration::ZERO,
            errors: BTreeMap::new(),
            unsent: 0,
        })
    }

    /// Adds another round.
    pub(crate) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.latencies.add(&other.latencies)?;
        self.took += other.took;
        self.unsent += other.unsent;
        for (what, count) in &other.errors {
            *self.errors.entry(what.clone()).or_default() += count;
        }
        Ok(())
    }

    /// Answers a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64().max(0.001)
    }
}

struct Shared {
    started: Instant,
    pace: Pace,
    next: AtomicU64,
    due: Semaphore,
    stop: AtomicBool,
    answered: AtomicU64,
}

impl Shared {
    /// When the request of that number is due.
    fn due_at(&self, number: u64) -> Instant {
        match self.pace {
            Pace::Saturate => Instant::now(),
            Pace::Rate(rate) => self.started + Duration::from_secs_f64(number as f64 / rate),
        }
    }
}

/// Drives `target` for `length`; `live` hears each second how many answers there are.
pub(crate) async fn drive(
    target: &Target,
    traffic: Arc<dyn Traffic>,
    first: u64,
    connections: usize,
    pace: Pace,
    length: Duration,
    live: impl Fn(f64, u64) + Send + 'static,
) -> anyhow::Result<Round> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(target).await?);
    }
    let shared = Arc::new(Shared {
        started: Instant::now(),
        pace,
        next: AtomicU64::new(0),
        due: Semaphore::new(0),
        stop: AtomicBool::new(false),
        answered: AtomicU64::new(0),
    });
    let pacer = {
        let shared = Arc::clone(&shared);
        std::thread::spawn(move || keep_pace(&shared, length, live))
    };
    let mut workers = JoinSet::new();
    for connection in open {
        let (shared, traffic, target) = (Arc::clone(&shared), Arc::clone(&traffic), target.clone());
        workers.spawn(async move { work(&shared, &*traffic, &target, connection, first).await });
    }
    let mut all = Round::new()?;
    while let Some(round) = workers.join_next().await {
        all.add(&round??)?;
    }
    all.took = shared.started.elapsed();
    let due = pacer.join().map_err(|_| anyhow::anyhow!("the pacer failed"))?;
    all.unsent = due.saturating_sub(all.latencies.len() + all.errors.values().sum::<u64>());
    Ok(all)
}

/// Lets requests go when they are due and ends the round. How many were due; 0 without a schedule.
fn keep_pace(shared: &Shared, length: Duration, live: impl Fn(f64, u64)) -> u64 {
    let mut released = 0;
    let mut next_line = Duration::from_secs(1);
    while shared.started.elapsed() < length {
        match shared.pace {
            Pace::Saturate => std::thread::sleep(Duration::from_millis(20)),
            Pace::Rate(rate) => {
                let due = (shared.started.elapsed().as_secs_f64() * rate) as u64;
                if due > released {
                    shared.due.add_permits((due - released) as usize);
                    released = due;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        if shared.started.elapsed() >= next_line {
            live(next_line.as_secs_f64(), shared.answered.load(Ordering::Relaxed));
            next_line += Duration::from_secs(1);
        }
    }
    let patience = Instant::now() + GRACE;
    while shared.next.load(Ordering::Relaxed) < released && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(5));
    }
    shared.stop.store(true, Ordering::Relaxed);
    shared.due.close();
    released
}

/// One connection's requests, one after the other; what is due meanwhile waits, and its waiting counts.
async fn work(
    shared: &Shared,
    traffic: &dyn Traffic,
    target: &Target,
    mut connection: Connection,
    first: u64,
) -> anyhow::Result<Round> {
    let mut round = Round::new()?;
    loop {
        if let Pace::Rate(_) = shared.pace {
            match shared.due.acquire().await {
                Ok(permit) => permit.forget(),
                Err(_) => return Ok(round),
            }
        } else if shared.stop.load(Ordering::Relaxed) {
            return Ok(round);
        }
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let due = shared.due_at(number);
        let body = traffic.body(first + number);
        match connection.call("POST", "/v1/check-ins", "application/json", body).await {
            Ok((status, answer)) => {
                let latency = due.elapsed().as_micros() as u64;
                if status == 200 {
                    round.latencies.saturating_record(latency.max(1));
                } else {
                    *round.errors.entry(format!("status {status}")).or_default() += 1;
                }
                shared.answered.fetch_add(1, Ordering::Relaxed);
                traffic.answered(first + number, due, status, &answer);
            }
            Err(error) => {
                *round.errors.entry(error.to_string()).or_default() += 1;
                connection = Connection::open(target).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_latency_is_recorded_as_long_as_it_was() {
        let mut histogram = latencies().unwrap();
        histogram.saturating_record(30_000_000);
        assert!(histogram.max() >= 30_000_000);
    }
}
