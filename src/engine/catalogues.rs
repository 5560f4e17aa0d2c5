//! Each workspace's catalogue in memory: immutable snapshots behind a pointer, so that a reader never sees half of two.
//!
//! Whoever changes geofences first makes the change durable, then swaps the snapshot, both under one lock, so that the
//! memory never says other than the store. Packing a large set takes a second, so it happens beside that lock: single
//! edits made meanwhile are laid on top of what was packed. The one who swaps frees the old snapshot, never a reader
//! who happens to be last: freeing a million geofences takes longer than a check-in may.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, MutexGuard, mpsc};

mod edits;

use self::edits::{apply, edited_since, has_version, keep, read_edit};
use super::ports::{ControlStore, StoreError, StoredEdit};
use crate::domain::{
    catalogue::{Campaigns, Catalogue, Edit, Places},
    geofence::Geofence,
    geofence_pack::{PackError, Unpacker},
    ids::{GeofenceId, SetName, WorkspaceId},
    time::Timestamp,
};

/// Single edits are packed with the rest when there are more than this.
const EDITS_MAX: usize = 256;

/// Times that geofences are read again because they were changed meanwhile.
const RELOADS_MAX: usize = 5;

/// Parts of a set that are read ahead.
const PARTS_AHEAD_MAX: usize = 8;

/// Catalogues of all workspaces.
pub struct Catalogues {
    store: Arc<dyn ControlStore>,
    current: ArcSwap<HashMap<WorkspaceId, Arc<Catalogue>>>,
    /// Held while a change is made durable and shown.
    changing: Mutex<()>,
    /// Held while geofences are packed: one workspace at a time.
    packing: Mutex<()>,
}

/// The right to pack; see [`Catalogues::begin_packing`].
pub struct Packing<'a> {
    _one_at_a_time: MutexGuard<'a, ()>,
}

impl From<PackError> for StoreError {
    fn from(error: PackError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl Catalogues {
    /// Empty until [`Catalogues::load_all`].
    pub fn new(store: Arc<dyn ControlStore>) -> Self {
        Self {
            store,
            current: ArcSwap::default(),
            changing: Mutex::new(()),
            packing: Mutex::new(()),
        }
    }

    /// The workspace's catalogue as it is now.
    pub fn of(&self, workspace: &WorkspaceId) -> Arc<Catalogue> {
        self.current.load().get(workspace).map(Arc::clone).unwrap_or_default()
    }

    /// Every workspace of which anything has been read.
    pub fn workspaces(&self) -> Vec<WorkspaceId> {
        self.current.load().keys().cloned().collect()
    }

    /// How many geofences all workspaces have.
    pub fn geofences(&self) -> usize {
        self.current
            .load()
            .values()
            .map(|catalogue| catalogue.places.len())
            .sum()
    }

    /// Reads every workspace from the store.
    pub async fn load_all(&self) -> Result<(), StoreError> {
        for workspace in self.store.workspaces().await? {
            self.reload_places(&workspace).await?;
        }
        for workspace in self.store.workspaces().await? {
            self.reload_campaigns(&workspace).await?;
            self.reload_settings(&workspace).await?;
        }
        Ok(())
    }

    /// Reads the workspace's geofences from the store and makes them current. Others may change them meanwhile; then they
    /// are read again, so that no half of a version is shown.
    pub async fn reload_places(&self, workspace: &WorkspaceId) -> Result<(), StoreError> {
        let _packing = self.begin_packing().await;
        for _ in 0..RELOADS_MAX {
            let sets = self.live_sets(workspace).await?;
            let (mut all, mut missing) = (Vec::new(), Vec::new());
            for (set, version) in &sets {
                let content = self.load_version(workspace, set, *version).await?;
                missing.extend(self.missing(workspace, set, content.len()).await?);
                all.extend(content);
            }
            let edits = self.store.load_edits(workspace).await?;
            apply(&edits, &mut all)?;
            let packed = pack(move || Places::build(all)).await?;
            let _changing = self.changing.lock().await;
            if self.live_sets(workspace).await? != sets {
                continue;
            }
            for (set, found, expected) in missing {
                tracing::error!(%set, expected, found, "geofences of a set are missing or unreadable; upload it again");
            }
            let Some(since) = edited_since(&edits, &self.store.load_edits(workspace).await?, &sets)? else {
                continue;
            };
            let places = since.into_iter().fold(packed, |places, edit| places.with_edit(edit));
            self.show_places(workspace, Arc::new(places));
            return Ok(());
        }
        Err(StoreError::Unavailable(
            "the geofence sets change faster than they can be read".to_owned(),
        ))
    }

    async fn live_sets(&self, workspace: &WorkspaceId) -> Result<Vec<(SetName, u32)>, StoreError> {
        let sets = self.store.list_sets(workspace).await?;
        Ok(sets.into_iter().map(|set| (set.set, set.version)).collect())
    }

    /// Shows edits that another process has made durable. True when all of the workspace's geofences must be read: an edit
    /// is gone, and what its set holds instead isn't known.
    pub async fn follow_edits(
        self: &Arc<Self>,
        workspace: &WorkspaceId,
        edited: &[(SetName, GeofenceId)],
    ) -> Result<bool, StoreError> {
        let _changing = self.changing.lock().await;
        let edits = self.store.edits_of(workspace, edited).await?;
        let edits: HashMap<(&SetName, &GeofenceId), &StoredEdit> =
            edits.iter().map(|edit| ((&edit.set, &edit.id), edit)).collect();
        let sets = self.live_sets(workspace).await?;
        let mut places = Arc::clone(&self.of(workspace).places);
        let mut all_needed = false;
        for (set, id) in edited {
            let edit = match edits.get(&(set, id)) {
                Some(edit) => read_edit(edit)?,
                // The set was replaced since, perhaps by this process.
                None if has_version(&sets, set) => {
                    all_needed = true;
                    continue;
                }
                // It was taken out of a set without a version below.
                None => Edit::Remove(set.clone(), id.clone()),
            };
            places = Arc::new(places.with_edit(edit));
        }
        self.show_edited(workspace, places);
        Ok(all_needed)
    }

    /// Reads the content of a set's version.
    pub async fn load_version(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
        version: u32,
    ) -> Result<Vec<Arc<Geofence>>, StoreError> {
        let (send, mut parts) = mpsc::channel::<Vec<u8>>(PARTS_AHEAD_MAX);
        let mut unpacker = Unpacker::new(set.clone());
        // The next part is read while this one is unpacked.
        let unpacking = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            while let Some(part) = parts.blocking_recv() {
                unpacker.unpack(&part, |geofence| keep(geofence, &mut all))?;
            }
            Ok::<_, PackError>(all)
        });
        for number in 0.. {
            let Some(part) = self.store.load_part(workspace, set, version, number).await? else {
                break;
            };
            if send.send(part).await.is_err() {
                break;
            }
        }
        drop(send);
        let all = unpacking
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(all?)
    }

    /// How many were found and expected of a set that has not all the geofences that were uploaded: the others are better
    /// than none.
    async fn missing(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
        found: usize,
    ) -> Result<Option<(SetName, usize, u64)>, StoreError> {
        let versions = self.store.set_versions(workspace, set).await?;
        let expected = versions
            .iter()
            .find(|version| version.live)
            .map_or(0, |live| live.count);
        Ok((expected != found as u64).then(|| (set.clone(), found, expected)))
    }

    /// Reads the workspace's campaigns from the store and makes them current.
    pub async fn reload_campaigns(&self, workspace: &WorkspaceId) -> Result<(), StoreError> {
        let _changing = self.changing.lock().await;
        let campaigns = self.store.load_campaigns(workspace).await?;
        let campaigns = campaigns.into_iter().map(|(campaign, _)| Arc::new(campaign));
        let catalogue = Catalogue {
            campaigns: Arc::new(Campaigns::build(campaigns)),
            ..Catalogue::clone(&self.of(workspace))
        };
        self.show(workspace, catalogue);
        Ok(())
    }

    /// Reads the workspace's settings from the store and makes them current.
    pub async fn reload_settings(&self, workspace: &WorkspaceId) -> Result<(), StoreError> {
        let _changing = self.changing.lock().await;
        let settings = self.store.load_settings(workspace).await?.settings;
        let catalogue = Catalogue {
            settings: Arc::new(settings),
            ..Catalogue::clone(&self.of(workspace))
        };
        self.show(workspace, catalogue);
        Ok(())
    }

    /// Waits until nobody else packs.
    pub async fn begin_packing(&self) -> Packing<'_> {
        Packing {
            _one_at_a_time: self.packing.lock().await,
        }
    }

    /// Gives a set another content: `make_durable` writes it to the store, then it is packed and shown.
    pub async fn replace_set<T>(
        &self,
        _packing: &Packing<'_>,
        workspace: &WorkspaceId,
        set: &SetName,
        content: Vec<Arc<Geofence>>,
        make_durable: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let (done, before) = {
            let _changing = self.changing.lock().await;
            (make_durable.await?, Arc::clone(&self.of(workspace).places))
        };
        let (base, set) = (Arc::clone(&before), set.clone());
        let packed = pack(move || base.with_set(&set, content)).await?;
        self.show_packed(workspace, &before, packed).await;
        Ok(done)
    }

    /// Makes one edit durable and shows it. `decide` gets the current geofences and says what to keep and what to show;
    /// `None` changes nothing.
    pub async fn edit<T>(
        self: &Arc<Self>,
        workspace: &WorkspaceId,
        at: Timestamp,
        decide: impl FnOnce(&Places) -> Result<(Option<(StoredEdit, Edit)>, T), StoreError>,
    ) -> Result<T, StoreError> {
        let _changing = self.changing.lock().await;
        let places = Arc::clone(&self.of(workspace).places);
        let (edit, answer) = decide(&places)?;
        let Some((stored, edit)) = edit else { return Ok(answer) };
        self.store.put_edit(workspace, &stored, at).await?;
        self.show_edited(workspace, Arc::new(places.with_edit(edit)));
        Ok(answer)
    }

    /// Shows edited geofences, and has them packed when there are many edits.
    fn show_edited(self: &Arc<Self>, workspace: &WorkspaceId, edited: Arc<Places>) {
        if edited.edits().len() > EDITS_MAX {
            let (catalogues, workspace) = (Arc::clone(self), workspace.clone());
            tokio::spawn(async move { catalogues.repack(&workspace).await });
        }
        self.show_places(workspace, edited);
    }

    /// Packs single edits with the rest.
    async fn repack(&self, workspace: &WorkspaceId) {
        let _packing = self.begin_packing().await;
        let before = Arc::clone(&self.of(workspace).places);
        if before.edits().len() <= EDITS_MAX {
            return;
        }
        let base = Arc::clone(&before);
        match pack(move || base.repacked()).await {
            Ok(packed) => self.show_packed(workspace, &before, packed).await,
            Err(error) => tracing::error!(%error, "single edits were not packed; lookups get slower with each"),
        }
    }

    /// Shows what was made of `before`, with the edits made since.
    async fn show_packed(&self, workspace: &WorkspaceId, before: &Places, packed: Places) {
        let _changing = self.changing.lock().await;
        let since = self.of(workspace).places.edits_since(before);
        let places = since.into_iter().fold(packed, |places, edit| places.with_edit(edit));
        self.show_places(workspace, Arc::new(places));
    }

    fn show_places(&self, workspace: &WorkspaceId, places: Arc<Places>) {
        let catalogue = Catalogue {
            places,
            ..Catalogue::clone(&self.of(workspace))
        };
        self.show(workspace, catalogue);
    }

    fn show(&self, workspace: &WorkspaceId, catalogue: Catalogue) {
        let old = Arc::clone(&self.of(workspace).places);
        let is_other = !Arc::ptr_eq(&old, &catalogue.places);
        let mut all = HashMap::clone(&self.current.load());
        all.insert(workspace.clone(), Arc::new(catalogue));
        self.current.store(Arc::new(all));
        if is_other {
            free_later(old);
        }
    }
}

/// Frees a snapshot when no reader has it any more, beside the readers.
fn free_later(old: Arc<Places>) {
    /// Readers hold a snapshot for milliseconds.
    const PAUSE: Duration = Duration::from_millis(20);
    tokio::spawn(async move {
        while Arc::strong_count(&old) > 1 {
            tokio::time::sleep(PAUSE).await;
        }
        tokio::task::spawn_blocking(move || drop(old)).await
    });
}

/// Does heavy work away from the async threads.
async fn pack(work: impl FnOnce() -> Places + Send + 'static) -> Result<Places, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StoreError::Unavailable(error.to_string()))
}
