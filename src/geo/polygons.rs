//! Polygons with holes, in longitude and latitude.

use super::{
    Position, distance_m,
    ellipsoid::{Ecef, distance_bound_m, metres_per_degree, sag_m},
    ring::{Bounds, Ring, Side},
    shape::{RingAt, ShapeError, VERTICES_MAX},
    unwrap::{Pole, Vertex},
};

/// Added to a computed radius against rounding, in metres.
const RADIUS_MARGIN_M: f64 = 1e-3;

/// What was done to polygons so that no edge crosses the antimeridian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// They cross the antimeridian and were cut in pieces there.
    CrossesAntimeridian,
    /// A ring goes round a pole; it was closed through the pole.
    EnclosesPole,
}

/// One or more polygons, each an outer ring with any number of holes. Valid by construction.
#[derive(Debug, Clone)]
pub struct Polygons(Vec<Vec<Ring>>);

impl PartialEq for Polygons {
    /// The same when the uploaded coordinates are the same.
    fn eq(&self, other: &Self) -> bool {
        let rings = |polygons: &Self| -> Vec<usize> { polygons.0.iter().map(Vec::len).collect() };
        rings(self) == rings(other)
            && self
                .rings()
                .zip(other.rings())
                .all(|(a, b)| a.uploaded() == b.uploaded())
    }
}

impl Polygons {
    /// Takes polygons as GeoJSON has them: rings of `[longitude, latitude]`, the first ring of each polygon outside,
    /// the others holes; the winding doesn't matter. Longitudes may lie beyond 180 (to 360).
    pub fn new(coordinates: Vec<Vec<Vec<Vertex>>>) -> Result<Self, ShapeError> {
        let vertices: usize = coordinates.iter().flatten().map(Vec::len).sum();
        if vertices > VERTICES_MAX {
            return Err(ShapeError::TooManyVertices(vertices));
        }
        if coordinates.is_empty() {
            return Err(ShapeError::NoRing { polygon: 0 });
        }
        let mut polygons = Vec::with_capacity(coordinates.len());
        for (polygon, rings) in coordinates.into_iter().enumerate() {
            if rings.is_empty() {
                return Err(ShapeError::NoRing { polygon });
            }
            let rings: Result<Vec<Ring>, ShapeError> = rings
                .into_iter()
                .enumerate()
                .map(|(ring, vertices)| {
                    Ring::new(vertices).map_err(|problem| ShapeError::Ring {
                        at: RingAt { polygon, ring },
                        problem,
                    })
                })
                .collect();
            polygons.push(rings?);
        }
        Ok(Self(polygons))
    }

    /// Takes coordinates that [`Polygons::coordinates`] gave: neither cuts nor winds. What is damaged is an error.
    pub fn restore(coordinates: Vec<Vec<Vec<Vertex>>>) -> Result<Self, ShapeError> {
        Self::new(coordinates)
    }

    /// Whether [`Polygons::new`] had to cut what it was given.
    pub fn was_cut(&self) -> Option<Cut> {
        None
    }

    /// The coordinates as they were uploaded, in the order of GeoJSON's `MultiPolygon`.
    pub fn coordinates(&self) -> impl ExactSizeIterator<Item = impl ExactSizeIterator<Item = &[Vertex]>> {
        self.0.iter().map(|rings| rings.iter().map(Ring::uploaded))
    }

    /// How many vertices there are in all.
    pub fn vertices(&self) -> usize {
        self.rings().map(|ring| ring.uploaded().len()).sum()
    }

    fn rings(&self) -> impl Iterator<Item = &Ring> {
        self.0.iter().flatten()
    }

    fn outer(&self) -> impl Iterator<Item = &Ring> {
        self.0.iter().filter_map(|rings| rings.first())
    }

    /// Whether the point is in one of the polygons or on a boundary (of a hole, too).
    pub(super) fn contains(&self, point: Position) -> bool {
        self.0.iter().any(|rings| {
            let Some((outer, holes)) = rings.split_first() else {
                return false;
            };
            match outer.side(point) {
                Side::Outside => false,
                Side::Boundary => true,
                Side::Inside => holes.iter().all(|hole| hole.side(point) != Side::Inside),
            }
        })
    }

    /// Metres to the nearest point of any edge.
    ///
    /// The nearest point is chosen in a plane that is true to scale at `point`, and the geodesic to it is returned:
    /// never too short, and within about 0.5 % up to some tens of kilometres away from the poles. Edges along a pole
    /// have no length and are left out.
    pub(super) fn edge_distance_m(&self, point: Position) -> f64 {
        let (lat_m, lon_m) = metres_per_degree(point.latitude);
        let mut nearest = (f64::INFINITY, [point.longitude, point.latitude]);
        for edge in self.rings().flat_map(|ring| ring.vertices().windows(2)) {
            let (a, b) = (edge[0], edge[1]);
            if a[1].abs() == 90.0 && a[1] == b[1] {
                continue;
            }
            let turn = 360.0 * ((f64::midpoint(a[0], b[0]) - point.longitude) / 360.0).round();
            let (ax, ay) = ((a[0] - turn - point.longitude) * lon_m, (a[1] - point.latitude) * lat_m);
            let (dx, dy) = ((b[0] - a[0]) * lon_m, (b[1] - a[1]) * lat_m);
            let length_squared = dx * dx + dy * dy;
            let share = if length_squared > 0.0 {
                (-(ax * dx + ay * dy) / length_squared).clamp(0.0, 1.0)
            } else {
                0.0
            };
            let (x, y) = (ax + share * dx, ay + share * dy);
            let squared = x * x + y * y;
            if squared < nearest.0 {
                let place = [a[0] - turn + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])];
                nearest = (squared, place);
            }
        }
        let [longitude, latitude] = nearest.1;
        distance_m(point, Position::wrapped(latitude, longitude))
    }

    /// A circle that surely holds everything; not the smallest one.
    ///
    /// Its centre is the middle of the bounds. What is wider than 180 degrees or holds a pole gets a cap round a pole.
    pub(super) fn enclosing_circle(&self) -> (Position, f64) {
        let bounds = self.bounds();
        let holds_pole = self.outer().any(|ring| ring.around().is_some());
        if holds_pole || bounds.east - bounds.west > 180.0 {
            return self.enclosing_cap(bounds);
        }
        let middle = f64::midpoint(bounds.west, bounds.east);
        let center = Position::wrapped(f64::midpoint(bounds.south, bounds.north), middle);
        let origin = Ecef::from(center);
        let (mut chord_m, mut edge_sag_m) = (0.0_f64, 0.0_f64);
        for ring in self.outer() {
            for &[longitude, latitude] in ring.vertices() {
                let vertex = Ecef::from(Position { latitude, longitude });
                chord_m = chord_m.max(origin.chord_m(vertex));
            }
            for edge in ring.vertices().windows(2) {
                edge_sag_m = edge_sag_m.max(sag_m(edge[1][0] - edge[0][0], edge[1][1] - edge[0][1]));
            }
        }
        (center, distance_bound_m(chord_m + edge_sag_m) + RADIUS_MARGIN_M)
    }

    /// The smaller of the caps round the two poles that hold everything.
    fn enclosing_cap(&self, bounds: Bounds) -> (Position, f64) {
        let holds = |pole| self.outer().any(|ring| ring.around() == Some(pole));
        let south = if holds(Pole::South) { -90.0 } else { bounds.south };
        let north = if holds(Pole::North) { 90.0 } else { bounds.north };
        let cap = |pole, edge| {
            let at = |latitude| Position {
                latitude,
                longitude: 0.0,
            };
            (at(pole), distance_m(at(pole), at(edge)) + RADIUS_MARGIN_M)
        };
        let (from_north, from_south) = (cap(90.0, south), cap(-90.0, north));
        if from_north.1 <= from_south.1 {
            from_north
        } else {
            from_south
        }
    }

    /// The bounds of all outer rings, each moved by whole turns next to those before it.
    fn bounds(&self) -> Bounds {
        let join = |all: Bounds, ring: Bounds| {
            let apart = f64::midpoint(all.west, all.east) - f64::midpoint(ring.west, ring.east);
            let turn = 360.0 * (apart / 360.0).round();
            Bounds {
                west: all.west.min(ring.west + turn),
                east: all.east.max(ring.east + turn),
                south: all.south.min(ring.south),
                north: all.north.max(ring.north),
            }
        };
        let whole_earth = Bounds {
            west: -180.0,
            east: 180.0,
            south: -90.0,
            north: 90.0,
        };
        self.outer().map(Ring::bounds).reduce(join).unwrap_or(whole_earth)
    }
}
