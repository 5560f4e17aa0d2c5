//! `loadtest dispatch`: the whole way from the outbox to the gateway and back: lease, look again, attempt, send, finish.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use beckon::{
    app::SystemClock,
    config::Config,
    domain::{
        customer::Device,
        delivery::{Delivery, Environment, Platform, PushTarget},
        event::{EventTarget, OutsideEvent},
        ids::{AppId, CampaignId, CauseId, DeviceId, PushToken, SubjectId, Topic, UserId, WorkspaceId},
        presence::PresenceRules,
        record::Record,
        time::Timestamp,
    },
    engine::{
        Engine,
        dispatch::Dispatcher,
        ports::Clock,
        records::{Change, Write},
    },
    push::Providers,
    store,
};
use clap::Args;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{client, engine::RedisServer, spawn::Process};

/// Pushes from the outbox to the sandbox gateway, on SQLite and on a Redis of its own; then one event to many followers
///
/// The gateway is a process of its own and shares the machine's cores.
#[derive(Args)]
pub(crate) struct Dispatch {
    /// The beckon program whose sandbox takes the pushes
    #[arg(long, default_value = "./target/release/beckon")]
    beckon: PathBuf,
    /// Which stores, of sqlite, redis
    #[arg(long, value_delimiter = ',', default_value = "sqlite,redis")]
    stores: Vec<String>,
    /// Pushes that wait in the outbox at the start
    #[arg(long, default_value_t = 200_000)]
    pushes: usize,
    /// Customers who follow the topic of the event; 0 leaves that out
    #[arg(long, default_value_t = 500_000)]
    followers: usize,
    /// Requests under way at once to one provider; 0 takes the default
    #[arg(long, default_value_t = 0)]
    in_flight: usize,
    /// Customers' records kept in memory
    #[arg(long, default_value_t = 100_000)]
    cached_records: usize,
}

/// Customers written in one round trip.
const BATCH: usize = 500;
const VERSIONS_KEPT: u32 = 10;
const PATIENCE: Duration = Duration::from_mins(20);
const TOPIC: &str = "flight:X1/today";

fn workspace() -> anyhow::Result<WorkspaceId> {
    Ok(WorkspaceId::new("default")?)
}

fn subject(number: usize) -> anyhow::Result<SubjectId> {
    Ok(SubjectId::User(UserId::new(format!("user-{number}"))?))
}

fn device(number: usize, now: Timestamp) -> anyhow::Result<Device> {
    let id = DeviceId::new(format!("phone-{number}"))?;
    let token = PushToken::new(format!("phone-{number}:{}", "t".repeat(140)))?;
    let mut device = Device::new(id, now);
    device.platform = Some(Platform::Android);
    device.target = Some(PushTarget {
        platform: Platform::Android,
        app: AppId::new("app.beckon.load")?,
        token,
        environment: Environment::Production,
        registered_at: now,
    });
    Ok(device)
}

fn delivery(number: usize, now: Timestamp) -> anyhow::Result<Delivery> {
    let id = Uuid::new_v4();
    Ok(serde_json::from_value(json!({
        "id": id, "workspace": "default", "subject": subject(number)?, "device": format!("phone-{number}"),
        "platform": "android", "app": "app.beckon.load", "campaign": "load", "campaignVersion": 1, "class": "marketing", "offer": 0, "trigger": "event", "event": id, "eventAt": now,
        "decidedAt": now, "expiresAt": Timestamp(now.0 + 24 * 3_600_000), "stillThere": false, "why": ["load"],
    }))?)
}

/// Resident memory of this process, in MB.
fn resident_mb() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .context("no VmRSS")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}

/// A gateway and an engine that sends to it.
struct Stage {
    engine: Arc<Engine>,
    config: Config,
    log: client::Target,
    _gateway: Process,
}

impl Dispatch {
    #[expect(clippy::print_stdout, reason = "the report")]
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        // A second call says that there is one already.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        for name in &self.stores {
            let folder = tempfile::tempdir()?;
            let redis = match name.as_str() {
                "sqlite" => None,
                "redis" => Some(RedisServer::start(folder.path())?),
                other => bail!("there is no store `{other}`"),
            };
            let url = |part: &str| {
                redis.as_ref().map_or_else(
                    || format!("sqlite:{}/{part}", folder.path().display()),
                    |redis| format!("{}?prefix={part}", redis.url()),
                )
            };
            println!("{name}");
            if self.pushes > 0 {
                self.outbox(&self.stage(&url("outbox"), folder.path()).await?).await?;
            }
            if self.followers > 0 {
                self.fan_out(&self.stage(&url("fan-out"), folder.path()).await?).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn stage(&self, store: &str, folder: &std::path::Path) -> anyhow::Result<Stage> {
        let dir = folder.join("gateway");
        let dir = dir.to_str().context("a path")?;
        let arguments = [
            "sandbox",
            "--dir",
            dir,
            "--listen",
            "127.0.0.1:0",
            "--http-listen",
            "127.0.0.1:0",
        ];
        let gateway = Process::start(&self.beckon, &arguments, "sk_unused_0123456789abcdef", "server ")?;
        let mut config = Config::load(Some(&folder.join("gateway/beckon.toml")))?;
        // The quota of one Firebase project would be the result.
        config.pace.fcm_per_minute_max = 100_000_000;
        if self.in_flight > 0 {
            config.dispatch.in_flight_max = self.in_flight;
        }
        let log = gateway.word_after("curl '")?.trim_end_matches("/log").to_owned();
        let engine = Engine::new(
            store::open(store).await?,
            Arc::new(SystemClock),
            PresenceRules::DEFAULT,
            VERSIONS_KEPT,
            self.cached_records,
            config.stream_limits(),
            Arc::default(),
        );
        engine.catalogues.load_all().await?;
        let campaign = json!({
            "id": "load", "trigger": {"on": "event", "type": "flight.delayed"}, "validFor": "P1D",
            "offers": [{"message": {"en": {"title": "{{ user.name | default('Hello') }}", "body": "20 % off today"}}}],
        });
        let id = CampaignId::new("load")?;
        let now = engine.clock.now();
        engine
            .store
            .control
            .put_campaign(&workspace()?, &id, &campaign, now)
            .await?;
        engine.catalogues.reload_campaigns(&workspace()?).await?;
        Ok(Stage {
            engine: Arc::new(engine),
            config,
            log: client::Target::parse(&log, "none")?,
            _gateway: gateway,
        })
    }

    /// Pushes that wait in the outbox, sent as fast as it goes.
    #[expect(clippy::print_stdout, reason = "the report")]
    async fn outbox(&self, stage: &Stage) -> anyhow::Result<()> {
        stage.fill(self.pushes, true).await?;
        let start = Instant::now();
        let (stop, working) = stage.dispatch()?;
        stage.wait_until_empty(start, |_| Ok(())).await?;
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "  {} pushes from the outbox: {:.0}/s",
            self.pushes,
            self.pushes as f64 / seconds
        );
        stop.send_replace(true);
        working.await?;
        stage.judge(self.pushes).await
    }

    /// One event to all followers of a topic.
    #[expect(clippy::print_stdout, reason = "the report")]
    async fn fan_out(&self, stage: &Stage) -> anyhow::Result<()> {
        stage.fill(self.followers, false).await?;
        let (stop, working) = stage.dispatch()?;
        let telling = tokio::spawn(Arc::clone(&stage.engine).tell_events(stop.subscribe()));
        let before = resident_mb()?;
        let event = OutsideEvent {
            id: CauseId::new("delay-1")?,
            event_type: "flight.delayed".to_owned(),
            at: stage.engine.clock.now(),
            target: EventTarget::Topic(Topic::new(TOPIC)?),
            data: serde_json::Map::new(),
        };
        let start = Instant::now();
        stage.engine.take_event(&workspace()?, &event).await?;
        let first = stage.wait_for_first(start).await?;
        let highest = AtomicU64::new(0);
        stage
            .wait_until_empty(start, |_| {
                highest.fetch_max(resident_mb()? as u64, Ordering::Relaxed);
                Ok(())
            })
            .await?;
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "  an event to {} followers: first push at the gateway after {:.0} ms, all after {seconds:.1} s ({:.0}/s)",
            self.followers,
            first.as_secs_f64() * 1000.0,
            self.followers as f64 / seconds
        );
        println!(
            "  memory: {before:.0} MB before, {} MB at most meanwhile",
            highest.load(Ordering::Relaxed)
        );
        stop.send_replace(true);
        working.await?;
        telling.await?;
        stage.judge(self.followers).await
    }
}

impl Stage {
    /// Customers with a phone each, and with a push in the outbox or as followers of the topic.
    async fn fill(&self, count: usize, pushes: bool) -> anyhow::Result<()> {
        let workspace = workspace()?;
        let now = self.engine.clock.now();
        for start in (0..count).step_by(BATCH) {
            let numbers: Vec<usize> = (start..(start + BATCH).min(count)).collect();
            let subjects = numbers
                .iter()
                .map(|&number| subject(number))
                .collect::<Result<Vec<_>, _>>()?;
            let devices = numbers
                .iter()
                .map(|&number| device(number, now))
                .collect::<Result<Vec<_>, _>>()?;
            let deliveries = numbers
                .iter()
                .map(|&number| delivery(number, now))
                .collect::<Result<Vec<_>, _>>()?;
            let topic = Topic::new(TOPIC)?;
            let change = |index: usize, record: &mut Record, _| {
                record.put_device(devices[index].clone());
                if !pushes {
                    record.profile.topics.insert(topic.clone());
                }
                Change {
                    claims: vec![devices[index].id.clone()],
                    deliveries: if pushes {
                        vec![deliveries[index].clone()]
                    } else {
                        Vec::new()
                    },
                    ..Change::new((), Write::Record)
                }
            };
            self.engine.records.change_many(&workspace, &subjects, change).await?;
        }
        Ok(())
    }

    fn dispatch(&self) -> anyhow::Result<(watch::Sender<bool>, tokio::task::JoinHandle<()>)> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (apns, fcm) = (self.config.push.apns_client()?, self.config.push.fcm_client()?);
        let tokens = &self.engine.store.tokens;
        let providers = Arc::new(Providers::new(apns.as_ref(), fcm.as_ref(), &clock, tokens)?);
        let dispatcher = Arc::new(Dispatcher::new(
            Arc::clone(&self.engine),
            providers,
            self.config.dispatch_limits(),
        ));
        let (stop, stopping) = watch::channel(false);
        Ok((stop, tokio::spawn(dispatcher.run(stopping))))
    }

    async fn wait_until_empty(&self, start: Instant, look: impl Fn(&Self) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let hot = &self.engine.store.hot;
        while !hot.pending_events(1).await?.is_empty() || hot.outbox_depth().await? > 0 {
            if start.elapsed() > PATIENCE {
                bail!("the outbox is not empty after {PATIENCE:?}");
            }
            look(self)?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn log(&self) -> anyhow::Result<Value> {
        let mut connection = client::Connection::open(&self.log).await?;
        let answer = connection.must("GET", "/log?limit=1", "application/json", "").await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    async fn wait_for_first(&self, start: Instant) -> anyhow::Result<Duration> {
        while self.log().await?["accepted"] == 0 {
            if start.elapsed() > PATIENCE {
                bail!("nothing arrived");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(start.elapsed())
    }

    /// Every push must have arrived once.
    async fn judge(&self, count: usize) -> anyhow::Result<()> {
        let log = self.log().await?;
        if log["accepted"] != count || log["total"] != count {
            bail!(
                "{} of {count} pushes arrived, {} requests",
                log["accepted"],
                log["total"]
            );
        }
        self.engine.store.hot.close().await;
        Ok(())
    }
}
