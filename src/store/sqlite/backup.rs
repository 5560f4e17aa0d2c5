//! A copy of the database while a server uses it.
//!
//! What the copy held ready to send may be sent by the original after the copy was made. So in the copy every delivery that
//! had not ended ends as unknown, and outside events that were being told count as told: a server on a restored copy sends
//! nothing that the original may have sent.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

use super::schema;
use crate::{domain::time::Timestamp, engine::ports::StoreError};

/// What a copy holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup {
    /// Bytes of the copy.
    pub bytes: u64,
    /// Customers with a record.
    pub customers: u64,
    /// Deliveries that had not ended, and end as unknown in the copy.
    pub open_deliveries: u64,
}

/// Why those deliveries ended.
const REASON: &str = "restored from a backup; the original may have sent it";

/// Copies the database of `directory`, which a server may be using, into the folder `to`, which must not hold one.
pub fn back_up(directory: &Path, to: &Path, now: Timestamp) -> Result<Backup, StoreError> {
    let fails = |what: &str, path: &Path, error: &dyn std::fmt::Display| {
        StoreError::Unavailable(format!("{what} {}: {error}", path.display()))
    };
    schema::check_sqlite_version()?;
    let (source, target) = (directory.join(super::FILE), to.join(super::FILE));
    if target.exists() {
        return Err(fails("there is a database already in", to, &"choose another folder"));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let original = Connection::open_with_flags(&source, flags)
        .map_err(|error| fails("can't open the database in", directory, &error))?;
    std::fs::create_dir_all(to).map_err(|error| fails("can't make the folder", to, &error))?;
    // Under another name until it is whole: a copy that was cut short must not be taken for one.
    let unfinished = to.join("unfinished.sqlite3");
    if unfinished.exists() {
        std::fs::remove_file(&unfinished).map_err(|error| fails("can't write into", to, &error))?;
    }
    let path = unfinished
        .to_str()
        .ok_or_else(|| fails("can't write into", to, &"the path is not UTF-8"))?;
    original
        .execute("VACUUM INTO ?", [path])
        .map_err(|error| fails("can't copy into", to, &error))?;
    let backup = settle(&unfinished, now).map_err(|error| fails("can't write into", to, &error))?;
    let bytes = std::fs::metadata(&unfinished).map_or(0, |file| file.len());
    std::fs::File::open(&unfinished)
        .and_then(|file| file.sync_all())
        .and_then(|()| std::fs::rename(&unfinished, &target))
        .and_then(|()| std::fs::File::open(to)?.sync_all())
        .map_err(|error| fails("can't write into", to, &error))?;
    Ok(Backup { bytes, ..backup })
}

/// Ends what the original may still do.
fn settle(copy: &Path, now: Timestamp) -> rusqlite::Result<Backup> {
    let mut copy = Connection::open(copy)?;
    let transaction = copy.transaction()?;
    let open = transaction.execute(
        "UPDATE delivery SET state = 'unknown', leased = 0, ended_at = ?, reason = ? WHERE ended_at IS NULL",
        params![now.0, REASON],
    )?;
    transaction.execute("UPDATE outside_event SET done = 1 WHERE done = 0", [])?;
    let customers: i64 = transaction.query_row("SELECT count(*) FROM record", [], |row| row.get(0))?;
    transaction.commit()?;
    Ok(Backup {
        bytes: 0,
        customers: customers.unsigned_abs(),
        open_deliveries: open as u64,
    })
}
