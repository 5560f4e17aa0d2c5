//! The outbox: in each partition a sorted set of due times and a hash for each row. A lease is a due time in the future,
//! which the row notes, too: only who knows it may begin an attempt. A row whose node died is due again by itself.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::{
    RedisStore,
    agenda::{AGAIN_MS, ROUNDS_MAX, score},
    commit::{fresh_id, to_json},
    link::Failure,
    replicas::Begins,
    scripts::{Arguments, Lua},
};
use crate::{
    domain::{
        delivery::{Delivery, DeliveryState},
        ids::{SubjectId, WorkspaceId},
        time::Timestamp,
    },
    engine::ports::{Attempt, Finish, LEASES_MAX, LeaseAsk, Leased, StoreError},
};

/// A leased row: delivery, leases before this one, state, attempts, body.
type LeasedRow = (Vec<u8>, u32, String, u32, Vec<u8>);
/// When the partition's next row is due, rows, and how many of them are for iOS.
type LeaseAnswer = (String, Vec<LeasedRow>, usize);
/// Rows leased from a partition in one visit: fewer would make more scripts, more let other partitions wait.
const ROWS_A_VISIT: usize = 4;
/// Times that a script without an answer is sent.
const TRIES_MAX: u32 = 3;

pub(super) fn read_state(name: &str) -> Result<DeliveryState, StoreError> {
    DeliveryState::from_name(name).ok_or_else(|| StoreError::Damaged(format!("delivery state `{name}`")))
}

pub(super) fn read_body(body: &[u8]) -> Result<Delivery, StoreError> {
    serde_json::from_slice(body).map_err(|error| StoreError::Damaged(error.to_string()))
}

impl RedisStore {
    /// Runs a script in several partitions that changes nothing when it is run again. With `tells`, the first argument says
    /// whether it was sent before.
    async fn run_surely<T: redis::FromRedisValue>(
        &self,
        script: &Lua,
        mut runs: Vec<(usize, Arguments)>,
        tells: bool,
    ) -> Vec<Result<T, Failure>> {
        let keyed: Vec<(&str, &Arguments)> = runs
            .iter()
            .map(|(partition, arguments)| (self.keys.partition(*partition), arguments))
            .collect();
        let mut answers: Vec<Result<T, Failure>> = script.run_all(&self.link, &keyed).await;
        let unanswered = answers.iter_mut().zip(&mut runs);
        let unanswered = unanswered.filter(|(answer, _)| matches!(answer, Err(Failure::Unknown(_))));
        join_all(unanswered.map(async |(answer, (partition, arguments))| {
            if tells {
                arguments.sent_before();
            }
            for _ in 1..TRIES_MAX {
                *answer = script.run(&self.link, self.keys.partition(*partition), arguments).await;
                if !matches!(answer, Err(Failure::Unknown(_))) {
                    break;
                }
            }
        }))
        .await;
        answers
    }

    /// Takes due rows from all partitions in turns: a partition that can't be reached doesn't hold up the others.
    async fn take_rows(&self, ask: &LeaseAsk) -> Result<Vec<(usize, LeasedRow)>, StoreError> {
        self.outbox.sweep(self, &ask.held).await?;
        let mut rows: Vec<(usize, LeasedRow)> = Vec::new();
        let (mut ios, mut android) = (ask.ios_max.min(ask.rows_max), ask.android_max.min(ask.rows_max));
        for round in 0..ROUNDS_MAX {
            let mut due = self.outbox.due(ask.now);
            let count = due.len();
            if count == 0 || (ios == 0 && android == 0) {
                break;
            }
            let turn = ask.turn as usize + round;
            // Not all at once: a script that leases several rows costs little more than one that leases one.
            let visited = ios.max(android).div_ceil(ROWS_A_VISIT).clamp(1, count);
            due.sort_unstable();
            due.rotate_left(turn.wrapping_mul(visited) % count);
            due.truncate(visited);
            // What there is room for is dealt evenly.
            let share = |room: usize, index: usize| room * (index + 1) / visited - room * index / visited;
            let visits: Vec<((usize, u32), Arguments)> = due
                .into_iter()
                .enumerate()
                .filter_map(|(index, asked)| {
                    let (ios, android) = (share(ios, index), share(android, index));
                    if ios == 0 && android == 0 {
                        return None;
                    }
                    let mut arguments = Arguments::default();
                    arguments.number(ask.now.0).number(ask.until.0).number(self.node);
                    arguments.number(ios).number(android).number(turn);
                    for part in &ask.held {
                        arguments.add(part.as_str());
                    }
                    Some((asked, arguments))
                })
                .collect();
            let runs: Vec<(&str, &Arguments)> = visits
                .iter()
                .map(|((partition, _), arguments)| (self.keys.partition(*partition), arguments))
                .collect();
            let answers: Vec<Result<LeaseAnswer, Failure>> = self.scripts.lease.run_all(&self.link, &runs).await;
            let mut last_failure = None;
            for (((partition, added), _), answer) in visits.into_iter().zip(answers) {
                match answer {
                    Ok((next, leased, for_ios)) => {
                        self.outbox.learn(partition, added, score(&next));
                        ios = ios.saturating_sub(for_ios);
                        android = android.saturating_sub(leased.len() - for_ios);
                        rows.extend(leased.into_iter().map(|row| (partition, row)));
                    }
                    Err(failure) => {
                        self.outbox.learn(partition, added, Some(ask.now.0 + AGAIN_MS));
                        last_failure = Some(failure);
                    }
                }
            }
            if let (Some(failure), true) = (last_failure, rows.is_empty()) {
                return Err(failure.into());
            }
            let left = ask.rows_max.saturating_sub(rows.len());
            (ios, android) = (ios.min(left), android.min(left));
        }
        Ok(rows)
    }

    pub(super) async fn lease_outbox(&self, ask: &LeaseAsk) -> Result<Vec<Leased>, StoreError> {
        let (now, until) = (ask.now, ask.until);
        let rows = self.take_rows(ask).await?;
        let mut leased = Vec::with_capacity(rows.len());
        for (partition, (id, leases, state, attempts, body)) in rows {
            match read_state(&state).and_then(|state| Ok((state, read_body(&body)?))) {
                Ok((_, delivery)) if leases >= LEASES_MAX => {
                    let reason = format!("was taken {leases} times and never finished");
                    tracing::error!(reason, "a row of the outbox is a dead letter");
                    let finish = Finish::set_aside(&delivery, attempts, now, reason);
                    if let Err(error) = self.finish_all(&[finish]).await.into_iter().collect::<Result<(), _>>() {
                        tracing::warn!(%error, "a dead letter is set aside when it is leased again");
                    }
                }
                Ok((state, delivery)) => leased.push(Leased {
                    delivery,
                    attempts,
                    in_doubt: state == DeliveryState::Sending,
                    until,
                }),
                Err(error) => {
                    let reason = format!("is unreadable: {error}");
                    if let Err(error) = self.set_aside(partition, &id, attempts, now, &reason).await {
                        tracing::warn!(%error, "a dead letter is set aside when it is leased again");
                    }
                }
            }
        }
        Ok(leased)
    }

    /// Takes an unreadable row out of the way, so that it never holds up the others. Nobody is told: whose it is, is
    /// unreadable, too.
    async fn set_aside(
        &self,
        partition: usize,
        id: &[u8],
        attempts: u32,
        now: Timestamp,
        reason: &str,
    ) -> Result<(), StoreError> {
        tracing::error!(reason, "a row of the outbox is a dead letter");
        let mut arguments = Arguments::default();
        arguments
            .number(self.kept.as_millis())
            .add(fresh_id())
            .add(id)
            .add("")
            .add("")
            .add(DeliveryState::DeadLetter.as_str())
            .flag(true)
            .number(attempts)
            .number(attempts)
            .number(now.0)
            .number(now.0)
            .add(reason)
            .add("");
        let answers = self
            .run_surely::<i64>(&self.scripts.finish, vec![(partition, arguments)], false)
            .await;
        for answer in answers {
            answer?;
        }
        Ok(())
    }

    pub(super) async fn begin_all(&self, attempts: &[Attempt]) -> Result<Vec<bool>, StoreError> {
        let groups = self.by_partition(attempts, |attempt| (&attempt.workspace, &attempt.subject));
        let begins: Vec<Begins> = groups
            .into_iter()
            .map(|(partition, indexes)| {
                let mut arguments = Arguments::default();
                for &index in &indexes {
                    let attempt = &attempts[index];
                    arguments
                        .add(attempt.delivery.0.as_bytes())
                        .number(attempt.number)
                        .add(format!("{} {}", self.node, attempt.leased_until.0));
                }
                (partition, indexes, arguments)
            })
            .collect();
        let answers = if let Some(replicas) = &self.replicas {
            self.begin_on_replicas(replicas, &begins).await
        } else {
            let runs = begins.iter().map(|(partition, _, attempts)| {
                let mut arguments = Arguments::default();
                arguments.flag(false).append(attempts);
                (*partition, arguments)
            });
            self.run_surely::<Vec<u8>>(&self.scripts.begin, runs.collect(), true)
                .await
        };
        let mut all = vec![false; attempts.len()];
        let mut last_failure = None;
        for ((_, indexes, _), answer) in begins.into_iter().zip(answers) {
            match answer {
                Ok(begun) => {
                    for (index, begun) in indexes.into_iter().zip(begun) {
                        all[index] = begun == 1;
                    }
                }
                // These are not sent now.
                Err(failure) => last_failure = Some(failure),
            }
        }
        match last_failure {
            Some(failure) if !all.contains(&true) => Err(failure.into()),
            _ => Ok(all),
        }
    }

    pub(super) async fn finish_all(&self, finishes: &[Finish]) -> Vec<Result<(), StoreError>> {
        let groups = self.by_partition(finishes, |finish| (&finish.workspace, &finish.subject));
        let mut all = vec![Ok(()); finishes.len()];
        let (mut runs, mut sent) = (Vec::with_capacity(groups.len()), Vec::with_capacity(groups.len()));
        for (partition, indexes) in groups {
            let mut arguments = Arguments::default();
            arguments.number(self.kept.as_millis());
            let added = indexes
                .iter()
                .try_for_each(|&index| add_finish(&mut arguments, &finishes[index]));
            match added {
                Ok(()) => {
                    runs.push((partition, arguments));
                    sent.push((partition, indexes));
                }
                Err(error) => indexes.iter().for_each(|&index| all[index] = Err(error.clone())),
            }
        }
        let answers = self.run_surely::<i64>(&self.scripts.finish, runs, false).await;
        for ((partition, indexes), answer) in sent.into_iter().zip(answers) {
            for index in indexes {
                match &answer {
                    Err(failure) => all[index] = Err(failure.clone().into()),
                    Ok(_) if finishes[index].state.is_ended() => {}
                    Ok(_) => self.outbox.add(partition, finishes[index].due_at.0),
                }
            }
        }
        all
    }

    /// Positions of items, by the partition of their customer.
    fn by_partition<T>(
        &self,
        items: &[T],
        whose: impl Fn(&T) -> (&WorkspaceId, &SubjectId),
    ) -> BTreeMap<usize, Vec<usize>> {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let (workspace, subject) = whose(item);
            groups
                .entry(self.keys.of_subject(workspace, subject))
                .or_default()
                .push(index);
        }
        groups
    }

    pub(super) async fn depth(&self) -> Result<u64, StoreError> {
        let depths = join_all((0..self.keys.count()).map(async |partition| {
            let key = self.keys.partition(partition);
            self.scripts
                .depth
                .run::<u64>(&self.link, key, &Arguments::default())
                .await
        }));
        let mut sum = 0;
        for depth in depths.await {
            sum += depth?;
        }
        Ok(sum)
    }
}

fn add_finish(arguments: &mut Arguments, finish: &Finish) -> Result<(), StoreError> {
    let fact = if finish.quiet {
        Vec::new()
    } else {
        to_json(&finish.fact())?
    };
    // Whoever says the same again names the same end.
    let end = format!(
        "{} {} {} {}",
        finish.begun,
        finish.at.0,
        finish.due_at.0,
        finish.state.as_str()
    );
    arguments
        .add(end)
        .add(finish.delivery.0.as_bytes())
        .add(finish.workspace.as_str())
        .add(finish.subject.to_key())
        .add(finish.state.as_str())
        .flag(finish.state.is_ended())
        .number(finish.attempts)
        .number(finish.begun)
        .number(finish.due_at.0)
        .number(finish.at.0)
        .add(finish.reason.as_deref().unwrap_or_default())
        .add(fact);
    Ok(())
}
