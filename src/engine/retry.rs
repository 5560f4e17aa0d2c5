//! What a request's outcome means for the delivery: ended, or tried again when. Pure.

use crate::domain::{
    delivery::{Delivery, DeliveryState, Outcome},
    time::{DurationMs, Timestamp},
};

/// The first wait after an end that may be tried again.
const BACKOFF_FIRST: DurationMs = DurationMs::from_secs(1);
/// No wait is longer.
const BACKOFF_MAX: DurationMs = DurationMs::from_secs(3600);
/// How long a delivery waits for an operator to mend the configuration before it is tried again.
const MISCONFIGURED_WAIT: DurationMs = DurationMs::from_secs(15);

/// Told of a delivery whose earlier request may have arrived too.
const SENT_AGAIN: &str = "sent again under the same names: how an earlier request ended is unknown";

/// Told of a delivery whose words did not fit.
const SHORTENED: &str = "the text was cut to fit the provider's 4096 bytes";

/// What a delivery comes to after a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disposition {
    /// Its state. [`DeliveryState::Sending`] with a later `due_at`: sent again, because nobody knows whether it arrived.
    pub state: DeliveryState,
    /// When to look at it again.
    pub due_at: Timestamp,
    /// Why.
    pub reason: Option<String>,
    /// Whether the device's token is dead.
    pub drop_token: bool,
    /// Whether the request counts; one that failed by our own configuration does not.
    pub counts: bool,
}

/// Waits double from a second to an hour; each delivery's differ by up to a quarter, so that they don't come together.
fn backoff(delivery: &Delivery, attempts: u32) -> DurationMs {
    let doubled = BACKOFF_FIRST
        .0
        .saturating_mul(1_i64 << attempts.saturating_sub(1).min(20));
    let wait = doubled.min(BACKOFF_MAX.0);
    let spread = i64::from(delivery.id.0.as_bytes()[attempts as usize % 16]);
    DurationMs(wait - wait * spread / (4 * 255))
}

/// Judges an outcome after the `attempts`-th request. `in_doubt`: an earlier one may have arrived. `registered_at`: when
/// the device told its token.
pub fn judge(
    delivery: &Delivery,
    outcome: Outcome,
    attempts: u32,
    in_doubt: bool,
    registered_at: Timestamp,
    now: Timestamp,
) -> Disposition {
    let end = |state, reason| Disposition {
        state,
        due_at: now,
        reason,
        drop_token: false,
        counts: true,
    };
    let again = |state: DeliveryState, given_up: DeliveryState, wait: DurationMs, reason: String| {
        let due_at = now.plus(wait);
        if due_at > delivery.expires_at {
            return end(given_up, Some(format!("given up after {attempts} requests: {reason}")));
        }
        Disposition {
            due_at,
            ..end(state, Some(reason))
        }
    };
    let (waiting, given_up) = if in_doubt {
        (DeliveryState::Sending, DeliveryState::Unknown)
    } else {
        (DeliveryState::Queued, DeliveryState::Failed)
    };
    match outcome {
        Outcome::Accepted { shortened, .. } => {
            let notes = [(in_doubt, SENT_AGAIN), (shortened, SHORTENED)];
            let notes: Vec<&str> = notes
                .iter()
                .filter(|(is_so, _)| *is_so)
                .map(|(_, note)| *note)
                .collect();
            end(DeliveryState::Accepted, (!notes.is_empty()).then(|| notes.join("; ")))
        }
        Outcome::DeadToken { reason, since } => {
            let meant = since.is_none_or(|since| registered_at <= since);
            Disposition {
                drop_token: meant,
                ..end(
                    if in_doubt {
                        DeliveryState::Unknown
                    } else {
                        DeliveryState::DeadToken
                    },
                    Some(reason),
                )
            }
        }
        Outcome::TryLater { reason, retry_after } => {
            let wait = backoff(delivery, attempts).max(retry_after.unwrap_or_default());
            again(waiting, given_up, wait, reason)
        }
        Outcome::Never { reason } => end(given_up, Some(reason)),
        Outcome::Misconfigured { reason, .. } => Disposition {
            counts: false,
            ..again(waiting, given_up, MISCONFIGURED_WAIT, reason)
        },
        Outcome::Unknown { reason } => again(
            DeliveryState::Sending,
            DeliveryState::Unknown,
            backoff(delivery, attempts),
            reason,
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::delivery::Credential;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn delivery(valid_for: DurationMs) -> Delivery {
        let zero = "00000000-0000-0000-0000-000000000000";
        serde_json::from_value(json!({
            "id": zero, "workspace": "w", "subject": {"User": "mia"}, "device": "phone",
            "platform": "ios", "app": "a", "campaign": "c", "campaignVersion": 1, "class": "marketing", "offer": 0, "trigger": "entered", "event": zero, "eventAt": NOW, "decidedAt": NOW,
            "expiresAt": NOW.plus(valid_for), "stillThere": false, "why": [],
        }))
        .expect("a delivery")
    }

    fn later(reason: &str, retry_after: Option<DurationMs>) -> Outcome {
        Outcome::TryLater {
            reason: reason.to_owned(),
            retry_after,
        }
    }

    #[test]
    fn waits_double_up_to_an_hour_and_honour_the_provider() {
        let delivery = delivery(DurationMs::from_secs(86_400));
        let wait = |attempts, outcome| {
            let verdict = judge(&delivery, outcome, attempts, false, NOW, NOW);
            assert_eq!(verdict.state, DeliveryState::Queued);
            verdict.due_at.since(NOW).0 / 1000
        };
        let waits: Vec<i64> = [1, 2, 3, 12, 13, 40]
            .map(|attempts| wait(attempts, later("503", None)))
            .to_vec();
        assert_eq!(waits, [1, 2, 4, 2048, 3600, 3600]);
        assert_eq!(wait(1, later("429", Some(DurationMs::from_secs(60)))), 60);
    }

    #[test]
    fn nothing_is_tried_beyond_its_worth() {
        let delivery = delivery(DurationMs::from_secs(30));
        let end = |outcome, in_doubt| judge(&delivery, outcome, 7, in_doubt, NOW, NOW).state;
        assert_eq!(end(later("503", None), false), DeliveryState::Failed);
        assert_eq!(
            end(later("503", None), true),
            DeliveryState::Unknown,
            "an earlier one may have arrived"
        );
        assert_eq!(
            end(
                Outcome::Unknown {
                    reason: "cut".to_owned()
                },
                false
            ),
            DeliveryState::Unknown
        );
    }

    #[test]
    fn only_an_end_that_nobody_saw_leaves_a_row_in_doubt() {
        let delivery = delivery(DurationMs::from_secs(3600));
        let verdict = |outcome, in_doubt| judge(&delivery, outcome, 1, in_doubt, NOW, NOW);
        assert_eq!(
            verdict(
                Outcome::Unknown {
                    reason: "cut".to_owned()
                },
                false
            )
            .state,
            DeliveryState::Sending
        );
        assert_eq!(
            verdict(later("503", None), true).state,
            DeliveryState::Sending,
            "the doubt stays"
        );
        let accepted = |shortened| Outcome::Accepted {
            provider_id: String::new(),
            environment: None,
            shortened,
        };
        assert_eq!(verdict(accepted(false), false).reason, None);
        assert_eq!(verdict(accepted(false), true).reason.as_deref(), Some(SENT_AGAIN));
        assert_eq!(verdict(accepted(true), false).reason.as_deref(), Some(SHORTENED));
        let misconfigured = verdict(
            Outcome::Misconfigured {
                credential: Credential::new("apns:TEAM/KEY"),
                reason: "no key".to_owned(),
            },
            false,
        );
        assert_eq!(
            (misconfigured.state, misconfigured.counts),
            (DeliveryState::Queued, false)
        );
    }

    #[test]
    fn a_verdict_about_an_older_token_does_not_drop_a_newer_one() {
        let delivery = delivery(DurationMs::from_secs(3600));
        let dead = |since| Outcome::DeadToken {
            reason: "Unregistered".to_owned(),
            since,
        };
        let drops = |since, registered_at| judge(&delivery, dead(since), 1, false, registered_at, NOW).drop_token;
        assert!(drops(None, NOW));
        assert!(drops(Some(NOW), NOW));
        assert!(!drops(Some(NOW), Timestamp(NOW.0 + 1)));
    }
}
