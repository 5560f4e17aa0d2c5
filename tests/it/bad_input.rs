//! Whatever is wrong is named, and the rest goes on.

use beckon::app::SystemClock;
use beckon::domain::time::DurationMs;
use beckon::engine::ports::Clock as _;
use serde_json::{Value, json};

use crate::harness::{Answer, World, fix, kinds};

/// Status, code and the first pointer of a problem.
fn gist(answer: &Answer) -> (u16, String, String) {
    assert_eq!(answer.kind, "application/problem+json", "{answer:?}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert_eq!(answer.body["status"], answer.status);
    assert!(answer.body["title"].is_string() && answer.body["detail"].is_string());
    (
        answer.status,
        text(&answer.body["code"]),
        text(&answer.body["errors"][0]["pointer"]),
    )
}

fn expect(answer: &Answer, status: u16, code: &str, pointer: &str) {
    assert_eq!(
        gist(answer),
        (status, code.to_owned(), pointer.to_owned()),
        "{answer:?}"
    );
}

#[test]
fn wrong_fields_are_named() {
    let world = World::start();
    let post = |body: Value| world.api.json("POST", "/v1/check-ins", &body);
    let located = |latitude: Value, longitude: Value, accuracy: Value| {
        post(json!({"deviceId": "p", "location": {"latitude": latitude, "longitude": longitude, "accuracy": accuracy}}))
    };
    expect(
        &located(json!(91), json!(0), json!(5)),
        400,
        "field_invalid",
        "/location/latitude",
    );
    expect(
        &located(json!(0), json!(-180.5), json!(5)),
        400,
        "field_invalid",
        "/location/longitude",
    );
    expect(
        &located(json!(0), json!(0), json!(-1)),
        400,
        "field_invalid",
        "/location/accuracy",
    );
    expect(
        &located(json!("NaN"), json!(0), json!(5)),
        400,
        "field_invalid",
        "/location/latitude",
    );
    expect(
        &post(json!({"location": {"latitude": 1, "longitude": 1}})),
        400,
        "field_invalid",
        "",
    );
    expect(
        &post(json!({"deviceId": "", "location": {"latitude": 1, "longitude": 1}})),
        400,
        "field_invalid",
        "/deviceId",
    );
    expect(&post(json!({"deviceId": "p"})), 400, "nothing_reported", "");
    expect(
        &post(json!({"deviceId": "p", "at": "noon", "code": "x"})),
        400,
        "field_invalid",
        "/at",
    );
    let future = SystemClock.now().plus(DurationMs::from_secs(400));
    expect(
        &post(json!({"deviceId": "p", "at": future, "code": "x"})),
        400,
        "time_in_future",
        "/at",
    );
    let soon = SystemClock.now().plus(DurationMs::from_secs(200));
    assert_eq!(post(json!({"deviceId": "p", "at": soon, "code": "x"})).status, 200);
    let event = json!({"type": "sale", "userId": "mia", "at": future});
    expect(
        &world.api.json("POST", "/v1/events", &event),
        400,
        "time_in_future",
        "/at",
    );
    let beacons = json!({"deviceId": "p", "beacons": [{"type": "ibeacon", "uuid": "f7826da6-4fa2-4e98-8024-bc5b71e0893e",
        "major": 70000, "minor": 1}]});
    assert_eq!(post(beacons).status, 400);
}

#[test]
fn broken_bodies_are_named() {
    let world = World::start();
    let post = |kind: &str, body: &[u8]| world.api.call("POST", "/v1/check-ins", kind, body);
    let broken = post(
        "application/json",
        b"{\"deviceId\": \"p\", \"location\": {\"latitude\": NaN}}",
    );
    expect(&broken, 400, "json_broken", "");
    assert!(
        broken.body["detail"]
            .as_str()
            .expect("a detail")
            .starts_with("broken JSON at byte 43"),
        "{broken:?}"
    );
    expect(&post("application/json", b""), 400, "json_broken", "");
    expect(
        &post("application/json", b"[{\"deviceId\": \"p\"}"),
        400,
        "json_broken",
        "",
    );
    expect(&post("image/png", b"{}"), 415, "content_type_unsupported", "");
    let deep = "[".repeat(100_000);
    expect(&post("application/json", deep.as_bytes()), 400, "json_broken", "");
    let large = vec![b' '; 1_100_000];
    expect(&post("application/json", &large), 413, "body_too_large", "");
    let many = json!(vec![fix("p", 1.0, 1.0); 501]);
    expect(
        &world.api.json("POST", "/v1/check-ins", &many),
        400,
        "too_many_items",
        "",
    );
}

#[test]
fn one_bad_item_does_not_take_the_others_with_it() {
    let world = World::start();
    world.api.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    let results = world.api.check_in(&json!([
        fix("p1", 46.5, 12.3),
        {"id": "bad", "deviceId": "p2", "location": {"latitude": 91, "longitude": 0}},
        42,
        fix("p3", 46.5, 12.3),
    ]));
    assert_eq!(kinds(&results[0]), ["entered one"]);
    assert_eq!(
        (&results[1]["status"], &results[1]["id"]),
        (&json!("rejected"), &json!("bad"))
    );
    assert_eq!(results[1]["problem"]["errors"][0]["pointer"], "/1/location/latitude");
    assert_eq!(results[2]["status"], "rejected");
    assert_eq!(kinds(&results[3]), ["entered one"]);
}

#[test]
fn keys_open_what_they_may() {
    let world = World::start();
    let check_in = fix("stranger", 46.5, 12.3);
    let mut ahead = check_in.clone();
    ahead["at"] = json!(SystemClock.now().plus(DurationMs::from_secs(400)));
    expect(
        &world.api.json("POST", "/v1/check-ins", &ahead),
        400,
        "time_in_future",
        "/at",
    );
    expect(
        &world.api.with_key("").json("POST", "/v1/check-ins", &check_in),
        401,
        "key_missing",
        "",
    );
    expect(
        &world.api.with_key("sk_wrong").json("POST", "/v1/check-ins", &check_in),
        401,
        "key_invalid",
        "",
    );
    let publishable = world.api.ok("POST", "/v1/keys", &json!({"role": "publishable"}));
    let app = world.api.with_key(publishable["key"].as_str().expect("a secret"));
    expect(
        &app.json("POST", "/v1/check-ins", &check_in),
        404,
        "device_unknown",
        "/deviceId",
    );
    expect(&app.json("PUT", "/v1/users/mia", &json!({})), 403, "not_allowed", "");
    let registered = app.ok(
        "PUT",
        "/v1/devices/mine",
        &json!({"platform": "ios", "app": "app.beckon.test"}),
    );
    let token = registered["deviceToken"].as_str().expect("a token");
    assert_eq!(app.check_in(&fix("mine", 1.0, 1.0))[0]["status"], "processed");
    let phone = world.api.with_key(token);
    assert_eq!(phone.check_in(&fix("mine", 1.0, 1.0))[0]["status"], "processed");
    expect(
        &phone.json("POST", "/v1/check-ins", &check_in),
        403,
        "device_not_allowed",
        "/deviceId",
    );
    let forged = format!("{}x", &token[..token.len() - 1]);
    expect(
        &world
            .api
            .with_key(&forged)
            .json("POST", "/v1/check-ins", &fix("mine", 1.0, 1.0)),
        401,
        "key_invalid",
        "",
    );
    let viewer = world.api.ok("POST", "/v1/keys", &json!({"role": "viewer"}));
    let viewer = world.api.with_key(viewer["key"].as_str().expect("a secret"));
    expect(
        &viewer.json("POST", "/v1/check-ins", &fix("mine", 1.0, 1.0)),
        403,
        "not_allowed",
        "",
    );
    let mixed = app.check_in(&json!([fix("mine", 1.0, 1.0), fix("other", 1.0, 1.0)]));
    assert_eq!(
        (&mixed[0]["status"], &mixed[1]["status"]),
        (&json!("processed"), &json!("rejected"))
    );
    // A deleted key opens nothing.
    let id = publishable["id"].as_str().expect("an id");
    assert_eq!(world.api.call("DELETE", &format!("/v1/keys/{id}"), "", &[]).status, 204);
    expect(
        &app.json("POST", "/v1/check-ins", &fix("mine", 1.0, 1.0)),
        401,
        "key_invalid",
        "",
    );
}

#[test]
fn bad_geofence_files_change_nothing_unless_wanted() {
    let world = World::start();
    let csv = b"externalId,latitude,longitude,radius\na,46.5,12.3,100\nb,46.6\nc,96.5,12.3,100\n";
    let refused = world.api.call("PUT", "/v1/geofence-sets/shops", "text/csv", csv);
    assert_eq!(
        (refused.status, refused.body["code"].as_str()),
        (422, Some("features_rejected"))
    );
    let lines: Vec<u64> = refused.body["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .filter_map(|one| one["line"].as_u64())
        .collect();
    assert_eq!(lines, [3, 4]);
    assert_eq!(world.api.get("/v1/geofence-sets")["items"], json!([]));
    let taken = world
        .api
        .call("PUT", "/v1/geofence-sets/shops?allowPartial=true", "text/csv", csv);
    assert_eq!(
        (&taken.body["accepted"], &taken.body["rejected"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(taken.body["errors"][0]["code"], "column_missing");
    let ring = json!({"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"externalId": "x"},
        "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]]}}]});
    let broken = world.api.json("PUT", "/v1/geofence-sets/rings", &ring);
    assert_eq!(
        (broken.status, broken.body["errors"][0]["code"].as_str()),
        (422, Some("ring_too_short"))
    );
    assert_eq!(
        broken.body["errors"][0]["pointer"],
        "/features/0/geometry/coordinates/0"
    );
    expect(
        &world.api.call("PUT", "/v1/geofence-sets/x?format=dwg", "", b"?"),
        415,
        "content_type_unsupported",
        "",
    );
    assert_eq!(
        world
            .api
            .call("PUT", "/v1/geofence-sets/x", "application/geo+json", b"{\"a\":")
            .status,
        400
    );
}

#[test]
fn wrong_campaigns_are_refused_with_their_place() {
    let world = World::start();
    let offer = json!([{"message": {"en": {"title": "t", "body": "b"}}}]);
    let put = |campaign: Value| world.api.json("PUT", "/v1/campaigns/c", &campaign);
    let trigger = json!({"on": "entered", "geofences": {"tag": "shop"}});
    let place = |answer: Answer| {
        assert_eq!(
            (answer.status, answer.body["code"].as_str()),
            (422, Some("campaign_invalid")),
            "{answer:?}"
        );
        answer.body["errors"][0]["pointer"]
            .as_str()
            .expect("a pointer")
            .to_owned()
    };
    assert_eq!(
        place(put(json!({"trigger": {"on": "flew"}, "offers": offer}))),
        "/trigger/on"
    );
    assert_eq!(place(put(json!({"trigger": trigger, "offers": []}))), "/offers");
    assert_eq!(
        place(put(json!({"trigger": trigger, "offers": offer, "quietTime": {}}))),
        "/quietTime"
    );
    assert_eq!(
        place(put(
            json!({"trigger": trigger, "offers": offer, "caps": [{"max": 0, "per": "P1D"}]})
        )),
        "/caps/0/max"
    );
    assert_eq!(
        place(put(
            json!({"trigger": trigger, "offers": [{"message": {"en": {"title": "{{ x", "body": "b"}}}]})
        )),
        "/offers/0/message/en/title"
    );
    assert_eq!(
        place(put(json!({"id": "other", "trigger": trigger, "offers": offer}))),
        "/id"
    );
    assert_eq!(world.api.get("/v1/campaigns")["items"], json!([]));
}

#[test]
fn every_problem_is_explained() {
    let world = World::start();
    let missing = world.api.call("GET", "/v1/nowhere", "", &[]);
    expect(&missing, 404, "not_found", "");
    let explained = world.api.get(missing.body["type"].as_str().expect("a type"));
    assert_eq!(explained["code"], "not_found");
    expect(
        &world.api.call("PATCH", "/v1/check-ins", "", &[]),
        405,
        "method_not_allowed",
        "",
    );
}

#[test]
fn traits_are_bounded_however_they_grow() {
    let world = World::start();
    let patch = |round: usize| {
        let traits: serde_json::Map<String, Value> =
            (0..150).map(|field| (format!("t{round}-{field}"), json!(1))).collect();
        world.api.json("PATCH", "/v1/users/mia", &json!({"traits": traits}))
    };
    assert_eq!(patch(0).status, 200);
    expect(&patch(1), 400, "field_invalid", "/traits");
    assert_eq!(
        world.api.get("/v1/users/mia")["traits"]
            .as_object()
            .map(serde_json::Map::len),
        Some(150)
    );
}

#[test]
fn an_app_cannot_forget_the_devices_of_others() {
    let world = World::start();
    world.api.put_phone("phone", "mia");
    let publishable = world.api.ok("POST", "/v1/keys", &json!({"role": "publishable"}));
    let app = world.api.with_key(publishable["key"].as_str().expect("a secret"));
    expect(
        &app.call("DELETE", "/v1/devices/phone", "", &[]),
        403,
        "not_allowed",
        "",
    );
    let token = app.ok(
        "PUT",
        "/v1/devices/other",
        &json!({"platform": "ios", "app": "app.beckon.test"}),
    );
    let other = world.api.with_key(token["deviceToken"].as_str().expect("a token"));
    expect(
        &other.call("DELETE", "/v1/devices/phone", "", &[]),
        403,
        "device_not_allowed",
        "",
    );
    assert_eq!(other.call("DELETE", "/v1/devices/other", "", &[]).status, 204);
}
