//! The geofence index by itself. A program of its own, because its allocator counts, which would slow down all else.

#[path = "../index/mod.rs"]
mod index;
#[path = "../random.rs"]
mod random;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use peak_alloc::PeakAlloc;

/// Counts what is allocated, for the index's bytes a fence.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Measures the geofence index.
#[derive(Subcommand)]
enum Scenario {
    /// The geofence index against rstar with geo, on one core
    Compare(index::Index),
    /// Queries from several threads while a new index is built and swapped in, and without
    Swap(index::Swap),
}

#[derive(Parser)]
#[command(about, version)]
struct Command {
    #[command(subcommand)]
    scenario: Scenario,
}

fn main() -> anyhow::Result<ExitCode> {
    match Command::parse().scenario {
        Scenario::Compare(scenario) => scenario.run(),
        Scenario::Swap(scenario) => scenario.run(),
    }
}
