//! `beckon geofences`.

mod check;
mod import;
mod versions;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use beckon::{
    domain::ids::SetName,
    files::{Finding, Format, FormatHints},
};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::output;

/// Findings shown of each file.
const FINDINGS_SHOWN_MAX: usize = 50;

/// Check, import and export geofence files, and go back to earlier ones.
#[derive(Subcommand)]
pub(crate) enum Geofences {
    /// Say what is wrong with files, without a server; fails when something is
    Check {
        /// GeoJSON, KML, KMZ, CSV, GPX, WKT or zipped shapefiles, also with gzip
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        reading: ReadingOptions,
        /// For machines
        #[arg(long)]
        json: bool,
    },
    /// Make a file the content of a geofence set: as a whole, or not at all
    Import(import::Import),
    /// Write a set as GeoJSON, which can be imported again
    Export(versions::Export),
    /// List the kept versions of a set, or all sets when none is named
    Versions(versions::Versions),
    /// Make a kept version of a set live again
    Activate(versions::Activate),
}

/// How files are to be read.
#[derive(Args)]
pub(crate) struct ReadingOptions {
    /// geojson, csv, kml, kmz, gpx, wkt or shapefile; told by the name and content otherwise
    #[arg(long)]
    format: Option<String>,
    /// Tag of geofences that have none [default: the set's name]
    #[arg(long)]
    tag: Option<String>,
    /// Radius in metres of points that have none
    #[arg(long)]
    radius: Option<f64>,
    /// Column or property that is the id [default: `externalId`, `id` and other usual names]
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    /// Names of all columns of a CSV file whose first line doesn't name them: `id,name,,latitude,longitude`
    #[arg(long, value_delimiter = ',')]
    columns: Option<Vec<String>>,
}

impl Geofences {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Check { files, reading, json } => check::check(&files, &reading, json),
            Self::Import(import) => import.run(),
            Self::Export(export) => export.run(),
            Self::Versions(versions) => versions.run(),
            Self::Activate(activate) => activate.run(),
        }
    }
}

fn set_of(file: &Path) -> anyhow::Result<SetName> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    SetName::new(stem).with_context(|| format!("`{}` gives no name for a set; name one with --set", file.display()))
}

fn format_of(file: &Path, wanted: Option<&str>, first: &[u8]) -> anyhow::Result<Format> {
    let hints = FormatHints {
        name: wanted,
        file_name: file.to_str(),
        ..FormatHints::default()
    };
    Format::detect(hints, first).with_context(|| file.display().to_string())
}

/// The findings of an answer, and how its geofences differ from those before.
fn show_answer(body: &Value) -> anyhow::Result<()> {
    for kind in ["errors", "warnings"] {
        for finding in body[kind].as_array().into_iter().flatten().take(FINDINGS_SHOWN_MAX) {
            let finding: Finding = serde_json::from_value(finding.clone()).context("an unknown kind of finding")?;
            output::line(finding)?;
        }
    }
    for (kind, sign) in [("added", '+'), ("changed", '~'), ("removed", '-')] {
        let named = body["identities"][kind].as_array();
        for id in named.into_iter().flatten().take(IDENTITIES_SHOWN_MAX) {
            let text = |name: &str| id[name].as_str().unwrap_or_default().to_owned();
            output::line(format!("{sign} {}/{}", text("tag"), text("externalId")))?;
        }
        let hidden = body[kind]
            .as_u64()
            .unwrap_or_default()
            .saturating_sub(IDENTITIES_SHOWN_MAX as u64);
        if hidden > 0 {
            output::line(format!("{sign} and {hidden} more"))?;
        }
    }
    Ok(())
}

/// Identities shown of each kind of difference.
const IDENTITIES_SHOWN_MAX: usize = 10;

/// `3 added, 1 changed, 7 unchanged, 0 removed`.
fn difference(body: &Value) -> String {
    let count = |name: &str| body[name].as_u64().unwrap_or_default();
    ["added", "changed", "unchanged", "removed"]
        .map(|name| format!("{} {name}", count(name)))
        .join(", ")
}
