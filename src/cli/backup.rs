//! `beckon backup`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use beckon::{app::SystemClock, config::Config, engine::ports::Clock as _, store};
use clap::Args;

use super::output;

/// Copy the embedded store while the server runs.
#[derive(Args)]
pub(crate) struct Backup {
    /// The folder to copy into, which is made when it is missing
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// The settings of the server whose store it is
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The store, where the settings don't name it
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

impl Backup {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let config = Config::load(self.config.as_deref()).context("the settings can't be used")?;
        let url = self.store.unwrap_or(config.store.url);
        let made = store::back_up(&url, &self.to, SystemClock.now())?;
        output::line(format!(
            "{} holds {} customers in {:.1} MB; {} pushes had not ended and end as unknown there.",
            self.to.display(),
            made.customers,
            made.bytes as f64 / 1e6,
            made.open_deliveries
        ))?;
        output::line(format!(
            "To restore it, start a server on it: beckon serve --store sqlite:{}",
            self.to.display()
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
