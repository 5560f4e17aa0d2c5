//! What every check-in touches.

use async_trait::async_trait;
use redis::cmd;

use super::{RedisStore, facts};
use crate::{
    domain::{
        event::{Event, Fact, OutsideEvent},
        ids::{CauseId, DeliveryId, DeviceId, GeofenceId, SubjectId, Topic, WorkspaceId},
        lane::LanePart,
        pace::{Slot, SlotAsks},
        time::Timestamp,
    },
    engine::ports::{
        Attempt, Commit, CommitOutcome, DeadLetter, DeliveryFilter, DeliveryRow, FactCursor, FactPage, FanOut, Finish,
        HotStore, LeaseAsk, Leased, Present, ReactionNoted, StoreError, StoredRecord,
    },
};

#[async_trait]
impl HotStore for RedisStore {
    async fn load(
        &self,
        workspace: &WorkspaceId,
        subjects: &[SubjectId],
    ) -> Vec<Result<Option<StoredRecord>, StoreError>> {
        self.load_records(workspace, subjects).await
    }

    async fn subjects_of(
        &self,
        workspace: &WorkspaceId,
        devices: &[DeviceId],
    ) -> Vec<Result<Option<SubjectId>, StoreError>> {
        self.owners(workspace, devices).await
    }

    async fn commit(&self, commits: Vec<Commit>) -> Vec<Result<CommitOutcome, StoreError>> {
        self.commit_all(&commits).await
    }

    async fn events_of(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        cause: &CauseId,
    ) -> Result<Vec<Event>, StoreError> {
        self.events_by_cause(workspace, subject, cause).await
    }

    async fn facts_after(
        &self,
        workspace: &WorkspaceId,
        after: Option<&FactCursor>,
        limit: usize,
    ) -> Result<FactPage, StoreError> {
        self.read_facts(workspace, after, limit).await
    }

    async fn facts_of(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        before: Option<&FactCursor>,
        limit: usize,
    ) -> Result<FactPage, StoreError> {
        self.read_facts_of(workspace, subject, before, limit).await
    }

    async fn facts_end(&self, workspace: &WorkspaceId) -> Result<FactCursor, StoreError> {
        self.end_of_facts(workspace).await
    }

    async fn leads_on(&self, workspace: &WorkspaceId, place: &FactCursor) -> Result<bool, StoreError> {
        self.leads_on(workspace, place).await
    }

    fn is_later(&self, place: &FactCursor, than: &FactCursor) -> Result<bool, StoreError> {
        facts::is_later(place, than)
    }

    async fn lease_rows(&self, ask: &LeaseAsk) -> Result<Vec<Leased>, StoreError> {
        self.lease_outbox(ask).await
    }

    async fn begin_attempts(&self, attempts: Vec<Attempt>) -> Result<Vec<bool>, StoreError> {
        self.begin_all(&attempts).await
    }

    async fn finish_each(&self, finishes: Vec<Finish>) -> Vec<Result<(), StoreError>> {
        self.finish_all(&finishes).await
    }

    async fn next_due_but(&self, held: &[LanePart]) -> Result<Option<Timestamp>, StoreError> {
        self.outbox.next(self, held).await
    }

    async fn give_slots(&self, asks: &SlotAsks) -> Result<Vec<Slot>, StoreError> {
        self.slots(asks).await
    }

    async fn outbox_depth(&self) -> Result<u64, StoreError> {
        self.depth().await
    }

    async fn delivery(&self, workspace: &WorkspaceId, id: DeliveryId) -> Result<Option<DeliveryRow>, StoreError> {
        self.find_delivery(workspace, id).await
    }

    async fn deliveries(
        &self,
        workspace: &WorkspaceId,
        filter: DeliveryFilter,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        self.list_deliveries(workspace, &filter, limit).await
    }

    async fn dead_letters(
        &self,
        workspace: &WorkspaceId,
        before: Option<(Timestamp, DeliveryId)>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        self.list_dead_letters(workspace, before, limit).await
    }

    async fn requeue(&self, workspace: &WorkspaceId, id: DeliveryId, at: Timestamp) -> Result<bool, StoreError> {
        self.requeue_row(workspace, id, at).await
    }

    async fn note_reaction(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        delivery: DeliveryId,
        name: &str,
        fact: &Fact,
    ) -> Result<ReactionNoted, StoreError> {
        self.keep_reaction(workspace, subject, delivery, name, fact).await
    }

    async fn lease_wakes(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(WorkspaceId, SubjectId)>, StoreError> {
        let leased: Vec<(usize, String)> = self
            .wakes
            .lease(self, &self.scripts.lease_wakes, (now, until), limit)
            .await?;
        let mut woken = Vec::with_capacity(leased.len());
        for (partition, name) in leased {
            let who = name
                .split_once('\0')
                .and_then(|(workspace, subject)| WorkspaceId::new(workspace).ok().zip(SubjectId::from_key(subject)));
            if who.is_none() {
                tracing::error!(name, "a record's name is unreadable; it is never woken");
                let mut forget = cmd("ZREM");
                forget.arg(format!("{}:tm", self.keys.partition(partition))).arg(name);
                let _: i64 = self.link.ask(&forget).await?;
            }
            woken.extend(who);
        }
        Ok(woken)
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        self.wakes.next(self, &[]).await
    }

    async fn present(
        &self,
        workspace: &WorkspaceId,
        geofence: &GeofenceId,
        after: Option<(&SubjectId, &DeviceId)>,
        limit: usize,
    ) -> Result<Vec<Present>, StoreError> {
        self.list_present(workspace, geofence, after, limit).await
    }

    async fn put_event(
        &self,
        workspace: &WorkspaceId,
        event: &OutsideEvent,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.keep_event(workspace, event, at).await
    }

    async fn pending_events(&self, limit: usize) -> Result<Vec<FanOut>, StoreError> {
        self.untold_events(limit).await
    }

    async fn advance_event(
        &self,
        workspace: &WorkspaceId,
        event: &CauseId,
        after: Option<&SubjectId>,
    ) -> Result<(), StoreError> {
        self.tell_further(workspace, event, after).await
    }

    async fn followers(
        &self,
        workspace: &WorkspaceId,
        topic: &Topic,
        after: Option<&SubjectId>,
        limit: usize,
    ) -> Result<Vec<SubjectId>, StoreError> {
        self.list_followers(workspace, topic, after, limit).await
    }

    async fn count_present(&self, workspace: &WorkspaceId, geofence: &GeofenceId) -> Result<u64, StoreError> {
        self.number_of_present(workspace, geofence).await
    }

    async fn count_followers(&self, workspace: &WorkspaceId, topic: &Topic) -> Result<u64, StoreError> {
        self.number_of_followers(workspace, topic).await
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let mut write = cmd("HSET");
        write.arg(self.keys.meta()).arg("ping").arg(1);
        let _: i64 = self.link.ask(&write).await?;
        Ok(())
    }

    async fn close(&self) {
        self.link.close();
        if let Some(replicas) = &self.replicas {
            replicas.close();
        }
    }
}
