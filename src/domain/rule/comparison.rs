//! How values compare: JSON values, numbers, moments.

use serde_json::Value;

use crate::domain::time::{DurationMs, Timestamp};

/// How a JSON value compares.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparison {
    /// Equal.
    Is(Value),
    /// One of these.
    In(Vec<Value>),
    /// A number.
    Number(Number),
    /// Is there, or is not.
    Exists(bool),
    /// A list that holds it, or a text that holds this text.
    Contains(Value),
    /// A text that is a date or a time.
    Moment(Moment),
}

/// How a number compares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// The same.
    Is(f64),
    /// That or above.
    AtLeast(f64),
    /// That or below.
    AtMost(f64),
    /// Above.
    MoreThan(f64),
    /// Below.
    LessThan(f64),
}

/// How an instant compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Earlier than this.
    Before(Timestamp),
    /// Later than this.
    After(Timestamp),
    /// At most so long before the event, and not after it.
    Within(DurationMs),
}

impl Comparison {
    /// Whether a value compares so at `at`. What is missing or null compares to nothing.
    pub(super) fn holds(&self, value: Option<&Value>, at: Timestamp) -> bool {
        let value = value.filter(|value| !value.is_null());
        match self {
            Self::Is(wanted) => value.is_some_and(|value| same(value, wanted)),
            Self::In(wanted) => value.is_some_and(|value| wanted.iter().any(|one| same(value, one))),
            Self::Number(number) => value.and_then(Value::as_f64).is_some_and(|value| number.holds(value)),
            Self::Exists(wanted) => value.is_some() == *wanted,
            Self::Contains(wanted) => match (value, wanted) {
                (Some(Value::Array(items)), wanted) => items.iter().any(|item| same(item, wanted)),
                (Some(Value::String(text)), Value::String(part)) => text.contains(part.as_str()),
                _ => false,
            },
            Self::Moment(moment) => moment.holds(value.and_then(Value::as_str).and_then(read_instant), at),
        }
    }
}

impl Number {
    pub(super) fn holds(self, value: f64) -> bool {
        match self {
            Self::Is(wanted) => value == wanted,
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
            Self::MoreThan(bound) => value > bound,
            Self::LessThan(bound) => value < bound,
        }
    }
}

impl Moment {
    pub(super) fn holds(self, value: Option<Timestamp>, at: Timestamp) -> bool {
        value.is_some_and(|value| match self {
            Self::Before(bound) => value < bound,
            Self::After(bound) => value > bound,
            Self::Within(length) => at.minus(length) <= value && value <= at,
        })
    }
}

/// Reads RFC 3339 with a zone, or a date, which is its midnight in UTC.
pub(super) fn read_instant(text: &str) -> Option<Timestamp> {
    let time = match text.parse::<jiff::Timestamp>() {
        Ok(time) => time,
        Err(_) if text.len() == "2026-11-22".len() => {
            let date: jiff::civil::Date = text.parse().ok()?;
            date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()
        }
        Err(_) => return None,
    };
    Some(Timestamp(time.as_millisecond()))
}

/// Equality that takes 2 and 2.0 for the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}
