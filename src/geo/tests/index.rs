use proptest::prelude::*;

use crate::geo::{GeofenceIndex, Hits, LonLatBox, Position, Shape, distance_m, testing::anywhere};

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
            found.sort_unstable();
            let expected: Vec<u32> = (0_u32..).zip(&shapes).filter(|(_, shape)| shape.contains(point)).map(|(id, _)| id).collect();
            prop_assert_eq!(&found, &expected, "{:?}", point);
        }
    }

    #[test]
    fn nearest_is_brute_force(shapes in shapes(), points in prop::collection::vec(anywhere(), 10), k in 0..25_usize) {
        let index = GeofenceIndex::build(shapes.clone());
        for point in probes(&shapes, &points) {
            let depth = |shape: &Shape| {
                let (center, radius) = shape.enclosing_circle();
                radius - distance_m(center, point)
            };
            let mut expected: Vec<f64> = shapes.iter().map(depth).collect();
            expected.sort_by(|a, b| b.total_cmp(a));
            expected.truncate(k);
            let nearest = index.nearest(point, k);
            prop_assert_eq!(nearest.len(), expected.len());
            for ((id, metres), expected) in nearest.iter().zip(expected) {
                prop_assert!((metres - expected).abs() < 2e-6, "{} {} {:?}", metres, expected, point);
                prop_assert!((metres - depth(&shapes[*id as usize])).abs() < 1e-6);
            }
            for pair in nearest.windows(2) {
                prop_assert!(pair[0].1 > pair[1].1 || pair[0].1 == pair[1].1 && pair[0].0 < pair[1].0);
            }
        }
    }

    #[test]
    fn a_batch_is_one_by_one(shapes in shapes(), points in prop::collection::vec(anywhere(), 0..90)) {
        let index = GeofenceIndex::build(shapes.clone());
        let points = probes(&shapes, &points);
        let mut hits = Hits::default();
        for _ in 0..2 {
            index.containing_batch(&points, &mut hits);
            prop_assert_eq!(hits.iter().len(), points.len());
            let mut found = Vec::new();
            for (number, point) in points.iter().enumerate() {
                index.containing(*point, &mut found);
                found.sort_unstable();
                let mut together = hits.of(number).to_vec();
                together.sort_unstable();
                prop_assert_eq!(together, &found[..]);
            }
            prop_assert!(hits.of(points.len()).is_empty());
        }
    }

    #[test]
    fn near_is_brute_force(shapes in shapes(), points in prop::collection::vec(anywhere(), 10), size in -1.0..7.3_f64) {
        let index = GeofenceIndex::build(shapes.clone());
        let reach = if size < 0.0 { 0.0 } else { 10f64.powf(size) };
        let mut found = vec![7];
        for point in probes(&shapes, &points) {
            let is_near = |shape: &Shape| {
                let (center, radius) = shape.enclosing_circle();
                distance_m(point, center) - radius <= reach
            };
            let expected: Vec<u32> = (0_u32..).zip(&shapes).filter(|(_, shape)| is_near(shape)).map(|(id, _)| id).collect();
            index.near(point, reach, &mut found);
            prop_assert_eq!(&found, &expected, "{:?}", point);
        }
    }

}

/// Where faces of the cube round the Earth meet, at poles, and in a face.
fn towns() -> impl Strategy<Value = Position> {
    let latitude = prop_oneof![
        Just(45.0),
        Just(35.264_39),
        Just(-35.264_39),
        Just(89.9),
        Just(-89.9),
        Just(12.0)
    ];
    let longitude = prop_oneof![Just(45.0), Just(-45.0), Just(135.0), Just(-179.99), Just(7.0)];
    (latitude, longitude).prop_map(|(latitude, longitude)| Position { latitude, longitude })
}

/// Somewhere within a few kilometres.
fn beside(town: Position, [north, east]: [f64; 2]) -> Position {
    let latitude = (town.latitude + north).clamp(-90.0, 90.0);
    let longitude = town.longitude + east / latitude.to_radians().cos().max(1e-3);
    let longitude = (longitude + 540.0).rem_euclid(360.0) - 180.0;
    Position { latitude, longitude }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn thousands_in_a_town_are_found_like_few(
        town in towns(),
        shifts in prop::collection::vec(prop::array::uniform2(-0.05..0.05_f64), 2_000),
        sizes in prop::collection::vec(1.0..3.5_f64, 2_000),
        points in prop::collection::vec(prop::array::uniform2(-0.06..0.06_f64), 60),
        large in prop::collection::vec((anywhere(), 5.0..6.0_f64), 0..400),
    ) {
        let towns = shifts.iter().zip(&sizes).map(|(shift, size)| (beside(town, *shift), *size));
        let shapes: Vec<Shape> = towns
            .chain(large)
            .map(|(center, size)| Shape::circle(center, 10f64.powf(size)).unwrap())
            .collect();
        let index = GeofenceIndex::build(shapes.clone());
        prop_assert!(index.memory_bytes() <= 60 * shapes.len(), "{}", index.memory_bytes());
        let mut found = Vec::new();
        for point in points.into_iter().map(|shift| beside(town, shift)) {
            index.containing(point, &mut found);
            found.sort_unstable();
            let expected: Vec<u32> = (0_u32..).zip(&shapes).filter(|(_, shape)| shape.contains(point)).map(|(id, _)| id).collect();
            prop_assert_eq!(&found, &expected, "{:?}", point);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_touches_a_box_is_found(shapes in shapes(), a in anywhere(), b in anywhere()) {
        let index = GeofenceIndex::build(shapes.clone());
        let (south, north) = (a.latitude.min(b.latitude), a.latitude.max(b.latitude));
        let area = LonLatBox { west: a.longitude, south, east: b.longitude, north };
        let mut found = Vec::new();
        index.within_box(&area, &mut found);
        prop_assert!(found.is_sorted());
        let east = if a.longitude <= b.longitude { b.longitude } else { b.longitude + 360.0 };
        for (id, shape) in (0_u32..).zip(&shapes) {
            let (center, radius) = shape.enclosing_circle();
            // A close grid over the box, which is never nearer than the box itself.
            let steps = 20;
            let mut nearest = f64::INFINITY;
            for (x, y) in (0..=steps).flat_map(|x| (0..=steps).map(move |y| (x, y))) {
                let share = |from: f64, to: f64, step: i32| from + (to - from) * f64::from(step) / f64::from(steps);
                let (longitude, latitude) = (share(area.west, east, x), share(south, north, y).clamp(-90.0, 90.0));
                let longitude = if longitude > 180.0 { longitude - 360.0 } else { longitude };
                nearest = nearest.min(distance_m(center, Position { latitude, longitude }));
            }
            let is_found = found.contains(&id);
            prop_assert!(is_found || nearest > radius, "{:?} {:?} {:?}", area, shape, nearest);
            let step_m = 112_000.0 * ((north - south) + (east - area.west)) / f64::from(steps);
            prop_assert!(!is_found || nearest <= radius + step_m + 1.0, "{:?} {:?} {:?}", area, shape, nearest);
        }
    }

}

proptest! {
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
