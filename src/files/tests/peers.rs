//! Cases taken from the test suites of other geofence software.

use serde_json::Value;

use super::data;
use crate::geo::{Position, Shape};

/// Turf's cases are on a plane without poles; this brings them onto the Earth.
const PLANE: f64 = 2.0;

fn pair(value: &Value) -> [f64; 2] {
    [0, 1].map(|index| value[index].as_f64().unwrap())
}

/// The source has points just beyond longitude -180.
fn on_earth(latitude: f64, longitude: f64) -> Position {
    let longitude = if longitude < -180.0 {
        longitude + 360.0
    } else {
        longitude
    };
    Position::new(latitude, longitude).unwrap()
}

fn closed(mut ring: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    if ring.first() != ring.last() {
        ring.push(ring[0]);
    }
    ring
}

fn pairs(value: &Value) -> Vec<[f64; 2]> {
    value.as_array().unwrap().iter().map(pair).collect()
}

/// `None` for corridors, which Beckon doesn't have.
fn shape(fence: &Value) -> Option<Shape> {
    let circle = |[latitude, longitude]: [f64; 2], radius: &Value| {
        Shape::circle(Position::new(latitude, longitude).unwrap(), radius.as_f64().unwrap()).unwrap()
    };
    if let Some(center) = fence.get("circle_latlon") {
        return Some(circle(pair(center), &fence["radius_m"]));
    }
    if let Some(feature) = fence.get("geojson") {
        let [longitude, latitude] = pair(&feature["geometry"]["coordinates"]);
        return Some(circle([latitude, longitude], &feature["properties"]["radius"]));
    }
    let rings = if let Some(ring) = fence.get("polygon_latlon") {
        vec![
            pairs(ring)
                .into_iter()
                .map(|[latitude, longitude]| [longitude, latitude])
                .collect(),
        ]
    } else {
        let shrink = |ring| {
            pairs(ring)
                .into_iter()
                .map(|vertex| vertex.map(|value| value / PLANE))
                .collect()
        };
        fence
            .get("polygon_lonlat")?
            .as_array()
            .unwrap()
            .iter()
            .map(shrink)
            .collect()
    };
    Some(Shape::polygon(rings.into_iter().map(closed).collect()).unwrap())
}

#[test]
fn peers_agree_on_who_is_inside() {
    let Some(path) = data("peers/fence-oracle.json") else {
        return;
    };
    let oracle: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let (mut checked, mut left_out) = (0, Vec::new());
    for fence in oracle["point_in_fence"].as_array().unwrap() {
        let id = fence["id"].as_str().unwrap();
        let Some(shape) = shape(&fence["fence"]) else {
            left_out.push(id);
            continue;
        };
        for case in fence["cases"].as_array().unwrap() {
            let position = if let Some(point) = case.get("latlon") {
                let [latitude, longitude] = pair(point);
                on_earth(latitude, longitude)
            } else {
                let [longitude, latitude] = pair(&case["lonlat"]).map(|value| value / PLANE);
                on_earth(latitude, longitude)
            };
            let inside = case["inside"].as_bool().unwrap();
            assert_eq!(shape.contains(position), inside, "{id} at {position:?}");
            assert_eq!(shape.signed_distance_m(position) >= 0.0, inside, "{id} at {position:?}");
            checked += 1;
        }
    }
    assert!(
        left_out.iter().all(|id| id.starts_with("traccar-corridor")),
        "{left_out:?}"
    );
    assert!(checked >= 18, "{checked}");
}
