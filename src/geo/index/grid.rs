//! Whole numbers instead of metres: a point of the Earth as three `i32`, and its place along a curve.

use crate::geo::{
    Position,
    ellipsoid::{A, E2},
};

/// Metres in a unit. The Earth's radius is just below 2^30 units, so that the difference of two points fits an `i32`.
pub(super) const UNIT_M: f64 = 0.006;

/// Farthest coordinate that a box needs, in units: everything on Earth is within it.
const COORDINATE_MAX: f64 = 1_073_741_824.0;

/// A point in units of [`UNIT_M`], rounded.
pub(super) type Grid = [i32; 3];

/// Added to a number below 2^51 it leaves the nearest whole number in the lowest bits, without a call.
const ROUNDER: f64 = 1.5 * (1_u64 << 52) as f64;

/// The nearest whole number.
fn rounded(value: f64) -> i32 {
    (value + ROUNDER).to_bits() as i32
}

/// Sine and cosine of degrees within -180 to 180: Taylor's series within 45 degrees of a multiple of 90, good to 1e-12.
/// Without branches, so that loops over it vectorise.
#[inline(always)]
fn sin_cos(degrees: f64) -> (f64, f64) {
    let quarter = degrees * (1.0 / 90.0) + ROUNDER;
    let turn = quarter.to_bits();
    let t = (degrees - (quarter - ROUNDER) * 90.0).to_radians();
    let t2 = t * t;
    let series = |terms: [f64; 6]| {
        terms
            .iter()
            .rev()
            .fold(1.0, |sum, term| 1.0 - sum * (t2 * (1.0 / term)))
    };
    let sin = t * series([6.0, 20.0, 42.0, 72.0, 110.0, 156.0]);
    let cos = series([2.0, 12.0, 30.0, 56.0, 90.0, 132.0]);
    let (sin, cos) = if turn & 1 == 0 { (sin, cos) } else { (cos, sin) };
    let sin_sign = (turn & 2) << 62;
    let cos_sign = ((turn + 1) & 2) << 62;
    (
        f64::from_bits(sin.to_bits() ^ sin_sign),
        f64::from_bits(cos.to_bits() ^ cos_sign),
    )
}

/// Coordinates in units, to within 0.01.
#[inline(always)]
fn units(at: Position) -> [f64; 3] {
    let (sin_lat, cos_lat) = sin_cos(at.latitude);
    let (sin_lon, cos_lon) = sin_cos(at.longitude);
    let normal = A / UNIT_M / (1.0 - E2 * sin_lat * sin_lat).sqrt();
    [
        normal * cos_lat * cos_lon,
        normal * cos_lat * sin_lon,
        normal * (1.0 - E2) * sin_lat,
    ]
}

/// Rounded coordinates in units; within 0.01 of half a unit of the truth.
#[inline(always)]
pub(super) fn grid(at: Position) -> Grid {
    units(at).map(rounded)
}

/// So many points are computed side by side.
const LANES: usize = 8;

/// [`grid`] of each position.
#[inline(always)]
pub(super) fn grids(at: &[Position], points: &mut Vec<Grid>) {
    points.clear();
    for chunk in at.chunks(LANES) {
        let mut coordinates = [[0.0; LANES]; 3];
        let mut positions = [Position {
            latitude: 0.0,
            longitude: 0.0,
        }; LANES];
        positions[..chunk.len()].copy_from_slice(chunk);
        for lane in 0..LANES {
            let [x, y, z] = units(positions[lane]);
            coordinates[0][lane] = x;
            coordinates[1][lane] = y;
            coordinates[2][lane] = z;
        }
        points.extend((0..chunk.len()).map(|lane| [0, 1, 2].map(|axis| rounded(coordinates[axis][lane]))));
    }
}

/// A box in units, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) min: Grid,
    pub(super) max: Grid,
}

impl Bounds {
    pub(super) const NOTHING: Self = Self {
        min: [i32::MAX; 3],
        max: [i32::MIN; 3],
    };

    /// The box of a ball of that radius in units, cut to the Earth.
    pub(super) fn of_ball(center: Grid, radius: f64) -> Self {
        // Rounding towards zero moves a side by less than one, and costs no call.
        let to = |value: f64| value.clamp(-COORDINATE_MAX, COORDINATE_MAX) as i32;
        Self {
            min: center.map(|middle| to(f64::from(middle) - radius) - 1),
            max: center.map(|middle| to(f64::from(middle) + radius) + 1),
        }
    }

    pub(super) fn join(self, other: Self) -> Self {
        Self {
            min: [0, 1, 2].map(|axis| self.min[axis].min(other.min[axis])),
            max: [0, 1, 2].map(|axis| self.max[axis].max(other.max[axis])),
        }
    }
}

/// Bits of a coordinate on a face of the cube round the Earth: 0.6 m.
const FACE_BITS: u32 = 24;

/// Bits of a place on the curve: five sizes of six faces before the place on a face.
pub(super) const PLACE_BITS: u32 = 2 * FACE_BITS + 5;

/// Where a point lies along a curve that fills the faces of a cube round the Earth, one after the other.
///
/// What is close on the curve is close on the ground. Balls of very different sizes are kept apart, for a large one
/// among small ones would widen their boxes.
#[expect(clippy::many_single_char_names, reason = "coordinates")]
pub(super) fn place_on_curve(point: Grid, radius_m: f64) -> u64 {
    let [x, y, z] = point.map(f64::from);
    let (face, [along, u, v]) = if x.abs() >= y.abs() && x.abs() >= z.abs() {
        (u64::from(x > 0.0), [x, y, z])
    } else if y.abs() >= z.abs() {
        (2 + u64::from(y > 0.0), [y, z, x])
    } else {
        (4 + u64::from(z > 0.0), [z, x, y])
    };
    let half = f64::from(1_u32 << FACE_BITS) / 2.0;
    let scale = half / along.abs();
    let cell = |across: f64| ((across * scale + half) as u32).min((1 << FACE_BITS) - 1);
    let size = [1_000.0, 10_000.0, 100_000.0, 1_000_000.0]
        .iter()
        .filter(|limit| radius_m > **limit)
        .count() as u64;
    ((size * 6 + face) << (2 * FACE_BITS)) | hilbert(cell(u), cell(v))
}

/// The number of a cell along Hilbert's curve, computed for all bits at once by a prefix scan over the curve's four
/// orientations (rawrunprotected.com, "2D Hilbert curves in O(1)", here for 32 bits).
#[expect(clippy::many_single_char_names, reason = "the names of the source")]
fn hilbert(x: u32, y: u32) -> u64 {
    let (x, y) = (x << (32 - FACE_BITS), y << (32 - FACE_BITS));
    let (a, c, d) = (x ^ y, !(x | y), x & !y);
    let b = !a;
    let mut scan = [
        a | b >> 1,
        a >> 1 ^ a,
        c >> 1 ^ (b & d >> 1) ^ c,
        (a & c >> 1) ^ d >> 1 ^ d,
    ];
    for step in [2, 4, 8, 16] {
        let [a, b, c, d] = scan;
        scan = [
            (a & a >> step) ^ (b & b >> step),
            (a & b >> step) ^ (b & (a ^ b) >> step),
            c ^ (a & c >> step) ^ (b & d >> step),
            d ^ (b & c >> step) ^ ((a ^ b) & d >> step),
        ];
    }
    let [_, _, c, d] = scan;
    let (a, b) = (c ^ c >> 1, d ^ d >> 1);
    let low = x ^ y;
    let high = b | !(low | a);
    (spread(high) << 1 | spread(low)) >> (64 - 2 * FACE_BITS)
}

/// Moves bit n to bit 2 n.
fn spread(bits: u32) -> u64 {
    let mut bits = u64::from(bits);
    for (shift, mask) in [
        (16, 0x0000_FFFF_0000_FFFF),
        (8, 0x00FF_00FF_00FF_00FF),
        (4, 0x0F0F_0F0F_0F0F_0F0F),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// The box round everything between two longitudes (going east from `west` to `east`, at most 360 degrees) and two
/// latitudes.
pub(super) fn bounds_of_degrees(west: f64, south: f64, east: f64, north: f64) -> Bounds {
    let corner = |latitude, longitude: f64| {
        let longitude = if longitude > 180.0 {
            longitude - 360.0
        } else {
            longitude
        };
        grid(Position { latitude, longitude })
    };
    let mut latitudes = vec![south, north];
    latitudes.extend((south < 0.0 && north > 0.0).then_some(0.0));
    let mut longitudes = vec![west, east];
    longitudes.extend(
        (-2..=6)
            .map(|quarter| 90.0 * f64::from(quarter))
            .filter(|at| west < *at && *at < east),
    );
    let mut bounds = Bounds::NOTHING;
    for latitude in latitudes {
        for longitude in &longitudes {
            let at = corner(latitude, *longitude);
            bounds = bounds.join(Bounds { min: at, max: at });
        }
    }
    Bounds {
        min: bounds.min.map(|value| value - 2),
        max: bounds.max.map(|value| value + 2),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::geo::{ellipsoid::Ecef, testing::anywhere};

    proptest! {
        #[test]
        fn the_grid_is_the_ellipsoid(at in anywhere()) {
            for (units, metres) in grid(at).into_iter().zip(Ecef::from(at).0) {
                prop_assert!((f64::from(units) - metres / UNIT_M).abs() <= 0.51, "{} {}", units, metres);
            }
        }
    }

    #[test]
    fn the_curve_goes_from_neighbour_to_neighbour() {
        let side = 64_u32;
        let mut cells: Vec<(u64, u32, u32)> = (0..side * side)
            .map(|cell| (hilbert(cell % side, cell / side), cell % side, cell / side))
            .collect();
        cells.sort_unstable();
        for pair in cells.windows(2) {
            let ((a, ax, ay), (b, bx, by)) = (pair[0], pair[1]);
            assert_eq!(a + 1, b);
            assert_eq!(ax.abs_diff(bx) + ay.abs_diff(by), 1);
        }
    }
}
