//! `beckon geofences`.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use beckon::{
    domain::ids::{SetName, Tag},
    files::{self, Finding, Format, FormatHints, ReadOptions, Reading},
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    client::{Client, Connection, escape},
    output,
};

/// Findings shown of each file.
const FINDINGS_SHOWN_MAX: usize = 50;

/// Check and import geofence files.
#[derive(Subcommand)]
pub(crate) enum Geofences {
    /// Say what is wrong with files, without a server; fails when something is
    Check {
        /// GeoJSON, CSV, KML, KMZ, GPX, WKT or zipped shapefiles
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        reading: ReadingOptions,
        /// For machines
        #[arg(long)]
        json: bool,
    },
    /// Make a file the content of a geofence set: as a whole, or not at all
    Import(Import),
}

/// How files are to be read.
#[derive(Args)]
pub(crate) struct ReadingOptions {
    /// geojson, csv, kml, kmz, gpx, wkt, shapefile or zip; told by the file's name and content otherwise
    #[arg(long)]
    format: Option<String>,
    /// Tag of geofences that have none [default: the set's name]
    #[arg(long)]
    tag: Option<String>,
    /// Radius in metres of points that have none
    #[arg(long)]
    radius: Option<f64>,
}

#[derive(Args)]
pub(crate) struct Import {
    /// GeoJSON, CSV, KML, KMZ, GPX, WKT or a zipped shapefile
    file: PathBuf,
    /// Name of the set [default: the file's name]
    #[arg(long)]
    set: Option<String>,
    #[command(flatten)]
    reading: ReadingOptions,
    /// Take the good features even if others are wrong
    #[arg(long)]
    allow_partial: bool,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
    /// For machines
    #[arg(long)]
    json: bool,
}

impl Geofences {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Check { files, reading, json } => check(&files, &reading, json),
            Self::Import(import) => import.run(),
        }
    }
}

fn set_of(file: &Path) -> anyhow::Result<SetName> {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
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

fn read(file: &Path, options: &ReadingOptions) -> anyhow::Result<Reading> {
    let input = File::open(file).with_context(|| format!("can't open {}", file.display()))?;
    let mut input = BufReader::with_capacity(64 * 1024, input);
    let first = std::io::BufRead::fill_buf(&mut input).with_context(|| file.display().to_string())?;
    let format = format_of(file, options.format.as_deref(), first)?;
    let read_options = ReadOptions {
        default_tag: options.tag.as_deref().map(Tag::new).transpose().context("--tag")?,
        default_radius_m: options.radius,
        ..ReadOptions::new(set_of(file)?)
    };
    files::read(input, format, &read_options, &mut |_| Ok(())).with_context(|| file.display().to_string())
}

fn check(files: &[PathBuf], options: &ReadingOptions, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut good = true;
    for file in files {
        let reading = match read(file, options) {
            Ok(reading) => reading,
            Err(error) if files.len() > 1 => {
                output::complain(&error);
                good = false;
                continue;
            }
            Err(error) => return Err(error),
        };
        good &= reading.rejected == 0;
        if as_json {
            let body = json!({
                "file": file, "format": reading.format, "read": reading.read,
                "accepted": reading.accepted, "rejected": reading.rejected, "findings": reading.findings,
            });
            output::line(body)?;
            continue;
        }
        for finding in reading.findings.iter().take(FINDINGS_SHOWN_MAX) {
            output::line(format!("{}: {finding}", file.display()))?;
        }
        let hidden = reading.findings.len().saturating_sub(FINDINGS_SHOWN_MAX);
        if hidden > 0 {
            output::line(format!(
                "{}: and {hidden} more findings; --json shows all",
                file.display()
            ))?;
        }
        let verdict = if reading.rejected == 0 { "good" } else { "has errors" };
        output::line(format!(
            "{}: {verdict}: {} read, {} accepted, {} rejected",
            file.display(),
            reading.read,
            reading.accepted,
            reading.rejected
        ))?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Import {
    fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.connection)?;
        let set = match &self.set {
            Some(set) => SetName::new(set).context("--set")?,
            None => set_of(&self.file)?,
        };
        let body = std::fs::read(&self.file).with_context(|| format!("can't open {}", self.file.display()))?;
        let format = format_of(
            &self.file,
            self.reading.format.as_deref(),
            &body[..body.len().min(4096)],
        )?;
        let kind = format.content_type();
        let mut query = vec![
            format!("dryRun={}", self.dry_run),
            format!("allowPartial={}", self.allow_partial),
        ];
        query.extend(self.reading.tag.as_deref().map(|tag| format!("tag={}", escape(tag))));
        query.extend(self.reading.radius.map(|radius| format!("radius={radius}")));
        let path = format!("/v1/geofence-sets/{}?{}", escape(set.as_str()), query.join("&"));
        let progress = super::progress::spinner(&format!("importing {}", self.file.display()));
        let answer = client.request("PUT", &path, kind, &body);
        progress.finish_and_clear();
        let answer = answer?;
        if self.json {
            output::line(&answer.body)?;
        } else if answer.status == 200 {
            show(&answer.body)?;
        } else {
            for error in answer.body["errors"]
                .as_array()
                .into_iter()
                .flatten()
                .take(FINDINGS_SHOWN_MAX)
            {
                output::line(error["detail"].as_str().unwrap_or_default())?;
            }
        }
        answer.success().map(|_| ExitCode::SUCCESS)
    }
}

fn show(body: &Value) -> anyhow::Result<()> {
    for kind in ["errors", "warnings"] {
        for finding in body[kind].as_array().into_iter().flatten().take(FINDINGS_SHOWN_MAX) {
            let finding: Finding = serde_json::from_value(finding.clone()).context("an unknown kind of finding")?;
            output::line(finding)?;
        }
    }
    let number = |name: &str| body[name].as_u64().unwrap_or_default();
    let version = match body["version"].as_u64() {
        Some(version) => format!("version {version} is live"),
        None => "nothing was changed (dry run)".to_owned(),
    };
    output::line(format!(
        "set {}: {version}: {} read, {} accepted, {} rejected; {} added, {} changed, {} unchanged, {} removed",
        body["set"].as_str().unwrap_or_default(),
        number("read"),
        number("accepted"),
        number("rejected"),
        number("added"),
        number("changed"),
        number("unchanged"),
        number("removed")
    ))?;
    Ok(())
}
