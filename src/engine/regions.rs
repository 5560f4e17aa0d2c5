//! Which geofences a phone should monitor by itself: the nearest ones, and a circle round the phone that makes it ask
//! again before another one could come nearer.

use crate::{
    domain::{catalogue::Places, checkin::BeaconId, delivery::Platform, ids::GeofenceId},
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
    Beacon(BeaconId),
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
pub fn regions_for(places: &Places, at: Position, platform: Option<Platform>) -> Regions {
    let most = match platform {
        Some(Platform::Android) => ANDROID_REGIONS_MAX,
        Some(Platform::Ios) | None => IOS_REGIONS_MAX,
    } - 1;
    let mut regions = Vec::new();
    let mut resync_m = RESYNC_RADIUS_MAX_M;
    for (place, inside_m) in places.nearest(at, most + 1) {
        let geofence = places.get(place);
        if regions.len() + 1 + geofence.beacons.len() > most {
            resync_m = (-inside_m).clamp(RESYNC_RADIUS_MIN_M, RESYNC_RADIUS_MAX_M);
            break;
        }
        let (center, radius_m) = geofence.shape.enclosing_circle();
        regions.push(Region {
            geofence: geofence.id.clone(),
            watch: Watch::Circle { center, radius_m },
        });
        regions.extend(geofence.beacons.iter().map(|beacon| Region {
            geofence: geofence.id.clone(),
            watch: Watch::Beacon(*beacon),
        }));
    }
    Regions {
        regions,
        resync: (at, resync_m),
    }
}
