//! Endpoints that are told what happens.

use async_trait::async_trait;
use rusqlite::{Row, params};

use super::{SqliteStore, control::workspace_from};
use crate::{
    domain::{ids::WorkspaceId, time::Timestamp},
    engine::ports::{StoreError, StoredWebhook, WebhookStore},
};

fn read(row: &Row<'_>) -> rusqlite::Result<StoredWebhook> {
    Ok(StoredWebhook {
        id: row.get(0)?,
        workspace: workspace_from(row.get_ref(1)?.as_str()?)?,
        version: row.get::<_, i64>(2)? as u64,
        due_at: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        body: row.get(4)?,
    })
}

#[async_trait]
impl WebhookStore for SqliteStore {
    async fn put_webhook(&self, webhook: &StoredWebhook) -> Result<(), StoreError> {
        let webhook = webhook.clone();
        self.writer
            .write(move |connection| {
                connection
                    .execute(
                        "INSERT INTO webhook (id, workspace, version, due_at, body) VALUES (?, ?, 1, ?, ?)",
                        params![
                            webhook.id,
                            webhook.workspace.as_str(),
                            webhook.due_at.map(|at| at.0),
                            webhook.body
                        ],
                    )
                    .map(drop)
            })
            .await
    }

    async fn webhooks(&self, workspace: &WorkspaceId) -> Result<Vec<StoredWebhook>, StoreError> {
        let workspace = workspace.clone();
        self.read(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT id, workspace, version, due_at, body FROM webhook WHERE workspace = ? ORDER BY id",
            )?;
            select.query_map([workspace.as_str()], read)?.collect()
        })
        .await
    }

    async fn lease_webhooks(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<StoredWebhook>, StoreError> {
        // A look first: most of the time none is due, and then nothing is written.
        let due = self
            .read(move |connection| {
                connection
                    .prepare_cached("SELECT count(*) FROM webhook WHERE due_at <= ?")?
                    .query_row([now.0], |row| row.get::<_, i64>(0))
            })
            .await?;
        if due == 0 {
            return Ok(Vec::new());
        }
        self.writer
            .write(move |connection| {
                let mut lease = connection.prepare_cached(
                    "UPDATE webhook SET version = version + 1, due_at = ?
                     WHERE id IN (SELECT id FROM webhook WHERE due_at <= ? ORDER BY due_at LIMIT ?)
                     RETURNING id, workspace, version, due_at, body",
                )?;
                lease.query_map(params![until.0, now.0, limit as i64], read)?.collect()
            })
            .await
    }

    async fn change_webhook(&self, webhook: &StoredWebhook) -> Result<bool, StoreError> {
        let webhook = webhook.clone();
        self.writer
            .write(move |connection| {
                connection
                    .prepare_cached(
                        "UPDATE webhook SET version = version + 1, due_at = ?, body = ? WHERE id = ? AND version = ?",
                    )?
                    .execute(params![
                        webhook.due_at.map(|at| at.0),
                        webhook.body,
                        webhook.id,
                        webhook.version as i64
                    ])
                    .map(|changed| changed == 1)
            })
            .await
    }

    async fn delete_webhook(&self, workspace: &WorkspaceId, id: &str) -> Result<bool, StoreError> {
        let (workspace, id) = (workspace.clone(), id.to_owned());
        self.writer
            .write(move |connection| {
                connection
                    .execute(
                        "DELETE FROM webhook WHERE workspace = ? AND id = ?",
                        [workspace.as_str(), id.as_str()],
                    )
                    .map(|deleted| deleted == 1)
            })
            .await
    }
}
