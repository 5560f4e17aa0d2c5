//! What a geofence looks like, valid by construction.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeStruct};

use super::{Cut, Polygons, Position, PositionError, circle, distance_m, unwrap::Vertex};

/// Largest radius of a circle, in metres.
pub const RADIUS_M_MAX: f64 = 1_000_000.0;

/// Most vertices of one shape.
pub const VERTICES_MAX: usize = 1_000_000;

/// A circle or polygons. In JSON `{"type": "Circle", "center": {...}, "radius": metres}` or GeoJSON's `MultiPolygon`
/// with the coordinates as they were uploaded; `Polygon` is read, too. Deserialising validates.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// All points within a geodesic distance. Make it with [`Shape::circle`].
    Circle {
        /// The middle.
        center: Position,
        /// Metres, above 0 and at most [`RADIUS_M_MAX`].
        radius_m: f64,
    },
    /// Polygons with holes, shared between all copies.
    Polygons(Arc<Polygons>),
}

/// Which ring: both count from 0, ring 0 is the outer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingAt {
    /// Which polygon of the multipolygon.
    pub polygon: usize,
    /// Which ring of the polygon.
    pub ring: usize,
}

/// Why something is no shape.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ShapeError {
    /// Zero, negative or not a number.
    #[error("radius {0:?} is not above 0 metres")]
    RadiusNotPositive(f64),
    /// Above [`RADIUS_M_MAX`].
    #[error("radius {0:?} m is above the limit of {RADIUS_M_MAX} m")]
    RadiusTooLarge(f64),
    /// The circle's centre is not on Earth.
    #[error(transparent)]
    Center(#[from] PositionError),
    /// Above [`VERTICES_MAX`], or above twice that after the antimeridian's cut.
    #[error("{0} vertices are above the limit of {VERTICES_MAX} (twice that once cut at the antimeridian)")]
    TooManyVertices(usize),
    /// A polygon without rings.
    #[error("polygon {polygon} has no ring")]
    NoRing {
        /// Which polygon, from 0.
        polygon: usize,
    },
    /// One ring is wrong.
    #[error("ring {} of polygon {} {problem}", at.ring, at.polygon)]
    Ring {
        /// Which ring.
        at: RingAt,
        /// What is wrong with it.
        problem: RingProblem,
    },
}

/// Why a list of vertices is no ring. Vertices count from 0.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RingProblem {
    /// A ring needs three corners, and the first again at the end.
    #[error("has {count} vertices, a closed ring needs at least 4")]
    TooFewVertices {
        /// How many there are.
        count: usize,
    },
    /// The last vertex isn't the first one.
    #[error("is not closed: it begins at {first:?} and ends at {last:?}")]
    NotClosed {
        /// Longitude and latitude of the first vertex.
        first: Vertex,
        /// Longitude and latitude of the last vertex.
        last: Vertex,
    },
    /// Infinite or not a number.
    #[error("has vertex {vertex}, which is not a pair of finite numbers")]
    NotFinite {
        /// Which.
        vertex: usize,
    },
    /// Latitude beyond 90 or longitude beyond 360 degrees.
    #[error("has vertex {vertex} outside the world, at longitude {longitude:?}, latitude {latitude:?}")]
    OutsideWorld {
        /// Which.
        vertex: usize,
        /// As written.
        longitude: f64,
        /// As written.
        latitude: f64,
    },
    /// All vertices lie on one line.
    #[error("encloses no area")]
    WithoutArea,
    /// The ring goes round the Earth, and it isn't clear which pole is inside (vertices in both hemispheres, more than
    /// one turn, or an edge right round the Earth).
    #[error("goes round the Earth, and it is not clear which pole it encloses")]
    PoleAmbiguous,
    /// Two consecutive vertices are half a turn apart, both ways round.
    #[error("has an edge, to vertex {vertex}, that could go either way round the Earth")]
    JumpAmbiguous {
        /// The edge's second vertex.
        vertex: usize,
    },
}

impl Shape {
    /// All points within `radius_m` metres of `center`.
    pub fn circle(center: Position, radius_m: f64) -> Result<Self, ShapeError> {
        let center = Position::new(center.latitude, center.longitude)?;
        if radius_m.is_nan() || radius_m <= 0.0 {
            return Err(ShapeError::RadiusNotPositive(radius_m));
        }
        if radius_m > RADIUS_M_MAX {
            return Err(ShapeError::RadiusTooLarge(radius_m));
        }
        Ok(Self::Circle { center, radius_m })
    }

    /// One polygon: the outer ring, then its holes, of `[longitude, latitude]`.
    pub fn polygon(rings: Vec<Vec<Vertex>>) -> Result<Self, ShapeError> {
        Self::multi_polygon(vec![rings])
    }

    /// Several polygons; see [`Polygons::new`].
    pub fn multi_polygon(coordinates: Vec<Vec<Vec<Vertex>>>) -> Result<Self, ShapeError> {
        Polygons::new(coordinates).map(|polygons| Self::Polygons(Arc::new(polygons)))
    }

    /// Polygons that this code stored; see [`Polygons::restore`].
    pub fn restore_polygons(coordinates: Vec<Vec<Vec<Vertex>>>) -> Result<Self, ShapeError> {
        Polygons::restore(coordinates).map(|polygons| Self::Polygons(Arc::new(polygons)))
    }

    /// How many vertices its polygons have, the first of each ring again at its end; 0 for a circle.
    pub fn vertices(&self) -> usize {
        match self {
            Self::Circle { .. } => 0,
            Self::Polygons(polygons) => polygons.vertices(),
        }
    }

    /// What was done to the polygons so that no edge crosses the antimeridian.
    pub fn was_cut(&self) -> Option<Cut> {
        match self {
            Self::Circle { .. } => None,
            Self::Polygons(polygons) => polygons.was_cut(),
        }
    }

    /// Whether the point is inside or on the boundary. For circles exact to the geodesic, for polygons exact in
    /// longitude and latitude.
    pub fn contains(&self, point: Position) -> bool {
        match self {
            Self::Circle { center, radius_m } => circle::contains((*center).into(), *radius_m, point.into()),
            Self::Polygons(polygons) => polygons.contains(point),
        }
    }

    /// Metres to the edge, positive inside. For circles exact; for polygons good to about 0.5 % up to some tens of
    /// kilometres, away from the poles. Where a cut at the antimeridian parts two pieces is no edge.
    pub fn signed_distance_m(&self, point: Position) -> f64 {
        match self {
            Self::Circle { center, radius_m } => radius_m - distance_m(*center, point),
            Self::Polygons(polygons) => {
                let distance = polygons.edge_distance_m(point);
                if polygons.contains(point) { distance } else { -distance }
            }
        }
    }

    /// Centre and radius in metres of a circle that holds the whole shape.
    pub fn enclosing_circle(&self) -> (Position, f64) {
        match self {
            Self::Circle { center, radius_m } => (*center, *radius_m),
            Self::Polygons(polygons) => polygons.enclosing_circle(),
        }
    }
}

impl Serialize for Shape {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Circle { center, radius_m } => {
                let mut circle = serializer.serialize_struct("Shape", 3)?;
                circle.serialize_field("type", "Circle")?;
                circle.serialize_field("center", center)?;
                circle.serialize_field("radius", radius_m)?;
                circle.end()
            }
            Self::Polygons(polygons) => {
                let coordinates: Vec<Vec<&[Vertex]>> = polygons.coordinates().map(Iterator::collect).collect();
                let mut multi = serializer.serialize_struct("Shape", 2)?;
                multi.serialize_field("type", "MultiPolygon")?;
                multi.serialize_field("coordinates", &coordinates)?;
                multi.end()
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Unchecked {
    Circle { center: Position, radius: f64 },
    Polygon { coordinates: Vec<Vec<Vertex>> },
    MultiPolygon { coordinates: Vec<Vec<Vec<Vertex>>> },
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Unchecked::deserialize(deserializer)? {
            Unchecked::Circle { center, radius } => Self::circle(center, radius),
            Unchecked::Polygon { coordinates } => Self::polygon(coordinates),
            Unchecked::MultiPolygon { coordinates } => Self::multi_polygon(coordinates),
        }
        .map_err(D::Error::custom)
    }
}
