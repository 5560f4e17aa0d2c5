//! Records by way of a cache, changed by compare-and-swap.
//!
//! The cache may be stale; that is harmless, because the store refuses a commit that was made from an old version, and
//! the change is then made again from what the store has. Where other processes write, too, neither records nor whose
//! devices are is cached: most would be outdated, a record that was deleted and made anew could be taken for the one
//! before, and a device that has changed hands would go on being stepped in the record where it was.

use std::sync::Arc;

use quick_cache::{Equivalent, sync::Cache};
use tokio::sync::Notify;

mod change;

pub use change::{Change, Changed, Write};

use super::{
    EngineError,
    ports::{HotStore, StoreError, StoredRecord},
    timers::WakeBell,
};
use crate::{
    domain::{
        ids::{DeviceId, SubjectId, WorkspaceId},
        record::Record,
    },
    metrics::SharedMetrics,
};

/// A record and the version it has in the store; version 0: the store has none.
#[derive(Clone)]
struct Loaded {
    version: u64,
    record: Arc<Record>,
}

/// Finds what is kept under a workspace and a name.
#[derive(Hash)]
struct Key<'a, T>(&'a WorkspaceId, &'a T);

impl<T: Eq> Equivalent<(WorkspaceId, T)> for Key<'_, T> {
    fn equivalent(&self, (workspace, name): &(WorkspaceId, T)) -> bool {
        self.0 == workspace && self.1 == name
    }
}

/// Access to records.
pub struct Records {
    store: Arc<dyn HotStore>,
    cache: Cache<(WorkspaceId, SubjectId), Loaded>,
    owners: Cache<(WorkspaceId, DeviceId), SubjectId>,
    metrics: SharedMetrics,
    wake_bell: Arc<WakeBell>,
    committed: Arc<Notify>,
}

impl Records {
    /// Remembers up to `cached_max` records, and twice as many owners of devices.
    pub fn new(
        store: Arc<dyn HotStore>,
        cached_max: usize,
        metrics: SharedMetrics,
        wake_bell: Arc<WakeBell>,
        committed: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            cache: Cache::new(cached_max),
            owners: Cache::new(cached_max * 2),
            metrics,
            wake_bell,
            committed,
        }
    }

    /// Whose devices these are.
    pub async fn owners(
        &self,
        workspace: &WorkspaceId,
        devices: &[DeviceId],
    ) -> Result<Vec<Option<SubjectId>>, EngineError> {
        self.each_owner(workspace, devices).await.into_iter().collect()
    }

    /// The same, each for itself: where the store has lost one part of it, it may know of the others.
    pub async fn each_owner(
        &self,
        workspace: &WorkspaceId,
        devices: &[DeviceId],
    ) -> Vec<Result<Option<SubjectId>, EngineError>> {
        if self.store.is_shared() {
            let owners = self.store.subjects_of(workspace, devices).await.into_iter();
            return owners.map(|owner| Ok(owner?)).collect();
        }
        let known = devices
            .iter()
            .map(|device| Ok(self.owners.get(&Key(workspace, device))));
        let mut owners: Vec<Result<Option<SubjectId>, EngineError>> = known.collect();
        let missing: Vec<usize> = (0..devices.len())
            .filter(|&index| matches!(owners[index], Ok(None)))
            .collect();
        if missing.is_empty() {
            return owners;
        }
        let asked: Vec<DeviceId> = missing.iter().map(|&index| devices[index].clone()).collect();
        let found = self.store.subjects_of(workspace, &asked).await;
        for (index, found) in missing.into_iter().zip(found) {
            if let Ok(Some(owner)) = &found {
                let key = (workspace.clone(), devices[index].clone());
                self.owners.insert(key, owner.clone());
            }
            owners[index] = found.map_err(EngineError::from);
        }
        owners
    }

    /// Whether any of these devices is somebody else's.
    async fn are_taken(
        &self,
        workspace: &WorkspaceId,
        devices: &[DeviceId],
        subject: &SubjectId,
    ) -> Result<bool, EngineError> {
        let owners = self.owners(workspace, devices).await?;
        Ok(owners.iter().flatten().any(|owner| owner != subject))
    }

    /// Forgets whose device it is, so that the next question goes to the store.
    pub fn forget_owner(&self, workspace: &WorkspaceId, device: &DeviceId) {
        self.owners.remove(&Key(workspace, device));
    }

    /// One customer's record as it is; `None` when there is none.
    pub async fn get(&self, workspace: &WorkspaceId, subject: &SubjectId) -> Result<Option<Arc<Record>>, EngineError> {
        let records = self.get_many(workspace, std::slice::from_ref(subject)).await?;
        Ok(records.into_iter().next().flatten())
    }

    /// Several records as they are; `None` where there is none.
    pub async fn get_many(
        &self,
        workspace: &WorkspaceId,
        subjects: &[SubjectId],
    ) -> Result<Vec<Option<Arc<Record>>>, EngineError> {
        let loaded = self.load(workspace, subjects).await.into_iter();
        loaded
            .map(|loaded| loaded.map(|loaded| (loaded.version > 0).then_some(loaded.record)))
            .collect()
    }

    async fn load(&self, workspace: &WorkspaceId, subjects: &[SubjectId]) -> Vec<Result<Loaded, EngineError>> {
        let mut all: Vec<Option<Result<Loaded, EngineError>>> = subjects
            .iter()
            .map(|subject| self.cache.get(&Key(workspace, subject)).map(Ok))
            .collect();
        let missing: Vec<usize> = (0..subjects.len()).filter(|&index| all[index].is_none()).collect();
        if !missing.is_empty() {
            let asked: Vec<SubjectId> = missing.iter().map(|&index| subjects[index].clone()).collect();
            let stored = self.store.load(workspace, &asked).await;
            for (index, stored) in missing.into_iter().zip(stored) {
                let loaded = decode(stored);
                if let Ok(loaded) = &loaded
                    && loaded.version > 0
                {
                    self.remember(workspace, &subjects[index], loaded.version, &loaded.record);
                }
                all[index] = Some(loaded);
            }
        }
        all.into_iter().flatten().collect()
    }

    /// Keeps a record unless the cache has a newer one: answers can overtake each other.
    fn remember(&self, workspace: &WorkspaceId, subject: &SubjectId, version: u64, record: &Arc<Record>) {
        let known = || self.cache.get(&Key(workspace, subject));
        if !self.store.is_shared() && known().is_none_or(|known| known.version < version) {
            let record = Arc::clone(record);
            let loaded = Loaded { version, record };
            self.cache.insert((workspace.clone(), subject.clone()), loaded);
        }
    }

    fn forget(&self, workspace: &WorkspaceId, subject: &SubjectId) {
        self.cache.remove(&Key(workspace, subject));
    }
}

fn decode(stored: Result<Option<StoredRecord>, StoreError>) -> Result<Loaded, EngineError> {
    let Some(stored) = stored? else {
        return Ok(Loaded {
            version: 0,
            record: Arc::default(),
        });
    };
    Ok(Loaded {
        version: stored.version,
        record: Arc::new(Record::decode(stored.schema, &stored.bytes)?),
    })
}
