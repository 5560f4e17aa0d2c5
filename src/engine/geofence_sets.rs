//! Uploaded geofence files: read, compared with what is live, and made live as a whole or not at all.

use std::io::Cursor;

use super::{Engine, EngineError, catalogues::Half, ports::StoreError};
use crate::{
    domain::{
        geofence::Geofence,
        ids::{SetName, WorkspaceId},
    },
    files::{self, Diff, FileError, Format, ReadOptions, Reading},
};

/// What an upload came to.
#[derive(Debug)]
pub struct Upload {
    /// What was read, with findings.
    pub reading: Reading,
    /// The good geofences.
    pub geofences: Vec<Geofence>,
    /// How it differs from what is live.
    pub diff: Diff,
    /// The set's version now; `None` when nothing was changed.
    pub version: Option<u32>,
}

/// How an upload is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadMode {
    /// Only say what would happen.
    pub dry_run: bool,
    /// Take the good features even if there are bad ones.
    pub allow_partial: bool,
}

/// Why an upload failed.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The file as a whole is unreadable.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store or the engine did not.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<StoreError> for UploadError {
    fn from(error: StoreError) -> Self {
        Self::Engine(EngineError::Store(error))
    }
}

impl Engine {
    /// Reads a file and makes it the set's content. With rejected features and without `allow_partial` nothing changes.
    pub async fn upload_set(
        &self,
        workspace: &WorkspaceId,
        body: bytes::Bytes,
        format: Format,
        options: ReadOptions,
        mode: UploadMode,
    ) -> Result<Upload, UploadError> {
        let set = options.set.clone();
        let live = self.store.control.load_set(workspace, &set).await?.unwrap_or_default();
        let (reading, geofences, diff) = tokio::task::spawn_blocking(move || {
            let mut geofences = Vec::new();
            let reading = files::read(Cursor::new(body), format, &options, &mut |geofence| {
                geofences.push(geofence);
                Ok(())
            })?;
            let diff = files::diff(&live, &geofences);
            Ok::<_, FileError>((reading, geofences, diff))
        })
        .await
        .map_err(|error| StoreError::Unavailable(error.to_string()))??;
        let refused = reading.rejected > 0 && !mode.allow_partial;
        if mode.dry_run || refused {
            return Ok(Upload {
                reading,
                geofences,
                diff,
                version: None,
            });
        }
        let version = self.replace_set(workspace, &set, geofences.clone()).await?;
        Ok(Upload {
            reading,
            geofences,
            diff,
            version: Some(version),
        })
    }

    async fn replace_set(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
        geofences: Vec<Geofence>,
    ) -> Result<u32, EngineError> {
        let version = self
            .store
            .control
            .put_set(workspace, set, geofences, self.clock.now())
            .await?;
        self.catalogues.reload(workspace, Half::Places).await?;
        Ok(version)
    }

    /// Removes a set; false when there was none. Who is inside one of its geofences leaves it at the next check-in.
    pub async fn delete_set(&self, workspace: &WorkspaceId, set: &SetName) -> Result<bool, EngineError> {
        let deleted = self.store.control.delete_set(workspace, set).await?;
        self.catalogues.reload(workspace, Half::Places).await?;
        Ok(deleted)
    }
}
