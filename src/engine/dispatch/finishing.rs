//! Ends on their way to the store, as many as wait at once in one round trip.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    task::JoinHandle,
    time::Instant,
};

use super::Dispatcher;
use crate::engine::{
    offers::is_sent,
    ports::{Finish, Settlement},
};

/// Ends that could not be written are written again after this.
const FINISH_AGAIN: Duration = Duration::from_millis(500);
/// Further ends wait so long for those before them, so that many are written together.
const PATIENCE: Duration = Duration::from_millis(100);

/// A row's end; its place among the requests is free when that is durable.
pub(super) struct Ended {
    pub(super) finish: Finish,
    /// Whether the row may have claimed an offer, which comes back if it was not sent.
    pub(super) is_limited: bool,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// How the offer of a row that has ended is settled.
fn settlement(ended: &Ended) -> Option<Settlement> {
    let is_sent = is_sent(ended.finish.state).filter(|_| ended.is_limited)?;
    Some(Settlement {
        workspace: ended.finish.workspace.clone(),
        delivery: ended.finish.delivery,
        is_sent,
    })
}

impl Dispatcher {
    /// Writes ends until all work is done and none is left.
    pub(super) async fn finish_all(self: Arc<Self>, mut all_done: watch::Receiver<bool>) {
        let taken = self.finishes.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut finishes) = taken else { return };
        let mut late: Vec<JoinHandle<()>> = Vec::new();
        loop {
            let mut batch = Vec::new();
            let count = tokio::select! {
                biased;
                count = finishes.recv_many(&mut batch, 2 * self.limits.in_flight_max.max(1)) => count,
                _ = all_done.wait_for(|done| *done) => 0,
            };
            if count == 0 {
                break;
            }
            late.retain(|write| !write.is_finished());
            let mut write = tokio::spawn(Arc::clone(&self).write(batch));
            // Each holds places among the requests, so there are never many.
            if tokio::time::timeout(PATIENCE, &mut write).await.is_err() {
                late.push(write);
            }
        }
        for write in late {
            drop(write.await);
        }
    }

    /// Writes these ends; those that can't be written are written again, and hold up nobody else.
    async fn write(self: Arc<Self>, mut batch: Vec<Ended>) {
        // While the leases last, nobody else can take the rows: an end that is not written would be sent again.
        let give_up = Instant::now() + self.limits.lease.to_std().saturating_sub(self.limits.send_timeout);
        loop {
            let rows: Vec<Finish> = batch.iter().map(|ended| ended.finish.clone()).collect();
            let before = batch.len();
            let (mut rest, mut last_failure) = (Vec::new(), None);
            let mut settlements = Vec::new();
            for (ended, answer) in batch.into_iter().zip(self.engine.store.hot.finish_each(rows).await) {
                match answer {
                    Ok(()) => {
                        self.engine.metrics.delivery(ended.finish.state);
                        settlements.extend(settlement(&ended));
                    }
                    Err(error) => {
                        last_failure = Some(error);
                        rest.push(ended);
                    }
                }
            }
            if rest.len() < before {
                self.engine.streams.ring();
            }
            if !settlements.is_empty()
                && let Err(error) = self.engine.store.offers.settle(settlements).await
            {
                tracing::debug!(%error, "offers are settled later");
            }
            let Some(error) = last_failure else { return };
            if Instant::now() >= give_up {
                tracing::error!(%error, rows = rest.len(), "ends were not written; the rows are in doubt");
                return;
            }
            batch = rest;
            tokio::time::sleep(FINISH_AGAIN).await;
        }
    }
}
