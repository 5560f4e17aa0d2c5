//! Sixteen balls side by side, tested all at once in single precision and one by one in double.

use super::{
    grid::{Grid, UNIT_M},
    node::WIDTH,
};
use crate::geo::ellipsoid::CURVATURE_RADIUS_MIN_M;

/// A structure of arrays; a lane that isn't there has no number for a radius, and is in no circle.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    x: [i32; WIDTH],
    y: [i32; WIDTH],
    z: [i32; WIDTH],
    /// Metres over the ground, rounded to the nearest.
    radius_m: [f32; WIDTH],
    pub(super) ids: [u32; WIDTH],
    /// Which of them are polygons, a bit for each.
    pub(super) polygons: u16,
    /// Which of them have a radius that `radius_m` doesn't tell exactly.
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
/// A geodesic of length s has at least the chord s - BEND s^3, in 1 / square metres.
const BEND: f64 = 1.0 / (24.0 * CURVATURE_RADIUS_MIN_M * CURVATURE_RADIUS_MIN_M);
/// What single precision may add to a distance or take from it, as a share.
const SINGLE: f32 = 1e-6;

/// The radius that a single-precision number stands for: whole millimetres, as people write them, come back exactly.
fn told(radius_m: f32) -> f64 {
    (f64::from(radius_m) * 1000.0).round() / 1000.0
}

/// Whether [`Leaf`] must be helped to know this radius.
pub(super) fn is_odd(radius_m: f64) -> bool {
    told(radius_m as f32) != radius_m
}

impl Leaf {
    pub(super) fn new(balls: &[Ball], first_polygon: u32, first_odd_radius: u32) -> Self {
        let mut leaf = Self {
            x: [0; WIDTH],
            y: [0; WIDTH],
            z: [0; WIDTH],
            radius_m: [f32::NAN; WIDTH],
            ids: [0; WIDTH],
            polygons: 0,
            odd_radii: 0,
            first_polygon,
            first_odd_radius,
        };
        for (lane, ball) in balls.iter().enumerate() {
            let [x, y, z] = ball.center;
            (leaf.x[lane], leaf.y[lane], leaf.z[lane]) = (x, y, z);
            leaf.radius_m[lane] = ball.radius_m as f32;
            leaf.ids[lane] = ball.id;
            leaf.polygons |= u16::from(ball.is_polygon) << lane;
            leaf.odd_radii |= u16::from(!ball.is_polygon && is_odd(ball.radius_m)) << lane;
        }
        leaf
    }

    /// The squared distance from the point to a centre, in square units.
    #[inline]
    fn squared(&self, [x, y, z]: Grid, lane: usize) -> f32 {
        let dx = x.wrapping_sub(self.x[lane]) as f32;
        let dy = y.wrapping_sub(self.y[lane]) as f32;
        let dz = z.wrapping_sub(self.z[lane]) as f32;
        dx * dx + dy * dy + dz * dz
    }

    /// The balls that may hold the point, a bit for each, and those of them that surely do.
    #[inline]
    pub(super) fn holding(&self, point: Grid) -> (u32, u32) {
        const UNITS: f32 = 1.0 / UNIT_M as f32;
        const OUTER: f32 = UNITS * (1.0 + SINGLE);
        const INNER: f32 = UNITS * (1.0 - SINGLE);
        const SHORTER: f32 = BEND as f32 * UNITS * (1.0 + SINGLE);
        const MARGIN: f32 = ROUNDING_UNITS as f32 + 0.1;
        let (mut maybe, mut surely) = ([0_u32; WIDTH], [0_u32; WIDTH]);
        for lane in 0..WIDTH {
            let squared = self.squared(point, lane);
            let radius_m = self.radius_m[lane];
            let outer = radius_m * OUTER + MARGIN;
            let inner = (radius_m * INNER - radius_m * radius_m * radius_m * SHORTER - MARGIN).max(0.0);
            maybe[lane] = if squared <= outer * outer { 1 << lane } else { 0 };
            surely[lane] = if squared < inner * inner { 1 << lane } else { 0 };
        }
        let join = |bits: [u32; WIDTH]| bits.iter().fold(0, |all, bit| all | bit);
        (join(maybe), join(surely))
    }

    /// The balls that come within `reach_m` metres of the point, a bit for each, and a few more.
    pub(super) fn near(&self, point: Grid, reach_m: f32) -> u32 {
        let scale = (1.0 + SINGLE) / UNIT_M as f32;
        let margin = reach_m * scale + 2.0 * ROUNDING_UNITS as f32;
        let mut bits = [0_u32; WIDTH];
        for lane in 0..WIDTH {
            let reach = self.radius_m[lane] * scale + margin;
            bits[lane] = if self.squared(point, lane) <= reach * reach {
                1 << lane
            } else {
                0
            };
        }
        bits.iter().fold(0, |all, bit| all | bit)
    }

    /// Lower bounds of the metres from the point to the balls' surfaces, negative inside; no number for those that
    /// aren't there.
    #[inline]
    pub(super) fn distances_m(&self, point: Grid) -> [f32; WIDTH] {
        let mut distances = [0_f32; WIDTH];
        for lane in 0..WIDTH {
            let radius_m = self.radius_m[lane] * (1.0 + SINGLE);
            distances[lane] = self.squared(point, lane).sqrt() * (UNIT_M as f32 * (1.0 - SINGLE)) - radius_m - 0.03;
        }
        distances
    }

    /// Decides from a ball's exact distance in units. No geodesic is shorter than its chord, and one of length s has at
    /// least the chord s - s^3 / 24 rho^2 with rho the smallest radius of curvature.
    #[inline]
    pub(super) fn judge(&self, lane: usize, [x, y, z]: Grid) -> Verdict {
        let [dx, dy, dz] =
            [(x, self.x[lane]), (y, self.y[lane]), (z, self.z[lane])].map(|(a, b)| f64::from(a) - f64::from(b));
        let squared = dx * dx + dy * dy + dz * dz;
        let radius_m = f64::from(self.radius_m[lane]);
        // Half a unit in the last place of a single, and what the sums above round.
        let margin = ROUNDING_UNITS + 1e-7 * radius_m / UNIT_M + 0.01;
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

    /// Whether the lane holds a polygon, and then its number.
    #[inline]
    pub(super) fn polygon(&self, lane: usize) -> Option<u32> {
        rank(self.polygons, lane).map(|rank| self.first_polygon + rank)
    }

    /// The exact radius in metres of a circle; `odd` are those which take more than a single-precision number.
    #[inline]
    pub(super) fn circle_radius_m(&self, lane: usize, odd: &[f64]) -> f64 {
        match rank(self.odd_radii, lane) {
            Some(rank) => odd[(self.first_odd_radius + rank) as usize],
            None => told(self.radius_m[lane]),
        }
    }

    /// Reads a number from every cache line, so that they are all on their way before the first is waited for.
    #[inline]
    pub(super) fn touch(&self) -> u32 {
        (self.x[0] ^ self.y[0] ^ self.z[0]) as u32 ^ self.radius_m[0].to_bits() ^ self.ids[0] ^ self.first_polygon
    }
}

/// How many bits are set below that of the lane, if it is set itself.
#[inline]
fn rank(bits: u16, lane: usize) -> Option<u32> {
    let bit = 1_u16 << lane;
    (bits & bit != 0).then(|| (bits & (bit - 1)).count_ones())
}
