//! Ends on their way to the store, as many as wait at once in one round trip.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::Instant,
};

use super::Dispatcher;
use crate::engine::ports::Finish;

/// Ends that could not be written are written again after this.
const FINISH_AGAIN: Duration = Duration::from_millis(500);

/// A row's end; its place among the requests is free when that is durable.
pub(super) struct Ended {
    pub(super) finish: Finish,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Dispatcher {
    /// Writes ends until all work is done and none is left.
    pub(super) async fn finish_all(self: Arc<Self>, mut all_done: watch::Receiver<bool>) {
        let taken = self.finishes.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut finishes) = taken else { return };
        let mut batch = Vec::new();
        loop {
            let count = tokio::select! {
                biased;
                count = finishes.recv_many(&mut batch, 2 * self.limits.in_flight_max.max(1)) => count,
                _ = all_done.wait_for(|done| *done) => 0,
            };
            if count == 0 {
                return;
            }
            self.write(&mut batch).await;
        }
    }

    async fn write(&self, batch: &mut Vec<Ended>) {
        let rows: Vec<Finish> = batch.iter().map(|ended: &Ended| ended.finish.clone()).collect();
        // While the leases last, nobody else can take the rows: an end that is not written would be sent again.
        let give_up = Instant::now() + self.limits.lease.to_std().saturating_sub(self.limits.send_timeout);
        loop {
            match self.engine.store.hot.finish(rows.clone()).await {
                Ok(()) => {
                    for ended in &*batch {
                        self.engine.metrics.delivery(ended.finish.state);
                    }
                    self.engine.streams.ring();
                    break;
                }
                Err(error) if Instant::now() >= give_up => {
                    tracing::error!(%error, rows = rows.len(), "ends were not written; the rows are in doubt");
                    break;
                }
                Err(_) => tokio::time::sleep(FINISH_AGAIN).await,
            }
        }
        batch.clear();
    }
}
