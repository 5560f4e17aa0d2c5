//! Builds the tree: sorts the balls along a curve and packs them, sixteen to a leaf and sixteen to a node.

use std::sync::Arc;

use super::{
    GeofenceIndex,
    grid::{Bounds, UNIT_M, grid, place_on_curve},
    leaf::{Ball, Leaf, is_odd},
    node::{Child, Node, WIDTH},
};
use crate::geo::{Polygons, Position, Shape, ellipsoid::Ecef};

/// Added to each ball against rounding, in units.
const MARGIN_UNITS: f64 = 4.0;

struct Entry {
    position: Position,
    ball: Ball,
}

pub(super) fn pack(shapes: impl IntoIterator<Item = Shape>) -> GeofenceIndex {
    let shapes = shapes.into_iter();
    let mut entries = Vec::with_capacity(shapes.size_hint().0);
    let mut order: Vec<(u64, u32)> = Vec::with_capacity(shapes.size_hint().0);
    let mut all_polygons: Vec<Arc<Polygons>> = Vec::new();
    // Of each polygon, by its number in `all_polygons`.
    let mut polygon_numbers: Vec<(u32, u32)> = Vec::new();
    for (id, shape) in (0_u32..).zip(shapes) {
        let (position, radius_m) = shape.enclosing_circle();
        let ecef = Ecef::from(position);
        order.push((place_on_curve(ecef, radius_m), id));
        let ball = Ball {
            center: grid(ecef),
            radius_m,
            id,
            is_polygon: matches!(shape, Shape::Polygons(_)),
        };
        entries.push(Entry { position, ball });
        if let Shape::Polygons(shared) = shape {
            polygon_numbers.push((id, all_polygons.len() as u32));
            all_polygons.push(shared);
        }
    }
    order.sort_unstable();

    let mut index = GeofenceIndex {
        leaves: Vec::with_capacity(entries.len().div_ceil(WIDTH)),
        levels: Vec::new(),
        places: Vec::with_capacity(entries.len()),
        polygons: Vec::with_capacity(all_polygons.len()),
        odd_radii_m: Vec::new(),
    };
    let mut children = Vec::with_capacity(index.leaves.capacity());
    let mut balls = Vec::with_capacity(WIDTH);
    for chunk in order.chunks(WIDTH) {
        let (first_polygon, first_odd_radius) = (index.polygons.len() as u32, index.odd_radii_m.len() as u32);
        balls.clear();
        let mut all = Child::NOTHING;
        for (_, id) in chunk {
            let Entry { position, ball } = &entries[*id as usize];
            index.places.push(*position);
            if ball.is_polygon {
                let number = polygon_numbers.partition_point(|(polygon, _)| polygon < id);
                index.polygons.push(Arc::clone(&all_polygons[number]));
            } else if is_odd(ball.radius_m) {
                index.odd_radii_m.push(ball.radius_m);
            }
            let reach = ball.radius_m / UNIT_M * (1.0 + 1e-6) + MARGIN_UNITS;
            all = all.join(Child {
                bounds: Bounds::of_ball(ball.center, reach),
                reach,
            });
            balls.push(*ball);
        }
        index.leaves.push(Leaf::new(&balls, first_polygon, first_odd_radius));
        children.push(all);
    }
    index.odd_radii_m.shrink_to_fit();
    while children.len() > 1 {
        index.levels.push(children.chunks(WIDTH).map(Node::new).collect());
        children = children
            .chunks(WIDTH)
            .map(|chunk| chunk.iter().fold(Child::NOTHING, |all, child| all.join(*child)))
            .collect();
    }
    index
}
