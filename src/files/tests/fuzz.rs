//! Files broken at random, the same ones at every run: no panic, a verdict, and in time.

use std::time::{Duration, Instant};

use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{RngSeed, TestRunner},
};

use super::{read, with_radius};
use crate::files::Format;

/// Far above what any file here takes, even on a busy machine without optimisation.
const READING_TIME_MAX: Duration = Duration::from_secs(10);

/// Broken copies of each sample.
const CASES: u32 = 400;

/// What readers stumble over, whatever the format.
const NASTY: [&[u8]; 16] = [
    b"1e308",
    b"-1e999",
    b"NaN",
    b"Infinity",
    b"\0",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n\n",
    b"\"",
    b"\\u0000",
    b"[[[[[[[[",
    b"}}}}",
    b"<a><a><a>",
    b"99999999999999999999999999",
];

#[derive(Debug, Clone)]
enum Mutation {
    /// What is left is the beginning.
    Truncate(Index),
    Flip(Index, u8),
    Remove(Index, usize),
    /// A part again, at another place.
    Copy(Index, usize, Index),
    Insert(Index, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        1 => at().prop_map(Mutation::Truncate),
        3 => (at(), 1_u8..).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        2 => (at(), 1_usize..40).prop_map(|(at, length)| Mutation::Remove(at, length)),
        2 => (at(), 1_usize..400, at()).prop_map(|(from, length, to)| Mutation::Copy(from, length, to)),
        3 => (at(), 0..NASTY.len()).prop_map(|(at, nasty)| Mutation::Insert(at, nasty)),
    ]
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        let range = |at: &Index, count: usize| {
            let start = at.index(length);
            start..(start + count).min(length)
        };
        match self {
            Self::Truncate(at) => bytes.truncate(at.index(length)),
            Self::Flip(at, bits) => bytes[at.index(length)] ^= bits,
            Self::Remove(at, count) => drop(bytes.drain(range(at, *count))),
            Self::Copy(from, count, to) => {
                let part = bytes[range(from, *count)].to_vec();
                let to = to.index(length);
                bytes.splice(to..to, part);
            }
            Self::Insert(at, nasty) => {
                let at = at.index(length);
                bytes.splice(at..at, NASTY[*nasty].iter().copied());
            }
        }
    }
}

/// Reads a file that may hold anything.
pub(super) fn verdict(format: Format, bytes: &[u8]) {
    let began = Instant::now();
    match read(bytes, format, &with_radius(100.0)) {
        Ok(file) => {
            assert_eq!(file.read, file.accepted + file.rejected);
            assert!(file.read > 0 || !file.findings.is_empty());
            for finding in &file.findings {
                assert!(!finding.detail.is_empty() && !finding.hint.is_empty(), "{finding}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    assert!(began.elapsed() < READING_TIME_MAX, "{:?}", began.elapsed());
}

/// The sample's every beginning.
pub(super) fn every_beginning(format: Format, sample: &[u8]) {
    for length in 0..=sample.len() {
        verdict(format, &sample[..length]);
    }
}

/// The sample, broken at one to four places.
pub(super) fn broken_copies(format: Format, sample: &[u8]) {
    broken_parts(sample, |bytes| verdict(format, bytes));
}

/// A part of a sample, broken at one to four places, for `check` to put back.
pub(super) fn broken_parts(part: &[u8], check: impl Fn(&[u8])) {
    let config = ProptestConfig {
        cases: CASES,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mutations = proptest::collection::vec(mutation(), 1..=4);
    TestRunner::new(config)
        .run(&mutations, |mutations| {
            let mut bytes = part.to_vec();
            for mutation in &mutations {
                mutation.apply(&mut bytes);
            }
            check(&bytes);
            Ok(())
        })
        .unwrap();
}

const GEOJSON: &str = r#"{"type": "FeatureCollection", "crs": null, "features": [
  {"type": "Feature", "id": 1, "properties": {"name": "L\u00f6wen", "radius": 120.5, "tag": "café"},
   "geometry": {"type": "Point", "coordinates": [8.5, 47.3, 400]}},
  {"type": "Feature", "properties": {"id": "b", "operatingHours": "Mo-Fr 09:00-18:00", "codes": ["a", "b"]}, "geometry":
   {"type": "Polygon", "coordinates": [[[179, 1], [-179, 1], [-179, 2], [179, 1]], [[179.9, 1.1], [180, 1.1], [180, 1.2], [179.9, 1.1]]]}},
  {"type": "Feature", "id": "c", "properties": null, "geometry": {"type": "GeometryCollection", "geometries":
   [{"type": "MultiPolygon", "coordinates": [[[[1, 1], [2, 1], [2, 2], [1, 1]]]]}, {"type": "Point", "coordinates": [1, 1]}]}}
], "bbox": [1, 2, 3, 4]}"#;

const GEOJSON_LINES: &str = "\u{1e}{\"type\": \"Point\", \"coordinates\": [8.5, 47.3]}\n\u{1e}{\"type\": \"Feature\", \
    \"id\": \"x\", \"properties\": {\"dwellThreshold\": \"PT10M\"}, \"geometry\": {\"type\": \"Point\", \"coordinates\": [8.5, 47.3]}}\n";

const CSV: &str = "externalId;name;lat;lon;radius;beacons;codes\r\n1;\"a;\"\"b\"\"\";41,16;-8,67;100;;a|b\r\n\
    2;Foz;41.2;-8.6;;[{\"type\":\"eddystone\",\"namespace\":\"00112233445566778899\",\"instance\":\"aabbccddeeff\"}];\r\n\
    3;é;-91;181;50;;\r\n";

#[test]
fn geojson_is_broken_in_every_way() {
    for sample in [GEOJSON, GEOJSON_LINES] {
        every_beginning(Format::GeoJson, sample.as_bytes());
        broken_copies(Format::GeoJson, sample.as_bytes());
    }
}

#[test]
fn csv_is_broken_in_every_way() {
    every_beginning(Format::Csv, CSV.as_bytes());
    broken_copies(Format::Csv, CSV.as_bytes());
}

#[test]
fn geojson_may_be_deep_or_long() {
    let feature =
        |geometry: &str| format!(r#"{{"type": "Feature", "id": 1, "properties": {{}}, "geometry": {geometry}}}"#);
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(10_000), close.repeat(10_000));
    let ring = format!(
        r#"{{"type": "Polygon", "coordinates": [[{}[0,0]]]}}"#,
        "[0,0],".repeat(1_000_000)
    );
    for text in [
        feature(&deep("[", "]")),
        feature(&deep(r#"{"type": "GeometryCollection", "geometries": ["#, "]}")),
        deep(r#"{"type": "FeatureCollection", "features": ["#, "]}"),
        deep(r#"{"a":"#, "1}"),
        feature(r#"{"type": "Point", "coordinates": [1e308, -1e999]}"#),
        feature(r#"{"type": "Point", "coordinates": [NaN, Infinity]}"#),
        feature(&ring),
        format!("{{\"type\": \"{}\"}}", "x".repeat(1_000_000)),
    ] {
        verdict(Format::GeoJson, text.as_bytes());
        let collection = format!(r#"{{"type": "FeatureCollection", "features": [{text}, {text}]}}"#);
        verdict(Format::GeoJson, collection.as_bytes());
    }
}

#[test]
fn csv_may_be_wide_or_long() {
    let header = "id,lat,lon\n";
    for text in [
        ",".repeat(1_000_000),
        format!("{header}{}", ",".repeat(1_000_000)),
        format!("{header}1,1,1\n{}", "\"".repeat(1_000_001)),
        format!("{header}1,{},1\n", "9".repeat(1_000_000)),
        format!("{header}{}", "1,NaN,1e308\n".repeat(10_000)),
    ] {
        verdict(Format::Csv, text.as_bytes());
    }
}
