//! Which provider a push goes to.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::{
    domain::{
        delivery::{Credential, Outcome, Platform, Push, PushTarget},
        ids::WorkspaceId,
    },
    engine::ports::{Clock, PushSender},
};

use super::{
    apns::{Apns, ApnsConfig},
    fcm::{Fcm, FcmConfig},
    pool::SetupError,
};

/// The push providers that are set up.
pub struct Providers {
    apns: Option<Apns>,
    fcm: Option<Fcm>,
}

impl Providers {
    /// Checks keys and addresses; connects to nothing yet. Needs a tokio runtime only once it sends.
    pub fn new(apns: Option<&ApnsConfig>, fcm: Option<&FcmConfig>, clock: &Arc<dyn Clock>) -> Result<Self, SetupError> {
        Ok(Self {
            apns: apns.map(|config| Apns::new(config, Arc::clone(clock))).transpose()?,
            fcm: fcm.map(|config| Fcm::new(config, Arc::clone(clock))).transpose()?,
        })
    }
}

#[async_trait]
impl PushSender for Providers {
    async fn send(&self, push: &Push, deadline: Instant) -> Outcome {
        match push.target.platform {
            Platform::Ios => match &self.apns {
                Some(apns) => apns.send(push, deadline).await,
                None => not_set_up("APNs is not set up: fill the section [push.apns]"),
            },
            Platform::Android => match &self.fcm {
                Some(fcm) => fcm.send(push, deadline).await,
                None => not_set_up("FCM is not set up: fill the section [push.fcm]"),
            },
        }
    }

    fn credential(&self, _: &WorkspaceId, target: &PushTarget) -> Credential {
        match target.platform {
            Platform::Ios => Credential::new("apns"),
            Platform::Android => Credential::new("fcm"),
        }
    }
}

fn not_set_up(reason: &str) -> Outcome {
    Outcome::Misconfigured {
        reason: reason.to_owned(),
    }
}
