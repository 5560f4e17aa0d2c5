//! The table of a shapefile: dBASE III rows of fields with fixed widths.

use std::io::BufRead;

use encoding_rs::Encoding;
use serde_json::{Number, Value};

use super::super::{
    FileError, Finding, FindingCode, Severity,
    attributes::Values,
    finding::quote,
    names::{Field, Target},
    text::decode,
};

const HEADER_BYTES: usize = 32;
const FIELD_BYTES: usize = 32;
const FIELDS_END: u8 = 0x0d;
const FILE_END: u8 = 0x1a;
const DELETED: u8 = b'*';

/// How long names can be; longer ones are cut when a shapefile is written.
const NAME_BYTES_MAX: usize = 10;

/// One row.
pub(super) enum Row {
    Values(Values),
    Deleted,
}

#[derive(Debug)]
struct Column {
    name: String,
    target: Target,
    kind: u8,
    bytes: usize,
}

/// How text is written.
#[derive(Debug, Clone, Copy)]
enum CodePage {
    Known(&'static Encoding),
    /// UTF-8 where it is valid, else Windows-1252.
    Guessed,
}

pub(super) struct Rows<R> {
    input: R,
    columns: Vec<Column>,
    row: Vec<u8>,
    code_page: CodePage,
    is_guess_needed: bool,
    number: u64,
}

fn broken(what: &str) -> FileError {
    FileError::Shapefile(format!("the .dbf {what}"))
}

impl<R: BufRead> Rows<R> {
    /// Reads the header; how many rows it claims doesn't matter. `cpg` is the content of the `.cpg` file.
    pub(super) fn open(mut input: R, cpg: Option<&str>) -> Result<Self, FileError> {
        let mut header = [0; HEADER_BYTES];
        input
            .read_exact(&mut header)
            .map_err(|error| cut_off(error, "ends within its header"))?;
        let header_bytes = usize::from(u16::from_le_bytes([header[8], header[9]]));
        let row_bytes = usize::from(u16::from_le_bytes([header[10], header[11]]));
        let mut fields = vec![0; header_bytes.saturating_sub(HEADER_BYTES)];
        input
            .read_exact(&mut fields)
            .map_err(|error| cut_off(error, "ends within its header"))?;
        let code_page = cpg
            .and_then(of_cpg)
            .or_else(|| of_language_driver(header[29]))
            .map_or(CodePage::Guessed, CodePage::Known);
        let columns: Vec<Column> = fields
            .chunks_exact(FIELD_BYTES)
            .take_while(|field| field[0] != FIELDS_END)
            .map(|field| column(field, code_page))
            .collect();
        let used: usize = columns.iter().map(|column| column.bytes).sum();
        if row_bytes == 0 || used + 1 > row_bytes {
            return Err(broken("has fields that are longer than its rows"));
        }
        Ok(Self {
            input,
            columns,
            row: vec![0; row_bytes],
            code_page,
            is_guess_needed: false,
            number: 0,
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<Row>, FileError> {
        if !self.has_another()? {
            return Ok(None);
        }
        if self.row[0] == DELETED {
            return Ok(Some(Row::Deleted));
        }
        let mut values = Values::default();
        let mut rest = &self.row[1..];
        for column in &self.columns {
            let (field, after) = rest.split_at(column.bytes);
            rest = after;
            let value = match column.kind {
                b'C' => {
                    let (text, is_guessed) = decoded(field, self.code_page);
                    self.is_guess_needed |= is_guessed;
                    Value::String(text.trim_end_matches('\0').to_owned())
                }
                b'N' | b'F' => number(field),
                b'L' => truth(field),
                b'D' => date(field),
                _ => Value::Null,
            };
            values.add(&column.name, &column.target, value);
        }
        Ok(Some(Row::Values(values)))
    }

    fn has_another(&mut self) -> Result<bool, FileError> {
        if matches!(self.input.fill_buf()?.first(), None | Some(&FILE_END)) {
            return Ok(false);
        }
        self.input
            .read_exact(&mut self.row)
            .map_err(|error| cut_off(error, "ends within a row"))?;
        self.number += 1;
        Ok(true)
    }

    /// How many rows there are altogether.
    pub(super) fn count_to_end(&mut self) -> Result<u64, FileError> {
        while self.has_another()? {}
        Ok(self.number)
    }

    /// That the encoding isn't told and isn't UTF-8.
    pub(super) fn encoding_note(&self) -> Option<Finding> {
        self.is_guess_needed.then(|| {
            Finding::new(
                Severity::Note,
                FindingCode::EncodingGuessed,
                "the .dbf is not UTF-8 and names no encoding that is known here; it was read as Windows-1252",
                "check the accents, or put a .cpg file that says UTF-8 into the zip file",
            )
        })
    }

    /// That some columns have a type that isn't read.
    pub(super) fn types_note(&self) -> Option<Finding> {
        let is_read = |column: &&Column| matches!(column.kind, b'C' | b'N' | b'F' | b'L' | b'D');
        let mut passed_over = self.columns.iter().filter(|column| !is_read(column));
        let first = passed_over.next()?;
        let count = 1 + passed_over.count();
        Some(Finding::new(
            Severity::Note,
            FindingCode::PartSkipped,
            format!(
                "{count} of {} columns of the .dbf have a type that is not read, the first is {}",
                self.columns.len(),
                quote(&first.name)
            ),
            "use texts, numbers, dates or true and false",
        ))
    }
}

fn cut_off(error: std::io::Error, what: &str) -> FileError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => broken(what),
        _ => error.into(),
    }
}

fn column(field: &[u8], code_page: CodePage) -> Column {
    let name = &field[..=NAME_BYTES_MAX];
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = decoded(name, code_page).0.trim().to_owned();
    let target = match name.to_ascii_lowercase().as_str() {
        "descriptio" => Target::of("description"),
        _ => Target::of(&name),
    };
    // A shape's place is its geometry; columns of these names are the owner's.
    let target = match target {
        Target::Field(Field::Latitude | Field::Longitude, _) => Target::Metadata(name.clone()),
        target => target,
    };
    Column {
        name,
        target,
        kind: field[11],
        bytes: usize::from(field[16]),
    }
}

/// The text, and whether its encoding had to be guessed and was not UTF-8.
fn decoded(field: &[u8], code_page: CodePage) -> (String, bool) {
    match code_page {
        CodePage::Known(encoding) => (encoding.decode_without_bom_handling(field).0.into_owned(), false),
        CodePage::Guessed => {
            let (text, is_guessed) = decode(field);
            (text.into_owned(), is_guessed)
        }
    }
}

/// Whole numbers stay whole; blanks, stars and whatever else is no number count as absent.
fn number(field: &[u8]) -> Value {
    let text = String::from_utf8_lossy(field);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    if let Ok(whole) = text.parse::<i64>() {
        return Value::Number(whole.into());
    }
    let value = text.parse::<f64>().ok().and_then(Number::from_f64);
    value.map_or(Value::Null, Value::Number)
}

fn truth(field: &[u8]) -> Value {
    match field.first() {
        Some(b'T' | b't' | b'Y' | b'y') => Value::Bool(true),
        Some(b'F' | b'f' | b'N' | b'n') => Value::Bool(false),
        _ => Value::Null,
    }
}

/// `20260131` as `2026-01-31`.
fn date(field: &[u8]) -> Value {
    let text = String::from_utf8_lossy(field);
    let text = text.trim();
    if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_digit()) || text == "00000000" {
        return Value::Null;
    }
    Value::String(format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]))
}

/// The encoding that a `.cpg` file names: `UTF-8`, `1252`, `CP1252`, `88591`, `ISO-8859-1`, ...
fn of_cpg(cpg: &str) -> Option<&'static Encoding> {
    let label = cpg.trim().trim_start_matches('\u{feff}').to_ascii_lowercase();
    let number = label.trim_start_matches(|c: char| c.is_ascii_alphabetic() || matches!(c, ' ' | '-' | '_'));
    Encoding::for_label(label.as_bytes()).or_else(|| match number {
        "65001" => Some(encoding_rs::UTF_8),
        "932" => Some(encoding_rs::SHIFT_JIS),
        "936" => Some(encoding_rs::GBK),
        "949" => Some(encoding_rs::EUC_KR),
        "950" => Some(encoding_rs::BIG5),
        _ => match number.strip_prefix("8859") {
            Some(part) => {
                let part = part.trim_start_matches(['-', '_', ' ']);
                Encoding::for_label(format!("iso-8859-{part}").as_bytes())
            }
            None => Encoding::for_label(format!("windows-{number}").as_bytes()),
        },
    })
}

/// The encoding that the header's language driver stands for, where it leaves no doubt.
fn of_language_driver(id: u8) -> Option<&'static Encoding> {
    Some(match id {
        // 0x57 is what many programs write without thinking of it.
        0x03 | 0x58 | 0x59 => encoding_rs::WINDOWS_1252,
        0x26 | 0x65 => encoding_rs::IBM866,
        0x4d | 0x7a => encoding_rs::GBK,
        0x13 | 0x7b => encoding_rs::SHIFT_JIS,
        0x4e | 0x79 => encoding_rs::EUC_KR,
        0x4f | 0x78 => encoding_rs::BIG5,
        0x50 | 0x7c => encoding_rs::WINDOWS_874,
        0x7d => encoding_rs::WINDOWS_1255,
        0x7e => encoding_rs::WINDOWS_1256,
        0xc8 => encoding_rs::WINDOWS_1250,
        0xc9 => encoding_rs::WINDOWS_1251,
        0xca => encoding_rs::WINDOWS_1254,
        0xcb => encoding_rs::WINDOWS_1253,
        0xcc => encoding_rs::WINDOWS_1257,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_pages_are_known_by_many_names() {
        for (label, expected) in [
            ("UTF-8", "UTF-8"),
            ("utf8\r\n", "UTF-8"),
            ("65001", "UTF-8"),
            ("1252", "windows-1252"),
            ("CP1251", "windows-1251"),
            ("ANSI 1250", "windows-1250"),
            ("ISO-8859-1", "windows-1252"),
            ("ISO 88592", "ISO-8859-2"),
            ("88591", "windows-1252"),
            ("932", "Shift_JIS"),
        ] {
            assert_eq!(of_cpg(label).map(Encoding::name), Some(expected), "{label}");
        }
        assert!(of_cpg("martian").is_none());
    }

    #[test]
    fn fields_are_read_by_their_type() {
        assert_eq!(number(b"   12 "), Value::from(12));
        assert_eq!(number(b"-1.5e3"), Value::from(-1500.0));
        for nothing in [&b"    "[..], b"****", b"nan", b"\0\0"] {
            assert_eq!(number(nothing), Value::Null);
        }
        assert_eq!(
            (truth(b"T"), truth(b"n"), truth(b"?")),
            (true.into(), false.into(), Value::Null)
        );
        assert_eq!(date(b"20260131"), Value::from("2026-01-31"));
        assert_eq!((date(b"        "), date(b"00000000")), (Value::Null, Value::Null));
    }
}
