//! Who follows what.

use super::{
    Engine, EngineError,
    records::{Change, Write},
};
use crate::domain::{
    customer::TOPICS_MAX,
    ids::{SubjectId, Topic, UserId, WorkspaceId},
    record::Record,
};

/// Customers changed in one round trip.
const PAGE: usize = 256;

/// A list is longer than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a customer follows at most {TOPICS_MAX} topics")]
pub struct TooManyTopics;

/// What became of one follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// Follows now, and did not before.
    Added,
    /// Did before.
    Unchanged,
}

impl Engine {
    /// Lets a customer, who is made when new, follow a topic, or no longer.
    pub async fn set_topic(
        &self,
        workspace: &WorkspaceId,
        user: &UserId,
        topic: &Topic,
        follows: bool,
    ) -> Result<Result<(), TooManyTopics>, EngineError> {
        self.records
            .change(workspace, &SubjectId::User(user.clone()), |record, _| {
                if follows {
                    return match follow(record, topic) {
                        Ok(Followed::Added) => Change::new(Ok(()), Write::Record),
                        Ok(Followed::Unchanged) => Change::new(Ok(()), Write::Nothing),
                        Err(error) => Change::new(Err(error), Write::Nothing),
                    };
                }
                let changed = record.profile.topics.remove(topic);
                Change::new(Ok(()), if changed { Write::Record } else { Write::Nothing })
            })
            .await
    }

    /// Lets many customers, who are made when new, follow a topic. What became of each; one that fails leaves the others
    /// alone.
    pub async fn follow_many(
        &self,
        workspace: &WorkspaceId,
        users: &[UserId],
        topic: &Topic,
    ) -> Vec<Result<Result<Followed, TooManyTopics>, EngineError>> {
        let mut all = Vec::with_capacity(users.len());
        for page in users.chunks(PAGE) {
            let subjects: Vec<SubjectId> = page.iter().cloned().map(SubjectId::User).collect();
            let outcomes = self.records.change_each(workspace, &subjects, |_, record, _| {
                let outcome = follow(record, topic);
                let write = if outcome == Ok(Followed::Added) {
                    Write::Record
                } else {
                    Write::Nothing
                };
                Change::new(outcome, write)
            });
            let outcomes = outcomes.await.into_iter();
            all.extend(outcomes.map(|outcome| outcome.map(|changed| changed.output)));
        }
        all
    }
}

fn follow(record: &mut Record, topic: &Topic) -> Result<Followed, TooManyTopics> {
    let topics = &mut record.profile.topics;
    if topics.contains(topic) {
        return Ok(Followed::Unchanged);
    }
    if topics.len() >= TOPICS_MAX {
        return Err(TooManyTopics);
    }
    topics.insert(topic.clone());
    Ok(Followed::Added)
}
