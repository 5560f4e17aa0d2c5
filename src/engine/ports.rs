//! What the engine asks of the outside.

use async_trait::async_trait;
use tokio::time::Instant;

use crate::domain::{
    delivery::{Outcome, Push},
    time::Timestamp,
};

/// The only clock.
pub trait Clock: Send + Sync {
    /// What time it is.
    fn now(&self) -> Timestamp;
}

/// Sends pushes. Hides which protocol a provider speaks.
#[async_trait]
pub trait PushSender: Send + Sync {
    /// Makes one request and says what it came to. Ends by `deadline`, whatever the peer does.
    async fn send(&self, push: &Push, deadline: Instant) -> Outcome;
}
