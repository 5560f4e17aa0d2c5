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
impl Shape {
    pub fn enclosing_circle(&self) -> (Position, f64) {
        todo!()
    }
    pub fn signed_distance_m(&self, _: Position) -> f64 {
        todo!()
    }
}
#[derive(Default)]
pub struct GeofenceIndex;
impl GeofenceIndex {
    pub fn build<'a>(_: impl Iterator<Item = &'a Shape>) -> Self {
        todo!()
    }
    pub fn containing(&self, _: Position, _: &mut Vec<u32>) {}
}
