//! Cuts JSON text into its values without keeping or parsing it as a whole.
//!
//! Strings, escapes and brackets are followed; whether the rest of a value is right JSON is for its parser to say. So a
//! value that can't be parsed never hides where it ends.

use std::io::BufRead;

use super::super::{FileError, lines::LineCount};

/// Deepest nesting that is followed. What is kept is parsed, and there `serde_json`'s lower limit holds.
const DEPTH_MAX: usize = 100_000;

/// One value's text, as far as it is within the limits, and how long and rich it is in all.
#[derive(Debug, Default)]
pub(super) struct Part {
    text: Vec<u8>,
    bytes_max: usize,
    /// Its length, kept or not.
    pub(super) bytes: u64,
    /// About as many values as it holds, an object counting for many: what parsing would cost in memory.
    pub(super) values: u64,
}

/// An object takes as much memory as so many numbers.
const OBJECT_VALUES: u64 = 20;

impl Part {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            ..Self::default()
        }
    }

    /// The text, unless it is too long.
    pub(super) fn text(&self) -> Option<&[u8]> {
        (self.bytes == self.text.len() as u64).then_some(&self.text)
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.bytes = 0;
        self.values = 0;
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let is_whole = self.bytes == self.text.len() as u64;
        self.bytes += bytes.len() as u64;
        if is_whole && self.text.len() + bytes.len() <= self.bytes_max {
            self.text.extend_from_slice(bytes);
        } else {
            // Nothing is done with a part of it; an empty one doesn't hold memory.
            self.text = Vec::new();
        }
    }

    /// Adds another part's text and counts.
    pub(super) fn push_part(&mut self, part: &Self) {
        self.values += part.values;
        if let Some(text) = part.text() {
            self.push(text);
        } else {
            self.bytes += part.bytes;
            self.text = Vec::new();
        }
    }
}

/// Reads forwards and knows the line and column.
#[derive(Debug)]
pub(super) struct Scanner<R> {
    input: R,
    count: LineCount,
}

impl<R: BufRead> Scanner<R> {
    /// Reads text that begins in a line (from 1).
    pub(super) fn new(input: R, line: u64) -> Self {
        Self {
            input,
            count: LineCount::from(line),
        }
    }

    /// The line of the next byte, from 1.
    pub(super) fn line(&self) -> u64 {
        self.count.line()
    }

    /// An error here.
    pub(super) fn error(&self, message: impl Into<String>) -> FileError {
        FileError::Json {
            line: self.count.line(),
            column: self.count.column(),
            message: message.into(),
        }
    }

    /// What was expected here, and what is here instead.
    pub(super) fn expected(&mut self, what: &str) -> FileError {
        match self.peek() {
            Err(error) => error,
            Ok(None) => self.error(format!("expected {what}, and the file ends here")),
            Ok(Some(byte)) if byte.is_ascii_graphic() => {
                self.error(format!("expected {what}, found `{}`", char::from(byte)))
            }
            Ok(Some(byte)) => self.error(format!("expected {what}, found the byte 0x{byte:02x}")),
        }
    }

    fn advance(&mut self, length: usize) -> Result<(), FileError> {
        let bytes = self.input.fill_buf()?;
        self.count.feed(&bytes[..length]);
        self.input.consume(length);
        Ok(())
    }

    /// The next byte that is no blank; it stays.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, FileError> {
        loop {
            let bytes = self.input.fill_buf()?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let blanks = bytes.iter().take_while(|byte| is_blank(**byte)).count();
            let next = bytes.get(blanks).copied();
            self.advance(blanks)?;
            if next.is_some() {
                return Ok(next);
            }
        }
    }

    /// Takes the next byte that is no blank, if it is the wanted one.
    pub(super) fn take(&mut self, wanted: u8) -> Result<bool, FileError> {
        let is_there = self.peek()? == Some(wanted);
        if is_there {
            self.advance(1)?;
        }
        Ok(is_there)
    }

    /// Takes everything up to a byte, and that, too. Whether there was anything.
    pub(super) fn until(&mut self, end: u8, part: &mut Part) -> Result<bool, FileError> {
        part.clear();
        let mut is_any = false;
        loop {
            let bytes = self.input.fill_buf()?;
            if bytes.is_empty() {
                return Ok(is_any);
            }
            is_any = true;
            let length = bytes.iter().position(|byte| *byte == end);
            let taken = length.unwrap_or(bytes.len());
            part.push(&bytes[..taken]);
            self.advance(taken + usize::from(length.is_some()))?;
            if length.is_some() {
                return Ok(true);
            }
        }
    }

    /// Takes one value.
    pub(super) fn value(&mut self, part: &mut Part) -> Result<(), FileError> {
        part.clear();
        if self
            .peek()?
            .is_none_or(|byte| matches!(byte, b',' | b':' | b']' | b'}'))
        {
            return Err(self.expected("a value"));
        }
        let mut walk = Walk::default();
        loop {
            let bytes = self.input.fill_buf()?;
            if bytes.is_empty() && walk.is_bare {
                break;
            }
            if bytes.is_empty() {
                return Err(self.error("the file ends in the middle of a value"));
            }
            let (length, step) = walk.step(bytes);
            part.push(&bytes[..length]);
            self.advance(length)?;
            match step {
                Step::More => {}
                Step::Done => break,
                Step::Wrong(message) => return Err(self.error(message)),
            }
        }
        part.values = walk.values;
        Ok(())
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

enum Step {
    More,
    Done,
    Wrong(&'static str),
}

/// The way through one value.
#[derive(Debug, Default)]
struct Walk {
    /// The brackets that close what is open.
    closers: Vec<u8>,
    is_in_string: bool,
    is_escaped: bool,
    /// A number, `true`, `false`, `null`, or anything else without brackets and quotes.
    is_bare: bool,
    values: u64,
}

impl Walk {
    /// Goes on; how many of the bytes belong to the value, and whether it goes on after them.
    fn step(&mut self, bytes: &[u8]) -> (usize, Step) {
        for (at, byte) in bytes.iter().enumerate() {
            if self.is_in_string {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => {
                        self.is_in_string = false;
                        if self.closers.is_empty() {
                            return (at + 1, Step::Done);
                        }
                    }
                    _ => {}
                }
                continue;
            }
            let is_end_of_bare = self.is_bare && (is_blank(*byte) || b",:]}[{\"".contains(byte));
            if is_end_of_bare {
                return (at, Step::Done);
            }
            match byte {
                b'"' => self.is_in_string = true,
                b'[' | b'{' => {
                    if self.closers.len() == DEPTH_MAX {
                        return (at, Step::Wrong("brackets nest too deep"));
                    }
                    self.values += if *byte == b'{' { OBJECT_VALUES } else { 1 };
                    // `]` and `}` come two after `[` and `{`.
                    self.closers.push(byte + 2);
                }
                b']' | b'}' => {
                    if self.closers.pop() != Some(*byte) {
                        return (at, Step::Wrong("this bracket closes none that is open"));
                    }
                    if self.closers.is_empty() {
                        return (at + 1, Step::Done);
                    }
                }
                b',' => self.values += 1,
                _ if self.closers.is_empty() => self.is_bare = true,
                _ => {}
            }
        }
        (bytes.len(), Step::More)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn value(text: &str) -> Result<(String, Option<u8>), String> {
        let mut scanner = Scanner::new(BufReader::with_capacity(2, text.as_bytes()), 1);
        let mut part = Part::new(100);
        scanner.value(&mut part).map_err(|error| error.to_string())?;
        let text = String::from_utf8(part.text().unwrap().to_vec()).unwrap();
        Ok((text, scanner.peek().unwrap()))
    }

    #[test]
    fn a_value_ends_where_it_does() {
        for (text, expected, next) in [
            (" [1, {\"]\": \"}\\\"]\"}] ,", "[1, {\"]\": \"}\\\"]\"}]", Some(b',')),
            ("\"a\\\\\" : 1", "\"a\\\\\"", Some(b':')),
            ("-1.5e3}", "-1.5e3", Some(b'}')),
            ("true\n", "true", None),
            ("nonsense[", "nonsense", Some(b'[')),
        ] {
            assert_eq!(value(text), Ok((expected.to_owned(), next)), "{text}");
        }
    }

    #[test]
    fn what_has_no_end_is_told_with_its_place() {
        for (text, expected) in [
            (
                "[1,\n 2}",
                "line 2, column 3: this is not JSON: this bracket closes none that is open",
            ),
            (
                "[1,\r\n \"2]",
                "line 2, column 5: this is not JSON: the file ends in the middle of a value",
            ),
            (
                "\r\r",
                "line 3, column 1: this is not JSON: expected a value, and the file ends here",
            ),
            (",", "line 1, column 1: this is not JSON: expected a value, found `,`"),
        ] {
            assert_eq!(value(text), Err(expected.to_owned()), "{text}");
        }
        assert!(value(&"[".repeat(DEPTH_MAX + 1)).is_err_and(|error| error.contains("too deep")));
    }

    #[test]
    fn what_is_too_long_is_counted_and_not_kept() {
        let text = format!("[{}1]", "{},".repeat(100));
        let mut scanner = Scanner::new(text.as_bytes(), 1);
        let mut part = Part::new(100);
        scanner.value(&mut part).unwrap();
        assert_eq!((part.text(), part.bytes, part.values), (None, 303, 2101));
    }
}
