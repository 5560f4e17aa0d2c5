//! Where everything is kept. The backend is chosen once, here, by URL; nobody else asks which one it is.

use std::{path::PathBuf, sync::Arc};

use crate::engine::ports::{ControlStore, Store, StoreError};

pub mod sqlite;

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no backend.
    #[error("`{0}` is no store; use sqlite:DIRECTORY, such as sqlite:./beckon-data")]
    UnknownUrl(String),
    /// The backend refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens the store that `url` names: `sqlite:DIRECTORY`.
pub fn open(url: &str) -> Result<Store, OpenError> {
    let Some(directory) = url.strip_prefix("sqlite:").filter(|path| !path.is_empty()) else {
        return Err(OpenError::UnknownUrl(url.to_owned()));
    };
    let store = Arc::new(sqlite::SqliteStore::open(&PathBuf::from(directory))?);
    let control: Arc<dyn ControlStore> = Arc::<sqlite::SqliteStore>::clone(&store);
    Ok(Store { hot: store, control })
}

/// A folder for large files that are soon gone: beside the store where that is a folder, for there is room for its data.
pub fn scratch_directory(url: &str) -> PathBuf {
    url.strip_prefix("sqlite:")
        .map_or_else(std::env::temp_dir, PathBuf::from)
}
