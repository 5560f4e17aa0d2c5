//! A packed list of geofences with everything that finds them. Immutable.

use std::{collections::HashMap, hash::BuildHasher as _, sync::Arc};

use hashbrown::HashTable;

use crate::{
    domain::{checkin::BeaconId, geofence::Geofence, ids::GeofenceId},
    geo::GeofenceIndex,
};

/// Geofences in the order: those that match, disabled ones, and those that a later one of the same identity hides.
pub(super) struct Layer {
    geofences: Vec<Arc<Geofence>>,
    /// So many at the beginning match.
    enabled: usize,
    /// So many at the beginning can be found by identity.
    visible: usize,
    index: GeofenceIndex,
    by_id: HashTable<u32>,
    hasher: std::hash::RandomState,
    by_beacon: HashMap<BeaconId, Vec<u32>>,
    by_code: HashMap<String, Vec<u32>>,
}

impl Default for Layer {
    fn default() -> Self {
        Self::build([])
    }
}

impl Layer {
    /// Of two with one identity the later one counts.
    pub(super) fn build(geofences: impl IntoIterator<Item = Arc<Geofence>>) -> Self {
        let hasher = std::hash::RandomState::new();
        let (mut kept, hidden) = split_hidden(geofences, &hasher);
        // Stable, so that places keep the order that the sets have.
        kept.sort_by_key(|geofence| !geofence.enabled);
        let enabled = kept.partition_point(|geofence| geofence.enabled);
        let visible = kept.len();
        let mut by_id = HashTable::with_capacity(visible);
        let mut by_beacon: HashMap<BeaconId, Vec<u32>> = HashMap::new();
        let mut by_code: HashMap<String, Vec<u32>> = HashMap::new();
        for (place, geofence) in (0_u32..).zip(&kept) {
            by_id.insert_unique(hasher.hash_one(&geofence.id), place, |place| {
                hasher.hash_one(&kept[*place as usize].id)
            });
            if geofence.enabled {
                for beacon in &geofence.beacons {
                    by_beacon.entry(*beacon).or_default().push(place);
                }
                for code in &geofence.codes {
                    by_code.entry(code.clone()).or_default().push(place);
                }
            }
        }
        let index = GeofenceIndex::build(kept[..enabled].iter().map(|geofence| geofence.shape.clone()));
        kept.extend(hidden);
        Self {
            geofences: kept,
            enabled,
            visible,
            index,
            by_id,
            hasher,
            by_beacon,
            by_code,
        }
    }

    /// How many match.
    pub(super) fn enabled(&self) -> usize {
        self.enabled
    }

    /// How many can be found by identity.
    pub(super) fn visible(&self) -> usize {
        self.visible
    }

    /// All of them, hidden ones too.
    pub(super) fn all(&self) -> &[Arc<Geofence>] {
        &self.geofences
    }

    pub(super) fn get(&self, place: u32) -> &Arc<Geofence> {
        &self.geofences[place as usize]
    }

    pub(super) fn is_enabled(&self, place: u32) -> bool {
        (place as usize) < self.enabled
    }

    /// Also a disabled one.
    pub(super) fn find(&self, id: &GeofenceId) -> Option<u32> {
        let found = self.by_id.find(self.hasher.hash_one(id), |place| {
            self.geofences[*place as usize].id == *id
        });
        found.copied()
    }

    /// Over those that match; its ids are the places.
    pub(super) fn index(&self) -> &GeofenceIndex {
        &self.index
    }

    pub(super) fn with_beacon(&self, beacon: BeaconId) -> &[u32] {
        self.by_beacon.get(&beacon).map_or(&[], Vec::as_slice)
    }

    pub(super) fn with_code(&self, code: &str) -> &[u32] {
        self.by_code.get(code).map_or(&[], Vec::as_slice)
    }
}

/// Takes out those whose identity comes again later.
fn split_hidden(
    geofences: impl IntoIterator<Item = Arc<Geofence>>,
    hasher: &std::hash::RandomState,
) -> (Vec<Arc<Geofence>>, Vec<Arc<Geofence>>) {
    let mut kept: Vec<Arc<Geofence>> = Vec::new();
    let mut hidden = Vec::new();
    let mut places: HashTable<u32> = HashTable::new();
    for geofence in geofences {
        let entry = places.entry(
            hasher.hash_one(&geofence.id),
            |place| kept[*place as usize].id == geofence.id,
            |place| hasher.hash_one(&kept[*place as usize].id),
        );
        match entry {
            hashbrown::hash_table::Entry::Occupied(place) => {
                hidden.push(std::mem::replace(&mut kept[*place.get() as usize], geofence));
            }
            hashbrown::hash_table::Entry::Vacant(place) => {
                place.insert(kept.len() as u32);
                kept.push(geofence);
            }
        }
    }
    (kept, hidden)
}
