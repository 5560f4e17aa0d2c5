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
    engine::{
        Engine, EngineError,
        ports::{FactCursor, FactPage, StoreError},
    },
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
    /// Facts after a place. Those that can't be read are left out: a line in the log and a counter say so.
    pub(in crate::engine) async fn read_facts(
        &self,
        workspace: &WorkspaceId,
        after: Option<&FactCursor>,
        limit: usize,
    ) -> Result<FactPage, EngineError> {
        let page = self.store.hot.facts_after(workspace, after, limit).await?;
        for (place, why) in &page.unreadable {
            self.metrics.fact_unreadable();
            tracing::error!(%workspace, place = place.as_str(), why, "a fact can't be read and is left out");
        }
        Ok(page)
    }

    /// The events among these facts that may be told; `None` when there are no facts.
    pub(in crate::engine) async fn page(
        &self,
        workspace: &WorkspaceId,
        facts: FactPage,
    ) -> Result<Option<Page>, EngineError> {
        let Some(upto) = facts.upto else {
            return Ok(None);
        };
        let events = facts.facts.into_iter().filter_map(|(place, fact)| match fact {
            Fact::Event(event) => Some((place, event)),
            Fact::Decision { .. }
            | Fact::HeldOut { .. }
            | Fact::Delivery { .. }
            | Fact::Reaction { .. }
            | Fact::Redeemed { .. }
            | Fact::Doubted { .. }
            | Fact::TokenDropped { .. } => None,
        });
        let events: Vec<(FactCursor, Event)> = events.collect();
        let consents = self.consents(workspace, &events).await?;
        let told = events.into_iter().zip(consents);
        let allows = |event: &Event, consent: &Option<Consent>| {
            let consent = consent.as_ref();
            consent.is_some_and(|consent| may_be_told(event, consent))
        };
        let told = told.filter(|((_, event), consent)| allows(event, consent));
        Ok(Some(Page {
            events: told.map(|((place, event), _)| (place, Arc::new(event))).collect(),
            upto,
        }))
    }

    /// What the customers of these events allow now; `None` where that can't be read.
    async fn consents(
        &self,
        workspace: &WorkspaceId,
        events: &[(FactCursor, Event)],
    ) -> Result<Vec<Option<Consent>>, EngineError> {
        let devices: Vec<_> = events.iter().map(|(_, event)| event.device_id.clone()).collect();
        let owners = self.records.each_owner(workspace, &devices).await;
        let (mut indexes, mut subjects) = (Vec::new(), Vec::new());
        for (index, ((_, event), owner)) in events.iter().zip(owners).enumerate() {
            // An anonymous customer may have become a known one meanwhile.
            let subject = match (&event.user_id, owner) {
                (Some(user), _) => SubjectId::User(user.clone()),
                (None, Err(error)) if is_unreadable(&error) => {
                    tracing::error!(%error, event = %event.id, "whose device it is can't be read; an event is not told");
                    continue;
                }
                (None, owner) => owner?.unwrap_or_else(|| SubjectId::Anonymous(event.device_id.clone())),
            };
            indexes.push(index);
            subjects.push(subject);
        }
        let mut consents = vec![None; events.len()];
        for (index, consent) in indexes.into_iter().zip(self.consents_of(workspace, &subjects).await?) {
            consents[index] = consent;
        }
        Ok(consents)
    }

    async fn consents_of(
        &self,
        workspace: &WorkspaceId,
        subjects: &[SubjectId],
    ) -> Result<Vec<Option<Consent>>, EngineError> {
        let consent =
            |record: Option<Arc<Record>>| Some(record.map(|record| record.profile.consent.clone()).unwrap_or_default());
        match self.records.get_many(workspace, subjects).await {
            Err(error) if is_unreadable(&error) => {}
            records => return Ok(records?.into_iter().map(consent).collect()),
        }
        // One of them must not hold up the others.
        let mut consents = Vec::with_capacity(subjects.len());
        for subject in subjects {
            consents.push(match self.records.get(workspace, subject).await {
                Err(error) if is_unreadable(&error) => {
                    tracing::error!(%error, "a record is unreadable; what happens to that customer is not told");
                    None
                }
                record => consent(record?),
            });
        }
        Ok(consents)
    }
}

fn is_unreadable(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::Record(_) | EngineError::Store(StoreError::Damaged(_))
    )
}

/// Who does not want to be located is not told of. That the visits have ended because of this is told, so that nobody
/// goes on showing them.
fn may_be_told(event: &Event, consent: &Consent) -> bool {
    let ends_it = event.kind == EventType::Exited && event.reason == Some(ExitReason::Consent);
    consent.location != Some(false) || ends_it
}
