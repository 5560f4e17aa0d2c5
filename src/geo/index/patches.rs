//! What the balls of each leaf meet of the faces.

use super::{
    cells::Square,
    faces::{Patch, on_faces},
    grid::Grid,
    node::WIDTH,
};

/// A leaf and the part of a face that its balls meet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patched {
    pub(super) face: u32,
    pub(super) leaf: u32,
    pub(super) patch: Patch,
}

/// What each of a leaf's balls meets of a face, in 256ths of the whole patch or a little less. The ends are included; a lane
/// of which nothing is there ends before it begins.
#[derive(Debug, Clone)]
pub(super) struct Outline {
    /// Binary logarithm of a step.
    shift: u32,
    from: [[u8; WIDTH]; 2],
    to: [[u8; WIDTH]; 2],
}

/// What leaves meet of the faces, leaf after leaf.
#[derive(Debug, Default)]
pub(super) struct Patches {
    pub(super) patched: Vec<Patched>,
    /// For each of them.
    pub(super) outlines: Vec<Outline>,
    /// Of the balls of one leaf: the number in `patched`, the lane, and what it meets.
    parts: Vec<(usize, usize, Patch)>,
}

impl Patches {
    pub(super) fn with_capacity(leaves: usize) -> Self {
        Self {
            patched: Vec::with_capacity(leaves),
            outlines: Vec::with_capacity(leaves),
            parts: Vec::new(),
        }
    }

    /// Adds what others meet, whose leaves come after so many.
    pub(super) fn append(&mut self, other: Self, leaves: u32) {
        self.patched.extend(other.patched.into_iter().map(|item| Patched {
            leaf: item.leaf + leaves,
            ..item
        }));
        self.outlines.extend(other.outlines);
    }

    /// Adds what the leaf's balls meet: at most one patch of each face.
    pub(super) fn add(&mut self, leaf: u32, balls: impl Iterator<Item = (Grid, f64)>) {
        let Self {
            patched,
            outlines,
            parts,
        } = self;
        let start = patched.len();
        parts.clear();
        for (lane, (center, radius)) in balls.enumerate() {
            on_faces(center, radius, |face, patch| {
                let known = patched[start..].iter().position(|known| known.face == face);
                let number = known.map_or(patched.len(), |known| start + known);
                if number == patched.len() {
                    patched.push(Patched { face, leaf, patch });
                }
                patched[number].patch = patched[number].patch.join(patch);
                parts.push((number, lane, patch));
            });
        }
        outlines.extend(patched[start..].iter().map(|item| Outline::nothing(item.patch)));
        for (number, lane, patch) in parts {
            outlines[*number].enter(*lane, patched[*number].patch, *patch);
        }
    }
}

impl Outline {
    fn nothing(whole: Patch) -> Self {
        let widest = (whole.to[0] - whole.from[0]).max(whole.to[1] - whole.from[1]);
        Self {
            shift: (u32::BITS - widest.leading_zeros()).saturating_sub(u8::BITS),
            from: [[u8::MAX; WIDTH]; 2],
            to: [[0; WIDTH]; 2],
        }
    }

    fn enter(&mut self, lane: usize, whole: Patch, part: Patch) {
        for side in 0..2 {
            let steps = |value: u32| ((value - whole.from[side]) >> self.shift) as u8;
            (self.from[side][lane], self.to[side][lane]) = (steps(part.from[side]), steps(part.to[side]));
        }
    }

    /// The part of the patch that holds whatever those balls meet that meet the square; `None` when none does.
    #[inline(always)]
    #[expect(clippy::needless_bitwise_bool, reason = "so that it is done for all lanes at once")]
    pub(super) fn within(&self, whole: Patch, square: Square) -> Option<Patch> {
        let last = square.last();
        let (mut first_step, mut last_step) = ([0; 2], [0; 2]);
        for side in 0..2 {
            let steps = |value: u32| (value.saturating_sub(whole.from[side]) >> self.shift).min(255) as u8;
            (first_step[side], last_step[side]) = (steps(square.from[side]), steps(last[side]));
        }
        let (mut from, mut to) = ([u8::MAX; 2], [0_u8; 2]);
        for lane in 0..WIDTH {
            let meets = (self.from[0][lane] <= last_step[0])
                & (self.from[1][lane] <= last_step[1])
                & (self.to[0][lane] >= first_step[0])
                & (self.to[1][lane] >= first_step[1]);
            for side in 0..2 {
                from[side] = from[side].min(if meets { self.from[side][lane] } else { u8::MAX });
                to[side] = to[side].max(if meets { self.to[side][lane] } else { 0 });
            }
        }
        if from[0] > to[0] || from[1] > to[1] {
            return None;
        }
        Some(Patch {
            from: [0, 1].map(|side| whole.from[side] + (u32::from(from[side]) << self.shift)),
            to: [0, 1].map(|side| {
                let end = whole.from[side] + ((u32::from(to[side]) + 1) << self.shift) - 1;
                end.min(whole.to[side])
            }),
        })
    }
}
