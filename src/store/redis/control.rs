//! Catalogue and keys: in one slot, so that each change is one script. The parts of geofence sets, which are large, are
//! spread (`geofences.rs`). Each change leaves a line in a stream, which the other nodes follow.

use std::{str::FromStr, sync::atomic::Ordering};

use async_trait::async_trait;
use redis::cmd;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{RedisStore, commit::to_json};
use crate::{
    domain::{
        campaign::Campaign,
        ids::{CampaignId, ExternalId, GeofenceId, SetName, Tag, WorkspaceId},
        time::Timestamp,
    },
    engine::ports::{
        ApiKey, CAMPAIGN_VERSIONS_KEPT, CampaignVersion, ControlChange, ControlChanges, ControlStore, FinishedUpload,
        Role, SetSummary, SetVersion, StoreError, StoredEdit, StoredSettings,
    },
};

/// Changes read at once.
const CHANGES_MAX: usize = 256;
/// Before the first change.
const NO_CHANGE: &str = "0-0";

/// Lines of the changes: ids with names and values of their fields.
type Changes = Vec<(String, Vec<String>)>;

/// A key as it is kept.
#[derive(Serialize, Deserialize)]
struct KeyDocument {
    hash: [u8; 32],
    workspace: WorkspaceId,
    role: Role,
    name: String,
    created_at: Timestamp,
}

pub(super) fn damaged(what: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(what.to_string())
}

pub(super) fn parse<T: FromStr>(text: &str) -> Result<T, StoreError> {
    text.parse()
        .map_err(|_| damaged(format!("`{text}`, which is no number")))
}

/// `tag NUL external id`.
pub(super) fn read_geofence(name: &str) -> Result<GeofenceId, StoreError> {
    let (tag, external_id) = name
        .split_once('\0')
        .ok_or_else(|| damaged(format!("geofence `{name}`")))?;
    Ok(GeofenceId {
        tag: Tag::new(tag).map_err(damaged)?,
        external_id: ExternalId::new(external_id).map_err(damaged)?,
    })
}

/// A change as the stream has it; `None` for one of this node's own that it has shown already: geofences are shown by
/// whoever changes them. Campaigns and keys are read again after a change, which can fail, so those are told here, too.
fn read_change(fields: &[String], node: &str) -> Result<Option<ControlChange>, StoreError> {
    let field = |name: &str| {
        let pair = fields.chunks_exact(2).find(|pair| pair[0] == name);
        pair.map(|pair| pair[1].as_str())
            .ok_or_else(|| damaged("a change without a field"))
    };
    let kind = field("k")?;
    if field("n")? == node && matches!(kind, "sets" | "edit") {
        return Ok(None);
    }
    let workspace = WorkspaceId::new(field("w")?).map_err(damaged)?;
    Ok(Some(match kind {
        "keys" => ControlChange::Keys,
        "campaigns" => ControlChange::Campaigns(workspace),
        "settings" => ControlChange::Settings(workspace),
        "sets" => ControlChange::Sets(workspace),
        "edit" => ControlChange::Edit(
            workspace,
            SetName::new(field("s")?).map_err(damaged)?,
            read_geofence(field("g")?)?,
        ),
        other => return Err(damaged(format!("a change of `{other}`"))),
    }))
}

/// A document behind its version: version, time, line feed, document.
fn read_versioned(kept: &str) -> Result<(u32, serde_json::Value), StoreError> {
    let (head, body) = kept.split_once('\n').ok_or_else(|| damaged("a document cut short"))?;
    let version = parse(head.split(' ').next().unwrap_or_default())?;
    Ok((version, serde_json::from_str(body).map_err(damaged)?))
}

impl RedisStore {
    fn changes_key(&self) -> String {
        format!("{}:changes", self.keys.control())
    }

    /// The newest line of the changes.
    async fn last_change(&self) -> Result<String, StoreError> {
        let mut last = cmd("XREVRANGE");
        last.arg(self.changes_key()).arg("+").arg("-").arg("COUNT").arg(1);
        let last: Changes = self.link.ask(&last).await?;
        Ok(last
            .into_iter()
            .next()
            .map_or_else(|| NO_CHANGE.to_owned(), |(id, _)| id))
    }
}

#[async_trait]
impl ControlStore for RedisStore {
    async fn changes(&self, since: Option<&str>) -> Result<ControlChanges, StoreError> {
        // Read first: what was in doubt by then is in what is read below.
        let doubts = self.doubts.load(Ordering::Acquire);
        let cursor = |id: &str| format!("{id}#{doubts}");
        let Some(since) = since else {
            return Ok(ControlChanges {
                upto: cursor(&self.last_change().await?),
                by_others: Vec::new(),
            });
        };
        let (since, settled) = since.split_once('#').unwrap_or((since, "0"));
        let everything = |upto| ControlChanges {
            upto,
            by_others: vec![ControlChange::Everything],
        };
        // Inclusive: when the one seen last is gone, others may be, too.
        let mut read = cmd("XRANGE");
        read.arg(self.changes_key()).arg(since).arg("+");
        let entries: Changes = self.link.ask(read.arg("COUNT").arg(CHANGES_MAX + 1)).await?;
        let seen = entries.first().is_some_and(|(id, _)| id == since);
        if !seen && since != NO_CHANGE {
            return Ok(everything(cursor(&self.last_change().await?)));
        }
        let upto = cursor(entries.last().map_or(since, |(id, _)| id));
        // Who comes with a newer cursor has read everything since the doubt arose.
        if settled != doubts.to_string() {
            return Ok(everything(upto));
        }
        let node = self.node.to_string();
        let by_others = entries.iter().skip(usize::from(seen)).filter_map(|(_, fields)| {
            read_change(fields, &node).unwrap_or_else(|error| {
                tracing::error!(%error, "a change of the catalogue is unreadable; all of it is read again");
                Some(ControlChange::Everything)
            })
        });
        Ok(ControlChanges {
            upto,
            by_others: by_others.collect(),
        })
    }

    async fn workspaces(&self) -> Result<Vec<WorkspaceId>, StoreError> {
        let mut members = cmd("SMEMBERS");
        members.arg(format!("{}:workspaces", self.keys.control()));
        let mut names: Vec<String> = self.link.ask(&members).await?;
        names.sort_unstable();
        names
            .into_iter()
            .map(|name| WorkspaceId::new(name).map_err(damaged))
            .collect()
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
        self.put_geofence_part(upload, number, &pack).await
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
        self.delete_parts(upload).await
    }

    async fn activate_version(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
        version: u32,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut arguments = self.change(workspace);
        arguments.add(set.as_str()).number(version).number(at.0);
        let done: i64 = self.control(&self.scripts.activate_version, &arguments).await?;
        Ok(done == 1)
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
        let mut all = cmd("HVALS");
        all.arg(format!("{}:campaigns:{workspace}", self.keys.control()));
        let documents: Vec<String> = self.link.ask(&all).await?;
        let mut campaigns = documents
            .iter()
            .map(|document| {
                let (version, document) = read_versioned(document)?;
                let campaign = Campaign::read(&document, version).map_err(damaged)?;
                Ok((campaign, document))
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        campaigns.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        Ok(campaigns)
    }

    async fn put_campaign(
        &self,
        workspace: &WorkspaceId,
        id: &CampaignId,
        document: &serde_json::Value,
        at: Timestamp,
    ) -> Result<u32, StoreError> {
        let mut arguments = self.change(workspace);
        arguments.add(id.as_str()).number(at.0).add(document.to_string());
        arguments.number(CAMPAIGN_VERSIONS_KEPT);
        self.control(&self.scripts.put_campaign, &arguments).await
    }

    async fn campaign_versions(
        &self,
        workspace: &WorkspaceId,
        id: &CampaignId,
    ) -> Result<Vec<CampaignVersion>, StoreError> {
        let mut all = cmd("HVALS");
        all.arg(format!("{}:cv:{workspace}\0{id}", self.keys.control()));
        let kept: Vec<String> = self.link.ask(&all).await?;
        let read = |kept: &String| {
            let (version, document) = read_versioned(kept)?;
            let head = kept.lines().next().unwrap_or_default();
            let at = head.split_once(' ').map(|(_, at)| at).unwrap_or_default();
            Ok(CampaignVersion {
                version,
                created_at: Timestamp(parse(at)?),
                document,
            })
        };
        let mut versions = kept.iter().map(read).collect::<Result<Vec<_>, StoreError>>()?;
        versions.sort_by_key(|version| std::cmp::Reverse(version.version));
        Ok(versions)
    }

    async fn delete_campaign(&self, workspace: &WorkspaceId, id: &CampaignId) -> Result<bool, StoreError> {
        let mut arguments = self.change(workspace);
        arguments.add(id.as_str());
        let deleted: i64 = self.control(&self.scripts.delete_campaign, &arguments).await?;
        Ok(deleted == 1)
    }

    async fn load_settings(&self, workspace: &WorkspaceId) -> Result<StoredSettings, StoreError> {
        let mut get = cmd("HGET");
        get.arg(format!("{}:settings", self.keys.control()))
            .arg(workspace.as_str());
        let Some(kept) = self.link.ask::<Option<String>>(&get).await? else {
            return Ok(StoredSettings::none());
        };
        let (version, document) = read_versioned(&kept)?;
        StoredSettings::read(version, document)
    }

    async fn put_settings(
        &self,
        workspace: &WorkspaceId,
        expected: u32,
        document: &serde_json::Value,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut arguments = self.change(workspace);
        arguments.number(expected).number(at.0).add(document.to_string());
        let done: i64 = self.control(&self.scripts.put_settings, &arguments).await?;
        Ok(done == 1)
    }

    async fn load_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let mut all = cmd("HGETALL");
        all.arg(format!("{}:keys", self.keys.control()));
        let documents: Vec<(String, Vec<u8>)> = self.link.ask(&all).await?;
        let mut keys = documents
            .into_iter()
            .map(|(id, document)| {
                let key: KeyDocument = serde_json::from_slice(&document).map_err(damaged)?;
                Ok(ApiKey {
                    id,
                    hash: key.hash,
                    workspace: key.workspace,
                    role: key.role,
                    name: key.name,
                    created_at: key.created_at,
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        keys.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(keys)
    }

    async fn put_key(&self, key: ApiKey) -> Result<(), StoreError> {
        let mut arguments = self.change(&key.workspace);
        arguments.add(&key.id).add(to_json(&KeyDocument {
            hash: key.hash,
            workspace: key.workspace,
            role: key.role,
            name: key.name,
            created_at: key.created_at,
        })?);
        self.control::<i64>(&self.scripts.put_key, &arguments).await.map(drop)
    }

    async fn delete_key(&self, workspace: &WorkspaceId, id: &str) -> Result<bool, StoreError> {
        let keys = self.load_keys().await?;
        if !keys.iter().any(|key| key.id == id && key.workspace == *workspace) {
            return Ok(false);
        }
        let mut arguments = self.change(workspace);
        arguments.add(id);
        let deleted: i64 = self.control(&self.scripts.delete_key, &arguments).await?;
        Ok(deleted == 1)
    }

    async fn installation_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let mut keep = cmd("HSETNX");
        keep.arg(self.keys.meta()).arg("secret").arg(&fresh[..]);
        let _: i64 = self.link.ask(&keep).await?;
        let mut read = cmd("HGET");
        read.arg(self.keys.meta()).arg("secret");
        let secret: Vec<u8> = self.link.ask(&read).await?;
        secret.try_into().map_err(|_| damaged("a secret of another length"))
    }
}
