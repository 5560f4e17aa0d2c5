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
    polygons: Vec<Candidate>,
    unclear: Vec<u32>,
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

/// A polygon that may contain the point.
#[derive(Debug, Clone, Copy, Default)]
struct Waiting {
    id: u32,
    polygon: u32,
}

/// Polygons that are looked at together.
const WAITING: usize = 2 * WIDTH;

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
        let mut waiting = [Waiting::default(); WAITING];
        let mut count = 0;
        for open in start..end {
            let number = found[open] as usize;
            let leaf = &self.leaves[number];
            let (maybe, surely) = leaf.holding(point);
            if maybe == 0 {
                continue;
            }
            let polygons = self.kinds[number].polygons();
            for lane in bits(surely & !polygons) {
                found.push(leaf.ids[lane as usize]);
            }
            for lane in bits(maybe & !surely & !polygons) {
                if self.circle_contains(number, lane as usize, point, at) {
                    found.push(leaf.ids[lane as usize]);
                }
            }
            if maybe & polygons != 0 {
                if count + WIDTH > WAITING {
                    self.find_waiting(&waiting[..count], at, found);
                    count = 0;
                }
                for (id, polygon) in self.polygons_of(number, maybe) {
                    waiting[count] = Waiting { id, polygon };
                    count += 1;
                }
            }
        }
        self.find_waiting(&waiting[..count], at, found);
        found.drain(..end);
    }

    /// The polygons in these lanes of a leaf: their ids and numbers.
    #[inline]
    fn polygons_of(&self, leaf: usize, lanes: u32) -> impl Iterator<Item = (u32, u32)> {
        let (kinds, ids) = (&self.kinds[leaf], &self.leaves[leaf].ids);
        bits(lanes & kinds.polygons()).filter_map(|lane| Some((ids[lane as usize], kinds.polygon(lane as usize)?)))
    }

    /// Adds those of the polygons that contain the position.
    fn find_waiting(&self, waiting: &[Waiting], at: Position, found: &mut Vec<u32>) {
        if is_ambiguous(at) {
            let contained = waiting
                .iter()
                .filter(|waiting| self.polygons[waiting.polygon as usize].contains(at));
            found.extend(contained.map(|waiting| waiting.id));
            return;
        }
        let point = [at.longitude, at.latitude];
        let mut seen = [None; WAITING];
        for (seen, waiting) in seen.iter_mut().zip(waiting) {
            *seen = self.glances[waiting.polygon as usize].look(point).answer();
        }
        for (seen, waiting) in seen.into_iter().zip(waiting) {
            if seen.unwrap_or_else(|| self.contains_mixed(waiting.polygon, point)) {
                found.push(waiting.id);
            }
        }
    }

    /// Whether the polygon contains a point that its small picture doesn't tell.
    fn contains_mixed(&self, polygon: u32, point: [f64; 2]) -> bool {
        let glance = &self.glances[polygon as usize];
        glance
            .look_closer(glance.look(point))
            .unwrap_or_else(|| self.polygons[polygon as usize].contains_mixed(point))
    }

    fn circle_contains(&self, number: usize, lane: usize, point: Grid, at: Position) -> bool {
        if self.kinds[number].odd_radius(lane).is_none() {
            match self.leaves[number].judge(lane, point) {
                Verdict::Inside => return true,
                Verdict::Outside => return false,
                Verdict::Unclear => {}
            }
        }
        let center = self.places[number * WIDTH + lane];
        let radius_m = self.circle_radius_m(number, lane);
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
            polygons,
            unclear,
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
        polygons.clear();
        if !self.glances.is_empty() {
            for held in &*held {
                let found = self.polygons_of(held.leaf as usize, held.maybe);
                polygons.extend(found.map(|(id, polygon)| Candidate {
                    point: held.point,
                    id,
                    polygon,
                    contains: None,
                }));
            }
            self.settle(polygons, unclear, at);
        }
        let mut polygons = polygons.iter().peekable();
        let mut held = held.iter().peekable();
        for (number, at) in (0..).zip(at) {
            while let Some(held) = held.next_if(|held| held.point == number) {
                let leaf = &self.leaves[held.leaf as usize];
                let circles = !self.kinds[held.leaf as usize].polygons();
                hits.ids
                    .extend(bits(held.surely & circles).map(|lane| leaf.ids[lane as usize]));
                for lane in bits(held.maybe & !held.surely & circles) {
                    if self.circle_contains(held.leaf as usize, lane as usize, points[number as usize], *at) {
                        hits.ids.push(leaf.ids[lane as usize]);
                    }
                }
            }
            while let Some(hit) = polygons.next_if(|hit| hit.point == number) {
                hits.ids.push(hit.id);
            }
            hits.ends.push(hits.ids.len() as u32);
        }
    }

    /// Leaves those of the candidates that contain their point.
    fn settle(&self, candidates: &mut Vec<Candidate>, unclear: &mut Vec<u32>, at: &[Position]) {
        let point_of = |candidate: &Candidate| {
            let at = at[candidate.point as usize];
            [at.longitude, at.latitude]
        };
        for candidate in &mut *candidates {
            let point = point_of(candidate);
            candidate.contains = self.glances[candidate.polygon as usize].look(point).answer();
        }
        // What the small pictures don't tell is taken one step after the other, so that all of them wait together.
        unclear.clear();
        for (number, candidate) in (0..).zip(&*candidates) {
            if candidate.contains.is_none() {
                unclear.push(number);
            }
        }
        for number in &*unclear {
            let candidate = &mut candidates[*number as usize];
            let point = point_of(candidate);
            let glance = &self.glances[candidate.polygon as usize];
            candidate.contains = glance.look_closer(glance.look(point));
        }
        unclear.retain(|number| candidates[*number as usize].contains.is_none());
        let polygons = |number: &u32| &self.polygons[candidates[*number as usize].polygon as usize];
        let touched = unclear.iter().fold(0, |all, number| all ^ polygons(number).touch());
        black_box(touched);
        let touched = unclear.iter().fold(0, |all, number| {
            all ^ polygons(number).touch_edges(point_of(&candidates[*number as usize]))
        });
        black_box(touched);
        for number in &*unclear {
            let candidate = &mut candidates[*number as usize];
            let contains = self.polygons[candidate.polygon as usize].contains_mixed(point_of(candidate));
            candidate.contains = Some(contains);
        }
        candidates.retain(|candidate| {
            let at = at[candidate.point as usize];
            if is_ambiguous(at) {
                return self.polygons[candidate.polygon as usize].contains(at);
            }
            candidate.contains == Some(true)
        });
    }
}

/// Whether pictures must not be asked: at a pole and on the antimeridian, which are in several places.
#[inline]
fn is_ambiguous(at: Position) -> bool {
    (at.latitude.abs() == 90.0) | (at.longitude.abs() == 180.0)
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
