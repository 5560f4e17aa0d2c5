//! A small picture of the polygons: cells that are inside, outside, or met by an edge.

use super::{
    picture::{COARSE_LEVEL, COARSE_SIDE, Cell, FINE_LEVEL_MAX, Glance, Picture},
    rings::Rings,
};
use crate::geo::unwrap::Vertex;

/// A box in degrees. Where polygons lie on both sides of the antimeridian, the east goes on beyond 180.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    pub(super) west: f64,
    pub(super) east: f64,
    pub(super) south: f64,
    pub(super) north: f64,
}

/// Added to the extent of an edge, in cells. Rounding in cell coordinates stays below 1e-12.
const MARGIN_CELLS: f64 = 1e-9;
/// What shifting a longitude by 360 may add to it, in degrees.
const SHIFT_DEGREES: f64 = 2e-13;

/// Polygons of fewer vertices have no picture, and of fewer than the second number none with fine cells.
const VERTICES_MIN: usize = 4;
const VERTICES_MIN_FINE: usize = 4;
/// What fine cells may take: so many bytes, and for each four vertices so many more.
const FINE_BYTES: usize = 192;
const FINE_BYTES_PER_FOUR_VERTICES: usize = 5;

/// Where the cells lie: a square of 16 to 256 cells a side over the bounds.
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

/// The picture and where it lies.
#[derive(Debug, Clone)]
pub(super) struct Raster {
    frame: Frame,
    /// None for polygons of few vertices.
    picture: Option<Picture>,
}

/// A picture in the making: the fine cells of all coarse ones, two bits each.
struct Drawing {
    frame: Frame,
    cells: Vec<u64>,
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
            picture: None,
        }
    }

    /// The picture of the rings within the same bounds. `contains` tells for a point of the plane whether it is inside.
    pub(super) fn drawn(&self, rings: &Rings, contains: impl Fn(Vertex) -> bool) -> Self {
        let vertices = rings.vertices().len();
        if vertices < VERTICES_MIN {
            return self.clone();
        }
        let mut drawing = Drawing::new(self.frame.divided(COARSE_LEVEL), rings);
        if vertices >= VERTICES_MIN_FINE {
            let bytes_max = FINE_BYTES + vertices / 4 * FINE_BYTES_PER_FOUR_VERTICES;
            let mixed = drawing.mixed_cells();
            let finest = (1..=FINE_LEVEL_MAX)
                .rev()
                .find(|level| mixed << (2 * level) <= 4 * bytes_max);
            if let Some(finest) = finest {
                drawing = Drawing::new(self.frame.divided(COARSE_LEVEL + finest), rings);
            }
        }
        Self {
            frame: drawing.frame,
            picture: Some(drawing.coloured(contains)),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.frame.bounds
    }

    /// The picture at a glance.
    pub(super) fn at_a_glance(&self) -> Glance {
        let frame = self.frame.divided(COARSE_LEVEL + FINE_LEVEL_MAX);
        let Bounds { west, south, .. } = frame.bounds;
        let is_flat = frame.columns_per_degree == 0.0 || frame.rows_per_degree == 0.0;
        // Without extent there is no telling what is beyond it.
        let picture = self.picture.clone().filter(|_| !is_flat).unwrap_or_default();
        Glance::new(
            picture,
            [west, south],
            [frame.columns_per_degree, frame.rows_per_degree],
            frame.is_shifted,
        )
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        self.picture.as_ref().map_or(0, Picture::memory_bytes)
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
            level,
            ..
        } = self.frame;
        let x = self.frame.shifted(x);
        if !(west <= x && x <= east && south <= y && y <= north) {
            return Cell::Outside;
        }
        let Some(picture) = &self.picture else {
            return Cell::Mixed;
        };
        picture.cell(self.frame.column(x), self.frame.row(y), level - COARSE_LEVEL)
    }
}

impl Frame {
    /// The same bounds divided in 2 to the power of `level` cells a side.
    fn divided(self, level: u8) -> Self {
        let Bounds {
            west,
            east,
            south,
            north,
        } = self.bounds;
        let side = f64::from(1_u32 << level);
        let per_degree = |degrees: f64| {
            let cells = side / degrees;
            if cells.is_finite() { cells } else { 0.0 }
        };
        Self {
            level,
            columns_per_degree: per_degree(east - west),
            rows_per_degree: per_degree(north - south),
            ..self
        }
    }

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
    /// Marks the cells that an edge may pass through.
    fn new(frame: Frame, rings: &Rings) -> Self {
        let mut drawing = Self {
            frame,
            cells: vec![0; frame.side() * frame.side() / 32],
        };
        for (ring, _) in rings.iter() {
            for edge in ring.windows(2) {
                drawing.draw(edge[0], edge[1]);
            }
        }
        drawing
    }

    /// How many are marked.
    fn mixed_cells(&self) -> usize {
        self.cells.iter().map(|word| word.count_ones() as usize).sum()
    }

    fn cell(&self, column: usize, row: usize) -> Cell {
        let bit = self.frame.bit(column, row);
        Cell::told(self.cells[bit / 64] >> (bit % 64))
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

    /// Tells inside from outside in all cells that no edge meets; neighbours among these are alike. What is the same
    /// throughout a coarse cell is told for that only.
    fn coloured(mut self, contains: impl Fn(Vertex) -> bool) -> Picture {
        let fine_level = self.frame.level - COARSE_LEVEL;
        let finer = 1 << fine_level;
        let mut coarse = [[Cell::Mixed; COARSE_SIDE]; COARSE_SIDE];
        for row in 0..COARSE_SIDE {
            for column in 0..COARSE_SIDE {
                let (left, top) = (column * finer, row * finer);
                let is_marked = |drawing: &Self| {
                    (0..finer * finer).any(|at| drawing.cell(left + at % finer, top + at / finer) == Cell::Mixed)
                };
                if fine_level > 0 && is_marked(&self) {
                    for at in 0..finer * finer {
                        self.colour(left + at % finer, top + at / finer, &coarse, &contains);
                    }
                } else {
                    coarse[row][column] = self.colour(left, top, &coarse, &contains);
                }
            }
        }
        Picture::new(&coarse, fine_level, |column, row| self.cell(column, row))
    }

    /// Tells what a cell is, by one beside it if that is known.
    fn colour(
        &mut self,
        column: usize,
        row: usize,
        coarse: &[[Cell; COARSE_SIDE]; COARSE_SIDE],
        contains: impl Fn(Vertex) -> bool,
    ) -> Cell {
        if self.cell(column, row) == Cell::Mixed {
            return Cell::Mixed;
        }
        let fine_level = self.frame.level - COARSE_LEVEL;
        let known = |column: usize, row: usize| match coarse[row >> fine_level][column >> fine_level] {
            Cell::Mixed => self.cell(column, row),
            whole => whole,
        };
        let neighbour = [(column.checked_sub(1), Some(row)), (Some(column), row.checked_sub(1))]
            .into_iter()
            .filter_map(|(column, row)| Some(known(column?, row?)))
            .find(|cell| *cell != Cell::Mixed);
        let cell = neighbour.unwrap_or_else(|| self.ask(column, row, &contains));
        self.set(column, row, cell);
        cell
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
