//! Gzip round a file of any format, unpacked while it is read.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use flate2::bufread::MultiGzDecoder;

use super::FileError;

/// How a gzip file begins.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How much is unpacked at a time, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;

pub(super) fn is_gzip(first_bytes: &[u8]) -> bool {
    first_bytes.starts_with(&MAGIC)
}

/// The beginning of what a gzip file holds, as far as its first bytes tell.
pub(super) fn peek(first_bytes: &[u8]) -> Vec<u8> {
    /// Enough to tell a format by.
    const PEEK_BYTES: usize = 4096;
    let mut decoder = MultiGzDecoder::new(first_bytes);
    let mut bytes = vec![0; PEEK_BYTES];
    let mut length = 0;
    while let Ok(count) = decoder.read(&mut bytes[length..]) {
        length += count;
        if count == 0 {
            break;
        }
    }
    bytes.truncate(length);
    bytes
}

/// An unpacked stream that can be read again from its beginning, by unpacking again: nothing is kept.
pub(super) struct Gunzip<R> {
    /// Always there but while it is made anew.
    decoder: Option<BufReader<MultiGzDecoder<R>>>,
    at: u64,
}

impl<R: BufRead + Seek> Gunzip<R> {
    /// Takes a gzip file that `input` stands at the beginning of.
    pub(super) fn new(input: R) -> Self {
        Self {
            decoder: Some(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(input))),
            at: 0,
        }
    }

    fn decoder(&mut self) -> io::Result<&mut BufReader<MultiGzDecoder<R>>> {
        self.decoder.as_mut().ok_or_else(|| io::ErrorKind::Other.into())
    }

    fn rewind_to_start(&mut self) -> io::Result<()> {
        if let Some(decoder) = self.decoder.take() {
            let mut input = decoder.into_inner().into_inner();
            input.seek(SeekFrom::Start(0))?;
            *self = Self::new(input);
        }
        Ok(())
    }
}

fn explained(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            io::Error::other(FileError::Gzip("it is damaged".to_owned()))
        }
        io::ErrorKind::UnexpectedEof => io::Error::other(FileError::Gzip("it is cut off".to_owned())),
        _ => error,
    }
}

impl<R: BufRead + Seek> Read for Gunzip<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder()?.read(into).map_err(explained)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl<R: BufRead + Seek> BufRead for Gunzip<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.decoder()?.fill_buf().map_err(explained)
    }

    fn consume(&mut self, count: usize) {
        if let Some(decoder) = &mut self.decoder {
            decoder.consume(count);
            self.at += count as u64;
        }
    }
}

impl<R: BufRead + Seek> Seek for Gunzip<R> {
    /// Backwards it begins anew. The end is not known in advance.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(target) => Some(target),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
            SeekFrom::End(_) => None,
        };
        let Some(target) = target else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        if target < self.at {
            self.rewind_to_start()?;
        }
        let forward = target - self.at;
        io::copy(&mut self.by_ref().take(forward), &mut io::sink())?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn it_can_be_read_again() {
        let packed = [gzip(b"0123456789"), gzip(b"abc")].concat();
        assert!(is_gzip(&packed));
        assert_eq!(peek(&packed), b"0123456789abc");
        assert_eq!(peek(&packed[..packed.len() - 9]).first(), Some(&b'0'));
        let mut input = Gunzip::new(Cursor::new(packed));
        let mut text = String::new();
        for _ in 0..2 {
            text.clear();
            input.read_to_string(&mut text).unwrap();
            assert_eq!(text, "0123456789abc");
            assert_eq!(input.stream_position().unwrap(), 13);
            input.rewind().unwrap();
        }
        assert_eq!(input.seek(SeekFrom::Start(8)).unwrap(), 8);
        assert_eq!(input.seek(SeekFrom::Current(-3)).unwrap(), 5);
        assert_eq!(input.fill_buf().unwrap()[0], b'5');
        assert!(input.seek(SeekFrom::End(0)).is_err());
    }

    #[test]
    fn a_broken_one_is_told() {
        let packed = gzip(b"0123456789");
        let mut damaged = packed.clone();
        damaged[12] ^= 0xff;
        for (bytes, expected) in [(&packed[..packed.len() - 3], "cut off"), (&damaged, "damaged")] {
            let error = Gunzip::new(Cursor::new(bytes))
                .read_to_end(&mut Vec::new())
                .unwrap_err();
            assert!(FileError::from(error).to_string().contains(expected));
        }
    }
}
