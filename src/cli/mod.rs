//! What `beckon` does when it is called.

use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Parser, Subcommand};

mod backup;
mod campaigns;
mod client;
mod configuration;
mod dead_letters;
mod demo;
mod geofences;
mod keys;
pub(crate) mod output;
mod progress;
mod replay;
mod sandbox;
mod serve;
mod why;

/// Turns "this customer is here, now" into one well-chosen push.
///
/// `beckon demo` shows it all in a minute: server, provider stand-in and a story of two travellers. `beckon serve` is the
/// server itself.
#[derive(Parser)]
#[command(name = "beckon", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Run the server
    Serve(serve::Serve),
    /// Run a server, a provider stand-in and a story of two travellers
    Demo(demo::Demo),
    /// Run a strict stand-in for APNs and FCM
    Sandbox(sandbox::SandboxCommand),
    /// Check and import geofence files
    #[command(subcommand)]
    Geofences(geofences::Geofences),
    /// Keep campaigns as files: check, push and pull them
    #[command(subcommand)]
    Campaigns(campaigns::Campaigns),
    /// Post a recorded track as check-ins
    Replay(replay::Replay),
    /// Tell why a customer got a push, or none
    Why(why::Why),
    /// Make, list and remove API keys
    Keys(keys::Keys),
    /// Look at pushes that were set aside, and queue them anew
    DeadLetters(dead_letters::DeadLetters),
    /// Copy the embedded store while the server runs
    ///
    /// To restore, start a server on the copy: `beckon serve --store sqlite:FOLDER`. It sends nothing that the original may
    /// have sent: pushes that waited when the copy was made end as unknown in it.
    Backup(backup::Backup),
    /// Check settings and show the defaults
    #[command(subcommand)]
    Config(configuration::Configuration),
}

/// Runs a command; its exit code is 0 for done and 1 for failed. Wrong use ends with 2 before this.
pub(crate) fn run(command: Command) -> anyhow::Result<ExitCode> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow!("another TLS provider is installed already"))?;
    match command.what {
        What::Serve(command) => runtime()?.block_on(command.run()),
        What::Demo(command) => runtime()?.block_on(command.run()),
        What::Sandbox(command) => runtime()?.block_on(command.run()),
        What::Geofences(command) => command.run(),
        What::Campaigns(command) => command.run(),
        What::Replay(command) => command.run(),
        What::Why(command) => command.run(),
        What::Keys(command) => command.run(),
        What::DeadLetters(command) => command.run(),
        What::Backup(command) => command.run(),
        What::Config(command) => command.run(),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("can't start threads")
}
