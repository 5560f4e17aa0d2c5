//! KML, as programs write it and as nobody should.

use std::fmt::Write as _;

use insta::{assert_json_snapshot, assert_snapshot};
use serde_json::json;

use super::{ReadFile, data, findings, fuzz, ids, options, read, read_text, with_radius};
use crate::{
    files::{FileError, Format, Limits},
    geo::Shape,
};

fn kml(content: &str) -> ReadFile {
    let text = format!("<?xml version=\"1.0\"?>\n<kml xmlns=\"http://www.opengis.net/kml/2.2\">{content}</kml>");
    read_text(Format::Kml, &text, &with_radius(100.0)).unwrap()
}

#[test]
fn a_placemark_becomes_a_geofence() {
    let reading = kml(
        r##"<Document><name>All</name><Folder><name> Airports </name><k:Folder xmlns:k="x"><k:name>West &amp; <![CDATA[<b>]]></k:name>
<Placemark id="a1"><name>Gate&#x20;1 &lt;north&gt;</name><description><![CDATA[<b>Go</b>]]> on</description><visibility>0</visibility>
  <ExtendedData><Data name="floor"><displayName>Floor</displayName><value>2</value></Data><Data name="radius"><value>250</value></Data>
   <SchemaData schemaUrl="#s"><SimpleData name="tag">gates</SimpleData><SimpleData name="lat">north</SimpleData></SchemaData><x:note>seen</x:note></ExtendedData>
  <styleUrl>#red</styleUrl><Point><altitudeMode>x</altitudeMode><coordinates>8.5 ,47.3,
  400</coordinates></Point></Placemark></k:Folder></Folder></Document>"##,
    );
    assert_eq!(findings(&reading), "");
    assert_json_snapshot!(reading.geofences[0], @r#"
    {
      "tag": "gates",
      "externalId": "a1",
      "set": "stands",
      "description": "Gate 1 <north>",
      "shape": {
        "type": "Circle",
        "center": {
          "latitude": 47.3,
          "longitude": 8.5
        },
        "radius": 250.0
      },
      "metadata": {
        "description": "<b>Go</b> on",
        "floor": "2",
        "folder": "Airports / West & <b>",
        "lat": "north",
        "note": "seen"
      }
    }
    "#);
}

#[test]
fn polygons_have_holes_and_parts() {
    let ring = |at: u32| {
        let (a, b) = (at, at + 1);
        format!("<LinearRing><coordinates>\n{a},{a},0 {b},{a},0\t{b},{b},0\n{a},{a},0</coordinates></LinearRing>")
    };
    let big = "<LinearRing><coordinates>0,0 50,0 50,50 0,50 0,0</coordinates></LinearRing>";
    let polygon = format!(
        "<Polygon><tessellate>1</tessellate><innerBoundaryIs>{}</innerBoundaryIs>\
         <outerBoundaryIs>{big}</outerBoundaryIs><innerBoundaryIs>{}</innerBoundaryIs></Polygon>",
        ring(10),
        ring(20)
    );
    let reading = kml(&format!(
        "<Placemark><name>a</name>{polygon}</Placemark>\
         <Placemark><name>b</name><Polygon><innerBoundaryIs>{}</innerBoundaryIs></Polygon></Placemark>\
         <Placemark><name>c</name><Polygon><outerBoundaryIs>{big}</outerBoundaryIs><outerBoundaryIs>{big}</outerBoundaryIs></Polygon></Placemark>",
        ring(1)
    ));
    assert_eq!(ids(&reading), ["stands/a"]);
    let Shape::Polygons(polygons) = &reading.geofences[0].shape else {
        panic!("no polygon");
    };
    let rings: Vec<Vec<[f64; 2]>> = polygons.coordinates().flatten().map(<[_]>::to_vec).collect();
    assert_eq!(
        rings.iter().map(|ring| ring[0]).collect::<Vec<_>>(),
        [[0.0, 0.0], [10.0, 10.0], [20.0, 20.0]]
    );
    assert_snapshot!(findings(&reading), @r"
    line 6: error geometry_empty: the geometry is empty — draw a point or polygon for it, or leave it out
    line 8: error coordinates_invalid: the polygon has several outer boundaries — make a MultiGeometry of several polygons
    line 2: warning id_from_name: there is no id; the name stands for it — add `externalId`: with a new name it would be a new geofence
    ");
}

#[test]
fn what_is_no_place_is_counted_and_told_once() {
    let line = "<LineString><coordinates>1,2 3,4</coordinates></LineString>";
    let reading = kml(&format!(
        "<Document><NetworkLink><Link><href>http://x/</href></Link></NetworkLink>\n\
         <Placemark><name>path</name>{line}</Placemark>\n\
         <Placemark><MultiGeometry>{line}{line}</MultiGeometry></Placemark>\n\
         <Placemark><gx:Track xmlns:gx=\"g\"><when/><gx:coord>1 2 3</gx:coord></gx:Track></Placemark>\n\
         <Placemark><Model/></Placemark><Placemark><name>view</name><LookAt/></Placemark>\n\
         <GroundOverlay/><ScreenOverlay/><PhotoOverlay><Point><coordinates>1,2</coordinates></Point></PhotoOverlay>\n\
         <gx:Tour xmlns:gx=\"g\"/><mine><Placemark/><Placemark/></mine><Style id=\"s\"/></Document>"
    ));
    assert_eq!((reading.read, reading.accepted), (0, 0));
    assert_snapshot!(findings(&reading), @r"
    line 2: note part_skipped: 1 network link is left out — fine, unless they should be geofences: those need a point or a polygon
    line 3: note part_skipped: 2 lines are left out — fine, unless they should be geofences: those need a point or a polygon
    line 5: note part_skipped: 1 track is left out — fine, unless they should be geofences: those need a point or a polygon
    line 6: note part_skipped: 1 3D model is left out — fine, unless they should be geofences: those need a point or a polygon
    line 6: note part_skipped: 1 placemark without a geometry is left out — fine, unless they should be geofences: those need a point or a polygon
    line 7: note part_skipped: 1 ground overlay is left out — fine, unless they should be geofences: those need a point or a polygon
    line 7: note part_skipped: 1 photo overlay is left out — fine, unless they should be geofences: those need a point or a polygon
    line 7: note part_skipped: 1 screen overlay is left out — fine, unless they should be geofences: those need a point or a polygon
    line 8: note part_skipped: 2 placemarks within an unknown element are left out — fine, unless they should be geofences: those need a point or a polygon
    line 8: note part_skipped: 1 tour is left out — fine, unless they should be geofences: those need a point or a polygon
    warning nothing_found: the file holds no rows or features — an upload of it is refused while the set has geofences
    ");
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let point = |text: &str| format!("<Point><coordinates>{text}</coordinates></Point>");
    let mut text = String::new();
    for (name, geometry) in [
        ("good", point("1,2")),
        ("good", point("1,2")),
        ("no numbers", point("x,y")),
        ("three numbers beyond", point("1,2,3,4")),
        ("nowhere", point("1,91")),
        ("swapped", point("47,-122")),
        ("huge", point("1e308,1")),
        ("nothing", point(" ")),
        ("", point("1,2")),
        ("several", point("1,2 3,4")),
        ("entity &eacute;", point("1,2")),
    ] {
        writeln!(text, "<Placemark><name>{name}</name>\n{geometry}</Placemark>").unwrap();
    }
    assert_snapshot!(findings(&kml(&text)), @r"
    line 4: error duplicate_identity: `stands/good` appears again, first in line 2 — the first one is kept; give each geofence an id of its own
    line 6: error coordinates_invalid: in the coordinates of line 7, `x` is no number — write longitude,latitude in degrees, with blanks between the positions
    line 8: error coordinates_invalid: in the coordinates of line 9, 4 numbers with commas between them make no position — write longitude,latitude in degrees, with blanks between the positions
    line 10: error latitude_out_of_range: latitude 91.0 is not in -90 to 90 — latitude and longitude seem to be swapped
    line 12: error latitude_out_of_range: latitude -122.0 is not in -90 to 90 — latitude and longitude seem to be swapped
    line 14: error longitude_out_of_range: longitude 1e308 is not in -180 to 180 — give degrees (WGS84), not metres or degrees and minutes
    line 16: error geometry_missing: there is no geometry — draw a point or polygon for it, or leave it out
    line 18: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    line 20: error geometry_unsupported: 2 points can't be one geofence — make a feature of each point, with an id of its own, or draw a polygon
    line 22: error row_unreadable: `&eacute;` is not known, and a DTD's entities are not looked up — write the character itself, or its number like `&#233;`
    line 2: warning id_from_name: there is no id; the name stands for it — add `externalId`: with a new name it would be a new geofence
    ");
}

#[test]
fn encodings_are_read_as_declared() {
    let placemark =
        "<Placemark><name>Caf\u{e9} \u{20ac}</name><Point><coordinates>1,2</coordinates></Point></Placemark>";
    let latin: Vec<u8> = placemark
        .chars()
        .map(|c| if c == '\u{20ac}' { 0x80 } else { c as u32 as u8 })
        .collect();
    let declared = |encoding: &str| format!("<?xml version='1.0' encoding='{encoding}'?>").into_bytes();
    let utf16: Vec<u8> = format!("\u{feff}{placemark}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (bytes, is_guessed) in [
        ([declared("utf-8"), placemark.into()].concat(), false),
        ([declared("ISO-8859-1"), latin.clone()].concat(), false),
        ([declared("windows-1252"), latin.clone()].concat(), false),
        ([declared("UTF-8"), latin.clone()].concat(), true),
        (latin.clone(), true),
        (utf16, false),
    ] {
        let reading = read(&bytes, Format::Kml, &with_radius(100.0)).unwrap();
        assert_eq!(ids(&reading), ["stands/Café €"]);
        assert_eq!(findings(&reading).contains("encoding_guessed"), is_guessed);
    }
    let error = read(&[declared("klingon"), latin].concat(), Format::Kml, &options()).unwrap_err();
    assert!(matches!(error, FileError::Encoding { .. }), "{error}");
}

#[test]
fn what_is_no_kml_is_refused_with_its_line() {
    let errors = [
        "",
        " \n",
        "hello",
        "{}",
        "<gpx/>",
        "<?xml version='1.0'?>\n<!-- kml -->\n<html></html>",
        "<kml>\n<Document>\n",
        "<kml>\n<Document>\n</kml>",
        "<kml><Placemark",
        "PK\u{3}\u{4}",
    ]
    .map(|text| match read_text(Format::Kml, text, &options()) {
        Ok(reading) => format!("{text:?}: {}", findings(&reading)),
        Err(error) => format!("{text:?}: {error}"),
    });
    assert_snapshot!(errors.join("\n"), @r#"
    "": the file is empty
    " \n": the file is empty
    "hello": line 1: this is not KML: it begins with `hello`
    "{}": line 1: this is not KML: it begins with `{}`
    "<gpx/>": line 1: this is not KML: it begins with `<gpx>`
    "<?xml version='1.0'?>\n<!-- kml -->\n<html></html>": line 3: this is not KML: it begins with `<html>`
    "<kml>\n<Document>\n": line 3: this is not XML: the file ends before `<Document>` does
    "<kml>\n<Document>\n</kml>": line 3: this is not XML: ill-formed document: expected `</Document>`, but `</kml>` was found
    "<kml><Placemark": line 1: this is not XML: syntax error: tag not closed: `>` not found before end of input
    "PK\u{3}\u{4}": line 1: this is not KML: it begins with `PK��`
    "#);
}

#[test]
fn entities_are_never_expanded_or_fetched() {
    let laughs: String = (1..30).fold(String::new(), |mut text, level| {
        writeln!(text, "<!ENTITY l{level} \"&l{0};&l{0};\">", level - 1).unwrap();
        text
    });
    let text = format!(
        "<!DOCTYPE kml [<!ENTITY l0 \"ha\">{laughs}<!ENTITY file SYSTEM \"file:///etc/passwd\">]>\n<kml>\
         <Placemark><name>&l29;</name><Point><coordinates>1,2</coordinates></Point></Placemark>\
         <Placemark id=\"&l29;\"><name>&file;</name><Point><coordinates>1,2</coordinates></Point></Placemark></kml>"
    );
    let reading = read_text(Format::Kml, &text, &with_radius(100.0)).unwrap();
    assert_eq!(reading.accepted, 0);
    assert_snapshot!(findings(&reading), @r"
    line 31: error row_unreadable: `&l29;` is not known, and a DTD's entities are not looked up — write the character itself, or its number like `&#233;`
    line 31: error row_unreadable: `&file;` is not known, and a DTD's entities are not looked up — write the character itself, or its number like `&#233;`
    line 1: note dtd_ignored: the document type declaration (DTD) is passed over — nothing that it declares or links to is used
    ");
}

#[test]
fn depth_and_lengths_are_bounded() {
    let deep = |count: usize| format!("{}{}", "<Folder>".repeat(count), "</Folder>".repeat(count));
    assert!(read_text(Format::Kml, &deep(256), &options()).is_ok());
    for text in [
        deep(257),
        "<kml>".repeat(100_000),
        format!("<kml><Placemark>{}", "<MultiGeometry>".repeat(10_000)),
    ] {
        let error = read_text(Format::Kml, &text, &options()).unwrap_err();
        assert!(matches!(error, FileError::TooDeep { .. }), "{error}");
    }
    let mut options = with_radius(100.0);
    options.limits = Limits {
        feature_bytes_max: 1000,
        ..Limits::default()
    };
    let placemark = |inner: &str| {
        format!("<Placemark><name>a</name>{inner}<Point><coordinates>1,2</coordinates></Point></Placemark>\n")
    };
    let text = format!(
        "<kml>{}{}{}{}</kml>",
        placemark(&"<x>y</x>".repeat(200)),
        placemark(&format!("<address>{}</address>", "x".repeat(1100))),
        placemark(&format!("<MultiGeometry>{}</MultiGeometry>", "<Point/>".repeat(200))),
        placemark(""),
    );
    let reading = read_text(Format::Kml, &text, &options).unwrap();
    assert_eq!(ids(&reading), ["stands/a"]);
    assert_snapshot!(findings(&reading), @r"
    line 1: error feature_too_long: the placemark is longer than 1000 bytes — simplify the outline or shorten the texts
    line 2: error feature_too_long: the placemark is longer than 1000 bytes — simplify the outline or shorten the texts
    line 3: error feature_too_long: the placemark is longer than 1000 bytes — simplify the outline or shorten the texts
    line 4: warning id_from_name: there is no id; the name stands for it — add `externalId`: with a new name it would be a new geofence
    ");
    let text = format!("<kml>\n<!-- {} --></kml>", "x".repeat(100_000));
    let error = read_text(Format::Kml, &text, &options).unwrap_err();
    assert_snapshot!(error, @"line 2: a single tag, text or comment is longer than 66536 bytes");
}

#[test]
fn names_of_values_are_bounded() {
    // Dashes don't count in names.
    let long = format!("i{}d", "-".repeat(2_000));
    let data = |name: &str, count: usize| format!(r#"<Data name="{name}">{}</Data>"#, "<value>1</value>".repeat(count));
    let placemark = |data: &str| {
        format!(
            "<Placemark id='p'><ExtendedData><SimpleData name='{long}'>2</SimpleData>{data}</ExtendedData>\
             <Point><coordinates>1,2</coordinates></Point></Placemark>\n"
        )
    };
    let reading = kml(&placemark(&data(&long, 3)));
    assert_eq!(ids(&reading), ["stands/p"]);
    assert!(reading.geofences[0].metadata.is_empty());
    assert_snapshot!(findings(&reading), @"line 2: note part_skipped: values with names of more than 1024 bytes are left out: 4 — shorten the names, if the values matter");
    let mut options = with_radius(100.0);
    options.limits.feature_bytes_max = 20_000;
    let text = format!(
        "<kml>{}{}</kml>",
        placemark(&data(&format!("i{}d", "-".repeat(1_000)), 100)),
        placemark(&data("n", 100))
    );
    let reading = read_text(Format::Kml, &text, &options).unwrap();
    assert_snapshot!(findings(&reading), @r"
    line 1: error feature_too_long: the placemark is longer than 20000 bytes — simplify the outline or shorten the texts
    line 2: note part_skipped: values with names of more than 1024 bytes are left out: 1 — shorten the names, if the values matter
    ");
}

#[test]
fn the_places_of_alaska_are_the_same_in_both_formats() {
    let (Some(csv), Some(kml)) = (
        data("geofences/gnis_alaska_101.csv"),
        data("geofences/gnis_alaska_101.kml"),
    ) else {
        return;
    };
    let options = with_radius(100.0);
    let csv = read(&std::fs::read(csv).unwrap(), Format::Csv, &options).unwrap();
    let kml = read(&std::fs::read(kml).unwrap(), Format::Kml, &options).unwrap();
    assert_eq!((csv.geofences.len(), kml.geofences.len()), (101, 101));
    for (a, b) in csv.geofences.iter().zip(&kml.geofences) {
        assert_eq!((&a.id, &a.description), (&b.id, &b.description));
        assert_eq!(json!(a.shape), json!(b.shape));
        for (name, value) in &b.metadata.to_map() {
            assert_eq!(a.metadata.to_map().get(name), Some(value), "{} {name}", a.id);
        }
    }
}

#[test]
fn files_of_others_get_a_verdict() {
    let mut verdicts = Vec::new();
    for name in [
        "100_nested_folders",
        "101_nested_elements",
        "101_nested_folders",
        "all-unknown-attrs-input",
        "badcoords",
        "badcoords-golden",
        "billion",
        "ge-point",
        "invalid_descriptions",
        "schemadata",
    ] {
        let Some(path) = data(&format!("nasty/kml-libkml/{name}.kml")) else {
            return;
        };
        let verdict = match read(&std::fs::read(path).unwrap(), Format::Kml, &with_radius(100.0)) {
            Ok(reading) => format!("{name}: {:?}\n{}", ids(&reading), findings(&reading)),
            Err(error) => format!("{name}: {error}"),
        };
        verdicts.push(verdict);
    }
    assert_snapshot!(verdicts.join("\n"), @r#"
    100_nested_folders: []
    warning nothing_found: the file holds no rows or features — an upload of it is refused while the set has geofences
    101_nested_elements: []
    line 11: note part_skipped: 10 placemarks within an unknown element are left out — fine, unless they should be geofences: those need a point or a polygon
    warning nothing_found: the file holds no rows or features — an upload of it is refused while the set has geofences
    101_nested_folders: []
    warning nothing_found: the file holds no rows or features — an upload of it is refused while the set has geofences
    all-unknown-attrs-input: []
    line 132: error geometry_missing: there is no geometry — draw a point or polygon for it, or leave it out
    line 154: error geometry_missing: there is no geometry — draw a point or polygon for it, or leave it out
    line 164: error geometry_empty: the geometry is empty — draw a point or polygon for it, or leave it out
    line 9: note part_skipped: 1 network link control is left out — fine, unless they should be geofences: those need a point or a polygon
    line 21: note part_skipped: 6 3D models are left out — fine, unless they should be geofences: those need a point or a polygon
    line 33: note part_skipped: 14 placemarks without a geometry are left out — fine, unless they should be geofences: those need a point or a polygon
    line 50: note part_skipped: 3 ground overlays are left out — fine, unless they should be geofences: those need a point or a polygon
    line 60: note part_skipped: 3 photo overlays are left out — fine, unless they should be geofences: those need a point or a polygon
    line 86: note part_skipped: 2 lines are left out — fine, unless they should be geofences: those need a point or a polygon
    line 100: note part_skipped: 3 network links are left out — fine, unless they should be geofences: those need a point or a polygon
    line 194: note part_skipped: 2 screen overlays are left out — fine, unless they should be geofences: those need a point or a polygon
    badcoords: []
    line 8: note part_skipped: 1 line is left out — fine, unless they should be geofences: those need a point or a polygon
    warning nothing_found: the file holds no rows or features — an upload of it is refused while the set has geofences
    badcoords-golden: []
    line 2: note part_skipped: 1 line is left out — fine, unless they should be geofences: those need a point or a polygon
    warning nothing_found: the file holds no rows or features — an upload of it is refused while the set has geofences
    billion: []
    line 7: note dtd_ignored: the document type declaration (DTD) is passed over — nothing that it declares or links to is used
    warning nothing_found: the file holds no rows or features — an upload of it is refused while the set has geofences
    ge-point: ["stands/Point"]
    line 34: warning id_from_name: there is no id; the name stands for it — add `externalId`: with a new name it would be a new geofence
    invalid_descriptions: []
    line 12: note part_skipped: 3 placemarks without a geometry are left out — fine, unless they should be geofences: those need a point or a polygon
    warning nothing_found: the file holds no rows or features — an upload of it is refused while the set has geofences
    schemadata: ["stands/default schemadatadata"]
    line 15: warning id_from_name: there is no id; the name stands for it — add `externalId`: with a new name it would be a new geofence
    "#);
}

#[test]
fn files_are_broken_in_every_way() {
    let sample = "<?xml version=\"1.0\" encoding=\"utf-8\"?><!DOCTYPE kml [<!ENTITY a \"b\">]><kml><Document><Folder>\
        <name>f&#233;</name><Placemark id=\"1\"><name>a<![CDATA[<b>]]>&amp;</name><ExtendedData><Data name=\"radius\">\
        <value>5</value></Data></ExtendedData><Point><coordinates>1,2,3</coordinates></Point></Placemark><Placemark>\
        <name>b</name><MultiGeometry><Polygon><outerBoundaryIs><LinearRing><coordinates>0,0 9,0 9,9 0,0</coordinates>\
        </LinearRing></outerBoundaryIs></Polygon><Point><coordinates>3 , 4</coordinates></Point></MultiGeometry>\
        </Placemark></Folder><NetworkLink/></Document></kml>";
    fuzz::every_beginning(Format::Kml, sample.as_bytes());
    fuzz::broken_copies(Format::Kml, sample.as_bytes());
    let numbers = format!(
        "<Placemark><Point><coordinates>{}</coordinates></Point></Placemark>",
        "1,".repeat(500_000)
    );
    fuzz::verdict(Format::Kml, numbers.as_bytes());
    fuzz::verdict(Format::Kml, format!("<{}>", "k".repeat(1_000_000)).as_bytes());
    fuzz::verdict(Format::Kml, format!("<kml {}>", "a='b' ".repeat(100_000)).as_bytes());
    fuzz::verdict(
        Format::Kml,
        format!("<kml>{}</kml>", "&#x41;".repeat(100_000)).as_bytes(),
    );
}
