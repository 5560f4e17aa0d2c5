//! GeoJSON (RFC 7946): a collection, one feature, a bare geometry, or one of these a line or text (RFC 8142).
//!
//! The document is cut into features while it is read, and only one feature is in memory. So a feature that can't be
//! parsed (a number beyond range, too deep a nesting) is one finding and the others are kept.

mod feature;
mod geometry;
mod scanner;
mod value;

use std::io::{BufRead, Seek};

use serde_json::value::RawValue;

use super::{
    FileError, Finding, FindingCode, Format, ReadOptions, Reading, Severity, Take,
    collect::{Collector, Place},
    finding::quote,
    text,
};
use feature::{message_of, not_a_feature};
use scanner::{Part, Scanner};

/// RFC 8142 puts this before each text of a sequence.
const RECORD_SEPARATOR: u8 = 0x1e;

/// Longest name of a member of the document, in bytes.
const NAME_BYTES_MAX: usize = 1_000;

pub(super) fn read(input: impl BufRead + Seek, options: &ReadOptions, take: Take<'_>) -> Result<Reading, FileError> {
    let (text, finding) = text::open(input, options.limits.bytes_max)?;
    let mut collector = Collector::new(Format::GeoJson, options, take);
    if let Some(finding) = finding {
        collector.find(&Place::default(), finding);
    }
    let mut scanner = Scanner::new(text, 1);
    let mut reader = Reader {
        part: Part::new(options.limits.feature_bytes_max),
        collector,
    };
    if scanner.peek()? == Some(RECORD_SEPARATOR) {
        reader.sequence(&mut scanner, RECORD_SEPARATOR)?;
        return Ok(reader.collector.finish());
    }
    let first_line = scanner.line();
    reader.document(&mut scanner)?;
    let is_one_line = scanner.line() == first_line;
    if scanner.peek()?.is_some() {
        // More than one document must be one a line, or nothing tells where a broken one ends.
        if !is_one_line || scanner.line() == first_line {
            return Err(scanner.expected("nothing after the document"));
        }
        reader.sequence(&mut scanner, b'\n')?;
    }
    Ok(reader.collector.finish())
}

struct Reader<'a> {
    /// The value that is being read.
    part: Part,
    collector: Collector<'a>,
}

impl Reader<'_> {
    /// Texts with an end each: a broken one is a finding.
    fn sequence(&mut self, scanner: &mut Scanner<impl BufRead>, end: u8) -> Result<(), FileError> {
        let mut record = Part::new(self.collector.options().limits.feature_bytes_max);
        loop {
            let is_any = scanner.peek()?.is_some();
            let line = scanner.line();
            if !is_any || !scanner.until(end, &mut record)? {
                return Ok(());
            }
            let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == RECORD_SEPARATOR;
            let blanks = record
                .text()
                .map_or(0, |text| text.iter().take_while(|byte| is_blank(byte)).count());
            match record.text().map(|text| &text[blanks..]) {
                Some([]) => {}
                Some(text) => self.record(text, line)?,
                None => {
                    let place = self.begin(line, String::new())?;
                    feature(&mut self.collector, &place, &record)?;
                }
            }
        }
    }

    fn record(&mut self, text: &[u8], line: u64) -> Result<(), FileError> {
        let mut scanner = Scanner::new(text, line);
        let finding = match self.document(&mut scanner) {
            Ok(()) if scanner.peek()?.is_none() => return Ok(()),
            Ok(()) => Finding::error(
                FindingCode::RowUnreadable,
                "something follows the end of the feature",
                "put each feature in a line of its own",
            ),
            Err(FileError::NotGeoJson { found }) => not_a_feature(&found),
            Err(FileError::Json { line, column, message }) => Finding::error(
                FindingCode::RowUnreadable,
                format!("this can't be parsed: line {line}, column {column}: {message}"),
                "mend the JSON here",
            ),
            Err(error) => return Err(error),
        };
        let place = self.begin(line, String::new())?;
        self.collector.end(&place, Err(finding))
    }

    /// Counts a feature and says where it is.
    fn begin(&mut self, line: u64, pointer: String) -> Result<Place, FileError> {
        Ok(Place {
            line: Some(line),
            feature: Some(self.collector.begin()?),
            pointer: Some(pointer),
        })
    }

    /// One document. The features of a collection are taken while they are read, so that its `type` may come later.
    fn document(&mut self, scanner: &mut Scanner<impl BufRead>) -> Result<(), FileError> {
        let next = scanner.peek()?;
        let line = scanner.line();
        if next != Some(b'{') {
            return Err(self.no_object(scanner)?);
        }
        let mut document = Document::new(self.part_bytes_max());
        self.members(scanner, &mut document)?;
        let wrong = |found: String| Err(FileError::NotGeoJson { found });
        match document.kind.as_deref() {
            Some("FeatureCollection") if !document.has_features => {
                wrong("a FeatureCollection without a list `features`".to_owned())
            }
            Some("FeatureCollection") => {
                self.check_crs(document.crs.as_deref());
                Ok(())
            }
            Some(kind) if kind == "Feature" || geometry::is_type(kind) => {
                self.check_crs(document.crs.as_deref());
                let place = self.begin(line, String::new())?;
                feature(&mut self.collector, &place, &document.whole)
            }
            Some(kind) => wrong(format!("an object of type {}", quote(kind))),
            None => wrong("an object without a `type`".to_owned()),
        }
    }

    fn part_bytes_max(&self) -> usize {
        self.collector.options().limits.feature_bytes_max
    }

    /// What stands in place of a document.
    fn no_object(&mut self, scanner: &mut Scanner<impl BufRead>) -> Result<FileError, FileError> {
        let (line, column_error) = (scanner.line(), scanner.error(""));
        scanner.value(&mut self.part)?;
        let found = match self.part.text().map(serde_json::from_slice::<&RawValue>) {
            Some(Err(error)) => {
                let FileError::Json { column, .. } = column_error else {
                    return Ok(column_error);
                };
                let message = message_of(&error);
                return Ok(FileError::Json { line, column, message });
            }
            Some(Ok(raw)) => kind_of(raw.get()),
            None => "a long list or text",
        };
        Ok(FileError::NotGeoJson {
            found: found.to_owned(),
        })
    }

    fn members(&mut self, scanner: &mut Scanner<impl BufRead>, document: &mut Document) -> Result<(), FileError> {
        scanner.take(b'{')?;
        document.whole.push(b"{");
        if scanner.take(b'}')? {
            document.whole.push(b"}");
            return Ok(());
        }
        loop {
            let name = name(scanner)?;
            if !scanner.take(b':')? {
                return Err(scanner.expected("`:` after the name"));
            }
            let may_be_collection = document.kind.as_deref().is_none_or(|kind| kind == "FeatureCollection");
            if name == "features" && may_be_collection && scanner.peek()? == Some(b'[') {
                if document.has_features {
                    return Err(scanner.error("`features` appears twice"));
                }
                document.has_features = true;
                self.features(scanner)?;
            } else {
                scanner.value(&mut self.part)?;
                document.add(&name, &self.part);
            }
            if scanner.take(b'}')? {
                document.whole.push(b"}");
                return Ok(());
            }
            if !scanner.take(b',')? {
                return Err(scanner.expected("`,` or `}`"));
            }
        }
    }

    fn features(&mut self, scanner: &mut Scanner<impl BufRead>) -> Result<(), FileError> {
        scanner.take(b'[')?;
        if scanner.take(b']')? {
            return Ok(());
        }
        for index in 0_u64.. {
            scanner.peek()?;
            let line = scanner.line();
            scanner.value(&mut self.part)?;
            let place = self.begin(line, format!("/features/{index}"))?;
            feature(&mut self.collector, &place, &self.part)?;
            if scanner.take(b']')? {
                break;
            }
            if !scanner.take(b',')? {
                return Err(scanner.expected("`,` or `]` after the feature"));
            }
        }
        Ok(())
    }

    /// RFC 7946 did away with `crs`; what names WGS84 is harmless.
    fn check_crs(&mut self, crs: Option<&str>) {
        let Some(crs) = crs.filter(|crs| *crs != "null") else {
            return;
        };
        if !crs.contains("CRS84") && !crs.contains("4326") {
            let finding = Finding::new(
                Severity::Warning,
                FindingCode::CrsIgnored,
                format!("`crs` is ignored: {}", quote(crs)),
                "save the file in WGS84 longitude and latitude (EPSG:4326)",
            );
            let place = Place {
                pointer: Some(String::new()),
                ..Place::default()
            };
            self.collector.find(&place, finding.pointing("/crs"));
        }
    }
}

fn feature(collector: &mut Collector<'_>, place: &Place, part: &Part) -> Result<(), FileError> {
    let (outcome, duplicate) = feature::read(part, collector.options());
    if let Some(finding) = duplicate {
        collector.find(place, finding);
    }
    collector.end(place, outcome)
}

/// What is known of a document when its end is reached.
struct Document {
    kind: Option<String>,
    crs: Option<String>,
    has_features: bool,
    /// Everything but the features.
    whole: Part,
}

impl Document {
    fn new(bytes_max: usize) -> Self {
        Self {
            kind: None,
            crs: None,
            has_features: false,
            whole: Part::new(bytes_max),
        }
    }

    fn add(&mut self, name: &str, value: &Part) {
        if let (Some(text), "type") = (value.text(), name) {
            self.kind = serde_json::from_slice(text).ok();
        }
        if let (Some(text), "crs") = (value.text(), name) {
            self.crs = Some(String::from_utf8_lossy(text).into_owned());
        }
        let separator: &[u8] = if self.whole.bytes > 1 { b"," } else { b"" };
        self.whole.push(separator);
        self.whole.push(quoted(name).as_bytes());
        self.whole.push(b":");
        self.whole.push_part(value);
    }
}

/// The name of a member.
fn name(scanner: &mut Scanner<impl BufRead>) -> Result<String, FileError> {
    if scanner.peek()? != Some(b'"') {
        return Err(scanner.expected("a name in double quotes"));
    }
    let place = scanner.error("");
    let mut name = Part::new(NAME_BYTES_MAX);
    scanner.value(&mut name)?;
    let wrong = |message: String| match place {
        FileError::Json { line, column, .. } => FileError::Json { line, column, message },
        other => other,
    };
    let Some(text) = name.text() else {
        return Err(wrong(format!("the name is longer than {NAME_BYTES_MAX} bytes")));
    };
    serde_json::from_slice(text).map_err(|error| wrong(message_of(&error)))
}

fn quoted(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}

fn kind_of(text: &str) -> &'static str {
    match text.bytes().next() {
        Some(b'[') => "a list",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}
