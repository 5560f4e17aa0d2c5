use insta::{assert_json_snapshot, assert_snapshot};

use super::{ReadFile, findings, ids, options, read_text, with_radius};
use crate::{
    domain::{operating_hours::OperatingHours, time::DurationMs},
    files::{FileError, Format, ReadOptions},
};

fn geojson(text: &str, options: &ReadOptions) -> ReadFile {
    read_text(Format::GeoJson, text, options).unwrap()
}

fn collection(features: &[&str]) -> String {
    format!(
        r#"{{"type": "FeatureCollection", "features": [{}]}}"#,
        features.join(",\n")
    )
}

fn feature(id: &str, properties: &str, geometry: &str) -> String {
    format!(r#"{{"type": "Feature", "id": {id}, "properties": {{{properties}}}, "geometry": {geometry}}}"#)
}

const POINT: &str = r#"{"type": "Point", "coordinates": [8.5, 47.3, 400]}"#;

#[test]
fn a_point_with_a_radius_is_a_circle() {
    let properties = r#""radius": "120", "tag": "cafe", "name": "Löwen", "title": "x", "floor": 2, "open": true,
        "lat": 1, "nothing": null, "list": [1], "metadata": {"roof": [1, 2]}, "metadata.door": "b", "codes": ["q", 7],
        "beacons": [{"type": "eddystone", "namespace": "00112233445566778899", "instance": "aabbccddeeff"}]"#;
    let reading = geojson(&collection(&[&feature("17", properties, POINT)]), &options());
    assert_eq!(findings(&reading), "");
    assert_json_snapshot!(reading.geofences[0], @r#"
    {
      "tag": "cafe",
      "externalId": "17",
      "set": "stands",
      "description": "Löwen",
      "shape": {
        "type": "Circle",
        "center": {
          "latitude": 47.3,
          "longitude": 8.5
        },
        "radius": 120.0
      },
      "beacons": [
        {
          "type": "eddystone",
          "namespace": "00112233445566778899",
          "instance": "aabbccddeeff"
        }
      ],
      "codes": [
        "q",
        "7"
      ],
      "metadata": {
        "door": "b",
        "floor": 2,
        "lat": 1,
        "open": true,
        "roof": [
          1,
          2
        ],
        "title": "x"
      }
    }
    "#);
}

#[test]
fn the_id_is_the_propertys_or_the_features() {
    let with = |properties: &str| feature("\"f\"", properties, POINT);
    let text = collection(&[
        &with(r#""externalId": "a", "id": "b", "uuid": "c""#),
        &with(r#""id": 12, "uuid": "c""#),
        &with(r#""uuid": "c""#),
    ]);
    let reading = geojson(&text, &with_radius(100.0));
    assert_eq!(ids(&reading), ["stands/a", "stands/12", "stands/f"]);
    assert_eq!(reading.geofences[0].metadata.to_map()["id"], "b");
}

#[test]
fn each_broken_feature_is_named_and_the_others_are_kept() {
    let polygon = |id: &str, ring: &str| {
        feature(
            id,
            "",
            &format!(r#"{{"type": "Polygon", "coordinates": [[[0,0],[9,0],[0,9],[0,0]], {ring}]}}"#),
        )
    };
    let features = [
        feature(
            "1",
            "",
            r#"{"type": "Polygon", "coordinates": [[[0,0],[9,0],[0,9],[0,0]]]}"#,
        ),
        polygon("2", "[[1,1],[2,1],[1,2],[1,1.5]]"),
        polygon("3", "[[1,1],[2,1],[1,1]]"),
        polygon("4", "[[1,1],[47,120],[1,2],[1,1]]"),
        polygon("5", "[[1,1],[2,\"x\"],[1,2],[1,1]]"),
        polygon("6", "7"),
        feature("7", "", r#"{"type": "LineString", "coordinates": [[1,1],[2,2]]}"#),
        feature("8", "", r#"{"type": "point", "coordinates": [1,1]}"#),
        feature("9", "", "null"),
        feature("10", "", POINT),
        feature("11", r#""radius": "wide""#, POINT),
        feature("12", r#""radius": 1e308"#, POINT),
        feature("13", r#""radius": 1e999"#, POINT),
        feature(
            "14",
            r#""radius": 100"#,
            r#"{"type": "Point", "coordinates": [47.3, 120.1]}"#,
        ),
        feature("15", r#""radius": 100, "a/b": 1, "enabled": "?""#, POINT),
        feature("[]", r#""radius": 100"#, POINT),
        "[1]".to_owned(),
        r#"{"type": "Point", "coordinates": [8.5, 47.3]}"#.to_owned(),
        r#"{"type": "Feature", "properties": [], "geometry": null}"#.to_owned(),
        feature("1", r#""radius": 100"#, POINT),
        feature(
            "20",
            r#""radius": 100"#,
            &format!("{}1{}", "[".repeat(5000), "]".repeat(5000)),
        ),
        feature(
            "21",
            "",
            r#"{"type": "MultiPolygon", "coordinates": [[[[0,0],[9,0],[0,9],[0,0]]], [[[0,0],[1,1],[2,2],[0,0]]], []]}"#,
        ),
        feature("22", r#""radius": 100"#, POINT),
    ];
    let features: Vec<&str> = features.iter().map(String::as_str).collect();
    let reading = geojson(&collection(&features), &options());
    assert_eq!((reading.read, reading.rejected), (23, 20));
    assert_eq!(ids(&reading), ["stands/1", "stands/2", "stands/22"]);
    assert_snapshot!(findings(&reading), @r#"
    line 3: error ring_too_short: the ring has 3 vertices, a closed ring needs at least 4 (at /features/2/geometry/coordinates/1) — give at least three corners, and the first one again at the end
    line 4: error ring_outside_world: the ring has vertex 1 outside the world, at longitude 47.0, latitude 120.0 (at /features/3/geometry/coordinates/1/1) — latitude and longitude seem to be swapped
    line 5: error coordinates_invalid: here is `[2,"x"]` instead of a position, which is [longitude, latitude] (at /features/4/geometry/coordinates/1/1) — check how deep the coordinates are nested for this type
    line 6: error coordinates_invalid: here is `7` instead of a ring, which is a list of positions (at /features/5/geometry/coordinates/1) — check how deep the coordinates are nested for this type
    line 7: error geometry_unsupported: a line can't be a geofence (at /features/6/geometry) — use a point with a radius, a polygon or a multipolygon
    line 8: error geometry_unsupported: `point` is no geometry type (at /features/7/geometry/type) — use a Point with a radius, a Polygon or a MultiPolygon; capitals count
    line 9: error geometry_missing: there is no geometry (at /features/8/geometry) — draw a point or polygon for it, or leave it out
    line 10: error radius_missing: a point needs a radius, and there is none (at /features/9/properties) — add a column or property `radius` in metres, or pass a radius for all with `radius=`
    line 11: error number_unreadable: the radius is not a number: `wide` (at /features/10/properties/radius) — give metres
    line 12: error radius_invalid: radius 1e308 m is above the limit of 1000000 m (at /features/11/properties/radius) — give metres, above 0 and at most 1,000,000
    line 13: error row_unreadable: this can't be parsed: number out of range (at /features/12) — mend the JSON here
    line 14: error latitude_out_of_range: latitude 120.1 is not in -90 to 90 (at /features/13/geometry/coordinates) — latitude and longitude seem to be swapped
    line 15: error enabled_invalid: `enabled` is neither true nor false: `?` (at /features/14/properties/enabled) — write true or false, or leave it out
    line 16: error id_invalid: the id is neither a text nor a number: `[]` (at /features/15/id) — give a text of 1 to 200 bytes, or a number
    line 17: error feature_invalid: this is no GeoJSON feature: it is no object (at /features/16) — write {"type": "Feature", "geometry": {...}, "properties": {...}}
    line 18: error radius_missing: a point needs a radius, and there is none (at /features/17/properties) — add a column or property `radius` in metres, or pass a radius for all with `radius=`
    line 19: error feature_invalid: this is no GeoJSON feature: its `properties` is no object (at /features/18/properties) — write {"type": "Feature", "geometry": {...}, "properties": {...}}
    line 20: error duplicate_identity: `stands/1` appears again, first as feature 1 (at /features/19) — the first one is kept; give each geofence an id of its own
    line 21: error row_unreadable: this can't be parsed: recursion limit exceeded (at /features/20) — mend the JSON here
    line 22: error ring_without_area: the ring encloses no area (at /features/21/geometry/coordinates/1/0) — draw it again: all its corners lie on one line
    line 2: warning ring_not_closed: the ring begins at [1.0, 1.0] and ends at [1.0, 1.5]; it was closed (at /features/1/geometry/coordinates/1) — check its last side, and repeat the first position at the end of the ring
    line 2: warning overlap: this overlaps feature 1 in line 1, which has the same tag (1 more like it) — nothing to do, if that is meant: a customer may be in both, and a campaign for the tag sees two entries
    "#);
}

#[test]
fn one_feature_or_geometry_is_a_file() {
    let reading = geojson(&feature("1", "", POINT), &with_radius(100.0));
    assert_eq!(ids(&reading), ["stands/1"]);
    let reading = geojson(POINT, &with_radius(100.0));
    assert_snapshot!(findings(&reading), @"line 1: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads");
}

#[test]
fn a_feature_that_is_too_long_is_not_parsed() {
    let mut options = with_radius(100.0);
    options.limits.feature_bytes_max = 120;
    let long = feature("1", &format!(r#""name": "{}""#, "x".repeat(120)), POINT);
    let reading = geojson(&collection(&[&long, &feature("2", "", POINT)]), &options);
    assert_eq!(ids(&reading), ["stands/2"]);
    assert_snapshot!(findings(&reading), @"line 1: error feature_too_long: the feature is 240 bytes long, the limit is 120 (at /features/0) — simplify the outline or shorten the properties");
}

#[test]
fn features_may_come_one_a_line() {
    let text = format!(
        "{}\n\n\u{1e}{}\n{{\"type\": \"Feature\", oops}}\n{{\"type\": \"Topology\"}}\n{}\r\n",
        feature("1", "", POINT),
        feature("2", "", POINT),
        feature("3", "", POINT)
    );
    let reading = geojson(&text, &with_radius(100.0));
    assert_eq!(ids(&reading), ["stands/1", "stands/2", "stands/3"]);
    assert_eq!((reading.read, reading.rejected), (5, 2));
    assert_snapshot!(findings(&reading), @r#"
    line 4: error row_unreadable: this can't be parsed: line 4, column 21: expected a name in double quotes, found `o` — mend the JSON here
    line 5: error feature_invalid: this is no GeoJSON feature: an object of type `Topology` — write {"type": "Feature", "geometry": {...}, "properties": {...}}
    line 3: warning duplicate_geometry: this is where feature 1 in line 1 is, with the same shape and tag (1 more like it) — leave one of them out: a customer there would be in both
    "#);
}

#[test]
fn a_foreign_coordinate_system_warns() {
    let crs = |name: &str| {
        let text = format!(
            r#"{{"type": "FeatureCollection", "crs": {{"type": "name", "properties": {{"name": "{name}"}}}}, "features": []}}"#
        );
        findings(&geojson(&text, &options()))
    };
    assert_snapshot!(crs("urn:ogc:def:crs:EPSG::2263"), @r#"
    warning crs_ignored: `crs` is ignored: `{"type": "name", "properties": {"name": "urn:ogc:def:crs:EPS…` (at /crs) — save the file in WGS84 longitude and latitude (EPSG:4326)
    warning nothing_found: the file holds no rows or features — an upload of it is refused while the set has geofences
    "#);
    assert!(!crs("urn:ogc:def:crs:OGC:1.3:CRS84").contains("crs_ignored"));
}

#[test]
fn what_is_no_geojson_is_refused_with_its_place() {
    let why = |text: &str| read_text(Format::GeoJson, text, &options()).unwrap_err();
    assert_snapshot!(why("{\"type\": \"FeatureCollection\",\n \"features\": [}"), @"line 2, column 15: this is not JSON: expected a value, found `}`");
    assert_snapshot!(why("[1, 2]"), @"this is JSON but not GeoJSON: a list; expected an object whose `type` is FeatureCollection, Feature or a geometry");
    assert_snapshot!(why(r#"{"type": "Topology", "objects": {}}"#), @"this is JSON but not GeoJSON: an object of type `Topology`; expected an object whose `type` is FeatureCollection, Feature or a geometry");
    assert_snapshot!(why(r#"{"type": "FeatureCollection", "features": {}}"#), @"this is JSON but not GeoJSON: a FeatureCollection without a list `features`; expected an object whose `type` is FeatureCollection, Feature or a geometry");
    assert!(matches!(why(&"[".repeat(100_000)), FileError::Json { .. }));
}

#[test]
fn times_to_stay_and_hours_are_read() {
    let properties = r#""radius": 100, "dwellThreshold": 600, "operatingHours": {"sat": [["22:00", "02:00"]]}, "opening_hours": "24/7""#;
    let reading = geojson(&collection(&[&feature("1", properties, POINT)]), &options());
    assert_eq!(findings(&reading), "");
    let fence = &reading.geofences[0];
    assert_eq!(fence.dwell_threshold, Some(DurationMs::from_secs(600)));
    assert_eq!(fence.operating_hours, OperatingHours::parse("Sa 22:00-02:00").ok());
    assert_eq!(fence.metadata.to_map()["opening_hours"], "24/7");
    let properties = r#""radius": 100, "dwellThreshold": true"#;
    let reading = geojson(&collection(&[&feature("1", properties, POINT)]), &options());
    assert_snapshot!(findings(&reading), @"line 1: error dwell_threshold_invalid: this is no time to stay: `true` (at /features/0/properties/dwellThreshold) — write seconds such as 600 or an ISO 8601 duration such as PT10M, above zero and at most 7 days");
}

#[test]
fn what_is_read_before_the_file_breaks_off_was_taken() {
    let whole = collection(&[&feature("1", "", POINT), &feature("2", "", POINT)]);
    let mut taken = 0;
    let error = crate::files::read(
        std::io::Cursor::new(&whole[..whole.len() - 10]),
        Format::GeoJson,
        &with_radius(100.0),
        &mut |_| {
            taken += 1;
            Ok(())
        },
    )
    .unwrap_err();
    assert_eq!(taken, 1);
    assert_snapshot!(error, @"line 2, column 103: this is not JSON: the file ends in the middle of a value");
}

#[test]
fn members_come_in_any_order() {
    let text = format!(
        r#"{{"foreign": {{"a": [1, "]}}"]}}, "features": [{}], "bbox": [1, 2, 3, 4], "type": "FeatureCollection"}}"#,
        feature("1", "", POINT)
    );
    let reading = geojson(&text, &with_radius(100.0));
    assert_eq!((findings(&reading).as_str(), reading.accepted), ("", 1));
    let why = |text: &str| read_text(Format::GeoJson, text, &with_radius(100.0)).unwrap_err();
    assert_snapshot!(why(&text.replace("FeatureCollection", "Topology")), @"this is JSON but not GeoJSON: an object of type `Topology`; expected an object whose `type` is FeatureCollection, Feature or a geometry");
    assert_snapshot!(why(&text.replace("\"bbox\"", "\"features\": [], \"bbox\"")), @"line 1, column 169: this is not JSON: `features` appears twice");
    assert_snapshot!(why(&text.replace(", \"bbox\"", ",\r\n bbox\"")), @"line 2, column 2: this is not JSON: expected a name in double quotes, found `b`");
}

#[test]
fn sequences_are_read() {
    let one = feature("1", "", POINT).replace(", ", ",\n ");
    let text = format!("\u{1e}{one}\n\u{1e}{{\"type\": \n\u{1e}{}\n", feature("3", "", POINT));
    let reading = geojson(&text, &with_radius(100.0));
    assert_eq!(ids(&reading), ["stands/1", "stands/3"]);
    assert_snapshot!(findings(&reading), @r"
    line 8: error row_unreadable: this can't be parsed: line 9, column 1: expected a value, and the file ends here — mend the JSON here
    line 9: warning duplicate_geometry: this is where feature 1 in line 1 is, with the same shape and tag — leave one of them out: a customer there would be in both
    ");
}

#[test]
fn a_feature_may_be_too_long_or_too_rich() {
    let mut options = with_radius(100.0);
    options.limits.feature_bytes_max = 10_000_000;
    let rich = feature("1", &format!("\"a\": [{}{{}}]", "{},".repeat(60_000)), POINT);
    let long = feature("2", &format!("\"a\": \"{}\"", "x".repeat(10_000_000)), POINT);
    let reading = geojson(&collection(&[&rich, &long, &feature("3", "", POINT)]), &options);
    assert_eq!(ids(&reading), ["stands/3"]);
    assert_snapshot!(findings(&reading), @r"
    line 1: error feature_too_long: the feature holds about 1260088 values, the limit is 1000000 (at /features/0) — simplify the outline or shorten the properties
    line 2: error feature_too_long: the feature is 10000117 bytes long, the limit is 10000000 (at /features/1) — simplify the outline or shorten the properties
    ");
}

#[test]
fn endless_names_are_not_repeated_in_findings() {
    let name = format!("i{}d", "-".repeat(100_000));
    let text = format!(
        r#"{{"type": "Feature", "properties": {{"{name}": true}}, "geometry": {{"type": "Point", "coordinates": [1, 2]}}}}"#
    );
    let reading = read_text(Format::GeoJson, &text, &with_radius(100.0)).unwrap();
    assert_eq!(reading.findings[0].pointer.as_deref(), Some("/properties"));
}
