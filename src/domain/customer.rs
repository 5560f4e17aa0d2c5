//! A customer: what the owner's systems know about the person, and the devices that reach them.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use serde_json::{Map, Value};

use super::{
    delivery::{Platform, PushTarget},
    ids::{CauseId, DeviceId, SubjectId, Topic},
    presence::Whereabouts,
    time::{DurationMs, Timestamp},
};

/// How many of a device's latest check-ins are remembered by id.
pub const RECENT_CAUSES_MAX: usize = 32;

/// Most devices of one customer; the one unseen for longest makes room for a new one.
pub const DEVICES_MAX: usize = 20;

/// Most traits of one customer.
pub const TRAITS_MAX: usize = 200;

/// Check-ins that come within this are one upload.
const UPLOAD_MAX: DurationMs = DurationMs::from_secs(10);

/// No device is waited for longer than this.
const WAITS_MAX: DurationMs = DurationMs::from_secs(30 * 60);

/// Largest traits of one customer, in bytes of JSON.
pub const TRAITS_BYTES_MAX: usize = 32 * 1024;

/// Most topics that one customer follows.
pub const TOPICS_MAX: usize = 1000;

/// What the customer allows. `None`: never asked, which allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consent {
    /// Being pushed.
    pub push: Option<bool>,
    /// Being located.
    pub location: Option<bool>,
    /// Offers by profile.
    pub personalisation: Option<bool>,
}

impl Consent {
    /// Takes over what `newer` says and keeps the rest.
    pub fn update(&mut self, newer: Self) {
        self.push = newer.push.or(self.push);
        self.location = newer.location.or(self.location);
        self.personalisation = newer.personalisation.or(self.personalisation);
    }

    /// Takes over what `other` refuses and this one has said nothing about.
    pub fn take_refusals(&mut self, other: Self) {
        let refused = |allowed: &bool| !allowed;
        self.push = self.push.or(other.push.filter(refused));
        self.location = self.location.or(other.location.filter(refused));
        self.personalisation = self.personalisation.or(other.personalisation.filter(refused));
    }
}

/// A JSON object that binary formats hold as text, since they can't hold a value whose type is known only inside it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JsonObject(pub Map<String, Value>);

/// The traits of a customer have grown beyond the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has {fields} fields of {bytes} bytes, the limits are {TRAITS_MAX} and {TRAITS_BYTES_MAX}")]
pub struct TraitsTooLarge {
    fields: usize,
    bytes: usize,
}

impl JsonObject {
    /// Refuses more than [`TRAITS_MAX`] fields or [`TRAITS_BYTES_MAX`] bytes of JSON.
    pub fn check_size(&self) -> Result<(), TraitsTooLarge> {
        let bytes = serde_json::to_string(&self.0).map_or(usize::MAX, |text| text.len());
        let fields = self.0.len();
        if fields > TRAITS_MAX || bytes > TRAITS_BYTES_MAX {
            Err(TraitsTooLarge { fields, bytes })
        } else {
            Ok(())
        }
    }
}

impl Serialize for JsonObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            self.0.serialize(serializer)
        } else if self.0.is_empty() {
            serializer.serialize_str("")
        } else {
            serializer.serialize_str(&serde_json::to_string(&self.0).map_err(S::Error::custom)?)
        }
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return Map::deserialize(deserializer).map(Self);
        }
        match <&str>::deserialize(deserializer)? {
            "" => Ok(Self::default()),
            text => serde_json::from_str(text).map(Self).map_err(D::Error::custom),
        }
    }
}

/// What the owner's systems say about a person.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Profile {
    /// How to address them.
    pub name: Option<String>,
    /// The owner's own fields, by which audiences are made.
    pub traits: JsonObject,
    /// What they follow.
    pub topics: BTreeSet<Topic>,
    /// What they allow.
    pub consent: Consent,
}

/// An app installation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Its name.
    pub id: DeviceId,
    /// What it is, once it has said so.
    pub platform: Option<Platform>,
    /// Where its pushes go, once it has told a token.
    pub target: Option<PushTarget>,
    /// BCP 47 tag of the language its user reads.
    pub locale: Option<String>,
    /// IANA name of the zone it is in.
    pub time_zone: Option<String>,
    /// The latest check-in's time by the phone's clock; earlier ones are late.
    pub last_at: Option<Timestamp>,
    /// The server's time when that check-in came.
    pub heard_at: Option<Timestamp>,
    /// How it sends its check-ins; `None` until the first one.
    pub upload: Option<Upload>,
    /// When the server heard of it last.
    pub seen_at: Timestamp,
    /// Fingerprints of the latest check-ins' ids, oldest first.
    pub recent: Vec<u64>,
    /// Whether its clock was last found to be ahead, and that has been told.
    pub clock_ahead: bool,
    /// Where it is.
    pub whereabouts: Whereabouts,
    /// Whose it was, until all that is known there has been taken over.
    pub taken_from: Option<SubjectId>,
}

/// The check-ins that a device has sent together, or nearly so, the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The server's time when the first of them came.
    began_at: Timestamp,
    /// The most that one of them was behind that.
    lag_max_ms: i64,
}

impl Device {
    /// A device that nothing is known of.
    pub fn new(id: DeviceId, now: Timestamp) -> Self {
        Self {
            id,
            platform: None,
            target: None,
            locale: None,
            time_zone: None,
            last_at: None,
            heard_at: None,
            upload: None,
            seen_at: now,
            recent: Vec::new(),
            clock_ahead: false,
            whereabouts: Whereabouts::default(),
            taken_from: None,
        }
    }

    /// Notes that a check-in of that time by the phone's clock came at the server's `now`.
    pub fn hears(&mut self, at: Timestamp, now: Timestamp) {
        self.last_at = Some(at);
        self.heard_at = Some(now);
        self.seen_at = now;
        let lag_ms = now.0.saturating_sub(at.0);
        self.upload = Some(match self.upload {
            Some(upload) if now.since(upload.began_at) <= UPLOAD_MAX => Upload {
                lag_max_ms: upload.lag_max_ms.max(lag_ms),
                ..upload
            },
            _ => Upload {
                began_at: now,
                lag_max_ms: lag_ms,
            },
        });
    }

    /// How far the phone's clock, as its latest check-in told it, is behind the server's: by the network's delay, by hours
    /// when it sends what it kept while it was offline.
    fn lag_ms(&self) -> i64 {
        let (Some(heard), Some(last)) = (self.heard_at, self.last_at) else {
            return 0;
        };
        heard.0.saturating_sub(last.0)
    }

    /// What the phone's clock says at the server's `now`: it goes on from its latest check-in.
    pub fn clock(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_sub(self.lag_ms()))
    }

    /// How long the next check-ins may wait on the phone, by how long the latest ones did, and half as much again: some
    /// phones send what they hear in bundles.
    fn waits_ms(&self) -> i64 {
        let waited_ms = self
            .upload
            .map_or(0, |upload| upload.lag_max_ms.saturating_sub(self.lag_ms()));
        waited_ms.saturating_add(waited_ms / 2).clamp(0, WAITS_MAX.0)
    }

    /// How far time alone may decide at the server's `now`, by the phone's clock: what it has heard since may be on its
    /// way.
    pub fn decided_until(&self, now: Timestamp) -> Timestamp {
        Timestamp(self.clock(now).0.saturating_sub(self.waits_ms()))
    }

    /// When time alone may decide what comes due at `at` by the phone's clock, by the server's.
    pub fn decided_at(&self, at: Timestamp) -> Timestamp {
        Timestamp(self.server_time(at).0.saturating_add(self.waits_ms()))
    }

    /// What the server's clock says when the phone's says `at`.
    pub fn server_time(&self, at: Timestamp) -> Timestamp {
        Timestamp(at.0.saturating_add(self.lag_ms()))
    }
}

/// Puts `cause` into a ring of recent inputs; false when it is there already.
pub(super) fn remember(recent: &mut Vec<u64>, cause: &CauseId) -> bool {
    let fingerprint = cause.fingerprint();
    if recent.contains(&fingerprint) {
        return false;
    }
    if recent.len() >= RECENT_CAUSES_MAX {
        recent.remove(0);
    }
    recent.push(fingerprint);
    true
}
