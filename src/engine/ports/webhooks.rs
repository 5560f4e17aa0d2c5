//! What the engine asks of the outside for webhooks: a store that hands each endpoint to one node at a time, and a caller.

use std::fmt;

use async_trait::async_trait;
use tokio::time::Instant;

use super::StoreError;
use crate::domain::{ids::WorkspaceId, time::Timestamp};

/// An endpoint as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredWebhook {
    /// Its name.
    pub id: String,
    /// Tenant.
    pub workspace: WorkspaceId,
    /// Counted up at each change and lease, from 1.
    pub version: u64,
    /// When it is to be looked at, or its lease ends; `None`: never.
    pub due_at: Option<Timestamp>,
    /// The endpoint and where it stands, as JSON. It has a secret.
    pub body: String,
}

impl fmt::Debug for StoredWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredWebhook")
            .field("id", &self.id)
            .field("workspace", &self.workspace)
            .field("version", &self.version)
            .field("due_at", &self.due_at)
            .finish_non_exhaustive()
    }
}

/// Endpoints and where they stand.
#[async_trait]
pub trait WebhookStore: Send + Sync {
    /// Adds an endpoint; its version is 1, whatever `webhook` says.
    async fn put_webhook(&self, webhook: &StoredWebhook) -> Result<(), StoreError>;
    /// The workspace's endpoints, by id.
    async fn webhooks(&self, workspace: &WorkspaceId) -> Result<Vec<StoredWebhook>, StoreError>;
    /// Takes up to `limit` due endpoints, the longest due first. They are nobody else's until `until`, when they are due
    /// again.
    async fn lease_webhooks(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<StoredWebhook>, StoreError>;
    /// Writes the endpoint if it still has its version, which counts up; false when somebody else was first.
    async fn change_webhook(&self, webhook: &StoredWebhook) -> Result<bool, StoreError>;
    /// Removes an endpoint; false when there was none.
    async fn delete_webhook(&self, workspace: &WorkspaceId, id: &str) -> Result<bool, StoreError>;
}

/// One call of an endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookCall {
    /// Where to.
    pub url: String,
    /// With what it is signed: `whsec_` and base64.
    pub secret: String,
    /// Names the event; the same when it is told again.
    pub id: String,
    /// When the call is made.
    pub at: Timestamp,
    /// A `CloudEvents` document. It says who was where.
    pub body: String,
}

impl fmt::Debug for WebhookCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookCall")
            .field("url", &self.url)
            .field("id", &self.id)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Why a call did not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookFailure {
    /// The endpoint says that it is gone for good (410).
    #[error("the endpoint answered 410: it is gone")]
    Gone,
    /// Anything else; it may work later.
    #[error("{0}")]
    Failed(String),
}

/// Calls endpoints.
#[async_trait]
pub trait WebhookSender: Send + Sync {
    /// Whether the address may be called at all, in words for who sets it up.
    fn check(&self, url: &str) -> Result<(), String>;
    /// Makes one call. Ends by `deadline`.
    async fn call(&self, call: &WebhookCall, deadline: Instant) -> Result<(), WebhookFailure>;
}
