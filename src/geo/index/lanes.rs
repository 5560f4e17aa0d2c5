//! Sixteen lanes at once: which balls of a leaf hold a point, in plain Rust and with the instructions of the machine.
//!
//! What is asked often is compiled twice: for every machine, and for those of x86-64 with AVX2. Which of the two runs is
//! found out once. Both answer alike, to the bit.

use super::node::WIDTH;

/// What a leaf tells of its balls, and the point, all in steps of the leaf.
#[derive(Debug, Clone, Copy)]
pub(super) struct Balls<'a> {
    pub(super) x: &'a [i16; WIDTH],
    pub(super) y: &'a [i16; WIDTH],
    pub(super) z: &'a [i16; WIDTH],
    /// In steps of their own: 2 to the power of `radius_shift` of the others, which is at most 7.
    pub(super) radius: &'a [u8; WIDTH],
    /// Radii within which there is nothing but inside, in the same steps.
    pub(super) core: &'a [u8; WIDTH],
    pub(super) radius_shift: u32,
    pub(super) point: [i16; 3],
}

/// Added to the radii before comparing, and taken from those of the cores, in steps.
pub(super) const MARGIN_OUTER: i16 = 4;
/// A step more, for what small radii lose from geodesic to chord.
pub(super) const MARGIN_INNER: i16 = MARGIN_OUTER + 1;

/// A set of instructions.
pub(super) trait Lanes: Copy {
    /// The balls that may hold the point, a bit for each, and those whose cores surely do.
    fn holding(self, balls: Balls<'_>) -> (u32, u32);
}

/// Runs what follows with the best that the machine has: `with_best!(lanes => self.find(lanes))`. Only what is inlined into it
/// is compiled for that.
macro_rules! with_best {
    ($lanes:ident => $run:expr) => {{
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = fearless_simd::Level::new().as_avx2() {
            let $lanes = avx2;
            return fearless_simd::Simd::vectorize(
                avx2,
                #[inline(always)]
                || $run,
            );
        }
        let $lanes = $crate::geo::index::lanes::Portable;
        $run
    }};
}
pub(super) use with_best;

/// What every machine has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portable;

impl Lanes for Portable {
    #[inline(always)]
    fn holding(self, balls: Balls<'_>) -> (u32, u32) {
        let [x, y, z] = balls.point;
        let (mut squared, mut are_in) = ([0_i32; WIDTH], [0_u8; WIDTH]);
        for lane in 0..WIDTH {
            let dx = x.wrapping_sub(balls.x[lane]);
            let dy = y.wrapping_sub(balls.y[lane]);
            let dz = z.wrapping_sub(balls.z[lane]);
            squared[lane] = square(dx).wrapping_add(square(dy)).wrapping_add(square(dz));
            let outer = (i16::from(balls.radius[lane]) << balls.radius_shift).wrapping_add(MARGIN_OUTER);
            are_in[lane] = u8::from(squared[lane] <= square(outer));
        }
        let maybe = mask(are_in);
        for lane in 0..WIDTH {
            let inner = (i16::from(balls.core[lane]) << balls.radius_shift).wrapping_sub(MARGIN_INNER);
            are_in[lane] = u8::from(squared[lane] < square(inner.max(0)));
        }
        (maybe, mask(are_in))
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for fearless_simd::Avx2 {
    #[inline(always)]
    fn holding(self, balls: Balls<'_>) -> (u32, u32) {
        use fearless_simd::{i16x16, prelude::*, u8x16};
        let centers = [balls.x, balls.y, balls.z].map(|axis| i16x16::simd_from(self, *axis).into());
        let radii = [balls.radius, balls.core].map(|radii| u8x16::simd_from(self, *radii).into());
        avx2::holding(self, centers, radii, balls.radius_shift as i32, balls.point)
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_cvtsi32_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_cmpgt_epi32,
        _mm256_cvtepu8_epi16, _mm256_madd_epi16, _mm256_max_epi16, _mm256_movemask_epi8, _mm256_packs_epi16,
        _mm256_packs_epi32, _mm256_set1_epi16, _mm256_setzero_si256, _mm256_sll_epi16, _mm256_sub_epi16,
        _mm256_unpackhi_epi16, _mm256_unpacklo_epi16,
    };

    use super::{MARGIN_INNER, MARGIN_OUTER};

    fearless_simd::kernel!(
        #[inline(always)]
        pub(super) fn holding(
            avx2: Avx2,
            centers: [__m256i; 3],
            radii: [__m128i; 2],
            radius_shift: i32,
            point: [i16; 3],
        ) -> (u32, u32) {
            let nothing = _mm256_setzero_si256();
            let dx = _mm256_sub_epi16(_mm256_set1_epi16(point[0]), centers[0]);
            let dy = _mm256_sub_epi16(_mm256_set1_epi16(point[1]), centers[1]);
            let dz = _mm256_sub_epi16(_mm256_set1_epi16(point[2]), centers[2]);
            // Pairs of lanes are squared and added; low and high halves come together again when they are packed.
            let (xy_low, xy_high) = (_mm256_unpacklo_epi16(dx, dy), _mm256_unpackhi_epi16(dx, dy));
            let (z_low, z_high) = (_mm256_unpacklo_epi16(dz, nothing), _mm256_unpackhi_epi16(dz, nothing));
            let low = _mm256_add_epi32(_mm256_madd_epi16(xy_low, xy_low), _mm256_madd_epi16(z_low, z_low));
            let high = _mm256_add_epi32(_mm256_madd_epi16(xy_high, xy_high), _mm256_madd_epi16(z_high, z_high));
            let shift = _mm_cvtsi32_si128(radius_shift);
            let outer = _mm256_sll_epi16(_mm256_cvtepu8_epi16(radii[0]), shift);
            let outer = _mm256_add_epi16(outer, _mm256_set1_epi16(MARGIN_OUTER));
            let inner = _mm256_sll_epi16(_mm256_cvtepu8_epi16(radii[1]), shift);
            let inner = _mm256_max_epi16(_mm256_sub_epi16(inner, _mm256_set1_epi16(MARGIN_INNER)), nothing);
            let (outer_low, outer_high) = (
                _mm256_unpacklo_epi16(outer, nothing),
                _mm256_unpackhi_epi16(outer, nothing),
            );
            let (inner_low, inner_high) = (
                _mm256_unpacklo_epi16(inner, nothing),
                _mm256_unpackhi_epi16(inner, nothing),
            );
            let beyond = _mm256_packs_epi32(
                _mm256_cmpgt_epi32(low, _mm256_madd_epi16(outer_low, outer_low)),
                _mm256_cmpgt_epi32(high, _mm256_madd_epi16(outer_high, outer_high)),
            );
            let within = _mm256_packs_epi32(
                _mm256_cmpgt_epi32(_mm256_madd_epi16(inner_low, inner_low), low),
                _mm256_cmpgt_epi32(_mm256_madd_epi16(inner_high, inner_high), high),
            );
            // Eight lanes of `beyond`, the same of `within`, and so the other eight.
            let both = _mm256_movemask_epi8(_mm256_packs_epi16(beyond, within)) as u32;
            let beyond = both & 0xFF | both >> 8 & 0xFF00;
            let within = both >> 8 & 0xFF | both >> 16 & 0xFF00;
            (beyond ^ 0xFFFF, within)
        }
    );
}

#[inline(always)]
fn square(value: i16) -> i32 {
    i32::from(value) * i32::from(value)
}

/// A bit for each lane that holds a 1; all others hold 0.
#[inline(always)]
pub(super) fn mask(lanes: [u8; WIDTH]) -> u32 {
    // Multiplied, the eight bits meet in the highest byte, each at its place.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let all = u128::from_le_bytes(lanes);
    let gathered = |half: u64| (half.wrapping_mul(GATHER) >> 56) as u32;
    gathered(all as u64) | gathered((all >> 64) as u64) << 8
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// With whatever a leaf may hold: distances whose squares fit, radii of every size.
        #[test]
        fn every_machine_gives_the_same_answer(
            centers in prop::array::uniform3(prop::array::uniform16(-1_000_i16..=25_754)),
            radius in prop::array::uniform16(any::<u8>()),
            core in prop::array::uniform16(any::<u8>()),
            radius_shift in 0_u32..=7,
            point in prop::array::uniform3(0_i16..=25_754),
            near in any::<bool>(),
        ) {
            let Some(avx2) = fearless_simd::Level::new().as_avx2() else {
                return Ok(());
            };
            // Near ones are those of which the answer depends on every step.
            let centers = centers.map(|axis| axis.map(|at| if near { at >> 8 } else { at }));
            let point = point.map(|at| if near { at >> 8 } else { at });
            let [x, y, z] = &centers;
            let balls = Balls { x, y, z, radius: &radius, core: &core, radius_shift, point };
            prop_assert_eq!(avx2.holding(balls), Portable.holding(balls));
        }
    }
}
