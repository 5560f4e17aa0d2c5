//! Real files.

use insta::assert_snapshot;

use super::{ReadFile, data, findings, options, read, with_radius};
use crate::files::{FindingCode, Format, FormatHints, ReadOptions};

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
    assert_snapshot!(findings(&reading), @"line 42: error column_missing: the row has 3 of 4 fields; `Longitude` is missing — a comma seems to be missing inside `41.163066654-8.67598304213`");
}

#[test]
fn files_come_to_what_is_known_of_them() {
    for (name, radius, expected) in [
        ("helsinki_centre_pois.geojson", Some(100.0), (1112, 1112, 0)),
        ("helsinki_centre_pois.geojson", None, (1112, 22, 1090)),
        ("sfo_airport_current.geojson", Some(30.0), (366, 365, 1)),
        ("zurich_quarters.geojson", None, (34, 34, 0)),
        ("sf_neighborhoods.geojson", None, (37, 37, 0)),
        ("us_zip_dc.geojson", None, (53, 0, 53)),
        ("us_airports_vega.csv", Some(2000.0), (3376, 3376, 0)),
        ("sf_starbucks_peets.csv", Some(100.0), (88, 88, 0)),
        ("sf_businesses_latin1.csv", Some(100.0), (6359, 3332, 3027)),
        ("sf_mobile_food_permits.csv", Some(100.0), (629, 629, 0)),
        ("gnis_alaska_101.csv", Some(100.0), (101, 101, 0)),
        ("ne_110m_countries.geojson", None, (177, 177, 0)),
        ("ory_paris_orly_airport.geojson", Some(100.0), (647, 314, 333)),
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
        if let Some(reading) = upload(name, &options) {
            assert_eq!(counts(&reading), expected, "{name}\n{}", findings(&reading));
        }
    }
}

#[test]
fn an_unsupported_geometry_is_named() {
    let Some(reading) = upload("sfo_airport_current.geojson", &with_radius(100.0)) else {
        return;
    };
    let errors: Vec<String> = reading.findings.iter().map(ToString::to_string).collect();
    assert_snapshot!(errors.join("\n"), @"line 1: error geometry_unsupported: a collection can't be a geofence (at /features/238/geometry) — use a point with a radius, a polygon or a multipolygon");
}

#[test]
fn null_island_is_seen() {
    let Some(reading) = upload("sf_mobile_food_permits.csv", &with_radius(100.0)) else {
        return;
    };
    let on_island = reading
        .findings
        .iter()
        .filter(|finding| finding.code == FindingCode::NullIsland);
    assert_eq!(on_island.count(), 48);
}
