//! A store with many customers: filled by a process that is killed, opened again, and then all timers come due.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::bail;
use beckon::{
    domain::time::DurationMs,
    engine::{ingest::UnknownDevice, timers::TimerLimits},
};
use clap::Args;
use tokio::sync::watch;

use super::{AheadClock, RedisServer, all_taken, check_in, engine, workspace};
use crate::spawn::Process;

/// Check-ins in one array.
const ARRAY: usize = 500;
/// A visit of which nothing is heard ends after six hours.
const AHEAD: DurationMs = DurationMs::from_secs(7 * 3600);
/// How long all timers may take.
const PATIENCE: Duration = Duration::from_mins(15);

/// Fills a store and waits to be killed
#[derive(Args)]
pub(crate) struct EngineFill {
    #[arg(long)]
    store: String,
    #[arg(long)]
    customers: usize,
}

impl EngineFill {
    #[expect(clippy::print_stdout, reason = "the parent reads it")]
    pub(crate) async fn run(self) -> anyhow::Result<std::process::ExitCode> {
        let engine = engine(&self.store, Arc::default()).await?;
        let workspace = workspace()?;
        for start in (0..self.customers).step_by(ARRAY) {
            let phones = start..(start + ARRAY).min(self.customers);
            let request = phones
                .map(|phone| check_in(&engine, phone, phone as u64, true))
                .collect::<Result<Vec<_>, _>>()?;
            all_taken(engine.check_in(&workspace, request, UnknownDevice::Create).await)?;
        }
        println!("filled");
        std::future::pending().await
    }
}

/// Prints what many customers take, and how long a start and their timers do.
#[expect(clippy::print_stdout, reason = "the report")]
pub(super) async fn measure(
    url: &str,
    folder: &Path,
    redis: Option<&RedisServer>,
    customers: usize,
) -> anyhow::Result<()> {
    let url = if redis.is_some() {
        format!("{url}?prefix=filled")
    } else {
        format!("{url}/filled")
    };
    let before = redis.map_or(Ok(0), RedisServer::used_memory)?;
    let count = customers.to_string();
    let start = Instant::now();
    let program = std::env::current_exe()?;
    let filler = Process::start(
        &program,
        &["engine-fill", "--store", &url, "--customers", &count],
        "sk_unused_0123456789abcdef",
        "filled",
    )?;
    println!(
        "  {customers} customers came in within {:.1} s",
        start.elapsed().as_secs_f64()
    );
    // Its end is a kill -9.
    drop(filler);
    let bytes = match redis {
        Some(redis) => redis.used_memory()?.saturating_sub(before),
        None => folder_bytes(&folder.join("filled"))?,
    };
    println!(
        "  {:.0} bytes a customer, with one visit and one fact",
        bytes as f64 / customers as f64
    );

    let start = Instant::now();
    let clock = Arc::new(AheadClock(AtomicI64::new(0)));
    let engine = engine(&url, Arc::clone(&clock)).await?;
    let request = vec![check_in(&engine, 0, u64::MAX, true)?];
    all_taken(engine.check_in(&workspace()?, request, UnknownDevice::Refuse).await)?;
    println!(
        "  after kill -9: first check-in answered {:.2} s after the start",
        start.elapsed().as_secs_f64()
    );

    clock.0.store(AHEAD.0, Ordering::Relaxed);
    let limits = TimerLimits {
        batch_max: 1_000,
        lease: DurationMs::from_secs(30),
        sweep: Duration::from_secs(1),
    };
    let (stop, stopping) = watch::channel(false);
    let start = Instant::now();
    let timers = tokio::spawn(Arc::clone(&engine).wake_records(limits, stopping));
    loop {
        let next = engine.store.hot.next_wake().await?;
        if next.is_none_or(|next| next > engine.clock.now()) {
            break;
        }
        if start.elapsed() > PATIENCE {
            bail!("the timers have not caught up within {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "  {customers} timers that are all due: done within {seconds:.1} s, {:.0}/s",
        customers as f64 / seconds
    );
    stop.send_replace(true);
    timers.await?;
    engine.store.hot.close().await;
    Ok(())
}

fn folder_bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
