//! Geofences in rows: circles round points, or geometries in well-known text.

use std::io::{BufRead, Cursor, Read as _, Seek};

use serde_json::Value;

use super::{
    COLUMNS_MAX, FileError, Finding, FindingCode, Format, HEADER_BYTES_MAX, ReadOptions, Reading, Take,
    attributes::{Attributes, Found, Values},
    collect::{Collector, Place, circle_finding, radius_m},
    delimited::{column_number, delimiter_of, number, short_row},
    finding::{SWAPPED_HINT, quote},
    geometry::{Drawn, is_too_precise, shape},
    lines::Numbered,
    names::{Field, Target, plain},
    text, wkt,
};
use crate::geo::{Position, PositionError, Shape};

/// The first line is looked for within so many bytes, to find the separator.
const HEAD_BYTES: u64 = 64 * 1024;

/// How much is read ahead, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;

pub(super) fn read(input: impl BufRead + Seek, options: &ReadOptions, take: Take<'_>) -> Result<Reading, FileError> {
    let (mut text, finding) = text::open(input, options.limits.bytes_max)?;
    let mut collector = Collector::new(Format::Csv, options, take);
    if let Some(finding) = finding {
        collector.find(&Place::default(), finding);
    }
    let mut head = Vec::new();
    text.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    let delimiter = {
        let head = String::from_utf8_lossy(&head);
        delimiter_of(head.lines().find(|line| !line.trim().is_empty()).unwrap_or_default())
    };
    let row_bytes_max = options.limits.feature_bytes_max;
    let mut rows = ::csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(BUFFER_BYTES)
        .from_reader(Numbered::new(Cursor::new(head).chain(text), row_bytes_max as u64));
    let mut row = ::csv::StringRecord::new();
    let mut table = match &options.columns {
        Some(columns) => Some(Table::new(columns.clone(), delimiter, 1, options)?),
        None => None,
    };
    loop {
        let offset = rows.position().byte();
        rows.get_mut().begin_record(offset);
        let is_row = rows.read_record(&mut row);
        let line = rows.get_mut().line_at(offset);
        if rows.get_ref().is_too_long() {
            return Err(FileError::RowTooLong {
                line,
                bytes_max: row_bytes_max,
            });
        }
        if !is_row.map_err(into_io)? {
            break;
        }
        if row.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        let Some(table) = &table else {
            table = Some(Table::of_header(&row, delimiter, line, options)?);
            continue;
        };
        let place = Place {
            line: Some(line),
            feature: Some(collector.begin()?),
            pointer: None,
        };
        let fields: Vec<&str> = row.iter().map(plain_field).collect();
        collector.end(&place, table.geofence(&fields, options))?;
    }
    Ok(collector.finish())
}

/// Without blanks; databases write `\N` for nothing.
fn plain_field(field: &str) -> &str {
    match field.trim() {
        "\\N" => "",
        field => field,
    }
}

/// The text is valid UTF-8 and rows may differ in length, so only I/O could go wrong.
fn into_io(error: ::csv::Error) -> FileError {
    FileError::Io(error.into())
}

/// Whether the columns' names are few and short enough to be kept with each row.
fn check_header<'a>(names: impl Iterator<Item = &'a str>, line: u64) -> Result<(), FileError> {
    let (columns, bytes) = names.fold((0, 0), |(columns, bytes), name| (columns + 1, bytes + name.len()));
    if columns > COLUMNS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(FileError::HeaderTooLong { line, columns, bytes });
    }
    Ok(())
}

/// What the header says.
struct Table {
    header: Vec<String>,
    targets: Vec<Target>,
    delimiter: u8,
    /// Whether a column of well-known text stands for latitude and longitude.
    is_drawn: bool,
}

impl Table {
    /// Takes the first row, unless it is data.
    fn of_header(
        row: &::csv::StringRecord,
        delimiter: u8,
        line: u64,
        options: &ReadOptions,
    ) -> Result<Self, FileError> {
        check_header(row.iter(), line)?;
        let header: Vec<String> = row.iter().map(|name| name.trim().to_owned()).collect();
        let is_known = |name: &String| matches!(Target::of(name), Target::Field(..));
        let is_number = |field: &String| number(field, delimiter).is_some();
        if !header.iter().any(is_known) && header.iter().any(is_number) {
            let found = header.iter().map(|field| quote(field)).collect();
            return Err(FileError::HeaderMissing { line, found });
        }
        Self::new(header, delimiter, line, options)
    }

    fn new(header: Vec<String>, delimiter: u8, line: u64, options: &ReadOptions) -> Result<Self, FileError> {
        check_header(header.iter().map(String::as_str), line)?;
        let mut targets: Vec<Target> = header.iter().map(|name| Target::of(name)).collect();
        let has = |wanted| {
            targets
                .iter()
                .any(|target| matches!(target, Target::Field(field, _) if *field == wanted))
        };
        let (has_latitude, has_longitude) = (has(Field::Latitude), has(Field::Longitude));
        let is_drawn = has(Field::Geometry) && !(has_latitude && has_longitude);
        let mut missing = Vec::new();
        match &options.id_field {
            Some(wanted) if !header.iter().any(|name| plain(name) == plain(wanted)) => missing.push(quote(wanted)),
            None if !has(Field::ExternalId) && !has(Field::Description) => {
                missing.push("`externalId` (or `id`)".to_owned());
            }
            _ => {}
        }
        if !has_latitude && !is_drawn {
            missing.push("`latitude`".to_owned());
        }
        if !has_longitude && !is_drawn {
            missing.push("`longitude`".to_owned());
        }
        if !missing.is_empty() {
            let found = header.iter().map(|name| quote(name)).collect();
            return Err(FileError::ColumnsMissing { line, missing, found });
        }
        // Beside latitude and longitude these columns are the owner's.
        for (name, target) in header.iter().zip(&mut targets) {
            if !is_drawn && matches!(target, Target::Field(Field::Geometry, _)) {
                *target = Target::Metadata(name.clone());
            }
        }
        Ok(Self {
            header,
            targets,
            delimiter,
            is_drawn,
        })
    }

    fn geofence(&self, fields: &[&str], options: &ReadOptions) -> Result<(Attributes, Drawn), Finding> {
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
        let drawn = if self.is_drawn {
            drawn(&mut values, options)?
        } else {
            self.circle(&mut values, options)?
        };
        Ok((Attributes::read(values, options)?, drawn))
    }

    fn circle(&self, values: &mut Values, options: &ReadOptions) -> Result<Drawn, Finding> {
        let latitude = self.coordinate(values, Field::Latitude, "latitude")?;
        let longitude = self.coordinate(values, Field::Longitude, "longitude")?;
        let center =
            Position::new(latitude, longitude).map_err(|error| position_finding(&error, latitude, longitude))?;
        let radius = |found: Found| column_number(found.name(), text_of(&found), self.delimiter);
        let given = values.take(Field::Radius).map(radius).transpose()?;
        let shape = Shape::circle(center, radius_m(given, options)?).map_err(|error| circle_finding(&error))?;
        Ok(Drawn {
            is_too_precise: is_too_precise([longitude, latitude]),
            ..shape.into()
        })
    }

    fn coordinate(&self, values: &mut Values, field: Field, name: &str) -> Result<f64, Finding> {
        let Some(found) = values.take(field) else {
            return Err(Finding::error(
                FindingCode::GeometryMissing,
                format!("the {name} is empty"),
                "give the place its coordinates, or leave the row out",
            ));
        };
        column_number(found.name(), text_of(&found), self.delimiter)
    }
}

fn text_of(found: &Found) -> &str {
    found.value.as_str().unwrap_or_default()
}

/// The shape in a column of well-known text.
fn drawn(values: &mut Values, options: &ReadOptions) -> Result<Drawn, Finding> {
    let Some(found) = values.take(Field::Geometry) else {
        return Err(Finding::error(
            FindingCode::GeometryMissing,
            "the geometry is empty",
            "give the place a geometry, or leave the row out",
        ));
    };
    let geometry = wkt::parse(text_of(&found)).map_err(|error| {
        Finding::error(
            FindingCode::CoordinatesInvalid,
            format!("column {} is no well-known text: {error}", quote(found.name())),
            "write a geometry such as POINT (8.54 47.38) or POLYGON ((...)), longitude first",
        )
    })?;
    let radius = values.take(Field::Radius);
    shape(geometry, "", radius.as_ref(), options)
}

/// What is wrong with a point, and whether its two numbers seem to be swapped.
pub(super) fn position_finding(error: &PositionError, latitude: f64, longitude: f64) -> Finding {
    let code = match error {
        PositionError::Latitude(_) => FindingCode::LatitudeOutOfRange,
        PositionError::Longitude(_) => FindingCode::LongitudeOutOfRange,
    };
    let hint = if Position::new(longitude, latitude).is_ok() {
        SWAPPED_HINT
    } else {
        "give degrees (WGS84), not metres or degrees and minutes"
    };
    Finding::error(code, error.to_string(), hint)
}
