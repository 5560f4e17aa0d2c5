//! The embedded store: one SQLite database in a directory of its own.
//!
//! WAL with `synchronous=FULL`: what is answered is on the disk. One thread writes; whatever waits when it is free shares
//! one transaction and one `fsync` (`writer.rs`). Readers have connections of their own and never wait for the writer.
//! Only one process may have the directory open; rows that a dead process had leased are free at once when the next
//! one opens it, and those whose request was begun are in doubt.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use crate::engine::ports::StoreError;

mod backup;
mod commit;
mod control;
mod geofences;
mod hot;
mod offers;
mod outbox;
mod pace;
mod present;
mod reactions;
mod schema;
mod webhooks;
mod writer;

pub use backup::{Backup, back_up};
use writer::Writer;

/// The database's name in its directory.
const FILE: &str = "beckon.sqlite3";

/// Reading connections. Opening one costs as much as a hundred reads, so further readers wait for one of these.
const READERS_MAX: usize = 8;
/// A reader waits this long for a connection, and is then turned away.
const READER_TIMEOUT: Duration = Duration::from_secs(5);

/// An open database.
pub struct SqliteStore {
    path: PathBuf,
    writer: Writer,
    readers: Arc<Mutex<Vec<Connection>>>,
    reading: Arc<Semaphore>,
    pace: pace::Pace,
    _lock: File,
}

fn unavailable(error: &rusqlite::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

impl SqliteStore {
    /// Opens the database in `directory`, which is made when it is missing.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let fails = |what: &str, error: &dyn std::fmt::Display| {
            StoreError::Unavailable(format!("{what} {}: {error}", directory.display()))
        };
        schema::check_sqlite_version()?;
        std::fs::create_dir_all(directory).map_err(|error| fails("can't make the directory", &error))?;
        let lock = File::create(directory.join("lock")).map_err(|error| fails("can't write into", &error))?;
        lock.try_lock()
            .map_err(|_| fails("another Beckon is using", &"stop it first, or choose another directory"))?;
        let path = directory.join(FILE);
        let mut connection = Connection::open(&path).map_err(|error| fails("can't open the database in", &error))?;
        schema::prepare(&mut connection).map_err(|error| fails("can't use the database in", &error))?;
        let copying = Connection::open(&path).map_err(|error| fails("can't open the database in", &error))?;
        Ok(Self {
            path,
            writer: Writer::start(connection, copying)?,
            readers: Arc::default(),
            reading: Arc::new(Semaphore::new(READERS_MAX)),
            pace: pace::Pace::new(),
            _lock: lock,
        })
    }

    /// Runs `read` on a reading connection, away from the async threads.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = tokio::time::timeout(READER_TIMEOUT, Arc::clone(&self.reading).acquire_owned()).await;
        let place = place.map_err(|_| StoreError::Unavailable("too many reads wait".to_owned()))?;
        let readers = Arc::clone(&self.readers);
        let path = self.path.clone();
        let run = move || {
            let pooled = readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match pooled {
                Some(connection) => connection,
                None => open_reader(&path)?,
            };
            let result = read(&connection);
            readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(place);
            result
        };
        tokio::task::spawn_blocking(run)
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?
            .map_err(|error| unavailable(&error))
    }
}

fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "cache_size", -16_000)?;
    Ok(connection)
}

/// A stored value that this Beckon can't read, as an error of the database's kind.
fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, Box::new(error))
}
