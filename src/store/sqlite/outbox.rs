//! The outbox: rows of `delivery` that have not ended. A leased row is due again when its lease runs out.

use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use uuid::Uuid;

use super::unreadable;
use crate::{
    domain::{
        delivery::{Delivery, DeliveryState},
        ids::{DeliveryId, WorkspaceId},
        time::Timestamp,
    },
    engine::ports::{Attempt, DeadLetter, DeliveryFilter, DeliveryRow, Finish, LEASES_MAX, Leased, StoreError},
};

/// Adds a row; one that is there already stays as it is.
pub(super) fn insert(connection: &Connection, delivery: &Delivery, body: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO delivery (id, workspace, user, campaign, decided_at, state, attempts, due_at, leased, body)
             VALUES (?, ?, ?, ?, ?, 'queued', 0, ?, 0, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            delivery.id.0.as_bytes(),
            delivery.workspace.as_str(),
            delivery.subject.user().map(|user| user.as_str().to_owned()),
            delivery.campaign.as_str(),
            delivery.decided_at.0,
            delivery.decided_at.0,
            body
        ])
        .map(drop)
}

fn read_body(row: &Row<'_>, column: usize) -> rusqlite::Result<Delivery> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| unreadable(column, error))
}

fn read_state(row: &Row<'_>, column: usize) -> rusqlite::Result<DeliveryState> {
    let name = row.get_ref(column)?.as_str()?;
    DeliveryState::from_name(name)
        .ok_or_else(|| unreadable(column, StoreError::Damaged(format!("delivery state `{name}`"))))
}

/// Takes up to `limit` due rows, the longest due first. A row that can't be read, or that nobody comes to an end with, is set
/// aside, so that it never holds up the others.
pub(super) fn lease(
    connection: &Connection,
    now: Timestamp,
    until: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<Leased>> {
    let mut select = connection.prepare_cached(
        "SELECT body, attempts, state, id, leases FROM delivery WHERE ended_at IS NULL AND due_at <= ? ORDER BY due_at LIMIT ?",
    )?;
    let mut lease =
        connection.prepare_cached("UPDATE delivery SET due_at = ?, leased = 1, leases = leases + 1 WHERE id = ?")?;
    let mut bury = connection.prepare_cached(
        "UPDATE delivery SET state = 'dead_letter', leased = 0, ended_at = ?, reason = ? WHERE id = ?",
    )?;
    let mut rows = select.query(params![now.0, limit as i64])?;
    let (mut leased, mut dead) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let read = || -> rusqlite::Result<Leased> {
            let in_doubt = read_state(row, 2)? == DeliveryState::Sending;
            Ok(Leased {
                delivery: read_body(row, 0)?,
                attempts: row.get(1)?,
                in_doubt,
                until,
            })
        };
        let leases: u32 = row.get(4)?;
        match read() {
            Ok(_) if leases >= LEASES_MAX => {
                dead.push((
                    row.get::<_, Vec<u8>>(3)?,
                    format!("was taken {leases} times and never finished"),
                ));
            }
            Ok(row) => leased.push(row),
            Err(error) => dead.push((row.get(3)?, format!("is unreadable: {error}"))),
        }
    }
    for row in &leased {
        lease.execute(params![until.0, row.delivery.id.0.as_bytes()])?;
    }
    for (id, reason) in dead {
        tracing::error!(reason, "a row of the outbox is a dead letter");
        bury.execute(params![now.0, reason, id])?;
    }
    Ok(leased)
}

/// Marks rows as being sent; false where the row is not as the worker saw it.
pub(super) fn begin_attempts(connection: &Connection, attempts: &[Attempt]) -> rusqlite::Result<Vec<bool>> {
    let mut update = connection.prepare_cached(
        "UPDATE delivery SET state = 'sending', attempts = ?2
         WHERE id = ?1 AND ended_at IS NULL AND leased = 1 AND due_at = ?3 AND attempts = ?2 - 1",
    )?;
    attempts
        .iter()
        .map(|attempt| {
            let id = attempt.delivery.0.as_bytes();
            Ok(update.execute(params![id, attempt.number, attempt.leased_until.0])? == 1)
        })
        .collect()
}

/// Writes what a leased row came to; false when it has ended or was erased.
pub(super) fn finish(connection: &Connection, finish: &Finish) -> rusqlite::Result<bool> {
    let ended_at = finish.state.is_ended().then_some(finish.at.0);
    connection
        .prepare_cached(
            "UPDATE delivery SET state = ?, due_at = ?, leased = 0, leases = 0, ended_at = ?, reason = ?, attempts = ?
             WHERE id = ? AND ended_at IS NULL AND attempts = ?",
        )?
        .execute(params![
            finish.state.as_str(),
            finish.due_at.0,
            ended_at,
            finish.reason,
            finish.attempts,
            finish.delivery.0.as_bytes(),
            finish.begun
        ])
        .map(|changed| changed == 1)
}

/// Rows of the workspace that were set aside, newest first.
pub(super) fn dead_letters(
    connection: &Connection,
    workspace: &WorkspaceId,
    before: Option<(Timestamp, DeliveryId)>,
    limit: usize,
) -> rusqlite::Result<Vec<DeadLetter>> {
    let (at, id) = place(before);
    let mut select = connection.prepare_cached(
        "SELECT id, ended_at, reason, attempts, body FROM delivery
         WHERE workspace = ? AND state = 'dead_letter' AND (ended_at, id) < (?, ?)
         ORDER BY ended_at DESC, id DESC LIMIT ?",
    )?;
    let rows = select.query_map(params![workspace.as_str(), at, id, limit as i64], |row| {
        Ok(DeadLetter {
            delivery: DeliveryId(Uuid::from_bytes(row.get(0)?)),
            at: Timestamp(row.get(1)?),
            reason: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
            attempts: row.get(3)?,
            body: String::from_utf8_lossy(row.get_ref(4)?.as_bytes()?).into_owned(),
        })
    })?;
    rows.collect()
}

/// Puts a row that was set aside back; false when it is none.
pub(super) fn requeue(
    connection: &Connection,
    workspace: &WorkspaceId,
    id: DeliveryId,
    at: Timestamp,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "UPDATE delivery SET state = iif(attempts > 0, 'sending', 'queued'), due_at = ?, leases = 0, ended_at = NULL,
                 reason = NULL WHERE id = ? AND workspace = ? AND state = 'dead_letter'",
        )?
        .execute(params![at.0, id.0.as_bytes(), workspace.as_str()])
        .map(|changed| changed == 1)
}

/// Where a list goes on, newest first; beyond the first where it begins.
fn place(before: Option<(Timestamp, DeliveryId)>) -> (i64, Vec<u8>) {
    before.map_or((i64::MAX, vec![0xff; 17]), |(at, id)| (at.0, id.0.as_bytes().to_vec()))
}

/// A row; `None` for a dead letter that can't be read.
fn read_listed(row: &Row<'_>) -> rusqlite::Result<Option<DeliveryRow>> {
    match read_row(row) {
        Err(_) if read_state(row, 1)? == DeliveryState::DeadLetter => Ok(None),
        read => read.map(Some),
    }
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    Ok(DeliveryRow {
        delivery: read_body(row, 0)?,
        state: read_state(row, 1)?,
        attempts: row.get(2)?,
        ended_at: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        reason: row.get(4)?,
    })
}

/// One delivery of the workspace.
pub(super) fn one(
    connection: &Connection,
    workspace: &WorkspaceId,
    id: DeliveryId,
) -> rusqlite::Result<Option<DeliveryRow>> {
    connection
        .prepare_cached("SELECT body, state, attempts, ended_at, reason FROM delivery WHERE id = ? AND workspace = ?")?
        .query_row(params![id.0.as_bytes(), workspace.as_str()], read_listed)
        .optional()
        .map(Option::flatten)
}

/// Deliveries of the workspace, newest first.
pub(super) fn list(
    connection: &Connection,
    workspace: &WorkspaceId,
    filter: &DeliveryFilter,
    limit: usize,
) -> rusqlite::Result<Vec<DeliveryRow>> {
    let (before_at, before_id) = place(filter.before);
    let by_user = if filter.user.is_some() {
        "user = :user"
    } else {
        ":user IS NULL"
    };
    let mut select = connection.prepare_cached(&format!(
        "SELECT body, state, attempts, ended_at, reason FROM delivery
         WHERE workspace = :workspace AND {by_user} AND (:campaign IS NULL OR campaign = :campaign)
           AND (:state IS NULL OR state = :state) AND (decided_at, id) < (:before_at, :before_id)
         ORDER BY decided_at DESC, id DESC LIMIT :limit"
    ))?;
    let rows = select.query_map(
        named_params! {
            ":workspace": workspace.as_str(),
            ":user": filter.user.as_ref().map(|user| user.as_str().to_owned()),
            ":campaign": filter.campaign.as_ref().map(|campaign| campaign.as_str().to_owned()),
            ":state": filter.state.map(DeliveryState::as_str),
            ":before_at": before_at,
            ":before_id": before_id,
            ":limit": limit as i64,
        },
        read_listed,
    )?;
    rows.filter_map(Result::transpose).collect()
}
