//! Finds the shapes at a position, and the nearest ones, among many.
//!
//! Every shape is stored as a ball in earth-centred coordinates that holds its enclosing circle. One R-tree of their
//! boxes serves both questions, in metres, and the poles and the antimeridian are places like any other.

use std::ops::ControlFlow;

use rstar::{AABB, PointDistance, RTree, RTreeObject};

use super::{
    Position, Shape,
    circle::{self, Located},
    distance_m,
    ellipsoid::Ecef,
};

/// An immutable index. Shapes are named by their place in the list that it was built from.
#[derive(Debug)]
pub struct GeofenceIndex {
    shapes: Vec<Indexed>,
    tree: RTree<Ball>,
}

#[derive(Debug)]
struct Indexed {
    shape: Shape,
    /// Middle of the enclosing circle.
    center: Located,
    /// Radius of the enclosing circle in metres over the ground.
    radius_m: f64,
}

/// A ball with the enclosing circle's radius: no chord is longer than its geodesic, so the circle is in it.
#[derive(Debug, Clone, Copy)]
struct Ball {
    center: [f64; 3],
    radius_m: f64,
    id: u32,
}

/// What [`GeofenceIndex::containing_batch`] found. Made once and used again, it allocates no more.
#[derive(Debug, Default)]
pub struct Hits {
    ids: Vec<u32>,
    ends: Vec<u32>,
}

impl Hits {
    /// The shapes that contain the batch's `point`-th position, in ascending order; none for a point that isn't there.
    pub fn of(&self, point: usize) -> &[u32] {
        let Some(end) = self.ends.get(point) else {
            return &[];
        };
        let start = if point == 0 { 0 } else { self.ends[point - 1] };
        &self.ids[start as usize..*end as usize]
    }

    /// The shapes of each position, in the batch's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        (0..self.ends.len()).map(|point| self.of(point))
    }
}

/// A box of longitudes and latitudes in degrees. With `west` above `east` it lies across the antimeridian.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LonLatBox {
    /// -180 to 180.
    pub west: f64,
    /// -90 to 90.
    pub south: f64,
    /// -180 to 180.
    pub east: f64,
    /// -90 to 90.
    pub north: f64,
}

/// Added to each ball against rounding, in metres.
const MARGIN_M: f64 = 1e-6;

impl RTreeObject for Ball {
    type Envelope = AABB<[f64; 3]>;

    fn envelope(&self) -> Self::Envelope {
        AABB::from_corners(
            self.center.map(|middle| middle - self.radius_m),
            self.center.map(|middle| middle + self.radius_m),
        )
    }
}

impl PointDistance for Ball {
    fn distance_2(&self, point: &[f64; 3]) -> f64 {
        let outside = Ecef(self.center).chord_m(Ecef(*point)) - self.radius_m;
        outside.max(0.0).powi(2)
    }
}

impl GeofenceIndex {
    /// Indexes the shapes. Costs about a microsecond for each and for each vertex.
    pub fn build(shapes: impl IntoIterator<Item = Shape>) -> Self {
        let shapes: Vec<Indexed> = shapes
            .into_iter()
            .map(|shape| {
                let (center, radius_m) = shape.enclosing_circle();
                Indexed {
                    shape,
                    center: center.into(),
                    radius_m,
                }
            })
            .collect();
        let balls = (0_u32..)
            .zip(&shapes)
            .map(|(id, indexed)| Ball {
                center: indexed.center.ecef.0,
                radius_m: indexed.radius_m + MARGIN_M,
                id,
            })
            .collect();
        Self {
            shapes,
            tree: RTree::bulk_load(balls),
        }
    }

    /// How many shapes there are.
    pub fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }

    /// Puts into `found`, in place of what it held, the shapes that contain the position, in ascending order.
    pub fn containing(&self, at: Position, found: &mut Vec<u32>) {
        found.clear();
        let point = Located::from(at);
        let flow: ControlFlow<()> =
            self.tree
                .locate_in_envelope_intersecting_int(AABB::from_point(point.ecef.0), |ball| {
                    if self.shapes[ball.id as usize].contains(point, ball.radius_m) {
                        found.push(ball.id);
                    }
                    ControlFlow::Continue(())
                });
        debug_assert!(flow.is_continue());
        found.sort_unstable();
    }

    /// Answers [`GeofenceIndex::containing`] for many positions at once, faster than one by one. 16 to 64 are enough.
    pub fn containing_batch(&self, at: &[Position], hits: &mut Hits) {
        hits.ids.clear();
        hits.ends.clear();
        let mut found = Vec::new();
        for &at in at {
            self.containing(at, &mut found);
            hits.ids.extend_from_slice(&found);
            hits.ends.push(hits.ids.len() as u32);
        }
    }

    /// Puts into `found`, in place of what it held, the shapes whose enclosing circle comes within `radius_m` metres of
    /// the position, in ascending order.
    pub fn near(&self, at: Position, radius_m: f64, found: &mut Vec<u32>) {
        found.clear();
        let ids = (0_u32..)
            .zip(&self.shapes)
            .filter(|(_, indexed)| distance_m(indexed.center.position, at) <= indexed.radius_m + radius_m);
        found.extend(ids.map(|(id, _)| id));
    }

    /// Puts into `found`, in place of what it held, the shapes whose enclosing circle touches the box, in ascending
    /// order.
    pub fn within_box(&self, area: &LonLatBox, found: &mut Vec<u32>) {
        found.clear();
        let ids = (0_u32..).zip(&self.shapes).filter(|(_, indexed)| {
            let Position { latitude, longitude } = indexed.center.position;
            let is_between = if area.west <= area.east {
                area.west <= longitude && longitude <= area.east
            } else {
                area.west <= longitude || longitude <= area.east
            };
            is_between && area.south <= latitude && latitude <= area.north
        });
        found.extend(ids.map(|(id, _)| id));
    }

    /// What the index itself holds, in bytes. The vertices of polygons belong to the shapes, and aren't counted.
    pub fn memory_bytes(&self) -> usize {
        self.shapes.len() * (size_of::<Indexed>() + size_of::<Ball>())
    }

    /// The `k` shapes whose enclosing circles are nearest, best first, each with the metres to the edge of that circle:
    /// positive inside, so that the list descends. Equal ones come in ascending order of their ids.
    pub fn nearest(&self, at: Position, k: usize) -> Vec<(u32, f64)> {
        let mut best: Vec<(u32, f64)> = Vec::with_capacity(k.min(self.len()) + 1);
        if k == 0 {
            return best;
        }
        let balls = self
            .tree
            .nearest_neighbor_iter_with_distance_2(Ecef::from(at).0)
            .map(|(ball, squared)| (ball, squared.sqrt()));
        for (ball, at_least_m) in balls {
            // Balls round the point all come first, at distance 0, however deep the point is in them.
            let is_worse = at_least_m > 0.0 && best.last().is_some_and(|(_, worst)| -at_least_m < *worst);
            if is_worse && best.len() == k {
                break;
            }
            let indexed = &self.shapes[ball.id as usize];
            let depth_m = indexed.radius_m - distance_m(indexed.center.position, at);
            let place = best.partition_point(|(id, depth)| (-depth, *id) < (-depth_m, ball.id));
            best.insert(place, (ball.id, depth_m));
            best.truncate(k);
        }
        best
    }
}

impl Indexed {
    fn contains(&self, point: Located, ball_radius_m: f64) -> bool {
        match &self.shape {
            Shape::Circle { radius_m, .. } => circle::contains(self.center, *radius_m, point),
            Shape::Polygons(polygons) => {
                self.center.ecef.chord_squared(point.ecef) <= ball_radius_m * ball_radius_m
                    && polygons.contains(point.position)
            }
        }
    }
}
