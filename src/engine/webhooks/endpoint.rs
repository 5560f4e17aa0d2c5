//! An endpoint as it is kept: where it stands, and how it fails.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    domain::time::{DurationMs, Timestamp},
    engine::ports::{StoreError, StoredWebhook, WebhookFailure},
};

/// An endpoint that fails for so long is disabled.
const GIVE_UP_AFTER: DurationMs = DurationMs::from_secs(72 * 3600);
/// The first wait after a failure; each one is twice as long.
const BACKOFF_FIRST: DurationMs = DurationMs::from_secs(5);
/// No wait is longer.
const BACKOFF_MAX: DurationMs = DurationMs::from_secs(3600);
/// Longest note of a failure, in characters.
const NOTE_CHARS_MAX: usize = 200;

/// An event that an endpoint did not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Its id, as the endpoint is told it.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened.
    pub at: Timestamp,
    /// Since when it is not taken.
    pub since: Timestamp,
    /// Its place among the facts.
    pub place: String,
}

/// An endpoint of the owner's systems.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Where to.
    pub url: String,
    /// Which types; none: all.
    pub types: Vec<String>,
    /// With what calls are signed. A secret.
    pub secret: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Everything up to there was taken; `None`: from the first fact that is kept.
    pub place: Option<String>,
    /// Failures since the last success.
    #[serde(default)]
    pub failures: u32,
    /// Since when it fails.
    #[serde(default)]
    pub failing_since: Option<Timestamp>,
    /// The last failure, in words.
    #[serde(default)]
    pub failure: Option<String>,
    /// The event that it did not take, which holds up those after it.
    #[serde(default)]
    pub held: Option<Held>,
    /// Since when it is not called any more.
    #[serde(default)]
    pub disabled_at: Option<Timestamp>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("url", &self.url)
            .field("types", &self.types)
            .field("created_at", &self.created_at)
            .field("place", &self.place)
            .field("failures", &self.failures)
            .field("failing_since", &self.failing_since)
            .field("failure", &self.failure)
            .field("held", &self.held)
            .field("disabled_at", &self.disabled_at)
            .finish_non_exhaustive()
    }
}

impl Webhook {
    /// Reads what was kept.
    pub fn read(stored: &StoredWebhook) -> Result<Self, StoreError> {
        serde_json::from_str(&stored.body).map_err(|error| StoreError::Damaged(error.to_string()))
    }

    pub(super) fn takes(&self, kind: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|wanted| wanted == kind)
    }

    /// Everything was taken, or nothing is left of what failed.
    pub(super) fn succeeded(&mut self) {
        (self.failures, self.failing_since, self.failure, self.held) = (0, None, None, None);
    }

    /// Leaves out the event `id`, if that is what is held.
    pub(super) fn skip(&mut self, id: &str) -> bool {
        match self.held.take_if(|held| held.id == id) {
            Some(held) => {
                self.place = Some(held.place);
                true
            }
            None => false,
        }
    }

    /// A call has failed; when to try again, `None`: it is disabled.
    pub(super) fn failed(
        &mut self,
        failure: &WebhookFailure,
        held: Held,
        id: &str,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if self.held.as_ref().is_none_or(|before| before.id != held.id) {
            self.held = Some(held);
        }
        self.failures = self.failures.saturating_add(1);
        let since = *self.failing_since.get_or_insert(now);
        self.failure = Some(failure.to_string().chars().take(NOTE_CHARS_MAX).collect());
        if *failure == WebhookFailure::Gone || now.since(since) >= GIVE_UP_AFTER {
            self.disabled_at = Some(now);
            return None;
        }
        Some(now.plus(backoff(id, self.failures)))
    }
}

/// Waits double from five seconds to an hour, up to a quarter earlier by chance of the id.
fn backoff(id: &str, failures: u32) -> DurationMs {
    let doubled = BACKOFF_FIRST
        .0
        .saturating_mul(1_i64 << failures.saturating_sub(1).min(20));
    let wait = doubled.min(BACKOFF_MAX.0);
    let chance = id
        .bytes()
        .chain(failures.to_le_bytes())
        .fold(17_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    DurationMs(wait - wait * i64::from(chance % 256) / (4 * 255))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::ids::WorkspaceId, engine::ports::WebhookCall};

    fn webhook() -> Webhook {
        Webhook {
            url: "https://example.org/hook".to_owned(),
            types: vec!["delivery.opened".to_owned()],
            secret: "whsec_".to_owned(),
            created_at: Timestamp(0),
            place: None,
            failures: 0,
            failing_since: None,
            failure: None,
            held: None,
            disabled_at: None,
        }
    }

    fn held(id: &str, since: i64) -> Held {
        Held {
            id: id.to_owned(),
            kind: "delivery.opened".to_owned(),
            at: Timestamp(0),
            since: Timestamp(since),
            place: format!("after {id}"),
        }
    }

    #[test]
    fn what_is_held_is_the_first_that_failed_and_only_that_is_left_out() {
        let mut webhook = webhook();
        let failure = WebhookFailure::Failed("500".to_owned());
        webhook.failed(&failure, held("a", 1), "wh_1", Timestamp(1));
        webhook.failed(&failure, held("a", 2), "wh_1", Timestamp(2));
        assert_eq!(webhook.held, Some(held("a", 1)), "since the first time");
        assert!(!webhook.skip("b") && webhook.held.is_some() && webhook.place.is_none());
        assert!(webhook.skip("a") && !webhook.skip("a"));
        assert_eq!(webhook.place.as_deref(), Some("after a"));
        webhook.failed(&failure, held("b", 3), "wh_1", Timestamp(3));
        webhook.succeeded();
        assert_eq!(webhook.held, None);
    }

    #[test]
    fn failures_wait_ever_longer_and_end_after_72_hours() {
        let (mut webhook, mut now, mut tries) = (webhook(), Timestamp(0), 0);
        let failure = WebhookFailure::Failed("500".to_owned());
        let mut last_wait = DurationMs(0);
        while let Some(next) = webhook.failed(&failure, held("a", 0), "wh_1", now) {
            let wait = next.since(now);
            assert!(wait <= BACKOFF_MAX && wait.0 >= BACKOFF_FIRST.0 * 3 / 4, "{wait}");
            assert!(wait > last_wait || wait.0 >= BACKOFF_MAX.0 * 3 / 4);
            (now, last_wait, tries) = (next, wait, tries + 1);
        }
        assert!((72..74).contains(&(now.0 / 3_600_000)), "{now}");
        assert!((75..110).contains(&tries), "{tries}");
        assert_eq!(webhook.disabled_at, Some(now));
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let webhook = webhook();
        let stored = StoredWebhook {
            id: "wh_1".to_owned(),
            workspace: WorkspaceId::new("w").expect("an id"),
            version: 1,
            due_at: None,
            body: serde_json::to_string(&webhook).expect("JSON"),
        };
        let call = WebhookCall {
            url: webhook.url.clone(),
            secret: webhook.secret.clone(),
            id: "1".to_owned(),
            at: Timestamp(0),
            body: "whsec_".to_owned(),
        };
        let shown = format!("{webhook:?} {stored:?} {call:?}");
        assert!(shown.contains("wh_1") && !shown.contains("whsec_"), "{shown}");
    }

    #[test]
    fn an_endpoint_that_is_gone_is_disabled_at_once() {
        let mut webhook = webhook();
        let next = webhook.failed(&WebhookFailure::Gone, held("a", 5), "wh_1", Timestamp(5));
        assert_eq!(next, None);
        assert_eq!(webhook.disabled_at, Some(Timestamp(5)));
        assert!(webhook.takes("delivery.opened") && !webhook.takes("delivery.accepted"));
    }
}
