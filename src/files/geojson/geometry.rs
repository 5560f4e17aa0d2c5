//! A GeoJSON geometry into a shape, with a pointer to what is wrong.

use serde_json::Value;

use super::super::{
    Finding, FindingCode, ReadOptions,
    attributes::Found,
    collect::{circle_finding, radius_m},
    csv::position_finding,
    delimited::number,
    finding::quote,
};
use crate::geo::{Position, RingAt, RingProblem, Shape, ShapeError};

type Vertex = [f64; 2];

/// The geometry types of RFC 7946, which are case-sensitive.
const TYPES: [&str; 7] = [
    "Point",
    "MultiPoint",
    "LineString",
    "MultiLineString",
    "Polygon",
    "MultiPolygon",
    "GeometryCollection",
];

pub(super) fn is_type(name: &str) -> bool {
    TYPES.contains(&name)
}

/// Makes a circle of a point, and polygons of polygons. `pointer` leads from the feature to the geometry.
pub(super) fn shape(
    geometry: &Value,
    pointer: &str,
    radius: Option<&Found>,
    options: &ReadOptions,
) -> Result<Shape, Finding> {
    if geometry.is_null() {
        let hint = "draw a point or polygon for it, or leave it out";
        return Err(Finding::error(FindingCode::GeometryMissing, "there is no geometry", hint).pointing(pointer));
    }
    let kind = geometry.get("type").and_then(Value::as_str).unwrap_or_default();
    let at = format!("{pointer}/coordinates");
    let coordinates = geometry.get("coordinates").unwrap_or(&Value::Null);
    match kind {
        "Point" => circle(coordinates, &at, radius, options),
        "Polygon" => {
            let rings = list(coordinates, &at, ring)?;
            Shape::polygon(rings).map_err(|error| polygon_finding(&error, &at, false))
        }
        "MultiPolygon" => {
            let polygons = list(coordinates, &at, |rings, at| list(rings, at, ring))?;
            Shape::multi_polygon(polygons).map_err(|error| polygon_finding(&error, &at, true))
        }
        known if is_type(known) => Err(Finding::error(
            FindingCode::GeometryUnsupported,
            format!("a {known} can't be a geofence"),
            "use a Point with a radius, a Polygon or a MultiPolygon",
        )
        .pointing(pointer)),
        other => Err(Finding::error(
            FindingCode::GeometryUnsupported,
            format!("{} is no geometry type", quote(other)),
            "use a Point with a radius, a Polygon or a MultiPolygon; capitals count",
        )
        .pointing(format!("{pointer}/type"))),
    }
}

fn circle(coordinates: &Value, at: &str, radius: Option<&Found>, options: &ReadOptions) -> Result<Shape, Finding> {
    let [longitude, latitude] = vertex(coordinates, at)?;
    let center = Position::new(latitude, longitude)
        .map_err(|error| position_finding(&error, latitude, longitude).pointing(at))?;
    let given = radius.map(read_radius).transpose()?;
    let radius_m = radius_m(given, options).map_err(|finding| finding.pointing("/properties"))?;
    Shape::circle(center, radius_m).map_err(|error| {
        let finding = circle_finding(&error);
        match radius {
            Some(found) => finding.pointing(found.pointer()),
            None => finding,
        }
    })
}

/// A number, or a text that holds one.
fn read_radius(found: &Found) -> Result<f64, Finding> {
    match &found.value {
        Value::Number(value) => value.as_f64(),
        Value::String(text) => number(text, b','),
        _ => None,
    }
    .ok_or_else(|| {
        found.error(
            FindingCode::NumberUnreadable,
            "the radius is not a number:",
            "give metres",
        )
    })
}

fn list<T>(value: &Value, at: &str, item: impl Fn(&Value, &str) -> Result<T, Finding>) -> Result<Vec<T>, Finding> {
    let Some(items) = value.as_array() else {
        return Err(wrong_coordinates(value, at, "a list"));
    };
    let read = |(index, value)| item(value, &format!("{at}/{index}"));
    items.iter().enumerate().map(read).collect()
}

fn ring(value: &Value, at: &str) -> Result<Vec<Vertex>, Finding> {
    let Some(items) = value.as_array() else {
        return Err(wrong_coordinates(value, at, "a ring, which is a list of positions"));
    };
    let read = |(index, value)| pair(value).ok_or((index, value));
    let vertices: Result<Vec<Vertex>, (usize, &Value)> = items.iter().enumerate().map(read).collect();
    vertices.map_err(|(index, value)| wrong_coordinates(value, &format!("{at}/{index}"), POSITION))
}

fn vertex(value: &Value, at: &str) -> Result<Vertex, Finding> {
    pair(value).ok_or_else(|| wrong_coordinates(value, at, POSITION))
}

const POSITION: &str = "a position, which is [longitude, latitude]";

/// Longitude and latitude; an altitude after them is passed over.
fn pair(value: &Value) -> Option<Vertex> {
    match value.as_array()?.as_slice() {
        [longitude, latitude, ..] => Some([longitude.as_f64()?, latitude.as_f64()?]),
        _ => None,
    }
}

fn wrong_coordinates(value: &Value, at: &str, expected: &str) -> Finding {
    let found = match value {
        Value::Null => "nothing".to_owned(),
        other => quote(&shortened(other)),
    };
    Finding::error(
        FindingCode::CoordinatesInvalid,
        format!("here is {found} instead of {expected}"),
        "check how deep the coordinates are nested for this type",
    )
    .pointing(at)
}

/// Enough of a value to recognise it; whole lists would be long.
fn shortened(value: &Value) -> String {
    match value {
        Value::Array(items) if items.len() > 3 => format!("a list of {}", items.len()),
        Value::Array(items) if items.iter().any(|item| item.is_array() || item.is_object()) => {
            "nested lists".to_owned()
        }
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    }
}

fn polygon_finding(error: &ShapeError, at: &str, is_multi: bool) -> Finding {
    let polygon_at = |polygon: usize| {
        if is_multi {
            format!("{at}/{polygon}")
        } else {
            at.to_owned()
        }
    };
    let ring_at = |at: &RingAt| format!("{}/{}", polygon_at(at.polygon), at.ring);
    match error {
        ShapeError::Ring { at, problem } => {
            let (code, vertex, hint) = ring_advice(problem);
            let pointer = vertex.map_or_else(|| ring_at(at), |vertex| format!("{}/{vertex}", ring_at(at)));
            Finding::error(code, format!("the ring {problem}"), hint).pointing(pointer)
        }
        ShapeError::NoRing { polygon } => Finding::error(
            FindingCode::RingTooShort,
            "the polygon has no ring",
            "draw it again, or leave it out",
        )
        .pointing(polygon_at(*polygon)),
        ShapeError::TooManyVertices(_) => {
            Finding::error(FindingCode::VerticesTooMany, error.to_string(), "simplify the outline").pointing(at)
        }
        ShapeError::RadiusNotPositive(_) | ShapeError::RadiusTooLarge(_) | ShapeError::Center(_) => {
            circle_finding(error)
        }
    }
}

/// Code, vertex and advice for a broken ring.
fn ring_advice(problem: &RingProblem) -> (FindingCode, Option<usize>, &'static str) {
    match problem {
        RingProblem::TooFewVertices { .. } => (
            FindingCode::RingTooShort,
            None,
            "give at least three corners, and the first one again at the end",
        ),
        RingProblem::NotClosed { .. } => (
            FindingCode::RingNotClosed,
            None,
            "repeat the first position at the end of the ring",
        ),
        RingProblem::NotFinite { vertex } => (FindingCode::CoordinatesInvalid, Some(*vertex), "give finite numbers"),
        RingProblem::OutsideWorld {
            vertex,
            longitude,
            latitude,
        } => {
            let hint = if Position::new(*longitude, *latitude).is_ok() {
                "longitude and latitude seem to be swapped: GeoJSON has [longitude, latitude]"
            } else {
                "give degrees (WGS84), not metres"
            };
            (FindingCode::RingOutsideWorld, Some(*vertex), hint)
        }
        RingProblem::WithoutArea => (
            FindingCode::RingWithoutArea,
            None,
            "draw it again: all its corners lie on one line",
        ),
        RingProblem::PoleAmbiguous => (
            FindingCode::RingAmbiguous,
            None,
            "keep all corners in one hemisphere, or split the polygon at the antimeridian",
        ),
        RingProblem::JumpAmbiguous { vertex } => (
            FindingCode::RingAmbiguous,
            Some(*vertex),
            "add a corner between these two",
        ),
    }
}
