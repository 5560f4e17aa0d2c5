//! How far it is to the nearest edge, without looking at all of them.

use super::rings::{Rings, Run};
use crate::geo::{Position, distance_m, ellipsoid::metres_per_degree, unwrap::Vertex};

/// Edges that share a box.
const EDGES_PER_BOX: usize = 32;

/// Boxes of consecutive edges, for those that have many.
#[derive(Debug, Clone, Default)]
pub(super) struct Boxes(Box<[EdgeBox]>);

/// West, south, east, north in degrees, rounded outwards.
#[derive(Debug, Clone, Copy)]
struct EdgeBox([f32; 4]);

impl EdgeBox {
    fn of(vertices: &[Vertex]) -> Self {
        let nothing = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
        let [west, south, east, north] = vertices.iter().fold(nothing, |[w, s, e, n], [x, y]| {
            [w.min(*x), s.min(*y), e.max(*x), n.max(*y)]
        });
        Self([
            (west as f32).next_down(),
            (south as f32).next_down(),
            (east as f32).next_up(),
            (north as f32).next_up(),
        ])
    }
}

impl Boxes {
    pub(super) fn new(rings: &Rings) -> Self {
        let vertices = rings.vertices();
        let starts = (0..vertices.len()).step_by(EDGES_PER_BOX);
        Self(
            starts
                .map(|start| EdgeBox::of(&vertices[start..vertices.len().min(start + EDGES_PER_BOX + 1)]))
                .collect(),
        )
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

/// The parts of the antimeridian on which polygons meet that were cut there: no edges of theirs. Latitudes in degrees,
/// ascending and apart.
#[derive(Debug, Clone, Default)]
pub(super) struct Seam(Box<[[f64; 2]]>);

impl Seam {
    pub(super) fn new(rings: &Rings) -> Self {
        let along = |longitude: f64| {
            let mut spans: Vec<[f64; 2]> = Vec::new();
            for (ring, _) in rings.iter() {
                let edges = ring
                    .windows(2)
                    .filter(|edge| edge[0][0] == longitude && edge[1][0] == longitude);
                spans.extend(edges.map(|edge| [edge[0][1].min(edge[1][1]), edge[0][1].max(edge[1][1])]));
            }
            spans.sort_by(|a, b| a[0].total_cmp(&b[0]));
            spans
        };
        let (east, west) = (along(180.0), along(-180.0));
        let mut shared: Vec<[f64; 2]> = Vec::new();
        let (mut i, mut j) = (0, 0);
        while let (Some(a), Some(b)) = (east.get(i), west.get(j)) {
            let (from, to) = (a[0].max(b[0]), a[1].min(b[1]));
            if from < to {
                match shared.last_mut() {
                    Some([_, end]) if from <= *end => *end = end.max(to),
                    _ => shared.push([from, to]),
                }
            }
            if a[1] < b[1] {
                i += 1;
            } else {
                j += 1;
            }
        }
        Self(shared.into_boxed_slice())
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.0)
    }

    /// What is left of an edge along the antimeridian.
    fn rest(&self, a: Vertex, b: Vertex, mut visit: impl FnMut(Vertex, Vertex)) {
        let longitude = a[0];
        let (mut from, to) = (a[1].min(b[1]), a[1].max(b[1]));
        let first = self.0.partition_point(|[_, end]| *end <= from);
        for [start, end] in self.0[first..].iter().take_while(|[start, _]| *start < to) {
            if *start > from {
                visit([longitude, from], [longitude, *start]);
            }
            from = end.max(from);
        }
        if from < to {
            visit([longitude, from], [longitude, to]);
        }
    }
}

/// The nearest place of some edges to a point, in a plane that is true to scale there.
struct Nearest {
    point: Vertex,
    /// Metres in a degree of latitude and longitude.
    scale: (f64, f64),
    squared: f64,
    place: Vertex,
}

/// Metres from the point to the nearest place of any edge.
///
/// The nearest place is chosen in a plane that is true to scale at `point`, and the geodesic to it is returned: never
/// too short, and within about 0.5 % up to some tens of kilometres away from the poles. Edges along a pole have no
/// length and are left out.
pub(super) fn to_edge_m(rings: &Rings, boxes: &Boxes, seam: &Seam, point: Position) -> f64 {
    let mut nearest = Nearest {
        point: [point.longitude, point.latitude],
        scale: metres_per_degree(point.latitude),
        squared: f64::INFINITY,
        place: [point.longitude, point.latitude],
    };
    let bound = |index: usize| nearest_in_box(&nearest, boxes.0[index]);
    let best = (0..boxes.0.len())
        .map(|index| (bound(index), index))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, best)) = best {
        nearest.visit_box(rings, seam, best);
        for index in (0..boxes.0.len()).filter(|index| *index != best) {
            if nearest_in_box(&nearest, boxes.0[index]) < nearest.squared {
                nearest.visit_box(rings, seam, index);
            }
        }
    } else {
        for run in rings.runs() {
            nearest.visit(rings, seam, run);
        }
    }
    let [longitude, latitude] = nearest.place;
    distance_m(point, Position::wrapped(latitude, longitude))
}

/// A lower bound of the squared distance to what is in the box, the shorter way round.
fn nearest_in_box(nearest: &Nearest, EdgeBox(bounds): EdgeBox) -> f64 {
    let [west, south, east, north] = bounds.map(f64::from);
    let [x, y] = nearest.point;
    let gap = |turn: f64| (west + turn - x).max(x - east - turn).max(0.0);
    let dx = gap(0.0).min(gap(360.0)).min(gap(-360.0)) * nearest.scale.1;
    let dy = (south - y).max(y - north).max(0.0) * nearest.scale.0;
    // A little less, for what follows is rounded, too.
    (dx * dx + dy * dy) * (1.0 - 1e-9)
}

impl Nearest {
    fn visit_box(&mut self, rings: &Rings, seam: &Seam, index: usize) {
        let (from, to) = (index * EDGES_PER_BOX, (index + 1) * EDGES_PER_BOX);
        for run in rings.runs_between(from, to) {
            self.visit(rings, seam, run);
        }
    }

    fn visit(&mut self, rings: &Rings, seam: &Seam, run: Run) {
        let start = run.start as usize;
        for edge in rings.vertices()[start..=start + run.edges as usize].windows(2) {
            let (a, b) = (edge[0], edge[1]);
            if a[1].abs() == 90.0 && a[1] == b[1] {
                continue;
            }
            if a[0] == b[0] && a[0].abs() == 180.0 {
                seam.rest(a, b, |a, b| self.consider(a, b));
            } else {
                self.consider(a, b);
            }
        }
    }

    fn consider(&mut self, a: Vertex, b: Vertex) {
        let [x, y] = self.point;
        let (lat_m, lon_m) = self.scale;
        let turn = 360.0 * ((f64::midpoint(a[0], b[0]) - x) / 360.0).round();
        let (ax, ay) = ((a[0] - turn - x) * lon_m, (a[1] - y) * lat_m);
        let (dx, dy) = ((b[0] - a[0]) * lon_m, (b[1] - a[1]) * lat_m);
        let length_squared = dx * dx + dy * dy;
        let share = if length_squared > 0.0 {
            (-(ax * dx + ay * dy) / length_squared).clamp(0.0, 1.0)
        } else {
            0.0
        };
        let (px, py) = (ax + share * dx, ay + share * dy);
        let squared = px * px + py * py;
        if squared < self.squared {
            self.squared = squared;
            self.place = [a[0] - turn + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])];
        }
    }
}
