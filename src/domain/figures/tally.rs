//! How often, of many things, within bounds.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error as _};

use super::times::Times;
use crate::domain::time::Timestamp;

/// What is counted.
pub trait Key: Ord + Clone {
    /// The form in which it is stored behind the one before it, without what they have in common.
    type Packed: Serialize + DeserializeOwned;
    /// Leaves out what it shares with the one before.
    fn pack(&self, before: Option<&Self>) -> Self::Packed;
    /// The key again; `None`: it shares something, and there is none before.
    fn unpack(packed: Self::Packed, before: Option<&Self>) -> Option<Self>;
}

/// How much a tally remembers. What is beyond it makes room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Most keys; the one that was counted longest ago goes.
    pub(super) keys: usize,
    /// Most times of one key; the oldest goes.
    pub(super) times_of_key: usize,
    /// Most times in all; the oldest of the key that has most goes, so that what is rare stays exact.
    pub(super) times: usize,
}

/// When each thing happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally<K>(Vec<(K, Times)>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Key> Tally<K> {
    /// Counts one more.
    pub(super) fn note(&mut self, key: K, at: Timestamp, bounds: Bounds) {
        self.of(key).add(at);
        self.make_room(bounds);
    }

    /// Everything that is counted, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Times)> + Clone {
        self.0.iter().map(|(key, times)| (key, times))
    }

    /// The times of one key.
    pub(super) fn find(&self, key: &K) -> Option<&Times> {
        let place = self.0.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        Some(&self.0[place].1)
    }

    /// Adds what the other one has more of. Done again, it changes nothing.
    pub(super) fn adopt(&mut self, other: &Self, bounds: Bounds) {
        for (key, times) in &other.0 {
            self.of(key.clone()).adopt(times);
        }
        self.make_room(bounds);
    }

    /// Keeps what is after `at`.
    pub(super) fn forget_until(&mut self, at: Timestamp) {
        for (_, times) in &mut self.0 {
            times.forget_until(at);
        }
        self.0.retain(|(_, times)| times.last().is_some());
    }

    fn of(&mut self, key: K) -> &mut Times {
        let place = match self.0.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(place) => place,
            Err(place) => {
                self.0.insert(place, (key, Times::default()));
                place
            }
        };
        &mut self.0[place].1
    }

    fn make_room(&mut self, bounds: Bounds) {
        for (_, times) in &mut self.0 {
            times.drop_oldest(times.as_slice().len().saturating_sub(bounds.times_of_key));
        }
        while self.0.len() > bounds.keys {
            let last = |(_, (_, times)): &(usize, &(K, Times))| times.last();
            let oldest = self.0.iter().enumerate().min_by_key(last);
            let Some((place, _)) = oldest else { break };
            self.0.remove(place);
        }
        let mut count: usize = self.0.iter().map(|(_, times)| times.as_slice().len()).sum();
        while count > bounds.times {
            let fullest = self.0.iter_mut().max_by_key(|(_, times)| times.as_slice().len());
            let Some((_, times)) = fullest else { break };
            times.drop_oldest(1);
            count -= 1;
        }
    }
}

impl<K: Key> Serialize for Tally<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut before = None;
        serializer.collect_seq(self.0.iter().map(|(key, times)| {
            let packed = key.pack(before);
            before = Some(key);
            (packed, times)
        }))
    }
}

impl<'de, K: Key> Deserialize<'de> for Tally<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut entries: Vec<(K, Times)> = Vec::new();
        for (packed, times) in Vec::<(K::Packed, Times)>::deserialize(deserializer)? {
            let before = entries.last().map(|(key, _)| key);
            let key = K::unpack(packed, before)
                .filter(|key| before.is_none_or(|before| before < key))
                .ok_or_else(|| D::Error::custom("what is counted is not in order"))?;
            entries.push((key, times));
        }
        Ok(Self(entries))
    }
}
