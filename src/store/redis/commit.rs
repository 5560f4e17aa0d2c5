//! Commits: several are done by one script; in a cluster only those of one partition.
//!
//! An answer that does not come in time leaves open whether it was done. So each commit has an id, and a record keeps its
//! latest ids: sent again, a commit that was done says so, and one that was not is done now.

use std::time::Duration;

use futures_util::future::join_all;
use redis::{Cmd, cmd};
use uuid::Uuid;

use super::{
    RedisStore,
    agenda::{Agenda, score},
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
/// Bytes before a record's own: version, number of commit ids and marks, up to four ids.
const VERSION_BYTES: usize = 8;
const ID_BYTES: usize = 8;
/// The number of ids among them; the mark of a record that was deleted.
const IDS: u8 = 0b111;
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

/// What became of each commit of a group; then, in threes, what has changed about when something is due: number of the
/// commit in whose partition, which set, when.
type CommitAnswer = Vec<String>;
/// What was sent, and what came back.
type SentGroup = (Arguments, Result<CommitAnswer, Failure>);

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
        let mut all: Vec<Sent> = commits.iter().map(|commit| self.sent(commit)).collect();
        join_all(
            all.iter_mut()
                .filter(|sent| concerns_devices(sent.commit))
                .map(|sent| self.reserve_for(sent)),
        )
        .await;
        let mut order: Vec<usize> = (0..all.len()).filter(|&index| all[index].outcome.is_none()).collect();
        order.sort_by_key(|&index| all[index].partition);
        // On a single Redis partitions need not be kept apart: fewer scripts do the same work.
        let together = |&a: &usize, &b: &usize| !self.link.is_cluster() || all[a].partition == all[b].partition;
        let groups: Vec<&[usize]> = order
            .chunk_by(together)
            .flat_map(|indexes| indexes.chunks(SCRIPT_COMMITS_MAX))
            .collect();
        let answers = self.commit_groups(&all, &groups).await;
        for (indexes, answers) in groups.into_iter().zip(answers) {
            match answers {
                Ok(answers) => {
                    for (index, answer) in indexes.iter().zip(answers) {
                        let sent = &mut all[*index];
                        sent.outcome = Some(read_outcome(&answer, sent.commit.expected));
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

    fn sent<'a>(&self, commit: &'a Commit) -> Sent<'a> {
        Sent {
            commit,
            id: fresh_id(),
            partition: self.keys.of_subject(&commit.workspace, &commit.subject),
            devices: Vec::new(),
            reserved_at: None,
            outcome: None,
        }
    }

    /// Reserves the commit's devices.
    async fn reserve_for(&self, sent: &mut Sent<'_>) {
        match self.reserve_devices(sent.commit, sent.id).await {
            Ok(Reserved::All(devices, since)) => (sent.devices, sent.reserved_at) = (devices, since),
            Ok(Reserved::Taken) => sent.outcome = Some(Ok(CommitOutcome::Conflict)),
            Err(error) => sent.outcome = Some(Err(error)),
        }
    }

    /// Runs the script for each group of commits. What each commit came to: where one script fails, the
    /// others still say it.
    async fn commit_groups(&self, all: &[Sent<'_>], groups: &[&[usize]]) -> Vec<Result<Vec<String>, StoreError>> {
        let expected: Vec<(u32, u32)> = all
            .iter()
            .map(|sent| {
                let expect = |agenda: &Agenda, adds: bool| {
                    if adds {
                        agenda.expect(sent.partition)
                    } else {
                        agenda.had(sent.partition)
                    }
                };
                let pushes = expect(&self.outbox, !sent.commit.deliveries.is_empty());
                (pushes, expect(&self.wakes, sent.commit.wake_at.is_some()))
            })
            .collect();
        let arguments: Vec<Result<Arguments, StoreError>> = groups
            .iter()
            .map(|indexes| self.arguments(indexes.iter().map(|&index| &all[index])))
            .collect();
        let key = |indexes: &[usize]| self.keys.partition(all[indexes[0]].partition);
        let runs: Vec<(&str, &Arguments)> = groups
            .iter()
            .zip(&arguments)
            .filter_map(|(indexes, arguments)| Some((key(indexes), arguments.as_ref().ok()?)))
            .collect();
        let mut answers = self.scripts.commit.run_all(&self.link, &runs).await.into_iter();
        let mut sent: Vec<Result<SentGroup, StoreError>> = arguments
            .into_iter()
            .map(|arguments| {
                let lost = || Err(Failure::Unknown("it was not sent".to_owned()));
                arguments.map(|arguments| (arguments, answers.next().unwrap_or_else(lost)))
            })
            .collect();
        // Hardly ever one: what has its answer need not wait here.
        let unanswered = sent.iter_mut().zip(groups).filter_map(|(sent, indexes)| match sent {
            Ok((arguments, answer @ Err(Failure::Unknown(_)))) => Some((key(indexes), arguments, answer)),
            _ => None,
        });
        join_all(unanswered.map(async |(key, arguments, answer)| {
            self.until_answered(key, arguments, answer).await;
        }))
        .await;
        sent.into_iter()
            .zip(groups)
            .map(|(sent, indexes)| {
                let strange = || StoreError::Damaged("a commit was answered strangely".to_owned());
                let mut answers = sent?.1?;
                if answers.len() < indexes.len() {
                    return Err(strange());
                }
                let due = answers.split_off(indexes.len());
                for change in due.chunks(3) {
                    let [number, set, due] = change else {
                        return Err(strange());
                    };
                    let number = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
                    let index = *number.and_then(|number| indexes.get(number)).ok_or_else(strange)?;
                    let (pushes, wakes) = expected[index];
                    let (agenda, added) = match set.as_str() {
                        "rt" => (&self.outbox, pushes),
                        _ => (&self.wakes, wakes),
                    };
                    agenda.learn(all[index].partition, added, score(due));
                }
                Ok(answers)
            })
            .collect()
    }

    /// The commits of a group, in the order in which the script takes them.
    fn arguments<'a>(&self, group: impl ExactSizeIterator<Item = &'a Sent<'a>>) -> Result<Arguments, StoreError> {
        let mut arguments = Arguments::default();
        arguments.flag(false).number(group.len());
        let mut more = Arguments::default();
        for sent in group {
            let before = more.len();
            if brings_more(sent.commit) {
                encode_more(sent.commit, &mut more)?;
            }
            arguments.add(self.keys.partition(sent.partition));
            encode_swap(sent, more.len() - before, &mut arguments);
        }
        if more.len() > 0 {
            arguments.number(self.kept.as_millis()).append(&more);
        }
        Ok(arguments)
    }

    /// Sends commits again of which it is unknown whether they were done.
    async fn until_answered(&self, key: &str, arguments: &mut Arguments, answer: &mut Result<CommitAnswer, Failure>) {
        for _ in 1..TRIES_MAX {
            if !matches!(answer, Err(Failure::Unknown(_))) {
                break;
            }
            tokio::time::sleep(TRY_AGAIN).await;
            arguments.sent_before();
            *answer = self.scripts.commit.run(&self.link, key, arguments).await;
        }
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
        let records = self.link.ask_all::<Option<Vec<u8>>>(gets).await;
        records
            .into_iter()
            .map(|record| record?.map_or(Ok(None), |bytes| decode(&bytes)))
            .collect()
    }
}

fn read_outcome(answer: &str, expected: u64) -> Result<CommitOutcome, StoreError> {
    match answer {
        "D" => Ok(CommitOutcome::Done(expected + 1)),
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
        .get(usize::from(*ids & IDS) * ID_BYTES..)
        .and_then(<[u8]>::split_first)
        .ok_or_else(damaged)?;
    Ok(Some(StoredRecord {
        version: u64::from_be_bytes(*version),
        schema: *schema,
        bytes: bytes.to_vec(),
    }))
}

/// Whether anything is to be done besides the swap of the record.
fn brings_more(commit: &Commit) -> bool {
    let lists = [
        commit.follows.len(),
        commit.unfollows.len(),
        commit.deliveries.len(),
        commit.facts.len(),
        commit.presence.len(),
    ];
    commit.erase || lists != [0; 5]
}

/// What swaps the record; so many further arguments follow.
fn encode_swap(sent: &Sent<'_>, more: usize, arguments: &mut Arguments) {
    let commit = sent.commit;
    let subject = commit.subject.to_key();
    let (expected, next) = (commit.expected, commit.expected.wrapping_add(1));
    arguments
        .join(&[commit.workspace.as_str().as_bytes(), &[0], subject.as_bytes()])
        .join(&[&expected.to_be_bytes(), &next.to_be_bytes(), &sent.id]);
    match &commit.record {
        Some((schema, bytes)) => arguments.join(&[&[*schema], bytes]),
        None => arguments.add(""),
    };
    // A deleted record wants nothing any more.
    match commit.wake_at.filter(|_| commit.record.is_some()) {
        Some(at) => arguments.number(at.0),
        None => arguments.add(""),
    };
    match sent.reserved_at {
        Some(at) => arguments.number(at),
        None => arguments.add(""),
    };
    arguments.number(more);
}

/// The rest of a commit.
fn encode_more(commit: &Commit, arguments: &mut Arguments) -> Result<(), StoreError> {
    arguments
        .add(commit.workspace.as_str())
        .add(commit.subject.to_key())
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
    Ok(())
}
