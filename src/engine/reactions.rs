//! What became of pushes on phones, as apps tell.

use super::{
    Engine, EngineError,
    ports::{DeliveryRow, ReactionNoted},
};
use crate::domain::{
    event::{Fact, ReactionKind},
    time::Timestamp,
};

/// What a phone tells of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// What.
    pub kind: ReactionKind,
    /// When, by the phone's clock.
    pub at: Timestamp,
    /// Which button.
    pub action: Option<String>,
}

impl Engine {
    /// Keeps what became of a push as a fact; the same told again changes nothing.
    pub async fn react(&self, row: &DeliveryRow, reaction: Reaction) -> Result<ReactionNoted, EngineError> {
        let delivery = &row.delivery;
        let name = match &reaction.action {
            Some(action) => format!("{} {action}", reaction.kind.as_str()),
            None => reaction.kind.as_str().to_owned(),
        };
        let fact = Fact::Reaction {
            delivery: delivery.id,
            user: delivery.subject.user().cloned(),
            device: delivery.device.clone(),
            campaign: delivery.campaign.clone(),
            at: reaction.at,
            kind: reaction.kind,
            action: reaction.action,
        };
        let hot = &self.store.hot;
        let noted = hot
            .note_reaction(&delivery.workspace, &delivery.subject, delivery.id, &name, &fact)
            .await?;
        if noted == ReactionNoted::Now {
            self.metrics.reaction(reaction.kind);
            self.streams.ring();
        }
        Ok(noted)
    }
}
