//! What servers share, where there is one server only.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

use crate::{
    domain::time::Timestamp,
    engine::ports::{SharedToken, SharedTokens, StoreError},
};

/// Tokens in memory. There are as many as credentials in the settings.
#[derive(Default)]
pub struct OneProcess(Mutex<HashMap<String, SharedToken>>);

#[async_trait]
impl SharedTokens for OneProcess {
    async fn share_token(
        &self,
        name: &str,
        ours: SharedToken,
        fresh: RangeInclusive<Timestamp>,
    ) -> Result<SharedToken, StoreError> {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = tokens.get(name).filter(|kept| fresh.contains(&kept.made_at)) {
            return Ok(kept.clone());
        }
        tokens.insert(name.to_owned(), ours.clone());
        Ok(ours)
    }
}
