//! The push client against a bare `h2` loop: CPU a push, and pushes a second when the gateway takes its time. Gateway and
//! client are processes of their own, each on a core of its own where `taskset` and two cores are there.

mod bare;
mod client;
mod gateway;

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};

use self::{client::Measured, gateway::Gateway};
pub(crate) use self::{
    client::{Kind, PushClient},
    gateway::PushGateway,
};

/// What is measured.
#[derive(Args)]
pub(crate) struct Push {
    /// Pushes of each run
    #[arg(long, default_value_t = 200_000)]
    pushes: usize,
    /// Runs of each client; the middle one counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// How long the gateway takes for the rounds with latency, in milliseconds
    #[arg(long, default_value_t = 50)]
    latency_ms: u64,
    /// Connections in the rounds with latency
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// One comparison: what was set, and each client's runs.
struct Round {
    name: String,
    connections: usize,
    beckon: Vec<Measured>,
    bare: Vec<Measured>,
}

impl Push {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let rounds = [
            self.round(folder.path(), "at once".to_owned(), 0, 1, 1000)?,
            self.round(
                folder.path(),
                format!("after {} ms", self.latency_ms),
                self.latency_ms,
                self.connections,
                1000 * self.connections,
            )?,
        ];
        if self.json {
            let rounds: Vec<Value> = rounds.iter().map(Round::json).collect();
            println(&serde_json::to_string_pretty(
                &json!({ "pushes": self.pushes, "rounds": rounds }),
            )?);
        } else {
            println(&table(&rounds));
        }
        Ok(())
    }

    /// The two clients in turn, so that whatever else the machine does disturbs both.
    fn round(
        &self,
        folder: &Path,
        name: String,
        latency_ms: u64,
        connections: usize,
        in_flight: usize,
    ) -> anyhow::Result<Round> {
        let gateway = Gateway::start(folder, latency_ms)?;
        let run = |kind| client::start(kind, &gateway, self.pushes, connections, in_flight);
        let (mut beckon, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..self.runs.max(1) {
            beckon.push(run(Kind::Beckon)?);
            bare.push(run(Kind::Bare)?);
        }
        Ok(Round {
            name,
            connections,
            beckon,
            bare,
        })
    }
}

fn median(runs: &[Measured], value: impl Fn(&Measured) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Round {
    fn json(&self) -> Value {
        json!({ "gateway": self.name, "connections": self.connections, "beckon": self.beckon, "bare": self.bare })
    }
}

fn table(rounds: &[Round]) -> String {
    let mut lines = vec![format!("{:<44}{:>12}{:>12}{:>9}", "", "Beckon", "bare h2", "ratio")];
    for round in rounds {
        for (what, value) in [
            ("CPU a push, us", Measured::cpu_us as fn(&Measured) -> f64),
            ("pushes/s", Measured::per_second),
        ] {
            let (beckon, bare) = (median(&round.beckon, value), median(&round.bare, value));
            let name = format!("answers {}, {} connections: {what}", round.name, round.connections);
            lines.push(format!("{name:<44}{beckon:>12.1}{bare:>12.1}{:>9.2}", beckon / bare));
        }
    }
    lines.join("\n")
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn println(text: &str) {
    println!("{text}");
}

/// This program again with other arguments, on core `core` where that can be chosen.
fn on_core(core: usize, arguments: &[String]) -> anyhow::Result<Command> {
    let program = std::env::current_exe()?;
    let cores = std::thread::available_parallelism()?.get();
    let can_pin = cores > 1 && Command::new("taskset").arg("-V").stdout(Stdio::null()).status().is_ok();
    let mut command = if can_pin {
        let mut command = Command::new("taskset");
        command.args(["-c", &core.to_string()]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments);
    Ok(command)
}

/// CPU time of this process so far, in nanoseconds, from the kernel's scheduler.
fn cpu_ns() -> anyhow::Result<u64> {
    let mut total = 0;
    for task in std::fs::read_dir("/proc/self/task").context("CPU time is read from /proc")? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        let Some(Ok(ns)) = text.split(' ').next().map(str::parse::<u64>) else {
            bail!("/proc/self/task/*/schedstat has changed");
        };
        total += ns;
    }
    Ok(total)
}
