//! Which partitions have something due, so that nobody has to ask all of them all the time.
//!
//! A node knows at once what it has committed itself. What other nodes left, or left behind when they died, is found by a
//! sweep over all partitions: one small command each, at most every [`SWEEP_EVERY`].

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use redis::{FromRedisValue, cmd};
use tokio::time::Instant;

use super::{
    RedisStore,
    link::Failure,
    scripts::{Arguments, Lua},
};
use crate::{
    domain::{
        lane::{LaneKey, LanePart},
        time::Timestamp,
    },
    engine::ports::StoreError,
};

/// How long the due work of other nodes stays unnoticed.
const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// Lanes of a partition that are looked through for one that is not held, and how many at once.
const LANES_MAX: usize = 8192;
const LANES_PAGE: usize = 256;
/// A partition that can't be reached is tried again after this.
pub(super) const AGAIN_MS: i64 = 1000;
/// Rounds of one lease. Each takes rows or learns that there are none.
pub(super) const ROUNDS_MAX: usize = 16;

/// What is known of one partition.
#[derive(Clone, Copy, Default)]
struct Known {
    /// When its next row is due; it may be later, and never earlier but for what other nodes did.
    due: Option<i64>,
    /// Counts what was added here, so that an answer that is older does not hide it.
    added: u32,
}

/// Next due times, by partition.
pub(super) struct Agenda {
    /// What follows a partition's tag in the name of its sorted set of due times.
    set: &'static str,
    known: Mutex<Vec<Known>>,
    swept: tokio::sync::Mutex<Option<Instant>>,
    /// What was held when that was learned: nothing is known of it.
    held: Mutex<Vec<LanePart>>,
}

impl Agenda {
    pub(super) fn new(set: &'static str, partitions: usize) -> Self {
        Self {
            set,
            known: Mutex::new(vec![Known::default(); partitions]),
            swept: tokio::sync::Mutex::new(None),
            held: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This node has put something there.
    pub(super) fn add(&self, partition: usize, due: i64) {
        let known = &mut self.known()[partition];
        known.due = Some(known.due.map_or(due, |earlier| earlier.min(due)));
        known.added = known.added.wrapping_add(1);
    }

    /// This node is about to put something there; the answer will say when what is there is due.
    pub(super) fn expect(&self, partition: usize) -> u32 {
        let known = &mut self.known()[partition];
        known.added = known.added.wrapping_add(1);
        known.added
    }

    /// This node is about to take something away there, or nothing.
    pub(super) fn had(&self, partition: usize) -> u32 {
        self.known()[partition].added
    }

    /// The partition was asked when it had `added`.
    pub(super) fn learn(&self, partition: usize, added: u32, due: Option<i64>) {
        let known = &mut self.known()[partition];
        known.due = if known.added == added {
            due
        } else {
            known.due.into_iter().chain(due).min()
        };
    }

    /// Partitions with something due, the longest due first, and what they had.
    pub(super) fn due(&self, now: Timestamp) -> Vec<(usize, u32)> {
        let mut due: Vec<(i64, usize, u32)> = self
            .known()
            .iter()
            .enumerate()
            .filter_map(|(partition, known)| Some((known.due.filter(|due| *due <= now.0)?, partition, known.added)))
            .collect();
        due.sort_unstable();
        due.into_iter()
            .map(|(_, partition, added)| (partition, added))
            .collect()
    }

    /// Asks every partition unless that was done just now. What is due in lanes that are held is left out.
    pub(super) async fn sweep(&self, store: &RedisStore, held: &[LanePart]) -> Result<(), StoreError> {
        let mut swept = self.swept.lock().await;
        if self.lets_go(held) {
            *swept = None;
        }
        if swept.is_some_and(|last| last.elapsed() < SWEEP_EVERY) {
            return Ok(());
        }
        let added: Vec<u32> = self.known().iter().map(|known| known.added).collect();
        let held: HashSet<&str> = held.iter().map(LanePart::as_str).collect();
        let held = &held;
        let answers = join_all((0..store.keys.count()).map(|partition| self.first_open(store, partition, held))).await;
        let (mut reached, mut last_failure) = (false, None);
        for ((partition, added), answer) in added.into_iter().enumerate().zip(answers) {
            match answer {
                Ok(due) => {
                    reached = true;
                    self.learn(partition, added, due);
                }
                Err(failure) => last_failure = Some(failure),
            }
        }
        match last_failure {
            Some(failure) if !reached => Err(failure.into()),
            _ => {
                *swept = Some(Instant::now());
                Ok(())
            }
        }
    }

    /// When the first of a partition is due that is not held.
    async fn first_open(
        &self,
        store: &RedisStore,
        partition: usize,
        held: &HashSet<&str>,
    ) -> Result<Option<i64>, Failure> {
        let count = if held.is_empty() { 1 } else { LANES_PAGE };
        for from in (0..LANES_MAX).step_by(count) {
            let mut page = cmd("ZRANGE");
            page.arg(format!("{}:{}", store.keys.partition(partition), self.set));
            page.arg(from).arg(from + count - 1).arg("WITHSCORES");
            let page: Vec<(Vec<u8>, i64)> = store.link.ask(&page).await?;
            let open = page.iter().find(|(name, _)| !is_held(name, held));
            if open.is_some() || held.is_empty() || page.len() < count {
                return Ok(open.map(|(_, due)| *due));
            }
        }
        Ok(None)
    }

    /// Whether something that was held is held no more.
    fn lets_go(&self, held: &[LanePart]) -> bool {
        let mut before = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let lets_go = before.iter().any(|part| !held.contains(part));
        held.clone_into(&mut before);
        lets_go
    }

    /// When something is due next.
    pub(super) async fn next(&self, store: &RedisStore, held: &[LanePart]) -> Result<Option<Timestamp>, StoreError> {
        self.sweep(store, held).await?;
        Ok(self.known().iter().filter_map(|known| known.due).min().map(Timestamp))
    }

    /// Takes up to `limit` due rows by `script`, which answers when the partition's next row is due, and its rows. A
    /// partition that can't be reached doesn't hold up the others.
    pub(super) async fn lease<Row: FromRedisValue>(
        &self,
        store: &RedisStore,
        script: &Lua,
        (now, until): (Timestamp, Timestamp),
        limit: usize,
    ) -> Result<Vec<(usize, Row)>, StoreError> {
        self.sweep(store, &[]).await?;
        let mut rows = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let room = limit - rows.len();
            let mut due = self.due(now);
            due.truncate(room);
            if due.is_empty() {
                break;
            }
            let share = room / due.len();
            let mut arguments = Arguments::default();
            arguments.number(now.0).number(until.0).number(share).number(store.node);
            let arguments = &arguments;
            let answers = join_all(due.into_iter().map(async |(partition, added)| {
                let key = store.keys.partition(partition);
                let answer: Result<(String, Vec<Row>), Failure> = script.run(&store.link, key, arguments).await;
                (partition, added, answer)
            }))
            .await;
            let mut last_failure = None;
            for (partition, added, answer) in answers {
                match answer {
                    Ok((next, leased)) => {
                        self.learn(partition, added, score(&next));
                        rows.extend(leased.into_iter().map(|row| (partition, row)));
                    }
                    Err(failure) => {
                        self.learn(partition, added, Some(now.0 + AGAIN_MS));
                        last_failure = Some(failure);
                    }
                }
            }
            if let (Some(failure), true) = (last_failure, rows.is_empty()) {
                return Err(failure.into());
            }
            if rows.len() >= limit {
                break;
            }
        }
        Ok(rows)
    }
}

/// Whether one of a lane's beginnings is held; what is no lane is not.
fn is_held(name: &[u8], held: &HashSet<&str>) -> bool {
    let lane = std::str::from_utf8(name).ok().and_then(LaneKey::read);
    lane.is_some_and(|lane| lane.parts().any(|part| held.contains(part)))
}

/// A sorted set's score as it is written in Lua's answers.
pub(super) fn score(text: &str) -> Option<i64> {
    text.parse::<f64>().ok().map(|score| score as i64)
}
