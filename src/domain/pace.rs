//! How fast pushes may leave: the generic cell rate algorithm (ITU-T I.371, GCRA) over any number of limits at once. Pure;
//! a store keeps one number for each limit.

use std::time::Duration;

use super::{
    json_reader::{Node, Refusal},
    time::DurationMs,
};

/// Greatest `max` of a speed.
pub(super) const SPEED_MAX: i64 = 1_000_000;
/// Least and greatest `per` of a speed.
const PER: std::ops::RangeInclusive<DurationMs> = DurationMs::from_secs(1)..=DurationMs::from_secs(24 * 3600);

/// At most `max` in any `per`, evenly spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed {
    /// So many, 1 to 1,000,000.
    pub max: u32,
    /// In this time, a second to a day.
    pub per: DurationMs,
}

/// A limit that many servers share.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// Names it among all of the installation.
    pub name: String,
    /// From one to the next, in microseconds.
    pub interval_us: f64,
    /// How far the next may be ahead of its time, in microseconds.
    pub burst_us: f64,
}

/// What rows ask for: limits, and which of them count for each row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SlotAsks {
    /// All limits.
    pub limits: Vec<Limit>,
    /// For each row.
    pub rows: Vec<SlotAsk>,
}

/// What one row asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct SlotAsk {
    /// Positions in [`SlotAsks::limits`].
    pub limits: Vec<usize>,
    /// It takes a slot that begins within this.
    pub ahead: Duration,
}

/// When a row may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// From now on.
    pub wait: Duration,
    /// The limit (position) that has no slot soon enough, so that none was taken; `None`: this one is the row's.
    pub refused_by: Option<usize>,
}

impl Speed {
    /// Reads `{"max": 1000, "per": "PT1M"}`.
    pub fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        node.only(&["max", "per"])?;
        let per_node = node.required("per")?;
        let per = per_node.parse(DurationMs::parse)?;
        if !PER.contains(&per) {
            return Err(per_node.refuse("must be from PT1S to P1D"));
        }
        Ok(Self {
            max: node.required("max")?.integer(1, SPEED_MAX)? as u32,
            per,
        })
    }

    /// From one to the next, in microseconds.
    pub fn interval_us(self) -> f64 {
        self.per.0 as f64 * 1000.0 / f64::from(self.max)
    }
}

impl Limit {
    /// A limit that holds in any window of that length, without bursts.
    pub fn smooth(name: String, speed: Speed) -> Self {
        Self {
            name,
            interval_us: speed.interval_us(),
            burst_us: 0.0,
        }
    }

    /// A limit of so many in any minute and any hour, half of the minute's at once; `None` without both.
    pub fn bursty(name: String, per_minute_max: u32, per_hour_max: u32) -> Option<Self> {
        if per_minute_max == 0 || per_hour_max == 0 {
            return None;
        }
        let (minute, hour) = (f64::from(per_minute_max), f64::from(per_hour_max));
        let burst = (minute / 2.0).min(hour / 2.0).floor();
        let a_second = ((minute - burst) / 60.0).min((hour - burst) / 3600.0);
        let interval_us = 1_000_000.0 / a_second;
        Some(Self {
            name,
            interval_us,
            burst_us: interval_us * (burst - 1.0).max(0.0),
        })
    }
}

/// Gives slots. `arrivals` has for each limit when the next is due, in microseconds; those of the past count as now.
///
/// A row that has to wait for one limit takes its place in the others now: they are not held up by it.
pub fn give_slots(arrivals: &mut [f64], now_us: f64, asks: &SlotAsks) -> Vec<Slot> {
    for arrival in arrivals.iter_mut() {
        *arrival = arrival.max(now_us);
    }
    let mut slots = Vec::with_capacity(asks.rows.len());
    for row in &asks.rows {
        let (mut at, mut by) = (now_us, None);
        for &limit in &row.limits {
            let begins = arrivals[limit] - asks.limits[limit].burst_us;
            if begins > at {
                (at, by) = (begins, Some(limit));
            }
        }
        let wait = Duration::from_micros((at - now_us).ceil() as u64);
        let refused_by = by.filter(|_| wait > row.ahead);
        if refused_by.is_none() {
            for &limit in &row.limits {
                arrivals[limit] += asks.limits[limit].interval_us;
            }
        }
        slots.push(Slot { wait, refused_by });
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: f64 = 1_000_000.0;

    fn asks(limits: Vec<Limit>, rows: usize, ahead: Duration) -> SlotAsks {
        let all: Vec<usize> = (0..limits.len()).collect();
        let row = SlotAsk { limits: all, ahead };
        SlotAsks {
            limits,
            rows: vec![row; rows],
        }
    }

    fn speed(max: u32, seconds: i64) -> Speed {
        Speed {
            max,
            per: DurationMs::from_secs(seconds),
        }
    }

    #[test]
    fn slots_are_evenly_spread_and_those_too_far_ahead_are_not_taken() {
        let asks = asks(
            vec![Limit::smooth("c".into(), speed(10, 1))],
            8,
            Duration::from_millis(450),
        );
        let mut arrivals = [0.0];
        let slots = give_slots(&mut arrivals, SECOND, &asks);
        let waits: Vec<u128> = slots.iter().map(|slot| slot.wait.as_millis()).collect();
        assert_eq!(waits, [0, 100, 200, 300, 400, 500, 500, 500]);
        let taken = slots.iter().filter(|slot| slot.refused_by.is_none()).count();
        assert_eq!((taken, arrivals[0]), (5, 1.5 * SECOND));
    }

    #[test]
    fn any_window_holds_at_most_what_the_speed_says_however_it_is_asked() {
        let limit = Limit::smooth("c".into(), speed(1000, 60));
        let (mut arrivals, mut taken) = ([0.0], Vec::new());
        // Asked at odd moments, for odd numbers of rows, for ten minutes.
        let mut now = 0.0;
        while now < 600.0 * SECOND {
            let asks = asks(vec![limit.clone()], 1 + (now as usize / 7) % 50, Duration::from_secs(1));
            let slots = give_slots(&mut arrivals, now, &asks);
            let mine = slots.iter().filter(|slot| slot.refused_by.is_none());
            taken.extend(mine.map(|slot| now + slot.wait.as_micros() as f64));
            now += 0.35 * SECOND + (now % 977.0);
        }
        let total = taken.iter().filter(|at| **at < 600.0 * SECOND).count();
        assert!((9_900..=10_001).contains(&total), "{total}");
        for (index, begin) in taken.iter().enumerate() {
            let within = taken[index..]
                .iter()
                .take_while(|at| **at < begin + 59.999 * SECOND)
                .count();
            assert!(within <= 1000, "{within} within a minute");
        }
    }

    #[test]
    fn a_devices_limits_hold_in_any_minute_and_hour() {
        let limit = Limit::bursty("d".into(), 240, 5000).expect("a limit");
        let (mut arrivals, mut taken) = ([0.0], Vec::new());
        for second in 0..7200 {
            let now = f64::from(second) * SECOND;
            let slots = give_slots(&mut arrivals, now, &asks(vec![limit.clone()], 20, Duration::ZERO));
            taken.extend(slots.iter().filter(|slot| slot.refused_by.is_none()).map(|_| second));
        }
        let mut so_far = vec![0];
        for second in 0..7200 {
            so_far.push(
                so_far[second]
                    + taken
                        .iter()
                        .skip(so_far[second])
                        .take_while(|at| **at == second as i32)
                        .count(),
            );
        }
        let most = |length: usize| {
            (0..7200 - length)
                .map(|begin| so_far[begin + length] - so_far[begin])
                .max()
        };
        assert!(most(60) <= Some(240), "{:?}", most(60));
        assert!(most(3600) <= Some(5000), "{:?}", most(3600));
        assert!(most(3600) >= Some(4500), "{:?}", most(3600));
    }

    #[test]
    fn a_row_that_waits_for_one_limit_does_not_hold_up_the_others() {
        let limits = vec![
            Limit::smooth("campaign".into(), speed(1, 1)),
            Limit::smooth("project".into(), speed(1000, 1)),
        ];
        let mut asks = asks(limits, 3, Duration::from_secs(5));
        asks.rows.push(SlotAsk {
            limits: vec![1],
            ahead: Duration::from_secs(5),
        });
        let slots = give_slots(&mut [0.0, 0.0], 0.0, &asks);
        let waits: Vec<u128> = slots.iter().map(|slot| slot.wait.as_millis()).collect();
        assert_eq!(waits, [0, 1000, 2000, 3]);
    }
}
