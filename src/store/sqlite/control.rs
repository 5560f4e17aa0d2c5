//! Catalogue and keys.

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, params};
use uuid::Uuid;

use super::{SqliteStore, unreadable};
use crate::{
    domain::{
        campaign::Campaign,
        ids::{CampaignId, GeofenceId, SetName, WorkspaceId},
        time::Timestamp,
    },
    engine::ports::{
        ApiKey, CAMPAIGN_VERSIONS_KEPT, CampaignVersion, ControlChanges, ControlStore, FinishedUpload, Role,
        SetSummary, SetVersion, StoreError, StoredEdit, StoredSettings,
    },
};

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Publishable => "publishable",
        Role::Viewer => "viewer",
        Role::Marketer => "marketer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

fn role_from(name: &str) -> rusqlite::Result<Role> {
    [
        Role::Publishable,
        Role::Viewer,
        Role::Marketer,
        Role::Operator,
        Role::Admin,
    ]
    .into_iter()
    .find(|role| role_name(*role) == name)
    .ok_or_else(|| unreadable(3, StoreError::Damaged(format!("role `{name}`"))))
}

pub(super) fn workspace_from(name: &str) -> rusqlite::Result<WorkspaceId> {
    WorkspaceId::new(name).map_err(|error| unreadable(0, error))
}

#[async_trait]
impl ControlStore for SqliteStore {
    /// Nobody else has the database open.
    async fn changes(&self, _since: Option<&str>) -> Result<ControlChanges, StoreError> {
        Ok(ControlChanges {
            upto: String::new(),
            by_others: Vec::new(),
        })
    }

    async fn workspaces(&self) -> Result<Vec<WorkspaceId>, StoreError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT workspace FROM api_key UNION SELECT workspace FROM campaign
                 UNION SELECT workspace FROM geofence_set
                 UNION SELECT workspace FROM geofence_edit UNION SELECT workspace FROM settings",
            )?;
            let rows = select.query_map([], |row| workspace_from(row.get_ref(0)?.as_str()?))?;
            rows.collect()
        })
        .await
    }

    async fn list_sets(&self, workspace: &WorkspaceId) -> Result<Vec<SetSummary>, StoreError> {
        self.geofence_sets(workspace).await
    }

    async fn set_versions(&self, workspace: &WorkspaceId, set: &SetName) -> Result<Vec<SetVersion>, StoreError> {
        self.geofence_set_versions(workspace, set).await
    }

    async fn load_part(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
        version: u32,
        number: u32,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.geofence_part(workspace, set, version, number).await
    }

    async fn put_part(&self, upload: Uuid, number: u32, pack: Vec<u8>) -> Result<(), StoreError> {
        self.put_geofence_part(upload, number, pack).await
    }

    async fn finish_upload(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
        upload: FinishedUpload,
        versions_kept: u32,
    ) -> Result<u32, StoreError> {
        self.finish_geofence_upload(workspace, set, upload, versions_kept).await
    }

    async fn discard_upload(&self, upload: Uuid) -> Result<(), StoreError> {
        self.sweep_geofence_parts(vec![upload]).await
    }

    async fn activate_version(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
        version: u32,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.activate_geofence_version(workspace, set, version, at).await
    }

    async fn delete_set(&self, workspace: &WorkspaceId, set: &SetName) -> Result<bool, StoreError> {
        self.delete_geofence_set(workspace, set).await
    }

    async fn load_edits(&self, workspace: &WorkspaceId) -> Result<Vec<StoredEdit>, StoreError> {
        self.geofence_edits(workspace).await
    }

    async fn edits_of(
        &self,
        workspace: &WorkspaceId,
        edited: &[(SetName, GeofenceId)],
    ) -> Result<Vec<StoredEdit>, StoreError> {
        self.named_geofence_edits(workspace, edited).await
    }

    async fn put_edit(&self, workspace: &WorkspaceId, edit: &StoredEdit, at: Timestamp) -> Result<(), StoreError> {
        self.put_geofence_edit(workspace, edit, at).await
    }

    async fn load_campaigns(&self, workspace: &WorkspaceId) -> Result<Vec<(Campaign, serde_json::Value)>, StoreError> {
        let workspace = workspace.clone();
        self.read(move |connection| {
            let mut select =
                connection.prepare_cached("SELECT version, body FROM campaign WHERE workspace = ? ORDER BY id")?;
            let rows = select.query_map([workspace.as_str()], |row| {
                let document: serde_json::Value =
                    serde_json::from_str(row.get_ref(1)?.as_str()?).map_err(|error| unreadable(1, error))?;
                let campaign = Campaign::read(&document, row.get(0)?).map_err(|error| unreadable(1, error))?;
                Ok((campaign, document))
            })?;
            rows.collect()
        })
        .await
    }

    async fn put_campaign(
        &self,
        workspace: &WorkspaceId,
        id: &CampaignId,
        document: &serde_json::Value,
        at: Timestamp,
    ) -> Result<u32, StoreError> {
        let (workspace, id, body) = (workspace.clone(), id.clone(), document.to_string());
        self.writer
            .write(move |connection| {
                let version: u32 = connection.query_row(
                    "INSERT INTO campaign (workspace, id, version, updated_at, body) VALUES (?, ?, 1, ?, ?)
                     ON CONFLICT DO UPDATE SET version = version + 1, updated_at = excluded.updated_at,
                         body = excluded.body
                     RETURNING version",
                    params![workspace.as_str(), id.as_str(), at.0, body],
                    |row| row.get(0),
                )?;
                connection.execute(
                    "INSERT INTO campaign_version (workspace, id, version, created_at, body) VALUES (?, ?, ?, ?, ?)",
                    params![workspace.as_str(), id.as_str(), version, at.0, body],
                )?;
                connection.execute(
                    "DELETE FROM campaign_version WHERE workspace = ? AND id = ? AND version <= ?",
                    params![
                        workspace.as_str(),
                        id.as_str(),
                        i64::from(version) - i64::from(CAMPAIGN_VERSIONS_KEPT)
                    ],
                )?;
                Ok(version)
            })
            .await
    }

    async fn campaign_versions(
        &self,
        workspace: &WorkspaceId,
        id: &CampaignId,
    ) -> Result<Vec<CampaignVersion>, StoreError> {
        let (workspace, id) = (workspace.clone(), id.clone());
        self.read(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT version, created_at, body FROM campaign_version WHERE workspace = ? AND id = ?
                 ORDER BY version DESC",
            )?;
            let rows = select.query_map([workspace.as_str(), id.as_str()], |row| {
                Ok(CampaignVersion {
                    version: row.get(0)?,
                    created_at: Timestamp(row.get(1)?),
                    document: serde_json::from_str(row.get_ref(2)?.as_str()?).map_err(|error| unreadable(2, error))?,
                })
            })?;
            rows.collect()
        })
        .await
    }

    async fn delete_campaign(&self, workspace: &WorkspaceId, id: &CampaignId) -> Result<bool, StoreError> {
        let (workspace, id) = (workspace.clone(), id.clone());
        self.writer
            .write(move |connection| {
                let deleted = connection.execute(
                    "DELETE FROM campaign WHERE workspace = ? AND id = ?",
                    [workspace.as_str(), id.as_str()],
                )?;
                connection.execute(
                    "DELETE FROM campaign_version WHERE workspace = ? AND id = ?",
                    [workspace.as_str(), id.as_str()],
                )?;
                Ok(deleted == 1)
            })
            .await
    }

    async fn load_settings(&self, workspace: &WorkspaceId) -> Result<StoredSettings, StoreError> {
        let workspace = workspace.clone();
        let kept = self.read(move |connection| {
            let mut select = connection.prepare_cached("SELECT version, body FROM settings WHERE workspace = ?")?;
            let row = select.query_row([workspace.as_str()], |row| {
                let document = serde_json::from_str(row.get_ref(1)?.as_str()?).map_err(|error| unreadable(1, error))?;
                Ok((row.get(0)?, document))
            });
            row.optional()
        });
        kept.await?.map_or_else(
            || Ok(StoredSettings::none()),
            |(version, document)| StoredSettings::read(version, document),
        )
    }

    async fn put_settings(
        &self,
        workspace: &WorkspaceId,
        expected: u32,
        document: &serde_json::Value,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let (workspace, body) = (workspace.clone(), document.to_string());
        self.writer
            .write(move |connection| {
                // The first one is made only where there is none, a later one only where the expected one is.
                let changed = connection.execute(
                    "INSERT INTO settings (workspace, version, updated_at, body)
                     SELECT ?1, ?2 + 1, ?3, ?4
                     WHERE ?2 = coalesce((SELECT version FROM settings WHERE workspace = ?1), 0)
                     ON CONFLICT DO UPDATE SET version = excluded.version, updated_at = excluded.updated_at,
                         body = excluded.body",
                    params![workspace.as_str(), expected, at.0, body],
                )?;
                Ok(changed == 1)
            })
            .await
    }

    async fn load_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.read(|connection| {
            let mut select = connection
                .prepare_cached("SELECT id, hash, workspace, role, name, created_at FROM api_key ORDER BY id")?;
            let rows = select.query_map([], |row| {
                Ok(ApiKey {
                    id: row.get(0)?,
                    hash: row.get(1)?,
                    workspace: workspace_from(row.get_ref(2)?.as_str()?)?,
                    role: role_from(row.get_ref(3)?.as_str()?)?,
                    name: row.get(4)?,
                    created_at: Timestamp(row.get(5)?),
                })
            })?;
            rows.collect()
        })
        .await
    }

    async fn put_key(&self, key: ApiKey) -> Result<(), StoreError> {
        self.writer
            .write(move |connection| {
                connection
                    .execute(
                        "INSERT INTO api_key (id, hash, workspace, role, name, created_at) VALUES (?, ?, ?, ?, ?, ?)
                         ON CONFLICT DO NOTHING",
                        params![
                            key.id,
                            key.hash,
                            key.workspace.as_str(),
                            role_name(key.role),
                            key.name,
                            key.created_at.0
                        ],
                    )
                    .map(drop)
            })
            .await
    }

    async fn delete_key(&self, workspace: &WorkspaceId, id: &str) -> Result<bool, StoreError> {
        let (workspace, id) = (workspace.clone(), id.to_owned());
        self.writer
            .write(move |connection| {
                let deleted = connection.execute(
                    "DELETE FROM api_key WHERE workspace = ? AND id = ?",
                    [workspace.as_str(), id.as_str()],
                )?;
                Ok(deleted == 1)
            })
            .await
    }

    async fn installation_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.writer
            .write(move |connection| {
                connection.execute(
                    "INSERT INTO meta (key, value) VALUES ('secret', ?) ON CONFLICT DO NOTHING",
                    [&fresh[..]],
                )?;
                connection.query_row("SELECT value FROM meta WHERE key = 'secret'", [], |row| row.get(0))
            })
            .await
    }
}
