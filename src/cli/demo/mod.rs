//! `beckon demo`: everything in one process, on real sockets and a real store, and a story told through the public API.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use beckon::{
    app::{Server, SystemClock},
    config::Config,
    push::sandbox::{Sandbox, SandboxOptions},
    telemetry,
};
use clap::Args;

use super::{
    client::{Client, Connection},
    output,
    serve::Stop,
};

mod draw;
mod samples;
mod story;
mod teller;

use samples::Samples;
use teller::Teller;

/// Says that a folder is the demo's own and may be emptied.
const MARKER: &str = ".beckon-demo";
/// Pause between two scenes of the story.
const PAUSE: Duration = Duration::from_millis(1500);

/// Run a server, a provider stand-in and a story of two travellers.
///
/// Ada travels on business, Mia likes to shop. Their phones check in on their way through an airport; each push is drawn
/// when it arrives at the gateway that stands in for Apple and Google. The server stays up afterwards, for you to try.
#[derive(Args)]
pub(crate) struct Demo {
    /// Tell the story as fast as it goes, check it and end: 0 when exactly the expected pushes arrived
    #[arg(long)]
    once: bool,
    /// The demo's own folder; emptied at each start
    #[arg(long, value_name = "DIRECTORY", default_value = "beckon-demo")]
    data: PathBuf,
    /// Address and port of the server [default: 127.0.0.1:8080, or a free port when that is taken or with --once]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Geofence files of the story [default: ./geofences, else the ones that are compiled in]
    #[arg(long, value_name = "DIRECTORY")]
    geofences: Option<PathBuf>,
    /// Campaigns of the story [default: ./config/campaigns, else the ones that are compiled in]
    #[arg(long, value_name = "DIRECTORY")]
    campaigns: Option<PathBuf>,
}

impl Demo {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        self.empty_folder()?;
        let mut stop = Stop::listen()?;
        let sandbox = Sandbox::start(SandboxOptions::new(self.data.join("gateway"), Arc::new(SystemClock))).await?;
        let mut config = Config::load(Some(&sandbox.files().config)).context("the settings can't be used")?;
        config.store.url = format!("sqlite:{}", self.data.join("store").display());
        config.http.listen = self.address();
        "warn".clone_into(&mut config.log.level);
        telemetry::start(&config.log).map_err(|error| anyhow!(error))?;
        let server = Server::start(&config, Arc::new(SystemClock), None).await?;
        let keys = server.first_keys.clone().context("the demo's store is not fresh")?;
        output::line(format!(
            "Beckon listens on {}, the gateway on {}.",
            server.url(),
            sandbox.apns_url()
        ))?;

        let connection = Connection {
            server: server.url(),
            key: Some(keys.admin.clone()),
        };
        let samples = Samples::load(self.geofences.as_deref(), self.campaigns.as_deref())?;
        let pause = if self.once { Duration::ZERO } else { PAUSE };
        let teller = Teller::new(Client::new(&connection)?, sandbox.subscribe(), pause);
        let telling = tokio::task::spawn_blocking(move || teller.tell(&samples));
        let told = tokio::select! {
            told = telling => told.context("the story broke off")?,
            () = stop.wait() => bail!("stopped in the middle of the story"),
        };
        let good = match &told {
            Ok(summary) => summary.is_as_expected(),
            Err(_) => false,
        };
        if !self.once && good {
            Self::invite(&server.url(), &keys.admin)?;
            stop.wait().await;
        }
        server.stop().await;
        sandbox.stop().await;
        let summary = told?;
        for surprise in &summary.surprises {
            output::note(format!("not as expected: {surprise}"))?;
        }
        output::line(summary)?;
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Where the server listens: the usual port when it is free.
    fn address(&self) -> SocketAddr {
        let port = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let is_free = |address| std::net::TcpListener::bind(address).is_ok();
        match self.listen {
            Some(address) => address,
            None if !self.once && is_free(port(8080)) => port(8080),
            None => port(0),
        }
    }

    /// Empties the demo's folder; refuses one that holds anything else.
    fn empty_folder(&self) -> anyhow::Result<()> {
        let folder = &self.data;
        if folder.exists()
            && folder
                .read_dir()
                .with_context(|| folder.display().to_string())?
                .next()
                .is_some()
        {
            if !folder.join(MARKER).exists() {
                bail!(
                    "{} is not empty and not the demo's; choose another folder with --data",
                    folder.display()
                );
            }
            std::fs::remove_dir_all(folder).with_context(|| format!("can't empty {}", folder.display()))?;
        }
        std::fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
        std::fs::write(folder.join(MARKER), "").with_context(|| format!("can't write into {}", folder.display()))
    }

    fn invite(url: &str, key: &str) -> anyhow::Result<()> {
        output::line(format!("\nThe server stays up at {url} until Ctrl-C. Try:\n"))?;
        for line in [
            format!("curl -s -H 'Authorization: Bearer {key}' '{url}/v1/context?latitude=46.5072&longitude=12.3165'"),
            format!(
                "curl -s -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' {url}/v1/check-ins \
                 -d '{{\"deviceId\": \"my-phone\", \"location\": {{\"latitude\": 46.508, \"longitude\": 12.32}}}}'"
            ),
            format!("curl -s -H 'Authorization: Bearer {key}' '{url}/v1/deliveries?userId=mia'"),
        ] {
            output::line(format!("  {line}"))?;
        }
        Ok(())
    }
}
