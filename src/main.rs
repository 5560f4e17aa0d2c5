//! The command line.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;

/// What one thread makes another one drops all the time (requests, commits, pushes); the system's allocator makes them wait
/// for each other there.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let command = cli::Command::parse();
    match cli::run(command) {
        Ok(code) => code,
        Err(error) => {
            cli::output::complain(&error);
            ExitCode::FAILURE
        }
    }
}
