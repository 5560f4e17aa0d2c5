//! A stream of text in UTF-8, whatever the file's encoding: bounded, and aware of its lines.

use std::io::{self, BufRead, Chain, Cursor, Read};

use encoding_rs::{Decoder, Encoding};

use super::{FileError, lines::LineCount, text::windows_1252};

/// How many bytes are looked at for a byte order mark and an XML declaration.
const HEAD_BYTES_MAX: u64 = 512;

/// How many bytes are decoded at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// A stream that ends with [`FileError::TooLong`] beyond its limit.
pub(super) struct Bounded<R> {
    input: R,
    left: u64,
    bytes_max: u64,
}

impl<R> Bounded<R> {
    pub(super) fn new(input: R, bytes_max: u64) -> Self {
        Self {
            input,
            left: bytes_max,
            bytes_max,
        }
    }
}

/// Reads from what is buffered.
fn read_buffered(input: &mut impl BufRead, into: &mut [u8]) -> io::Result<usize> {
    let chunk = input.fill_buf()?;
    let count = chunk.len().min(into.len());
    into[..count].copy_from_slice(&chunk[..count]);
    input.consume(count);
    Ok(count)
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, into)
    }
}

impl<R: BufRead> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let chunk = self.input.fill_buf()?;
        if self.left == 0 && !chunk.is_empty() {
            let bytes_max = self.bytes_max;
            return Err(io::Error::other(FileError::TooLong { bytes_max }));
        }
        Ok(&chunk[..chunk.len().min(self.left.try_into().unwrap_or(usize::MAX))])
    }

    fn consume(&mut self, count: usize) {
        self.left -= count as u64;
        self.input.consume(count);
    }
}

/// How the bytes become text.
enum Coding {
    /// Bytes that are no UTF-8 are read as Windows-1252, one by one.
    Utf8,
    Other(Decoder),
}

/// The text of a file as a stream of UTF-8.
pub(super) struct Decoded<R> {
    input: Chain<Cursor<Vec<u8>>, R>,
    coding: Coding,
    /// The beginning of a character whose end is not here yet.
    carry: Vec<u8>,
    text: String,
    at: usize,
    has_ended: bool,
    is_guessed: bool,
    lines: LineCount,
    bytes: u64,
    part_bytes_left: usize,
    part_bytes_max: usize,
}

impl<R: BufRead> Decoded<R> {
    /// Looks at the byte order mark, then asks `declared` with the first bytes, else assumes UTF-8.
    pub(super) fn new(
        mut input: R,
        part_bytes_max: usize,
        declared: impl FnOnce(&[u8]) -> Result<Option<&'static Encoding>, FileError>,
    ) -> Result<Self, FileError> {
        let mut head = Vec::new();
        input.by_ref().take(HEAD_BYTES_MAX).read_to_end(&mut head)?;
        let encoding = if let Some((encoding, bom_bytes)) = Encoding::for_bom(&head) {
            head.drain(..bom_bytes);
            encoding
        } else if head.starts_with(b"<\0") || head.starts_with(b"\0<") {
            return Err(FileError::Utf16);
        } else {
            declared(&head)?.unwrap_or(encoding_rs::UTF_8)
        };
        let coding = if encoding == encoding_rs::UTF_8 {
            Coding::Utf8
        } else {
            Coding::Other(encoding.new_decoder_without_bom_handling())
        };
        Ok(Self {
            input: Cursor::new(head).chain(input),
            coding,
            carry: Vec::new(),
            text: String::new(),
            at: 0,
            has_ended: false,
            is_guessed: false,
            lines: LineCount::from(1),
            bytes: 0,
            part_bytes_left: part_bytes_max,
            part_bytes_max,
        })
    }

    /// The line, from 1, of what is read next.
    pub(super) fn line(&self) -> u64 {
        self.lines.line()
    }

    /// Bytes of text read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether some bytes were no UTF-8 and were read as Windows-1252.
    pub(super) fn is_guessed(&self) -> bool {
        self.is_guessed
    }

    /// Allows another part: reading more than its limit before the next call is an error.
    pub(super) fn begin_part(&mut self) {
        self.part_bytes_left = self.part_bytes_max;
    }

    fn refill(&mut self) -> io::Result<()> {
        self.text.clear();
        self.at = 0;
        while self.text.is_empty() && !self.has_ended {
            let chunk = self.input.fill_buf()?;
            let chunk = &chunk[..chunk.len().min(CHUNK_BYTES)];
            self.has_ended = chunk.is_empty();
            let count = match &mut self.coding {
                Coding::Utf8 => {
                    self.carry.extend_from_slice(chunk);
                    let (rest, is_guessed) = decode_utf8(&self.carry, self.has_ended, &mut self.text);
                    let done = self.carry.len() - rest;
                    self.carry.drain(..done);
                    self.is_guessed |= is_guessed;
                    chunk.len()
                }
                Coding::Other(decoder) => {
                    let needed = decoder.max_utf8_buffer_length(chunk.len());
                    self.text.reserve(needed.unwrap_or(4 * CHUNK_BYTES));
                    let (_, count, _) = decoder.decode_to_string(chunk, &mut self.text, self.has_ended);
                    count
                }
            };
            self.input.consume(count);
        }
        Ok(())
    }
}

/// Appends what is complete; how many bytes at the end are not, and whether bytes had to be read as Windows-1252.
fn decode_utf8(mut bytes: &[u8], is_last: bool, into: &mut String) -> (usize, bool) {
    let mut is_guessed = false;
    loop {
        let error = match std::str::from_utf8(bytes) {
            Ok(text) => {
                into.push_str(text);
                return (0, is_guessed);
            }
            Err(error) => error,
        };
        let (good, bad) = bytes.split_at(error.valid_up_to());
        into.push_str(&String::from_utf8_lossy(good));
        let bad_bytes = match error.error_len() {
            Some(bad_bytes) => bad_bytes,
            None if is_last => bad.len(),
            None => return (bad.len(), is_guessed),
        };
        into.extend(bad[..bad_bytes].iter().map(|byte| windows_1252(*byte)));
        is_guessed = true;
        bytes = &bad[bad_bytes..];
    }
}

impl<R: BufRead> Read for Decoded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, into)
    }
}

impl<R: BufRead> BufRead for Decoded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.text.len() {
            self.refill()?;
        }
        let rest = &self.text.as_bytes()[self.at..];
        if self.part_bytes_left == 0 && !rest.is_empty() {
            return Err(io::Error::other(FileError::PartTooLong {
                line: self.line(),
                bytes_max: self.part_bytes_max,
            }));
        }
        Ok(&rest[..rest.len().min(self.part_bytes_left)])
    }

    fn consume(&mut self, count: usize) {
        self.lines.feed(&self.text.as_bytes()[self.at..self.at + count]);
        self.at += count;
        self.bytes += count as u64;
        self.part_bytes_left -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], encoding: Option<&'static Encoding>) -> (String, bool, u64) {
        let slow = io::BufReader::with_capacity(1, bytes);
        let mut decoded = Decoded::new(slow, 1 << 20, |_| Ok(encoding)).unwrap();
        let mut text = String::new();
        decoded.read_to_string(&mut text).unwrap();
        (text, decoded.is_guessed(), decoded.line())
    }

    #[test]
    fn every_encoding_becomes_utf8() {
        let latin = Some(encoding_rs::WINDOWS_1252);
        assert_eq!(decode("é€\n𝄞".as_bytes(), None), ("é€\n𝄞".to_owned(), false, 2));
        assert_eq!(
            decode(b"\xef\xbb\xbfa\r\nb\rc", latin),
            ("a\r\nb\rc".to_owned(), false, 3)
        );
        assert_eq!(decode(b"\xc9t\xe9 \x80", None), ("Été €".to_owned(), true, 1));
        assert_eq!(decode(b"\xc9t\xe9 \x80", latin), ("Été €".to_owned(), false, 1));
        assert_eq!(decode(b"\xff\xfea\0\xe9\0", None), ("aé".to_owned(), false, 1));
        assert_eq!(decode(b"ab\xe2\x82", None), ("abâ‚".to_owned(), true, 1));
    }

    #[test]
    fn parts_and_the_whole_are_bounded() {
        let mut decoded = Decoded::new(&b"0123456789"[..], 4, |_| Ok(None)).unwrap();
        let mut text = String::new();
        let error = FileError::from(decoded.read_to_string(&mut text).unwrap_err());
        assert!(
            matches!(error, FileError::PartTooLong { line: 1, bytes_max: 4 }),
            "{error}"
        );
        decoded.begin_part();
        let mut four = [0; 4];
        decoded.read_exact(&mut four).unwrap();
        assert_eq!(&four, b"4567");

        let mut bounded = Bounded::new(&b"0123"[..], 4);
        assert_eq!(bounded.read_to_string(&mut text).unwrap(), 4);
        let error = FileError::from(Bounded::new(&b"01234"[..], 4).read_to_string(&mut text).unwrap_err());
        assert!(matches!(error, FileError::TooLong { bytes_max: 4 }), "{error}");
    }
}
