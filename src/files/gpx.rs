//! GPX (1.0 and 1.1): waypoints as circles. Tracks and routes are left out; a replay reads tracks from CSV.

use std::io::BufRead;

use serde_json::Value;

use super::{
    FileError, Finding, FindingCode, Format, ReadOptions, Reading, Take,
    attributes::{Attributes, Values},
    collect::{Collector, Place},
    finding::quote,
    geometry::{Drawn, Geometry, shape},
    names::{Field, Target},
    order,
    skipped::Skipped,
    xml::{Node, Tag, Xml},
};

/// Longest name, comment or value, in bytes.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// After the names that a file's owner chose.
const LAST_RANK: u8 = u8::MAX;

pub(super) fn read(input: impl BufRead, options: &ReadOptions, take: Take<'_>) -> Result<Reading, FileError> {
    let limits = options.limits;
    let mut reader = GpxReader {
        xml: Xml::new(input, limits.bytes_max, limits.feature_bytes_max)?,
        collector: Collector::new(Format::Gpx, options, take),
        skipped: Skipped::default(),
        has_root: false,
    };
    reader.document()?;
    let GpxReader {
        xml,
        mut collector,
        skipped,
        ..
    } = reader;
    skipped.tell(&mut collector);
    xml.remarks(&mut collector);
    Ok(collector.finish())
}

struct GpxReader<'a, R> {
    xml: Xml<R>,
    collector: Collector<'a>,
    skipped: Skipped,
    has_root: bool,
}

/// What a waypoint came to, before it is judged.
struct Waypoint {
    values: Values,
    problem: Option<Finding>,
    is_named: bool,
}

impl<R: BufRead> GpxReader<'_, R> {
    fn document(&mut self) -> Result<(), FileError> {
        loop {
            match self.xml.next()? {
                Node::Open(tag) if self.has_root => self.element(&tag)?,
                Node::Open(tag) if tag.name() == "gpx" => self.has_root = true,
                Node::Open(tag) => return Err(self.not_gpx(&format!("<{}>", tag.name()))),
                Node::Text(text) if !self.has_root && !text.trim().is_empty() => return Err(self.not_gpx(&text)),
                Node::Text(_) | Node::Unknown(_) | Node::Close => {}
                Node::End if self.has_root => return Ok(()),
                Node::End => return Err(FileError::Empty),
            }
        }
    }

    fn not_gpx(&self, found: &str) -> FileError {
        FileError::WrongRoot {
            line: self.xml.line(),
            expected: "GPX",
            found: quote(found),
        }
    }

    /// A direct child of the root.
    fn element(&mut self, tag: &Tag) -> Result<(), FileError> {
        let place = Place {
            line: Some(self.xml.line()),
            ..Place::default()
        };
        match tag.name() {
            "wpt" => return self.waypoint(tag, place),
            "trk" => self.skipped.add("track", place),
            "rte" => self.skipped.add("route", place),
            _ => {}
        }
        self.xml.skip("")?;
        Ok(())
    }

    fn waypoint(&mut self, tag: &Tag, mut place: Place) -> Result<(), FileError> {
        let number = self.collector.begin()?;
        place.feature = Some(number);
        let options = self.collector.options();
        let position = position(tag);
        let mut waypoint = self.values(options.limits.feature_bytes_max)?;
        let is_named = waypoint.is_named;
        if !is_named {
            order::stand_in(number, &mut waypoint.values);
        }
        let outcome = position.and_then(|vertex| geofence(waypoint, vertex, options));
        if !is_named && outcome.is_ok() {
            self.collector.find(&place, order::warning());
        }
        self.collector.end(&place, outcome)
    }

    /// What is in the waypoint, to its end.
    fn values(&mut self, bytes_max: usize) -> Result<Waypoint, FileError> {
        let start = self.xml.bytes();
        let mut waypoint = Waypoint {
            values: Values::default(),
            problem: None,
            is_named: false,
        };
        let depth = self.xml.depth();
        while self.xml.depth() >= depth {
            let Node::Open(tag) = self.xml.next()? else {
                continue;
            };
            let name = tag.name().to_owned();
            let target = match name.as_str() {
                "extensions" => {
                    self.extensions(&mut waypoint)?;
                    continue;
                }
                "name" => Target::Field(Field::Description, 0),
                "desc" => Target::Field(Field::Description, LAST_RANK),
                "cmt" | "sym" | "type" | "ele" => Target::Metadata(name.clone()),
                _ => {
                    self.xml.skip("")?;
                    continue;
                }
            };
            let text = self.xml.text(VALUE_BYTES_MAX)?;
            waypoint.add(&name, &target, text);
            waypoint.check_length(self.xml.bytes() - start, bytes_max);
        }
        Ok(waypoint)
    }

    /// The texts of the innermost elements, under the elements' names.
    fn extensions(&mut self, waypoint: &mut Waypoint) -> Result<(), FileError> {
        let start = self.xml.bytes();
        let bytes_max = self.collector.options().limits.feature_bytes_max;
        let depth = self.xml.depth();
        let mut innermost: Option<(String, String)> = None;
        while self.xml.depth() >= depth {
            match self.xml.next()? {
                Node::Open(tag) => innermost = Some((tag.name().to_owned(), String::new())),
                Node::Text(text) => {
                    if let Some((_, value)) = &mut innermost
                        && value.len() + text.len() <= VALUE_BYTES_MAX
                    {
                        value.push_str(&text);
                    }
                }
                Node::Close => {
                    if let Some((name, value)) = innermost.take() {
                        let target = match Target::of(&name) {
                            Target::Field(Field::Latitude | Field::Longitude, _) => Target::Metadata(name.clone()),
                            // Garmin's alarm distance, in metres.
                            _ if name == "Proximity" => Target::Field(Field::Radius, LAST_RANK),
                            target => target,
                        };
                        waypoint.add(&name, &target, Ok(value));
                    }
                }
                Node::Unknown(_) | Node::End => {}
            }
            waypoint.check_length(self.xml.bytes() - start, bytes_max);
        }
        Ok(())
    }
}

impl Waypoint {
    fn add(&mut self, name: &str, target: &Target, text: Result<String, Finding>) {
        match text {
            Ok(text) => {
                let names_it = matches!(target, Target::Field(Field::ExternalId | Field::Description, _));
                self.is_named |= names_it && !text.trim().is_empty();
                self.values.add(name, target, Value::String(text));
            }
            Err(finding) => {
                self.problem.get_or_insert(finding);
            }
        }
    }

    /// What is too long isn't kept while the rest of it is read.
    fn check_length(&mut self, bytes: u64, bytes_max: usize) {
        if bytes > bytes_max as u64 {
            self.values = Values::default();
            self.problem.get_or_insert_with(|| {
                Finding::error(
                    FindingCode::FeatureTooLong,
                    format!("the waypoint is longer than {bytes_max} bytes"),
                    "shorten its texts",
                )
            });
        }
    }
}

/// Longitude and latitude out of the attributes.
fn position(tag: &Tag) -> Result<[f64; 2], Finding> {
    let ordinate = |name: &str| {
        let text = tag.attribute(name).unwrap_or_default();
        if text.is_empty() {
            return Err(Finding::error(
                FindingCode::GeometryMissing,
                format!("the waypoint has no `{name}`"),
                "give the place its coordinates, or leave it out",
            ));
        }
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
        value.ok_or_else(|| {
            Finding::error(
                FindingCode::NumberUnreadable,
                format!("`{name}` is not a number: {}", quote(&text)),
                "give degrees with a decimal point",
            )
        })
    };
    Ok([ordinate("lon")?, ordinate("lat")?])
}

fn geofence(waypoint: Waypoint, vertex: [f64; 2], options: &ReadOptions) -> Result<(Attributes, Drawn), Finding> {
    if let Some(problem) = waypoint.problem {
        return Err(problem);
    }
    let mut values = waypoint.values;
    let radius = values.take(Field::Radius);
    let shape = shape(Geometry::Point(vertex), "", radius.as_ref(), options)?;
    Ok((Attributes::read(values, options)?, shape))
}
