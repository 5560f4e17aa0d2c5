//! The load generator: open loop, so that a slow answer never delays the next request, and the time that a request waits
//! for a free connection counts (no coordinated omission).

mod client;
mod commute;
mod decide;
mod dispatch;
mod drive;
mod engine;
mod gateway;
mod idle;
mod push;
mod random;
mod replace;
mod report;
mod spawn;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Puts Beckon under load and says what it does, beside an HTTP server that does nothing.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Command {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Phones that walk between geofences, most check-ins changing nothing
    Commute(commute::Commute),
    /// One decision among 10 to 10,000 active campaigns, of which ten fit, on one core
    Decide(decide::Decide),
    /// Pushes from the outbox to the gateway, on SQLite and on Redis; one event to many followers
    Dispatch(dispatch::Dispatch),
    /// Check-ins into the engine without HTTP, on SQLite and on Redis, beside the raw store
    Engine(engine::EngineRun),
    /// Fills a store and waits to be killed
    #[command(hide = true)]
    EngineFill(engine::EngineFill),
    /// The push client against a bare `h2` loop: CPU a push, and pushes a second over a slow gateway
    Push(push::Push),
    /// A client that measures itself
    #[command(hide = true)]
    PushClient(push::PushClient),
    /// A gateway that takes everything
    #[command(hide = true)]
    PushGateway(push::PushGateway),
    /// A large set that is replaced on a server while clients ask
    Replace(replace::Replace),
    /// The server that does nothing
    #[command(hide = true)]
    IdleServer(idle::IdleServer),
}

fn main() -> anyhow::Result<ExitCode> {
    match Command::parse().scenario {
        Scenario::Commute(scenario) => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(scenario.run()),
        Scenario::Dispatch(scenario) => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(scenario.run()),
        Scenario::Engine(scenario) => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(scenario.run()),
        Scenario::EngineFill(scenario) => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(scenario.run()),
        Scenario::Replace(scenario) => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(scenario.run()),
        Scenario::Push(scenario) => scenario.run().map(|()| ExitCode::SUCCESS),
        Scenario::PushClient(client) => client.run().map(|()| ExitCode::SUCCESS),
        Scenario::PushGateway(gateway) => gateway.run().map(|()| ExitCode::SUCCESS),
        Scenario::Decide(scenario) => scenario.run(),
        Scenario::IdleServer(server) => server.run(),
    }
}
