use insta::{assert_json_snapshot, assert_snapshot};

use super::{ReadFile, findings, ids, options, read, read_text, with_radius};
use crate::{
    domain::{
        geofence::{Geofence, PresenceOptions},
        ids::Tag,
    },
    files::{FileError, Format, Limits, ReadOptions},
    geo::Shape,
};

fn csv(text: &str, options: &ReadOptions) -> ReadFile {
    read_text(Format::Csv, text, options).unwrap()
}

#[test]
fn a_row_becomes_a_geofence() {
    let text = "\u{feff}externalId;Name;Lat;Lng;radius_m;tag;brand;codes;enabled;metadata.floor;City\r\n\
                s-1; Stand Ñ ;41,15;-8,59;150,5;stand;taxi;A1|A2;no;2; Porto \r\n";
    let reading = csv(text, &options());
    assert_eq!(findings(&reading), "");
    let json = serde_json::to_string(&reading.geofences[0]).unwrap();
    let back: Geofence = serde_json::from_str(&json).unwrap();
    assert_eq!(back, reading.geofences[0]);
    assert_json_snapshot!(reading.geofences[0], @r#"
    {
      "tag": "stand",
      "externalId": "s-1",
      "set": "stands",
      "description": "Stand Ñ",
      "shape": {
        "type": "Circle",
        "center": {
          "latitude": 41.15,
          "longitude": -8.59
        },
        "radius": 150.5
      },
      "enabled": false,
      "brand": "taxi",
      "codes": [
        "A1",
        "A2"
      ],
      "metadata": {
        "City": "Porto",
        "floor": "2"
      }
    }
    "#);
}

#[test]
fn the_tag_is_the_rows_or_the_default_or_the_sets() {
    let text = "id,lat,lon,tag\na,1,2,cafe\nb,1,2,\n";
    assert_eq!(ids(&csv(text, &with_radius(100.0))), ["cafe/a", "stands/b"]);
    let options = ReadOptions {
        default_tag: Some(Tag::new("shop").unwrap()),
        ..with_radius(100.0)
    };
    assert_eq!(ids(&csv(text, &options)), ["cafe/a", "shop/b"]);
}

#[test]
fn better_names_win_and_the_others_are_kept() {
    let text = "x,y,id,externalId,latitude,longitude,name,description\n6008186.3,2121568.8,7,a,37.8,-122.4,Anzu,\n";
    let reading = csv(text, &with_radius(100.0));
    assert_eq!(findings(&reading), "");
    let fence = &reading.geofences[0];
    assert_eq!(fence.id.external_id.as_str(), "a");
    assert_eq!(fence.description.as_deref(), Some("Anzu"));
    assert_json_snapshot!(fence.metadata, @r#"
    {
      "id": "7",
      "x": "6008186.3",
      "y": "2121568.8"
    }
    "#);
}

#[test]
fn each_broken_row_is_named_and_the_others_are_kept() {
    let text = "id,name,lat,lon,radius\n\
        1,good,41.1,-8.6,100\n\
        2,glued,41.163066654-8.67598304213,100\n\
        \n\
        3,\"two\nlines\",91,0,100\n\
        4,swapped,-120.5,41.1,100\n\
        5,text,north,-8.6,100\n\
        6,nan,NaN,-8.6,100\n\
        7,,,,100\n\
        8,none,41.1,-8.6,\n\
        9,negative,41.1,-8.6,-5\n\
        10,huge,41.1,-8.6,1e308\n\
        1,again,41.1,-8.6,100\n\
        11,a,b,41.1,-8.6,100\n\
        12,far,41.1,181,100\n\
        13,island,0,0,100\n\
        ,,,,\n\
        ,,41.1,-8.6,100\n\
        14,small,41.1,-8.6,30\n";
    let reading = csv(text, &options());
    assert_eq!((reading.read, reading.rejected), (16, 13));
    assert_eq!(ids(&reading), ["stands/1", "stands/13", "stands/14"]);
    assert_snapshot!(findings(&reading), @r"
    line 3: error column_missing: the row has 4 of 5 fields; `lon` is missing — a comma seems to be missing inside `41.163066654-8.67598304213`
    line 5: error latitude_out_of_range: latitude 91.0 is not in -90 to 90 — latitude and longitude seem to be swapped
    line 7: error latitude_out_of_range: latitude -120.5 is not in -90 to 90 — latitude and longitude seem to be swapped
    line 8: error number_unreadable: column `lat` is not a number: `north` — write a number such as 41.163066
    line 9: error number_unreadable: column `lat` is not a number: `NaN` — write a number such as 41.163066
    line 10: error geometry_missing: the latitude is empty — give the place its coordinates, or leave the row out
    line 11: error radius_missing: a point needs a radius, and there is none — add a column or property `radius` in metres, or pass a radius for all with `radius=`
    line 12: error radius_invalid: radius -5.0 is not above 0 metres — give metres, above 0 and at most 1,000,000
    line 13: error radius_invalid: radius 1e308 m is above the limit of 1000000 m — give metres, above 0 and at most 1,000,000
    line 14: error duplicate_identity: `stands/1` appears again, first in line 2 — the first one is kept; give each geofence an id of its own
    line 15: error column_extra: the row has 6 fields, the header 5 — put texts that contain the separator in double quotes
    line 16: error longitude_out_of_range: longitude 181.0 is not in -180 to 180 — give degrees (WGS84), not metres or degrees and minutes
    line 19: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    line 20: warning overlap: this overlaps feature 1 in line 2, which has the same tag (1 more like it) — nothing to do, if that is meant: a customer may be in both, and a campaign for the tag sees two entries
    line 20: warning radius_small: the radius is 30 m, below 100 m — phones in the background miss visits to circles below 100 m; use 100 m or more, beacons or codes
    line 17: warning null_island: latitude and longitude are both 0, a place in the Atlantic — leave the row out if the place isn't known
    ");
}

#[test]
fn a_file_without_the_needed_columns_is_refused_with_those_it_has() {
    let why = |text| read_text(Format::Csv, text, &options()).unwrap_err();
    assert_snapshot!(why("a,b,lon\n1,2,3\n"), @"line 1: no column for `externalId` (or `id`) and `latitude`; the first line must name the columns, and these were found: `a`, `b`, `lon`");
    assert_snapshot!(why("1,Agra,41.17,-8.6\n"), @"line 1: the columns have no names: the first line seems to be data, `1`, `Agra`, `41.17`, `-8.6`; put a line such as `id,name,latitude,longitude` before it, or name all 4 columns with `columns=`");
    assert!(matches!(why(" \n"), FileError::Empty));
}

/// However many columns there are, messages name a few of them.
#[test]
fn columns_are_bounded_and_so_are_messages() {
    let names = |count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("c{number}")).collect();
        names.join(",")
    };
    let refused = |text: &str| read_text(Format::Csv, text, &options()).unwrap_err().to_string();
    assert_snapshot!(refused(&names(10)), @"line 1: no column for `externalId` (or `id`) and `latitude` and `longitude`; the first line must name the columns, and these were found: `c0`, `c1`, `c2`, `c3`, `c4`, `c5`, `c6`, `c7` and 2 more");
    assert_snapshot!(refused(&names(2_001)), @"line 1: the first line, which names the columns, has 2001 of them in 8895 bytes; at most 2000 columns and 65536 bytes are read; is a double quote not closed?");
    assert_snapshot!(refused(&format!("id,lat,lon,{}\n", "x".repeat(70_000))), @"line 1: the first line, which names the columns, has 4 of them in 70008 bytes; at most 2000 columns and 65536 bytes are read; is a double quote not closed?");
    let options = ReadOptions {
        columns: Some(vec!["id".to_owned(); 2_001]),
        ..options()
    };
    assert!(matches!(
        read_text(Format::Csv, "a,1,2\n", &options),
        Err(FileError::HeaderTooLong { columns: 2_001, .. })
    ));
    let short = csv(&format!("id,lat,lon,{}\na,1,2\n", names(1_997)), &with_radius(100.0));
    assert_snapshot!(findings(&short), @"line 2: error column_missing: the row has 3 of 2000 fields; `c0`, `c1`, `c2`, `c3`, `c4`, `c5`, `c6`, `c7` and 1989 more are missing — give every row as many fields as the header, empty ones too");
}

#[test]
fn names_stand_for_missing_ids_with_a_warning() {
    let reading = csv("name,lat,lon\nAgra,41.1,-8.6\nFoz,41.2,-8.7\n", &with_radius(100.0));
    assert_eq!(ids(&reading), ["stands/Agra", "stands/Foz"]);
    assert_snapshot!(findings(&reading), @"line 2: warning id_from_name: there is no id; the name stands for it (1 more like it) — add `externalId`: with a new name it would be a new geofence");
}

#[test]
fn other_encodings_and_line_ends_are_read() {
    let bytes = b"id,name,lat,lon\rx,TROPISUE\xd1O,1,2\ry,z,north,2\r";
    let reading = read(&bytes[..], Format::Csv, &with_radius(100.0)).unwrap();
    assert_eq!(reading.geofences[0].description.as_deref(), Some("TROPISUEÑO"));
    assert_snapshot!(findings(&reading), @r"
    line 3: error number_unreadable: column `lat` is not a number: `north` — write a number such as 41.163066
    note encoding_guessed: the file is not UTF-8; it was read as Windows-1252 — check the accents, or save the file as UTF-8
    ");
}

#[test]
fn findings_and_rows_are_limited() {
    let mut options = with_radius(50.0);
    options.limits = Limits {
        findings_max: 2,
        features_max: 6,
        ..Limits::default()
    };
    let text = "id,lat,lon\n1,x,0\n2,x,0\n3,x,0\n4,x,0\n5,1,1\n";
    let reading = csv(text, &options);
    assert_eq!((reading.rejected, reading.geofences.len()), (4, 1));
    assert_snapshot!(findings(&reading), @r"
    line 2: error number_unreadable: column `lat` is not a number: `x` — write a number such as 41.163066
    line 3: error number_unreadable: column `lat` is not a number: `x` — write a number such as 41.163066
    line 6: warning radius_small: the radius is 50 m, below 100 m — phones in the background miss visits to circles below 100 m; use 100 m or more, beacons or codes
    note findings_capped: more errors are left out: 2 number_unreadable — mend these and try again
    ");
    let more = format!("{text}6,1,1\n7,1,1\n");
    let error = read_text(Format::Csv, &more, &options).unwrap_err();
    assert!(matches!(error, FileError::TooManyFeatures { features_max: 6 }));
}

#[test]
fn a_header_alone_warns() {
    let reading = csv("id,lat,lon\n", &options());
    assert_snapshot!(findings(&reading), @"warning nothing_found: the file holds no rows or features — an upload of it is refused while the set has geofences");
}

#[test]
fn findings_are_camel_case_in_json() {
    let reading = csv("id,lat,lon\n1,x,0\n", &options());
    assert_json_snapshot!(reading.findings, @r#"
    [
      {
        "severity": "error",
        "code": "number_unreadable",
        "line": 2,
        "feature": 1,
        "detail": "column `lat` is not a number: `x`",
        "hint": "write a number such as 41.163066"
      }
    ]
    "#);
}

#[test]
fn beacons_and_codes_are_checked() {
    let text = "id|lat|lon|radius|beacons|codes|enabled|metadata\n\
        1|1|2|100|[{\"type\":\"ibeacon\",\"uuid\":\"f7826da6-4fa2-4e98-8024-bc5b71e0893e\",\"major\":1,\"minor\":2}]|a;b|yes|{\"floor\":2}\n\
        2|1|2|100|[{\"type\":\"ibeacon\"}]|||\n\
        3|1|2|100|||maybe|\n\
        4|1|2|100||||[1]\n";
    // The quotes of unquoted JSON fields are literal: they don't begin the field.
    let reading = csv(text, &options());
    assert_eq!(reading.geofences.len(), 1);
    let fence = &reading.geofences[0];
    assert_eq!((fence.beacons.len(), fence.codes.len()), (1, 2));
    assert_eq!(fence.metadata.to_map()["floor"], 2);
    assert!(matches!(fence.shape, Shape::Circle { radius_m: 100.0, .. }));
    assert_snapshot!(findings(&reading), @r#"
    line 3: error beacons_invalid: the beacons can't be read (missing field `uuid` at line 1 column 20): `[{"type":"ibeacon"}]` — write a list like [{"type": "ibeacon", "uuid": "...", "major": 1, "minor": 2}]
    line 4: error enabled_invalid: `enabled` is neither true nor false: `maybe` — write true or false, or leave it out
    line 5: error metadata_invalid: `metadata` is no JSON object: `[1]` — write an object like {"floor": 2}, or give each field a name like `metadata.floor`
    "#);
}

#[test]
fn an_unclosed_quote_is_guessed() {
    let text = ",id,lat,lon\n0,1,1,1\n1,\"2,1,1\n2,3,1,1\n";
    let reading = csv(text, &with_radius(100.0));
    assert!(reading.geofences[0].metadata.is_empty());
    assert_snapshot!(findings(&reading), @"line 3: error column_missing: the row has 2 of 4 fields; `lat`, `lon` are missing — a double quote seems not to be closed: the text goes on over several lines");
}

#[test]
fn times_to_stay_and_hours_are_read() {
    let text = "id,lat,lon,dwell_threshold,operatingHours,opening_hours\n\
        1,1,2,PT10M,Mo-Fr 09:00-18:00,\n\
        2,1,2,90.5,,Sa 10:00-14:00\n\
        3,1,2,,,Mo-Fr 09:00-18:00; PH off\n\
        4,1,2,,sunrise-sunset,\n\
        5,1,2,0,,\n\
        6,1,2,ten minutes,,\n";
    let reading = csv(text, &with_radius(100.0));
    let told: Vec<_> = reading
        .geofences
        .iter()
        .map(|fence| (fence.dwell_threshold, &fence.operating_hours, &fence.metadata))
        .collect();
    assert_json_snapshot!(told, @r#"
    [
      [
        "PT10M",
        {
          "mon": [
            [
              "09:00",
              "18:00"
            ]
          ],
          "tue": [
            [
              "09:00",
              "18:00"
            ]
          ],
          "wed": [
            [
              "09:00",
              "18:00"
            ]
          ],
          "thu": [
            [
              "09:00",
              "18:00"
            ]
          ],
          "fri": [
            [
              "09:00",
              "18:00"
            ]
          ]
        },
        {}
      ],
      [
        "PT1M30.5S",
        {
          "sat": [
            [
              "10:00",
              "14:00"
            ]
          ]
        },
        {}
      ],
      [
        null,
        null,
        {
          "opening_hours": "Mo-Fr 09:00-18:00; PH off"
        }
      ]
    ]
    "#);
    assert_snapshot!(findings(&reading), @r"
    line 5: error operating_hours_invalid: the operating hours can't be read (`sunrise-sunset` is not understood; write days and times such as `Mo-Fr 09:00-18:00; Sa 10:00-14:00`, or `24/7`): `sunrise-sunset` — write days and times such as `Mo-Fr 09:00-18:00; Sa 10:00-14:00`, or leave them out
    line 6: error dwell_threshold_invalid: this is no time to stay: `0` — write seconds such as 600 or an ISO 8601 duration such as PT10M, above zero and at most 7 days
    line 7: error dwell_threshold_invalid: this is no time to stay: `ten minutes` — write seconds such as 600 or an ISO 8601 duration such as PT10M, above zero and at most 7 days
    line 3: warning duplicate_geometry: this is where feature 1 in line 2 is, with the same shape and tag (1 more like it) — leave one of them out: a customer there would be in both
    ");
}

#[test]
fn a_column_may_hold_shapes() {
    let text = "id;the_geom;radius;shape_length\n\
        1;POINT (8.5 47.3);120;1\n\
        2;POLYGON ((8 47, 9 47, 9 48, 8 47));;2\n\
        3;LINESTRING (8 47, 9 47);;3\n\
        4;8.5 47.3;;4\n\
        5;\\N;;5\n\
        6;POINT EMPTY;;6\n";
    let reading = csv(text, &options());
    assert_eq!(ids(&reading), ["stands/1", "stands/2"]);
    assert!(matches!(
        reading.geofences[0].shape,
        Shape::Circle { radius_m: 120.0, .. }
    ));
    assert_snapshot!(findings(&reading), @r"
    line 4: error geometry_unsupported: a line can't be a geofence — use a point with a radius, a polygon or a multipolygon
    line 5: error coordinates_invalid: column `the_geom` is no well-known text: byte 0: expected a geometry type such as POINT, POLYGON or MULTIPOLYGON, found `8.5` — write a geometry such as POINT (8.54 47.38) or POLYGON ((...)), longitude first
    line 6: error geometry_missing: the geometry is empty — give the place a geometry, or leave the row out
    line 7: error geometry_missing: there is no geometry — draw a point or polygon for it, or leave it out
    line 3: warning overlap: this overlaps feature 1 in line 2, which has the same tag (1 more like it) — nothing to do, if that is meant: a customer may be in both, and a campaign for the tag sees two entries
    ");
    let reading = csv("id,lat,lon,shape\n1,1,2,round\n", &with_radius(100.0));
    assert_eq!(reading.geofences[0].metadata.to_map()["shape"], "round");
}

#[test]
fn columns_may_be_named_for_a_file_without_a_header() {
    let columns = |names: &[&str]| ReadOptions {
        columns: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        ..with_radius(100.0)
    };
    let text = "7,Foz,41.2,-8.6\n8,\\N,41.3,-8.7\n";
    let reading = read_text(Format::Csv, text, &columns(&["id", "name", "lat", "lon"])).unwrap();
    assert_eq!(ids(&reading), ["stands/7", "stands/8"]);
    assert_eq!(reading.geofences[1].description, None);
    let error = read_text(Format::Csv, text, &columns(&["id", "name"])).unwrap_err();
    assert!(matches!(error, FileError::ColumnsMissing { line: 1, .. }));
}

#[test]
fn a_quote_that_is_never_closed_does_not_take_the_file_into_memory() {
    let mut options = with_radius(100.0);
    options.limits.feature_bytes_max = 1_000;
    let text = format!("id,lat,lon\n1,1,1\n\n2,\"{}", "1,1\n".repeat(100_000));
    let error = read_text(Format::Csv, &text, &options).unwrap_err();
    assert_snapshot!(error, @"line 4: the row that begins here is longer than 1000 bytes; a double quote seems not to be closed");
    let binary = read(b"id,lat,lon\n\x01\0\x02", Format::Csv, &options).unwrap_err();
    assert_snapshot!(binary, @"line 2: the byte 0x00 is in no text; is this another kind of file? Save it as UTF-8");
}

#[test]
fn how_presence_is_told_may_be_said_for_each_place() {
    let text = "id,lat,lon,enter_at,Exit At,exitAfterFixes,rssi_min,crossed,beacons\n\
        1,1,2,0.75,0.95,3,-80,yes,\"[{\"\"type\"\": \"\"ibeacon\"\", \"\"uuid\"\": \"\"f7826da6-4fa2-4e98-8024-bc5b71e0893e\"\"}]\"\n\
        2,1,3,,,,,,\n\
        3,1,4,0.4,,,,,\n\
        4,1,5,,1,,,,\n\
        5,1,6,,,2.5,,,\n\
        6,1,7,,,,5,,\n\
        7,1,8,,,,,perhaps,\n";
    let reading = csv(text, &with_radius(100.0));
    let own = PresenceOptions {
        enter_at: Some(0.75),
        exit_at: Some(0.95),
        exit_after_fixes: Some(3),
        beacon_rssi_min_dbm: Some(-80),
        crossed: Some(true),
    };
    let told: Vec<_> = reading
        .geofences
        .iter()
        .map(|fence| fence.presence.as_deref())
        .collect();
    assert_eq!(told, [Some(&own), None]);
    assert_snapshot!(findings(&reading), @r"
    line 4: error presence_invalid: this is no such probability: `0.4` — write a number from 0.5 to 0.999, such as 0.9
    line 5: error presence_invalid: this is no such probability: `1` — write a number from 0.5 to 0.999, such as 0.9
    line 6: error presence_invalid: this is no number of fixes: `2.5` — write a whole number from 1 to 255
    line 7: error presence_invalid: this is no strength of a signal: `5` — write dBm from -127 to 0, such as -80
    line 8: error presence_invalid: `crossed` is neither true nor false: `perhaps` — write true or false, or leave it out
    ");
    assert_eq!(
        reading.geofences[0].beacons[0].to_string(),
        "f7826da6-4fa2-4e98-8024-bc5b71e0893e"
    );
}
