//! Group commit: one thread takes whatever waits, runs it in one transaction and answers after the `fsync`.
//!
//! While the disk works, the next group gathers, so that throughput grows with load and a lone write waits for nobody.
//! When a transaction fails, each of its jobs is tried alone, so that one bad job does not take the others with it.

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::unavailable;
use crate::engine::ports::StoreError;

/// Jobs that may wait; more callers wait for a place.
const QUEUE_MAX: usize = 8192;
/// Most jobs in one transaction.
const GROUP_MAX: usize = 2048;

/// Something to write. Runs again, alone, when the group's transaction failed.
trait Job: Send {
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, failure: Option<StoreError>);
}

struct Write<T, F> {
    body: F,
    output: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnMut(&Connection) -> rusqlite::Result<T> + Send> Job for Write<T, F> {
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
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
}

impl Writer {
    /// Starts the thread, which owns the connection.
    pub(super) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || work(connection, jobs))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { queue })
    }

    /// Runs `write` in the next transaction; its output comes back when it is durable.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        write: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Write {
            body: write,
            output: None,
            reply,
        });
        self.queue.send(Message::Job(job)).await.map_err(|_| closed())?;
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

fn work(mut connection: Connection, mut queue: mpsc::Receiver<Message>) {
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
        run_group(&mut connection, &mut group);
    }
    if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!(%error, "the write-ahead log was left as it is; the next start reads it");
    }
    drop(connection);
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
