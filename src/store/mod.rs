//! Where everything is kept. The backend is chosen once, here, by URL; nobody else asks which one it is.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    domain::time::Timestamp,
    engine::ports::{ControlStore, HotStore, OfferStore, SharedTokens, Store, StoreError, WebhookStore},
};

mod one_process;
pub mod redis;
pub mod sqlite;

pub use one_process::OneProcess;

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no backend.
    #[error(
        "`{0}` is no store; use sqlite:DIRECTORY, such as sqlite:./beckon-data, or redis://HOST:PORT, or \
         redis+cluster://HOST:PORT,HOST:PORT"
    )]
    UnknownUrl(String),
    /// The backend has a way of its own.
    #[error("`{0}` is no embedded store: back up Redis by its own means, such as its append-only file or a replica")]
    NoBackup(String),
    /// The backend refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn sides<S: HotStore + ControlStore + WebhookStore + OfferStore + 'static>(
    store: &Arc<S>,
    tokens: Arc<dyn SharedTokens>,
) -> Store {
    Store {
        hot: Arc::<S>::clone(store),
        control: Arc::<S>::clone(store),
        webhooks: Arc::<S>::clone(store),
        offers: Arc::<S>::clone(store),
        tokens,
    }
}

/// Opens the store that `url` names: `sqlite:DIRECTORY`, or `redis://` (`rediss://` with TLS) for one Redis or Valkey, or
/// `redis+cluster://` (`rediss+cluster://`) for a cluster, of which some nodes are named.
pub async fn open(url: &str) -> Result<Store, OpenError> {
    if redis::RedisStore::knows(url) {
        let store = Arc::new(redis::RedisStore::open(url).await?);
        let tokens: Arc<dyn SharedTokens> = Arc::<redis::RedisStore>::clone(&store);
        return Ok(sides(&store, tokens));
    }
    let Some(directory) = url.strip_prefix("sqlite:").filter(|path| !path.is_empty()) else {
        return Err(OpenError::UnknownUrl(without_password(url)));
    };
    let store = Arc::new(sqlite::SqliteStore::open(&PathBuf::from(directory))?);
    Ok(sides(&store, Arc::new(OneProcess::default())))
}

/// Copies an embedded store, which a server may be using, into a folder from which another can be started. What had not
/// ended is ended there, so that nothing is sent again.
pub fn back_up(url: &str, to: &Path, now: Timestamp) -> Result<sqlite::Backup, OpenError> {
    let Some(directory) = url.strip_prefix("sqlite:").filter(|path| !path.is_empty()) else {
        return Err(OpenError::NoBackup(without_password(url)));
    };
    Ok(sqlite::back_up(Path::new(directory), to, now)?)
}

/// The URL as it may be shown and logged.
pub fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rfind('@')) {
        (Some((scheme, _)), Some(at)) => format!("{scheme}://***{}", &url[at..]),
        _ => url.to_owned(),
    }
}

/// A folder for large files that are soon gone: beside the store where that is a folder, for there is room for its data.
pub fn scratch_directory(url: &str) -> PathBuf {
    url.strip_prefix("sqlite:")
        .map_or_else(std::env::temp_dir, PathBuf::from)
}
