//! One decision to push one customer, from decided to ended.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    campaign::Class,
    ids::{AppId, BrandId, CampaignId, DeliveryId, DeviceId, EventId, GeofenceId, PushToken, SubjectId, WorkspaceId},
    ladder::LadderStep,
    push_options::PushOptions,
    time::{DurationMs, Timestamp},
};

/// Which provider reaches the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Apple: APNs.
    Ios,
    /// Google: FCM.
    Android,
}

/// Which of Apple's two worlds a token belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Apps from the store.
    #[default]
    Production,
    /// Development builds.
    Sandbox,
}

/// Where a push goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushTarget {
    /// Provider.
    pub platform: Platform,
    /// Bundle id or package name.
    pub app: AppId,
    /// The provider's address of the installation.
    pub token: PushToken,
    /// Apple's world.
    pub environment: Environment,
    /// When the device told us this token; a provider's older verdict about it does not count.
    pub registered_at: Timestamp,
}

/// What made the campaign speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TriggerKind {
    /// Came into a geofence.
    Entered,
    /// Left one.
    Exited,
    /// Scanned a code.
    Scanned,
    /// Has stayed in a geofence.
    Dwelled,
    /// Something happened outside.
    Event,
}

/// A push that was decided: what the outbox holds and dispatch works from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Its name, derived from campaign, customer and episode.
    pub id: DeliveryId,
    /// Tenant.
    pub workspace: WorkspaceId,
    /// Customer.
    pub subject: SubjectId,
    /// The device that the push is for.
    pub device: DeviceId,
    /// Its provider at the decision.
    pub platform: Platform,
    /// Its app at the decision.
    pub app: AppId,
    /// The campaign.
    pub campaign: CampaignId,
    /// Its version at the decision.
    pub campaign_version: u32,
    /// Advertising or service.
    pub class: Class,
    /// The merchant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<BrandId>,
    /// Which of the campaign's offers was chosen, counted from 0.
    pub offer: usize,
    /// What made the campaign speak.
    pub trigger: TriggerKind,
    /// The event behind it.
    pub event: EventId,
    /// When that happened, by the phone's clock.
    pub event_at: Timestamp,
    /// Where that happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geofence: Option<GeofenceId>,
    /// Fields of an outside event, for the message.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// When it was decided, by the server's clock.
    pub decided_at: Timestamp,
    /// After this instant it is worth nothing.
    pub expires_at: Timestamp,
    /// Send only if the customer is still in `geofence`.
    pub still_there: bool,
    /// The step of a ladder that it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ladder: Option<LadderStep>,
    /// Why this campaign and this offer, in words.
    pub why: Vec<String>,
}

/// Words for one push, rendered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// First line.
    pub title: String,
    /// The text.
    pub body: String,
    /// Whether one of them was cut because it was too long.
    #[serde(skip)]
    pub shortened: bool,
}

/// One request to a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Push {
    /// The delivery; its id is the `apns-id`, the collapse id and Android's tag, so that a second request for it
    /// replaces the first on the screen.
    pub delivery: DeliveryId,
    /// Tenant: it may have credentials of its own.
    pub workspace: WorkspaceId,
    /// Where to.
    pub target: PushTarget,
    /// What the customer reads.
    pub message: Message,
    /// How it looks, sounds and behaves.
    pub options: Arc<PushOptions>,
    /// Beckon's own custom fields for the app, flat, besides those of `options`.
    pub data: Vec<(String, String)>,
    /// The provider must not show it after this.
    pub expires_at: Timestamp,
}

/// One of our ways in at a provider, such as `apns:TEAM567890/KEY4567890` or `fcm:my-project`: what is paused when its key
/// is wrong, and what has connections and quotas of its own. No secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credential(Arc<str>);

impl Credential {
    /// Names one.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(Arc::from(name.as_ref()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one request came to. Says whether the push can have reached the provider: only [`Outcome::Unknown`] leaves that
/// open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The provider has taken it.
    Accepted {
        /// The provider's name for it.
        provider_id: String,
        /// Apple's world that took it, where it is not the one that the device told: the device is in this one.
        environment: Option<Environment>,
        /// Whether words were cut to fit the provider's limit.
        shortened: bool,
    },
    /// The token leads nowhere any more.
    DeadToken {
        /// The provider's word for it.
        reason: String,
        /// The provider knows it since then; a token registered later is not meant.
        since: Option<Timestamp>,
    },
    /// Proven undelivered, may work later.
    TryLater {
        /// The provider's word for it, or what broke.
        reason: String,
        /// The provider's wish.
        retry_after: Option<DurationMs>,
    },
    /// Will never work as it is.
    Never {
        /// The provider's word for it.
        reason: String,
    },
    /// Our credentials or settings are wrong, not this push.
    Misconfigured {
        /// Which of them; everything else that is sent with it would fare the same.
        credential: Credential,
        /// What an operator should look at.
        reason: String,
    },
    /// The request may or may not have arrived.
    Unknown {
        /// What broke.
        reason: String,
    },
}

/// Why a push that was decided was not sent after all, or an offer not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suppression {
    /// The audience rule says no.
    Audience,
    /// None of the offers fits.
    NoOffer,
    /// The campaign does not run at this time.
    NotScheduled,
    /// The geofence is closed, or its hours are not known.
    Closed,
    /// The customer is to be left alone at this time.
    QuietHours,
    /// The ladder's step is none, was told, or is behind.
    LadderStep,
    /// The ladder has ended.
    LadderEnded,
    /// The latest push was too short a time ago.
    MinimumGap,
    /// The customer belongs to those who get nothing, so that others can be compared with them.
    HeldOut,
    /// Too much waits for this customer already.
    WaitingFull,
    /// A cap is reached.
    Cap,
    /// The campaign's cooldown is running.
    Cooldown,
    /// Another campaign was better.
    Outranked,
    /// The customer does not want pushes.
    Consent,
    /// No device with a push token.
    NoToken,
    /// Another device of the customer is there: the visit had begun before, or goes on.
    OtherDevice,
    /// The customer is not in the geofence that the campaign asks for.
    NotPresent,
    /// The campaign was paused, ended or deleted.
    CampaignEnded,
    /// The visit is over.
    LeftGeofence,
    /// `validFor` has run out.
    Expired,
    /// The customer was deleted or the device handed on.
    CustomerGone,
    /// The message's template failed.
    Template,
    /// The campaign has given all that it may.
    Budget,
    /// No code is left for it.
    NoCode,
}

/// Where a delivery stands. Ended ones never change again, but for dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Waits for its first or next attempt.
    Queued,
    /// A request may be under way; written before the request is.
    Sending,
    /// Ended: the provider took it.
    Accepted,
    /// Ended: the token was dead.
    DeadToken,
    /// Ended: the provider will never take it, or it failed too often.
    Failed,
    /// Ended: not sent, on purpose.
    Suppressed,
    /// Ended: nobody knows whether the last request arrived, and it is too late to send again.
    Unknown,
    /// Ended until somebody queues it anew: it can't be read, or whoever took it never came to an end.
    DeadLetter,
}

impl DeliveryState {
    /// Every state, for metrics and stores.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Sending,
        Self::Accepted,
        Self::DeadToken,
        Self::Failed,
        Self::Suppressed,
        Self::Unknown,
        Self::DeadLetter,
    ];

    /// The name in JSON and in stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Accepted => "accepted",
            Self::DeadToken => "dead_token",
            Self::Failed => "failed",
            Self::Suppressed => "suppressed",
            Self::Unknown => "unknown",
            Self::DeadLetter => "dead_letter",
        }
    }

    /// Reads [`DeliveryState::as_str`] back.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether nothing more will happen.
    pub fn is_ended(self) -> bool {
        match self {
            Self::Queued | Self::Sending => false,
            Self::Accepted | Self::DeadToken | Self::Failed | Self::Suppressed | Self::Unknown | Self::DeadLetter => {
                true
            }
        }
    }
}
