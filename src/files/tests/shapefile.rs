//! Zipped shapefiles: real ones, written ones, broken ones.

use insta::assert_snapshot;
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

/// Lambert's conformal conic with two standard parallels after Snyder, "Map projections", page 107: feet of New York's
/// Long Island zone (EPSG:2263) on GRS80.
fn long_island_feet(longitude: f64, latitude: f64) -> [f64; 2] {
    let (semi_major, flattening) = (6_378_137.0, 1.0 / 298.257_222_101);
    let eccentricity = f64::sqrt(flattening * (2.0 - flattening));
    let m = |phi: f64| phi.cos() / (1.0 - (eccentricity * phi.sin()).powi(2)).sqrt();
    let t = |phi: f64| {
        let es = eccentricity * phi.sin();
        (std::f64::consts::FRAC_PI_4 - phi / 2.0).tan() / ((1.0 - es) / (1.0 + es)).powf(eccentricity / 2.0)
    };
    let degrees = |degrees: f64, minutes: f64| (degrees + minutes / 60.0).to_radians();
    let (south, north, origin) = (degrees(40.0, 40.0), degrees(41.0, 2.0), degrees(40.0, 10.0));
    let n = (m(south).ln() - m(north).ln()) / (t(south).ln() - t(north).ln());
    let f = m(south) / (n * t(south).powf(n));
    let rho = |phi: f64| semi_major * f * t(phi).powf(n);
    let theta = n * (longitude + 74.0).to_radians();
    let at = rho(latitude.to_radians());
    let foot = 1200.0 / 3937.0;
    [300_000.0 + at * theta.sin(), rho(origin) - at * theta.cos()].map(|metres| metres / foot)
}

const LONG_ISLAND: &str = r#"PROJCS["NAD_1983_StatePlane_New_York_Long_Island_FIPS_3104_Feet",GEOGCS["GCS_North_American_1983",DATUM["D_North_American_1983",SPHEROID["GRS_1980",6378137.0,298.257222101]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],PROJECTION["Lambert_Conformal_Conic"],PARAMETER["False_Easting",984250.0],PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",-74.0],PARAMETER["Standard_Parallel_1",40.66666666666666],PARAMETER["Standard_Parallel_2",41.03333333333333],PARAMETER["Latitude_Of_Origin",40.16666666666666],UNIT["Foot_US",0.3048006096012192]]"#;

/// Where points come to, longitude and latitude.
fn places(prj: &str, points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let records: Vec<Vec<u8>> = points.iter().map(|[x, y]| point(*x, *y)).collect();
    let ids: Vec<String> = (0..points.len()).map(|id| id.to_string()).collect();
    let found = shapefile(
        &shp(&records),
        &names(&ids.iter().map(String::as_str).collect::<Vec<_>>()),
        prj,
    )
    .unwrap();
    found
        .geofences
        .iter()
        .map(|geofence| match geofence.shape {
            Shape::Circle { center, .. } => [center.longitude, center.latitude],
            Shape::Polygons(_) => panic!("no circle"),
        })
        .collect()
}

#[test]
fn feet_of_long_island_become_degrees_to_the_centimetre() {
    // A ten-millionth of a degree is a centimetre, and what is found was rounded to it.
    const TOLERANCE: f64 = 0.6e-7;
    let expected = [
        [-73.78, 40.64],
        [-74.17, 40.69],
        [-73.874, 40.774],
        [-72.0, 41.0],
        [-74.0, 40.1666],
    ];
    let found = places(
        LONG_ISLAND,
        &expected.map(|[longitude, latitude]| long_island_feet(longitude, latitude)),
    );
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found[0] - expected[0]).abs() < TOLERANCE, "{found:?} {expected:?}");
        assert!((found[1] - expected[1]).abs() < TOLERANCE, "{found:?} {expected:?}");
    }
}

#[test]
fn the_taxi_zones_of_new_york_are_where_they_should_be() {
    let Some(path) = data("geofences/nyc_taxi_zones_shapefile.zip") else {
        return;
    };
    let reading = read(&std::fs::read(path).unwrap(), Format::Zip, &options()).unwrap();
    assert_eq!(
        (reading.format, reading.read, reading.accepted),
        (Format::Shapefile, 263, 260)
    );
    assert_snapshot!(findings(&reading), @r"
    feature 57: error duplicate_identity: `stands/56` appears again, first as feature 56 — the first one is kept; give each geofence an id of its own
    feature 104: error duplicate_identity: `stands/103` appears again, first as feature 103 — the first one is kept; give each geofence an id of its own
    feature 105: error duplicate_identity: `stands/103` appears again, first as feature 103 — the first one is kept; give each geofence an id of its own
    note reprojected: coordinates were converted from `NAD_1983_StatePlane_New_York_Long_Island_FIPS_3104_Feet` to WGS84 — they are good to a few metres; save the file in WGS84 (EPSG:4326) if you need better
    ");
    for (id, zone, latitude, longitude) in [
        ("132", "JFK Airport", 40.64, -73.78),
        ("138", "LaGuardia Airport", 40.774, -73.874),
        ("1", "Newark Airport", 40.69, -74.17),
        ("161", "Midtown Center", 40.7587, -73.9787),
    ] {
        let geofence = reading
            .geofences
            .iter()
            .find(|geofence| geofence.id.external_id.to_string() == id)
            .unwrap();
        assert_eq!(geofence.metadata["zone"], zone);
        let at = Position::new(latitude, longitude).unwrap();
        assert!(geofence.shape.contains(at), "{zone}");
        let inside = reading.geofences.iter().filter(|other| other.shape.contains(at));
        assert_eq!(inside.count(), 1, "{zone}");
    }
}

#[test]
fn other_systems_are_converted_too() {
    let geogcs = |name: &str, datum: &str, spheroid: &str| {
        format!(
            r#"GEOGCS["{name}",DATUM["{datum}",SPHEROID[{spheroid}]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]"#
        )
    };
    let wgs84 = r#""WGS_1984",6378137.0,298.257223563"#;
    let british = geogcs("GCS_OSGB_1936", "D_OSGB_1936", r#""Airy_1830",6377563.396,299.3249646"#);
    let dutch = geogcs(
        "GCS_Amersfoort",
        "D_Amersfoort",
        r#""Bessel_1841",6377397.155,299.1528128"#,
    );
    let web = geogcs("GCS_WGS_1984", "D_WGS_1984", wgs84);
    // Web Mercator's own formulas.
    let (longitude, latitude) = (8.5_f64, 47.3_f64);
    let mercator = [
        6_378_137.0 * longitude.to_radians(),
        6_378_137.0 * (std::f64::consts::FRAC_PI_4 + latitude.to_radians() / 2.0).tan().ln(),
    ];
    for (name, prj, at, expected, tolerance) in [
        (
            "Web Mercator",
            format!(
                r#"PROJCS["WGS_1984_Web_Mercator_Auxiliary_Sphere",{web},PROJECTION["Mercator_Auxiliary_Sphere"],PARAMETER["False_Easting",0.0],PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",0.0],PARAMETER["Standard_Parallel_1",0.0],PARAMETER["Auxiliary_Sphere_Type",0.0],UNIT["Meter",1.0]]"#
            ),
            mercator,
            [longitude, latitude],
            1e-7,
        ),
        (
            // On its central meridian, where the easting is known without a formula.
            "UTM 32",
            format!(
                r#"PROJCS["WGS_1984_UTM_Zone_32N",{web},PROJECTION["Transverse_Mercator"],PARAMETER["False_Easting",500000.0],PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",9.0],PARAMETER["Scale_Factor",0.9996],PARAMETER["Latitude_Of_Origin",0.0],UNIT["Meter",1.0]]"#
            ),
            [500_000.0, 0.0],
            [9.0, 0.0],
            1e-9,
        ),
        (
            // The water tower of Caister in the Ordnance Survey's guide to coordinate systems.
            "British National Grid",
            format!(
                r#"PROJCS["British_National_Grid",{british},PROJECTION["Transverse_Mercator"],PARAMETER["False_Easting",400000.0],PARAMETER["False_Northing",-100000.0],PARAMETER["Central_Meridian",-2.0],PARAMETER["Scale_Factor",0.9996012717],PARAMETER["Latitude_Of_Origin",49.0],UNIT["Meter",1.0]]"#
            ),
            [651_409.903, 313_177.270],
            [1.716_07, 52.658_0],
            1e-4,
        ),
        (
            // The tower of Amersfoort, the origin of the Dutch grid.
            "RD New",
            format!(
                r#"PROJCS["RD_New",{dutch},PROJECTION["Double_Stereographic"],PARAMETER["False_Easting",155000.0],PARAMETER["False_Northing",463000.0],PARAMETER["Central_Meridian",5.38763888888889],PARAMETER["Scale_Factor",0.9999079],PARAMETER["Latitude_Of_Origin",52.15616055555555],UNIT["Meter",1.0]]"#
            ),
            [155_000.0, 463_000.0],
            [5.387_206, 52.155_174],
            5e-5,
        ),
        ("WGS84", WGS84.to_owned(), [8.5, 47.3], [8.5, 47.3], 0.0),
    ] {
        let found = places(&prj, &[at])[0];
        let is_near = |axis: usize| (found[axis] - expected[axis]).abs() <= tolerance;
        assert!(is_near(0) && is_near(1), "{name}: {found:?} {expected:?}");
    }
}

#[test]
fn systems_that_cannot_be_converted_are_refused_by_name() {
    let shp = shp(&[point(1.0, 2.0)]);
    let with_datum = |datum: &str, a: &str| {
        format!(
            r#"GEOGCS["Ours",DATUM["{datum}",SPHEROID["x",{a}]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]"#
        )
    };
    let errors = [
        ("nothing", String::new()),
        ("junk", "hello".to_owned()),
        ("deep", "A[".repeat(5000)),
        ("unknown datum", with_datum("D_Pulkovo_1942", "6378245.0,298.3")),
        ("grads", WGS84.replace("\"Degree\",0.0174532925199433", "\"Grad\",0.015707963267949")),
        ("unknown projection", format!(r#"PROJCS["Mine",{WGS84},PROJECTION["Origami"],UNIT["Meter",1.0]]"#)),
        (
            "grid",
            format!(r#"PROJCS["Mine",{WGS84},PROJECTION["Origami"],UNIT["Meter",1.0],EXTENSION["PROJ4","+proj=longlat +nadgrids=/etc/passwd"]]"#),
        ),
        ("nan", with_datum("D_x", "nan,nan")),
    ]
    .map(|(name, prj)| format!("{name}: {}", shapefile(&shp, &names(&["a"]), &prj).unwrap_err()));
    assert_snapshot!(errors.join("\n"), @r"
    nothing: the coordinate system `` can't be converted to longitude and latitude: its description can't be read; save the shapefile in WGS84 (EPSG:4326)
    junk: the coordinate system `` can't be converted to longitude and latitude: its description can't be read; save the shapefile in WGS84 (EPSG:4326)
    deep: the coordinate system `` can't be converted to longitude and latitude: its description is too long or nests too deep; save the shapefile in WGS84 (EPSG:4326)
    unknown datum: the coordinate system `Ours` can't be converted to longitude and latitude: how far its datum `D_Pulkovo_1942` is from WGS84 is not known here; save the shapefile in WGS84 (EPSG:4326)
    grads: the coordinate system `GCS_WGS_1984` can't be converted to longitude and latitude: its angles are not in degrees; save the shapefile in WGS84 (EPSG:4326)
    unknown projection: the coordinate system `Mine` can't be converted to longitude and latitude: its projection `Origami` is not known here or not complete; save the shapefile in WGS84 (EPSG:4326)
    grid: the coordinate system `Mine` can't be converted to longitude and latitude: it needs a grid of shifts; save the shapefile in WGS84 (EPSG:4326)
    nan: the coordinate system `Ours` can't be converted to longitude and latitude: its description can't be read; save the shapefile in WGS84 (EPSG:4326)
    ");
}

#[test]
fn without_a_prj_degrees_are_assumed_where_they_fit() {
    let (degrees, feet) = (shp(&[point(-73.78, 40.64)]), shp(&[point(1_045_000.0, 172_000.0)]));
    let table = names(&["a"]);
    let reading = read(
        &zip(&[("b.shp", &degrees), ("b.dbf", &table)]),
        Format::Shapefile,
        &with_radius(100.0),
    )
    .unwrap();
    assert_eq!(ids(&reading), ["stands/a"]);
    assert_snapshot!(findings(&reading), @r"
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    feature 1: warning id_from_name: there is no id; the name stands for it — add `externalId`: with a new name it would be a new geofence
    ");
    let error = read(
        &zip(&[("b.shp", &feet), ("b.dbf", &table)]),
        Format::Shapefile,
        &options(),
    )
    .unwrap_err();
    assert_snapshot!(error, @"the coordinate system of the shapefile can't be converted to longitude and latitude: it has no .prj file, and its numbers are not longitude and latitude; save the shapefile in WGS84 (EPSG:4326)");
}

#[test]
fn every_kind_of_record_has_its_outcome() {
    let points = |kind: i32, count: i32| {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend([0; 32]);
        bytes.extend(count.to_le_bytes());
        bytes.extend((0..count * 2).flat_map(|value| f64::from(value).to_le_bytes()));
        bytes
    };
    let claiming = |parts: i32, vertices: i32| {
        let mut bytes = polygon(5, &[square(0.0, 0.0, 1.0)]);
        bytes[36..40].copy_from_slice(&parts.to_le_bytes());
        bytes[40..44].copy_from_slice(&vertices.to_le_bytes());
        bytes
    };
    let mut point_z = point(5.0, 5.0);
    point_z[0] = 11;
    point_z.extend([0; 16]);
    let mut polygon_z = polygon(15, &[square(0.0, 0.0, 1.0)]);
    polygon_z.extend([0; 56]);
    let records = [
        ("point", point(1.0, 2.0)),
        ("pointZ", point_z),
        ("polygonZ", polygon_z),
        ("polygonM", polygon(25, &[square(0.0, 0.0, 1.0)])),
        ("onePoint", points(8, 1)),
        ("points", points(8, 2)),
        ("noPoints", points(8, 0)),
        ("null", 0_i32.to_le_bytes().to_vec()),
        ("line", polygon(3, &[square(0.0, 0.0, 1.0)])),
        ("patch", polygon(31, &[square(0.0, 0.0, 1.0)])),
        ("noRings", polygon(5, &[])),
        ("emptyRing", polygon(5, &[vec![]])),
        ("unknown", vec![77, 0, 0, 0]),
        ("nothing", vec![]),
        ("cut", point(1.0, 2.0)[..12].to_vec()),
        ("manyParts", claiming(i32::MAX, 5)),
        ("manyPoints", claiming(1, i32::MAX)),
        ("minus", claiming(-1, -1)),
        ("nan", point(f64::NAN, 1.0)),
        (
            "inf",
            polygon(5, &[vec![[0.0, 0.0], [f64::INFINITY, 1.0], [1.0, 1.0], [0.0, 0.0]]]),
        ),
        ("huge", point(1.0, 1e308)),
        ("deleted", point(3.0, 3.0)),
        ("last", point(9.0, 9.0)),
    ];
    let mut table = names(&records.each_ref().map(|(name, _)| *name));
    let at = table.len() - 1 - 2 * 21;
    table[at] = b'*';
    let prj = WGS84.replace("D_WGS_1984", "D_North_American_1983");
    let reading = shapefile(&shp(&records.map(|(_, record)| record)), &table, &prj).unwrap();
    assert_snapshot!(format!("{:?}\n{}", ids(&reading), findings(&reading)), @r#"
    ["stands/point", "stands/pointZ", "stands/polygonZ", "stands/polygonM", "stands/onePoint", "stands/last"]
    feature 6: error geometry_unsupported: 2 points can't be one geofence — make a feature of each point, with an id of its own, or draw a polygon
    feature 7: error geometry_missing: there is no geometry — draw a point or polygon for it, or leave it out
    feature 11: error geometry_missing: there is no geometry — draw a point or polygon for it, or leave it out
    feature 12: error geometry_missing: there is no geometry — draw a point or polygon for it, or leave it out
    feature 13: error row_unreadable: the record of 4 bytes holds no whole shape of its type — export the file again
    feature 14: error row_unreadable: the record of 0 bytes holds no whole shape of its type — export the file again
    feature 15: error row_unreadable: the record of 12 bytes holds no whole shape of its type — export the file again
    feature 16: error row_unreadable: the record of 128 bytes holds no whole shape of its type — export the file again
    feature 17: error row_unreadable: the record of 128 bytes holds no whole shape of its type — export the file again
    feature 18: error row_unreadable: the record of 128 bytes holds no whole shape of its type — export the file again
    feature 19: error coordinates_invalid: the position NaN, 1 can't be converted to longitude and latitude — give finite numbers
    feature 20: error coordinates_invalid: the position inf, 1 can't be converted to longitude and latitude — give finite numbers
    feature 21: error latitude_out_of_range: latitude 1e308 is not in -90 to 90 — give degrees (WGS84), not metres or degrees and minutes
    feature 8: note part_skipped: 1 record without a shape is left out — fine, unless they should be geofences: those need a point or a polygon
    feature 9: note part_skipped: 1 line is left out — fine, unless they should be geofences: those need a point or a polygon
    feature 10: note part_skipped: 1 multipatch is left out — fine, unless they should be geofences: those need a point or a polygon
    feature 22: note part_skipped: 1 deleted row is left out — fine, unless they should be geofences: those need a point or a polygon
    feature 1: warning id_from_name: there is no id; the name stands for it (5 more like it) — add `externalId`: with a new name it would be a new geofence
    feature 4: warning duplicate_geometry: this is where feature 3 is, with the same shape and tag — leave one of them out: a customer there would be in both
    feature 5: warning overlap: this overlaps feature 3, which has the same tag (1 more like it) — nothing to do, if that is meant: a customer may be in both, and a campaign for the tag sees two entries
    "#);
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
        assert_eq!(Value::Object(geofence.metadata.clone()), metadata);
        assert!(matches!(geofence.shape, Shape::Circle { radius_m, .. } if radius_m == 150.5));
        assert!(
            findings(&reading).contains("1 columns of the .dbf"),
            "{}",
            findings(&reading)
        );
    }
}

#[test]
fn what_is_no_whole_shapefile_is_refused() {
    let good = shp(&[point(1.0, 2.0), point(3.0, 4.0)]);
    let table = names(&["a", "b"]);
    let changed = |bytes: &[u8], at: usize, with: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    let claim = 0x7fff_ffff_i32;
    let cases = [
        ("two", zip(&[("a.shp", &good), ("x/b.shp", &good)])),
        ("no shp", zip(&[("a.dbf", &table)])),
        ("empty shp", zip(&[("a.shp", b"")])),
        ("wrong code", zip(&[("a.shp", &changed(&good, 0, &[1]))])),
        ("cut off in a record", zip(&[("a.shp", &good[..good.len() - 4])])),
        ("cut off after a record", zip(&[("a.shp", &good[..good.len() - 28])])),
        (
            "header claims 4 GB",
            zip(&[("a.shp", &changed(&good, 24, &claim.to_be_bytes()))]),
        ),
        (
            "header claims less",
            zip(&[("a.shp", &changed(&good, 24, &64_i32.to_be_bytes()))]),
        ),
        (
            "record claims 4 GB",
            zip(&[("a.shp", &changed(&good, 104, &claim.to_be_bytes()))]),
        ),
        ("no dbf", zip(&[("a.shp", &good)])),
        ("empty dbf", zip(&[("a.shp", &good), ("a.dbf", b"")])),
        (
            "dbf cut off",
            zip(&[("a.shp", &good), ("a.dbf", &table[..table.len() - 9])]),
        ),
        (
            "dbf rows too short",
            zip(&[("a.shp", &good), ("a.dbf", &changed(&table, 10, &[3, 0]))]),
        ),
        (
            "dbf header too long",
            zip(&[("a.shp", &good), ("a.dbf", &changed(&table, 8, &[255, 255]))]),
        ),
        (
            "dbf claims 4 billion rows",
            zip(&[("a.shp", &good), ("a.dbf", &changed(&table, 4, &[255; 4]))]),
        ),
        (
            "a row more",
            zip(&[("a.shp", &good), ("a.dbf", &names(&["a", "b", "c"]))]),
        ),
        ("a row less", zip(&[("a.shp", &good), ("a.dbf", &names(&["a"]))])),
    ];
    let verdicts = cases.map(
        |(name, bytes)| match read(&bytes, Format::Shapefile, &with_radius(100.0)) {
            Ok(reading) => format!("{name}: {:?}\n{}", ids(&reading), findings(&reading)),
            Err(error) => format!("{name}: {error}"),
        },
    );
    assert_snapshot!(verdicts.join("\n"), @r#"
    two: the zip file has several shapefiles in it: `a.shp`, `x/b.shp`; upload each in a zip of its own
    no shp: the zip file has no shapefile (.shp) in it; it has `a.dbf`
    empty shp: the shapefile can't be read: the .shp does not begin as one
    wrong code: the shapefile can't be read: the .shp does not begin as one
    cut off in a record: the shapefile can't be read: the .shp ends within record 2
    cut off after a record: []
    feature 1: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    warning attributes_missing: the archive has no .dbf file of the same name, so that nothing has an id or a name — put the .dbf into the zip file
    warning lengths_disagree: the .shp ends after 128 bytes, its header says 156 — the file may be cut off or damaged; export it again
    header claims 4 GB: []
    feature 1: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    feature 2: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    warning attributes_missing: the archive has no .dbf file of the same name, so that nothing has an id or a name — put the .dbf into the zip file
    warning lengths_disagree: the .shp ends after 156 bytes, its header says 4294967294 — the file may be cut off or damaged; export it again
    header claims less: []
    feature 1: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    warning attributes_missing: the archive has no .dbf file of the same name, so that nothing has an id or a name — put the .dbf into the zip file
    warning lengths_disagree: the .shp goes on for 28 bytes after the end that its header names — the file may be cut off or damaged; export it again
    record claims 4 GB: the shapefile can't be read: the .shp ends within record 1
    no dbf: []
    feature 1: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    feature 2: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    warning attributes_missing: the archive has no .dbf file of the same name, so that nothing has an id or a name — put the .dbf into the zip file
    empty dbf: the shapefile can't be read: the .dbf ends within its header
    dbf cut off: the shapefile can't be read: the .dbf ends within a row
    dbf rows too short: the shapefile can't be read: the .dbf has fields that are longer than its rows
    dbf header too long: the shapefile can't be read: the .dbf ends within its header
    dbf claims 4 billion rows: ["stands/a", "stands/b"]
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    feature 1: warning id_from_name: there is no id; the name stands for it (1 more like it) — add `externalId`: with a new name it would be a new geofence
    a row more: ["stands/a", "stands/b"]
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    warning lengths_disagree: the .shp has 2 records and the .dbf 3 rows — the file may be cut off or damaged; export it again
    feature 1: warning id_from_name: there is no id; the name stands for it (1 more like it) — add `externalId`: with a new name it would be a new geofence
    a row less: ["stands/a"]
    feature 2: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    warning lengths_disagree: the .shp has 2 records and the .dbf 1 rows — the file may be cut off or damaged; export it again
    feature 1: warning id_from_name: there is no id; the name stands for it — add `externalId`: with a new name it would be a new geofence
    "#);
}

#[test]
fn shapefiles_of_others_get_a_verdict() {
    let Some(folder) = data("nasty/shapefiles-pyshp") else {
        return;
    };
    let file = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let cases = [
        ("REL.zip", file("REL.zip")),
        ("blockgroups.zip", file("blockgroups.zip")),
        ("empty_zipfile.zip", file("empty_zipfile.zip")),
        ("latin1.shp", file("latin1.shp")),
        (
            "latin1",
            zip(&[("a.shp", &file("latin1.shp")), ("a.dbf", &file("latin1.dbf"))]),
        ),
        (
            "corrupt_too_long",
            zip(&[
                ("a.shp", &file("corrupt_too_long.shp")),
                ("a.dbf", &file("corrupt_too_long.dbf")),
            ]),
        ),
    ];
    let verdicts = cases.map(
        |(name, bytes)| match read(&bytes, Format::Shapefile, &with_radius(100.0)) {
            Ok(reading) => {
                let found = findings(&reading);
                let some: Vec<&str> = found.lines().filter(|line| !line.contains("error")).collect();
                let first = found.lines().next().unwrap_or_default();
                format!(
                    "{name}: {} of {} accepted\n{first}\n{}",
                    reading.accepted,
                    reading.read,
                    some.join("\n")
                )
            }
            Err(error) => format!("{name}: {error}"),
        },
    );
    assert_snapshot!(verdicts.join("\n"), @r"
    REL.zip: 1 of 1 accepted
    note reprojected: coordinates were converted from `MGI_Austria_Lambert` to WGS84 — they are good to a few metres; save the file in WGS84 (EPSG:4326) if you need better
    note reprojected: coordinates were converted from `MGI_Austria_Lambert` to WGS84 — they are good to a few metres; save the file in WGS84 (EPSG:4326) if you need better
    blockgroups.zip: 0 of 663 accepted
    feature 1: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    empty_zipfile.zip: the zip file has no shapefile (.shp) in it; it has `dummyfile.txt`
    latin1.shp: a .shp file alone has no names and no coordinate system; upload a zip file with the .dbf and .prj beside it
    latin1: 1 of 1 accepted
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    note encoding_guessed: the .dbf is not UTF-8 and names no encoding that is known here; it was read as Windows-1252 — check the accents, or put a .cpg file that says UTF-8 into the zip file
    corrupt_too_long: the shapefile can't be read: the .shp ends within record 11
    ");
}

#[test]
fn files_are_broken_in_every_way() {
    let shp = shp(&[
        polygon(5, &[square(0.0, 0.0, 9.0), turned(square(1.0, 1.0, 1.0))]),
        point(1.0, 2.0),
    ]);
    let table = dbf(
        &[("ID", b'N', 3), ("NAME", b'C', 4)],
        &[
            vec!["1".to_owned(), "a".to_owned()],
            vec!["2".to_owned(), "é".to_owned()],
        ],
    );
    // Stored, so that what is broken is not only the packing.
    let stored = |name, content| {
        let mut packed = Packed::new(name, content);
        packed.is_deflated = false;
        packed
    };
    let sample = zip_of(&[
        stored("a.shp", &shp),
        stored("a.dbf", &table),
        stored("a.prj", LONG_ISLAND.as_bytes()),
    ]);
    fuzz::every_beginning(Format::Zip, &sample);
    fuzz::broken_copies(Format::Shapefile, &sample);
    fuzz::broken_parts(&shp, |shp| {
        fuzz::verdict(Format::Zip, &zip(&[("a.shp", shp), ("a.dbf", &table)]));
    });
    fuzz::broken_parts(&table, |table| {
        fuzz::verdict(Format::Zip, &zip(&[("a.shp", &shp), ("a.dbf", table)]));
    });
    fuzz::broken_parts(LONG_ISLAND.as_bytes(), |prj| {
        fuzz::verdict(Format::Zip, &zip(&[("a.shp", &shp), ("a.dbf", &table), ("a.prj", prj)]));
    });
}
