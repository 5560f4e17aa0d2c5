//! `beckon geofences export`, `versions` and `activate`.

use std::{fs::File, io, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

use super::{difference, show_answer};
use crate::cli::{
    client::{Client, Connection, escape},
    output, progress,
};

#[derive(Args)]
pub(crate) struct Export {
    /// The set
    set: String,
    /// Where to write it [default: standard output]
    #[arg(long, short)]
    output: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args)]
pub(crate) struct Versions {
    /// The set
    set: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// For machines
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Activate {
    /// The set
    set: String,
    /// One of those that `beckon geofences versions` lists
    #[arg(value_name = "VERSION")]
    number: u32,
    #[command(flatten)]
    connection: Connection,
    /// For machines
    #[arg(long)]
    json: bool,
}

impl Export {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let path = format!("/v1/geofence-sets/{}.geojson", escape(&self.set));
        let mut body = Client::new(&self.connection)?.download(&path)?;
        let Some(file) = &self.output else {
            io::copy(&mut body, &mut io::stdout().lock()).context("the export broke off")?;
            return Ok(ExitCode::SUCCESS);
        };
        let spinner = progress::spinner(&format!("writing {}", file.display()));
        // What is there stays until the whole is.
        let part = file.with_added_extension("part");
        let mut out = File::create(&part).with_context(|| format!("can't write {}", part.display()))?;
        let bytes = io::copy(&mut body, &mut out).with_context(|| format!("writing {} broke off", part.display()))?;
        std::fs::rename(&part, file).with_context(|| format!("can't write {}", file.display()))?;
        spinner.finish_and_clear();
        output::line(format!("{}: {bytes} bytes", file.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item[name].as_str().unwrap_or_default()
}

fn number(item: &Value, name: &str) -> u64 {
    item[name].as_u64().unwrap_or_default()
}

impl Versions {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.connection)?;
        let body = match &self.set {
            Some(set) => client.get(&format!("/v1/geofence-sets/{}/versions", escape(set)))?,
            None => client.get("/v1/geofence-sets")?,
        };
        if self.json {
            output::line(&body)?;
            return Ok(ExitCode::SUCCESS);
        }
        for item in body["items"].as_array().into_iter().flatten() {
            let (version, count) = (number(item, "version"), number(item, "count"));
            if self.set.is_some() {
                let live = if item["live"] == true { "  live" } else { "" };
                let at = text(item, "createdAt");
                output::line(format!("version {version:>4}  {count:>9} geofences  {at}{live}"))?;
            } else {
                let (set, at) = (text(item, "set"), text(item, "updatedAt"));
                output::line(format!("{set}  version {version}  {count} geofences  {at}"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Activate {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let path = format!(
            "/v1/geofence-sets/{}/versions/{}/activate",
            escape(&self.set),
            self.number
        );
        let body = Client::new(&self.connection)?
            .request("POST", &path, "application/json", &[])?
            .success()?;
        if self.json {
            output::line(&body)?;
        } else {
            show_answer(&body)?;
            let difference = difference(&body);
            output::line(format!(
                "set {}: version {} is live: {difference}",
                self.set, self.number
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
