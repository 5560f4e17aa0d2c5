//! Instants and durations in milliseconds. The domain never asks what time it is: `now` is always handed in.

use jiff::{SpanRelativeTo, Unit};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// An instant: milliseconds since 1970-01-01T00:00:00Z. In JSON an RFC 3339 text with zone, elsewhere the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// A length of time in milliseconds, never negative. In JSON an ISO 8601 text such as `PT30M`, elsewhere the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DurationMs(pub i64);

/// Why a text is no instant or no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not RFC 3339 with a zone.
    #[error("`{0}` is not an RFC 3339 time with zone, such as 2026-11-22T08:30:00Z")]
    NotATime(String),
    /// Not ISO 8601, negative, or in months or years, whose length differs.
    #[error("`{0}` is not an ISO 8601 duration of weeks, days, hours, minutes and seconds, such as PT30M or P1D")]
    NotADuration(String),
}

impl Timestamp {
    /// Reads RFC 3339 with a zone (`Z` or an offset).
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        text.parse::<jiff::Timestamp>()
            .map(|time| Self(time.as_millisecond()))
            .map_err(|_| TimeError::NotATime(text.chars().take(40).collect()))
    }

    /// This instant and `length` later.
    #[must_use]
    pub fn plus(self, length: DurationMs) -> Self {
        Self(self.0.saturating_add(length.0))
    }

    /// This instant and `length` earlier.
    #[must_use]
    pub fn minus(self, length: DurationMs) -> Self {
        Self(self.0.saturating_sub(length.0))
    }

    /// How long after `earlier` this is; zero when it is before.
    pub fn since(self, earlier: Self) -> DurationMs {
        DurationMs(self.0.saturating_sub(earlier.0).max(0))
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl DurationMs {
    /// So many seconds.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds * 1000)
    }

    /// Reads ISO 8601; a day is 24 hours, a week seven of them.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let refuse = || TimeError::NotADuration(text.chars().take(40).collect());
        if !text.starts_with('P') {
            return Err(refuse());
        }
        let span: jiff::Span = text.parse().map_err(|_| refuse())?;
        if span.get_years() != 0 || span.get_months() != 0 || span.is_negative() {
            return Err(refuse());
        }
        span.total((Unit::Millisecond, SpanRelativeTo::days_are_24_hours()))
            .map(|total| Self(total as i64))
            .map_err(|_| refuse())
    }

    /// The same as the standard library's type, for timeouts.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }
}

impl std::fmt::Display for DurationMs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", jiff::SignedDuration::from_millis(self.0))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            Self::parse(&text).map_err(D::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

impl Serialize for DurationMs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for DurationMs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            Self::parse(&text).map_err(D::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_with_zone_and_print_in_utc_with_milliseconds() {
        let time = Timestamp::parse("2026-11-22T16:30:00.5+08:00").map(|time| time.to_string());
        assert_eq!(time, Ok("2026-11-22T08:30:00.500Z".to_owned()));
        assert!(Timestamp::parse("2026-11-22T08:30:00").is_err(), "no zone");
        assert!(Timestamp::parse("yesterday").is_err());
    }

    #[test]
    fn durations_have_fixed_lengths_only() {
        assert_eq!(DurationMs::parse("PT30M"), Ok(DurationMs::from_secs(1800)));
        assert_eq!(DurationMs::parse("P1DT1H"), Ok(DurationMs::from_secs(90_000)));
        assert!(DurationMs::parse("P1M").is_err());
        assert!(DurationMs::parse("-PT5S").is_err());
        assert!(DurationMs::parse("3 days").is_err());
        assert_eq!(DurationMs::from_secs(1800).to_string(), "PT30M");
    }
}
