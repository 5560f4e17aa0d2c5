//! One placemark: its names and values, and its geometry.

use std::io::BufRead;

use serde_json::Value;

use super::{
    super::{
        FileError, Finding, FindingCode, ReadOptions, Severity,
        attributes::{Attributes, Values},
        geometry::{Drawn, Geometry, shape},
        names::{Field, Target},
        xml::{Node, Tag, Xml},
    },
    coordinates,
};

/// Longest name, description or value, in bytes.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Longest name of a value, in bytes.
const NAME_BYTES_MAX: usize = 1024;

/// A description counts as the geofence's own only where there is no name: it is mostly a page of HTML.
const LAST_RANK: u8 = u8::MAX;

/// What a placemark came to.
pub(super) struct Placemark {
    values: Values,
    geometries: Vec<Geometry>,
    /// A geometry of a kind that is passed over, such as a track.
    passed_over: Option<&'static str>,
    /// Values whose names are too long.
    unnamed: u64,
    problem: Option<Finding>,
}

/// Reads the placemark that `tag` opened, to its end.
pub(super) fn read<R: BufRead>(xml: &mut Xml<R>, tag: &Tag, options: &ReadOptions) -> Result<Placemark, FileError> {
    let mut reader = Reader {
        bytes_max: options.limits.feature_bytes_max,
        start: xml.bytes(),
        copied: 0,
        xml,
        placemark: Placemark {
            values: Values::default(),
            geometries: Vec::new(),
            passed_over: None,
            unnamed: 0,
            problem: None,
        },
    };
    if let Some(id) = tag.attribute("id") {
        reader.placemark.values.add_feature_id(Value::String(plain_id(id)));
    }
    loop {
        match reader.xml.next()? {
            Node::Open(tag) => reader.child(&tag)?,
            Node::Close | Node::End => break,
            Node::Text(_) | Node::Unknown(_) => {}
        }
    }
    Ok(reader.placemark)
}

/// An XML id can't begin with a digit, so libkml puts this before the numbers of the rows that it makes placemarks of.
fn plain_id(id: String) -> String {
    match id.strip_prefix("feature-") {
        Some(number) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => number.to_owned(),
        _ => id,
    }
}

impl Placemark {
    /// The kind that it is passed over as, when it has only geometries that can't be geofences.
    pub(super) fn skipped_as(&self) -> Option<&'static str> {
        if self.problem.is_some() {
            return None;
        }
        if self.geometries.is_empty() {
            return Some(self.passed_over.unwrap_or("placemark without a geometry"));
        }
        self.geometries.iter().all(is_lines).then_some("line")
    }

    pub(super) fn geofence(mut self, folder: String, options: &ReadOptions) -> Result<(Attributes, Drawn), Finding> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        if !folder.is_empty() {
            let target = Target::Metadata("folder".to_owned());
            self.values.add("folder", &target, Value::String(folder));
        }
        let radius = self.values.take(Field::Radius);
        let geometry = match self.geometries.len() {
            1 => self.geometries.remove(0),
            _ => Geometry::Collection(self.geometries),
        };
        let mut shape = shape(geometry, "", radius.as_ref(), options)?;
        if self.unnamed > 0 {
            shape.notes.push(Finding::new(
                Severity::Note,
                FindingCode::PartSkipped,
                format!(
                    "values with names of more than {NAME_BYTES_MAX} bytes are left out: {}",
                    self.unnamed
                ),
                "shorten the names, if the values matter",
            ));
        }
        Ok((Attributes::read(self.values, options)?, shape))
    }
}

fn is_lines(geometry: &Geometry) -> bool {
    match geometry {
        Geometry::Lines => true,
        Geometry::Collection(parts) => !parts.is_empty() && parts.iter().all(is_lines),
        _ => false,
    }
}

struct Reader<'x, R> {
    xml: &'x mut Xml<R>,
    placemark: Placemark,
    start: u64,
    /// Bytes of the names of `Data` that were copied for its values, of which there may be many.
    copied: u64,
    bytes_max: usize,
}

impl<R: BufRead> Reader<'_, R> {
    /// A direct child of the placemark.
    fn child(&mut self, tag: &Tag) -> Result<(), FileError> {
        match tag.name() {
            "name" => self.value("name", &Target::Field(Field::Description, 0))?,
            "description" => self.value("description", &Target::Field(Field::Description, LAST_RANK))?,
            "address" | "phoneNumber" => {
                let name = tag.name().to_owned();
                self.value(&name, &Target::Metadata(name.clone()))?;
            }
            // Before KML 2.2 it was called metadata.
            "ExtendedData" | "Metadata" => self.extended_data()?,
            _ => {
                if let Some(geometry) = self.geometry(tag)? {
                    self.placemark.geometries.push(geometry);
                }
            }
        }
        self.is_too_long();
        Ok(())
    }

    /// What is too long isn't kept while the rest of it is read; says so.
    fn is_too_long(&mut self) -> bool {
        let bytes_max = self.bytes_max;
        if self.xml.bytes() - self.start + self.copied <= bytes_max as u64 {
            return false;
        }
        self.placemark.values = Values::default();
        self.placemark.geometries.clear();
        self.problem(Finding::error(
            FindingCode::FeatureTooLong,
            format!("the placemark is longer than {bytes_max} bytes"),
            "simplify the outline or shorten the texts",
        ));
        true
    }

    /// The first problem is the one that is told.
    fn problem(&mut self, finding: Finding) {
        self.placemark.problem.get_or_insert(finding);
    }

    /// A value of the placemark's own data. One with an endless name is passed over.
    fn own_value(&mut self, name: &str) -> Result<(), FileError> {
        if name.len() > NAME_BYTES_MAX {
            self.placemark.unnamed += 1;
            self.xml.skip("")?;
            return Ok(());
        }
        self.value(name, &target_of(name))
    }

    fn value(&mut self, name: &str, target: &Target) -> Result<(), FileError> {
        match self.xml.text(VALUE_BYTES_MAX)? {
            Ok(text) => self.placemark.values.add(name, target, Value::String(text)),
            Err(finding) => self.problem(finding),
        }
        Ok(())
    }

    /// `Data` with a `value` in it, `SchemaData` with `SimpleData`, and elements of a namespace of its own.
    fn extended_data(&mut self) -> Result<(), FileError> {
        let depth = self.xml.depth();
        let mut data_name = None;
        while self.xml.depth() >= depth {
            let Node::Open(tag) = self.xml.next()? else {
                continue;
            };
            match tag.name() {
                "SchemaData" | "SimpleArrayData" => {}
                "Data" => data_name = tag.attribute("name"),
                "displayName" => {
                    self.xml.skip("")?;
                }
                "value" => {
                    let name = data_name.as_deref().unwrap_or_default();
                    self.own_value(name)?;
                    self.copied += name.len().min(NAME_BYTES_MAX) as u64;
                }
                "SimpleData" => {
                    self.own_value(&tag.attribute("name").unwrap_or_default())?;
                }
                name => self.own_value(name)?,
            }
            self.is_too_long();
        }
        Ok(())
    }

    /// The geometry that `tag` opens; `None` when it is none, or of a kind that is passed over.
    fn geometry(&mut self, tag: &Tag) -> Result<Option<Geometry>, FileError> {
        match tag.name() {
            "Point" => self.point().map(Some),
            "Polygon" => self.polygon().map(Some),
            "LineString" | "LinearRing" => {
                self.xml.skip("")?;
                Ok(Some(Geometry::Lines))
            }
            // The depth of the document, and with it that of the calls, is bounded.
            "MultiGeometry" => self.parts().map(Some),
            "Track" | "MultiTrack" => self.pass_over("track"),
            "Model" => self.pass_over("3D model"),
            _ => {
                self.xml.skip("")?;
                Ok(None)
            }
        }
    }

    fn pass_over(&mut self, kind: &'static str) -> Result<Option<Geometry>, FileError> {
        self.xml.skip("")?;
        self.placemark.passed_over.get_or_insert(kind);
        Ok(None)
    }

    fn parts(&mut self) -> Result<Geometry, FileError> {
        let mut parts = Vec::new();
        loop {
            match self.xml.next()? {
                Node::Open(tag) => parts.extend(self.geometry(&tag)?),
                Node::Close | Node::End => break,
                Node::Text(_) | Node::Unknown(_) => {}
            }
            if self.is_too_long() {
                parts.clear();
            }
        }
        Ok(match parts.len() {
            0 => Geometry::Absent,
            _ => Geometry::Collection(parts),
        })
    }

    fn point(&mut self) -> Result<Geometry, FileError> {
        let vertices = self.coordinates()?;
        Ok(match vertices.as_slice() {
            [] => Geometry::Absent,
            [vertex] => Geometry::Point(*vertex),
            _ => Geometry::MultiPoint(vertices),
        })
    }

    fn polygon(&mut self) -> Result<Geometry, FileError> {
        let mut outer = None;
        let mut holes = Vec::new();
        loop {
            let tag = match self.xml.next()? {
                Node::Open(tag) => tag,
                Node::Close | Node::End => break,
                Node::Text(_) | Node::Unknown(_) => continue,
            };
            match tag.name() {
                "outerBoundaryIs" => {
                    let ring = self.coordinates()?;
                    if outer.replace(ring).is_some() {
                        self.problem(Finding::error(
                            FindingCode::CoordinatesInvalid,
                            "the polygon has several outer boundaries",
                            "make a MultiGeometry of several polygons",
                        ));
                    }
                }
                "innerBoundaryIs" => holes.push(self.coordinates()?),
                _ => {
                    self.xml.skip("")?;
                }
            }
            if self.is_too_long() {
                holes.clear();
            }
        }
        let Some(outer) = outer else {
            return Ok(Geometry::Polygon(Vec::new()));
        };
        holes.insert(0, outer);
        Ok(Geometry::Polygon(holes))
    }

    /// All positions in the element that was just opened.
    fn coordinates(&mut self) -> Result<Vec<[f64; 2]>, FileError> {
        let depth = self.xml.depth();
        let mut vertices = Vec::new();
        while self.xml.depth() >= depth {
            let Node::Open(tag) = self.xml.next()? else {
                continue;
            };
            if tag.name() != "coordinates" {
                continue;
            }
            let line = self.xml.line();
            let read = self.xml.text(self.bytes_max)?;
            match read.and_then(|text| coordinates::parse(&text, line)) {
                Ok(more) => vertices.extend(more),
                Err(finding) => self.problem(finding),
            }
            if self.is_too_long() {
                vertices.clear();
            }
        }
        Ok(vertices)
    }
}

/// Where a value goes. A placemark's place is its geometry; values of these names are the owner's.
fn target_of(name: &str) -> Target {
    match Target::of(name) {
        Target::Field(Field::Latitude | Field::Longitude, _) => Target::Metadata(name.to_owned()),
        target => target,
    }
}
