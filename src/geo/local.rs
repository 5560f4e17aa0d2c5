//! Distances from one place to many near it, without a sine for each.

use super::{
    Position, distance_m,
    ellipsoid::{A, E2, Ecef},
};

/// Farthest difference of latitude, in radians, for which the series below are good to a rounding error.
const LATITUDE_MAX: f64 = 0.02;
/// The same for half the difference of longitude.
const HALF_LONGITUDE_MAX: f64 = 0.05;
/// Longest chord that is turned into a geodesic by a series, in metres; the error stays below a micrometre.
const CHORD_M_MAX: f64 = 20_000.0;

/// A place, with what the distances from it need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local {
    position: Position,
    sin_lat: f64,
    cos_lat: f64,
    /// Distance from the axis, in metres.
    axial_m: f64,
    /// Distance from the equator's plane, in metres.
    height_m: f64,
    /// Curvature along the meridian and across it, in 1 / square metres, each squared and divided by 24.
    bend_lat: f64,
    bend_lon: f64,
}

/// The two parts of a squared chord, in square metres.
struct Chord {
    /// Along the meridian.
    lat: f64,
    /// Across it.
    lon: f64,
}

impl Local {
    pub(super) fn new(position: Position) -> Self {
        let (sin_lat, cos_lat) = position.latitude.to_radians().sin_cos();
        let w2 = 1.0 - E2 * sin_lat * sin_lat;
        let normal_m = A / w2.sqrt();
        let meridian_m = normal_m * (1.0 - E2) / w2;
        Self {
            position,
            sin_lat,
            cos_lat,
            axial_m: normal_m * cos_lat,
            height_m: normal_m * (1.0 - E2) * sin_lat,
            bend_lat: 1.0 / (24.0 * meridian_m * meridian_m),
            bend_lon: 1.0 / (24.0 * normal_m * normal_m),
        }
    }

    /// The square of the straight line to `other`, in square metres; the line is good to some nanometres.
    pub(super) fn chord_squared(&self, other: Position) -> f64 {
        self.near_chord(other).map_or_else(
            || Ecef::from(self.position).chord_squared(Ecef::from(other)),
            |chord| chord.lat + chord.lon,
        )
    }

    /// The geodesic to `other` in metres: within a micrometre near by, to the nanometre far away.
    pub(super) fn distance_m(&self, other: Position) -> f64 {
        if let Some(chord) = self.near_chord(other) {
            let squared = chord.lat + chord.lon;
            if squared <= CHORD_M_MAX * CHORD_M_MAX {
                // s = c + c^3 / 24 R^2 with Euler's 1 / R = cos^2 / M + sin^2 / N, which barely differs squared.
                let chord_m = squared.sqrt();
                return chord_m + chord_m * (chord.lat * self.bend_lat + chord.lon * self.bend_lon);
            }
        }
        distance_m(self.position, other)
    }

    /// With p and z the distances from the axis and the equator's plane: c^2 = dp^2 + dz^2 + 4 p p' sin^2(dlon / 2).
    /// Sines and cosines of the small differences are their series. `None` for what is too far.
    fn near_chord(&self, other: Position) -> Option<Chord> {
        let lat = (other.latitude - self.position.latitude).to_radians();
        let mut degrees = other.longitude - self.position.longitude;
        if degrees.abs() > 180.0 {
            degrees -= 360.0_f64.copysign(degrees);
        }
        let half_lon = degrees.to_radians() / 2.0;
        if lat.abs() > LATITUDE_MAX || half_lon.abs() > HALF_LONGITUDE_MAX {
            return None;
        }
        let (lat2, lon2) = (lat * lat, half_lon * half_lon);
        let sin = lat * (1.0 - lat2 / 6.0 * (1.0 - lat2 / 20.0 * (1.0 - lat2 / 42.0)));
        let cos = 1.0 - lat2 / 2.0 * (1.0 - lat2 / 12.0 * (1.0 - lat2 / 30.0));
        let sin_half_lon = half_lon * (1.0 - lon2 / 6.0 * (1.0 - lon2 / 20.0 * (1.0 - lon2 / 42.0)));
        let sin_lat = self.sin_lat * cos + self.cos_lat * sin;
        let cos_lat = self.cos_lat * cos - self.sin_lat * sin;
        let normal_m = A / (1.0 - E2 * sin_lat * sin_lat).sqrt();
        let axial_m = normal_m * cos_lat;
        let (dp, dz) = (axial_m - self.axial_m, normal_m * (1.0 - E2) * sin_lat - self.height_m);
        Some(Chord {
            lat: dp * dp + dz * dz,
            lon: 4.0 * axial_m * self.axial_m * sin_half_lon * sin_half_lon,
        })
    }
}

#[cfg(test)]
mod tests {
    use geographiclib_rs::{DirectGeodesic, Geodesic};
    use proptest::prelude::*;

    use super::*;
    use crate::geo::testing::anywhere;

    proptest! {
        #[test]
        fn near_by_a_micrometre_is_kept(at in anywhere(), azimuth in 0.0..360.0, exponent in -3.0..5.3_f64) {
            let metres = 10f64.powf(exponent);
            let (lat, lon) = Geodesic::wgs84().direct(at.latitude, at.longitude, azimuth, metres);
            let other = Position::wrapped(lat, lon);
            let local = Local::new(at);
            let exact = distance_m(at, other);
            prop_assert!((local.distance_m(other) - exact).abs() < 1e-6, "{} {}", local.distance_m(other), exact);
            let chord_m = Ecef::from(at).chord_m(Ecef::from(other));
            prop_assert!((local.chord_squared(other).sqrt() - chord_m).abs() < 2e-8);
        }
    }
}
