//! Uploaded geofence files: read, compared with what is live, and made live as a whole or not at all.
//!
//! The file is read once, as a stream: each good geofence is compared, packed into the parts that the store keeps, and
//! held for the snapshot to come. Nobody sees the parts before the upload is finished.

use std::{
    cell::Cell,
    collections::HashSet,
    fs::File,
    io::{self, BufReader},
    sync::Arc,
};

use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    Engine, EngineError,
    ports::{FinishedUpload, SetVersion, StoreError},
};
use crate::{
    domain::{
        catalogue::Places,
        geofence::Geofence,
        geofence_pack::Packer,
        ids::{SetName, Tag, WorkspaceId},
    },
    files::{self, Diff, Differ, FileError, Finding, Format, ReadOptions, Reading},
};

/// A part is closed when it is at least so long: one write of it must not keep check-ins waiting.
const PART_BYTES: usize = 256 * 1024;
/// Parts that wait to be written while the file is read on.
const PARTS_WAITING_MAX: usize = 8;
/// The file is read in pieces of this length.
const READ_BYTES: usize = 128 * 1024;

/// What an upload came to.
#[derive(Debug)]
pub struct Upload {
    /// What was read, with findings.
    pub reading: Reading,
    /// How it differs from what was live.
    pub diff: Diff,
    /// What became of it.
    pub verdict: Verdict,
}

/// What becomes of a file that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is to be made live.
    Publish,
    /// It is live as this version, which is an earlier one when the file changes nothing.
    Live(u32),
    /// Nothing was to be changed.
    DryRun,
    /// Some of it is wrong, and a part was not wanted.
    Rejected,
    /// It would leave nothing of the set, and that was not wanted.
    WouldEmpty,
}

/// How an upload is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadMode {
    /// Only say what would happen.
    pub dry_run: bool,
    /// Take the good features even if there are bad ones.
    pub allow_partial: bool,
    /// Take a file that leaves nothing of the set.
    pub allow_empty: bool,
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

/// A version that was made live again.
#[derive(Debug)]
pub struct Activation {
    /// Which.
    pub version: u32,
    /// How it differs from what was live.
    pub diff: Diff,
}

impl Engine {
    /// Reads a file and makes it the set's content. With rejected features and without `allow_partial` nothing changes;
    /// a file that would change nothing makes no new version.
    pub async fn upload_set(
        &self,
        workspace: &WorkspaceId,
        file: File,
        format: Format,
        options: ReadOptions,
        mode: UploadMode,
    ) -> Result<Upload, UploadError> {
        let set = options.set.clone();
        let upload = Uuid::new_v4();
        let before = Arc::clone(&self.catalogues.of(workspace).places);
        let read = self
            .read_and_stage(upload, file, format, options, Arc::clone(&before), mode)
            .await;
        let ReadFile {
            reading,
            diff,
            content,
            parts,
        } = match read {
            Ok(read) => read,
            Err(error) => {
                self.store.control.discard_upload(upload).await?;
                return Err(error);
            }
        };
        let packing = self.catalogues.begin_packing().await;
        let verdict = self.verdict(workspace, &set, &reading, &diff, &before, mode).await?;
        if verdict != Verdict::Publish {
            self.store.control.discard_upload(upload).await?;
            return Ok(Upload { reading, diff, verdict });
        }
        let finished = FinishedUpload {
            upload,
            parts,
            count: content.len() as u64,
            at: self.clock.now(),
        };
        let finish = self
            .store
            .control
            .finish_upload(workspace, &set, finished, self.versions_kept);
        let version = self
            .catalogues
            .replace_set(&packing, workspace, &set, content, finish)
            .await?;
        tracing::info!(%set, version, count = finished.count, "a geofence set is live");
        let verdict = Verdict::Live(version);
        Ok(Upload { reading, diff, verdict })
    }

    /// What is to be done with a file that was compared with `before`.
    async fn verdict(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
        reading: &Reading,
        diff: &Diff,
        before: &Arc<Places>,
        mode: UploadMode,
    ) -> Result<Verdict, StoreError> {
        if mode.dry_run {
            return Ok(Verdict::DryRun);
        }
        if reading.rejected > 0 && !mode.allow_partial {
            return Ok(Verdict::Rejected);
        }
        if reading.accepted == 0 && diff.removed.count > 0 && !mode.allow_empty {
            return Ok(Verdict::WouldEmpty);
        }
        let live = self.live_version(workspace, set).await?;
        // Somebody may have changed the set while the file was read.
        let is_as_compared = Arc::ptr_eq(before, &self.catalogues.of(workspace).places);
        if live > 0 && diff.changes() == 0 && is_as_compared {
            return Ok(Verdict::Live(live));
        }
        Ok(Verdict::Publish)
    }

    async fn read_and_stage(
        &self,
        upload: Uuid,
        file: File,
        format: Format,
        options: ReadOptions,
        places: Arc<Places>,
        mode: UploadMode,
    ) -> Result<ReadFile, UploadError> {
        let (send, mut parts) = mpsc::channel(PARTS_WAITING_MAX);
        let reading = tokio::task::spawn_blocking(move || {
            let parts = (!mode.dry_run).then_some(send);
            read(file, format, &options, &places, parts.as_ref())
        });
        for number in 0.. {
            let Some(part) = parts.recv().await else { break };
            // With the receiver the reading ends, too.
            self.store.control.put_part(upload, number, part).await?;
        }
        reading
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?
            .map_err(UploadError::from)
    }

    /// The version that is live; 0 when the set has none.
    async fn live_version(&self, workspace: &WorkspaceId, set: &SetName) -> Result<u32, StoreError> {
        let versions = self.store.control.set_versions(workspace, set).await?;
        Ok(versions
            .iter()
            .find(|version| version.live)
            .map_or(0, |live| live.version))
    }

    /// The kept versions of a set, newest first; none when there is no such set.
    pub async fn set_versions(&self, workspace: &WorkspaceId, set: &SetName) -> Result<Vec<SetVersion>, EngineError> {
        Ok(self.store.control.set_versions(workspace, set).await?)
    }

    /// Makes a kept version live again as it was uploaded, without the single edits made since. `None` when it isn't kept.
    pub async fn activate_version(
        &self,
        workspace: &WorkspaceId,
        set: &SetName,
        version: u32,
    ) -> Result<Option<Activation>, EngineError> {
        let packing = self.catalogues.begin_packing().await;
        let kept = self.store.control.set_versions(workspace, set).await?;
        if !kept.iter().any(|kept| kept.version == version) {
            return Ok(None);
        }
        let content = self.catalogues.load_version(workspace, set, version).await?;
        let (places, of) = (Arc::clone(&self.catalogues.of(workspace).places), set.clone());
        let (diff, content) = tokio::task::spawn_blocking(move || {
            let mut differ = Differ::new(places.of_set(&of));
            for geofence in &content {
                differ.see(geofence);
            }
            (differ.finish(), content)
        })
        .await
        .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let activate = self
            .store
            .control
            .activate_version(workspace, set, version, self.clock.now());
        self.catalogues
            .replace_set(&packing, workspace, set, content, activate)
            .await?;
        tracing::info!(%set, version, "an earlier version of a geofence set is live again");
        Ok(Some(Activation { version, diff }))
    }

    /// Removes a set with all its versions; false when there was none. Who is inside one of its geofences leaves it at
    /// the next check-in.
    pub async fn delete_set(&self, workspace: &WorkspaceId, set: &SetName) -> Result<bool, EngineError> {
        let packing = self.catalogues.begin_packing().await;
        let known = self.store.control.list_sets(workspace).await?;
        if !known.iter().any(|known| known.set == *set) {
            return Ok(false);
        }
        let delete = self.store.control.delete_set(workspace, set);
        Ok(self
            .catalogues
            .replace_set(&packing, workspace, set, Vec::new(), delete)
            .await?)
    }
}

/// A file that was read to its end.
struct ReadFile {
    reading: Reading,
    diff: Diff,
    content: Vec<Arc<Geofence>>,
    /// How many parts it was packed into.
    parts: u32,
}

/// Reads, compares and packs. Without `parts` nothing is kept.
fn read(
    file: File,
    format: Format,
    options: &ReadOptions,
    places: &Places,
    parts: Option<&mpsc::Sender<Vec<u8>>>,
) -> Result<ReadFile, FileError> {
    let mut differ = Differ::new(places.of_set(&options.set));
    let (mut packer, mut content, mut tags) = (Packer::default(), Vec::new(), HashSet::<Tag>::new());
    let sent = Cell::new(0);
    let send = |packer: &mut Packer| match parts {
        Some(parts) => {
            sent.set(sent.get() + 1);
            parts.blocking_send(packer.take()).map_err(io::Error::other)
        }
        None => Ok(()),
    };
    let mut elsewhere = None;
    let input = BufReader::with_capacity(READ_BYTES, file);
    let mut reading = files::read(input, format, options, &mut |mut geofence| {
        match tags.get(&geofence.id.tag) {
            Some(tag) => geofence.id.tag = tag.clone(),
            None => drop(tags.insert(geofence.id.tag.clone())),
        }
        let known = places.lookup(&geofence.id).filter(|known| known.set != options.set);
        if let Some(known) = known {
            elsewhere.get_or_insert((0, geofence.id.clone(), known.set.clone())).0 += 1;
        }
        differ.see(&geofence);
        if parts.is_some() {
            packer.push(&geofence).map_err(io::Error::other)?;
            content.push(Arc::new(geofence));
            if packer.bytes() >= PART_BYTES {
                send(&mut packer)?;
            }
        }
        Ok(())
    })?;
    if packer.count() > 0 {
        send(&mut packer).map_err(FileError::NotTaken)?;
    }
    let warning = elsewhere.map(|(count, first, set)| Finding::identity_elsewhere(count, &first, &set));
    reading.findings.extend(warning);
    let diff = differ.finish();
    Ok(ReadFile {
        reading,
        diff,
        content,
        parts: sent.get(),
    })
}
