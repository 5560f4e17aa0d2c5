//! Every file of other projects' torture chambers gets a verdict.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{data, read, with_radius};
use crate::files::{Format, Limits, ReadOptions};

/// Each file is read as each of them, whatever it is.
const FORMATS: [Format; 6] = [
    Format::GeoJson,
    Format::Csv,
    Format::Kml,
    Format::Gpx,
    Format::Wkt,
    Format::Zip,
];

/// Far above what any of these files takes, even on a busy machine without optimisation.
const READING_TIME_MAX: Duration = Duration::from_secs(10);

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_under(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// Good geofences, findings, or the reason why nothing was read: never nothing at all, never a panic.
fn check(folder: &str, at_least: usize) {
    let Some(folder) = data(&format!("nasty/{folder}")) else {
        return;
    };
    let options = ReadOptions {
        limits: Limits {
            findings_max: 20,
            ..Limits::default()
        },
        ..with_radius(100.0)
    };
    let files = files_under(&folder);
    assert!(files.len() >= at_least, "{}", files.len());
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        for format in FORMATS {
            let began = Instant::now();
            match read(bytes.as_slice(), format, &options) {
                Ok(reading) => {
                    let has_verdict = !reading.findings.is_empty() || !reading.geofences.is_empty();
                    assert!(has_verdict, "{}", path.display());
                    assert_eq!(reading.read, reading.geofences.len() as u64 + reading.rejected);
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
            assert!(began.elapsed() < READING_TIME_MAX, "{}", path.display());
        }
    }
}

#[test]
fn geojsonhint() {
    check("geojsonhint", 184);
}

#[test]
fn invalid_geometry() {
    check("invalid-geometry", 74);
}

#[test]
fn json_test_suite() {
    check("JSONTestSuite", 318);
}

#[test]
fn csv() {
    check("csv-libkml", 3);
    check("csv-spectrum", 22);
}

#[test]
fn antimeridian() {
    check("antimeridian", 127);
}

#[test]
fn all_the_others() {
    for (folder, at_least) in [
        ("earcut", 59),
        ("jts-pip", 12),
        ("kml-libkml", 10),
        ("kmz-libkml", 11),
        ("shapefiles-pyshp", 8),
        ("tg-relations", 2),
    ] {
        check(folder, at_least);
    }
    for file in ["dateline.json", "naughty-strings.json"] {
        let Some(path) = data(&format!("nasty/{file}")) else {
            return;
        };
        let bytes = std::fs::read(path).unwrap();
        assert!(read(&bytes, Format::GeoJson, &with_radius(100.0)).is_ok() == (file == "dateline.json"));
    }
}

/// The same with ids for what has none, so that the verdict is about the rest.
fn with_ids(bytes: Vec<u8>) -> Vec<u8> {
    let Ok(mut document) = serde_json::from_slice::<Value>(&bytes) else {
        return bytes;
    };
    let give = |(index, feature): (usize, &mut Value)| {
        if let Some(feature) = feature
            .as_object_mut()
            .filter(|feature| feature.contains_key("geometry"))
        {
            feature.entry("id").or_insert(index.into());
        }
    };
    if let Some(features) = document.get_mut("features").and_then(Value::as_array_mut) {
        features.iter_mut().enumerate().for_each(give);
    } else if document.get("coordinates").or(document.get("geometries")).is_some() {
        document = json!({"type": "Feature", "id": 0, "properties": {}, "geometry": document});
    } else {
        give((0, &mut document));
    }
    document.to_string().into_bytes()
}

/// Each file of a folder with what it came to: the errors' and warnings' codes, or why nothing was read.
fn verdicts(folder: &str) -> Option<String> {
    let folder = data(&format!("nasty/{folder}"))?;
    let mut lines: Vec<String> = files_under(&folder)
        .iter()
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "geojson" || extension == "json")
        })
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy();
            let bytes = with_ids(std::fs::read(path).unwrap());
            let verdict = match read(&bytes, Format::GeoJson, &with_radius(100.0)) {
                Ok(file) => {
                    let codes: BTreeSet<&str> = file.findings.iter().map(|finding| finding.code.as_str()).collect();
                    let codes: Vec<&str> = codes.into_iter().collect();
                    format!("{}/{} {}", file.accepted, file.read, codes.join(" "))
                }
                Err(error) => error.to_string(),
            };
            format!("{name}: {}", verdict.trim_end())
        })
        .collect();
    lines.sort();
    Some(lines.join("\n"))
}

#[test]
fn what_a_linter_calls_good_and_bad() {
    if let Some(good) = verdicts("geojsonhint/good") {
        assert_snapshot!(good, @r"
        good-feature-with-id: 1/1
        good-feature-with-string-id: 1/1
        good-feature: 1/1
        good-featurecollection-bbox3d: 2/2
        good-featurecollection-bbox: 2/2
        good-featurecollection-extensions: 2/3 geometry_unsupported
        good-featurecollection: 2/3 geometry_unsupported
        good-geometrycollection: 1/1 parts_left_out
        good-linestring: 0/1 geometry_unsupported
        good-multilinestring: 0/1 geometry_unsupported
        good-multipoint: 1/1
        good-point-3d: 1/1
        good-point: 1/1
        good-polygon: 1/1
        issue82: 0/1 ring_outside_world
        multipolygon: 1/1
        nullgeometry: 0/1 geometry_missing
        nullproperties: 1/1 null_island
        ");
    }
    if let Some(bad) = verdicts("geojsonhint/bad") {
        assert_snapshot!(bad, @r#"
        bad-duplicate-properties: 0/1 geometry_missing
        bad-featurelist: 0/1 coordinates_invalid
        bad-json: line 3, column 5: this is not JSON: expected `,` or `}`, found `"`
        bad-object-type: this is JSON but not GeoJSON: an object without a `type`; expected an object whose `type` is FeatureCollection, Feature or a geometry
        bad-polygon-interiorring-rhr: 1/1
        bad-polygonloop: 0/1 coordinates_invalid
        bad-properties-as-array: 0/1 feature_invalid
        badcoord: 1/1
        badcoordtype: 0/1 coordinates_invalid
        badfeature: 0/1 feature_invalid
        badfeatureid: 0/1 id_invalid
        bbox-4or6elements: 1/1
        bbox-contains-string: 1/1
        bbox-string: 1/1
        different-first-last: 1/1 ring_not_closed
        different-first-size: 1/1
        excessive_precision_truncated: 0/1 geometry_unsupported
        expected_object: 0/1 feature_invalid
        false: 0/1 geometry_unsupported
        feature_changed_semantics: 0/1 id_missing
        featurecollection-obj: this is JSON but not GeoJSON: a FeatureCollection without a list `features`; expected an object whose `type` is FeatureCollection, Feature or a geometry
        featurecollection-type-case: this is JSON but not GeoJSON: an object of type `featurecollection`; expected an object whose `type` is FeatureCollection, Feature or a geometry
        featurecollection: this is JSON but not GeoJSON: a FeatureCollection without a list `features`; expected an object whose `type` is FeatureCollection, Feature or a geometry
        featurecollection_changed_semantics: 2/3 geometry_unsupported
        geometry_changed_semantics: 0/1 id_missing
        geometrycollection_nested: 0/1 geometry_unsupported
        geometrycollection_single: 1/1
        multiple_problems: 1/4 coordinates_invalid feature_invalid
        multipoint-multidimension: 0/1 coordinates_invalid
        multipoint-nondimension: 0/1 coordinates_invalid
        nofeaturetype: 0/1 feature_invalid
        notype: this is JSON but not GeoJSON: an object without a `type`; expected an object whose `type` is FeatureCollection, Feature or a geometry
        point-labeled-as-a-multipolygon: 0/1 coordinates_invalid
        point-string: 0/1 coordinates_invalid
        point-toofew: 0/1 coordinates_invalid
        point-toomany: 1/1
        point: 0/1 coordinates_invalid
        polygon_winding_order: 1/1
        rootstring: this is JSON but not GeoJSON: null; expected an object whose `type` is FeatureCollection, Feature or a geometry
        short-line: 0/1 geometry_unsupported
        short-linearring: 1/1 ring_not_closed
        short-multilinestring: 0/1 geometry_unsupported
        stringcoord: 1/2 coordinates_invalid
        unknowntype: this is JSON but not GeoJSON: an object of type `FooBar`; expected an object whose `type` is FeatureCollection, Feature or a geometry
        "#);
    }
}

#[test]
fn what_is_catalogued_as_invalid() {
    if let Some(invalid) = verdicts("invalid-geometry") {
        assert_snapshot!(invalid, @r"
        invalid_exterior_not_ccw: 1/1
        invalid_feature_geometry_is_string: 0/1 geometry_unsupported
        invalid_feature_id_type: 0/1 id_invalid
        invalid_feature_no_properties: 1/1
        invalid_feature_properties_is_array: 0/1 feature_invalid
        invalid_feature_properties_is_int: 0/1 feature_invalid
        invalid_feature_wrong_geometry_key: 0/1 geometry_missing
        invalid_featurecollection_feature_nullfeature: 0/1 feature_invalid
        invalid_featurecollection_features_is_object: this is JSON but not GeoJSON: a FeatureCollection without a list `features`; expected an object whose `type` is FeatureCollection, Feature or a geometry
        invalid_featurecollection_no_features_member: this is JSON but not GeoJSON: a FeatureCollection without a list `features`; expected an object whose `type` is FeatureCollection, Feature or a geometry
        invalid_featurecollection_nulltype: this is JSON but not GeoJSON: an object without a `type`; expected an object whose `type` is FeatureCollection, Feature or a geometry
        invalid_featurecollection_type_lowercase: this is JSON but not GeoJSON: an object of type `featurecollection`; expected an object whose `type` is FeatureCollection, Feature or a geometry
        invalid_featurecollection_unknown_type: this is JSON but not GeoJSON: an object of type `notafc`; expected an object whose `type` is FeatureCollection, Feature or a geometry
        invalid_geometry_bbox_not4or6: 1/1
        invalid_geometry_bbox_not_list: 1/1
        invalid_geometry_bbox_not_numbers: 1/1
        invalid_geometry_coordinates_1d: 0/1 coordinates_invalid
        invalid_geometry_coordinates_empty_position: 0/1 coordinates_invalid
        invalid_geometry_coordinates_missing: 0/1 coordinates_invalid
        invalid_geometry_coordinates_string: 0/1 coordinates_invalid
        invalid_geometry_depth_deep_point: 0/1 coordinates_invalid
        invalid_geometry_depth_deep_polygon: 0/1 coordinates_invalid
        invalid_geometry_depth_shallow_linestring: 0/1 geometry_unsupported
        invalid_geometry_depth_shallow_multipolygon: 0/1 coordinates_invalid
        invalid_geometry_depth_shallow_polygon: 0/1 coordinates_invalid
        invalid_geometry_geometrycollection_null_geometry: 0/1 geometry_empty
        invalid_geometry_mislabeled_point: 0/1 coordinates_invalid
        invalid_geometry_missing_type: 0/1 geometry_unsupported
        invalid_geometry_wrong_geometry_type: 0/1 geometry_unsupported
        invalid_incorrect_geometry_data_type: 0/1 geometry_unsupported
        invalid_interior_not_cw: 1/1
        invalid_less_three_unique_nodes: 0/1 ring_too_short
        invalid_unclosed: 1/1 ring_not_closed
        problematic_3d_coordinates: 1/1
        problematic_4d_coordinates: 1/1
        problematic_crosses_antimeridian: 1/1 antimeridian_crossed
        problematic_crs_defined: 0/1 crs_ignored ring_outside_world
        problematic_duplicate_nodes: 1/1
        problematic_excessive_coordinate_precision: 1/1 precision_needless
        problematic_excessive_vertices: 1/1 precision_needless
        problematic_feature_null_geometry: 0/1 geometry_missing
        problematic_geometry_not_wrapped: 1/1
        problematic_geometrycollection_single: 1/1
        problematic_holes: 1/1
        problematic_inner_and_exterior_ring_intersect: 1/1 hole_outside ring_self_intersects
        problematic_multitype_geometry_with_just_one_geometry: 1/1
        problematic_nested_geometrycollection: 0/1 geometry_unsupported
        problematic_outside_lat_lon_boundaries: 1/1 ring_self_intersects
        problematic_self_intersection_large: 1/1 ring_self_intersects
        problematic_self_intersection_small: 1/1 ring_self_intersects
        problematic_wrong_bbox_coordinate_order: 1/1
        problematic_zero_length_linestring: 0/1 geometry_unsupported
        valid_feature: 1/1
        valid_feature_null_geometry: 0/1 geometry_missing
        valid_feature_null_properties: 1/1
        valid_feature_with_bbox: 0/1 geometry_unsupported
        valid_feature_with_id: 1/1
        valid_feature_with_string_id: 1/1
        valid_featurecollection: 1/1
        valid_featurecollection_bboxes: 2/2 precision_needless
        valid_featurecollection_empty_features: 0/0 nothing_found
        valid_featurecollection_multiple_feature_types: 3/4 geometry_unsupported precision_needless
        valid_featurecollection_with_geometrycollection: 1/1 parts_left_out
        valid_geometry: 1/1
        valid_geometry_3d_coordinates: 1/1
        valid_geometry_bbox: 1/1
        valid_geometry_geometrycollection: 1/1 parts_left_out
        valid_geometry_geometrycollection_empty_geometries: 0/1 geometry_empty
        valid_geometry_linestring: 0/1 geometry_unsupported
        valid_geometry_multilinestring: 0/1 geometry_unsupported
        valid_geometry_multipoint: 0/1 geometry_unsupported
        valid_geometry_multipolygon: 1/1
        valid_geometry_point: 1/1
        valid_geometry_polygon: 1/1
        ");
    }
}
