//! Limits of how fast pushes leave: in memory, because one process has the store. A restart forgets them, which lets at
//! most one more go.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::time::Instant;

use crate::domain::pace::{Slot, SlotAsks, give_slots};

/// Limits kept in memory before those that have nothing to say are forgotten.
const KEPT_MAX: usize = 10_000;

/// When the next is due under each limit, in microseconds since the start.
pub(super) struct Pace {
    start: Instant,
    arrivals: Mutex<HashMap<String, f64>>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            arrivals: Mutex::default(),
        }
    }

    pub(super) fn give(&self, asks: &SlotAsks) -> Vec<Slot> {
        let mut kept = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let now_us = self.start.elapsed().as_micros() as f64;
        let known = asks.limits.iter().map(|limit| kept.get(&limit.name).copied());
        let mut arrivals: Vec<f64> = known.map(Option::unwrap_or_default).collect();
        let slots = give_slots(&mut arrivals, now_us, asks);
        if kept.len() > KEPT_MAX {
            kept.retain(|_, arrival| *arrival > now_us);
        }
        for (limit, arrival) in asks.limits.iter().zip(arrivals) {
            if arrival > now_us {
                kept.insert(limit.name.clone(), arrival);
            }
        }
        slots
    }
}
