//! Sixteen balls in two cache lines, tested all at once in single precision, and what they are called in the next two.

use super::{
    grid::{Bounds, Grid, UNIT_M},
    node::WIDTH,
};
use crate::geo::ellipsoid::CURVATURE_RADIUS_MIN_M;

/// Centres in steps of 2^`shift` units from `origin`, rounded down; radii in steps of their own, rounded up.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(super) struct Leaf {
    x: [i16; WIDTH],
    y: [i16; WIDTH],
    z: [i16; WIDTH],
    radius: [u8; WIDTH],
    origin: Grid,
    /// Which lanes there are, a bit for each.
    present: u16,
    shift: u8,
    /// Binary logarithm of the units in a step of a radius.
    radius_shift: u8,
    pub(super) ids: [u32; WIDTH],
    /// Metres over the ground, rounded to the nearest.
    radius_m: [f32; WIDTH],
}

/// Which of the sixteen are more than a circle of plain radius. Apart, for where there are circles only nobody asks.
#[derive(Debug, Clone)]
pub(super) struct Kinds {
    /// Which of them are polygons, a bit for each.
    polygons: u16,
    /// Which of them have a radius that the leaf's `radius_m` doesn't tell exactly.
    odd_radii: u16,
    /// The number of the first polygon here.
    first_polygon: u32,
    /// The number of the first odd radius here.
    first_odd_radius: u32,
}

/// One of the sixteen, as the index is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ball {
    pub(super) center: Grid,
    pub(super) radius_m: f64,
    pub(super) id: u32,
    pub(super) is_polygon: bool,
}

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
/// What single precision may add to a distance or take from it, as a share.
const SINGLE: f32 = 1e-6;
/// A geodesic of length s has at least the chord s - BEND s^3, in 1 / square metres.
const BEND: f64 = 1.0 / (24.0 * CURVATURE_RADIUS_MIN_M * CURVATURE_RADIUS_MIN_M);
/// With at most such steps radii are below 6.3 km, and `BEND` takes less than a millimetre.
const SMALL_RADIUS_SHIFT: u8 = 12;
/// Stored coordinates are 0 to 65,535 less this.
const BIAS: i32 = 32_768;

/// The radius that a single-precision number stands for: whole millimetres, as people write them, come back exactly.
fn told(radius_m: f32) -> f64 {
    (f64::from(radius_m) * 1000.0).round() / 1000.0
}

/// Whether a [`Leaf`] must be helped to know this radius.
pub(super) fn is_odd(radius_m: f64) -> bool {
    told(radius_m as f32) != radius_m
}

/// Two to that power.
#[inline]
fn power(exponent: i32) -> f32 {
    f32::from_bits(((127 + exponent) as u32) << 23)
}

impl Leaf {
    pub(super) fn new(balls: &[Ball]) -> Self {
        let bounds = balls.iter().fold(Bounds::NOTHING, |all, ball| {
            all.join(Bounds {
                min: ball.center,
                max: ball.center,
            })
        });
        let widest = (0..3)
            .map(|axis| bounds.max[axis].wrapping_sub(bounds.min[axis]) as u32)
            .max()
            .unwrap_or(0);
        let shift = (0..16_u8).find(|shift| widest >> shift <= 65_535).unwrap_or(16);
        let largest = balls.iter().map(|ball| ball.radius_m).fold(0.0, f64::max) / UNIT_M;
        let radius_shift = (0..32_u8)
            .find(|shift| largest / f64::from(power(i32::from(*shift))) <= 254.0)
            .unwrap_or(32);
        let mut leaf = Self {
            x: [0; WIDTH],
            y: [0; WIDTH],
            z: [0; WIDTH],
            radius: [0; WIDTH],
            origin: bounds.min,
            present: (1_u32 << balls.len()).wrapping_sub(1) as u16,
            shift,
            radius_shift,
            ids: [0; WIDTH],
            radius_m: [0.0; WIDTH],
        };
        for (lane, ball) in balls.iter().enumerate() {
            let steps = |axis: usize| {
                let units = ball.center[axis].wrapping_sub(leaf.origin[axis]) as u32;
                ((units >> shift) as i32 - BIAS) as i16
            };
            (leaf.x[lane], leaf.y[lane], leaf.z[lane]) = (steps(0), steps(1), steps(2));
            leaf.radius[lane] = (ball.radius_m / UNIT_M / f64::from(power(i32::from(radius_shift)))).ceil() as u8;
            leaf.ids[lane] = ball.id;
            leaf.radius_m[lane] = ball.radius_m as f32;
        }
        leaf
    }

    /// The point in this leaf's steps. Two points of the Earth are less than 2^31 units apart.
    #[inline]
    fn steps(&self, point: Grid) -> [i32; 3] {
        [0, 1, 2].map(|axis| (point[axis].wrapping_sub(self.origin[axis]) >> self.shift).wrapping_sub(BIAS))
    }

    /// The squared distance from the point to a centre, in square steps.
    #[inline]
    fn squared(&self, [x, y, z]: [i32; 3], lane: usize) -> f32 {
        let dx = x.wrapping_sub(i32::from(self.x[lane])) as f32;
        let dy = y.wrapping_sub(i32::from(self.y[lane])) as f32;
        let dz = z.wrapping_sub(i32::from(self.z[lane])) as f32;
        dx * dx + dy * dy + dz * dz
    }

    /// A step of a radius, in steps of the centres.
    #[inline]
    fn radius_step(&self) -> f32 {
        power(i32::from(self.radius_shift) - i32::from(self.shift))
    }

    /// The balls that may hold the point, a bit for each, and those of them that surely do.
    #[inline]
    pub(super) fn holding(&self, point: Grid) -> (u32, u32) {
        let point = self.steps(point);
        let step = self.radius_step();
        // From outside the edge to inside it, with what small radii lose from geodesic to chord.
        let band = step + 2.0 * MARGIN_STEPS + 0.3;
        let (mut squared, mut outer, mut bits) = ([0_f32; WIDTH], [0_f32; WIDTH], [0_u32; WIDTH]);
        for lane in 0..WIDTH {
            squared[lane] = self.squared(point, lane);
            outer[lane] = f32::from(self.radius[lane]) * step * (1.0 + SINGLE) + MARGIN_STEPS;
            bits[lane] = if squared[lane] <= outer[lane] * outer[lane] {
                1 << lane
            } else {
                0
            };
        }
        let maybe = bits.iter().fold(0, |all, bit| all | bit) & u32::from(self.present);
        if maybe == 0 || self.radius_shift > SMALL_RADIUS_SHIFT {
            return (maybe, 0);
        }
        for lane in 0..WIDTH {
            let inner = (outer[lane] * (1.0 - 3.0 * SINGLE) - band).max(0.0);
            bits[lane] = if squared[lane] < inner * inner { 1 << lane } else { 0 };
        }
        (maybe, bits.iter().fold(0, |all, bit| all | bit))
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
        near & u32::from(self.present)
    }

    /// The least and the most metres over the ground from the point to the circles' edges, negative inside.
    #[inline]
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
        u32::from(self.present)
    }

    /// The radius in metres of a circle, if it isn't an odd one.
    #[inline]
    pub(super) fn plain_radius_m(&self, lane: usize) -> f64 {
        told(self.radius_m[lane])
    }

    /// Decides like [`judge`] of a circle whose radius isn't an odd one, as far as the leaf's own steps can tell.
    pub(super) fn judge(&self, lane: usize, point: Grid) -> Verdict {
        let squared = self.squared(self.steps(point), lane);
        let radius = self.radius_m[lane] / (UNIT_M as f32 * power(i32::from(self.shift)));
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

    /// Reads a number from all cache lines but the last, so that they are on their way before the first is waited for.
    #[inline]
    pub(super) fn touch(&self) -> i32 {
        i32::from(self.x[0]) ^ self.origin[0] ^ self.ids[0] as i32
    }
}

impl Kinds {
    pub(super) fn new(balls: &[Ball], first_polygon: u32, first_odd_radius: u32) -> Self {
        let mut kinds = Self {
            polygons: 0,
            odd_radii: 0,
            first_polygon,
            first_odd_radius,
        };
        for (lane, ball) in balls.iter().enumerate() {
            kinds.polygons |= u16::from(ball.is_polygon) << lane;
            kinds.odd_radii |= u16::from(!ball.is_polygon && is_odd(ball.radius_m)) << lane;
        }
        kinds
    }

    /// Which lanes hold polygons, a bit for each.
    #[inline]
    pub(super) fn polygons(&self) -> u32 {
        u32::from(self.polygons)
    }

    /// Whether the lane holds a polygon, and then its number.
    #[inline]
    pub(super) fn polygon(&self, lane: usize) -> Option<u32> {
        rank(self.polygons, lane).map(|rank| self.first_polygon + rank)
    }

    /// Whether the lane holds a circle of an odd radius, and then the number of that.
    #[inline]
    pub(super) fn odd_radius(&self, lane: usize) -> Option<u32> {
        rank(self.odd_radii, lane).map(|rank| self.first_odd_radius + rank)
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

/// How many bits are set below that of the lane, if it is set itself.
#[inline]
fn rank(bits: u16, lane: usize) -> Option<u32> {
    let bit = 1_u16 << lane;
    (bits & bit != 0).then(|| (bits & (bit - 1)).count_ones())
}
