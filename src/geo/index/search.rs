//! What contains a point: level by level, so that the memory of a whole level is asked for before it is waited for.

use std::hint::black_box;

use super::{
    GeofenceIndex,
    grid::{Grid, grid},
    leaf::{Verdict, judge},
    node::WIDTH,
};
use crate::geo::{Position, circle};

/// What [`GeofenceIndex::containing_batch`] found. Made once and used again, it allocates no more.
#[derive(Debug, Default)]
pub struct Hits {
    ids: Vec<u32>,
    ends: Vec<u32>,
    scratch: Scratch,
}

/// What is still to be looked at: the point's number in the batch, and a node's in its level.
#[derive(Debug, Default)]
struct Scratch {
    open: Vec<Open>,
    next: Vec<Open>,
    points: Vec<Grid>,
    held: Vec<Held>,
    sure: Vec<Open>,
    polygons: Vec<Candidate>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    point: u32,
    number: u32,
}

/// What one leaf said of a point.
#[derive(Debug, Clone, Copy)]
struct Held {
    point: u32,
    leaf: u32,
    maybe: u32,
    surely: u32,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    point: u32,
    id: u32,
    polygon: u32,
    contains: Option<bool>,
}

/// Points of a batch that go through the tree together.
const TOGETHER: usize = 64;

/// Levels of at most so many nodes stay in the cache by themselves.
const CACHED_NODES: usize = 2_048;

impl Hits {
    /// The shapes that contain the batch's `point`-th position, in an order of its own; none for a point that isn't there.
    pub fn of(&self, point: usize) -> &[u32] {
        let Some(end) = self.ends.get(point) else {
            return &[];
        };
        let start = if point == 0 { 0 } else { self.ends[point - 1] };
        &self.ids[start as usize..*end as usize]
    }

    /// The shapes of each position, in the batch's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        (0..self.ends.len()).map(|point| self.of(point))
    }
}

impl GeofenceIndex {
    pub(super) fn find_one(&self, at: Position, found: &mut Vec<u32>) {
        found.clear();
        let point = grid(at);
        // `found` is the queue, too: numbers of nodes, level after level, and the result at its end.
        found.extend(0..self.roots());
        let mut start = 0;
        for level in self.levels.iter().rev() {
            let end = found.len();
            for open in start..end {
                let number = found[open];
                for child in bits(level[number as usize].holding(point)) {
                    found.push(number * WIDTH as u32 + child);
                }
            }
            start = end;
        }
        let end = found.len();
        let touched = found[start..]
            .iter()
            .fold(0, |all, number| all ^ self.leaves[*number as usize].touch());
        black_box(touched);
        for open in start..end {
            let number = found[open] as usize;
            let (maybe, surely) = self.leaves[number].holding(point);
            if maybe == 0 {
                continue;
            }
            let names = &self.names[number];
            let sure_circles = surely & !names.polygons();
            for lane in bits(sure_circles) {
                found.push(names.ids[lane as usize]);
            }
            for lane in bits(maybe & !sure_circles) {
                let lane = lane as usize;
                let contains = match names.polygon(lane) {
                    Some(polygon) => self.polygon_contains(polygon, at),
                    None => self.circle_contains(number, lane, point, at),
                };
                if contains {
                    found.push(names.ids[lane]);
                }
            }
        }
        found.drain(..end);
    }

    #[inline]
    fn polygon_contains(&self, polygon: u32, at: Position) -> bool {
        let glance = self.rasters[polygon as usize].glance(at);
        glance.unwrap_or_else(|| self.polygons[polygon as usize].contains(at))
    }

    fn circle_contains(&self, number: usize, lane: usize, point: Grid, at: Position) -> bool {
        let center = self.places[number * WIDTH + lane];
        let radius_m = self.names[number].circle_radius_m(lane, &self.odd_radii_m);
        match judge(grid(center), radius_m, point) {
            Verdict::Inside => true,
            Verdict::Outside => false,
            Verdict::Unclear => circle::contains(center.into(), radius_m, at.into()),
        }
    }

    pub(super) fn find_many(&self, at: &[Position], hits: &mut Hits) {
        hits.ids.clear();
        hits.ends.clear();
        for together in at.chunks(TOGETHER) {
            self.find_together(together, hits);
        }
    }

    fn find_together(&self, at: &[Position], hits: &mut Hits) {
        let Scratch {
            open,
            next,
            points,
            held,
            sure,
            polygons,
        } = &mut hits.scratch;
        points.clear();
        points.extend(at.iter().map(|at| grid(*at)));
        open.clear();
        for point in 0..at.len() as u32 {
            open.extend((0..self.roots()).map(|number| Open { point, number }));
        }
        // Whatever follows keeps the order of the points.
        for level in self.levels.iter().rev() {
            if level.len() > CACHED_NODES {
                let touched = open
                    .iter()
                    .fold(0, |all, open| all ^ level[open.number as usize].touch());
                black_box(touched);
            }
            next.clear();
            for Open { point, number } in open.iter().copied() {
                for child in bits(level[number as usize].holding(points[point as usize])) {
                    next.push(Open {
                        point,
                        number: number * WIDTH as u32 + child,
                    });
                }
            }
            std::mem::swap(open, next);
        }
        let touched = open
            .iter()
            .fold(0, |all, open| all ^ self.leaves[open.number as usize].touch());
        black_box(touched);
        held.clear();
        for Open { point, number } in open.iter().copied() {
            let (maybe, surely) = self.leaves[number as usize].holding(points[point as usize]);
            if maybe != 0 {
                held.push(Held {
                    point,
                    leaf: number,
                    maybe,
                    surely,
                });
            }
        }
        let touched = held
            .iter()
            .fold(0, |all, held| all ^ self.names[held.leaf as usize].touch());
        black_box(touched);
        sure.clear();
        polygons.clear();
        for &Held {
            point,
            leaf,
            maybe,
            surely,
        } in &*held
        {
            let names = &self.names[leaf as usize];
            let sure_circles = surely & !names.polygons();
            sure.extend(bits(sure_circles).map(|lane| Open {
                point,
                number: names.ids[lane as usize],
            }));
            for lane in bits(maybe & !sure_circles) {
                let lane = lane as usize;
                let id = names.ids[lane];
                if let Some(polygon) = names.polygon(lane) {
                    polygons.push(Candidate {
                        point,
                        id,
                        polygon,
                        contains: None,
                    });
                } else if self.circle_contains(leaf as usize, lane, points[point as usize], at[point as usize]) {
                    sure.push(Open { point, number: id });
                }
            }
        }
        for candidate in &mut *polygons {
            candidate.contains = self.rasters[candidate.polygon as usize].glance(at[candidate.point as usize]);
        }
        polygons.retain(|candidate| {
            candidate
                .contains
                .unwrap_or_else(|| self.polygons[candidate.polygon as usize].contains(at[candidate.point as usize]))
        });
        let (mut sure, mut polygons) = (sure.iter().peekable(), polygons.iter().peekable());
        for point in 0..at.len() as u32 {
            while let Some(hit) = sure.next_if(|hit| hit.point == point) {
                hits.ids.push(hit.number);
            }
            while let Some(hit) = polygons.next_if(|hit| hit.point == point) {
                hits.ids.push(hit.id);
            }
            hits.ends.push(hits.ids.len() as u32);
        }
    }
}

/// The numbers of the bits that are set, ascending.
#[inline]
pub(super) fn bits(mut mask: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (mask != 0).then(|| mask.trailing_zeros())?;
        mask &= mask - 1;
        Some(bit)
    })
}
