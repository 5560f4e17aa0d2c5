//! What a phone should monitor, as a `setWaypoints` command.
//!
//! The command merges into what the app has, and the app tells waypoints apart by `rid` (iOS) or `tst` (Android). So ours
//! have twenty fixed ones: each command puts other places into the same twenty, and what else the user has set up stays.
//! Number 0 is the circle round the phone within which the others are the right ones. A phone that reports from outside
//! of it gets new ones; leaving it makes the phone report.

use serde_json::{Value, json};

use crate::{
    domain::{catalogue::Places, delivery::Platform, ids::GeofenceId},
    engine::regions::{Regions, Watch},
    geo::Position,
};

/// Waypoints that are ours: what iOS monitors at most.
const WAYPOINTS: usize = 20;
/// What the circle round the phone is called, in the app and in its reports.
const AREA: &str = "Beckon area";
/// A coordinate that removes a waypoint on iOS.
const NOWHERE: f64 = -1_000_000.0;
/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 60;

fn rid(number: usize) -> String {
    format!("beckon{number}")
}

/// Whether a region's name or id is that of the circle round the phone.
pub(super) fn is_area(name: &str) -> bool {
    name == AREA || name == rid(0)
}

fn waypoint(number: usize, name: &str, position: Position, radius_m: f64) -> Value {
    json!({
        "_type": "waypoint", "rid": rid(number), "tst": number + 1, "desc": name,
        "lat": position.latitude, "lon": position.longitude, "rad": radius_m.ceil() as i64,
    })
}

/// The app takes what follows a colon for a beacon's id, and a leading plus for a region that moves with the phone.
fn name_of(places: &Places, id: &GeofenceId) -> String {
    let described = places.lookup(id).and_then(|geofence| geofence.description.clone());
    let name = described.unwrap_or_else(|| id.to_string()).replace(':', " ");
    let name: String = name.trim_start_matches('+').chars().take(NAME_CHARS_MAX).collect();
    if name.trim().is_empty() || is_area(&name) {
        return id.external_id.as_str().replace([':', '+'], " ");
    }
    name
}

/// The command that makes the phone monitor these regions. Beacons are left out: the apps monitor either on one platform
/// only.
pub(super) fn command(regions: &Regions, places: &Places, platform: Option<Platform>) -> Value {
    let (center, radius_m) = regions.resync;
    let mut waypoints = vec![waypoint(0, AREA, center, radius_m)];
    let circles = regions.regions.iter().filter_map(|region| match &region.watch {
        Watch::Circle { center, radius_m } => Some((&region.geofence, *center, *radius_m)),
        Watch::Beacon(_) => None,
    });
    for (id, center, radius_m) in circles.take(WAYPOINTS - 1) {
        let number = waypoints.len();
        waypoints.push(waypoint(number, &name_of(places, id), center, radius_m));
    }
    if platform == Some(Platform::Ios) {
        for number in waypoints.len()..WAYPOINTS {
            let mut gone = waypoint(number, &rid(number), center, 0.0);
            (gone["lat"], gone["lon"]) = (json!(NOWHERE), json!(NOWHERE));
            waypoints.push(gone);
        }
    }
    json!({
        "_type": "cmd", "action": "setWaypoints",
        "waypoints": {"_type": "waypoints", "waypoints": waypoints},
    })
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
        engine::regions::regions_for,
        geo::Shape,
    };

    fn places(count: usize) -> Places {
        Places::build((0..count).map(|number| {
            let id = GeofenceId {
                tag: Tag::new("shop").unwrap(),
                external_id: ExternalId::new(number.to_string()).unwrap(),
            };
            let center = Position::new(46.0, 0.01 * number as f64).unwrap();
            let geofence = Geofence::new(id, Shape::circle(center, 99.5).unwrap());
            Arc::new(Geofence {
                description: Some(format!("+Shop: number {number}")),
                ..geofence
            })
        }))
    }

    fn waypoints(count: usize, platform: Option<Platform>) -> Vec<Value> {
        let places = places(count);
        let regions = regions_for(&places, Position::new(46.0, 0.0).unwrap(), platform);
        let command = command(&regions, &places, platform);
        assert_eq!(
            (&command["_type"], &command["action"]),
            (&json!("cmd"), &json!("setWaypoints"))
        );
        command["waypoints"]["waypoints"].as_array().unwrap().clone()
    }

    #[test]
    fn twenty_fixed_waypoints_are_filled_with_the_nearest_places() {
        let all = waypoints(50, None);
        assert_eq!(all.len(), 20);
        assert_eq!(
            (&all[0]["desc"], &all[0]["rid"]),
            (&json!("Beckon area"), &json!("beckon0"))
        );
        assert_eq!(
            all[1],
            json!({"_type": "waypoint", "rid": "beckon1", "tst": 2, "desc": "Shop  number 0", "lat": 46.0, "lon": 0.0, "rad": 100})
        );
        let keys: std::collections::BTreeSet<i64> = all.iter().map(|one| one["tst"].as_i64().unwrap()).collect();
        assert_eq!(keys.len(), 20);
    }

    #[test]
    fn what_is_left_over_is_removed_where_the_app_can() {
        let kept = waypoints(3, None);
        assert_eq!(kept.len(), 4);
        let all = waypoints(3, Some(Platform::Ios));
        assert_eq!(all.len(), 20);
        assert!(all[..4].iter().all(|one| one["lat"] == json!(46.0)));
        assert!(all[4..].iter().all(|one| one["lat"] == json!(NOWHERE)));
    }
}
