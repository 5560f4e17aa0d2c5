//! One stay of one device in one geofence, and what becomes of it.

use serde::{Deserialize, Serialize};

use super::{Estimate, MISSING_MAX, OutsideRow, PresenceRules};
use crate::domain::{
    ids::GeofenceId,
    time::{DurationMs, Timestamp},
};

/// What says that the device is there. The order is the rank: the greatest one that holds is the visit's evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// A fix inside.
    Gps,
    /// A beacon of the place is heard.
    Beacon,
    /// A code of the place was scanned.
    Code,
}

impl Evidence {
    /// The name in JSON and in stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gps => "gps",
            Self::Beacon => "beacon",
            Self::Code => "code",
        }
    }

    /// Reads [`Evidence::as_str`] back.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Gps, Self::Beacon, Self::Code]
            .into_iter()
            .find(|evidence| evidence.as_str() == name)
    }
}

/// One stay of one device in one geofence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Visit {
    /// Where.
    pub geofence: GeofenceId,
    /// Since when, by the phone's clock.
    pub since: Timestamp,
    /// When anything said last that the device is there.
    pub seen_at: Timestamp,
    /// Whether the position says so.
    pub gps: bool,
    /// When a beacon of the place was heard last.
    pub beacon_at: Option<Timestamp>,
    /// When a code of the place was scanned last.
    pub code_at: Option<Timestamp>,
    /// Where the device is beside the edge; `None` until there is a fix.
    pub estimate: Option<Estimate>,
    /// Fixes in a row outside.
    pub outside: OutsideRow,
    /// The longest stay that has been told, of this visit or of the one that it carries on.
    pub dwelled: DurationMs,
    /// When a stay of this visit itself was told last.
    pub dwelled_at: Option<Timestamp>,
    /// Since when the catalogue lacks the geofence; `None`: it has it.
    pub missing: Option<Missing>,
}

/// Since when a geofence is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// By the server's clock.
    since: Timestamp,
    /// By the phone's.
    at: Timestamp,
}

impl Missing {
    /// When it is taken for removed, by the server's clock.
    pub(super) fn ends_at(self) -> Timestamp {
        self.since.plus(MISSING_MAX)
    }
}

/// A change of presence.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// What.
    pub kind: TransitionKind,
    /// When, by the phone's clock.
    pub at: Timestamp,
    /// Where.
    pub geofence: GeofenceId,
    /// The strongest evidence: that it rests on when entered, that it rested on when exited.
    pub evidence: Evidence,
    /// How sure, 1 to 3.
    pub confidence: u8,
    /// How long the visit was so far, for dwelled and exited.
    pub duration: Option<DurationMs>,
    /// Why it was exited, unless the device was seen to leave.
    pub reason: Option<ExitReason>,
    /// The longest stay that was told of the visit.
    pub dwelled: DurationMs,
    /// When the visit began.
    pub since: Timestamp,
    /// Whether time alone brought it about, so that it is the same whoever notices.
    pub timed: bool,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransitionKind {
    /// Came in.
    Entered,
    /// Has stayed for so long.
    Dwelled,
    /// Went out.
    Exited,
    /// Went through between two fixes.
    Crossed,
}

/// Why a visit ended without anything seen outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    /// Its beacon was not heard any more, or its code is old.
    EvidenceEnded,
    /// Nothing was heard of the visit for `presence.silent_after`.
    Silent,
    /// The geofence was removed or disabled.
    GeofenceRemoved,
    /// The device belongs to another customer now, or was forgotten.
    DeviceMoved,
    /// The customer doesn't want to be located any more.
    Consent,
}

impl Visit {
    pub(super) fn begin(geofence: &GeofenceId, at: Timestamp) -> Self {
        Self {
            geofence: geofence.clone(),
            since: at,
            seen_at: at,
            gps: false,
            beacon_at: None,
            code_at: None,
            estimate: None,
            outside: OutsideRow::default(),
            dwelled: DurationMs(0),
            dwelled_at: None,
            missing: None,
        }
    }

    /// The strongest evidence that holds; `None` when the visit is over.
    pub fn evidence(&self) -> Option<Evidence> {
        if self.code_at.is_some() {
            Some(Evidence::Code)
        } else if self.beacon_at.is_some() {
            Some(Evidence::Beacon)
        } else if self.gps {
            Some(Evidence::Gps)
        } else {
            None
        }
    }

    /// Whether the visit still stands at `at` by the phone's clock, should no timer have come yet.
    pub fn holds_at(&self, at: Timestamp, rules: PresenceRules) -> bool {
        self.clone().pass(at, &[], rules, &mut Vec::new())
    }

    /// Whether the visit goes on although the catalogue lacks its geofence. Nothing comes due meanwhile.
    pub(super) fn is_kept_without_geofence(
        &mut self,
        until: Timestamp,
        now: Timestamp,
        transitions: &mut Vec<Transition>,
    ) -> bool {
        let noticed = Missing {
            since: now,
            at: until.max(self.seen_at),
        };
        let missing = *self.missing.get_or_insert(noticed);
        if now < missing.ends_at() {
            return true;
        }
        let rested_on = self.evidence().unwrap_or(Evidence::Gps);
        transitions.push(self.exited(missing.at, rested_on, 3, Some(ExitReason::GeofenceRemoved), false));
        false
    }

    pub(super) fn transition(
        &self,
        kind: TransitionKind,
        at: Timestamp,
        evidence: Evidence,
        confidence: u8,
    ) -> Transition {
        Transition {
            kind,
            at,
            geofence: self.geofence.clone(),
            evidence,
            confidence,
            duration: None,
            reason: None,
            dwelled: self.dwelled,
            since: self.since,
            timed: false,
        }
    }

    pub(super) fn exited(
        &self,
        at: Timestamp,
        evidence: Evidence,
        confidence: u8,
        reason: Option<ExitReason>,
        timed: bool,
    ) -> Transition {
        Transition {
            duration: Some(at.since(self.since)),
            reason,
            timed,
            ..self.transition(TransitionKind::Exited, at, evidence, confidence)
        }
    }

    pub(super) fn strengthen(&mut self, evidence: Evidence, at: Timestamp) {
        self.seen_at = at;
        match evidence {
            Evidence::Gps => self.gps = true,
            Evidence::Beacon => self.beacon_at = Some(at),
            Evidence::Code => self.code_at = Some(at),
        }
    }
}
