//! Files as people send them, and as nobody should.

mod antimeridian;
mod csv;
mod data;
mod diff;
mod geojson;
mod nasty;
mod peers;
mod track;

use std::path::PathBuf;

use super::{FileError, Format, ReadOptions, Reading, read};
use crate::domain::ids::SetName;

/// The folder of real data (`BECKON_DATA`, else `../shared/data` beside the project). Where it is absent the test
/// says so and has to return.
fn data(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("BECKON_DATA").map_or_else(|| "../shared/data".into(), PathBuf::from);
    let full = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder).join(path);
    if full.exists() {
        return Some(full);
    }
    println!("skipped: {} is absent (set BECKON_DATA)", full.display());
    None
}

fn options() -> ReadOptions {
    ReadOptions::new(SetName::new("stands").unwrap())
}

fn with_radius(radius_m: f64) -> ReadOptions {
    ReadOptions {
        default_radius_m: Some(radius_m),
        ..options()
    }
}

fn read_text(format: Format, text: &str, options: &ReadOptions) -> Result<Reading, FileError> {
    read(text.as_bytes(), format, options)
}

/// All findings, one a line.
fn findings(reading: &Reading) -> String {
    let lines: Vec<String> = reading.findings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn ids(reading: &Reading) -> Vec<String> {
    reading
        .geofences
        .iter()
        .map(|geofence| geofence.id.to_string())
        .collect()
}
