//! What a phone reports: a fix, the beacons in range, a scanned code.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ids::{CauseId, DeviceId},
    time::Timestamp,
};
use crate::geo::Position;

/// Most beacons in one check-in.
pub const BEACONS_MAX: usize = 100;

/// One report of one device, already validated.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckIn {
    /// Names the check-in for idempotency; made by the server when the phone gave none.
    pub id: CauseId,
    /// Who reports.
    pub device: DeviceId,
    /// When it was so, by the phone's clock; the server's clock when the phone gave none.
    pub at: Timestamp,
    /// A position, if the phone has one.
    pub location: Option<Fix>,
    /// Beacons in range. `None` says nothing about beacons, an empty list says that there are none.
    pub beacons: Option<Vec<BeaconSighting>>,
    /// A code that the customer has just scanned.
    pub code: Option<String>,
    /// Whether the phone wants to know which regions to monitor next.
    pub regions: bool,
}

/// A position with what the phone knows about its quality.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fix {
    /// Where.
    pub position: Position,
    /// Radius in metres within which the phone is with 68 % probability (Android's definition). `None`: the
    /// position is taken at its word.
    pub accuracy_m: Option<f64>,
    /// Floor of a building, 0 = ground.
    pub floor: Option<i32>,
}

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

impl std::fmt::Display for BeaconId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::IBeacon { uuid, major, minor } => write!(f, "{uuid}/{major}/{minor}"),
            Self::Eddystone { namespace, instance } => {
                write!(f, "{}/{}", hex_bytes::to_text(namespace), hex_bytes::to_text(instance))
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
}
