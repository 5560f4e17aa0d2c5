//! Customers who get nothing, so that others can be compared with them.
//!
//! Who is held out follows from a hash of the salt and the customer alone: the same on every server, at every time, and
//! independent of other salts. A greater share holds out the same customers and more.

use crate::domain::{
    ids::{CampaignId, SubjectId, WorkspaceId, place_in_shares},
    json_reader::{Node, Refusal},
};

/// The share of customers who get nothing, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Share(f64);

/// By which share a customer is held out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldoutScope {
    /// The campaign's own.
    Campaign,
    /// The workspace's, over all campaigns.
    Workspace,
}

impl HoldoutScope {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Campaign => "campaign",
            Self::Workspace => "workspace",
        }
    }
}

impl Share {
    /// One in a hundred.
    pub(super) const HUNDREDTH: Self = Self(0.01);

    /// Reads a number from 0 to 1.
    pub(in crate::domain) fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        let share = node.number()?;
        if (0.0..=1.0).contains(&share) {
            Ok(Self(share))
        } else {
            Err(node.refuse("must be a share from 0 to 1, such as 0.1"))
        }
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }

    /// Whether the customer belongs to it. `campaign`: whose share it is; `None`: the workspace's.
    pub fn holds_out(self, workspace: &WorkspaceId, campaign: Option<&CampaignId>, subject: &SubjectId) -> bool {
        if self.0 <= 0.0 {
            return false;
        }
        let salt = match campaign {
            None => ["workspace", ""],
            Some(campaign) => ["campaign", campaign.as_str()],
        };
        place_in_shares(&[workspace.as_str(), salt[0], salt[1], &subject.to_key()]) < self.0
    }
}
