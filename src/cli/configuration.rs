//! `beckon config`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use beckon::config::{Config, DEFAULTS};
use clap::Subcommand;

use super::output;

/// Check settings and show the defaults.
#[derive(Subcommand)]
pub(crate) enum Configuration {
    /// Check a file of settings, with the environment's variables over it
    Check {
        /// The file; without it the defaults and variables alone are checked
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Show every setting with its default and what it means
    Defaults,
}

impl Configuration {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Defaults => output::line(DEFAULTS.trim_end())?,
            Self::Check { config } => {
                let config = Config::load(config.as_deref()).context("the settings can't be used")?;
                let pushes = [
                    ("iOS", config.push.apns_client()?.is_some()),
                    ("Android", config.push.fcm_client()?.is_some()),
                ];
                output::line(format!(
                    "The settings are good. Listens on {}, keeps everything in {}.",
                    config.http.listen,
                    beckon::store::without_password(&config.store.url)
                ))?;
                for (platform, ready) in pushes {
                    output::line(format!(
                        "  pushes to {platform}: {}",
                        if ready { "yes" } else { "no credentials are set" }
                    ))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
