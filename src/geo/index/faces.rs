//! The faces of a cube round the Earth, and the part of one that a ball meets.

use super::grid::Grid;

/// Bits of a coordinate across a face: 12 mm.
pub(super) const FACE_BITS: u32 = 30;
/// Half a face.
const HALF: f64 = (1_u32 << (FACE_BITS - 1)) as f64;
const LAST: u32 = (1 << FACE_BITS) - 1;

/// No point of the Earth that a face is responsible for is this close to the plane through the Earth's centre, in units.
const NEAREST_FACE: f64 = 600_000_000.0;
/// Added to every ball against rounding, in units.
const MARGIN_UNITS: f64 = 16.0;

/// A point's place on a face of the cube.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spot {
    pub(super) face: u32,
    pub(super) across: [u32; 2],
}

/// A part of a face, both ends included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patch {
    pub(super) from: [u32; 2],
    pub(super) to: [u32; 2],
}

impl Spot {
    #[inline(always)]
    pub(super) fn of(point: Grid) -> Self {
        let (face, across) = Self::on_face(point.map(f64::from));
        Self {
            face: face as u32,
            across: across.map(|across| (across as i32 as u32).min(LAST)),
        }
    }

    /// The face and the coordinates across it, before they are rounded down. Without branches, so that loops over it
    /// vectorise.
    #[inline(always)]
    fn on_face([x, y, z]: [f64; 3]) -> (f64, [f64; 2]) {
        let is_x = (x.abs() >= y.abs()) & (x.abs() >= z.abs());
        let is_y = y.abs() >= z.abs();
        let of_three = |a: f64, b: f64, c: f64| {
            let other = if is_y { b } else { c };
            if is_x { a } else { other }
        };
        let along = of_three(x, y, z);
        let scale = HALF / along.abs();
        let positive = if along > 0.0 { 1.0 } else { 0.0 };
        let across = [of_three(y, z, x), of_three(z, x, y)];
        (
            of_three(0.0, 2.0, 4.0) + positive,
            across.map(|across| across * scale + HALF),
        )
    }

    /// [`Spot::of`] each point.
    #[inline(always)]
    pub(super) fn all(points: &[Grid], spots: &mut Vec<Self>) {
        const LANES: usize = 8;
        spots.clear();
        for chunk in points.chunks(LANES) {
            let (mut faces, mut across) = ([0.0; LANES], [[0.0; LANES]; 2]);
            let mut coordinates = [[1.0; LANES]; 3];
            for (lane, point) in chunk.iter().enumerate() {
                for axis in 0..3 {
                    coordinates[axis][lane] = f64::from(point[axis]);
                }
            }
            for lane in 0..LANES {
                let point = [0, 1, 2].map(|axis| coordinates[axis][lane]);
                (faces[lane], [across[0][lane], across[1][lane]]) = Self::on_face(point);
            }
            spots.extend((0..chunk.len()).map(|lane| Self {
                face: faces[lane] as u32,
                across: [0, 1].map(|side| (across[side][lane] as i32 as u32).min(LAST)),
            }));
        }
    }
}

/// Calls `meets` with each face that the ball may have a part on, and that part. Radii and centres are in units.
pub(super) fn on_faces(center: Grid, radius: f64, mut meets: impl FnMut(u32, Patch)) {
    let center = center.map(f64::from);
    let radius = radius + MARGIN_UNITS;
    let (home, _) = Spot::on_face(center);
    let home = home as u32;
    let Some(patch) = on_face(center, radius, home) else {
        return;
    };
    meets(home, patch);
    if patch.from.iter().all(|from| *from > 0) && patch.to.iter().all(|to| *to < LAST) {
        return;
    }
    for face in (0..6).filter(|face| *face != home) {
        if let Some(patch) = on_face(center, radius, face) {
            meets(face, patch);
        }
    }
}

/// The part of a face that the ball may have a part on.
#[inline(always)]
fn on_face(center: [f64; 3], radius: f64, face: u32) -> Option<Patch> {
    let axis = (face / 2) as usize;
    let along = if face % 2 == 1 { center[axis] } else { -center[axis] };
    if along + radius < NEAREST_FACE {
        return None;
    }
    let mut patch = Patch {
        from: [0; 2],
        to: [LAST; 2],
    };
    if along > 2.0 * radius {
        let (inverse, reach) = (1.0 / along, radius / (along - radius));
        for side in 0..2 {
            // A point of the ball has (a, m) with |a - a0| <= r and |m - m0| <= r, together within r, so that a / m is
            // within r sqrt(1 + (a0 / m0)^2) / (m0 - r) of a0 / m0. The root is at most half of the square more than 1.
            let slope = center[(axis + 1 + side) % 3] * inverse;
            let reach = reach * (1.0 + slope * slope / 2.0);
            let (from, to) = ((slope - reach) * HALF + HALF, (slope + reach) * HALF + HALF);
            if to < 0.0 || from > f64::from(LAST) {
                return None;
            }
            (patch.from[side], patch.to[side]) = ((from - 1.0) as u32, ((to + 1.0) as u32).min(LAST));
        }
    }
    Some(patch)
}

impl Patch {
    pub(super) fn join(self, other: Self) -> Self {
        Self {
            from: [0, 1].map(|side| self.from[side].min(other.from[side])),
            to: [0, 1].map(|side| self.to[side].max(other.to[side])),
        }
    }
}
