//! Records by way of a cache, changed by compare-and-swap.
//!
//! The cache may be stale; that is harmless, because the store refuses a commit that was made from an old version, and
//! the change is then made again from what the store has. Where other processes write, too, neither records nor whose
//! devices are is cached: most would be outdated, a record that was deleted and made anew could be taken for the one
//! before, and a device that has changed hands would go on being stepped in the record where it was.

use std::sync::Arc;

use quick_cache::sync::Cache;
use tokio::sync::Notify;

mod change;

pub use change::{Change, Write};

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
        let key = |device: &DeviceId| (workspace.clone(), device.clone());
        let known = devices.iter().map(|device| Ok(self.owners.get(&key(device))));
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
                self.owners.insert(key(&devices[index]), owner.clone());
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
        self.owners.remove(&(workspace.clone(), device.clone()));
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
        let key = |index: usize| (workspace.clone(), subjects[index].clone());
        let mut all: Vec<Option<Result<Loaded, EngineError>>> = (0..subjects.len())
            .map(|index| self.cache.get(&key(index)).map(Ok))
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
                    self.remember(key(index), loaded.version, Arc::clone(&loaded.record));
                }
                all[index] = Some(loaded);
            }
        }
        all.into_iter().flatten().collect()
    }

    /// Keeps a record unless the cache has a newer one: answers can overtake each other.
    fn remember(&self, key: (WorkspaceId, SubjectId), version: u64, record: Arc<Record>) {
        let is_newer = || self.cache.get(&key).is_none_or(|known| known.version < version);
        if !self.store.is_shared() && is_newer() {
            self.cache.insert(key, Loaded { version, record });
        }
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
