//! A small picture of the polygons: cells that are inside, outside, or met by an edge.

use std::sync::Arc;

use super::rings::Rings;
use crate::geo::unwrap::Vertex;

/// A box in degrees. Where polygons lie on both sides of the antimeridian, the east goes on beyond 180.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    pub(super) west: f64,
    pub(super) east: f64,
    pub(super) south: f64,
    pub(super) north: f64,
}

/// What is known of a whole cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    Outside = 0,
    Inside = 1,
    /// An edge may pass through it.
    Mixed = 2,
}

impl Cell {
    #[inline]
    fn told(bits: u64) -> Self {
        match bits {
            0 => Self::Outside,
            1 => Self::Inside,
            _ => Self::Mixed,
        }
    }
}

/// Added to the extent of an edge, in cells. Rounding in cell coordinates stays below 1e-12.
const MARGIN_CELLS: f64 = 1e-9;
/// What shifting a longitude by 360 may add to it, in degrees.
const SHIFT_DEGREES: f64 = 2e-13;

/// Where the cells lie: a square of 16 to 128 cells a side over the bounds; none for polygons of few vertices.
///
/// The cell of a point is found by two functions that never fall as the point moves east or north, so rounding cannot
/// bring a point into a cell that an edge which it lies on has not been entered for.
#[derive(Debug, Clone, Copy)]
struct Frame {
    bounds: Bounds,
    /// Whether western longitudes are moved by 360 degrees.
    is_shifted: bool,
    /// Binary logarithm of the cells a side.
    level: u8,
    columns_per_degree: f64,
    rows_per_degree: f64,
}

/// The picture, two bits a cell.
#[derive(Debug, Clone)]
pub(crate) struct Raster {
    frame: Frame,
    cells: Arc<[u64]>,
    /// The same with 16 cells a side.
    small: [u64; 8],
}

/// Binary logarithm of a [`Glance`]'s cells a side, the least that a picture has.
const GLANCE_LEVEL: u8 = 4;
/// A small picture that tells nothing.
const ALL_MIXED: [u64; 8] = [0xAAAA_AAAA_AAAA_AAAA; 8];
/// Its cells a side.
const GLANCE_SIDE: f64 = (1 << GLANCE_LEVEL) as f64;

/// A picture in two cache lines, for who looks at many polygons: whether a cell is the same throughout, and the full
/// picture for those that aren't.
#[derive(Debug, Clone)]
#[repr(align(128))]
pub(crate) struct Glance {
    cells: [u64; 8],
    west: f64,
    south: f64,
    columns_per_degree: f64,
    rows_per_degree: f64,
    full: Arc<[u64]>,
    is_shifted: bool,
    /// Of the full picture.
    level: u8,
}

/// Where in a [`Glance`] a point lies, and what that says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    cell: Cell,
    column: f64,
    row: f64,
}

impl Seen {
    /// Whether the point is inside, if that is known.
    #[inline]
    pub(crate) fn answer(self) -> Option<bool> {
        match self.cell {
            Cell::Inside => Some(true),
            Cell::Outside => Some(false),
            Cell::Mixed => None,
        }
    }
}

impl Glance {
    /// What the small picture tells of a point of the plane, without a branch, so that looks at many pictures wait for
    /// the memory together.
    #[inline]
    #[expect(clippy::needless_bitwise_bool, reason = "branches would be mispredicted")]
    pub(crate) fn look(&self, [x, y]: Vertex) -> Seen {
        let shift = if self.is_shifted & (x < 0.0) { 360.0 } else { 0.0 };
        let x = x + shift;
        let column = (x - self.west) * self.columns_per_degree;
        let row = (y - self.south) * self.rows_per_degree;
        // Rounding takes what is within bounds at most a little beyond the last cell, where nothing is known.
        let is_beyond = (column >= GLANCE_SIDE) | (row >= GLANCE_SIDE);
        let is_outside =
            (x < self.west) | (y < self.south) | (column > GLANCE_SIDE + 0.01) | (row > GLANCE_SIDE + 0.01);
        let bit = (((row as i32 & 15) << GLANCE_LEVEL) + (column as i32 & 15)) as usize * 2;
        let cell = self.cells[bit / 64] >> (bit % 64) & 3;
        let known = if is_beyond { Cell::Mixed as u64 } else { cell };
        let known = if is_outside { Cell::Outside as u64 } else { known };
        Seen {
            cell: Cell::told(known),
            column,
            row,
        }
    }

    /// What the full picture tells, where the small one doesn't.
    #[inline]
    pub(crate) fn look_closer(&self, seen: Seen) -> Option<bool> {
        if seen.cell != Cell::Mixed || self.level <= GLANCE_LEVEL {
            return seen.answer();
        }
        let side = 1_usize << self.level;
        let scale = f64::from(1_u32 << (self.level - GLANCE_LEVEL));
        let column = ((seen.column * scale) as usize).min(side - 1);
        let row = ((seen.row * scale) as usize).min(side - 1);
        let cell = cell(&self.full, ((row << self.level) + column) * 2);
        Seen { cell, ..seen }.answer()
    }
}

/// A picture in the making.
struct Drawing {
    frame: Frame,
    cells: Vec<u64>,
}

/// Binary logarithm of the cells a side: a picture of 64 or 256 bytes for small polygons, of at most 2 bytes a vertex
/// for large ones.
fn level_for(vertices: usize) -> Option<u8> {
    match vertices {
        0..=6 => None,
        7..=15 => Some(4),
        16..=511 => Some(5),
        512..=2047 => Some(6),
        _ => Some(7),
    }
}

impl Raster {
    /// One that says nothing but what is out of bounds.
    pub(super) fn empty(bounds: Bounds, is_shifted: bool) -> Self {
        Self {
            frame: Frame {
                bounds,
                is_shifted,
                level: 0,
                columns_per_degree: 0.0,
                rows_per_degree: 0.0,
            },
            cells: Arc::default(),
            small: ALL_MIXED,
        }
    }

    /// The picture of the rings within the same bounds. `contains` tells for a point of the plane whether it is inside.
    pub(super) fn drawn(&self, rings: &Rings, contains: impl Fn(Vertex) -> bool) -> Self {
        let mut frame = self.frame;
        let Some(level) = level_for(rings.vertices().len()) else {
            return self.clone();
        };
        frame.level = level;
        let Bounds {
            west,
            east,
            south,
            north,
        } = frame.bounds;
        let side = frame.side() as f64;
        let per_degree = |degrees: f64| {
            let cells = side / degrees;
            if cells.is_finite() { cells } else { 0.0 }
        };
        frame.columns_per_degree = per_degree(east - west);
        frame.rows_per_degree = per_degree(north - south);
        let mut drawing = Drawing {
            frame,
            cells: vec![0; frame.side() * frame.side() / 32],
        };
        for (ring, _) in rings.iter() {
            for edge in ring.windows(2) {
                drawing.draw(edge[0], edge[1]);
            }
        }
        drawing.colour(contains);
        Self {
            frame,
            small: drawing.small(),
            cells: drawing.cells.into(),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.frame.bounds
    }

    /// The picture at a glance.
    pub(super) fn at_a_glance(&self) -> Glance {
        let Frame {
            bounds,
            is_shifted,
            level,
            ..
        } = self.frame;
        let is_drawn = !self.cells.is_empty();
        // With a power of two between them, each small cell is made of whole ones.
        let scale = if is_drawn {
            f64::from(1_u32 << (level - GLANCE_LEVEL))
        } else {
            1.0
        };
        let per_degree = |full: f64, degrees: f64| {
            let cells = if is_drawn { full / scale } else { GLANCE_SIDE / degrees };
            if cells.is_finite() { cells } else { 0.0 }
        };
        let columns_per_degree = per_degree(self.frame.columns_per_degree, bounds.east - bounds.west);
        let rows_per_degree = per_degree(self.frame.rows_per_degree, bounds.north - bounds.south);
        // Without extent there is no telling what is beyond it.
        let is_flat = columns_per_degree == 0.0 || rows_per_degree == 0.0;
        Glance {
            cells: if is_flat { ALL_MIXED } else { self.small },
            west: bounds.west,
            south: bounds.south,
            columns_per_degree,
            rows_per_degree,
            full: Arc::clone(&self.cells),
            is_shifted,
            level: if is_flat { 0 } else { level },
        }
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.cells)
    }

    /// What is known about a point of the plane.
    #[inline]
    pub(super) fn at(&self, [x, y]: Vertex) -> Cell {
        let Frame {
            bounds:
                Bounds {
                    west,
                    east,
                    south,
                    north,
                },
            ..
        } = self.frame;
        let x = self.frame.shifted(x);
        if !(west <= x && x <= east && south <= y && y <= north) {
            return Cell::Outside;
        }
        if self.cells.is_empty() {
            return Cell::Mixed;
        }
        cell(&self.cells, self.frame.bit(self.frame.column(x), self.frame.row(y)))
    }
}

/// The cell whose two bits begin there.
#[inline]
fn cell(cells: &[u64], bit: usize) -> Cell {
    Cell::told(cells[bit / 64] >> (bit % 64) & 3)
}

impl Frame {
    fn shifted(&self, x: f64) -> f64 {
        if self.is_shifted && x < 0.0 { x + 360.0 } else { x }
    }

    fn side(&self) -> usize {
        1 << self.level
    }

    fn column(&self, x: f64) -> usize {
        (((x - self.bounds.west) * self.columns_per_degree) as usize).min(self.side() - 1)
    }

    fn row(&self, y: f64) -> usize {
        (((y - self.bounds.south) * self.rows_per_degree) as usize).min(self.side() - 1)
    }

    fn bit(&self, column: usize, row: usize) -> usize {
        ((row << self.level) + column) * 2
    }
}

impl Drawing {
    fn cell(&self, column: usize, row: usize) -> Cell {
        cell(&self.cells, self.frame.bit(column, row))
    }

    fn set(&mut self, column: usize, row: usize, cell: Cell) {
        let bit = self.frame.bit(column, row);
        let word = &mut self.cells[bit / 64];
        *word = *word & !(3 << (bit % 64)) | (cell as u64) << (bit % 64);
    }

    /// Marks every cell that the edge may pass through.
    fn draw(&mut self, a: Vertex, b: Vertex) {
        let last = (self.frame.side() - 1) as f64;
        let to_cells = |[x, y]: Vertex| {
            let u = (self.frame.shifted(x) - self.frame.bounds.west) * self.frame.columns_per_degree;
            let v = (y - self.frame.bounds.south) * self.frame.rows_per_degree;
            [u, v]
        };
        let (a, b) = (to_cells(a), to_cells(b));
        let (south, north) = if a[1] <= b[1] { (a, b) } else { (b, a) };
        let (u_min, u_max) = (a[0].min(b[0]), a[0].max(b[0]));
        let margin = MARGIN_CELLS + SHIFT_DEGREES * self.frame.columns_per_degree;
        let first_row = (south[1] - MARGIN_CELLS).clamp(0.0, last) as usize;
        let last_row = (north[1] + MARGIN_CELLS).clamp(0.0, last) as usize;
        let slope = (north[0] - south[0]) / (north[1] - south[1]);
        for row in first_row..=last_row {
            let (mut from, mut to) = (u_min, u_max);
            if slope.is_finite() {
                let at = |v: f64| south[0] + (v.clamp(south[1], north[1]) - south[1]) * slope;
                let (p, q) = (at(row as f64 - MARGIN_CELLS), at((row + 1) as f64 + MARGIN_CELLS));
                from = p.min(q).max(u_min);
                to = p.max(q).min(u_max);
            }
            let first = (from - margin).clamp(0.0, last) as usize;
            let end = (to + margin).clamp(0.0, last) as usize;
            for column in first..=end {
                self.set(column, row, Cell::Mixed);
            }
        }
    }

    /// The same with 16 cells a side, mixed where the cells that one is made of differ.
    fn small(&self) -> [u64; 8] {
        let finer = 1 << (self.frame.level - GLANCE_LEVEL);
        let mut small = [0; 8];
        for row in 0..1 << GLANCE_LEVEL {
            for column in 0..1 << GLANCE_LEVEL {
                let at = |number: usize| self.cell(column * finer + number % finer, row * finer + number / finer);
                let first = at(0);
                let is_same = (1..finer * finer).all(|number| at(number) == first);
                let cell = if is_same { first } else { Cell::Mixed };
                let bit = ((row << GLANCE_LEVEL) + column) * 2;
                small[bit / 64] |= (cell as u64) << (bit % 64);
            }
        }
        small
    }

    /// Tells inside from outside in all cells that no edge meets; neighbours among these are alike.
    fn colour(&mut self, contains: impl Fn(Vertex) -> bool) {
        for row in 0..self.frame.side() {
            for column in 0..self.frame.side() {
                if self.cell(column, row) == Cell::Mixed {
                    continue;
                }
                let neighbour = [(column.checked_sub(1), Some(row)), (Some(column), row.checked_sub(1))]
                    .into_iter()
                    .filter_map(|(column, row)| Some(self.cell(column?, row?)))
                    .find(|cell| *cell != Cell::Mixed);
                let cell = neighbour.unwrap_or_else(|| self.ask(column, row, &contains));
                self.set(column, row, cell);
            }
        }
    }

    fn ask(&self, column: usize, row: usize, contains: impl Fn(Vertex) -> bool) -> Cell {
        let x = self.frame.bounds.west + (column as f64 + 0.5) / self.frame.columns_per_degree;
        let y = self.frame.bounds.south + (row as f64 + 0.5) / self.frame.rows_per_degree;
        let is_middle = x.is_finite() && y.is_finite() && self.frame.column(x) == column && self.frame.row(y) == row;
        if !is_middle {
            return Cell::Mixed;
        }
        let x = if x > 180.0 { x - 360.0 } else { x };
        if contains([x, y]) { Cell::Inside } else { Cell::Outside }
    }
}
