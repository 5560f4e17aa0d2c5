//! A customer: what the owner's systems know about the person, and the devices that reach them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use serde_json::{Map, Value};

use super::{
    delivery::{Platform, PushTarget},
    ids::{BrandId, CauseId, DeviceId, SubjectId, Topic},
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

/// Most brands of which one customer says what they are allowed.
pub const CONSENT_BRANDS_MAX: usize = 100;

/// Most topics that one customer follows.
pub const TOPICS_MAX: usize = 1000;

/// What the customer allows. `None`: never asked, which allows. What is refused for all brands is refused for each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consent {
    /// Being pushed.
    pub push: Option<bool>,
    /// Being located.
    pub location: Option<bool>,
    /// Offers by profile.
    pub personalisation: Option<bool>,
    /// What is allowed to single brands, at most [`CONSENT_BRANDS_MAX`].
    #[serde(default)]
    pub brands: BTreeMap<BrandId, BrandConsent>,
}

/// What the customer allows one brand. Where somebody is concerns all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BrandConsent {
    /// Being pushed.
    pub push: Option<bool>,
    /// Offers by profile.
    pub personalisation: Option<bool>,
}

/// What consent is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Being pushed.
    Push,
    /// Being located.
    Location,
    /// Offers by profile.
    Personalisation,
}

impl Consent {
    /// What the customer has said; `None`: nothing.
    pub fn to(&self, purpose: Purpose, brand: Option<&BrandId>) -> Option<bool> {
        let brand = brand
            .and_then(|brand| self.brands.get(brand))
            .copied()
            .unwrap_or_default();
        let (of_all, of_brand) = match purpose {
            Purpose::Push => (self.push, brand.push),
            Purpose::Location => (self.location, None),
            Purpose::Personalisation => (self.personalisation, brand.personalisation),
        };
        match (of_all, of_brand) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (of_all, of_brand) => of_brand.or(of_all),
        }
    }

    /// Whether nothing is refused.
    pub fn allows(&self, purpose: Purpose, brand: Option<&BrandId>) -> bool {
        self.to(purpose, brand) != Some(false)
    }

    /// Takes over what `newer` says and keeps the rest.
    pub fn update(&mut self, newer: &Self) {
        self.push = newer.push.or(self.push);
        self.location = newer.location.or(self.location);
        self.personalisation = newer.personalisation.or(self.personalisation);
        for (brand, newer) in &newer.brands {
            let mine = self.brands.entry(brand.clone()).or_default();
            mine.push = newer.push.or(mine.push);
            mine.personalisation = newer.personalisation.or(mine.personalisation);
        }
    }

    /// Takes over what `other` refuses and this one has said nothing about. Refusals of more brands than may be become
    /// refusals of all.
    pub fn take_refusals(&mut self, other: &Self) {
        let refused = |allowed: &bool| !allowed;
        self.push = self.push.or(other.push.filter(refused));
        self.location = self.location.or(other.location.filter(refused));
        self.personalisation = self.personalisation.or(other.personalisation.filter(refused));
        for (brand, other) in &other.brands {
            let (push, personalisation) = (other.push.filter(refused), other.personalisation.filter(refused));
            if push.is_none() && personalisation.is_none() {
                continue;
            }
            if self.brands.len() >= CONSENT_BRANDS_MAX && !self.brands.contains_key(brand) {
                self.push = push.or(self.push);
                self.personalisation = personalisation.or(self.personalisation);
                continue;
            }
            let mine = self.brands.entry(brand.clone()).or_default();
            mine.push = mine.push.or(push);
            mine.personalisation = mine.personalisation.or(personalisation);
        }
    }
}

/// A JSON object that binary formats hold as text, since they can't hold a value whose type is known only inside it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JsonObject(pub Map<String, Value>);

/// A customer's profile would grow beyond a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProfileTooLarge {
    /// Above [`TRAITS_MAX`] or [`TRAITS_BYTES_MAX`].
    #[error("has {fields} fields of {bytes} bytes, the limits are {TRAITS_MAX} and {TRAITS_BYTES_MAX}")]
    Traits {
        /// How many there would be.
        fields: usize,
        /// How long they would be as JSON.
        bytes: usize,
    },
    /// Above [`CONSENT_BRANDS_MAX`].
    #[error("names {0} brands with those known before, the limit is {CONSENT_BRANDS_MAX}")]
    Brands(usize),
}

impl ProfileTooLarge {
    /// JSON pointer of the field in a profile.
    pub fn pointer(self) -> &'static str {
        match self {
            Self::Traits { .. } => "/traits",
            Self::Brands(_) => "/consent/brands",
        }
    }
}

impl JsonObject {
    /// Refuses more than [`TRAITS_MAX`] fields or [`TRAITS_BYTES_MAX`] bytes of JSON.
    pub fn check_size(&self) -> Result<(), ProfileTooLarge> {
        let bytes = serde_json::to_string(&self.0).map_or(usize::MAX, |text| text.len());
        let fields = self.0.len();
        if fields > TRAITS_MAX || bytes > TRAITS_BYTES_MAX {
            Err(ProfileTooLarge::Traits { fields, bytes })
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
    /// BCP 47 tag of the language they read; it counts more than a device's.
    pub locale: Option<String>,
    /// IANA name of the zone they live in; it counts where a device tells none.
    pub time_zone: Option<String>,
    /// Whether every decision about them tells how it came about.
    pub debug: bool,
}

impl Profile {
    /// Refuses what is beyond the limits.
    pub fn check_size(&self) -> Result<(), ProfileTooLarge> {
        let brands = self.consent.brands.len();
        if brands > CONSENT_BRANDS_MAX {
            return Err(ProfileTooLarge::Brands(brands));
        }
        self.traits.check_size()
    }

    /// The language to write in: the customer's own, else that of the device that is written to.
    pub fn locale<'a>(&'a self, device: Option<&'a Device>) -> Option<&'a str> {
        self.locale
            .as_deref()
            .or(device.and_then(|device| device.locale.as_deref()))
    }

    /// The zone of the customer's clock: where the device is, since people travel, else where they live.
    pub fn time_zone<'a>(&'a self, device: Option<&'a Device>) -> Option<&'a str> {
        device
            .and_then(|device| device.time_zone.as_deref())
            .or(self.time_zone.as_deref())
    }
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
