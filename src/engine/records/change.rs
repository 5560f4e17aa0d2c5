//! Changing records: read, change, commit by compare-and-swap, and once more when another one was first.

use std::{cmp::Ordering, collections::HashSet, sync::Arc, time::Instant};

use super::{Loaded, Records};
use crate::{
    domain::{
        delivery::Delivery,
        event::Fact,
        ids::{CauseId, DeviceId, GeofenceId, SubjectId, WorkspaceId},
        record::{RECORD_SCHEMA, Record},
    },
    engine::{
        EngineError,
        ports::{Commit, CommitOutcome, PresenceChange, Stay, StoreError},
    },
};

/// How often a change is made again before it is given up.
const TRIES_MAX: usize = 20;

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

/// What a change came to.
pub struct Changed<T> {
    /// For the caller.
    pub output: T,
    /// The record as it is now; where nothing was written, as the change left it.
    pub record: Arc<Record>,
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

/// A change on its way to the store.
struct Written<T> {
    write: Write,
    record: Arc<Record>,
    output: T,
    /// What is wanted of devices that perhaps somebody else has, and the caller's output then.
    if_taken: Option<(Vec<DeviceId>, T)>,
}

impl Records {
    /// Changes one record. `change` gets the record and whether the store has it; it may run several times, each time
    /// from the latest record.
    pub async fn change<T>(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        mut change: impl FnMut(&mut Record, bool) -> Change<T>,
    ) -> Result<T, EngineError> {
        let one = std::slice::from_ref(subject);
        let changed = self
            .change_each(workspace, one, |_, record, exists| change(record, exists))
            .await;
        let changed = changed.into_iter().next().unwrap_or(Err(EngineError::Contended));
        changed.map(|changed| changed.output)
    }

    /// Changes several records, each for itself, in one round trip. `change` gets the position in `subjects`, the
    /// record, and whether the store has it; it may run several times. When one fails, the others are changed all the same.
    pub async fn change_many<T>(
        &self,
        workspace: &WorkspaceId,
        subjects: &[SubjectId],
        change: impl FnMut(usize, &mut Record, bool) -> Change<T>,
    ) -> Result<Vec<T>, EngineError> {
        let changed = self.change_each(workspace, subjects, change).await.into_iter();
        changed.map(|changed| changed.map(|changed| changed.output)).collect()
    }

    /// The same, with what became of each.
    pub async fn change_each<T>(
        &self,
        workspace: &WorkspaceId,
        subjects: &[SubjectId],
        mut change: impl FnMut(usize, &mut Record, bool) -> Change<T>,
    ) -> Vec<Result<Changed<T>, EngineError>> {
        // What is left when all tries are over.
        let mut outputs: Vec<Result<Changed<T>, EngineError>> =
            subjects.iter().map(|_| Err(EngineError::Contended)).collect();
        let mut pending: Vec<usize> = (0..subjects.len()).collect();
        for _ in 0..TRIES_MAX {
            let loaded = if pending.len() == subjects.len() {
                self.load(workspace, subjects).await
            } else {
                let asked: Vec<SubjectId> = pending.iter().map(|&index| subjects[index].clone()).collect();
                self.load(workspace, &asked).await
            };
            let (mut commits, mut written) = (Vec::new(), Vec::new());
            for (index, before) in pending.drain(..).zip(loaded) {
                let before = match before {
                    Ok(before) => before,
                    Err(error) => {
                        outputs[index] = Err(error);
                        continue;
                    }
                };
                let mut record = Record::clone(&before.record);
                let change = change(index, &mut record, before.version > 0);
                if change.write == Write::Nothing {
                    outputs[index] = Ok(Changed {
                        output: change.output,
                        record: Arc::new(record),
                    });
                    continue;
                }
                match begin(workspace, &subjects[index], &before, record, change) {
                    Ok((commit, one)) => {
                        commits.push(commit);
                        written.push((index, one));
                    }
                    Err(error) => outputs[index] = Err(error),
                }
            }
            if commits.is_empty() {
                break;
            }
            for ((index, one), outcome) in written.into_iter().zip(self.commit(workspace, commits).await) {
                match self.settle(workspace, &subjects[index], one, outcome).await {
                    Some(output) => outputs[index] = output,
                    None => pending.push(index),
                }
            }
            if pending.is_empty() {
                break;
            }
        }
        outputs
    }

    async fn commit(&self, workspace: &WorkspaceId, commits: Vec<Commit>) -> Vec<Result<CommitOutcome, StoreError>> {
        let tells = commits.iter().any(|commit| !commit.facts.is_empty());
        let devices = |commit: &'_ Commit| {
            let claimed = commit.claims.iter().chain(&commit.first_claims);
            claimed.chain(&commit.releases).cloned().collect::<Vec<_>>()
        };
        let moved: Vec<DeviceId> = commits.iter().flat_map(devices).collect();
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
        outcomes
    }

    /// What the caller gets; `None`: another one was first, so the change is made again.
    async fn settle<T>(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        one: Written<T>,
        outcome: Result<CommitOutcome, StoreError>,
    ) -> Option<Result<Changed<T>, EngineError>> {
        let Written {
            write,
            record,
            output,
            if_taken,
        } = one;
        match outcome {
            Ok(CommitOutcome::Done(version)) => {
                if write == Write::Record {
                    if let Some(at) = record.wake_at {
                        self.wake_bell.wants(at);
                    }
                    self.remember(workspace, subject, version, &record);
                } else {
                    self.forget(workspace, subject);
                }
                Some(Ok(Changed { output, record }))
            }
            Ok(CommitOutcome::Conflict) => {
                self.metrics.conflict();
                self.forget(workspace, subject);
                let (claims, output) = if_taken?;
                match self.are_taken(workspace, &claims, subject).await {
                    Ok(true) => Some(Ok(Changed { output, record })),
                    Ok(false) => None,
                    Err(error) => Some(Err(error)),
                }
            }
            Err(error) => {
                // Whether it was done is unknown: the next read must ask the store.
                self.forget(workspace, subject);
                Some(Err(error.into()))
            }
        }
    }
}

/// The commit of a change, and what is needed when it is answered.
fn begin<T>(
    workspace: &WorkspaceId,
    subject: &SubjectId,
    before: &Loaded,
    mut record: Record,
    change: Change<T>,
) -> Result<(Commit, Written<T>), EngineError> {
    let bytes = match change.write {
        Write::Delete | Write::Erase => {
            record = Record::default();
            None
        }
        Write::Record | Write::Nothing => Some((RECORD_SCHEMA, record.encode()?)),
    };
    let topics = |record: &Record| record.profile.topics.iter().cloned().collect::<HashSet<_>>();
    let (followed, follows) = if before.record.profile.topics == record.profile.topics {
        (HashSet::new(), HashSet::new())
    } else {
        (topics(&before.record), topics(&record))
    };
    let if_taken = change.if_taken.map(|output| (change.first_claims.clone(), output));
    let commit = Commit {
        workspace: workspace.clone(),
        subject: subject.clone(),
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
        presence: presence_changes(&before.record, &record),
    };
    let written = Written {
        write: change.write,
        record: Arc::new(record),
        output: change.output,
        if_taken,
    };
    Ok((commit, written))
}

type Place<'a> = (&'a DeviceId, &'a GeofenceId);

/// Where whose devices are, by the record, in order.
fn stays(record: &Record) -> Vec<(Place<'_>, Stay)> {
    let devices = record.devices.iter();
    let visits = devices.flat_map(|device| device.whereabouts.visits.iter().map(move |visit| (&device.id, visit)));
    let mut stays: Vec<_> = visits
        .filter_map(|(device, visit)| {
            let evidence = visit.evidence()?;
            let since = visit.since;
            Some(((device, &visit.geofence), Stay { since, evidence }))
        })
        .collect();
    stays.sort_unstable_by_key(|(place, _)| *place);
    stays
}

/// What a change means for who is where.
fn presence_changes(before: &Record, after: &Record) -> Vec<PresenceChange> {
    let (was, is) = (stays(before), stays(after));
    let (mut was, mut is) = (was.iter().peekable(), is.iter().peekable());
    let mut changes = Vec::new();
    let mut change = |(device, geofence): Place<'_>, stay| {
        changes.push(PresenceChange {
            geofence: geofence.clone(),
            device: device.clone(),
            stay,
        });
    };
    loop {
        let order = match (was.peek(), is.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((was, _)), Some((is, _))) => was.cmp(is),
        };
        let gone = was.next_if(|_| order.is_le());
        match (gone, is.next_if(|_| order.is_ge())) {
            (Some((_, before)), Some((place, now))) if before != now => change(*place, Some(*now)),
            (None, Some((place, now))) => change(*place, Some(*now)),
            (Some((place, _)), None) => change(*place, None),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    changes
}
