//! `loadtest replace`: a set of a million geofences is replaced again and again while clients ask what is where.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    client::{Connection, Target},
    random::Random,
    spawn::Process,
};

/// The key of the server that is started.
const KEY: &str = "sk_loadtest_0123456789abcdef";
/// Geofences round one place, by which every answer shows which version it comes from.
const WITNESSES: usize = 10;
/// Where they are: latitude and longitude.
const WITNESSED: (f64, f64) = (46.5, 12.3);
/// Each client asks there in one of so many questions.
const WITNESS_EVERY: u64 = 4;

/// A set of a million geofences is replaced again and again while clients ask.
///
/// The latency of a question counts from the moment at which it was due. First nobody uploads, then two versions of the
/// set take turns. Every answer must come from one version as a whole.
#[derive(Args)]
pub(crate) struct Replace {
    /// The `beckon` to start, with a store of its own
    #[arg(long, value_name = "BECKON")]
    spawn: PathBuf,
    /// Geofences of the set
    #[arg(long, default_value_t = 1_000_000)]
    fences: usize,
    /// Clients, each with a connection
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// Questions a second of each client
    #[arg(long, default_value_t = 250.0)]
    rate: f64,
    /// Seconds without uploads
    #[arg(long, default_value_t = 15.0)]
    seconds: f64,
    /// Replacements
    #[arg(long, default_value_t = 6)]
    swaps: usize,
    /// Seed of the places
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What the clients saw, in microseconds.
struct Seen {
    latencies: Histogram<u64>,
    failed: u64,
    mixed: u64,
}

impl Replace {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let folder = std::env::temp_dir().join(format!("beckon-replace-{}", std::process::id()));
        let store = format!("sqlite:{}", folder.display());
        let server = Process::start(
            &self.spawn,
            &["serve", "--listen", "127.0.0.1:0", "--store", &store],
            KEY,
            "listens on",
        )?;
        let target = Target::parse(&server.word_after("listens on ")?, KEY)?;
        let done = self.measure(&target).await;
        drop(server);
        std::fs::remove_dir_all(&folder).context("the run's folder could not be removed")?;
        done
    }

    async fn measure(&self, target: &Target) -> anyhow::Result<ExitCode> {
        let versions = ["a", "b"].map(|version| Bytes::from(self.file(version)));
        upload(target, &versions[0]).await?;
        let quiet_until = Instant::now() + Duration::from_secs_f64(self.seconds);
        let quiet = self.ask(target, async move {
            tokio::time::sleep_until(quiet_until.into()).await;
            Ok(())
        });
        let (quiet, ()) = quiet.await?;
        let (swaps, mut took) = (self.swaps, Vec::new());
        let swapping = self.ask(target, async move {
            for swap in 0..swaps {
                let begun = Instant::now();
                upload(target, &versions[(swap + 1) % 2]).await?;
                took.push(begun.elapsed().as_secs_f64());
            }
            Ok(took)
        });
        let (swapping, took) = swapping.await?;

        let mut out = std::io::stdout().lock();
        writeln!(out, "{:<28}{:>14}{:>14}{:>8}", "", "no uploads", "uploads", "ratio")?;
        for (name, quantile) in [
            ("p50", 0.5),
            ("p90", 0.9),
            ("p99", 0.99),
            ("p99.9", 0.999),
            ("max", 1.0),
        ] {
            let [before, during] =
                [&quiet, &swapping].map(|seen| seen.latencies.value_at_quantile(quantile) as f64 / 1000.0);
            let row = format!(
                "{:<28}{before:>14.2}{during:>14.2}{:>8.2}",
                format!("answer {name}, ms"),
                during / before
            );
            writeln!(out, "{row}")?;
        }
        let seconds: Vec<String> = took.iter().map(|seconds| format!("{seconds:.1}")).collect();
        writeln!(
            out,
            "questions: {} and {}",
            quiet.latencies.len(),
            swapping.latencies.len()
        )?;
        writeln!(out, "uploads of {} geofences, s: {}", self.fences, seconds.join(", "))?;
        let (failed, mixed) = (quiet.failed + swapping.failed, quiet.mixed + swapping.mixed);
        writeln!(out, "failed: {failed}, of two versions: {mixed}")?;
        Ok(if failed + mixed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// A CSV file of circles whose field `v` names the version.
    fn file(&self, version: &str) -> String {
        let mut random = Random::new(self.seed);
        let mut text = "id,lat,lon,radius,metadata.v\n".to_owned();
        for id in 0..self.fences {
            let (latitude, longitude, radius) = if id < WITNESSES {
                (WITNESSED.0, WITNESSED.1, 200)
            } else {
                let (north, east) = (random.fraction() * 100.0 - 45.0, random.fraction() * 340.0 - 170.0);
                (north, east, 100 + random.below(400))
            };
            writeln!(text, "{id},{latitude:.6},{longitude:.6},{radius},{version}").unwrap_or_default();
        }
        text
    }

    /// Lets the clients ask until `meanwhile` is over.
    async fn ask<T>(
        &self,
        target: &Target,
        meanwhile: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(Seen, T)> {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for client in 0..self.clients {
            let connection = Connection::open(target).await?;
            let (is_over, gap) = (Arc::clone(&is_over), Duration::from_secs_f64(1.0 / self.rate));
            let random = Random::new(self.seed + client as u64);
            let start = Instant::now() + gap.mul_f64(client as f64 / self.clients as f64);
            clients.spawn(ask(connection, random, start, gap, is_over));
        }
        let done = meanwhile.await;
        is_over.store(true, Ordering::Relaxed);
        let mut all = Seen {
            latencies: Histogram::new(3)?,
            failed: 0,
            mixed: 0,
        };
        while let Some(seen) = clients.join_next().await {
            let seen = seen??;
            all.latencies.add(&seen.latencies)?;
            all.failed += seen.failed;
            all.mixed += seen.mixed;
        }
        Ok((all, done?))
    }
}

async fn upload(target: &Target, file: &Bytes) -> anyhow::Result<()> {
    let answer = Connection::open(target)
        .await?
        .must("PUT", "/v1/geofence-sets/million", "text/csv", file.clone())
        .await?;
    let answer: Value = serde_json::from_slice(&answer)?;
    if answer["rejected"] != 0 {
        bail!("the server rejected geofences: {answer}");
    }
    Ok(())
}

/// One client's questions at a steady pace.
async fn ask(
    mut connection: Connection,
    mut random: Random,
    start: Instant,
    gap: Duration,
    is_over: Arc<AtomicBool>,
) -> anyhow::Result<Seen> {
    let mut seen = Seen {
        latencies: Histogram::new(3)?,
        failed: 0,
        mixed: 0,
    };
    for number in 0_u64.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let due = start + gap.mul_f64(number as f64);
        tokio::time::sleep_until(due.into()).await;
        let is_witness = number % WITNESS_EVERY == 0;
        let (latitude, longitude) = if is_witness {
            WITNESSED
        } else {
            (random.fraction() * 100.0 - 45.0, random.fraction() * 340.0 - 170.0)
        };
        let path = format!("/v1/context?latitude={latitude}&longitude={longitude}");
        let (status, body) = connection.call("GET", &path, "", Bytes::new()).await?;
        seen.latencies.record(due.elapsed().as_micros() as u64)?;
        if status != 200 {
            seen.failed += 1;
        } else if is_witness && !is_of_one_version(&body) {
            seen.mixed += 1;
        }
    }
    Ok(seen)
}

fn is_of_one_version(body: &[u8]) -> bool {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        return false;
    };
    let Some(geofences) = answer["geofences"].as_array() else {
        return false;
    };
    let version = |geofence: &Value| geofence["metadata"]["v"].clone();
    let first = geofences.first().map(version);
    let witnesses = geofences.iter().filter(|geofence| Some(version(geofence)) == first);
    geofences.len() >= WITNESSES && witnesses.count() == geofences.len()
}
