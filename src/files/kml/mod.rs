//! KML (2.0 to 2.3): placemarks with points and polygons, in any folders.
//!
//! The document is read placemark by placemark. What Beckon has no use for (lines, overlays, links) is counted and told
//! once; nothing that a file links to is fetched.

mod coordinates;
mod placemark;

use std::io::BufRead;

use super::{
    FileError, Finding, FindingCode, Format, ReadOptions, Reading, Severity, Take,
    collect::{Collector, Place},
    finding::quote,
    skipped::Skipped,
    text::encoding_note,
    xml::{Node, Tag, Xml},
};

/// Longest path of folder names that is kept, in bytes.
const FOLDER_BYTES_MAX: usize = 1024;

/// Between the names of folders.
const FOLDER_SEPARATOR: &str = " / ";

/// Reads a KML file.
pub(super) fn read(input: impl BufRead, options: &ReadOptions, take: Take<'_>) -> Result<Reading, FileError> {
    let mut collector = Collector::new(Format::Kml, options, take);
    read_into(input, &mut collector)?;
    Ok(collector.finish())
}

/// Reads KML from a file or an archive.
pub(super) fn read_into(input: impl BufRead, collector: &mut Collector<'_>) -> Result<(), FileError> {
    let limits = collector.options().limits;
    let mut reader = KmlReader {
        xml: Xml::new(input, limits.bytes_max, limits.feature_bytes_max)?,
        collector,
        containers: Vec::new(),
        skipped: Skipped::default(),
        placemarks: 0,
        has_root: false,
    };
    reader.document()?;
    let KmlReader { xml, skipped, .. } = reader;
    skipped.tell(collector);
    xml.remarks(collector);
    Ok(())
}

struct KmlReader<'a, 'c, R> {
    xml: Xml<R>,
    collector: &'a mut Collector<'c>,
    /// The names of the folders that are open; `None` for documents and folders without a name.
    containers: Vec<Option<String>>,
    skipped: Skipped,
    placemarks: u64,
    has_root: bool,
}

impl<R: BufRead> KmlReader<'_, '_, R> {
    fn document(&mut self) -> Result<(), FileError> {
        loop {
            match self.xml.next()? {
                Node::Open(tag) => self.element(&tag)?,
                Node::Close => {
                    self.containers.pop();
                }
                Node::Text(text) if !self.has_root && !text.trim().is_empty() => {
                    return Err(self.not_kml(&text));
                }
                Node::Text(_) | Node::Unknown(_) => {}
                Node::End if self.has_root => return Ok(()),
                Node::End => return Err(FileError::Empty),
            }
        }
    }

    fn not_kml(&self, found: &str) -> FileError {
        FileError::WrongRoot {
            line: self.xml.line(),
            expected: "KML",
            found: quote(found),
        }
    }

    fn element(&mut self, tag: &Tag) -> Result<(), FileError> {
        let name = tag.name();
        let is_container = matches!(name, "kml" | "Document" | "Folder");
        if !self.has_root && !is_container && name != "Placemark" {
            return Err(self.not_kml(&format!("<{name}>")));
        }
        self.has_root = true;
        match name {
            _ if is_container => self.containers.push(None),
            "Placemark" => {
                self.placemarks += 1;
                return self.placemark(tag);
            }
            "name" if self.xml.parent() == Some("Folder") => {
                let name = self.xml.text(FOLDER_BYTES_MAX)?.unwrap_or_default();
                if let Some(folder) = self.containers.last_mut() {
                    *folder = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
                }
            }
            "NetworkLink" => self.skip("network link")?,
            "GroundOverlay" => self.skip("ground overlay")?,
            "ScreenOverlay" => self.skip("screen overlay")?,
            "PhotoOverlay" => self.skip("photo overlay")?,
            "Tour" => self.skip("tour")?,
            "NetworkLinkControl" => self.skip("network link control")?,
            _ => {
                let place = self.place();
                for _ in 0..self.xml.skip("Placemark")? {
                    self.skipped.add("placemark within an unknown element", place.clone());
                }
            }
        }
        Ok(())
    }

    fn skip(&mut self, kind: &'static str) -> Result<(), FileError> {
        let place = self.place();
        self.xml.skip("")?;
        self.skipped.add(kind, place);
        Ok(())
    }

    /// A place that no feature is counted for.
    fn place(&self) -> Place {
        Place {
            line: Some(self.xml.line()),
            ..Place::default()
        }
    }

    fn placemark(&mut self, tag: &Tag) -> Result<(), FileError> {
        let mut place = self.place();
        place.feature = Some(self.placemarks);
        let placemark = placemark::read(&mut self.xml, tag, self.collector.options())?;
        if let Some(kind) = placemark.skipped_as() {
            self.skipped.add(kind, place);
            return Ok(());
        }
        self.collector.begin()?;
        let outcome = placemark.geofence(self.folder(), self.collector.options());
        self.collector.end(&place, outcome)
    }

    /// The names of the folders around, outermost first.
    fn folder(&self) -> String {
        let mut path = String::new();
        for name in self.containers.iter().flatten() {
            if path.len() + FOLDER_SEPARATOR.len() + name.len() > FOLDER_BYTES_MAX {
                break;
            }
            if !path.is_empty() {
                path.push_str(FOLDER_SEPARATOR);
            }
            path.push_str(name);
        }
        path
    }
}

impl<R: BufRead> Xml<R> {
    /// What the whole document gives cause to say.
    pub(super) fn remarks(&self, collector: &mut Collector<'_>) {
        if self.is_guessed() {
            collector.remark(&Place::default(), encoding_note());
        }
        if let Some(line) = self.dtd_line() {
            let place = Place {
                line: Some(line),
                ..Place::default()
            };
            let finding = Finding::new(
                Severity::Note,
                FindingCode::DtdIgnored,
                "the document type declaration (DTD) is passed over",
                "nothing that it declares or links to is used",
            );
            collector.remark(&place, finding);
        }
    }
}
