//! Which ring of a shape is a hole, and of which outline.
//!
//! Outlines go clockwise in shapefiles, holes against the clock, in any order. A hole belongs to the smallest outline
//! round it. One that has no outline round it counts as an outline, for not every program keeps to the direction.

use super::super::{
    Finding, FindingCode,
    geometry::{Geometry, Vertex},
};

/// Most edges that are looked at to find the outlines of a shape's holes: some tenths of a second.
const STEPS_MAX: usize = 50_000_000;

/// Most edges that are looked at in a file, to begin with: some seconds.
const FILE_STEPS_FIRST: usize = 1_000_000_000;

/// How many more with each vertex.
const FILE_STEPS_PER_VERTEX: usize = 100;

type Ring = Vec<Vertex>;

/// What the shapes of a file may take together, so that a file of shapes that are made to take long ends soon.
#[derive(Debug)]
pub(super) struct Effort {
    steps_left: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            steps_left: FILE_STEPS_FIRST,
        }
    }
}

pub(super) fn into_polygons(rings: Vec<Ring>, effort: &mut Effort) -> Result<Geometry, Finding> {
    let vertices: usize = rings.iter().map(Vec::len).sum();
    effort.steps_left = effort
        .steps_left
        .saturating_add(vertices.saturating_mul(FILE_STEPS_PER_VERTEX));
    let given = effort.steps_left.min(STEPS_MAX);
    let mut steps_left = given;
    let outcome = join(rings, &mut steps_left);
    effort.steps_left -= given - steps_left;
    outcome
}

fn join(rings: Vec<Ring>, steps_left: &mut usize) -> Result<Geometry, Finding> {
    let rings: Vec<Measured> = rings
        .into_iter()
        .filter(|ring| !ring.is_empty())
        .map(Measured::new)
        .collect();
    let (mut outlines, holes): (Vec<Measured>, Vec<Measured>) = rings.into_iter().partition(|ring| ring.area <= 0.0);
    let mut owned: Vec<(usize, Ring)> = Vec::new();
    let mut orphans = Vec::new();
    for hole in holes {
        match owner(&outlines, &hole, steps_left)? {
            Some(outline) => owned.push((outline, hole.ring)),
            None => orphans.push(hole),
        }
    }
    outlines.extend(orphans);
    let mut polygons: Vec<Vec<Ring>> = outlines.into_iter().map(|outline| vec![outline.ring]).collect();
    for (outline, hole) in owned {
        polygons[outline].push(hole);
    }
    Ok(match polygons.len() {
        0 => Geometry::Absent,
        1 => Geometry::Polygon(polygons.remove(0)),
        _ => Geometry::MultiPolygon(polygons),
    })
}

struct Measured {
    ring: Ring,
    /// Above 0 against the clock.
    area: f64,
    low: Vertex,
    high: Vertex,
}

impl Measured {
    fn new(ring: Ring) -> Self {
        // From the first vertex, so that large coordinates take no digits away.
        let [x, y] = ring[0];
        let edges = ring.iter().zip(ring.iter().skip(1));
        let area = edges
            .map(|(a, b)| (a[0] - x) * (b[1] - y) - (b[0] - x) * (a[1] - y))
            .sum::<f64>()
            / 2.0;
        let bound = |better: fn(f64, f64) -> f64| {
            ring.iter().fold(ring[0], |bound, vertex| {
                [better(bound[0], vertex[0]), better(bound[1], vertex[1])]
            })
        };
        let (low, high) = (bound(f64::min), bound(f64::max));
        Self { ring, area, low, high }
    }

    fn has_round_it(&self, other: &Self) -> bool {
        other.low[0] <= self.low[0]
            && other.low[1] <= self.low[1]
            && other.high[0] >= self.high[0]
            && other.high[1] >= self.high[1]
    }
}

/// The smallest outline round a hole.
fn owner(outlines: &[Measured], hole: &Measured, steps_left: &mut usize) -> Result<Option<usize>, Finding> {
    *steps_left = steps_left.checked_sub(outlines.len()).ok_or_else(too_many)?;
    let may_own = |(index, outline): (usize, &Measured)| hole.has_round_it(outline).then_some(index);
    let mut candidates: Vec<usize> = outlines.iter().enumerate().filter_map(may_own).collect();
    candidates.sort_by(|a, b| outlines[*a].area.abs().total_cmp(&outlines[*b].area.abs()));
    for index in &candidates {
        match contains(&outlines[*index].ring, &hole.ring, steps_left) {
            Some(true) => return Ok(Some(*index)),
            Some(false) => {}
            // A forest with thousands of clearings: there is no other outline that they could be in.
            None if candidates.len() == 1 => return Ok(Some(*index)),
            None => return Err(too_many()),
        }
    }
    Ok(None)
}

fn too_many() -> Finding {
    Finding::error(
        FindingCode::VerticesTooMany,
        "the shape has too many rings to find out which is a hole of which",
        "split it into several shapes",
    )
}

/// Whether a ring's vertices lie in another ring; those on its edges tell nothing. `None` when it would take too long.
fn contains(outline: &[Vertex], hole: &[Vertex], steps_left: &mut usize) -> Option<bool> {
    /// A hole may touch its outline, but hardly with more corners than this.
    const CORNERS_MAX: usize = 16;
    for vertex in hole.iter().take(CORNERS_MAX) {
        *steps_left = steps_left.checked_sub(outline.len())?;
        let is_inside = is_inside(outline, *vertex);
        if is_inside.is_some() {
            return is_inside;
        }
    }
    Some(true)
}

/// By the edges that cross a line to the east; `None` on an edge.
fn is_inside(ring: &[Vertex], [x, y]: Vertex) -> Option<bool> {
    let mut is_inside = false;
    for (a, b) in ring.iter().zip(ring.iter().skip(1)) {
        let cross = (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]);
        let is_between = x >= a[0].min(b[0]) && x <= a[0].max(b[0]) && y >= a[1].min(b[1]) && y <= a[1].max(b[1]);
        if cross == 0.0 && is_between {
            return None;
        }
        if (a[1] > y) != (b[1] > y) && (cross > 0.0) == (b[1] > a[1]) {
            is_inside = !is_inside;
        }
    }
    Some(is_inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polygons_of(rings: Vec<Ring>) -> Result<Geometry, Finding> {
        into_polygons(rings, &mut Effort::default())
    }

    /// A square against the clock.
    fn square(west: f64, south: f64, size: f64) -> Ring {
        let (east, north) = (west + size, south + size);
        vec![
            [west, south],
            [east, south],
            [east, north],
            [west, north],
            [west, south],
        ]
    }

    fn clockwise(mut ring: Ring) -> Ring {
        ring.reverse();
        ring
    }

    #[test]
    fn holes_find_the_smallest_outline_round_them() {
        let lake = clockwise(square(0.0, 0.0, 100.0));
        let island = clockwise(square(20.0, 20.0, 20.0));
        let other = clockwise(square(200.0, 0.0, 10.0));
        let water = square(10.0, 10.0, 50.0);
        // It touches the island's edge.
        let pond = square(20.0, 25.0, 5.0);
        let rings = vec![water.clone(), lake.clone(), pond.clone(), other.clone(), island.clone()];
        let expected = vec![vec![lake, water], vec![other], vec![island, pond]];
        assert_eq!(polygons_of(rings).unwrap(), Geometry::MultiPolygon(expected));
    }

    #[test]
    fn a_ring_in_the_wrong_direction_is_an_outline_when_nothing_is_round_it() {
        let one = square(0.0, 0.0, 1.0);
        assert_eq!(
            polygons_of(vec![one.clone()]).unwrap(),
            Geometry::Polygon(vec![one.clone()])
        );
        let two = square(5.0, 0.0, 1.0);
        let both = Geometry::MultiPolygon(vec![vec![one.clone()], vec![two.clone()]]);
        assert_eq!(polygons_of(vec![one, two]).unwrap(), both);
        assert_eq!(polygons_of(vec![]).unwrap(), Geometry::Absent);
    }

    #[test]
    fn hostile_numbers_of_rings_end_soon() {
        let at = |index: usize| index as f64 * 1e-3;
        let outlines = (0..20_000).map(|index| clockwise(square(at(index), 0.0, 1000.0)));
        let holes = (0..20_000).map(|index| square(500.0 + at(index), 500.0, 1e-4));
        assert!(polygons_of(outlines.chain(holes).collect()).is_err());
    }

    #[test]
    fn shapes_share_their_effort() {
        // Each hole has all outlines round it, and touches each, so that one look doesn't tell.
        let rings = || {
            let outlines = (0..200).map(|_| clockwise(square(0.0, 0.0, 10.0)));
            outlines
                .chain((0..200).map(|_| square(0.0, 0.0, 1.0)))
                .collect::<Vec<_>>()
        };
        let mut effort = Effort::default();
        assert!(into_polygons(rings(), &mut effort).is_ok());
        let taken = FILE_STEPS_FIRST + 2_000 * FILE_STEPS_PER_VERTEX - effort.steps_left;
        assert!(taken >= 200 * 200, "{taken}");
        effort.steps_left = 0;
        assert!(into_polygons(vec![square(0.0, 0.0, 1.0)], &mut effort).is_ok());
        let many: Vec<Ring> = std::iter::repeat_with(rings).take(5).flatten().collect();
        effort.steps_left = 0;
        assert!(into_polygons(many, &mut effort).is_err());
    }
}
