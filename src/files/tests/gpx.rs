//! GPX, and files packed with gzip.

use std::io::Write as _;

use insta::{assert_json_snapshot, assert_snapshot};

use super::{data, findings, fuzz, ids, options, read, read_text, with_radius};
use crate::files::{FileError, Format, FormatHints};

#[test]
fn waypoints_become_circles() {
    let text = r#"<?xml version="1.0"?><gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1"><metadata><name>All</name></metadata>
<wpt lat=" 47.3" lon="8.5 "><ele>408</ele><name>Stop &amp; go</name><desc>At the <![CDATA[<lake>]]></desc><cmt>c</cmt><sym>Flag</sym><type>stop</type>
 <link href="http://x/"><text>skipped</text></link>
 <extensions><externalId>s1</externalId><g:WaypointExtension xmlns:g="g"><g:Proximity>150.5</g:Proximity><g:Depth>3</g:Depth></g:WaypointExtension></extensions></wpt>
<rte><rtept lat="1" lon="2"/></rte><trk><trkseg><trkpt lat="1" lon="2"/></trkseg></trk><trk/></gpx>"#;
    let reading = read_text(Format::Gpx, text, &options()).unwrap();
    assert_json_snapshot!(reading.geofences[0], @r#"
    {
      "tag": "stands",
      "externalId": "s1",
      "set": "stands",
      "description": "Stop & go",
      "shape": {
        "type": "Circle",
        "center": {
          "latitude": 47.3,
          "longitude": 8.5
        },
        "radius": 150.5
      },
      "metadata": {
        "Depth": "3",
        "cmt": "c",
        "desc": "At the <lake>",
        "ele": "408",
        "sym": "Flag",
        "type": "stop"
      }
    }
    "#);
    assert_snapshot!(findings(&reading), @r"
    line 5: note part_skipped: 1 route is left out — fine, unless they should be geofences: those need a point or a polygon
    line 5: note part_skipped: 2 tracks are left out — fine, unless they should be geofences: those need a point or a polygon
    ");
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let text = "<gpx>\n<wpt lat=\"1\" lon=\"2\"><name>a</name></wpt>\n<wpt lat=\"1\"><name>b</name></wpt>\n\
        <wpt lat=\"x\" lon=\"2\"/>\n<wpt lat=\"NaN\" lon=\"2\"/>\n<wpt lat=\"91\" lon=\"2\"/>\n\
        <wpt lat=\"1\" lon=\"2\"><name>a</name></wpt>\n<wpt lat=\"1\" lon=\"2\"><name>&nbsp;</name></wpt>\n\
        <wpt lat=\"1\" lon=\"2\"/></gpx>";
    let reading = read_text(Format::Gpx, text, &with_radius(100.0)).unwrap();
    assert_eq!(ids(&reading), ["stands/a", "stands/8"]);
    assert_snapshot!(findings(&reading), @r"
    line 3: error geometry_missing: the waypoint has no `lon` — give the place its coordinates, or leave it out
    line 4: error number_unreadable: `lat` is not a number: `x` — give degrees with a decimal point
    line 5: error number_unreadable: `lat` is not a number: `NaN` — give degrees with a decimal point
    line 6: error latitude_out_of_range: latitude 91.0 is not in -90 to 90 — latitude and longitude seem to be swapped
    line 7: error duplicate_identity: `stands/a` appears again, first in line 2 — the first one is kept; give each geofence an id of its own
    line 8: error row_unreadable: `&nbsp;` is not known, and a DTD's entities are not looked up — write the character itself, or its number like `&#233;`
    line 2: warning id_from_name: there is no id; the name stands for it — add `externalId`: with a new name it would be a new geofence
    line 9: warning duplicate_geometry: this is where feature 1 in line 2 is, with the same shape and tag — leave one of them out: a customer there would be in both
    line 9: warning id_from_order: there is neither an id nor a name; the number in the file stands for it — keep the order in later uploads, or use a format with names such as GeoJSON: what changes its number becomes another geofence
    ");
}

#[test]
fn what_is_no_gpx_is_refused() {
    let errors = [
        "",
        "x",
        "<kml/>",
        "<gpx><wpt",
        "<gpx><wpt lat='1' lon='2'>",
        "<gpx></wpt>",
    ]
    .map(|text| {
        let error = read_text(Format::Gpx, text, &options()).unwrap_err();
        format!("{text}: {error}")
    });
    assert_snapshot!(errors.join("\n"), @r"
    : the file is empty
    x: line 1: this is not GPX: it begins with `x`
    <kml/>: line 1: this is not GPX: it begins with `<kml>`
    <gpx><wpt: line 1: this is not XML: syntax error: tag not closed: `>` not found before end of input
    <gpx><wpt lat='1' lon='2'>: line 1: this is not XML: the file ends before `<wpt>` does
    <gpx></wpt>: line 1: this is not XML: ill-formed document: expected `</gpx>`, but `</wpt>` was found
    ");
}

#[test]
fn files_are_broken_in_every_way() {
    let sample = "<?xml version=\"1.0\"?><gpx><wpt lat=\"47.3\" lon=\"8.5\"><name>a</name><sym>&lt;</sym><extensions>\
        <x><radius>5</radius></x></extensions></wpt><trk><name>t</name></trk><wpt lat='1' lon='2'/></gpx>";
    fuzz::every_beginning(Format::Gpx, sample.as_bytes());
    fuzz::broken_copies(Format::Gpx, sample.as_bytes());
    for text in [
        "<gpx>".repeat(10_000),
        format!("<gpx><wpt>{}", "<extensions>".repeat(10_000)),
    ] {
        let error = read_text(Format::Gpx, &text, &options()).unwrap_err();
        assert!(matches!(error, FileError::TooDeep { .. }), "{error}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzip_is_taken_off_any_format() {
    for (format, text) in [
        (Format::Gpx, "<gpx><wpt lat='1' lon='2'><name>a</name></wpt></gpx>"),
        (
            Format::Kml,
            "<Placemark><name>a</name><Point><coordinates>2,1</coordinates></Point></Placemark>",
        ),
        (Format::Csv, "id,lat,lon\na,1,2\n"),
        (
            Format::GeoJson,
            r#"{"type":"Feature","id":"a","geometry":{"type":"Point","coordinates":[2,1]}}"#,
        ),
        (Format::Wkt, "POINT (2 1)"),
    ] {
        let packed = gzip(text.as_bytes());
        assert_eq!(Format::detect(FormatHints::default(), &packed), Ok(format));
        let (plain, unpacked) = (
            read_text(format, text, &with_radius(9.0)),
            read(&packed, format, &with_radius(9.0)),
        );
        let (plain, unpacked) = (plain.unwrap(), unpacked.unwrap());
        assert_eq!(
            (&plain.reading, &plain.geofences),
            (&unpacked.reading, &unpacked.geofences)
        );
        assert_eq!(plain.accepted, 1);
        fuzz::every_beginning(format, &packed);
    }
}

#[test]
fn gzip_bombs_and_boxes_in_boxes_are_refused() {
    let bomb = gzip(&vec![b' '; 20 * 1024 * 1024]);
    let mut limited = options();
    limited.limits.bytes_max = 1024 * 1024;
    for format in [Format::Gpx, Format::Csv, Format::GeoJson, Format::Wkt] {
        let error = read(&bomb, format, &limited).unwrap_err();
        assert!(matches!(error, FileError::TooLong { .. }), "{error}");
    }
    let zipped = gzip(&super::zipping::zip(&[("doc.kml", b"<kml/>")]));
    assert_snapshot!(read(&zipped, Format::Kmz, &options()).unwrap_err(), @"the file could not be read: unsupported");
}

#[test]
fn the_airports_of_the_world_are_unpacked() {
    let Some(path) = data("geofences/ourairports_airports.csv.gz") else {
        return;
    };
    let packed = std::fs::read(path).unwrap();
    let hints = FormatHints {
        file_name: Some("ourairports_airports.csv.gz"),
        ..FormatHints::default()
    };
    assert_eq!(Format::detect(hints, &packed), Ok(Format::Csv));
    let text = std::io::read_to_string(flate2::read::MultiGzDecoder::new(packed.as_slice())).unwrap();
    let text = text.replacen("_deg", "", 2);
    let reading = read(&gzip(text.as_bytes()), Format::Csv, &with_radius(1000.0)).unwrap();
    assert_eq!((reading.read, reading.accepted), (73_623, 73_623));
}
