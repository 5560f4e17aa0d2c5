//! Builds the tree: sorts the balls along a curve and packs them, sixteen to a leaf and sixteen to a node.

use std::sync::Arc;

use super::{
    GeofenceIndex,
    cells::Cells,
    grid::{Bounds, PLACE_BITS, UNIT_M, grids, place_on_curve},
    leaf::{Ball, Leaf, OddRadii, is_odd},
    node::{Child, Node, WIDTH},
    patches::Patches,
};
use crate::geo::{Polygons, Position, Shape, polygons::Glance};

/// Added to each ball against rounding, in units.
const MARGIN_UNITS: f64 = 4.0;

/// Nodes that may stand side by side at the top: asking all of them costs less than one more level.
const ROOTS_MAX: usize = 4;

/// Shapes that are read in one go: they lie all over the memory, and many reads at once wait no longer than one.
const GATHERED: usize = 16 * WIDTH;

/// One lane in so many may stay empty.
const SPARE: usize = 16;

/// How many times wider than anything else in a leaf a gap is that isn't bridged.
const GAP: f64 = 8.0;

/// Shapes that are worth a thread of their own.
const SHAPES_PER_THREAD: usize = 20_000;
/// Threads that build an index at most: others have work to do, too.
const THREADS_MAX: usize = 4;

pub(super) fn pack(shapes: impl IntoIterator<Item = Shape>) -> GeofenceIndex {
    let shapes: Vec<Shape> = shapes.into_iter().collect();
    let threads = threads(shapes.len());
    let order = sorted(&shapes, threads);
    let mut parts = on_threads(order.chunks(share(order.len(), threads)), |order| {
        Packed::pack(&shapes, order)
    })
    .into_iter();
    let mut all = parts.next().unwrap_or_default();
    for part in parts {
        all.append(part);
    }
    let Packed {
        leaves,
        first_polygons,
        radii_m,
        odd_radii,
        places,
        polygons,
        glances,
        odd_radii_m,
        mut children,
        patches,
    } = all;
    let mut cores = Vec::new();
    if !polygons.is_empty() {
        let polygons = first_polygons.iter().map(|first| &polygons[*first as usize..]);
        cores.extend(leaves.iter().zip(polygons).map(|(leaf, polygons)| {
            let inscribed = polygons.iter().map(|polygons| polygons.inscribed_m());
            leaf.cores(inscribed)
        }));
    }
    let cells = Cells::build(&patches, leaves.len());
    drop(patches);
    let mut levels = Vec::new();
    while children.len() > ROOTS_MAX {
        levels.push(children.chunks(WIDTH).map(Node::new).collect());
        children = children
            .chunks(WIDTH)
            .map(|chunk| chunk.iter().fold(Child::NOTHING, |all, child| all.join(*child)))
            .collect();
    }
    let mut index = GeofenceIndex {
        count: order.len(),
        leaves,
        cores,
        first_polygons,
        radii_m,
        odd_radii,
        levels,
        cells,
        places,
        polygons,
        glances,
        odd_radii_m,
    };
    index.shrink();
    index
}

/// On how many threads so many shapes are indexed.
fn threads(shapes: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (shapes / SHAPES_PER_THREAD).clamp(1, cores.min(THREADS_MAX))
}

/// How many of so many each thread takes.
fn share(count: usize, threads: usize) -> usize {
    count.div_ceil(threads).max(1)
}

/// Works on each part on a thread of its own, the last on this one. The results come in the order of the parts.
fn on_threads<I: Send, T: Send>(parts: impl Iterator<Item = I>, work: impl Fn(I) -> T + Sync) -> Vec<T> {
    let mut parts: Vec<I> = parts.collect();
    let Some(last) = parts.pop() else {
        return Vec::new();
    };
    std::thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = parts.into_iter().map(|part| scope.spawn(move || work(part))).collect();
        let last = work(last);
        let others = others.into_iter().map(|other| match other.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        others.chain(std::iter::once(last)).collect()
    })
}

/// The lowest level of an index, and what the others are made of.
#[derive(Default)]
struct Packed {
    leaves: Vec<Leaf>,
    first_polygons: Vec<u32>,
    radii_m: Vec<[f32; WIDTH]>,
    odd_radii: Vec<OddRadii>,
    places: Vec<Position>,
    polygons: Vec<Arc<Polygons>>,
    glances: Vec<Glance>,
    odd_radii_m: Vec<f64>,
    children: Vec<Child>,
    patches: Patches,
}

impl Packed {
    /// Puts these shapes into leaves, in this order.
    fn pack(shapes: &[Shape], order: &[u32]) -> Self {
        let leaves_max = (order.len() + order.len() / SPARE).div_ceil(WIDTH) + 2;
        let mut all = Self {
            leaves: Vec::with_capacity(leaves_max),
            first_polygons: Vec::with_capacity(leaves_max),
            radii_m: Vec::with_capacity(leaves_max),
            odd_radii: Vec::with_capacity(leaves_max),
            places: Vec::with_capacity(leaves_max * WIDTH),
            children: Vec::with_capacity(leaves_max),
            patches: Patches::with_capacity(leaves_max),
            ..Self::default()
        };
        let mut balls = Vec::with_capacity(WIDTH);
        let mut gathered = Vec::with_capacity(GATHERED);
        let (mut positions, mut centers) = (Vec::with_capacity(GATHERED), Vec::with_capacity(GATHERED));
        let (mut gathered_from, mut start) = (0, 0);
        while start < order.len() {
            let end = (start + WIDTH).min(order.len());
            if end > gathered_from + gathered.len() {
                let numbers = order[start..].iter().take(GATHERED);
                gathered.clear();
                gathered.extend(numbers.map(|id| shapes[*id as usize].enclosing_circle()));
                gathered_from = start;
                positions.clear();
                positions.extend(gathered.iter().map(|(position, _)| *position));
                grids(&positions, &mut centers);
            }
            let circles = &gathered[start - gathered_from..];
            let centers = &centers[start - gathered_from..];
            balls.clear();
            for ((&id, &(_, radius_m)), &center) in order[start..end].iter().zip(circles).zip(centers) {
                balls.push(Ball {
                    center,
                    radius_m,
                    id,
                    is_polygon: matches!(shapes[id as usize], Shape::Polygons(_)),
                });
            }
            if all.places.len() + WIDTH - start <= start / SPARE {
                balls.truncate(before_gap(&balls));
            }
            all.push(shapes, &balls, circles);
            start += balls.len();
        }
        all
    }

    /// Adds a leaf of these balls, with the circles that they stand for.
    fn push(&mut self, shapes: &[Shape], balls: &[Ball], circles: &[(Position, f64)]) {
        let first_odd_radius = self.odd_radii_m.len() as u32;
        self.first_polygons.push(self.polygons.len() as u32);
        let mut child = Child::NOTHING;
        let mut radii_m = [0.0; WIDTH];
        for (lane, (ball, &(position, _))) in balls.iter().zip(circles).enumerate() {
            self.places.push(position);
            radii_m[lane] = ball.radius_m as f32;
            match &shapes[ball.id as usize] {
                Shape::Polygons(polygons) => {
                    self.polygons.push(Arc::clone(polygons));
                    self.glances.push(polygons.glance());
                }
                Shape::Circle { .. } if is_odd(ball.radius_m) => self.odd_radii_m.push(ball.radius_m),
                Shape::Circle { .. } => {}
            }
            let reach = ball.radius_m / UNIT_M * (1.0 + 1e-6) + MARGIN_UNITS;
            child = child.join(Child {
                bounds: Bounds::of_ball(ball.center, reach),
                reach,
            });
        }
        let number = self.leaves.len() as u32;
        let patched = balls.iter().map(|ball| (ball.center, ball.radius_m / UNIT_M));
        self.patches.add(number, patched);
        self.leaves.push(Leaf::new(balls));
        self.radii_m.push(radii_m);
        self.odd_radii.push(OddRadii::new(balls, first_odd_radius));
        self.children.push(child);
        // A leaf's places begin at a multiple of its width.
        let padding = circles[0].0;
        self.places.resize(self.leaves.len() * WIDTH, padding);
    }

    /// Adds leaves that were packed elsewhere.
    fn append(&mut self, other: Self) {
        let (polygons, odd_radii) = (self.polygons.len() as u32, self.odd_radii_m.len() as u32);
        self.patches.append(other.patches, self.leaves.len() as u32);
        self.leaves.extend(other.leaves);
        self.first_polygons
            .extend(other.first_polygons.into_iter().map(|first| first + polygons));
        self.radii_m.extend(other.radii_m);
        self.odd_radii
            .extend(other.odd_radii.into_iter().map(|odd| odd.moved_by(odd_radii)));
        self.places.extend(other.places);
        self.polygons.extend(other.polygons);
        self.glances.extend(other.glances);
        self.odd_radii_m.extend(other.odd_radii_m);
        self.children.extend(other.children);
    }
}

/// How many of the balls come before a gap that is far wider than all else: what bridged it, say from one town to the
/// next, would be asked for everything between.
fn before_gap(balls: &[Ball]) -> usize {
    let (mut widest, mut second, mut before) = (0, 0, balls.len());
    for (number, pair) in (1..).zip(balls.windows(2)) {
        let across = |axis: usize| pair[0].center[axis].abs_diff(pair[1].center[axis]);
        let gap = across(0).max(across(1)).max(across(2));
        if gap > widest {
            (widest, second, before) = (gap, widest, number);
        } else {
            second = second.max(gap);
        }
    }
    let largest = balls.iter().map(|ball| ball.radius_m).fold(0.0, f64::max) / UNIT_M;
    if f64::from(widest) > GAP * (f64::from(second) + largest) {
        before
    } else {
        balls.len()
    }
}

/// Bits of a key that one pass of sorting looks at.
const DIGIT_BITS: u32 = 11;

/// The numbers of the shapes in the order of the curve.
///
/// A key is as much of a place as there is room for beside the number: some metres for a million shapes. The keys are
/// sorted digit by digit from the lowest, each pass keeping the order of the one before.
fn sorted(shapes: &[Shape], threads: usize) -> Vec<u32> {
    let number_bits = usize::BITS - shapes.len().leading_zeros();
    let dropped = (PLACE_BITS + number_bits).saturating_sub(u64::BITS);
    let mut keys: Vec<u64> = vec![0; shapes.len()];
    let share = share(shapes.len(), threads);
    let parts = (0..)
        .step_by(share)
        .zip(shapes.chunks(share))
        .zip(keys.chunks_mut(share));
    on_threads(parts, |((first, shapes), keys)| {
        let (mut positions, mut centers) = (Vec::with_capacity(GATHERED), Vec::with_capacity(GATHERED));
        let mut number = first as u64;
        for (shapes, keys) in shapes.chunks(GATHERED).zip(keys.chunks_mut(GATHERED)) {
            positions.clear();
            positions.extend(shapes.iter().map(|shape| shape.enclosing_circle().0));
            grids(&positions, &mut centers);
            for ((shape, center), key) in shapes.iter().zip(&centers).zip(keys) {
                let place = place_on_curve(*center, shape.enclosing_circle().1);
                *key = (place >> dropped) << number_bits | number;
                number += 1;
            }
        }
    });
    let differing = keys.iter().fold(0, |bits, key| bits | (key ^ keys[0]));
    let mut other = vec![0; keys.len()];
    for shift in (number_bits..u64::BITS).step_by(DIGIT_BITS as usize) {
        let mask = (1 << DIGIT_BITS) - 1;
        if differing >> shift & mask == 0 {
            continue;
        }
        let digit = |key: u64| (key >> shift & mask) as usize;
        let mut next = vec![0_usize; 1 << DIGIT_BITS];
        for key in &keys {
            next[digit(*key)] += 1;
        }
        let mut start = 0;
        for count in &mut next {
            start += std::mem::replace(count, start);
        }
        for key in &keys {
            let slot = &mut next[digit(*key)];
            other[*slot] = *key;
            *slot += 1;
        }
        std::mem::swap(&mut keys, &mut other);
    }
    let mask = (1 << number_bits) - 1;
    keys.into_iter().map(|key| (key & mask) as u32).collect()
}
