//! Facts: in each partition a stream for each workspace, in whose order a customer's facts were committed.
//!
//! Read all together they are ordered by (millisecond, partition, number). A partition may commit something whose
//! millisecond is a little earlier than what another one has shown already: clocks differ, and reading takes time. So
//! before anything is shown, every partition's stream is moved beyond the last millisecond of it (XSETID): what is
//! committed later gets a later place. A place is therefore all that a reader needs to go on from, with any node and
//! after any restart, and nothing is ever passed over.

use futures_util::future::join_all;
use redis::cmd;

use super::{
    RedisStore,
    link::Failure,
    merge::{Page, merge, share},
    scripts::Arguments,
};
use crate::{
    domain::{
        event::{Event, Fact},
        ids::{CauseId, SubjectId, WorkspaceId},
    },
    engine::ports::{FactCursor, FactPage, StoreError},
};

/// Latest facts of a customer that are listed, and among which those of one cause are looked for.
const LOOKED_THROUGH_MAX: isize = 4096;

/// No cursor that was given is from beyond this millisecond.
const MS_MAX: u64 = 1 << 53;

/// An entry's place among all: millisecond, partition, number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    ms: u64,
    partition: usize,
    number: u64,
}

/// A stream's entries: ids with names and values of their fields.
type Entries = Vec<(String, Vec<Vec<u8>>)>;

impl Place {
    fn read(cursor: &FactCursor) -> Option<Self> {
        let mut parts = cursor.as_str().split('.');
        let place = Self {
            ms: parts.next()?.parse().ok()?,
            partition: parts.next()?.parse().ok()?,
            number: parts.next()?.parse().ok()?,
        };
        (parts.next().is_none() && place.ms < MS_MAX).then_some(place)
    }

    fn cursor(self) -> FactCursor {
        FactCursor::new(format!("{}.{}.{}", self.ms, self.partition, self.number))
    }

    /// Where a partition's stream goes on after this place.
    fn next_in(self, partition: usize) -> String {
        match partition.cmp(&self.partition) {
            std::cmp::Ordering::Less => format!("{}", self.ms + 1),
            std::cmp::Ordering::Equal => format!("({}-{}", self.ms, self.number),
            std::cmp::Ordering::Greater => format!("{}", self.ms),
        }
    }
}

/// The entries' places and bodies; nothing where an entry has none.
fn read_entries(partition: usize, entries: Entries) -> Result<Vec<(Place, Vec<u8>)>, Failure> {
    let unreadable = || Failure::Unreadable("a stream has an entry without a place".to_owned());
    entries
        .into_iter()
        .map(|(id, fields)| {
            let (ms, number) = id.split_once('-').ok_or_else(unreadable)?;
            let place = Place {
                ms: ms.parse().map_err(|_| unreadable())?,
                partition,
                number: number.parse().map_err(|_| unreadable())?,
            };
            let body = fields.chunks_exact(2).find(|field| field[0] == b"b");
            Ok((place, body.map(|field| field[1].clone()).unwrap_or_default()))
        })
        .collect()
}

/// Whether the first place comes after the second.
pub(super) fn is_later(place: &FactCursor, than: &FactCursor) -> Result<bool, StoreError> {
    let read = |cursor| Place::read(cursor).ok_or(StoreError::UnknownCursor);
    Ok(read(place)? > read(than)?)
}

impl RedisStore {
    /// Facts after a place; `None`: from the first that is kept.
    pub(super) async fn read_facts(
        &self,
        workspace: &WorkspaceId,
        after: Option<&FactCursor>,
        limit: usize,
    ) -> Result<FactPage, StoreError> {
        let after = match after {
            None => Place {
                ms: 0,
                partition: 0,
                number: 0,
            },
            Some(cursor) => Place::read(cursor).ok_or(StoreError::UnknownCursor)?,
        };
        let found = self.read_streams(workspace, after, None, limit).await?;
        let Some((last, _)) = found.items.iter().take(limit).next_back() else {
            return Ok(FactPage::default());
        };
        let certain = self.read_streams(workspace, after, Some(last.ms), limit).await?;
        let kept = certain.items.into_iter().take(limit);
        let read = |body: Vec<u8>| serde_json::from_slice(&body).map_err(|error| error.to_string());
        Ok(FactPage::of(
            kept.map(|(place, body)| (place.cursor(), read(body))),
            limit,
        ))
    }

    /// Every partition's next facts together, up to a millisecond before which nothing comes any more.
    async fn read_streams(
        &self,
        workspace: &WorkspaceId,
        after: Place,
        until: Option<u64>,
        limit: usize,
    ) -> Result<Page<(Place, Vec<u8>)>, StoreError> {
        let count = share(limit, self.keys.count());
        let pages = join_all((0..self.keys.count()).map(async |partition| {
            let key = self.keys.partition(partition);
            let entries: Entries = match until {
                None => {
                    let mut range = cmd("XRANGE");
                    range
                        .arg(format!("{key}:fx:{workspace}"))
                        .arg(after.next_in(partition))
                        .arg("+");
                    self.link.ask(range.arg("COUNT").arg(count)).await?
                }
                Some(until) => {
                    let mut arguments = Arguments::default();
                    arguments
                        .add(workspace.as_str())
                        .add(after.next_in(partition))
                        .number(until)
                        .number(count);
                    self.scripts.facts.run(&self.link, key, &arguments).await?
                }
            };
            let has_more = entries.len() == count;
            let items = read_entries(partition, entries)?;
            Ok(Page { items, has_more })
        }))
        .await
        .into_iter()
        .collect::<Result<Vec<_>, Failure>>()?;
        Ok(merge(pages, |(place, _)| *place))
    }

    /// Where the facts end for now.
    pub(super) async fn end_of_facts(&self, workspace: &WorkspaceId) -> Result<FactCursor, StoreError> {
        let last = join_all((0..self.keys.count()).map(async |partition| {
            let mut last = cmd("XREVRANGE");
            last.arg(format!("{}:fx:{workspace}", self.keys.partition(partition)));
            let entries: Entries = self.link.ask(last.arg("+").arg("-").arg("COUNT").arg(1)).await?;
            read_entries(partition, entries)
        }))
        .await
        .into_iter()
        .collect::<Result<Vec<_>, Failure>>()?;
        let last_ms = last.into_iter().flatten().map(|(place, _)| place.ms).max().unwrap_or(0);
        // The present, so that the place is as young as it can be. Nothing may get an earlier one any more.
        let ms = last_ms.max(self.end_of_partition(workspace, 0).await?.0);
        let end = Place {
            ms,
            partition: self.keys.count(),
            number: 0,
        };
        self.read_streams(workspace, end, Some(ms), 1).await?;
        Ok(end.cursor())
    }

    /// The server's millisecond, and the last place that the partition has given: millisecond, number.
    async fn end_of_partition(
        &self,
        workspace: &WorkspaceId,
        partition: usize,
    ) -> Result<(u64, Option<(u64, u64)>), Failure> {
        let mut arguments = Arguments::default();
        arguments.add(workspace.as_str());
        let key = self.keys.partition(partition);
        let (now, last): (String, String) = self.scripts.facts_end.run(&self.link, key, &arguments).await?;
        let now = now.parse();
        let now = now.map_err(|_| Failure::Unreadable("a server's time is no number".to_owned()))?;
        let last = last.split_once('-');
        Ok((
            now,
            last.and_then(|(ms, number)| Some((ms.parse().ok()?, number.parse().ok()?))),
        ))
    }

    /// Whether a place was given by what is in this Redis now, and everything after it is still kept. Who was shown a
    /// place was shown it after its partition had come so far.
    pub(super) async fn leads_on(&self, workspace: &WorkspaceId, cursor: &FactCursor) -> Result<bool, StoreError> {
        let Some(place) = Place::read(cursor).filter(|place| place.partition <= self.keys.count()) else {
            return Ok(false);
        };
        // The end of all facts lies behind the last partition; each has come so far.
        let partition = place.partition.min(self.keys.count() - 1);
        let (now_ms, last) = self.end_of_partition(workspace, partition).await?;
        let oldest_ms = now_ms.saturating_sub(self.kept.as_millis() as u64);
        Ok(place.ms >= oldest_ms && last >= Some((place.ms, place.number)))
    }

    /// A customer's facts, newest first, among the latest [`LOOKED_THROUGH_MAX`].
    pub(super) async fn read_facts_of(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        before: Option<&FactCursor>,
        limit: usize,
    ) -> Result<FactPage, StoreError> {
        let before = before.map(|cursor| Place::read(cursor).ok_or(StoreError::UnknownCursor));
        let before = before.transpose()?;
        let partition = self.keys.of_subject(workspace, subject);
        let index = self.index_of(workspace, subject).await?;
        let comes_before = |id: &str| {
            let (ms, number) = id.split_once('-')?;
            let (ms, number) = (ms.parse().ok()?, number.parse().ok()?);
            let place = Place { ms, partition, number };
            Some(before.is_none_or(|before| place < before))
        };
        let ids = index.iter().rev().filter_map(|entry| entry.split(' ').next());
        let ids: Vec<String> = ids
            .filter(|id| comes_before(id) == Some(true))
            .take(limit)
            .map(str::to_owned)
            .collect();
        let found = self.entries(workspace, partition, &ids).await?.into_iter();
        let facts = found.map(|(place, body)| {
            let fact = serde_json::from_slice(&body).map_err(|error| error.to_string());
            (place.cursor(), fact)
        });
        let mut page = FactPage::of(facts, limit);
        // Some that the index names may be gone.
        page.is_full = ids.len() >= limit;
        Ok(page)
    }

    /// Ids and causes of a customer's latest facts, oldest first.
    async fn index_of(&self, workspace: &WorkspaceId, subject: &SubjectId) -> Result<Vec<String>, StoreError> {
        let key = self.keys.partition(self.keys.of_subject(workspace, subject));
        let mut index = cmd("LRANGE");
        index.arg(format!("{key}:fi:{workspace}\0{}", subject.to_key()));
        Ok(self.link.ask(index.arg(-LOOKED_THROUGH_MAX).arg(-1)).await?)
    }

    /// Entries of a partition's stream by id, in that order; those that are gone are left out.
    async fn entries(
        &self,
        workspace: &WorkspaceId,
        partition: usize,
        ids: &[String],
    ) -> Result<Vec<(Place, Vec<u8>)>, StoreError> {
        let key = self.keys.partition(partition);
        let entries = join_all(ids.iter().map(async |id| {
            let mut one = cmd("XRANGE");
            one.arg(format!("{key}:fx:{workspace}")).arg(id).arg(id);
            self.link.ask::<Entries>(&one).await
        }))
        .await;
        let mut found = Vec::with_capacity(ids.len());
        for entries in entries {
            found.extend(read_entries(partition, entries?)?);
        }
        Ok(found)
    }

    /// The events that an earlier input of the customer brought about.
    pub(super) async fn events_by_cause(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        cause: &CauseId,
    ) -> Result<Vec<Event>, StoreError> {
        let partition = self.keys.of_subject(workspace, subject);
        let index = self.index_of(workspace, subject).await?;
        let ids: Vec<String> = index
            .iter()
            .filter_map(|entry| entry.split_once(' '))
            .filter(|(_, caused_by)| *caused_by == cause.as_str())
            .map(|(id, _)| id.to_owned())
            .collect();
        let mut events = Vec::new();
        for (_, body) in self.entries(workspace, partition, &ids).await? {
            let fact = serde_json::from_slice(&body).map_err(|error| StoreError::Damaged(error.to_string()))?;
            if let Fact::Event(event) = fact {
                events.push(event);
            }
        }
        Ok(events)
    }
}
