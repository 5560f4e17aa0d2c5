//! A device that turned out to be in Apple's other world than it had told.

use super::{
    Engine, EngineError,
    records::{Change, Write},
};
use crate::domain::delivery::{Delivery, Environment, PushTarget};

impl Engine {
    /// Notes it in the customer's record, unless the device has told another token since: further pushes go the right way
    /// at once.
    pub(super) async fn correct_environment(
        &self,
        delivery: &Delivery,
        sent_to: &PushTarget,
        environment: Environment,
    ) -> Result<(), EngineError> {
        self.records
            .change(&delivery.workspace, &delivery.subject, |record, _| {
                let target = record
                    .device_mut(&delivery.device)
                    .and_then(|device| device.target.as_mut())
                    .filter(|target| **target == *sent_to);
                let Some(target) = target else {
                    return Change::new((), Write::Nothing);
                };
                target.environment = environment;
                Change::new((), Write::Record)
            })
            .await
    }
}
