//! The process that sends, and what it measures about itself.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use beckon::{
    app::SystemClock,
    domain::{
        delivery::{Environment, Message, Outcome, Platform, Push, PushTarget},
        ids::{AppId, DeliveryId, PushToken, WorkspaceId},
        time::{DurationMs, Timestamp},
    },
    engine::ports::{Clock, PushSender, SharedTokens},
    push::{ApnsConfig, PoolOptions, Providers},
    store::OneProcess,
};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{bare, cpu_ns, gateway::Gateway, on_core, println};

/// A request that takes longer is a failure.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Share of the pushes that warm up: connections, tables, caches.
const WARM_UP: usize = 20;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Beckon's APNs client.
    Beckon,
    /// `h2` and nothing else.
    Bare,
}

/// What a client found.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    pushes: usize,
    cpu_ns: u64,
    wall_ns: u64,
}

impl Measured {
    /// CPU time a push, in microseconds.
    pub(super) fn cpu_us(&self) -> f64 {
        self.cpu_ns as f64 / 1e3 / self.pushes as f64
    }

    /// Pushes a second.
    pub(super) fn per_second(&self) -> f64 {
        self.pushes as f64 / (self.wall_ns as f64 / 1e9)
    }
}

/// The client itself.
#[derive(Args)]
pub(crate) struct PushClient {
    #[arg(long)]
    kind: Kind,
    #[arg(long)]
    url: String,
    #[arg(long)]
    ca_file: PathBuf,
    #[arg(long)]
    pushes: usize,
    #[arg(long)]
    connections: usize,
    #[arg(long)]
    in_flight: usize,
}

/// Runs a client to its end.
pub(super) fn start(
    kind: Kind,
    gateway: &Gateway,
    pushes: usize,
    connections: usize,
    in_flight: usize,
) -> anyhow::Result<Measured> {
    let kind = kind.to_possible_value().context("a kind has a name")?;
    let arguments = [
        "push-client".to_owned(),
        format!("--kind={}", kind.get_name()),
        format!("--url={}", gateway.url),
        format!("--ca-file={}", gateway.ca_file.display()),
        format!("--pushes={pushes}"),
        format!("--connections={connections}"),
        format!("--in-flight={in_flight}"),
    ];
    let output = on_core(0, &arguments)?.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("the client failed");
    }
    serde_json::from_slice(&output.stdout).context("the client's figures")
}

impl PushClient {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?
            .block_on(async {
                let ca_pem = std::fs::read_to_string(&self.ca_file)?;
                let measured = match self.kind {
                    Kind::Bare => {
                        let loops = bare::Loops::open(&self.url, &ca_pem, self.connections).await?;
                        self.measure(async |pushes| loops.send(pushes, self.in_flight).await)
                            .await?
                    }
                    Kind::Beckon => {
                        let providers = providers(&self.url, ca_pem, self.connections)?;
                        self.measure(async |pushes| beckon(&providers, pushes, self.in_flight).await)
                            .await?
                    }
                };
                println(&serde_json::to_string(&measured)?);
                Ok(())
            })
    }

    async fn measure(&self, send: impl AsyncFn(usize) -> anyhow::Result<()>) -> anyhow::Result<Measured> {
        send((self.pushes / WARM_UP).max(self.in_flight)).await?;
        let (cpu, wall) = (cpu_ns()?, Instant::now());
        send(self.pushes).await?;
        Ok(Measured {
            pushes: self.pushes,
            cpu_ns: cpu_ns()? - cpu,
            wall_ns: u64::try_from(wall.elapsed().as_nanos())?,
        })
    }
}

fn providers(url: &str, ca_pem: String, connections: usize) -> anyhow::Result<Arc<Providers>> {
    let key = rcgen::KeyPair::generate()?.serialize_pem();
    let config = ApnsConfig {
        base_url: url.to_owned(),
        sandbox_base_url: url.to_owned(),
        ca_pem: Some(ca_pem),
        pool: PoolOptions {
            connections_max: connections,
            ..PoolOptions::default()
        },
        ..ApnsConfig::new(key.into(), "KEY4567890", "TEAM567890")
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store: Arc<dyn SharedTokens> = Arc::new(OneProcess::default());
    Ok(Arc::new(Providers::new(Some(&config), None, &clock, &store)?))
}

/// As many workers as there may be pushes in flight, each of which sends one after the other.
async fn beckon(providers: &Arc<Providers>, pushes: usize, in_flight: usize) -> anyhow::Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for worker in 0..in_flight {
        let (providers, next) = (Arc::clone(providers), Arc::clone(&next));
        let mut push = push(worker)?;
        workers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= pushes {
                    return Ok(());
                }
                push.delivery = DeliveryId(uuid(number));
                let outcome = providers.send(&push, tokio::time::Instant::now() + SEND_TIMEOUT).await;
                if !matches!(outcome, Outcome::Accepted { .. }) {
                    bail!("{outcome:?}");
                }
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    Ok(())
}

/// A different one for each push.
pub(super) fn uuid(number: usize) -> uuid::Uuid {
    uuid::Uuid::from_u64_pair(0x3f25_04e0_4f89_41d3, 0x9a0c_0305_0000_0000 | number as u64)
}

fn push(worker: usize) -> anyhow::Result<Push> {
    Ok(Push {
        delivery: DeliveryId(uuid(worker)),
        workspace: WorkspaceId::new("default")?,
        target: PushTarget {
            platform: Platform::Ios,
            app: AppId::new("com.example.app")?,
            token: PushToken::new(device_token(worker))?,
            environment: Environment::Production,
            registered_at: Timestamp(0),
        },
        message: Message {
            title: "Mia, your Rose Cream".to_owned(),
            body: "20 % off skincare today, just inside the door.".to_owned(),
            shortened: false,
        },
        options: Arc::default(),
        data: vec![
            ("deliveryId".to_owned(), uuid(worker).to_string()),
            ("campaign".to_owned(), "duty-free-usual".to_owned()),
        ],
        expires_at: SystemClock.now().plus(DurationMs::from_secs(1800)),
    })
}

pub(super) fn device_token(worker: usize) -> String {
    format!("{worker:064x}")
}
