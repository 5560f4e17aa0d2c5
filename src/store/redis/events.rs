//! Outside events: kept until everybody was told. One node tells one event at a time; if it dies, another goes on.

use redis::cmd;

use super::{RedisStore, commit::to_json, keys::join, scripts::Arguments};
use crate::{
    domain::{
        event::OutsideEvent,
        ids::{CauseId, SubjectId, WorkspaceId},
        time::Timestamp,
    },
    engine::ports::{FanOut, StoreError},
};

/// An event is one node's for so long after it was taken or told further.
const LEASE_MS: u64 = 10_000;
/// Pending events that are looked through for some that are nobody's.
const SCANNED_MAX: usize = 1024;

impl RedisStore {
    pub(super) async fn keep_event(
        &self,
        workspace: &WorkspaceId,
        event: &OutsideEvent,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut arguments = Arguments::default();
        arguments
            .add(join(workspace.as_str(), event.id.as_str()))
            .add(to_json(event)?)
            .number(at.0);
        let added: i64 = self
            .scripts
            .put_event
            .run(&self.link, &self.keys.events(), &arguments)
            .await?;
        Ok(added == 1)
    }

    pub(super) async fn untold_events(&self, limit: usize) -> Result<Vec<FanOut>, StoreError> {
        let mut arguments = Arguments::default();
        arguments
            .add(self.node)
            .number(limit)
            .number(LEASE_MS)
            .number(SCANNED_MAX);
        let rows: Vec<(String, Vec<u8>, String)> = self
            .scripts
            .pending_events
            .run(&self.link, &self.keys.events(), &arguments)
            .await?;
        let mut pending = Vec::with_capacity(rows.len());
        for (name, body, after) in rows {
            if let Some(fan_out) = read(&name, &body, &after) {
                pending.push(fan_out);
            } else {
                tracing::error!(name, "an outside event is unreadable and was given up");
                let mut give_up = cmd("ZREM");
                give_up.arg(format!("{}:pending", self.keys.events())).arg(name);
                let _: i64 = self.link.ask(&give_up).await?;
            }
        }
        Ok(pending)
    }

    pub(super) async fn tell_further(
        &self,
        workspace: &WorkspaceId,
        event: &CauseId,
        after: Option<&SubjectId>,
    ) -> Result<(), StoreError> {
        let mut arguments = Arguments::default();
        arguments
            .add(join(workspace.as_str(), event.as_str()))
            .add(after.map(SubjectId::to_key).unwrap_or_default())
            .number(self.kept.as_millis());
        self.scripts
            .advance_event
            .run::<i64>(&self.link, &self.keys.events(), &arguments)
            .await?;
        Ok(())
    }
}

fn read(name: &str, body: &[u8], after: &str) -> Option<FanOut> {
    Some(FanOut {
        workspace: WorkspaceId::new(name.split_once('\0')?.0).ok()?,
        event: serde_json::from_slice(body).ok()?,
        after: match after {
            "" => None,
            key => Some(SubjectId::from_key(key)?),
        },
    })
}
