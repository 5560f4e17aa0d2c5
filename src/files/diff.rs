//! What an upload would change.

use std::{hash::BuildHasher as _, sync::Arc};

use hashbrown::{DefaultHashBuilder, HashTable};
use serde::Serialize;

use crate::domain::{geofence::Geofence, ids::GeofenceId};

/// Identities that are named of each kind of difference; the others are only counted.
pub const IDENTITIES_NAMED_MAX: usize = 1_000;

/// How one geofence of the new content stands to the old content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Only in the new one.
    Added,
    /// In both, with any difference.
    Changed,
    /// In both, the same.
    Unchanged,
}

/// How many there are, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Identities {
    /// All of them.
    pub count: u64,
    /// At most [`IDENTITIES_NAMED_MAX`].
    pub named: Vec<GeofenceId>,
}

impl Identities {
    fn add(&mut self, id: &GeofenceId) {
        self.count += 1;
        if self.named.len() < IDENTITIES_NAMED_MAX {
            self.named.push(id.clone());
        }
    }
}

/// The difference between two versions of a set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Diff {
    /// Only in the new version.
    pub added: Identities,
    /// In both, with any difference.
    pub changed: Identities,
    /// In both, the same.
    pub unchanged: Identities,
    /// Only in the old version.
    pub removed: Identities,
}

impl Diff {
    /// How many geofences would not be as they were.
    pub fn changes(&self) -> u64 {
        self.added.count + self.changed.count + self.removed.count
    }
}

/// Compares new content, seen one by one, with the old one. Takes some 15 bytes for each old geofence.
pub struct Differ {
    old: Vec<Arc<Geofence>>,
    by_id: HashTable<u32>,
    hasher: DefaultHashBuilder,
    is_seen: Vec<bool>,
    diff: Diff,
}

impl Differ {
    /// Against this content, in which each identity is once.
    pub fn new(old: Vec<Arc<Geofence>>) -> Self {
        let hasher = DefaultHashBuilder::default();
        let hash = |place: &u32| hasher.hash_one(&old[*place as usize].id);
        let mut by_id = HashTable::with_capacity(old.len());
        for place in 0..old.len() as u32 {
            by_id.insert_unique(hash(&place), place, hash);
        }
        Self {
            is_seen: vec![false; old.len()],
            old,
            by_id,
            hasher,
            diff: Diff::default(),
        }
    }

    /// Takes one geofence of the new content, in which each identity is once.
    pub fn see(&mut self, new: &Geofence) -> Difference {
        let is_same_id = |place: &u32| self.old[*place as usize].id == new.id;
        let Some(&place) = self.by_id.find(self.hasher.hash_one(&new.id), is_same_id) else {
            self.diff.added.add(&new.id);
            return Difference::Added;
        };
        self.is_seen[place as usize] = true;
        if *self.old[place as usize] == *new {
            self.diff.unchanged.add(&new.id);
            Difference::Unchanged
        } else {
            self.diff.changed.add(&new.id);
            Difference::Changed
        }
    }

    /// What all came to.
    pub fn finish(mut self) -> Diff {
        for (geofence, _) in self.old.iter().zip(&self.is_seen).filter(|(_, is_seen)| !**is_seen) {
            self.diff.removed.add(&geofence.id);
        }
        self.diff
    }
}
