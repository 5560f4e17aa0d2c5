//! Provider tokens that all nodes use together, each under a key that ends with it.

use std::ops::RangeInclusive;

use async_trait::async_trait;

use super::{RedisStore, scripts::Arguments};
use crate::{
    domain::time::Timestamp,
    engine::ports::{SharedToken, SharedTokens, StoreError},
};

/// No provider token is good for longer.
const KEPT_MS: u64 = 3_600_000;

#[async_trait]
impl SharedTokens for RedisStore {
    async fn share_token(
        &self,
        name: &str,
        ours: SharedToken,
        fresh: RangeInclusive<Timestamp>,
    ) -> Result<SharedToken, StoreError> {
        let mut arguments = Arguments::default();
        arguments
            .add(&ours.text)
            .number(ours.made_at.0)
            .number(fresh.start().0)
            .number(fresh.end().0)
            .number(KEPT_MS);
        let key = self.keys.token(name);
        let (text, made_at): (String, i64) = self.scripts.share_token.run(&self.link, &key, &arguments).await?;
        Ok(SharedToken {
            text,
            made_at: Timestamp(made_at),
        })
    }
}
