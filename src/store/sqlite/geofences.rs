//! Geofence sets: their versions, the parts that versions are made of, and single edits on top.
//!
//! The parts of an upload are written one by one, so that check-ins get their turn between them; one small transaction
//! then makes them a version. What is no longer wanted goes bit by bit, too. Parts that no version knows are swept when
//! the database is opened.

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{SqliteStore, unreadable, writer::Writer};
use crate::{
    domain::{
        ids::{ExternalId, GeofenceId, SetName, Tag, WorkspaceId},
        time::Timestamp,
    },
    engine::ports::{FinishedUpload, SetSummary, SetVersion, StoreError, StoredEdit},
};

/// Parts that one transaction deletes.
const SWEPT_PARTS_MAX: usize = 16;

fn set_from(name: &str) -> rusqlite::Result<SetName> {
    SetName::new(name).map_err(|error| unreadable(0, error))
}

impl SqliteStore {
    pub(super) async fn geofence_sets(&self, workspace: &WorkspaceId) -> Result<Vec<SetSummary>, StoreError> {
        let workspace = workspace.clone();
        self.read(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT name, MAX(live), MAX(updated_at) FROM (
                     SELECT name, live, updated_at FROM geofence_set WHERE workspace = ?1
                     UNION ALL SELECT name, 0, MAX(at) FROM geofence_edit WHERE workspace = ?1 GROUP BY name)
                 GROUP BY name ORDER BY name",
            )?;
            let rows = select.query_map([workspace.as_str()], |row| {
                Ok(SetSummary {
                    set: set_from(row.get_ref(0)?.as_str()?)?,
                    version: row.get(1)?,
                    updated_at: Timestamp(row.get(2)?),
                })
            })?;
            rows.collect()
        })
        .await
    }

    pub(super) async fn geofence_set_versions(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
    ) -> Result<Vec<SetVersion>, StoreError> {
        let (workspace, set) = (workspace.clone(), set.clone());
        self.read(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT version, count, created_at, version = live
                 FROM geofence_version JOIN geofence_set USING (workspace, name)
                 WHERE workspace = ? AND name = ? ORDER BY version DESC",
            )?;
            let rows = select.query_map([workspace.as_str(), set.as_str()], |row| {
                Ok(SetVersion {
                    version: row.get(0)?,
                    count: row.get::<_, i64>(1)? as u64,
                    created_at: Timestamp(row.get(2)?),
                    live: row.get(3)?,
                })
            })?;
            rows.collect()
        })
        .await
    }

    pub(super) async fn geofence_part(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
        version: u32,
        number: u32,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let (workspace, set) = (workspace.clone(), set.clone());
        self.read(move |connection| {
            connection
                .prepare_cached(
                    "SELECT pack FROM geofence_version JOIN geofence_part USING (upload)
                     WHERE workspace = ? AND name = ? AND version = ? AND number = ?",
                )?
                .query_row(params![workspace.as_str(), set.as_str(), version, number], |row| {
                    row.get(0)
                })
                .optional()
        })
        .await
    }

    pub(super) async fn put_geofence_part(&self, upload: Uuid, number: u32, pack: Vec<u8>) -> Result<(), StoreError> {
        let bytes = pack.len();
        self.writer
            .write_large(bytes, move |connection| {
                connection
                    .prepare_cached("INSERT INTO geofence_part (upload, number, pack) VALUES (?, ?, ?)")?
                    .execute(params![upload.as_bytes(), number, pack])
                    .map(drop)
            })
            .await
    }

    pub(super) async fn finish_geofence_upload(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
        finished: FinishedUpload,
        versions_kept: u32,
    ) -> Result<u32, StoreError> {
        let (workspace, set) = (workspace.clone(), set.clone());
        let (version, superseded) = self
            .writer
            .write(move |connection| {
                let version: u32 = connection.query_row(
                    "INSERT INTO geofence_set (workspace, name, live, newest, updated_at) VALUES (?, ?, 1, 1, ?)
                     ON CONFLICT DO UPDATE SET newest = newest + 1, live = newest + 1, updated_at = excluded.updated_at
                     RETURNING newest",
                    params![workspace.as_str(), set.as_str(), finished.at.0],
                    |row| row.get(0),
                )?;
                connection.execute(
                    "INSERT INTO geofence_version (workspace, name, version, upload, count, created_at)
                     VALUES (?, ?, ?, ?, ?, ?)",
                    params![
                        workspace.as_str(),
                        set.as_str(),
                        version,
                        finished.upload.as_bytes(),
                        finished.count as i64,
                        finished.at.0
                    ],
                )?;
                drop_edits(connection, &workspace, &set)?;
                let mut outdated = connection.prepare_cached(
                    "DELETE FROM geofence_version WHERE workspace = ? AND name = ? AND version <= ? RETURNING upload",
                )?;
                let last = i64::from(version) - i64::from(versions_kept.max(1));
                let superseded = outdated
                    .query_map(params![workspace.as_str(), set.as_str(), last], upload_from)?
                    .collect::<rusqlite::Result<Vec<Uuid>>>()?;
                Ok((version, superseded))
            })
            .await?;
        self.sweep_later(superseded);
        Ok(version)
    }

    pub(super) async fn sweep_geofence_parts(&self, uploads: Vec<Uuid>) -> Result<(), StoreError> {
        sweep(&self.writer, uploads).await
    }

    /// The same beside whoever waits. What is left over is swept when the database is opened.
    fn sweep_later(&self, uploads: Vec<Uuid>) {
        let writer = self.writer.clone();
        tokio::spawn(async move {
            if let Err(error) = sweep(&writer, uploads).await {
                tracing::warn!(%error, "parts of old geofence versions are left until the next start");
            }
        });
    }

    pub(super) async fn activate_geofence_version(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
        version: u32,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let (workspace, set) = (workspace.clone(), set.clone());
        self.writer
            .write(move |connection| {
                let changed = connection.execute(
                    "UPDATE geofence_set SET live = ?3, updated_at = ?4 WHERE workspace = ?1 AND name = ?2 AND EXISTS
                         (SELECT 1 FROM geofence_version WHERE workspace = ?1 AND name = ?2 AND version = ?3)",
                    params![workspace.as_str(), set.as_str(), version, at.0],
                )?;
                if changed > 0 {
                    drop_edits(connection, &workspace, &set)?;
                }
                Ok(changed > 0)
            })
            .await
    }

    pub(super) async fn delete_geofence_set(&self, workspace: &WorkspaceId, set: &SetName) -> Result<bool, StoreError> {
        let (workspace, set) = (workspace.clone(), set.clone());
        let (was_there, uploads) = self
            .writer
            .write(move |connection| {
                let key = [workspace.as_str(), set.as_str()];
                let sets = connection.execute("DELETE FROM geofence_set WHERE workspace = ? AND name = ?", key)?;
                let edits = drop_edits(connection, &workspace, &set)?;
                let uploads = connection
                    .prepare_cached("DELETE FROM geofence_version WHERE workspace = ? AND name = ? RETURNING upload")?
                    .query_map(key, upload_from)?
                    .collect::<rusqlite::Result<Vec<Uuid>>>()?;
                Ok((sets + edits > 0, uploads))
            })
            .await?;
        self.sweep_later(uploads);
        Ok(was_there)
    }

    pub(super) async fn geofence_edits(&self, workspace: &WorkspaceId) -> Result<Vec<StoredEdit>, StoreError> {
        let workspace = workspace.clone();
        self.read(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT name, tag, external_id, pack FROM geofence_edit WHERE workspace = ? ORDER BY name, tag, external_id",
            )?;
            let rows = select.query_map([workspace.as_str()], edit_from)?;
            rows.collect()
        })
        .await
    }

    pub(super) async fn named_geofence_edits(
        &self,
        workspace: &WorkspaceId,
        edited: &[(SetName, GeofenceId)],
    ) -> Result<Vec<StoredEdit>, StoreError> {
        let (workspace, edited) = (workspace.clone(), edited.to_vec());
        self.read(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT name, tag, external_id, pack FROM geofence_edit
                 WHERE workspace = ? AND name = ? AND tag = ? AND external_id = ?",
            )?;
            let mut edits = Vec::new();
            for (set, id) in &edited {
                let key = [
                    workspace.as_str(),
                    set.as_str(),
                    id.tag.as_str(),
                    id.external_id.as_str(),
                ];
                edits.extend(select.query_row(key, edit_from).optional()?);
            }
            Ok(edits)
        })
        .await
    }

    pub(super) async fn put_geofence_edit(
        &self,
        workspace: &WorkspaceId,
        edit: &StoredEdit,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let (workspace, edit) = (workspace.clone(), edit.clone());
        self.writer
            .write(move |connection| {
                let id = [
                    workspace.as_str(),
                    edit.set.as_str(),
                    edit.id.tag.as_str(),
                    edit.id.external_id.as_str(),
                ];
                let is_uploaded: bool = connection
                    .prepare_cached("SELECT EXISTS (SELECT 1 FROM geofence_set WHERE workspace = ? AND name = ?)")?
                    .query_row([workspace.as_str(), edit.set.as_str()], |row| row.get(0))?;
                if edit.pack.is_none() && !is_uploaded {
                    // There is no version below from which it would have to be taken out.
                    return connection
                        .prepare_cached(
                            "DELETE FROM geofence_edit WHERE workspace = ? AND name = ? AND tag = ? AND external_id = ?",
                        )?
                        .execute(id)
                        .map(drop);
                }
                connection
                    .prepare_cached(
                        "INSERT INTO geofence_edit (workspace, name, tag, external_id, at, pack) VALUES (?, ?, ?, ?, ?, ?)
                         ON CONFLICT DO UPDATE SET at = excluded.at, pack = excluded.pack",
                    )?
                    .execute(params![id[0], id[1], id[2], id[3], at.0, edit.pack])
                    .map(drop)
            })
            .await
    }
}

/// Deletes the parts of uploads that no version knows, a few at a time.
async fn sweep(writer: &Writer, uploads: Vec<Uuid>) -> Result<(), StoreError> {
    for upload in uploads {
        loop {
            let deleted = writer
                .write(move |connection| {
                    connection
                        .prepare_cached(
                            "DELETE FROM geofence_part WHERE rowid IN
                                 (SELECT rowid FROM geofence_part WHERE upload = ? LIMIT ?)",
                        )?
                        .execute(params![upload.as_bytes(), SWEPT_PARTS_MAX as i64])
                })
                .await?;
            if deleted < SWEPT_PARTS_MAX {
                break;
            }
        }
    }
    Ok(())
}

/// How many there were.
fn drop_edits(connection: &Connection, workspace: &WorkspaceId, set: &SetName) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("DELETE FROM geofence_edit WHERE workspace = ? AND name = ?")?
        .execute([workspace.as_str(), set.as_str()])
}

fn edit_from(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredEdit> {
    Ok(StoredEdit {
        set: set_from(row.get_ref(0)?.as_str()?)?,
        id: GeofenceId {
            tag: Tag::new(row.get_ref(1)?.as_str()?).map_err(|error| unreadable(1, error))?,
            external_id: ExternalId::new(row.get_ref(2)?.as_str()?).map_err(|error| unreadable(2, error))?,
        },
        pack: row.get(3)?,
    })
}

fn upload_from(row: &rusqlite::Row<'_>) -> rusqlite::Result<Uuid> {
    Ok(Uuid::from_bytes(row.get(0)?))
}
