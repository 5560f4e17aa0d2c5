//! What Apple's answers mean (developer.apple.com, "Handling notification responses from APNs").

use serde::Deserialize;

use crate::{
    domain::{delivery::Outcome, ids::DeliveryId, time::Timestamp},
    engine::ports::Clock,
};

use super::{super::pool::Reply, APNS_ID};

/// Longest reason that is kept, in characters; Apple's are below 40.
const REASON_CHARS_MAX: usize = 100;

/// The token is not of this one of Apple's two worlds, or of none.
pub(super) const BAD_DEVICE_TOKEN: &str = "BadDeviceToken";

/// What one answer calls for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done(Outcome),
    /// The credential is wrong, for this reason.
    Misconfigured(String),
    /// Renew the provider token, then send once more.
    TokenExpired,
}

#[derive(Deserialize, Default)]
struct Answer {
    #[serde(default)]
    reason: String,
    /// Since when the token is dead, Unix milliseconds.
    #[serde(default)]
    timestamp: Option<i64>,
}

/// New reasons appear, so what is not known goes by the class of its status.
pub(super) fn verdict(reply: &Reply, delivery: DeliveryId, shortened: bool, clock: &dyn Clock) -> Verdict {
    if reply.status == 200 {
        let echoed = reply.headers.get(APNS_ID).and_then(|value| value.to_str().ok());
        return Verdict::Done(Outcome::Accepted {
            provider_id: echoed.map_or_else(|| delivery.to_string(), str::to_owned),
            environment: None,
            shortened,
        });
    }
    let now = clock.now();
    let answer: Answer = serde_json::from_slice(&reply.body).unwrap_or_default();
    let reason = if answer.reason.is_empty() {
        format!("status {}", reply.status)
    } else {
        answer.reason.chars().take(REASON_CHARS_MAX).collect()
    };
    if answer.reason.is_empty() && !reply.complete && reply.status < 500 {
        // Refused for certain, but the word that tells why was lost.
        return Verdict::Done(Outcome::TryLater {
            reason,
            retry_after: reply.retry_after(now),
        });
    }
    Verdict::Done(match (reply.status, answer.reason.as_str()) {
        (403, "ExpiredProviderToken") => return Verdict::TokenExpired,
        (410, _) => Outcome::DeadToken {
            reason,
            since: answer.timestamp.map(Timestamp),
        },
        (400, BAD_DEVICE_TOKEN | "DeviceTokenNotForTopic") => Outcome::DeadToken { reason, since: None },
        (403, "Forbidden") => Outcome::Never { reason },
        (401 | 403, _) => return Verdict::Misconfigured(reason),
        (400, "IdleTimeout") | (429 | 500..=599, _) => Outcome::TryLater {
            reason,
            retry_after: reply.retry_after(now),
        },
        (400..=499, _) => Outcome::Never { reason },
        // Not an answer that Apple gives; something else stands at this address.
        _ => return Verdict::Misconfigured(reason),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, header};
    use uuid::Uuid;

    use super::*;
    use crate::domain::time::DurationMs;

    struct Standing;

    impl Clock for Standing {
        fn now(&self) -> Timestamp {
            Timestamp(1_795_336_200_000)
        }
    }

    const ID: DeliveryId = DeliveryId(Uuid::from_u128(0x1234));

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status,
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            complete: true,
        }
    }

    fn kind(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::TokenExpired => "renew",
            Verdict::Misconfigured(_) => "misconfigured",
            Verdict::Done(outcome) => match outcome {
                Outcome::Accepted { .. } => "accepted",
                Outcome::DeadToken { .. } => "dead",
                Outcome::TryLater { .. } => "later",
                Outcome::Never { .. } => "never",
                Outcome::Misconfigured { .. } => "misconfigured",
                Outcome::Unknown { .. } => "unknown",
            },
        }
    }

    #[test]
    fn each_reason_of_apples_table() {
        for (status, reason, expected) in [
            (400, "BadCollapseId", "never"),
            (400, "BadDeviceToken", "dead"),
            (400, "BadExpirationDate", "never"),
            (400, "BadMessageId", "never"),
            (400, "BadPriority", "never"),
            (400, "BadTopic", "never"),
            (400, "DeviceTokenNotForTopic", "dead"),
            (400, "DuplicateHeaders", "never"),
            (400, "IdleTimeout", "later"),
            (400, "InvalidPushType", "never"),
            (400, "MissingDeviceToken", "never"),
            (400, "MissingTopic", "never"),
            (400, "PayloadEmpty", "never"),
            (400, "TopicDisallowed", "never"),
            (400, "SomethingNew", "never"),
            (403, "BadCertificate", "misconfigured"),
            (403, "BadCertificateEnvironment", "misconfigured"),
            (403, "ExpiredProviderToken", "renew"),
            (403, "Forbidden", "never"),
            (403, "InvalidProviderToken", "misconfigured"),
            (403, "MissingProviderToken", "misconfigured"),
            (403, "UnrelatedKeyIdInToken", "misconfigured"),
            (404, "BadPath", "never"),
            (405, "MethodNotAllowed", "never"),
            (410, "ExpiredToken", "dead"),
            (410, "Unregistered", "dead"),
            (413, "PayloadTooLarge", "never"),
            (429, "TooManyProviderTokenUpdates", "later"),
            (429, "TooManyRequests", "later"),
            (500, "InternalServerError", "later"),
            (503, "ServiceUnavailable", "later"),
            (503, "Shutdown", "later"),
            (301, "", "misconfigured"),
        ] {
            let verdict = verdict(
                &reply(status, &format!(r#"{{"reason":"{reason}"}}"#)),
                ID,
                false,
                &Standing,
            );
            assert_eq!(kind(&verdict), expected, "{status} {reason}");
        }
    }

    #[test]
    fn a_dead_token_comes_with_its_instant() {
        let gone = reply(410, r#"{"reason":"Unregistered","timestamp":1795336200123}"#);
        assert_eq!(
            verdict(&gone, ID, false, &Standing),
            Verdict::Done(Outcome::DeadToken {
                reason: "Unregistered".to_owned(),
                since: Some(Timestamp(1_795_336_200_123)),
            })
        );
    }

    #[test]
    fn retry_after_is_kept_in_seconds() {
        let mut busy = reply(503, r#"{"reason":"Shutdown"}"#);
        busy.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("17"));
        assert_eq!(
            verdict(&busy, ID, false, &Standing),
            Verdict::Done(Outcome::TryLater {
                reason: "Shutdown".to_owned(),
                retry_after: Some(DurationMs::from_secs(17)),
            })
        );
    }

    #[test]
    fn the_accepted_id_is_the_echoed_one_or_ours() {
        let mut accepted = reply(200, "");
        let id_of = |reply: &Reply| match verdict(reply, ID, true, &Standing) {
            Verdict::Done(Outcome::Accepted {
                provider_id,
                environment: None,
                shortened: true,
            }) => provider_id,
            other => panic!("{other:?}"),
        };
        assert_eq!(id_of(&accepted), ID.to_string());
        accepted.headers.insert(APNS_ID, HeaderValue::from_static("echo"));
        assert_eq!(id_of(&accepted), "echo");
    }

    #[test]
    fn a_refusal_whose_reason_was_lost_is_tried_again() {
        let mut cut = reply(400, r#"{"rea"#);
        cut.complete = false;
        assert_eq!(kind(&verdict(&cut, ID, false, &Standing)), "later");
    }

    #[test]
    fn a_body_that_is_no_json_goes_by_status() {
        assert_eq!(kind(&verdict(&reply(502, "<html>"), ID, false, &Standing)), "later");
        assert_eq!(
            verdict(&reply(418, "tea"), ID, false, &Standing),
            Verdict::Done(Outcome::Never {
                reason: "status 418".to_owned()
            })
        );
    }
}
