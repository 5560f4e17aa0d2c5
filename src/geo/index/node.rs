//! Inner nodes: the boxes of sixteen children, rounded outwards to 16 bits.

use super::grid::{Bounds, Grid};

/// Children of a node, and balls in a leaf.
pub(super) const WIDTH: usize = 16;

/// Sixteen boxes in steps of 2^`shift` units from `origin`, each axis by itself; one that isn't there is inside out.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Node {
    min: [[i16; WIDTH]; 3],
    max: [[i16; WIDTH]; 3],
    /// The largest radius among a child's balls, in steps, rounded up.
    reach: [u16; WIDTH],
    origin: Grid,
    shift: u32,
}

/// A child to be: its box, and the largest radius among its balls in units.
#[derive(Debug, Clone, Copy)]
pub(super) struct Child {
    pub(super) bounds: Bounds,
    pub(super) reach: f64,
}

impl Child {
    pub(super) const NOTHING: Self = Self {
        bounds: Bounds::NOTHING,
        reach: 0.0,
    };

    pub(super) fn join(self, other: Self) -> Self {
        Self {
            bounds: self.bounds.join(other.bounds),
            reach: self.reach.max(other.reach),
        }
    }
}

/// Stored steps are 0 to 65,535 less this.
const BIAS: i64 = 32_768;

impl Node {
    /// A node of up to sixteen children.
    pub(super) fn new(children: &[Child]) -> Self {
        let all = children.iter().fold(Child::NOTHING, |all, child| all.join(*child));
        let origin = all.bounds.min;
        let widest = [0, 1, 2]
            .map(|axis| i64::from(all.bounds.max[axis]) - i64::from(origin[axis]))
            .into_iter()
            .max()
            .unwrap_or(0);
        let shift = (0..=16).find(|shift| widest >> shift <= 65_535).unwrap_or(16);
        let mut node = Self {
            min: [[i16::MAX; WIDTH]; 3],
            max: [[i16::MIN; WIDTH]; 3],
            reach: [0; WIDTH],
            origin,
            shift,
        };
        for (lane, child) in children.iter().enumerate() {
            for (axis, start) in origin.into_iter().enumerate() {
                let steps = |value: i32| (((i64::from(value) - i64::from(start)) >> shift) - BIAS) as i16;
                node.min[axis][lane] = steps(child.bounds.min[axis]);
                node.max[axis][lane] = steps(child.bounds.max[axis]);
            }
            node.reach[lane] = (child.reach / f64::from(1_u32 << shift)).ceil() as u16;
        }
        node
    }

    /// Which children's boxes meet the box, a bit for each.
    pub(super) fn meeting_box(&self, bounds: &Bounds) -> u32 {
        let (mut from, mut to) = ([0_i16; 3], [0_i16; 3]);
        for axis in 0..3 {
            let steps = |value: i32| (i64::from(value) - i64::from(self.origin[axis])) >> self.shift;
            let (min, max) = (steps(bounds.min[axis]), steps(bounds.max[axis]));
            if max < 0 || min > 65_535 {
                return 0;
            }
            from[axis] = (min.max(0) - BIAS) as i16;
            to[axis] = (max.min(65_535) - BIAS) as i16;
        }
        self.meeting(from, to)
    }

    #[inline]
    #[expect(
        clippy::needless_bitwise_bool,
        reason = "a branch would keep the loop from vectorising"
    )]
    fn meeting(&self, from: [i16; 3], to: [i16; 3]) -> u32 {
        let mut bits = [0_u16; WIDTH];
        for (lane, bit) in bits.iter_mut().enumerate() {
            let meets = (self.min[0][lane] <= to[0])
                & (from[0] <= self.max[0][lane])
                & (self.min[1][lane] <= to[1])
                & (from[1] <= self.max[1][lane])
                & (self.min[2][lane] <= to[2])
                & (from[2] <= self.max[2][lane]);
            *bit = if meets { 1 << lane } else { 0 };
        }
        u32::from(bits.iter().fold(0, |all, bit| all | bit))
    }

    /// For each child a lower bound of the distance from the point to the surface of any of its balls, in units,
    /// negative when the point may be inside one. Far more for a child that isn't there.
    #[inline]
    #[expect(clippy::needless_range_loop, reason = "several arrays go in step")]
    pub(super) fn distances(&self, point: Grid) -> [f32; WIDTH] {
        let step = (1_u32 << self.shift) as f32;
        let mut squared = [0_f32; WIDTH];
        for axis in 0..3 {
            let at = ((i64::from(point[axis]) - i64::from(self.origin[axis])) as f32) / step - BIAS as f32;
            for lane in 0..WIDTH {
                // The box ends with the step that `max` names.
                let below = f32::from(self.min[axis][lane]) - at;
                let above = at - (f32::from(self.max[axis][lane]) + 1.0);
                let gap = below.max(above).max(0.0);
                squared[lane] += gap * gap;
            }
        }
        let mut distances = [0_f32; WIDTH];
        for lane in 0..WIDTH {
            let outside = squared[lane].sqrt() * 0.999_999 - 0.02;
            let inside = -f32::from(self.reach[lane]);
            // Within a tenth of a step, rounding might hide that the point is in the box.
            let steps = if squared[lane] > 0.01 {
                outside.max(inside)
            } else {
                inside
            };
            let is_there = self.min[0][lane] <= self.max[0][lane];
            distances[lane] = if is_there { steps * step } else { f32::INFINITY };
        }
        distances
    }
}
