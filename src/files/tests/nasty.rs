//! Every file of other projects' torture chambers gets a verdict.

use std::path::{Path, PathBuf};

use super::{data, read, with_radius};
use crate::files::{Format, Limits, ReadOptions};

/// Each file is read as each of them, whatever it is.
const FORMATS: [Format; 6] = [
    Format::GeoJson,
    Format::Csv,
    Format::Kml,
    Format::Gpx,
    Format::Wkt,
    Format::Zip,
];

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_under(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// Good geofences, findings, or the reason why nothing was read: never nothing at all, never a panic.
fn check(folder: &str, at_least: usize) {
    let Some(folder) = data(&format!("nasty/{folder}")) else {
        return;
    };
    let options = ReadOptions {
        limits: Limits {
            findings_max: 20,
            ..Limits::default()
        },
        ..with_radius(100.0)
    };
    let files = files_under(&folder);
    assert!(files.len() >= at_least, "{}", files.len());
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        for format in FORMATS {
            match read(bytes.as_slice(), format, &options) {
                Ok(reading) => {
                    let has_verdict = !reading.findings.is_empty() || !reading.geofences.is_empty();
                    assert!(has_verdict, "{}", path.display());
                    assert_eq!(reading.read, reading.geofences.len() as u64 + reading.rejected);
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}

#[test]
fn geojsonhint() {
    check("geojsonhint", 184);
}

#[test]
fn invalid_geometry() {
    check("invalid-geometry", 74);
}

#[test]
fn json_test_suite() {
    check("JSONTestSuite", 318);
}

#[test]
fn csv() {
    check("csv-libkml", 3);
    check("csv-spectrum", 22);
}

#[test]
fn antimeridian() {
    check("antimeridian", 127);
}

#[test]
fn kml() {
    check("kml-libkml", 10);
}

#[test]
fn archives() {
    check("kmz-libkml", 11);
    check("shapefiles-pyshp", 8);
}
