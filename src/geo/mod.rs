//! Geometry on the WGS84 ellipsoid, pure: positions, shapes, and the index that finds the shapes at a position.
//!
//! Circles are judged by the true geodesic distance, polygons by straight edges in longitude and latitude (RFC 7946
//! section 3.1.1), as every map draws them. A point on the boundary is inside.

mod circle;
mod cut;
mod ellipsoid;
#[expect(
    clippy::inline_always,
    reason = "what is asked for each point is compiled for several sets of instructions, and only what is inlined is"
)]
mod index;
mod local;
#[expect(
    clippy::inline_always,
    reason = "what is asked for each point is compiled for several sets of instructions, and only what is inlined is"
)]
mod polygons;
mod position;
mod shape;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod unwrap;
pub mod validity;
mod zone;

pub use cut::Cut;
pub use ellipsoid::{Ecef, distance_m};
pub use index::{GeofenceIndex, Hits, LonLatBox};
pub use polygons::Polygons;
pub use position::{Position, PositionError};
pub use shape::{RADIUS_M_MAX, RingAt, RingProblem, Shape, ShapeError, VERTICES_MAX};
pub use zone::zone_name;
