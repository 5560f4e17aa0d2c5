//! Group commit: one thread takes whatever waits, runs it in one transaction and answers after the `fsync`.
//!
//! While the disk works, the next group gathers, so that throughput grows with load and a lone write waits for nobody.
//! When a transaction fails, each of its jobs is tried alone, so that one bad job does not take the others with it.
//!
//! Checkpoints would stop the writer for tens of milliseconds. So another thread copies the bulk of the write-ahead log
//! back while the writer goes on, and the writer itself only copies the little that came meanwhile, which lets the log
//! start anew.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::unavailable;
use crate::engine::ports::StoreError;

/// Jobs that may wait; more callers wait for a place.
const QUEUE_MAX: usize = 8192;
/// Jobs between two checkpoints: some 200 MB of the log at most. Copying back more often keeps the disk from what is waited
/// for.
const CHECKPOINT_JOBS: usize = 16_384;
/// A job writes a few pages of 4 KiB.
const JOB_BYTES: usize = 16 * 1024;
/// A caller waits this long for a place in the queue, and is then turned away.
const PLACE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most jobs in one transaction.
const GROUP_MAX: usize = 2048;

/// Something to write. Runs again, alone, when the group's transaction failed.
trait Job: Send {
    /// How many usual jobs it is as large as.
    fn weight(&self) -> usize;
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, failure: Option<StoreError>);
}

struct Write<T, F> {
    body: F,
    weight: usize,
    output: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnMut(&Connection) -> rusqlite::Result<T> + Send> Job for Write<T, F> {
    fn weight(&self) -> usize {
        self.weight
    }

    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.output = Some((self.body)(connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, failure: Option<StoreError>) {
        let result = match (failure, self.output) {
            (None, Some(output)) => Ok(output),
            (failure, _) => Err(failure.unwrap_or_else(closed)),
        };
        // A caller that went away does not need the answer; what it asked for is done all the same.
        drop(self.reply.send(result));
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("it is closed".to_owned())
}

enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// The writing thread's queue.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
}

impl Writer {
    /// Starts the writing thread, which owns `connection`, and the one that copies its log back by `copying`.
    pub(super) fn start(connection: Connection, copying: Connection) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let checkpoints = Checkpoints::start(copying)?;
        spawn("sqlite-writer", move || work(connection, jobs, checkpoints))?;
        Ok(Self { queue })
    }

    /// Runs `write` in the next transaction; its output comes back when it is durable.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        write: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_large(0, write).await
    }

    /// The same for so many bytes at once, far more than a usual job writes.
    pub(super) async fn write_large<T: Send + 'static>(
        &self,
        bytes: usize,
        write: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Write {
            body: write,
            weight: 1 + bytes / JOB_BYTES,
            output: None,
            reply,
        });
        self.queue
            .send_timeout(Message::Job(job), PLACE_TIMEOUT)
            .await
            .map_err(|error| match error {
                mpsc::error::SendTimeoutError::Closed(_) => closed(),
                mpsc::error::SendTimeoutError::Timeout(_) => StoreError::Unavailable("the disk is too slow".to_owned()),
            })?;
        answer.await.map_err(|_| closed())?
    }

    /// Writes out what waits and closes the database.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close(done)).await.is_ok() {
            closed.await.unwrap_or_default();
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread
        .map(drop)
        .map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// Copies the log back beside the writer.
struct Checkpoints {
    wanted: std::sync::mpsc::SyncSender<()>,
    copied: Arc<AtomicBool>,
    jobs: usize,
}

impl Checkpoints {
    fn start(connection: Connection) -> Result<Self, StoreError> {
        let (wanted, orders) = std::sync::mpsc::sync_channel(1);
        let copied = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&copied);
        spawn("sqlite-checkpoint", move || {
            for () in orders {
                copy_back(&connection);
                tell.store(true, Ordering::Release);
            }
        })?;
        Ok(Self {
            wanted,
            copied,
            jobs: 0,
        })
    }

    /// After a group of so many jobs.
    fn after(&mut self, jobs: usize, connection: &Connection) {
        self.jobs += jobs;
        if self.copied.swap(false, Ordering::Acquire) {
            copy_back(connection);
        } else if self.jobs >= CHECKPOINT_JOBS && self.wanted.try_send(()).is_ok() {
            self.jobs = 0;
        }
    }
}

fn copy_back(connection: &Connection) {
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        tracing::warn!(%error, "the write-ahead log was not copied back; it grows until the next time");
    }
}

fn work(mut connection: Connection, mut queue: mpsc::Receiver<Message>, mut checkpoints: Checkpoints) {
    let mut group: Vec<Box<dyn Job>> = Vec::new();
    let mut closing = None;
    while closing.is_none() {
        let Some(first) = queue.blocking_recv() else { break };
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Job(job) => group.push(job),
                Message::Close(done) => {
                    closing = Some(done);
                    queue.close();
                }
            }
            next = if group.len() < GROUP_MAX || closing.is_some() {
                queue.try_recv().ok()
            } else {
                None
            };
        }
        let jobs = group.iter().map(|job| job.weight()).sum();
        run_group(&mut connection, &mut group);
        checkpoints.after(jobs, &connection);
    }
    if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!(%error, "the write-ahead log was left as it is; the next start reads it");
    }
    drop((checkpoints, connection));
    if let Some(done) = closing {
        done.send(()).unwrap_or_default();
    }
}

fn run_group(connection: &mut Connection, group: &mut Vec<Box<dyn Job>>) {
    if try_together(connection, group).is_ok() {
        group.drain(..).for_each(|job| job.answer(None));
        return;
    }
    for mut job in group.drain(..) {
        let failure = try_together(connection, std::slice::from_mut(&mut job)).err();
        if let Some(error) = &failure {
            tracing::error!(%error, "a write failed");
        }
        job.answer(failure.as_ref().map(unavailable));
    }
}

fn try_together(connection: &mut Connection, jobs: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in jobs {
        job.run(&transaction)?;
    }
    transaction.commit()
}
