//! What is known of the cells of a square: 16 by 16, and for each of them that isn't the same throughout finer ones.

use std::sync::Arc;

use crate::geo::unwrap::Vertex;

/// What is known of a whole cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    Outside = 0,
    Inside = 1,
    /// An edge may pass through it.
    Mixed = 2,
}

impl Cell {
    /// By the lowest two bits.
    #[inline(always)]
    pub(super) fn told(bits: u64) -> Self {
        match bits & 3 {
            0 => Self::Outside,
            1 => Self::Inside,
            _ => Self::Mixed,
        }
    }
}

/// Binary logarithm of the coarse cells a side.
pub(super) const COARSE_LEVEL: u8 = 4;
/// Coarse cells a side.
pub(super) const COARSE_SIDE: usize = 1 << COARSE_LEVEL;
/// Binary logarithm of the most fine cells a side of a coarse one.
pub(super) const FINE_LEVEL_MAX: u8 = 4;

/// The higher bit of each cell in a word.
const MIXED: u64 = 0xAAAA_AAAA_AAAA_AAAA;
/// Cells a side of the finest picture, the one with the most fine cells.
const FINEST_SIDE: u32 = 1 << (COARSE_LEVEL + FINE_LEVEL_MAX);

/// The cells, two bits each, row by row.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    coarse: [u64; 8],
    /// How many mixed coarse cells come before those of a word, from the second on.
    before: [u8; 7],
    /// Binary logarithm of the fine cells a side of each mixed coarse one.
    fine_level: u8,
    /// The fine cells of one mixed coarse cell after the other; empty when there are none.
    fine: Arc<[u64]>,
}

impl Default for Picture {
    /// One that says nothing.
    fn default() -> Self {
        Self {
            coarse: [MIXED; 8],
            before: [0; 7],
            fine_level: 0,
            fine: Arc::default(),
        }
    }
}

impl Picture {
    /// `fine` tells by column and row what a fine cell is. A `fine_level` of 0 means that there are none.
    pub(super) fn new(
        coarse: &[[Cell; COARSE_SIDE]; COARSE_SIDE],
        fine_level: u8,
        fine: impl Fn(usize, usize) -> Cell,
    ) -> Self {
        let mut picture = Self {
            coarse: [0; 8],
            fine_level,
            ..Self::default()
        };
        let mut mixed = Vec::new();
        for (row, cells) in coarse.iter().enumerate() {
            for (column, cell) in cells.iter().enumerate() {
                let bit = (row * COARSE_SIDE + column) * 2;
                if bit > 0 && bit.is_multiple_of(64) {
                    picture.before[bit / 64 - 1] = mixed.len() as u8;
                }
                picture.coarse[bit / 64] |= (*cell as u64) << (bit % 64);
                if *cell == Cell::Mixed {
                    mixed.push((column, row));
                }
            }
        }
        if fine_level > 0 {
            let finer = 1_usize << fine_level;
            let mut words = vec![0_u64; (mixed.len() * finer * finer * 2).div_ceil(64)];
            for (number, (column, row)) in mixed.into_iter().enumerate() {
                for at in 0..finer * finer {
                    let cell = fine(column * finer + at % finer, row * finer + at / finer);
                    let bit = (number * finer * finer + at) * 2;
                    words[bit / 64] |= (cell as u64) << (bit % 64);
                }
            }
            picture.fine = words.into();
        }
        picture
    }

    /// The cell by its column and row among the fine ones, of which a coarse cell has 2 to the power of `fine_level` a
    /// side.
    #[inline(always)]
    pub(super) fn cell(&self, column: usize, row: usize, fine_level: u8) -> Cell {
        let bit = ((row >> fine_level) * COARSE_SIDE + (column >> fine_level)) * 2;
        match Cell::told(self.coarse[bit / 64] >> (bit % 64)) {
            Cell::Mixed => Cell::told(u64::from(self.fine_cell(self.fine_bit(bit, column, row)))),
            known => known,
        }
    }

    /// Where the bits of a fine cell begin; `coarse_bit` is where those of the coarse one do, which is mixed.
    #[inline(always)]
    fn fine_bit(&self, coarse_bit: usize, column: usize, row: usize) -> usize {
        let level = self.fine_level;
        let (word, bit) = ((coarse_bit / 64) & 7, coarse_bit % 64);
        let before = self.coarse[word] & MIXED & ((1 << bit) - 1);
        let words_before = self.before.get(word.wrapping_sub(1)).copied().unwrap_or_default();
        let number = usize::from(words_before) + before.count_ones() as usize;
        let within = (1 << level) - 1;
        ((((number << level) + (row & within)) << level) + (column & within)) * 2
    }

    /// The fine cell whose bits begin there, a [`Cell`]; mixed where there are no fine cells.
    #[inline(always)]
    fn fine_cell(&self, bit: usize) -> u32 {
        let word = self.fine.get(bit / 64).copied().unwrap_or(MIXED);
        (word >> (bit % 64)) as u32 & 3
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.fine)
    }
}

/// A picture and where it lies, in two cache lines, for who looks at many polygons.
#[derive(Debug, Clone)]
#[repr(align(128))]
pub(crate) struct Glance {
    picture: Picture,
    west: f64,
    south: f64,
    /// Of the cells of the finest picture. With powers of two between them, each cell is made of whole ones of these.
    columns_per_degree: f64,
    rows_per_degree: f64,
    is_shifted: bool,
}

const _: () = assert!(size_of::<Glance>() == 128, "two cache lines");

/// Where in a [`Glance`] a point lies, and what that says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// A [`Cell`].
    cell: u32,
    /// In the finest picture.
    column: u16,
    row: u16,
}

/// Where in a [`Glance`] the bits of a fine cell begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FineCell {
    bit: u32,
}

impl Seen {
    /// What somebody else has found out.
    #[inline(always)]
    pub(crate) fn found(is_inside: bool) -> Self {
        let cell = if is_inside { Cell::Inside } else { Cell::Outside };
        Self {
            cell: cell as u32,
            ..Self::default()
        }
    }

    /// Whether the point is surely inside.
    #[inline(always)]
    pub(crate) fn is_inside(self) -> bool {
        self.cell == Cell::Inside as u32
    }

    /// Whether it may be inside or not.
    #[inline(always)]
    pub(crate) fn is_unclear(self) -> bool {
        self.cell >= Cell::Mixed as u32
    }
}

impl Glance {
    /// `cells_per_degree` are those of the finest picture.
    pub(super) fn new(picture: Picture, south_west: Vertex, cells_per_degree: [f64; 2], is_shifted: bool) -> Self {
        Self {
            picture,
            is_shifted,
            west: south_west[0],
            south: south_west[1],
            columns_per_degree: cells_per_degree[0],
            rows_per_degree: cells_per_degree[1],
        }
    }

    /// What the coarse cells tell of a point of the plane, without a branch, so that looks at many pictures wait for the
    /// memory together.
    ///
    /// No cell at a side is all inside, for the bounds are those of the edges: a point that rounding takes across one is
    /// found outside or unclear.
    #[inline(always)]
    #[expect(clippy::needless_bitwise_bool, reason = "branches would be mispredicted")]
    pub(crate) fn look(&self, [x, y]: Vertex) -> Seen {
        let shift = if self.is_shifted & (x < 0.0) { 360.0 } else { 0.0 };
        let column = ((x + shift - self.west) * self.columns_per_degree) as i32 as u32;
        let row = ((y - self.south) * self.rows_per_degree) as i32 as u32;
        let farther = column.max(row);
        let bit = coarse_bit(column as u16, row as u16) & 0x1FF;
        let cell = (self.picture.coarse[bit / 64] >> (bit % 64)) as u32 & 3;
        // Rounding takes what is within bounds at most a little beyond the last cell, where nothing is known.
        let known = if farther >= FINEST_SIDE {
            Cell::Mixed as u32
        } else {
            cell
        };
        let known = if farther > FINEST_SIDE {
            Cell::Outside as u32
        } else {
            known
        };
        Seen {
            cell: known,
            column: column.min(FINEST_SIDE - 1) as u16,
            row: row.min(FINEST_SIDE - 1) as u16,
        }
    }

    /// Reads from both cache lines, so that they are on their way before they are waited for.
    #[inline(always)]
    pub(crate) fn touch(&self) -> u64 {
        self.picture.coarse[0] ^ self.west.to_bits()
    }

    /// Which fine cell to ask, where the coarse one doesn't tell.
    #[inline(always)]
    pub(crate) fn fine_cell(&self, seen: Seen) -> FineCell {
        let bit = coarse_bit(seen.column, seen.row);
        let fine = |finest: u16| usize::from(finest >> (FINE_LEVEL_MAX - self.picture.fine_level));
        FineCell {
            bit: self.picture.fine_bit(bit, fine(seen.column), fine(seen.row)) as u32,
        }
    }

    /// Reads what [`Glance::look_closer`] will.
    #[inline(always)]
    pub(crate) fn touch_fine(&self, cell: FineCell) -> u64 {
        self.picture
            .fine
            .get(cell.bit as usize / 64)
            .copied()
            .unwrap_or_default()
    }

    /// What the fine cell tells.
    #[inline(always)]
    pub(crate) fn look_closer(&self, cell: FineCell, seen: Seen) -> Seen {
        // A point that rounding takes beyond the last cell may have been sent here by a coarse cell that isn't mixed.
        let coarse = coarse_bit(seen.column, seen.row);
        let is_mixed = self.picture.coarse[(coarse / 64) & 7] >> (coarse % 64) & 2 != 0;
        let fine = self.picture.fine_cell(cell.bit as usize);
        Seen {
            cell: if is_mixed { fine } else { Cell::Mixed as u32 },
            ..seen
        }
    }
}

/// Where the bits of a coarse cell begin, by column and row in the finest picture.
#[inline(always)]
fn coarse_bit(column: u16, row: u16) -> usize {
    (usize::from(row >> FINE_LEVEL_MAX) * COARSE_SIDE + usize::from(column >> FINE_LEVEL_MAX)) * 2
}
