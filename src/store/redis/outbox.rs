//! The outbox: in each partition a sorted set of due times and a hash for each row. A lease is a due time in the future,
//! which the row notes, too: only who knows it may begin an attempt. A row whose node died is due again by itself.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use redis::cmd;
use uuid::Uuid;

use super::{
    RedisStore,
    commit::{fresh_id, to_json},
    link::Failure,
    merge::{Page, merge, share},
    scripts::{Arguments, Lua},
};
use crate::{
    domain::{
        delivery::{Delivery, DeliveryState},
        event::Fact,
        ids::{DeliveryId, SubjectId, WorkspaceId},
        time::Timestamp,
    },
    engine::ports::{Attempt, DeliveryFilter, DeliveryRow, Finish, Leased, StoreError},
};

/// A leased row: delivery, whose, state, attempts, body.
type LeasedRow = (Vec<u8>, Vec<u8>, String, u32, Vec<u8>);
/// A row as it is listed: whose, body, state, attempts, end, reason.
type ListedRow = (
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<String>,
    Option<u32>,
    Option<i64>,
    Option<String>,
);
/// Where a delivery stands in a list: time, id, partition.
type Place = (i64, Vec<u8>, usize);

/// Times that a script without an answer is sent.
const TRIES_MAX: u32 = 3;

fn read_state(name: &str) -> Result<DeliveryState, StoreError> {
    DeliveryState::from_name(name).ok_or_else(|| StoreError::Damaged(format!("delivery state `{name}`")))
}

fn read_body(body: &[u8]) -> Result<Delivery, StoreError> {
    serde_json::from_slice(body).map_err(|error| StoreError::Damaged(error.to_string()))
}

impl RedisStore {
    /// Runs a script that changes nothing when it is run again. With `tells`, the first argument says whether it was sent
    /// before.
    async fn run_surely<T: redis::FromRedisValue>(
        &self,
        script: &Lua,
        partition: usize,
        mut arguments: Arguments,
        tells: bool,
    ) -> Result<T, Failure> {
        let mut tries = 1;
        loop {
            match script
                .run(&self.link, self.keys.partition(partition), &arguments.0)
                .await
            {
                Err(Failure::Unknown(_)) if tries < TRIES_MAX => {
                    tries += 1;
                    if tells {
                        arguments.0[0] = b"1".to_vec();
                    }
                }
                answer => return answer,
            }
        }
    }

    pub(super) async fn lease_rows(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Leased>, StoreError> {
        let rows: Vec<(usize, LeasedRow)> = self
            .outbox
            .lease(self, &self.scripts.lease, (now, until), limit)
            .await?;
        let mut leased = Vec::with_capacity(rows.len());
        for (partition, (id, _, state, attempts, body)) in rows {
            match read_state(&state).and_then(|state| Ok((state, read_body(&body)?))) {
                Ok((state, delivery)) => leased.push(Leased {
                    delivery,
                    attempts,
                    in_doubt: state == DeliveryState::Sending,
                    until,
                }),
                Err(error) => {
                    tracing::error!(%error, "a row of the outbox is unreadable and was ended as failed");
                    self.bury(partition, &id, attempts, now).await?;
                }
            }
        }
        Ok(leased)
    }

    /// Ends a row that can't be read, so that it never holds up the others.
    async fn bury(&self, partition: usize, id: &[u8], attempts: u32, now: Timestamp) -> Result<(), StoreError> {
        let mut arguments = Arguments::default();
        arguments
            .number(self.kept.as_millis())
            .add(fresh_id())
            .add(id)
            .add("")
            .add("")
            .add(DeliveryState::Failed.as_str())
            .flag(true)
            .number(attempts)
            .number(attempts)
            .number(now.0)
            .number(now.0)
            .add("the row is unreadable")
            .add("");
        self.run_surely::<i64>(&self.scripts.finish, partition, arguments, false)
            .await?;
        Ok(())
    }

    pub(super) async fn begin_all(&self, attempts: &[Attempt]) -> Result<Vec<bool>, StoreError> {
        let groups = self.by_partition(attempts, |attempt| (&attempt.workspace, &attempt.subject));
        let answers = join_all(groups.into_iter().map(async |(partition, indexes)| {
            let mut arguments = Arguments::default();
            arguments.flag(false);
            for &index in &indexes {
                let attempt = &attempts[index];
                arguments
                    .add(attempt.delivery.0.as_bytes())
                    .number(attempt.number)
                    .number(attempt.leased_until.0);
            }
            let begun: Result<Vec<u8>, Failure> =
                self.run_surely(&self.scripts.begin, partition, arguments, true).await;
            let begun = match begun {
                Ok(begun) if self.replicas > 0 => {
                    let key = self.keys.partition(partition);
                    self.link.wait_for_replicas(key, self.replicas).await.map(|()| begun)
                }
                begun => begun,
            };
            (indexes, begun)
        }))
        .await;
        let mut all = vec![false; attempts.len()];
        let mut last_failure = None;
        for (indexes, answer) in answers {
            match answer {
                Ok(begun) => {
                    for (index, begun) in indexes.into_iter().zip(begun) {
                        all[index] = begun == 1;
                    }
                }
                // These are not sent now. Perhaps they are in doubt when their lease has run out.
                Err(failure) => last_failure = Some(failure),
            }
        }
        match last_failure {
            Some(failure) if !all.contains(&true) => Err(failure.into()),
            _ => Ok(all),
        }
    }

    pub(super) async fn finish_all(&self, finishes: &[Finish]) -> Result<(), StoreError> {
        let groups = self.by_partition(finishes, |finish| (&finish.workspace, &finish.subject));
        let answers = join_all(groups.into_iter().map(async |(partition, indexes)| {
            let mut arguments = Arguments::default();
            arguments.number(self.kept.as_millis());
            for &index in &indexes {
                add_finish(&mut arguments, &finishes[index])?;
            }
            self.run_surely::<i64>(&self.scripts.finish, partition, arguments, false)
                .await?;
            for &index in &indexes {
                if !finishes[index].state.is_ended() {
                    self.outbox.add(partition, finishes[index].due_at.0);
                }
            }
            Ok(())
        }))
        .await;
        answers.into_iter().collect()
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
            let mut count = cmd("ZCARD");
            count.arg(format!("{}:rt", self.keys.partition(partition)));
            self.link.ask::<u64>(&count).await
        }));
        let mut sum = 0;
        for depth in depths.await {
            sum += depth?;
        }
        Ok(sum)
    }

    /// One delivery. Its id does not say whose it is, so every partition is asked.
    pub(super) async fn find_delivery(
        &self,
        workspace: &WorkspaceId,
        id: DeliveryId,
    ) -> Result<Option<DeliveryRow>, StoreError> {
        let places: Vec<Place> = (0..self.keys.count())
            .map(|partition| (0, id.0.as_bytes().to_vec(), partition))
            .collect();
        let rows = self.read_rows(workspace, &places).await?;
        Ok(rows.into_iter().next())
    }

    /// The rows at these places that are there.
    async fn read_rows(&self, workspace: &WorkspaceId, places: &[Place]) -> Result<Vec<DeliveryRow>, StoreError> {
        let rows = join_all(places.iter().map(async |(_, id, partition)| {
            let mut key = format!("{}:d:", self.keys.partition(*partition)).into_bytes();
            key.extend_from_slice(id);
            let mut read = cmd("HMGET");
            read.arg(key).arg(&["w", "b", "s", "a", "e", "r"]);
            self.link.ask::<ListedRow>(&read).await
        }))
        .await;
        let prefix = format!("{workspace}\0").into_bytes();
        let mut found = Vec::new();
        for row in rows {
            let (Some(whose), Some(body), Some(state), attempts, ended_at, reason) = row? else {
                continue;
            };
            if whose.starts_with(&prefix) {
                found.push(DeliveryRow {
                    delivery: read_body(&body)?,
                    state: read_state(&state)?,
                    attempts: attempts.unwrap_or_default(),
                    ended_at: ended_at.map(Timestamp),
                    reason: reason.filter(|reason| !reason.is_empty()),
                });
            }
        }
        Ok(found)
    }

    pub(super) async fn list_deliveries(
        &self,
        workspace: &WorkspaceId,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let (list, partitions) = match (&filter.user, &filter.campaign) {
            (Some(user), _) => {
                let subject = SubjectId::User(user.clone());
                let partition = self.keys.of_subject(workspace, &subject);
                (
                    format!("du:{workspace}\0{}", subject.to_key()),
                    partition..partition + 1,
                )
            }
            (None, Some(campaign)) => (format!("dc:{workspace}\0{campaign}"), 0..self.keys.count()),
            (None, None) => (format!("dl:{workspace}"), 0..self.keys.count()),
        };
        let mut before = filter.before.map(|(at, id)| (at.0, id.0.as_bytes().to_vec()));
        let mut found = Vec::new();
        while found.len() < limit {
            let count = share(limit, partitions.len());
            let pages = join_all(
                partitions
                    .clone()
                    .map(|partition| self.places(&list, partition, before.as_ref(), count)),
            )
            .await
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
            let page = merge(pages, |(at, id, _)| std::cmp::Reverse((*at, id.clone())));
            let Some(last) = page.items.last() else { break };
            before = Some((last.0, last.1.clone()));
            let rows = self.read_rows(workspace, &page.items).await?;
            found.extend(rows.into_iter().filter(|row| {
                (filter.campaign.as_ref()).is_none_or(|campaign| row.delivery.campaign == *campaign)
                    && filter.state.is_none_or(|state| row.state == state)
            }));
            if !page.has_more {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// A partition's next places in a list, newest first.
    async fn places(
        &self,
        list: &str,
        partition: usize,
        before: Option<&(i64, Vec<u8>)>,
        mut count: usize,
    ) -> Result<Page<Place>, Failure> {
        loop {
            let mut range = cmd("ZRANGE");
            range.arg(format!("{}:{list}", self.keys.partition(partition)));
            match before {
                Some((at, _)) => range.arg(at),
                None => range.arg("+inf"),
            };
            range.arg("-inf").arg("BYSCORE").arg("REV");
            range.arg("LIMIT").arg(0).arg(count).arg("WITHSCORES");
            let read: Vec<(Vec<u8>, i64)> = self.link.ask(&range).await?;
            let has_more = read.len() == count;
            let items: Vec<Place> = read
                .into_iter()
                .map(|(id, at)| (at, id, partition))
                .filter(|(at, id, _)| before.is_none_or(|before| (*at, id) < (before.0, &before.1)))
                .collect();
            if !items.is_empty() || !has_more {
                return Ok(Page { items, has_more });
            }
            // All of them were decided in the very millisecond of the last one.
            count *= 2;
        }
    }
}

fn add_finish(arguments: &mut Arguments, finish: &Finish) -> Result<(), StoreError> {
    let fact = if finish.quiet {
        Vec::new()
    } else {
        to_json(&Fact::Delivery {
            delivery: finish.delivery,
            at: finish.at,
            state: finish.state,
            attempt: finish.attempts,
            reason: finish.reason.clone(),
        })?
    };
    arguments
        .add(Uuid::new_v4().as_bytes())
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
