//! When something happened again and again.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::domain::time::Timestamp;

/// From after one instant until another one, which is included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Not included.
    pub after: Timestamp,
    /// Included.
    pub until: Timestamp,
}

impl Span {
    /// Whether the instant lies in it.
    pub fn holds(self, at: Timestamp) -> bool {
        self.after < at && at <= self.until
    }
}

/// Instants, earliest first; the same one may be there twice. Stored as the differences, a few bytes each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Times(Vec<Timestamp>);

impl Times {
    /// Adds one, wherever it belongs.
    pub fn add(&mut self, at: Timestamp) {
        let place = self.0.partition_point(|time| *time <= at);
        self.0.insert(place, at);
    }

    /// How many lie in the span.
    pub fn count(&self, span: Span) -> usize {
        let from = self.0.partition_point(|time| *time <= span.after);
        let until = self.0.partition_point(|time| *time <= span.until);
        until.saturating_sub(from)
    }

    /// All of them, earliest first.
    pub fn as_slice(&self) -> &[Timestamp] {
        &self.0
    }

    /// The latest.
    pub fn last(&self) -> Option<Timestamp> {
        self.0.last().copied()
    }

    /// Adds what the other one has more of. Done again, it changes nothing.
    pub(super) fn adopt(&mut self, other: &Self) {
        for (index, at) in other.0.iter().enumerate() {
            let so_often = |times: &[Timestamp]| times.iter().filter(|time| *time == at).count();
            if so_often(&self.0) < so_often(&other.0[..=index]) {
                self.add(*at);
            }
        }
    }

    /// Keeps those after `at`.
    pub(super) fn forget_until(&mut self, at: Timestamp) {
        self.drop_oldest(self.0.partition_point(|time| *time <= at));
    }

    pub(super) fn drop_oldest(&mut self, count: usize) {
        self.0.drain(..count.min(self.0.len()));
    }
}

impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut before = 0;
        serializer.collect_seq(self.0.iter().map(|time| {
            let step = time.0.wrapping_sub(before);
            before = time.0;
            step
        }))
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut at = 0_i64;
        let times: Vec<Timestamp> = Vec::<i64>::deserialize(deserializer)?
            .into_iter()
            .map(|step| {
                at = at.wrapping_add(step);
                Timestamp(at)
            })
            .collect();
        if times.is_sorted() {
            Ok(Self(times))
        } else {
            Err(D::Error::custom("times are not in order"))
        }
    }
}
