//! Large bodies: written to a file without a name while they arrive, never whole in memory.

use std::{
    fs::File,
    io::{Seek as _, SeekFrom, Write as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use actix_web::{HttpRequest, web};
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    body,
    problem::{Code, Problem},
};

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1024 * 1024;
/// The first bytes, by which a format is told.
const FIRST_BYTES: usize = 4096;
/// Nothing has arrived for so long: the body is given up.
const SILENCE_TIMEOUT: Duration = Duration::from_mins(1);
/// A body has arrived whole within this, or is given up.
const ARRIVAL_TIMEOUT: Duration = Duration::from_hours(1);

/// Where uploads wait to be read, and how many may at once.
pub struct Uploads {
    folder: PathBuf,
    places: Arc<Semaphore>,
    places_max: usize,
}

/// A body that has arrived. The file vanishes when it is closed, also when the process dies.
pub(super) struct Arrived {
    /// At its beginning.
    pub(super) file: File,
    /// The first [`FIRST_BYTES`] at most.
    pub(super) first: Vec<u8>,
    /// To be held until the file is read.
    pub(super) place: OwnedSemaphorePermit,
}

impl Uploads {
    /// At most `places_max` at once, in `folder`.
    pub fn new(folder: PathBuf, places_max: usize) -> Self {
        Self {
            folder,
            places: Arc::new(Semaphore::new(places_max)),
            places_max,
        }
    }

    /// Receives a body of at most `bytes_max`.
    pub(super) async fn receive(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
        bytes_max: u64,
    ) -> Result<Arrived, Problem> {
        body::refuse_encoding(request)?;
        body::refuse_announced(request, bytes_max)?;
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let detail = format!("{} uploads are under way (geofences.uploads_max)", self.places_max);
            Problem::new(Code::Unavailable, detail)
        })?;
        let arrival = tokio::time::timeout(ARRIVAL_TIMEOUT, self.write(payload, bytes_max));
        let (file, first) = arrival.await.unwrap_or_else(|_| Err(too_slow(ARRIVAL_TIMEOUT)))?;
        Ok(Arrived { file, first, place })
    }

    async fn write(&self, mut payload: web::Payload, bytes_max: u64) -> Result<(File, Vec<u8>), Problem> {
        let mut file = tempfile::tempfile_in(&self.folder).map_err(|error| self.no_room(&error))?;
        let (mut waiting, mut first, mut length) = (Vec::new(), Vec::new(), 0_u64);
        loop {
            let next = tokio::time::timeout(SILENCE_TIMEOUT, payload.next()).await;
            let chunk = match next.map_err(|_| too_slow(SILENCE_TIMEOUT))? {
                Some(Ok(chunk)) => chunk,
                Some(Err(error)) => return Err(Problem::new(Code::BodyIncomplete, error.to_string())),
                None => break,
            };
            length += chunk.len() as u64;
            if length > bytes_max {
                return Err(body::too_large(bytes_max));
            }
            first.extend_from_slice(&chunk[..chunk.len().min(FIRST_BYTES - first.len())]);
            waiting.extend_from_slice(&chunk);
            if waiting.len() >= WRITE_BYTES {
                (file, waiting) = self.append(file, waiting).await?;
            }
        }
        (file, _) = self.append(file, waiting).await?;
        file.seek(SeekFrom::Start(0)).map_err(|error| self.no_room(&error))?;
        Ok((file, first))
    }

    /// Writes beside the async threads.
    async fn append(&self, mut file: File, mut bytes: Vec<u8>) -> Result<(File, Vec<u8>), Problem> {
        let written = tokio::task::spawn_blocking(move || {
            file.write_all(&bytes)?;
            bytes.clear();
            Ok::<_, std::io::Error>((file, bytes))
        });
        let written = written
            .await
            .map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        written.map_err(|error| self.no_room(&error))
    }

    fn no_room(&self, error: &std::io::Error) -> Problem {
        tracing::error!(%error, folder = %self.folder.display(), "an upload can't be kept (geofences.upload_dir)");
        Problem::new(
            Code::Unavailable,
            "the upload can't be kept here now; the server's log says why",
        )
    }
}

fn too_slow(limit: Duration) -> Problem {
    let detail = format!("nothing or not enough arrived within {} s", limit.as_secs());
    Problem::new(Code::BodyIncomplete, detail)
}
