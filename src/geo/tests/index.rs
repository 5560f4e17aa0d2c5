use proptest::prelude::*;

use crate::geo::{GeofenceIndex, Position, Shape, distance_m, testing::anywhere};

/// Circles and polygons of all sizes, everywhere; polygons cross the antimeridian and come near the poles.
fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let circle = (anywhere(), 1.0..6.0_f64).prop_map(|(center, size)| Shape::circle(center, 10f64.powf(size)).unwrap());
    let spokes = prop::collection::vec(0.2..1.0_f64, 3..12);
    let polygon = (anywhere(), -3.0..1.5_f64, spokes).prop_filter_map("valid", |(center, size, spokes)| {
        let step = std::f64::consts::TAU / spokes.len() as f64;
        let mut ring: Vec<[f64; 2]> = spokes
            .iter()
            .enumerate()
            .map(|(index, length)| {
                let (sin, cos) = (step * index as f64).sin_cos();
                let reach = 10f64.powf(size) * length;
                let latitude = (center.latitude + sin * reach).clamp(-90.0, 90.0);
                [center.longitude + cos * reach, latitude]
            })
            .collect();
        ring.push(ring[0]);
        Shape::polygon(vec![ring]).ok()
    });
    prop::collection::vec(prop_oneof![circle, polygon], 0..60)
}

/// Half of the points anywhere, half at the centres of shapes.
fn probes(shapes: &[Shape], points: &[Position]) -> Vec<Position> {
    let centers = shapes.iter().map(|shape| shape.enclosing_circle().0);
    points.iter().copied().chain(centers).collect()
}

proptest! {
    #[test]
    fn containing_is_brute_force(shapes in shapes(), points in prop::collection::vec(anywhere(), 40)) {
        let index = GeofenceIndex::build(shapes.clone());
        prop_assert_eq!(index.len(), shapes.len());
        let mut found = vec![77];
        for point in probes(&shapes, &points) {
            index.containing(point, &mut found);
            let expected: Vec<u32> = (0_u32..).zip(&shapes).filter(|(_, shape)| shape.contains(point)).map(|(id, _)| id).collect();
            prop_assert_eq!(&found, &expected, "{:?}", point);
        }
    }

    #[test]
    fn nearest_is_brute_force(shapes in shapes(), points in prop::collection::vec(anywhere(), 10), k in 0..25_usize) {
        let index = GeofenceIndex::build(shapes.clone());
        for point in probes(&shapes, &points) {
            let mut expected: Vec<(u32, f64)> = (0_u32..)
                .zip(&shapes)
                .map(|(id, shape)| {
                    let (center, radius) = shape.enclosing_circle();
                    (id, radius - distance_m(center, point))
                })
                .collect();
            expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            expected.truncate(k);
            prop_assert_eq!(index.nearest(point, k), expected, "{:?}", point);
        }
    }

    #[test]
    fn what_contains_a_point_has_it_in_its_enclosing_circle(shapes in shapes(), points in prop::collection::vec(anywhere(), 40)) {
        for point in probes(&shapes, &points) {
            for shape in shapes.iter().filter(|shape| shape.contains(point)) {
                let (center, radius) = shape.enclosing_circle();
                prop_assert!(distance_m(center, point) <= radius, "{:?} {:?}", shape, point);
            }
        }
    }
}

#[test]
fn an_empty_index_finds_nothing() {
    let index = GeofenceIndex::build(Vec::new());
    let mut found = vec![1];
    let at = Position::new(0.0, 0.0).unwrap();
    index.containing(at, &mut found);
    assert!(found.is_empty() && index.is_empty() && index.nearest(at, 3).is_empty());
}
