//! Which geofences a phone should monitor by itself: the nearest ones, and a circle round the phone that makes it ask
//! again before another one could come nearer.

use crate::{
    domain::{beacon::BeaconPattern, catalogue::Places, delivery::Platform, ids::GeofenceId},
    geo::Position,
};

/// iOS monitors 20 regions an app, beacons included.
const IOS_REGIONS_MAX: usize = 20;
/// Android monitors 100 geofences an app.
const ANDROID_REGIONS_MAX: usize = 100;
/// The re-sync circle is never larger, so that a phone far from everything still asks now and then.
const RESYNC_RADIUS_MAX_M: f64 = 50_000.0;
/// Nor smaller: phones can't monitor less.
const RESYNC_RADIUS_MIN_M: f64 = 100.0;

/// The re-sync circle ends before the next geofence by this much of the way, for the phone notices late.
const RESYNC_SHARE: f64 = 0.95;

/// One region to monitor.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// The geofence behind it.
    pub geofence: GeofenceId,
    /// What to monitor.
    pub watch: Watch,
}

/// What the phone monitors.
#[derive(Debug, Clone, PartialEq)]
pub enum Watch {
    /// A circle.
    Circle {
        /// Its centre.
        center: Position,
        /// Its radius in metres.
        radius_m: f64,
    },
    /// A beacon.
    Beacon(BeaconPattern),
}

/// What a phone should monitor.
#[derive(Debug, Clone, PartialEq)]
pub struct Regions {
    /// Nearest first.
    pub regions: Vec<Region>,
    /// Leaving this circle means: ask again.
    pub resync: (Position, f64),
}

/// The regions for a phone at a position; an unknown platform gets the smaller number.
///
/// Circles of the nearest geofences come first of all. Their beacons take what room is left at their turn: a place with
/// more beacons than a phone can monitor still has its circle. The first geofence without room bounds the re-sync
/// circle, so that the phone asks again before it could come to any that it doesn't monitor.
pub fn regions_for(places: &Places, at: Position, platform: Option<Platform>) -> Regions {
    let most = match platform {
        Some(Platform::Android) => ANDROID_REGIONS_MAX,
        Some(Platform::Ios) | None => IOS_REGIONS_MAX,
    } - 1;
    let mut regions = Vec::new();
    let mut resync_m = RESYNC_RADIUS_MAX_M;
    for (place, inside_m) in places.nearest(at, most + 1) {
        let geofence = places.get(place);
        if regions.len() == most {
            resync_m = (-inside_m * RESYNC_SHARE).clamp(RESYNC_RADIUS_MIN_M, RESYNC_RADIUS_MAX_M);
            break;
        }
        let (center, radius_m) = geofence.shape.enclosing_circle();
        regions.push(Region {
            geofence: geofence.id.clone(),
            watch: Watch::Circle { center, radius_m },
        });
        let room = most - regions.len();
        regions.extend(geofence.beacons.iter().take(room).map(|beacon| Region {
            geofence: geofence.id.clone(),
            watch: Watch::Beacon(*beacon),
        }));
    }
    Regions {
        regions,
        resync: (at, resync_m),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        domain::{
            geofence::Geofence,
            ids::{ExternalId, Tag},
        },
        geo::{Shape, distance_m},
    };

    fn place(number: u16, beacons: u16) -> Arc<Geofence> {
        let id = GeofenceId {
            tag: Tag::new("shop").unwrap(),
            external_id: ExternalId::new(number.to_string()).unwrap(),
        };
        let center = Position::new(46.0, 0.01 * f64::from(number)).unwrap();
        let beacons = (0..beacons).map(|minor| BeaconPattern::IBeacon {
            uuid: uuid::Uuid::from_u128(1),
            major: Some(number),
            minor: Some(minor),
        });
        Arc::new(Geofence {
            beacons: beacons.collect(),
            ..Geofence::new(id, Shape::circle(center, 100.0).unwrap())
        })
    }

    fn counts(regions: &Regions) -> (usize, usize) {
        let circles = regions
            .regions
            .iter()
            .filter(|region| matches!(region.watch, Watch::Circle { .. }));
        let circles = circles.count();
        (circles, regions.regions.len() - circles)
    }

    #[test]
    fn a_phone_gets_the_nearest_and_a_circle_that_ends_before_the_next() {
        let at = Position::new(46.0, 0.0).unwrap();
        let places = Places::build((0..300).map(|number| place(number, 0)));
        for (platform, expected) in [(None, 19), (Some(Platform::Ios), 19), (Some(Platform::Android), 99)] {
            let regions = regions_for(&places, at, platform);
            assert_eq!(counts(&regions), (expected, 0));
            let next = place(expected as u16, 0).shape.enclosing_circle().0;
            let to_next_m = (distance_m(at, next) - 100.0).min(RESYNC_RADIUS_MAX_M / 0.99);
            assert!(
                regions.resync.1 < to_next_m && regions.resync.1 > to_next_m * 0.9,
                "{regions:?}"
            );
        }
    }

    #[test]
    fn beacons_count_and_many_of_them_leave_room_for_their_circle() {
        let at = Position::new(46.0, 0.0).unwrap();
        let few = regions_for(&Places::build((0..30).map(|number| place(number, 3))), at, None);
        assert_eq!(counts(&few), (5, 14));
        let many = regions_for(&Places::build((0..30).map(|number| place(number, 40))), at, None);
        assert_eq!(counts(&many), (1, 18));
    }

    #[test]
    fn a_phone_that_walks_comes_to_no_place_before_it_asks_again() {
        let places = Places::build((0..300).map(|number| place(number, 1)));
        let mut longitude = -0.5;
        let mut asked = regions_for(&places, Position::new(46.0, longitude).unwrap(), None);
        while longitude < 2.0 {
            longitude += 0.000_5;
            let at = Position::new(46.0, longitude).unwrap();
            if distance_m(at, asked.resync.0) > asked.resync.1 {
                asked = regions_for(&places, at, None);
            }
            let mut inside = Vec::new();
            places.containing(at, &mut inside);
            for place in inside {
                let id = &places.get(place).id;
                assert!(
                    asked.regions.iter().any(|region| region.geofence == *id),
                    "{id} at {longitude}"
                );
            }
        }
    }
}
