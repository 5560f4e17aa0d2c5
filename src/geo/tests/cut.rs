//! Cutting at the antimeridian: against the uncut reading, and against itself.

use proptest::prelude::*;

use crate::geo::{Cut, Polygons, Position, ShapeError, VERTICES_MAX, testing::anywhere};

type Ring = Vec<[f64; 2]>;
type Coordinates = Vec<Vec<Ring>>;

fn closed(mut ring: Ring) -> Ring {
    ring.push(ring[0]);
    ring
}

fn at(longitude: f64, latitude: f64) -> Position {
    Position::new(latitude, longitude).unwrap()
}

fn stored(polygons: &Polygons) -> Coordinates {
    polygons
        .coordinates()
        .map(|rings| rings.map(<[[f64; 2]]>::to_vec).collect())
        .collect()
}

fn assert_settled(polygons: &Polygons) {
    let coordinates = stored(polygons);
    let again = Polygons::new(coordinates.clone()).unwrap();
    assert_eq!(stored(&again), coordinates);
    assert_eq!(again.was_cut(), None);
    assert_eq!(Polygons::restore(coordinates.clone()).unwrap(), *polygons);
    for (number, ring) in coordinates.iter().flat_map(|rings| rings.iter().enumerate()) {
        assert!(ring.iter().all(|[x, y]| x.abs() <= 180.0 && y.abs() <= 90.0));
        assert_eq!(ring.first(), ring.last());
        let area: f64 = ring
            .windows(2)
            .map(|edge| edge[0][0] * edge[1][1] - edge[1][0] * edge[0][1])
            .sum();
        assert_eq!(area > 0.0, number == 0, "{ring:?}");
    }
}

/// A star round a point anywhere, and a hole of the same form, both written with longitudes from -180 to 180.
fn stars() -> impl Strategy<Value = (Ring, Ring)> {
    let spokes = prop::collection::vec(0.5..1.0_f64, 3..30);
    (spokes, -25.0..25.0_f64, -60.0..60.0_f64, 0.1..30.0_f64).prop_map(|(spokes, off, y, size)| {
        let step = std::f64::consts::TAU / spokes.len() as f64;
        let star = |size: f64| {
            let spoke = |(index, length): (usize, &f64)| {
                let (sin, cos) = (step * index as f64).sin_cos();
                [180.0 + off + size * length * cos, y + size * length * sin]
            };
            closed(spokes.iter().enumerate().map(spoke).collect())
        };
        (star(size), star(size * 0.4))
    })
}

fn wrapped(ring: &Ring) -> Ring {
    ring.iter()
        .map(|[x, y]| [if *x > 180.0 { x - 360.0 } else { *x }, *y])
        .collect()
}

fn moved(ring: &Ring, by: f64) -> Ring {
    ring.iter().map(|[x, y]| [x + by, *y]).collect()
}

proptest! {
    #[test]
    fn cut_is_uncut((outer, hole) in stars(), shares in prop::collection::vec((0.0..1.0_f64, 0.0..1.0_f64), 40)) {
        let cut = Polygons::new(vec![vec![wrapped(&outer), wrapped(&hole)]]).unwrap();
        assert_settled(&cut);
        // The same round longitude 0, where nothing is cut.
        let plain = Polygons::new(vec![vec![moved(&outer, -180.0), moved(&hole, -180.0)]]).unwrap();
        prop_assert_eq!(plain.was_cut(), None);
        prop_assert_eq!(cut.was_cut().is_some(), outer.iter().any(|v| v[0] > 180.0) && outer.iter().any(|v| v[0] < 180.0));
        let bounds = |axis: usize| {
            let values = || outer.iter().map(|vertex| vertex[axis]);
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
        };
        let ((west, east), (south, north)) = (bounds(0), bounds(1));
        for (x, y) in shares {
            let (x, y) = (west + (east - west) * x, south + (north - south) * y);
            let there = at(if x > 180.0 { x - 360.0 } else { x }, y);
            let here = at(x - 180.0, y);
            // A cut moves an edge by rounding errors; a place so near to one says nothing.
            if plain.edge_distance_m(here) > 1e-6 {
                prop_assert_eq!(cut.contains(there), plain.contains(here), "{:?}", there);
                let (a, b) = (cut.edge_distance_m(there), plain.edge_distance_m(here));
                prop_assert!((a - b).abs() <= 1e-6 * b + 1e-5, "the cut is an edge: {} {} {:?}", a, b, there);
            }
        }
    }

    #[test]
    fn whatever_is_accepted_is_settled(center in anywhere(), turns in prop::collection::vec((0.0..360.0_f64, 0.0..40.0_f64), 3..12)) {
        let ring = turns.iter().map(|(angle, length)| {
            let (sin, cos) = angle.to_radians().sin_cos();
            [center.longitude + 4.0 * length * cos, (center.latitude + length * sin).clamp(-90.0, 90.0)]
        });
        if let Ok(polygons) = Polygons::new(vec![vec![closed(ring.collect())]]) {
            let coordinates = stored(&polygons);
            let again = Polygons::new(coordinates.clone()).unwrap();
            prop_assert_eq!(stored(&again), coordinates);
            prop_assert_eq!(again.was_cut(), None);
        }
    }

    #[test]
    fn what_is_accepted_is_restored(rings in prop::collection::vec(prop::collection::vec((
        prop_oneof![2 => 170.0..190.0_f64, 2 => -190.0..-170.0_f64, 1 => -360.0..360.0_f64, 1 => Just(180.0), 1 => Just(-180.0)],
        prop_oneof![4 => -90.0..90.0_f64, 1 => Just(90.0), 1 => Just(0.0)],
    ), 3..40), 1..5), are_holes in any::<bool>()) {
        let rings = rings.into_iter().map(|ring| closed(ring.into_iter().map(|(x, y)| [x, y]).collect()));
        let coordinates = if are_holes { vec![rings.collect()] } else { rings.map(|ring| vec![ring]).collect() };
        if let Ok(polygons) = Polygons::new(coordinates) {
            prop_assert_eq!(Polygons::restore(stored(&polygons)), Ok(polygons));
        }
    }

    #[test]
    fn damaged_coordinates_are_an_error_or_polygons(values in prop::collection::vec(prop_oneof![
        4 => -400.0..400.0_f64, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY), 1 => Just(180.0), 1 => Just(-180.0), 1 => Just(90.0)
    ], 0..200), at in anywhere()) {
        let ring: Ring = values.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
        for ring in [ring.clone(), ring.first().map_or(ring.clone(), |_| closed(ring.clone()))] {
            if let Ok(polygons) = Polygons::restore(vec![vec![ring]]) {
                polygons.contains(at);
                polygons.edge_distance_m(at);
            }
        }
    }
}

#[test]
fn the_reason_is_told() {
    let crossing = vec![vec![closed(vec![
        [170.0, 0.0],
        [-170.0, 0.0],
        [-170.0, 9.0],
        [170.0, 9.0],
    ])]];
    let round: Ring = closed((0..6).map(|n| [f64::from(n) * 60.0 - 170.0, -75.0]).collect());
    let plain = vec![vec![closed(vec![[0.0, 0.0], [0.0, 9.0], [9.0, 9.0]])]];
    let beyond = vec![vec![closed(vec![[190.0, 0.0], [200.0, 0.0], [200.0, 9.0]])]];
    let was_cut = |coordinates: Coordinates| Polygons::new(coordinates).unwrap().was_cut();
    assert_eq!(was_cut(crossing), Some(Cut::CrossesAntimeridian));
    assert_eq!(was_cut(vec![vec![round]]), Some(Cut::EnclosesPole));
    assert_eq!(was_cut(plain.clone()), None);
    assert_eq!(was_cut(beyond), None);
    // The winding is mended without a word.
    let wound = stored(&Polygons::new(plain).unwrap());
    assert_eq!(wound, vec![vec![closed(vec![[0.0, 0.0], [9.0, 9.0], [0.0, 9.0]])]]);
}

/// Each edge crosses the antimeridian, so that the pieces have several times as many vertices.
#[test]
fn what_a_cut_makes_too_large_to_restore_is_refused() {
    let count = 800_000;
    let zigzag = (0..count).map(|index| {
        let longitude = if index % 2 == 0 { 179.0 } else { -179.0 };
        [longitude, -80.0 + 160.0 * f64::from(index) / f64::from(count)]
    });
    let refused = Polygons::new(vec![vec![closed(zigzag.collect())]]).map(|polygons| polygons.vertices());
    assert!(
        matches!(refused, Err(ShapeError::TooManyVertices(stored)) if stored > 2 * VERTICES_MAX),
        "{refused:?}"
    );
}

#[test]
fn a_hole_across_the_antimeridian_opens_both_pieces() {
    let rectangle = |west: f64, south: f64, east: f64, north: f64| {
        closed(vec![[west, south], [east, south], [east, north], [west, north]])
    };
    let polygons = Polygons::new(vec![vec![
        rectangle(170.0, -10.0, -170.0, 10.0),
        rectangle(175.0, -5.0, -175.0, 5.0),
        rectangle(171.0, -1.0, 172.0, 1.0),
    ]])
    .unwrap();
    assert_settled(&polygons);
    let rings: Vec<usize> = polygons.coordinates().map(|rings| rings.len()).collect();
    assert_eq!(rings, [1, 2]);
    for (longitude, inside) in [
        (180.0, false),
        (-180.0, false),
        (176.0, false),
        (173.0, true),
        (171.5, false),
    ] {
        assert_eq!(polygons.contains(at(longitude, 0.0)), inside, "{longitude}");
    }
    assert!(polygons.contains(at(180.0, 5.0)) && polygons.contains(at(-180.0, 7.0)));
    // Amid the cut, the nearest edge is that of the hole.
    let metres = polygons.edge_distance_m(at(180.0, 6.0));
    assert!((metres - 110_000.0).abs() < 1_000.0, "{metres}");
}

#[test]
fn a_million_vertices_are_built_in_a_second_or_so() {
    let count = 999_999;
    let ring = (0..count).map(|index| {
        let angle = std::f64::consts::TAU * f64::from(index) / f64::from(count);
        let reach = 5.0 + (41.0 * angle).sin() + if index % 2 == 0 { 0.5 } else { 0.0 };
        [reach * angle.cos(), reach * angle.sin()]
    });
    let polygons = Polygons::new(vec![vec![closed(ring.collect())]]).unwrap();
    assert!(polygons.memory_bytes() <= 20 * polygons.vertices());
    assert!(polygons.contains(at(0.0, 0.0)) && !polygons.contains(at(7.0, 0.0)));
    let star = (0..count).map(|index| {
        let reach = if index % 2 == 0 { 9.0 } else { 0.1 };
        let angle = std::f64::consts::TAU * f64::from(index) / f64::from(count);
        [reach * angle.cos(), reach * angle.sin()]
    });
    let spikes = Polygons::new(vec![vec![closed(star.collect())]]).unwrap();
    assert!(spikes.contains(at(0.0, 0.0)));
}
