//! `beckon sandbox`.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context as _, anyhow};
use beckon::{
    app::SystemClock,
    push::sandbox::{FaultScript, Sandbox, SandboxOptions},
};
use clap::Args;

use super::{output, serve::Stop};

/// Run a strict stand-in for APNs and FCM.
///
/// It makes keys and certificates in its directory, and a `beckon.toml` that makes a server push to it. It refuses what
/// the providers refuse and keeps a log of what arrived.
#[derive(Args)]
pub(crate) struct SandboxCommand {
    /// Where keys, certificates and the settings for the server are kept
    #[arg(long, value_name = "DIRECTORY", default_value = "beckon-sandbox")]
    dir: PathBuf,
    /// Where pushes arrive (HTTP/2 over TLS)
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Where the log and the access tokens are (plain HTTP)
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    http_listen: SocketAddr,
    /// What goes wrong: a JSON script (docs/sandbox.md)
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Streams on one connection at the same time
    #[arg(long, value_name = "N", default_value_t = 1000)]
    streams: u32,
    /// One stream only until a connection's first push was accepted, as Apple does it
    #[arg(long)]
    cautious: bool,
    /// Requests that the log keeps
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    log_entries: usize,
}

impl SandboxCommand {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut stop = Stop::listen()?;
        let faults = match &self.faults {
            None => FaultScript::default(),
            Some(path) => {
                let text = std::fs::read(path).with_context(|| path.display().to_string())?;
                FaultScript::read(&text).map_err(|why| anyhow!("{}: {why}", path.display()))?
            }
        };
        let options = SandboxOptions {
            tls_listen: self.listen,
            http_listen: self.http_listen,
            faults,
            streams_max: self.streams.max(1),
            cautious: self.cautious,
            log_entries_max: self.log_entries,
            ..SandboxOptions::new(self.dir, Arc::new(SystemClock))
        };
        let sandbox = Sandbox::start(options).await?;
        output::line(format!("The sandbox takes pushes on {}", sandbox.apns_url()))?;
        output::line(format!("  log     curl '{}/log'", sandbox.http_url()))?;
        output::line(format!(
            "  server  beckon serve --config {}",
            sandbox.files().config.display()
        ))?;
        stop.wait().await;
        sandbox.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}
