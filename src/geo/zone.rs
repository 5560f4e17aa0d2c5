//! The time zone of a position, by the outlines of `OpenStreetMap`, simplified to about 110 metres.

use std::sync::LazyLock;

use tzf_rs::EmbeddedFinder;

use super::Position;

/// Reads the outlines where they lie in the program: 4 MB on the disk, next to nothing in memory. A question costs from half
/// a microsecond to a few, near borders.
static FINDER: LazyLock<EmbeddedFinder> = LazyLock::new(EmbeddedFinder::new);

/// The IANA name of the zone there; at sea one such as `Etc/GMT+3`.
pub fn zone_name(at: Position) -> Option<&'static str> {
    let name = FINDER.get_tz_name(at.longitude, at.latitude);
    (!name.is_empty()).then_some(name)
}
