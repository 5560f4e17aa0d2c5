//! A geometry of any format into a shape, with a pointer to what is wrong where the format has pointers. What can be
//! mended in one way only is mended, and told.

use serde_json::Value;

use super::{
    Finding, FindingCode, ReadOptions, Severity,
    attributes::Found,
    collect::{circle_finding, radius_m},
    csv::position_finding,
    delimited::number,
    finding::SWAPPED_HINT,
};
use crate::geo::{Position, RingAt, RingProblem, Shape, ShapeError};

/// Longitude and latitude in degrees, in this order, not checked yet.
pub(super) type Vertex = [f64; 2];

/// A geometry as a format's parser hands it over: nested and numeric as it must be, else unchecked.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Geometry {
    /// None at all.
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

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::Point(_) | Self::Lines => false,
            Self::MultiPoint(points) => points.is_empty(),
            Self::Polygon(rings) => rings.iter().all(Vec::is_empty),
            Self::MultiPolygon(polygons) => polygons.iter().flatten().all(Vec::is_empty),
            Self::Collection(parts) => parts.iter().all(Self::is_empty),
        }
    }
}

/// A shape, and what is remarkable about how it was drawn.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) shape: Shape,
    /// Warnings and notes, with pointers within the feature.
    pub(super) notes: Vec<Finding>,
    /// Whether a coordinate has more decimals than mean anything.
    pub(super) is_too_precise: bool,
}

impl From<Shape> for Drawn {
    fn from(shape: Shape) -> Self {
        Self {
            shape,
            notes: Vec::new(),
            is_too_precise: false,
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
) -> Result<Drawn, Finding> {
    let at = format!("{pointer}/coordinates");
    match geometry {
        Geometry::Absent => Err(Finding::error(
            FindingCode::GeometryMissing,
            "there is no geometry",
            "draw a point or polygon for it, or leave it out",
        )
        .pointing(pointer)),
        geometry if geometry.is_empty() => Err(Finding::error(
            FindingCode::GeometryEmpty,
            "the geometry is empty",
            "draw a point or polygon for it, or leave it out",
        )
        .pointing(pointer)),
        Geometry::Point(vertex) => circle(vertex, &at, radius, options),
        Geometry::MultiPoint(points) => match points.as_slice() {
            [point] => circle(*point, &format!("{at}/0"), radius, options),
            points => Err(several_points(points.len(), pointer)),
        },
        Geometry::Polygon(rings) => polygons(vec![rings], &at, false),
        Geometry::MultiPolygon(parts) => polygons(parts, &at, true),
        Geometry::Lines => Err(unsupported("a line", pointer)),
        Geometry::Collection(parts) => collection(parts, pointer, radius, options),
    }
}

fn unsupported(what: &str, pointer: &str) -> Finding {
    Finding::error(
        FindingCode::GeometryUnsupported,
        format!("{what} can't be a geofence"),
        "use a point with a radius, a polygon or a multipolygon",
    )
    .pointing(pointer)
}

fn several_points(count: usize, pointer: &str) -> Finding {
    Finding::error(
        FindingCode::GeometryUnsupported,
        format!("{count} points can't be one geofence"),
        "make a feature of each point, with an id of its own, or draw a polygon",
    )
    .pointing(pointer)
}

/// What a collection is made of, however deep it nests.
#[derive(Default)]
struct Parts {
    polygons: Vec<Vec<Vec<Vertex>>>,
    points: Vec<Vertex>,
    lines: usize,
}

impl Parts {
    fn add(&mut self, part: Geometry) {
        match part {
            Geometry::Absent => {}
            Geometry::Point(vertex) => self.points.push(vertex),
            Geometry::MultiPoint(points) => self.points.extend(points),
            Geometry::Lines => self.lines += 1,
            Geometry::Polygon(rings) => self.polygons.push(rings),
            Geometry::MultiPolygon(polygons) => self.polygons.extend(polygons),
            Geometry::Collection(parts) => parts.into_iter().for_each(|part| self.add(part)),
        }
    }
}

/// The polygons of a collection become one geofence; without any, a single point does. The rest is left out.
fn collection(
    parts: Vec<Geometry>,
    pointer: &str,
    radius: Option<&Found>,
    options: &ReadOptions,
) -> Result<Drawn, Finding> {
    let mut all = Parts::default();
    all.add(Geometry::Collection(parts));
    let at = format!("{pointer}/geometries");
    // Where a part is in the file is lost here, so that a pointer leads to the collection only.
    let to_collection = |finding: Finding| finding.pointing(&at);
    all.polygons.retain(|rings| rings.iter().any(|ring| !ring.is_empty()));
    let (mut drawn, left_out) = match (all.polygons.is_empty(), all.points.as_slice()) {
        (false, points) => {
            let drawn = polygons(all.polygons, &at, true).map_err(to_collection)?;
            (drawn, points.len() + all.lines)
        }
        (true, [point]) => (circle(*point, &at, radius, options)?, all.lines),
        (true, []) => return Err(unsupported("a collection of lines", pointer)),
        (true, points) => return Err(several_points(points.len(), pointer)),
    };
    if left_out > 0 {
        let finding = Finding::new(
            Severity::Note,
            FindingCode::PartsLeftOut,
            format!("{left_out} lines or points of the collection are left out"),
            "nothing to do, unless they should be geofences: then make features of them",
        );
        drawn.notes.push(finding.pointing(&at));
    }
    Ok(drawn)
}

/// Polygons whose rings may lack their end.
fn polygons(mut parts: Vec<Vec<Vec<Vertex>>>, at: &str, is_multi: bool) -> Result<Drawn, Finding> {
    let mut notes = Vec::new();
    for (polygon, rings) in parts.iter_mut().enumerate() {
        for (ring, vertices) in rings.iter_mut().enumerate() {
            let mended = [reach_pole(vertices), close(vertices)];
            let ring_at = RingAt { polygon, ring };
            let pointed = |finding: Finding| finding.pointing(pointer_to(at, is_multi, &ring_at));
            notes.extend(mended.into_iter().flatten().map(pointed));
        }
    }
    let is_too_precise = parts.iter().flatten().flatten().any(|vertex| is_too_precise(*vertex));
    let shape = Shape::multi_polygon(parts).map_err(|error| polygon_finding(&error, at, is_multi))?;
    Ok(Drawn {
        shape,
        notes,
        is_too_precise,
    })
}

/// Coordinates that were computed may overshoot a pole a little.
fn reach_pole(ring: &mut [Vertex]) -> Option<Finding> {
    const OVERSHOOT_MAX_DEGREES: f64 = 0.001;
    let mut first = None;
    for [_, latitude] in ring {
        let inside = latitude.clamp(-90.0, 90.0);
        if (*latitude - inside).abs() <= OVERSHOOT_MAX_DEGREES && *latitude != inside {
            first.get_or_insert(*latitude);
            *latitude = inside;
        }
    }
    first.map(|latitude| {
        Finding::new(
            Severity::Warning,
            FindingCode::RingOutsideWorld,
            format!("the ring overshoots the pole, at latitude {latitude}; it was moved back"),
            "nothing to do: it is less than 120 m",
        )
    })
}

/// Three corners or more can be closed in one way only.
fn close(ring: &mut Vec<Vertex>) -> Option<Finding> {
    let (first, last) = (*ring.first()?, *ring.last()?);
    let is_closed = first[1] == last[1] && (first[0] - last[0]) % 360.0 == 0.0;
    let mut corners = ring.clone();
    corners.dedup();
    if is_closed || corners.len() < 3 || !first.iter().all(|value| value.is_finite()) {
        return None;
    }
    ring.push(first);
    Some(Finding::new(
        Severity::Warning,
        FindingCode::RingNotClosed,
        format!("the ring begins at {first:?} and ends at {last:?}; it was closed"),
        "check its last side, and repeat the first position at the end of the ring",
    ))
}

/// Whether a coordinate has more than seven decimals, which are a centimetre.
pub(super) fn is_too_precise(vertex: Vertex) -> bool {
    const STEPS: f64 = 1e7;
    vertex.iter().any(|value| (value * STEPS).round() / STEPS != *value)
}

fn circle(vertex: Vertex, at: &str, radius: Option<&Found>, options: &ReadOptions) -> Result<Drawn, Finding> {
    let [longitude, latitude] = vertex;
    let center = Position::new(latitude, longitude)
        .map_err(|error| position_finding(&error, latitude, longitude).pointing(at))?;
    let given = radius.map(read_radius).transpose()?;
    let radius_m = radius_m(given, options).map_err(|finding| finding.pointing("/properties"))?;
    let shape = Shape::circle(center, radius_m).map_err(|error| {
        let finding = circle_finding(&error);
        match radius {
            Some(found) => finding.pointing(found.pointer()),
            None => finding,
        }
    })?;
    Ok(Drawn {
        is_too_precise: is_too_precise(vertex),
        ..shape.into()
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

fn polygon_at(at: &str, is_multi: bool, polygon: usize) -> String {
    if is_multi {
        format!("{at}/{polygon}")
    } else {
        at.to_owned()
    }
}

fn pointer_to(at: &str, is_multi: bool, ring: &RingAt) -> String {
    format!("{}/{}", polygon_at(at, is_multi, ring.polygon), ring.ring)
}

fn polygon_finding(error: &ShapeError, at: &str, is_multi: bool) -> Finding {
    match error {
        ShapeError::Ring { at: ring_at, problem } => {
            let (code, vertex, hint) = ring_advice(problem);
            let ring = pointer_to(at, is_multi, ring_at);
            let pointer = vertex.map_or_else(|| ring.clone(), |vertex| format!("{ring}/{vertex}"));
            Finding::error(code, format!("the ring {problem}"), hint).pointing(pointer)
        }
        ShapeError::NoRing { polygon } => Finding::error(
            FindingCode::RingTooShort,
            "the polygon has no ring",
            "draw it again, or leave it out",
        )
        .pointing(polygon_at(at, is_multi, *polygon)),
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
                SWAPPED_HINT
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
