//! `beckon serve`.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context as _, anyhow};
use beckon::{
    app::{Server, SystemClock},
    config::Config,
    telemetry,
};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::output;

/// Run the server.
///
/// The first start makes an admin key and a publishable key and prints them once. SIGTERM or Ctrl-C takes it down in
/// order; nothing that was acknowledged is lost by that, nor by a crash.
#[derive(Args)]
pub(crate) struct Serve {
    /// Settings that differ from the defaults (`beckon config defaults` shows those)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where everything is kept: sqlite:DIRECTORY, redis://HOST:PORT or redis+cluster://HOST:PORT,HOST:PORT
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Adopt this admin key instead of making one
    #[arg(long, env = "BECKON_ADMIN_KEY", hide_env_values = true)]
    admin_key: Option<String>,
}

impl Serve {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut config = Config::load(self.config.as_deref()).context("the settings can't be used")?;
        config.http.listen = self.listen.unwrap_or(config.http.listen);
        config.store.url = self.store.unwrap_or(config.store.url);
        telemetry::start(&config.log).map_err(|error| anyhow!(error))?;
        let mut stop = Stop::listen()?;
        let server = Server::start(&config, Arc::new(SystemClock), self.admin_key.as_deref()).await?;
        output::line(format!("Beckon listens on {}", server.url()))?;
        if let Some(keys) = &server.first_keys {
            output::line("These keys are shown this once; keep them:")?;
            output::line(format!("  admin key        {}", keys.admin))?;
            output::line(format!("  publishable key  {}   (for apps)", keys.publishable))?;
        }
        stop.wait().await;
        server.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}

/// SIGTERM and Ctrl-C.
pub(crate) struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    /// From now on the signals no longer kill the process.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("can't listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits for the first of them.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
