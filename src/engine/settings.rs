//! What a workspace decides for itself: read, changed, made current.

use serde_json::Value;

use super::{Engine, EngineError, ports::StoredSettings};
use crate::domain::{
    campaign::CampaignRules,
    ids::WorkspaceId,
    json_reader::Refusal,
    presence::PresenceRules,
    settings::{PaceSettings, Settings, merge},
};

/// How often a change is made again because another one was first.
const TRIES_MAX: usize = 20;

/// A workspace's settings as people look at them.
pub struct CurrentSettings {
    /// What it has of its own.
    pub own: Value,
    /// How evidence counts there.
    pub presence: PresenceRules,
    /// What counts for all its campaigns.
    pub campaigns: CampaignRules,
    /// What it has of its own of how fast its pushes leave.
    pub pace: PaceSettings,
}

impl Engine {
    /// What the workspace has of its own, and what counts therefore.
    pub async fn settings(&self, workspace: &WorkspaceId) -> Result<CurrentSettings, EngineError> {
        Ok(self.current(self.store.control.load_settings(workspace).await?))
    }

    /// Changes the workspace's own settings by a merge patch (RFC 7396). They count here from the answer on, and on other
    /// nodes within a second.
    pub async fn patch_settings(
        &self,
        workspace: &WorkspaceId,
        patch: &Value,
    ) -> Result<Result<CurrentSettings, Refusal>, EngineError> {
        for _ in 0..TRIES_MAX {
            let before = self.store.control.load_settings(workspace).await?;
            let document = merge(&before.document, patch);
            if let Err(refusal) = Settings::read(&document) {
                return Ok(Err(refusal));
            }
            let (control, now) = (&self.store.control, self.clock.now());
            if control.put_settings(workspace, before.version, &document, now).await? {
                self.catalogues.reload_settings(workspace).await?;
                let after = StoredSettings::read(before.version + 1, document)?;
                return Ok(Ok(self.current(after)));
            }
        }
        Err(EngineError::Contended)
    }

    fn current(&self, stored: StoredSettings) -> CurrentSettings {
        CurrentSettings {
            presence: stored.settings.presence.over(self.presence),
            campaigns: stored.settings.campaigns,
            pace: stored.settings.pace,
            own: stored.document,
        }
    }
}
