//! Uploaded geofence sets: dry runs, versions, exports, and who is inside when they change.

use std::process::Command;

use beckon::domain::time::DurationMs;
use serde_json::{Value, json};

use crate::harness::{Api, World, fix, kinds};

pub(crate) const CSV: &str = "text/csv";

/// A file of circles of 150 m: id and latitude in each row.
pub(crate) fn file(rows: &[(&str, f64)]) -> String {
    rows.iter()
        .fold("id,lat,lon,radius\n".to_owned(), |text, (id, latitude)| {
            format!("{text}{id},{latitude},8.5,150\n")
        })
}

pub(crate) fn upload(api: &Api, query: &str, rows: &[(&str, f64)]) -> Value {
    let path = format!("/v1/geofence-sets/shops{query}");
    let answer = api.call("PUT", &path, CSV, file(rows).as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// Ids of the geofences at a latitude.
pub(crate) fn at(api: &Api, latitude: f64) -> Vec<String> {
    let context = api.get(&format!("/v1/context?latitude={latitude}&longitude=8.5"));
    ids(&context["geofences"])
}

pub(crate) fn ids(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list");
    list.iter()
        .map(|item| item["externalId"].as_str().expect("an id").to_owned())
        .collect()
}

#[test]
fn a_dry_run_tells_the_difference_and_changes_nothing() {
    let world = World::start();
    upload(&world.api, "", &[("same", 47.0), ("moved", 47.1), ("gone", 47.2)]);
    let new = [("same", 47.0), ("moved", 47.15), ("new", 47.3)];
    let told = upload(&world.api, "?dryRun=true", &new);
    for (kind, id) in [
        ("added", "new"),
        ("changed", "moved"),
        ("unchanged", "same"),
        ("removed", "gone"),
    ] {
        assert_eq!(
            (&told[kind], ids(&told["identities"][kind])),
            (&json!(1), vec![id.to_owned()]),
            "{told}"
        );
    }
    assert_eq!(told["version"], Value::Null);
    assert_eq!(
        (at(&world.api, 47.2), at(&world.api, 47.3)),
        (vec!["gone".to_owned()], vec![])
    );
    let done = upload(&world.api, "", &new);
    assert_eq!(
        (&done["version"], &done["identities"]),
        (&json!(2), &told["identities"])
    );
    assert_eq!(
        (at(&world.api, 47.2), at(&world.api, 47.3)),
        (vec![], vec!["new".to_owned()])
    );
}

#[test]
fn earlier_versions_can_be_made_live_again_and_survive_a_restart() {
    let world = World::start();
    for version in 1..=12 {
        let told = upload(&world.api, "", &[("shop", 47.0 + f64::from(version) / 10.0)]);
        assert_eq!(told["version"], version);
    }
    let versions = world.api.get("/v1/geofence-sets/shops/versions");
    let numbers: Vec<u64> = versions["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| item["version"].as_u64().expect("a number"))
        .collect();
    assert_eq!(numbers, [12, 11, 10, 9, 8, 7, 6, 5, 4, 3]);
    let activate = |world: &World, version: u32| {
        let path = format!("/v1/geofence-sets/shops/versions/{version}/activate");
        world.api.call("POST", &path, "", &[])
    };
    assert_eq!(activate(&world, 2).status, 404);
    let answer = activate(&world, 5);
    assert_eq!((answer.status, &answer.body["changed"]), (200, &json!(1)));
    assert_eq!(at(&world.api, 47.5), ["shop"]);
    let world = world.restart();
    assert_eq!(
        (at(&world.api, 47.5), at(&world.api, 48.2)),
        (vec!["shop".to_owned()], vec![])
    );
    assert_eq!(upload(&world.api, "", &[("shop", 49.0)])["version"], 13);
}

#[test]
fn a_file_that_changes_nothing_makes_no_version() {
    let world = World::start();
    assert_eq!(upload(&world.api, "", &[("shop", 47.0)])["version"], 1);
    assert_eq!(upload(&world.api, "", &[("shop", 47.0)])["version"], 1);
    world.api.ok(
        "PUT",
        "/v1/geofences/shops/shop",
        &json!({"latitude": 47.5, "longitude": 8.5, "radius": 150}),
    );
    let again = upload(&world.api, "", &[("shop", 47.0)]);
    assert_eq!((&again["version"], &again["changed"]), (&json!(2), &json!(1)));
}

#[test]
fn an_identity_of_another_set_is_told() {
    let world = World::start();
    upload(&world.api, "?tag=shop", &[("1", 47.0), ("2", 47.1)]);
    let path = "/v1/geofence-sets/more?tag=shop";
    let told = world
        .api
        .call("PUT", path, CSV, file(&[("2", 47.2), ("3", 47.3)]).as_bytes());
    let warning = &told.body["warnings"][0];
    assert_eq!(warning["code"], "identity_elsewhere", "{told:?}");
    assert!(
        warning["detail"].as_str().expect("text").starts_with("1 of"),
        "{warning}"
    );
    assert_eq!(
        (at(&world.api, 47.1), at(&world.api, 47.2)),
        (vec!["2".to_owned()], vec![])
    );
    assert_eq!(world.api.call("DELETE", "/v1/geofence-sets/shops", "", &[]).status, 204);
    assert_eq!(
        at(&world.api, 47.2),
        ["2"],
        "it counts as soon as the other one is gone"
    );
}

#[test]
fn who_is_inside_a_geofence_that_moves_leaves_or_stays_by_where_they_are() {
    let world = World::start();
    let here = fix("phone", 47.0, 8.5);
    let next = |world: &World| {
        world.clock.advance(DurationMs::from_secs(60));
        kinds(&world.api.check_in(&here)[0])
    };
    upload(&world.api, "", &[("shop", 47.0)]);
    assert_eq!(next(&world), ["entered shop"]);
    upload(&world.api, "", &[("shop", 47.0001)]);
    assert_eq!(
        next(&world),
        Vec::<String>::new(),
        "still inside, so that nothing has happened"
    );
    upload(&world.api, "", &[("shop", 47.1)]);
    assert_eq!(next(&world), ["exited shop"]);
    upload(&world.api, "", &[("shop", 47.0)]);
    assert_eq!(next(&world), ["entered shop"]);
    upload(&world.api, "", &[("other", 47.1)]);
    assert_eq!(
        next(&world),
        Vec::<String>::new(),
        "one that is gone is missed at first"
    );
    // Whether the timer or the check-in is first to find it missing for a minute.
    world.clock.advance(DurationMs::from_secs(60));
    let left = world.api.check_in(&here);
    assert_eq!(left[0]["geofences"], json!([]), "and then left");
}

#[test]
fn an_export_comes_back_as_it_went_out() {
    let world = World::start();
    let body = json!({"type": "FeatureCollection", "features": [
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [8.123_456_789_012, -47.1]},
         "properties": {"externalId": "1", "tag": "a", "radius": 123.456, "enabled": false, "codes": ["x", "y"]}},
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[179.5, 1], [-179.5, 1], [-179.5, 2], [179.5, 1]]]},
         "properties": {"externalId": "2", "tag": "b", "description": "Fiji", "brand": "sunrise", "metadata": {"x": [1]}}},
    ]});
    world.api.ok("PUT", "/v1/geofence-sets/a", &body);
    let exported = world.api.get("/v1/geofence-sets/a.geojson");
    assert_eq!(exported["features"].as_array().map(Vec::len), Some(2));
    let again = world.api.ok("PUT", "/v1/geofence-sets/a?dryRun=true", &exported);
    assert_eq!(again["unchanged"], 2, "{again}");
    world.api.ok(
        "PUT",
        "/v1/geofence-sets/empty",
        &json!({"type": "FeatureCollection", "features": []}),
    );
    let empty = world.api.get("/v1/geofence-sets/empty");
    assert_eq!(empty["features"], json!([]));
    assert_eq!(world.api.call("GET", "/v1/geofence-sets/nothing", "", &[]).status, 404);
}

#[test]
fn the_command_line_imports_exports_and_goes_back() {
    let world = World::start();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let beckon = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_beckon"))
            .arg("geofences")
            .args(arguments)
            .env("BECKON_URL", &world.api.base)
            .env("BECKON_KEY", &world.api.key)
            .output()
            .expect("beckon starts");
        let text = String::from_utf8(output.stdout).expect("text") + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    std::fs::write(path("shops.csv"), file(&[("a", 47.0), ("b", 47.1)])).expect("written");
    let (code, text) = beckon(&["check", &path("shops.csv")]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.ends_with("shops.csv: good: 2 read, 2 accepted, 0 rejected\n"),
        "{text}"
    );
    let (code, text) = beckon(&["import", &path("shops.csv")]);
    assert_eq!(code, Some(0), "{text}");
    let all = "+ shops/a\n+ shops/b\n\
               set shops: version 1 is live: 2 read, 2 accepted, 0 rejected; 2 added, 0 changed, 0 unchanged, 0 removed\n";
    assert_eq!(text, all);
    std::fs::write(path("shops.csv"), file(&[("a", 47.5)])).expect("written");
    let (_, text) = beckon(&["import", &path("shops.csv"), "--dry-run"]);
    assert!(
        text.starts_with("~ shops/a\n- shops/b\nset shops: nothing was changed (dry run): 1 read"),
        "{text}"
    );
    beckon(&["import", &path("shops.csv")]);
    let (_, text) = beckon(&["versions", "shops"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("version    2") && lines[0].ends_with("live"),
        "{text}"
    );
    let (code, text) = beckon(&["activate", "shops", "1"]);
    assert_eq!((code, at(&world.api, 47.1)), (Some(0), vec!["b".to_owned()]), "{text}");
    assert_eq!(beckon(&["activate", "shops", "9"]).0, Some(1));
    let (code, text) = beckon(&["export", "shops", "-o", &path("out.geojson")]);
    assert_eq!(code, Some(0), "{text}");
    let (_, text) = beckon(&["import", &path("out.geojson"), "--set", "shops", "--dry-run"]);
    assert!(text.contains("0 added, 0 changed, 2 unchanged, 0 removed"), "{text}");
    let (code, text) = beckon(&["export", "nothing"]);
    assert!(code == Some(1) && text.contains("geofence_unknown"), "{text}");
}

#[test]
fn an_empty_file_empties_no_set_by_mistake() {
    let world = World::start();
    upload(&world.api, "", &[("a", 47.0)]);
    let empty = "id,lat,lon,radius\n";
    let refused = world.api.call("PUT", "/v1/geofence-sets/shops", CSV, empty.as_bytes());
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (422, &json!("set_would_be_empty")),
        "{refused:?}"
    );
    assert_eq!(at(&world.api, 47.0), ["a"]);
    let taken = world
        .api
        .call("PUT", "/v1/geofence-sets/shops?allowEmpty=true", CSV, empty.as_bytes());
    assert_eq!((taken.status, &taken.body["removed"]), (200, &json!(1)), "{taken:?}");
    assert_eq!(at(&world.api, 47.0), Vec::<String>::new());
}
