//! The rings of all polygons in one flat list of vertices, and where a point lies relative to them, exactly.

use crate::geo::{shape::RingProblem, unwrap::Vertex};

/// Farthest longitude that is accepted, in degrees: data that crosses the antimeridian is often written beyond 180.
const LONGITUDE_MAX: f64 = 360.0;

/// Where a point lies relative to a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::geo) enum Side {
    Inside,
    Boundary,
    Outside,
}

/// Closed rings, the first vertex of each again at its end. Each polygon is an outer ring followed by its holes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rings {
    vertices: Box<[Vertex]>,
    /// Where each ring ends in `vertices`; empty when there is but one ring.
    ends: Box<[RingEnd]>,
}

/// The number of the vertex after a ring's last, with a flag for outer rings.
#[derive(Debug, Clone, Copy, PartialEq)]
struct RingEnd(u32);

impl RingEnd {
    const OUTER: u32 = 1 << 31;

    fn vertex(self) -> usize {
        (self.0 & !Self::OUTER) as usize
    }

    fn is_outer(self) -> bool {
        self.0 & Self::OUTER != 0
    }
}

/// Edges that are looked at together, a bit for each.
const EDGES_TOGETHER: usize = 64;

/// Consecutive edges of one ring. Edge `i` leads from vertex `i` to vertex `i + 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) start: u32,
    pub(super) edges: u32,
}

impl Rings {
    /// Puts closed rings one after the other.
    pub(super) fn new(polygons: &[Vec<Vec<Vertex>>]) -> Self {
        let mut vertices = Vec::with_capacity(polygons.iter().flatten().map(Vec::len).sum());
        let mut ends = Vec::new();
        for rings in polygons {
            for (ring, ring_vertices) in rings.iter().enumerate() {
                vertices.extend_from_slice(ring_vertices);
                let outer = if ring == 0 { RingEnd::OUTER } else { 0 };
                ends.push(RingEnd(vertices.len() as u32 | outer));
            }
        }
        if ends.len() == 1 {
            ends.clear();
        }
        Self {
            vertices: vertices.into_boxed_slice(),
            ends: ends.into_boxed_slice(),
        }
    }

    pub(super) fn vertices(&self) -> &[Vertex] {
        &self.vertices
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.vertices) + size_of_val(&*self.ends)
    }

    /// Each ring, and whether it is an outer one.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[Vertex], bool)> {
        let count = self.ends.len().max(1);
        (0..count).map(|ring| (&self.vertices[self.span(ring)], self.is_outer(ring)))
    }

    /// The edges of each ring.
    pub(super) fn runs(&self) -> impl Iterator<Item = Run> {
        let count = self.ends.len().max(1);
        (0..count).map(|ring| {
            let span = self.span(ring);
            Run {
                start: span.start as u32,
                edges: (span.len() - 1) as u32,
            }
        })
    }

    /// The edges with numbers in `from..to`.
    pub(super) fn runs_between(&self, from: usize, to: usize) -> impl Iterator<Item = Run> {
        let count = self.ends.len().max(1);
        let first = self.ring_of(from as u32);
        (first..count)
            .map(|ring| self.span(ring))
            .take_while(move |span| span.start < to)
            .filter_map(move |span| {
                let (start, end) = (span.start.max(from), (span.end - 1).min(to));
                (start < end).then(|| Run {
                    start: start as u32,
                    edges: (end - start) as u32,
                })
            })
    }

    fn span(&self, ring: usize) -> std::ops::Range<usize> {
        let start = if ring == 0 { 0 } else { self.ends[ring - 1].vertex() };
        let end = self.ends.get(ring).map_or(self.vertices.len(), |end| end.vertex());
        start..end
    }

    fn is_outer(&self, ring: usize) -> bool {
        self.ends.get(ring).is_none_or(|end| end.is_outer())
    }

    /// The ring that vertex belongs to.
    fn ring_of(&self, vertex: u32) -> usize {
        self.ends.partition_point(|end| end.vertex() <= vertex as usize)
    }

    /// The outer ring of the polygon that the ring belongs to.
    fn outer_of(&self, ring: usize) -> usize {
        (0..=ring).rev().find(|ring| self.is_outer(*ring)).unwrap_or(0)
    }

    /// Whether the point is in one of the polygons or on a boundary (of a hole, too).
    ///
    /// `runs` must hold, in ascending order, every edge that the point's parallel touches. A ring without such an edge
    /// has the point outside.
    pub(super) fn contain(&self, point: Vertex, runs: impl IntoIterator<Item = Run>) -> bool {
        if self.ends.is_empty() {
            let sides = runs.into_iter().map(|run| self.crossings(point, run));
            return sides.fold(Side::Outside, Side::and) != Side::Outside;
        }
        let mut runs = runs.into_iter().peekable();
        let mut inside_of = None;
        while let Some(run) = runs.next() {
            let ring = self.ring_of(run.start);
            let ring_end = self.span(ring).end;
            let mut crossings = self.crossings(point, run);
            while let Some(next) = runs.next_if(|next| (next.start as usize) < ring_end) {
                crossings = crossings.and(self.crossings(point, next));
            }
            if self.is_outer(ring) {
                if inside_of.is_some() || crossings == Side::Boundary {
                    return true;
                }
                inside_of = (crossings == Side::Inside).then_some(ring);
            } else if crossings == Side::Inside
                && let Some(outer) = inside_of
            {
                // A polygon's holes come right after its outer ring: no later one can take the point out again.
                if outer != self.outer_of(ring) {
                    return true;
                }
                inside_of = None;
            }
        }
        inside_of.is_some()
    }

    fn crossings(&self, point: Vertex, run: Run) -> Side {
        let start = run.start as usize;
        crossings(&self.vertices[start..=start + run.edges as usize], point)
    }
}

impl Side {
    /// Two parts of a ring together.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Boundary, _) | (_, Self::Boundary) => Self::Boundary,
            (Self::Inside, Self::Inside) | (Self::Outside, Self::Outside) => Self::Outside,
            (Self::Inside, Self::Outside) | (Self::Outside, Self::Inside) => Self::Inside,
        }
    }
}

/// Whether the line from `point` eastwards meets the edges an odd number of times (then it is inside). An edge owns its
/// southern end and not its northern. The predicates are exact.
#[expect(clippy::needless_bitwise_bool, reason = "branches would be mispredicted")]
pub(in crate::geo) fn crossings(vertices: &[Vertex], point: Vertex) -> Side {
    let [x, y] = point;
    let mut is_odd = false;
    let mut start = 0;
    while start + 1 < vertices.len() {
        let edges = &vertices[start..vertices.len().min(start + 1 + EDGES_TOGETHER)];
        start += EDGES_TOGETHER;
        // Branches would be mispredicted. The few edges on which more depends are looked at afterwards.
        let mut unclear = 0_u64;
        for (number, edge) in edges.windows(2).enumerate() {
            let (a, b) = (edge[0], edge[1]);
            let passes = (a[1] <= y) != (b[1] <= y);
            let is_west = (a[0] < x) & (b[0] < x);
            let is_east = (a[0] > x) & (b[0] > x);
            let touches = (a[1] == y) | (b[1] == y);
            is_odd ^= passes & is_east;
            unclear |= u64::from((passes & !is_west & !is_east) | (touches & !passes)) << number;
        }
        while unclear != 0 {
            let number = unclear.trailing_zeros() as usize;
            unclear &= unclear - 1;
            let (a, b) = (edges[number], edges[number + 1]);
            if (a[1] <= y) == (b[1] <= y) {
                if is_on_level(a, b, point) {
                    return Side::Boundary;
                }
                continue;
            }
            let (south, north) = if a[1] < b[1] { (a, b) } else { (b, a) };
            let turn = crate::geo::unwrap::orient(south, north, point);
            if turn == 0.0 {
                return Side::Boundary;
            }
            is_odd ^= turn > 0.0;
        }
    }
    if is_odd { Side::Inside } else { Side::Outside }
}

/// Whether the point is an end of an edge that doesn't pass its parallel, or on one that lies along it.
fn is_on_level(a: Vertex, b: Vertex, point: Vertex) -> bool {
    let [x, y] = point;
    let is_along = a[1] == y && b[1] == y && a[0].min(b[0]) <= x && x <= a[0].max(b[0]);
    is_along || a == point || b == point
}

/// Twice the area in square degrees, positive when counterclockwise. The very opposite for the ring reversed.
pub(in crate::geo) fn area_doubled(ring: &[Vertex]) -> f64 {
    let [x, y] = ring.first().copied().unwrap_or_default();
    let cross = |a: Vertex, b: Vertex| (a[0] - x) * (b[1] - y) - (b[0] - x) * (a[1] - y);
    let forwards: f64 = ring.windows(2).map(|edge| cross(edge[0], edge[1])).sum();
    let backwards: f64 = ring.windows(2).rev().map(|edge| cross(edge[1], edge[0])).sum();
    (forwards - backwards) / 2.0
}

/// Whether the numbers are on Earth and the ring is closed.
pub(super) fn check(ring: &[Vertex]) -> Result<(), RingProblem> {
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
