//! Devices that report without having registered: apps that others wrote, which know their user and nothing of Beckon.

use super::{
    Engine, EngineError,
    records::{Change, Write},
};
use crate::domain::{
    customer::Device,
    decide,
    delivery::Platform,
    ids::{DeviceId, SubjectId, UserId, WorkspaceId},
    presence::ExitReason,
};

impl Engine {
    /// Makes a device of a customer, without a push token. One that somebody has by now stays as it is.
    pub async fn put_tracker(
        &self,
        workspace: &WorkspaceId,
        user: &UserId,
        device: &DeviceId,
        platform: Option<Platform>,
    ) -> Result<(), EngineError> {
        self.records.forget_owner(workspace, device);
        let owners = self.records.owners(workspace, std::slice::from_ref(device)).await?;
        if owners.iter().any(Option::is_some) {
            return Ok(());
        }
        let subject = SubjectId::User(user.clone());
        let now = self.clock.now();
        let catalogue = self.catalogues.of(workspace);
        let context = self.context(workspace, &subject, now, &catalogue);
        self.records
            .change(workspace, &subject, |record, _| {
                let mut facts = Vec::new();
                if let Some(oldest) = record.makes_room_for(device) {
                    facts = decide::end_visits(record, Some(&oldest), ExitReason::DeviceMoved, context);
                }
                let known = record.device(device).cloned();
                let mut device = known.unwrap_or_else(|| Device::new(device.clone(), now));
                device.platform = platform.or(device.platform);
                let claims = vec![device.id.clone()];
                let forgotten = record.put_device(device);
                decide::schedule(record, context);
                Change {
                    facts: facts.into_iter().map(|fact| (None, fact)).collect(),
                    first_claims: claims,
                    releases: forgotten.into_iter().collect(),
                    ..Change::new((), Write::Record)
                }
            })
            .await
    }
}
