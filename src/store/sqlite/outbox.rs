//! The outbox: rows of `delivery` that have not ended. A leased row is due again when its lease runs out.

use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use uuid::Uuid;

use super::{
    commit::{fact_row, insert_fact},
    unreadable,
};
use crate::{
    domain::{
        delivery::{Delivery, DeliveryState, Platform},
        ids::{DeliveryId, WorkspaceId},
        lane::{LaneKey, LanePart, shares},
        time::Timestamp,
    },
    engine::ports::{
        Attempt, DeadLetter, DeliveryFilter, DeliveryRow, Finish, LEASES_MAX, LeaseAsk, Leased, StoreError,
    },
};

/// Adds a row; one that is there already stays as it is.
pub(super) fn insert(connection: &Connection, delivery: &Delivery, body: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO delivery (id, lane, workspace, user, campaign, decided_at, state, attempts, due_at, leased, body)
             VALUES (?, ?, ?, ?, ?, ?, 'queued', 0, ?, 0, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            delivery.id.0.as_bytes(),
            delivery.lane().as_str(),
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

/// Every lane in which something waits, and when its next row is due. Each costs two steps in an index, however much waits.
fn lanes(connection: &Connection) -> rusqlite::Result<Vec<(LaneKey, i64)>> {
    let mut select = connection.prepare_cached(
        "WITH RECURSIVE one (lane) AS (
             SELECT min(lane) FROM delivery WHERE ended_at IS NULL
             UNION ALL
             SELECT (SELECT min(lane) FROM delivery WHERE ended_at IS NULL AND lane > one.lane) FROM one
             WHERE one.lane IS NOT NULL)
         SELECT lane, (SELECT min(due_at) FROM delivery WHERE ended_at IS NULL AND lane = one.lane)
         FROM one WHERE lane IS NOT NULL",
    )?;
    let rows = select.query_map([], |row| {
        let name = row.get_ref(0)?.as_str()?;
        let lane = LaneKey::read(name);
        Ok((
            lane.ok_or_else(|| unreadable(0, StoreError::Damaged(format!("lane `{name}`"))))?,
            row.get(1)?,
        ))
    })?;
    rows.collect()
}

/// When the next row is due outside these lanes.
pub(super) fn next_due(connection: &Connection, held: &[LanePart]) -> rusqlite::Result<Option<Timestamp>> {
    let lanes = lanes(connection)?.into_iter();
    let open = lanes.filter(|(lane, _)| !held.iter().any(|part| lane.is_of(part)));
    Ok(open.map(|(_, due)| Timestamp(due)).min())
}

/// Takes due rows, from each lane the longest due first. A row that can't be read, or that nobody comes to an end with, is
/// set aside, so that it never holds up the others.
pub(super) fn lease(connection: &Connection, ask: &LeaseAsk) -> rusqlite::Result<Vec<Leased>> {
    let mut lanes = lanes(connection)?;
    lanes.retain(|(lane, due)| *due <= ask.now.0 && !ask.held.iter().any(|part| lane.is_of(part)));
    let mut open: Vec<&LaneKey> = lanes.iter().map(|(lane, _)| lane).collect();
    let (mut ios, mut android, mut all) = (ask.ios_max, ask.android_max, ask.rows_max);
    let mut leased = Vec::new();
    // A lane that had less than its share is empty; what it left goes to the others.
    while all > 0 {
        open.retain(|lane| match lane.platform() {
            Platform::Ios => ios > 0,
            Platform::Android => android > 0,
        });
        let shares = shares(&open, all, ask.turn);
        if shares.is_empty() {
            break;
        }
        for (lane, share) in shares {
            let room = match lane.platform() {
                Platform::Ios => &mut ios,
                Platform::Android => &mut android,
            };
            let share = share.min(*room);
            let (seen, rows) = lease_lane(connection, lane, ask, share)?;
            *room -= rows.len();
            all -= rows.len();
            leased.extend(rows);
            if seen < share {
                open.retain(|one| *one != lane);
            }
        }
    }
    Ok(leased)
}

/// Takes up to `limit` due rows of a lane: how many it had, and those that can be worked on.
fn lease_lane(
    connection: &Connection,
    lane: &LaneKey,
    ask: &LeaseAsk,
    limit: usize,
) -> rusqlite::Result<(usize, Vec<Leased>)> {
    let mut select = connection.prepare_cached(
        "SELECT body, attempts, state, id, leases FROM delivery
         WHERE ended_at IS NULL AND lane = ? AND due_at <= ? ORDER BY due_at LIMIT ?",
    )?;
    let mut lease =
        connection.prepare_cached("UPDATE delivery SET due_at = ?, leased = 1, leases = leases + 1 WHERE id = ?")?;
    let mut bury = connection.prepare_cached(
        "UPDATE delivery SET state = 'dead_letter', leased = 0, ended_at = ?, reason = ? WHERE id = ?",
    )?;
    let mut rows = select.query(params![lane.as_str(), ask.now.0, limit as i64])?;
    let (mut leased, mut dead) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let read = || -> rusqlite::Result<Leased> {
            let in_doubt = read_state(row, 2)? == DeliveryState::Sending;
            Ok(Leased {
                delivery: read_body(row, 0)?,
                attempts: row.get(1)?,
                in_doubt,
                until: ask.until,
            })
        };
        let leases: u32 = row.get(4)?;
        match read() {
            Ok(one) if leases >= LEASES_MAX => {
                let reason = format!("was taken {leases} times and never finished");
                let finish = Finish::set_aside(&one.delivery, one.attempts, ask.now, reason.clone());
                let fact = fact_row(&finish.workspace, &finish.subject, None, &finish.fact());
                dead.push((row.get::<_, Vec<u8>>(3)?, reason, fact.ok()));
            }
            Ok(row) => leased.push(row),
            // Whose it is, is unreadable, too.
            Err(error) => dead.push((row.get(3)?, format!("is unreadable: {error}"), None)),
        }
    }
    for row in &leased {
        lease.execute(params![ask.until.0, row.delivery.id.0.as_bytes()])?;
    }
    let seen = leased.len() + dead.len();
    for (id, reason, fact) in dead {
        tracing::error!(reason, "a row of the outbox is a dead letter");
        bury.execute(params![ask.now.0, reason, id])?;
        if let Some(fact) = fact {
            insert_fact(connection, &fact)?;
        }
    }
    Ok((seen, leased))
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
