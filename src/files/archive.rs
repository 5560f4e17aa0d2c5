//! Zip archives, read with suspicion.
//!
//! Of an archive only its directory is trusted as far as it can be checked: how many entries there are, that they don't
//! lie on top of each other, and where each begins. Sizes count as they come out of the decompressor, against a limit
//! for all entries together and against a ratio that only bombs exceed. Names are only compared and shown, nothing is
//! ever written under them, so that `../` in a name is just a strange name. Several entries can be read in turns.

use std::{
    cell::{Cell, RefCell},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    rc::Rc,
};

use flate2::{Crc, bufread::DeflateDecoder};

use super::{FileError, finding::quote, text::windows_1252};

/// Most entries in an archive.
const ENTRIES_MAX: usize = 10_000;

/// Longest directory, in bytes.
const DIRECTORY_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How much longer than its compressed bytes an entry may become. Real files stay below a hundred.
const RATIO_MAX: u64 = 300;

/// Up to here an entry may have any ratio, in bytes.
const RATIO_FREE_BYTES: u64 = 1024 * 1024;

/// How much of a compressed entry is read at a time, in bytes.
const BUFFER_BYTES: usize = 32 * 1024;

/// The record that ends an archive: its length without the comment, and the longest comment.
const END_BYTES: usize = 22;
const COMMENT_BYTES_MAX: usize = 65_535;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Bits of an entry's flags that mean encryption.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;

/// How many names an error shows.
const NAMES_SHOWN_MAX: usize = 5;

/// One file of an archive.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    method: u16,
    flags: u16,
    crc: u32,
    compressed_bytes: u64,
    offset: u64,
}

impl Entry {
    /// What an archive adds by itself: folders and what macOS hides beside the files.
    fn is_clutter(&self) -> bool {
        let file = self.name.rsplit('/').next().unwrap_or_default();
        file.is_empty() || file.starts_with("._") || self.name.starts_with("__MACOSX/")
    }

    /// The name's end after the last dot, in lower case.
    pub(super) fn extension(&self) -> String {
        let file = self.name.rsplit('/').next().unwrap_or_default();
        file.rsplit_once('.')
            .map_or_else(String::new, |(_, extension)| extension.to_ascii_lowercase())
    }
}

/// An archive whose directory has been read.
pub(super) struct Archive<R> {
    input: Rc<RefCell<R>>,
    /// Files only, in the directory's order.
    pub(super) entries: Vec<Entry>,
    bytes_left: Rc<Cell<u64>>,
    bytes_max: u64,
}

fn broken(what: impl Into<String>) -> FileError {
    FileError::Zip(what.into())
}

impl<R: Read + Seek> Archive<R> {
    /// Reads the directory. `bytes_max` bounds the archive, and everything that is unpacked of it.
    pub(super) fn open(mut input: R, bytes_max: u64) -> Result<Self, FileError> {
        let length = input.seek(SeekFrom::End(0))?;
        if length > bytes_max {
            return Err(FileError::TooLong { bytes_max });
        }
        if length == 0 {
            return Err(FileError::Empty);
        }
        let directory = Directory::find(&mut input, length)?;
        let entries = directory.entries(&mut input)?;
        check_overlaps(&entries, directory.offset)?;
        Ok(Self {
            input: Rc::new(RefCell::new(input)),
            entries: entries.into_iter().filter(|entry| !entry.is_clutter()).collect(),
            bytes_left: Rc::new(Cell::new(bytes_max)),
            bytes_max,
        })
    }

    /// The files with an extension, in the directory's order.
    pub(super) fn with_extension(&self, extension: &str) -> Vec<&Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.extension() == extension)
            .collect()
    }

    /// That nothing of a kind is there, and some of what there is instead.
    pub(super) fn lacks(&self, wanted: &'static str) -> FileError {
        let shown = self.entries.iter().take(NAMES_SHOWN_MAX);
        let mut found: Vec<String> = shown.map(|entry| quote(&entry.name)).collect();
        if self.entries.len() > NAMES_SHOWN_MAX {
            found.push(format!("{} more", self.entries.len() - NAMES_SHOWN_MAX));
        }
        FileError::NotInZip { wanted, found }
    }

    /// The content of an entry as a stream.
    pub(super) fn open_entry(&self, entry: &Entry) -> Result<impl BufRead + use<R>, FileError> {
        let name = quote(&entry.name);
        let mut header = [0; 30];
        let mut input = self.input.borrow_mut();
        input.seek(SeekFrom::Start(entry.offset))?;
        let is_there = input.read_exact(&mut header).is_ok() && header.starts_with(b"PK\x03\x04");
        if !is_there {
            return Err(broken(format!("{name} is not where the directory says")));
        }
        if (entry.flags | u16_at(&header, 6)) & ENCRYPTED != 0 {
            return Err(broken(format!("{name} is encrypted; pack it without a password")));
        }
        let section = Section {
            input: Rc::clone(&self.input),
            at: entry.offset + 30 + u64::from(u16_at(&header, 26)) + u64::from(u16_at(&header, 28)),
            left: entry.compressed_bytes,
        };
        let section = BufReader::with_capacity(BUFFER_BYTES, section);
        let content = match entry.method {
            STORED => Content::Stored(section),
            DEFLATED => Content::Deflated(Box::new(DeflateDecoder::new(section))),
            method => {
                let why = format!("{name} is packed by method {method}; only deflate and none are read");
                return Err(broken(why));
            }
        };
        let unpacked = Unpacked {
            content,
            name,
            crc: Crc::new(),
            wanted_crc: entry.crc,
            compressed_bytes: entry.compressed_bytes,
            bytes: 0,
            bytes_left: Rc::clone(&self.bytes_left),
            bytes_max: self.bytes_max,
        };
        Ok(BufReader::with_capacity(BUFFER_BYTES, unpacked))
    }
}

/// Where the directory is.
struct Directory {
    offset: u64,
    bytes: u64,
    entries: usize,
}

impl Directory {
    /// Finds the record at the end of the archive.
    fn find(input: &mut (impl Read + Seek), length: u64) -> Result<Self, FileError> {
        let tail_bytes = length.min((END_BYTES + COMMENT_BYTES_MAX) as u64);
        input.seek(SeekFrom::Start(length - tail_bytes))?;
        let mut tail = Vec::new();
        input.by_ref().take(tail_bytes).read_to_end(&mut tail)?;
        let is_end = |at: &usize| {
            let record = &tail[*at..];
            record.starts_with(b"PK\x05\x06") && usize::from(u16_at(record, 20)) <= record.len() - END_BYTES
        };
        let starts = tail.len().saturating_sub(END_BYTES - 1);
        let at = (0..starts).rev().find(is_end);
        let at = at.ok_or_else(|| broken("it has no directory at its end; it is cut off, or no zip file"))?;
        let record = &tail[at..];
        let (disk, entries) = (u16_at(record, 4), u16_at(record, 10));
        let (bytes, offset) = (u64::from(u32_at(record, 12)), u64::from(u32_at(record, 16)));
        if disk != 0 {
            return Err(broken("it is one part of several"));
        }
        let entries = usize::from(entries);
        if entries > ENTRIES_MAX || bytes > DIRECTORY_BYTES_MAX {
            return Err(broken(format!(
                "it has more than {ENTRIES_MAX} entries or a directory of more than {DIRECTORY_BYTES_MAX} bytes"
            )));
        }
        if offset + bytes > length - tail_bytes + at as u64 {
            return Err(broken("its directory is not where it should be"));
        }
        Ok(Self { offset, bytes, entries })
    }

    fn entries(&self, input: &mut (impl Read + Seek)) -> Result<Vec<Entry>, FileError> {
        input.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        input.by_ref().take(self.bytes).read_to_end(&mut bytes)?;
        let mut rest = bytes.as_slice();
        let mut entries = Vec::new();
        while entries.len() < self.entries {
            let (entry, after) = entry(rest).ok_or_else(|| broken("its directory is damaged"))?;
            entries.push(entry);
            rest = after;
        }
        Ok(entries)
    }
}

/// The first entry of a part of the directory, and what comes after it.
fn entry(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    const FIXED_BYTES: usize = 46;
    if bytes.len() < FIXED_BYTES || !bytes.starts_with(b"PK\x01\x02") {
        return None;
    }
    let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16_at(bytes, at)));
    let (name, rest) = bytes[FIXED_BYTES..].split_at_checked(name)?;
    let (extra, rest) = rest.split_at_checked(extra)?;
    let rest = rest.get(comment..)?;
    let [compressed, size, offset] = [20, 24, 42].map(|at| u32_at(bytes, at));
    let mut large = LargeSizes::of(extra);
    // In this order, each only where the field of the record is full.
    large.replace(size)?;
    let compressed_bytes = large.replace(compressed)?;
    let offset = large.replace(offset)?;
    let entry = Entry {
        name: match std::str::from_utf8(name) {
            Ok(name) => name.to_owned(),
            Err(_) => name.iter().map(|byte| windows_1252(*byte)).collect(),
        },
        method: u16_at(bytes, 10),
        flags: u16_at(bytes, 8),
        crc: u32_at(bytes, 16),
        compressed_bytes,
        offset,
    };
    Some((entry, rest))
}

/// The extra field of ZIP64, which writers use who don't know sizes in advance.
struct LargeSizes<'a>(&'a [u8]);

impl<'a> LargeSizes<'a> {
    fn of(mut extra: &'a [u8]) -> Self {
        while extra.len() >= 4 {
            let (kind, length) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
            let content = &extra[4..];
            if kind == 1 {
                return Self(&content[..length.min(content.len())]);
            }
            extra = content.get(length..).unwrap_or_default();
        }
        Self(&[])
    }

    fn replace(&mut self, field: u32) -> Option<u64> {
        if field != u32::MAX {
            return Some(u64::from(field));
        }
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*value))
    }
}

/// Entries that share bytes make an archive unpack to far more than it is long.
fn check_overlaps(entries: &[Entry], directory: u64) -> Result<(), FileError> {
    const LOCAL_HEADER_BYTES: u64 = 30;
    let mut entries: Vec<&Entry> = entries.iter().collect();
    entries.sort_by_key(|entry| entry.offset);
    let nexts = entries.iter().skip(1).map(|entry| entry.offset).chain([directory]);
    for (entry, next) in entries.iter().zip(nexts) {
        let end = entry.offset.checked_add(LOCAL_HEADER_BYTES);
        let end = end.and_then(|end| end.checked_add(entry.compressed_bytes));
        if end.is_none_or(|end| end > next) {
            return Err(broken(format!("{} and what follows it overlap", quote(&entry.name))));
        }
    }
    Ok(())
}

/// The compressed bytes of an entry; others may be read in between.
struct Section<R> {
    input: Rc<RefCell<R>>,
    at: u64,
    left: u64,
}

impl<R: Read + Seek> Read for Section<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let wanted = into.len().min(self.left.try_into().unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let mut input = self.input.borrow_mut();
        input.seek(SeekFrom::Start(self.at))?;
        let count = input.read(&mut into[..wanted])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

enum Content<R> {
    Stored(BufReader<Section<R>>),
    Deflated(Box<DeflateDecoder<BufReader<Section<R>>>>),
}

/// What comes out of an entry: within the limits, and with the right checksum.
struct Unpacked<R> {
    content: Content<R>,
    name: String,
    crc: Crc,
    wanted_crc: u32,
    compressed_bytes: u64,
    bytes: u64,
    /// For all entries of the archive.
    bytes_left: Rc<Cell<u64>>,
    bytes_max: u64,
}

impl<R: Read + Seek> Read for Unpacked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let read = match &mut self.content {
            Content::Stored(content) => content.read(into),
            Content::Deflated(content) => content.read(into),
        };
        let damaged = |name: &str| io::Error::other(broken(format!("{name} is damaged")));
        let count = match read {
            Ok(count) => count,
            Err(error) => {
                return Err(match error.kind() {
                    io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
                        damaged(&self.name)
                    }
                    _ => error,
                });
            }
        };
        self.crc.update(&into[..count]);
        if count == 0 && self.crc.sum() != self.wanted_crc {
            return Err(damaged(&self.name));
        }
        let Some(left) = self.bytes_left.get().checked_sub(count as u64) else {
            let bytes_max = self.bytes_max;
            return Err(io::Error::other(FileError::TooLong { bytes_max }));
        };
        self.bytes_left.set(left);
        self.bytes += count as u64;
        let bytes = self.bytes;
        if bytes > RATIO_FREE_BYTES && bytes / RATIO_MAX > self.compressed_bytes {
            let why = format!("{} becomes more than {RATIO_MAX} times longer when unpacked", self.name);
            return Err(io::Error::other(broken(why)));
        }
        Ok(count)
    }
}

/// Two bytes at a place that is there.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// Four bytes at a place that is there.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
