//! What the tests of geometry share.

use proptest::prelude::*;

use super::Position;

/// Positions everywhere, more of them near the poles and the antimeridian than chance would give.
pub(crate) fn anywhere() -> impl Strategy<Value = Position> {
    let latitude =
        prop_oneof![4 => -90.0..=90.0, 1 => 89.99..=90.0, 1 => -90.0..=-89.99, 1 => Just(90.0), 1 => Just(0.0)];
    let longitude = prop_oneof![4 => -180.0..=180.0, 1 => 179.99..=180.0, 1 => -180.0..=-179.99, 1 => Just(180.0)];
    (latitude, longitude).prop_map(|(latitude, longitude)| Position { latitude, longitude })
}
