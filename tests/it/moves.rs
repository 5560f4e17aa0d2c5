//! Devices that change hands, seen by the engine: whatever breaks off in the middle, nothing is lost and no cap broken.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use beckon::{
    config::Config,
    domain::{
        checkin::{CheckIn, Fix},
        customer::{Consent, Device},
        delivery::{Environment, Platform},
        geofence::Geofence,
        ids::{
            AppId, CampaignId, CauseId, DeviceId, ExternalId, GeofenceId, PushToken, SubjectId, Tag, UserId,
            WorkspaceId,
        },
        presence::PresenceRules,
        record::{RECORD_SCHEMA, Record},
        time::{DurationMs, Timestamp},
    },
    engine::{
        Engine,
        customers::DeviceUpdate,
        ingest::{Answer, UnknownDevice},
        ports::{Clock, Commit, CommitOutcome, DeliveryFilter, Store},
        timers::TimerLimits,
    },
    geo::{Position, Shape},
    store,
};
use serde_json::json;
use tokio::sync::watch;

use crate::{redis_server::Redis, store::AllTogether as _};

const SHOP: (f64, f64) = (46.5, 12.3);
const NEARBY: f64 = 46.508;
const MINUTE: DurationMs = DurationMs::from_secs(60);

struct TurnedClock(AtomicI64);

impl Clock for TurnedClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Servers on one store, with one shop, whose campaign may push a customer once a day.
struct Stage {
    clock: Arc<TurnedClock>,
    store: Store,
}

impl Stage {
    async fn set(url: &str) -> Self {
        let clock = Arc::new(TurnedClock(AtomicI64::new(1_700_000_000_000)));
        let store = store::open(url).await.expect("a store");
        let campaign = json!({
            "id": "hello", "trigger": {"on": "entered", "geofences": {"tag": "shop"}},
            "caps": [{"max": 1, "per": "P1D"}],
            "offers": [{"message": {"en": {"title": "t", "body": "b"}}}],
        });
        let (id, now) = (CampaignId::new("hello").expect("an id"), clock.now());
        let kept = store.control.put_campaign(&workspace(), &id, &campaign, now).await;
        assert_eq!(kept.expect("kept"), 1);
        let stage = Self { clock, store };
        let id = GeofenceId {
            tag: Tag::new("shop").expect("a tag"),
            external_id: ExternalId::new("one").expect("an id"),
        };
        let shape = Shape::circle(Position::new(SHOP.0, SHOP.1).expect("a position"), 100.0).expect("a circle");
        let first = stage.server().await;
        first
            .put_geofence(&workspace(), Geofence::new(id, shape))
            .await
            .expect("kept");
        stage
    }

    /// A server that has just started.
    async fn server(&self) -> Arc<Engine> {
        let clock: Arc<dyn Clock> = Arc::<TurnedClock>::clone(&self.clock);
        let engine = Engine::new(
            self.store.clone(),
            clock,
            PresenceRules::DEFAULT,
            1,
            1000,
            Config::load(None).expect("the defaults").stream_limits(),
            Arc::default(),
        );
        engine.catalogues.load_all().await.expect("a catalogue");
        Arc::new(engine)
    }

    /// The phone checks in a minute later.
    async fn is_at(&self, server: &Engine, latitude: f64) -> Answer {
        let now = self.clock.0.fetch_add(MINUTE.0, Ordering::SeqCst) + MINUTE.0;
        let check_in = CheckIn {
            id: CauseId::new(format!("c-{now}")).expect("an id"),
            device: phone(),
            at: Timestamp(now),
            location: Some(Fix {
                position: Position::new(latitude, SHOP.1).expect("a position"),
                accuracy_m: Some(5.0),
                floor: None,
            }),
            beacons: None,
            code: None,
            regions: false,
        };
        let answers = server
            .check_in(&workspace(), vec![check_in], UnknownDevice::Create)
            .await;
        let answer = answers.into_iter().next().expect("an answer");
        answer.expect("a store").expect("a known device")
    }

    /// The phone comes from afar into the shop.
    async fn comes(&self, server: &Engine) -> [Answer; 2] {
        [self.is_at(server, NEARBY).await, self.is_at(server, SHOP.0).await]
    }

    async fn pushes(&self) -> usize {
        let (workspace, all) = (workspace(), DeliveryFilter::default());
        let rows = self.store.hot.deliveries(&workspace, all, 100).await;
        rows.expect("a list").len()
    }

    async fn record(&self, subject: &SubjectId) -> Option<(u64, Record)> {
        let subject = std::slice::from_ref(subject);
        let stored = self.store.hot.load_all(&workspace(), subject).await.expect("an answer");
        let stored = stored.into_iter().next().flatten()?;
        let record = Record::decode(stored.schema, &stored.bytes).expect("a record");
        Some((stored.version, record))
    }

    /// What is there when a server has given the phone to her and died.
    async fn breaks_off_a_login(&self) {
        let (_, before) = self.record(&anonymous()).await.expect("a record");
        let mut record = Record::default();
        record.put_device(Device {
            taken_from: Some(anonymous()),
            ..before.device(&phone()).expect("a phone").clone()
        });
        let commit = Commit {
            workspace: workspace(),
            subject: mia(),
            expected: 0,
            record: Some((RECORD_SCHEMA, record.encode().expect("bytes"))),
            deliveries: Vec::new(),
            facts: Vec::new(),
            claims: vec![phone()],
            first_claims: Vec::new(),
            releases: Vec::new(),
            follows: Vec::new(),
            unfollows: Vec::new(),
            erase: false,
            wake_at: Some(self.clock.now()),
            presence: Vec::new(),
        };
        let outcomes = self.store.hot.commit_all(vec![commit]).await.expect("an answer");
        assert_eq!(outcomes, [CommitOutcome::Done(1)]);
    }

    async fn assert_she_has_it_all(&self) {
        assert_eq!(self.record(&anonymous()).await, None, "nobody is left behind");
        let (_, record) = self.record(&mia()).await.expect("a record");
        assert_eq!(record.device(&phone()).expect("a phone").taken_from, None);
        assert_eq!(record.sends.len(), 1);
        assert_eq!(record.sends[0].at.len(), 1);
    }
}

fn workspace() -> WorkspaceId {
    WorkspaceId::new("w").expect("an id")
}

fn phone() -> DeviceId {
    DeviceId::new("phone").expect("an id")
}

fn anonymous() -> SubjectId {
    SubjectId::Anonymous(phone())
}

fn mia() -> SubjectId {
    SubjectId::User(UserId::new("mia").expect("an id"))
}

fn registration(user: Option<&str>) -> DeviceUpdate {
    DeviceUpdate {
        platform: Platform::Ios,
        app: AppId::new("app").expect("an app"),
        token: Some(PushToken::new("ab".repeat(32)).expect("a token")),
        environment: Environment::Production,
        user: user.map(|user| UserId::new(user).expect("an id")),
        locale: None,
        time_zone: None,
        consent: Consent::default(),
    }
}

async fn registers(server: &Engine, user: Option<&str>) -> SubjectId {
    let done = server.put_device(&workspace(), &phone(), &registration(user)).await;
    done.expect("registered")
}

async fn sqlite(folder: &tempfile::TempDir) -> Stage {
    Stage::set(&format!("sqlite:{}", folder.path().display())).await
}

#[tokio::test]
async fn a_login_that_broke_off_is_finished_before_the_next_check_in_is_decided() {
    let folder = tempfile::tempdir().expect("a folder");
    let stage = sqlite(&folder).await;
    let server = stage.server().await;
    registers(&server, None).await;
    stage.comes(&server).await;
    stage.is_at(&server, NEARBY).await;
    assert_eq!(stage.pushes().await, 1);
    stage.breaks_off_a_login().await;
    let server = stage.server().await;
    let answer = stage.is_at(&server, SHOP.0).await;
    assert_eq!(answer.events.len(), 1, "she has come in");
    assert_eq!(stage.pushes().await, 1, "the cap holds");
    stage.assert_she_has_it_all().await;
}

#[tokio::test]
async fn a_login_that_broke_off_is_finished_when_the_app_tries_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let stage = sqlite(&folder).await;
    let server = stage.server().await;
    registers(&server, None).await;
    stage.comes(&server).await;
    stage.breaks_off_a_login().await;
    let server = stage.server().await;
    assert_eq!(registers(&server, Some("mia")).await, mia());
    stage.assert_she_has_it_all().await;
    // To somebody else by now, it first arrives where it was to go.
    assert_eq!(registers(&server, None).await, anonymous());
    let (_, hers) = stage.record(&mia()).await.expect("a record");
    assert_eq!((hers.devices.len(), hers.sends.len()), (0, 1));
}

#[tokio::test]
async fn a_login_that_broke_off_is_finished_by_a_timer() {
    let folder = tempfile::tempdir().expect("a folder");
    let stage = sqlite(&folder).await;
    let server = stage.server().await;
    registers(&server, None).await;
    stage.comes(&server).await;
    stage.breaks_off_a_login().await;
    let server = stage.server().await;
    let limits = TimerLimits {
        batch_max: 10,
        lease: MINUTE,
        sweep: std::time::Duration::from_millis(5),
    };
    let (stop, stopped) = watch::channel(false);
    let timers = tokio::spawn(Arc::clone(&server).wake_records(limits, stopped));
    let finished = async {
        while stage.record(&anonymous()).await.is_some()
            || stage
                .record(&mia())
                .await
                .is_none_or(|(_, record)| record.moving().next().is_some())
        {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), finished)
        .await
        .expect("the timer comes by");
    stop.send_replace(true);
    timers.await.expect("timers");
    stage.assert_she_has_it_all().await;
}

#[tokio::test]
async fn who_refused_to_be_located_still_does_after_the_login() {
    let folder = tempfile::tempdir().expect("a folder");
    let stage = sqlite(&folder).await;
    let server = stage.server().await;
    let mut refuses = registration(None);
    refuses.consent.location = Some(false);
    server
        .put_device(&workspace(), &phone(), &refuses)
        .await
        .expect("registered");
    registers(&server, Some("mia")).await;
    stage.comes(&server).await;
    let (_, record) = stage.record(&mia()).await.expect("a record");
    assert_eq!(record.profile.consent.location, Some(false));
    assert_eq!(
        record.device(&phone()).expect("a phone").last_at,
        None,
        "nothing was kept"
    );
}

#[tokio::test]
async fn a_phone_that_logs_in_on_one_server_is_known_on_the_other() {
    let redis = Redis::start();
    let stage = Stage::set(&redis.url("partitions=4")).await;
    let (here, there) = (stage.server().await, stage.server().await);
    registers(&here, None).await;
    stage.comes(&there).await;
    registers(&here, Some("mia")).await;
    let answers = stage.comes(&there).await;
    let users = answers.iter().flat_map(|answer| &answer.events);
    let users: Vec<_> = users.map(|event| event.user_id.clone()).collect();
    assert!(!users.is_empty() && users.iter().all(Option::is_some), "{users:?}");
    assert_eq!(stage.pushes().await, 1);
    stage.assert_she_has_it_all().await;
}

#[tokio::test]
async fn a_phone_whose_owner_is_remembered_wrongly_is_looked_up_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let stage = sqlite(&folder).await;
    let (here, there) = (stage.server().await, stage.server().await);
    registers(&here, None).await;
    stage.comes(&there).await;
    // The other one, which takes the store for its own, is not told.
    registers(&here, Some("mia")).await;
    let answer = stage.is_at(&there, NEARBY).await;
    assert_eq!(answer.events[0].user_id.as_ref(), mia().user());
    stage.assert_she_has_it_all().await;
}
