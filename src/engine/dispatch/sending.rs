//! One request: its attempt, what it came to, and what follows from that.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::Instant};

use super::{Dispatcher, Ready, Row};
use crate::{
    domain::{
        delivery::{Delivery, Outcome, PushTarget, Suppression},
        event::Fact,
        time::Timestamp,
    },
    engine::{
        EngineError,
        dispatch::holds::Paused,
        look_again::suppress,
        ports::{Attempt, Finish},
        records::{Change, Write},
        retry::judge,
    },
};

/// A slot this near has come.
const GRAIN: Duration = Duration::from_millis(1);

impl Dispatcher {
    /// Notes the attempts durably and makes the requests. Whether others were noted is unknown when the store fails: they
    /// wait until their lease ends.
    pub(super) async fn begin(self: &Arc<Self>, ready: Vec<Ready>, sends: &mut JoinSet<()>) {
        if ready.is_empty() {
            return;
        }
        let attempts = ready
            .iter()
            .map(
                |Ready {
                     row: Row { leased, .. },
                     ..
                 }| Attempt {
                    delivery: leased.delivery.id,
                    workspace: leased.delivery.workspace.clone(),
                    subject: leased.delivery.subject.clone(),
                    number: leased.attempts + 1,
                    leased_until: leased.until,
                },
            )
            .collect();
        let begun = match self.engine.store.hot.begin_attempts(attempts).await {
            Ok(begun) => begun,
            Err(error) => {
                tracing::warn!(%error, rows = ready.len(), "leased pushes wait until their lease ends");
                return;
            }
        };
        for (ready, begun) in ready.into_iter().zip(begun) {
            if begun {
                sends.spawn(Arc::clone(self).send_one(ready));
            }
        }
    }

    /// Makes one request and hands its end to the finisher.
    async fn send_one(self: Arc<Self>, ready: Ready) {
        let Ready { row, push, at } = ready;
        let Row {
            leased,
            permit,
            is_limited,
            lease_ends,
            probe,
        } = row;
        // The timer's own grain.
        if at > Instant::now() + GRAIN {
            tokio::time::sleep_until(at).await;
        }
        let started = Instant::now();
        let deadline = started + self.limits.send_timeout;
        if deadline > lease_ends {
            // Another worker may soon have the row. Nothing has left, so the attempt is taken back.
            let now = self.engine.clock.now();
            let finish = Finish {
                begun: leased.attempts + 1,
                ..Finish::deferred(&leased, now, now)
            };
            self.end(finish, permit, is_limited).await;
            return;
        }
        let now = self.engine.clock.now();
        if now >= push.expires_at {
            // It was worth something when it was looked at. Nothing has left here, either.
            let finish = Finish {
                begun: leased.attempts + 1,
                ..suppress(&leased, Suppression::Expired, now)
            };
            self.end(finish, permit, is_limited).await;
            return;
        }
        if let Some(probe) = probe {
            probe.made();
        }
        let outcome = self.sender.send(&push, deadline).await;
        self.engine
            .metrics
            .push(push.target.platform, &outcome, started.elapsed());
        let (delivery, attempts) = (&leased.delivery, leased.attempts + 1);
        let now = self.engine.clock.now();
        self.mind_the_credential(delivery, &outcome, now);
        let found = match &outcome {
            Outcome::Accepted { environment, .. } => *environment,
            _ => None,
        };
        let verdict = judge(
            delivery,
            outcome,
            attempts,
            leased.in_doubt,
            push.target.registered_at,
            now,
        );
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
            reason: verdict.reason.clone(),
        };
        // First of all: until it is written, the push may be sent again.
        self.end(finish, permit, is_limited).await;
        if let Some(environment) = found
            && let Err(error) = self
                .engine
                .correct_environment(delivery, &push.target, environment)
                .await
        {
            tracing::warn!(%error, delivery = %delivery.id, "a device's environment stays wrong until the next push");
        }
        if verdict.drop_token
            && let Err(error) = self
                .drop_token(delivery, &push.target, verdict.reason.as_deref(), now)
                .await
        {
            tracing::warn!(%error, delivery = %delivery.id, "a dead push token stays until the next push finds it dead");
        }
    }

    /// Holds the lanes of a credential that is wrong; lets them go when it works.
    fn mind_the_credential(&self, delivery: &Delivery, outcome: &Outcome, now: Timestamp) {
        let holds = &self.engine.holds;
        let (platform, workspace, app) = (delivery.platform, &delivery.workspace, &delivery.app);
        match outcome {
            Outcome::Misconfigured { credential, reason } => {
                if holds.pause(platform, workspace, app, reason, now) == Paused::TellIt {
                    tracing::error!(%workspace, %app, %credential, reason, "pushes wait: the push configuration is wrong");
                }
            }
            // The provider has looked at the push itself.
            Outcome::Accepted { .. } | Outcome::DeadToken { .. } | Outcome::Never { .. } => {
                if holds.resume(platform, workspace, app) {
                    tracing::info!(%workspace, %app, "the push configuration works again");
                    self.engine.outbox_filled.notify_one();
                }
            }
            Outcome::TryLater { .. } | Outcome::Unknown { .. } => {}
        }
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
}
