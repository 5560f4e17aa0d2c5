//! Geometry on the WGS84 ellipsoid, pure.

use serde::{Deserialize, Serialize};

/// A point on the Earth, in degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// -90 to 90.
    pub latitude: f64,
    /// -180 to 180.
    pub longitude: f64,
}

/// A circle or polygons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shape;
