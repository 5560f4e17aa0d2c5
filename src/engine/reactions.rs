//! What became of pushes on phones, as apps tell.

use super::{
    Engine, EngineError,
    ports::{DeliveryRow, ReactionNoted},
    records::{Change, Write},
};
use crate::domain::{
    delivery::Delivery,
    event::{Fact, ReactionKind},
    figures::{Answer, Reacted},
    ids::{CauseId, SubjectId},
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
    /// Keeps what became of a push as a fact and folds it into the customer's figures; the same told again changes nothing.
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
            action: reaction.action.clone(),
        };
        let hot = &self.store.hot;
        let noted = hot
            .note_reaction(&delivery.workspace, &delivery.subject, delivery.id, &name, &fact)
            .await?;
        if noted == ReactionNoted::Now {
            self.metrics.reaction(reaction.kind);
            self.streams.ring();
        }
        // Also when it was told before: perhaps that one broke off here.
        if noted != ReactionNoted::TooMany
            && let Some(answer) = Answer::of(reaction.kind)
        {
            self.fold_reaction(delivery, answer, &name, reaction.at).await?;
        }
        Ok(noted)
    }

    /// Counts what the customer did with a push, once: the record remembers the latest ones by name, and each by its time.
    async fn fold_reaction(
        &self,
        delivery: &Delivery,
        answer: Answer,
        name: &str,
        at: Timestamp,
    ) -> Result<(), EngineError> {
        let Ok(cause) = CauseId::new(format!("{} {name}", delivery.id)) else {
            return Ok(());
        };
        let now = self.clock.now();
        let fold = |subject: SubjectId| {
            let cause = cause.clone();
            async move {
                self.records
                    .change(&delivery.workspace, &subject, |record, exists| {
                        if !exists || !record.is_folded() || !record.remember(&cause) {
                            return Change::new(exists, Write::Nothing);
                        }
                        let reacted = Reacted {
                            campaign: delivery.campaign.clone(),
                            answer,
                        };
                        record.figures_mut().note_reaction(reacted, at, now);
                        Change::new(true, Write::Record)
                    })
                    .await
            }
        };
        if fold(delivery.subject.clone()).await? || delivery.subject.user().is_some() {
            return Ok(());
        }
        // An anonymous customer may have logged in since.
        if let Some(owner) = self.owner_of(&delivery.workspace, &delivery.device).await? {
            fold(owner).await?;
        }
        Ok(())
    }
}
