//! A circle round polygons.

use super::{raster::Bounds, rings::Rings};
use crate::geo::{
    Position, distance_m,
    ellipsoid::{A, CURVATURE_RADIUS_MIN_M, distance_bound_m, sag_m},
    local::Local,
    unwrap::Vertex,
};

/// Added to a computed radius against rounding, in metres.
const RADIUS_MARGIN_M: f64 = 1e-3;

/// The bounds of the rings; true when western longitudes are moved by 360 degrees.
///
/// That is so when no edge passes the prime meridian, and the rings span less that way.
pub(super) fn bounds(rings: &Rings) -> (Bounds, bool) {
    let nothing = Bounds {
        west: f64::INFINITY,
        east: f64::NEG_INFINITY,
        south: f64::INFINITY,
        north: f64::NEG_INFINITY,
    };
    let (mut plain, mut shifted) = (nothing, nothing);
    for [x, y] in rings.vertices() {
        let moved = if *x < 0.0 { x + 360.0 } else { *x };
        for (bounds, x) in [(&mut plain, *x), (&mut shifted, moved)] {
            bounds.west = bounds.west.min(x);
            bounds.east = bounds.east.max(x);
            bounds.south = bounds.south.min(*y);
            bounds.north = bounds.north.max(*y);
        }
    }
    let passes = |edge: &[Vertex]| (edge[0][0] < 0.0) != (edge[1][0] < 0.0);
    let is_shorter = shifted.east - shifted.west < plain.east - plain.west;
    if is_shorter && !rings.iter().any(|(ring, _)| ring.windows(2).any(passes)) {
        return (shifted, true);
    }
    (plain, false)
}

/// A circle that surely holds everything; not the smallest one. Centre and radius in metres.
///
/// Its centre is the middle of the bounds. What is wider than 180 degrees gets a cap round a pole.
pub(super) fn circle(rings: &Rings, bounds: Bounds) -> (Position, f64) {
    if bounds.east - bounds.west > 180.0 {
        return cap(bounds);
    }
    let latitude = f64::midpoint(bounds.south, bounds.north);
    let center = Position::wrapped(latitude, f64::midpoint(bounds.west, bounds.east));
    let origin = Local::new(center);
    let (mut squared, mut edge_sag_m) = (0.0_f64, 0.0_f64);
    for ring in rings.iter().filter_map(|(ring, is_outer)| is_outer.then_some(ring)) {
        for &[longitude, latitude] in ring {
            squared = squared.max(origin.chord_squared(Position { latitude, longitude }));
        }
        for edge in ring.windows(2) {
            edge_sag_m = edge_sag_m.max(sag_m(edge[1][0] - edge[0][0], edge[1][1] - edge[0][1]));
        }
    }
    (center, distance_bound_m(squared.sqrt() + edge_sag_m) + RADIUS_MARGIN_M)
}

/// Widest bounds for which [`inscribed`] tells a radius, in degrees of latitude and longitude.
const INSCRIBED_DEGREES_MAX: f64 = 2.0;
/// How much longer than its chord, at most, a meridian's arc of so many degrees is, and a sine's angle than the sine; and
/// what rounding may add.
const INSCRIBED_SHRINK: f64 = 0.999;

/// The radius in metres of a ball round `center`, which is inside, that holds no place of the ground outside; 0 where there
/// is no telling.
///
/// In cylindrical coordinates a chord's square is that of the meridian's part and 4 p q sin^2(dlon / 2), with p and q
/// the distances of its ends from the axis. So no place is nearer than on a plane with degrees of latitude as long as the
/// shortest anywhere, and degrees of longitude as long as the shortest of the bounds. On that plane edges stay straight.
pub(super) fn inscribed(rings: &Rings, bounds: Bounds, center: Position) -> f64 {
    let widest = (bounds.east - bounds.west).max(bounds.north - bounds.south);
    let is_off = center.longitude < bounds.west || center.longitude > bounds.east;
    if widest > INSCRIBED_DEGREES_MAX || is_off {
        return 0.0;
    }
    let cos = bounds.south.abs().max(bounds.north.abs()).to_radians().cos();
    // The distance from the axis is at least a cos(latitude).
    let scale = [A * cos, CURVATURE_RADIUS_MIN_M].map(f64::to_radians);
    let to_plane = |[x, y]: Vertex| [(x - center.longitude) * scale[0], (y - center.latitude) * scale[1]];
    let edges = rings.iter().flat_map(|(ring, _)| ring.windows(2));
    let squared = edges.fold(f64::INFINITY, |least, edge| {
        let (a, b) = (to_plane(edge[0]), to_plane(edge[1]));
        let along = [b[0] - a[0], b[1] - a[1]];
        let length = along[0] * along[0] + along[1] * along[1];
        let share = -(a[0] * along[0] + a[1] * along[1]) / length;
        // A point where the edge has no length.
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        let nearest = [a[0] + share * along[0], a[1] + share * along[1]];
        least.min(nearest[0] * nearest[0] + nearest[1] * nearest[1])
    });
    squared.sqrt() * INSCRIBED_SHRINK
}

/// The smaller of the caps round the two poles that hold everything.
fn cap(bounds: Bounds) -> (Position, f64) {
    let at = |latitude| Position {
        latitude,
        longitude: 0.0,
    };
    let cap = |pole, edge| (at(pole), distance_m(at(pole), at(edge)) + RADIUS_MARGIN_M);
    let (from_north, from_south) = (cap(90.0, bounds.south), cap(-90.0, bounds.north));
    if from_north.1 <= from_south.1 {
        from_north
    } else {
        from_south
    }
}
