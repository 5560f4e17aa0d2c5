//! What contains each of many points: step by step for all of them together, so that they wait for the memory at the same
//! time, and with as few branches as can be.

use std::hint::black_box;

use super::{
    GeofenceIndex,
    cells::Spot,
    grid::{Grid, grids},
    node::WIDTH,
    search::{append, bits, is_ambiguous},
};
use crate::geo::{
    Position,
    polygons::{FineCell, Seen},
    unwrap::Vertex,
};

/// What [`GeofenceIndex::containing_batch`] found. Made once and used again, it allocates no more.
#[derive(Debug, Default)]
pub struct Hits {
    ids: Vec<u32>,
    ends: Vec<u32>,
    scratch: Scratch,
}

/// What is between the steps.
#[derive(Debug, Default)]
struct Scratch {
    points: Vec<Grid>,
    spots: Vec<Spot>,
    children: Vec<u32>,
    /// Leaves to look at, point after point, and where those of each point end.
    open: Vec<u32>,
    open_ends: Vec<usize>,
    /// Shapes that were found at once, likewise.
    found: Vec<u32>,
    found_ends: Vec<usize>,
    /// Polygons that may contain their point, likewise: their leaf and their lane there.
    slots: Vec<Slot>,
    candidate_ends: Vec<usize>,
    candidates: Vec<Candidate>,
    seen: Vec<Seen>,
    fine: Vec<FineCell>,
    unclear: Vec<u32>,
    closer: Vec<u32>,
}

/// A point, a leaf and a lane of it.
#[derive(Debug, Clone, Copy, Default)]
struct Slot(u64);

impl Slot {
    fn of(point: usize, leaf: usize) -> Self {
        Self((point as u64) << 32 | (leaf * WIDTH) as u64)
    }

    fn lane(self, lane: usize) -> Self {
        Self(self.0 + lane as u64)
    }

    fn parts(self) -> (u32, usize, usize) {
        let slot = self.0 as u32 as usize;
        ((self.0 >> 32) as u32, slot / WIDTH, slot % WIDTH)
    }
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    point: u32,
    id: u32,
    polygon: u32,
}

/// Points of a batch that are looked at together.
const TOGETHER: usize = 64;

/// Leaves of a list that are taken at once.
const PART: usize = 32;

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
    pub(super) fn find_many(&self, at: &[Position], hits: &mut Hits) {
        hits.ids.clear();
        hits.ends.clear();
        for together in at.chunks(TOGETHER) {
            self.find_together(together, hits);
        }
    }

    fn find_together(&self, at: &[Position], hits: &mut Hits) {
        let scratch = &mut hits.scratch;
        grids(at, &mut scratch.points);
        self.open_leaves(scratch);
        self.ask_leaves(at, scratch);
        let last = |ends: &[usize]| ends.last().copied().unwrap_or_default();
        if last(&scratch.candidate_ends) == 0 {
            let before = hits.ids.len();
            hits.ids.extend_from_slice(&scratch.found[..last(&scratch.found_ends)]);
            let ends = scratch.found_ends.iter().map(|end| (before + end) as u32);
            hits.ends.extend(ends);
            return;
        }
        self.settle(at, scratch);
        let Scratch {
            found,
            found_ends,
            candidates,
            candidate_ends,
            seen,
            ..
        } = scratch;
        let (mut first, mut candidate, mut count) = (0, 0, hits.ids.len());
        hits.ids.resize(count + last(found_ends) + candidates.len(), 0);
        for (found_end, candidate_end) in found_ends.iter().zip(&*candidate_ends) {
            for id in &found[first..*found_end] {
                hits.ids[count] = *id;
                count += 1;
            }
            for number in candidate..*candidate_end {
                hits.ids[count] = candidates[number].id;
                count += usize::from(seen[number].is_inside());
            }
            (first, candidate) = (*found_end, *candidate_end);
            hits.ends.push(count as u32);
        }
        hits.ids.truncate(count);
    }

    /// Finds the leaves whose boxes hold the points.
    fn open_leaves(&self, scratch: &mut Scratch) {
        let Scratch {
            points,
            spots,
            children,
            open,
            open_ends,
            ..
        } = scratch;
        Spot::all(points, spots);
        children.clear();
        children.extend(spots.iter().map(|spot| self.cells.top(*spot)));
        let mut depth = 0;
        while self.cells.step_all(children, spots, depth) {
            depth += 1;
        }
        let touched = children.iter().fold(0, |all, child| all ^ self.cells.touch(*child));
        black_box(touched);
        open.clear();
        open_ends.clear();
        for (child, spot) in children.iter().zip(&*spots) {
            for list in self.cells.list_at(*child, *spot).parts(PART) {
                let start = open.len();
                open.extend_from_slice(&[0; PART]);
                let count = list.holding(&mut open[start..]);
                open.truncate(start + count);
            }
            open_ends.push(open.len());
        }
    }

    /// Finds the shapes that surely contain the points, and the polygons that may.
    fn ask_leaves(&self, at: &[Position], scratch: &mut Scratch) {
        let Scratch {
            points,
            open,
            open_ends,
            found,
            found_ends,
            slots,
            candidate_ends,
            ..
        } = scratch;
        let has_polygons = !self.glances.is_empty();
        let touched = open
            .iter()
            .fold(0, |all, number| all ^ self.leaves[*number as usize].touch());
        black_box(touched);
        // Room for whatever there may be, so that nobody asks for it in between.
        let room = (open.len() + 1) * WIDTH;
        found.resize(room.max(found.len()), 0);
        slots.resize(room.max(slots.len()), Slot::default());
        found_ends.clear();
        candidate_ends.clear();
        let (mut start, mut found_count, mut slot_count) = (0, 0, 0);
        for (point, end) in (0..).zip(&*open_ends) {
            for number in &open[start..*end] {
                let number = *number as usize;
                let leaf = &self.leaves[number];
                let (maybe, surely) = self.holding(number, points[point]);
                let polygons = leaf.polygons();
                found_count = append::<4, 4, _>(found, found_count, surely, |lane| leaf.ids[lane]);
                for lane in bits(maybe & !surely & !polygons) {
                    if self.circle_contains(number, lane as usize, points[point], at[point]) {
                        found[found_count] = leaf.ids[lane as usize];
                        found_count += 1;
                    }
                }
                if has_polygons {
                    let slot = Slot::of(point, number);
                    let waiting = maybe & !surely & polygons;
                    slot_count = append::<2, 2, _>(slots, slot_count, waiting, |lane| slot.lane(lane));
                }
            }
            start = *end;
            found_ends.push(found_count);
            candidate_ends.push(slot_count);
        }
    }

    /// Finds out which of the candidates contain their point.
    fn settle(&self, at: &[Position], scratch: &mut Scratch) {
        let Scratch {
            slots,
            candidate_ends,
            candidates,
            seen,
            fine,
            unclear,
            closer,
            ..
        } = scratch;
        let count = candidate_ends.last().copied().unwrap_or_default();
        candidates.clear();
        candidates.extend(slots[..count].iter().map(|slot| {
            let (point, leaf, lane) = slot.parts();
            Candidate {
                point,
                id: self.leaves[leaf].ids[lane],
                polygon: self.polygon(leaf, lane),
            }
        }));
        let point_of = |candidate: &Candidate| -> Vertex {
            let at = at[candidate.point as usize];
            [at.longitude, at.latitude]
        };
        let glance = |candidate: &Candidate| &self.glances[candidate.polygon as usize];
        let touched = candidates
            .iter()
            .fold(0, |all, candidate| all ^ glance(candidate).touch());
        black_box(touched);
        seen.clear();
        seen.extend(
            candidates
                .iter()
                .map(|candidate| glance(candidate).look(point_of(candidate))),
        );
        let all = 0..candidates.len() as u32;
        note(seen, unclear, all);
        // What the small pictures don't tell is taken one step after the other.
        let glance = |number: &u32| &self.glances[candidates[*number as usize].polygon as usize];
        fine.clear();
        fine.extend(
            unclear
                .iter()
                .map(|number| glance(number).fine_cell(seen[*number as usize])),
        );
        let touched = unclear
            .iter()
            .zip(&*fine)
            .fold(0, |all, (number, cell)| all ^ glance(number).touch_fine(*cell));
        black_box(touched);
        for (number, cell) in unclear.iter().zip(&*fine) {
            seen[*number as usize] = glance(number).look_closer(*cell, seen[*number as usize]);
        }
        std::mem::swap(unclear, closer);
        note(seen, unclear, closer.iter().copied());
        let polygon = |number: &u32| &self.polygons[candidates[*number as usize].polygon as usize];
        for depth in 0..4 {
            let touched = unclear.iter().fold(0, |all, number| {
                all ^ polygon(number).touch(point_of(&candidates[*number as usize]), depth)
            });
            black_box(touched);
        }
        for number in &*unclear {
            let candidate = candidates[*number as usize];
            let contains = self.polygons[candidate.polygon as usize].contains_mixed(point_of(&candidate));
            seen[*number as usize] = Seen::found(contains);
        }
        if at.iter().fold(false, |any, at| any | is_ambiguous(*at)) {
            for (candidate, seen) in candidates.iter().zip(seen) {
                let at = at[candidate.point as usize];
                if is_ambiguous(at) {
                    *seen = Seen::found(self.polygons[candidate.polygon as usize].contains(at));
                }
            }
        }
    }
}

/// Leaves in `unclear` those of which what was seen says nothing.
fn note(seen: &[Seen], unclear: &mut Vec<u32>, which: impl ExactSizeIterator<Item = u32>) {
    unclear.clear();
    unclear.resize(which.len(), 0);
    let mut count = 0;
    for number in which {
        unclear[count] = number;
        count += usize::from(seen[number as usize].is_unclear());
    }
    unclear.truncate(count);
}
