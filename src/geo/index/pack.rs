//! Builds the tree: sorts the balls along a curve and packs them, sixteen to a leaf and sixteen to a node.

use std::sync::Arc;

use super::{
    GeofenceIndex,
    cells::{Cells, Patches},
    grid::{Bounds, PLACE_BITS, UNIT_M, grids, place_on_curve},
    leaf::{Ball, Leaf, OddRadii, is_odd},
    node::{Child, Node, WIDTH},
};
use crate::geo::Shape;

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

pub(super) fn pack(shapes: impl IntoIterator<Item = Shape>) -> GeofenceIndex {
    let shapes: Vec<Shape> = shapes.into_iter().collect();
    let order = sorted(&shapes);

    let leaves_max = (order.len() + order.len() / SPARE).div_ceil(WIDTH) + 2;
    let mut index = GeofenceIndex {
        count: order.len(),
        leaves: Vec::with_capacity(leaves_max),
        cores: Vec::new(),
        first_polygons: Vec::with_capacity(leaves_max),
        radii_m: Vec::with_capacity(leaves_max),
        odd_radii: Vec::with_capacity(leaves_max),
        levels: Vec::new(),
        cells: Cells::build(&Patches::default(), 0),
        places: Vec::with_capacity(leaves_max * WIDTH),
        polygons: Vec::new(),
        glances: Vec::new(),
        odd_radii_m: Vec::new(),
    };
    let mut children = Vec::with_capacity(leaves_max);
    let mut patches = Patches::with_capacity(leaves_max);
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
        if index.places.len() + WIDTH - start <= start / SPARE {
            balls.truncate(before_gap(&balls));
        }
        let first_odd_radius = index.odd_radii_m.len() as u32;
        index.first_polygons.push(index.polygons.len() as u32);
        let mut all = Child::NOTHING;
        for (ball, &(position, _)) in balls.iter().zip(circles) {
            index.places.push(position);
            match &shapes[ball.id as usize] {
                Shape::Polygons(polygons) => {
                    index.polygons.push(Arc::clone(polygons));
                    index.glances.push(polygons.glance());
                }
                Shape::Circle { .. } if is_odd(ball.radius_m) => index.odd_radii_m.push(ball.radius_m),
                Shape::Circle { .. } => {}
            }
            let reach = ball.radius_m / UNIT_M * (1.0 + 1e-6) + MARGIN_UNITS;
            all = all.join(Child {
                bounds: Bounds::of_ball(ball.center, reach),
                reach,
            });
        }
        let leaf = index.leaves.len() as u32;
        patches.add(leaf, balls.iter().map(|ball| (ball.center, ball.radius_m / UNIT_M)));
        index.leaves.push(Leaf::new(&balls));
        let mut radii_m = [0.0; WIDTH];
        for (radius_m, ball) in radii_m.iter_mut().zip(&balls) {
            *radius_m = ball.radius_m as f32;
        }
        index.radii_m.push(radii_m);
        index.odd_radii.push(OddRadii::new(&balls, first_odd_radius));
        children.push(all);
        start += balls.len();
        // A leaf's places begin at a multiple of its width.
        let padding = circles[0].0;
        index.places.resize(index.leaves.len() * WIDTH, padding);
    }
    index.cells = Cells::build(&patches, index.leaves.len());
    drop(patches);
    if !index.polygons.is_empty() {
        let polygons = index
            .first_polygons
            .iter()
            .map(|first| &index.polygons[*first as usize..]);
        let cores = index.leaves.iter().zip(polygons).map(|(leaf, polygons)| {
            let inscribed = polygons.iter().map(|polygons| polygons.inscribed_m());
            leaf.cores(inscribed)
        });
        index.cores = cores.collect();
    }
    index.leaves.shrink_to_fit();
    index.first_polygons.shrink_to_fit();
    index.radii_m.shrink_to_fit();
    index.odd_radii.shrink_to_fit();
    index.places.shrink_to_fit();
    index.odd_radii_m.shrink_to_fit();
    index.polygons.shrink_to_fit();
    index.glances.shrink_to_fit();
    while children.len() > ROOTS_MAX {
        index.levels.push(children.chunks(WIDTH).map(Node::new).collect());
        children = children
            .chunks(WIDTH)
            .map(|chunk| chunk.iter().fold(Child::NOTHING, |all, child| all.join(*child)))
            .collect();
    }
    index
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
fn sorted(shapes: &[Shape]) -> Vec<u32> {
    let number_bits = usize::BITS - shapes.len().leading_zeros();
    let dropped = (PLACE_BITS + number_bits).saturating_sub(u64::BITS);
    let mut keys: Vec<u64> = Vec::with_capacity(shapes.len());
    let (mut positions, mut centers) = (Vec::with_capacity(GATHERED), Vec::with_capacity(GATHERED));
    for shapes in shapes.chunks(GATHERED) {
        positions.clear();
        positions.extend(shapes.iter().map(|shape| shape.enclosing_circle().0));
        grids(&positions, &mut centers);
        for (shape, center) in shapes.iter().zip(&centers) {
            let place = place_on_curve(*center, shape.enclosing_circle().1);
            keys.push((place >> dropped) << number_bits | keys.len() as u64);
        }
    }
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
