//! Which geofences a device is in, since when, on what evidence.
//!
//! A visit lasts while any evidence holds. GPS holds until a fix is outside: at once when the fix has no accuracy, else
//! when it is outside with 90 % probability or for the second time in a row. A beacon holds until a list of beacons lacks
//! it, or a fix is outside and it has not been heard for [`PresenceRules::beacon_holds`]. A code holds until a fix is
//! outside or [`PresenceRules::code_holds`] has passed. Evaluated at each check-in of the device.

use serde::{Deserialize, Serialize};

use super::{
    catalogue::Places,
    checkin::{CheckIn, Fix},
    geofence::Geofence,
    ids::GeofenceId,
    time::{DurationMs, Timestamp},
};

/// Most geofences that one device can be in at once; more are not entered.
pub const VISITS_MAX: usize = 1024;

/// What says that the device is there. The order is the rank: the greatest one that holds is the visit's evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// A fix inside.
    Gps,
    /// A beacon of the place is heard.
    Beacon,
    /// A code of the place was scanned.
    Code,
}

/// One stay of one device in one geofence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Visit {
    /// Where.
    pub geofence: GeofenceId,
    /// Since when, by the phone's clock.
    pub since: Timestamp,
    /// Whether the latest telling fix was inside.
    pub gps: bool,
    /// When a beacon of the place was heard last.
    pub beacon_at: Option<Timestamp>,
    /// When a code of the place was scanned last.
    pub code_at: Option<Timestamp>,
    /// Fixes in a row that were outside, but not surely.
    pub outside_fixes: u8,
}

impl Visit {
    /// The strongest evidence that holds; `None` when the visit is over.
    pub fn evidence(&self) -> Option<Evidence> {
        if self.code_at.is_some() {
            Some(Evidence::Code)
        } else if self.beacon_at.is_some() {
            Some(Evidence::Beacon)
        } else if self.gps {
            Some(Evidence::Gps)
        } else {
            None
        }
    }
}

impl Visit {
    /// Whether the visit still stands at `now`, without a further check-in: a code alone holds only so long.
    pub fn holds_at(&self, now: Timestamp, rules: PresenceRules) -> bool {
        let code_holds = self
            .code_at
            .is_some_and(|scanned| now.since(scanned) <= rules.code_holds);
        self.gps || self.beacon_at.is_some() || code_holds
    }
}

/// How long evidence holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresenceRules {
    /// A beacon that is not heard again holds this long against a fix outside.
    pub beacon_holds: DurationMs,
    /// A scanned code holds this long.
    pub code_holds: DurationMs,
}

/// A geofence that a check-in is evidence for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaceMatch {
    /// Position in the catalogue's list of geofences.
    pub place: u32,
    /// What says so.
    pub evidence: Evidence,
}

/// A change of presence.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// In or out.
    pub kind: TransitionKind,
    /// Where.
    pub geofence: GeofenceId,
    /// The strongest evidence: that it rests on when entered, that it rested on when exited.
    pub evidence: Evidence,
    /// How sure, 1 to 3.
    pub confidence: u8,
    /// How long the visit was, for exited.
    pub duration: Option<DurationMs>,
}

/// In or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransitionKind {
    /// Came in.
    Entered,
    /// Went out.
    Exited,
}

/// Android's accuracy is the 68 % radius of a two-dimensional normal distribution: sigma = accuracy / 1.51.
const ACCURACY_PER_SIGMA: f64 = 1.51;
/// P(outside) >= 0.9, the quantile of the standard normal distribution.
const SIGMAS_SURELY_OUTSIDE: f64 = 1.2816;
/// So many fixes in a row outside end a visit even if none of them is sure.
const OUTSIDE_FIXES_TO_EXIT: u8 = 2;
/// A fix is too coarse for a place when its accuracy exceeds twice the place's radius and this many metres.
const COARSE_ACCURACY_M: f64 = 200.0;

fn is_too_coarse(fix: &Fix, geofence: &Geofence) -> bool {
    fix.accuracy_m
        .is_some_and(|accuracy| accuracy > (2.0 * geofence.shape.enclosing_circle().1).max(COARSE_ACCURACY_M))
}

/// What one fix outside a geofence says.
enum Outside {
    Surely,
    Perhaps,
    NoWord,
}

fn judge_outside(fix: &Fix, geofence: &Geofence) -> Outside {
    let Some(accuracy) = fix.accuracy_m else {
        return Outside::Surely;
    };
    if is_too_coarse(fix, geofence) {
        return Outside::NoWord;
    }
    let outside_m = -geofence.shape.signed_distance_m(fix.position);
    if outside_m >= SIGMAS_SURELY_OUTSIDE * accuracy / ACCURACY_PER_SIGMA {
        Outside::Surely
    } else {
        Outside::Perhaps
    }
}

/// How sure an entry by position is: 3 from 90 % inside, 2 from 60 %, else 1; 2 for a fix without accuracy.
fn gps_confidence(fix: &Fix, geofence: &Geofence) -> u8 {
    let Some(accuracy) = fix.accuracy_m else { return 2 };
    let sigmas = geofence.shape.signed_distance_m(fix.position) * ACCURACY_PER_SIGMA / accuracy.max(0.1);
    match sigmas {
        s if s >= SIGMAS_SURELY_OUTSIDE => 3,
        s if s >= 0.2533 => 2,
        _ => 1,
    }
}

/// Moves `visits` on by one check-in and tells what changed: exits first, then entries in the catalogue's order.
pub fn observe(
    visits: &mut Vec<Visit>,
    check_in: &CheckIn,
    matches: &[PlaceMatch],
    places: &Places,
    rules: PresenceRules,
) -> Vec<Transition> {
    let mut transitions = Vec::new();
    visits.retain_mut(|visit| {
        let Some(rested_on) = visit.evidence() else {
            return false;
        };
        let place = places.find(&visit.geofence);
        weigh(
            visit,
            check_in,
            matches,
            place.map(|place| (place, places.get(place))),
            rules,
        );
        if visit.evidence().is_some() {
            return true;
        }
        transitions.push(Transition {
            kind: TransitionKind::Exited,
            geofence: visit.geofence.clone(),
            evidence: rested_on,
            confidence: if check_in.location.is_some_and(|fix| fix.accuracy_m.is_none()) {
                2
            } else {
                3
            },
            duration: Some(check_in.at.since(visit.since)),
        });
        false
    });
    for seen in matches {
        let geofence = places.get(seen.place);
        let fix = check_in.location.as_ref().filter(|_| seen.evidence == Evidence::Gps);
        if fix.is_some_and(|fix| is_too_coarse(fix, geofence)) {
            continue;
        }
        if let Some(visit) = visits.iter_mut().find(|visit| visit.geofence == geofence.id) {
            strengthen(visit, seen.evidence, check_in.at);
            continue;
        }
        let confidence = fix.map_or(3, |fix| gps_confidence(fix, geofence));
        if visits.len() >= VISITS_MAX {
            break;
        }
        let mut visit = Visit {
            geofence: geofence.id.clone(),
            since: check_in.at,
            gps: false,
            beacon_at: None,
            code_at: None,
            outside_fixes: 0,
        };
        strengthen(&mut visit, seen.evidence, check_in.at);
        visits.push(visit);
        transitions.push(Transition {
            kind: TransitionKind::Entered,
            geofence: geofence.id.clone(),
            evidence: seen.evidence,
            confidence,
            duration: None,
        });
    }
    transitions
}

fn strengthen(visit: &mut Visit, evidence: Evidence, at: Timestamp) {
    match evidence {
        Evidence::Gps => {
            visit.gps = true;
            visit.outside_fixes = 0;
        }
        Evidence::Beacon => visit.beacon_at = Some(at),
        Evidence::Code => visit.code_at = Some(at),
    }
}

/// Takes away the evidence that this check-in contradicts. `place` is `None` when the geofence is gone.
fn weigh(
    visit: &mut Visit,
    check_in: &CheckIn,
    matches: &[PlaceMatch],
    place: Option<(u32, &Geofence)>,
    rules: PresenceRules,
) {
    let Some((place, geofence)) = place else {
        (visit.gps, visit.beacon_at, visit.code_at) = (false, None, None);
        return;
    };
    let matched = |evidence| {
        matches
            .iter()
            .any(|seen| seen.place == place && seen.evidence == evidence)
    };
    // What this check-in itself shows is stronger than a position beside it.
    if matched(Evidence::Beacon) {
        visit.beacon_at = Some(check_in.at);
    }
    if matched(Evidence::Code) {
        visit.code_at = Some(check_in.at);
    }
    if check_in.beacons.is_some() && !matched(Evidence::Beacon) {
        visit.beacon_at = None;
    }
    if visit
        .code_at
        .is_some_and(|scanned| check_in.at.since(scanned) > rules.code_holds)
    {
        visit.code_at = None;
    }
    let Some(fix) = &check_in.location else { return };
    if matched(Evidence::Gps) {
        return;
    }
    let outside = match judge_outside(fix, geofence) {
        Outside::NoWord => return,
        Outside::Surely => true,
        Outside::Perhaps => {
            visit.outside_fixes = visit.outside_fixes.saturating_add(1);
            visit.outside_fixes >= OUTSIDE_FIXES_TO_EXIT
        }
    };
    if outside {
        visit.gps = false;
        if !matched(Evidence::Code) {
            visit.code_at = None;
        }
        if visit
            .beacon_at
            .is_some_and(|heard| check_in.at.since(heard) > rules.beacon_holds)
        {
            visit.beacon_at = None;
        }
    }
}
