//! Files of well-known text.

use insta::assert_snapshot;

use super::{data, findings, fuzz, ids, options, read, read_text, with_radius};
use crate::{files::Format, geo::Shape};

#[test]
fn geometries_are_told_apart_however_they_are_written() {
    let ring = "(0 0, 1 0, 1 1, 0 0)";
    for text in [
        format!("POINT (1 2)\nPOLYGON ({ring})\nPOINT (3 4)\n"),
        format!("POINT (1 2);POLYGON ({ring});SRID=4326;POINT (3 4);"),
        format!("\u{feff}\n\n  point z(1 2 9)\r\n\r\nPolygon\n  ({ring}\n  )\n;\nPOINT\tM\n(3 4 5)"),
        format!("POINT (1 2) POLYGON ({ring}) POINT (3 4)"),
    ] {
        let reading = read_text(Format::Wkt, &text, &with_radius(100.0)).unwrap();
        assert_eq!(ids(&reading), ["stands/1", "stands/2", "stands/3"], "{text}");
        assert!(matches!(reading.geofences[1].shape, Shape::Polygons(_)));
    }
}

#[test]
fn what_is_wrong_is_told_and_the_others_are_kept() {
    let text = "POINT (1 2)\nPOINT (1 2\nPOINT (3 4)\nhello\nworld POINT (5 6)\nPOINT EMPTY\nLINESTRING (1 2, 3 4)\n\
                POLYGON ((0 0, 1 0,\n 1 x, 0 0))\nPOINT (7 91)\nPOINT (7 8))\nSRID=3857; POINT (1 2)\n\
                POLYGON ((1 1, 2 2, 1 1))\nPOINT (9 9)";
    let reading = read_text(Format::Wkt, text, &with_radius(100.0)).unwrap();
    assert_snapshot!(findings(&reading), @r"
    line 2: error row_unreadable: this is no WKT geometry: line 3, byte 11: expected `)` after one position, found the end — write geometries like `POINT (8.5 47.4)` or `POLYGON ((...))`, longitude first
    line 4: error row_unreadable: this is no WKT geometry: byte 0: expected a geometry type such as POINT, POLYGON or MULTIPOLYGON, found `hello` — write geometries like `POINT (8.5 47.4)` or `POLYGON ((...))`, longitude first
    line 5: error row_unreadable: this is no WKT geometry: byte 0: expected a geometry type such as POINT, POLYGON or MULTIPOLYGON, found `world` — write geometries like `POINT (8.5 47.4)` or `POLYGON ((...))`, longitude first
    line 6: error geometry_missing: there is no geometry — draw a point or polygon for it, or leave it out
    line 7: error geometry_unsupported: a line can't be a geofence — use a point with a radius, a polygon or a multipolygon
    line 8: error row_unreadable: this is no WKT geometry: line 9, byte 23: expected a latitude, found `x` — write geometries like `POINT (8.5 47.4)` or `POLYGON ((...))`, longitude first
    line 10: error latitude_out_of_range: latitude 91.0 is not in -90 to 90 — latitude and longitude seem to be swapped
    line 11: error row_unreadable: this is no WKT geometry: byte 0: expected a geometry type such as POINT, POLYGON or MULTIPOLYGON, found `)` — write geometries like `POINT (8.5 47.4)` or `POLYGON ((...))`, longitude first
    line 12: error row_unreadable: this is no WKT geometry: byte 0: the coordinate system SRID=3857 can't be read, only 4326 (WGS84 longitude, latitude) — write geometries like `POINT (8.5 47.4)` or `POLYGON ((...))`, longitude first
    line 13: error ring_too_short: the ring has 3 vertices, a closed ring needs at least 4 — give at least three corners, and the first one again at the end
    line 1: warning id_from_order: there is neither an id nor a name; the number in the file stands for it (3 more like it) — keep the order in later uploads, or use a format with names such as GeoJSON: what changes its number becomes another geofence
    ");
    assert_eq!(ids(&reading), ["stands/1", "stands/3", "stands/10", "stands/14"]);
}

#[test]
fn a_collection_may_go_over_lines() {
    let text = "GEOMETRYCOLLECTION (\nPOINT (1 2),\nPOINT (1 2))\nPOINT (9 9)";
    assert_eq!(read_text(Format::Wkt, text, &with_radius(100.0)).unwrap().read, 2);
}

#[test]
fn one_multipolygon_is_one_geofence() {
    let Some(path) = data("geofences/nl_zones.wkt") else {
        return;
    };
    let reading = read(&std::fs::read(path).unwrap(), Format::Wkt, &options()).unwrap();
    assert_eq!(ids(&reading), ["stands/1"]);
    let Shape::Polygons(polygons) = &reading.geofences[0].shape else {
        panic!("no polygon");
    };
    assert_eq!(polygons.coordinates().len(), 91);
}

#[test]
fn files_are_broken_in_every_way() {
    let sample = "SRID=4326;POINT (8.5 47.3)\nMULTIPOLYGON (((0 0, 9 0, 9 9, 0 0), (1 1, 2 1, 2 2, 1 1)),\n EMPTY);\
                  POINT ZM EMPTY GEOMETRYCOLLECTION(POINT(1 2),LINESTRING EMPTY)\nMULTIPOINT ((1 2), 3 4)\n";
    fuzz::every_beginning(Format::Wkt, sample.as_bytes());
    fuzz::broken_copies(Format::Wkt, sample.as_bytes());
    for text in [
        "GEOMETRYCOLLECTION(".repeat(100_000),
        "POINT(1 2)".repeat(50_000),
        "(".repeat(1_000_000),
        ")".repeat(100_000),
        ";".repeat(1_000_000),
        "POINT (1e308 -1e308)\nPOINT (NaN inf)\n".repeat(1000),
        format!("POLYGON (({}0 0))", "0 0,".repeat(1_000_000)),
        "x".repeat(1_000_000),
        "SRID=".repeat(100_000),
    ] {
        fuzz::verdict(Format::Wkt, text.as_bytes());
    }
}

#[test]
fn a_geometry_may_not_be_too_long() {
    let mut options = with_radius(100.0);
    options.limits.feature_bytes_max = 40;
    let text = format!("POINT (1 2)\nPOLYGON (({}0 0))\nPOINT (3 4)", "0 0, ".repeat(100));
    let reading = read_text(Format::Wkt, &text, &options).unwrap();
    assert_eq!(ids(&reading), ["stands/1", "stands/3"]);
    assert_snapshot!(findings(&reading), @r"
    line 2: error feature_too_long: the geometry is 515 bytes long, the limit is 40 — simplify the outline
    line 1: warning id_from_order: there is neither an id nor a name; the number in the file stands for it (1 more like it) — keep the order in later uploads, or use a format with names such as GeoJSON: what changes its number becomes another geofence
    ");
}
