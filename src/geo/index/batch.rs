//! What contains each of many points: step by step for all of them together, so that they wait for the memory at the same
//! time, and with as few branches as can be.

use std::hint::black_box;

use super::{
    GeofenceIndex,
    faces::Spot,
    grid::{Grid, grids},
    lanes::{Lanes, with_best},
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
    /// Shapes that contain their point or may, likewise.
    slots: Vec<Slot>,
    slot_ends: Vec<usize>,
    /// Whether each of them does, 1 or 0, and how many do before it.
    contains: Vec<u8>,
    before: Vec<u32>,
    /// Those that may.
    candidates: Vec<Candidate>,
    seen: Vec<Seen>,
    fine: Vec<FineCell>,
    unclear: Vec<u32>,
    closer: Vec<u32>,
}

/// A point, a leaf, a lane of it, and in the highest bit whether the shape there only may contain the point.
#[derive(Debug, Clone, Copy, Default)]
struct Slot(u64);

impl Slot {
    fn of(point: usize, leaf: usize) -> Self {
        Self((point as u64) << 32 | (leaf * WIDTH) as u64)
    }

    /// One of the lanes; `waiting` has a bit for each that is to be looked at.
    #[inline(always)]
    fn lane(self, lane: usize, waiting: u32) -> Self {
        Self((self.0 + lane as u64) | (u64::from(waiting >> lane) << 63))
    }

    #[inline(always)]
    fn is_waiting(self) -> bool {
        self.0 >> 63 != 0
    }

    #[inline(always)]
    fn point(self) -> usize {
        (self.0 >> 32) as usize & (TOGETHER - 1)
    }

    /// The leaf and the lane.
    #[inline(always)]
    fn place(self) -> (usize, usize) {
        let slot = self.0 as u32 as usize;
        (slot / WIDTH, slot % WIDTH)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Candidate {
    point: u32,
    /// Its slot.
    slot: u32,
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
        with_best!(lanes => self.find_many_in(lanes, at, hits));
    }

    #[inline(always)]
    fn find_many_in(&self, lanes: impl Lanes, at: &[Position], hits: &mut Hits) {
        hits.ids.clear();
        hits.ends.clear();
        for together in at.chunks(TOGETHER) {
            self.find_together(lanes, together, hits);
        }
    }

    #[inline(always)]
    fn find_together(&self, lanes: impl Lanes, at: &[Position], hits: &mut Hits) {
        let scratch = &mut hits.scratch;
        grids(at, &mut scratch.points);
        self.open_leaves(scratch);
        self.ask_leaves(lanes, at, scratch);
        self.settle(at, scratch);
        let Scratch {
            slots,
            slot_ends,
            contains,
            before,
            ..
        } = scratch;
        let start = hits.ids.len();
        let slots = &slots[..contains.len()];
        hits.ids.resize(start + slots.len() + 1, 0);
        let ids = &mut hits.ids[start..];
        before.clear();
        let mut count = 0;
        before.extend(slots.iter().zip(&*contains).map(|(slot, contains)| {
            let (leaf, lane) = slot.place();
            ids[count] = self.leaves[leaf].ids[lane];
            let before = count;
            count += usize::from(*contains);
            (start + before) as u32
        }));
        before.push((start + count) as u32);
        hits.ends.extend(slot_ends.iter().map(|end| before[*end]));
        hits.ids.truncate(start + count);
    }

    /// Finds the leaves whose boxes hold the points.
    #[inline(always)]
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
    #[inline(always)]
    fn ask_leaves(&self, lanes: impl Lanes, at: &[Position], scratch: &mut Scratch) {
        let Scratch {
            points,
            open,
            open_ends,
            slots,
            slot_ends,
            ..
        } = scratch;
        let touched = open.iter().fold(0, |all, number| all ^ self.touch(*number as usize));
        black_box(touched);
        // Room for whatever there may be, so that nobody asks for it in between.
        let room = (open.len() + 1) * WIDTH;
        slots.resize(room.max(slots.len()), Slot::default());
        slot_ends.clear();
        let (mut start, mut count) = (0, 0);
        for (point, end) in open_ends.iter().enumerate() {
            for number in &open[start..*end] {
                let number = *number as usize;
                let leaf = &self.leaves[number];
                let (maybe, surely) = self.holding(lanes, number, points[point]);
                let polygons = leaf.polygons();
                let slot = Slot::of(point, number);
                let waiting = maybe & !surely & polygons;
                count = append::<2, 4, _>(slots, count, surely | waiting, |lane| slot.lane(lane, waiting));
                for lane in bits(maybe & !surely & !polygons) {
                    if self.circle_contains(number, lane as usize, points[point], at[point]) {
                        slots[count] = slot.lane(lane as usize, 0);
                        count += 1;
                    }
                }
            }
            start = *end;
            slot_ends.push(count);
        }
    }

    /// Finds out which of the shapes contain their point.
    #[inline(always)]
    fn settle(&self, at: &[Position], scratch: &mut Scratch) {
        let Scratch {
            slots,
            slot_ends,
            contains,
            candidates,
            seen,
            fine,
            unclear,
            closer,
            ..
        } = scratch;
        let count = slot_ends.last().copied().unwrap_or_default();
        let slots = &slots[..count];
        contains.clear();
        contains.extend(slots.iter().map(|slot| u8::from(!slot.is_waiting())));
        if self.glances.is_empty() {
            return;
        }
        candidates.clear();
        candidates.resize(count + 1, Candidate::default());
        let mut waiting = 0;
        for (number, slot) in slots.iter().enumerate() {
            candidates[waiting].slot = number as u32;
            waiting += usize::from(slot.is_waiting());
        }
        candidates.truncate(waiting);
        for candidate in &mut *candidates {
            let slot = slots[candidate.slot as usize];
            let (leaf, lane) = slot.place();
            candidate.point = slot.point() as u32;
            candidate.polygon = self.polygon(leaf, lane);
        }
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
            for (candidate, seen) in candidates.iter().zip(&mut *seen) {
                let at = at[candidate.point as usize];
                if is_ambiguous(at) {
                    *seen = Seen::found(self.polygons[candidate.polygon as usize].contains(at));
                }
            }
        }
        for (candidate, seen) in candidates.iter().zip(seen) {
            contains[candidate.slot as usize] = u8::from(seen.is_inside());
        }
    }
}

/// Leaves in `unclear` those of which what was seen says nothing.
#[inline(always)]
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
