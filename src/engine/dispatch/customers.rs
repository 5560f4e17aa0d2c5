//! The customers of leased rows.

use std::{collections::HashMap, sync::Arc};

use super::{Dispatcher, Row};
use crate::{
    domain::{
        ids::{DeviceId, SubjectId, WorkspaceId},
        record::Record,
    },
    engine::EngineError,
};

impl Dispatcher {
    /// The record of each row's customer. One who no longer owns the row's device has none, nor has one whose record is
    /// unreadable: it must not hold up the others.
    pub(super) async fn records_of(&self, rows: &[Row]) -> Result<Vec<Option<Arc<Record>>>, EngineError> {
        let mut by_workspace: HashMap<&WorkspaceId, Vec<usize>> = HashMap::new();
        for (index, row) in rows.iter().enumerate() {
            by_workspace
                .entry(&row.leased.delivery.workspace)
                .or_default()
                .push(index);
        }
        let mut found = vec![None; rows.len()];
        for (workspace, indexes) in by_workspace {
            let device = |index: usize| rows[index].leased.delivery.device.clone();
            let subject = |index: usize| rows[index].leased.delivery.subject.clone();
            let devices: Vec<DeviceId> = indexes.iter().map(|&index| device(index)).collect();
            let owners = self.engine.records.owners(workspace, &devices).await?;
            let mut owned = Vec::with_capacity(indexes.len());
            for (index, owner) in indexes.into_iter().zip(owners) {
                if owner.as_ref() == Some(&rows[index].leased.delivery.subject) {
                    owned.push(index);
                } else {
                    self.engine
                        .release_device(workspace, &subject(index), &device(index))
                        .await?;
                }
            }
            let subjects: Vec<SubjectId> = owned.iter().map(|&index| subject(index)).collect();
            let records = match self.engine.records.get_many(workspace, &subjects).await {
                Err(EngineError::Record(_)) => self.records_one_by_one(workspace, &subjects).await?,
                records => records?,
            };
            for (index, record) in owned.into_iter().zip(records) {
                found[index] = record;
            }
        }
        Ok(found)
    }

    async fn records_one_by_one(
        &self,
        workspace: &WorkspaceId,
        subjects: &[SubjectId],
    ) -> Result<Vec<Option<Arc<Record>>>, EngineError> {
        let mut records = Vec::with_capacity(subjects.len());
        for subject in subjects {
            records.push(match self.engine.records.get(workspace, subject).await {
                Err(EngineError::Record(error)) => {
                    tracing::error!(%error, "a record is unreadable; the pushes of that customer end unsent");
                    None
                }
                record => record?,
            });
        }
        Ok(records)
    }
}
