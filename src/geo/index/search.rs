//! What contains a point.

use std::hint::black_box;

use super::{
    GeofenceIndex,
    faces::Spot,
    grid::{Grid, grid},
    lanes::{Lanes, with_best},
    leaf::{Verdict, judge},
    node::WIDTH,
};
use crate::geo::{Position, circle, polygons::Seen, unwrap::Vertex};

/// A polygon that may contain the point.
#[derive(Debug, Clone, Copy, Default)]
struct Waiting {
    id: u32,
    polygon: u32,
}

/// Polygons that are looked at together.
const WAITING: usize = 16;

/// Leaves that are looked at together.
const OPEN: usize = 32;

impl GeofenceIndex {
    pub(super) fn find_one(&self, at: Position, found: &mut Vec<u32>) {
        with_best!(lanes => self.find_one_in(lanes, at, found));
    }

    #[inline(always)]
    fn find_one_in(&self, lanes: impl Lanes, at: Position, found: &mut Vec<u32>) {
        found.clear();
        let point = grid(at);
        let mut waiting = [Waiting::default(); WAITING];
        let mut count = 0;
        let mut open = [0; OPEN];
        for list in self.cells.find(Spot::of(point)).parts(OPEN) {
            let leaves = list.holding(&mut open);
            let touched = open[..leaves]
                .iter()
                .fold(0, |all, number| all ^ self.touch(*number as usize));
            black_box(touched);
            // Room for whatever there may be, so that nobody asks for it in between.
            let mut found_count = found.len();
            found.resize(found_count + (leaves + 1) * WIDTH, 0);
            for number in &open[..leaves] {
                let number = *number as usize;
                let leaf = &self.leaves[number];
                let (maybe, surely) = self.holding(lanes, number, point);
                let polygons = leaf.polygons();
                found_count = append::<4, 4, _>(found, found_count, surely, |lane| leaf.ids[lane]);
                for lane in bits(maybe & !surely & !polygons) {
                    if self.circle_contains(number, lane as usize, point, at) {
                        found[found_count] = leaf.ids[lane as usize];
                        found_count += 1;
                    }
                }
                for lane in bits(maybe & !surely & polygons) {
                    if count == WAITING {
                        found.truncate(found_count);
                        self.find_waiting(&waiting, at, found);
                        found_count = found.len();
                        found.resize(found_count + (leaves + 1) * WIDTH, 0);
                        count = 0;
                    }
                    waiting[count] = Waiting {
                        id: leaf.ids[lane as usize],
                        polygon: self.polygon(number, lane as usize),
                    };
                    count += 1;
                }
            }
            found.truncate(found_count);
        }
        self.find_waiting(&waiting[..count], at, found);
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
        let mut seen = [Seen::default(); WAITING];
        for (seen, waiting) in seen.iter_mut().zip(waiting) {
            *seen = self.glances[waiting.polygon as usize].look(point);
        }
        for (seen, waiting) in seen.into_iter().zip(waiting) {
            if seen.is_inside() || (seen.is_unclear() && self.contains_unclear(waiting.polygon, seen, point)) {
                found.push(waiting.id);
            }
        }
    }

    /// Whether the polygon contains a point of which its small picture says nothing.
    fn contains_unclear(&self, polygon: u32, seen: Seen, point: Vertex) -> bool {
        let glance = &self.glances[polygon as usize];
        let seen = glance.look_closer(glance.fine_cell(seen), seen);
        if seen.is_unclear() {
            self.polygons[polygon as usize].contains_mixed(point)
        } else {
            seen.is_inside()
        }
    }

    pub(super) fn circle_contains(&self, number: usize, lane: usize, point: Grid, at: Position) -> bool {
        if self.odd_radii[number].number(lane).is_none() {
            match self.leaves[number].judge(lane, self.radii_m[number][lane], point) {
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
}

/// Whether pictures must not be asked: at a pole and on the antimeridian, which are in several places.
#[inline(always)]
pub(super) fn is_ambiguous(at: Position) -> bool {
    (at.latitude.abs() == 90.0) | (at.longitude.abs() == 180.0)
}

/// The numbers of the bits that are set, ascending.
#[inline(always)]
pub(super) fn bits(mut mask: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (mask != 0).then(|| mask.trailing_zeros())?;
        mask &= mask - 1;
        Some(bit)
    })
}

/// Puts what `of` makes of each of these lanes from place `count` on, and tells how many there are then. The first `N` take
/// no branch, nor do the next `M` together. There must be room for `N + M` and for as many as there are lanes.
#[inline(always)]
pub(super) fn append<const N: usize, const M: usize, T: Copy>(
    list: &mut [T],
    mut count: usize,
    mut lanes: u32,
    of: impl Fn(usize) -> T,
) -> usize {
    let mut take = |most: usize| {
        for _ in 0..most {
            list[count] = of(lanes.trailing_zeros() as usize & 15);
            count += usize::from(lanes != 0);
            lanes &= lanes.wrapping_sub(1);
        }
        lanes != 0
    };
    if take(N) {
        while take(M) {}
    }
    count
}
