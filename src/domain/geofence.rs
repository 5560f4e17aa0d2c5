//! A place: a shape on the map, and optionally beacons and codes that stand for it.

use serde::{Deserialize, Serialize};

use super::{
    beacon::BeaconPattern,
    ids::{BrandId, GeofenceId, SetName},
    metadata::Metadata,
    operating_hours::OperatingHours,
    time::DurationMs,
    zone::Zone,
};
use crate::geo::Shape;

/// Longest [`Geofence::dwell_threshold`].
pub const DWELL_THRESHOLD_MAX: DurationMs = DurationMs::from_secs(7 * 24 * 3600);

/// What [`PresenceOptions::enter_at`] and [`PresenceOptions::exit_at`] may be. Below one half nothing can be found by
/// looking for what holds the fix, and no fix with an error is surer than the upper end.
pub const PROBABILITIES: std::ops::RangeInclusive<f64> = 0.5..=0.999;

/// What [`PresenceOptions::beacon_rssi_min_dbm`] may be.
pub const RSSI_DBM: std::ops::RangeInclusive<i16> = -127..=0;

/// How presence is told of one geofence. `None`: as in the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PresenceOptions {
    /// P(inside) that lets a visit begin, in [`PROBABILITIES`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enter_at: Option<f64>,
    /// P(outside) that ends one, in [`PROBABILITIES`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_at: Option<f64>,
    /// So many fixes in a row outside end it, too; at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_after_fixes: Option<u8>,
    /// Weaker beacons don't count here, in [`RSSI_DBM`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beacon_rssi_min_dbm: Option<i16>,
    /// Whether going through between two fixes is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crossed: Option<bool>,
}

impl PresenceOptions {
    /// In its box, unless it says nothing.
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// A geofence as it was uploaded, validated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Geofence {
    /// Its identity, unique in the workspace.
    #[serde(flatten)]
    pub id: GeofenceId,
    /// The uploaded file that it came with.
    pub set: SetName,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where it is.
    pub shape: Shape,
    /// A disabled one is kept and matches nothing.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub enabled: bool,
    /// How long a visit must last to count as a stay; above zero and at most [`DWELL_THRESHOLD_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell_threshold: Option<DurationMs>,
    /// When it is open, in its own local time; `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operating_hours: Option<OperatingHours>,
    /// The merchant it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<BrandId>,
    /// Beacons that stand for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beacons: Vec<BeaconPattern>,
    /// Codes (printed at the door, on a cup) that stand for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<String>,
    /// How presence is told here, where that differs from the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<Box<PresenceOptions>>,
    /// The owner's own fields; they come back in events and templates.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

impl Geofence {
    /// An enabled geofence of the set for single ones with nothing but an identity and a shape.
    pub fn new(id: GeofenceId, shape: Shape) -> Self {
        Self {
            id,
            set: SetName::singles(),
            description: None,
            shape,
            enabled: true,
            dwell_threshold: None,
            operating_hours: None,
            brand: None,
            beacons: Vec::new(),
            codes: Vec::new(),
            presence: None,
            metadata: Metadata::default(),
        }
    }

    /// Its time zone: the IANA name in `timeZone` of its metadata, else that of its middle.
    pub fn zone(&self) -> Zone {
        let own = self.metadata.field("timeZone");
        let named = own.as_ref().and_then(|name| Zone::named(name.as_str()?).ok());
        named.unwrap_or_else(|| Zone::at(self.shape.enclosing_circle().0))
    }
}

fn yes() -> bool {
    true
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if hands a reference"
)]
fn is_yes(value: &bool) -> bool {
    *value
}
