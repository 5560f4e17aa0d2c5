//! `beckon geofences check`: the lint, without a server.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use beckon::{
    domain::ids::Tag,
    files::{self, ReadOptions, Reading},
};
use serde_json::json;

use super::{FINDINGS_SHOWN_MAX, ReadingOptions, format_of, set_of};
use crate::cli::{output, progress};

/// The file is read in pieces of this length.
const READ_BYTES: usize = 128 * 1024;

fn read(file: &Path, options: &ReadingOptions) -> anyhow::Result<Reading> {
    let input = File::open(file).with_context(|| format!("can't open {}", file.display()))?;
    let length = input.metadata().with_context(|| file.display().to_string())?.len();
    let bar = progress::bytes(length).with_message(file.display().to_string());
    let mut input = BufReader::with_capacity(READ_BYTES, bar.wrap_read(input));
    let first = input.fill_buf().with_context(|| file.display().to_string())?;
    let format = format_of(file, options.format.as_deref(), first)?;
    let read_options = ReadOptions {
        default_tag: options.tag.as_deref().map(Tag::new).transpose().context("--tag")?,
        default_radius_m: options.radius,
        id_field: options.id.clone(),
        columns: options.columns.clone(),
        ..ReadOptions::new(set_of(file)?)
    };
    let reading = files::read(input, format, &read_options, &mut |_| Ok(()));
    bar.finish_and_clear();
    reading.with_context(|| file.display().to_string())
}

pub(super) fn check(files: &[PathBuf], options: &ReadingOptions, as_json: bool) -> anyhow::Result<ExitCode> {
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
