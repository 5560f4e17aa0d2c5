//! The customers of leased rows.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::join_all;

use super::{Dispatcher, Row};
use crate::{
    domain::{
        delivery::Delivery,
        ids::{DeviceId, SubjectId, WorkspaceId},
        record::Record,
    },
    engine::EngineError,
};

type Customer = Result<Option<Arc<Record>>, EngineError>;

impl Dispatcher {
    /// The record of each row's customer, each for itself: where a part of the store is away, the others go on. One who no
    /// longer owns the row's device has none, nor has one whose record is unreadable: it must not hold up the others.
    pub(super) async fn customers_of(&self, rows: &[Row]) -> Vec<Customer> {
        let mut by_workspace: BTreeMap<&WorkspaceId, Vec<usize>> = BTreeMap::new();
        for (index, row) in rows.iter().enumerate() {
            by_workspace
                .entry(&row.leased.delivery.workspace)
                .or_default()
                .push(index);
        }
        let found = join_all(by_workspace.into_iter().map(async |(workspace, indexes)| {
            let deliveries: Vec<&Delivery> = indexes.iter().map(|&index| &rows[index].leased.delivery).collect();
            let customers = self.customers_in(workspace, &deliveries).await;
            (indexes, customers)
        }))
        .await;
        let mut all: Vec<Customer> = rows.iter().map(|_| Ok(None)).collect();
        for (indexes, customers) in found {
            for (index, customer) in indexes.into_iter().zip(customers) {
                all[index] = customer;
            }
        }
        all
    }

    async fn customers_in(&self, workspace: &WorkspaceId, deliveries: &[&Delivery]) -> Vec<Customer> {
        let devices: Vec<DeviceId> = deliveries.iter().map(|delivery| delivery.device.clone()).collect();
        let owners = self.engine.records.each_owner(workspace, &devices).await;
        let mut all: Vec<Customer> = deliveries.iter().map(|_| Ok(None)).collect();
        let (mut owned, mut lost) = (Vec::new(), Vec::new());
        for (index, owner) in owners.into_iter().enumerate() {
            match owner {
                Ok(owner) if owner.as_ref() == Some(&deliveries[index].subject) => owned.push(index),
                Ok(_) => lost.push(index),
                Err(error) => all[index] = Err(error),
            }
        }
        let released = join_all(lost.iter().map(|&index| {
            let Delivery { subject, device, .. } = deliveries[index];
            self.engine.release_device(workspace, subject, device)
        }))
        .await;
        for (index, released) in lost.into_iter().zip(released) {
            all[index] = released.map(|()| None);
        }
        let subjects: Vec<SubjectId> = owned.iter().map(|&index| deliveries[index].subject.clone()).collect();
        let customers: Vec<Customer> = match self.engine.records.get_many(workspace, &subjects).await {
            Ok(records) => records.into_iter().map(Ok).collect(),
            Err(_) => join_all(subjects.iter().map(|subject| self.customer(workspace, subject))).await,
        };
        for (index, customer) in owned.into_iter().zip(customers) {
            all[index] = customer;
        }
        all
    }

    async fn customer(&self, workspace: &WorkspaceId, subject: &SubjectId) -> Customer {
        match self.engine.records.get(workspace, subject).await {
            Err(EngineError::Record(error)) => {
                tracing::error!(%error, "a record is unreadable; the pushes of that customer end unsent");
                Ok(None)
            }
            customer => customer,
        }
    }
}
