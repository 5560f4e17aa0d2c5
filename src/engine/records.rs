//! Records by way of a cache, changed by compare-and-swap.
//!
//! The cache may be stale; that is harmless, because the store refuses a commit that was made from an old version, and
//! the change is then made again from what the store has. Where other processes write, too, neither records nor whose
//! devices are is cached: most would be outdated, a record that was deleted and made anew could be taken for the one
//! before, and a device that has changed hands would go on being stepped in the record where it was.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use quick_cache::sync::Cache;
use tokio::sync::Notify;

use super::{
    EngineError,
    ports::{Commit, CommitOutcome, HotStore, PresenceChange, Stay},
    timers::WakeBell,
};
use crate::{
    domain::{
        delivery::Delivery,
        event::Fact,
        ids::{CauseId, DeviceId, GeofenceId, SubjectId, WorkspaceId},
        record::{RECORD_SCHEMA, Record},
    },
    metrics::SharedMetrics,
};

/// How often a change is made again before it is given up.
const TRIES_MAX: usize = 20;

/// A record and the version it has in the store; version 0: the store has none.
#[derive(Clone)]
struct Loaded {
    version: u64,
    record: Arc<Record>,
}

/// What a change brings besides the record itself.
pub struct Change<T> {
    /// For the caller.
    pub output: T,
    /// What becomes of the record.
    pub write: Write,
    /// For the outbox.
    pub deliveries: Vec<Delivery>,
    /// For the store.
    pub facts: Vec<(Option<CauseId>, Fact)>,
    /// Devices that belong to this customer from now on.
    pub claims: Vec<DeviceId>,
    /// Devices that nobody has had so far.
    pub first_claims: Vec<DeviceId>,
    /// For the caller in place of `output` when somebody has one of them; then nothing is written.
    pub if_taken: Option<T>,
    /// Devices that no longer do.
    pub releases: Vec<DeviceId>,
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// It stays as it was.
    Nothing,
    /// It is stored as changed.
    Record,
    /// It is deleted; what happened stays known.
    Delete,
    /// It is deleted with everything that is known of the customer.
    Erase,
}

impl<T> Change<T> {
    /// A change of the record and nothing else.
    pub fn new(output: T, write: Write) -> Self {
        Self {
            output,
            write,
            deliveries: Vec::new(),
            facts: Vec::new(),
            claims: Vec::new(),
            first_claims: Vec::new(),
            if_taken: None,
            releases: Vec::new(),
        }
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
        if self.store.is_shared() {
            return Ok(self.store.subjects_of(workspace, devices).await?);
        }
        let mut owners: Vec<Option<SubjectId>> = devices
            .iter()
            .map(|device| self.owners.get(&(workspace.clone(), device.clone())))
            .collect();
        let missing: Vec<usize> = (0..devices.len()).filter(|&index| owners[index].is_none()).collect();
        if missing.is_empty() {
            return Ok(owners);
        }
        let asked: Vec<DeviceId> = missing.iter().map(|&index| devices[index].clone()).collect();
        for (index, found) in missing
            .into_iter()
            .zip(self.store.subjects_of(workspace, &asked).await?)
        {
            if let Some(owner) = found {
                self.owners
                    .insert((workspace.clone(), devices[index].clone()), owner.clone());
                owners[index] = Some(owner);
            }
        }
        Ok(owners)
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
        let loaded = self.load(workspace, std::slice::from_ref(subject)).await?;
        Ok(loaded
            .into_iter()
            .next()
            .filter(|loaded| loaded.version > 0)
            .map(|loaded| loaded.record))
    }

    /// Several records as they are; the default record where there is none.
    pub async fn get_many(
        &self,
        workspace: &WorkspaceId,
        subjects: &[SubjectId],
    ) -> Result<Vec<Option<Arc<Record>>>, EngineError> {
        let loaded = self.load(workspace, subjects).await?;
        Ok(loaded
            .into_iter()
            .map(|loaded| (loaded.version > 0).then_some(loaded.record))
            .collect())
    }

    async fn load(&self, workspace: &WorkspaceId, subjects: &[SubjectId]) -> Result<Vec<Loaded>, EngineError> {
        let mut found: Vec<Option<Loaded>> = subjects
            .iter()
            .map(|subject| self.cache.get(&(workspace.clone(), subject.clone())))
            .collect();
        let missing: Vec<usize> = (0..subjects.len()).filter(|&index| found[index].is_none()).collect();
        if !missing.is_empty() {
            let asked: Vec<SubjectId> = missing.iter().map(|&index| subjects[index].clone()).collect();
            let stored = self.store.load(workspace, &asked).await?;
            for (index, stored) in missing.into_iter().zip(stored) {
                let loaded = match stored {
                    None => Loaded {
                        version: 0,
                        record: Arc::default(),
                    },
                    Some(stored) => {
                        let record = Arc::new(Record::decode(stored.schema, &stored.bytes)?);
                        let loaded = Loaded {
                            version: stored.version,
                            record,
                        };
                        let key = (workspace.clone(), subjects[index].clone());
                        self.remember(key, loaded.version, Arc::clone(&loaded.record));
                        loaded
                    }
                };
                found[index] = Some(loaded);
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Keeps a record unless the cache has a newer one: answers can overtake each other.
    fn remember(&self, key: (WorkspaceId, SubjectId), version: u64, record: Arc<Record>) {
        let is_newer = || self.cache.get(&key).is_none_or(|known| known.version < version);
        if !self.store.is_shared() && is_newer() {
            self.cache.insert(key, Loaded { version, record });
        }
    }

    /// Changes one record. `change` gets the record and whether the store has it; it may run several times, each time
    /// from the latest record.
    pub async fn change<T>(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        mut change: impl FnMut(&mut Record, bool) -> Change<T>,
    ) -> Result<T, EngineError> {
        let one = std::slice::from_ref(subject);
        let outputs = self
            .change_many(workspace, one, |_, record, exists| change(record, exists))
            .await?;
        outputs.into_iter().next().ok_or(EngineError::Contended)
    }

    /// Changes several records, each for itself, in one round trip. `change` gets the position in `subjects`, the
    /// record, and whether the store has it; it may run several times.
    pub async fn change_many<T>(
        &self,
        workspace: &WorkspaceId,
        subjects: &[SubjectId],
        mut change: impl FnMut(usize, &mut Record, bool) -> Change<T>,
    ) -> Result<Vec<T>, EngineError> {
        let mut outputs: Vec<Option<T>> = subjects.iter().map(|_| None).collect();
        let mut pending: Vec<usize> = (0..subjects.len()).collect();
        for _ in 0..TRIES_MAX {
            let asked: Vec<SubjectId> = pending.iter().map(|&index| subjects[index].clone()).collect();
            let loaded = self.load(workspace, &asked).await?;
            let mut commits = Vec::new();
            let mut written = Vec::new();
            let mut moved: Vec<DeviceId> = Vec::new();
            let mut if_taken: HashMap<usize, (Vec<DeviceId>, T)> = HashMap::new();
            for (index, before) in pending.drain(..).zip(loaded) {
                let mut record = Record::clone(&before.record);
                let change = change(index, &mut record, before.version > 0);
                outputs[index] = Some(change.output);
                if let Some(output) = change.if_taken {
                    if_taken.insert(index, (change.first_claims.clone(), output));
                }
                let bytes = match change.write {
                    Write::Nothing => continue,
                    Write::Delete | Write::Erase => {
                        record = Record::default();
                        None
                    }
                    Write::Record => Some((RECORD_SCHEMA, record.encode()?)),
                };
                let topics = |record: &Record| record.profile.topics.iter().cloned().collect::<HashSet<_>>();
                let (followed, follows) = if before.record.profile.topics == record.profile.topics {
                    (HashSet::new(), HashSet::new())
                } else {
                    (topics(&before.record), topics(&record))
                };
                moved.extend(
                    change
                        .claims
                        .iter()
                        .chain(&change.first_claims)
                        .chain(&change.releases)
                        .cloned(),
                );
                let presence = presence_changes(&before.record, &record);
                commits.push(Commit {
                    workspace: workspace.clone(),
                    subject: subjects[index].clone(),
                    expected: before.version,
                    record: bytes,
                    deliveries: change.deliveries,
                    facts: change.facts,
                    claims: change.claims,
                    first_claims: change.first_claims,
                    releases: change.releases,
                    follows: follows.difference(&followed).cloned().collect(),
                    unfollows: followed.difference(&follows).cloned().collect(),
                    erase: change.write == Write::Erase,
                    wake_at: record.wake_at,
                    presence,
                });
                written.push((index, change.write, Arc::new(record)));
            }
            if commits.is_empty() {
                break;
            }
            let tells = commits.iter().any(|commit| !commit.facts.is_empty());
            let started = Instant::now();
            let outcomes = self.store.commit(commits).await;
            if tells {
                self.committed.notify_one();
            }
            self.metrics.committed(started.elapsed());
            // Only the store says whose a device is, whatever became of the commit.
            for device in &moved {
                self.forget_owner(workspace, device);
            }
            if outcomes.is_err() {
                // Whether it was done is unknown: the next read must ask the store.
                for (index, ..) in &written {
                    self.cache.remove(&(workspace.clone(), subjects[*index].clone()));
                }
            }
            for ((index, write, record), outcome) in written.into_iter().zip(outcomes?) {
                let key = (workspace.clone(), subjects[index].clone());
                match outcome {
                    CommitOutcome::Done(version) if write == Write::Record => {
                        if let Some(at) = record.wake_at {
                            self.wake_bell.wants(at);
                        }
                        self.remember(key, version, record);
                    }
                    CommitOutcome::Done(_) => {
                        self.cache.remove(&key);
                    }
                    CommitOutcome::Conflict => {
                        self.metrics.conflict();
                        self.cache.remove(&key);
                        match if_taken.remove(&index) {
                            Some((claims, output)) if self.are_taken(workspace, &claims, &subjects[index]).await? => {
                                outputs[index] = Some(output);
                            }
                            _ => pending.push(index),
                        }
                    }
                }
            }
            if pending.is_empty() {
                break;
            }
        }
        if pending.is_empty() {
            Ok(outputs.into_iter().flatten().collect())
        } else {
            Err(EngineError::Contended)
        }
    }
}

/// Where whose devices are, by the record.
fn stays(record: &Record) -> HashMap<(&DeviceId, &GeofenceId), Stay> {
    let devices = record.devices.iter();
    let visits = devices.flat_map(|device| device.whereabouts.visits.iter().map(move |visit| (&device.id, visit)));
    visits
        .filter_map(|(device, visit)| {
            let evidence = visit.evidence()?;
            let since = visit.since;
            Some(((device, &visit.geofence), Stay { since, evidence }))
        })
        .collect()
}

/// What a change means for who is where.
fn presence_changes(before: &Record, after: &Record) -> Vec<PresenceChange> {
    let (was, is) = (stays(before), stays(after));
    let change = |(device, geofence): (&DeviceId, &GeofenceId), stay| PresenceChange {
        geofence: geofence.clone(),
        device: device.clone(),
        stay,
    };
    let gone = was.keys().filter(|place| !is.contains_key(*place));
    let changed = is.iter().filter(|(place, stay)| was.get(*place) != Some(stay));
    gone.map(|place| change(*place, None))
        .chain(changed.map(|(place, stay)| change(*place, Some(*stay))))
        .collect()
}
