//! What one would write with `rstar` and `geo`: boxes in degrees, then a test of each candidate.

use beckon::geo::Position;
use geo::{Contains as _, Distance as _, Haversine, indexed::IntervalTreeMultiPolygon};
use rstar::{AABB, PointDistance, RTree, RTreeObject};

use super::world::{Fence, Vertex};

type Envelope = AABB<[f64; 2]>;

/// How polygons are tested.
pub(super) enum Area {
    Circle { center: geo::Point, radius_m: f64 },
    Polygon(Box<geo::Polygon>),
    Indexed(Box<IntervalTreeMultiPolygon<f64>>),
}

/// A fence in the tree.
pub(super) struct Entry {
    envelope: Envelope,
    area: Area,
    id: u32,
}

impl RTreeObject for Entry {
    type Envelope = Envelope;

    fn envelope(&self) -> Envelope {
        self.envelope
    }
}

impl PointDistance for Entry {
    fn distance_2(&self, point: &[f64; 2]) -> f64 {
        rstar::Envelope::distance_2(&self.envelope, point)
    }
}

impl Entry {
    /// `has_interval_trees` puts polygons into `IntervalTreeMultiPolygon`.
    pub(super) fn new(id: u32, fence: Fence, has_interval_trees: bool) -> Self {
        match fence {
            Fence::Circle {
                center: [x, y],
                radius_m,
            } => {
                let north = radius_m / 110_500.0;
                let east = north / y.to_radians().cos();
                Self {
                    envelope: AABB::from_corners([x - east, y - north], [x + east, y + north]),
                    area: Area::Circle {
                        center: geo::Point::new(x, y),
                        radius_m,
                    },
                    id,
                }
            }
            Fence::Polygon(ring) => {
                let envelope = AABB::from_points(ring.iter());
                let line: geo::LineString = ring.into_iter().map(geo::Coord::from).collect();
                let polygon = geo::Polygon::new(line, Vec::new());
                let area = if has_interval_trees {
                    Area::Indexed(Box::new(IntervalTreeMultiPolygon::new(&polygon.into())))
                } else {
                    Area::Polygon(Box::new(polygon))
                };
                Self { envelope, area, id }
            }
        }
    }

    fn contains(&self, point: geo::Point) -> bool {
        match &self.area {
            Area::Circle { center, radius_m } => Haversine.distance(*center, point) <= *radius_m,
            Area::Polygon(polygon) => polygon.contains(&point),
            Area::Indexed(polygon) => polygon.contains(&point),
        }
    }
}

/// The peer.
pub(super) struct Peer(RTree<Entry>);

impl Peer {
    pub(super) fn build(entries: Vec<Entry>) -> Self {
        Self(RTree::bulk_load(entries))
    }

    pub(super) fn containing(&self, [x, y]: Vertex, found: &mut Vec<u32>) {
        found.clear();
        let point = geo::Point::new(x, y);
        let inside = self
            .0
            .locate_in_envelope_intersecting(AABB::from_point([x, y]))
            .filter(|entry| entry.contains(point));
        found.extend(inside.map(|entry| entry.id));
    }

    /// In degrees, which is not the nearest on the ground.
    pub(super) fn nearest(&self, at: Vertex, k: usize) -> Vec<u32> {
        self.0.nearest_neighbor_iter(at).take(k).map(|entry| entry.id).collect()
    }
}

/// As Beckon takes it.
pub(super) fn position([longitude, latitude]: Vertex) -> Position {
    Position { latitude, longitude }
}
