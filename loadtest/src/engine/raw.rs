//! What SQLite can do by itself, with the same bytes in the same batches.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, task::JoinSet};

use super::FACT_BYTES;

/// Rows that one transaction takes at most, as in Beckon.
const TRANSACTION_MAX: usize = 10_000;
/// Phones whose rows are written.
const ROWS: i64 = 20_000;

/// The rows and indexes that a check-in of Beckon's writes.
const TABLES: &str = "
DROP TABLE IF EXISTS record; DROP TABLE IF EXISTS fact; DROP TABLE IF EXISTS present;
CREATE TABLE record (workspace TEXT, subject TEXT, version INTEGER, wake_at INTEGER, bytes BLOB,
    PRIMARY KEY (workspace, subject)) WITHOUT ROWID;
CREATE INDEX record_wake ON record (wake_at) WHERE wake_at IS NOT NULL;
CREATE TABLE present (workspace TEXT, place TEXT, subject TEXT, since INTEGER,
    PRIMARY KEY (workspace, place, subject)) WITHOUT ROWID;
CREATE TABLE fact (seq INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT, subject TEXT, cause TEXT, body TEXT);
CREATE INDEX fact_subject ON fact (workspace, subject, cause);
CREATE INDEX fact_order ON fact (workspace, seq);
";

/// A row and who waits for it.
struct Write {
    row: i64,
    done: oneshot::Sender<()>,
}

/// Rows a second, with `in_flight` of them waiting for one writer, which takes what waits in one transaction.
pub(super) async fn sqlite(
    folder: &Path,
    in_flight: usize,
    bytes: usize,
    has_facts: bool,
    budget: Duration,
) -> anyhow::Result<f64> {
    let path = folder.join("raw.sqlite3");
    let connection = rusqlite::Connection::open(&path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 16_000)?;
    connection.execute_batch(TABLES)?;
    let (send, receive) = mpsc::channel::<Write>();
    let writer = std::thread::spawn(move || write(connection, &receive, bytes, has_facts));
    let start = Instant::now();
    let written = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for client in 0..in_flight as i64 {
        let (send, written) = (send.clone(), Arc::clone(&written));
        clients.spawn(async move {
            let mut row = client * 7_919;
            while start.elapsed() < budget {
                row = (row + 1) % ROWS;
                let (done, answer) = oneshot::channel();
                if send.send(Write { row, done }).is_err() || answer.await.is_err() {
                    return;
                }
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    drop(send);
    clients.join_all().await;
    let seconds = start.elapsed().as_secs_f64();
    writer
        .join()
        .map_err(|_| anyhow::anyhow!("the raw writer has panicked"))??;
    Ok(written.load(Ordering::Relaxed) as f64 / seconds)
}

fn write(
    mut connection: rusqlite::Connection,
    waiting: &mpsc::Receiver<Write>,
    bytes: usize,
    has_facts: bool,
) -> anyhow::Result<()> {
    let record = vec![7_u8; bytes];
    let fact = "f".repeat(FACT_BYTES);
    let mut count = 0;
    while let Ok(first) = waiting.recv() {
        let rest = std::iter::from_fn(|| waiting.try_recv().ok()).take(TRANSACTION_MAX - 1);
        let batch: Vec<Write> = std::iter::once(first).chain(rest).collect();
        let transaction = connection.transaction()?;
        {
            let mut upsert = transaction.prepare_cached(
                "INSERT INTO record VALUES ('default', ?1, 1, ?3, ?2)
                 ON CONFLICT DO UPDATE SET version = version + 1, wake_at = excluded.wake_at, bytes = excluded.bytes",
            )?;
            let mut insert = transaction
                .prepare_cached("INSERT INTO fact (workspace, subject, cause, body) VALUES ('default', ?1, ?2, ?3)")?;
            let mut enter =
                transaction.prepare_cached("INSERT OR REPLACE INTO present VALUES ('default', 'place', ?1, ?2)")?;
            let mut leave = transaction.prepare_cached(
                "DELETE FROM present WHERE workspace = 'default' AND place = 'place' AND subject = ?1",
            )?;
            for one in &batch {
                count += 1;
                let subject = format!("a:phone-{}", one.row);
                let is_inside = count / ROWS % 2 == 0;
                upsert.execute((&subject, &record, (is_inside && has_facts).then_some(count)))?;
                if has_facts {
                    insert.execute((&subject, format!("c{count}"), &fact))?;
                    if is_inside {
                        enter.execute((&subject, count))?;
                    } else {
                        leave.execute([&subject])?;
                    }
                }
            }
        }
        transaction.commit()?;
        for one in batch {
            // Who no longer waits needs no answer.
            one.done.send(()).unwrap_or_default();
        }
    }
    Ok(())
}
