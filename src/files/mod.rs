//! Geofence files: read, linted, compared; and tracks for replays.
//!
//! What comes out is valid or named as a [`Finding`]: a broken row never takes the others with it. Whether a file with
//! rejected rows may go live is for the caller to decide.

mod archive;
mod attributes;
mod collect;
mod csv;
mod decoded;
mod delimited;
mod diff;
mod error;
mod finding;
mod format;
mod geojson;
mod geometry;
mod gpx;
mod gzip;
mod kml;
mod kmz;
mod lines;
mod lint;
mod names;
mod order;
mod presence_options;
mod projection;
mod shapefile;
mod skipped;
mod text;
mod track;
mod wkt;
mod wkt_file;
mod xml;

#[cfg(test)]
mod tests;

use std::io::{BufRead, Seek};

use crate::domain::{
    geofence::Geofence,
    ids::{SetName, Tag},
};

use archive::Archive;

pub use diff::{Diff, Differ, Difference, IDENTITIES_NAMED_MAX, Identities};
pub use error::{COLUMNS_MAX, FileError, HEADER_BYTES_MAX};
pub use finding::{Finding, FindingCode, Severity};
pub use format::{Format, FormatHints, UnknownFormat};
pub use track::{Columns, ColumnsError, Track, TrackPoint};

/// What a reader may spend on one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest file, in bytes.
    pub bytes_max: u64,
    /// Most rows or features.
    pub features_max: u64,
    /// Longest feature or row, in bytes; only one at a time is in memory.
    pub feature_bytes_max: usize,
    /// Most errors that are kept; a note tells how many more there were. Warnings and notes are summed up anyway.
    pub findings_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 1024 * 1024 * 1024,
            features_max: 10_000_000,
            feature_bytes_max: 16 * 1024 * 1024,
            findings_max: 1_000,
        }
    }
}

/// What the file itself doesn't say.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// The set that the file is uploaded as.
    pub set: SetName,
    /// Tag of geofences that name none; else the set's name stands for it.
    pub default_tag: Option<Tag>,
    /// The column or property whose value is the external id; else the usual names are looked for.
    pub id_field: Option<String>,
    /// Radius in metres of points that name none.
    pub default_radius_m: Option<f64>,
    /// The columns' names, for a CSV file without a first line that names them.
    pub columns: Option<Vec<String>>,
    /// How much is read at most.
    pub limits: Limits,
}

impl ReadOptions {
    /// Options for a set, with no defaults and the usual limits.
    pub fn new(set: SetName) -> Self {
        Self {
            set,
            default_tag: None,
            id_field: None,
            default_radius_m: None,
            columns: None,
            limits: Limits::default(),
        }
    }
}

/// What a file came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// How it was read.
    pub format: Format,
    /// Rows or features that were looked at: accepted and rejected ones.
    pub read: u64,
    /// Good rows or features, each identity once.
    pub accepted: u64,
    /// What is wrong or remarkable.
    pub findings: Vec<Finding>,
    /// Rows or features with an error.
    pub rejected: u64,
}

/// Takes one good geofence after the other, in the order of the file. An error ends the reading.
pub type Take<'a> = &'a mut dyn FnMut(Geofence) -> std::io::Result<()>;

/// Reads a geofence file of a known format from its beginning and hands each good geofence to `take`. Gzip round it is
/// taken off. Only one feature or row is in memory at a time. On an error `take` has got some geofences already, which
/// are to be discarded.
pub fn read(
    mut input: impl BufRead + Seek,
    format: Format,
    options: &ReadOptions,
    take: Take<'_>,
) -> Result<Reading, FileError> {
    input.rewind()?;
    if gzip::is_gzip(input.fill_buf()?) {
        return read_unpacked(gzip::Gunzip::new(input), format, options, take);
    }
    read_unpacked(input, format, options, take)
}

fn read_unpacked(
    mut input: impl BufRead + Seek,
    format: Format,
    options: &ReadOptions,
    take: Take<'_>,
) -> Result<Reading, FileError> {
    let bytes_max = options.limits.bytes_max;
    match format {
        Format::GeoJson => geojson::read(input, options, take),
        Format::Csv => csv::read(input, options, take),
        Format::Kml => kml::read(input, options, take),
        Format::Gpx => gpx::read(input, options, take),
        Format::Wkt => wkt_file::read(input, options, take),
        Format::Kmz => kmz::read(&Archive::open(input, bytes_max)?, options, take),
        Format::Shapefile if input.fill_buf()?.starts_with(&shapefile::MAGIC) => Err(FileError::ShapefileAlone),
        Format::Shapefile => shapefile::read(&Archive::open(input, bytes_max)?, options, take),
        Format::Zip => {
            let archive = Archive::open(input, bytes_max)?;
            if !archive.with_extension("shp").is_empty() {
                shapefile::read(&archive, options, take)
            } else if !archive.with_extension("kml").is_empty() {
                kmz::read(&archive, options, take)
            } else {
                Err(archive.lacks("shapefile (.shp) or KML file"))
            }
        }
    }
}
