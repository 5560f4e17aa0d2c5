//! A geometry of any format into a shape, with a pointer to what is wrong where the format has pointers.

use serde_json::Value;

use super::{
    Finding, FindingCode, ReadOptions,
    attributes::Found,
    collect::{circle_finding, radius_m},
    csv::position_finding,
    delimited::number,
};
use crate::geo::{Position, RingAt, RingProblem, Shape, ShapeError};

/// Longitude and latitude in degrees, in this order, not checked yet.
pub(super) type Vertex = [f64; 2];

/// A geometry as a format's parser hands it over: nested and numeric as it must be, else unchecked.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Geometry {
    /// None at all, or an empty one.
    Absent,
    Point(Vertex),
    MultiPoint(Vec<Vertex>),
    /// One line or several; they can't be geofences, so that their places are not kept.
    Lines,
    /// The outer ring, then the holes.
    Polygon(Vec<Vec<Vertex>>),
    MultiPolygon(Vec<Vec<Vec<Vertex>>>),
    Collection(Vec<Geometry>),
}

impl Geometry {
    /// Changes every vertex.
    pub(super) fn map_vertices(self, change: &mut dyn FnMut(&mut Vertex)) -> Self {
        let mut rings = |mut rings: Vec<Vec<Vertex>>| {
            rings.iter_mut().flatten().for_each(&mut *change);
            rings
        };
        match self {
            Self::Absent | Self::Lines => self,
            Self::Polygon(polygon) => Self::Polygon(rings(polygon)),
            Self::MultiPolygon(polygons) => Self::MultiPolygon(polygons.into_iter().map(rings).collect()),
            Self::Point(mut vertex) => {
                change(&mut vertex);
                Self::Point(vertex)
            }
            Self::MultiPoint(mut vertices) => {
                vertices.iter_mut().for_each(change);
                Self::MultiPoint(vertices)
            }
            Self::Collection(parts) => {
                Self::Collection(parts.into_iter().map(|part| part.map_vertices(change)).collect())
            }
        }
    }

    /// What people call it.
    fn name(&self) -> &'static str {
        match self {
            Self::Absent => "nothing",
            Self::Point(_) => "point",
            Self::MultiPoint(_) => "group of points",
            Self::Lines => "line",
            Self::Polygon(_) => "polygon",
            Self::MultiPolygon(_) => "multipolygon",
            Self::Collection(_) => "collection",
        }
    }
}

/// Makes a circle of a point, and polygons of polygons. `pointer` leads from the feature to the geometry; pointers of
/// formats without them are dropped later.
pub(super) fn shape(
    geometry: Geometry,
    pointer: &str,
    radius: Option<&Found>,
    options: &ReadOptions,
) -> Result<Shape, Finding> {
    let at = format!("{pointer}/coordinates");
    match geometry {
        Geometry::Absent => Err(Finding::error(
            FindingCode::GeometryMissing,
            "there is no geometry",
            "draw a point or polygon for it, or leave it out",
        )
        .pointing(pointer)),
        Geometry::Point(vertex) => circle(vertex, &at, radius, options),
        Geometry::Polygon(rings) => Shape::polygon(rings).map_err(|error| polygon_finding(&error, &at, false)),
        Geometry::MultiPolygon(polygons) => {
            Shape::multi_polygon(polygons).map_err(|error| polygon_finding(&error, &at, true))
        }
        Geometry::MultiPoint(_) | Geometry::Lines | Geometry::Collection(_) => Err(Finding::error(
            FindingCode::GeometryUnsupported,
            format!("a {} can't be a geofence", geometry.name()),
            "use a point with a radius, a polygon or a multipolygon",
        )
        .pointing(pointer)),
    }
}

fn circle(
    [longitude, latitude]: Vertex,
    at: &str,
    radius: Option<&Found>,
    options: &ReadOptions,
) -> Result<Shape, Finding> {
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
