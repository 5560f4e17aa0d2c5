//! Devices that change hands.
//!
//! Two records can't change in one commit. So the first commit gives the device to its new customer, with all that an
//! anonymous one before was sent, and notes in the device whose it was. Then what the one before has learned meanwhile
//! is taken over; the device is taken out there, if it is still as it was taken over; the note goes. Each of it may be done
//! again, by the next one who comes across the note: a registration, a check-in, a timer.

use super::{
    Engine, EngineError,
    records::{Change, Write},
};
use crate::domain::{
    decide,
    ids::{DeviceId, SubjectId, WorkspaceId},
    presence::{ExitReason, Whereabouts},
    record::Record,
};

/// How often what the customer before has learned meanwhile is taken over.
const TRIES_MAX: usize = 20;

impl Engine {
    /// Whose the device is now.
    pub(super) async fn owner_of(
        &self,
        workspace: &WorkspaceId,
        device: &DeviceId,
    ) -> Result<Option<SubjectId>, EngineError> {
        self.records.forget_owner(workspace, device);
        let owners = self.records.owners(workspace, std::slice::from_ref(device)).await?;
        Ok(owners.into_iter().next().flatten())
    }

    /// Ends what was begun with each device of the record.
    pub(super) async fn finish_moves(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        record: &Record,
    ) -> Result<(), EngineError> {
        for device in record.moving() {
            self.finish_move(workspace, subject, device).await?;
        }
        Ok(())
    }

    /// Takes the device from the customer before, if that has not been done to the end.
    pub(super) async fn finish_move(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        device: &DeviceId,
    ) -> Result<(), EngineError> {
        let record = self.records.get(workspace, subject).await?;
        let moved = record.as_ref().and_then(|record| record.device(device));
        let Some(from) = moved.and_then(|moved| moved.taken_from.clone()) else {
            return Ok(());
        };
        for _ in 0..TRIES_MAX {
            let before = match self.records.get(workspace, &from).await {
                Err(EngineError::Record(error)) => {
                    tracing::error!(%error, "a customer's record is unreadable; their device is taken without it");
                    None
                }
                before => before?,
            };
            let Some(before) = before.filter(|before| before.device(device).is_some()) else {
                return self.forget_move(workspace, subject, device, &from).await;
            };
            self.adopt(workspace, subject, device, &from, &before).await?;
            if self.take_adopted(workspace, &from, device, &before).await? {
                return self.forget_move(workspace, subject, device, &from).await;
            }
        }
        Err(EngineError::Contended)
    }

    /// Gives a customer what the one before knows, check-ins of the meantime included. Of a known one it is only which
    /// check-ins have been there.
    async fn adopt(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        device: &DeviceId,
        from: &SubjectId,
        before: &Record,
    ) -> Result<(), EngineError> {
        let catalogue = self.catalogues.of(workspace);
        let context = self.context(workspace, subject, self.clock.now(), &catalogue);
        self.records
            .change(workspace, subject, |record, _| {
                let (Some(known), Some(taken)) = (record.device_mut(device), before.device(device)) else {
                    return Change::new((), Write::Nothing);
                };
                let mut changed = known.last_at < taken.last_at;
                if changed {
                    known.last_at = taken.last_at;
                    known.heard_at = taken.heard_at;
                    known.upload = taken.upload;
                    known.recent.clone_from(&taken.recent);
                    known.whereabouts = match from {
                        SubjectId::Anonymous(_) => taken.whereabouts.clone(),
                        SubjectId::User(_) => Whereabouts::default(),
                    };
                }
                if from.user().is_none() {
                    let known = record.clone();
                    record.adopt(before);
                    changed |= *record != known;
                }
                if !changed {
                    return Change::new((), Write::Nothing);
                }
                let mut facts = Vec::new();
                if record.profile.consent.location == Some(false) {
                    facts = decide::end_visits(record, None, ExitReason::Consent, context);
                }
                decide::schedule(record, context);
                Change {
                    facts: facts.into_iter().map(|fact| (None, fact)).collect(),
                    ..Change::new((), Write::Record)
                }
            })
            .await
    }

    /// Notes that nothing is left to be taken over.
    async fn forget_move(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        device: &DeviceId,
        from: &SubjectId,
    ) -> Result<(), EngineError> {
        self.records
            .change(workspace, subject, |record, _| {
                let known = record.device_mut(device);
                let Some(known) = known.filter(|known| known.taken_from.as_ref() == Some(from)) else {
                    return Change::new((), Write::Nothing);
                };
                known.taken_from = None;
                Change::new((), Write::Record)
            })
            .await
    }

    /// Takes the device out of the record of the one before; false when that has gone on since it was taken over.
    async fn take_adopted(
        &self,
        workspace: &WorkspaceId,
        from: &SubjectId,
        device: &DeviceId,
        adopted: &Record,
    ) -> Result<bool, EngineError> {
        if from.user().is_some() {
            self.take_device(workspace, from, device, true).await?;
            return Ok(true);
        }
        self.records
            .change(workspace, from, |record, exists| {
                if *record == *adopted {
                    self.without_device(workspace, from, device, false, record)
                } else {
                    Change::new(!exists, Write::Nothing)
                }
            })
            .await
    }

    /// Takes a device out of a customer's record; false when it isn't there. Its visits end if they don't go on elsewhere.
    pub(super) async fn take_device(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        device: &DeviceId,
        ends_visits: bool,
    ) -> Result<bool, EngineError> {
        self.records
            .change(workspace, subject, |record, _| {
                self.without_device(workspace, subject, device, ends_visits, record)
            })
            .await
    }

    /// An anonymous customer without the device is nobody and goes too.
    fn without_device(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        device: &DeviceId,
        ends_visits: bool,
        record: &mut Record,
    ) -> Change<bool> {
        let catalogue = self.catalogues.of(workspace);
        let context = self.context(workspace, subject, self.clock.now(), &catalogue);
        let facts = if ends_visits {
            decide::end_visits(record, Some(device), ExitReason::DeviceMoved, context)
        } else {
            Vec::new()
        };
        if record.remove_device(device).is_none() {
            return Change::new(false, Write::Nothing);
        }
        decide::schedule(record, context);
        let nobody = subject.user().is_none() && record.devices.is_empty();
        let write = if nobody { Write::Delete } else { Write::Record };
        Change {
            facts: facts.into_iter().map(|fact| (None, fact)).collect(),
            releases: vec![device.clone()],
            ..Change::new(true, write)
        }
    }

    /// Takes a device out of the record of a customer who no longer owns it: what a registration that broke off in the
    /// middle left behind.
    pub(super) async fn release_device(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        device: &DeviceId,
    ) -> Result<(), EngineError> {
        let owner = self.owner_of(workspace, device).await?;
        if owner.as_ref() == Some(subject) {
            return Ok(());
        }
        if let Some(owner) = owner {
            self.finish_move(workspace, &owner, device).await?;
        }
        let ends_visits = subject.user().is_some();
        self.take_device(workspace, subject, device, ends_visits).await?;
        Ok(())
    }
}
