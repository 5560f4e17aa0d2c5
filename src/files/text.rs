//! Bytes into text: bounded, without a byte order mark, whatever the encoding.

use std::{
    borrow::Cow,
    io::{BufRead, Read as _},
};

use super::FileError;

/// Reads everything up to the limit and takes off a byte order mark.
pub(super) fn read_all(input: impl BufRead, bytes_max: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    input.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(FileError::TooLong { bytes_max });
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(FileError::Utf16);
    }
    if bytes.starts_with(BOM) {
        bytes.drain(..BOM.len());
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(FileError::Empty);
    }
    Ok(bytes)
}

/// UTF-8's byte order mark.
pub(super) const BOM: &[u8] = &[0xef, 0xbb, 0xbf];

/// The text, and whether it had to be read as Windows-1252.
pub(super) fn decode(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), false),
        Err(_) => (Cow::Owned(bytes.iter().map(|byte| windows_1252(*byte)).collect()), true),
    }
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

/// Counts lines as editors do, forwards only: `\n`, `\r\n` and a lone `\r` end one.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    offset: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            offset: 0,
            line: 1,
        }
    }

    /// The line (from 1) of the first byte at or after `offset` that doesn't end a line. Offsets must not descend.
    pub(super) fn at(&mut self, offset: usize) -> u64 {
        let mut offset = offset.min(self.bytes.len());
        while self.bytes.get(offset).is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
            offset += 1;
        }
        while self.offset < offset {
            let is_end = match self.bytes[self.offset] {
                b'\n' => true,
                b'\r' => self.bytes.get(self.offset + 1) != Some(&b'\n'),
                _ => false,
            };
            self.line += u64::from(is_end);
            self.offset += 1;
        }
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_editors_do() {
        let mut lines = Lines::new(b"a\nb\r\nc\rd\n\n\ne");
        assert_eq!([0, 2, 5, 7, 9, 12].map(|offset| lines.at(offset)), [1, 2, 3, 4, 7, 7]);
    }

    #[test]
    fn other_encodings_are_read_or_refused() {
        assert_eq!(decode("Ñ€".as_bytes()), (Cow::Borrowed("Ñ€"), false));
        assert_eq!(decode(b"TROPISUE\xd1O \x80"), (Cow::Borrowed("TROPISUEÑO €"), true));
        assert!(matches!(read_all(&b"\xff\xfea\0"[..], 99), Err(FileError::Utf16)));
        assert!(matches!(read_all(&b" \n"[..], 99), Err(FileError::Empty)));
        assert!(matches!(
            read_all(&b"abcd"[..], 3),
            Err(FileError::TooLong { bytes_max: 3 })
        ));
        assert_eq!(read_all(&b"\xef\xbb\xbfabc"[..], 6).ok(), Some(b"abc".to_vec()));
    }
}
