//! Beacons: what a phone hears, and which of them stand for a place.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A beacon's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum BeaconId {
    /// Apple's iBeacon.
    IBeacon {
        /// Proximity UUID.
        uuid: Uuid,
        /// Major value.
        major: u16,
        /// Minor value.
        minor: u16,
    },
    /// Google's Eddystone-UID.
    Eddystone {
        /// 10 bytes as 20 hex digits.
        #[serde(with = "hex_bytes")]
        namespace: [u8; 10],
        /// 6 bytes as 12 hex digits.
        #[serde(with = "hex_bytes")]
        instance: [u8; 6],
    },
}

/// Which beacons stand for a place: one, or all that share the first parts of their identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", try_from = "UncheckedPattern")]
pub enum BeaconPattern {
    /// Apple's iBeacons.
    IBeacon {
        /// Proximity UUID.
        uuid: Uuid,
        /// Major value; `None`: any.
        #[serde(skip_serializing_if = "Option::is_none")]
        major: Option<u16>,
        /// Minor value; `None`: any.
        #[serde(skip_serializing_if = "Option::is_none")]
        minor: Option<u16>,
    },
    /// Google's Eddystone-UIDs.
    Eddystone {
        /// 10 bytes as 20 hex digits.
        #[serde(with = "hex_bytes")]
        namespace: [u8; 10],
        /// 6 bytes as 12 hex digits; `None`: any.
        #[serde(
            skip_serializing_if = "Option::is_none",
            serialize_with = "hex_bytes::serialize_some"
        )]
        instance: Option<[u8; 6]>,
    },
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum UncheckedPattern {
    IBeacon {
        uuid: Uuid,
        major: Option<u16>,
        minor: Option<u16>,
    },
    Eddystone {
        #[serde(with = "hex_bytes")]
        namespace: [u8; 10],
        #[serde(default, deserialize_with = "hex_bytes::deserialize_some")]
        instance: Option<[u8; 6]>,
    },
}

impl TryFrom<UncheckedPattern> for BeaconPattern {
    type Error = &'static str;
    fn try_from(unchecked: UncheckedPattern) -> Result<Self, Self::Error> {
        match unchecked {
            UncheckedPattern::IBeacon {
                major: None,
                minor: Some(_),
                ..
            } => Err("a beacon with `minor` needs `major`, too"),
            UncheckedPattern::IBeacon { uuid, major, minor } => Ok(Self::IBeacon { uuid, major, minor }),
            UncheckedPattern::Eddystone { namespace, instance } => Ok(Self::Eddystone { namespace, instance }),
        }
    }
}

impl From<BeaconId> for BeaconPattern {
    fn from(id: BeaconId) -> Self {
        match id {
            BeaconId::IBeacon { uuid, major, minor } => Self::IBeacon {
                uuid,
                major: Some(major),
                minor: Some(minor),
            },
            BeaconId::Eddystone { namespace, instance } => Self::Eddystone {
                namespace,
                instance: Some(instance),
            },
        }
    }
}

impl BeaconId {
    /// Every pattern that it fits, the narrowest first.
    pub fn patterns(self) -> impl Iterator<Item = BeaconPattern> {
        let narrowest = BeaconPattern::from(self);
        let wider = match self {
            Self::IBeacon { uuid, major, .. } => [
                Some(BeaconPattern::IBeacon {
                    uuid,
                    major: Some(major),
                    minor: None,
                }),
                Some(BeaconPattern::IBeacon {
                    uuid,
                    major: None,
                    minor: None,
                }),
            ],
            Self::Eddystone { namespace, .. } => [
                Some(BeaconPattern::Eddystone {
                    namespace,
                    instance: None,
                }),
                None,
            ],
        };
        std::iter::once(narrowest).chain(wider.into_iter().flatten())
    }
}

impl std::fmt::Display for BeaconPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::IBeacon { uuid, major, minor } => {
                write!(f, "{uuid}")?;
                [major, minor]
                    .into_iter()
                    .flatten()
                    .try_for_each(|value| write!(f, "/{value}"))
            }
            Self::Eddystone { namespace, instance } => {
                f.write_str(&hex_bytes::to_text(namespace))?;
                instance
                    .iter()
                    .try_for_each(|instance| write!(f, "/{}", hex_bytes::to_text(instance)))
            }
        }
    }
}

/// A beacon that the phone hears.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BeaconSighting {
    /// Which.
    pub id: BeaconId,
    /// Received strength in dBm, where the phone tells it.
    pub rssi_dbm: Option<i32>,
}

/// Bytes of fixed length as lower-case hex digits.
mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn to_text(bytes: &[u8]) -> String {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        bytes
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect()
    }

    pub(super) fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_text(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let wrong = || D::Error::custom(format!("must be {} hex digits", N * 2));
        let text = text.strip_prefix("0x").unwrap_or(&text);
        if text.len() != N * 2 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; N];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).map_err(|_| wrong())?;
        }
        Ok(bytes)
    }

    #[expect(clippy::ref_option, reason = "serde hands a reference")]
    pub(super) fn serialize_some<S: Serializer, const N: usize>(
        bytes: &Option<[u8; N]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => serialize(bytes, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize_some<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<Option<[u8; N]>, D::Error> {
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct Bytes<const N: usize>(#[serde(deserialize_with = "deserialize")] [u8; N]);
        Ok(Option::<Bytes<N>>::deserialize(deserializer)?.map(|bytes| bytes.0))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_pattern_may_leave_out_the_last_parts_of_an_identity() {
        let uuid = "74278bda-b644-4520-8f0c-720eaf059935";
        for pattern in [
            json!({"type": "ibeacon", "uuid": uuid}),
            json!({"type": "ibeacon", "uuid": uuid, "major": 7}),
            json!({"type": "ibeacon", "uuid": uuid, "major": 7, "minor": 65535}),
            json!({"type": "eddystone", "namespace": "00112233445566778899"}),
            json!({"type": "eddystone", "namespace": "00112233445566778899", "instance": "aabbccddeeff"}),
        ] {
            let read: BeaconPattern = serde_json::from_value(pattern.clone()).unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), pattern, "{read}");
        }
        let refused = |pattern: Value| {
            serde_json::from_value::<BeaconPattern>(pattern)
                .unwrap_err()
                .to_string()
        };
        let error = refused(json!({"type": "ibeacon", "uuid": uuid, "minor": 1}));
        assert!(error.contains("needs `major`"), "{error}");
        refused(json!({"type": "ibeacon", "uuid": uuid, "major": 70_000}));
        refused(json!({"type": "eddystone", "namespace": "0011"}));
        refused(json!({"type": "eddystone", "namespace": "00112233445566778899", "instance": "zz"}));
    }
}
