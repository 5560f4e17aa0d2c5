//! Commits: those of one partition travel together and are done by one script.
//!
//! An answer that does not come in time leaves open whether it was done. So each commit has an id, and a record keeps its
//! latest ids: sent again, a commit that was done says so, and one that was not is done now.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use redis::{Cmd, cmd};
use uuid::Uuid;

use super::{
    RedisStore,
    agenda::score,
    devices::{CommitId, Reserved, concerns_devices},
    link::Failure,
    present::place_of,
    scripts::Arguments,
};
use crate::{
    domain::ids::{CauseId, DeviceId, SubjectId, WorkspaceId},
    engine::ports::{Commit, CommitOutcome, StoreError, StoredRecord},
};

/// Commits in one run of the script: it must not hold up the server for long.
const SCRIPT_COMMITS_MAX: usize = 16;
/// Times that commits without an answer are sent.
const TRIES_MAX: u32 = 4;
const TRY_AGAIN: Duration = Duration::from_millis(50);
/// Bytes before a record's own: version, number of commit ids, up to four of them.
const VERSION_BYTES: usize = 8;
const ID_BYTES: usize = 8;
/// Added to the number of ids of a record that was deleted.
const DELETED: u8 = 128;

/// A commit on its way.
struct Sent<'a> {
    commit: &'a Commit,
    id: CommitId,
    partition: usize,
    devices: Vec<DeviceId>,
    /// When they were reserved, by Redis.
    reserved_at: Option<u64>,
    outcome: Option<Result<CommitOutcome, StoreError>>,
}

/// What became of each commit of a group, and when the partition's next push and its next wake-up are due.
type CommitAnswer = (Vec<String>, String, String);

pub(super) fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::Damaged(error.to_string()))
}

/// A fresh id.
pub(super) fn fresh_id() -> CommitId {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    (high ^ low).to_be_bytes()
}

impl RedisStore {
    pub(super) async fn commit_all(&self, commits: &[Commit]) -> Vec<Result<CommitOutcome, StoreError>> {
        let mut all = join_all(commits.iter().map(|commit| self.begin(commit))).await;
        let mut by_partition: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, sent) in all.iter().enumerate().filter(|(_, sent)| sent.outcome.is_none()) {
            by_partition.entry(sent.partition).or_default().push(index);
        }
        let groups: Vec<(usize, &[usize])> = by_partition
            .iter()
            .flat_map(|(partition, indexes)| {
                indexes
                    .chunks(SCRIPT_COMMITS_MAX)
                    .map(move |indexes| (*partition, indexes))
            })
            .collect();
        let answers = self.commit_groups(&all, &groups).await;
        for ((_, indexes), answers) in groups.into_iter().zip(answers) {
            match answers {
                Ok(answers) => {
                    for (index, answer) in indexes.iter().zip(answers) {
                        all[*index].outcome = Some(read_outcome(&answer));
                    }
                }
                Err(error) => {
                    for index in indexes {
                        all[*index].outcome = Some(Err(error.clone()));
                    }
                }
            }
        }
        join_all(all.iter().filter(|sent| !sent.devices.is_empty()).filter_map(|sent| {
            // What became of a commit without an answer is found out by whoever meets its reservations.
            let outcome = sent.outcome.as_ref()?.as_ref().ok()?;
            let done = matches!(outcome, CommitOutcome::Done(_));
            Some(self.settle_devices(sent.commit, sent.id, &sent.devices, done))
        }))
        .await;
        let unsent = || Err(StoreError::Damaged("a commit was sent nowhere".to_owned()));
        all.into_iter()
            .map(|sent| sent.outcome.unwrap_or_else(unsent))
            .collect()
    }

    /// Reserves the commit's devices.
    async fn begin<'a>(&self, commit: &'a Commit) -> Sent<'a> {
        let mut sent = Sent {
            commit,
            id: fresh_id(),
            partition: self.keys.of_subject(&commit.workspace, &commit.subject),
            devices: Vec::new(),
            reserved_at: None,
            outcome: None,
        };
        if concerns_devices(commit) {
            match self.reserve_devices(commit, sent.id).await {
                Ok(Reserved::All(devices, since)) => (sent.devices, sent.reserved_at) = (devices, since),
                Ok(Reserved::Taken) => sent.outcome = Some(Ok(CommitOutcome::Conflict)),
                Err(error) => sent.outcome = Some(Err(error)),
            }
        }
        sent
    }

    /// Runs the script for each group of commits of one partition. What each commit came to: where one script fails, the
    /// others still say it.
    async fn commit_groups(
        &self,
        all: &[Sent<'_>],
        groups: &[(usize, &[usize])],
    ) -> Vec<Result<Vec<String>, StoreError>> {
        let (mut arguments, mut expected) = (Vec::with_capacity(groups.len()), Vec::with_capacity(groups.len()));
        for (partition, indexes) in groups {
            arguments.push(self.arguments(indexes.iter().map(|&index| &all[index])));
            expected.push((self.outbox.expect(*partition), self.wakes.expect(*partition)));
        }
        let runs: Vec<(&str, &[Vec<u8>])> = groups
            .iter()
            .zip(&arguments)
            .filter_map(|((partition, _), arguments)| {
                let arguments = arguments.as_ref().ok()?;
                Some((self.keys.partition(*partition), &arguments.0[..]))
            })
            .collect();
        let mut answers = self.scripts.commit.run_all(&self.link, &runs).await.into_iter();
        let answers: Vec<_> = arguments
            .into_iter()
            .map(|arguments| arguments.map(|arguments| (arguments, answers.next())))
            .collect();
        let ends = groups.iter().zip(answers).zip(expected);
        join_all(ends.map(async |(((partition, indexes), sent), (pushes, wakes))| {
            let (arguments, answer) = sent?;
            let answer = answer.unwrap_or_else(|| Err(Failure::Unknown("it was not sent".to_owned())));
            let (answers, push_due, wake_due) = self.until_answered(*partition, arguments, answer).await?;
            self.outbox.learn(*partition, pushes, score(&push_due));
            self.wakes.learn(*partition, wakes, score(&wake_due));
            if answers.len() != indexes.len() {
                return Err(StoreError::Damaged("a commit was answered strangely".to_owned()));
            }
            Ok(answers)
        }))
        .await
    }

    fn arguments<'a>(&self, group: impl ExactSizeIterator<Item = &'a Sent<'a>>) -> Result<Arguments, StoreError> {
        let mut arguments = Arguments::default();
        arguments.flag(false).number(self.kept.as_millis()).number(group.len());
        for sent in group {
            let one = encode(sent)?;
            arguments.number(one.len());
            arguments.0.extend(one);
        }
        Ok(arguments)
    }

    /// Sends commits again of which it is unknown whether they were done.
    async fn until_answered(
        &self,
        partition: usize,
        mut arguments: Arguments,
        mut answer: Result<CommitAnswer, Failure>,
    ) -> Result<CommitAnswer, StoreError> {
        let key = self.keys.partition(partition);
        for _ in 1..TRIES_MAX {
            if !matches!(answer, Err(Failure::Unknown(_))) {
                break;
            }
            tokio::time::sleep(TRY_AGAIN).await;
            arguments.0[0] = b"1".to_vec();
            answer = self.scripts.commit.run(&self.link, key, &arguments.0).await;
        }
        Ok(answer?)
    }

    pub(super) async fn load_records(
        &self,
        workspace: &WorkspaceId,
        subjects: &[SubjectId],
    ) -> Vec<Result<Option<StoredRecord>, StoreError>> {
        let gets = subjects.iter().map(|subject| {
            let partition = self.keys.partition(self.keys.of_subject(workspace, subject));
            let mut get = cmd("GET");
            get.arg(format!("{partition}:s:{workspace}\0{}", subject.to_key()));
            get
        });
        let gets: Vec<Cmd> = gets.collect();
        let records = self.link.ask_all::<Option<Vec<u8>>>(&gets).await;
        records
            .into_iter()
            .map(|record| record?.map_or(Ok(None), |bytes| decode(&bytes)))
            .collect()
    }
}

fn read_outcome(answer: &str) -> Result<CommitOutcome, StoreError> {
    match answer {
        "C" => Ok(CommitOutcome::Conflict),
        "U" => Err(StoreError::Unavailable(
            "Redis answered too late to tell what became of a commit".to_owned(),
        )),
        version => version
            .parse()
            .map(CommitOutcome::Done)
            .map_err(|_| StoreError::Damaged(format!("a commit was answered `{version}`"))),
    }
}

/// A record as the script wrote it; `None` for one that was deleted.
fn decode(bytes: &[u8]) -> Result<Option<StoredRecord>, StoreError> {
    let damaged = || StoreError::Damaged("a record is cut short".to_owned());
    let (version, rest) = bytes.split_first_chunk::<VERSION_BYTES>().ok_or_else(damaged)?;
    let (ids, rest) = rest.split_first().ok_or_else(damaged)?;
    if *ids >= DELETED {
        return Ok(None);
    }
    let (schema, bytes) = rest
        .get(usize::from(*ids) * ID_BYTES..)
        .and_then(<[u8]>::split_first)
        .ok_or_else(damaged)?;
    Ok(Some(StoredRecord {
        version: u64::from_be_bytes(*version),
        schema: *schema,
        bytes: bytes.to_vec(),
    }))
}

/// A commit's arguments, in the order in which the script takes them.
fn encode(sent: &Sent<'_>) -> Result<Vec<Vec<u8>>, StoreError> {
    let commit = sent.commit;
    let record = commit.record.as_ref().map_or_else(Vec::new, |(schema, bytes)| {
        let mut record = Vec::with_capacity(1 + bytes.len());
        record.push(*schema);
        record.extend_from_slice(bytes);
        record
    });
    // A deleted record wants nothing any more.
    let wake_at = commit.wake_at.filter(|_| commit.record.is_some());
    let mut arguments = Arguments::default();
    arguments
        .add(commit.workspace.as_str())
        .add(commit.subject.to_key())
        .add(sent.id)
        .number(commit.expected)
        .add(record)
        .add(sent.reserved_at.map_or_else(String::new, |at| at.to_string()))
        .add(wake_at.map_or_else(String::new, |at| at.0.to_string()))
        .flag(commit.erase);
    for topics in [&commit.follows, &commit.unfollows] {
        arguments.number(topics.len());
        for topic in topics {
            arguments.add(topic.as_str());
        }
    }
    arguments.number(commit.deliveries.len());
    for delivery in &commit.deliveries {
        arguments
            .add(delivery.id.0.as_bytes())
            .number(delivery.decided_at.0)
            .add(delivery.campaign.as_str())
            .add(delivery.lane().as_str())
            .add(to_json(delivery)?);
    }
    arguments.number(commit.facts.len());
    for (cause, fact) in &commit.facts {
        arguments
            .add(cause.as_ref().map_or("", CauseId::as_str))
            .add(to_json(fact)?);
    }
    arguments.number(commit.presence.len());
    for change in &commit.presence {
        arguments.add(place_of(&change.geofence)).add(change.device.as_str());
        match change.stay {
            None => arguments.add("").add(""),
            Some(stay) => arguments.number(stay.since.0).add(stay.evidence.as_str()),
        };
    }
    Ok(arguments.0)
}
