//! Files of well-known text: geometry after geometry, each on a line, over several lines, or with `;` between them.

use std::io::BufRead;

use super::{
    FileError, Finding, FindingCode, Format, ReadOptions, Reading, Take,
    attributes::{Attributes, Values},
    collect::{Collector, Place},
    decoded::{Bounded, Decoded},
    geometry::{Drawn, shape},
    order,
    text::encoding_note,
    wkt,
};

pub(super) fn read(input: impl BufRead, options: &ReadOptions, take: Take<'_>) -> Result<Reading, FileError> {
    let limits = options.limits;
    let input = Decoded::new(Bounded::new(input, limits.bytes_max), usize::MAX, |_| Ok(None))?;
    let mut parts = Parts {
        input,
        bytes_max: limits.feature_bytes_max,
        is_line_start: true,
    };
    let mut collector = Collector::new(Format::Wkt, options, take);
    let mut is_empty = true;
    while let Some(part) = parts.next()? {
        is_empty = false;
        let number = collector.begin()?;
        let place = Place {
            line: Some(part.line),
            feature: Some(number),
            pointer: None,
        };
        let outcome = part.geofence(number, options);
        if outcome.is_ok() {
            collector.find(&place, order::warning());
        }
        collector.end(&place, outcome)?;
    }
    if is_empty {
        return Err(FileError::Empty);
    }
    if parts.input.is_guessed() {
        collector.remark(&Place::default(), encoding_note());
    }
    Ok(collector.finish())
}

/// What should be one geometry.
struct Part {
    text: String,
    /// Where it begins.
    line: u64,
    /// How long it is; not all of it is kept when that is too long.
    bytes: usize,
    bytes_max: usize,
}

impl Part {
    fn geofence(&self, number: u64, options: &ReadOptions) -> Result<(Attributes, Drawn), Finding> {
        let shape = self.shape(options)?;
        let mut values = Values::default();
        order::stand_in(number, &mut values);
        Ok((Attributes::read(values, options)?, shape))
    }

    fn shape(&self, options: &ReadOptions) -> Result<Drawn, Finding> {
        if self.bytes > self.bytes_max {
            return Err(Finding::error(
                FindingCode::FeatureTooLong,
                format!(
                    "the geometry is {} bytes long, the limit is {}",
                    self.bytes, self.bytes_max
                ),
                "simplify the outline",
            ));
        }
        let geometry = wkt::parse(&self.text).map_err(|error| {
            let before = self.text.as_bytes().iter().take(error.offset);
            let line = self.line + before.filter(|byte| **byte == b'\n').count() as u64;
            let place = if line == self.line {
                String::new()
            } else {
                format!("line {line}, ")
            };
            Finding::error(
                FindingCode::RowUnreadable,
                format!("this is no WKT geometry: {place}{error}"),
                "write geometries like `POINT (8.5 47.4)` or `POLYGON ((...))`, longitude first",
            )
        })?;
        shape(geometry, "", None, options)
    }
}

/// Cuts a stream into geometries without parsing them.
struct Parts<R> {
    input: Decoded<R>,
    bytes_max: usize,
    is_line_start: bool,
}

impl<R: BufRead> Parts<R> {
    fn next(&mut self) -> Result<Option<Part>, FileError> {
        let mut part = Part {
            text: String::new(),
            line: self.input.line(),
            bytes: 0,
            bytes_max: self.bytes_max,
        };
        let mut cut = Cut::default();
        loop {
            let chunk = self.input.fill_buf()?;
            if chunk.is_empty() {
                return Ok((part.bytes > 0).then_some(part));
            }
            let (mut count, mut has_ended) = (0, false);
            if part.bytes == 0 {
                count = chunk
                    .iter()
                    .take_while(|byte| byte.is_ascii_whitespace() || **byte == b';')
                    .count();
                self.is_line_start |= chunk[..count].iter().any(|byte| matches!(byte, b'\n' | b'\r'));
            }
            if count > 0 {
                self.input.consume(count);
                part.line = self.input.line();
                continue;
            }
            while count < chunk.len() && !has_ended {
                let byte = chunk[count];
                if cut.is_before(byte, self.is_line_start) {
                    has_ended = true;
                    break;
                }
                self.is_line_start =
                    matches!(byte, b'\n' | b'\r') || (self.is_line_start && byte.is_ascii_whitespace());
                count += 1;
                has_ended = cut.is_after(byte);
            }
            if part.text.len() + count <= self.bytes_max {
                part.text.push_str(&String::from_utf8_lossy(&chunk[..count]));
            }
            part.bytes += count;
            self.input.consume(count);
            if has_ended {
                return Ok(Some(part));
            }
        }
    }
}

/// Where one geometry ends and the next begins: at the last parenthesis, after `EMPTY`, at a `;`, and, so that one that
/// isn't closed doesn't swallow the others, where a line begins with a word that can't continue the one before.
#[derive(Default)]
struct Cut {
    depth: u64,
    /// The letters that were just passed, as many as the longest word has that matters.
    word: Vec<u8>,
    is_in_word: bool,
    /// The last byte that was no blank.
    last: u8,
    has_srid: bool,
}

impl Cut {
    const WORD_BYTES_MAX: usize = 24;

    fn is_before(&self, byte: u8, is_line_start: bool) -> bool {
        let begins_line = is_line_start && byte.is_ascii_alphabetic();
        match self.depth {
            0 if self.last == 0 => false,
            0 => (byte == b';' && !self.has_srid) || (begins_line && !self.may_go_on()),
            _ => begins_line && !matches!(self.last, b'(' | b','),
        }
    }

    /// Whether a type without its parentheses is all that there is yet.
    fn may_go_on(&self) -> bool {
        std::str::from_utf8(&self.word).is_ok_and(wkt::is_type) || self.has_srid
    }

    /// Passes a byte; whether the geometry ends with it.
    fn is_after(&mut self, byte: u8) -> bool {
        let is_in_word = std::mem::replace(&mut self.is_in_word, byte.is_ascii_alphabetic());
        if byte.is_ascii_whitespace() {
            return self.depth == 0 && self.word.eq_ignore_ascii_case(b"EMPTY");
        }
        if self.is_in_word {
            if !is_in_word {
                self.word.clear();
            }
            if self.word.len() < Self::WORD_BYTES_MAX {
                self.word.push(byte);
            }
        }
        self.last = byte;
        match byte {
            b'(' => {
                self.depth += 1;
                self.word.clear();
                false
            }
            b')' => {
                self.depth = self.depth.saturating_sub(1);
                self.depth == 0
            }
            b'=' if self.depth == 0 && self.word.eq_ignore_ascii_case(b"SRID") => {
                self.has_srid = true;
                false
            }
            b';' => {
                self.has_srid = false;
                false
            }
            _ => false,
        }
    }
}
