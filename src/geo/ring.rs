//! One closed ring: where a point lies relative to it, exactly.

use super::{
    Position,
    shape::RingProblem,
    unwrap::{Pole, Vertex, orient, snap, unwrap},
};

/// Farthest longitude that is accepted, in degrees: data that crosses the antimeridian is often written beyond 180.
const LONGITUDE_MAX: f64 = 360.0;

/// Where a point lies relative to a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Inside,
    Boundary,
    Outside,
}

/// A closed ring whose edges are straight in longitude and latitude.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    /// As it was uploaded, the first vertex again at the end.
    uploaded: Box<[Vertex]>,
    /// Without jumps, where that differs.
    unwrapped: Option<Box<[Vertex]>>,
    around: Option<Pole>,
    bounds: Bounds,
}

/// A box of longitudes and latitudes in degrees, in the frame of the unwrapped ring.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    pub(super) west: f64,
    pub(super) east: f64,
    pub(super) south: f64,
    pub(super) north: f64,
}

impl Bounds {
    fn of(vertices: &[Vertex]) -> Self {
        let nothing = Self {
            west: f64::INFINITY,
            east: f64::NEG_INFINITY,
            south: f64::INFINITY,
            north: f64::NEG_INFINITY,
        };
        vertices.iter().fold(nothing, |bounds, [longitude, latitude]| Self {
            west: bounds.west.min(*longitude),
            east: bounds.east.max(*longitude),
            south: bounds.south.min(*latitude),
            north: bounds.north.max(*latitude),
        })
    }
}

impl Ring {
    pub(super) fn new(uploaded: Vec<Vertex>) -> Result<Self, RingProblem> {
        check_vertices(&uploaded)?;
        let layout = unwrap(&uploaded)?;
        let bounds = Bounds::of(layout.vertices.as_deref().unwrap_or(&uploaded));
        Ok(Self {
            uploaded: uploaded.into_boxed_slice(),
            unwrapped: layout.vertices,
            around: layout.around,
            bounds,
        })
    }

    /// The vertices as they were uploaded.
    pub(super) fn uploaded(&self) -> &[Vertex] {
        &self.uploaded
    }

    /// The vertices without jumps.
    pub(super) fn vertices(&self) -> &[Vertex] {
        self.unwrapped.as_deref().unwrap_or(&self.uploaded)
    }

    /// The pole that the ring goes round.
    pub(super) fn around(&self) -> Option<Pole> {
        self.around
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Where `point` lies. A line from it to the north pole meets the ring an odd number of times when the point is
    /// on the other side of the ring than that pole. The predicates are exact.
    pub(super) fn side(&self, point: Position) -> Side {
        let Position { latitude, longitude } = point;
        let bounds = self.bounds;
        let is_at_pole = latitude == 90.0 && bounds.north == 90.0 || latitude == -90.0 && bounds.south == -90.0;
        if is_at_pole {
            return Side::Boundary;
        }
        let longitude = if self.unwrapped.is_some() {
            snap(longitude)
        } else {
            longitude
        };
        let mut is_inside = self.around == Some(Pole::North);
        if latitude <= bounds.north && (latitude >= bounds.south || self.around.is_some()) {
            let first = ((bounds.west - longitude) / 360.0).ceil() as i32;
            let last = ((bounds.east - longitude) / 360.0).floor() as i32;
            for turn in first..=last {
                match crossings(self.vertices(), [longitude + 360.0 * f64::from(turn), latitude]) {
                    Crossings::OnEdge => return Side::Boundary,
                    Crossings::Odd => is_inside = !is_inside,
                    Crossings::Even => {}
                }
            }
        }
        if is_inside { Side::Inside } else { Side::Outside }
    }
}

enum Crossings {
    Odd,
    Even,
    OnEdge,
}

/// How often the line from `point` northwards meets the edges. An edge owns its western end and not its eastern.
fn crossings(vertices: &[Vertex], point: Vertex) -> Crossings {
    let [x, y] = point;
    let mut is_odd = false;
    for edge in vertices.windows(2) {
        let (a, b) = (edge[0], edge[1]);
        if (a[0] <= x) == (b[0] <= x) {
            let is_on_vertical = a[0] == x && b[0] == x && a[1].min(b[1]) <= y && y <= a[1].max(b[1]);
            if is_on_vertical || a == point || b == point {
                return Crossings::OnEdge;
            }
            continue;
        }
        if a[1] < y && b[1] < y {
            continue;
        }
        if a[1] > y && b[1] > y {
            is_odd = !is_odd;
            continue;
        }
        let (west, east) = if a[0] < b[0] { (a, b) } else { (b, a) };
        let turn = orient(west, east, point);
        if turn == 0.0 {
            return Crossings::OnEdge;
        }
        is_odd ^= turn < 0.0;
    }
    if is_odd { Crossings::Odd } else { Crossings::Even }
}

fn check_vertices(ring: &[Vertex]) -> Result<(), RingProblem> {
    for (vertex, &[longitude, latitude]) in ring.iter().enumerate() {
        if !longitude.is_finite() || !latitude.is_finite() {
            return Err(RingProblem::NotFinite { vertex });
        }
        if longitude.abs() > LONGITUDE_MAX || latitude.abs() > 90.0 {
            return Err(RingProblem::OutsideWorld {
                vertex,
                longitude,
                latitude,
            });
        }
    }
    if ring.len() < 4 {
        return Err(RingProblem::TooFewVertices { count: ring.len() });
    }
    let (first, last) = (ring[0], ring[ring.len() - 1]);
    if first[1] != last[1] || (first[0] - last[0]) % 360.0 != 0.0 {
        return Err(RingProblem::NotClosed { first, last });
    }
    Ok(())
}
