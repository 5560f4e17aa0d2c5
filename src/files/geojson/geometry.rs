//! A GeoJSON geometry's nested lists, checked, with a pointer to what is wrong.

use serde_json::Value;

use super::super::{
    Finding, FindingCode,
    finding::quote,
    geometry::{Geometry, Vertex},
};

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

/// Reads a geometry object. `pointer` leads from the feature to it. `serde_json` has bounded how deep it nests.
pub(super) fn parse(geometry: &Value, pointer: &str) -> Result<Geometry, Finding> {
    if geometry.is_null() {
        return Ok(Geometry::Absent);
    }
    let kind = geometry.get("type").and_then(Value::as_str).unwrap_or_default();
    let at = format!("{pointer}/coordinates");
    let coordinates = geometry.get("coordinates").unwrap_or(&Value::Null);
    match kind {
        "Point" if coordinates.as_array().is_some_and(Vec::is_empty) => Ok(Geometry::MultiPoint(Vec::new())),
        "Point" => vertex(coordinates, &at).map(Geometry::Point),
        "MultiPoint" => list(coordinates, &at, vertex).map(Geometry::MultiPoint),
        "LineString" | "MultiLineString" => Ok(Geometry::Lines),
        "Polygon" => list(coordinates, &at, ring).map(Geometry::Polygon),
        "MultiPolygon" => list(coordinates, &at, |rings, at| list(rings, at, ring)).map(Geometry::MultiPolygon),
        "GeometryCollection" => {
            let parts = geometry.get("geometries").unwrap_or(&Value::Null);
            list(parts, &format!("{pointer}/geometries"), parse).map(Geometry::Collection)
        }
        other => Err(Finding::error(
            FindingCode::GeometryUnsupported,
            format!("{} is no geometry type", quote(other)),
            "use a Point with a radius, a Polygon or a MultiPolygon; capitals count",
        )
        .pointing(format!("{pointer}/type"))),
    }
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
