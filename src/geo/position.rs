//! A point on the Earth.

use serde::{Deserialize, Serialize};

/// A point on the Earth, in degrees (WGS84). Deserialising checks the ranges.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Position {
    /// -90 to 90.
    pub latitude: f64,
    /// -180 to 180.
    pub longitude: f64,
}

/// Why two numbers are no position.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PositionError {
    /// Not a finite number in -90 to 90.
    #[error("latitude {0:?} is not in -90 to 90")]
    Latitude(f64),
    /// Not a finite number in -180 to 180.
    #[error("longitude {0:?} is not in -180 to 180")]
    Longitude(f64),
}

#[derive(Deserialize)]
struct Unchecked {
    latitude: f64,
    longitude: f64,
}

impl TryFrom<Unchecked> for Position {
    type Error = PositionError;
    fn try_from(raw: Unchecked) -> Result<Self, PositionError> {
        Self::new(raw.latitude, raw.longitude)
    }
}

impl Position {
    /// Takes a latitude in -90 to 90 and a longitude in -180 to 180 degrees; the error names the first that is not.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, PositionError> {
        if !(-90.0..=90.0).contains(&latitude) {
            return Err(PositionError::Latitude(latitude));
        }
        if !(-180.0..=180.0).contains(&longitude) {
            return Err(PositionError::Longitude(longitude));
        }
        Ok(Self { latitude, longitude })
    }

    /// The position at any longitude, taken round the Earth into -180 to 180; the latitude is cut at the poles. For
    /// results of computations; what comes from outside goes through [`Position::new`].
    pub(super) fn wrapped(latitude: f64, longitude: f64) -> Self {
        let longitude = if (-180.0..=180.0).contains(&longitude) {
            longitude
        } else {
            (longitude + 180.0).rem_euclid(360.0) - 180.0
        };
        Self {
            latitude: latitude.clamp(-90.0, 90.0),
            longitude,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_the_field() {
        assert!(Position::new(90.0, -180.0).is_ok());
        assert!(matches!(
            Position::new(f64::NAN, 0.0),
            Err(PositionError::Latitude(value)) if value.is_nan()
        ));
        assert_eq!(
            Position::new(0.0, 180.000_000_1),
            Err(PositionError::Longitude(180.000_000_1))
        );
        let error = serde_json::from_str::<Position>(r#"{"latitude": 91, "longitude": 0}"#).unwrap_err();
        assert!(error.to_string().starts_with("latitude 91.0 is not in"), "{error}");
    }
}
