//! What clients are told when something is wrong: `application/problem+json` (RFC 9457), from one table of codes.

use actix_web::{HttpResponse, ResponseError, http::StatusCode};
use serde::Serialize;

use crate::engine::{EngineError, ports::StoreError};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $status:literal, $title:literal;)+) => {
        /// Every kind of problem. The comment of each is what `GET /problems/{code}` says about it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[doc = $doc])+ $variant),+ }

        impl Code {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in `code`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }

            /// What it is called.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            /// What it means and what to do.
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+)),+ }
            }
        }
    };
}

codes! {
    /// The request has no `Authorization: Bearer` header. Send a publishable key (`pk_...`), a secret key (`sk_...`) or a device token (`dt_...`).
    KeyMissing = "key_missing", 401, "No key";
    /// The key or device token is unknown, expired or was deleted. Register the device again for a fresh token, or ask an admin for a key.
    KeyInvalid = "key_invalid", 401, "Unknown key";
    /// The key is good, but its role may not do this.
    NotAllowed = "not_allowed", 403, "Not allowed";
    /// A device token or publishable key may report only one device, and a device token only its own.
    DeviceNotAllowed = "device_not_allowed", 403, "Another device";
    /// No such path.
    NotFound = "not_found", 404, "Not found";
    /// No such method on this path.
    MethodNotAllowed = "method_not_allowed", 405, "Method not allowed";
    /// Nobody has registered this device. Register it with `PUT /v1/devices/{deviceId}`, or check it in with a secret key.
    DeviceUnknown = "device_unknown", 404, "Unknown device";
    /// There is no such customer.
    UserUnknown = "user_unknown", 404, "Unknown customer";
    /// There is no such geofence or set.
    GeofenceUnknown = "geofence_unknown", 404, "Unknown geofence";
    /// There is no such campaign.
    CampaignUnknown = "campaign_unknown", 404, "Unknown campaign";
    /// There is no such delivery.
    DeliveryUnknown = "delivery_unknown", 404, "Unknown delivery";
    /// Nothing of this delivery has left for the phone, so nothing can have become of it there.
    DeliveryNotSent = "delivery_not_sent", 409, "Delivery not sent";
    /// As many different events of this delivery are kept as may be.
    TooManyReactions = "too_many_reactions", 409, "Too many events";
    /// Nobody was given this code: it is mistyped, or the push that it was for never left.
    CodeUnknown = "code_unknown", 404, "Unknown code";
    /// The code was redeemed before. A till that asks again for the same sale sends the same `Idempotency-Key`.
    CodeUsed = "code_used", 409, "Code used";
    /// The code was good until an instant that has passed.
    CodeExpired = "code_expired", 410, "Code expired";
    /// Some lines of the pool are no codes, so that none was added. `errors` names them.
    CodesInvalid = "codes_invalid", 422, "Invalid codes";
    /// There is no such webhook.
    WebhookUnknown = "webhook_unknown", 404, "Unknown webhook";
    /// The event that is to be left out is none that this webhook holds; `GET /v1/webhooks/{id}` names in `held` the one that it does.
    EventNotHeld = "event_not_held", 409, "Event not held";
    /// The workspace has as many webhooks as it may have (20). Delete one that is no longer needed.
    TooManyWebhooks = "too_many_webhooks", 409, "Too many webhooks";
    /// There is no such key.
    KeyUnknown = "key_unknown", 404, "Unknown key";
    /// The body is larger than the server takes (`http.body_bytes_max`). Send it in parts.
    BodyTooLarge = "body_too_large", 413, "Body too large";
    /// The body did not arrive whole or in time.
    BodyIncomplete = "body_incomplete", 400, "Body incomplete";
    /// The body is compressed. Send it as it is.
    EncodingUnsupported = "content_encoding_unsupported", 415, "Compressed body";
    /// The `Content-Type` is none that this endpoint takes; the detail lists those.
    ContentTypeUnsupported = "content_type_unsupported", 415, "Unknown content type";
    /// The body is not JSON. The detail names the byte at which it stops being JSON.
    JsonBroken = "json_broken", 400, "Broken JSON";
    /// A field has a value that it can't have. `errors` names each field by JSON pointer.
    FieldInvalid = "field_invalid", 400, "Invalid field";
    /// A query parameter has a value that it can't have.
    ParameterInvalid = "parameter_invalid", 400, "Invalid parameter";
    /// A name in the path can't be one: empty, too long, or with control characters.
    PathInvalid = "path_invalid", 400, "Invalid path";
    /// The check-in's or event's time is more than `http.future_max` (five minutes) in the future. Check the sender's clock.
    TimeInFuture = "time_in_future", 400, "Time in the future";
    /// An array has more items than the server takes at once (`http.check_ins_max`).
    TooManyItems = "too_many_items", 400, "Too many items";
    /// The check-in has neither location nor beacons nor a code, so that it says nothing.
    NothingReported = "nothing_reported", 400, "Nothing reported";
    /// The geofence file can't be read at all.
    FileUnreadable = "file_unreadable", 400, "Unreadable file";
    /// Some features of the geofence file are wrong, so that none went live. Mend them, or send `allowPartial=true` to take the good ones.
    FeaturesRejected = "features_rejected", 422, "Features rejected";
    /// The file would leave nothing of a set that has geofences. Send `allowEmpty=true` if that is meant.
    SetWouldBeEmpty = "set_would_be_empty", 422, "Set would be empty";
    /// The campaign's document is wrong; `errors` names the place.
    CampaignInvalid = "campaign_invalid", 422, "Invalid campaign";
    /// Nobody can go on from that place of the stream: it is unknown, or what came after it is no longer kept. Read who is where, then open the stream without a place.
    CursorGone = "cursor_gone", 410, "Place gone";
    /// The message is encrypted, and this server has no key for it. Remove the encryption key in the app's settings; TLS protects the way.
    EncryptedMessage = "encrypted_message", 422, "Encrypted message";
    /// As many streams are open as the server allows (`stream.connections_max`). Close one, or come again later.
    TooManyStreams = "too_many_streams", 503, "Too many streams";
    /// The store can't promise anything now. Send it again after `Retry-After`: under the same id it counts once, whether or not it was taken.
    Unavailable = "unavailable", 503, "Unavailable";
    /// Too many requests changed the same customer at once. Send it again.
    Contended = "contended", 503, "Contended";
    /// Something is wrong with this server; its log says more.
    Internal = "internal", 500, "Internal error";
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wrong {
    /// JSON pointer of the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Line of the body, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Kind of problem.
    pub code: &'static str,
    /// What is wrong.
    pub detail: String,
}

/// A problem, ready to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    code: Code,
    detail: String,
    errors: Vec<Wrong>,
}

/// The JSON form of a [`Problem`].
#[derive(Debug, Serialize)]
pub struct ProblemBody<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[Wrong]>::is_empty")]
    errors: &'a [Wrong],
}

/// Seconds after which a client may come again.
pub(super) const RETRY_AFTER_SECONDS: &str = "1";

impl Problem {
    /// A problem with what is wrong in this case.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    /// A problem of one field.
    pub fn field(code: Code, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let (pointer, detail) = (pointer.into(), detail.into());
        let wrong = Wrong {
            pointer: Some(pointer.clone()),
            line: None,
            code: code.name(),
            detail: detail.clone(),
        };
        Self {
            code,
            detail: if pointer.is_empty() {
                detail
            } else {
                format!("{pointer}: {detail}")
            },
            errors: vec![wrong],
        }
    }

    /// The same problem inside a larger body: below `prefix`, or on a line.
    #[must_use]
    pub fn within(mut self, prefix: &str, line: Option<u64>) -> Self {
        if self.errors.is_empty() {
            let detail = self.detail.clone();
            self.errors.push(Wrong {
                pointer: None,
                line: None,
                code: self.code.name(),
                detail,
            });
        }
        for wrong in &mut self.errors {
            wrong.line = line;
            if let Some(pointer) = &mut wrong.pointer {
                *pointer = format!("{prefix}{pointer}");
            }
        }
        self
    }

    /// With what to do about it, if it may be gone by then.
    #[must_use]
    pub fn with_advice(mut self, advice: &str) -> Self {
        if self.code.status() == 503 {
            self.detail = format!("{}: {advice}", self.detail);
        }
        self
    }

    /// With a list of what is wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<Wrong>) -> Self {
        self.errors = errors;
        self
    }

    /// What is wrong, place by place.
    pub fn into_errors(self) -> Vec<Wrong> {
        self.errors
    }

    /// Its kind.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Its JSON form.
    pub fn body(&self) -> ProblemBody<'_> {
        ProblemBody {
            kind: format!("/problems/{}", self.code.name()),
            title: self.code.title(),
            status: self.code.status(),
            code: self.code.name(),
            detail: &self.detail,
            errors: &self.errors,
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.content_type("application/problem+json");
        if self.code.status() == 503 {
            response.insert_header(("Retry-After", RETRY_AFTER_SECONDS));
        }
        if self.code.status() == 401 {
            response.insert_header(("WWW-Authenticate", "Bearer"));
        }
        response.body(serde_json::to_string(&self.body()).unwrap_or_default())
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => error.into(),
            EngineError::Profile(error) => Self::field(Code::FieldInvalid, error.pointer(), error.to_string()),
            EngineError::Contended => Self::new(Code::Contended, error.to_string()),
            EngineError::Record(_) => {
                tracing::error!(%error, "a record is unreadable");
                Self::new(Code::Internal, "a stored record is unreadable")
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) => {
                tracing::warn!(%error, "a request was turned away");
                Self::new(Code::Unavailable, "the store can't take it now")
            }
            StoreError::Damaged(_) => {
                tracing::error!(%error, "the store holds what can't be read");
                Self::new(Code::Internal, "the store holds what can't be read")
            }
            StoreError::UnknownCursor => Self::new(Code::ParameterInvalid, error.to_string()),
        }
    }
}
