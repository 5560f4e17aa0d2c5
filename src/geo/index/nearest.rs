//! The nearest shapes: the most promising node first, until nothing that is left can be nearer.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{
    GeofenceIndex,
    grid::{UNIT_M, grid},
    node::WIDTH,
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

/// The best so far, best first.
struct Best {
    list: Vec<(u32, f64)>,
    k: usize,
    /// What is farther than this from its edge isn't among the best. Metres, rounded up.
    limit_m: f32,
}

impl Best {
    fn offer(&mut self, id: u32, depth_m: f64) {
        let place = self
            .list
            .partition_point(|(other, depth)| *depth > depth_m || (*depth == depth_m && *other < id));
        if place >= self.k {
            return;
        }
        self.list.truncate(self.k - 1);
        self.list.insert(place, (id, depth_m));
        if self.list.len() == self.k {
            self.limit_m = (-self.list[self.k - 1].1) as f32;
            self.limit_m = self.limit_m.next_up();
        }
    }
}

impl GeofenceIndex {
    pub(super) fn find_nearest(&self, at: Position, k: usize) -> Vec<(u32, f64)> {
        let k = k.min(self.len());
        let mut best = Best {
            list: Vec::with_capacity(k),
            k,
            limit_m: f32::INFINITY,
        };
        if k == 0 {
            return best.list;
        }
        let point = grid(at);
        let local = Local::new(at);
        let mut queue = Queue::default();
        for root in 0..self.roots() {
            queue.push(f32::NEG_INFINITY, self.levels.len(), root as usize);
        }
        while let Some((distance_m, level, number)) = queue.pop() {
            if distance_m > best.limit_m {
                break;
            }
            if level > 0 {
                let nodes = &self.levels[level - 1];
                for (lane, units) in nodes[number].distances(point).into_iter().enumerate() {
                    let distance_m = units * (UNIT_M as f32) - 0.03;
                    if units < f32::INFINITY && distance_m <= best.limit_m {
                        queue.push(distance_m, level - 1, number * WIDTH + lane);
                    }
                }
                continue;
            }
            let leaf = &self.leaves[number];
            for (lane, distance_m) in leaf.distances_m(point).into_iter().enumerate() {
                if distance_m <= best.limit_m {
                    let (center, radius_m) = self.enclosing_circle(number, lane);
                    best.offer(leaf.ids[lane], radius_m - local.distance_m(center));
                }
            }
        }
        best.list
    }
}
