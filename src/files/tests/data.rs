//! Real files.

use insta::assert_snapshot;

use super::{ReadFile, data, findings, options, read, with_radius};
use crate::{
    files::{FindingCode, Format, FormatHints, ReadOptions, Severity},
    geo::Shape,
};

/// Reads a file of the data folder as an upload would be; `None` when it is absent.
fn upload(name: &str, options: &ReadOptions) -> Option<ReadFile> {
    let folder = if name.contains('/') { "" } else { "geofences/" };
    let bytes = std::fs::read(data(&format!("{folder}{name}"))?).unwrap();
    let hints = FormatHints {
        file_name: Some(name),
        ..FormatHints::default()
    };
    let format = Format::detect(hints, &bytes).unwrap();
    Some(read(bytes.as_slice(), format, options).unwrap())
}

fn counts(reading: &ReadFile) -> (u64, usize, u64) {
    (reading.read, reading.geofences.len(), reading.rejected)
}

#[test]
fn the_stands_of_porto() {
    let Some(reading) = upload("porto_taxi_stands.csv", &with_radius(100.0)) else {
        return;
    };
    assert_eq!(counts(&reading), (63, 62, 1));
    assert_snapshot!(findings(&reading), @r"
    line 42: error column_missing: the row has 3 of 4 fields; `Longitude` is missing — a comma seems to be missing inside `41.163066654-8.67598304213`
    line 60: warning overlap: this overlaps feature 7 in line 8, which has the same tag (14 more like it) — nothing to do, if that is meant: a customer may be in both, and a campaign for the tag sees two entries
    line 2: note precision_needless: a coordinate has more than seven decimals, and the seventh is a centimetre (61 more like it) — nothing to do; rounded to seven decimals the file would be smaller
    ");
}

#[test]
fn files_come_to_what_is_known_of_them() {
    let mut wrong = Vec::new();
    for (name, radius, expected) in [
        ("gnis_alaska_101.csv", Some(100.0), (101, 101, 0)),
        ("hangzhou_mall1_B1.geojson", None, (712, 712, 0)),
        ("hangzhou_mall1_F1.geojson", None, (173, 173, 0)),
        ("hangzhou_mall1_F2.geojson", None, (139, 139, 0)),
        ("hangzhou_mall1_F3.geojson", None, (143, 143, 0)),
        ("hangzhou_mall1_F4.geojson", None, (124, 124, 0)),
        ("helsinki_centre_pois.geojson", None, (1112, 22, 1090)),
        ("helsinki_centre_pois.geojson", Some(100.0), (1112, 1112, 0)),
        ("ne_10m_airports.geojson", Some(2000.0), (891, 888, 3)),
        ("ne_10m_time_zones.geojson", None, (120, 37, 83)),
        ("ne_110m_countries.geojson", None, (177, 177, 0)),
        ("ory_paris_orly_airport.geojson", Some(100.0), (647, 314, 333)),
        ("ourairports_airports.csv.gz", Some(500.0), (73623, 73623, 0)),
        ("sf_businesses_latin1.csv", Some(100.0), (6359, 3332, 3027)),
        ("sf_mobile_food_permits.csv", Some(100.0), (629, 629, 0)),
        ("sf_neighborhoods.geojson", None, (37, 37, 0)),
        ("sf_starbucks_peets.csv", Some(100.0), (88, 88, 0)),
        ("sfo_airport_current.geojson", Some(30.0), (366, 366, 0)),
        ("sfo_wayfinding_waypoints.geojson", Some(30.0), (336, 336, 0)),
        ("us_airports_vega.csv", Some(2000.0), (3376, 3376, 0)),
        ("us_zip_dc.geojson", None, (53, 0, 53)),
        ("zrh_zurich_airport.geojson", Some(100.0), (909, 399, 510)),
        ("zurich_quarters.geojson", None, (34, 34, 0)),
        ("gnis_alaska_101.kml", Some(100.0), (101, 101, 0)),
        ("google_kml_samples.kml", Some(100.0), (13, 13, 0)),
        ("london_cycle_hire.kml", Some(100.0), (795, 795, 0)),
        ("waypoints_wpt.gpx", Some(100.0), (40, 40, 0)),
        ("trajectories/blue_hills_ride.gpx", Some(100.0), (46, 45, 1)),
        ("trajectories/garmin_activity.gpx", Some(100.0), (0, 0, 0)),
        ("trajectories/korita_zbevnica.gpx", Some(100.0), (2, 2, 0)),
        ("nl_zones.wkt", None, (1, 1, 0)),
        ("nyc_taxi_zones_shapefile.zip", None, (263, 260, 3)),
    ] {
        let mut options = options();
        options.default_radius_m = radius;
        if let Some(reading) = upload(name, &options)
            && counts(&reading) != expected
        {
            wrong.push(format!("{name}: {:?}\n{}", counts(&reading), findings(&reading)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_owner_says_what_the_id_is() {
    for (name, id, expected) in [
        ("us_zip_dc.geojson", "ZCTA5CE10", (53, 53, 0)),
        ("us_zip_dc.geojson", "zip", (53, 0, 53)),
        ("nyc_taxi_zones_shapefile.zip", "objectid", (263, 263, 0)),
    ] {
        let options = ReadOptions {
            id_field: Some(id.to_owned()),
            ..with_radius(100.0)
        };
        if let Some(reading) = upload(name, &options) {
            assert_eq!(counts(&reading), expected, "{name} {}", findings(&reading));
        }
    }
}

/// The warnings and notes of a file.
fn remarks(name: &str, radius_m: f64) -> Option<String> {
    let reading = upload(name, &with_radius(radius_m))?;
    let remarks = reading
        .findings
        .iter()
        .filter(|finding| finding.severity != Severity::Error);
    let lines: Vec<String> = remarks
        .map(|finding| format!("{}: {}", finding.code.as_str(), finding.detail))
        .collect();
    Some(lines.join("\n"))
}

#[test]
fn real_files_hardly_raise_alarms() {
    let names = [
        "gnis_alaska_101.csv",
        "hangzhou_mall1_F1.geojson",
        "helsinki_centre_pois.geojson",
        "ne_10m_airports.geojson",
        "ne_10m_time_zones.geojson",
        "ne_110m_countries.geojson",
        "porto_taxi_stands.csv",
        "sf_businesses_latin1.csv",
        "sf_mobile_food_permits.csv",
        "sf_neighborhoods.geojson",
        "sfo_airport_current.geojson",
        "us_airports_vega.csv",
        "zrh_zurich_airport.geojson",
        "zurich_quarters.geojson",
    ];
    let Some(remarks): Option<Vec<String>> = names
        .iter()
        .map(|name| remarks(name, 100.0).map(|remarks| format!("{name}\n{remarks}")))
        .collect()
    else {
        return;
    };
    assert_snapshot!(remarks.join("\n\n"), @r"
    gnis_alaska_101.csv
    duplicate_geometry: this is where feature 6 in line 7 is, with the same shape and tag
    overlap: this overlaps feature 28 in line 29, which has the same tag (1 more like it)

    hangzhou_mall1_F1.geojson
    overlap: this overlaps feature 1 in line 1, which has the same tag (172 more like it)
    precision_needless: a coordinate has more than seven decimals, and the seventh is a centimetre (172 more like it)

    helsinki_centre_pois.geojson
    overlap: this overlaps feature 1 in line 1, which has the same tag (1110 more like it)

    ne_10m_airports.geojson
    id_from_name: there is no id; the name stands for it (887 more like it)
    precision_needless: a coordinate has more than seven decimals, and the seventh is a centimetre (863 more like it)

    ne_10m_time_zones.geojson
    ring_outside_world: the ring overshoots the pole, at latitude 90.00020582366386; it was moved back
    precision_needless: a coordinate has more than seven decimals, and the seventh is a centimetre (36 more like it)

    ne_110m_countries.geojson
    ring_self_intersects: the outline crosses itself near longitude 33.963393, latitude 9.464285
    id_from_name: there is no id; the name stands for it (176 more like it)
    precision_needless: a coordinate has more than seven decimals, and the seventh is a centimetre (172 more like it)

    porto_taxi_stands.csv
    overlap: this overlaps feature 7 in line 8, which has the same tag (14 more like it)
    precision_needless: a coordinate has more than seven decimals, and the seventh is a centimetre (61 more like it)

    sf_businesses_latin1.csv
    duplicate_geometry: this is where feature 2 in line 3 is, with the same shape and tag (529 more like it)
    overlap: this overlaps feature 1 in line 2, which has the same tag (2667 more like it)
    encoding_guessed: the file is not UTF-8; it was read as Windows-1252
    findings_capped: more errors are left out: 2027 geometry_missing

    sf_mobile_food_permits.csv
    duplicate_geometry: this is where feature 26 in line 27 is, with the same shape and tag (83 more like it)
    overlap: this overlaps feature 1 in line 2, which has the same tag (427 more like it)
    precision_needless: a coordinate has more than seven decimals, and the seventh is a centimetre (580 more like it)
    null_island: latitude and longitude are both 0, a place in the Atlantic (47 more like it)

    sf_neighborhoods.geojson
    ring_touches_itself: the outline touches itself near longitude -122.446780, latitude 37.805405 (2 more like it)
    id_from_name: there is no id; the name stands for it (36 more like it)

    sfo_airport_current.geojson
    duplicate_geometry: this is where feature 26 in line 1 is, with the same shape and tag (2 more like it)
    overlap: this overlaps feature 1 in line 1, which has the same tag (359 more like it)
    precision_needless: a coordinate has more than seven decimals, and the seventh is a centimetre (354 more like it)

    us_airports_vega.csv
    overlap: this overlaps feature 1137 in line 1138, which has the same tag (5 more like it)
    precision_needless: a coordinate has more than seven decimals, and the seventh is a centimetre (3206 more like it)

    zrh_zurich_airport.geojson
    overlap: this overlaps feature 1 in line 1, which has the same tag (381 more like it)

    zurich_quarters.geojson
    ring_self_intersects: the outline crosses itself near longitude 8.537750, latitude 47.406429 (6 more like it)
    id_from_name: there is no id; the name stands for it (33 more like it)
    ");
}

#[test]
fn the_airports_of_the_world_have_no_header() {
    let Some(path) = data("geofences/openflights_airports.dat") else {
        return;
    };
    let bytes = std::fs::read(path).unwrap();
    let mut options = with_radius(2000.0);
    let error = super::read(&bytes, Format::Csv, &options).unwrap_err();
    assert_snapshot!(error, @"line 1: the columns have no names: the first line seems to be data, `1`, `Goroka Airport`, `Goroka`, `Papua New Guinea`, `GKA`, `AYGA`, `-6.081689834590001`, `145.391998291` and 6 more; put a line such as `id,name,latitude,longitude` before it, or name all 14 columns with `columns=`");
    let columns = "id,name,city,country,iata,icao,lat,lon,alt,tz,dst,tzname,type,source";
    options.columns = Some(columns.split(',').map(str::to_owned).collect());
    let reading = read(&bytes, Format::Csv, &options).unwrap();
    assert_eq!(counts(&reading), (7698, 7698, 0), "{}", findings(&reading));
    assert!(!findings(&reading).contains("swapped"));
}

#[test]
fn an_airport_in_pieces_is_one_geofence() {
    let Some(reading) = upload("sfo_airport_current.geojson", &with_radius(100.0)) else {
        return;
    };
    let Shape::Polygons(polygons) = &reading.geofences[238].shape else {
        panic!("no polygons");
    };
    assert!(polygons.coordinates().len() > 1);
}

#[test]
fn null_island_is_seen() {
    let Some(reading) = upload("sf_mobile_food_permits.csv", &with_radius(100.0)) else {
        return;
    };
    let mut on_island = reading
        .findings
        .iter()
        .filter(|finding| finding.code == FindingCode::NullIsland);
    assert!(
        on_island
            .next()
            .is_some_and(|finding| finding.detail.ends_with("(47 more like it)"))
    );
    assert_eq!(on_island.count(), 0);
}
