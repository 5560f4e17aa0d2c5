//! From the outbox to the provider: lease, look again, render, begin the attempt, send, finish.
//!
//! How a push survives a crash: the row is written with the decision; `begin_attempt` is durable before the request
//! leaves; the outcome is written when it is known. A process that dies before `begin_attempt` has sent nothing, and the
//! row is leased again. One that dies after it leaves the row *in doubt*: it is sent again under the same names (apns-id,
//! collapse id, tag), so that the phone shows one notification, and the fact says `unknown`.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
    time::Instant,
};

use super::{
    Engine, EngineError,
    look_again::{prepare, suppress},
    ports::{Attempt, Finish, Leased, PushSender},
    records::{Change, Write},
    retry::judge,
};
use crate::domain::{
    delivery::{Delivery, Outcome, Push, PushTarget},
    event::Fact,
    ids::{DeviceId, SubjectId, WorkspaceId},
    record::Record,
    time::{DurationMs, Timestamp},
};

/// Ends that could not be written are written again after this.
const FINISH_AGAIN: Duration = Duration::from_millis(500);
/// A wrong push configuration is told so often, however many pushes meet it.
const ALARM_EVERY: DurationMs = DurationMs::from_secs(60);

/// Limits of a dispatcher.
#[derive(Debug, Clone, Copy)]
pub struct DispatchLimits {
    /// Requests under way at once.
    pub in_flight_max: usize,
    /// Rows leased in one round trip.
    pub lease_rows_max: usize,
    /// A request has ended after this.
    pub send_timeout: Duration,
    /// A lease lasts this long; longer than `send_timeout` by far.
    pub lease: DurationMs,
    /// How often to look for due rows that nobody announced.
    pub sweep: Duration,
}

/// Takes deliveries from the outbox to the providers.
pub struct Dispatcher {
    engine: Arc<Engine>,
    sender: Arc<dyn PushSender>,
    limits: DispatchLimits,
    alarmed_at: AtomicI64,
}

/// A row that was looked at again and is to be sent.
struct Ready {
    leased: Leased,
    push: Push,
    permit: OwnedSemaphorePermit,
}

/// A row's end on its way to the store; its permit is free when that is durable.
struct Ended {
    finish: Finish,
    _permit: OwnedSemaphorePermit,
}

impl Dispatcher {
    /// Puts the parts together.
    pub fn new(engine: Arc<Engine>, sender: Arc<dyn PushSender>, limits: DispatchLimits) -> Self {
        Self {
            engine,
            sender,
            limits,
            alarmed_at: AtomicI64::new(0),
        }
    }

    /// Works until `stop` turns true, then lets the requests under way end.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let (ended, finishes) = mpsc::channel(self.limits.in_flight_max.max(1));
        let finisher = tokio::spawn(Arc::clone(&self).finish_all(finishes));
        let in_flight = Arc::new(Semaphore::new(self.limits.in_flight_max));
        let mut sends = JoinSet::new();
        while !*stop.borrow() {
            while sends.try_join_next().is_some() {}
            let pause = match self.round(&in_flight, &ended, &mut sends, &stop).await {
                Ok(true) => continue,
                Ok(false) => self.pause().await,
                Err(error) => {
                    tracing::warn!(%error, "the outbox waits; trying again");
                    self.limits.sweep
                }
            };
            tokio::select! {
                () = self.engine.outbox_filled.notified() => {}
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
        while sends.join_next().await.is_some() {}
        drop(ended);
        if finisher.await.is_err() {
            tracing::error!("the finisher stopped early; what was sent is in doubt at the next start");
        }
    }

    /// How long there is nothing to do.
    async fn pause(&self) -> Duration {
        let Ok(Some(due_at)) = self.engine.store.hot.next_due().await else {
            return self.limits.sweep;
        };
        let wait = due_at.since(self.engine.clock.now()).to_std();
        wait.clamp(Duration::from_millis(1), self.limits.sweep)
    }

    /// Leases what is due and starts sending it; false when nothing was due.
    async fn round(
        self: &Arc<Self>,
        in_flight: &Arc<Semaphore>,
        ended: &mpsc::Sender<Ended>,
        sends: &mut JoinSet<()>,
        stop: &watch::Receiver<bool>,
    ) -> Result<bool, EngineError> {
        let Ok(first) = Arc::clone(in_flight).acquire_owned().await else {
            return Ok(false);
        };
        if *stop.borrow() {
            return Ok(false);
        }
        let now = self.engine.clock.now();
        let limit = self.limits.lease_rows_max.min(in_flight.available_permits() + 1);
        // It began at the latest with the answer, and at the earliest here.
        let lease_ends = Instant::now() + self.limits.lease.to_std();
        let leased = self
            .engine
            .store
            .hot
            .lease(now, now.plus(self.limits.lease), limit)
            .await?;
        if leased.is_empty() {
            return Ok(false);
        }
        let mut permits = vec![first];
        while permits.len() < leased.len() {
            let Ok(permit) = Arc::clone(in_flight).acquire_owned().await else {
                break;
            };
            permits.push(permit);
        }
        let ready = self.look_again(leased, permits, ended).await?;
        let attempts = ready
            .iter()
            .map(|ready| Attempt {
                delivery: ready.push.delivery,
                workspace: ready.leased.delivery.workspace.clone(),
                subject: ready.leased.delivery.subject.clone(),
                number: ready.leased.attempts + 1,
                leased_until: ready.leased.until,
            })
            .collect();
        let begun = self.engine.store.hot.begin_attempts(attempts).await?;
        for (ready, begun) in ready.into_iter().zip(begun) {
            if begun {
                sends.spawn(Arc::clone(self).send_one(ready, lease_ends, ended.clone()));
            }
        }
        Ok(true)
    }

    /// Looks again at each leased row and renders those that are still worth sending; the others end here.
    async fn look_again(
        &self,
        leased: Vec<Leased>,
        permits: Vec<OwnedSemaphorePermit>,
        ended: &mpsc::Sender<Ended>,
    ) -> Result<Vec<Ready>, EngineError> {
        let now = self.engine.clock.now();
        let records = self.records_of(&leased).await?;
        let mut ready = Vec::with_capacity(leased.len());
        for (leased, permit) in leased.into_iter().zip(permits) {
            let delivery = &leased.delivery;
            let catalogue = self.engine.catalogues.of(&delivery.workspace);
            let owner = (
                delivery.workspace.clone(),
                delivery.device.clone(),
                delivery.subject.clone(),
            );
            let record = records.get(&owner).map(Arc::as_ref);
            let campaign = catalogue.campaigns.get(&delivery.campaign).map(Arc::as_ref);
            let geofence = delivery.geofence.as_ref().and_then(|id| catalogue.places.find(id));
            let geofence = geofence.map(|place| catalogue.places.get(place));
            let rules = self.engine.rules(&catalogue);
            match prepare(delivery, record, campaign, geofence, now, rules) {
                Ok(push) => ready.push(Ready { leased, push, permit }),
                Err(suppression) => {
                    let finish = suppress(&leased, suppression, now);
                    ended
                        .send(Ended {
                            finish,
                            _permit: permit,
                        })
                        .await
                        .unwrap_or_default();
                }
            }
        }
        Ok(ready)
    }

    /// The customers of leased rows. One who no longer owns the row's device is left out, as is one whose record is
    /// unreadable: it must not hold up the others.
    async fn records_of(
        &self,
        leased: &[Leased],
    ) -> Result<HashMap<(WorkspaceId, DeviceId, SubjectId), Arc<Record>>, EngineError> {
        let mut by_workspace: HashMap<&WorkspaceId, Vec<&Delivery>> = HashMap::new();
        for Leased { delivery, .. } in leased {
            by_workspace.entry(&delivery.workspace).or_default().push(delivery);
        }
        let mut found = HashMap::new();
        for (workspace, deliveries) in by_workspace {
            let devices: Vec<DeviceId> = deliveries.iter().map(|delivery| delivery.device.clone()).collect();
            let owners = self.engine.records.owners(workspace, &devices).await?;
            let (owned, others): (Vec<_>, Vec<_>) = deliveries
                .into_iter()
                .zip(owners)
                .partition(|(delivery, owner)| owner.as_ref() == Some(&delivery.subject));
            for (delivery, _) in others {
                self.engine
                    .release_device(workspace, &delivery.subject, &delivery.device)
                    .await?;
            }
            let owned: Vec<&Delivery> = owned.into_iter().map(|(delivery, _)| delivery).collect();
            let subjects: Vec<SubjectId> = owned.iter().map(|delivery| delivery.subject.clone()).collect();
            let records = match self.engine.records.get_many(workspace, &subjects).await {
                Err(EngineError::Record(_)) => self.records_one_by_one(workspace, &subjects).await?,
                records => records?,
            };
            for (delivery, record) in owned.into_iter().zip(records) {
                let key = (workspace.clone(), delivery.device.clone(), delivery.subject.clone());
                found.extend(record.map(|record| (key, record)));
            }
        }
        Ok(found)
    }

    async fn records_one_by_one(
        &self,
        workspace: &WorkspaceId,
        subjects: &[SubjectId],
    ) -> Result<Vec<Option<Arc<Record>>>, EngineError> {
        let mut records = Vec::with_capacity(subjects.len());
        for subject in subjects {
            records.push(match self.engine.records.get(workspace, subject).await {
                Err(EngineError::Record(error)) => {
                    tracing::error!(%error, "a record is unreadable; the pushes of that customer end unsent");
                    None
                }
                record => record?,
            });
        }
        Ok(records)
    }

    /// Makes one request and hands its end to the finisher.
    async fn send_one(self: Arc<Self>, ready: Ready, lease_ends: Instant, ended: mpsc::Sender<Ended>) {
        let Ready { leased, push, permit } = ready;
        let started = Instant::now();
        let deadline = started + self.limits.send_timeout;
        if deadline > lease_ends {
            // Another worker may soon have the row; it is in doubt there and nothing is lost.
            return;
        }
        let outcome = self.sender.send(&push, deadline).await;
        self.engine
            .metrics
            .push(push.target.platform, &outcome, started.elapsed());
        let (delivery, attempts) = (&leased.delivery, leased.attempts + 1);
        let now = self.engine.clock.now();
        if let Outcome::Misconfigured { credential, reason } = &outcome
            && self.alarm_is_due(now)
        {
            tracing::error!(%credential, reason, "pushes wait: the push configuration is wrong");
        }
        if let Outcome::Accepted {
            environment: Some(environment),
            ..
        } = outcome
            && let Err(error) = self
                .engine
                .correct_environment(delivery, &push.target, environment)
                .await
        {
            tracing::warn!(%error, delivery = %delivery.id, "a device's environment stays wrong until the next push");
        }
        let verdict = judge(
            delivery,
            outcome,
            attempts,
            leased.in_doubt,
            push.target.registered_at,
            now,
        );
        if verdict.drop_token
            && let Err(error) = self
                .drop_token(delivery, &push.target, verdict.reason.as_deref(), now)
                .await
        {
            tracing::warn!(%error, delivery = %delivery.id, "a dead push token stays until the next push finds it dead");
        }
        let finish = Finish {
            delivery: delivery.id,
            workspace: delivery.workspace.clone(),
            subject: delivery.subject.clone(),
            state: verdict.state,
            attempts: if verdict.counts { attempts } else { leased.attempts },
            begun: attempts,
            quiet: !verdict.counts,
            due_at: verdict.due_at,
            at: now,
            reason: verdict.reason,
        };
        ended
            .send(Ended {
                finish,
                _permit: permit,
            })
            .await
            .unwrap_or_default();
    }

    /// Whether it is time to tell of a wrong configuration again.
    fn alarm_is_due(&self, now: Timestamp) -> bool {
        let last = Timestamp(self.alarmed_at.load(Ordering::Relaxed));
        let due = now.since(last) >= ALARM_EVERY;
        if due {
            self.alarmed_at.store(now.0, Ordering::Relaxed);
        }
        due
    }

    /// Takes a dead token from the customer's record, unless the device has told another one since.
    async fn drop_token(
        &self,
        delivery: &Delivery,
        dead: &PushTarget,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        self.engine
            .records
            .change(&delivery.workspace, &delivery.subject, |record, _| {
                let Some(device) = record
                    .device_mut(&delivery.device)
                    .filter(|one| one.target.as_ref() == Some(dead))
                else {
                    return Change::new((), Write::Nothing);
                };
                device.target = None;
                let fact = Fact::TokenDropped {
                    device: delivery.device.clone(),
                    at: now,
                    reason: reason.unwrap_or_default().to_owned(),
                };
                Change {
                    facts: vec![(None, fact)],
                    ..Change::new((), Write::Record)
                }
            })
            .await
    }

    /// Writes ends, as many as wait at once in one round trip, until the last sender is gone.
    async fn finish_all(self: Arc<Self>, mut finishes: mpsc::Receiver<Ended>) {
        let mut batch = Vec::new();
        while finishes.recv_many(&mut batch, self.limits.in_flight_max.max(1)).await > 0 {
            let rows: Vec<Finish> = batch.iter().map(|ended: &Ended| ended.finish.clone()).collect();
            // While the leases last, nobody else can take the rows: an end that is not written would be sent again.
            let give_up = Instant::now() + self.limits.lease.to_std().saturating_sub(self.limits.send_timeout);
            loop {
                match self.engine.store.hot.finish(rows.clone()).await {
                    Ok(()) => {
                        for ended in &batch {
                            self.engine.metrics.delivery(ended.finish.state);
                        }
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
}
