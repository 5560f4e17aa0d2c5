//! Polygons with holes, in longitude and latitude.
//!
//! What is stored lies within -180 to 180 degrees and no edge crosses the antimeridian, so a plane is enough. A small
//! raster answers for most points; for those in cells that an edge meets, stripes along the parallels find the few edges
//! that matter, and exact predicates decide. Neither ever changes the result.

mod distance;
mod enclosing;
mod picture;
mod raster;
mod rings;
mod stripes;

use distance::{Boxes, Seam};
use picture::Cell;
pub(super) use picture::{FineCell, Glance, Seen};
use raster::Raster;
use rings::Rings;
pub(super) use rings::{Side, area_doubled, crossings};
use stripes::Stripes;

use super::{
    Position,
    cut::{Cut, flatten},
    shape::{RingAt, RingProblem, ShapeError, VERTICES_MAX},
    unwrap::Vertex,
};

/// Most vertices that are stored. A cut adds some to those that were given: two where an edge crosses the antimeridian.
const STORED_VERTICES_MAX: usize = 2 * VERTICES_MAX;

/// Of polygons of at most this many vertices the distance to the edge is taken from each; larger ones have boxes of edges.
const SCANNED_VERTICES_MAX: usize = 64;

/// One or more polygons, each an outer ring with any number of holes. Valid by construction.
#[derive(Debug, Clone)]
#[repr(C)]
pub struct Polygons {
    // What the exact test needs lies together.
    stripes: Stripes,
    rings: Rings,
    lookup: Option<Box<Lookup>>,
    raster: Raster,
    center: Position,
    radius_m: f64,
    /// Of a ball round `center` in which there is nothing but inside; 0 when there is none.
    inscribed_m: f64,
    cut: Option<Cut>,
}

/// What finds the edges that are near; not worth its memory for few vertices.
#[derive(Debug, Clone)]
struct Lookup {
    boxes: Boxes,
    seam: Seam,
}

impl PartialEq for Polygons {
    /// The same when the stored coordinates are the same.
    fn eq(&self, other: &Self) -> bool {
        self.rings == other.rings
    }
}

impl Polygons {
    /// Takes polygons as GeoJSON has them: rings of `[longitude, latitude]`, the first ring of each polygon outside,
    /// the others holes. Longitudes may lie beyond 180 (to 360).
    ///
    /// What crosses the antimeridian is cut there into several polygons (RFC 7946 section 3.1.9), a ring that goes round a
    /// pole is closed through the pole, and [`Polygons::was_cut`] tells. Outer rings are wound counterclockwise, holes
    /// clockwise. All other coordinates stay as they are, to the bit, and [`Polygons::coordinates`] given to `new` again
    /// makes the same polygons.
    pub fn new(coordinates: Vec<Vec<Vec<Vertex>>>) -> Result<Self, ShapeError> {
        let vertices: usize = coordinates.iter().flatten().map(Vec::len).sum();
        if vertices > VERTICES_MAX {
            return Err(ShapeError::TooManyVertices(vertices));
        }
        if coordinates.is_empty() {
            return Err(ShapeError::NoRing { polygon: 0 });
        }
        let mut polygons = Vec::with_capacity(coordinates.len());
        let mut cut = None;
        for (polygon, rings) in coordinates.into_iter().enumerate() {
            check(polygon, &rings, |_| true)?;
            let (pieces, its_cut) = flatten(rings).map_err(|(ring, problem)| ShapeError::Ring {
                at: RingAt { polygon, ring },
                problem,
            })?;
            polygons.extend(pieces);
            if cut != Some(Cut::EnclosesPole) {
                cut = its_cut.or(cut);
            }
        }
        let stored: usize = polygons.iter().flatten().map(Vec::len).sum();
        if stored > STORED_VERTICES_MAX {
            return Err(ShapeError::TooManyVertices(stored));
        }
        for rings in &mut polygons {
            for (number, ring) in rings.iter_mut().enumerate() {
                let area = area_doubled(ring);
                if (number == 0 && area < 0.0) || (number > 0 && area > 0.0) {
                    ring.reverse();
                }
            }
        }
        Ok(Self::lay_out(&polygons, cut))
    }

    /// Takes coordinates that [`Polygons::coordinates`] gave: neither cuts nor winds. What is damaged is an error.
    #[expect(clippy::needless_pass_by_value, reason = "in the way of `new`")]
    pub fn restore(coordinates: Vec<Vec<Vec<Vertex>>>) -> Result<Self, ShapeError> {
        let vertices: usize = coordinates.iter().flatten().map(Vec::len).sum();
        if vertices > STORED_VERTICES_MAX {
            return Err(ShapeError::TooManyVertices(vertices));
        }
        if coordinates.is_empty() {
            return Err(ShapeError::NoRing { polygon: 0 });
        }
        for (polygon, rings) in coordinates.iter().enumerate() {
            check(polygon, rings, |vertex| vertex[0].abs() <= 180.0)?;
        }
        Ok(Self::lay_out(&coordinates, None))
    }

    fn lay_out(polygons: &[Vec<Vec<Vertex>>], cut: Option<Cut>) -> Self {
        let rings = Rings::new(polygons);
        let (bounds, is_shifted) = enclosing::bounds(&rings);
        let (center, radius_m) = enclosing::circle(&rings, bounds);
        let seam = Seam::new(&rings);
        let is_large = rings.vertices().len() > SCANNED_VERTICES_MAX;
        let lookup = (is_large || seam.memory_bytes() > 0).then(|| {
            Box::new(Lookup {
                boxes: if is_large { Boxes::new(&rings) } else { Boxes::default() },
                seam,
            })
        });
        let mut polygons = Self {
            stripes: Stripes::new(&rings, bounds.south, bounds.north),
            raster: Raster::empty(bounds, is_shifted),
            rings,
            lookup,
            center,
            radius_m,
            inscribed_m: 0.0,
            cut,
        };
        if polygons.contains_exactly([center.longitude, center.latitude]) {
            polygons.inscribed_m = enclosing::inscribed(&polygons.rings, bounds, center);
        }
        polygons.raster = polygons
            .raster
            .drawn(&polygons.rings, |point| polygons.contains_exactly(point));
        polygons
    }

    /// Whether [`Polygons::new`] had to cut what it was given. Restored ones don't know any more.
    pub fn was_cut(&self) -> Option<Cut> {
        self.cut
    }

    /// The stored coordinates, in the order of GeoJSON's `MultiPolygon`.
    pub fn coordinates(&self) -> impl ExactSizeIterator<Item = impl ExactSizeIterator<Item = &[Vertex]>> {
        let mut polygons: Vec<Vec<&[Vertex]>> = Vec::new();
        for (ring, is_outer) in self.rings.iter() {
            match polygons.last_mut() {
                Some(rings) if !is_outer => rings.push(ring),
                _ => polygons.push(vec![ring]),
            }
        }
        polygons.into_iter().map(Vec::into_iter)
    }

    /// How many vertices there are in all, the first of each ring again at its end.
    pub fn vertices(&self) -> usize {
        self.rings.vertices().len()
    }

    /// Bytes that the polygons take, everything included.
    pub fn memory_bytes(&self) -> usize {
        let lookup = self.lookup.as_deref().map_or(0, |lookup| {
            size_of::<Lookup>() + lookup.boxes.memory_bytes() + lookup.seam.memory_bytes()
        });
        size_of::<Self>()
            + self.stripes.memory_bytes()
            + self.rings.memory_bytes()
            + self.raster.memory_bytes()
            + lookup
    }

    /// Whether the point is in one of the polygons or on a boundary (of a hole, too).
    pub(super) fn contains(&self, point: Position) -> bool {
        let Position { latitude, longitude } = point;
        if latitude.abs() == 90.0 {
            return self.reaches(latitude);
        }
        if longitude.abs() == 180.0 {
            return self.contains_on_plane([180.0, latitude]) || self.contains_on_plane([-180.0, latitude]);
        }
        self.contains_on_plane([longitude, latitude])
    }

    /// What tells most points by one look.
    pub(super) fn glance(&self) -> Glance {
        self.raster.at_a_glance()
    }

    /// What [`Polygons::contains`] says of a point that the raster doesn't tell, neither at a pole nor on the
    /// antimeridian.
    pub(super) fn contains_mixed(&self, point: Vertex) -> bool {
        self.contains_exactly(point)
    }

    /// Reads something, so that what leads to the edges that matter for a point is on its way before it is waited for: the
    /// deeper, the closer to them. Depths are 0 to 3, each to be used when what is less deep has arrived.
    #[inline]
    pub(super) fn touch(&self, point: Vertex, depth: u32) -> usize {
        match depth {
            0 => self.stripes.touch() ^ self.rings.vertices().len(),
            1 => self.stripes.touch_stripe(point[1]),
            2 => self.stripes.touch_runs(point[1]),
            _ => self.stripes.touch_vertices(point[1], self.rings.vertices()),
        }
    }

    fn contains_on_plane(&self, point: Vertex) -> bool {
        match self.raster.at(point) {
            Cell::Inside => true,
            Cell::Outside => false,
            Cell::Mixed => self.contains_exactly(point),
        }
    }

    fn contains_exactly(&self, point: Vertex) -> bool {
        self.rings.contain(point, self.stripes.at(point[1]))
    }

    /// Whether an outer ring reaches that pole, which is at every longitude.
    fn reaches(&self, pole: f64) -> bool {
        let bounds = self.raster.bounds();
        (bounds.north == pole || bounds.south == pole)
            && self
                .rings
                .iter()
                .any(|(ring, is_outer)| is_outer && ring.iter().any(|vertex| vertex[1] == pole))
    }

    /// Metres to the nearest place of any edge; see [`distance::to_edge_m`].
    pub(super) fn edge_distance_m(&self, point: Position) -> f64 {
        match self.lookup.as_deref() {
            Some(lookup) => distance::to_edge_m(&self.rings, &lookup.boxes, &lookup.seam, point),
            None => distance::to_edge_m(&self.rings, &Boxes::default(), &Seam::default(), point),
        }
    }

    /// Radius in metres of a ball round the centre of [`Polygons::enclosing_circle`] that holds no place outside; 0 when
    /// there is none.
    pub(super) fn inscribed_m(&self) -> f64 {
        self.inscribed_m
    }

    /// Centre and radius in metres of a circle that surely holds everything; not the smallest one.
    pub(super) fn enclosing_circle(&self) -> (Position, f64) {
        (self.center, self.radius_m)
    }
}

/// A single ring that many points are held against.
pub(super) struct Outline {
    rings: Rings,
    stripes: Stripes,
}

impl Outline {
    /// Of a closed ring.
    pub(super) fn new(ring: &[Vertex]) -> Self {
        let rings = Rings::new(&[vec![ring.to_vec()]]);
        let (bounds, _) = enclosing::bounds(&rings);
        let stripes = Stripes::new(&rings, bounds.south, bounds.north);
        Self { rings, stripes }
    }

    /// How many edges are looked at for a point of that latitude.
    pub(super) fn edges_at(&self, latitude: f64) -> usize {
        self.stripes.at(latitude).map(|run| run.edges as usize).sum()
    }

    /// Whether the point of the plane is inside or on the ring.
    pub(super) fn contains(&self, point: Vertex) -> bool {
        self.rings.contain(point, self.stripes.at(point[1]))
    }
}

/// Whether the polygon has rings, and each is closed, on Earth and what `fits` says.
fn check(polygon: usize, rings: &[Vec<Vertex>], fits: impl Fn(Vertex) -> bool) -> Result<(), ShapeError> {
    if rings.is_empty() {
        return Err(ShapeError::NoRing { polygon });
    }
    for (ring, vertices) in rings.iter().enumerate() {
        let outside = || {
            let vertex = vertices.iter().position(|vertex| !fits(*vertex))?;
            let [longitude, latitude] = vertices[vertex];
            Some(RingProblem::OutsideWorld {
                vertex,
                longitude,
                latitude,
            })
        };
        if let Some(problem) = rings::check(vertices).err().or_else(outside) {
            return Err(ShapeError::Ring {
                at: RingAt { polygon, ring },
                problem,
            });
        }
    }
    Ok(())
}
