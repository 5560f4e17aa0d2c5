//! What a check-in says about where its device is.

use super::{
    Doubt, Estimate, Evidence, LastFix, Left, PlaceMatch, PresenceRules, Transition, TransitionKind, VISITS_MAX, Visit,
    Whereabouts, edge::Reading, fixes::Segment,
};
use crate::domain::{
    catalogue::Places,
    checkin::{CheckIn, Fix},
    delivery::Platform,
    time::Timestamp,
};

/// Most places that were left and are remembered; the one left first is forgotten.
const LEFT_MAX: usize = 32;
/// Most places crossed between two fixes that are told.
const CROSSED_MAX: usize = 32;

/// A check-in as presence takes it.
#[derive(Clone, Copy)]
pub struct Observation<'a> {
    /// What the phone reports.
    pub check_in: &'a CheckIn,
    /// What it is evidence for.
    pub matches: &'a [PlaceMatch],
    /// What reports.
    pub platform: Option<Platform>,
}

impl Whereabouts {
    /// Moves on by one check-in and tells what changed, exits first, then entries in the catalogue's order, then what was
    /// crossed. The second value is why the position was not believed.
    pub fn observe(
        &mut self,
        seen: Observation<'_>,
        places: &Places,
        rules: PresenceRules,
    ) -> (Vec<Transition>, Option<Doubt>) {
        let at = seen.check_in.at;
        let (fix, before, doubt) = match seen.check_in.location.as_ref() {
            None => (None, None, None),
            Some(fix) => match self.fixes.judge(fix, at, rules) {
                Ok(before) => (Some(fix), before, None),
                Err(doubt) => (None, None, Some(doubt)),
            },
        };
        let step = Step {
            seen,
            fix,
            at,
            places,
            rules,
        };
        let mut transitions = self.leave(step);
        self.enter(step, &mut transitions);
        if let (Some(before), Some(fix)) = (before, fix) {
            self.cross(before, fix, step, &mut transitions);
        }
        (transitions, doubt)
    }

    /// Weighs what the check-in says about each visit and ends those that no evidence holds any more.
    fn leave(&mut self, step: Step<'_>) -> Vec<Transition> {
        let mut transitions = Vec::new();
        let mut left = Vec::new();
        self.visits.retain_mut(|visit| {
            let Some(rested_on) = visit.evidence() else {
                return false;
            };
            let Some(place) = step.places.find(&visit.geofence) else {
                return true;
            };
            let confidence = step.weigh(visit, place);
            if visit.evidence().is_some() {
                return true;
            }
            left.extend(visit.estimate.map(|estimate| Left {
                geofence: visit.geofence.clone(),
                estimate,
            }));
            transitions.push(visit.exited(step.at, rested_on, confidence, None, false));
            false
        });
        self.remember_left(left, step);
        transitions
    }

    /// Follows the places that were left, and forgets those that the device is away from.
    fn remember_left(&mut self, left: Vec<Left>, step: Step<'_>) {
        self.left.retain_mut(|left| {
            if left.estimate.is_stale(step.at) {
                return false;
            }
            let reading = step.places.find(&left.geofence).and_then(|place| step.reading(place));
            let Some(reading) = reading else { return true };
            left.estimate.update(reading);
            !left.estimate.is_away(reading)
        });
        self.left.extend(left.into_iter().filter(|left| {
            let reading = step.places.find(&left.geofence).and_then(|place| step.reading(place));
            reading.is_none_or(|reading| !left.estimate.is_away(reading))
        }));
        let surplus = self.left.len().saturating_sub(LEFT_MAX);
        self.left.drain(..surplus);
    }

    /// Begins visits, and strengthens those that there are.
    fn enter(&mut self, step: Step<'_>, transitions: &mut Vec<Transition>) {
        for seen in step.seen.matches {
            let geofence = step.places.get(seen.place);
            let mut confidence = 3;
            let mut estimate = None;
            let visit = self.visits.iter().position(|visit| visit.geofence == geofence.id);
            if seen.evidence == Evidence::Gps {
                let Some(reading) = step.reading(seen.place) else {
                    continue;
                };
                if reading.inside() < step.rules.thresholds(geofence).enter_at {
                    continue;
                }
                let left = self.left.iter().find(|left| left.geofence == geofence.id);
                if visit.is_none() && left.is_some_and(|left| !left.estimate.returned(reading, geofence)) {
                    continue;
                }
                confidence = step.confidence_inside(reading);
                estimate = left.map(|left| left.estimate).or(Some(Estimate::first(reading)));
            }
            if let Some(visit) = visit {
                let visit = &mut self.visits[visit];
                visit.strengthen(seen.evidence, step.at);
                visit.estimate = visit.estimate.or(estimate);
                continue;
            }
            if self.visits.len() >= VISITS_MAX {
                break;
            }
            self.left.retain(|left| left.geofence != geofence.id);
            let mut visit = Visit::begin(&geofence.id, step.at);
            visit.strengthen(seen.evidence, step.at);
            visit.estimate = estimate;
            transitions.push(visit.transition(TransitionKind::Entered, step.at, seen.evidence, confidence));
            self.visits.push(visit);
        }
    }

    /// Tells of the places on the way between two fixes.
    fn cross(&self, before: LastFix, fix: &Fix, step: Step<'_>, transitions: &mut Vec<Transition>) {
        if !step.rules.crossed && !step.places.have_crossings() {
            return;
        }
        let Some(segment) = Segment::between(before, fix, step.at, step.rules) else {
            return;
        };
        let (middle, radius_m) = segment.enclosing_circle();
        let mut crossed: Vec<Transition> = step
            .places
            .near(middle, radius_m)
            .into_iter()
            .filter(|geofence| step.rules.tells_crossings(geofence))
            .filter(|geofence| !self.visits.iter().any(|visit| visit.geofence == geofence.id))
            .filter_map(|geofence| {
                let at = segment.crosses(&geofence.shape)?;
                Some(Visit::begin(&geofence.id, at).transition(TransitionKind::Crossed, at, Evidence::Gps, 2))
            })
            .collect();
        crossed.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.geofence.cmp(&b.geofence)));
        crossed.truncate(CROSSED_MAX);
        transitions.extend(crossed);
    }
}

/// One check-in beside what it is weighed by.
#[derive(Clone, Copy)]
struct Step<'a> {
    seen: Observation<'a>,
    /// The position, if it is believed.
    fix: Option<&'a Fix>,
    at: Timestamp,
    places: &'a Places,
    rules: PresenceRules,
}

impl Step<'_> {
    fn reading(&self, place: u32) -> Option<Reading> {
        Reading::of(self.fix?, self.at, self.places.get(place), self.seen.platform)
    }

    fn matched(&self, place: u32, evidence: Evidence) -> bool {
        let mut matches = self.seen.matches.iter();
        matches.any(|seen| seen.place == place && seen.evidence == evidence)
    }

    /// How sure an entry by position is: 3 from 90 % inside, 2 from 60 % or without accuracy, else 1.
    fn confidence_inside(&self, reading: Reading) -> u8 {
        match reading.inside() {
            _ if self.fix.is_some_and(|fix| fix.accuracy_m.is_none()) => 2,
            inside if inside >= 0.9 => 3,
            inside if inside >= 0.6 => 2,
            _ => 1,
        }
    }

    /// Takes away the evidence that this check-in contradicts; how sure an end of the visit is.
    fn weigh(&self, visit: &mut Visit, place: u32) -> u8 {
        // What this check-in itself shows is stronger than a position beside it.
        for evidence in [Evidence::Beacon, Evidence::Code] {
            if self.matched(place, evidence) {
                visit.strengthen(evidence, self.at);
            }
        }
        if self.seen.check_in.beacons.as_ref().is_some_and(Vec::is_empty) {
            visit.beacon_at = None;
        }
        let Some(reading) = self.reading(place) else {
            return 3;
        };
        match &mut visit.estimate {
            Some(estimate) => estimate.update(reading),
            none => *none = Some(Estimate::first(reading)),
        }
        let thresholds = self.rules.thresholds(self.places.get(place));
        let too_many = visit.outside.takes(reading, thresholds);
        let surely = visit
            .estimate
            .is_some_and(|estimate| estimate.outside(reading) >= thresholds.exit_at);
        if surely || too_many {
            visit.gps = false;
            if !self.matched(place, Evidence::Code) {
                visit.code_at = None;
            }
        } else if reading.inside() >= 0.5 {
            visit.seen_at = self.at;
        }
        match surely {
            true if self.fix.is_some_and(|fix| fix.accuracy_m.is_some()) => 3,
            true => 2,
            false => 1,
        }
    }
}
