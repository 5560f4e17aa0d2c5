//! Bytes into UTF-8 text, while they are read: bounded, without a byte order mark, whatever the encoding.
//!
//! The encoding is found by a first pass over the whole file: bytes that aren't UTF-8 may come late.

use std::{
    borrow::Cow,
    io::{self, BufRead, Read, Seek},
};

use super::{FileError, Finding, FindingCode, Severity, lines::LineCount};

/// UTF-8's byte order mark.
pub(super) const BOM: &[u8] = &[0xef, 0xbb, 0xbf];

/// How much is looked at together in the first pass, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    /// Mostly; the rest is replaced.
    BrokenUtf8,
    Windows1252,
    Utf16 {
        is_big_endian: bool,
    },
}

/// A file as UTF-8.
#[derive(Debug)]
pub(super) struct Text<R> {
    input: R,
    encoding: Encoding,
    /// Decoded and not handed out yet, from `at` on.
    decoded: Vec<u8>,
    at: usize,
    /// The beginning of a character whose end isn't read yet.
    carry: Vec<u8>,
}

/// Looks at the whole file and begins to read it. A finding tells when the encoding isn't certain.
pub(super) fn open<R: BufRead + Seek>(mut input: R, bytes_max: u64) -> Result<(Text<R>, Option<Finding>), FileError> {
    input.rewind()?;
    let survey = Survey::of(&mut input, bytes_max)?;
    let verdict = survey.verdict();
    input.rewind()?;
    let (encoding, mark_bytes) = match verdict {
        Ok(verdict) => verdict,
        Err(Verdict::Empty) => return Err(FileError::Empty),
        Err(Verdict::Unreadable { offset, byte }) => {
            let line = line_of(&mut input, offset)?;
            return Err(FileError::EncodingUnreadable { line, byte });
        }
    };
    let finding = match (encoding, survey.first_invalid) {
        (Encoding::Windows1252, _) => Some(encoding_note()),
        (Encoding::BrokenUtf8, Some((offset, byte))) => {
            let line = line_of(&mut input, offset)?;
            Some(Finding::new(
                Severity::Warning,
                FindingCode::EncodingBroken,
                format!(
                    "the file is UTF-8, but line {line} has the byte 0x{byte:02x}; such bytes were replaced by \u{fffd}"
                ),
                "write these characters again, and save the file as UTF-8",
            ))
        }
        _ => None,
    };
    input.seek(io::SeekFrom::Start(mark_bytes))?;
    let text = Text {
        input,
        encoding,
        decoded: Vec::new(),
        at: 0,
        carry: Vec::new(),
    };
    Ok((text, finding))
}

pub(super) fn encoding_note() -> Finding {
    Finding::new(
        Severity::Note,
        FindingCode::EncodingGuessed,
        "the file is not UTF-8; it was read as Windows-1252",
        "check the accents, or save the file as UTF-8",
    )
}

/// A short text as a whole, and whether it had to be read as Windows-1252.
pub(super) fn decode(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), false),
        Err(_) => (Cow::Owned(bytes.iter().map(|byte| windows_1252(*byte)).collect()), true),
    }
}

/// What the first pass saw.
#[derive(Debug, Default)]
struct Survey {
    bytes: u64,
    /// The first bytes, where marks are.
    head: Vec<u8>,
    has_text: bool,
    /// Characters of several bytes.
    multibyte: u64,
    /// Bytes that belong to no character.
    invalid: u64,
    first_invalid: Option<(u64, u8)>,
    first_zero: Option<u64>,
    /// Of the invalid bytes the first that Windows-1252 doesn't have, either.
    first_undefined: Option<(u64, u8)>,
}

enum Verdict {
    Empty,
    Unreadable { offset: u64, byte: u8 },
}

impl Survey {
    fn of(input: &mut impl Read, bytes_max: u64) -> Result<Self, FileError> {
        let mut survey = Self::default();
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut kept = 0;
        loop {
            let length = input.read(&mut buffer[kept..])?;
            survey.bytes += length as u64;
            if survey.bytes > bytes_max {
                return Err(FileError::TooLong { bytes_max });
            }
            let filled = kept + length;
            let is_end = length == 0;
            kept = survey.look(&buffer[..filled], survey.bytes - filled as u64, is_end);
            buffer.copy_within(filled - kept..filled, 0);
            if is_end {
                return Ok(survey);
            }
        }
    }

    /// Looks at bytes that begin at an offset; how many at their end are the beginning of a character.
    fn look(&mut self, bytes: &[u8], offset: u64, is_end: bool) -> usize {
        if self.head.len() < 4 {
            self.head = bytes.iter().take(4).copied().collect();
        }
        let mut rest = bytes;
        loop {
            let at = offset + (bytes.len() - rest.len()) as u64;
            let Err(error) = std::str::from_utf8(rest) else {
                self.look_at_text(rest, at);
                return 0;
            };
            let (good, bad) = rest.split_at(error.valid_up_to());
            self.look_at_text(good, at);
            let length = match error.error_len() {
                Some(length) => length,
                None if is_end => bad.len(),
                None => return bad.len(),
            };
            self.look_at_invalid(&bad[..length], at + good.len() as u64);
            rest = &bad[length..];
        }
    }

    fn look_at_text(&mut self, text: &[u8], offset: u64) {
        let is_lead = |byte: &&u8| **byte >= 0xc0;
        self.multibyte += text.iter().filter(is_lead).count() as u64;
        self.has_text = self.has_text
            || text
                .strip_prefix(BOM)
                .unwrap_or(text)
                .iter()
                .any(|byte| !byte.is_ascii_whitespace());
        if self.first_zero.is_none() && text.contains(&0) {
            self.first_zero = text.iter().position(|byte| *byte == 0).map(|at| offset + at as u64);
        }
    }

    fn look_at_invalid(&mut self, bytes: &[u8], offset: u64) {
        self.has_text = true;
        for (offset, byte) in (offset..).zip(bytes) {
            self.invalid += 1;
            self.first_invalid.get_or_insert((offset, *byte));
            if matches!(byte, 0x81 | 0x8d | 0x8f | 0x90 | 0x9d) {
                self.first_undefined.get_or_insert((offset, *byte));
            }
        }
    }

    /// The encoding, and how many bytes its mark takes.
    fn verdict(&self) -> Result<(Encoding, u64), Verdict> {
        let unreadable = |(offset, byte): (u64, u8)| Err(Verdict::Unreadable { offset, byte });
        match self.head.as_slice() {
            // UTF-32.
            [0xff, 0xfe, 0, 0] | [0, 0, 0xfe, 0xff] => return unreadable((0, self.head[0])),
            [0xff, 0xfe, _, ..] => return Ok((Encoding::Utf16 { is_big_endian: false }, 2)),
            [0xfe, 0xff, _, ..] => return Ok((Encoding::Utf16 { is_big_endian: true }, 2)),
            _ if !self.has_text => return Err(Verdict::Empty),
            _ => {}
        }
        if let Some(offset) = self.first_zero {
            return unreadable((offset, 0));
        }
        let mark_bytes = if self.head.starts_with(BOM) {
            BOM.len() as u64
        } else {
            0
        };
        if self.invalid == 0 {
            Ok((Encoding::Utf8, mark_bytes))
        } else if self.multibyte >= self.invalid {
            Ok((Encoding::BrokenUtf8, mark_bytes))
        } else if let Some(place) = self.first_undefined {
            unreadable(place)
        } else {
            Ok((Encoding::Windows1252, 0))
        }
    }
}

/// The line of a byte.
fn line_of(input: &mut (impl BufRead + Seek), offset: u64) -> Result<u64, FileError> {
    input.rewind()?;
    let mut count = LineCount::from(1);
    let mut before = input.take(offset);
    loop {
        let bytes = before.fill_buf()?;
        if bytes.is_empty() {
            return Ok(count.line());
        }
        count.feed(bytes);
        let length = bytes.len();
        before.consume(length);
    }
}

impl<R: BufRead> Text<R> {
    /// Decodes the next bytes, unless there are none.
    fn decode_more(&mut self) -> io::Result<()> {
        self.decoded.clear();
        self.at = 0;
        while self.decoded.is_empty() {
            let bytes = self.input.fill_buf()?;
            let length = bytes.len();
            self.carry.extend_from_slice(bytes);
            self.input.consume(length);
            let is_end = length == 0;
            let used = decode_some(self.encoding, &self.carry, is_end, &mut self.decoded);
            self.carry.drain(..used);
            if is_end {
                break;
            }
        }
        Ok(())
    }
}

impl<R: BufRead> BufRead for Text<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.encoding == Encoding::Utf8 {
            return self.input.fill_buf();
        }
        if self.at == self.decoded.len() {
            self.decode_more()?;
        }
        Ok(&self.decoded[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        if self.encoding == Encoding::Utf8 {
            self.input.consume(amount);
        } else {
            self.at += amount;
        }
    }
}

impl<R: BufRead> Read for Text<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

/// Appends as UTF-8 what is complete; how many bytes that were.
fn decode_some(encoding: Encoding, bytes: &[u8], is_end: bool, decoded: &mut Vec<u8>) -> usize {
    let mut push = |c: char| decoded.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    match encoding {
        Encoding::Utf8 | Encoding::BrokenUtf8 => {
            let length = if is_end { bytes.len() } else { complete(bytes) };
            decoded.extend_from_slice(String::from_utf8_lossy(&bytes[..length]).as_bytes());
            length
        }
        Encoding::Windows1252 => {
            for byte in bytes {
                push(windows_1252(*byte));
            }
            bytes.len()
        }
        Encoding::Utf16 { is_big_endian } => {
            let read = |pair: &[u8]| {
                let pair = [pair[0], pair[1]];
                if is_big_endian {
                    u16::from_be_bytes(pair)
                } else {
                    u16::from_le_bytes(pair)
                }
            };
            let mut units: Vec<u16> = bytes.chunks_exact(2).map(read).collect();
            // The first half of a pair waits for the other.
            if !is_end && units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit)) {
                units.pop();
            }
            let used = if is_end { bytes.len() } else { units.len() * 2 };
            for unit in char::decode_utf16(units) {
                push(unit.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            used
        }
    }
}

/// How many bytes there are without the beginning of a character at their end.
fn complete(bytes: &[u8]) -> usize {
    const CHARACTER_BYTES_MAX: usize = 4;
    let tail_start = bytes.len().saturating_sub(CHARACTER_BYTES_MAX - 1);
    (tail_start..bytes.len())
        .find(|start| {
            std::str::from_utf8(&bytes[*start..])
                .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        })
        .unwrap_or(bytes.len())
}

/// The WHATWG table: 0x80 to 0x9f have characters of their own, the rest is Latin-1.
pub(super) fn windows_1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};

    use super::*;

    /// Read in small pieces, so that characters are cut.
    fn text(bytes: &[u8]) -> Result<(String, Option<FindingCode>), FileError> {
        let (mut text, finding) = open(BufReader::with_capacity(3, Cursor::new(bytes)), 99)?;
        let mut read = String::new();
        text.read_to_string(&mut read)?;
        Ok((read, finding.map(|finding| finding.code)))
    }

    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        std::iter::once(0xfeff)
            .chain(text.encode_utf16())
            .flat_map(to_bytes)
            .collect()
    }

    #[test]
    fn encodings_are_told_and_read() {
        let cases: [(Vec<u8>, &str, Option<FindingCode>); 7] = [
            ("Ñ€🦀".into(), "Ñ€🦀", None),
            (b"\xef\xbb\xbfabc".to_vec(), "abc", None),
            (
                b"TROPISUE\xd1O \x80".to_vec(),
                "TROPISUEÑO €",
                Some(FindingCode::EncodingGuessed),
            ),
            (
                b"caf\xc3\xa9 caf\xe9 \xf0\x9f\xa6\x80".to_vec(),
                "café caf\u{fffd} 🦀",
                Some(FindingCode::EncodingBroken),
            ),
            (
                b"\xef\xbb\xbfcaf\xc3\xa9\xf0\x9f".to_vec(),
                "café\u{fffd}",
                Some(FindingCode::EncodingBroken),
            ),
            (utf16("aÑ€🦀b", u16::to_le_bytes), "aÑ€🦀b", None),
            (utf16("aÑ€🦀b", u16::to_be_bytes), "aÑ€🦀b", None),
        ];
        for (bytes, expected, finding) in cases {
            assert_eq!(text(&bytes).unwrap(), (expected.to_owned(), finding));
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let why = |bytes: &[u8]| text(bytes).unwrap_err();
        for bytes in [&b""[..], b" \r\n", b"\xef\xbb\xbf \n"] {
            assert!(matches!(why(bytes), FileError::Empty), "{bytes:?}");
        }
        assert!(matches!(why(&[b'a'; 100]), FileError::TooLong { bytes_max: 99 }));
        for (bytes, expected) in [
            (&b"a\nb\0"[..], (2, 0)),
            (b"\xe9\r\r\x81\x82", (3, 0x81)),
            (b"\xff\xfe\0\0a\0\0\0", (1, 0xff)),
        ] {
            let FileError::EncodingUnreadable { line, byte } = why(bytes) else {
                panic!("{bytes:?}");
            };
            assert_eq!((line, byte), expected);
        }
    }
}
