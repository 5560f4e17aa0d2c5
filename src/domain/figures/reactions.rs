//! Which campaigns' pushes were opened or dismissed when.

use serde::{Deserialize, Serialize};

use super::tally::{Bounds, Key};
use crate::domain::{event::ReactionKind, ids::CampaignId};

/// What is remembered of reactions.
pub(super) const BOUNDS: Bounds = Bounds {
    keys: 200,
    times_of_key: 100,
    times: 500,
};

/// What somebody did with a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Answer {
    /// Tapped it.
    Opened,
    /// Swiped it away.
    Dismissed,
}

impl Answer {
    /// What a phone told, where it counts: that a push was shown says nothing of the customer, and a button comes with
    /// what it does.
    pub fn of(kind: ReactionKind) -> Option<Self> {
        match kind {
            ReactionKind::Opened => Some(Self::Opened),
            ReactionKind::Dismissed => Some(Self::Dismissed),
            ReactionKind::Delivered | ReactionKind::Action => None,
        }
    }
}

/// What somebody did with a campaign's pushes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reacted {
    /// Which campaign.
    pub campaign: CampaignId,
    /// What.
    pub answer: Answer,
}

impl Key for Reacted {
    type Packed = (Option<CampaignId>, Answer);

    fn pack(&self, before: Option<&Self>) -> Self::Packed {
        let same = before.is_some_and(|before| before.campaign == self.campaign);
        ((!same).then(|| self.campaign.clone()), self.answer)
    }

    fn unpack((campaign, answer): Self::Packed, before: Option<&Self>) -> Option<Self> {
        Some(Self {
            campaign: campaign.or_else(|| before.map(|before| before.campaign.clone()))?,
            answer,
        })
    }
}
