//! What FCM's answers mean (firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode).

use serde::Deserialize;

use crate::domain::{
    delivery::Outcome,
    time::{DurationMs, Timestamp},
};

use super::super::pool::Reply;

/// Longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 100;
/// Google asks for so long a pause after 429 without `Retry-After`.
const QUOTA_PAUSE: DurationMs = DurationMs::from_secs(60);
/// Google asks for at least so long a pause after a failure of its own.
const FAILURE_PAUSE: DurationMs = DurationMs::from_secs(10);

const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

/// What one answer calls for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done(Outcome),
    /// The credential is wrong, for this reason.
    Misconfigured(String),
    /// Get another access token, then send once more.
    TokenRefused(String),
}

#[derive(Deserialize, Default)]
struct Success {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize, Default)]
struct Failure {
    #[serde(default)]
    error: ErrorBody,
}

#[derive(Deserialize, Default)]
struct ErrorBody {
    #[serde(default)]
    status: String,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(rename = "@type", default)]
    kind: String,
    #[serde(rename = "errorCode", default)]
    error_code: String,
    #[serde(rename = "fieldViolations", default)]
    violations: Vec<Violation>,
}

#[derive(Deserialize)]
struct Violation {
    #[serde(default)]
    field: String,
}

impl ErrorBody {
    fn details(&self, kind: &str) -> impl Iterator<Item = &Detail> {
        self.details.iter().filter(move |detail| detail.kind == kind)
    }

    /// FCM's own code, or the general one of Google's APIs.
    fn code(&self) -> &str {
        self.details(FCM_ERROR)
            .map(|detail| detail.error_code.as_str())
            .find(|code| !code.is_empty())
            .unwrap_or(&self.status)
    }

    /// `INVALID_ARGUMENT` means the token when FCM itself says so, and the payload when a field of it is named.
    fn blames_token(&self) -> bool {
        let mut fields = self
            .details(BAD_REQUEST)
            .flat_map(|detail| &detail.violations)
            .map(|violation| violation.field.as_str())
            .peekable();
        if fields.peek().is_some() {
            fields.all(|field| field == "message.token")
        } else {
            self.details(BAD_REQUEST).next().is_none() && self.details(FCM_ERROR).next().is_some()
        }
    }
}

/// New codes appear, so what is not known goes by the class of its status.
pub(super) fn verdict(reply: &Reply, shortened: bool, now: Timestamp) -> Verdict {
    if (200..300).contains(&reply.status) {
        let success: Success = serde_json::from_slice(&reply.body).unwrap_or_default();
        return Verdict::Done(Outcome::Accepted {
            provider_id: success.name,
            environment: None,
            shortened,
        });
    }
    let failure: Option<Failure> = serde_json::from_slice(&reply.body).ok();
    if failure.is_none() && !reply.complete && reply.status < 500 {
        // Refused for certain, but the word that tells why was lost.
        return Verdict::Done(Outcome::TryLater {
            reason: format!("status {}", reply.status),
            retry_after: reply.retry_after(now),
        });
    }
    let error = failure.unwrap_or_default().error;
    let code = error.code();
    let reason = if code.is_empty() {
        format!("status {}", reply.status)
    } else {
        code.chars().take(REASON_CHARS_MAX).collect()
    };
    let later = |reason, pause| Outcome::TryLater {
        reason,
        retry_after: reply.retry_after(now).or(Some(pause)),
    };
    Verdict::Done(match (reply.status, code) {
        (401, "THIRD_PARTY_AUTH_ERROR") => return Verdict::Misconfigured(reason),
        (401, _) => return Verdict::TokenRefused(reason),
        (404, "UNREGISTERED") | (403, "SENDER_ID_MISMATCH") => Outcome::DeadToken { reason, since: None },
        // The project is unknown, or the account may not send for it.
        (403 | 404, _) => return Verdict::Misconfigured(reason),
        (400, "INVALID_ARGUMENT") if error.blames_token() => Outcome::DeadToken { reason, since: None },
        (429, _) => later(reason, QUOTA_PAUSE),
        (500..=599, _) => later(reason, FAILURE_PAUSE),
        (400..=499, _) => Outcome::Never { reason },
        // Not an answer that Google gives; something else stands at this address.
        _ => return Verdict::Misconfigured(reason),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, header};
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp(1_795_336_200_000);

    fn reply(status: u16, body: &Value) -> Reply {
        Reply {
            status,
            headers: HeaderMap::new(),
            body: Bytes::from(body.to_string()),
            complete: true,
        }
    }

    fn error(status: u16, general: &str, details: &Value) -> Verdict {
        let body = json!({ "error": { "code": status, "message": "…", "status": general, "details": details } });
        verdict(&reply(status, &body), false, NOW)
    }

    fn fcm(code: &str) -> Value {
        json!({ "@type": FCM_ERROR, "errorCode": code })
    }

    fn bad(field: &str) -> Value {
        json!({ "@type": BAD_REQUEST, "fieldViolations": [{ "field": field, "description": "…" }] })
    }

    fn dead(reason: &str) -> Verdict {
        Verdict::Done(Outcome::DeadToken {
            reason: reason.to_owned(),
            since: None,
        })
    }

    fn never(reason: &str) -> Verdict {
        Verdict::Done(Outcome::Never {
            reason: reason.to_owned(),
        })
    }

    fn misconfigured(reason: &str) -> Verdict {
        Verdict::Misconfigured(reason.to_owned())
    }

    fn later(reason: &str, seconds: i64) -> Verdict {
        Verdict::Done(Outcome::TryLater {
            reason: reason.to_owned(),
            retry_after: Some(DurationMs::from_secs(seconds)),
        })
    }

    #[test]
    fn each_code_of_googles_table() {
        let table = [
            (404, "NOT_FOUND", json!([fcm("UNREGISTERED")]), dead("UNREGISTERED")),
            (
                403,
                "PERMISSION_DENIED",
                json!([fcm("SENDER_ID_MISMATCH")]),
                dead("SENDER_ID_MISMATCH"),
            ),
            (
                400,
                "INVALID_ARGUMENT",
                json!([fcm("INVALID_ARGUMENT")]),
                dead("INVALID_ARGUMENT"),
            ),
            (
                400,
                "INVALID_ARGUMENT",
                json!([fcm("INVALID_ARGUMENT"), bad("message.token")]),
                dead("INVALID_ARGUMENT"),
            ),
            (
                400,
                "INVALID_ARGUMENT",
                json!([fcm("INVALID_ARGUMENT"), bad("message.data[0].value")]),
                never("INVALID_ARGUMENT"),
            ),
            (
                400,
                "INVALID_ARGUMENT",
                json!([bad("message.android.ttl")]),
                never("INVALID_ARGUMENT"),
            ),
            (400, "INVALID_ARGUMENT", json!([]), never("INVALID_ARGUMENT")),
            (
                401,
                "UNAUTHENTICATED",
                json!([fcm("THIRD_PARTY_AUTH_ERROR")]),
                misconfigured("THIRD_PARTY_AUTH_ERROR"),
            ),
            (
                401,
                "UNAUTHENTICATED",
                json!([]),
                Verdict::TokenRefused("UNAUTHENTICATED".to_owned()),
            ),
            (403, "PERMISSION_DENIED", json!([]), misconfigured("PERMISSION_DENIED")),
            (404, "NOT_FOUND", json!([]), misconfigured("NOT_FOUND")),
            (
                429,
                "RESOURCE_EXHAUSTED",
                json!([fcm("QUOTA_EXCEEDED")]),
                later("QUOTA_EXCEEDED", 60),
            ),
            (
                503,
                "UNAVAILABLE",
                json!([fcm("UNAVAILABLE")]),
                later("UNAVAILABLE", 10),
            ),
            (500, "INTERNAL", json!([fcm("INTERNAL")]), later("INTERNAL", 10)),
            (409, "ABORTED", json!([]), never("ABORTED")),
            (302, "", json!([]), misconfigured("status 302")),
        ];
        for (status, general, details, expected) in table {
            assert_eq!(
                error(status, general, &details),
                expected,
                "{status} {general} {details}"
            );
        }
    }

    #[test]
    fn the_provider_says_when_to_come_again() {
        let mut busy = reply(429, &json!({ "error": { "status": "RESOURCE_EXHAUSTED" } }));
        busy.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        assert_eq!(verdict(&busy, false, NOW), later("RESOURCE_EXHAUSTED", 5));
    }

    #[test]
    fn success_gives_the_name_even_when_it_was_cut() {
        let named = reply(200, &json!({ "name": "projects/p/messages/1" }));
        let accepted = |name: &str| {
            Verdict::Done(Outcome::Accepted {
                provider_id: name.to_owned(),
                environment: None,
                shortened: false,
            })
        };
        assert_eq!(verdict(&named, false, NOW), accepted("projects/p/messages/1"));
        let mut cut = reply(200, &Value::Null);
        cut.body = Bytes::from_static(b"{\"na");
        cut.complete = false;
        assert_eq!(verdict(&cut, false, NOW), accepted(""));
    }

    #[test]
    fn a_gateway_in_between_is_taken_by_status() {
        let mut html = reply(502, &Value::Null);
        html.body = Bytes::from_static(b"<html>");
        assert_eq!(verdict(&html, false, NOW), later("status 502", 10));
        html.status = 400;
        html.complete = false;
        assert_eq!(
            verdict(&html, false, NOW),
            Verdict::Done(Outcome::TryLater {
                reason: "status 400".to_owned(),
                retry_after: None,
            })
        );
    }
}
