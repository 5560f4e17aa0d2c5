//! Deliveries and dead letters as people look at them. Each partition has lists in the order of time: of a workspace, of a
//! customer, of a campaign, and of dead letters.

use futures_util::future::join_all;
use redis::{Cmd, cmd};
use uuid::Uuid;

use super::{
    RedisStore,
    commit::to_json,
    link::Failure,
    merge::{Page, merge, share},
    outbox::{read_body, read_state},
    scripts::Arguments,
};
use crate::{
    domain::{
        delivery::DeliveryState,
        event::Fact,
        ids::{DeliveryId, SubjectId, WorkspaceId},
        time::Timestamp,
    },
    engine::ports::{DeadLetter, DeliveryFilter, DeliveryRow, REACTIONS_MAX, ReactionNoted, StoreError},
};

/// A row as it is kept: whose, body, state, attempts, end, reason.
type KeptRow = (
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<String>,
    Option<u32>,
    Option<i64>,
    Option<String>,
);
/// Where a delivery stands in a list: time, id, partition.
type Place = (i64, Vec<u8>, usize);

impl RedisStore {
    /// One delivery. Its id does not say whose it is, so every partition is asked. Those that don't answer matter only if
    /// it is in none of the others.
    pub(super) async fn find_delivery(
        &self,
        workspace: &WorkspaceId,
        id: DeliveryId,
    ) -> Result<Option<DeliveryRow>, StoreError> {
        let places: Vec<Place> = (0..self.keys.count())
            .map(|partition| (0, id.0.as_bytes().to_vec(), partition))
            .collect();
        let mut failure = None;
        for row in self.each_kept_row(&places).await {
            match row {
                Ok(row) => {
                    if let Some(row) = read_row(workspace, row)? {
                        return Ok(Some(row));
                    }
                }
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(None), |failure| Err(failure.into()))
    }

    /// Keeps what became of a push on a phone.
    pub(super) async fn keep_reaction(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        delivery: DeliveryId,
        name: &str,
        fact: &Fact,
    ) -> Result<ReactionNoted, StoreError> {
        let mut arguments = Arguments::default();
        arguments
            .number(self.kept.as_millis())
            .add(delivery.0.as_bytes())
            .add(name)
            .add(workspace.as_str())
            .add(subject.to_key())
            .add(to_json(fact)?)
            .number(REACTIONS_MAX);
        let partition = self.keys.of_subject(workspace, subject);
        let noted: i64 = (self.scripts.react)
            .run(&self.link, self.keys.partition(partition), &arguments)
            .await?;
        Ok(match noted {
            1 => ReactionNoted::Now,
            0 => ReactionNoted::Before,
            _ => ReactionNoted::TooMany,
        })
    }

    /// The rows at these places, as they are kept.
    async fn each_kept_row(&self, places: &[Place]) -> Vec<Result<KeptRow, Failure>> {
        let reads: Vec<Cmd> = places
            .iter()
            .map(|(_, id, partition)| {
                let mut key = format!("{}:d:", self.keys.partition(*partition)).into_bytes();
                key.extend_from_slice(id);
                let mut read = cmd("HMGET");
                read.arg(key).arg(&["w", "b", "s", "a", "e", "r"]);
                read
            })
            .collect();
        self.link.ask_all(reads).await
    }

    /// The same, all of them.
    async fn kept_rows(&self, places: &[Place]) -> Result<Vec<KeptRow>, Failure> {
        self.each_kept_row(places).await.into_iter().collect()
    }

    /// The rows at these places that are there and can be read.
    async fn read_rows(&self, workspace: &WorkspaceId, places: &[Place]) -> Result<Vec<DeliveryRow>, StoreError> {
        let rows = self.kept_rows(places).await?.into_iter();
        rows.filter_map(|row| read_row(workspace, row).transpose()).collect()
    }

    /// The next places of a list in these partitions, newest first.
    async fn page(
        &self,
        list: &str,
        partitions: std::ops::Range<usize>,
        before: Option<&(i64, Vec<u8>)>,
        count: usize,
    ) -> Result<Page<Place>, Failure> {
        let pages = join_all(partitions.map(|partition| self.places(list, partition, before, count)));
        let pages = pages.await.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(merge(pages, |(at, id, _)| std::cmp::Reverse((*at, id.clone()))))
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
            let page = self.page(&list, partitions.clone(), before.as_ref(), count).await?;
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

    pub(super) async fn list_dead_letters(
        &self,
        workspace: &WorkspaceId,
        before: Option<(Timestamp, DeliveryId)>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let mut before = before.map(|(at, id)| (at.0, id.0.as_bytes().to_vec()));
        let mut found = Vec::new();
        let (all, count) = (self.keys.count(), share(limit, self.keys.count()));
        while found.len() < limit {
            let page = self.page("dlq", 0..all, before.as_ref(), count).await?;
            let Some(last) = page.items.last() else { break };
            before = Some((last.0, last.1.clone()));
            let rows = self.kept_rows(&page.items).await?;
            for ((at, id, _), row) in page.items.iter().zip(rows) {
                if let (Some(whose), Some(body), _, attempts, _, reason) = row
                    && is_of(workspace, &whose)
                    && let Ok(id) = Uuid::from_slice(id)
                {
                    found.push(DeadLetter {
                        delivery: DeliveryId(id),
                        at: Timestamp(*at),
                        reason: reason.unwrap_or_default(),
                        attempts: attempts.unwrap_or_default(),
                        body: String::from_utf8_lossy(&body).into_owned(),
                    });
                }
            }
            if !page.has_more {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    pub(super) async fn requeue_row(
        &self,
        workspace: &WorkspaceId,
        id: DeliveryId,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut arguments = Arguments::default();
        arguments.add(id.0.as_bytes()).add(workspace.as_str()).number(at.0);
        let answers = join_all((0..self.keys.count()).map(async |partition| {
            let key = self.keys.partition(partition);
            let requeued: i64 = self.scripts.requeue.run(&self.link, key, &arguments).await?;
            if requeued == 1 {
                self.outbox.add(partition, at.0);
            }
            Ok(requeued == 1)
        }))
        .await;
        let mut failure = None;
        for answer in answers {
            match answer {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(false), |failure: Failure| Err(failure.into()))
    }
}

/// A row as people look at it; `None`: it is not there, not the workspace's, or a dead letter that can't be read.
fn read_row(workspace: &WorkspaceId, row: KeptRow) -> Result<Option<DeliveryRow>, StoreError> {
    let (Some(whose), Some(body), Some(state), attempts, ended_at, reason) = row else {
        return Ok(None);
    };
    if !is_of(workspace, &whose) {
        return Ok(None);
    }
    let state = read_state(&state)?;
    let delivery = match read_body(&body) {
        // It is listed among the dead letters.
        Err(_) if state == DeliveryState::DeadLetter => return Ok(None),
        delivery => delivery?,
    };
    Ok(Some(DeliveryRow {
        delivery,
        state,
        attempts: attempts.unwrap_or_default(),
        ended_at: ended_at.map(Timestamp),
        reason: reason.filter(|reason| !reason.is_empty()),
    }))
}

/// Whether a row is the workspace's.
fn is_of(workspace: &WorkspaceId, whose: &[u8]) -> bool {
    let name = workspace.as_str().as_bytes();
    whose.starts_with(name) && whose.get(name.len()) == Some(&0)
}
