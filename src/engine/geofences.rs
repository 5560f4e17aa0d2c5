//! Single geofences: put, removed, searched.

use std::{cmp::Ordering, collections::HashSet, sync::Arc};

use super::{
    Engine, EngineError,
    ports::{StoreError, StoredEdit},
};
use crate::{
    domain::{
        catalogue::{Edit, Places},
        geofence::Geofence,
        geofence_pack::Packer,
        ids::{GeofenceId, SetName, Tag, WorkspaceId},
    },
    geo::{LonLatBox, Position, distance_m},
};

/// What became of a single geofence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// There was none of that identity.
    Created,
    /// It replaced the one of its identity.
    Replaced,
    /// It is as it was.
    Unchanged,
}

/// Which geofences to list. All given parts must fit.
#[derive(Debug, Clone, Default)]
pub struct GeofenceFilter {
    /// Of this tag.
    pub tag: Option<Tag>,
    /// Of this set.
    pub set: Option<SetName>,
    /// Whose enclosing circle touches this box.
    pub within: Option<LonLatBox>,
    /// Whose enclosing circle comes so near to a position, in metres.
    pub near: Option<(Position, f64)>,
    /// Of an identity after this one.
    pub after: Option<GeofenceId>,
}

/// A geofence that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What was found.
    pub geofence: Arc<Geofence>,
    /// Metres from the position to the enclosing circle, 0 inside; `None` when no position was asked for.
    pub distance_m: Option<f64>,
}

impl Engine {
    /// Adds or replaces one geofence, at once. It stays in the set of the one that it replaces, until that set is
    /// uploaded anew; a new one goes into the set that it names.
    pub async fn put_geofence(&self, workspace: &WorkspaceId, mut geofence: Geofence) -> Result<Put, EngineError> {
        let put = self.catalogues.edit(workspace, self.clock.now(), |places| {
            let before = places.lookup(&geofence.id);
            if let Some(before) = before {
                geofence.set = before.set.clone();
                if *before == geofence {
                    return Ok((None, Put::Unchanged));
                }
            }
            let put = if before.is_some() { Put::Replaced } else { Put::Created };
            let mut packer = Packer::default();
            packer.push(&geofence)?;
            let stored = StoredEdit {
                set: geofence.set.clone(),
                id: geofence.id.clone(),
                pack: Some(packer.take()),
            };
            Ok((Some((stored, Edit::Put(Arc::new(geofence)))), put))
        });
        Ok(put.await?)
    }

    /// Removes one geofence from its set, at once; false when there is none. An upload of its set that holds it brings it
    /// back, and one of the same identity in another set counts from now on.
    pub async fn delete_geofence(&self, workspace: &WorkspaceId, id: &GeofenceId) -> Result<bool, EngineError> {
        let removed = self.catalogues.edit(workspace, self.clock.now(), |places| {
            let Some(before) = places.lookup(id) else {
                return Ok((None, false));
            };
            let stored = StoredEdit {
                set: before.set.clone(),
                id: id.clone(),
                pack: None,
            };
            Ok((Some((stored, Edit::Remove(before.set.clone(), id.clone()))), true))
        });
        Ok(removed.await?)
    }

    /// Up to `limit` geofences: by distance when a position is given, else by identity. Disabled ones are found only
    /// without a position or box.
    pub async fn find_geofences(
        &self,
        workspace: &WorkspaceId,
        filter: GeofenceFilter,
        limit: usize,
    ) -> Result<Vec<Found>, EngineError> {
        let places = Arc::clone(&self.catalogues.of(workspace).places);
        let found = tokio::task::spawn_blocking(move || find(&places, &filter, limit)).await;
        Ok(found.map_err(|error| StoreError::Unavailable(error.to_string()))?)
    }
}

fn find(places: &Places, filter: &GeofenceFilter, limit: usize) -> Vec<Found> {
    let fits = |geofence: &Geofence| {
        filter.tag.as_ref().is_none_or(|tag| geofence.id.tag == *tag)
            && filter.set.as_ref().is_none_or(|set| geofence.set == *set)
    };
    let Some((at, radius_m)) = filter.near else {
        let found: Vec<Arc<Geofence>> = if let Some(area) = &filter.within {
            first_by_id(places.within_box(area), filter.after.as_ref(), fits, limit)
        } else {
            let of_tag = |geofence: &&Arc<Geofence>| filter.tag.as_ref().is_none_or(|tag| geofence.id.tag == *tag);
            let all = places
                .in_order(filter.tag.as_ref(), filter.after.as_ref())
                .take_while(of_tag);
            all.filter(|geofence| fits(geofence)).take(limit).cloned().collect()
        };
        let found = found.into_iter().map(|geofence| Found {
            geofence,
            distance_m: None,
        });
        return found.collect();
    };
    let in_box: Option<HashSet<&GeofenceId>> = filter.within.as_ref().map(|area| {
        places
            .within_box(area)
            .into_iter()
            .map(|geofence| &geofence.id)
            .collect()
    });
    let mut found: Vec<Found> = places
        .near(at, radius_m)
        .into_iter()
        .filter(|geofence| fits(geofence) && in_box.as_ref().is_none_or(|in_box| in_box.contains(&geofence.id)))
        .map(|geofence| {
            let (center, enclosing_m) = geofence.shape.enclosing_circle();
            Found {
                geofence: Arc::clone(geofence),
                distance_m: Some((distance_m(center, at) - enclosing_m).max(0.0)),
            }
        })
        .collect();
    found.sort_by(|a, b| {
        let by_distance = a.distance_m.partial_cmp(&b.distance_m).unwrap_or(Ordering::Equal);
        by_distance.then_with(|| a.geofence.id.cmp(&b.geofence.id))
    });
    found.truncate(limit);
    found
}

/// The `limit` smallest identities after that one, in order.
fn first_by_id(
    mut all: Vec<&Arc<Geofence>>,
    after: Option<&GeofenceId>,
    fits: impl Fn(&Geofence) -> bool,
    limit: usize,
) -> Vec<Arc<Geofence>> {
    all.retain(|geofence| fits(geofence) && after.is_none_or(|after| geofence.id > *after));
    if all.len() > limit {
        all.select_nth_unstable_by(limit, |a, b| a.id.cmp(&b.id));
        all.truncate(limit);
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all.into_iter().cloned().collect()
}
