//! `loadtest commute`: phones walk between geofences; most check-ins change nothing, a few enter or leave a place, and
//! the first entry of each phone makes a push.

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    client::{Connection, Target},
    drive::{Pace, Round, Traffic, drive, latencies},
    gateway::Gateway,
    report::Report,
    spawn::Process,
    world::World,
};

/// Connections for the preparation.
const PREPARING: usize = 16;
/// Pushes that are expected have this long to arrive at the end.
const ARRIVAL_PATIENCE: Duration = Duration::from_secs(20);
/// The key of servers that are started for the run.
const KEY: &str = "sk_loadtest_0123456789abcdef";

/// Phones that walk between geofences, most check-ins changing nothing.
///
/// First Beckon and a handler that does nothing are driven with all connections busy, in turns; then both at a fixed
/// rate, open loop: a request's latency counts from the moment at which it was due, also when it had to wait for a
/// connection. Pushes are timed from that moment to their arrival in the gateway's log.
#[derive(Args)]
pub(crate) struct Commute {
    /// Start this `beckon`, with a gateway and a store of its own, and stop it at the end
    #[arg(long, value_name = "BECKON", conflicts_with_all = ["server", "gateway"])]
    spawn: Option<PathBuf>,
    /// A running server; its `presence.speed_max_km_per_h` must let phones jump 30 km between two check-ins
    #[arg(long, value_name = "URL", requires = "key")]
    server: Option<String>,
    /// Its admin key
    #[arg(long, env = "BECKON_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The plain HTTP address of the sandbox gateway that the server pushes to
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// Geofences
    #[arg(long, default_value_t = 100_000)]
    fences: usize,
    /// Phones, each with a push token
    #[arg(long, default_value_t = 20_000)]
    phones: usize,
    /// Check-ins a second of the open loop [default: half of what was reached with all connections busy]
    #[arg(long)]
    rate: Option<f64>,
    /// Connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Share of the check-ins that are inside a geofence; each makes an entry and an exit
    #[arg(long, default_value_t = 0.01)]
    entering: f64,
    /// Rounds of each kind, Beckon and the idle handler in turns
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of a round
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Seed of the world and the walks
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write everything there as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The check-ins of the walk, and when each phone's first entry was due.
struct Walk {
    world: World,
    seed: u64,
    phones: usize,
    entering: f64,
    run: u32,
    /// Unix milliseconds of the first entry's due time; 0: none yet.
    entered_at: Vec<AtomicI64>,
    entered: AtomicU64,
}

impl Traffic for Walk {
    fn body(&self, number: u64) -> String {
        let phone = (number % self.phones as u64) as usize;
        let (latitude, longitude) = self
            .world
            .position(self.seed, phone, number / self.phones as u64, self.entering);
        format!(
            "{{\"id\":\"r{}-{number}\",\"deviceId\":\"phone-{phone}\",\"location\":{{\"latitude\":{latitude:.6},\
             \"longitude\":{longitude:.6},\"accuracy\":8}}}}",
            self.run
        )
    }

    fn answered(&self, number: u64, due: Instant, status: u16, answer: &[u8]) {
        let entered = b"user.entered_geofence";
        if status != 200 || !answer.windows(entered.len()).any(|part| part == entered) {
            return;
        }
        let due_ms = unix_ms() - due.elapsed().as_millis() as i64;
        let first = &self.entered_at[(number % self.phones as u64) as usize];
        if first
            .compare_exchange(0, due_ms, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
        {
            self.entered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the load generator has no clock handed in")]
fn unix_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn token(phone: usize) -> String {
    format!("{phone:064x}")
}

fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}

/// A line that a terminal shows in place, and a log line by line.
fn live(what: &'static str) -> impl Fn(f64, u64) + Send {
    let terminal = std::io::stderr().is_terminal();
    move |seconds, answers| {
        let (start, end) = if terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let rate = answers as f64 / seconds;
        let mut err = std::io::stderr();
        write!(
            err,
            "{start}{what}: {seconds:.0} s, {answers} answers, {rate:.0}/s{end}"
        )
        .unwrap_or_default();
        err.flush().unwrap_or_default();
    }
}

impl Commute {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let folder = std::env::temp_dir().join(format!("beckon-load-{}", std::process::id()));
        let outcome = tokio::select! {
            outcome = self.measure(&folder) => outcome,
            _ = tokio::signal::ctrl_c() => bail!("stopped"),
        };
        if folder.exists() {
            std::fs::remove_dir_all(&folder).context("can't remove the run's folder")?;
        }
        let report = outcome?;
        say(&report.table())?;
        if let Some(file) = &self.json {
            std::fs::write(file, report.json().to_string()).with_context(|| file.display().to_string())?;
        }
        let good = report.open_loop.0.errors.is_empty() && report.arrivals.len() == report.entered;
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn measure(&self, folder: &std::path::Path) -> anyhow::Result<Report> {
        let mut processes = Vec::new();
        let (server, gateway) = self.find_or_start(folder, &mut processes)?;
        let idle = Process::start(
            &std::env::current_exe()?,
            &["idle-server", "--listen", "127.0.0.1:0"],
            "",
            "listens on",
        )?;
        let idle_target = Target::parse(&idle.word_after("listens on ")?, "none")?;
        processes.push(idle);

        let run = std::process::id();
        let walk = Arc::new(Walk {
            world: World::new(self.fences, self.seed),
            seed: self.seed,
            phones: self.phones,
            entering: self.entering,
            run,
            entered_at: (0..self.phones).map(|_| AtomicI64::new(0)).collect(),
            entered: AtomicU64::new(0),
        });
        self.prepare(&server, &walk.world).await?;
        let mut gateway = match gateway {
            None => None,
            Some(url) => Some(Gateway::new(&url)?),
        };

        let length = Duration::from_secs_f64(self.seconds);
        let mut first = 0;
        let mut both = async |pace, names: [&'static str; 2]| -> anyhow::Result<(Round, Round)> {
            let mut sums = (Round::new()?, Round::new()?);
            for _ in 0..self.rounds {
                for (target, sum, name) in [(&server, &mut sums.0, names[0]), (&idle_target, &mut sums.1, names[1])] {
                    let traffic: Arc<dyn Traffic> = Arc::<Walk>::clone(&walk);
                    let round = drive(target, traffic, first, self.connections, pace, length, live(name)).await?;
                    first += round.latencies.len() + round.errors.values().sum::<u64>() + round.unsent;
                    sum.add(&round)?;
                }
            }
            Ok(sums)
        };
        let capacity = both(Pace::Saturate, ["Beckon, connections busy", "idle, connections busy"]).await?;
        let rate = self.rate.unwrap_or_else(|| (capacity.0.per_second() / 2.0).floor());
        // What the first part pushed is not timed.
        if let Some(gateway) = &mut gateway {
            settle(gateway, &walk).await?;
        }
        let before: Vec<bool> = walk
            .entered_at
            .iter()
            .map(|at| at.load(Ordering::Relaxed) > 0)
            .collect();
        let entered_before = walk.entered.load(Ordering::Relaxed);
        let open_loop = both(Pace::Rate(rate), ["Beckon, open loop", "idle, open loop"]).await?;
        let entered = walk.entered.load(Ordering::Relaxed) - entered_before;
        let arrivals = match &mut gateway {
            None => latencies()?,
            Some(gateway) => time_arrivals(gateway, &walk, &before, entered).await?,
        };
        writeln!(std::io::stderr())?;
        Ok(Report {
            parameters: self.parameters(),
            capacity,
            rate,
            open_loop,
            arrivals,
            entered,
        })
    }

    fn find_or_start(
        &self,
        folder: &std::path::Path,
        processes: &mut Vec<Process>,
    ) -> anyhow::Result<(Target, Option<String>)> {
        if let (Some(server), Some(key)) = (&self.server, &self.key) {
            return Ok((Target::parse(server, key)?, self.gateway.clone()));
        }
        let beckon = self
            .spawn
            .as_ref()
            .context("give either --spawn or --server with --key")?;
        let path = |name: &str| folder.join(name).display().to_string();
        let dir = path("gateway");
        let arguments = [
            "sandbox",
            "--dir",
            &dir,
            "--listen",
            "127.0.0.1:0",
            "--http-listen",
            "127.0.0.1:0",
        ];
        let gateway = Process::start(beckon, &arguments, KEY, "server ")?;
        let log = gateway.word_after("curl '")?;
        processes.push(gateway);
        let (config, store) = (format!("{dir}/beckon.toml"), format!("sqlite:{}", path("store")));
        let arguments = [
            "serve",
            "--config",
            &config,
            "--listen",
            "127.0.0.1:0",
            "--store",
            &store,
        ];
        let server = Process::start(beckon, &arguments, KEY, "listens on")?;
        let target = Target::parse(&server.word_after("listens on ")?, KEY)?;
        processes.push(server);
        Ok((target, Some(log.trim_end_matches("/log").to_owned())))
    }

    /// Uploads the geofences, writes the campaign and registers the phones.
    async fn prepare(&self, server: &Target, world: &World) -> anyhow::Result<()> {
        let mut connection = Connection::open(server).await?;
        for (set, file) in world.files() {
            say(&format!("uploading {set}: {:.1} MB", file.len() as f64 / 1e6))?;
            let path = format!("/v1/geofence-sets/{set}");
            connection.must("PUT", &path, "application/geo+json", file).await?;
        }
        let campaign = json!({
            "id": "load", "trigger": {"on": "entered", "geofences": {"tag": "shop"}}, "validFor": "P1D",
            "caps": [{"max": 1, "per": "P31D"}],
            "offers": [{"message": {"en": {"title": "Welcome", "body": "to {{ geofence.externalId }}"}}}],
        });
        connection
            .must("PUT", "/v1/campaigns/load", "application/json", campaign.to_string())
            .await?;
        say(&format!("registering {} phones", self.phones))?;
        let mut workers = JoinSet::new();
        for worker in 0..PREPARING {
            let (server, phones) = (server.clone(), self.phones);
            workers.spawn(async move {
                let mut connection = Connection::open(&server).await?;
                for phone in (worker..phones).step_by(PREPARING) {
                    let body = json!({"platform": "ios", "app": "app.beckon.load", "pushToken": token(phone),
                        "userId": format!("user-{phone}")});
                    let path = format!("/v1/devices/phone-{phone}");
                    connection
                        .must("PUT", &path, "application/json", body.to_string())
                        .await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = workers.join_next().await {
            done??;
        }
        Ok(())
    }

    fn parameters(&self) -> Value {
        json!({
            "scenario": "commute", "fences": self.fences, "phones": self.phones, "connections": self.connections,
            "entering": self.entering, "rounds": self.rounds, "seconds": self.seconds, "seed": self.seed,
            "cores": std::thread::available_parallelism().map(usize::from).unwrap_or_default(),
        })
    }
}

/// Waits until every push that is under way has arrived, and forgets them.
async fn settle(gateway: &mut Gateway, walk: &Walk) -> anyhow::Result<()> {
    let patience = Instant::now() + ARRIVAL_PATIENCE;
    let mut arrived = 0;
    while arrived < walk.entered.load(Ordering::Relaxed) && Instant::now() < patience {
        arrived += gateway.arrivals().await?.len() as u64;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// How long each first entry's push took from its due time, in microseconds (the gateway's log has milliseconds).
async fn time_arrivals(
    gateway: &mut Gateway,
    walk: &Walk,
    before: &[bool],
    entered: u64,
) -> anyhow::Result<Histogram<u64>> {
    let mut took = latencies()?;
    let patience = Instant::now() + ARRIVAL_PATIENCE;
    while took.len() < entered && Instant::now() < patience {
        for arrival in gateway.arrivals().await? {
            let Ok(phone) = usize::from_str_radix(&arrival.token, 16) else {
                continue;
            };
            if before.get(phone).copied().unwrap_or(true) {
                continue;
            }
            let due_ms = walk.entered_at[phone].load(Ordering::Relaxed);
            let late_ms = arrival.at_ms.saturating_sub(due_ms).max(0) as u64;
            took.saturating_record((late_ms * 1000).max(1));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(took)
}
