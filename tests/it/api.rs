//! Check-ins and what is answered.

use beckon::domain::time::DurationMs;
use serde_json::json;

use crate::harness::{World, fix, kinds, wait_for};

/// In the middle of `shop/one`, which has a radius of 100 m.
const INSIDE: (f64, f64) = (46.5, 12.3);
/// Some 550 m north of it.
const OUTSIDE: (f64, f64) = (46.505, 12.3);

fn world() -> World {
    let world = World::start();
    world.api.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    world
}

#[test]
fn a_phone_enters_stays_and_leaves() {
    let world = world();
    let results = world.api.check_in(&fix("phone", INSIDE.0, INSIDE.1));
    assert_eq!(kinds(&results[0]), ["entered one"]);
    assert_eq!(results[0]["status"], "processed");
    assert_eq!(results[0]["geofences"][0]["externalId"], "one");
    assert_eq!(results[0]["geofences"][0]["evidence"], "gps");
    world.clock.advance(DurationMs::from_secs(60));
    assert_eq!(
        kinds(&world.api.check_in(&fix("phone", 46.5001, 12.3))[0]),
        Vec::<String>::new()
    );
    world.clock.advance(DurationMs::from_secs(60));
    let left = world.api.check_in(&fix("phone", OUTSIDE.0, OUTSIDE.1));
    assert_eq!(kinds(&left[0]), ["exited one"]);
    assert_eq!(left[0]["events"][0]["duration"], "PT2M");
    assert_eq!(left[0]["geofences"], json!([]));
}

#[test]
fn the_same_check_in_again_is_answered_the_same_and_changes_nothing() {
    let world = world();
    let mut check_in = fix("phone", INSIDE.0, INSIDE.1);
    check_in["id"] = json!("c-1");
    let first = world.api.check_in(&check_in);
    world.clock.advance(DurationMs::from_secs(5));
    let again = world.api.check_in(&check_in);
    assert_eq!(again[0]["status"], "duplicate");
    assert_eq!(again[0]["events"], first[0]["events"]);
    // Even when the device has moved on and the ring of recent ids has forgotten it.
    for step in 0..40 {
        let mut other = fix("phone", OUTSIDE.0, OUTSIDE.1);
        other["id"] = json!(format!("c-2-{step}"));
        world.clock.advance(DurationMs::from_secs(1));
        world.api.check_in(&other);
    }
    check_in["at"] = first[0]["at"].clone();
    let late = world.api.check_in(&check_in);
    assert_eq!(late[0]["status"], "duplicate");
    assert_eq!(late[0]["events"], first[0]["events"]);
    assert_eq!(late[0]["geofences"], json!([]), "the state did not move back");
}

#[test]
fn a_late_check_in_does_not_move_the_state_back() {
    let world = world();
    let at = |seconds: u32, (latitude, longitude): (f64, f64)| {
        let mut check_in = fix("phone", latitude, longitude);
        check_in["at"] = json!(format!("2026-01-01T10:00:{seconds:02}Z"));
        check_in
    };
    let mut results = world.api.check_in(&at(10, INSIDE));
    results.extend(world.api.check_in(&at(5, OUTSIDE)));
    results.extend(world.api.check_in(&json!([at(20, INSIDE), at(30, OUTSIDE)])));
    let statuses: Vec<&str> = results.iter().filter_map(|result| result["status"].as_str()).collect();
    assert_eq!(statuses, ["processed", "late", "processed", "processed"]);
    assert_eq!(kinds(&results[0]), ["entered one"]);
    assert_eq!(kinds(&results[1]), Vec::<String>::new());
    assert_eq!(kinds(&results[3]), ["exited one"]);
}

#[test]
fn a_coarse_or_doubtful_fix_does_not_end_a_visit_and_a_second_one_does() {
    let world = world();
    let with_accuracy = |latitude: f64, accuracy: f64| {
        world.clock.advance(DurationMs::from_secs(30));
        let mut check_in = fix("phone", latitude, 12.3);
        check_in["location"]["accuracy"] = json!(accuracy);
        kinds(&world.api.check_in(&check_in)[0])
    };
    assert_eq!(with_accuracy(46.5, 10.0), ["entered one"]);
    assert_eq!(
        with_accuracy(46.52, 2_000.0),
        Vec::<String>::new(),
        "says nothing about a place of 100 m"
    );
    // 120 m from the centre with sigma 66 m: outside with some 60 %.
    assert_eq!(with_accuracy(46.50108, 100.0), Vec::<String>::new());
    assert_eq!(
        with_accuracy(46.50108, 100.0),
        ["exited one"],
        "the second in a row, half a minute later"
    );
}

#[test]
fn beacons_and_codes_stand_for_places() {
    let world = World::start();
    let beacon = json!({"type": "ibeacon", "uuid": "f7826da6-4fa2-4e98-8024-bc5b71e0893e", "major": 7, "minor": 1});
    let set = json!({"type": "Feature", "geometry": {"type": "Point", "coordinates": [12.3, 46.5]}, "properties": {
        "tag": "shop", "externalId": "one", "radius": 50, "beacons": [beacon], "codes": ["CODE-1"]}});
    world.api.ok("PUT", "/v1/geofence-sets/shops", &set);
    let post = |body: serde_json::Value| {
        world.clock.advance(DurationMs::from_secs(10));
        world.api.check_in(&body).remove(0)
    };
    let mut as_text = beacon.clone();
    as_text["major"] = json!("7");
    let heard = post(json!({"deviceId": "phone", "beacons": [as_text]}));
    assert_eq!(kinds(&heard), ["entered one"]);
    assert_eq!(heard["geofences"][0]["evidence"], "beacon");
    // Missing beacons say nothing; an empty list says that there are none.
    assert_eq!(kinds(&post(fix("phone", 46.6, 12.3))), Vec::<String>::new());
    assert_eq!(
        kinds(&post(json!({"deviceId": "phone", "beacons": []}))),
        ["exited one"]
    );
    let scanned = post(json!({"deviceId": "phone", "code": "CODE-1"}));
    assert_eq!(kinds(&scanned), ["entered one", "scanned_code one"]);
    assert_eq!(scanned["geofences"][0]["evidence"], "code");
    assert_eq!(kinds(&post(fix("phone", 46.6, 12.3))), ["exited one"]);
    assert_eq!(
        kinds(&post(json!({"deviceId": "phone", "code": "UNKNOWN"}))),
        Vec::<String>::new()
    );
}

#[test]
fn lines_are_taken_one_by_one_and_warned_of_unknown_fields() {
    let world = world();
    let body = format!(
        "{}\n\nnot json\n{}\n",
        json!({"id": "a", "deviceId": "p1", "location": {"latitude": 46.5, "longitude": 12.3, "satellites": 9}}),
        json!({"id": "b", "deviceId": "p2", "location": {"latitude": 46.5, "longitude": 12.3}})
    );
    let answer = world
        .api
        .call("POST", "/v1/check-ins", "application/x-ndjson", body.as_bytes());
    assert_eq!(answer.status, 200);
    let results = answer.body["results"].as_array().expect("results");
    let statuses: Vec<&str> = results.iter().filter_map(|result| result["status"].as_str()).collect();
    assert_eq!(statuses, ["processed", "rejected", "processed"]);
    assert_eq!(results[1]["problem"]["code"], "json_broken");
    assert_eq!(
        answer.warning.as_deref(),
        Some("unknown fields ignored: location.satellites")
    );
}

#[test]
fn who_does_not_want_to_be_located_is_not() {
    let world = world();
    world.api.put_phone("phone", "mia");
    world
        .api
        .ok("PATCH", "/v1/users/mia", &json!({"consent": {"location": false}}));
    let results = world.api.check_in(&fix("phone", INSIDE.0, INSIDE.1));
    assert_eq!(results[0]["status"], "ignored");
    assert_eq!(results[0]["geofences"], json!([]));
    assert_eq!(world.api.get("/v1/users/mia")["devices"][0]["geofences"], json!([]));
}

#[test]
fn an_anonymous_phone_keeps_its_visit_when_somebody_logs_in() {
    let world = world();
    world
        .api
        .put_campaign("hello", "entered", "shop", &json!({"caps": [{"max": 1, "per": "P1D"}]}));
    world.api.check_in(&fix("phone", OUTSIDE.0, OUTSIDE.1));
    let token = "ab".repeat(32);
    let registration = json!({"platform": "ios", "app": "app.beckon.test", "pushToken": token});
    world.api.ok("PUT", "/v1/devices/phone", &registration);
    world.clock.advance(DurationMs::from_secs(10));
    assert_eq!(
        kinds(&world.api.check_in(&fix("phone", INSIDE.0, INSIDE.1))[0]),
        ["entered one"]
    );
    wait_for("the push", || world.accepted().len() == 1);
    world.api.put_phone("phone", "anna");
    let anna = world.api.get("/v1/users/anna");
    assert_eq!(anna["devices"][0]["geofences"][0]["externalId"], "one");
    // The cap that the anonymous customer used up is used up for Anna.
    for (latitude, expected) in [(OUTSIDE.0, "exited one"), (INSIDE.0, "entered one")] {
        world.clock.advance(DurationMs::from_secs(10));
        assert_eq!(kinds(&world.api.check_in(&fix("phone", latitude, 12.3))[0]), [expected]);
    }
    world.wait_until_sent();
    assert_eq!(world.accepted().len(), 1);
}

#[test]
fn a_point_is_found_in_its_geofences_and_a_set_comes_back_as_it_went_in() {
    let world = world();
    let found = world.api.get("/v1/context?latitude=46.5&longitude=12.3");
    assert_eq!(found["geofences"][0]["externalId"], "one");
    assert_eq!(
        world.api.get("/v1/context?latitude=46.6&longitude=12.3")["geofences"],
        json!([])
    );
    let exported = world.api.call("GET", "/v1/geofence-sets/shops.geojson", "", &[]);
    assert_eq!(exported.kind, "application/geo+json");
    let again = world
        .api
        .ok("PUT", "/v1/geofence-sets/shops?dryRun=true", &exported.body);
    assert_eq!(
        (&again["unchanged"], &again["changed"], &again["version"]),
        (&json!(1), &json!(0), &json!(null))
    );
    let regions = world.api.get("/v1/regions?latitude=46.5&longitude=12.3&platform=ios");
    assert_eq!(regions["regions"][0]["id"], "shop/one");
}

#[test]
fn a_removed_geofence_is_left_when_it_has_been_missing_for_a_minute() {
    let world = world();
    world.api.put_phone("phone", "mia");
    world.api.check_in(&fix("phone", INSIDE.0, INSIDE.1));
    assert_eq!(world.api.call("DELETE", "/v1/geofence-sets/shops", "", &[]).status, 204);
    world.clock.advance(DurationMs::from_secs(10));
    let first = world.api.check_in(&fix("phone", INSIDE.0, INSIDE.1));
    assert_eq!(kinds(&first[0]), Vec::<String>::new());
    world.clock.advance(DurationMs::from_secs(61));
    // No check-in is needed.
    wait_for("the end", || {
        let device = &world.api.get("/v1/users/mia")["devices"][0];
        device["geofences"] == json!([])
    });
}

#[test]
fn probes_and_metrics_answer_without_a_key() {
    let world = world();
    world.api.check_in(&fix("phone", INSIDE.0, INSIDE.1));
    let nobody = world.api.with_key("");
    for probe in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(nobody.get(probe)["status"], "ok");
    }
    let metrics = nobody.call("GET", "/metrics", "", &[]).body;
    let text = metrics.as_str().expect("text");
    assert!(
        text.contains("beckon_check_ins_total{status=\"processed\"} 1"),
        "{text}"
    );
    assert!(text.contains("beckon_events_total{kind=\"entered\"} 1"), "{text}");
    assert!(text.contains("beckon_geofences 1"), "{text}");
    assert_eq!(nobody.call("GET", "/v1/status", "", &[]).status, 401);
}

#[test]
fn a_beacon_or_code_beside_a_position_outside_keeps_the_visit() {
    let world = World::start();
    let beacon = json!({"type": "ibeacon", "uuid": "f7826da6-4fa2-4e98-8024-bc5b71e0893e", "major": 7, "minor": 1});
    let set = json!({"type": "Feature", "geometry": {"type": "Point", "coordinates": [12.3, 46.5]}, "properties": {
        "tag": "shop", "externalId": "one", "radius": 50, "beacons": [beacon], "codes": ["CODE-1"]}});
    world.api.ok("PUT", "/v1/geofence-sets/shops", &set);
    // Indoors the position is 150 m off, and the phone reports every four minutes only.
    let mut check_in = fix("phone", 46.50135, 12.3);
    check_in["location"]["accuracy"] = json!(20);
    let post = |with: &str, value: serde_json::Value| {
        world.clock.advance(DurationMs::from_secs(240));
        let mut check_in = check_in.clone();
        check_in[with] = value;
        kinds(&world.api.check_in(&check_in)[0])
    };
    assert_eq!(post("beacons", json!([beacon])), ["entered one"]);
    assert_eq!(post("beacons", json!([beacon])), Vec::<String>::new());
    assert_eq!(post("code", json!("CODE-1")), ["scanned_code one"]);
    assert_eq!(post("beacons", json!([])), ["exited one"]);
}

#[test]
fn who_withdraws_the_consent_to_be_located_is_nowhere() {
    let world = world();
    world.api.put_phone("phone", "mia");
    world.api.check_in(&fix("phone", INSIDE.0, INSIDE.1));
    assert_eq!(
        world.api.get("/v1/users/mia")["devices"][0]["geofences"][0]["externalId"],
        "one"
    );
    world
        .api
        .ok("PATCH", "/v1/users/mia", &json!({"consent": {"location": false}}));
    assert_eq!(world.api.get("/v1/users/mia")["devices"][0]["geofences"], json!([]));
}

#[test]
fn a_scanned_code_does_not_make_somebody_present_for_ever() {
    let world = World::start();
    let set = json!({"type": "Feature", "geometry": {"type": "Point", "coordinates": [12.3, 46.5]}, "properties": {
        "tag": "shop", "externalId": "one", "radius": 50, "codes": ["CODE-1"]}});
    world.api.ok("PUT", "/v1/geofence-sets/shops", &set);
    let trigger = json!({"on": "event", "type": "sale", "present": {"tag": "shop"}});
    let offers = json!([{"message": {"en": {"title": "Sale", "body": "now"}}}]);
    world.api.ok(
        "PUT",
        "/v1/campaigns/sale",
        &json!({"trigger": trigger, "offers": offers}),
    );
    world.api.put_phone("phone", "anna");
    world.api.check_in(&json!({"deviceId": "phone", "code": "CODE-1"}));
    let sale = |id: &str| {
        world.api.ok(
            "POST",
            "/v1/events",
            &json!({"id": id, "type": "sale", "userId": "anna"}),
        )
    };
    sale("first");
    wait_for("the push", || world.accepted().len() == 1);
    world.clock.advance(DurationMs::from_secs(3600));
    sale("second");
    wait_for("the second to be told", || {
        world.api.get("/v1/status")["eventsWaiting"] == 0
    });
    world.api.check_in(&json!({"deviceId": "phone", "code": "CODE-1"}));
    sale("third");
    wait_for("the push", || world.accepted().len() == 2);
    world.wait_until_sent();
    assert_eq!(world.accepted().len(), 2);
}
