//! What happens, told to the owner's systems: a projection of the facts.
//!
//! Each endpoint has a place among the facts, which moves on when it has taken everything up to there. The place is
//! durable, and each endpoint is leased by one node at a time: so each event is told at least once, whatever dies, and
//! mostly once. The same event told again has the same `webhook-id`. An endpoint that fails gets the event again, ever more
//! seldom, for 72 hours; then it is disabled, and its place is kept. Nothing waits for it but what is meant for it.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{sync::watch, task::JoinSet, time::Instant};

mod endpoint;
mod told;

pub use endpoint::{Held, Webhook};
pub use told::TYPES;
use told::Told;

use super::{
    Engine, EngineError,
    ports::{FactCursor, StoreError, StoredWebhook, WebhookCall, WebhookFailure, WebhookSender},
};
use crate::domain::{ids::WorkspaceId, time::DurationMs};

/// Most endpoints of a workspace.
pub const WEBHOOKS_MAX: usize = 20;
/// Facts read at once.
const PAGE_FACTS_MAX: usize = 128;
/// Calls of one endpoint under way at once.
const CALLS_MAX: usize = 8;
/// Endpoints that one node calls at once.
const ENDPOINTS_MAX: usize = 32;
/// How often a change is made again because another one was first.
const TRIES_MAX: usize = 20;

/// Limits of the webhooks.
#[derive(Debug, Clone, Copy)]
pub struct WebhookLimits {
    /// How often to look for what has happened.
    pub sweep: DurationMs,
    /// A call has ended after this.
    pub timeout: Duration,
    /// How long a node has an endpoint.
    pub lease: DurationMs,
}

/// Whether an endpoint is called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enabled {
    /// It is.
    Done,
    /// There is none of that name.
    Unknown,
    /// The event that is to be left out holds up nothing.
    NotHeld,
}

/// How a round with one endpoint ended.
enum Round {
    /// It has taken everything that there is.
    CaughtUp,
    /// There is more.
    More,
    /// A call failed, and this is what the endpoint did not take.
    Failed(WebhookFailure, Held),
    /// Another node has it now.
    Lost,
}

impl Engine {
    /// Tells endpoints until `stop` turns true.
    pub async fn tell_webhooks(
        self: Arc<Self>,
        sender: Arc<dyn WebhookSender>,
        limits: WebhookLimits,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut rounds = JoinSet::new();
        while !*stop.borrow() {
            while rounds.try_join_next().is_some() {}
            let now = self.clock.now();
            let room = ENDPOINTS_MAX - rounds.len().min(ENDPOINTS_MAX);
            let due = if room == 0 {
                Ok(Vec::new())
            } else {
                self.store
                    .webhooks
                    .lease_webhooks(now, now.plus(limits.lease), room)
                    .await
            };
            match due {
                Ok(due) => {
                    for stored in due {
                        let (engine, sender) = (Arc::clone(&self), Arc::clone(&sender));
                        let stopping = stop.clone();
                        rounds.spawn(async move { engine.tell_webhook(stored, &*sender, limits, stopping).await });
                    }
                }
                Err(error) => tracing::warn!(%error, "webhooks wait; trying again"),
            }
            tokio::select! {
                () = tokio::time::sleep(limits.sweep.to_std()) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
        while rounds.join_next().await.is_some() {}
    }

    async fn tell_webhook(
        &self,
        mut stored: StoredWebhook,
        sender: &dyn WebhookSender,
        limits: WebhookLimits,
        stop: watch::Receiver<bool>,
    ) {
        // Half of the lease, so that nobody else begins before the last call has ended.
        let until = Instant::now() + limits.lease.to_std() / 2;
        if let Err(error) = self.tell_until(&mut stored, sender, limits, until, stop).await {
            tracing::warn!(%error, webhook = stored.id, "a webhook waits until its lease ends");
        }
    }

    async fn tell_until(
        &self,
        stored: &mut StoredWebhook,
        sender: &dyn WebhookSender,
        limits: WebhookLimits,
        until: Instant,
        stop: watch::Receiver<bool>,
    ) -> Result<(), EngineError> {
        let mut webhook = Webhook::read(stored)?;
        let end = self.end_after_gap(stored, &mut webhook).await?;
        let may_go_on = || Instant::now() < until && !*stop.borrow();
        loop {
            let before = webhook.place.clone();
            let round = self
                .tell_facts(stored, &mut webhook, sender, limits, &may_go_on)
                .await?;
            let now = self.clock.now();
            let due_at = match round {
                Round::More if may_go_on() => continue,
                Round::Lost => return Ok(()),
                Round::More => Some(now),
                Round::CaughtUp => {
                    if let Some(end) = end.filter(|_| webhook.place == before) {
                        webhook.place = Some(end.as_str().to_owned());
                    }
                    Some(now.plus(limits.sweep))
                }
                Round::Failed(failure, held) => {
                    let due_at = webhook.failed(&failure, held, &stored.id, now);
                    if due_at.is_none() {
                        tracing::error!(webhook = stored.id, %failure, "a webhook is disabled: it has failed for too long");
                    }
                    due_at
                }
            };
            stored.due_at = due_at;
            self.keep(stored, &webhook).await?;
            return Ok(());
        }
    }

    /// Looks whether everything after the endpoint's place is still kept. If not, it goes on with what is kept after it,
    /// and where the facts end now is answered: its place once nothing is found. A place that is none here begins anew.
    async fn end_after_gap(
        &self,
        stored: &StoredWebhook,
        webhook: &mut Webhook,
    ) -> Result<Option<FactCursor>, EngineError> {
        let hot = &self.store.hot;
        let Some(place) = webhook.place.as_deref().map(FactCursor::new) else {
            return Ok(None);
        };
        if hot.leads_on(&stored.workspace, &place).await? {
            return Ok(None);
        }
        let end = hot.facts_end(&stored.workspace).await?;
        if hot.is_later(&place, &end).unwrap_or(true) {
            tracing::warn!(
                webhook = stored.id,
                "a webhook's place is none of this store; it begins with what is kept"
            );
            webhook.place = None;
            return Ok(None);
        }
        tracing::warn!(
            webhook = stored.id,
            "a webhook's place is older than what is kept; anything not told that is gone is left out"
        );
        Ok(Some(end))
    }

    /// Tells one page of facts, or as much of it as there is time for, and moves the endpoint's place on.
    async fn tell_facts(
        &self,
        stored: &mut StoredWebhook,
        webhook: &mut Webhook,
        sender: &dyn WebhookSender,
        limits: WebhookLimits,
        may_go_on: &(impl Fn() -> bool + Sync),
    ) -> Result<Round, EngineError> {
        let place = webhook.place.as_deref().map(FactCursor::new);
        let facts = self
            .read_facts(&stored.workspace, place.as_ref(), PAGE_FACTS_MAX)
            .await?;
        let Some(end) = facts.upto.clone() else {
            webhook.succeeded();
            return Ok(Round::CaughtUp);
        };
        let is_full = facts.is_full;
        let told: Vec<Told> = self.told(&stored.workspace, facts).await?;
        let told: Vec<&Told> = told.iter().filter(|told| webhook.takes(told.kind)).collect();
        for (round, some) in told.chunks(CALLS_MAX).enumerate() {
            // A slow endpoint must not outlast its lease, or another node would tell it the same.
            if round > 0 && !may_go_on() {
                return Ok(Round::More);
            }
            let deadline = Instant::now() + limits.timeout;
            let at = self.clock.now();
            let calls = some.iter().map(|told| WebhookCall {
                url: webhook.url.clone(),
                secret: webhook.secret.clone(),
                id: told.id.clone(),
                at,
                body: told.document(&stored.workspace),
            });
            let calls: Vec<WebhookCall> = calls.collect();
            let answers = join_all(calls.iter().map(|call| sender.call(call, deadline))).await;
            let taken = answers.iter().take_while(|answer| answer.is_ok()).count();
            self.metrics
                .webhook_calls(answers.iter().filter(|answer| answer.is_ok()).count(), answers.len());
            if let Some(last) = taken.checked_sub(1) {
                webhook.place = Some(some[last].place.as_str().to_owned());
                webhook.succeeded();
            }
            let refused = some
                .iter()
                .zip(answers)
                .find_map(|(told, answer)| Some((told, answer.err()?)));
            if let Some((told, failure)) = refused {
                return Ok(Round::Failed(failure, told.held(self.clock.now())));
            }
            if !self.keep(stored, webhook).await? {
                return Ok(Round::Lost);
            }
        }
        // What failed earlier may be gone, and then nothing was told here.
        webhook.succeeded();
        webhook.place = Some(end.as_str().to_owned());
        if is_full {
            return Ok(if self.keep(stored, webhook).await? {
                Round::More
            } else {
                Round::Lost
            });
        }
        Ok(Round::CaughtUp)
    }

    /// Writes where the endpoint stands; false when another node has it.
    async fn keep(&self, stored: &mut StoredWebhook, webhook: &Webhook) -> Result<bool, EngineError> {
        stored.body = serde_json::to_string(webhook).map_err(|error| StoreError::Damaged(error.to_string()))?;
        let kept = self.store.webhooks.change_webhook(stored).await?;
        stored.version += u64::from(kept);
        Ok(kept)
    }

    /// Adds an endpoint that is told of everything from now on.
    pub async fn put_webhook(
        &self,
        workspace: &WorkspaceId,
        id: &str,
        url: &str,
        types: Vec<String>,
        secret: &str,
    ) -> Result<StoredWebhook, EngineError> {
        let now = self.clock.now();
        let place = self.store.hot.facts_end(workspace).await?;
        let webhook = Webhook {
            url: url.to_owned(),
            types,
            secret: secret.to_owned(),
            created_at: now,
            place: Some(place.as_str().to_owned()),
            failures: 0,
            failing_since: None,
            failure: None,
            held: None,
            disabled_at: None,
        };
        let stored = StoredWebhook {
            id: id.to_owned(),
            workspace: workspace.clone(),
            version: 1,
            due_at: Some(now),
            body: serde_json::to_string(&webhook).map_err(|error| StoreError::Damaged(error.to_string()))?,
        };
        self.store.webhooks.put_webhook(&stored).await?;
        Ok(stored)
    }

    /// Calls an endpoint again that was disabled or fails, from where it was, or from behind the event `skip` if that is what
    /// it holds up.
    pub async fn enable_webhook(
        &self,
        workspace: &WorkspaceId,
        id: &str,
        skip: Option<&str>,
    ) -> Result<Enabled, EngineError> {
        for _ in 0..TRIES_MAX {
            let all = self.store.webhooks.webhooks(workspace).await?;
            let Some(mut stored) = all.into_iter().find(|stored| stored.id == id) else {
                return Ok(Enabled::Unknown);
            };
            let mut webhook = Webhook::read(&stored)?;
            if let Some(skip) = skip
                && !webhook.skip(skip)
            {
                return Ok(Enabled::NotHeld);
            }
            webhook.succeeded();
            webhook.disabled_at = None;
            stored.due_at = Some(self.clock.now());
            if self.keep(&mut stored, &webhook).await? {
                if let Some(event) = skip {
                    tracing::warn!(
                        webhook = id,
                        event,
                        "a webhook goes on without an event that it did not take"
                    );
                }
                return Ok(Enabled::Done);
            }
        }
        Err(EngineError::Contended)
    }
}
