//! What tests of geometry and of files share.

use std::path::PathBuf;

use proptest::prelude::*;

use super::Position;

/// The folder of real data (`BECKON_DATA`, else `../shared/data` beside the project). Where it is absent the test
/// says so and has to return.
pub(crate) fn data(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("BECKON_DATA").map_or_else(|| "../shared/data".into(), PathBuf::from);
    let full = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder).join(path);
    if full.exists() {
        return Some(full);
    }
    println!("skipped: {} is absent (set BECKON_DATA)", full.display());
    None
}

/// Positions everywhere, more of them near the poles and the antimeridian than chance would give.
pub(crate) fn anywhere() -> impl Strategy<Value = Position> {
    let latitude =
        prop_oneof![4 => -90.0..=90.0, 1 => 89.99..=90.0, 1 => -90.0..=-89.99, 1 => Just(90.0), 1 => Just(0.0)];
    let longitude = prop_oneof![4 => -180.0..=180.0, 1 => 179.99..=180.0, 1 => -180.0..=-179.99, 1 => Just(180.0)];
    (latitude, longitude).prop_map(|(latitude, longitude)| Position { latitude, longitude })
}
