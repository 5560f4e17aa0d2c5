//! How far a customer's ladders have come: which step of a delay they have been told of, flight by flight.
//!
//! A step is told at most once for each campaign and topic, whatever the order and repetition of the events: only one that
//! is above all that were told, and not below any that was heard of. What happens after the end tells nothing.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    campaign::{KEPT_MAX, Ladder},
    event::{EventTarget, OutsideEvent},
    ids::{CampaignId, Topic},
    record::Record,
    time::Timestamp,
};

/// Most ladders of one customer; the one not heard of for longest is forgotten.
pub const LADDERS_MAX: usize = 64;

/// One campaign's ladder for one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LadderState {
    campaign: CampaignId,
    /// What it is about: the topic, or the geofence; empty for events about one customer that name none.
    topic: String,
    /// The highest step that was heard of.
    heard: u32,
    /// The highest step that was told.
    told: u32,
    /// Whether it has ended.
    is_over: bool,
    /// When anything was heard of it last, by the server's clock.
    heard_at: Timestamp,
}

/// A step of a ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LadderStep {
    /// What it is about.
    pub topic: String,
    /// Which, from 1.
    pub step: u32,
}

/// Why a step is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untold {
    /// There is none, it was told, or a higher one was heard of.
    NotNew,
    /// The ladder has ended.
    Over,
}

/// What an event's ladder is about. One about a user may name a topic in its fields.
fn topic_of(event: &OutsideEvent) -> String {
    match &event.target {
        EventTarget::User(_) => {
            let named = event.data.get("topic").and_then(Value::as_str);
            let topic = named.and_then(|topic| Topic::new(topic).ok());
            topic.map(|topic| topic.to_string()).unwrap_or_default()
        }
        EventTarget::Topic(topic) => topic.to_string(),
        EventTarget::Geofence(id) => id.to_string(),
    }
}

impl Record {
    /// Notes that an event has brought a ladder to a step.
    pub fn hear_step(&mut self, campaign: &CampaignId, ladder: &Ladder, event: &OutsideEvent, now: Timestamp) {
        let topic = topic_of(event);
        // One that is over is forgotten some time, whatever else comes.
        let is_over = self.ladder(campaign, &topic).is_some_and(|state| state.is_over);
        if let Some(step) = ladder.step(&event.data).filter(|_| !is_over) {
            let state = self.ladder_mut(campaign, topic, now);
            state.heard = state.heard.max(step);
        }
    }

    /// Notes that an event has ended a ladder.
    pub fn end_ladder(&mut self, campaign: &CampaignId, event: &OutsideEvent, now: Timestamp) {
        self.ladder_mut(campaign, topic_of(event), now).is_over = true;
    }

    /// The step that an event is about, if it may be told.
    pub fn step_to_tell(
        &self,
        campaign: &CampaignId,
        ladder: &Ladder,
        event: &OutsideEvent,
    ) -> Result<LadderStep, Untold> {
        let topic = topic_of(event);
        let step = ladder.step(&event.data).ok_or(Untold::NotNew)?;
        match self.ladder(campaign, &topic) {
            Some(state) if state.is_over => Err(Untold::Over),
            Some(state) if step <= state.told || step < state.heard => Err(Untold::NotNew),
            _ => Ok(LadderStep { topic, step }),
        }
    }

    /// Notes that a step was told.
    pub fn tell_step(&mut self, campaign: &CampaignId, step: &LadderStep, now: Timestamp) {
        let state = self.ladder_mut(campaign, step.topic.clone(), now);
        state.heard = state.heard.max(step.step);
        state.told = state.told.max(step.step);
    }

    /// Whether a step that was decided is still worth telling.
    pub fn is_step_live(&self, campaign: &CampaignId, step: &LadderStep) -> bool {
        !self.ladder(campaign, &step.topic).is_some_and(|state| state.is_over)
    }

    /// Takes over the ladders of an anonymous customer.
    pub(super) fn adopt_ladders(&mut self, others: &[LadderState]) {
        for other in others {
            let mine = self.ladder_mut(&other.campaign, other.topic.clone(), other.heard_at);
            mine.heard = mine.heard.max(other.heard);
            mine.told = mine.told.max(other.told);
            mine.is_over |= other.is_over;
        }
    }

    fn ladder(&self, campaign: &CampaignId, topic: &str) -> Option<&LadderState> {
        let mut ladders = self.ladders.iter();
        ladders.find(|state| state.campaign == *campaign && state.topic == topic)
    }

    /// The state, made if it is new. What nothing was heard of for long is forgotten.
    fn ladder_mut(&mut self, campaign: &CampaignId, topic: String, now: Timestamp) -> &mut LadderState {
        let forgotten = now.minus(KEPT_MAX);
        self.ladders.retain(|state| state.heard_at > forgotten);
        let found = self
            .ladders
            .iter()
            .position(|state| state.campaign == *campaign && state.topic == topic);
        // The one that was heard of last stands last.
        let mut state = found.map_or_else(
            || LadderState {
                campaign: campaign.clone(),
                topic,
                heard: 0,
                told: 0,
                is_over: false,
                heard_at: now,
            },
            |index| self.ladders.remove(index),
        );
        state.heard_at = state.heard_at.max(now);
        if self.ladders.len() >= LADDERS_MAX {
            self.ladders.remove(0);
        }
        self.ladders.push(state);
        let last = self.ladders.len() - 1;
        &mut self.ladders[last]
    }
}
