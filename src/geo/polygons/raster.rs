//! A small picture of the polygons: cells that are inside, outside, or met by an edge.

use std::sync::Arc;

use super::rings::Rings;
use crate::geo::{Position, unwrap::Vertex};

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

/// The picture, two bits a cell. Cheap to copy: who looks at many polygons keeps a copy at hand.
#[derive(Debug, Clone)]
pub(crate) struct Raster {
    frame: Frame,
    cells: Arc<[u64]>,
}

/// A picture in the making.
struct Drawing {
    frame: Frame,
    cells: Vec<u64>,
}

/// Binary logarithm of the cells a side: a picture of at most 5 bytes a vertex, 2 for large ones, less where it
/// counts, and of one cache line or four for small ones.
fn level_for(vertices: usize) -> Option<u8> {
    match vertices {
        0..=6 => None,
        7..=15 => Some(4),
        16..=47 => Some(5),
        48..=1023 => Some(6),
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
            cells: drawing.cells.into(),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.frame.bounds
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.cells)
    }

    /// What is known about a position; nothing at a pole or on the antimeridian, which are in several places.
    #[inline]
    pub(crate) fn glance(&self, at: Position) -> Option<bool> {
        if at.latitude.abs() == 90.0 || at.longitude.abs() == 180.0 {
            return None;
        }
        match self.at([at.longitude, at.latitude]) {
            Cell::Inside => Some(true),
            Cell::Outside => Some(false),
            Cell::Mixed => None,
        }
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
    match cells[bit / 64] >> (bit % 64) & 3 {
        0 => Cell::Outside,
        1 => Cell::Inside,
        _ => Cell::Mixed,
    }
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
