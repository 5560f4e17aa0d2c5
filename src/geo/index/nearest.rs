//! The nearest shapes: the most promising node first, until nothing that is left can be nearer.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{
    GeofenceIndex,
    grid::{UNIT_M, grid},
    node::WIDTH,
    search::bits,
};
use crate::geo::{Position, local::Local};

/// Nodes by the least distance that anything in them may have; a level of 0 means a leaf.
#[derive(Debug, Default)]
struct Queue(BinaryHeap<Reverse<u64>>);

impl Queue {
    const NUMBER_BITS: u32 = 28;

    fn push(&mut self, distance_m: f32, level: usize, number: usize) {
        // The order of floats, negative ones included, as that of whole numbers.
        let bits = distance_m.to_bits();
        let ordered = if distance_m.is_sign_negative() {
            !bits
        } else {
            bits | 1 << 31
        };
        let rest = (level as u64) << Self::NUMBER_BITS | number as u64;
        self.0.push(Reverse(u64::from(ordered) << 32 | rest));
    }

    fn pop(&mut self) -> Option<(f32, usize, usize)> {
        let Reverse(item) = self.0.pop()?;
        let ordered = (item >> 32) as u32;
        let bits = if ordered >> 31 == 0 {
            !ordered
        } else {
            ordered & !(1 << 31)
        };
        let level = (item >> Self::NUMBER_BITS) as usize & 0xF;
        let number = item as usize & ((1 << Self::NUMBER_BITS) - 1);
        Some((f32::from_bits(bits), level, number))
    }
}

/// What may be among the best. Metres to the edge, negative inside.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    least_m: f32,
    most_m: f32,
    leaf: u32,
    lane: u32,
}

/// Candidates, of which the worst are left out from time to time.
struct Candidates {
    list: Vec<Candidate>,
    k: usize,
    /// What is surely farther than this isn't among the best.
    limit_m: f32,
    /// Length at which the list is shortened.
    full: usize,
}

impl Candidates {
    fn push(&mut self, candidate: Candidate) {
        self.list.push(candidate);
        if self.list.len() >= self.full {
            let by_most = |a: &Candidate, b: &Candidate| a.most_m.total_cmp(&b.most_m);
            let (_, kth, _) = self.list.select_nth_unstable_by(self.k - 1, by_most);
            self.limit_m = kth.most_m;
            let limit_m = self.limit_m;
            self.list.retain(|candidate| candidate.least_m <= limit_m);
            self.full = self.list.len() + self.k.max(WIDTH);
        }
    }
}

impl GeofenceIndex {
    /// First in single precision, with bounds to both sides; what is left at the end is measured over the ellipsoid.
    pub(super) fn find_nearest(&self, at: Position, k: usize) -> Vec<(u32, f64)> {
        let k = k.min(self.len());
        if k == 0 {
            return Vec::new();
        }
        let point = grid(at);
        let mut candidates = Candidates {
            list: Vec::with_capacity(2 * k + WIDTH),
            k,
            limit_m: f32::INFINITY,
            full: k,
        };
        let mut queue = Queue::default();
        for root in 0..self.roots() {
            queue.push(f32::NEG_INFINITY, self.levels.len(), root as usize);
        }
        while let Some((distance_m, level, number)) = queue.pop() {
            if distance_m > candidates.limit_m {
                break;
            }
            if level > 0 {
                let nodes = &self.levels[level - 1];
                for (lane, units) in nodes[number].distances(point).into_iter().enumerate() {
                    let distance_m = units * (UNIT_M as f32) - 0.03;
                    if units < f32::INFINITY && distance_m <= candidates.limit_m {
                        queue.push(distance_m, level - 1, number * WIDTH + lane);
                    }
                }
                continue;
            }
            let leaf = &self.leaves[number];
            let (least_m, most_m) = leaf.distances_m(point);
            for lane in bits(leaf.present()) {
                let lane = lane as usize;
                if least_m[lane] <= candidates.limit_m {
                    candidates.push(Candidate {
                        least_m: least_m[lane],
                        most_m: most_m[lane],
                        leaf: number as u32,
                        lane: lane as u32,
                    });
                }
            }
        }
        let local = Local::new(at);
        let limit_m = candidates.limit_m;
        let measured = candidates
            .list
            .iter()
            .filter(|candidate| candidate.least_m <= limit_m)
            .map(|candidate| {
                let (leaf, lane) = (candidate.leaf as usize, candidate.lane as usize);
                let (center, radius_m) = self.enclosing_circle(leaf, lane);
                (self.leaves[leaf].ids[lane], radius_m - local.distance_m(center))
            });
        let mut best: Vec<(u32, f64)> = measured.collect();
        best.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        best.truncate(k);
        best
    }
}
