//! What comes due with no new check-in: stays that have grown long enough, evidence that runs out, silent visits.
//!
//! A record says when it wants to be looked at ([`Commit::wake_at`](super::ports::Commit::wake_at)), durably, with the
//! commit that made it so. Those whose time has come are leased in batches, take the same step as for a check-in with
//! nothing but time as the input, and are committed by compare-and-swap with their next wish. Whoever dies in between has
//! changed nothing: the lease runs out and the record is woken again. Whatever was due while no server ran is due at the
//! start, the longest due first.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};

use super::{
    Engine, EngineError,
    records::{Change, Write},
};
use crate::domain::{
    decide,
    ids::{SubjectId, WorkspaceId},
    time::{DurationMs, Timestamp},
};

/// Limits of the timers.
#[derive(Debug, Clone, Copy)]
pub struct TimerLimits {
    /// Records woken in one round trip.
    pub batch_max: usize,
    /// A leased record is nobody else's for this long.
    pub lease: DurationMs,
    /// How often to look for due records that nobody announced.
    pub sweep: Duration,
}

/// Rings when a record wants to be woken before the one that is waited for.
#[derive(Debug)]
pub struct WakeBell {
    waits_until: AtomicI64,
    bell: Notify,
}

impl Default for WakeBell {
    fn default() -> Self {
        Self {
            waits_until: AtomicI64::new(i64::MAX),
            bell: Notify::new(),
        }
    }
}

impl WakeBell {
    /// A record has been committed that wants to be woken then.
    pub fn wants(&self, at: Timestamp) {
        if at.0 < self.waits_until.load(Ordering::Acquire) {
            self.bell.notify_one();
        }
    }
}

impl Engine {
    /// Wakes records until `stop` turns true.
    pub async fn wake_records(self: Arc<Self>, limits: TimerLimits, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let pause = match self.wake_due(limits).await {
                Ok(true) => continue,
                Ok(false) => self.until_next_wake(limits).await,
                Err(error) => {
                    tracing::warn!(%error, "timers wait; trying again");
                    limits.sweep
                }
            };
            tokio::select! {
                () = self.wake_bell.bell.notified() => {}
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// How long nothing is due. Who commits an earlier wish from here on rings the bell.
    async fn until_next_wake(&self, limits: TimerLimits) -> Duration {
        self.wake_bell.waits_until.store(i64::MAX, Ordering::Release);
        let Ok(Some(next)) = self.store.hot.next_wake().await else {
            return limits.sweep;
        };
        self.wake_bell.waits_until.store(next.0, Ordering::Release);
        let wait = next.since(self.clock.now()).to_std();
        wait.clamp(Duration::from_millis(1), limits.sweep)
    }

    /// Wakes one batch of what is due; false when nothing was.
    async fn wake_due(&self, limits: TimerLimits) -> Result<bool, EngineError> {
        let now = self.clock.now();
        let leased = self
            .store
            .hot
            .lease_wakes(now, now.plus(limits.lease), limits.batch_max)
            .await?;
        let mut by_workspace: HashMap<WorkspaceId, Vec<SubjectId>> = HashMap::new();
        for (workspace, subject) in leased {
            by_workspace.entry(workspace).or_default().push(subject);
        }
        let found = !by_workspace.is_empty();
        for (workspace, subjects) in by_workspace {
            match self.wake(&workspace, &subjects).await {
                Err(EngineError::Record(_) | EngineError::Contended) => {
                    self.wake_one_by_one(&workspace, &subjects).await?;
                }
                woken => woken?,
            }
        }
        Ok(found)
    }

    /// Lets these customers' time pass, in one commit each and one round trip.
    async fn wake(&self, workspace: &WorkspaceId, subjects: &[SubjectId]) -> Result<(), EngineError> {
        let catalogue = self.catalogues.of(workspace);
        let now = self.clock.now();
        let steps = self
            .records
            .change_many(workspace, subjects, |index, record, exists| {
                if !exists {
                    return Change::new((0, Vec::new(), None), Write::Nothing);
                }
                let context = self.context(workspace, &subjects[index], now, &catalogue);
                let effects = decide::time_passed(record, context);
                let kinds: Vec<_> = effects.events.iter().map(|event| event.kind).collect();
                // Also when nothing has happened: the commit ends the lease and tells the next wish.
                Change {
                    facts: effects.facts.into_iter().map(|fact| (None, fact)).collect(),
                    output: (
                        effects.deliveries.len(),
                        kinds,
                        record.moving().next().is_some().then(|| record.clone()),
                    ),
                    deliveries: effects.deliveries,
                    ..Change::new((0, Vec::new(), None), Write::Record)
                }
            })
            .await?;
        let mut decided = 0;
        for (subject, (deliveries, kinds, moving)) in subjects.iter().zip(steps) {
            decided += deliveries;
            if let Some(record) = moving
                && let Err(error) = self.finish_moves(workspace, subject, &record).await
            {
                tracing::warn!(%error, "a device that has changed hands is not taken over yet; trying again");
            }
            for kind in kinds {
                self.metrics.event(kind);
            }
        }
        if decided > 0 {
            self.metrics.decided(decided);
            self.outbox_filled.notify_one();
        }
        Ok(())
    }

    /// The same, leaving out whose record is unreadable or always busy: it must not keep the others. It is tried again
    /// when its lease has run out.
    async fn wake_one_by_one(&self, workspace: &WorkspaceId, subjects: &[SubjectId]) -> Result<(), EngineError> {
        for subject in subjects {
            match self.wake(workspace, std::slice::from_ref(subject)).await {
                Err(error @ (EngineError::Record(_) | EngineError::Contended)) => {
                    tracing::error!(%error, "a customer's timers wait");
                }
                woken => woken?,
            }
        }
        Ok(())
    }
}
