//! When rows may go: by the speeds of their campaign and workspace, by the provider's quotas, and by what is known of their
//! credential.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    AWAY_AGAIN, Dispatcher, Ready,
    holds::{Admission, Probe},
};
use crate::{
    domain::{
        delivery::{Delivery, Platform},
        pace::{Limit, SlotAsk, SlotAsks, Speed},
        time::{DurationMs, Timestamp},
    },
    engine::Engine,
};

/// Rows with a slot this soon go at once, with a short sleep at most.
const SOON: Duration = Duration::from_millis(20);
/// Who waited longer for a slot is looked at once more.
pub(super) const STALE_AFTER: Duration = Duration::from_millis(100);
/// A row keeps a slot that begins within this, and waits for it in memory; slow lanes look further ahead.
const AHEAD_MIN: Duration = Duration::from_millis(500);
const AHEAD_MAX: Duration = Duration::from_secs(2);
/// So many slots of a lane are to be within reach at once.
const SLOTS_AHEAD: f64 = 50.0;

/// How fast pushes leave at most, over all nodes; 0: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PaceLimits {
    /// Pushes of one workspace in a minute, where it has no lower limit of its own.
    pub workspace_per_minute_max: u32,
    /// Pushes of one FCM project in a minute.
    pub fcm_per_minute_max: u32,
    /// Pushes to one Android device in a minute.
    pub device_per_minute_max: u32,
    /// Pushes to one Android device in an hour.
    pub device_per_hour_max: u32,
}

/// A probe that was not made yet. Dropped before, whatever became of its row, it is another row's turn.
pub(super) struct Unmade {
    engine: Arc<Engine>,
    probe: Option<Probe>,
}

impl Unmade {
    /// The probe is made now.
    pub(super) fn made(mut self) {
        self.probe = None;
    }
}

impl Drop for Unmade {
    fn drop(&mut self) {
        if let Some(probe) = &self.probe {
            self.engine.holds.give_back(probe);
            self.engine.outbox_filled.notify_one();
        }
    }
}

/// Rows whose slots are nearly the same.
pub(super) struct Bucket {
    /// When the first of them goes.
    pub(super) at: Instant,
    pub(super) ready: Vec<Ready>,
}

/// Limits of a batch; each is named once.
#[derive(Default)]
struct Asks {
    all: SlotAsks,
    known: HashMap<String, usize>,
    /// Whether a whole lane waits for the limit, and not one device.
    of_lane: Vec<bool>,
}

impl Asks {
    fn limit(&mut self, name: String, of_lane: bool, make: impl FnOnce(String) -> Option<Limit>) -> Option<usize> {
        if let Some(&known) = self.known.get(&name) {
            return Some(known);
        }
        let limit = make(name.clone())?;
        let index = self.all.limits.len();
        self.all.limits.push(limit);
        self.of_lane.push(of_lane);
        self.known.insert(name, index);
        Some(index)
    }
}

fn a_minute(max: u32) -> Option<Speed> {
    (max > 0).then_some(Speed {
        max,
        per: DurationMs::from_secs(60),
    })
}

impl Dispatcher {
    /// Lets rows through whose credential is not known to be wrong; of those that rest, one tries it again.
    pub(super) async fn admit(&self, ready: Vec<Ready>, now: Timestamp) -> Vec<Ready> {
        let mut admitted = Vec::with_capacity(ready.len());
        for mut ready in ready {
            let Delivery {
                platform,
                workspace,
                app,
                ..
            } = &ready.row.leased.delivery;
            match self.engine.holds.admit(*platform, workspace, app, now) {
                Admission::Free => admitted.push(ready),
                Admission::Probe(probe) => {
                    ready.row.probe = Some(Unmade {
                        engine: Arc::clone(&self.engine),
                        probe: Some(probe),
                    });
                    admitted.push(ready);
                }
                // Its lane is held, and free at once when the probe is given back or has gone well.
                Admission::Wait => self.defer(ready.row, now, now).await,
            }
        }
        admitted
    }

    /// Takes a slot for each row: those that go now, and those that go a little later, by time. Rows without a slot soon
    /// enough are put off, and their lanes left alone meanwhile.
    pub(super) async fn wait_for_slots(&self, ready: Vec<Ready>, now: Timestamp) -> (Vec<Ready>, Vec<Bucket>) {
        let mut asks = Asks::default();
        for ready in &ready {
            let ask = self.ask(&mut asks, ready);
            asks.all.rows.push(ask);
        }
        if asks.all.limits.is_empty() {
            return (ready, Vec::new());
        }
        let slots = match self.engine.store.hot.give_slots(&asks.all).await {
            Ok(slots) => slots,
            Err(error) => {
                tracing::warn!(%error, "pushes wait for their slots");
                return (self.let_unlimited(ready, &asks.all.rows, now).await, Vec::new());
            }
        };
        let given_at = Instant::now();
        let (mut soon, mut later) = (Vec::with_capacity(ready.len()), Vec::new());
        for ((mut ready, slot), ask) in ready.into_iter().zip(slots).zip(&asks.all.rows) {
            if let Some(limit) = slot.refused_by {
                let wait = DurationMs(slot.wait.saturating_sub(ask.ahead / 2).as_millis() as i64);
                let due_at = if asks.of_lane[limit] {
                    let lane = ready.row.leased.delivery.lane().itself();
                    self.engine.holds.hold_lane(lane, now, wait)
                } else {
                    now.plus(DurationMs(slot.wait.as_millis() as i64 + 1))
                };
                let due_at = due_at.min(ready.push.expires_at);
                self.defer(ready.row, due_at, now).await;
            } else {
                ready.at = given_at + slot.wait;
                if slot.wait <= SOON {
                    soon.push(ready);
                } else {
                    later.push(ready);
                }
            }
        }
        later.sort_by_key(|ready| ready.at);
        (soon, buckets(later))
    }

    /// Puts off all rows that ask for a slot.
    async fn let_unlimited(&self, ready: Vec<Ready>, asks: &[SlotAsk], now: Timestamp) -> Vec<Ready> {
        let mut free = Vec::new();
        for (ready, ask) in ready.into_iter().zip(asks) {
            if ask.limits.is_empty() {
                free.push(ready);
            } else {
                self.defer(ready.row, now.plus(AWAY_AGAIN), now).await;
            }
        }
        free
    }

    /// The limits that count for a row.
    fn ask(&self, asks: &mut Asks, ready: &Ready) -> SlotAsk {
        let delivery = &ready.row.leased.delivery;
        let (pace, workspace) = (self.limits.pace, &delivery.workspace);
        let catalogue = self.engine.catalogues.of(workspace);
        let campaign = catalogue.campaigns.get(&delivery.campaign);
        let mut limits = Vec::with_capacity(4);
        if let Some(speed) = campaign.and_then(|campaign| campaign.speed) {
            // A speed that is changed begins anew.
            let name = format!(
                "c{workspace}\u{1f}{}\u{1f}{}/{}",
                delivery.campaign, speed.max, speed.per.0
            );
            limits.extend(asks.limit(name, true, |name| Some(Limit::smooth(name, speed))));
        }
        let own = catalogue.settings.pace;
        if let Some(speed) = a_minute(own.per_minute_max(pace.workspace_per_minute_max)) {
            let name = format!("w{workspace}\u{1f}{}", speed.max);
            limits.extend(asks.limit(name, true, |name| Some(Limit::smooth(name, speed))));
        }
        let slowest_us = limits
            .iter()
            .map(|&limit| asks.all.limits[limit].interval_us)
            .fold(0.0, f64::max);
        if ready.push.target.platform == Platform::Android {
            if let Some(speed) = a_minute(pace.fcm_per_minute_max) {
                let name = format!("q{}", self.sender.credential(workspace, &ready.push.target));
                limits.extend(asks.limit(name, true, |name| Some(Limit::smooth(name, speed))));
            }
            let name = format!("d{workspace}\u{1f}{}", delivery.device);
            let (minute, hour) = (pace.device_per_minute_max, pace.device_per_hour_max);
            limits.extend(asks.limit(name, false, |name| Limit::bursty(name, minute, hour)));
        }
        let ahead = Duration::from_micros((slowest_us * SLOTS_AHEAD) as u64);
        SlotAsk {
            limits,
            ahead: ahead.clamp(AHEAD_MIN, AHEAD_MAX),
        }
    }
}

/// Groups rows, which are sorted by their slots, so that those of one group can be begun in one round trip.
fn buckets(ready: Vec<Ready>) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = Vec::new();
    for ready in ready {
        match buckets.last_mut() {
            Some(bucket) if ready.at <= bucket.at + SOON => bucket.ready.push(ready),
            _ => buckets.push(Bucket {
                at: ready.at,
                ready: vec![ready],
            }),
        }
    }
    buckets
}
