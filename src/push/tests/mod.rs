//! Over real sockets: the clients against the sandbox, and against raw HTTP/2 peers that misbehave.

mod against_peers;
mod against_sandbox;
mod faults;
mod peer;
mod stage;
mod ways_in;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    domain::{
        delivery::{Environment, Message, Platform, Push, PushTarget},
        ids::{AppId, DeliveryId, PushToken, WorkspaceId},
        time::{DurationMs, Timestamp},
    },
    engine::ports::Clock,
};

/// A clock that stands still until it is told otherwise.
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn at(text: &str) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(Timestamp::parse(text).unwrap().0)))
    }

    /// Today, for `gcp_auth` dates its assertions by the machine's clock.
    fn today() -> Arc<Self> {
        let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        Arc::new(Self(AtomicI64::new(since_1970.as_millis().try_into().unwrap())))
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1000, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

pub(crate) fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn push(platform: Platform, token: &str, now: Timestamp) -> Push {
    Push {
        delivery: DeliveryId(Uuid::new_v4()),
        workspace: WorkspaceId::new("default").unwrap(),
        target: PushTarget {
            platform,
            app: AppId::new("com.example.app").unwrap(),
            token: PushToken::new(token).unwrap(),
            environment: Environment::Production,
            registered_at: Timestamp(0),
        },
        message: Message {
            title: "Welcome, 丽".to_owned(),
            body: "Your coffee is 25 % off".to_owned(),
            shortened: false,
        },
        options: Arc::default(),
        data: vec![("offer".to_owned(), "7".to_owned())],
        expires_at: now.plus(DurationMs::from_secs(600)),
    }
}
