//! Whether a fix is believed, and which places lie on the way between two of them.

use serde::{Deserialize, Serialize};

use super::PresenceRules;
use crate::{
    domain::{checkin::Fix, time::Timestamp},
    geo::{Position, Shape, distance_m},
};

/// A jump of less is noise, however fast.
const JUMP_MIN_M: f64 = 1_000.0;
/// A fix may be wrong by so many times its accuracy.
const ACCURACIES: f64 = 2.0;
/// Longest step along a segment that still finds a place: a narrower one may be missed.
const STEP_MIN_M: f64 = 1.0;
/// Most steps along one segment.
const STEPS_MAX: usize = 256;

/// Something about a check-in that is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// The position is farther from the one before than anybody can travel in the time between.
    ImpossibleSpeed,
    /// The device's clock is ahead of the server's.
    ClockAhead,
}

/// A fix, as the next one is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LastFix {
    position: Position,
    accuracy_m: f32,
    at: Timestamp,
}

impl LastFix {
    pub(super) fn of(fix: &Fix, at: Timestamp) -> Self {
        Self {
            position: fix.position,
            accuracy_m: fix.accuracy_m.unwrap_or_default() as f32,
            at,
        }
    }

    /// Whether somebody can have come from there to here.
    fn reaches(&self, next: &Self, rules: PresenceRules) -> bool {
        let error_m = ACCURACIES * (f64::from(self.accuracy_m) + f64::from(next.accuracy_m));
        let way_m = distance_m(self.position, next.position) - error_m;
        let hours = next.at.since(self.at).0 as f64 / 3_600_000.0;
        way_m <= JUMP_MIN_M.max(rules.speed_max_km_per_h * 1000.0 * hours)
    }
}

/// The latest fix that was believed, and one that was not.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Fixes {
    last: Option<LastFix>,
    doubted: Option<LastFix>,
}

impl Fixes {
    /// Whether the fix is believed; if so, the one before it. A fix too far from the one before is not, unless the next
    /// one says the same: then the device has moved, or the one before was wrong.
    pub(super) fn judge(&mut self, fix: &Fix, at: Timestamp, rules: PresenceRules) -> Result<Option<LastFix>, Doubt> {
        let next = LastFix::of(fix, at);
        let from_last = self.last.is_none_or(|last| last.reaches(&next, rules));
        let from_doubted = self.doubted.is_some_and(|doubted| doubted.reaches(&next, rules));
        if !from_last && !from_doubted {
            self.doubted = Some(next);
            return Err(Doubt::ImpossibleSpeed);
        }
        // Who was believed only now has come from the fix that was doubted.
        let before = if from_last { self.last } else { self.doubted };
        self.last = Some(next);
        self.doubted = None;
        Ok(before)
    }
}

/// The straight way between two good fixes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    from: Position,
    to: Position,
    length_m: f64,
    accuracy_m: f64,
    from_at: Timestamp,
    to_at: Timestamp,
}

impl Segment {
    /// `None`: too long, in way or time, to say anything about what lies on it.
    pub(super) fn between(before: LastFix, fix: &Fix, at: Timestamp, rules: PresenceRules) -> Option<Self> {
        let next = LastFix::of(fix, at);
        let length_m = distance_m(before.position, next.position);
        let is_short = length_m <= rules.crossed_length_max_m && at.since(before.at) <= rules.crossed_time_max;
        is_short.then_some(Self {
            from: before.position,
            to: next.position,
            length_m,
            accuracy_m: f64::from(before.accuracy_m.max(next.accuracy_m)),
            from_at: before.at,
            to_at: at,
        })
    }

    /// A circle that holds the whole segment.
    pub(super) fn enclosing_circle(&self) -> (Position, f64) {
        (self.point(0.5), self.length_m / 2.0 * 1.01 + 1.0)
    }

    /// A point of the segment, straight in longitude and latitude as the edges of polygons are.
    fn point(&self, share: f64) -> Position {
        let mut east = self.to.longitude - self.from.longitude;
        if east.abs() > 180.0 {
            east -= 360.0_f64.copysign(east);
        }
        let longitude = self.from.longitude + share * east;
        Position {
            latitude: self.from.latitude + share * (self.to.latitude - self.from.latitude),
            longitude: if longitude.abs() > 180.0 {
                longitude - 360.0_f64.copysign(longitude)
            } else {
                longitude
            },
        }
    }

    /// When the way came into a place in which neither end lies; `None` when it did not, or the fixes are not good enough
    /// to tell for so small a place. Goes along in steps as long as the place is far.
    pub(super) fn crosses(&self, shape: &Shape) -> Option<Timestamp> {
        if self.accuracy_m > shape.enclosing_circle().1 || shape.contains(self.to) || shape.contains(self.from) {
            return None;
        }
        let mut gone_m = 0.0;
        for _ in 0..STEPS_MAX {
            let share = gone_m / self.length_m;
            let outside_m = -shape.signed_distance_m(self.point(share));
            if outside_m <= 0.0 {
                let passed_ms = self.to_at.since(self.from_at).0 as f64 * share;
                return Some(Timestamp(self.from_at.0 + passed_ms as i64));
            }
            // Distances to polygons are good to half a percent.
            gone_m += (outside_m * 0.99).max(STEP_MIN_M);
            if gone_m >= self.length_m {
                return None;
            }
        }
        None
    }
}
