//! From the outbox to the provider: lease, look again, wait for a slot, begin the attempt, send, finish.
//!
//! How a push survives a crash: the row is written with the decision; `begin_attempt` is durable before the request
//! leaves; the outcome is written when it is known. A process that dies before `begin_attempt` has sent nothing, and the
//! row is leased again. One that dies after it leaves the row *in doubt*: it is sent again under the same names (apns-id,
//! collapse id, tag), so that the phone shows one notification, and the fact says `unknown`.
//!
//! What waits is taken from the lanes in turns ([`crate::domain::lane`]), and each provider has requests of its own, so
//! that one that hangs doesn't hold up the other. Lanes that may not go now (a wrong credential, a speed that is reached)
//! are not leased from (`holds.rs`), so that half a million rows that wait cost nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
    time::Instant,
};

mod customers;
mod finishing;
pub mod holds;
mod looking;
mod pacing;
mod sending;

use super::{
    Engine, EngineError,
    ports::{Finish, LeaseAsk, Leased, PushSender},
};
use crate::domain::{
    delivery::{Platform, Push},
    lane::LanePart,
    time::{DurationMs, Timestamp},
};
use finishing::Ended;
pub use pacing::PaceLimits;
use pacing::Unmade;

/// Batches on their way from the lease to their requests: while one waits for the disk, the next one is looked at.
const BATCHES_MAX: usize = 4;

/// Room for so many requests is waited for, so long, before rows are leased.
const GATHERED_MAX: usize = 128;
const GATHER_TIMEOUT: Duration = Duration::from_millis(10);

/// Rows for which a part of the store is away are looked at again after this.
const AWAY_AGAIN: DurationMs = DurationMs::from_secs(2);

/// Limits of a dispatcher.
#[derive(Debug, Clone, Copy)]
pub struct DispatchLimits {
    /// Requests to one provider under way at once.
    pub in_flight_max: usize,
    /// Rows leased in one round trip.
    pub lease_rows_max: usize,
    /// A request has ended after this.
    pub send_timeout: Duration,
    /// A lease lasts this long; longer than `send_timeout` by far.
    pub lease: DurationMs,
    /// How often to look for due rows that nobody announced.
    pub sweep: Duration,
    /// How fast pushes leave at most.
    pub pace: PaceLimits,
}

/// Takes deliveries from the outbox to the providers.
pub struct Dispatcher {
    engine: Arc<Engine>,
    sender: Arc<dyn PushSender>,
    limits: DispatchLimits,
    ios: Arc<Semaphore>,
    android: Arc<Semaphore>,
    turn: AtomicU64,
    ended: mpsc::Sender<Ended>,
    finishes: std::sync::Mutex<Option<mpsc::Receiver<Ended>>>,
}

/// A leased row with its place among the requests under way.
struct Row {
    leased: Leased,
    permit: OwnedSemaphorePermit,
    /// Whether it has claimed what there is only so much of.
    is_limited: bool,
    /// When its lease ends at the earliest.
    lease_ends: Instant,
    /// It is to see whether its credential works again.
    probe: Option<Unmade>,
}

/// A row that was looked at again and is to be sent.
struct Ready {
    row: Row,
    push: Push,
    /// Not before this.
    at: Instant,
}

impl Dispatcher {
    /// Puts the parts together.
    pub fn new(engine: Arc<Engine>, sender: Arc<dyn PushSender>, limits: DispatchLimits) -> Self {
        let (ended, finishes) = mpsc::channel(2 * limits.in_flight_max.max(1));
        Self {
            engine,
            sender,
            limits,
            ios: Arc::new(Semaphore::new(limits.in_flight_max)),
            android: Arc::new(Semaphore::new(limits.in_flight_max)),
            turn: AtomicU64::new(0),
            ended,
            finishes: std::sync::Mutex::new(Some(finishes)),
        }
    }

    /// Works until `stop` turns true, then lets the requests under way end. Runs once.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let (done, all_done) = watch::channel(false);
        let finisher = tokio::spawn(Arc::clone(&self).finish_all(all_done));
        let batches = Arc::new(Semaphore::new(BATCHES_MAX));
        let mut work = JoinSet::new();
        while !*stop.borrow() {
            while work.try_join_next().is_some() {}
            let Ok(place) = Arc::clone(&batches).acquire_owned().await else {
                break;
            };
            self.gather_room().await;
            let now = self.engine.clock.now();
            let held = self.held(now);
            let pause = match self.lease(now, &held).await {
                Ok(rows) if rows.is_empty() => self.pause(&held).await,
                Ok(rows) => {
                    let this = Arc::clone(&self);
                    work.spawn(async move { this.work(rows, place).await });
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "the outbox waits; trying again");
                    self.limits.sweep
                }
            };
            drop(place);
            tokio::select! {
                () = self.engine.outbox_filled.notified() => {}
                () = self.room_again() => {}
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
        while work.join_next().await.is_some() {}
        done.send_replace(true);
        if finisher.await.is_err() {
            tracing::error!("the finisher stopped early; what was sent is in doubt at the next start");
        }
    }

    fn requests_to(&self, platform: Platform) -> &Arc<Semaphore> {
        match platform {
            Platform::Ios => &self.ios,
            Platform::Android => &self.android,
        }
    }

    /// Lanes that are left alone now: those that may not go, and those of a provider with all requests under way.
    fn held(&self, now: Timestamp) -> Vec<LanePart> {
        let mut held = self.engine.holds.held(now);
        for platform in [Platform::Ios, Platform::Android] {
            if self.requests_to(platform).available_permits() == 0 {
                held.push(LanePart::of_platform(platform));
            }
        }
        held
    }

    /// Waits a moment for a provider that has room for a few requests only: rows are leased, begun and ended together.
    async fn gather_room(&self) {
        let wanted = (self.limits.in_flight_max / 8).clamp(1, GATHERED_MAX);
        let enough = async |platform| {
            let requests = self.requests_to(platform);
            if requests.available_permits() < wanted {
                drop(requests.acquire_many(wanted as u32).await);
            }
        };
        let all = async { tokio::join!(enough(Platform::Ios), enough(Platform::Android)) };
        // One that hangs must not hold up the other.
        drop(tokio::time::timeout(GATHER_TIMEOUT, all).await);
    }

    /// Waits until a provider whose requests were all under way has room; for ever when none is full.
    async fn room_again(&self) {
        let room = async |platform| {
            let requests = self.requests_to(platform);
            if requests.available_permits() > 0 {
                std::future::pending::<()>().await;
            }
            drop(requests.acquire().await);
        };
        tokio::select! {
            () = room(Platform::Ios) => {}
            () = room(Platform::Android) => {}
        }
    }

    /// How long there is nothing to do.
    async fn pause(&self, held: &[LanePart]) -> Duration {
        let now = self.engine.clock.now();
        let due = self.engine.store.hot.next_due_but(held).await.unwrap_or_default();
        let next = due.into_iter().chain(self.engine.holds.next_end(now)).min();
        let wait = next.map_or(self.limits.sweep, |next| next.since(now).to_std());
        wait.clamp(Duration::from_millis(1), self.limits.sweep)
    }

    /// Leases what is due, with a place among the requests for each row.
    async fn lease(&self, now: Timestamp, held: &[LanePart]) -> Result<Vec<Row>, EngineError> {
        let (ios, android) = (self.ios.available_permits(), self.android.available_permits());
        if ios == 0 && android == 0 {
            return Ok(Vec::new());
        }
        // A lease is a write, for which others wait; while one provider is busy the other mostly has nothing.
        if ios == 0 || android == 0 {
            let due = self.engine.store.hot.next_due_but(held).await?;
            if due.is_none_or(|due| due > now) {
                return Ok(Vec::new());
            }
        }
        // It began at the latest with the answer, and at the earliest here.
        let lease_ends = Instant::now() + self.limits.lease.to_std();
        let ask = LeaseAsk {
            now,
            until: now.plus(self.limits.lease),
            ios_max: ios,
            android_max: android,
            rows_max: self.limits.lease_rows_max,
            held: held.to_vec(),
            turn: self.turn.fetch_add(1, Ordering::Relaxed),
        };
        let leased = self.engine.store.hot.lease_rows(&ask).await?;
        let mut rows = Vec::with_capacity(leased.len());
        for leased in leased {
            // Nobody else takes them, so there is room for all that were asked for.
            let requests = Arc::clone(self.requests_to(leased.delivery.platform));
            let Ok(permit) = requests.acquire_owned().await else {
                break;
            };
            rows.push(Row {
                leased,
                permit,
                is_limited: false,
                lease_ends,
                probe: None,
            });
        }
        Ok(rows)
    }

    /// Takes leased rows to their ends.
    async fn work(self: Arc<Self>, rows: Vec<Row>, place: OwnedSemaphorePermit) {
        let now = self.engine.clock.now();
        let ready = self.look_again(rows, now).await;
        let ready = self.admit(ready, now).await;
        let (soon, later) = self.wait_for_slots(ready, now).await;
        let mut sends = JoinSet::new();
        self.begin(soon, &mut sends).await;
        drop(place);
        let begun = Instant::now();
        for mut bucket in later {
            tokio::time::sleep_until(bucket.at).await;
            // A second look for those who waited longer than a moment.
            if bucket.at > begun + pacing::STALE_AFTER {
                bucket.ready = self.look_once_more(bucket.ready).await;
            }
            self.begin(bucket.ready, &mut sends).await;
        }
        while sends.join_next().await.is_some() {}
    }

    /// Gives a row back as it was, due again later.
    async fn defer(&self, row: Row, due_at: Timestamp, now: Timestamp) {
        let finish = Finish::deferred(&row.leased, due_at, now);
        self.engine.metrics.deferred();
        self.end(finish, row.permit, false).await;
    }

    /// Hands an end to the finisher; `is_limited`: whether the row has claimed an offer.
    async fn end(&self, finish: Finish, permit: OwnedSemaphorePermit, is_limited: bool) {
        self.ended
            .send(Ended {
                finish,
                is_limited,
                _permit: permit,
            })
            .await
            .unwrap_or_default();
    }
}
