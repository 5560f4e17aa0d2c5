//! Time zones by their IANA names, from the data that is compiled in: two bytes each, so that a million geofences may
//! remember theirs.

use std::sync::{LazyLock, OnceLock};

use jiff::{
    civil::{Date, DateTime},
    tz::TimeZone,
};

use super::time::Timestamp;
use crate::geo::{Position, zone_name};

/// A time zone. The default is UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Zone(u16);

/// A text names no zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no IANA time zone, such as Europe/Zurich")]
pub struct UnknownZone(String);

/// A zone, read when it is first asked for.
struct Entry {
    name: String,
    zone: OnceLock<TimeZone>,
}

static UTC: TimeZone = TimeZone::UTC;

/// Sorted by name, without regard to case. Zone 1 is the first; 0 stands for UTC.
static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let mut entries: Vec<Entry> = jiff::tz::db()
        .available()
        .map(|name| Entry {
            name: name.as_str().to_owned(),
            zone: OnceLock::new(),
        })
        .collect();
    entries.sort_by_cached_key(|entry| entry.name.to_ascii_lowercase());
    entries.truncate(usize::from(u16::MAX) - 1);
    entries
});

impl Zone {
    /// The zone of that IANA name, in any case.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        if name.eq_ignore_ascii_case("UTC") {
            return Ok(Self::default());
        }
        let folded = |text: &str| text.bytes().map(|byte| byte.to_ascii_lowercase()).collect::<Vec<u8>>();
        let wanted = folded(name);
        let found = ENTRIES.binary_search_by(|entry| {
            let name = entry.name.bytes().map(|byte| byte.to_ascii_lowercase());
            name.cmp(wanted.iter().copied())
        });
        match found {
            Ok(index) => Ok(Self(index as u16 + 1)),
            Err(_) => Err(UnknownZone(name.chars().take(40).collect())),
        }
    }

    /// The zone of a position; UTC where there is none.
    pub fn at(position: Position) -> Self {
        zone_name(position)
            .and_then(|name| Self::named(name).ok())
            .unwrap_or_default()
    }

    /// The IANA name.
    pub fn name(self) -> &'static str {
        self.entry().map_or("UTC", |entry| &entry.name)
    }

    fn entry(self) -> Option<&'static Entry> {
        ENTRIES.get(usize::from(self.0).checked_sub(1)?)
    }

    /// How clocks there go.
    pub(super) fn rules(self) -> &'static TimeZone {
        match self.entry() {
            None => &UTC,
            Some(entry) => entry
                .zone
                .get_or_init(|| TimeZone::get(&entry.name).unwrap_or(TimeZone::UTC)),
        }
    }

    /// What clocks there show at an instant.
    pub fn local(self, at: Timestamp) -> DateTime {
        let instant = jiff::Timestamp::from_millisecond(at.0).unwrap_or(if at.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        });
        self.rules().to_datetime(instant)
    }

    /// The instant at which clocks there show this. A time that is left out when clocks go forward is as much later; of
    /// one that comes twice it is the first (RFC 5545, 3.3.5).
    pub fn instant(self, local: DateTime) -> Timestamp {
        let instant = self.rules().to_ambiguous_timestamp(local).compatible();
        let end = if local.year() < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        };
        Timestamp(instant.unwrap_or(end).as_millisecond())
    }

    /// When a day begins there.
    pub fn start_of(self, day: Date) -> Timestamp {
        self.instant(day.at(0, 0, 0, 0))
    }

    /// For tables in which 0 means that nobody has looked yet.
    pub(super) fn to_cell(self) -> u16 {
        self.0 + 1
    }

    /// Reads [`Zone::to_cell`] back.
    pub(super) fn from_cell(cell: u16) -> Option<Self> {
        cell.checked_sub(1).map(Self)
    }
}

impl std::fmt::Display for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl serde::Serialize for Zone {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::datetime;

    use super::*;

    #[test]
    fn zones_have_names_and_places_have_zones() {
        for (latitude, longitude, name) in [
            (40.0799, 116.6031, "Asia/Shanghai"),
            (47.4581, 8.5555, "Europe/Zurich"),
            (40.6413, -73.7781, "America/New_York"),
            (0.0, -30.0, "Etc/GMT+2"),
        ] {
            let zone = Zone::at(Position { latitude, longitude });
            assert_eq!(zone.name(), name);
            assert_eq!(Zone::named(&name.to_uppercase()), Ok(zone));
            assert_eq!(Zone::from_cell(zone.to_cell()), Some(zone));
        }
        assert_eq!(Zone::named("utc").map(Zone::name), Ok("UTC"));
        assert_eq!(
            Zone::named("Mars/Olympus").unwrap_err().to_string(),
            "`Mars/Olympus` is no IANA time zone, such as Europe/Zurich"
        );
    }

    #[test]
    fn clocks_that_go_forward_and_back_are_read_as_calendars_do() {
        let zurich = Zone::named("Europe/Zurich").unwrap();
        let utc = |text: &str| Timestamp::parse(text).unwrap();
        assert_eq!(
            zurich.instant(datetime(2026, 3, 29, 2, 30, 0, 0)),
            utc("2026-03-29T01:30:00Z"),
            "the hour is left out"
        );
        assert_eq!(
            zurich.instant(datetime(2026, 10, 25, 2, 30, 0, 0)),
            utc("2026-10-25T00:30:00Z"),
            "the first of two"
        );
        assert_eq!(
            zurich.local(utc("2026-10-25T01:30:00Z")),
            datetime(2026, 10, 25, 2, 30, 0, 0)
        );
    }
}
