//! Zipped shapefiles: real ones, and what is written here.

mod broken;
mod projections;

use serde_json::{Value, json};

use super::{
    ReadFile, data, findings, fuzz, ids, options, read, with_radius,
    zipping::{Packed, zip, zip_of},
};
use crate::{
    domain::geofence::Geofence,
    files::{FileError, Format},
    geo::{Position, Shape},
};

type Ring = Vec<[f64; 2]>;

const WGS84: &str = r#"GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]"#;

/// The content of a polygon record.
fn polygon(kind: i32, rings: &[Ring]) -> Vec<u8> {
    let vertices: Vec<[f64; 2]> = rings.iter().flatten().copied().collect();
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend([0; 32]);
    bytes.extend((rings.len() as i32).to_le_bytes());
    bytes.extend((vertices.len() as i32).to_le_bytes());
    let mut start = 0_i32;
    for ring in rings {
        bytes.extend(start.to_le_bytes());
        start += ring.len() as i32;
    }
    bytes.extend(vertices.iter().flatten().flat_map(|value| value.to_le_bytes()));
    bytes
}

fn point(x: f64, y: f64) -> Vec<u8> {
    [1_i32.to_le_bytes().as_slice(), &x.to_le_bytes(), &y.to_le_bytes()].concat()
}

fn shp(records: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (index, record) in records.iter().enumerate() {
        body.extend((index as i32 + 1).to_be_bytes());
        body.extend((record.len() as i32 / 2).to_be_bytes());
        body.extend(record);
    }
    let mut bytes = 9994_i32.to_be_bytes().to_vec();
    bytes.extend([0; 20]);
    bytes.extend(((100 + body.len()) as i32 / 2).to_be_bytes());
    bytes.extend(1000_i32.to_le_bytes());
    bytes.resize(100, 0);
    bytes.extend(body);
    bytes
}

/// A table of fields with name, type and width.
fn dbf(fields: &[(&str, u8, u8)], rows: &[Vec<String>]) -> Vec<u8> {
    let row_bytes: usize = 1 + fields.iter().map(|(_, _, width)| usize::from(*width)).sum::<usize>();
    let mut bytes = vec![3, 126, 1, 1];
    bytes.extend((rows.len() as u32).to_le_bytes());
    bytes.extend((33 + 32 * fields.len() as u16).to_le_bytes());
    bytes.extend((row_bytes as u16).to_le_bytes());
    bytes.resize(32, 0);
    for (name, kind, width) in fields {
        let mut field = name.as_bytes().to_vec();
        field.resize(11, 0);
        field.push(*kind);
        field.extend([0; 4]);
        field.push(*width);
        field.resize(32, 0);
        bytes.extend(field);
    }
    bytes.push(0x0d);
    for row in rows {
        bytes.push(b' ');
        for ((_, _, width), value) in fields.iter().zip(row) {
            let mut value = value.as_bytes().to_vec();
            value.resize(usize::from(*width), b' ');
            bytes.extend(value);
        }
    }
    bytes.push(0x1a);
    bytes
}

fn names(names: &[&str]) -> Vec<u8> {
    let rows: Vec<Vec<String>> = names.iter().map(|name| vec![(*name).to_owned()]).collect();
    dbf(&[("NAME", b'C', 20)], &rows)
}

fn square(west: f64, south: f64, size: f64) -> Ring {
    let (east, north) = (west + size, south + size);
    vec![
        [west, south],
        [west, north],
        [east, north],
        [east, south],
        [west, south],
    ]
}

fn shapefile(shp: &[u8], dbf: &[u8], prj: &str) -> Result<ReadFile, FileError> {
    let bytes = zip(&[("a/b.shp", shp), ("A/B.DBF", dbf), ("a/b.prj", prj.as_bytes())]);
    read(&bytes, Format::Zip, &with_radius(100.0))
}

fn signed_area(ring: &Ring) -> f64 {
    ring.windows(2)
        .map(|edge| edge[0][0] * edge[1][1] - edge[1][0] * edge[0][1])
        .sum()
}

fn rings_of(geofence: &Geofence) -> Vec<Vec<Ring>> {
    let Shape::Polygons(polygons) = &geofence.shape else {
        panic!("{} is no polygon", geofence.id);
    };
    polygons
        .coordinates()
        .map(|rings| rings.map(<[_]>::to_vec).collect())
        .collect()
}

/// A ring in the direction against the clock, so that directions don't count.
fn turned(mut ring: Ring) -> Ring {
    if signed_area(&ring) < 0.0 {
        ring.reverse();
    }
    ring
}

#[test]
fn what_is_written_as_a_shapefile_comes_back_as_from_geojson() {
    for name in ["zurich_quarters", "sf_neighborhoods", "ne_110m_countries"] {
        let Some(path) = data(&format!("geofences/{name}.geojson")) else {
            return;
        };
        let expected = read(&std::fs::read(path).unwrap(), Format::GeoJson, &options()).unwrap();
        let records: Vec<Vec<u8>> = expected
            .geofences
            .iter()
            .map(|geofence| {
                let mut rings = Vec::new();
                for polygon in rings_of(geofence) {
                    for (index, ring) in polygon.into_iter().enumerate() {
                        let mut ring = turned(ring);
                        if index == 0 {
                            ring.reverse();
                        }
                        rings.push(ring);
                    }
                }
                polygon(5, &rings)
            })
            .collect();
        let rows: Vec<Vec<String>> = expected
            .geofences
            .iter()
            .map(|geofence| {
                let description = geofence.description.clone().unwrap_or_default();
                vec![geofence.id.external_id.to_string(), description]
            })
            .collect();
        let table = dbf(&[("externalId", b'C', 100), ("descriptio", b'C', 200)], &rows);
        let found = shapefile(&shp(&records), &table, WGS84).unwrap();
        assert_eq!(found.rejected, 0, "{}", findings(&found));
        assert_eq!(found.format, Format::Shapefile);
        assert_eq!(found.geofences.len(), expected.geofences.len());
        for (a, b) in found.geofences.iter().zip(&expected.geofences) {
            assert_eq!((&a.id, &a.description), (&b.id, &b.description));
            let turned = |geofence| -> Vec<Vec<Ring>> {
                let polygons = rings_of(geofence).into_iter();
                polygons.map(|rings| rings.into_iter().map(turned).collect()).collect()
            };
            assert_eq!(turned(a), turned(b), "{}", a.id);
        }
    }
}

#[test]
fn values_have_their_types_and_encodings() {
    let table = |text: &[u8], driver: u8| {
        let fields = [
            ("ID", b'N', 5),
            ("NAME", b'C', 8),
            ("RADIUS", b'F', 8),
            ("OPEN", b'L', 1),
            ("SINCE", b'D', 8),
            ("MEMO", b'M', 10),
            ("LAT", b'N', 4),
        ];
        let row = ["7", "\u{1}\u{1}\u{1}\u{1}\u{1}", "150.50", "T", "20260131", "1", "1.5"];
        let mut bytes = dbf(&fields, &[row.map(str::to_owned).to_vec()]);
        let at = bytes.windows(5).position(|window| window == [1; 5]).unwrap();
        bytes[at..at + 5].fill(b' ');
        bytes[at..at + text.len()].copy_from_slice(text);
        bytes[29] = driver;
        bytes
    };
    let shp = shp(&[point(1.0, 2.0)]);
    for (text, driver, cpg, expected, is_guessed) in [
        ("Zürch".as_bytes(), 0, "UTF-8", "Zürch", false),
        ("Zür".as_bytes(), 0, "", "Zür", false),
        (b"Z\xfcr", 0, "", "Zür", true),
        (b"Z\xfcr", 3, "", "Zür", false),
        (b"\xcc\xee\xf1", 0xc9, "", "Мос", false),
        (b"\xcc\xee\xf1", 3, "CP1251", "Мос", false),
        (b"\x93\xfa", 0, "932", "日", false),
    ] {
        let bytes = zip(&[
            ("b.shp", &shp),
            ("b.dbf", &table(text, driver)),
            ("b.prj", WGS84.as_bytes()),
            ("b.cpg", cpg.as_bytes()),
        ]);
        let reading = read(&bytes, Format::Zip, &options()).unwrap();
        let geofence = &reading.geofences[0];
        assert_eq!(geofence.description.as_deref(), Some(expected));
        assert_eq!(
            findings(&reading).contains("encoding_guessed"),
            is_guessed,
            "{expected}"
        );
        assert_eq!(geofence.id.external_id.to_string(), "7");
        let metadata = json!({"OPEN": true, "SINCE": "2026-01-31", "LAT": 1.5});
        assert_eq!(Value::Object(geofence.metadata.to_map()), metadata);
        assert!(matches!(geofence.shape, Shape::Circle { radius_m, .. } if radius_m == 150.5));
        assert!(
            findings(&reading).contains("1 of 7 columns of the .dbf"),
            "{}",
            findings(&reading)
        );
    }
}
