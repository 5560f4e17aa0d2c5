//! Sixteen balls in two cache lines, tested all at once in single precision, and what they are called in the next two.

use super::{
    grid::{Bounds, Grid, UNIT_M},
    lanes::{Balls, Lanes, mask},
    node::WIDTH,
    search::bits,
};
use crate::geo::ellipsoid::CURVATURE_RADIUS_MIN_M;

/// Centres in steps of 2^`shift` units from `origin`, rounded down; radii in steps of their own, rounded up. No ball
/// reaches below the origin or beyond [`REACH_STEPS`] from it, so that squared distances fit 32 bits.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(super) struct Leaf {
    x: [i16; WIDTH],
    y: [i16; WIDTH],
    z: [i16; WIDTH],
    radius: [u8; WIDTH],
    origin: Grid,
    /// Which lanes hold polygons, a bit for each.
    polygons: u16,
    shift: u8,
    /// Binary logarithm of the units in a step of a radius, at least `shift`.
    radius_shift: u8,
    pub(super) ids: [u32; WIDTH],
}

/// Which of the sixteen are circles with a radius that the leaf doesn't tell exactly. Apart, for few ask.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OddRadii {
    lanes: u16,
    /// The number of the first one here.
    first: u32,
}

/// One of the sixteen, as the index is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ball {
    pub(super) center: Grid,
    pub(super) radius_m: f64,
    pub(super) id: u32,
    pub(super) is_polygon: bool,
}

/// Radii within which there is nothing but inside, in steps of the leaf's radii.
pub(super) type Cores = [u8; WIDTH];

/// Whether a point is within a geodesic radius, as far as whole units can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Inside,
    Outside,
    Unclear,
}

/// Rounding a point and a centre to units moves each by at most sqrt(3) / 2 units.
const ROUNDING_UNITS: f64 = 1.75;
/// The same, and rounding both down to steps, which moves them by less than sqrt(3) steps from each other.
const MARGIN_STEPS: f32 = 3.7;
/// Three squares of so many steps, and of those to [`NOWHERE`] more, are below 2^31.
const REACH_STEPS: u32 = 25_754;
/// Added to the extent of a leaf's balls, in units.
const REACH_MARGIN_UNITS: f64 = 4.0;
/// Where a lane that isn't there has its centre, in steps: more than nothing away from whatever is asked about.
const NOWHERE: i16 = -1_000;
/// What single precision may add to a distance or take from it, as a share.
const SINGLE: f32 = 1e-6;
/// A geodesic of length s has at least the chord s - BEND s^3, in 1 / square metres.
const BEND: f64 = 1.0 / (24.0 * CURVATURE_RADIUS_MIN_M * CURVATURE_RADIUS_MIN_M);
/// With at most such steps radii are below 6.3 km, and `BEND` takes less than a millimetre.
const SMALL_RADIUS_SHIFT: u8 = 12;

/// The radius that a single-precision number stands for: whole millimetres, as people write them, come back exactly.
pub(super) fn told(radius_m: f32) -> f64 {
    (f64::from(radius_m) * 1000.0).round() / 1000.0
}

/// Whether single precision doesn't tell this radius.
pub(super) fn is_odd(radius_m: f64) -> bool {
    told(radius_m as f32) != radius_m
}

/// Two to that power.
#[inline(always)]
fn power(exponent: i32) -> f32 {
    f32::from_bits(((127 + exponent) as u32) << 23)
}

impl Leaf {
    pub(super) fn new(balls: &[Ball]) -> Self {
        let bounds = balls.iter().fold(Bounds::NOTHING, |all, ball| {
            all.join(Bounds::of_ball(
                ball.center,
                ball.radius_m / UNIT_M + REACH_MARGIN_UNITS,
            ))
        });
        let widest = (0..3)
            .map(|axis| bounds.max[axis].wrapping_sub(bounds.min[axis]) as u32)
            .max()
            .unwrap_or(0);
        let shift = (0..17_u8).find(|shift| widest >> shift <= REACH_STEPS).unwrap_or(17);
        let largest = balls.iter().map(|ball| ball.radius_m).fold(0.0, f64::max) / UNIT_M;
        let radius_shift = (shift..32)
            .find(|shift| largest / f64::from(power(i32::from(*shift))) <= 254.0)
            .unwrap_or(32);
        let mut leaf = Self {
            x: [NOWHERE; WIDTH],
            y: [NOWHERE; WIDTH],
            z: [NOWHERE; WIDTH],
            radius: [0; WIDTH],
            origin: bounds.min,
            polygons: 0,
            shift,
            radius_shift,
            ids: [0; WIDTH],
        };
        for (lane, ball) in balls.iter().enumerate() {
            let steps = |axis: usize| (ball.center[axis].wrapping_sub(leaf.origin[axis]) as u32 >> shift) as i16;
            (leaf.x[lane], leaf.y[lane], leaf.z[lane]) = (steps(0), steps(1), steps(2));
            leaf.radius[lane] = (ball.radius_m / UNIT_M / f64::from(power(i32::from(radius_shift)))).ceil() as u8;
            leaf.polygons |= u16::from(ball.is_polygon) << lane;
            leaf.ids[lane] = ball.id;
        }
        leaf
    }

    /// The point in this leaf's steps. Two points of the Earth are less than 2^31 units apart.
    #[inline(always)]
    fn steps(&self, point: Grid) -> [i32; 3] {
        [0, 1, 2].map(|axis| point[axis].wrapping_sub(self.origin[axis]) >> self.shift)
    }

    /// The squared distance from the point to a centre, in square steps.
    #[inline(always)]
    fn squared(&self, [x, y, z]: [i32; 3], lane: usize) -> f32 {
        let dx = x.wrapping_sub(i32::from(self.x[lane])) as f32;
        let dy = y.wrapping_sub(i32::from(self.y[lane])) as f32;
        let dz = z.wrapping_sub(i32::from(self.z[lane])) as f32;
        dx * dx + dy * dy + dz * dz
    }

    /// A step of a radius, in steps of the centres.
    #[inline(always)]
    fn radius_step(&self) -> f32 {
        power(i32::from(self.radius_shift) - i32::from(self.shift))
    }

    /// What [`Leaf::holding`] wants to know of lanes that hold circles only.
    #[inline(always)]
    pub(super) fn cores_of_circles(&self) -> Cores {
        self.radius.map(|radius| radius.saturating_sub(1))
    }

    /// The same where there are polygons, of which surely so many metres round the centre are inside.
    pub(super) fn cores(&self, inscribed_m: impl Iterator<Item = f64>) -> Cores {
        let mut cores = self.cores_of_circles();
        for (lane, inscribed_m) in bits(self.polygons()).zip(inscribed_m) {
            cores[lane as usize] = (inscribed_m / UNIT_M / f64::from(power(i32::from(self.radius_shift)))) as u8;
        }
        cores
    }

    /// The shapes that may hold the point, a bit for each, and those of them that surely do.
    #[inline(always)]
    pub(super) fn holding(&self, lanes: impl Lanes, point: Grid, cores: &Cores) -> (u32, u32) {
        // What is below the origin wraps round to beyond all reach.
        let steps = [0, 1, 2].map(|axis| (point[axis].wrapping_sub(self.origin[axis]) as u32) >> self.shift);
        if steps[0].max(steps[1]).max(steps[2]) > REACH_STEPS {
            return (0, 0);
        }
        let (maybe, surely) = lanes.holding(Balls {
            x: &self.x,
            y: &self.y,
            z: &self.z,
            radius: &self.radius,
            core: cores,
            // A radius of the largest ball is below half of the reach.
            radius_shift: u32::from((self.radius_shift - self.shift) & 7),
            point: steps.map(|steps| steps as i16),
        });
        if self.radius_shift > SMALL_RADIUS_SHIFT {
            return (maybe, 0);
        }
        (maybe, surely)
    }

    /// The balls that come within `reach_m` metres of the point, a bit for each, and a few more.
    pub(super) fn near(&self, point: Grid, reach_m: f32) -> u32 {
        let point = self.steps(point);
        let step = self.radius_step();
        let margin = reach_m / (UNIT_M as f32 * power(i32::from(self.shift))) * (1.0 + SINGLE) + MARGIN_STEPS;
        let mut near = 0;
        for lane in 0..WIDTH {
            let reach = f32::from(self.radius[lane]) * step * (1.0 + SINGLE) + margin;
            near |= u32::from(self.squared(point, lane) <= reach * reach) << lane;
        }
        near & self.present()
    }

    /// The least and the most metres over the ground from the point to the circles' edges, negative inside.
    #[inline(always)]
    pub(super) fn distances_m(&self, point: Grid) -> ([f32; WIDTH], [f32; WIDTH]) {
        // asin(x) is at most x + 4 x^3 / 6, so that a geodesic is at most c + 4 BEND c^3.
        const LONGER: f32 = 4.0 * BEND as f32;
        let point = self.steps(point);
        let step_m = UNIT_M as f32 * power(i32::from(self.shift));
        let radius_step_m = UNIT_M as f32 * power(i32::from(self.radius_shift));
        let (mut least, mut most) = ([0_f32; WIDTH], [0_f32; WIDTH]);
        for lane in 0..WIDTH {
            let chord_m = self.squared(point, lane).sqrt() * step_m;
            let radius_m = f32::from(self.radius[lane]) * radius_step_m;
            let margin_m = (chord_m + radius_m) * (2.0 * SINGLE) + MARGIN_STEPS * step_m;
            least[lane] = chord_m - radius_m - margin_m;
            most[lane] = chord_m - radius_m + radius_step_m + margin_m + chord_m * chord_m * chord_m * LONGER;
        }
        (least, most)
    }

    /// Which lanes there are, a bit for each.
    pub(super) fn present(&self) -> u32 {
        mask(self.radius.map(|radius| u8::from(radius > 0)))
    }

    /// Which lanes hold polygons, a bit for each.
    #[inline(always)]
    pub(super) fn polygons(&self) -> u32 {
        u32::from(self.polygons)
    }

    /// The number of a polygon among those of the leaf.
    #[inline(always)]
    pub(super) fn polygon(&self, lane: usize) -> u32 {
        (self.polygons & ((1 << lane) - 1)).count_ones()
    }

    /// Decides like [`judge`] of a circle whose radius isn't an odd one, as far as the leaf's own steps can tell.
    pub(super) fn judge(&self, lane: usize, radius_m: f32, point: Grid) -> Verdict {
        let squared = self.squared(self.steps(point), lane);
        let radius = radius_m / (UNIT_M as f32 * power(i32::from(self.shift)));
        let outer = radius * (1.0 + 3.0 * SINGLE) + MARGIN_STEPS;
        let inner = radius * (1.0 - 3.0 * SINGLE) - MARGIN_STEPS - 0.3;
        if squared > outer * outer {
            Verdict::Outside
        } else if self.radius_shift <= SMALL_RADIUS_SHIFT && inner > 0.0 && squared < inner * inner {
            Verdict::Inside
        } else {
            Verdict::Unclear
        }
    }

    /// Reads a number from the cache lines that will be needed, so that they are on their way before the first is waited
    /// for.
    #[inline(always)]
    pub(super) fn touch(&self) -> u32 {
        self.x[0] as u32 ^ self.origin[0] as u32 ^ self.ids[0]
    }
}

impl OddRadii {
    pub(super) fn new(balls: &[Ball], first: u32) -> Self {
        let is_odd = |ball: &Ball| !ball.is_polygon && is_odd(ball.radius_m);
        let lanes = (0..).zip(balls).map(|(lane, ball)| u16::from(is_odd(ball)) << lane);
        Self {
            lanes: lanes.fold(0, |all, lane| all | lane),
            first,
        }
    }

    /// The same when so many others have come before the first one.
    pub(super) fn moved_by(self, others: u32) -> Self {
        Self {
            first: self.first + others,
            ..self
        }
    }

    /// Whether the lane is one, and then its number.
    #[inline(always)]
    pub(super) fn number(self, lane: usize) -> Option<u32> {
        let bit = 1_u16 << lane;
        (self.lanes & bit != 0).then(|| self.first + (self.lanes & (bit - 1)).count_ones())
    }
}

/// Decides from whole units. No geodesic is shorter than its chord, and one of length s has at least the chord
/// s - s^3 / 24 rho^2 with rho the smallest radius of curvature.
pub(super) fn judge(center: Grid, radius_m: f64, point: Grid) -> Verdict {
    let [dx, dy, dz] = [0, 1, 2].map(|axis| f64::from(center[axis]) - f64::from(point[axis]));
    let squared = dx * dx + dy * dy + dz * dz;
    let margin = ROUNDING_UNITS + 0.01;
    let outer = radius_m / UNIT_M + margin;
    if squared > outer * outer {
        return Verdict::Outside;
    }
    let inner = (radius_m - radius_m * radius_m * radius_m * BEND) / UNIT_M - margin;
    if inner > 0.0 && squared < inner * inner {
        return Verdict::Inside;
    }
    Verdict::Unclear
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::geo::index::lanes::Portable;

    proptest! {
        /// Far corners are where squares are largest.
        #[test]
        fn a_lane_that_is_not_there_holds_nothing(
            centers in prop::collection::vec(prop::array::uniform3(0_i32..1 << 20), 1..WIDTH),
            back in prop::array::uniform3(0_i32..1 << 17),
            spread in 1_i32..300,
        ) {
            let balls: Vec<Ball> = centers.iter().map(|center| Ball {
                center: center.map(|at| at * spread),
                radius_m: 50.0,
                id: 7,
                is_polygon: false,
            }).collect();
            let leaf = Leaf::new(&balls);
            let far = leaf.origin.map(|at| at + (REACH_STEPS << leaf.shift) as i32);
            let point = [0, 1, 2].map(|axis| far[axis] - (back[axis] << leaf.shift >> 5));
            let (maybe, surely) = leaf.holding(Portable, point, &leaf.cores_of_circles());
            prop_assert_eq!((maybe | surely) & !leaf.present(), 0);
        }
    }

    #[test]
    fn squares_of_the_farthest_steps_fit() {
        let farthest = i64::from(REACH_STEPS) - i64::from(NOWHERE);
        assert!(3 * farthest * farthest <= i64::from(i32::MAX));
    }
}
