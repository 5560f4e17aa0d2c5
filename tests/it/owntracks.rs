//! The OwnTracks apps as clients: messages in the shapes that their booklet documents.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use beckon::domain::time::DurationMs;
use serde_json::{Value, json};

use crate::harness::{Api, World, fix};

const IPHONE: &str = "OwnTracks/18.4.3 CFNetwork/1568.100.1 Darwin/24.0.0";
const PIXEL: &str = "Owntracks-Android/gms/420412001";

/// An app as it is set up.
struct App<'a> {
    api: &'a Api,
    user: &'a str,
    key: String,
    device: &'a str,
    agent: &'a str,
}

impl App<'_> {
    fn post_bytes(&self, body: &[u8]) -> (u16, Value) {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .new_agent();
        let login = BASE64_STANDARD.encode(format!("{}:{}", self.user, self.key));
        let mut request = ureq::http::Request::builder()
            .method("POST")
            .uri(format!("{}/v1/owntracks", self.api.base))
            .header("Content-Type", "application/json")
            .header("User-Agent", self.agent)
            .header("X-Limit-U", self.user);
        if !self.device.is_empty() {
            request = request.header("X-Limit-D", self.device);
        }
        if !self.key.is_empty() {
            request = request.header("Authorization", format!("Basic {login}"));
        }
        let mut response = agent.run(request.body(body).expect("a request")).expect("an answer");
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().expect("a body");
        (status, serde_json::from_str(&text).expect("JSON"))
    }

    fn post(&self, message: &Value) -> Value {
        let (status, body) = self.post_bytes(message.to_string().as_bytes());
        assert_eq!(status, 200, "{message}: {body}");
        body
    }

    /// Status and code of a problem.
    fn refused(&self, message: &Value) -> (u16, String) {
        let (status, body) = self.post_bytes(message.to_string().as_bytes());
        (status, body["code"].as_str().expect("a code").to_owned())
    }
}

fn app<'a>(api: &'a Api, user: &'a str, device: &'a str) -> App<'a> {
    let key = api.ok("POST", "/v1/keys", &json!({"role": "publishable"}));
    let key = key["key"].as_str().expect("a key").to_owned();
    App {
        api,
        user,
        key,
        device,
        agent: PIXEL,
    }
}

/// Seconds since 1970, by the world's clock.
fn seconds(world: &World) -> i64 {
    use beckon::engine::ports::Clock as _;
    world.clock.now().0 / 1000
}

fn location(world: &World, latitude: f64, inside: &[&str]) -> Value {
    json!({"_type": "location", "acc": 12, "alt": 154, "batt": 67, "bs": 1, "conn": "m", "created_at": seconds(world),
        "inregions": inside, "lat": latitude, "lon": 12.3, "m": 2, "motionactivities": ["walking"], "tid": "ne",
        "topic": "owntracks/jane/phone", "tst": seconds(world), "vac": 4, "vel": 3, "cog": 270, "t": "c"})
}

fn places(user: &Value, device: &str) -> Vec<String> {
    let devices = user["devices"].as_array().expect("devices");
    let device = devices
        .iter()
        .find(|known| known["deviceId"] == device)
        .expect("the device");
    let geofences = device["geofences"].as_array().expect("geofences").iter();
    geofences
        .map(|place| place["externalId"].as_str().expect("an id").to_owned())
        .collect()
}

#[test]
fn a_stock_app_reports_and_is_told_what_to_monitor() {
    let world = World::start();
    let api = &world.api;
    api.put_circles(
        "shops",
        &[("shop", "one", 46.5, 12.3, 100.0), ("shop", "two", 46.6, 12.3, 80.0)],
    );
    api.put_campaign("hello", "entered", "shop", &json!({}));
    let phone = app(api, "jane", "phone");
    let here = location(&world, 46.5, &[]);
    let answer = phone.post(&here);
    assert_eq!(
        (&answer[0]["_type"], &answer[0]["action"]),
        (&json!("cmd"), &json!("setWaypoints"))
    );
    let waypoints = &answer[0]["waypoints"];
    assert_eq!(waypoints["_type"], "waypoints");
    assert_eq!(waypoints["waypoints"][0]["desc"], "Beckon area");
    assert_eq!(
        waypoints["waypoints"][1],
        json!({"_type": "waypoint", "desc": "shop/one", "lat": 46.5, "lon": 12.3, "rad": 100, "rid": "beckon1", "tst": 2})
    );
    assert_eq!(waypoints["waypoints"].as_array().map(Vec::len), Some(3));
    let jane = api.get("/v1/users/jane");
    assert_eq!(places(&jane, "owntracks:jane:phone"), ["one"]);
    assert_eq!(jane["devices"][0]["hasPushToken"], false);

    // The same once more changes nothing; inside the area there is nothing to say.
    phone.post(&here);
    world.clock.advance(DurationMs::from_secs(60));
    assert_eq!(
        phone.post(&location(&world, 46.5, &["Beckon area", "shop/one"])),
        json!([])
    );
    world.clock.advance(DurationMs::from_secs(600));
    // What the phone thinks of its regions is no more than where it then was: far away.
    let leave = |event: &str, name: &str, latitude: f64| {
        json!({"_type": "transition", "event": event, "desc": name, "wtst": 1, "rid": "beckon0", "lat": latitude,
            "lon": 12.3, "acc": 15.0, "t": "c", "tid": "ne", "tst": seconds(&world)})
    };
    let mut claimed = leave("enter", "shop/two", 46.9);
    claimed["rid"] = json!("beckon2");
    assert_eq!(phone.post(&claimed), json!([]));
    assert_eq!(
        places(&api.get("/v1/users/jane"), "owntracks:jane:phone"),
        Vec::<String>::new()
    );
    world.clock.advance(DurationMs::from_secs(3600));
    let moved = phone.post(&leave("leave", "Beckon area", 46.6));
    assert_eq!(
        moved[0]["waypoints"]["waypoints"][1]["desc"], "shop/two",
        "nearest first"
    );
    assert_eq!(places(&api.get("/v1/users/jane"), "owntracks:jane:phone"), ["two"]);

    // Whoever does not want to be located is not, and is told nothing.
    api.ok("PATCH", "/v1/users/jane", &json!({"consent": {"location": false}}));
    world.clock.advance(DurationMs::from_secs(60));
    assert_eq!(phone.post(&location(&world, 46.5, &[])), json!([]));
    assert_eq!(
        places(&api.get("/v1/users/jane"), "owntracks:jane:phone"),
        Vec::<String>::new()
    );
}

#[test]
fn an_iphone_hears_beacons_and_forgets_old_regions() {
    let world = World::start();
    let api = &world.api;
    let shop = json!({"type": "Feature", "geometry": {"type": "Point", "coordinates": [12.3, 46.5]},
        "properties": {"radius": 30,
            "beacons": [{"type": "ibeacon", "uuid": "b9407f30-f5f8-466e-aff9-25556b57fe6d", "major": 1, "minor": 2}]}});
    api.ok("PUT", "/v1/geofences/shop/one", &shop);
    let phone = App {
        agent: IPHONE,
        ..app(api, "jane", "phone")
    };
    let beacon = |rssi: i64| {
        json!({"_type": "beacon", "desc": "shop", "uuid": "B9407F30-F5F8-466E-AFF9-25556B57FE6D", "major": 1, "minor": 2,
            "tst": seconds(&world), "acc": 0.44, "rssi": rssi, "prox": 1, "tid": "ne", "topic": "owntracks/jane/phone/beacon"})
    };
    assert_eq!(phone.post(&beacon(0)), json!([]));
    assert_eq!(phone.post(&beacon(-58)), json!([]));
    let jane = api.get("/v1/users/jane");
    assert_eq!(places(&jane, "owntracks:jane:phone"), ["one"]);
    assert_eq!(jane["devices"][0]["geofences"][0]["evidence"], "beacon");
    let waypoints = phone.post(&location(&world, 46.5, &[]));
    let waypoints = waypoints[0]["waypoints"]["waypoints"].as_array().expect("waypoints");
    assert_eq!(waypoints.len(), 20);
    let gone = waypoints.iter().filter(|one| one["lat"] == json!(-1_000_000.0));
    assert_eq!(gone.count(), 18, "an impossible place removes a region");
}

#[test]
fn what_says_nothing_about_where_it_is_is_taken_and_let_be() {
    let world = World::start();
    let phone = app(&world.api, "jane", "phone");
    let now = seconds(&world);
    let waypoint =
        json!({"_type": "waypoint", "desc": "Home", "lat": 46.5, "lon": 12.3, "rad": 50, "tst": now, "rid": "a1"});
    for message in [
        waypoint.clone(),
        json!({"_type": "waypoints", "_creator": "test", "waypoints": [waypoint]}),
        json!({"_type": "lwt", "tst": now}),
        json!({"_type": "status", "iOS": {"version": "18.4.3"}}),
        json!({"_type": "cmd", "action": "reportLocation"}),
        json!({"_type": "steps", "tst": now, "steps": 5, "from": now, "to": now}),
        json!({"_type": "card", "name": "Jane", "tid": "ne"}),
        json!({"_type": "transition", "event": "enter", "wtst": 1, "tst": now, "acc": 0, "desc": "Home"}),
        json!({"_type": "yet to come"}),
    ] {
        assert_eq!(phone.post(&message), json!([]), "{message}");
    }
    assert_eq!(phone.post_bytes(b""), (200, json!([])));
    assert_eq!(
        world.api.call("GET", "/v1/users/jane", "", &[]).status,
        404,
        "nothing was kept"
    );
}

#[test]
fn what_is_wrong_is_said() {
    let world = World::start();
    let api = &world.api;
    let phone = app(api, "jane", "phone");
    let here = location(&world, 46.5, &[]);
    let refused = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(
        phone.refused(&json!({"_type": "encrypted", "data": "eHh4"})),
        refused(422, "encrypted_message")
    );
    assert_eq!(phone.refused(&json!({"lat": 1})), refused(400, "field_invalid"));
    let (status, body) = phone.post_bytes(b"{\"_type\": ");
    assert_eq!((status, &body["code"]), (400, &json!("json_broken")));
    let mut wrong = here.clone();
    wrong["lat"] = json!(91);
    let (status, body) = phone.post_bytes(wrong.to_string().as_bytes());
    assert_eq!((status, &body["errors"][0]["pointer"]), (400, &json!("/lat")));
    wrong = here.clone();
    wrong["tst"] = json!(seconds(&world) + 3600);
    assert_eq!(phone.refused(&wrong), refused(400, "time_in_future"));
    let large = vec![b' '; 2 * 1024 * 1024];
    assert_eq!(phone.post_bytes(&large).0, 413);

    let nameless = App {
        device: "",
        ..app(api, "jane", "")
    };
    assert_eq!(nameless.refused(&here), refused(400, "parameter_invalid"));
    let userless = app(api, "", "phone");
    assert_eq!(userless.refused(&here), refused(400, "parameter_invalid"));
    let keyless = App {
        key: String::new(),
        ..app(api, "jane", "phone")
    };
    assert_eq!(keyless.refused(&here), refused(401, "key_missing"));
    let wrong_key = App {
        key: "pk_wrong".to_owned(),
        ..app(api, "jane", "phone")
    };
    assert_eq!(wrong_key.refused(&here), refused(401, "key_invalid"));
    let viewer = api.ok("POST", "/v1/keys", &json!({"role": "viewer"}));
    let viewer = viewer["key"].as_str().expect("a key").to_owned();
    let viewer = App {
        key: viewer,
        ..app(api, "jane", "phone")
    };
    assert_eq!(viewer.refused(&here), refused(403, "not_allowed"));
}

#[test]
fn nobody_takes_over_somebody_elses_phone() {
    let world = World::start();
    let api = &world.api;
    api.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    let jane = app(api, "jane", "phone");
    jane.post(&location(&world, 46.5, &[]));
    // Another user with a phone of the same name, and one whose names run together to the same.
    app(api, "mallory", "phone").post(&location(&world, 46.9, &[]));
    app(api, "ja", "ne:phone").post(&location(&world, 46.9, &[]));
    // An app can't register the device as its own.
    let theirs = api.with_key(&jane.key);
    let registration = json!({"platform": "ios", "app": "x", "userId": "mallory"});
    let answer = theirs.json("PUT", "/v1/devices/owntracks:jane:phone", &registration);
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (403, &json!("device_not_allowed"))
    );
    let user = api.get("/v1/users/jane");
    assert_eq!(places(&user, "owntracks:jane:phone"), ["one"]);
    assert_eq!(user["devices"].as_array().map(Vec::len), Some(1));
    // It is a device like any other.
    assert_eq!(
        api.check_in(&fix("owntracks:jane:phone", 46.5, 12.3))[0]["status"],
        "processed"
    );
}
