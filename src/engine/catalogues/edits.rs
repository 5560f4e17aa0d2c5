//! Single geofences put or removed on top of their sets' versions.

use std::{collections::HashSet, sync::Arc};

use super::StoreError;
use crate::{
    domain::{
        catalogue::Edit,
        geofence::Geofence,
        geofence_pack::{PackError, Unpacker},
        ids::{GeofenceId, SetName},
    },
    engine::ports::StoredEdit,
};

/// A stored geofence that can't be read is left out, loudly, so that the others still match.
pub(super) fn keep(geofence: Result<Geofence, PackError>, all: &mut Vec<Arc<Geofence>>) {
    match geofence {
        Ok(geofence) => all.push(Arc::new(geofence)),
        Err(error) => tracing::error!(%error, "a stored geofence is left out"),
    }
}

/// An edit as it is shown.
pub(super) fn read_edit(edit: &StoredEdit) -> Result<Edit, StoreError> {
    let mut geofences = Vec::new();
    if let Some(pack) = &edit.pack {
        Unpacker::new(edit.set.clone()).unpack(pack, |geofence| keep(geofence, &mut geofences))?;
    }
    Ok(geofences
        .pop()
        .map_or_else(|| Edit::Remove(edit.set.clone(), edit.id.clone()), Edit::Put))
}

pub(super) fn has_version(sets: &[(SetName, u32)], set: &SetName) -> bool {
    sets.iter().any(|(name, version)| name == set && *version > 0)
}

/// What was edited between two readings of a workspace's edits, while the sets' versions stayed the same; `None` when an
/// edit of a set with a version is gone, so that what the set holds must be read again.
pub(super) fn edited_since(
    before: &[StoredEdit],
    now: &[StoredEdit],
    sets: &[(SetName, u32)],
) -> Result<Option<Vec<Edit>>, StoreError> {
    let still: HashSet<(&SetName, &GeofenceId)> = now.iter().map(|edit| (&edit.set, &edit.id)).collect();
    let mut since = Vec::new();
    for StoredEdit { set, id, .. } in before {
        if still.contains(&(set, id)) {
            continue;
        }
        if has_version(sets, set) {
            return Ok(None);
        }
        since.push(Edit::Remove(set.clone(), id.clone()));
    }
    for edit in now.iter().filter(|edit| !before.contains(edit)) {
        since.push(read_edit(edit)?);
    }
    Ok(Some(since))
}

/// Lays stored edits on the content of the sets' versions.
pub(super) fn apply(edits: &[StoredEdit], all: &mut Vec<Arc<Geofence>>) -> Result<(), StoreError> {
    let edited: HashSet<(&SetName, &GeofenceId)> = edits.iter().map(|edit| (&edit.set, &edit.id)).collect();
    all.retain(|geofence| !edited.contains(&(&geofence.set, &geofence.id)));
    for StoredEdit { set, pack, .. } in edits {
        if let Some(pack) = pack {
            Unpacker::new(set.clone()).unpack(pack, |geofence| keep(geofence, all))?;
        }
    }
    // The order of the sets decides which of two with one identity counts.
    all.sort_by(|a, b| a.set.cmp(&b.set));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{ExternalId, Tag};

    fn edit(set: &str, name: &str) -> StoredEdit {
        StoredEdit {
            set: SetName::new(set).unwrap(),
            id: GeofenceId {
                tag: Tag::new("shop").unwrap(),
                external_id: ExternalId::new(name).unwrap(),
            },
            pack: None,
        }
    }

    #[test]
    fn what_is_deleted_while_all_is_read_stays_deleted() {
        let sets = [
            (SetName::new("file").unwrap(), 3),
            (SetName::new("singles").unwrap(), 0),
        ];
        let (kept, gone) = (edit("singles", "kept"), edit("singles", "gone"));
        let before = [kept.clone(), gone.clone()];
        let since = edited_since(&before, std::slice::from_ref(&kept), &sets).unwrap();
        assert_eq!(since, Some(vec![Edit::Remove(gone.set, gone.id)]));
        assert_eq!(edited_since(&before, &before, &sets).unwrap(), Some(Vec::new()));
        // What the file holds in its place has not been read.
        let before = [kept.clone(), edit("file", "gone")];
        assert_eq!(edited_since(&before, &[kept], &sets).unwrap(), None);
    }
}
