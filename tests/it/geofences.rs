//! Single geofences and search.

use serde_json::{Value, json};

use crate::{
    geofence_sets::{CSV, at, file, ids, upload},
    harness::World,
};

#[test]
fn a_single_geofence_is_put_read_changed_and_removed_at_once() {
    let world = World::start();
    let (api, path) = (&world.api, "/v1/geofences/café/№ 1");
    let path = path
        .replace(' ', "%20")
        .replace('é', "%C3%A9")
        .replace('№', "%E2%84%96");
    let body = json!({
        "latitude": 47.0, "longitude": 8.5, "radius": 150, "description": "Corner", "brand": "sunrise",
        "codes": ["c-1"], "metadata": {"floor": 2},
        "dwellThreshold": "PT5M", "operatingHours": {"mon": [["09:00", "18:00"]]},
        "enterAt": 0.75, "exitAt": 0.95, "exitAfterFixes": 3, "beaconRssiMin": -80, "crossed": true,
        "beacons": [{"type": "ibeacon", "uuid": "f7826da6-4fa2-4e98-8024-bc5b71e0893e", "major": 7}],
    });
    let created = api.json("PUT", &path, &body);
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.body["set"], "singles");
    assert_eq!(at(api, 47.0), ["№ 1"]);
    // What is answered can be sent back.
    let read = api.get(&path);
    for field in [
        "enterAt",
        "exitAt",
        "exitAfterFixes",
        "beaconRssiMin",
        "crossed",
        "beacons",
    ] {
        assert_eq!(read[field], body[field], "{field}");
    }
    assert_eq!(api.json("PUT", &path, &read).status, 200);
    assert_eq!(api.get(&path), read);
    // What is exported imports back as it was.
    let exported = api.call("GET", "/v1/geofence-sets/singles.geojson", "", &[]).body;
    let imported = api.ok("PUT", "/v1/geofence-sets/singles", &exported);
    assert_eq!(
        (&imported["unchanged"], &imported["accepted"]),
        (&json!(1), &json!(1)),
        "{imported}"
    );
    assert_eq!(api.get(&path), read);
    let feature = json!({
        "type": "Feature", "properties": {"enabled": false},
        "geometry": {"type": "Polygon", "coordinates": [[[8.4, 47.4], [8.6, 47.4], [8.6, 47.6], [8.4, 47.4]]]},
    });
    assert_eq!(api.json("PUT", &path, &feature).status, 200);
    assert_eq!(
        (at(api, 47.0), at(api, 47.45)),
        (vec![], vec![]),
        "a disabled one matches nothing"
    );
    assert_eq!(api.get(&path)["enabled"], false);
    let mut enabled = api.get(&path);
    enabled["enabled"] = json!(true);
    assert_eq!(api.json("PUT", &path, &enabled).status, 200);
    let world = world.restart();
    assert_eq!(at(&world.api, 47.45), ["№ 1"]);
    assert_eq!(world.api.call("DELETE", &path, "", &[]).status, 204);
    assert_eq!(world.api.call("DELETE", &path, "", &[]).status, 404);
    assert_eq!(at(&world.api, 47.45), Vec::<String>::new());
    let world = world.restart();
    assert_eq!(at(&world.api, 47.45), Vec::<String>::new());
}

#[test]
fn a_single_geofence_that_is_wrong_is_refused_with_the_place() {
    let world = World::start();
    let put = |body: Value| world.api.json("PUT", "/v1/geofences/shop/1", &body);
    let cases = [
        (
            json!({"latitude": 47.0, "longitude": 8.5, "radius": -1}),
            "/radius",
            "radius_invalid",
        ),
        (
            json!({"latitude": 97.0, "longitude": 8.5, "radius": 100}),
            "/geometry/coordinates",
            "latitude_out_of_range",
        ),
        (
            json!({"latitude": 47.0, "longitude": 8.5, "radius": 100, "tag": "other"}),
            "/tag",
            "field_invalid",
        ),
        (
            json!({"latitude": 47.0, "longitude": 8.5, "radius": 100, "set": 7}),
            "/set",
            "field_invalid",
        ),
        (json!({"radius": 100}), "/geometry", "geometry_missing"),
    ];
    for (body, pointer, code) in cases {
        let answer = put(body.clone());
        assert!((400..500).contains(&answer.status), "{body}: {answer:?}");
        let error = &answer.body["errors"][0];
        assert_eq!(
            (&error["pointer"], &error["code"]),
            (&json!(pointer), &json!(code)),
            "{body}: {answer:?}"
        );
    }
    assert_eq!(put(json!([])).status, 400);
    assert_eq!(world.api.call("GET", "/v1/geofences/shop/1", "", &[]).status, 404);
}

#[test]
fn a_single_edit_of_an_uploaded_set_lasts_until_its_next_upload() {
    let world = World::start();
    let rows = [("a", 47.0), ("b", 47.1)];
    upload(&world.api, "", &rows);
    let moved = json!({"latitude": 47.2, "longitude": 8.5, "radius": 150});
    assert_eq!(world.api.ok("PUT", "/v1/geofences/shops/a", &moved)["set"], "shops");
    assert_eq!(world.api.call("DELETE", "/v1/geofences/shops/b", "", &[]).status, 204);
    let world = world.restart();
    assert_eq!((at(&world.api, 47.0), at(&world.api, 47.1)), (vec![], vec![]));
    assert_eq!(at(&world.api, 47.2), ["a"]);
    let told = upload(&world.api, "", &rows);
    assert_eq!(
        (&told["changed"], &told["added"], &told["version"]),
        (&json!(1), &json!(1), &json!(2))
    );
    assert_eq!(
        (at(&world.api, 47.0), at(&world.api, 47.2)),
        (vec!["a".to_owned()], vec![])
    );
    let world = world.restart();
    assert_eq!(
        (at(&world.api, 47.0), at(&world.api, 47.1)),
        (vec!["a".to_owned()], vec!["b".to_owned()])
    );
}

#[test]
fn many_single_edits_are_packed_and_none_is_lost() {
    let world = World::start();
    for number in 0..300_u32 {
        let body = json!({"latitude": 40.0 + f64::from(number) * 0.005, "longitude": 8.5, "radius": 150});
        world.api.ok("PUT", &format!("/v1/geofences/shop/{number}"), &body);
        if number % 50 == 0 {
            assert_eq!(at(&world.api, 40.0 + f64::from(number) * 0.005), [number.to_string()]);
        }
    }
    for number in (0..300_u32).step_by(37) {
        assert_eq!(at(&world.api, 40.0 + f64::from(number) * 0.005), [number.to_string()]);
    }
    assert_eq!(world.api.get("/v1/geofence-sets")["items"][0]["count"], 300);
    let world = world.restart();
    assert_eq!(world.api.get("/v1/geofence-sets")["items"][0]["count"], 300);
}

#[test]
fn geofences_are_searched_by_distance_box_tag_and_page() {
    let world = World::start();
    let api = &world.api;
    let rows: Vec<(String, f64)> = (0..25)
        .map(|n| (format!("{n:02}"), 47.0 + f64::from(n) * 0.01))
        .collect();
    let rows: Vec<(&str, f64)> = rows.iter().map(|(id, latitude)| (id.as_str(), *latitude)).collect();
    upload(api, "?tag=shop", &rows);
    api.ok(
        "PUT",
        "/v1/geofences/gate/00",
        &json!({"latitude": 47.1, "longitude": 8.5, "radius": 150}),
    );
    let near = api.get("/v1/geofences?near=47.1,8.5&radius=1500");
    assert_eq!(ids(&near["items"]), ["00", "10", "09", "11"]);
    let metres: Vec<f64> = near["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| item["distance"].as_f64().expect("metres"))
        .collect();
    assert!(
        metres[1] == 0.0 && (metres[2] - (1111.8 - 150.0)).abs() < 2.0,
        "{metres:?}"
    );
    assert_eq!(
        ids(&api.get("/v1/geofences?near=47.1,8.5&radius=1500&tag=shop&limit=2")["items"]),
        ["10", "09"]
    );
    assert_eq!(
        ids(&api.get("/v1/geofences?bbox=8.4,47.045,8.6,47.075")["items"]),
        ["05", "06", "07"]
    );
    let both = "near=47.1,8.5&radius=5000&bbox=8.4,47.045,8.6,47.075";
    assert_eq!(ids(&api.get(&format!("/v1/geofences?{both}"))["items"]), ["07", "06"]);
    let mut path = "/v1/geofences?tag=shop&limit=10".to_owned();
    let mut listed = Vec::new();
    loop {
        let page = api.get(&path);
        listed.extend(ids(&page["items"]));
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        path = format!("/v1/geofences?tag=shop&limit=10&cursor={cursor}");
    }
    assert_eq!(listed, rows.iter().map(|(id, _)| (*id).to_owned()).collect::<Vec<_>>());
    for wrong in [
        "near=47.1",
        "near=97,8",
        "bbox=1,2,3",
        "bbox=1,5,2,4",
        "radius=-1",
        "cursor=x",
        "nearr=1,1",
    ] {
        let answer = api.call("GET", &format!("/v1/geofences?{wrong}"), "", &[]);
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (400, &json!("parameter_invalid")),
            "{wrong}: {answer:?}"
        );
    }
}

#[test]
fn what_a_restart_shows_is_what_was_shown_before_it() {
    let world = World::start();
    let put = |world: &World, latitude: f64| {
        let body = json!({"latitude": latitude, "longitude": 8.5, "radius": 150});
        world.api.ok("PUT", "/v1/geofences/shops/a", &body);
    };
    let delete = |world: &World| assert_eq!(world.api.call("DELETE", "/v1/geofences/shops/a", "", &[]).status, 204);
    upload(&world.api, "", &[("a", 47.0), ("b", 47.1)]);
    delete(&world);
    put(&world, 47.2);
    assert_eq!(
        (at(&world.api, 47.0), at(&world.api, 47.2)),
        (vec![], vec!["a".to_owned()])
    );
    let world = world.restart();
    assert_eq!(
        (at(&world.api, 47.0), at(&world.api, 47.2)),
        (vec![], vec!["a".to_owned()])
    );
    delete(&world);
    let world = world.restart();
    assert_eq!(
        (at(&world.api, 47.0), at(&world.api, 47.2)),
        (Vec::<String>::new(), vec![])
    );
    // The same identity in two sets: one goes, the other appears, before and after a restart.
    upload(&world.api, "", &[("a", 47.0)]);
    let path = "/v1/geofence-sets/aaa?tag=shops";
    assert_eq!(
        world.api.call("PUT", path, CSV, file(&[("a", 47.5)]).as_bytes()).status,
        200
    );
    assert_eq!(
        (at(&world.api, 47.0), at(&world.api, 47.5)),
        (vec!["a".to_owned()], vec![])
    );
    delete(&world);
    assert_eq!(
        (at(&world.api, 47.0), at(&world.api, 47.5)),
        (vec![], vec!["a".to_owned()])
    );
    let world = world.restart();
    assert_eq!(
        (at(&world.api, 47.0), at(&world.api, 47.5)),
        (vec![], vec!["a".to_owned()])
    );
    delete(&world);
    let world = world.restart();
    assert_eq!(
        (at(&world.api, 47.0), at(&world.api, 47.5)),
        (Vec::<String>::new(), vec![])
    );
}
