use geo::Intersects as _;
use proptest::prelude::*;

use crate::geo::{Position, Shape, distance_m, testing::anywhere};

type Ring = Vec<[f64; 2]>;

fn at(longitude: f64, latitude: f64) -> Position {
    Position::new(latitude, longitude).unwrap()
}

fn closed(mut ring: Ring) -> Ring {
    ring.push(ring[0]);
    ring
}

fn rectangle(west: f64, south: f64, east: f64, north: f64) -> Ring {
    closed(vec![[west, south], [east, south], [east, north], [west, north]])
}

/// A star-shaped ring on a grid of 1/8 degree, so that points on its edges are hit exactly.
fn star() -> impl Strategy<Value = Ring> {
    let spokes = prop::collection::vec(1.0..10.0_f64, 4..40);
    (spokes, -160.0..160.0_f64, -70.0..70.0_f64).prop_filter_map("has an area", |(spokes, x, y)| {
        let step = std::f64::consts::TAU / spokes.len() as f64;
        let grid = |value: f64| (value * 8.0).round() / 8.0;
        let ring = spokes
            .iter()
            .enumerate()
            .map(|(index, length)| {
                let (sin, cos) = (step * index as f64).sin_cos();
                [grid(x + cos * length), grid(y + sin * length)]
            })
            .collect();
        let ring = closed(ring);
        Shape::polygon(vec![ring.clone()]).is_ok().then_some(ring)
    })
}

fn as_geo(ring: &Ring) -> geo::Polygon {
    let line = ring.iter().map(|[x, y]| geo::coord! {x: *x, y: *y}).collect();
    geo::Polygon::new(line, Vec::new())
}

fn moved(ring: &Ring, by: f64) -> Ring {
    let wrap = |x: f64| if x > 180.0 { x - 360.0 } else { x };
    ring.iter().map(|[x, y]| [wrap(x + by), *y]).collect()
}

proptest! {
    #[test]
    fn inside_is_what_geo_says(ring in star(), points in prop::collection::vec((-88_i32..=88, -88_i32..=88), 64)) {
        let shape = Shape::polygon(vec![ring.clone()]).unwrap();
        let oracle = as_geo(&ring);
        let [x, y] = ring[0];
        for (dx, dy) in points {
            let (x, y) = (x - x.fract() + f64::from(dx) / 8.0, (y - y.fract() + f64::from(dy) / 8.0).clamp(-90.0, 90.0));
            prop_assume!(x.abs() <= 180.0);
            prop_assert_eq!(shape.contains(at(x, y)), oracle.intersects(&geo::coord! {x: x, y: y}), "{} {}", x, y);
        }
    }

    #[test]
    fn winding_and_longitude_change_nothing(ring in star(), share in 0.0..1.0_f64, radius in 0.0..10.0_f64) {
        let [x, y] = ring[0];
        let (sin, cos) = (share * std::f64::consts::TAU).sin_cos();
        let (x, y) = (x + radius * cos, (y + radius * sin).clamp(-90.0, 90.0));
        prop_assume!(x.abs() <= 180.0);
        let expected = as_geo(&ring).intersects(&geo::coord! {x: x, y: y});
        let reversed = Shape::polygon(vec![ring.iter().rev().copied().collect()]).unwrap();
        prop_assert_eq!(reversed.contains(at(x, y)), expected);
        for by in [45.0, 90.0, 180.0] {
            let shape = Shape::polygon(vec![moved(&ring, by)]).unwrap();
            let x = if x + by > 180.0 { x + by - 360.0 } else { x + by };
            prop_assert_eq!(shape.contains(at(x, y)), expected, "moved by {}", by);
        }
    }

    #[test]
    fn every_vertex_and_every_middle_is_inside(ring in star()) {
        for by in [0.0, 180.0] {
            let ring = moved(&ring, by);
            let shape = Shape::polygon(vec![ring.clone()]).unwrap();
            for edge in ring.windows(2) {
                prop_assert!(shape.contains(at(edge[0][0], edge[0][1])));
                if (edge[0][0] - edge[1][0]).abs() < 180.0 {
                    let middle = at(f64::midpoint(edge[0][0], edge[1][0]), f64::midpoint(edge[0][1], edge[1][1]));
                    prop_assert!(shape.contains(middle));
                    prop_assert!(shape.signed_distance_m(middle).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn the_enclosing_circle_holds_the_polygon(ring in star(), by in prop::sample::select(vec![0.0, 180.0]), share in 0.0..=1.0_f64) {
        let ring = moved(&ring, by);
        let (center, radius) = Shape::polygon(vec![ring.clone()]).unwrap().enclosing_circle();
        for edge in ring.windows(2) {
            let [[ax, ay], [bx, by]] = [edge[0], edge[1]];
            prop_assume!((ax - bx).abs() < 180.0);
            let point = at(ax + share * (bx - ax), ay + share * (by - ay));
            prop_assert!(distance_m(center, point) <= radius);
        }
    }
}

#[test]
fn a_hole_is_outside_and_its_boundary_inside() {
    let shape = Shape::polygon(vec![rectangle(0.0, 0.0, 9.0, 9.0), rectangle(3.0, 3.0, 6.0, 6.0)]).unwrap();
    assert!(shape.contains(at(1.0, 1.0)));
    assert!(!shape.contains(at(4.0, 4.0)));
    assert!(shape.contains(at(3.0, 4.0)));
    assert!(shape.contains(at(6.0, 6.0)));
    assert!(shape.contains(at(9.0, 4.5)));
    assert!(!shape.contains(at(9.000_000_000_000_002, 4.5)));
}

/// Looking for the outline of each hole, or at the whole antimeridian for each edge along it, would take minutes.
#[test]
fn many_holes_and_many_cuts_come_to_an_end() {
    let holes = std::iter::repeat_n(rectangle(1.0, 1.0, 9.0, 9.0), 60_000);
    let rings = [rectangle(0.0, 0.0, 10.0, 10.0)].into_iter().chain(holes).collect();
    let polygon = Shape::polygon(rings).unwrap();
    assert!(!polygon.contains(at(5.0, 5.0)) && polygon.contains(at(0.5, 5.0)));
    let count = 120_000;
    let zigzag = (0..count).map(|index| {
        let longitude = if index % 2 == 0 { 179.0 } else { -179.0 };
        [longitude, 80.0 * f64::from(index) / f64::from(count)]
    });
    let cut = Shape::polygon(vec![closed(zigzag.collect())]).unwrap();
    assert!(cut.signed_distance_m(at(0.0, 40.0)) < -1_000_000.0);
}

/// The point is in the first polygon, which the second one's hole changes nothing about.
#[test]
fn a_hole_is_only_its_own_polygons() {
    let hollow = |west: f64| vec![rectangle(west, 0.0, west + 30.0, 30.0), rectangle(1.0, 1.0, 9.0, 9.0)];
    for (polygons, inside) in [
        (vec![vec![rectangle(0.0, 0.0, 10.0, 10.0)], hollow(0.0)], true),
        (vec![hollow(0.0), hollow(-1.0)], false),
        (vec![vec![rectangle(0.0, 0.0, 10.0, 10.0)], hollow(20.0)], true),
        (vec![hollow(0.0), vec![rectangle(0.0, 0.0, 10.0, 10.0)]], true),
    ] {
        let shape = Shape::multi_polygon(polygons.clone()).unwrap();
        assert_eq!(shape.contains(at(5.0, 5.0)), inside, "{polygons:?}");
    }
}

#[test]
fn five_centimetres_from_an_edge_decide() {
    let shape = Shape::polygon(vec![rectangle(8.53, 47.35, 8.55, 47.37)]).unwrap();
    let degrees = 0.05 / 111_200.0;
    for (latitude, inside) in [(47.35 + degrees, true), (47.35 - degrees, false)] {
        let point = at(8.54, latitude);
        assert_eq!(shape.contains(point), inside);
        let distance = shape.signed_distance_m(point);
        assert!((distance.abs() - 0.05).abs() < 1e-4, "{distance}");
        assert_eq!(distance > 0.0, inside);
    }
}

#[test]
fn a_cut_polygon_and_an_uncut_one_are_the_same() {
    let uncut = Shape::polygon(vec![closed(vec![[170.0, 0.0], [-170.0, 10.0], [170.0, 10.0]])]).unwrap();
    let beyond = Shape::polygon(vec![closed(vec![[170.0, 0.0], [190.0, 10.0], [170.0, 10.0]])]).unwrap();
    let before = Shape::polygon(vec![closed(vec![[-190.0, 0.0], [-170.0, 10.0], [-190.0, 10.0]])]).unwrap();
    let cut = Shape::multi_polygon(vec![
        vec![closed(vec![[170.0, 0.0], [180.0, 5.0], [180.0, 10.0], [170.0, 10.0]])],
        vec![closed(vec![[-180.0, 5.0], [-170.0, 10.0], [-180.0, 10.0]])],
    ])
    .unwrap();
    for (x, y) in (0..=80).flat_map(|x| (0..=44).map(move |y| (x, y))) {
        let x = 169.0 + f64::from(x) / 4.0;
        let point = at(if x > 180.0 { x - 360.0 } else { x }, f64::from(y) / 4.0);
        let expected = uncut.contains(point);
        for shape in [&beyond, &before, &cut] {
            assert_eq!(shape.contains(point), expected, "{point:?}");
        }
    }
    assert!(uncut.contains(at(180.0, 7.0)) && uncut.contains(at(-180.0, 7.0)));
    let (center, radius) = cut.enclosing_circle();
    assert!(center.longitude > 170.0 || center.longitude < -170.0, "{center:?}");
    assert!(radius < 2_000_000.0, "{radius}");
}

#[test]
fn a_ring_round_a_pole_holds_it() {
    for sign in [1.0, -1.0] {
        let round = |latitude: f64| closed((-3..3).map(|n| [60.0 * f64::from(n) + 17.0, sign * latitude]).collect());
        let cap = Shape::polygon(vec![round(80.0)]).unwrap();
        let annulus = Shape::polygon(vec![round(80.0), round(85.0)]).unwrap();
        for longitude in [-180.0, -163.0, 0.0, 17.0, 33.3, 180.0] {
            assert!(cap.contains(at(longitude, sign * 90.0)));
            assert!(cap.contains(at(longitude, sign * 85.5)));
            assert!(cap.contains(at(longitude, sign * 80.0)));
            assert!(!cap.contains(at(longitude, sign * 79.9)));
            assert!(!cap.contains(at(longitude, sign * -85.0)));
            assert!(annulus.contains(at(longitude, sign * 82.0)));
            assert!(annulus.contains(at(longitude, sign * 85.0)));
            assert!(!annulus.contains(at(longitude, sign * 85.5)));
            assert!(!annulus.contains(at(longitude, sign * 90.0)));
        }
        let (center, radius) = cap.enclosing_circle();
        assert_eq!(center.latitude, sign * 90.0);
        assert!(radius > 1_116_000.0 && radius < 1_118_000.0, "{radius}");
    }
}

#[test]
fn a_pole_on_the_boundary_is_at_every_longitude() {
    let wedge = Shape::polygon(vec![closed(vec![[0.0, 80.0], [30.0, 80.0], [15.0, 90.0]])]).unwrap();
    assert!(wedge.contains(at(-120.0, 90.0)));
    assert!(!wedge.contains(at(-120.0, 89.9)));
    let flat = closed(vec![
        [-180.0, -90.0],
        [180.0, -90.0],
        [180.0, -70.0],
        [0.0, -65.0],
        [-180.0, -70.0],
    ]);
    let antarctica = Shape::polygon(vec![flat]).unwrap();
    for longitude in [-180.0, 0.0, 77.0, 180.0] {
        assert!(antarctica.contains(at(longitude, -90.0)));
        assert!(antarctica.contains(at(longitude, -75.0)));
        assert!(!antarctica.contains(at(longitude, -60.0)));
    }
}

#[test]
fn the_whole_world_is_a_shape() {
    let world = Shape::polygon(vec![rectangle(-180.0, -90.0, 180.0, 90.0)]).unwrap();
    for point in [
        at(0.0, 0.0),
        at(180.0, 0.0),
        at(-180.0, 45.0),
        at(33.0, 90.0),
        at(33.0, -90.0),
    ] {
        assert!(world.contains(point));
    }
    let (_, radius) = world.enclosing_circle();
    assert!(radius > 20_003_900.0);
}

/// A star of some hundred metres to some kilometres, and a point up to 20 km off.
fn small_star() -> impl Strategy<Value = (Ring, Position)> {
    let spokes = prop::collection::vec(0.001..0.05_f64, 3..12);
    let offset = (-0.2..0.2_f64, -0.2..0.2_f64);
    (spokes, anywhere(), offset).prop_filter_map("away from the poles", |(spokes, center, (dx, dy))| {
        let Position { latitude, longitude } = center;
        if latitude.abs() > 80.0 || longitude.abs() > 179.0 {
            return None;
        }
        let step = std::f64::consts::TAU / spokes.len() as f64;
        let stretch = 1.0 / latitude.to_radians().cos();
        let spoke = |(index, length): (usize, &f64)| {
            let (sin, cos) = (step * index as f64).sin_cos();
            [longitude + cos * length * stretch, latitude + sin * length]
        };
        let ring = closed(spokes.iter().enumerate().map(spoke).collect());
        let point = Position::new(latitude + dy, longitude + dx * stretch.min(4.0)).ok()?;
        Shape::polygon(vec![ring.clone()]).is_ok().then_some((ring, point))
    })
}

proptest! {
    #[test]
    fn the_distance_to_the_edge_is_good_to_half_a_percent((ring, point) in small_star()) {
        let steps = 200;
        let mut nearest = f64::INFINITY;
        for edge in ring.windows(2) {
            let [[ax, ay], [bx, by]] = [edge[0], edge[1]];
            for step in 0..=steps {
                let share = f64::from(step) / f64::from(steps);
                nearest = nearest.min(distance_m(point, at(ax + share * (bx - ax), ay + share * (by - ay))));
            }
        }
        let shape = Shape::polygon(vec![ring]).unwrap();
        let distance = shape.signed_distance_m(point);
        prop_assert_eq!(distance > 0.0, shape.contains(point));
        // The sampled distance is itself too long, by less than a step.
        prop_assert!(distance.abs() <= nearest * 1.005 + 1e-6, "{} {}", distance, nearest);
        prop_assert!(distance.abs() >= nearest - 60.0, "{} {}", distance, nearest);
    }
}
