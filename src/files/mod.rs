//! Geofence files: read, linted, compared; and tracks for replays.
//!
//! What comes out is valid or named as a [`Finding`]: a broken row never takes the others with it. Whether a file with
//! rejected rows may go live is for the caller to decide.

mod attributes;
mod collect;
mod csv;
mod delimited;
mod diff;
mod finding;
mod format;
mod geojson;
mod geometry;
mod names;
mod text;
mod track;
mod wkt;

#[cfg(test)]
mod tests;

use std::io::{BufRead, Seek};

use crate::domain::{
    geofence::Geofence,
    ids::{SetName, Tag},
};

pub use diff::{Diff, Differ, Difference, IDENTITIES_NAMED_MAX, Identities};
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
    /// Longest GeoJSON feature, in bytes; only features within it are parsed into memory.
    pub feature_bytes_max: usize,
    /// Most findings that are kept; a note tells how many more there were.
    pub findings_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 64 * 1024 * 1024,
            features_max: 1_000_000,
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
    /// Radius in metres of points that name none.
    pub default_radius_m: Option<f64>,
    /// How much is read at most.
    pub limits: Limits,
}

impl ReadOptions {
    /// Options for a set, with no defaults and the usual limits.
    pub fn new(set: SetName) -> Self {
        Self {
            set,
            default_tag: None,
            default_radius_m: None,
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

/// Why nothing of a file could be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The input broke off.
    #[error("the file could not be read: {0}")]
    Io(#[from] std::io::Error),
    /// Whoever took the geofences could not.
    #[error("what was read could not be kept: {0}")]
    NotTaken(#[source] std::io::Error),
    /// Above [`Limits::bytes_max`].
    #[error("the file is longer than {bytes_max} bytes; split it into several sets")]
    TooLong {
        /// The limit.
        bytes_max: u64,
    },
    /// Above [`Limits::features_max`].
    #[error("the file has more than {features_max} rows or features; split it into several sets")]
    TooManyFeatures {
        /// The limit.
        features_max: u64,
    },
    /// Nothing, or only blanks.
    #[error("the file is empty")]
    Empty,
    /// UTF-16 or UTF-32.
    #[error("the file is in UTF-16; save it as UTF-8")]
    Utf16,
    /// The JSON can't be parsed.
    #[error("line {line}, column {column}: this is not JSON: {message}")]
    Json {
        /// From 1.
        line: u64,
        /// From 1, in bytes.
        column: u64,
        /// What the parser says.
        message: String,
    },
    /// JSON, but of another kind.
    #[error(
        "this is JSON but not GeoJSON: {found}; expected an object whose `type` is FeatureCollection, Feature or a geometry"
    )]
    NotGeoJson {
        /// What it is instead.
        found: String,
    },
    /// The header lacks columns that can't be done without.
    #[error(
        "line {line}: no column for {}; the first line must name the columns, and these were found: {}",
        missing.join(" and "), found.join(", ")
    )]
    ColumnsMissing {
        /// The header's line, from 1.
        line: u64,
        /// What is missing.
        missing: Vec<String>,
        /// The columns that there are.
        found: Vec<String>,
    },
}

impl FileError {
    /// The line (from 1) where reading ended, where it is known.
    pub fn line(&self) -> Option<u64> {
        match self {
            Self::Json { line, .. } | Self::ColumnsMissing { line, .. } => Some(*line),
            Self::Io(_)
            | Self::NotTaken(_)
            | Self::TooLong { .. }
            | Self::TooManyFeatures { .. }
            | Self::Empty
            | Self::Utf16
            | Self::NotGeoJson { .. } => None,
        }
    }
}

/// Takes one good geofence after the other, in the order of the file. An error ends the reading.
pub type Take<'a> = &'a mut dyn FnMut(Geofence) -> std::io::Result<()>;

/// Reads a geofence file of a known format from its beginning and hands each good geofence to `take`.
pub fn read(
    input: impl BufRead + Seek,
    format: Format,
    options: &ReadOptions,
    take: Take<'_>,
) -> Result<Reading, FileError> {
    let bytes = text::read_all(input, options.limits.bytes_max)?;
    match format {
        Format::GeoJson => geojson::read(&bytes, options, take),
        Format::Csv => csv::read(&bytes, options, take),
    }
}
