//! The tables, and what the database must be before it is used.

use rusqlite::Connection;

use crate::engine::ports::StoreError;

/// The form of the tables, in `PRAGMA user_version`.
const TABLES_VERSION: i64 = 9;

/// SQLite up to 3.51.2 can damage a database when a WAL is reset at the wrong moment.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
-- `wake_at` of a leased row is the end of its lease.
CREATE TABLE record (
    workspace TEXT NOT NULL, subject TEXT NOT NULL,
    version INTEGER NOT NULL, schema INTEGER NOT NULL, wake_at INTEGER, wake_leased INTEGER NOT NULL, bytes BLOB NOT NULL,
    PRIMARY KEY (workspace, subject)) WITHOUT ROWID;
CREATE INDEX record_wake ON record (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX record_wake_leased ON record (wake_leased) WHERE wake_leased = 1;
CREATE TABLE device (
    workspace TEXT NOT NULL, device TEXT NOT NULL, subject TEXT NOT NULL,
    PRIMARY KEY (workspace, device)) WITHOUT ROWID;
CREATE TABLE present (
    workspace TEXT NOT NULL, tag TEXT NOT NULL, external_id TEXT NOT NULL, subject TEXT NOT NULL, device TEXT NOT NULL,
    since INTEGER NOT NULL, evidence TEXT NOT NULL,
    PRIMARY KEY (workspace, tag, external_id, subject, device)) WITHOUT ROWID;
CREATE TABLE follower (
    workspace TEXT NOT NULL, topic TEXT NOT NULL, subject TEXT NOT NULL,
    PRIMARY KEY (workspace, topic, subject)) WITHOUT ROWID;
CREATE TABLE fact (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace TEXT NOT NULL, subject TEXT NOT NULL, cause TEXT, body TEXT NOT NULL);
CREATE INDEX fact_subject ON fact (workspace, subject, cause);
CREATE INDEX fact_order ON fact (workspace, seq);
-- `due_at` of a leased row is the end of its lease.
CREATE TABLE delivery (
    id BLOB PRIMARY KEY, lane TEXT NOT NULL,
    workspace TEXT NOT NULL, user TEXT, campaign TEXT NOT NULL, decided_at INTEGER NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL, due_at INTEGER NOT NULL, leased INTEGER NOT NULL,
    leases INTEGER NOT NULL DEFAULT 0, ended_at INTEGER, reason TEXT, body TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX delivery_due ON delivery (lane, due_at) WHERE ended_at IS NULL;
CREATE INDEX delivery_dead ON delivery (workspace, ended_at, id) WHERE state = 'dead_letter';
CREATE INDEX delivery_list ON delivery (workspace, decided_at, id);
CREATE INDEX delivery_user ON delivery (workspace, user, decided_at, id) WHERE user IS NOT NULL;
CREATE TABLE outside_event (
    workspace TEXT NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL, done INTEGER NOT NULL, after TEXT,
    body TEXT NOT NULL, PRIMARY KEY (workspace, id)) WITHOUT ROWID;
CREATE INDEX outside_event_pending ON outside_event (at) WHERE done = 0;
CREATE TABLE geofence_set (
    workspace TEXT NOT NULL, name TEXT NOT NULL, live INTEGER NOT NULL, newest INTEGER NOT NULL,
    updated_at INTEGER NOT NULL, PRIMARY KEY (workspace, name)) WITHOUT ROWID;
CREATE TABLE geofence_version (
    workspace TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, upload BLOB NOT NULL,
    count INTEGER NOT NULL, created_at INTEGER NOT NULL, PRIMARY KEY (workspace, name, version)) WITHOUT ROWID;
CREATE TABLE geofence_part (upload BLOB NOT NULL, number INTEGER NOT NULL, pack BLOB NOT NULL);
CREATE UNIQUE INDEX geofence_part_of ON geofence_part (upload, number);
-- Without a pack the geofence is removed.
CREATE TABLE geofence_edit (
    workspace TEXT NOT NULL, name TEXT NOT NULL, tag TEXT NOT NULL, external_id TEXT NOT NULL, at INTEGER NOT NULL,
    pack BLOB, PRIMARY KEY (workspace, name, tag, external_id)) WITHOUT ROWID;
CREATE TABLE campaign (
    workspace TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY (workspace, id)) WITHOUT ROWID;
CREATE TABLE campaign_version (
    workspace TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, created_at INTEGER NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY (workspace, id, version)) WITHOUT ROWID;
CREATE TABLE settings (
    workspace TEXT PRIMARY KEY, version INTEGER NOT NULL, updated_at INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE webhook (
    id TEXT PRIMARY KEY, workspace TEXT NOT NULL, version INTEGER NOT NULL, due_at INTEGER, body TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX webhook_due ON webhook (due_at) WHERE due_at IS NOT NULL;
-- `code` is one of the workspace's, of a pool or made for the delivery.
CREATE TABLE offer_grant (
    workspace TEXT NOT NULL, delivery BLOB NOT NULL, subject TEXT NOT NULL, campaign TEXT NOT NULL, code TEXT, pool TEXT,
    state TEXT NOT NULL, reserved_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, terms TEXT NOT NULL,
    redeemed_at INTEGER, redeemed_as TEXT, redemption TEXT,
    PRIMARY KEY (workspace, delivery)) WITHOUT ROWID;
CREATE UNIQUE INDEX offer_grant_code ON offer_grant (workspace, code) WHERE code IS NOT NULL;
CREATE INDEX offer_grant_subject ON offer_grant (workspace, subject, expires_at);
CREATE INDEX offer_grant_reserved ON offer_grant (workspace, reserved_at) WHERE state = 'reserved';
CREATE INDEX offer_grant_ends ON offer_grant (expires_at);
CREATE TABLE offer_code (
    workspace TEXT NOT NULL, code TEXT NOT NULL, pool TEXT NOT NULL, number INTEGER NOT NULL, delivery BLOB,
    PRIMARY KEY (workspace, code)) WITHOUT ROWID;
CREATE INDEX offer_code_free ON offer_code (workspace, pool, number) WHERE delivery IS NULL;
CREATE INDEX offer_code_pool ON offer_code (workspace, pool, number);
CREATE INDEX offer_code_taken ON offer_code (workspace, delivery) WHERE delivery IS NOT NULL;
CREATE TABLE offer_budget (
    workspace TEXT NOT NULL, campaign TEXT NOT NULL, used INTEGER NOT NULL,
    PRIMARY KEY (workspace, campaign)) WITHOUT ROWID;
CREATE TABLE api_key (
    id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, workspace TEXT NOT NULL, role TEXT NOT NULL,
    name TEXT NOT NULL, created_at INTEGER NOT NULL) WITHOUT ROWID;
";

/// Refuses an SQLite that can lose data.
pub(super) fn check_sqlite_version() -> Result<(), StoreError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(StoreError::Unavailable(format!(
            "SQLite {} can damage a write-ahead log; 3.51.3 or newer is needed",
            rusqlite::version()
        )));
    }
    Ok(())
}

/// Makes the writing connection durable, creates the tables, and frees what a dead process had leased.
pub(super) fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(128);
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // The usual checkpoints are made beside the writer; this one only bounds the log when those don't keep up.
    connection.pragma_update(None, "wal_autocheckpoint", 100_000)?;
    connection.pragma_update(None, "cache_size", -64_000)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found {
        0 => {
            let transaction = connection.transaction()?;
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", TABLES_VERSION)?;
            transaction.commit()?;
        }
        TABLES_VERSION => {}
        other => {
            let advice = if other > TABLES_VERSION {
                "use a newer Beckon"
            } else {
                "it is from before the first release; begin with an empty directory"
            };
            return Err(rusqlite::Error::ToSqlConversionFailure(
                format!("its tables have version {other}, this Beckon knows {TABLES_VERSION}: {advice}").into(),
            ));
        }
    }
    // Parts of uploads that a dead process never finished.
    connection.execute(
        "DELETE FROM geofence_part WHERE upload NOT IN (SELECT upload FROM geofence_version)",
        [],
    )?;
    connection.execute(
        "UPDATE delivery SET due_at = 0, leased = 0 WHERE ended_at IS NULL AND leased = 1",
        [],
    )?;
    connection.execute(
        "UPDATE record SET wake_at = 0, wake_leased = 0 WHERE wake_leased = 1",
        [],
    )?;
    Ok(())
}
