//! What one phone's reports come to.

use std::sync::Arc;

use crate::{
    domain::{
        beacon::{BeaconId, BeaconSighting},
        catalogue::Places,
        checkin::{CheckIn, Fix},
        delivery::Platform,
        geofence::Geofence,
        ids::{CauseId, DeviceId, ExternalId, GeofenceId, Tag},
        presence::{Doubt, Evidence, Observation, PresenceRules, Transition, TransitionKind, Whereabouts},
        time::{DurationMs, Timestamp},
    },
    geo::{Position, Shape},
};

mod beacons;
mod edge;
mod fixes;
mod passing;

const RULES: PresenceRules = PresenceRules::DEFAULT;
/// Where everything happens.
const ORIGIN: Position = Position {
    latitude: 47.3769,
    longitude: 8.5417,
};

/// So many metres north and east of the origin; good to millimetres over some kilometres.
fn at_m(north: f64, east: f64) -> Position {
    const RADIUS_M: f64 = 6_371_000.0;
    let latitude = ORIGIN.latitude + (north / RADIUS_M).to_degrees();
    let longitude = ORIGIN.longitude + (east / (RADIUS_M * ORIGIN.latitude.to_radians().cos())).to_degrees();
    Position { latitude, longitude }
}

fn id(name: &str) -> GeofenceId {
    GeofenceId {
        tag: Tag::new("shop").unwrap(),
        external_id: ExternalId::new(name).unwrap(),
    }
}

fn circle(name: &str, north: f64, east: f64, radius_m: f64) -> Geofence {
    Geofence::new(id(name), Shape::circle(at_m(north, east), radius_m).unwrap())
}

fn fix(north: f64, east: f64, accuracy_m: impl Into<Option<f64>>) -> Fix {
    Fix {
        position: at_m(north, east),
        accuracy_m: accuracy_m.into(),
        floor: None,
    }
}

/// A phone among places.
struct Phone {
    places: Places,
    rules: PresenceRules,
    platform: Option<Platform>,
    whereabouts: Whereabouts,
    doubt: Option<Doubt>,
}

impl Phone {
    fn among(places: impl IntoIterator<Item = Geofence>) -> Self {
        Self {
            places: Places::build(places.into_iter().map(Arc::new)),
            rules: RULES,
            platform: None,
            whereabouts: Whereabouts::default(),
            doubt: None,
        }
    }

    /// What a check-in at a second comes to, after the time up to it has passed.
    fn reports(&mut self, second: f64, with: impl FnOnce(&mut CheckIn)) -> Vec<Transition> {
        let mut check_in = CheckIn {
            id: CauseId::new("c").unwrap(),
            device: DeviceId::new("d").unwrap(),
            at: Timestamp((second * 1000.0) as i64),
            location: None,
            beacons: None,
            code: None,
            regions: false,
        };
        with(&mut check_in);
        let mut transitions = self.waits(second - 0.001);
        let matches = self.places.matching(&check_in);
        let seen = Observation {
            check_in: &check_in,
            matches: &matches,
            platform: self.platform,
        };
        let (moved, doubt) = self.whereabouts.observe(seen, &self.places, self.rules);
        self.doubt = doubt;
        transitions.extend(moved);
        transitions
    }

    fn is_at(&mut self, second: f64, location: Fix) -> Vec<String> {
        told(&self.reports(second, |check_in| check_in.location = Some(location)))
    }

    fn hears(&mut self, second: f64, beacons: &[(BeaconId, i32)]) -> Vec<String> {
        let heard = beacons.iter().map(|(id, rssi)| BeaconSighting {
            id: *id,
            rssi_dbm: Some(*rssi),
        });
        let heard = heard.collect();
        told(&self.reports(second, |check_in| check_in.beacons = Some(heard)))
    }

    fn scans(&mut self, second: f64, code: &str) -> Vec<String> {
        told(&self.reports(second, |check_in| check_in.code = Some(code.to_owned())))
    }

    /// What time alone brings about.
    fn waits(&mut self, until_second: f64) -> Vec<Transition> {
        let lengths = |geofence: &Geofence| geofence.dwell_threshold.into_iter().collect();
        let until = Timestamp((until_second * 1000.0) as i64);
        self.whereabouts.pass(until, until, &self.places, lengths, self.rules)
    }

    fn is_in(&self, name: &str) -> Option<Evidence> {
        let mut visits = self.whereabouts.visits.iter();
        visits.find(|visit| visit.geofence == id(name))?.evidence()
    }
}

/// In words: what, where, and why if nobody saw it.
fn told(transitions: &[Transition]) -> Vec<String> {
    let one = |transition: &Transition| {
        let kind = match transition.kind {
            TransitionKind::Entered => "entered",
            TransitionKind::Dwelled => "dwelled",
            TransitionKind::Exited => "exited",
            TransitionKind::Crossed => "crossed",
        };
        let reason = transition
            .reason
            .map(|reason| format!(" ({reason:?})"))
            .unwrap_or_default();
        format!("{kind} {}{reason}", transition.geofence.external_id)
    };
    transitions.iter().map(one).collect()
}

/// The same numbers for the same seed: splitmix64, and Box and Muller's transform.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}
