//! What is drawn wrongly in a polygon though it can be read: edges that meet where they shouldn't, and holes outside.
//!
//! Everything here is planar, in longitude and latitude as `Polygons::coordinates` gives them, and exact. What counts
//! follows the simple features standard (OGC 06-103r4 section 6.1.11): edges of one ring meet only as neighbours do, at
//! their common vertex; rings of a polygon may touch in points, but neither cross nor run along each other.

use super::{polygons::Outline, unwrap::Vertex, unwrap::orient};

/// How two edges meet that shouldn't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meeting {
    /// They pass through each other.
    Cross,
    /// They share more than a point.
    Overlap,
    /// Two edges of one ring that aren't neighbours share a point, an end of at least one of them. It changes nothing
    /// about what is inside.
    Touch,
}

/// One edge, from a vertex to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeAt {
    /// The ring's number in the list that was given.
    pub ring: usize,
    /// The number of its first vertex.
    pub edge: usize,
}

/// Two edges that meet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Intersection {
    /// How.
    pub meeting: Meeting,
    /// Where, about: longitude and latitude in degrees.
    pub at: Vertex,
    /// Which.
    pub edges: [EdgeAt; 2],
}

/// There are so many edges side by side that looking at all pairs would take too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many edges lie across each other to check them all")]
pub struct TooTangled;

/// Edges of a group at the bottom of the hierarchy.
const GROUP: usize = 8;

/// Steps that the checks of one polygon may take however few edges it has. A step is a look at two boxes, or at a point
/// and an edge, of a few nanoseconds.
const POLYGON_STEPS_MIN: usize = 5_000_000;
/// Steps that the checks of one polygon may take for each of its edges, if that is more.
const POLYGON_STEPS_PER_EDGE: usize = 300;
/// Steps that two edges count for whose boxes meet: the predicates are exact, and slow where it matters.
const MEETING_STEPS: usize = 32;
/// Steps that the checks of many polygons may take together, however few edges they have: some seconds.
const STEPS_FIRST: usize = 1_000_000_000;
/// Steps that each edge adds to those. Outlines as they are drawn need no more.
const STEPS_PER_EDGE: usize = 200;

/// What the checks of many polygons may take together, so that a file of outlines that are made to take long ends soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    steps_left: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            steps_left: STEPS_FIRST,
        }
    }
}

impl Effort {
    /// Does a check within what is left for a polygon of so many edges, and takes off what it took.
    fn spend<T>(
        &mut self,
        edges: usize,
        check: impl FnOnce(&mut Steps) -> Result<T, TooTangled>,
    ) -> Result<T, TooTangled> {
        self.steps_left = self.steps_left.saturating_add(edges.saturating_mul(STEPS_PER_EDGE));
        let polygon_steps = edges.saturating_mul(POLYGON_STEPS_PER_EDGE).max(POLYGON_STEPS_MIN);
        let given = polygon_steps.min(self.steps_left);
        let mut steps = Steps { left: given };
        let outcome = check(&mut steps);
        self.steps_left -= given - steps.left;
        outcome
    }
}

/// The steps that are left to one check.
struct Steps {
    left: usize,
}

impl Steps {
    fn take(&mut self, steps: usize) -> Result<(), TooTangled> {
        let left = self.left.checked_sub(steps);
        self.left = left.unwrap_or(0);
        left.map(|_| ()).ok_or(TooTangled)
    }
}

#[derive(Clone, Copy)]
struct Edge {
    a: Vertex,
    b: Vertex,
    at: EdgeAt,
    /// The numbers of the edges before and after it in its ring.
    neighbours: [usize; 2],
}

/// West, south, east, north.
type Box4 = [f64; 4];

/// Finds two edges that meet though they shouldn't: among the rings of one polygon, each closed. Where there are several
/// such pairs, one that crosses is preferred, then one that overlaps, then one that touches.
///
/// Takes some hundred nanoseconds an edge for rings as they are drawn; gives up on what is made to take longer.
pub fn self_intersection(rings: &[&[Vertex]], effort: &mut Effort) -> Result<Option<Intersection>, TooTangled> {
    let edges = edges(rings);
    if edges.is_empty() {
        return Ok(None);
    }
    let mut levels: Vec<Vec<Box4>> = vec![edges.chunks(GROUP).map(box_of_edges).collect()];
    while let Some(lower) = levels.last().filter(|lower| lower.len() > 1) {
        let upper = lower
            .chunks(2)
            .map(|pair| join(pair[0], pair[pair.len() - 1]))
            .collect();
        levels.push(upper);
    }
    effort.spend(edges.len(), |steps| {
        let mut search = Search {
            edges: &edges,
            levels: &levels,
            steps,
            found: None,
        };
        search.pair(levels.len() - 1, 0, 0)?;
        Ok(search.found)
    })
}

/// The number, from 1, of the first hole with a vertex outside its polygon. The first ring is the outer one.
///
/// Looks at the few edges at each vertex's latitude; gives up on outlines that are made to have very many there.
pub fn hole_outside(rings: &[&[Vertex]], effort: &mut Effort) -> Result<Option<usize>, TooTangled> {
    let Some((outer, holes)) = rings.split_first().filter(|(_, holes)| !holes.is_empty()) else {
        return Ok(None);
    };
    let outer = Outline::new(outer);
    effort.spend(rings.iter().map(|ring| ring.len()).sum(), |steps| {
        for (number, hole) in holes.iter().enumerate() {
            for vertex in *hole {
                steps.take(outer.edges_at(vertex[1]))?;
                if !outer.contains(*vertex) {
                    return Ok(Some(number + 1));
                }
            }
        }
        Ok(None)
    })
}

/// The edges of all rings, without those of no length.
fn edges(rings: &[&[Vertex]]) -> Vec<Edge> {
    let mut edges: Vec<Edge> = Vec::with_capacity(rings.iter().map(|ring| ring.len()).sum());
    for (ring, vertices) in rings.iter().enumerate() {
        let first = edges.len();
        for (edge, ends) in vertices.windows(2).enumerate() {
            if ends[0] != ends[1] {
                let number = edges.len();
                edges.push(Edge {
                    a: ends[0],
                    b: ends[1],
                    at: EdgeAt { ring, edge },
                    neighbours: [number.wrapping_sub(1), number + 1],
                });
            }
        }
        let last = edges.len();
        if first < last {
            edges[first].neighbours[0] = last - 1;
            edges[last - 1].neighbours[1] = first;
        }
    }
    edges
}

fn box_of(edge: &Edge) -> Box4 {
    let (a, b) = (edge.a, edge.b);
    [a[0].min(b[0]), a[1].min(b[1]), a[0].max(b[0]), a[1].max(b[1])]
}

fn box_of_edges(edges: &[Edge]) -> Box4 {
    let nothing = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    edges.iter().map(box_of).fold(nothing, join)
}

fn join(a: Box4, b: Box4) -> Box4 {
    [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]
}

fn meet(a: Box4, b: Box4) -> bool {
    a[0] <= b[2] && b[0] <= a[2] && a[1] <= b[3] && b[1] <= a[3]
}

struct Search<'a, 's> {
    edges: &'a [Edge],
    /// Boxes of groups, then of two boxes each, up to one for all.
    levels: &'a [Vec<Box4>],
    steps: &'s mut Steps,
    found: Option<Intersection>,
}

impl Search<'_, '_> {
    /// Looks at all pairs of an edge below one box and an edge below the other, of the same level. Neighbouring edges
    /// lie below neighbouring boxes, so that a ring which is drawn cleanly has few boxes that meet.
    fn pair(&mut self, level: usize, a: usize, b: usize) -> Result<(), TooTangled> {
        self.steps.take(1)?;
        if self.found.is_some_and(|found| found.meeting == Meeting::Cross) {
            return Ok(());
        }
        if a != b && !meet(self.levels[level][a], self.levels[level][b]) {
            return Ok(());
        }
        if level == 0 {
            return self.groups(a, b);
        }
        let below = self.levels[level - 1].len();
        for first in 2 * a..(2 * a + 2).min(below) {
            for second in (2 * b).max(first)..(2 * b + 2).min(below) {
                self.pair(level - 1, first, second)?;
            }
        }
        Ok(())
    }

    fn groups(&mut self, a: usize, b: usize) -> Result<(), TooTangled> {
        let edges = self.edges.len();
        let group = |number: usize| number * GROUP..((number + 1) * GROUP).min(edges);
        for first in group(a) {
            self.steps.take(group(b).len())?;
            let first_box = box_of(&self.edges[first]);
            for second in group(b).filter(|second| *second > first) {
                if !meet(first_box, box_of(&self.edges[second])) {
                    continue;
                }
                self.steps.take(MEETING_STEPS)?;
                let Some((meeting, at)) = meeting(self.edges, first, second) else {
                    continue;
                };
                if self.found.is_none_or(|found| meeting < found.meeting) {
                    let edges = [self.edges[first].at, self.edges[second].at];
                    self.found = Some(Intersection { meeting, at, edges });
                }
            }
        }
        Ok(())
    }
}

/// How two edges meet whose boxes do, if that is wrong, and where.
fn meeting(edges: &[Edge], first: usize, second: usize) -> Option<(Meeting, Vertex)> {
    let (p, q) = (&edges[first], &edges[second]);
    let sides = |edge: &Edge, other: &Edge| [other.a, other.b].map(|point| orient(edge.a, edge.b, point));
    let ([qa, qb], [pa, pb]) = (sides(p, q), sides(q, p));
    if qa == 0.0 && qb == 0.0 {
        return overlap(p, q).map(|at| (Meeting::Overlap, at)).or_else(|| {
            // On one line and no more than a point in common.
            shared_point(p, q).and_then(|at| touch(edges, first, second, at))
        });
    }
    let apart = |a: f64, b: f64| a > 0.0 && b > 0.0 || a < 0.0 && b < 0.0;
    if apart(qa, qb) || apart(pa, pb) {
        return None;
    }
    if qa != 0.0 && qb != 0.0 && pa != 0.0 && pb != 0.0 {
        let share = pa / (pa - pb);
        let at = [0, 1].map(|axis| p.a[axis] + share * (p.b[axis] - p.a[axis]));
        return Some((Meeting::Cross, at));
    }
    let end = [(qa, q.a), (qb, q.b), (pa, p.a), (pb, p.b)]
        .into_iter()
        .find(|(side, _)| *side == 0.0);
    end.and_then(|(_, at)| touch(edges, first, second, at))
}

/// A place amid what two edges on one line share, if that is more than a point.
fn overlap(p: &Edge, q: &Edge) -> Option<Vertex> {
    let axis = usize::from((p.a[0] - p.b[0]).abs() < (p.a[1] - p.b[1]).abs());
    let sorted = |edge: &Edge| {
        if edge.a[axis] <= edge.b[axis] {
            (edge.a, edge.b)
        } else {
            (edge.b, edge.a)
        }
    };
    let ((p_from, p_to), (q_from, q_to)) = (sorted(p), sorted(q));
    let from = if p_from[axis] >= q_from[axis] { p_from } else { q_from };
    let to = if p_to[axis] <= q_to[axis] { p_to } else { q_to };
    (from[axis] < to[axis]).then(|| [f64::midpoint(from[0], to[0]), f64::midpoint(from[1], to[1])])
}

fn shared_point(p: &Edge, q: &Edge) -> Option<Vertex> {
    [p.a, p.b].into_iter().find(|end| *end == q.a || *end == q.b)
}

/// Touching is wrong within a ring, and there for edges that aren't neighbours.
fn touch(edges: &[Edge], first: usize, second: usize, at: Vertex) -> Option<(Meeting, Vertex)> {
    let (p, q) = (&edges[first], &edges[second]);
    let is_wrong = p.at.ring == q.at.ring && !p.neighbours.contains(&second);
    is_wrong.then_some((Meeting::Touch, at))
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn closed(mut ring: Vec<Vertex>) -> Vec<Vertex> {
        ring.push(ring[0]);
        ring
    }

    fn found(rings: &[Vec<Vertex>]) -> Option<Intersection> {
        let rings: Vec<&[Vertex]> = rings.iter().map(Vec::as_slice).collect();
        self_intersection(&rings, &mut Effort::default()).unwrap()
    }

    fn meeting_of(ring: Vec<Vertex>) -> Option<Meeting> {
        found(&[closed(ring)]).map(|intersection| intersection.meeting)
    }

    fn square(west: f64, south: f64, size: f64) -> Vec<Vertex> {
        let (east, north) = (west + size, south + size);
        closed(vec![[west, south], [east, south], [east, north], [west, north]])
    }

    #[test]
    fn a_bow_tie_crosses() {
        let bow_tie = closed(vec![[0.0, 0.0], [2.0, 2.0], [2.0, 0.0], [0.0, 2.0]]);
        let intersection = found(&[bow_tie]).unwrap();
        assert_eq!(intersection.meeting, Meeting::Cross);
        assert_eq!(intersection.at, [1.0, 1.0]);
        assert_eq!(intersection.edges.map(|edge| (edge.ring, edge.edge)), [(0, 0), (0, 2)]);
    }

    #[test]
    fn clean_rings_are_clean() {
        assert_eq!(meeting_of(vec![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), None);
        assert_eq!(
            meeting_of(vec![[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 0.0], [1.0, 5.0]]),
            None
        );
        assert_eq!(
            meeting_of(vec![[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [2.0, 1.0], [0.0, 4.0]]),
            None
        );
    }

    #[test]
    fn spikes_and_edges_used_twice_overlap() {
        let spike = vec![[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [2.0, 3.0], [2.0, 2.0], [0.0, 2.0]];
        assert_eq!(meeting_of(spike), Some(Meeting::Overlap));
        let slit = vec![
            [0.0, 0.0],
            [4.0, 0.0],
            [4.0, 4.0],
            [2.0, 4.0],
            [2.0, 1.0],
            [2.0, 4.0],
            [0.0, 4.0],
        ];
        assert_eq!(meeting_of(slit), Some(Meeting::Overlap));
    }

    #[test]
    fn a_ring_that_comes_back_to_a_vertex_touches() {
        let eight = vec![[0.0, 0.0], [1.0, 1.0], [2.0, 0.0], [2.0, 2.0], [1.0, 1.0], [0.0, 2.0]];
        assert_eq!(meeting_of(eight), Some(Meeting::Touch));
        let on_edge = vec![[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [2.0, 0.0], [0.0, 4.0]];
        assert_eq!(meeting_of(on_edge), Some(Meeting::Touch));
    }

    #[test]
    fn rings_may_touch_but_not_cross() {
        let outer = square(0.0, 0.0, 10.0);
        assert_eq!(
            found(&[outer.clone(), square(2.0, 2.0, 2.0), square(4.0, 4.0, 2.0)]),
            None
        );
        let crossing = found(&[outer.clone(), square(9.0, 2.0, 2.0)]).unwrap();
        assert_eq!(crossing.meeting, Meeting::Cross);
        assert_eq!(crossing.edges[1].ring, 1);
        let along = found(&[outer, square(8.0, 2.0, 2.0)]).unwrap();
        assert_eq!(along.meeting, Meeting::Overlap);
    }

    #[test]
    fn a_hole_outside_is_named() {
        let outside = |rings: &[&[Vertex]]| hole_outside(rings, &mut Effort::default()).unwrap();
        let (outer, inside, far) = (square(0.0, 0.0, 10.0), square(1.0, 1.0, 2.0), square(20.0, 1.0, 2.0));
        assert_eq!(outside(&[&outer, &inside]), None);
        assert_eq!(outside(&[&outer, &inside, &far]), Some(2));
        assert_eq!(outside(&[&outer, &square(0.0, 0.0, 2.0)]), None);
        assert_eq!(outside(&[&outer, &square(9.0, 9.0, 2.0)]), Some(1));
    }

    /// A star of many vertices, and one whose last vertices are drawn back over an edge far off.
    #[test]
    fn a_hundred_thousand_vertices_are_no_trouble() {
        let count = 100_000;
        let mut ring: Vec<Vertex> = (0..count)
            .map(|index| {
                let angle = TAU * f64::from(index) / f64::from(count);
                let reach = 1.0 + 0.2 * (37.0 * angle).sin() + 0.001 * (9_001.0 * angle).sin();
                [reach * angle.cos(), reach * angle.sin()]
            })
            .collect();
        let mut effort = Effort::default();
        assert_eq!(self_intersection(&[&closed(ring.clone())], &mut effort), Ok(None));
        assert!(effort.steps_left >= STEPS_FIRST, "{}", effort.steps_left);
        ring.swap(70_000, 70_001);
        let intersection = found(&[closed(ring)]).unwrap();
        assert_eq!(intersection.meeting, Meeting::Cross);
        assert!((69_999..=70_002).contains(&intersection.edges[0].edge));
    }

    /// Long edges to and fro, none of which crosses another.
    fn comb(teeth: u32) -> Vec<Vertex> {
        let teeth = (0..teeth).flat_map(|tooth| {
            let y = f64::from(tooth);
            // Slanting, so that each box meets many others.
            [[0.0, y], [1e6, y + 1e5], [0.0, y + 0.5]]
        });
        closed(teeth.chain([[-1e6, 0.0]]).collect())
    }

    #[test]
    fn what_is_made_to_take_long_is_given_up() {
        let outer = comb(2_000);
        let mut effort = Effort::default();
        assert_eq!(self_intersection(&[&outer], &mut effort), Err(TooTangled));
        let taken = STEPS_FIRST + (outer.len() - 1) * STEPS_PER_EDGE - effort.steps_left;
        assert!(taken <= POLYGON_STEPS_MIN, "{taken}");
        // Each corner of the hole has all teeth at its latitude.
        let teeth = (0..2_000).flat_map(|tooth| [[f64::from(tooth), 0.0], [f64::from(tooth) + 0.5, 10.0]]);
        let outer = closed([[-10.0, 0.0]].into_iter().chain(teeth).chain([[-10.0, 10.0]]).collect());
        let corners: Vec<Vertex> = square(-5.0, 4.0, 1.0).into_iter().cycle().take(10_000).collect();
        assert_eq!(hole_outside(&[&outer, &corners[..5]], &mut effort), Ok(None));
        assert_eq!(hole_outside(&[&outer, &corners], &mut effort), Err(TooTangled));
    }

    #[test]
    fn many_polygons_share_their_effort() {
        let outer = comb(200);
        let mut effort = Effort::default();
        let mut checks = 0_u32;
        while self_intersection(&[&outer], &mut effort).is_ok() {
            checks += 1;
            assert!(effort.steps_left < STEPS_FIRST);
            effort.steps_left = effort.steps_left.saturating_sub(STEPS_FIRST / 10);
        }
        assert!((9..=10).contains(&checks), "{checks}");
        assert!(effort.steps_left < POLYGON_STEPS_MIN);
    }

    #[test]
    fn pairs_are_those_of_brute_force() {
        let mut state = 7_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            f64::from((state >> 60) as u32)
        };
        for _ in 0..2_000 {
            let ring = closed((0..5 + random() as usize % 12).map(|_| [random(), random()]).collect());
            let edges = edges(&[&ring]);
            let pairs = (0..edges.len()).flat_map(|a| (a + 1..edges.len()).map(move |b| (a, b)));
            let all = pairs.filter(|(a, b)| meet(box_of(&edges[*a]), box_of(&edges[*b])));
            let expected = all
                .filter_map(|(a, b)| meeting(&edges, a, b))
                .map(|(kind, _)| kind)
                .min();
            assert_eq!(found(&[ring]).map(|intersection| intersection.meeting), expected);
        }
    }
}
