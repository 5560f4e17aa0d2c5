//! Finds the edges at a latitude: stripes along the parallels, each with the runs of consecutive edges that meet it.

use super::rings::{Rings, Run};
use crate::geo::unwrap::Vertex;

/// Edges for each stripe, to begin with.
const EDGES_PER_STRIPE: usize = 16;
/// On average at least so many edges to a run, so that memory stays linear however the rings are drawn.
const EDGES_PER_RUN: usize = 6;
/// On average at most so many stripes to an edge, so that time does.
const STRIPES_PER_EDGE: usize = 4;

/// Lines of vertices that are read ahead of each run.
const LINES_AHEAD: usize = 4;
/// Of so many runs at most, where there are more.
const RUNS_AHEAD: usize = 8;
/// Vertices to a cache line.
const VERTICES_PER_LINE: usize = 4;

/// The stripe of a latitude is found by a function that never falls as the latitude grows, so rounding loses no edge.
#[derive(Debug, Clone)]
#[repr(C)]
pub(super) struct Stripes {
    south: f64,
    count_per_degree: f64,
    by_latitude: Box<[Stripe]>,
    /// Runs of the stripes that have no room for them.
    runs: Box<[Run]>,
}

/// The runs that meet a stripe, in ascending order. An outline mostly has two: up on one side, down on the other.
#[derive(Debug, Clone, Copy)]
struct Stripe {
    starts: [u32; 2],
    /// Nothing for a run that isn't there. Where the first says [`ELSEWHERE`], the starts are those of a range in the
    /// list of runs.
    edges: [u16; 2],
}

const ELSEWHERE: u16 = u16::MAX;

/// Runs of a stripe.
pub(super) struct Runs<'a> {
    here: [Run; 2],
    next: usize,
    elsewhere: std::slice::Iter<'a, Run>,
}

impl Iterator for Runs<'_> {
    type Item = Run;

    #[inline]
    fn next(&mut self) -> Option<Run> {
        while let Some(run) = self.here.get(self.next) {
            self.next += 1;
            if run.edges > 0 {
                return Some(*run);
            }
        }
        self.elsewhere.next().copied()
    }
}

impl Stripe {
    /// Puts the runs here, or else at the end of `elsewhere`.
    fn new(runs: &[Run], elsewhere: &mut Vec<Run>) -> Self {
        let fits = runs.len() <= 2 && runs.iter().all(|run| run.edges < u32::from(ELSEWHERE));
        let mut stripe = Self {
            starts: [0; 2],
            edges: [0; 2],
        };
        if fits {
            for (number, run) in runs.iter().enumerate() {
                stripe.starts[number] = run.start;
                stripe.edges[number] = run.edges as u16;
            }
        } else {
            let from = elsewhere.len();
            elsewhere.extend_from_slice(runs);
            stripe.starts = [from as u32, elsewhere.len() as u32];
            stripe.edges[0] = ELSEWHERE;
        }
        stripe
    }
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
                by_latitude: vec![Stripe::new(&[], &mut Vec::new()); count].into_boxed_slice(),
                runs: Box::default(),
            };
            if stripes.fill(rings, edges) || count == 1 {
                return stripes;
            }
            count = (count / 2).max(1);
        }
    }

    /// The runs that meet the parallel.
    #[inline]
    pub(super) fn at(&self, latitude: f64) -> Runs<'_> {
        let Stripe { starts, edges } = self.by_latitude[self.stripe(latitude)];
        if edges[0] == ELSEWHERE {
            return Runs {
                here: [Run { start: 0, edges: 0 }; 2],
                next: 2,
                elsewhere: self.runs[starts[0] as usize..starts[1] as usize].iter(),
            };
        }
        Runs {
            here: [0, 1].map(|number| Run {
                start: starts[number],
                edges: u32::from(edges[number]),
            }),
            next: 0,
            elsewhere: [].iter(),
        }
    }

    /// Reads what leads to the stripes.
    #[inline]
    pub(super) fn touch(&self) -> usize {
        self.by_latitude.len() ^ self.south.to_bits() as usize
    }

    /// Reads the stripe of the parallel.
    #[inline]
    pub(super) fn touch_stripe(&self, latitude: f64) -> usize {
        self.by_latitude[self.stripe(latitude)].starts[0] as usize
    }

    /// Reads where the runs of the parallel begin that its stripe has no room for.
    #[inline]
    pub(super) fn touch_runs(&self, latitude: f64) -> usize {
        let Stripe { starts, edges } = self.by_latitude[self.stripe(latitude)];
        if edges[0] == ELSEWHERE {
            self.runs[starts[0] as usize].start as usize
        } else {
            0
        }
    }

    /// Reads the vertices of the first runs of the parallel, or some others. There is no branch that waits for what is read.
    #[inline]
    pub(super) fn touch_vertices(&self, latitude: f64, vertices: &[Vertex]) -> usize {
        let Stripe { starts, edges } = self.by_latitude[self.stripe(latitude)];
        let touch = |start: u32| {
            let last = vertices.len().wrapping_sub(1);
            let lines = (0..LINES_AHEAD).map(|line| (start as usize + line * VERTICES_PER_LINE).min(last));
            lines.fold(0, |all, at| {
                all ^ vertices.get(at).map_or(0, |vertex| vertex[0].to_bits())
            })
        };
        let all = if edges[0] == ELSEWHERE {
            let runs = &self.runs[starts[0] as usize..starts[1] as usize];
            runs.iter().take(RUNS_AHEAD).fold(0, |all, run| all ^ touch(run.start))
        } else {
            touch(starts[0]) ^ touch(starts[1])
        };
        all as usize
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.by_latitude) + size_of_val(&*self.runs)
    }

    fn stripe(&self, latitude: f64) -> usize {
        let last = self.by_latitude.len() - 1;
        (((latitude - self.south) * self.count_per_degree) as usize).min(last)
    }

    fn span(&self, edge: &[Vertex]) -> std::ops::RangeInclusive<usize> {
        let (a, b) = (self.stripe(edge[0][1]), self.stripe(edge[1][1]));
        a.min(b)..=a.max(b)
    }

    /// Enters all edges; gives up, unless there is but one stripe, when it would take too much.
    fn fill(&mut self, rings: &Rings, edges: usize) -> bool {
        let count = self.by_latitude.len();
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
        let mut starts = vec![0; count + 1];
        for (start, size) in starts.iter_mut().zip(&sizes) {
            *start = total as usize;
            total += size;
        }
        starts[count] = total as usize;
        let mut all = vec![Run { start: 0, edges: 0 }; total as usize];
        let mut next = starts.clone();
        last_edge.fill(u32::MAX);
        for run in rings.runs() {
            for edge in run.start..run.start + run.edges {
                let at = edge as usize;
                for stripe in self.span(&rings.vertices()[at..at + 2]) {
                    if edge == run.start || last_edge[stripe].wrapping_add(1) != edge {
                        all[next[stripe]].start = edge;
                        next[stripe] += 1;
                    }
                    all[next[stripe] - 1].edges += 1;
                    last_edge[stripe] = edge;
                }
            }
        }
        let mut elsewhere = Vec::new();
        for (stripe, range) in self.by_latitude.iter_mut().zip(starts.windows(2)) {
            *stripe = Stripe::new(&all[range[0]..range[1]], &mut elsewhere);
        }
        self.runs = elsewhere.into();
        true
    }
}
