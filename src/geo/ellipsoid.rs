//! The WGS84 ellipsoid: geodesic distance, earth-centred coordinates, and bounds between the two.

use std::sync::LazyLock;

use geographiclib_rs::{Geodesic, InverseGeodesic};

use super::Position;

/// Equatorial radius in metres (NGA.STND.0036, the definition of WGS84).
pub(super) const A: f64 = 6_378_137.0;
/// Flattening (the same source).
const F: f64 = 1.0 / 298.257_223_563;
/// Polar radius in metres.
const B: f64 = A * (1.0 - F);
/// Square of the first eccentricity.
pub(super) const E2: f64 = F * (2.0 - F);
/// Smallest radius of curvature of any normal section, in metres: the meridian's at the equator, b^2 / a.
pub(super) const CURVATURE_RADIUS_MIN_M: f64 = B * B / A;
/// Longest geodesic distance on Earth, rounded up: half the equator, in metres.
const DISTANCE_M_MAX: f64 = std::f64::consts::PI * A;

static WGS84: LazyLock<Geodesic> = LazyLock::new(Geodesic::wgs84);

/// Length in metres of the shortest path over the ellipsoid (Karney 2013, by `geographiclib`; good to 15 nm).
pub fn distance_m(a: Position, b: Position) -> f64 {
    WGS84.inverse(a.latitude, a.longitude, b.latitude, b.longitude)
}

/// Earth-centred, earth-fixed coordinates in metres of a point on the ellipsoid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ecef(pub [f64; 3]);

impl From<Position> for Ecef {
    /// The textbook conversion at height 0; good to some nanometres.
    fn from(position: Position) -> Self {
        let (sin_lat, cos_lat) = position.latitude.to_radians().sin_cos();
        let (sin_lon, cos_lon) = position.longitude.to_radians().sin_cos();
        let normal = A / (1.0 - E2 * sin_lat * sin_lat).sqrt();
        Self([
            normal * cos_lat * cos_lon,
            normal * cos_lat * sin_lon,
            normal * (1.0 - E2) * sin_lat,
        ])
    }
}

impl Ecef {
    /// Length of the straight line through the Earth, in metres.
    pub fn chord_m(self, other: Self) -> f64 {
        self.chord_squared(other).sqrt()
    }

    pub(super) fn chord_squared(self, other: Self) -> f64 {
        let [x, y, z] = [0, 1, 2].map(|axis| self.0[axis] - other.0[axis]);
        x * x + y * y + z * z
    }
}

/// The longest that a geodesic over a chord of that many metres can be.
///
/// By Schur's comparison theorem a curve that bends less than a circle of radius rho spans at least that circle's
/// chord, so s <= 2 rho asin(c / 2 rho) with rho the smallest radius of curvature.
pub(super) fn distance_bound_m(chord_m: f64) -> f64 {
    let ratio = chord_m / (2.0 * CURVATURE_RADIUS_MIN_M);
    if ratio < 1.0 {
        2.0 * CURVATURE_RADIUS_MIN_M * ratio.asin()
    } else {
        DISTANCE_M_MAX
    }
}

/// Metres in a degree of (latitude, longitude) at that latitude in degrees.
pub(super) fn metres_per_degree(latitude: f64) -> (f64, f64) {
    let (sin, cos) = latitude.to_radians().sin_cos();
    let w2 = 1.0 - E2 * sin * sin;
    let normal = A / w2.sqrt();
    let meridian = normal * (1.0 - E2) / w2;
    (meridian.to_radians(), (normal * cos).to_radians())
}

/// How far, in metres, a line that is straight in longitude and latitude can lie from the chord between its ends, for
/// ends that differ by these degrees.
///
/// A curve r(t), 0 <= t <= 1, is never farther from its chord than max |r''| / 8; here |r''| is at most
/// a (dlon + dlat)^2, with 2 % for the ellipsoid.
pub(super) fn sag_m(dlon: f64, dlat: f64) -> f64 {
    let turn = (dlon.abs() + dlat.abs()).to_radians();
    1.02 * A * turn * turn / 8.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::geo::testing::anywhere;

    proptest! {
        #[test]
        fn chord_and_bound_enclose_the_geodesic(a in anywhere(), b in anywhere()) {
            let (chord, exact) = (Ecef::from(a).chord_m(Ecef::from(b)), distance_m(a, b));
            prop_assert!(chord <= exact + 1e-7, "{chord} {exact}");
            prop_assert!(exact <= distance_bound_m(chord) + 1e-7, "{exact} {}", distance_bound_m(chord));
        }

        #[test]
        fn a_degree_is_as_long_as_the_geodesic_says(latitude in -89.0..89.0_f64, longitude in -180.0..179.0_f64) {
            let at = Position { latitude, longitude };
            let (lat_m, lon_m) = metres_per_degree(at.latitude);
            let north = Position { latitude: at.latitude + 1e-4, ..at };
            let east = Position { longitude: at.longitude + 1e-4, ..at };
            prop_assert!((distance_m(at, north) / (lat_m * 1e-4) - 1.0).abs() < 1e-4);
            prop_assert!((distance_m(at, east) / (lon_m * 1e-4) - 1.0).abs() < 1e-4);
        }
    }

    #[test]
    fn axes_of_the_ellipsoid() {
        let at = |latitude, longitude| Ecef::from(Position { latitude, longitude });
        assert!(at(0.0, 0.0).chord_m(Ecef([A, 0.0, 0.0])) < 1e-8);
        assert!(at(0.0, 90.0).chord_m(Ecef([0.0, A, 0.0])) < 1e-8);
        assert!(at(-90.0, 33.0).chord_m(Ecef([0.0, 0.0, -B])) < 1e-8);
    }
}
