//! Remembers millions of identities in some 16 bytes each: a fingerprint instead of the text.

use std::hash::{BuildHasher as _, Hash, RandomState};

/// Tables that grow one by one, so that growing never needs much at once.
const SHARDS: usize = 256;

/// Slots of a table at first.
const SLOTS_MIN: usize = 16;

/// Which identities were seen and where. 72 bits of keyed hashes decide: 64 are kept, the others choose the table. Two
/// among ten million different identities are mistaken for each other in about one of a hundred million files.
#[derive(Debug)]
pub(in super::super) struct Identities {
    tables: RandomState,
    prints: RandomState,
    shards: Vec<Shard>,
}

#[derive(Debug, Default)]
struct Shard {
    /// 0 is a free slot.
    prints: Vec<u64>,
    places: Vec<u32>,
    count: usize,
}

impl Default for Identities {
    fn default() -> Self {
        Self {
            tables: RandomState::new(),
            prints: RandomState::new(),
            shards: std::iter::repeat_with(Shard::default).take(SHARDS).collect(),
        }
    }
}

impl Identities {
    /// Remembers where an identity is; where it was first, if it isn't new.
    pub(in super::super) fn insert(&mut self, identity: &impl Hash, place: u32) -> Option<u32> {
        let shard = self.tables.hash_one(identity) as usize % SHARDS;
        let print = self.prints.hash_one(identity).max(1);
        self.shards[shard].insert(print, place)
    }
}

impl Shard {
    fn insert(&mut self, print: u64, place: u32) -> Option<u32> {
        if self.count * 8 >= self.prints.len() * 7 {
            self.grow();
        }
        let slot = self.slot(print);
        if self.prints[slot] == print {
            return Some(self.places[slot]);
        }
        self.prints[slot] = print;
        self.places[slot] = place;
        self.count += 1;
        None
    }

    /// Where the fingerprint is, or the free slot where it belongs.
    fn slot(&self, print: u64) -> usize {
        let slots = self.prints.len();
        let mut slot = ((u128::from(print) * slots as u128) >> 64) as usize;
        while self.prints[slot] != 0 && self.prints[slot] != print {
            slot = (slot + 1) % slots;
        }
        slot
    }

    fn grow(&mut self) {
        let slots = (self.prints.len() * 3 / 2).max(SLOTS_MIN);
        let prints = std::mem::replace(&mut self.prints, vec![0; slots]);
        let places = std::mem::replace(&mut self.places, vec![0; slots]);
        for (print, place) in prints.into_iter().zip(places).filter(|(print, _)| *print != 0) {
            let slot = self.slot(print);
            self.prints[slot] = print;
            self.places[slot] = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_is_remembered() {
        let mut seen = Identities::default();
        for number in 0..100_000_u32 {
            assert_eq!(seen.insert(&("tag", number), number), None);
        }
        for number in 0..100_000_u32 {
            assert_eq!(seen.insert(&("tag", number), 7), Some(number));
        }
        let slots: usize = seen.shards.iter().map(|shard| shard.prints.len()).sum();
        assert!(slots < 200_000, "{slots}");
    }
}
