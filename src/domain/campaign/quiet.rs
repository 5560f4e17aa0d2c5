//! Hours in which customers are left alone.

use super::daily::{DailySpan, ZoneChoice, Zones};
use crate::domain::{
    json_reader::{Node, Refusal},
    time::Timestamp,
};

/// Hours in which customers are left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    /// When.
    pub span: DailySpan,
    /// By whose clock.
    pub zone: ZoneChoice,
    /// What becomes of a push that falls into them.
    pub then: Then,
}

/// What becomes of a push that falls into quiet hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is not sent.
    Drop,
    /// It is looked at again when they are over.
    Defer,
}

impl Then {
    pub(super) const NAMES: [(&str, Self); 2] = [("drop", Self::Drop), ("defer", Self::Defer)];

    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Defer => "defer",
        }
    }
}

impl QuietHours {
    /// Reads `{"from": "22:00", "until": "08:00", "timeZone": "customer", "then": "defer"}`. The zone is the customer's and
    /// a push is dropped unless they are given.
    pub(in crate::domain) fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        node.only(&["from", "until", "timeZone", "then"])?;
        Ok(Self {
            span: DailySpan::read(&node.required("from")?, &node.required("until")?)?,
            zone: node
                .field("timeZone")?
                .map_or(Ok(ZoneChoice::Customer), |zone| ZoneChoice::read(&zone))?,
            then: node
                .field("then")?
                .map_or(Ok(Then::Drop), |then| then.one_of(&Then::NAMES))?,
        })
    }

    /// When they end, if they hold the instant.
    pub fn end(&self, now: Timestamp, zones: &Zones) -> Option<Timestamp> {
        self.span.ends_after(now, zones.choose(Some(self.zone)), |_| true)
    }
}
