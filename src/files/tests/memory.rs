//! A long file takes no more memory than a short one. For half a gigabyte the same is seen with
//! `/usr/bin/time -v beckon geofences check FILE`.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use super::with_radius;
use crate::files::{self, Format};

/// How long the files are, in bytes.
const FILE_BYTES: u64 = 48 * 1024 * 1024;

/// Far less than the file, and more than what is remembered of each geofence.
const MEMORY_BYTES_MAX: u64 = 24 * 1024 * 1024;

/// A file that is made while it is read: a beginning, and rows until it is long enough.
struct Made {
    row: fn(u64) -> Vec<u8>,
    rows: u64,
    at: u64,
    rest: Vec<u8>,
}

impl Made {
    fn file(row: fn(u64) -> Vec<u8>) -> BufReader<Self> {
        BufReader::new(Self {
            row,
            rows: 0,
            at: 0,
            rest: Vec::new(),
        })
    }
}

impl Read for Made {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() && self.at < FILE_BYTES {
            self.rest = (self.row)(self.rows);
            self.rows += 1;
        }
        let length = self.rest.as_slice().read(buffer)?;
        self.rest.drain(..length);
        self.at += length as u64;
        Ok(length)
    }
}

impl Seek for Made {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(0) = to else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        *self = Self {
            row: self.row,
            rows: 0,
            at: 0,
            rest: Vec::new(),
        };
        Ok(0)
    }
}

/// The most memory that this process has held so far; `None` where the system doesn't say.
fn memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

fn check(format: Format, input: impl BufRead + Seek) {
    // With other tests in the same process nothing could be told.
    let before = memory_bytes().filter(|_| std::env::var_os("NEXTEST").is_some());
    let Some(before) = before else {
        println!("skipped: run by cargo nextest on Linux");
        return;
    };
    let reading = files::read(input, format, &with_radius(100.0), &mut |_| Ok(())).unwrap();
    let grown = memory_bytes().unwrap() - before;
    assert!(reading.accepted > 40_000, "{}", reading.accepted);
    assert!(grown < MEMORY_BYTES_MAX, "{grown} bytes");
}

fn place(number: u64) -> [f64; 2] {
    [(number % 300) as f64 - 150.0, (number / 300 % 100) as f64 - 50.0]
}

#[test]
fn a_long_geojson_file_is_not_held() {
    check(
        Format::GeoJson,
        Made::file(|number| {
            let [longitude, latitude] = place(number);
            let text = "x".repeat(900);
            format!(
                r#"{{"type": "Feature", "id": {number}, "properties": {{"note": "{text}"}}, "geometry": {{"type": "Point", "coordinates": [{longitude}, {latitude}]}}}}{}"#,
                "\n"
            )
            .into_bytes()
        }),
    );
}

#[test]
fn a_long_csv_file_in_windows_1252_is_not_held() {
    check(
        Format::Csv,
        Made::file(|number| {
            let [longitude, latitude] = place(number);
            if number == 0 {
                return b"id,lat,lon,note\n".to_vec();
            }
            let mut row = format!("{number},{latitude},{longitude},").into_bytes();
            row.push(0xe9);
            row.extend([b'x'; 1_000]);
            row.push(b'\n');
            row
        }),
    );
}
