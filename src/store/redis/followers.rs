//! Followers of topics: in each partition a sorted set for each topic, changed by the very commit that changes the
//! customer's record. Readers put the partitions together.

use futures_util::future::join_all;
use redis::cmd;

use super::{
    RedisStore,
    link::Failure,
    merge::{Page, merge, share},
};
use crate::{
    domain::ids::{SubjectId, Topic, WorkspaceId},
    engine::ports::StoreError,
};

impl RedisStore {
    pub(super) async fn list_followers(
        &self,
        workspace: &WorkspaceId,
        topic: &Topic,
        after: Option<&SubjectId>,
        limit: usize,
    ) -> Result<Vec<SubjectId>, StoreError> {
        let set = format!("fo:{workspace}\0{topic}");
        let mut members = self
            .members(&set, after.map(SubjectId::to_key).as_deref(), limit)
            .await?;
        members.truncate(limit);
        members
            .into_iter()
            .map(|key| SubjectId::from_key(&key).ok_or_else(|| StoreError::Damaged(format!("subject `{key}`"))))
            .collect()
    }

    /// Members of a set that every partition has a part of, in order: `limit` of them, or a few more.
    pub(super) async fn members(
        &self,
        set: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let mut found: Vec<String> = Vec::new();
        let mut after = after.map(str::to_owned);
        while found.len() < limit {
            let count = share(limit, self.keys.count());
            let first = after.as_ref().map_or("-".to_owned(), |after| format!("({after}"));
            let pages = join_all((0..self.keys.count()).map(async |partition| {
                let mut range = cmd("ZRANGE");
                range.arg(format!("{}:{set}", self.keys.partition(partition)));
                range.arg(&first).arg("+").arg("BYLEX").arg("LIMIT").arg(0).arg(count);
                let items: Vec<String> = self.link.ask(&range).await?;
                let has_more = items.len() == count;
                Ok(Page { items, has_more })
            }))
            .await
            .into_iter()
            .collect::<Result<Vec<_>, Failure>>()?;
            let page = merge(pages, String::clone);
            found.extend(page.items);
            after = found.last().cloned();
            if !page.has_more {
                break;
            }
        }
        Ok(found)
    }

    pub(super) async fn number_of_followers(&self, workspace: &WorkspaceId, topic: &Topic) -> Result<u64, StoreError> {
        self.number_of_members(&format!("fo:{workspace}\0{topic}")).await
    }

    /// How many members a set has over all partitions.
    pub(super) async fn number_of_members(&self, set: &str) -> Result<u64, StoreError> {
        let counts = join_all((0..self.keys.count()).map(async |partition| {
            let mut count = cmd("ZCARD");
            count.arg(format!("{}:{set}", self.keys.partition(partition)));
            self.link.ask::<u64>(&count).await
        }));
        let mut sum = 0;
        for count in counts.await {
            sum += count?;
        }
        Ok(sum)
    }
}
