use insta::assert_snapshot;
use proptest::prelude::*;

use crate::geo::{Position, RingProblem, Shape, ShapeError, VERTICES_MAX, testing::anywhere};

fn why(shape: Result<Shape, ShapeError>) -> String {
    shape.unwrap_err().to_string()
}

proptest! {
    #[test]
    fn circles_keep_their_edge_distance(center in anywhere(), radius in 1.0..1e6_f64) {
        let shape = Shape::circle(center, radius).unwrap();
        prop_assert_eq!(shape.signed_distance_m(center), radius);
        prop_assert_eq!(shape.enclosing_circle(), (center, radius));
    }

    #[test]
    fn json_round_trips(latitude in -900_000_000..900_000_000_i32, longitude in -1_800_000_000..1_800_000_000_i64, radius in 1..1_000_000_u32) {
        let degrees = |units: i64| units as f64 / 1e7;
        let (north, east) = (degrees(i64::from(latitude) / 2 + 100), degrees(longitude / 2 + 100));
        let (south, west) = (degrees(i64::from(latitude) / 2), degrees(longitude / 2));
        let (latitude, longitude) = (degrees(latitude.into()), degrees(longitude));
        let circle = Shape::circle(Position::new(latitude, longitude).unwrap(), f64::from(radius) / 10.0).unwrap();
        let ring = vec![[west, south], [east, south], [west, north], [west, south]];
        for shape in [circle, Shape::polygon(vec![ring]).unwrap()] {
            let text = serde_json::to_string(&shape).unwrap();
            let back: Shape = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&back, &shape);
        }
    }
}

#[test]
fn json_is_like_geojson() {
    let circle = Shape::circle(Position::new(47.37, 8.54).unwrap(), 100.0).unwrap();
    assert_snapshot!(
        serde_json::to_string(&circle).unwrap(),
        @r#"{"type":"Circle","center":{"latitude":47.37,"longitude":8.54},"radius":100.0}"#
    );
    let triangle = Shape::polygon(vec![vec![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]]).unwrap();
    assert_snapshot!(
        serde_json::to_string(&triangle).unwrap(),
        @r#"{"type":"MultiPolygon","coordinates":[[[[0.0,0.0],[1.0,0.0],[0.0,1.0],[0.0,0.0]]]]}"#
    );
    let polygon = r#"{"type":"Polygon","coordinates":[[[0,0],[1,0],[0,1],[0,0]]]}"#;
    assert_eq!(serde_json::from_str::<Shape>(polygon).unwrap(), triangle);
    let open = r#"{"type":"Polygon","coordinates":[[[0,0],[1,0],[0,1],[1,1]]]}"#;
    assert!(serde_json::from_str::<Shape>(open).is_err());
}

#[test]
fn errors_say_where() {
    let good = vec![[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [0.0, 0.0]];
    let hole = |ring| Shape::multi_polygon(vec![vec![good.clone()], vec![good.clone(), ring]]);
    assert_snapshot!(why(hole(vec![[1.0, 1.0], [2.0, 1.0], [1.0, 1.0]])), @"ring 1 of polygon 1 has 3 vertices, a closed ring needs at least 4");
    assert_snapshot!(why(hole(vec![[1.0, 1.0], [2.0, 1.0], [2.0, 2.0], [1.0, 2.0]])), @"ring 1 of polygon 1 is not closed: it begins at [1.0, 1.0] and ends at [1.0, 2.0]");
    assert_snapshot!(why(hole(vec![[1.0, 1.0], [2.0, 91.0], [2.0, 2.0], [1.0, 1.0]])), @"ring 1 of polygon 1 has vertex 1 outside the world, at longitude 2.0, latitude 91.0");
    assert_snapshot!(why(hole(vec![[1.0, 1.0], [2.0, f64::NAN], [2.0, 2.0], [1.0, 1.0]])), @"ring 1 of polygon 1 has vertex 1, which is not a pair of finite numbers");
    assert_snapshot!(why(hole(vec![[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [1.0, 1.0]])), @"ring 1 of polygon 1 encloses no area");
    assert_snapshot!(why(Shape::multi_polygon(vec![vec![good.clone()], vec![]])), @"polygon 1 has no ring");
    assert_snapshot!(why(Shape::multi_polygon(vec![])), @"polygon 0 has no ring");
    let center = Position::new(0.0, 0.0).unwrap();
    for radius in [0.0, -1.0, f64::NAN] {
        assert!(matches!(
            Shape::circle(center, radius),
            Err(ShapeError::RadiusNotPositive(_))
        ));
    }
    assert_eq!(Shape::circle(center, 1e308), Err(ShapeError::RadiusTooLarge(1e308)));
    let many = vec![[0.0, 0.0]; VERTICES_MAX + 1];
    assert_eq!(
        Shape::polygon(vec![many]),
        Err(ShapeError::TooManyVertices(VERTICES_MAX + 1))
    );
}

#[test]
fn a_ring_may_close_on_the_other_side_of_the_antimeridian() {
    let round = vec![[-180.0, 80.0], [-60.0, 80.0], [60.0, 80.0], [180.0, 80.0]];
    assert!(
        Shape::polygon(vec![round])
            .unwrap()
            .contains(Position::new(89.0, 5.0).unwrap())
    );
    let equator = vec![[-180.0, 0.0], [-60.0, 0.0], [60.0, 0.0], [180.0, 0.0]];
    assert!(matches!(
        Shape::polygon(vec![equator]),
        Err(ShapeError::Ring {
            problem: RingProblem::PoleAmbiguous,
            ..
        })
    ));
}
