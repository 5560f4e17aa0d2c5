//! Who is where: a row for each stay, changed with the record.

use rusqlite::{Connection, params};

use super::{hot::subject_from, unreadable};
use crate::{
    domain::{
        ids::{DeviceId, GeofenceId, SubjectId, WorkspaceId},
        presence::Evidence,
        time::Timestamp,
    },
    engine::ports::{PresenceChange, Present, Stay},
};

/// Writes what a commit means for who is where.
pub(super) fn change(
    connection: &Connection,
    workspace: &str,
    subject: &str,
    change: &PresenceChange,
) -> rusqlite::Result<()> {
    let (tag, external_id) = (change.geofence.tag.as_str(), change.geofence.external_id.as_str());
    let place = [workspace, tag, external_id, subject, change.device.as_str()];
    match change.stay {
        None => connection
            .prepare_cached(
                "DELETE FROM present WHERE workspace = ? AND tag = ? AND external_id = ? AND subject = ? AND device = ?",
            )?
            .execute(place),
        Some(Stay { since, evidence }) => connection
            .prepare_cached(
                "INSERT OR REPLACE INTO present (workspace, tag, external_id, subject, device, since, evidence)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![place[0], place[1], place[2], place[3], place[4], since.0, evidence.as_str()]),
    }
    .map(drop)
}

/// Who is in a geofence, in order.
pub(super) fn list(
    connection: &Connection,
    workspace: &WorkspaceId,
    geofence: &GeofenceId,
    after: &(String, String),
    limit: usize,
) -> rusqlite::Result<Vec<Present>> {
    let mut select = connection.prepare_cached(
        "SELECT subject, device, since, evidence FROM present
         WHERE workspace = ? AND tag = ? AND external_id = ? AND (subject, device) > (?, ?)
         ORDER BY subject, device LIMIT ?",
    )?;
    let rows = select.query_map(
        params![
            workspace.as_str(),
            geofence.tag.as_str(),
            geofence.external_id.as_str(),
            after.0,
            after.1,
            limit as i64
        ],
        |row| {
            let evidence = row.get_ref(3)?.as_str()?;
            Ok(Present {
                subject: subject_from(&row.get::<_, String>(0)?)?,
                device: DeviceId::new(row.get_ref(1)?.as_str()?).map_err(|error| unreadable(1, error))?,
                stay: Stay {
                    since: Timestamp(row.get(2)?),
                    evidence: Evidence::from_name(evidence).ok_or_else(|| {
                        unreadable(
                            3,
                            crate::engine::ports::StoreError::Damaged(format!("evidence `{evidence}`")),
                        )
                    })?,
                },
            })
        },
    )?;
    rows.collect()
}

/// How many devices are in a geofence.
pub(super) fn count(connection: &Connection, workspace: &WorkspaceId, geofence: &GeofenceId) -> rusqlite::Result<u64> {
    let place = [workspace.as_str(), geofence.tag.as_str(), geofence.external_id.as_str()];
    connection
        .prepare_cached("SELECT count(*) FROM present WHERE workspace = ? AND tag = ? AND external_id = ?")?
        .query_row(place, |row| Ok(row.get::<_, i64>(0)? as u64))
}

/// Where a list goes on.
pub(super) fn place_after(after: Option<(&SubjectId, &DeviceId)>) -> (String, String) {
    after.map_or_else(Default::default, |(subject, device)| {
        (subject.to_key(), device.as_str().to_owned())
    })
}
