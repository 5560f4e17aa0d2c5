//! What of the facts is told, by what customers allow at that moment.

use std::sync::Arc;

use crate::{
    domain::{
        customer::Consent,
        event::{Event, EventType, Fact},
        ids::{SubjectId, WorkspaceId},
        presence::ExitReason,
        record::Record,
    },
    engine::{Engine, EngineError, ports::FactCursor},
};

/// Events in the order of their places, up to a place.
#[derive(Debug)]
pub struct Page {
    /// What may be told.
    pub events: Vec<(FactCursor, Arc<Event>)>,
    /// Everything up to there is in this page or an earlier one.
    pub upto: FactCursor,
}

impl Engine {
    /// The events among these facts that may be told; `None` when there are no facts.
    pub(in crate::engine) async fn page(
        &self,
        workspace: &WorkspaceId,
        facts: Vec<(FactCursor, Fact)>,
    ) -> Result<Option<Page>, EngineError> {
        let Some(upto) = facts.last().map(|(place, _)| place.clone()) else {
            return Ok(None);
        };
        let events = facts.into_iter().filter_map(|(place, fact)| match fact {
            Fact::Event(event) => Some((place, event)),
            Fact::Decision { .. }
            | Fact::Delivery { .. }
            | Fact::Reaction { .. }
            | Fact::Doubted { .. }
            | Fact::TokenDropped { .. } => None,
        });
        let events: Vec<(FactCursor, Event)> = events.collect();
        let consents = self.consents(workspace, &events).await?;
        let told = events.into_iter().zip(consents);
        let told = told.filter(|((_, event), consent)| may_be_told(event, *consent));
        Ok(Some(Page {
            events: told.map(|((place, event), _)| (place, Arc::new(event))).collect(),
            upto,
        }))
    }

    /// What the customers of these events allow now.
    async fn consents(
        &self,
        workspace: &WorkspaceId,
        events: &[(FactCursor, Event)],
    ) -> Result<Vec<Consent>, EngineError> {
        let devices: Vec<_> = events.iter().map(|(_, event)| event.device_id.clone()).collect();
        let owners = self.records.owners(workspace, &devices).await?;
        // An anonymous customer may have become a known one meanwhile.
        let subjects: Vec<SubjectId> = events
            .iter()
            .zip(owners)
            .map(|((_, event), owner)| match (&event.user_id, owner) {
                (Some(user), _) => SubjectId::User(user.clone()),
                (None, Some(owner)) => owner,
                (None, None) => SubjectId::Anonymous(event.device_id.clone()),
            })
            .collect();
        let records = self.records.get_many(workspace, &subjects).await?;
        let consent = |record: Option<Arc<Record>>| record.map(|record| record.profile.consent);
        Ok(records
            .into_iter()
            .map(|record| consent(record).unwrap_or_default())
            .collect())
    }
}

/// Who does not want to be located is not told of. That the visits have ended because of this is told, so that nobody
/// goes on showing them.
fn may_be_told(event: &Event, consent: Consent) -> bool {
    let ends_it = event.kind == EventType::Exited && event.reason == Some(ExitReason::Consent);
    consent.location != Some(false) || ends_it
}
