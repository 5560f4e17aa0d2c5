//! `beckon campaigns`.

mod check;
mod files;
mod pull;
mod push;

use std::{path::PathBuf, process::ExitCode};

use beckon::domain::campaign::Campaign;
use clap::Subcommand;

use super::output;

/// Keep campaigns as files, in git for example.
#[derive(Subcommand)]
pub(crate) enum Campaigns {
    /// Say what is wrong with campaign files, without a server; fails when something is
    Check {
        /// JSON files, and folders whose `*.json` are meant (not those of their subfolders)
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// For machines: a line for each file
        #[arg(long)]
        json: bool,
    },
    /// Make a server's campaigns what the files say; what is unchanged gets no new version
    Push(push::Push),
    /// Write a server's campaigns as files
    Pull(pull::Pull),
    /// Print the JSON Schema of a campaign, for editors
    Schema,
}

impl Campaigns {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Check { files, json } => check::check(&files, json),
            Self::Push(push) => push.run(),
            Self::Pull(pull) => pull.run(),
            Self::Schema => {
                output::line(format!("{:#}", Campaign::json_schema()))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}
