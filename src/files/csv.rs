//! Geofences in rows: circles round points.

use serde_json::Value;

use super::{
    FileError, Finding, FindingCode, Format, ReadOptions, Reading, Severity, Take,
    attributes::{Attributes, Values},
    collect::{Collector, Place, circle_finding, radius_m},
    delimited::{column_number, delimiter_of, short_row},
    names::{Field, Target},
    text::{Lines, decode},
};
use crate::geo::{Position, PositionError, Shape};

pub(super) fn read(bytes: &[u8], options: &ReadOptions, take: Take<'_>) -> Result<Reading, FileError> {
    let (text, is_guessed) = decode(bytes);
    let mut collector = Collector::new(Format::Csv, options, take);
    if is_guessed {
        collector.find(&Place::default(), encoding_note());
    }
    let first_line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let delimiter = delimiter_of(first_line);
    let mut rows = ::csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut lines = Lines::new(text.as_bytes());
    let mut row = ::csv::StringRecord::new();
    let mut table = None;
    loop {
        let line = lines.at(rows.position().byte() as usize);
        if !rows.read_record(&mut row).map_err(into_io)? {
            break;
        }
        if row.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        let Some(table) = &table else {
            table = Some(Table::new(&row, delimiter, line)?);
            continue;
        };
        let place = Place {
            line: Some(line),
            feature: Some(collector.begin()?),
            pointer: None,
        };
        let fields: Vec<&str> = row.iter().map(str::trim).collect();
        collector.end(&place, table.geofence(&fields, options))?;
    }
    Ok(collector.finish())
}

pub(super) fn encoding_note() -> Finding {
    Finding::new(
        Severity::Note,
        FindingCode::EncodingGuessed,
        "the file is not UTF-8; it was read as Windows-1252",
        "check the accents, or save the file as UTF-8",
    )
}

/// The text is in memory and valid UTF-8 and rows may differ in length, so only I/O could go wrong.
fn into_io(error: ::csv::Error) -> FileError {
    FileError::Io(error.into())
}

/// What the header says.
struct Table {
    header: Vec<String>,
    targets: Vec<Target>,
    delimiter: u8,
}

impl Table {
    fn new(row: &::csv::StringRecord, delimiter: u8, line: u64) -> Result<Self, FileError> {
        let header: Vec<String> = row.iter().map(|name| name.trim().to_owned()).collect();
        let targets: Vec<Target> = header.iter().map(|name| Target::of(name)).collect();
        let has = |wanted| {
            targets
                .iter()
                .any(|target| matches!(target, Target::Field(field, _) if *field == wanted))
        };
        let mut missing = Vec::new();
        if !has(Field::ExternalId) && !has(Field::Description) {
            missing.push("`externalId` (or `id`)".to_owned());
        }
        if !has(Field::Latitude) {
            missing.push("`latitude`".to_owned());
        }
        if !has(Field::Longitude) {
            missing.push("`longitude`".to_owned());
        }
        if !missing.is_empty() {
            let found = header.iter().map(|name| super::finding::quote(name)).collect();
            return Err(FileError::ColumnsMissing { line, missing, found });
        }
        Ok(Self {
            header,
            targets,
            delimiter,
        })
    }

    fn geofence(&self, fields: &[&str], options: &ReadOptions) -> Result<(Attributes, Shape), Finding> {
        if fields.len() < self.header.len() {
            return Err(short_row(&self.header, fields));
        }
        if fields[self.header.len()..].iter().any(|field| !field.is_empty()) {
            return Err(Finding::error(
                FindingCode::ColumnExtra,
                format!("the row has {} fields, the header {}", fields.len(), self.header.len()),
                "put texts that contain the separator in double quotes",
            ));
        }
        let mut values = Values::default();
        for ((name, target), field) in self.header.iter().zip(&self.targets).zip(fields) {
            values.add(name, target, Value::String((*field).to_owned()));
        }
        let latitude = self.coordinate(&mut values, Field::Latitude, "latitude")?;
        let longitude = self.coordinate(&mut values, Field::Longitude, "longitude")?;
        let center =
            Position::new(latitude, longitude).map_err(|error| position_finding(&error, latitude, longitude))?;
        let given = values
            .take(Field::Radius)
            .map(|found| {
                let text = found.value.as_str().unwrap_or_default();
                column_number(found.name(), text, self.delimiter)
            })
            .transpose()?;
        let shape = Shape::circle(center, radius_m(given, options)?).map_err(|error| circle_finding(&error))?;
        Ok((Attributes::read(values, options)?, shape))
    }

    fn coordinate(&self, values: &mut Values, field: Field, name: &str) -> Result<f64, Finding> {
        let Some(found) = values.take(field) else {
            return Err(Finding::error(
                FindingCode::GeometryMissing,
                format!("the {name} is empty"),
                "give the place its coordinates, or leave the row out",
            ));
        };
        column_number(found.name(), found.value.as_str().unwrap_or_default(), self.delimiter)
    }
}

/// What is wrong with a point, and whether its two numbers seem to be swapped.
pub(super) fn position_finding(error: &PositionError, latitude: f64, longitude: f64) -> Finding {
    let code = match error {
        PositionError::Latitude(_) => FindingCode::LatitudeOutOfRange,
        PositionError::Longitude(_) => FindingCode::LongitudeOutOfRange,
    };
    let hint = if Position::new(longitude, latitude).is_ok() {
        "latitude and longitude seem to be swapped"
    } else {
        "give degrees (WGS84), not metres or degrees and minutes"
    };
    Finding::error(code, error.to_string(), hint)
}
