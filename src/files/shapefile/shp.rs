//! The main file of a shapefile, record by record, after ESRI's description of July 1998.

use std::io::{self, BufRead, Read as _};

use super::{
    super::{
        FileError, Finding, FindingCode,
        geometry::{Geometry, Vertex},
    },
    rings,
};

const HEADER_BYTES: u64 = 100;
pub(super) const FILE_CODE: i32 = 9994;
const RECORD_HEADER_BYTES: u64 = 8;

/// What is in a record.
pub(super) enum Record {
    Shape(Geometry),
    /// Of a kind that can't be a geofence.
    Skipped(&'static str),
    Broken(Finding),
}

pub(super) struct Shapes<R> {
    input: R,
    /// Where the next record begins.
    at: u64,
    /// The file's length by its header.
    claimed_bytes: u64,
    number: u64,
    record_bytes_max: usize,
    /// What is left to find the outlines of holes.
    effort: rings::Effort,
}

fn broken(what: impl Into<String>) -> FileError {
    FileError::Shapefile(what.into())
}

impl<R: BufRead> Shapes<R> {
    pub(super) fn open(mut input: R, record_bytes_max: usize) -> Result<Self, FileError> {
        let mut header = Vec::new();
        input.by_ref().take(HEADER_BYTES).read_to_end(&mut header)?;
        let mut bytes = Bytes(&header);
        let code = bytes.take().map(i32::from_be_bytes);
        if header.len() as u64 != HEADER_BYTES || code != Some(FILE_CODE) {
            return Err(broken("the .shp does not begin as one"));
        }
        bytes.0 = &header[24..];
        let words = bytes.take().map_or(0, u32::from_be_bytes);
        Ok(Self {
            input,
            at: HEADER_BYTES,
            claimed_bytes: u64::from(words) * 2,
            number: 0,
            record_bytes_max,
            effort: rings::Effort::default(),
        })
    }

    /// The next record. No length is believed before as many bytes are there.
    pub(super) fn next(&mut self) -> Result<Option<Record>, FileError> {
        if self.at >= self.claimed_bytes {
            return Ok(None);
        }
        let cut_off = |number: u64| broken(format!("the .shp ends within record {number}"));
        let mut header = Vec::new();
        self.input.by_ref().take(RECORD_HEADER_BYTES).read_to_end(&mut header)?;
        if header.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let mut fields = Bytes(&header);
        let _number = fields.take::<4>();
        let words = fields
            .take()
            .map(u32::from_be_bytes)
            .ok_or_else(|| cut_off(self.number))?;
        let length = u64::from(words) * 2;
        self.at += RECORD_HEADER_BYTES + length;
        let mut content = self.input.by_ref().take(length);
        if length > self.record_bytes_max as u64 {
            if io::copy(&mut content, &mut io::sink())? < length {
                return Err(cut_off(self.number));
            }
            return Ok(Some(Record::Broken(Finding::error(
                FindingCode::FeatureTooLong,
                format!(
                    "the record is {length} bytes long, the limit is {}",
                    self.record_bytes_max
                ),
                "simplify the outline",
            ))));
        }
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < length {
            return Err(cut_off(self.number));
        }
        Ok(Some(record(Bytes(&bytes), &mut self.effort).unwrap_or_else(|| {
            Record::Broken(Finding::error(
                FindingCode::RowUnreadable,
                format!("the record of {length} bytes holds no whole shape of its type"),
                "export the file again",
            ))
        })))
    }

    /// How the header's length differs from what there was, after the last record.
    pub(super) fn length_problem(&mut self) -> Result<Option<String>, FileError> {
        let more = io::copy(&mut self.input, &mut io::sink())?;
        Ok(if more > 0 {
            Some(format!(
                "the .shp goes on for {more} bytes after the end that its header names"
            ))
        } else if self.at < self.claimed_bytes {
            Some(format!(
                "the .shp ends after {} bytes, its header says {}",
                self.at, self.claimed_bytes
            ))
        } else {
            None
        })
    }
}

/// Bytes that are taken from the front.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*front)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.get(count..)?;
        Some(())
    }

    /// A number of things that each need some bytes of what is left.
    fn count(&mut self, bytes_each: usize) -> Option<usize> {
        let count = usize::try_from(i32::from_le_bytes(self.take()?)).ok()?;
        (count <= self.0.len() / bytes_each).then_some(count)
    }

    fn vertex(&mut self) -> Option<Vertex> {
        Some([f64::from_le_bytes(self.take()?), f64::from_le_bytes(self.take()?)])
    }
}

const BOX_BYTES: usize = 32;
const VERTEX_BYTES: usize = 16;
const INDEX_BYTES: usize = 4;

/// Heights and measures come after what is read here.
fn record(mut bytes: Bytes<'_>, effort: &mut rings::Effort) -> Option<Record> {
    let kind = i32::from_le_bytes(bytes.take()?);
    Some(match kind {
        0 => Record::Skipped("record without a shape"),
        1 | 11 | 21 => Record::Shape(Geometry::Point(bytes.vertex()?)),
        3 | 13 | 23 => Record::Skipped("line"),
        5 | 15 | 25 => polygon(bytes, effort)?,
        8 | 18 | 28 => {
            bytes.skip(BOX_BYTES)?;
            let count = bytes.count(VERTEX_BYTES)?;
            let mut points: Vec<Vertex> = (0..count).map(|_| bytes.vertex()).collect::<Option<_>>()?;
            Record::Shape(match points.len() {
                0 => Geometry::Absent,
                1 => Geometry::Point(points.remove(0)),
                _ => Geometry::MultiPoint(points),
            })
        }
        31 => Record::Skipped("multipatch"),
        _ => return None,
    })
}

fn polygon(mut bytes: Bytes<'_>, effort: &mut rings::Effort) -> Option<Record> {
    bytes.skip(BOX_BYTES)?;
    let mut parts = bytes.count(INDEX_BYTES)?;
    let vertices = usize::try_from(i32::from_le_bytes(bytes.take()?)).ok()?;
    let mut starts = Vec::new();
    while parts > 0 {
        starts.push(usize::try_from(i32::from_le_bytes(bytes.take()?)).ok()?);
        parts -= 1;
    }
    if vertices > bytes.0.len() / VERTEX_BYTES || starts.first().is_some_and(|first| *first != 0) {
        return None;
    }
    let ends = starts.iter().skip(1).copied().chain([vertices]);
    let mut rings = Vec::with_capacity(starts.len());
    for (start, end) in starts.iter().zip(ends) {
        let count = end.checked_sub(*start)?;
        let ring: Vec<Vertex> = (0..count).map(|_| bytes.vertex()).collect::<Option<_>>()?;
        rings.push(ring);
    }
    Some(match rings::into_polygons(rings, effort) {
        Ok(geometry) => Record::Shape(geometry),
        Err(finding) => Record::Broken(finding),
    })
}
