//! Which geofences of one tag overlap. Exact for two circles. Polygons are looked at on a grid of points, and only what
//! is deep in both counts, so that neighbours whose common border was drawn twice don't overlap.

use super::compare::Fence;
use crate::geo::{GeofenceIndex, Position, Shape, distance_m};

/// Most pairs whose enclosing circles meet that are looked at.
const PAIRS_MAX: usize = 20_000_000;

/// Most steps of looks at points and shapes in a file. A step is a look at an edge or a few, of some nanoseconds.
const STEPS_MAX: usize = 1_000_000_000;

/// Steps of a look at a shape, however few vertices it has.
const STEPS_PER_LOOK: usize = 50;

/// Vertices of a polygon that count as a step of a look at it. Mostly a look needs far fewer; but outlines can be drawn
/// so that it needs them all.
const VERTICES_PER_STEP: usize = 8;

/// Points looked at on each side of the box that is common to two shapes.
const GRID: u32 = 6;

/// How deep a point must be in both shapes to count, of the mean half width of the narrower one.
const DEPTH_SHARE: f64 = 0.1;

/// Metres of a degree of latitude, at least; boxes are a bit too large by it.
const DEGREE_M_MIN: f64 = 110_500.0;

/// Metres of a degree on a sphere, for widths that need not be exact.
const DEGREE_M: f64 = 111_195.0;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Overlaps {
    /// One of the first pair's geofences and the other.
    pub(super) first: Option<(usize, usize)>,
    /// Geofences that overlap another one.
    pub(super) count: u64,
    /// Whether all could be looked at.
    pub(super) is_all: bool,
}

/// Looks for an overlap of each geofence with another of its tag.
pub(super) fn overlaps(fences: &[Fence]) -> Overlaps {
    overlaps_within(fences, STEPS_MAX)
}

fn overlaps_within(fences: &[Fence], steps: usize) -> Overlaps {
    let areas: Vec<Area> = fences.iter().map(|fence| Area::of(&fence.shape)).collect();
    let tree = GeofenceIndex::build(fences.iter().map(|fence| fence.shape.clone()));
    let mut budget = Budget {
        pairs: PAIRS_MAX,
        steps,
    };
    let mut found = Overlaps {
        is_all: true,
        ..Overlaps::default()
    };
    let mut near = Vec::new();
    for (index, fence) in fences.iter().enumerate() {
        let (center, radius_m) = fence.shape.enclosing_circle();
        tree.near(center, radius_m, &mut near);
        if !budget.take(near.len()) {
            found.is_all = false;
            return found;
        }
        let is_candidate = |other: &usize| *other != index && fences[*other].tag == fence.tag;
        let others = near.iter().map(|other| *other as usize).filter(is_candidate);
        for other in others {
            if overlap(&areas[index], &areas[other], &mut budget) {
                found.count += 1;
                found.first.get_or_insert((index.max(other), index.min(other)));
                break;
            }
        }
    }
    found
}

/// What is left of the work.
struct Budget {
    pairs: usize,
    steps: usize,
}

impl Budget {
    fn take(&mut self, pairs: usize) -> bool {
        self.pairs = self.pairs.saturating_sub(pairs);
        self.pairs > 0 && self.steps > 0
    }

    fn take_look(&mut self, shape: &Shape) {
        let steps = STEPS_PER_LOOK + shape.vertices() / VERTICES_PER_STEP;
        self.steps = self.steps.saturating_sub(steps);
    }
}

/// What is looked at again and again of a shape, for which all its vertices are needed.
struct Area<'a> {
    shape: &'a Shape,
    corners: [[f64; 2]; 2],
    half_width_m: f64,
}

impl<'a> Area<'a> {
    fn of(shape: &'a Shape) -> Self {
        Self {
            shape,
            corners: corners(shape),
            half_width_m: half_width_m(shape),
        }
    }
}

/// Two corners of a shape's box in degrees, west and south first.
fn corners(shape: &Shape) -> [[f64; 2]; 2] {
    const ALL_ROUND: [f64; 2] = [-180.0, 180.0];
    let (south, north, [west, east]) = match shape {
        Shape::Circle { center, radius_m } => {
            let (south, north) = {
                let degrees = radius_m / DEGREE_M_MIN;
                (center.latitude - degrees, center.latitude + degrees)
            };
            let width = radius_m / (DEGREE_M_MIN * south.abs().max(north.abs()).min(90.0).to_radians().cos());
            let (west, east) = (center.longitude - width, center.longitude + width);
            let is_plain = width.is_finite() && west >= -180.0 && east <= 180.0;
            (south, north, if is_plain { [west, east] } else { ALL_ROUND })
        }
        Shape::Polygons(polygons) => {
            let nothing = (f64::INFINITY, f64::NEG_INFINITY);
            let join = |(min, max): (f64, f64), value: f64| (min.min(value), max.max(value));
            let vertices = polygons.coordinates().flatten().flatten();
            let (x, y) = vertices.fold((nothing, nothing), |(x, y), [longitude, latitude]| {
                (join(x, *longitude), join(y, *latitude))
            });
            let is_plain = x.0 >= -180.0 && x.1 <= 180.0;
            (y.0, y.1, if is_plain { [x.0, x.1] } else { ALL_ROUND })
        }
    };
    [[west, south], [east, north]]
}

fn overlap(one: &Area, other: &Area, budget: &mut Budget) -> bool {
    if let (
        Shape::Circle { center, radius_m },
        Shape::Circle {
            center: other_center,
            radius_m: other_radius_m,
        },
    ) = (one.shape, other.shape)
    {
        return distance_m(*center, *other_center) < radius_m + other_radius_m;
    }
    let Some(common) = common_box(one.corners, other.corners) else {
        return false;
    };
    let depth_m = DEPTH_SHARE * one.half_width_m.min(other.half_width_m);
    let is_deep = |point: Position| {
        let mut is_in = |shape: &Shape| {
            budget.take_look(shape);
            shape.contains(point) && shape.signed_distance_m(point) >= depth_m
        };
        is_in(one.shape) && is_in(other.shape)
    };
    grid(common).any(is_deep)
}

/// What is common to two boxes.
fn common_box(one: [[f64; 2]; 2], other: [[f64; 2]; 2]) -> Option<[[f64; 2]; 2]> {
    let from = [0, 1].map(|axis| one[0][axis].max(other[0][axis]));
    let to = [0, 1].map(|axis| one[1][axis].min(other[1][axis]));
    (from[0] < to[0] && from[1] < to[1]).then_some([from, to])
}

/// Points spread over a box.
fn grid([from, to]: [[f64; 2]; 2]) -> impl Iterator<Item = Position> {
    let range =
        |axis: usize| move |step: u32| from[axis] + (to[axis] - from[axis]) * (f64::from(step) + 0.5) / f64::from(GRID);
    let (x, y) = (range(0), range(1));
    (0..GRID).flat_map(move |column| {
        let longitude = x(column);
        (0..GRID).filter_map(move |row| Position::new(y(row), longitude).ok())
    })
}

/// A circle's half radius, and the same measure for polygons: the area by the length round it.
fn half_width_m(shape: &Shape) -> f64 {
    let polygons = match shape {
        Shape::Circle { radius_m, .. } => return radius_m / 2.0,
        Shape::Polygons(polygons) => polygons,
    };
    let (mut area, mut length) = (0.0_f64, 0.0_f64);
    for outer in polygons.coordinates().filter_map(|mut rings| rings.next()) {
        let scale = outer.first().map_or(1.0, |[_, latitude]| latitude.to_radians().cos());
        let mut doubled = 0.0;
        for edge in outer.windows(2) {
            let [[ax, ay], [bx, by]] = [edge[0], edge[1]].map(|[x, y]| [(x - outer[0][0]) * scale, y - outer[0][1]]);
            doubled += ax * by - bx * ay;
            length += (bx - ax).hypot(by - ay);
        }
        area += doubled.abs() / 2.0;
    }
    if length > 0.0 { area / length * DEGREE_M } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slanting strips side by side: their boxes have much in common, and no place is in two.
    fn side_by_side(count: u32, vertices: u32) -> Vec<Fence> {
        let slanting = |number: u32| {
            let west = f64::from(number) * 1e-3;
            let along = (0..vertices).map(|vertex| f64::from(vertex) / f64::from(vertices));
            let there = along.clone().map(|share| [west + share, share]);
            let back = along.rev().map(|share| [west + share + 5e-4, share]);
            let mut ring: Vec<[f64; 2]> = there.chain(back).collect();
            ring.push(ring[0]);
            Fence {
                shape: Shape::multi_polygon(vec![vec![ring]]).unwrap(),
                tag: 0,
                line: 0,
                feature: number,
            }
        };
        (0..count).map(slanting).collect()
    }

    #[test]
    fn looks_cost_what_they_take() {
        let fences = side_by_side(20, 1_000);
        let looks = 20 * 19 * GRID as usize * GRID as usize;
        let found = overlaps_within(&fences, STEPS_MAX);
        assert_eq!((found.count, found.is_all), (0, true));
        // So many looks at shapes of a few vertices would be done.
        let found = overlaps_within(&fences, looks * STEPS_PER_LOOK);
        assert_eq!((found.count, found.is_all), (0, false));
    }
}
