//! How a campaign came to its verdict: each thing that was asked, the answer, and what was seen.

use serde::{Deserialize, Serialize};

use super::rule::Explained;

/// One thing that was asked of a campaign at an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was asked.
    pub check: CheckKind,
    /// Whether it lets the campaign speak.
    pub holds: bool,
    /// What was seen, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saw: Option<String>,
    /// The rule with what each part of it saw, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Explained>,
}

/// What may be asked, in the order in which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// Whether it is triggered.
    Trigger,
    /// Whether it is active.
    Status,
    /// Whether the customer is where the campaign wants them.
    Presence,
    /// Whether no other device of the customer makes this no event.
    OtherDevice,
    /// Whether the ladder's step is to be told.
    Ladder,
    /// Whether a push is still worth something.
    ValidFor,
    /// Whether the campaign runs at this time.
    Schedule,
    /// Whether the place is open.
    OpeningHours,
    /// Whether the customer is meant.
    Audience,
    /// Whether one of its offers fits.
    Offer,
    /// Whether the customer allows pushes.
    Consent,
    /// Whether there is a device to push.
    Device,
    /// Whether its cooldown is over.
    Cooldown,
    /// Whether a cap leaves room.
    Cap,
    /// Whether the latest push is long enough ago.
    MinimumGap,
    /// Whether the customer may be disturbed at this time.
    QuietHours,
    /// Whether the customer isn't held out.
    Holdout,
    /// Whether it is the best one.
    Arbitration,
    /// Whether there is room for it to wait.
    Waiting,
}

impl Check {
    /// How large it is: one, and one for each part of its rule.
    pub fn size(&self) -> usize {
        1 + self.rule.as_ref().map_or(0, Explained::size)
    }
}
