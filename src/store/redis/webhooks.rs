//! Endpoints that are told what happens: all in one slot, for there are few.

use async_trait::async_trait;

use super::{
    RedisStore,
    agenda::score,
    control::{damaged, parse},
    scripts::Arguments,
};
use crate::{
    domain::{ids::WorkspaceId, time::Timestamp},
    engine::ports::{StoreError, StoredWebhook, WebhookStore},
};

/// An endpoint as a script answers: id, version, due or nothing, workspace NUL body.
type Kept = (String, String, String, String);

fn read((id, version, due, body): Kept) -> Result<StoredWebhook, StoreError> {
    let (workspace, body) = body.split_once('\0').ok_or_else(|| damaged("a webhook cut short"))?;
    Ok(StoredWebhook {
        id,
        workspace: WorkspaceId::new(workspace).map_err(damaged)?,
        version: parse(&version)?,
        due_at: score(&due).map(Timestamp),
        body: body.to_owned(),
    })
}

impl RedisStore {
    async fn write_webhook(&self, webhook: &StoredWebhook, expected: u64) -> Result<bool, StoreError> {
        let mut arguments = Arguments::default();
        arguments
            .add(webhook.workspace.as_str())
            .add(&webhook.id)
            .number(expected);
        match webhook.due_at {
            Some(due) => arguments.number(due.0),
            None => arguments.add(""),
        };
        arguments.add(&webhook.body);
        let written: i64 = (self.scripts.put_webhook)
            .run(&self.link, &self.keys.webhooks(), &arguments)
            .await?;
        Ok(written == 1)
    }
}

#[async_trait]
impl WebhookStore for RedisStore {
    async fn put_webhook(&self, webhook: &StoredWebhook) -> Result<(), StoreError> {
        self.write_webhook(webhook, 0).await.map(drop)
    }

    async fn webhooks(&self, workspace: &WorkspaceId) -> Result<Vec<StoredWebhook>, StoreError> {
        let mut arguments = Arguments::default();
        arguments.add(workspace.as_str());
        let kept: Vec<Kept> = (self.scripts.webhooks)
            .run(&self.link, &self.keys.webhooks(), &arguments)
            .await?;
        kept.into_iter().map(read).collect()
    }

    async fn lease_webhooks(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<StoredWebhook>, StoreError> {
        let mut arguments = Arguments::default();
        arguments.number(now.0).number(until.0).number(limit);
        let kept: Vec<Kept> = (self.scripts.lease_webhooks)
            .run(&self.link, &self.keys.webhooks(), &arguments)
            .await?;
        kept.into_iter().map(read).collect()
    }

    async fn change_webhook(&self, webhook: &StoredWebhook) -> Result<bool, StoreError> {
        self.write_webhook(webhook, webhook.version).await
    }

    async fn delete_webhook(&self, workspace: &WorkspaceId, id: &str) -> Result<bool, StoreError> {
        let mut arguments = Arguments::default();
        arguments.add(workspace.as_str()).add(id);
        let deleted: i64 = (self.scripts.delete_webhook)
            .run(&self.link, &self.keys.webhooks(), &arguments)
            .await?;
        Ok(deleted == 1)
    }
}
