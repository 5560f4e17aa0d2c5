//! Tracks for replays: rows of device, time and position.

use std::io::BufRead;

use super::{
    FileError, Finding, FindingCode,
    csv::position_finding,
    delimited::{column_number, delimiter_of, short_row},
    finding::quote,
    names::plain,
    text::BOM,
};
use crate::{
    domain::{ids::DeviceId, time::Timestamp},
    geo::Position,
};

/// Longest line of a track, in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Unix times from here on are milliseconds: as such it is 1973, as seconds the year 5138.
const MILLISECONDS_FROM: f64 = 1e11;

/// One fix of one device.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackPoint {
    /// The line in the file, from 1 (the header).
    pub line: u64,
    /// Who.
    pub device: DeviceId,
    /// When.
    pub at: Timestamp,
    /// Where.
    pub position: Position,
    /// Radius in metres within which the device is with 68 % probability.
    pub accuracy_m: Option<f64>,
}

/// Names of columns where the usual ones don't do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns {
    names: [Option<String>; ROLES.len()],
}

/// A text that names no columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not like `device=taxi,time=ts`; what can be named is device, time, latitude, longitude and accuracy")]
pub struct ColumnsError(String);

#[derive(Debug, Clone, Copy)]
enum Role {
    Device,
    Time,
    Latitude,
    Longitude,
    Accuracy,
}

/// Each role's own name and the names it is known by, best first, in lower case without blanks, dashes, underscores.
const ROLES: [(&str, &[&str]); 5] = [
    (
        "device",
        &[
            "device",
            "deviceid",
            "user",
            "userid",
            "vehicle",
            "vehicleid",
            "taxi",
            "taxiid",
            "phone",
            "id",
        ],
    ),
    (
        "time",
        &[
            "time",
            "timestamp",
            "ts",
            "at",
            "trackedat",
            "datetime",
            "date",
            "utcms",
            "unix",
            "epoch",
        ],
    ),
    ("latitude", &["latitude", "lat", "y"]),
    ("longitude", &["longitude", "lon", "lng", "long", "x"]),
    ("accuracy", &["accuracy", "accuracym", "horizontalaccuracy", "hacc"]),
];

impl std::str::FromStr for Columns {
    type Err = ColumnsError;

    /// Reads `device=taxi,time=TIMESTAMP`; roles that aren't named are found by the usual names.
    fn from_str(text: &str) -> Result<Self, ColumnsError> {
        let mut columns = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || ColumnsError(part.chars().take(60).collect());
            let (role, name) = part.split_once('=').ok_or_else(wrong)?;
            let role = plain(role.trim());
            let index = ROLES.iter().position(|(known, _)| *known == role).ok_or_else(wrong)?;
            columns.names[index] = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
        }
        Ok(columns)
    }
}

impl Columns {
    /// The place of each role in the header.
    fn find(&self, header: &[String]) -> Result<[Option<usize>; ROLES.len()], FileError> {
        let plain_header: Vec<String> = header.iter().map(|name| plain(name)).collect();
        let mut places = [None; ROLES.len()];
        let mut missing = Vec::new();
        for (index, (role, usual)) in ROLES.iter().enumerate() {
            let place = match &self.names[index] {
                Some(name) => header.iter().position(|known| known.eq_ignore_ascii_case(name)),
                None => usual
                    .iter()
                    .find_map(|name| plain_header.iter().position(|known| known == name)),
            };
            let is_needed = self.names[index].is_some() || !matches!(index, i if i == Role::Accuracy as usize);
            if place.is_none() && is_needed {
                missing.push(format!("`{}`", self.names[index].as_deref().unwrap_or(role)));
            }
            places[index] = place;
        }
        if missing.is_empty() {
            Ok(places)
        } else {
            let found = header.iter().map(|name| quote(name)).collect();
            Err(FileError::ColumnsMissing {
                line: 1,
                missing,
                found,
            })
        }
    }
}

/// An iterator over the rows. A broken row is a [`Finding`], and the next one is read; after a broken input it ends.
#[derive(Debug)]
pub struct Track<R> {
    input: R,
    line: u64,
    delimiter: u8,
    header: Vec<String>,
    places: [Option<usize>; ROLES.len()],
    is_ended: bool,
}

impl<R: BufRead> Track<R> {
    /// Reads the header.
    pub fn open(mut input: R, columns: &Columns) -> Result<Self, FileError> {
        let first = read_line(&mut input)?.ok_or(FileError::Empty)?;
        let first = first.strip_prefix(BOM).unwrap_or(&first);
        let text = String::from_utf8_lossy(first);
        if text.trim().is_empty() {
            return Err(FileError::Empty);
        }
        let delimiter = delimiter_of(&text);
        let header = split(&text, delimiter);
        let places = columns.find(&header)?;
        Ok(Self {
            input,
            line: 1,
            delimiter,
            header,
            places,
            is_ended: false,
        })
    }

    fn point(&self, text: &str) -> Result<TrackPoint, Finding> {
        let fields = split(text, self.delimiter);
        if fields.len() < self.header.len() {
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            return Err(short_row(&self.header, &fields));
        }
        let field = |role: Role| {
            let place = self.places[role as usize]?;
            Some((self.header[place].as_str(), fields[place].as_str()))
        };
        let needed = |role: Role| field(role).unwrap_or((ROLES[role as usize].0, ""));
        let number = |role: Role| {
            let (name, text) = needed(role);
            column_number(name, text, self.delimiter)
        };
        let (_, device) = needed(Role::Device);
        let device = DeviceId::new(device).map_err(|error| {
            let detail = format!("the device {} {error}", quote(device));
            Finding::error(FindingCode::IdInvalid, detail, "name the device in every row")
        })?;
        let (latitude, longitude) = (number(Role::Latitude)?, number(Role::Longitude)?);
        let position =
            Position::new(latitude, longitude).map_err(|error| position_finding(&error, latitude, longitude))?;
        let accuracy_m = match field(Role::Accuracy) {
            None | Some((_, "")) => None,
            Some((name, text)) => Some(column_number(name, text, self.delimiter)?).filter(|metres| *metres >= 0.0),
        };
        Ok(TrackPoint {
            line: self.line,
            device,
            at: read_time(needed(Role::Time))?,
            position,
            accuracy_m,
        })
    }

    fn end(&mut self, finding: Finding) -> Result<TrackPoint, Finding> {
        self.is_ended = true;
        Err(finding)
    }
}

impl<R: BufRead> Iterator for Track<R> {
    type Item = Result<TrackPoint, Finding>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.is_ended {
                return None;
            }
            self.line += 1;
            let outcome = match read_line(&mut self.input) {
                Ok(None) => return None,
                Ok(Some(bytes)) => {
                    let text = String::from_utf8_lossy(&bytes);
                    if text.trim().is_empty() {
                        continue;
                    }
                    self.point(&text)
                }
                Err(error) => {
                    let hint = "read the file again, or split it";
                    self.end(Finding::error(FindingCode::RowUnreadable, error.to_string(), hint))
                }
            };
            return Some(outcome.map_err(|mut finding| {
                finding.line = Some(self.line);
                finding
            }));
        }
    }
}

/// The next line, `None` at the end.
fn read_line(input: &mut impl BufRead) -> Result<Option<Vec<u8>>, FileError> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let read = input.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if read as u64 == LINE_BYTES_MAX && bytes.last() != Some(&b'\n') {
        return Err(FileError::TooLong {
            bytes_max: LINE_BYTES_MAX,
        });
    }
    Ok((read > 0).then_some(bytes))
}

/// The trimmed fields of one line.
fn split(line: &str, delimiter: u8) -> Vec<String> {
    let line = line.trim_end_matches(['\r', '\n']);
    if !line.contains('"') {
        return line
            .split(char::from(delimiter))
            .map(|field| field.trim().to_owned())
            .collect();
    }
    let mut reader = ::csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(line.as_bytes());
    let mut record = ::csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(_) => record.iter().map(|field| field.trim().to_owned()).collect(),
        Err(_) => Vec::new(),
    }
}

/// Unix seconds or milliseconds, or RFC 3339 with a zone.
fn read_time((name, text): (&str, &str)) -> Result<Timestamp, Finding> {
    if let Ok(number) = text.parse::<f64>()
        && number.is_finite()
    {
        let milliseconds = if number.abs() >= MILLISECONDS_FROM {
            number
        } else {
            number * 1000.0
        };
        return Ok(Timestamp(milliseconds.round() as i64));
    }
    Timestamp::parse(text).map_err(|_| {
        Finding::error(
            FindingCode::TimeUnreadable,
            format!("column `{name}` is not a time: {}", quote(text)),
            "write unix seconds, unix milliseconds or a time with zone such as 2026-11-22T08:30:00Z",
        )
    })
}
