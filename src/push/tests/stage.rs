//! A sandbox, and clients that send to it.

use std::{fs, sync::Arc};

use secrecy::SecretString;
use tempfile::TempDir;

use super::{TestClock, deadline, push};
use crate::{
    domain::{
        delivery::{Credential, Outcome, Platform, Push},
        time::Timestamp,
    },
    engine::ports::{Clock, PushSender, SharedTokens},
    push::{
        ApnsAuth, ApnsConfig, FcmConfig, Providers,
        sandbox::{Arrival, Sandbox, SandboxOptions},
    },
    store::OneProcess,
};

pub(super) const PHONE: &str = "00aabbccddeeff00112233445566778899aabbccddeeff001122334455667788";

pub(super) struct Stage {
    pub(super) dir: TempDir,
    pub(super) clock: Arc<TestClock>,
    pub(super) sandbox: Sandbox,
}

impl Stage {
    pub(super) async fn new(change: impl FnOnce(&mut SandboxOptions)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = TestClock::today();
        let mut options = SandboxOptions::new(dir.path(), Arc::<TestClock>::clone(&clock));
        change(&mut options);
        let sandbox = Sandbox::start(options).await.unwrap();
        Self { dir, clock, sandbox }
    }

    pub(super) fn configs(&self) -> (ApnsConfig, FcmConfig) {
        let read = |path| fs::read_to_string(path).unwrap();
        let files = self.sandbox.files();
        let key = SecretString::from(read(&files.apns_key));
        let apns = ApnsConfig {
            base_url: self.sandbox.apns_url(),
            sandbox_base_url: self.sandbox.development_url(),
            ca_pem: Some(read(&files.ca_pem)),
            ..ApnsConfig::new(key, self.sandbox.key_id(), self.sandbox.team_id())
        };
        let fcm = FcmConfig {
            base_url: self.sandbox.apns_url(),
            ca_pem: Some(read(&files.ca_pem)),
            ..FcmConfig::new(SecretString::from(read(&files.service_account)))
        };
        (apns, fcm)
    }

    pub(super) fn providers(&self, change: impl FnOnce(&mut ApnsConfig, &mut FcmConfig)) -> Arc<Providers> {
        let (mut apns, mut fcm) = self.configs();
        change(&mut apns, &mut fcm);
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&self.clock);
        Arc::new(Providers::new(Some(&apns), Some(&fcm), &clock, &store()).unwrap())
    }

    pub(super) fn push(&self, platform: Platform, token: &str) -> Push {
        push(platform, token, self.clock.now())
    }

    pub(super) fn last(&self) -> Arc<Arrival> {
        Arc::clone(self.sandbox.arrivals().last().unwrap())
    }
}

pub(super) fn store() -> Arc<dyn SharedTokens> {
    Arc::new(OneProcess::default())
}

pub(super) async fn send(providers: &Providers, push: &Push) -> Outcome {
    providers.send(push, deadline()).await
}

pub(super) fn accepted(provider_id: &str) -> Outcome {
    Outcome::Accepted {
        provider_id: provider_id.to_owned(),
        environment: None,
        shortened: false,
    }
}

/// Another key under the same names.
pub(super) fn wrong_pem(ours: &ApnsAuth, theirs: &ApnsAuth) -> ApnsAuth {
    let (ApnsAuth::Token { key_id, team_id, .. }, ApnsAuth::Token { key_pem, .. }) = (ours, theirs) else {
        panic!("the sandbox has tokens");
    };
    ApnsAuth::Token {
        key_pem: key_pem.clone(),
        key_id: key_id.clone(),
        team_id: team_id.clone(),
    }
}

pub(super) fn dead(reason: &str, since: Option<Timestamp>) -> Outcome {
    Outcome::DeadToken {
        reason: reason.to_owned(),
        since,
    }
}

pub(super) fn never(reason: &str) -> Outcome {
    Outcome::Never {
        reason: reason.to_owned(),
    }
}

pub(super) fn misconfigured(credential: &str, reason: &str) -> Outcome {
    Outcome::Misconfigured {
        credential: Credential::new(credential),
        reason: reason.to_owned(),
    }
}
