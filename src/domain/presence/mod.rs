//! Which geofences a device is in, since when, on what evidence.
//!
//! One state a device and geofence over positions, beacons and codes. A visit lasts while any evidence holds:
//!
//! - a **position** until the latest fixes say surely enough that the device is outside (`edge`),
//! - a **beacon** until it was not heard for [`PresenceRules::beacon_holds`], or a list says that there is none,
//! - a **code** for [`PresenceRules::code_holds`], or until a position ends it.
//!
//! A geofence that this server doesn't know is perhaps only not known here yet: another one has just put it, and the phone
//! came in there. Its visits wait, and end when it is missing for [`MISSING_MAX`].
//!
//! What a check-in says is weighed in `observing`; what time alone brings about is in `passing`; which fixes are believed,
//! in `fixes`.

use serde::{Deserialize, Serialize};

use super::{
    catalogue::Places,
    geofence::Geofence,
    ids::GeofenceId,
    time::{DurationMs, Timestamp},
};

mod edge;
mod fixes;
mod observing;
mod passing;
mod visit;

#[cfg(test)]
mod tests;

pub use edge::{Estimate, OutsideRow, Thresholds};
pub use fixes::{Doubt, Fixes, LastFix};
pub use observing::Observation;
pub use visit::{Evidence, ExitReason, Missing, Transition, TransitionKind, Visit};

/// Most geofences that one device can be in at once; more are not entered.
pub const VISITS_MAX: usize = 1024;

/// A geofence must be missing from the catalogue for so long before its visits end: much longer than a server takes to
/// follow what another one has changed.
pub const MISSING_MAX: DurationMs = DurationMs::from_secs(60);

/// A place that the device has left and may still be beside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Left {
    geofence: GeofenceId,
    estimate: Estimate,
}

/// What is remembered of a device's way.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Whereabouts {
    /// Where it is.
    pub visits: Vec<Visit>,
    /// Where it was a moment ago.
    pub left: Vec<Left>,
    /// The fixes by which the next one is judged.
    pub fixes: Fixes,
}

/// How evidence is weighed and how long it holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PresenceRules {
    /// How sure a fix must be, unless a geofence has its own.
    pub thresholds: Thresholds,
    /// A beacon that is not heard again holds this long.
    pub beacon_holds: DurationMs,
    /// A scanned code holds this long.
    pub code_holds: DurationMs,
    /// A visit of which nothing is heard ends after this.
    pub silent_after: DurationMs,
    /// Nobody is faster.
    pub speed_max_km_per_h: f64,
    /// A clock may be ahead of the server's by so much.
    pub clock_ahead_max: DurationMs,
    /// Whether places between two fixes are told, unless a geofence has its own wish.
    pub crossed: bool,
    /// Longest way between such fixes.
    pub crossed_length_max_m: f64,
    /// Longest time between them.
    pub crossed_time_max: DurationMs,
}

impl PresenceRules {
    /// The rules that the commented defaults of the settings hold, too.
    pub const DEFAULT: Self = Self {
        thresholds: Thresholds {
            enter_at: 0.5,
            exit_at: 0.9,
            exit_after_fixes: 2,
        },
        beacon_holds: DurationMs::from_secs(300),
        code_holds: DurationMs::from_secs(900),
        silent_after: DurationMs::from_secs(6 * 3600),
        speed_max_km_per_h: 1200.0,
        clock_ahead_max: DurationMs::from_secs(300),
        crossed: false,
        crossed_length_max_m: 2_000.0,
        crossed_time_max: DurationMs::from_secs(120),
    };

    fn thresholds(&self, geofence: &Geofence) -> Thresholds {
        let Some(own) = &geofence.presence else {
            return self.thresholds;
        };
        Thresholds {
            enter_at: own.enter_at.unwrap_or(self.thresholds.enter_at),
            exit_at: own.exit_at.unwrap_or(self.thresholds.exit_at),
            exit_after_fixes: own.exit_after_fixes.unwrap_or(self.thresholds.exit_after_fixes),
        }
    }

    fn tells_crossings(&self, geofence: &Geofence) -> bool {
        let own = geofence.presence.as_ref().and_then(|own| own.crossed);
        own.unwrap_or(self.crossed)
    }
}

/// A geofence that a check-in is evidence for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaceMatch {
    /// Position in the catalogue's list of geofences.
    pub place: u32,
    /// What says so.
    pub evidence: Evidence,
}

impl Whereabouts {
    /// Lets time pass up to `until` by the phone's clock, which is `now` by the server's. `lengths`: which stays are told
    /// of a geofence, in any order.
    pub fn pass(
        &mut self,
        until: Timestamp,
        now: Timestamp,
        places: &Places,
        lengths: impl Fn(&Geofence) -> Vec<DurationMs>,
        rules: PresenceRules,
    ) -> Vec<Transition> {
        let mut transitions = Vec::new();
        self.visits.retain_mut(|visit| {
            if let Some(place) = places.find(&visit.geofence) {
                visit.missing = None;
                return visit.pass(until, &lengths(places.get(place)), rules, &mut transitions);
            }
            visit.is_kept_without_geofence(until, now, &mut transitions)
        });
        transitions.sort_by_key(|transition| transition.at);
        transitions
    }

    /// When time alone brings something about next. `server_time` turns the phone's clock into the server's.
    pub fn next_due(
        &self,
        places: &Places,
        lengths: impl Fn(&Geofence) -> Vec<DurationMs>,
        rules: PresenceRules,
        server_time: impl Fn(Timestamp) -> Timestamp,
    ) -> Option<Timestamp> {
        let due = |visit: &Visit| {
            if let Some(missing) = visit.missing {
                return Some(missing.ends_at());
            }
            let lengths = places.find(&visit.geofence).map(|place| lengths(places.get(place)));
            visit.next_due(&lengths.unwrap_or_default(), rules).map(&server_time)
        };
        self.visits.iter().filter_map(due).min()
    }

    /// Ends all visits, and forgets the way.
    pub fn end(&mut self, at: Timestamp, reason: ExitReason) -> Vec<Transition> {
        let visits = std::mem::take(self).visits;
        let exited = |visit: &Visit| {
            let rested_on = visit.evidence()?;
            Some(visit.exited(at.max(visit.seen_at), rested_on, 3, Some(reason), false))
        };
        visits.iter().filter_map(exited).collect()
    }
}
