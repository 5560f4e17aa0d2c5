//! How sure a fix is about one geofence's edge, and how a standing phone's noise is kept from moving anything.
//!
//! A fix tells the signed distance d to the edge, positive inside, with a standard deviation sigma: P(inside) = Phi(d /
//! sigma). A first entry rests on one fix. Whoever has come in is followed by an *estimate* of d over the latest fixes,
//! which trusts the old estimate less the more time has passed: a person may have walked away. An exit needs the
//! estimate, but judges it by the sigma of a single fix, since the errors of fixes that follow each other are alike.
//!
//! A phone on the edge would now still come and go, only seldom. So a place that was left is remembered while fixes keep
//! coming, and entered again only surely: see [`Estimate::returned`].

use serde::{Deserialize, Serialize};

use crate::domain::{
    checkin::Fix,
    delivery::Platform,
    geofence::Geofence,
    time::{DurationMs, Timestamp},
};

/// Android's accuracy is the 68 % radius of a two-dimensional normal distribution.
const ANDROID_ACCURACY_PER_SIGMA: f64 = 1.51;
/// Apple's is about the square root of two of them.
const IOS_ACCURACY_PER_SIGMA: f64 = std::f64::consts::SQRT_2;
/// What a fix without accuracy is taken for: its word.
const SIGMA_MIN_M: f64 = 0.001;
/// A fix is too coarse for a place when its accuracy exceeds twice the place's radius and this many metres.
const COARSE_ACCURACY_M: f64 = 200.0;
/// So fast somebody may have gone away from the estimate, in metres a second. Faster ones are noticed by the jump.
const DRIFT_M_PER_S: f64 = 0.7;
/// Between fixes that follow each other so soon the device is not taken to have gone farther than one of them can tell:
/// the next one comes before anything is missed. A lone fix is believed at once.
const SOON_S: f64 = 20.0;
/// A fix that is so many deviations from where it was expected is no noise: the device has moved there.
const JUMP_SIGMAS: f64 = 5.0;
/// Who has left comes back when the estimate is so sure (99.9 %) ...
const RETURN_SIGMAS: f64 = 3.1;
/// ... or so deep inside, as a share of the place's radius, where the place is too small for that.
const RETURN_DEPTH: f64 = 0.75;
/// Who is so far outside is away: the next entry is a first one again.
const AWAY_SIGMAS: f64 = 5.0;
/// So is who was not located for so long.
const AWAY_AFTER: DurationMs = DurationMs::from_secs(600);
/// Fixes in a row outside that end a visit take at least so long: noise of one moment is one fix.
const OUTSIDE_SPAN_MIN: DurationMs = DurationMs::from_secs(30);

/// How sure a fix must be. Of the workspace, or a geofence's own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// P(inside) that lets a visit begin; at least 0.5, since only geofences that hold the fix are looked at.
    pub enter_at: f64,
    /// P(outside) that ends one.
    pub exit_at: f64,
    /// So many fixes in a row outside end it, too.
    pub exit_after_fixes: u8,
}

/// A fix as one geofence sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// Metres to the edge, positive inside.
    pub(super) inside_m: f64,
    /// Standard deviation of that.
    pub(super) sigma_m: f64,
    /// When.
    pub(super) at: Timestamp,
}

impl Reading {
    /// `None`: the fix is too coarse for the place and says nothing about it.
    pub(super) fn of(fix: &Fix, at: Timestamp, geofence: &Geofence, platform: Option<Platform>) -> Option<Self> {
        let radius_m = geofence.shape.enclosing_circle().1;
        let accuracy_m = fix.accuracy_m.unwrap_or_default();
        if accuracy_m > (2.0 * radius_m).max(COARSE_ACCURACY_M) {
            return None;
        }
        Some(Self {
            inside_m: geofence.shape.signed_distance_m(fix.position),
            sigma_m: sigma_m(accuracy_m, platform),
            at,
        })
    }

    /// P(inside).
    pub(super) fn inside(&self) -> f64 {
        phi(self.inside_m / self.sigma_m)
    }
}

/// The standard deviation behind a phone's accuracy; a device of unknown platform counts as Android.
pub(super) fn sigma_m(accuracy_m: f64, platform: Option<Platform>) -> f64 {
    let per_sigma = match platform {
        Some(Platform::Ios) => IOS_ACCURACY_PER_SIGMA,
        Some(Platform::Android) | None => ANDROID_ACCURACY_PER_SIGMA,
    };
    (accuracy_m / per_sigma).max(SIGMA_MIN_M)
}

/// Where the device is beside one edge, by all its latest fixes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    inside_m: f32,
    variance_m2: f32,
    at: Timestamp,
}

impl Estimate {
    pub(super) fn first(reading: Reading) -> Self {
        Self {
            inside_m: reading.inside_m as f32,
            variance_m2: (reading.sigma_m * reading.sigma_m) as f32,
            at: reading.at,
        }
    }

    /// Takes one more fix in.
    pub(super) fn update(&mut self, reading: Reading) {
        let seconds = reading.at.since(self.at).0 as f64 / 1000.0;
        let variance = reading.sigma_m * reading.sigma_m;
        let drift = (DRIFT_M_PER_S * seconds).powi(2);
        let drift = if seconds <= SOON_S { drift.min(variance) } else { drift };
        let expected = f64::from(self.variance_m2) + drift;
        let surprise = reading.inside_m - f64::from(self.inside_m);
        if surprise * surprise > JUMP_SIGMAS * JUMP_SIGMAS * (expected + variance) {
            *self = Self::first(reading);
            return;
        }
        let gain = expected / (expected + variance);
        self.inside_m += (gain * surprise) as f32;
        self.variance_m2 = ((1.0 - gain) * expected) as f32;
        self.at = reading.at;
    }

    /// Deviations of one such fix that the device is inside.
    fn sigmas(&self, reading: Reading) -> f64 {
        f64::from(self.inside_m) / reading.sigma_m
    }

    /// P(outside), if one such fix had said what the estimate says.
    pub(super) fn outside(&self, reading: Reading) -> f64 {
        phi(-self.sigmas(reading))
    }

    /// Whether somebody who had left has surely come back.
    pub(super) fn returned(&self, reading: Reading, geofence: &Geofence) -> bool {
        let depth_m = RETURN_DEPTH * geofence.shape.enclosing_circle().1;
        self.sigmas(reading) >= RETURN_SIGMAS || f64::from(self.inside_m) >= depth_m
    }

    /// Whether somebody who had left is away, by this fix.
    pub(super) fn is_away(&self, reading: Reading) -> bool {
        self.sigmas(reading) <= -AWAY_SIGMAS
    }

    /// Whether it is too old to say anything at `at`.
    pub(super) fn is_stale(&self, at: Timestamp) -> bool {
        at.since(self.at) > AWAY_AFTER
    }
}

/// Fixes in a row outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OutsideRow {
    fixes: u8,
    since: Timestamp,
}

impl OutsideRow {
    /// Takes one more fix in; whether the row is long enough to end a visit.
    pub(super) fn takes(&mut self, reading: Reading, thresholds: Thresholds) -> bool {
        if reading.inside_m >= 0.0 {
            *self = Self::default();
            return false;
        }
        if self.fixes == 0 {
            self.since = reading.at;
        }
        self.fixes = self.fixes.saturating_add(1);
        self.fixes >= thresholds.exit_after_fixes && reading.at.since(self.since) >= OUTSIDE_SPAN_MIN
    }
}

/// The standard normal distribution up to `x`, to 2e-7 (Abramowitz and Stegun, 7.1.26).
pub(super) fn phi(x: f64) -> f64 {
    let y = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * y);
    let series =
        t * (0.254_829_592 + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let tail = 0.5 * series * (-y * y).exp();
    if x < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_distribution_is_that_of_the_tables() {
        for (x, expected) in [
            (0.0, 0.5),
            (1.0, 0.841_345),
            (1.2816, 0.9),
            (-2.0, 0.022_750),
            (3.0902, 0.999),
        ] {
            assert!((phi(x) - expected).abs() < 1e-5, "{x}: {}", phi(x));
        }
        assert!(phi(40.0) <= 1.0 && phi(-40.0) >= 0.0);
    }

    #[test]
    fn the_same_accuracy_means_a_wider_error_on_ios() {
        let (ios, android) = (
            sigma_m(10.0, Some(Platform::Ios)),
            sigma_m(10.0, Some(Platform::Android)),
        );
        assert!((ios - 7.071).abs() < 0.001 && (android - 6.623).abs() < 0.001);
        assert!(sigma_m(0.0, None) > 0.0, "nothing is divided by zero");
    }
}
