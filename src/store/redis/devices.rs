//! Whose a device is. That is kept in another slot than the record, so a commit can't change both at once:
//!
//! 1. *Reserve*: each device notes the commit's id, the partition of its record, and whose it is to be. Nothing else
//!    changes: until the commit is done, the device belongs to whom it belonged to.
//! 2. *Commit*: the script that swaps the record writes beside it that this commit was done.
//! 3. *Settle*: each device is handed over, or the reservation is taken back.
//!
//! Whoever meets a reservation finds out at the record's partition what became of the commit. A reader believes what is
//! there. A writer that wants the device fences the commit first: it writes that the commit is void, if it has not been
//! done, and the script refuses a void one. So a node that dies or is cut off between two steps leaves nothing undecided,
//! and there is one instant at which all devices of a commit change hands: that of the commit.

use std::time::Duration;

use futures_util::future::join_all;
use redis::{Cmd, cmd};

use super::{RedisStore, keys::join, link::Failure, scripts::Arguments};
use crate::{
    domain::ids::{DeviceId, SubjectId, WorkspaceId},
    engine::ports::{Commit, StoreError},
};

/// Times that a reader looks again at a reservation that is just being settled.
const LOOKS_MAX: usize = 16;
/// Somebody else's commit gets so many pauses to end before it is fenced.
const PAUSES: usize = 3;
const PAUSE: Duration = Duration::from_millis(10);

/// What a commit wants of a device.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Claim,
    FirstClaim,
    Release,
}

impl Wish {
    fn name(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::FirstClaim => "first",
            Self::Release => "release",
        }
    }
}

/// A device as it is kept: owner; of a reservation the commit's id, the record's partition, whose it is to be.
type DeviceRow = (Option<String>, Option<Vec<u8>>, Option<Vec<u8>>, Option<String>);

/// What a device says to a commit.
enum Answer {
    /// It is reserved, since this time of Redis, in milliseconds.
    Reserved(u64),
    /// It is not the customer's, so there is nothing to release.
    NotOurs,
    /// It is somebody else's, or others are always first.
    Taken,
}

/// A commit's id.
pub(super) type CommitId = [u8; 8];

/// Whether all devices of a commit could be reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reserved {
    /// These were, the first of them at this time of Redis, in milliseconds.
    All(Vec<DeviceId>, Option<u64>),
    /// One belongs to somebody else, or is wanted by many at once; none is reserved.
    Taken,
}

/// Whether the commit changes whose devices are.
pub(super) fn concerns_devices(commit: &Commit) -> bool {
    !(commit.claims.is_empty() && commit.first_claims.is_empty() && commit.releases.is_empty())
}

impl RedisStore {
    /// Reserves the devices that the commit claims or releases.
    pub(super) async fn reserve_devices(&self, commit: &Commit, id: CommitId) -> Result<Reserved, StoreError> {
        let wishes = (commit.claims.iter().map(|device| (device, Wish::Claim)))
            .chain(commit.first_claims.iter().map(|device| (device, Wish::FirstClaim)))
            .chain(commit.releases.iter().map(|device| (device, Wish::Release)));
        let answers =
            join_all(wishes.map(async |(device, wish)| (device, self.reserve(commit, id, device, wish).await))).await;
        let (mut reserved, mut since, mut taken, mut failure) = (Vec::new(), None, false, None);
        for (device, answer) in answers {
            match answer {
                Ok(Answer::Reserved(at)) => {
                    reserved.push(device.clone());
                    since = Some(since.map_or(at, |since: u64| since.min(at)));
                }
                Ok(Answer::NotOurs) => {}
                Ok(Answer::Taken) => taken = true,
                Err(error) => failure = Some(error),
            }
        }
        if taken || failure.is_some() {
            // What is left of it is void for whoever meets it.
            self.settle_devices(commit, id, &reserved, false).await;
        }
        match failure {
            Some(failure) => Err(failure.into()),
            None if taken => Ok(Reserved::Taken),
            None => Ok(Reserved::All(reserved, since)),
        }
    }

    async fn reserve(&self, commit: &Commit, id: CommitId, device: &DeviceId, wish: Wish) -> Result<Answer, Failure> {
        let key = self.keys.partition(self.keys.of_device(&commit.workspace, device));
        let mut arguments = Arguments::default();
        arguments
            .add(join(commit.workspace.as_str(), device.as_str()))
            .add(wish.name())
            .add(commit.subject.to_key())
            .add(id)
            .number(self.keys.of_subject(&commit.workspace, &commit.subject));
        for look in 0..LOOKS_MAX {
            let answer: Vec<Vec<u8>> = self.scripts.reserve.run(&self.link, key, &arguments).await?;
            match answer.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] {
                [b"ok", at] => return Ok(Answer::Reserved(read_number(at)?)),
                [b"none"] => return Ok(Answer::NotOurs),
                [b"taken"] => return Ok(Answer::Taken),
                [b"pending", other, partition] => {
                    let partition = self.read_partition(partition)?;
                    match self.outcome(other, partition).await? {
                        None if look < PAUSES => tokio::time::sleep(PAUSE).await,
                        None => {
                            let done = self.fence(other, partition).await?;
                            self.settle(&commit.workspace, device, other, done).await?;
                        }
                        Some(done) => self.settle(&commit.workspace, device, other, done).await?,
                    }
                }
                _ => return Err(Failure::Unreadable("a reservation was answered strangely".to_owned())),
            }
        }
        // Others were first each time.
        Ok(Answer::Taken)
    }

    /// Hands the devices over, or takes the reservations back. What fails here is done by whoever meets it.
    pub(super) async fn settle_devices(&self, commit: &Commit, id: CommitId, devices: &[DeviceId], done: bool) {
        let settled = join_all(
            devices
                .iter()
                .map(|device| self.settle(&commit.workspace, device, &id, done)),
        )
        .await;
        if settled.iter().any(Result::is_err) || !done {
            return;
        }
        // Nobody will ask any more. If this fails, a few bytes stay.
        let partition = self.keys.of_subject(&commit.workspace, &commit.subject);
        let mut forget = cmd("DEL");
        forget.arg(self.outcome_key(&id, partition));
        if let Err(failure) = self.link.ask::<i64>(&forget).await {
            tracing::debug!(?failure, "the outcome of a commit is kept for longer than needed");
        }
    }

    async fn settle(&self, workspace: &WorkspaceId, device: &DeviceId, id: &[u8], done: bool) -> Result<(), Failure> {
        let key = self.keys.partition(self.keys.of_device(workspace, device));
        let mut arguments = Arguments::default();
        arguments
            .add(join(workspace.as_str(), device.as_str()))
            .add(id)
            .flag(done);
        self.scripts
            .settle
            .run::<i64>(&self.link, key, &arguments)
            .await
            .map(drop)
    }

    fn outcome_key(&self, id: &[u8], partition: usize) -> Vec<u8> {
        let mut key = format!("{}:c:", self.keys.partition(partition)).into_bytes();
        key.extend_from_slice(id);
        key
    }

    fn read_partition(&self, text: &[u8]) -> Result<usize, Failure> {
        let partition = usize::try_from(read_number(text)?).ok();
        partition
            .filter(|&partition| partition < self.keys.count())
            .ok_or_else(|| Failure::Unreadable("a reservation names no partition".to_owned()))
    }

    /// Whether a commit was done; `None`: not yet.
    async fn outcome(&self, id: &[u8], partition: usize) -> Result<Option<bool>, Failure> {
        let mut outcome = cmd("GET");
        outcome.arg(self.outcome_key(id, partition));
        let outcome: Option<Vec<u8>> = self.link.ask(&outcome).await?;
        Ok(outcome.map(|outcome| outcome == b"d"))
    }

    /// Whether a commit was done; if not, it never will be.
    async fn fence(&self, id: &[u8], partition: usize) -> Result<bool, Failure> {
        let mut arguments = Arguments::default();
        arguments.add(id);
        let key = self.keys.partition(partition);
        let outcome: Vec<u8> = self.scripts.fence.run(&self.link, key, &arguments).await?;
        Ok(outcome == b"d")
    }

    /// Whose these devices are.
    pub(super) async fn owners(
        &self,
        workspace: &WorkspaceId,
        devices: &[DeviceId],
    ) -> Vec<Result<Option<SubjectId>, StoreError>> {
        let reads = devices
            .iter()
            .map(|device| self.read_device(workspace, device))
            .collect();
        let rows = self.link.ask_all::<DeviceRow>(reads).await;
        let mut owners: Vec<Result<Option<SubjectId>, Failure>> = Vec::with_capacity(devices.len());
        let mut reserved = Vec::new();
        for (index, row) in rows.into_iter().enumerate() {
            owners.push(match row {
                Ok((owner, None, None, _)) => read_owner(owner),
                Ok(row) => {
                    reserved.push((index, row));
                    Ok(None)
                }
                Err(failure) => Err(failure),
            });
        }
        let found = join_all(reserved.into_iter().map(async |(index, row)| {
            let device = &devices[index];
            (
                index,
                self.owner(workspace, device, &self.read_device(workspace, device), row)
                    .await,
            )
        }));
        for (index, owner) in found.await {
            owners[index] = owner;
        }
        owners.into_iter().map(|owner| Ok(owner?)).collect()
    }

    fn read_device(&self, workspace: &WorkspaceId, device: &DeviceId) -> Cmd {
        let partition = self.keys.partition(self.keys.of_device(workspace, device));
        let mut read = cmd("HMGET");
        read.arg(format!("{partition}:v:{}", join(workspace.as_str(), device.as_str())));
        read.arg(&["o", "i", "q", "t"]);
        read
    }

    /// Whose the device is, by what was read of it, or will be when it is read again.
    async fn owner(
        &self,
        workspace: &WorkspaceId,
        device: &DeviceId,
        read: &Cmd,
        row: DeviceRow,
    ) -> Result<Option<SubjectId>, Failure> {
        let mut not_yet: Option<Vec<u8>> = None;
        let mut row = Some(row);
        for look in 0..LOOKS_MAX {
            if look > PAUSES {
                // It changes hands faster than it can be looked at.
                tokio::time::sleep(PAUSE).await;
            }
            let (owner, id, record_at, wanted) = match row.take() {
                Some(row) => row,
                None => self.link.ask(read).await?,
            };
            let (Some(id), Some(record_at)) = (id, record_at) else {
                return read_owner(owner);
            };
            // The commit had not been done a moment ago, and it has not been settled since.
            if not_yet.as_ref() == Some(&id) {
                return read_owner(owner);
            }
            match self.outcome(&id, self.read_partition(&record_at)?).await? {
                Some(done) => {
                    // Whoever reserved it has not settled it, and may be dead.
                    if let Err(failure) = self.settle(workspace, device, &id, done).await {
                        tracing::debug!(%failure, "a reservation is settled by the next who meets it");
                    }
                    return read_owner(if done {
                        wanted.filter(|wanted| !wanted.is_empty())
                    } else {
                        owner
                    });
                }
                None => not_yet = Some(id),
            }
        }
        Err(Failure::Refused("a device is wanted by too many at once".to_owned()))
    }
}

fn read_number(text: &[u8]) -> Result<u64, Failure> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Failure::Unreadable("a reservation has something that is no number".to_owned()))
}

fn read_owner(key: Option<String>) -> Result<Option<SubjectId>, Failure> {
    key.map(|key| SubjectId::from_key(&key).ok_or_else(|| Failure::Unreadable(format!("subject `{key}`"))))
        .transpose()
}
