//! What an upload would change.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::{geofence::Geofence, ids::GeofenceId};

/// The difference between two versions of a set, each list in the order of the identities.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Diff {
    /// Only in the new version.
    pub added: Vec<GeofenceId>,
    /// In both, with any difference.
    pub changed: Vec<GeofenceId>,
    /// In both, the same.
    pub unchanged: Vec<GeofenceId>,
    /// Only in the old version.
    pub removed: Vec<GeofenceId>,
}

/// Compares by identity; of an identity that appears twice the last one counts.
pub fn diff(old: &[Geofence], new: &[Geofence]) -> Diff {
    let by_id = |geofences: &[Geofence]| -> BTreeMap<GeofenceId, usize> {
        geofences
            .iter()
            .enumerate()
            .map(|(index, geofence)| (geofence.id.clone(), index))
            .collect()
    };
    let (old_places, new_places) = (by_id(old), by_id(new));
    let mut diff = Diff::default();
    for (id, place) in &new_places {
        let list = match old_places.get(id) {
            None => &mut diff.added,
            Some(before) if old[*before] == new[*place] => &mut diff.unchanged,
            Some(_) => &mut diff.changed,
        };
        list.push(id.clone());
    }
    diff.removed = old_places
        .into_keys()
        .filter(|id| !new_places.contains_key(id))
        .collect();
    diff
}
