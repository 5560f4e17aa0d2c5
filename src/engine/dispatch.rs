//! From the outbox to the provider: lease, look again, render, begin the attempt, send, finish.
//!
//! How a push survives a crash: the row is written with the decision; `begin_attempt` is durable before the request
//! leaves; the outcome is written when it is known. A process that dies before `begin_attempt` has sent nothing, and the
//! row is leased again. One that dies after it leaves the row *in doubt*: it is sent again under the same names (apns-id,
//! collapse id, tag), so that the phone shows one notification, and the fact says `unknown`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
    time::Instant,
};

use super::{
    Engine, EngineError,
    ports::{Finish, Leased, PushSender},
    records::{Change, Write},
    retry::judge,
};
use crate::domain::{
    campaign::{Campaign, CampaignStatus},
    delivery::{Delivery, DeliveryState, Push, PushTarget, Suppression},
    event::Fact,
    geofence::Geofence,
    ids::{SubjectId, WorkspaceId},
    record::Record,
    time::{DurationMs, Timestamp},
};

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
        Self { engine, sender, limits }
    }

    /// Works until `stop` turns true, then lets the requests under way end.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let (ended, finishes) = mpsc::channel(self.limits.in_flight_max.max(1));
        let finisher = tokio::spawn(Arc::clone(&self).finish_all(finishes));
        let in_flight = Arc::new(Semaphore::new(self.limits.in_flight_max));
        let mut sends = JoinSet::new();
        while !*stop.borrow() {
            while sends.try_join_next().is_some() {}
            match self.round(&in_flight, &ended, &mut sends).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the outbox waits; trying again"),
            }
            let pause = self.pause().await;
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
    ) -> Result<bool, EngineError> {
        let Ok(first) = Arc::clone(in_flight).acquire_owned().await else {
            return Ok(false);
        };
        let now = self.engine.clock.now();
        let limit = self.limits.lease_rows_max.min(in_flight.available_permits() + 1);
        let leased = self
            .engine
            .store
            .hot
            .lease(now, now.plus(self.limits.lease), limit)
            .await?;
        let lease_ends = Instant::now() + self.limits.lease.to_std();
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
            .map(|ready| (ready.push.delivery, ready.leased.attempts + 1))
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
            let record = records
                .get(&(delivery.workspace.clone(), delivery.subject.clone()))
                .map(Arc::as_ref);
            let campaign = catalogue.campaigns.get(&delivery.campaign).map(Arc::as_ref);
            let geofence = delivery.geofence.as_ref().and_then(|id| catalogue.places.find(id));
            let geofence = geofence.map(|place| catalogue.places.get(place));
            match prepare(delivery, record, campaign, geofence, now) {
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

    async fn records_of(
        &self,
        leased: &[Leased],
    ) -> Result<HashMap<(WorkspaceId, SubjectId), Arc<Record>>, EngineError> {
        let mut by_workspace: HashMap<WorkspaceId, Vec<SubjectId>> = HashMap::new();
        for Leased { delivery, .. } in leased {
            by_workspace
                .entry(delivery.workspace.clone())
                .or_default()
                .push(delivery.subject.clone());
        }
        let mut records = HashMap::new();
        for (workspace, mut subjects) in by_workspace {
            subjects.sort_unstable();
            subjects.dedup();
            let found = self.engine.records.get_many(&workspace, &subjects).await?;
            for (subject, record) in subjects.into_iter().zip(found) {
                records.extend(record.map(|record| ((workspace.clone(), subject), record)));
            }
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
        if let crate::domain::delivery::Outcome::Misconfigured { reason } = &outcome {
            tracing::error!(reason, "pushes wait: the push configuration is wrong");
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
            attempts,
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
            let rows: Vec<Finish> = batch.iter().map(|ended| ended.finish.clone()).collect();
            match self.engine.store.hot.finish(rows).await {
                Ok(()) => batch
                    .iter()
                    .for_each(|ended| self.engine.metrics.delivery(ended.finish.state)),
                Err(error) => {
                    tracing::error!(%error, rows = batch.len(), "ends were not written; the rows are in doubt");
                }
            }
            batch.clear();
        }
    }
}

/// The row's end when it is not sent after all. Where an earlier request may have arrived, nobody can say that it was not.
fn suppress(leased: &Leased, suppression: Suppression, now: Timestamp) -> Finish {
    let delivery = &leased.delivery;
    let name = serde_json::to_value(suppression)
        .ok()
        .and_then(|name| name.as_str().map(str::to_owned));
    Finish {
        delivery: delivery.id,
        workspace: delivery.workspace.clone(),
        subject: delivery.subject.clone(),
        state: if leased.in_doubt {
            DeliveryState::Unknown
        } else {
            DeliveryState::Suppressed
        },
        attempts: leased.attempts,
        due_at: now,
        at: now,
        reason: name,
    }
}

/// The last look before a push leaves: is it still wanted, and in which words. Pure.
fn prepare(
    delivery: &Delivery,
    record: Option<&Record>,
    campaign: Option<&Campaign>,
    geofence: Option<&Geofence>,
    now: Timestamp,
) -> Result<Push, Suppression> {
    let record = record.ok_or(Suppression::CustomerGone)?;
    let device = record.device(&delivery.device).ok_or(Suppression::CustomerGone)?;
    let target = device.target.clone().ok_or(Suppression::NoToken)?;
    if record.profile.consent.push == Some(false) {
        return Err(Suppression::Consent);
    }
    let campaign = campaign
        .filter(|campaign| campaign.status == CampaignStatus::Active)
        .ok_or(Suppression::CampaignEnded)?;
    if now >= delivery.expires_at {
        return Err(Suppression::Expired);
    }
    if delivery.still_there && !delivery.geofence.as_ref().is_some_and(|place| record.is_in(place)) {
        return Err(Suppression::LeftGeofence);
    }
    let offer = campaign.offers.get(delivery.offer).ok_or(Suppression::CampaignEnded)?;
    let profile = &record.profile;
    // What is not known is left out, not null, so that a template's `default` takes its place.
    let mut user = json!({"traits": profile.traits});
    if let Some(name) = &profile.name {
        user["name"] = json!(name);
    }
    if let Some(id) = delivery.subject.user() {
        user["id"] = json!(id);
    }
    let context = json!({
        "user": user,
        "offer": offer.terms,
        "geofence": geofence.map(|geofence| json!({
            "tag": geofence.id.tag, "externalId": geofence.id.external_id,
            "description": geofence.description, "metadata": geofence.metadata,
        })),
        "event": delivery.data,
    });
    let message = offer
        .messages
        .render(device.locale.as_deref(), &context)
        .map_err(|_| Suppression::Template)?;
    let mut data = vec![
        ("deliveryId".to_owned(), delivery.id.to_string()),
        ("campaign".to_owned(), delivery.campaign.to_string()),
    ];
    data.extend(
        delivery
            .geofence
            .as_ref()
            .map(|place| ("geofence".to_owned(), place.to_string())),
    );
    Ok(Push {
        delivery: delivery.id,
        target,
        message,
        data,
        expires_at: delivery.expires_at,
    })
}
