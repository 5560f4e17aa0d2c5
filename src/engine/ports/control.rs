//! What the engine asks of a store for what people change now and then: catalogue and keys.

use async_trait::async_trait;
use uuid::Uuid;

use super::StoreError;
use crate::domain::{
    campaign::Campaign,
    ids::{CampaignId, GeofenceId, SetName, WorkspaceId},
    settings::Settings,
    time::Timestamp,
};

/// What kind of key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// For apps: may ship inside them.
    Publishable,
    /// Reads.
    Viewer,
    /// Reads and writes geofences, campaigns and customers.
    Marketer,
    /// Also operates.
    Operator,
    /// Everything.
    Admin,
}

/// An API key. The secret itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Names it in lists.
    pub id: String,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// Tenant.
    pub workspace: WorkspaceId,
    /// What it may do.
    pub role: Role,
    /// What people call it.
    pub name: String,
    /// Since when.
    pub created_at: Timestamp,
}

/// A geofence set as it is live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetSummary {
    /// Its name.
    pub set: SetName,
    /// The version that is live; 0 for a set that holds only single geofences.
    pub version: u32,
    /// When its content was uploaded, made live again or edited last.
    pub updated_at: Timestamp,
}

/// One kept version of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetVersion {
    /// Its number, from 1.
    pub version: u32,
    /// How many geofences were uploaded.
    pub count: u64,
    /// When.
    pub created_at: Timestamp,
    /// Whether it is the one that counts.
    pub live: bool,
}

/// An upload that has all its parts, to be made a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinishedUpload {
    /// Its name.
    pub upload: Uuid,
    /// How many parts it has.
    pub parts: u32,
    /// How many geofences its parts hold.
    pub count: u64,
    /// When.
    pub at: Timestamp,
}

/// A change of one geofence on top of its set's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEdit {
    /// The set that it belongs to.
    pub set: SetName,
    /// Which geofence.
    pub id: GeofenceId,
    /// A pack with the geofence; `None`: it is removed.
    pub pack: Option<Vec<u8>>,
}

/// How many versions of a campaign are kept.
pub const CAMPAIGN_VERSIONS_KEPT: u32 = 20;

/// A campaign as it was once.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignVersion {
    /// Its number, from 1.
    pub version: u32,
    /// Since when it was so.
    pub created_at: Timestamp,
    /// Its document.
    pub document: serde_json::Value,
}

/// What a workspace decides for itself, as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSettings {
    /// Counted up at each change; 0: it has decided nothing.
    pub version: u32,
    /// What counts.
    pub settings: Settings,
    /// The document that says so.
    pub document: serde_json::Value,
}

impl StoredSettings {
    /// Reads a document that was kept.
    pub fn read(version: u32, document: serde_json::Value) -> Result<Self, StoreError> {
        let settings =
            Settings::read(&document).map_err(|refusal| StoreError::Damaged(format!("settings: {refusal}")))?;
        Ok(Self {
            version,
            settings,
            document,
        })
    }

    /// Those of a workspace that has decided nothing.
    pub fn none() -> Self {
        Self {
            version: 0,
            settings: Settings::default(),
            document: serde_json::json!({}),
        }
    }
}

/// What another process has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlChange {
    /// API keys.
    Keys,
    /// The workspace's campaigns.
    Campaigns(WorkspaceId),
    /// The workspace's settings.
    Settings(WorkspaceId),
    /// The workspace's geofence sets: an upload, an activation or a removal.
    Sets(WorkspaceId),
    /// One geofence of one set of the workspace, by an edit.
    Edit(WorkspaceId, SetName, GeofenceId),
    /// Perhaps all of it: it was too much to be told one by one.
    Everything,
}

/// Changes since the last question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlChanges {
    /// For the next question.
    pub upto: String,
    /// What other processes have changed, oldest first, and one's own changes unless they are known here for certain.
    pub by_others: Vec<ControlChange>,
}

/// Catalogue and keys: what people change now and then.
#[async_trait]
pub trait ControlStore: Send + Sync {
    /// What other processes have changed since `since`, [`ControlChanges::upto`] of an earlier answer; `None` asks only
    /// for a beginning.
    async fn changes(&self, since: Option<&str>) -> Result<ControlChanges, StoreError>;
    /// Every workspace that holds anything.
    async fn workspaces(&self) -> Result<Vec<WorkspaceId>, StoreError>;
    /// Lists the sets that have a version or edits, by name.
    async fn list_sets(&self, workspace: &WorkspaceId) -> Result<Vec<SetSummary>, StoreError>;
    /// The kept versions of a set, newest first; none when there is no such set.
    async fn set_versions(&self, workspace: &WorkspaceId, set: &SetName) -> Result<Vec<SetVersion>, StoreError>;
    /// Part `number`, from 0, of a version's content: a pack. `None` after the last one.
    async fn load_part(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
        version: u32,
        number: u32,
    ) -> Result<Option<Vec<u8>>, StoreError>;
    /// Keeps part `number` of an upload, which nobody sees before it is finished.
    async fn put_part(&self, upload: Uuid, number: u32, pack: Vec<u8>) -> Result<(), StoreError>;
    /// Makes an upload the set's newest version, live at once and as a whole; its number. Edits of the set are gone, and
    /// so are versions beyond the newest `versions_kept`.
    async fn finish_upload(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
        upload: FinishedUpload,
        versions_kept: u32,
    ) -> Result<u32, StoreError>;
    /// Throws the parts of an upload away.
    async fn discard_upload(&self, upload: Uuid) -> Result<(), StoreError>;
    /// Makes a kept version live again; edits of the set are gone. False when it isn't kept.
    async fn activate_version(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
        version: u32,
        at: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Removes a set with all its versions and edits; false when there was none.
    async fn delete_set(&self, workspace: &WorkspaceId, set: &SetName) -> Result<bool, StoreError>;
    /// Every edit on top of the sets' versions.
    async fn load_edits(&self, workspace: &WorkspaceId) -> Result<Vec<StoredEdit>, StoreError>;
    /// Those of these edits that there are.
    async fn edits_of(
        &self,
        workspace: &WorkspaceId,
        edited: &[(SetName, GeofenceId)],
    ) -> Result<Vec<StoredEdit>, StoreError>;
    /// Keeps an edit, in place of an earlier one of the same geofence of the same set.
    async fn put_edit(&self, workspace: &WorkspaceId, edit: &StoredEdit, at: Timestamp) -> Result<(), StoreError>;

    /// Every campaign with its document.
    async fn load_campaigns(&self, workspace: &WorkspaceId) -> Result<Vec<(Campaign, serde_json::Value)>, StoreError>;
    /// Writes a campaign's document; its new version. The newest [`CAMPAIGN_VERSIONS_KEPT`] are kept.
    async fn put_campaign(
        &self,
        workspace: &WorkspaceId,
        id: &CampaignId,
        document: &serde_json::Value,
        at: Timestamp,
    ) -> Result<u32, StoreError>;
    /// The kept versions of a campaign, newest first, the one that counts among them; none when there is no such campaign.
    async fn campaign_versions(
        &self,
        workspace: &WorkspaceId,
        id: &CampaignId,
    ) -> Result<Vec<CampaignVersion>, StoreError>;
    /// Removes a campaign with all its versions; false when there was none.
    async fn delete_campaign(&self, workspace: &WorkspaceId, id: &CampaignId) -> Result<bool, StoreError>;

    /// What the workspace decides for itself.
    async fn load_settings(&self, workspace: &WorkspaceId) -> Result<StoredSettings, StoreError>;
    /// Replaces the document if its version is still `expected`; false when another one was first.
    async fn put_settings(
        &self,
        workspace: &WorkspaceId,
        expected: u32,
        document: &serde_json::Value,
        at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Every key of every workspace.
    async fn load_keys(&self) -> Result<Vec<ApiKey>, StoreError>;
    /// Adds a key.
    async fn put_key(&self, key: ApiKey) -> Result<(), StoreError>;
    /// Removes a key; false when there was none.
    async fn delete_key(&self, workspace: &WorkspaceId, id: &str) -> Result<bool, StoreError>;
    /// The installation's secret, from which device tokens are signed; `fresh` is kept when there was none.
    async fn installation_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError>;
}
