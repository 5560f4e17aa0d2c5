//! `loadtest engine`: check-ins into the engine without HTTP, beside what the raw store can do in the same run.

mod fill;
mod raw;
mod raw_redis;
mod redis_server;

use std::{
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use beckon::{
    app::SystemClock,
    config::Config,
    domain::{
        checkin::{CheckIn, Fix},
        geofence::Geofence,
        ids::{CauseId, DeviceId, ExternalId, GeofenceId, SubjectId, Tag, WorkspaceId},
        presence::PresenceRules,
        time::{DurationMs, Timestamp},
    },
    engine::{
        Engine, EngineError,
        ingest::{Answer, UnknownDevice},
        ports::Clock,
    },
    geo::{Position, Shape},
    store,
};
use clap::Args;
pub(crate) use fill::EngineFill;
pub(crate) use redis_server::RedisServer;
use tokio::task::JoinSet;

use crate::random::Random;

/// Check-ins into the engine without HTTP, on SQLite and on a Redis of its own, beside the raw store
///
/// Phones check in one at a time, many at once, with and without a change of presence; then in arrays. Then a store with
/// many customers is filled, killed, opened again, and all its timers come due.
#[derive(Args)]
pub(crate) struct EngineRun {
    /// Which stores, of sqlite, redis
    #[arg(long, value_delimiter = ',', default_value = "sqlite,redis")]
    stores: Vec<String>,
    /// Seconds for each measured figure
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Phones
    #[arg(long, default_value_t = 20_000)]
    phones: usize,
    /// Check-ins under way at once
    #[arg(long, default_value_t = 256)]
    in_flight: usize,
    /// Check-ins in an array
    #[arg(long, default_value_t = 32)]
    array: usize,
    /// Customers of the store that is killed; 0 leaves that out
    #[arg(long, default_value_t = 1_000_000)]
    customers: usize,
}

/// Records that an engine keeps in memory, as a server does by default.
const CACHED_RECORDS: usize = 100_000;
/// Versions of a set; there are none here.
const VERSIONS_KEPT: u32 = 10;
/// Check-ins so far, which names the next one.
static CHECK_INS: AtomicU64 = AtomicU64::new(0);
/// The only geofence.
const PLACE: (f64, f64) = (47.37, 8.54);
const RADIUS_M: f64 = 50.0;
/// A fact as JSON, about as long as an event's.
const FACT_BYTES: usize = 350;
/// Degrees north of it, outside: half a kilometre, so that nobody seems too fast.
const BESIDE: f64 = 0.0045;

/// A clock that can be put ahead.
#[derive(Default)]
struct AheadClock(AtomicI64);

impl Clock for AheadClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(DurationMs(self.0.load(Ordering::Relaxed)))
    }
}

fn workspace() -> anyhow::Result<WorkspaceId> {
    Ok(WorkspaceId::new("default")?)
}

/// An engine on that store, with its one geofence.
async fn engine(url: &str, clock: Arc<AheadClock>) -> anyhow::Result<Arc<Engine>> {
    let engine = Engine::new(
        store::open(url).await?,
        clock,
        PresenceRules::DEFAULT,
        VERSIONS_KEPT,
        CACHED_RECORDS,
        Config::load(None)?.stream_limits(),
        Arc::default(),
    );
    engine.catalogues.load_all().await?;
    if engine.catalogues.geofences() == 0 {
        let shape = Shape::circle(Position::new(PLACE.0, PLACE.1)?, RADIUS_M)?;
        let id = GeofenceId {
            tag: Tag::new("place")?,
            external_id: ExternalId::new("1")?,
        };
        engine.put_geofence(&workspace()?, Geofence::new(id, shape)).await?;
    }
    Ok(Arc::new(engine))
}

/// A check-in of that phone, now.
/// Fails unless every check-in was taken.
fn all_taken(answers: Vec<Result<Option<Answer>, EngineError>>) -> anyhow::Result<()> {
    for answer in answers {
        answer?.context("a check-in was refused")?;
    }
    Ok(())
}

fn check_in(engine: &Engine, phone: usize, number: u64, is_inside: bool) -> anyhow::Result<CheckIn> {
    let north = if is_inside { 0.0 } else { BESIDE };
    Ok(CheckIn {
        id: CauseId::new(format!("c{number}"))?,
        device: DeviceId::new(format!("phone-{phone}"))?,
        at: engine.clock.now(),
        location: Some(Fix {
            position: Position::new(PLACE.0 + north, PLACE.1)?,
            accuracy_m: None,
            floor: None,
        }),
        beacons: None,
        code: None,
        regions: false,
    })
}

/// How phones behave.
#[derive(Clone, Copy)]
struct Behaviour {
    /// Whether each check-in enters or leaves.
    changes: bool,
    /// Check-ins in a request.
    array: usize,
}

impl EngineRun {
    #[expect(clippy::print_stdout, reason = "the report")]
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        for name in &self.stores {
            let folder = tempfile::tempdir()?;
            let redis = match name.as_str() {
                "sqlite" => None,
                "redis" => Some(RedisServer::start(folder.path())?),
                other => bail!("there is no store `{other}`"),
            };
            let url = redis
                .as_ref()
                .map_or_else(|| format!("sqlite:{}", folder.path().display()), RedisServer::url);
            println!("{name}");
            self.throughput(&url, folder.path(), redis.as_ref()).await?;
            if self.customers > 0 {
                fill::measure(&url, folder.path(), redis.as_ref(), self.customers).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    #[expect(clippy::print_stdout, reason = "the report")]
    async fn throughput(&self, url: &str, folder: &Path, redis: Option<&RedisServer>) -> anyhow::Result<()> {
        let budget = Duration::from_secs_f64(self.seconds);
        let engine = engine(url, Arc::default()).await?;
        // Everybody is known before it is measured.
        self.drive(
            &engine,
            Behaviour {
                changes: false,
                array: 500,
            },
            Duration::MAX,
            self.phones,
        )
        .await?;
        for (what, changes, array) in [
            ("no transition", false, 1),
            ("each a transition", true, 1),
            ("no transition, in arrays", false, self.array),
            ("each a transition, in arrays", true, self.array),
        ] {
            let ours = self
                .drive(&engine, Behaviour { changes, array }, budget, usize::MAX)
                .await?;
            let bytes = self.record_bytes(&engine).await?;
            let raw = match redis {
                None => raw::sqlite(folder, self.requests(array) * array, bytes, changes, budget).await?,
                Some(redis) => {
                    let rows = raw_redis::Rows {
                        phones: self.phones,
                        bytes,
                        has_facts: changes,
                    };
                    raw_redis::redis(redis, self.requests(array), array, rows, budget).await?
                }
            };
            println!(
                "  {what:<30} {ours:>9.0}/s, raw store {raw:>9.0}/s, ratio {:.2}, {bytes} bytes a record",
                ours / raw
            );
        }
        engine.store.hot.close().await;
        Ok(())
    }

    /// Requests under way at once, so that as many check-ins are under way whether they come alone or in arrays.
    fn requests(&self, array: usize) -> usize {
        self.in_flight.div_ceil(array).max(2)
    }

    /// Check-ins a second with that many requests under way, until the budget is used up or so many are done.
    async fn drive(
        &self,
        engine: &Arc<Engine>,
        behaviour: Behaviour,
        budget: Duration,
        check_ins_max: usize,
    ) -> anyhow::Result<f64> {
        let start = Instant::now();
        let done = Arc::new(AtomicU64::new(0));
        let requests = self.requests(behaviour.array);
        let mut clients = JoinSet::new();
        for client in 0..requests {
            let (engine, done, phones) = (Arc::clone(engine), Arc::clone(&done), self.phones);
            clients.spawn(async move {
                let workspace = workspace()?;
                let mut random = Random::new(client as u64 + 1);
                // Each client has phones of its own, and takes one after the other.
                let mine: Vec<usize> = (client..phones).step_by(requests).collect();
                let (mut next, mut is_inside) = (random.below(mine.len()), false);
                while start.elapsed() < budget && done.load(Ordering::Relaxed) < check_ins_max as u64 {
                    let mut request = Vec::with_capacity(behaviour.array);
                    for _ in 0..behaviour.array.min(mine.len()) {
                        next += 1;
                        if next >= mine.len() {
                            next = 0;
                            is_inside = behaviour.changes && !is_inside;
                        }
                        // Of all runs: an id that comes again is a duplicate.
                        let id = CHECK_INS.fetch_add(1, Ordering::Relaxed);
                        request.push(check_in(&engine, mine[next], id, is_inside)?);
                    }
                    let count = request.len() as u64;
                    all_taken(engine.check_in(&workspace, request, UnknownDevice::Create).await)?;
                    done.fetch_add(count, Ordering::Relaxed);
                }
                Ok::<_, anyhow::Error>(())
            });
        }
        while let Some(client) = clients.join_next().await {
            client??;
        }
        Ok(done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
    }

    /// Mean bytes of a stored record.
    async fn record_bytes(&self, engine: &Engine) -> anyhow::Result<usize> {
        let subjects = (0..100.min(self.phones))
            .map(|phone| {
                let device = DeviceId::new(format!("phone-{phone}"))?;
                Ok(SubjectId::Anonymous(device))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let records = engine.store.hot.load(&workspace()?, &subjects).await;
        let records = records.into_iter().collect::<Result<Vec<_>, _>>()?;
        let bytes: usize = records.iter().flatten().map(|record| record.bytes.len()).sum();
        bytes.checked_div(records.len()).context("no phones")
    }
}
