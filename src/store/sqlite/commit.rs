//! A commit: the record is swapped if it still has its version, and the rest is appended, in one transaction or not at all.

use rusqlite::{Connection, OptionalExtension, params};

use super::{outbox, present};
use crate::{
    domain::{
        delivery::Delivery,
        event::Fact,
        ids::{CauseId, SubjectId, WorkspaceId},
    },
    engine::ports::{Commit, CommitOutcome, StoreError},
};

/// A fact, ready to be written.
pub(super) struct FactRow {
    pub(super) workspace: String,
    pub(super) subject: String,
    pub(super) cause: Option<CauseId>,
    pub(super) body: String,
}

/// A commit with everything encoded, so that the writing thread only writes.
pub(super) struct Prepared {
    commit: Commit,
    subject: String,
    deliveries: Vec<(Delivery, String)>,
    facts: Vec<FactRow>,
}

pub(super) fn to_json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Damaged(error.to_string()))
}

impl Prepared {
    pub(super) fn new(mut commit: Commit) -> Result<Self, StoreError> {
        let subject = commit.subject.to_key();
        let deliveries = std::mem::take(&mut commit.deliveries)
            .into_iter()
            .map(|delivery| Ok((delivery.clone(), to_json(&delivery)?)))
            .collect::<Result<_, StoreError>>()?;
        let facts = std::mem::take(&mut commit.facts)
            .into_iter()
            .map(|(cause, fact)| fact_row(&commit.workspace, &commit.subject, cause, &fact))
            .collect::<Result<_, StoreError>>()?;
        Ok(Self {
            commit,
            subject,
            deliveries,
            facts,
        })
    }

    pub(super) fn run(&self, connection: &Connection) -> rusqlite::Result<CommitOutcome> {
        let workspace = self.commit.workspace.as_str();
        for device in &self.commit.first_claims {
            let mut owner =
                connection.prepare_cached("SELECT subject FROM device WHERE workspace = ? AND device = ?")?;
            let owner: Option<String> = owner
                .query_row(params![workspace, device.as_str()], |row| row.get(0))
                .optional()?;
            if owner.is_some_and(|owner| owner != self.subject) {
                return Ok(CommitOutcome::Conflict);
            }
        }
        let Some(version) = self.swap(connection)? else {
            return Ok(CommitOutcome::Conflict);
        };
        for device in self.commit.claims.iter().chain(&self.commit.first_claims) {
            connection
                .prepare_cached("INSERT OR REPLACE INTO device (workspace, device, subject) VALUES (?, ?, ?)")?
                .execute(params![workspace, device.as_str(), self.subject])?;
        }
        for device in &self.commit.releases {
            connection
                .prepare_cached("DELETE FROM device WHERE workspace = ? AND device = ? AND subject = ?")?
                .execute(params![workspace, device.as_str(), self.subject])?;
        }
        for topic in &self.commit.follows {
            connection
                .prepare_cached("INSERT OR IGNORE INTO follower (workspace, topic, subject) VALUES (?, ?, ?)")?
                .execute(params![workspace, topic.as_str(), self.subject])?;
        }
        for topic in &self.commit.unfollows {
            connection
                .prepare_cached("DELETE FROM follower WHERE workspace = ? AND topic = ? AND subject = ?")?
                .execute(params![workspace, topic.as_str(), self.subject])?;
        }
        for change in &self.commit.presence {
            present::change(connection, workspace, &self.subject, change)?;
        }
        for (delivery, body) in &self.deliveries {
            outbox::insert(connection, delivery, body)?;
        }
        for fact in &self.facts {
            insert_fact(connection, fact)?;
        }
        if self.commit.erase {
            self.erase(connection)?;
        }
        Ok(CommitOutcome::Done(version))
    }

    /// Takes out what other tables hold about the customer.
    fn erase(&self, connection: &Connection) -> rusqlite::Result<()> {
        let workspace = self.commit.workspace.as_str();
        connection
            .prepare_cached("DELETE FROM fact WHERE workspace = ? AND subject = ?")?
            .execute(params![workspace, self.subject])?;
        if let Some(user) = self.commit.subject.user() {
            connection
                .prepare_cached("DELETE FROM delivery WHERE workspace = ? AND user = ?")?
                .execute(params![workspace, user.as_str()])?;
        }
        Ok(())
    }

    /// The compare-and-swap itself: the new version, or `None` when another commit was first.
    fn swap(&self, connection: &Connection) -> rusqlite::Result<Option<u64>> {
        let (workspace, expected) = (self.commit.workspace.as_str(), self.commit.expected);
        let wake_at = self.commit.wake_at.map(|at| at.0);
        let changed = match (&self.commit.record, expected) {
            (Some((schema, bytes)), 0) => connection
                .prepare_cached(
                    "INSERT INTO record (workspace, subject, version, schema, bytes, wake_at, wake_leased)
                     VALUES (?, ?, 1, ?, ?, ?, 0) ON CONFLICT DO NOTHING",
                )?
                .execute(params![workspace, self.subject, schema, bytes, wake_at])?,
            (Some((schema, bytes)), _) => {
                let values = params![workspace, self.subject, schema, bytes, expected as i64, wake_at];
                // Most commits leave the wish as it is: the index over it isn't touched then.
                let kept = connection
                    .prepare_cached(
                        "UPDATE record SET version = version + 1, schema = ?3, bytes = ?4
                         WHERE workspace = ?1 AND subject = ?2 AND version = ?5 AND wake_at IS ?6 AND wake_leased = 0",
                    )?
                    .execute(values)?;
                if kept == 1 {
                    return Ok(Some(expected + 1));
                }
                connection
                    .prepare_cached(
                        "UPDATE record SET version = version + 1, schema = ?3, bytes = ?4, wake_at = ?6, wake_leased = 0
                         WHERE workspace = ?1 AND subject = ?2 AND version = ?5",
                    )?
                    .execute(values)?
            }
            (None, _) => connection
                .prepare_cached("DELETE FROM record WHERE workspace = ? AND subject = ? AND version = ?")?
                .execute(params![workspace, self.subject, expected as i64])?,
        };
        Ok((changed == 1).then_some(expected + 1))
    }
}

/// Encodes a fact.
pub(super) fn fact_row(
    workspace: &WorkspaceId,
    subject: &SubjectId,
    cause: Option<CauseId>,
    fact: &Fact,
) -> Result<FactRow, StoreError> {
    Ok(FactRow {
        workspace: workspace.to_string(),
        subject: subject.to_key(),
        cause,
        body: to_json(fact)?,
    })
}

/// Appends a fact.
pub(super) fn insert_fact(connection: &Connection, fact: &FactRow) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO fact (workspace, subject, cause, body) VALUES (?, ?, ?, ?)")?
        .execute(params![
            fact.workspace,
            fact.subject,
            fact.cause.as_ref().map(CauseId::as_str),
            fact.body
        ])
        .map(drop)
}
