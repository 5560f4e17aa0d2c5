//! Records, facts, outside events and followers.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    SqliteStore,
    commit::{Prepared, fact_row, insert_fact, to_json},
    outbox, present, reactions, unreadable,
};
use crate::{
    domain::{
        event::{Event, Fact, OutsideEvent},
        ids::{CauseId, DeliveryId, DeviceId, GeofenceId, SubjectId, Topic, WorkspaceId},
        lane::LanePart,
        pace::{Slot, SlotAsks},
        time::Timestamp,
    },
    engine::ports::{
        Attempt, Commit, CommitOutcome, DeadLetter, DeliveryFilter, DeliveryRow, FactCursor, FactPage, FanOut, Finish,
        HotStore, LeaseAsk, Leased, Present, ReactionNoted, StoreError, StoredRecord,
    },
};

/// One writer numbers the facts as it commits them, so a higher number is never visible before a lower one.
fn facts_after(
    connection: &Connection,
    workspace: &WorkspaceId,
    after: i64,
    limit: usize,
) -> rusqlite::Result<FactPage> {
    let mut select =
        connection.prepare_cached("SELECT seq, body FROM fact WHERE workspace = ? AND seq > ? ORDER BY seq LIMIT ?")?;
    let rows = select.query_map(params![workspace.as_str(), after, limit as i64], read_fact)?;
    Ok(FactPage::of(rows.collect::<rusqlite::Result<Vec<_>>>()?, limit))
}

/// A customer's facts, newest first.
fn facts_of(
    connection: &Connection,
    workspace: &WorkspaceId,
    subject: &str,
    before: i64,
    limit: usize,
) -> rusqlite::Result<FactPage> {
    let mut select = connection.prepare_cached(
        "SELECT seq, body FROM fact INDEXED BY fact_subject
         WHERE workspace = ? AND subject = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
    )?;
    let rows = select.query_map(params![workspace.as_str(), subject, before, limit as i64], read_fact)?;
    Ok(FactPage::of(rows.collect::<rusqlite::Result<Vec<_>>>()?, limit))
}

/// A fact, or why it can't be read.
fn read_fact(row: &rusqlite::Row<'_>) -> rusqlite::Result<(FactCursor, Result<Fact, String>)> {
    let place = FactCursor::new(row.get::<_, i64>(0)?.to_string());
    let body = row.get_ref(1)?.as_str().map_err(|error| error.to_string());
    let fact = body.and_then(|body| serde_json::from_str(body).map_err(|error| error.to_string()));
    Ok((place, fact))
}

/// The fact's number behind a place.
fn seq_of(cursor: &FactCursor) -> Result<i64, StoreError> {
    cursor.as_str().parse().map_err(|_| StoreError::UnknownCursor)
}

pub(super) fn subject_from(key: &str) -> rusqlite::Result<SubjectId> {
    SubjectId::from_key(key).ok_or_else(|| unreadable(0, StoreError::Damaged(format!("subject `{key}`"))))
}

/// Takes up to `limit` records that are due to be looked at, the longest due first. One whose name can't be read is never
/// due again, so that it doesn't hold up the others.
fn lease_wakes(
    connection: &Connection,
    now: Timestamp,
    until: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<(WorkspaceId, SubjectId)>> {
    let mut select = connection
        .prepare_cached("SELECT workspace, subject FROM record WHERE wake_at <= ? ORDER BY wake_at LIMIT ?")?;
    let mut lease = connection
        .prepare_cached("UPDATE record SET wake_at = ?, wake_leased = 1 WHERE workspace = ? AND subject = ?")?;
    let rows: Vec<(String, String)> = select
        .query_map(params![now.0, limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut leased = Vec::with_capacity(rows.len());
    for (workspace, subject) in rows {
        let named = WorkspaceId::new(workspace.as_str())
            .ok()
            .zip(SubjectId::from_key(&subject));
        let until = named.is_some().then_some(until.0);
        lease.execute(params![until, workspace, subject])?;
        if named.is_none() {
            tracing::error!(subject, "a record's name is unreadable; it is never woken");
        }
        leased.extend(named);
    }
    Ok(leased)
}

/// Outside events that have not reached everybody. One that can't be read ends here, so that it never holds up the others.
fn pending_events(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<FanOut>> {
    let mut select = connection
        .prepare_cached("SELECT workspace, body, after, id FROM outside_event WHERE done = 0 ORDER BY at LIMIT ?")?;
    let mut bury = connection.prepare_cached("UPDATE outside_event SET done = 1 WHERE workspace = ? AND id = ?")?;
    let mut rows = select.query([limit as i64])?;
    let (mut pending, mut lost) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let read = || -> rusqlite::Result<FanOut> {
            Ok(FanOut {
                workspace: WorkspaceId::new(row.get_ref(0)?.as_str()?).map_err(|error| unreadable(0, error))?,
                event: serde_json::from_str(row.get_ref(1)?.as_str()?).map_err(|error| unreadable(1, error))?,
                after: row
                    .get::<_, Option<String>>(2)?
                    .map(|key| subject_from(&key))
                    .transpose()?,
            })
        };
        match read() {
            Ok(fan_out) => pending.push(fan_out),
            Err(error) => lost.push((row.get::<_, String>(0)?, row.get::<_, String>(3)?, error)),
        }
    }
    for (workspace, id, error) in lost {
        tracing::error!(%error, id, "an outside event is unreadable and was given up");
        bury.execute([workspace, id])?;
    }
    Ok(pending)
}

/// An answer for each of `count`: what fails here fails for all of them.
fn each<T>(answers: Result<Vec<T>, StoreError>, count: usize) -> Vec<Result<T, StoreError>> {
    match answers {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
    }
}

impl SqliteStore {
    /// Writes ends in one transaction.
    async fn finish_all(&self, finishes: Vec<Finish>) -> Result<(), StoreError> {
        let rows = finishes
            .into_iter()
            .map(|finish| {
                let fact = fact_row(&finish.workspace, &finish.subject, None, &finish.fact())?;
                Ok((fact, finish))
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        self.writer
            .write(move |connection| {
                rows.iter().try_for_each(|(fact, finish)| {
                    if outbox::finish(connection, finish)? && !finish.quiet {
                        insert_fact(connection, fact)
                    } else {
                        Ok(())
                    }
                })
            })
            .await
    }
}

#[async_trait]
impl HotStore for SqliteStore {
    async fn load(
        &self,
        workspace: &WorkspaceId,
        subjects: &[SubjectId],
    ) -> Vec<Result<Option<StoredRecord>, StoreError>> {
        let workspace = workspace.clone();
        let keys: Vec<String> = subjects.iter().map(SubjectId::to_key).collect();
        let records = self.read(move |connection| {
            let mut select = connection
                .prepare_cached("SELECT version, schema, bytes FROM record WHERE workspace = ? AND subject = ?")?;
            keys.iter()
                .map(|key| {
                    select
                        .query_row(params![workspace.as_str(), key], |row| {
                            Ok(StoredRecord {
                                version: row.get::<_, i64>(0)? as u64,
                                schema: row.get(1)?,
                                bytes: row.get(2)?,
                            })
                        })
                        .optional()
                })
                .collect()
        });
        each(records.await, subjects.len())
    }

    async fn subjects_of(
        &self,
        workspace: &WorkspaceId,
        devices: &[DeviceId],
    ) -> Vec<Result<Option<SubjectId>, StoreError>> {
        let (workspace, count, devices) = (workspace.clone(), devices.len(), devices.to_vec());
        let owners = self.read(move |connection| {
            let mut select =
                connection.prepare_cached("SELECT subject FROM device WHERE workspace = ? AND device = ?")?;
            devices
                .iter()
                .map(|device| {
                    select
                        .query_row(params![workspace.as_str(), device.as_str()], |row| {
                            subject_from(&row.get::<_, String>(0)?)
                        })
                        .optional()
                })
                .collect()
        });
        each(owners.await, count)
    }

    async fn commit(&self, commits: Vec<Commit>) -> Vec<Result<CommitOutcome, StoreError>> {
        let count = commits.len();
        let prepared = match commits.into_iter().map(Prepared::new).collect::<Result<Vec<_>, _>>() {
            Ok(prepared) => prepared,
            Err(error) => return each(Err(error), count),
        };
        // One transaction for all: what keeps one out keeps them all out.
        let outcomes = self
            .writer
            .write(move |connection| prepared.iter().map(|commit| commit.run(connection)).collect());
        each(outcomes.await, count)
    }

    async fn events_of(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        cause: &CauseId,
    ) -> Result<Vec<Event>, StoreError> {
        let (workspace, subject, cause) = (workspace.clone(), subject.to_key(), cause.clone());
        self.read(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT body FROM fact WHERE workspace = ? AND subject = ? AND cause = ? ORDER BY seq",
            )?;
            let mut rows = select.query(params![workspace.as_str(), subject, cause.as_str()])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                let fact = serde_json::from_str(row.get_ref(0)?.as_str()?).map_err(|error| unreadable(0, error))?;
                if let Fact::Event(event) = fact {
                    events.push(event);
                }
            }
            Ok(events)
        })
        .await
    }

    async fn facts_after(
        &self,
        workspace: &WorkspaceId,
        after: Option<&FactCursor>,
        limit: usize,
    ) -> Result<FactPage, StoreError> {
        let after = after.map_or(Ok(0), seq_of)?;
        let workspace = workspace.clone();
        self.read(move |connection| facts_after(connection, &workspace, after, limit))
            .await
    }

    async fn facts_of(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        before: Option<&FactCursor>,
        limit: usize,
    ) -> Result<FactPage, StoreError> {
        let before = before.map_or(Ok(i64::MAX), seq_of)?;
        let (workspace, subject) = (workspace.clone(), subject.to_key());
        self.read(move |connection| facts_of(connection, &workspace, &subject, before, limit))
            .await
    }

    async fn facts_end(&self, workspace: &WorkspaceId) -> Result<FactCursor, StoreError> {
        let workspace = workspace.clone();
        self.read(move |connection| {
            connection
                .prepare_cached("SELECT coalesce(max(seq), 0) FROM fact WHERE workspace = ?")?
                .query_row([workspace.as_str()], |row| row.get::<_, i64>(0))
        })
        .await
        .map(|seq| FactCursor::new(seq.to_string()))
    }

    async fn leads_on(&self, _: &WorkspaceId, place: &FactCursor) -> Result<bool, StoreError> {
        let Ok(place) = seq_of(place) else { return Ok(false) };
        let given = self
            .read(|connection| {
                connection
                    .prepare_cached("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'fact'")?
                    .query_row([], |row| row.get::<_, i64>(0))
            })
            .await?;
        Ok((0..=given).contains(&place))
    }

    fn is_later(&self, place: &FactCursor, than: &FactCursor) -> Result<bool, StoreError> {
        Ok(seq_of(place)? > seq_of(than)?)
    }

    async fn lease_rows(&self, ask: &LeaseAsk) -> Result<Vec<Leased>, StoreError> {
        let ask = ask.clone();
        self.writer
            .write(move |connection| outbox::lease(connection, &ask))
            .await
    }

    async fn begin_attempts(&self, attempts: Vec<Attempt>) -> Result<Vec<bool>, StoreError> {
        self.writer
            .write(move |connection| outbox::begin_attempts(connection, &attempts))
            .await
    }

    async fn finish_each(&self, finishes: Vec<Finish>) -> Vec<Result<(), StoreError>> {
        let count = finishes.len();
        vec![self.finish_all(finishes).await; count]
    }

    async fn next_due_but(&self, held: &[LanePart]) -> Result<Option<Timestamp>, StoreError> {
        let held = held.to_vec();
        self.read(move |connection| outbox::next_due(connection, &held)).await
    }

    async fn give_slots(&self, asks: &SlotAsks) -> Result<Vec<Slot>, StoreError> {
        Ok(self.pace.give(asks))
    }

    async fn outbox_depth(&self) -> Result<u64, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT count(*) FROM delivery WHERE ended_at IS NULL")?
                .query_row([], |row| Ok(row.get::<_, i64>(0)? as u64))
        })
        .await
    }

    async fn delivery(&self, workspace: &WorkspaceId, id: DeliveryId) -> Result<Option<DeliveryRow>, StoreError> {
        let workspace = workspace.clone();
        self.read(move |connection| outbox::one(connection, &workspace, id))
            .await
    }

    async fn deliveries(
        &self,
        workspace: &WorkspaceId,
        filter: DeliveryFilter,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let workspace = workspace.clone();
        self.read(move |connection| outbox::list(connection, &workspace, &filter, limit))
            .await
    }

    async fn dead_letters(
        &self,
        workspace: &WorkspaceId,
        before: Option<(Timestamp, DeliveryId)>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let workspace = workspace.clone();
        self.read(move |connection| outbox::dead_letters(connection, &workspace, before, limit))
            .await
    }

    async fn requeue(&self, workspace: &WorkspaceId, id: DeliveryId, at: Timestamp) -> Result<bool, StoreError> {
        let workspace = workspace.clone();
        self.writer
            .write(move |connection| outbox::requeue(connection, &workspace, id, at))
            .await
    }

    async fn note_reaction(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        delivery: DeliveryId,
        name: &str,
        fact: &Fact,
    ) -> Result<ReactionNoted, StoreError> {
        let (workspace, subject, fact) = (workspace.clone(), subject.to_key(), to_json(fact)?);
        // No input's name begins so.
        let first = format!("\u{1}{delivery} ");
        let (cause, last) = (format!("{first}{name}"), format!("\u{1}{delivery}!"));
        self.writer
            .write(move |connection| {
                reactions::note(connection, workspace.as_str(), &subject, (&first, &cause, &last), &fact)
            })
            .await
    }

    async fn lease_wakes(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(WorkspaceId, SubjectId)>, StoreError> {
        self.writer
            .write(move |connection| lease_wakes(connection, now, until, limit))
            .await
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT min(wake_at) FROM record WHERE wake_at IS NOT NULL")?
                .query_row([], |row| Ok(row.get::<_, Option<i64>>(0)?.map(Timestamp)))
        })
        .await
    }

    async fn present(
        &self,
        workspace: &WorkspaceId,
        geofence: &GeofenceId,
        after: Option<(&SubjectId, &DeviceId)>,
        limit: usize,
    ) -> Result<Vec<Present>, StoreError> {
        let (workspace, geofence, after) = (workspace.clone(), geofence.clone(), present::place_after(after));
        self.read(move |connection| present::list(connection, &workspace, &geofence, &after, limit))
            .await
    }

    async fn put_event(
        &self,
        workspace: &WorkspaceId,
        event: &OutsideEvent,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let (workspace, id, body) = (workspace.clone(), event.id.clone(), to_json(event)?);
        self.writer
            .write(move |connection| {
                let added = connection
                    .prepare_cached(
                        "INSERT INTO outside_event (workspace, id, at, done, body) VALUES (?, ?, ?, 0, ?)
                         ON CONFLICT DO NOTHING",
                    )?
                    .execute(params![workspace.as_str(), id.as_str(), at.0, body])?;
                Ok(added == 1)
            })
            .await
    }

    async fn pending_events(&self, limit: usize) -> Result<Vec<FanOut>, StoreError> {
        self.writer
            .write(move |connection| pending_events(connection, limit))
            .await
    }

    async fn advance_event(
        &self,
        workspace: &WorkspaceId,
        event: &CauseId,
        after: Option<&SubjectId>,
    ) -> Result<(), StoreError> {
        let (workspace, event, after) = (workspace.clone(), event.clone(), after.map(SubjectId::to_key));
        self.writer
            .write(move |connection| {
                connection
                    // Of one that has reached everybody only the name is needed.
                    .prepare_cached(
                        "UPDATE outside_event SET done = ?1, after = ?2, body = CASE WHEN ?1 THEN '' ELSE body END
                         WHERE workspace = ?3 AND id = ?4",
                    )?
                    .execute(params![after.is_none(), after, workspace.as_str(), event.as_str()])
                    .map(drop)
            })
            .await
    }

    async fn followers(
        &self,
        workspace: &WorkspaceId,
        topic: &Topic,
        after: Option<&SubjectId>,
        limit: usize,
    ) -> Result<Vec<SubjectId>, StoreError> {
        let (workspace, topic) = (workspace.clone(), topic.clone());
        let after = after.map(SubjectId::to_key).unwrap_or_default();
        self.read(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT subject FROM follower WHERE workspace = ? AND topic = ? AND subject > ?
                 ORDER BY subject LIMIT ?",
            )?;
            let rows = select.query_map(
                params![workspace.as_str(), topic.as_str(), after, limit as i64],
                |row| subject_from(&row.get::<_, String>(0)?),
            )?;
            rows.collect()
        })
        .await
    }

    async fn count_followers(&self, workspace: &WorkspaceId, topic: &Topic) -> Result<u64, StoreError> {
        let (workspace, topic) = (workspace.clone(), topic.clone());
        self.read(move |connection| {
            connection
                .prepare_cached("SELECT count(*) FROM follower WHERE workspace = ? AND topic = ?")?
                .query_row(params![workspace.as_str(), topic.as_str()], |row| {
                    Ok(row.get::<_, i64>(0)? as u64)
                })
        })
        .await
    }

    async fn count_present(&self, workspace: &WorkspaceId, geofence: &GeofenceId) -> Result<u64, StoreError> {
        let (workspace, geofence) = (workspace.clone(), geofence.clone());
        self.read(move |connection| present::count(connection, &workspace, &geofence))
            .await
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.writer
            .write(|connection| {
                connection
                    .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('ping', x'01')")?
                    .execute([])
                    .map(drop)
            })
            .await
    }

    async fn close(&self) {
        self.readers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clear();
        self.writer.close().await;
    }
}
