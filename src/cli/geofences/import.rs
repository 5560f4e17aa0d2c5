//! `beckon geofences import`.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use beckon::{domain::ids::SetName, files::Format};
use clap::Args;

use super::{FINDINGS_SHOWN_MAX, ReadingOptions, difference, format_of, set_of, show_answer};
use crate::cli::{
    client::{Client, Connection, escape},
    output, progress,
};

#[derive(Args)]
pub(crate) struct Import {
    /// GeoJSON, KML, KMZ, CSV, GPX, WKT or a zipped shapefile, also with gzip
    file: PathBuf,
    /// Name of the set [default: the file's name]
    #[arg(long)]
    set: Option<String>,
    #[command(flatten)]
    reading: ReadingOptions,
    #[command(flatten)]
    mode: Mode,
    #[command(flatten)]
    connection: Connection,
    /// For machines
    #[arg(long)]
    json: bool,
}

/// How the file is to be taken.
#[derive(Args)]
struct Mode {
    /// Take the good features even if others are wrong
    #[arg(long)]
    allow_partial: bool,
    /// Take a file without geofences, which removes all that the set has
    #[arg(long)]
    allow_empty: bool,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
}

impl Import {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.connection)?;
        let set = match &self.set {
            Some(set) => SetName::new(set).context("--set")?,
            None => set_of(&self.file)?,
        };
        let mut file = File::open(&self.file).with_context(|| format!("can't open {}", self.file.display()))?;
        let format = self.format(&mut file)?;
        let kind = format.content_type();
        let mut query = vec![
            format!("dryRun={}", self.mode.dry_run),
            format!("allowPartial={}", self.mode.allow_partial),
            format!("allowEmpty={}", self.mode.allow_empty),
        ];
        query.extend(self.reading.tag.as_deref().map(|tag| format!("tag={}", escape(tag))));
        query.extend(self.reading.radius.map(|radius| format!("radius={radius}")));
        query.extend(self.reading.id.as_deref().map(|name| format!("id={}", escape(name))));
        let columns = self.reading.columns.as_ref().map(|names| names.join(","));
        query.extend(columns.map(|names| format!("columns={}", escape(&names))));
        let path = format!("/v1/geofence-sets/{}?{}", escape(set.as_str()), query.join("&"));
        let length = file.metadata().with_context(|| self.file.display().to_string())?.len();
        let bar = progress::bytes(length).with_message(format!("sending {}", self.file.display()));
        let answer = client.upload("PUT", &path, kind, &file, &bar);
        bar.finish_and_clear();
        let answer = answer?;
        if self.json {
            output::line(&answer.body)?;
        } else if answer.status == 200 {
            show_answer(&answer.body)?;
            let number = |name: &str| answer.body[name].as_u64().unwrap_or_default();
            let version = match answer.body["version"].as_u64() {
                Some(version) => format!("version {version} is live"),
                None => "nothing was changed (dry run)".to_owned(),
            };
            output::line(format!(
                "set {set}: {version}: {} read, {} accepted, {} rejected; {}",
                number("read"),
                number("accepted"),
                number("rejected"),
                difference(&answer.body)
            ))?;
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

    /// Told by the name and the first bytes; the file is at its beginning again.
    fn format(&self, file: &mut File) -> anyhow::Result<Format> {
        let mut first = Vec::new();
        let read = file.by_ref().take(4096).read_to_end(&mut first);
        read.and_then(|_| file.seek(SeekFrom::Start(0)))
            .with_context(|| self.file.display().to_string())?;
        format_of(&self.file, self.reading.format.as_deref(), &first)
    }
}
