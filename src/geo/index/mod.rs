//! Finds the shapes at a position, and the nearest ones, among many.
//!
//! Every shape is a ball in earth-centred coordinates that holds its enclosing circle. The balls are sorted along a
//! curve and packed into a tree of sixteen-wide nodes without pointers, which is searched in whole numbers: poles and the
//! antimeridian are places like any other, and no candidate costs a sine. What whole numbers can't tell, a few
//! millimetres round the edge of a circle, is asked of the geodesic, so the result is that of the ellipsoid.

mod area;
mod batch;
mod cells;
mod faces;
mod grid;
mod lanes;
mod leaf;
mod nearest;
mod node;
mod pack;
mod patches;
mod search;

use std::sync::Arc;

use cells::Cells;
use grid::Grid;
use lanes::Lanes;
use leaf::{Cores, Leaf, OddRadii, told};
use node::{Node, WIDTH};

use super::{Polygons, Position, Shape, polygons::Glance};
pub use area::LonLatBox;
pub use batch::Hits;

/// An immutable index. Shapes are named by their place in the list that it was built from.
#[derive(Debug)]
pub struct GeofenceIndex {
    count: usize,
    leaves: Vec<Leaf>,
    /// For each leaf, how far round their centres its shapes are all inside; none where there are no polygons.
    cores: Vec<Cores>,
    /// For each leaf, the number of its first polygon.
    first_polygons: Vec<u32>,
    /// For each leaf, the radii in metres of its circles, in single precision.
    radii_m: Vec<[f32; WIDTH]>,
    /// For each leaf, where that isn't exact.
    odd_radii: Vec<OddRadii>,
    /// Levels of nodes, the lowest first. Node `n` has children `16 n` to `16 n + 15` in the level below, or leaves.
    levels: Vec<Vec<Node>>,
    /// Which leaves a point may be in.
    cells: Cells,
    /// The exact centres of the enclosing circles, sixteen for each leaf.
    places: Vec<Position>,
    polygons: Vec<Arc<Polygons>>,
    /// A small picture of each polygon, so that most looks at one are not a walk through the memory.
    glances: Vec<Glance>,
    odd_radii_m: Vec<f64>,
}

impl GeofenceIndex {
    /// Indexes the shapes, many of them on several threads. Costs about a tenth of a microsecond for each.
    pub fn build(shapes: impl IntoIterator<Item = Shape>) -> Self {
        pack::pack(shapes)
    }

    /// How many shapes there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What the index itself holds, in bytes. The vertices of polygons belong to the shapes, and aren't counted.
    pub fn memory_bytes(&self) -> usize {
        let nodes: usize = self
            .levels
            .iter()
            .map(|level| level.capacity() * size_of::<Node>())
            .sum();
        size_of::<Self>()
            + nodes
            + self.cells.memory_bytes()
            + self.leaves.capacity() * size_of::<Leaf>()
            + self.cores.capacity() * size_of::<Cores>()
            + self.first_polygons.capacity() * size_of::<u32>()
            + self.radii_m.capacity() * size_of::<[f32; WIDTH]>()
            + self.odd_radii.capacity() * size_of::<OddRadii>()
            + self.places.capacity() * size_of::<Position>()
            + self.polygons.capacity() * size_of::<Arc<Polygons>>()
            + self.glances.capacity() * size_of::<Glance>()
            + self.odd_radii_m.capacity() * size_of::<f64>()
    }

    /// Puts into `found`, in place of what it held, the shapes that contain the position, in an order of its own.
    pub fn containing(&self, at: Position, found: &mut Vec<u32>) {
        self.find_one(at, found);
    }

    /// Answers [`GeofenceIndex::containing`] for many positions at once, faster than one by one. 16 to 64 are enough.
    pub fn containing_batch(&self, at: &[Position], hits: &mut Hits) {
        self.find_many(at, hits);
    }

    /// The `k` shapes whose enclosing circles are nearest, best first, each with the metres to the edge of that circle:
    /// positive inside, so that the list descends. Equal ones come in ascending order of their ids. The metres are good
    /// to a micrometre.
    pub fn nearest(&self, at: Position, k: usize) -> Vec<(u32, f64)> {
        self.find_nearest(at, k)
    }

    /// Puts into `found`, in place of what it held, the shapes whose enclosing circle comes within `radius_m` metres of
    /// the position, in ascending order.
    pub fn near(&self, at: Position, radius_m: f64, found: &mut Vec<u32>) {
        self.find_near(at, radius_m, found);
    }

    /// Puts into `found`, in place of what it held, the shapes whose enclosing circle touches the box, in ascending
    /// order.
    pub fn within_box(&self, area: &LonLatBox, found: &mut Vec<u32>) {
        self.find_in_box(area, found);
    }

    /// Gives back the memory that isn't needed.
    fn shrink(&mut self) {
        self.leaves.shrink_to_fit();
        self.first_polygons.shrink_to_fit();
        self.radii_m.shrink_to_fit();
        self.odd_radii.shrink_to_fit();
        self.places.shrink_to_fit();
        self.odd_radii_m.shrink_to_fit();
        self.polygons.shrink_to_fit();
        self.glances.shrink_to_fit();
    }

    /// How many nodes, or leaves, the highest level has; a search begins with all of them.
    fn roots(&self) -> u32 {
        self.levels.last().map_or(self.leaves.len(), Vec::len) as u32
    }

    /// Centre and radius in metres of the circle round a shape, by its place in the leaves.
    fn enclosing_circle(&self, leaf: usize, lane: usize) -> (Position, f64) {
        let radius_m = if self.leaves[leaf].polygons() >> lane & 1 == 1 {
            self.polygons[self.polygon(leaf, lane) as usize].enclosing_circle().1
        } else {
            self.circle_radius_m(leaf, lane)
        };
        (self.places[leaf * WIDTH + lane], radius_m)
    }

    /// The shapes of a leaf that may hold the point, a bit for each, and those of them that surely do.
    #[inline(always)]
    fn holding(&self, lanes: impl Lanes, leaf: usize, point: Grid) -> (u32, u32) {
        let (leaf, cores) = (&self.leaves[leaf], self.cores.get(leaf));
        match cores {
            Some(cores) => leaf.holding(lanes, point, cores),
            None => leaf.holding(lanes, point, &leaf.cores_of_circles()),
        }
    }

    /// Reads from all that [`GeofenceIndex::holding`] will, so that it is on its way before it is waited for.
    #[inline(always)]
    fn touch(&self, leaf: usize) -> u32 {
        self.leaves[leaf].touch() ^ self.cores.get(leaf).map_or(0, |cores| u32::from(cores[0]))
    }

    /// The number of a polygon.
    #[inline(always)]
    fn polygon(&self, leaf: usize, lane: usize) -> u32 {
        self.first_polygons[leaf] + self.leaves[leaf].polygon(lane)
    }

    /// The exact radius in metres of a circle.
    fn circle_radius_m(&self, leaf: usize, lane: usize) -> f64 {
        match self.odd_radii[leaf].number(lane) {
            Some(odd) => self.odd_radii_m[odd as usize],
            None => told(self.radii_m[leaf][lane]),
        }
    }
}
