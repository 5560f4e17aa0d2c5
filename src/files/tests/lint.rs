use insta::assert_snapshot;

use super::{ReadFile, findings, options, read_text, with_radius};
use crate::{
    files::{FindingCode, Format},
    geo::Position,
};

fn has(file: &ReadFile, code: FindingCode) -> bool {
    file.findings.iter().any(|finding| finding.code == code)
}

fn polygons(rings: &[&str]) -> ReadFile {
    let feature = |(index, ring): (usize, &&str)| {
        format!(
            r#"{{"type": "Feature", "id": {index}, "properties": {{}}, "geometry": {{"type": "Polygon", "coordinates": {ring}}}}}"#
        )
    };
    let lines: Vec<String> = rings.iter().enumerate().map(feature).collect();
    read_text(Format::GeoJson, &lines.join("\n"), &options()).unwrap()
}

#[test]
fn one_of_each() {
    let feature = |id: u32, properties: &str, geometry: &str| {
        format!(r#"{{"type": "Feature", "id": {id}, "properties": {{{properties}}}, "geometry": {geometry}}}"#)
    };
    let point =
        |longitude: f64, latitude: f64| format!(r#"{{"type": "Point", "coordinates": [{longitude:?}, {latitude:?}]}}"#);
    let polygon = |rings: &str| format!(r#"{{"type": "Polygon", "coordinates": {rings}}}"#);
    let square = "[[8.51, 47.31], [8.52, 47.31], [8.52, 47.32], [8.51, 47.32], [8.51, 47.31]]";
    let features = [
        feature(1, r#""radius": 100"#, &point(8.5, 47.3)),
        feature(2, r#""radius": 100, "tag": "cafe""#, &point(8.5, 47.3)),
        feature(3, r#""radius": 30"#, &point(8.55, 47.35)),
        feature(4, r#""radius": 20000, "tag": "region""#, &point(8.5, 47.3)),
        feature(5, r#""radius": 100"#, &point(47.3, 8.5)),
        feature(6, r#""radius": 100"#, &point(0.0, 0.0)),
        feature(7, r#""radius": 100"#, &point(47.3, 120.1)),
        feature(8, "", &polygon(&format!("[{square}]"))),
        feature(9, "", &polygon(&format!("[{square}]"))),
        feature(10, "", &polygon("[[[8.5, 47.4], [8.6, 47.4], [8.6, 47.5]]]")),
        feature(11, "", &polygon("[[[8.5, 47.4], [8.6, 47.4], [8.5, 47.4]]]")),
        feature(
            12,
            "",
            &polygon("[[[179, 1], [-179, 1], [-179, 2], [179, 2], [179, 1]]]"),
        ),
        feature(13, "", &polygon("[[[0, 80], [120, 80], [-120, 80], [0, 80]]]")),
        feature(14, r#""radius": 100"#, &point(8.5001, 47.3)),
        feature(15, r#""radius": 100"#, &point(8.612_345_678_9, 47.3)),
        feature(16, r#""radius": 100"#, r#"{"type": "Point", "coordinates": []}"#),
        feature(17, r#""radius": 100, "name": "a", "name": "b""#, &point(8.65, 47.3)),
        feature(
            18,
            "",
            &format!(
                r#"{{"type": "GeometryCollection", "geometries": [{}, {}]}}"#,
                polygon("[[[8.7, 47.4], [8.8, 47.4], [8.8, 47.5], [8.7, 47.4]]]"),
                point(8.7, 47.4)
            ),
        ),
        feature(
            19,
            r#""radius": 100"#,
            r#"{"type": "MultiPoint", "coordinates": [[8.5, 47.3], [8.6, 47.3]]}"#,
        ),
        feature(1, r#""radius": 100"#, &point(8.5, 47.3)),
        feature(
            21,
            r#""radius": 100"#,
            r#"{"type": "MultiPoint", "coordinates": [[8.75, 47.3]]}"#,
        ),
        feature(
            22,
            "",
            &polygon("[[[0, -80], [10, -80], [10, -90.0002], [0, -90.0001], [0, -80]]]"),
        ),
    ];
    let text = format!(
        "{{\"crs\": {{\"name\": \"EPSG:2263\"}}, \"features\": [\n{}\n], \"type\": \"FeatureCollection\"}}",
        features.join(",\n")
    );
    let file = read_text(Format::GeoJson, &text, &options()).unwrap();
    assert_eq!((file.read, file.rejected), (22, 5));
    assert_snapshot!(findings(&file), @r#"
    line 8: error latitude_out_of_range: latitude 120.1 is not in -90 to 90 (at /features/6/geometry/coordinates) — latitude and longitude seem to be swapped
    line 12: error ring_too_short: the ring has 3 vertices, a closed ring needs at least 4 (at /features/10/geometry/coordinates/0) — give at least three corners, and the first one again at the end
    line 17: error geometry_empty: the geometry is empty (at /features/15/geometry) — draw a point or polygon for it, or leave it out
    line 20: error geometry_unsupported: 2 points can't be one geofence (at /features/18/geometry) — make a feature of each point, with an id of its own, or draw a polygon
    line 21: error duplicate_identity: `stands/1` appears again, first as feature 1 (at /features/19) — the first one is kept; give each geofence an id of its own
    line 19: note parts_left_out: 1 lines or points of the collection are left out (at /features/17/geometry/geometries) — nothing to do, unless they should be geofences: then make features of them
    line 11: warning ring_not_closed: the ring begins at [8.5, 47.4] and ends at [8.6, 47.5]; it was closed (at /features/9/geometry/coordinates/0) — check its last side, and repeat the first position at the end of the ring
    line 13: note antimeridian_crossed: the polygon crosses the antimeridian; it was cut in pieces there (at /features/11) — nothing to do, if it lies in the Pacific; else check its longitudes
    line 14: note pole_enclosed: the polygon goes round a pole, which is taken to be inside (at /features/12) — nothing to do, if it lies round a pole; else check its longitudes
    line 23: warning ring_outside_world: the ring overshoots the pole, at latitude -90.0002; it was moved back (at /features/21/geometry/coordinates/0) — nothing to do: it is less than 120 m
    note tags_mixed: the file has 3 tags, most often `stands` (15), `cafe` (1), `region` (1) — nothing to do, if that is meant; campaigns choose places by tag
    line 10: warning duplicate_geometry: this is where feature 8 in line 9 is, with the same shape and tag — leave one of them out: a customer there would be in both
    line 15: warning overlap: this overlaps feature 1 in line 2, which has the same tag (1 more like it) — nothing to do, if that is meant: a customer may be in both, and a campaign for the tag sees two entries
    line 4: warning radius_small: the radius is 30 m, below 100 m (at /features/2) — phones in the background miss visits to circles below 100 m; use 100 m or more, beacons or codes
    line 5: warning radius_large: the radius is 20000 m, more than 10 km (at /features/3) — give metres; a place that customers visit is seldom wider than a few hundred
    line 6: warning coordinates_swapped: latitude 8.5000, longitude 47.3000 lies far from the other places, and would lie among them with the two swapped — swap them; GeoJSON has [longitude, latitude]
    line 16: note precision_needless: a coordinate has more than seven decimals, and the seventh is a centimetre (at /features/14) — nothing to do; rounded to seven decimals the file would be smaller
    line 18: warning key_duplicate: `name` appears twice in one object; the last one counts (at /features/16) — give each property a name of its own
    line 7: warning null_island: latitude and longitude are both 0, a place in the Atlantic (at /features/5) — leave the row out if the place isn't known
    warning crs_ignored: `crs` is ignored: `{"name": "EPSG:2263"}` (at /crs) — save the file in WGS84 longitude and latitude (EPSG:4326)
    "#);
}

#[test]
fn neighbours_that_share_a_border_do_not_overlap() {
    let side_by_side = [
        "[[[8, 47], [9, 47], [9, 48], [8, 48], [8, 47]]]",
        "[[[9, 47], [10, 47], [10, 48], [9, 48], [9, 47]]]",
        // Drawn a second time, some 30 m off.
        "[[[8, 46], [9, 46], [9, 47.0003], [8, 47.0003], [8, 46]]]",
    ];
    assert!(!has(&polygons(&side_by_side), FindingCode::Overlap));
    for rings in [
        // One in the other.
        [
            "[[[8, 47], [9, 47], [9, 48], [8, 48], [8, 47]]]",
            "[[[8.4, 47.4], [8.6, 47.4], [8.6, 47.6], [8.4, 47.6], [8.4, 47.4]]]",
        ],
        // A cross, no corner of which is in the other.
        [
            "[[[8, 47.4], [9, 47.4], [9, 47.6], [8, 47.6], [8, 47.4]]]",
            "[[[8.4, 47], [8.6, 47], [8.6, 48], [8.4, 48], [8.4, 47]]]",
        ],
        // Across the antimeridian.
        [
            "[[[179, 1], [-179, 1], [-179, 2], [179, 2], [179, 1]]]",
            "[[[-180, 1], [-179, 1], [-179, 2], [-180, 2], [-180, 1]]]",
        ],
    ] {
        let file = polygons(&rings);
        assert!(has(&file, FindingCode::Overlap), "{}", findings(&file));
    }
    let in_the_hole = [
        "[[[8, 47], [9, 47], [9, 48], [8, 48], [8, 47]], [[8.2, 47.2], [8.8, 47.2], [8.8, 47.8], [8.2, 47.8], [8.2, 47.2]]]",
        "[[[8.3, 47.3], [8.7, 47.3], [8.7, 47.7], [8.3, 47.7], [8.3, 47.3]]]",
    ];
    assert!(!has(&polygons(&in_the_hole), FindingCode::Overlap));
}

#[test]
fn circles_overlap_by_the_centimetre() {
    let circles = |longitude: f64| {
        let text = format!("id,lat,lon\na,0,179.999\nb,0,{longitude}\n");
        has(
            &read_text(Format::Csv, &text, &with_radius(100.0)).unwrap(),
            FindingCode::Overlap,
        )
    };
    // A degree of the equator is 111,319.491 m.
    assert!(circles(-179.999_203_4));
    assert!(!circles(-179.999_203_2));
}

#[test]
fn other_tags_may_have_the_same_place() {
    let file = read_text(Format::Csv, "id,lat,lon,tag\na,1,2,x\nb,1,2,y\n", &with_radius(100.0)).unwrap();
    assert!(!has(&file, FindingCode::Overlap) && !has(&file, FindingCode::DuplicateGeometry));
    assert!(has(&file, FindingCode::TagsMixed));
}

#[test]
fn a_file_with_its_columns_swapped_is_told_as_one() {
    let text = "id,lat,lon\na,-122.4,37.7\nb,-122.5,37.8\nc,37.7,-122.4\n";
    let file = read_text(Format::Csv, text, &with_radius(100.0)).unwrap();
    assert_snapshot!(findings(&file), @r"
    line 2: error latitude_out_of_range: latitude -122.4 is not in -90 to 90 — latitude and longitude seem to be swapped
    line 3: error latitude_out_of_range: latitude -122.5 is not in -90 to 90 — latitude and longitude seem to be swapped
    line 2: warning coordinates_swapped: 2 of 3 places are not on Earth, and would be with latitude and longitude swapped — swap the two columns; GeoJSON has [longitude, latitude]
    ");
}

#[test]
fn every_code_is_explained() {
    let page = include_str!("../../../docs/geofence-files.md");
    let codes = include_str!("../finding.rs").lines().filter_map(|line| {
        let (variant, code) = line.trim().split_once(" => \"")?;
        variant.starts_with("Self::").then(|| code.trim_end_matches("\","))
    });
    let mut count = 0;
    for code in codes {
        assert!(page.contains(&format!("\n| `{code}` | ")), "{code} is missing");
        count += 1;
    }
    assert!(count > 50, "{count}");
}

#[test]
fn outlines_that_cross_themselves_are_told_with_the_place() {
    let file = polygons(&[
        "[[[8, 47], [9, 48], [9, 47], [8, 48], [8, 47]]]",
        "[[[8, 46], [9, 46], [8.5, 46.5], [9, 47], [8, 47], [8.5, 46.5], [8, 46]]]",
        "[[[8, 45], [9, 45], [9, 46], [8, 46], [8, 45]], [[10, 45], [11, 45], [11, 46], [10, 45]]]",
        "[[[8, 44], [9, 44], [9, 45], [8, 45], [8, 44]], [[8.2, 44.2], [8.8, 44.2], [8.8, 44.8], [8.2, 44.2]]]",
    ]);
    assert_eq!(file.rejected, 0);
    assert_snapshot!(findings(&file), @r"
    line 1: warning ring_self_intersects: the outline crosses itself near longitude 8.500000, latitude 47.500000 — draw it again there: what it goes round an even number of times is outside
    line 2: note ring_touches_itself: the outline touches itself near longitude 8.500000, latitude 46.500000 — nothing to do: it changes nothing about what is inside
    line 3: warning hole_outside: hole 1, which begins at longitude 10, latitude 45, is not wholly within its outline — draw the hole again; if it should be a place, make a feature of it
    ");
    // What a bow tie goes round is inside, on either side.
    let contains = |latitude, longitude| {
        file.geofences[0]
            .shape
            .contains(Position::new(latitude, longitude).unwrap())
    };
    assert!(contains(47.5, 8.1) == contains(47.5, 8.9));
}
