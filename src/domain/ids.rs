//! Names of things: validated, cheap to clone, one type each, so that a user id can't be passed for a device id.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest text id, in bytes.
pub const ID_BYTES_MAX: usize = 200;

/// Longest push token, in bytes: Apple's are 64 to 200 hex digits, Google names no limit.
pub const PUSH_TOKEN_BYTES_MAX: usize = 4096;

/// Why a text can't be an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing, or only blanks.
    #[error("must not be empty")]
    Empty,
    /// More bytes than such an id may have.
    #[error("is {bytes} bytes long, the limit is {bytes_max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A control character (line feed, NUL, ...).
    #[error("holds a control character")]
    Control,
}

fn check_id(text: &str, bytes_max: usize) -> Result<(), IdError> {
    if text.trim().is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > bytes_max {
        return Err(IdError::TooLong {
            bytes: text.len(),
            bytes_max,
        });
    }
    if text.chars().any(char::is_control) {
        return Err(IdError::Control);
    }
    Ok(())
}

macro_rules! text_ids {
    ($($(#[$doc:meta])* $name:ident: $bytes_max:expr),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("Takes a text of 1 to `", stringify!($bytes_max), "` bytes without control characters.")]
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                let text = text.as_ref();
                check_id(text, $bytes_max)?;
                Ok(Self(Arc::from(text)))
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )+};
}

text_ids! {
    /// A tenant; nothing crosses it.
    WorkspaceId: ID_BYTES_MAX,
    /// A merchant inside a workspace.
    BrandId: ID_BYTES_MAX,
    /// A person, as the owner's systems name them.
    UserId: ID_BYTES_MAX,
    /// An app installation.
    DeviceId: ID_BYTES_MAX,
    /// A campaign.
    CampaignId: ID_BYTES_MAX,
    /// First half of a geofence's identity: what kind of place it is.
    Tag: ID_BYTES_MAX,
    /// Second half of a geofence's identity: which one.
    ExternalId: ID_BYTES_MAX,
    /// One uploaded geofence file.
    SetName: ID_BYTES_MAX,
    /// Something that customers follow, such as `flight:CA1501/2026-11-22`.
    Topic: ID_BYTES_MAX,
    /// A kind of products, as the owner's systems name it.
    Category: ID_BYTES_MAX,
    /// What is sold, as the owner's systems name it and templates show it.
    Product: ID_BYTES_MAX,
    /// What names one input (a check-in, an outside event) for idempotency.
    CauseId: ID_BYTES_MAX,
    /// A bundle id (iOS) or package name (Android).
    AppId: ID_BYTES_MAX,
    /// A provider's address of one app installation. Secret enough never to be logged.
    PushToken: PUSH_TOKEN_BYTES_MAX,
}

impl SetName {
    /// The set of geofences that came one by one, without a file.
    pub fn singles() -> Self {
        Self(Arc::from("singles"))
    }
}

impl DeviceId {
    /// None comes after it in the order of bytes.
    pub fn last() -> Self {
        Self(Arc::from("\u{10ffff}".repeat(ID_BYTES_MAX / '\u{10ffff}'.len_utf8())))
    }
}

impl CauseId {
    /// 64-bit fingerprint kept in the record's ring of recent inputs (FNV-1a, stable for ever).
    pub fn fingerprint(&self) -> u64 {
        self.0.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

/// Whose record it is: a known user, or a device that nobody has logged in on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SubjectId {
    /// A customer known by the owner's systems.
    User(UserId),
    /// A customer known only by the device.
    Anonymous(DeviceId),
}

impl SubjectId {
    /// The form that stores use as a key: `u:` or `d:` and the id.
    pub fn to_key(&self) -> String {
        match self {
            Self::User(id) => format!("u:{id}"),
            Self::Anonymous(id) => format!("d:{id}"),
        }
    }

    /// Reads what [`SubjectId::to_key`] wrote.
    pub fn from_key(key: &str) -> Option<Self> {
        match key.split_at_checked(2)? {
            ("u:", id) => UserId::new(id).ok().map(Self::User),
            ("d:", id) => DeviceId::new(id).ok().map(Self::Anonymous),
            _ => None,
        }
    }

    /// The user id, where the customer is known.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::User(id) => Some(id),
            Self::Anonymous(_) => None,
        }
    }
}

/// A geofence's identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GeofenceId {
    /// What kind of place it is.
    pub tag: Tag,
    /// Which one of that kind.
    pub external_id: ExternalId,
}

impl std::fmt::Display for GeofenceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.tag, self.external_id)
    }
}

/// Names one delivery. The same campaign, customer and episode always give the same id (UUID version 5), so one
/// episode can't make two deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeliveryId(pub Uuid);

/// Names one event. The same input always gives the same id (UUID version 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId(pub Uuid);

const DELIVERY_NAMESPACE: Uuid = Uuid::from_u128(0x0b1d_c5a4_5d4c_5a0e_9f0e_6e2f_7a11_0001);
const SHARE_NAMESPACE: Uuid = Uuid::from_u128(0x0b1d_c5a4_5d4c_5a0e_9f0e_6e2f_7a11_0003);
const EVENT_NAMESPACE: Uuid = Uuid::from_u128(0x0b1d_c5a4_5d4c_5a0e_9f0e_6e2f_7a11_0002);

/// Joins the parts unambiguously: each is preceded by its length.
fn name_of(namespace: &Uuid, parts: &[&str]) -> Uuid {
    let mut name = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        name.extend_from_slice(&(part.len() as u32).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(namespace, &name)
}

/// A number from 0 to below 1 that follows from the parts alone and is even over them (the first bits of a SHA-1).
pub(super) fn place_in_shares(parts: &[&str]) -> f64 {
    share_place(&name_of(&SHARE_NAMESPACE, parts))
}

fn share_place(name: &Uuid) -> f64 {
    /// As many as a double holds; the bits that say which UUID it is come after them.
    const BITS: u32 = 48;
    let (high, _) = name.as_u64_pair();
    (high >> (u64::BITS - BITS)) as f64 / (1_u64 << BITS) as f64
}

impl DeliveryId {
    /// Derives the id from what makes a delivery one of its kind.
    pub fn derive(workspace: &WorkspaceId, campaign: &CampaignId, subject: &SubjectId, episode: EventId) -> Self {
        Self(name_of(
            &DELIVERY_NAMESPACE,
            &[
                workspace.as_str(),
                campaign.as_str(),
                &subject.to_key(),
                &episode.0.to_string(),
            ],
        ))
    }
}

impl EventId {
    /// A number from 0 to below 1 that is even over events, by which a share of them is chosen.
    pub fn place_in_shares(self) -> f64 {
        share_place(&self.0)
    }

    /// Derives the id from what makes an event one of its kind: `parts` are its type and its place.
    pub fn derive(workspace: &WorkspaceId, who: &str, cause: &str, parts: &[&str]) -> Self {
        let mut all = vec![workspace.as_str(), who, cause];
        all.extend_from_slice(parts);
        Self(name_of(&EVENT_NAMESPACE, &all))
    }
}

impl std::fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_what_breaks_logs_and_keys() {
        assert_eq!(UserId::new("  "), Err(IdError::Empty));
        assert_eq!(UserId::new("a\nb"), Err(IdError::Control));
        assert_eq!(
            UserId::new("x".repeat(201)),
            Err(IdError::TooLong {
                bytes: 201,
                bytes_max: 200
            })
        );
        assert_eq!(
            UserId::new("张伟").map(|id| id.as_str().to_owned()),
            Ok("张伟".to_owned())
        );
    }

    #[test]
    fn derived_ids_tell_apart_what_concatenation_would_not() {
        assert_ne!(
            name_of(&EVENT_NAMESPACE, &["ab", "c"]),
            name_of(&EVENT_NAMESPACE, &["a", "bc"])
        );
    }

    #[test]
    fn subject_keys_round_trip() {
        for key in ["u:li-wei", "d:u:phone"] {
            assert_eq!(
                SubjectId::from_key(key).map(|subject| subject.to_key()),
                Some(key.to_owned())
            );
        }
        assert_eq!(SubjectId::from_key("x"), None);
    }
}
