//! Files as people send them, and as nobody should.

mod antimeridian;
mod csv;
mod data;
mod diff;
mod fuzz;
mod geojson;
mod gpx;
mod kml;
mod kmz;
mod lint;
mod memory;
mod nasty;
mod peers;
mod shapefile;
mod track;
mod wkt;
mod zipping;

use std::{io::Cursor, path::PathBuf};

use super::{FileError, Format, ReadOptions, Reading};
use crate::domain::{geofence::Geofence, ids::SetName};

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

/// A reading with the geofences that it handed out.
#[derive(Debug)]
struct ReadFile {
    reading: Reading,
    geofences: Vec<Geofence>,
}

impl std::ops::Deref for ReadFile {
    type Target = Reading;
    fn deref(&self) -> &Reading {
        &self.reading
    }
}

fn read(bytes: &[u8], format: Format, options: &ReadOptions) -> Result<ReadFile, FileError> {
    let mut geofences = Vec::new();
    let reading = super::read(Cursor::new(bytes), format, options, &mut |geofence| {
        geofences.push(geofence);
        Ok(())
    })?;
    assert_eq!(reading.accepted, geofences.len() as u64);
    Ok(ReadFile { reading, geofences })
}

fn read_text(format: Format, text: &str, options: &ReadOptions) -> Result<ReadFile, FileError> {
    read(text.as_bytes(), format, options)
}

/// All findings, one a line.
fn findings(reading: &Reading) -> String {
    let lines: Vec<String> = reading.findings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn ids(reading: &ReadFile) -> Vec<String> {
    reading
        .geofences
        .iter()
        .map(|geofence| geofence.id.to_string())
        .collect()
}
