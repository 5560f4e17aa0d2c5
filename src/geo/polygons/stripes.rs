//! Finds the edges at a latitude: stripes along the parallels, each with the runs of consecutive edges that meet it.

use super::rings::{Rings, Run};
use crate::geo::unwrap::Vertex;

/// Edges for each stripe, to begin with.
const EDGES_PER_STRIPE: usize = 16;
/// On average at least so many edges to a run, so that memory stays linear however the rings are drawn.
const EDGES_PER_RUN: usize = 6;
/// On average at most so many stripes to an edge, so that time does.
const STRIPES_PER_EDGE: usize = 4;

/// The stripe of a latitude is found by a function that never falls as the latitude grows, so rounding loses no edge.
#[derive(Debug, Clone)]
pub(super) struct Stripes {
    south: f64,
    count_per_degree: f64,
    /// Where each stripe's runs begin; one more for the end.
    starts: Box<[u32]>,
    /// In ascending order of edges in each stripe.
    runs: Box<[Run]>,
}

impl Stripes {
    pub(super) fn new(rings: &Rings, south: f64, north: f64) -> Self {
        let edges = rings.vertices().len();
        let mut count = (edges / EDGES_PER_STRIPE).max(1);
        loop {
            let per_degree = count as f64 / (north - south);
            let mut stripes = Self {
                south,
                count_per_degree: if per_degree.is_finite() { per_degree } else { 0.0 },
                starts: vec![0; count + 1].into_boxed_slice(),
                runs: Box::default(),
            };
            if stripes.fill(rings, edges) || count == 1 {
                return stripes;
            }
            count = (count / 2).max(1);
        }
    }

    /// The runs that meet the parallel.
    pub(super) fn at(&self, latitude: f64) -> impl Iterator<Item = Run> {
        let stripe = self.stripe(latitude);
        let (from, to) = (self.starts[stripe] as usize, self.starts[stripe + 1] as usize);
        self.runs[from..to].iter().copied()
    }

    /// Reads what leads to the stripes.
    #[inline]
    pub(super) fn touch(&self) -> usize {
        self.starts.len() ^ self.south.to_bits() as usize
    }

    /// Reads where the runs of the parallel begin.
    #[inline]
    pub(super) fn touch_start(&self, latitude: f64) -> usize {
        self.starts[self.stripe(latitude)] as usize
    }

    /// Reads the first run of the parallel.
    #[inline]
    pub(super) fn touch_runs(&self, latitude: f64) -> usize {
        self.at(latitude).next().map_or(0, |run| run.start as usize)
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.runs)
    }

    fn stripe(&self, latitude: f64) -> usize {
        let last = self.starts.len() - 2;
        (((latitude - self.south) * self.count_per_degree) as usize).min(last)
    }

    fn span(&self, edge: &[Vertex]) -> std::ops::RangeInclusive<usize> {
        let (a, b) = (self.stripe(edge[0][1]), self.stripe(edge[1][1]));
        a.min(b)..=a.max(b)
    }

    /// Enters all edges; gives up, unless there is but one stripe, when it would take too much.
    fn fill(&mut self, rings: &Rings, edges: usize) -> bool {
        let count = self.starts.len() - 1;
        let mut entries = 0;
        let mut runs = 0;
        let mut last_edge = vec![u32::MAX; count];
        let mut sizes = vec![0_u32; count];
        for run in rings.runs() {
            for edge in run.start..run.start + run.edges {
                let at = edge as usize;
                let span = self.span(&rings.vertices()[at..at + 2]);
                entries += span.end() - span.start() + 1;
                for stripe in span {
                    if edge == run.start || last_edge[stripe].wrapping_add(1) != edge {
                        sizes[stripe] += 1;
                        runs += 1;
                    }
                    last_edge[stripe] = edge;
                }
                let is_too_much = entries > edges * STRIPES_PER_EDGE || runs > edges / EDGES_PER_RUN + 4;
                if is_too_much && count > 1 {
                    return false;
                }
            }
        }
        let mut total = 0;
        for (start, size) in self.starts.iter_mut().zip(&sizes) {
            *start = total;
            total += size;
        }
        self.starts[count] = total;
        self.runs = vec![Run { start: 0, edges: 0 }; total as usize].into_boxed_slice();
        let mut next: Vec<u32> = self.starts[..count].to_vec();
        last_edge.fill(u32::MAX);
        for run in rings.runs() {
            for edge in run.start..run.start + run.edges {
                let at = edge as usize;
                for stripe in self.span(&rings.vertices()[at..at + 2]) {
                    if edge == run.start || last_edge[stripe].wrapping_add(1) != edge {
                        self.runs[next[stripe] as usize].start = edge;
                        next[stripe] += 1;
                    }
                    self.runs[next[stripe] as usize - 1].edges += 1;
                    last_edge[stripe] = edge;
                }
            }
        }
        true
    }
}
