use insta::assert_snapshot;

use super::data;
use crate::{
    domain::time::Timestamp,
    files::{Columns, FileError, Finding, Track, TrackPoint},
};

fn points(text: &str, columns: &str) -> Vec<Result<TrackPoint, Finding>> {
    let columns: Columns = columns.parse().unwrap();
    Track::open(text.as_bytes(), &columns).unwrap().collect()
}

#[test]
fn times_are_seconds_milliseconds_or_rfc_3339() {
    let text = "user_id;tracked_at;latitude;longitude;accuracy\r\n\
        1;2015-11-27T08:00:00Z;47.37;8.54;12\r\n\
        1;1448611200;47.37;8.54;\r\n\
        1;1448611200000;\"47.37\";8,54;-1\r\n";
    let points: Vec<TrackPoint> = points(text, "").into_iter().map(Result::unwrap).collect();
    assert!(points.iter().all(|point| point.at == Timestamp(1_448_611_200_000)));
    assert!(points.iter().all(|point| point.position.longitude == 8.54));
    let accuracies: Vec<Option<f64>> = points.iter().map(|point| point.accuracy_m).collect();
    assert_eq!(accuracies, [Some(12.0), None, None]);
    assert_eq!(points[2].line, 4);
}

#[test]
fn columns_can_be_named() {
    let points = points(
        "TIMESTAMP,who,n,e\n0,cab,41,-8\n",
        "device=who, latitude=N, longitude=e",
    );
    assert_eq!(points[0].as_ref().unwrap().device.as_str(), "cab");
    assert!("device".parse::<Columns>().is_err());
    assert_snapshot!("speed=v".parse::<Columns>().unwrap_err(), @"`speed=v` is not like `device=taxi,time=ts`; what can be named is device, time, latitude, longitude and accuracy");
    let missing = Track::open(&b"utc_ms,lat,lon\n"[..], &"accuracy=h".parse().unwrap()).unwrap_err();
    assert_snapshot!(missing, @"line 1: no column for `device` and `h`; the first line must name the columns, and these were found: `utc_ms`, `lat`, `lon`");
}

#[test]
fn a_broken_row_is_named_and_the_next_one_read() {
    let text = "\u{feff}device,time,lat,lon\n\na,noon,41,-8\na,0,41-8\n,0,41,-8\na,0,141,-8\na,0,x,-8\na,0,41,-8\n";
    let points = points(text, "");
    let errors: Vec<String> = points
        .iter()
        .filter_map(|point| point.as_ref().err())
        .map(ToString::to_string)
        .collect();
    assert_eq!(points.len(), 6);
    assert!(points[5].as_ref().is_ok_and(|point| point.line == 8));
    assert_snapshot!(errors.join("\n"), @r"
    line 3: error time_unreadable: column `time` is not a time: `noon` — write unix seconds, unix milliseconds or a time with zone such as 2026-11-22T08:30:00Z
    line 4: error column_missing: the row has 3 of 4 fields; `lon` is missing — give every row as many fields as the header, empty ones too
    line 5: error id_invalid: the device `` must not be empty — name the device in every row
    line 6: error latitude_out_of_range: latitude 141.0 is not in -90 to 90 — latitude and longitude seem to be swapped
    line 7: error number_unreadable: column `lat` is not a number: `x` — write a number such as 41.163066
    ");
}

#[test]
fn endless_lines_end_the_track() {
    let text = format!("device,time,lat,lon\n{}\na,0,1,1\n", "x".repeat(100_000));
    let points = points(&text, "");
    assert_eq!(points.len(), 1);
    assert!(points[0].is_err());
    assert!(matches!(
        Track::open(&b""[..], &Columns::default()),
        Err(FileError::Empty)
    ));
}

#[test]
fn real_tracks_are_read() {
    for (name, columns, count) in [
        ("porto_taxi_points_sorted.csv", "", 47_304),
        ("zurich_phone_google_history.csv", "", 416),
        ("zurich_gpsies.csv", "", 247),
        ("sf_car_ublox_10hz.csv", "device=utc_ms", 579),
    ] {
        let Some(path) = data(&format!("trajectories/{name}")) else {
            continue;
        };
        let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
        let track = Track::open(file, &columns.parse().unwrap()).unwrap();
        assert_eq!(track.flatten().count(), count, "{name}");
    }
}
