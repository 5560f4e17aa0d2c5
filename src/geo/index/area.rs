//! What lies in an area: round a point, or in a box of longitudes and latitudes.

use super::{
    GeofenceIndex,
    grid::{Bounds, UNIT_M, bounds_of_degrees, grid},
    node::{Node, WIDTH},
    search::bits,
};
use crate::geo::{Position, distance_m, ellipsoid::Ecef, local::Local};

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

/// Added to what whole units are asked for, in metres.
const MARGIN_M: f64 = 0.05;
/// A distance by series that is so close to the limit is computed again, in metres.
const UNCLEAR_M: f64 = 1e-5;

impl GeofenceIndex {
    pub(super) fn find_near(&self, at: Position, radius_m: f64, found: &mut Vec<u32>) {
        let point = grid(at);
        let bounds = Bounds::of_ball(point, (radius_m.max(0.0) + MARGIN_M) / UNIT_M);
        let local = Local::new(at);
        let reach_m = (radius_m.max(0.0) as f32).next_up();
        self.leaves_meeting(&bounds, found, |index, number, found| {
            let leaf = &index.leaves[number];
            for lane in bits(leaf.near(point, reach_m)) {
                let (center, circle_m) = index.enclosing_circle(number, lane as usize);
                let mut between_m = local.distance_m(center) - circle_m;
                if (between_m - radius_m).abs() < UNCLEAR_M {
                    between_m = distance_m(at, center) - circle_m;
                }
                if between_m <= radius_m {
                    found.push(index.leaves[number].ids[lane as usize]);
                }
            }
        });
    }

    pub(super) fn find_in_box(&self, area: &LonLatBox, found: &mut Vec<u32>) {
        let bounds = bounds_of_degrees(area.west, area.south, area.east_of_west(), area.north);
        self.leaves_meeting(&bounds, found, |index, number, found| {
            for lane in bits(index.leaves[number].present()) {
                let lane = lane as usize;
                let (center, radius_m) = index.enclosing_circle(number, lane);
                if area.is_within(center, radius_m) {
                    found.push(index.leaves[number].ids[lane]);
                }
            }
        });
    }

    /// Visits the leaves whose boxes meet the bounds, and leaves in `found`, sorted, what `visit` appends.
    fn leaves_meeting(&self, bounds: &Bounds, found: &mut Vec<u32>, visit: impl Fn(&Self, usize, &mut Vec<u32>)) {
        found.clear();
        found.extend(0..self.roots());
        let mut start = 0;
        for level in self.levels.iter().rev() {
            let end = found.len();
            for open in start..end {
                let number = found[open];
                let node: &Node = &level[number as usize];
                for child in bits(node.meeting_box(bounds)) {
                    found.push(number * WIDTH as u32 + child);
                }
            }
            start = end;
        }
        let end = found.len();
        for open in start..end {
            visit(self, found[open] as usize, found);
        }
        found.drain(..end);
        found.sort_unstable();
    }
}

impl LonLatBox {
    /// The eastern side, beyond 180 where the box lies across the antimeridian.
    fn east_of_west(&self) -> f64 {
        if self.west <= self.east {
            self.east
        } else {
            self.east + 360.0
        }
    }

    /// Whether the position is in the box or on its side. A pole is at every longitude.
    pub fn contains(&self, at: Position) -> bool {
        let Position { latitude, longitude } = at;
        let is_between = latitude.abs() == 90.0
            || [longitude, longitude + 360.0, longitude - 360.0]
                .iter()
                .any(|longitude| self.west <= *longitude && *longitude <= self.east_of_west());
        is_between && self.south <= latitude && latitude <= self.north
    }

    /// Whether a circle touches the box.
    fn is_within(&self, center: Position, radius_m: f64) -> bool {
        self.contains(center) || self.sides(center).any(|place| distance_m(center, place) <= radius_m)
    }

    /// On each side of the box the place that is nearest to a point outside.
    fn sides(&self, center: Position) -> impl Iterator<Item = Position> {
        let opposite = Self {
            south: -90.0,
            north: 90.0,
            ..*self
        };
        // On a parallel, the nearest place is on the point's own meridian, or at an end, which the other sides have.
        let parallels = [self.south, self.north].map(|latitude| Position { latitude, ..center });
        let parallels = parallels.into_iter().filter(move |_| opposite.contains(center));
        let meridians = [self.west, self.east].map(|longitude| self.nearest_on_meridian(longitude, center));
        parallels.chain(meridians)
    }

    /// By golden sections over the chord, which has one lowest place on the near half of a meridian, and otherwise one at
    /// an end.
    fn nearest_on_meridian(&self, longitude: f64, center: Position) -> Position {
        const GOLDEN: f64 = 0.618_033_988_749_894_9;
        let from = Ecef::from(center);
        let at = |latitude| Position { latitude, longitude };
        let squared = |latitude| from.chord_squared(Ecef::from(at(latitude)));
        let (mut low, mut high) = (self.south, self.north);
        while high - low > 1e-8 {
            let (a, b) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
            if squared(a) <= squared(b) {
                high = b;
            } else {
                low = a;
            }
        }
        [self.south, self.north, f64::midpoint(low, high)]
            .map(|latitude| (squared(latitude), at(latitude)))
            .into_iter()
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(center, |(_, nearest)| nearest)
    }
}
