//! What a request's outcome means for the delivery: ended, or tried again when. Pure.

use crate::domain::{
    delivery::{Delivery, DeliveryState, Outcome},
    time::{DurationMs, Timestamp},
};

/// Requests for one delivery before it is given up; those that fail by our own configuration don't count.
pub const ATTEMPTS_MAX: u32 = 12;
/// The first wait after an end that may be tried again.
const BACKOFF_FIRST: DurationMs = DurationMs::from_secs(1);
/// No wait is longer.
const BACKOFF_MAX: DurationMs = DurationMs::from_secs(3600);
/// How long a delivery waits for an operator to mend the configuration before it is tried again.
const MISCONFIGURED_WAIT: DurationMs = DurationMs::from_secs(15);

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
    };
    let again = |state: DeliveryState, given_up: DeliveryState, wait: DurationMs, reason: String| {
        let due_at = now.plus(wait);
        let too_often = attempts >= ATTEMPTS_MAX && wait != MISCONFIGURED_WAIT;
        if too_often || due_at > delivery.expires_at {
            return end(given_up, Some(format!("given up after {attempts} requests: {reason}")));
        }
        Disposition {
            state,
            due_at,
            reason: Some(reason),
            drop_token: false,
        }
    };
    let (waiting, given_up) = if in_doubt {
        (DeliveryState::Sending, DeliveryState::Unknown)
    } else {
        (DeliveryState::Queued, DeliveryState::Failed)
    };
    match outcome {
        Outcome::Accepted { .. } => end(DeliveryState::Accepted, None),
        Outcome::DeadToken { reason, since } => {
            let meant = since.is_none_or(|since| registered_at <= since);
            Disposition {
                drop_token: meant,
                ..end(DeliveryState::DeadToken, Some(reason))
            }
        }
        Outcome::TryLater { reason, retry_after } => {
            let wait = backoff(delivery, attempts).max(retry_after.unwrap_or_default());
            again(waiting, given_up, wait, reason)
        }
        Outcome::Never { reason } => end(DeliveryState::Failed, Some(reason)),
        Outcome::Misconfigured { reason } => again(waiting, given_up, MISCONFIGURED_WAIT, reason),
        Outcome::Unknown { reason } => again(
            DeliveryState::Sending,
            DeliveryState::Unknown,
            backoff(delivery, attempts),
            reason,
        ),
    }
}
