//! Outside events: kept, then told to everybody whom they are about, page by page, so that a crash in between only means
//! that some are told again, which changes nothing.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    Engine, EngineError,
    ports::FanOut,
    records::{Change, Write},
};
use crate::domain::{
    decide::{self, Status},
    event::{EventTarget, OutsideEvent},
    ids::{DeviceId, GeofenceId, SubjectId, WorkspaceId},
};

/// Followers told in one round trip.
const PAGE: usize = 256;
/// Events looked at in one round.
const EVENTS_MAX: usize = 16;
/// How often to look for events whose arrival was not noticed.
const SWEEP: Duration = Duration::from_secs(5);

impl Engine {
    /// Takes an outside event; how many it is about.
    pub async fn take_event(&self, workspace: &WorkspaceId, event: &OutsideEvent) -> Result<u64, EngineError> {
        let matched = match &event.target {
            EventTarget::User(user) => u64::from(self.customer(workspace, user).await?.is_some()),
            EventTarget::Topic(topic) => self.store.hot.count_followers(workspace, topic).await?,
            EventTarget::Geofence(geofence) => self.store.hot.count_present(workspace, geofence).await?,
        };
        if self.store.hot.put_event(workspace, event, self.clock.now()).await? {
            self.event_arrived.notify_one();
        }
        Ok(matched)
    }

    /// Tells events until `stop` turns true.
    pub async fn tell_events(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            if let Err(error) = self.tell_pending(&stop).await {
                tracing::warn!(%error, "outside events wait; trying again");
            }
            tokio::select! {
                () = self.event_arrived.notified() => {}
                () = tokio::time::sleep(SWEEP) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn tell_pending(&self, stop: &watch::Receiver<bool>) -> Result<(), EngineError> {
        loop {
            let mut failed = false;
            let pending = self.store.hot.pending_events(EVENTS_MAX).await?;
            if pending.is_empty() {
                return Ok(());
            }
            for fan_out in pending {
                if *stop.borrow() {
                    return Ok(());
                }
                let event = fan_out.event.id.clone();
                if let Err(error) = self.tell_page(fan_out).await {
                    tracing::warn!(%error, %event, "an outside event waits; trying again");
                    failed = true;
                }
            }
            if failed {
                return Ok(());
            }
        }
    }

    /// Tells one event to its next page of customers.
    async fn tell_page(&self, fan_out: FanOut) -> Result<(), EngineError> {
        let FanOut {
            workspace,
            event,
            after,
        } = fan_out;
        let (subjects, more) = match &event.target {
            EventTarget::User(user) => (vec![SubjectId::User(user.clone())], false),
            EventTarget::Topic(topic) => {
                let page = self
                    .store
                    .hot
                    .followers(&workspace, topic, after.as_ref(), PAGE)
                    .await?;
                let more = page.len() == PAGE;
                (page, more)
            }
            EventTarget::Geofence(geofence) => self.page_of_present(&workspace, geofence, after).await?,
        };
        let decided = match self.tell(&workspace, &event, &subjects).await {
            Err(EngineError::Record(_)) => self.tell_one_by_one(&workspace, &event, &subjects).await?,
            decided => decided?,
        };
        self.store
            .hot
            .advance_event(&workspace, &event.id, subjects.last().filter(|_| more))
            .await?;
        if decided > 0 {
            self.metrics.decided(decided);
            self.outbox_filled.notify_one();
        }
        Ok(())
    }

    /// The next customers who are in a geofence, and whether there may be more. Who comes in or goes meanwhile may be told
    /// or not; the record decides whether they are there.
    async fn page_of_present(
        &self,
        workspace: &WorkspaceId,
        geofence: &GeofenceId,
        after: Option<SubjectId>,
    ) -> Result<(Vec<SubjectId>, bool), EngineError> {
        // Behind all devices of the last customer.
        let after = after.map(|subject| (subject, DeviceId::last()));
        let place = after.as_ref().map(|(subject, device)| (subject, device));
        let page = self.store.hot.present(workspace, geofence, place, PAGE).await?;
        let more = !page.is_empty();
        let mut subjects: Vec<SubjectId> = page.into_iter().map(|present| present.subject).collect();
        subjects.dedup();
        Ok((subjects, more))
    }

    /// Tells an event to these customers, in one commit each and one round trip; how many pushes were decided.
    async fn tell(
        &self,
        workspace: &WorkspaceId,
        event: &OutsideEvent,
        subjects: &[SubjectId],
    ) -> Result<usize, EngineError> {
        let catalogue = self.catalogues.of(workspace);
        let now = self.clock.now();
        let decided = self
            .records
            .change_many(workspace, subjects, |index, record, exists| {
                if !exists {
                    return Change::new(0, Write::Nothing);
                }
                let subject = &subjects[index];
                let context = self.context(workspace, subject, now, &catalogue);
                let effects = decide::outside_event(record, event, context);
                if effects.status != Status::Processed {
                    return Change::new(0, Write::Nothing);
                }
                Change {
                    facts: effects
                        .facts
                        .into_iter()
                        .map(|fact| (Some(event.id.clone()), fact))
                        .collect(),
                    output: effects.deliveries.len(),
                    deliveries: effects.deliveries,
                    ..Change::new(0, Write::Record)
                }
            })
            .await?;
        Ok(decided.into_iter().sum())
    }

    /// The same, leaving out whose record is unreadable: it must not keep the event from the others.
    async fn tell_one_by_one(
        &self,
        workspace: &WorkspaceId,
        event: &OutsideEvent,
        subjects: &[SubjectId],
    ) -> Result<usize, EngineError> {
        let mut decided = 0;
        for subject in subjects {
            decided += match self.tell(workspace, event, std::slice::from_ref(subject)).await {
                Err(EngineError::Record(error)) => {
                    tracing::error!(%error, "a record is unreadable; that customer is not told of an event");
                    0
                }
                told => told?,
            };
        }
        Ok(decided)
    }
}
