//! Tokens that all servers of an installation use together.

use std::{fmt, ops::RangeInclusive};

use async_trait::async_trait;

use super::StoreError;
use crate::domain::time::Timestamp;

/// A provider token that was made here or by another server on the same store. It lets its bearer send pushes for an
/// hour, to devices whose addresses are in the same store.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedToken {
    /// The token. A secret.
    pub text: String,
    /// When it was made, by its maker's clock.
    pub made_at: Timestamp,
}

impl fmt::Debug for SharedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedToken")
            .field("made_at", &self.made_at)
            .finish_non_exhaustive()
    }
}

/// What servers agree about with one exchange, so that a provider sees one token of them all.
#[async_trait]
pub trait SharedTokens: Send + Sync {
    /// Keeps `ours` under that name unless one made within `fresh` is there, and gives the one that is kept.
    async fn share_token(
        &self,
        name: &str,
        ours: SharedToken,
        fresh: RangeInclusive<Timestamp>,
    ) -> Result<SharedToken, StoreError>;
}
