//! Which provider a push goes to.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::{
    domain::{
        delivery::{Credential, Outcome, Platform, Push, PushTarget},
        ids::WorkspaceId,
    },
    engine::ports::{Clock, PushSender, SharedTokens},
};

use super::{
    apns::{Apns, ApnsConfig},
    fcm::{Fcm, FcmConfig},
    pool::SetupError,
};

/// Names the credential that a provider lacks.
const APNS: &str = "apns";
const FCM: &str = "fcm";

/// The push providers that are set up.
pub struct Providers {
    apns: Option<Apns>,
    fcm: Option<Fcm>,
}

impl Providers {
    /// Checks keys and addresses; connects to nothing yet. Needs a tokio runtime only once it sends.
    pub fn new(
        apns: Option<&ApnsConfig>,
        fcm: Option<&FcmConfig>,
        clock: &Arc<dyn Clock>,
        shared: &Arc<dyn SharedTokens>,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            apns: apns.map(|config| Apns::new(config, clock, shared)).transpose()?,
            fcm: fcm.map(|config| Fcm::new(config, clock)).transpose()?,
        })
    }
}

#[async_trait]
impl PushSender for Providers {
    async fn send(&self, push: &Push, deadline: Instant) -> Outcome {
        match push.target.platform {
            Platform::Ios => match &self.apns {
                Some(apns) => apns.send(push, deadline).await,
                None => not_set_up(APNS, "APNs is not set up: fill the section [push.apns]"),
            },
            Platform::Android => match &self.fcm {
                Some(fcm) => fcm.send(push, deadline).await,
                None => not_set_up(FCM, "FCM is not set up: fill the section [push.fcm]"),
            },
        }
    }

    fn credential(&self, workspace: &WorkspaceId, target: &PushTarget) -> Credential {
        match target.platform {
            Platform::Ios => self
                .apns
                .as_ref()
                .map_or_else(|| Credential::new(APNS), |apns| apns.credential(workspace, target)),
            Platform::Android => self
                .fcm
                .as_ref()
                .map_or_else(|| Credential::new(FCM), |fcm| fcm.credential(workspace, target)),
        }
    }
}

fn not_set_up(credential: &str, reason: &str) -> Outcome {
    Outcome::Misconfigured {
        credential: Credential::new(credential),
        reason: reason.to_owned(),
    }
}
