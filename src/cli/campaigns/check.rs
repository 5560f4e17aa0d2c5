//! `beckon campaigns check`.

use std::{path::PathBuf, process::ExitCode};

use serde_json::json;

use super::files::{self, CampaignFile, Wrong};
use crate::cli::output;

/// Files with what was read of them.
type Readings = [(PathBuf, Result<CampaignFile, Wrong>)];

pub(super) fn check(places: &[PathBuf], as_json: bool) -> anyhow::Result<ExitCode> {
    let files = files::read(places)?;
    if as_json {
        for (path, read) in &files {
            let (id, wrong) = match read {
                Ok(file) => (Some(file.id.as_str()), None),
                Err(wrong) => (None, Some(wrong)),
            };
            output::line(json!({"file": path, "id": id, "valid": wrong.is_none(), "error": wrong}))?;
        }
    } else {
        let wrong = complain(&files)?;
        output::line(format!("{} files, {wrong} wrong", files.len()))?;
    }
    let good = files.iter().all(|(_, read)| read.is_ok());
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tells of each wrong file; how many there are.
pub(super) fn complain(files: &Readings) -> anyhow::Result<usize> {
    let mut count = 0;
    for (path, read) in files {
        if let Err(wrong) = read {
            output::line(format!("{}: {wrong}", path.display()))?;
            count += 1;
        }
    }
    Ok(count)
}
