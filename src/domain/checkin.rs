//! What a phone reports: a fix, the beacons in range, a scanned code.

use super::{
    beacon::BeaconSighting,
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
