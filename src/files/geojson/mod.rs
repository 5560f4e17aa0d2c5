//! GeoJSON (RFC 7946): a collection, one feature, a bare geometry, or one of these a line.
//!
//! The document is cut into features without being parsed as a whole, so that a feature that can't be parsed (a number
//! beyond range, too deep a nesting) is one finding and the others are kept. Nesting is bounded by `serde_json`.

mod geometry;

use std::collections::BTreeMap;

use serde_json::{Value, value::RawValue};

use super::{
    FileError, Finding, FindingCode, Format, ReadOptions, Reading, Severity, Take,
    attributes::{Attributes, Values},
    collect::{Collector, Place},
    csv::encoding_note,
    finding::quote,
    geometry::shape,
    names::{Field, Target},
    text::{Lines, decode},
};
use crate::geo::Shape;

pub(super) fn read(bytes: &[u8], options: &ReadOptions, take: Take<'_>) -> Result<Reading, FileError> {
    let (text, is_guessed) = decode(bytes);
    let mut collector = Collector::new(Format::GeoJson, options, take);
    if is_guessed {
        collector.find(&Place::default(), encoding_note());
    }
    let mut reader = Reader {
        lines: Lines::new(text.as_bytes()),
        text: &text,
        collector,
    };
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(raw) => reader.document(raw)?,
        Err(_) if is_one_a_line(&text) => reader.one_a_line()?,
        Err(error) => {
            return Err(FileError::Json {
                line: error.line() as u64,
                column: error.column() as u64,
                message: message_of(&error),
            });
        }
    }
    Ok(reader.collector.finish())
}

/// RFC 8142 puts this before each text of a sequence.
const RECORD_SEPARATOR: char = '\u{1e}';

/// Whether the first line is a JSON object by itself and more follows.
fn is_one_a_line(text: &str) -> bool {
    let mut lines = text
        .split('\n')
        .map(|line| line.trim_start_matches(RECORD_SEPARATOR).trim())
        .filter(|line| !line.is_empty());
    let is_object = |line: &str| line.starts_with('{') && serde_json::from_str::<&RawValue>(line).is_ok();
    let first_is_object = lines.next().is_some_and(is_object);
    first_is_object && (lines.next().is_some() || text.contains(RECORD_SEPARATOR))
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

struct Reader<'a> {
    lines: Lines<'a>,
    text: &'a str,
    collector: Collector<'a>,
}

impl<'a> Reader<'a> {
    fn document(&mut self, raw: &'a RawValue) -> Result<(), FileError> {
        let wrong = |found: String| FileError::NotGeoJson { found };
        let members: Members<'a> = serde_json::from_str(raw.get()).map_err(|_| wrong(kind_of(raw).to_owned()))?;
        let kind: Option<String> = members
            .get("type")
            .and_then(|kind| serde_json::from_str(kind.get()).ok());
        match kind.as_deref() {
            Some("FeatureCollection") => {
                self.check_crs(&members);
                let features: Vec<&'a RawValue> = members
                    .get("features")
                    .and_then(|features| serde_json::from_str(features.get()).ok())
                    .ok_or_else(|| wrong("a FeatureCollection without a list `features`".to_owned()))?;
                for (index, feature) in features.into_iter().enumerate() {
                    self.feature(feature, format!("/features/{index}"))?;
                }
                Ok(())
            }
            Some("Feature") => {
                self.check_crs(&members);
                self.feature(raw, String::new())
            }
            Some(name) if geometry::is_type(name) => self.feature(raw, String::new()),
            Some(name) => Err(wrong(format!("an object of type {}", quote(name)))),
            None => Err(wrong("an object without a `type`".to_owned())),
        }
    }

    /// Each line by itself: a broken one is a finding.
    fn one_a_line(&mut self) -> Result<(), FileError> {
        for line in self.text.split('\n') {
            let line = line.trim_start_matches(RECORD_SEPARATOR).trim();
            if line.is_empty() {
                continue;
            }
            let read = match serde_json::from_str::<&'a RawValue>(line) {
                Ok(raw) => self.document(raw),
                Err(error) => {
                    let place = self.begin(line, String::new())?;
                    self.collector.end(&place, Err(unreadable(&error)))
                }
            };
            if let Err(FileError::NotGeoJson { found }) = read {
                let place = self.begin(line, String::new())?;
                self.collector.end(&place, Err(not_a_feature(&found)))?;
            } else {
                read?;
            }
        }
        Ok(())
    }

    /// Counts a feature and says where it is.
    fn begin(&mut self, part: &'a str, pointer: String) -> Result<Place, FileError> {
        let feature = self.collector.begin()?;
        let offset = part.as_ptr().addr() - self.text.as_ptr().addr();
        Ok(Place {
            line: Some(self.lines.at(offset)),
            feature: Some(feature),
            pointer: Some(pointer),
        })
    }

    fn feature(&mut self, raw: &'a RawValue, pointer: String) -> Result<(), FileError> {
        let place = self.begin(raw.get(), pointer)?;
        let options = self.collector.options();
        let outcome = check_length(raw, options)
            .and_then(|()| serde_json::from_str(raw.get()).map_err(|error| unreadable(&error)))
            .and_then(|value| geofence(value, options));
        self.collector.end(&place, outcome)
    }

    /// RFC 7946 did away with `crs`; what names WGS84 is harmless.
    fn check_crs(&mut self, members: &Members<'_>) {
        let Some(crs) = members.get("crs").map(|crs| crs.get()) else {
            return;
        };
        if crs != "null" && !crs.contains("CRS84") && !crs.contains("4326") {
            let finding = Finding::new(
                Severity::Warning,
                FindingCode::CrsIgnored,
                format!("`crs` is ignored: {}", quote(crs)),
                "save the file in WGS84 longitude and latitude (EPSG:4326)",
            );
            self.collector.find(&Place::default(), finding.pointing("/crs"));
        }
    }
}

fn check_length(raw: &RawValue, options: &ReadOptions) -> Result<(), Finding> {
    let (bytes, bytes_max) = (raw.get().len(), options.limits.feature_bytes_max);
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(Finding::error(
        FindingCode::FeatureTooLong,
        format!("the feature is {bytes} bytes long, the limit is {bytes_max}"),
        "simplify the outline or shorten the properties",
    ))
}

/// A feature, or a bare geometry that stands for one.
fn geofence(value: Value, options: &ReadOptions) -> Result<(Attributes, Shape), Finding> {
    let Value::Object(mut feature) = value else {
        return Err(not_a_feature("it is no object"));
    };
    let kind = feature.get("type").and_then(Value::as_str).unwrap_or_default();
    if geometry::is_type(kind) {
        let shape = shape(geometry::parse(&Value::Object(feature), "")?, "", None, options)?;
        return Ok((Attributes::read(Values::default(), options)?, shape));
    }
    if kind != "Feature" {
        return Err(not_a_feature(&format!("its `type` is {}", quote(kind))));
    }
    let mut values = Values::default();
    match feature.remove("properties") {
        None | Some(Value::Null) => {}
        Some(Value::Object(properties)) => {
            for (name, value) in properties {
                match Target::of(&name) {
                    // A point's place is its geometry; properties of these names are the owner's.
                    Target::Field(Field::Latitude | Field::Longitude, _) => {
                        values.add(&name, &Target::Metadata(name.clone()), value);
                    }
                    Target::Metadata(_) if value.is_array() || value.is_object() => {}
                    target => values.add(&name, &target, value),
                }
            }
        }
        Some(_) => return Err(not_a_feature("its `properties` is no object").pointing("/properties")),
    }
    if let Some(id) = feature.remove("id") {
        values.add_feature_id(id);
    }
    let radius = values.take(Field::Radius);
    let geometry = feature.remove("geometry").unwrap_or(Value::Null);
    let shape = shape(
        geometry::parse(&geometry, "/geometry")?,
        "/geometry",
        radius.as_ref(),
        options,
    )?;
    Ok((Attributes::read(values, options)?, shape))
}

fn unreadable(error: &serde_json::Error) -> Finding {
    Finding::error(
        FindingCode::RowUnreadable,
        format!("this can't be parsed: {}", message_of(error)),
        "mend the JSON here",
    )
}

/// What the parser says, without its own idea of the place.
fn message_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split_once(" at line ")
        .map_or(text.as_str(), |(message, _)| message)
        .to_owned()
}

fn not_a_feature(why: &str) -> Finding {
    Finding::error(
        FindingCode::FeatureInvalid,
        format!("this is no GeoJSON feature: {why}"),
        r#"write {"type": "Feature", "geometry": {...}, "properties": {...}}"#,
    )
}

fn kind_of(raw: &RawValue) -> &'static str {
    match raw.get().bytes().next() {
        Some(b'[') => "a list",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        Some(b'{') => "an object that can't be read",
        _ => "a number",
    }
}
