//! A packed list of geofences with everything that finds them. Immutable.

use std::{
    collections::HashMap,
    hash::BuildHasher as _,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU16, Ordering},
    },
};

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

use crate::{
    domain::{beacon::BeaconPattern, geofence::Geofence, ids::GeofenceId, zone::Zone},
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
    by_id: ById,
    /// Places of the hidden ones.
    hidden_by_id: HashMap<GeofenceId, Vec<u32>>,
    /// Places of the visible ones in the order of their identities, once somebody has asked.
    by_order: OnceLock<Vec<u32>>,
    by_beacon: HashMap<BeaconPattern, Vec<u32>>,
    by_code: HashMap<String, Vec<u32>>,
    /// Whether any that matches wants to know who went through.
    tells_crossings: bool,
    /// The zones of the visible ones that somebody has asked for, as [`Zone::to_cell`] writes them.
    zones: OnceLock<Box<[AtomicU16]>>,
}

impl Default for Layer {
    fn default() -> Self {
        Self::build([])
    }
}

impl Layer {
    /// Of two with one identity the later one counts.
    pub(super) fn build(geofences: impl IntoIterator<Item = Arc<Geofence>>) -> Self {
        let (mut kept, hidden, mut by_id) = by_identity(geofences);
        if kept.iter().any(|geofence| !geofence.enabled) {
            // Stable, so that places keep the order that the sets have.
            kept.sort_by_key(|geofence| !geofence.enabled);
            by_id.places.clear();
            let hash = |place: &u32| by_id.hasher.hash_one(&kept[*place as usize].id);
            for place in 0..kept.len() as u32 {
                by_id.places.insert_unique(hash(&place), place, hash);
            }
        }
        let enabled = kept.partition_point(|geofence| geofence.enabled);
        let visible = kept.len();
        let mut by_beacon: HashMap<BeaconPattern, Vec<u32>> = HashMap::new();
        let mut by_code: HashMap<String, Vec<u32>> = HashMap::new();
        for (place, geofence) in (0_u32..).zip(&kept[..enabled]) {
            for beacon in &geofence.beacons {
                let places = by_beacon.entry(*beacon).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
            for code in &geofence.codes {
                let places = by_code.entry(code.clone()).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        let wants_crossings = |geofence: &Arc<Geofence>| {
            let own = geofence.presence.as_ref();
            own.is_some_and(|own| own.crossed == Some(true))
        };
        let tells_crossings = kept[..enabled].iter().any(wants_crossings);
        let index = GeofenceIndex::build(kept[..enabled].iter().map(|geofence| geofence.shape.clone()));
        let mut hidden_by_id: HashMap<GeofenceId, Vec<u32>> = HashMap::new();
        for (place, geofence) in (visible as u32..).zip(&hidden) {
            hidden_by_id.entry(geofence.id.clone()).or_default().push(place);
        }
        kept.extend(hidden);
        Self {
            geofences: kept,
            enabled,
            visible,
            index,
            by_id,
            hidden_by_id,
            by_order: OnceLock::new(),
            by_beacon,
            by_code,
            tells_crossings,
            zones: OnceLock::new(),
        }
    }

    /// The time zone of a visible one.
    pub(super) fn zone(&self, place: u32) -> Zone {
        let zones = self
            .zones
            .get_or_init(|| (0..self.visible).map(|_| AtomicU16::new(0)).collect());
        let cell = &zones[place as usize];
        Zone::from_cell(cell.load(Ordering::Relaxed)).unwrap_or_else(|| {
            let zone = self.get(place).zone();
            cell.store(zone.to_cell(), Ordering::Relaxed);
            zone
        })
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
        let hash = self.by_id.hasher.hash_one(id);
        let is_same = |place: &u32| self.geofences[*place as usize].id == *id;
        self.by_id.places.find(hash, is_same).copied()
    }

    /// Every one of this identity, visible or hidden.
    pub(super) fn find_all(&self, id: &GeofenceId) -> impl Iterator<Item = u32> {
        let hidden = self.hidden_by_id.get(id).into_iter().flatten().copied();
        self.find(id).into_iter().chain(hidden)
    }

    /// Places of the visible ones in the order of their identities. The first call sorts them.
    pub(super) fn in_order(&self) -> &[u32] {
        self.by_order.get_or_init(|| {
            let mut places: Vec<u32> = (0..self.visible as u32).collect();
            places.sort_unstable_by(|a, b| self.get(*a).id.cmp(&self.get(*b).id));
            places
        })
    }

    /// Over those that match; its ids are the places.
    pub(super) fn index(&self) -> &GeofenceIndex {
        &self.index
    }

    pub(super) fn tells_crossings(&self) -> bool {
        self.tells_crossings
    }

    pub(super) fn with_beacon(&self, pattern: BeaconPattern) -> &[u32] {
        self.by_beacon.get(&pattern).map_or(&[], Vec::as_slice)
    }

    pub(super) fn with_code(&self, code: &str) -> &[u32] {
        self.by_code.get(code).map_or(&[], Vec::as_slice)
    }
}

/// Finds places by the identities of what is there.
struct ById {
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// Splits those whose identity comes again later off, and finds the others by it.
fn by_identity(geofences: impl IntoIterator<Item = Arc<Geofence>>) -> (Vec<Arc<Geofence>>, Vec<Arc<Geofence>>, ById) {
    let geofences = geofences.into_iter();
    let hasher = DefaultHashBuilder::default();
    let mut kept: Vec<Arc<Geofence>> = Vec::with_capacity(geofences.size_hint().0);
    let mut places: HashTable<u32> = HashTable::with_capacity(geofences.size_hint().0);
    let mut hidden = Vec::new();
    for geofence in geofences {
        let entry = places.entry(
            hasher.hash_one(&geofence.id),
            |place| kept[*place as usize].id == geofence.id,
            |place| hasher.hash_one(&kept[*place as usize].id),
        );
        match entry {
            Entry::Occupied(place) => {
                hidden.push(std::mem::replace(&mut kept[*place.get() as usize], geofence));
            }
            Entry::Vacant(place) => {
                place.insert(kept.len() as u32);
                kept.push(geofence);
            }
        }
    }
    (kept, hidden, ById { places, hasher })
}
