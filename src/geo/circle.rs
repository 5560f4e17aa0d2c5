//! Whether a point is within a geodesic radius: filtered by the chord, decided by the geodesic.

use super::{
    Position, distance_m,
    ellipsoid::{Ecef, distance_bound_m},
};

/// Rounding of chords and of the geodesic together stays far below this, in metres.
const MARGIN_M: f64 = 1e-6;

/// A point, with the coordinates that the filter needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Located {
    pub(super) position: Position,
    pub(super) ecef: Ecef,
}

impl From<Position> for Located {
    fn from(position: Position) -> Self {
        Self {
            position,
            ecef: Ecef::from(position),
        }
    }
}

/// Whether the geodesic distance is at most `radius_m`.
///
/// No geodesic is shorter than its chord, nor longer than [`distance_bound_m`]; only what lies between the two (a few
/// micrometres for small circles, 100 m at a radius of 500 km) needs the geodesic itself.
pub(super) fn contains(center: Located, radius_m: f64, point: Located) -> bool {
    let chord_m = center.ecef.chord_m(point.ecef);
    if chord_m > radius_m + MARGIN_M {
        return false;
    }
    if distance_bound_m(chord_m) + MARGIN_M <= radius_m {
        return true;
    }
    distance_m(center.position, point.position) <= radius_m
}

#[cfg(test)]
mod tests {
    use geographiclib_rs::{DirectGeodesic, Geodesic};
    use proptest::prelude::*;

    use super::*;
    use crate::geo::testing::anywhere;

    /// The point that lies so many metres off in that direction.
    fn at_distance(center: Position, azimuth: f64, distance: f64) -> Position {
        let (lat, lon) = Geodesic::wgs84().direct(center.latitude, center.longitude, azimuth, distance);
        Position::wrapped(lat, lon)
    }

    proptest! {
        #[test]
        fn five_centimetres_decide(center in anywhere(), azimuth in 0.0..360.0, exponent in 0.5..6.0_f64) {
            let radius = 10f64.powf(exponent);
            let inner = at_distance(center, azimuth, radius - 0.05);
            let outer = at_distance(center, azimuth, radius + 0.05);
            prop_assert!(contains(center.into(), radius, inner.into()));
            prop_assert!(!contains(center.into(), radius, outer.into()));
        }

        #[test]
        fn at_the_edge_the_answer_is_the_geodesic(center in anywhere(), azimuth in 0.0..360.0, exponent in 0.5..6.0_f64, off in -2e-6..2e-6) {
            let radius = 10f64.powf(exponent);
            let point = at_distance(center, azimuth, radius + off);
            prop_assert_eq!(contains(center.into(), radius, point.into()), distance_m(center, point) <= radius);
        }

        #[test]
        fn another_implementation_agrees(center in anywhere(), azimuth in 0.0..360.0, exponent in 0.5..6.0_f64, share in 0.0..2.0_f64) {
            use geo::VincentyDistance as _;
            prop_assume!((share - 1.0).abs() > 1e-3);
            let radius = 10f64.powf(exponent);
            let point = at_distance(center, azimuth, radius * share);
            let [a, b] = [center, point].map(|at| geo::Point::new(at.longitude, at.latitude));
            if let Ok(distance) = a.vincenty_distance(&b) {
                prop_assert_eq!(contains(center.into(), radius, point.into()), distance <= radius);
            }
        }
    }

    #[test]
    fn poles_and_the_antimeridian_are_places_like_others() {
        let pole = Position::new(90.0, 17.0).unwrap();
        for longitude in [-180.0, -90.0, 0.0, 163.0] {
            let near = Position::new(89.999, longitude).unwrap();
            assert!(contains(pole.into(), 112.0, near.into()));
            assert!(!contains(pole.into(), 111.0, near.into()));
        }
        let west = Position::new(0.0, 179.9995).unwrap();
        let east = Position::new(0.0, -179.9995).unwrap();
        assert!(contains(west.into(), 112.0, east.into()));
        assert!(!contains(west.into(), 111.0, east.into()));
    }

    #[test]
    fn a_point_is_within_any_radius_of_itself() {
        let at = Position::new(47.3, 8.5).unwrap();
        assert!(contains(at.into(), 1e-3, at.into()));
    }
}
