//! What came of pushes: phones tell, and the owner's systems are told.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use beckon::domain::time::DurationMs;
use serde_json::{Value, json};

use crate::harness::{Api, World, fix, wait_for};

mod rounds;

/// A call as it came in.
#[derive(Debug, Clone)]
struct Call {
    headers: HashMap<String, String>,
    body: String,
}

/// An endpoint of the owner's systems.
struct Receiver {
    url: String,
    status: Arc<AtomicU16>,
    /// What has this in it is answered 500.
    refused: Arc<Mutex<Option<String>>>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let (status, calls) = (Arc::new(AtomicU16::new(204)), Arc::new(Mutex::new(Vec::new())));
        let (answer, seen) = (Arc::clone(&status), Arc::clone(&calls));
        let refused = Arc::new(Mutex::new(None::<String>));
        let refuses = Arc::clone(&refused);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if let Some(call) = read_call(&stream) {
                    let refused = refuses.lock().expect("a lock").clone();
                    let is_refused = refused.is_some_and(|text| call.body.contains(&text));
                    seen.lock().expect("a lock").push(call);
                    let status = if is_refused { 500 } else { answer.load(Ordering::SeqCst) };
                    let more = if status == 302 {
                        "Location: http://127.0.0.1:9/\r\n"
                    } else {
                        ""
                    };
                    let head = format!("HTTP/1.1 {status} X\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n");
                    (&stream).write_all(head.as_bytes()).unwrap_or_default();
                }
            }
        });
        Self {
            url,
            status,
            refused,
            calls,
        }
    }

    fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn refuse(&self, text: &str) {
        *self.refused.lock().expect("a lock") = Some(text.to_owned());
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("a lock").clone()
    }
}

fn read_call(stream: &TcpStream) -> Option<Call> {
    let mut reader = BufReader::new(stream);
    let mut headers = HashMap::new();
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Call {
        headers,
        body: String::from_utf8(body).ok()?,
    })
}

fn world() -> World {
    let world = World::start_with(
        |_| {},
        |config| {
            config.webhooks.allow_private = true;
            config.webhooks.sweep = DurationMs(20);
        },
    );
    world.api.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    world.api.put_campaign("hello", "entered", "shop", &json!({}));
    world
}

/// Registers a phone and comes into the shop; its token and its push.
fn pushed(world: &World, device: &str, user: &str) -> (Api, String) {
    let body = json!({"platform": "android", "app": "app.beckon.test", "userId": user,
        "pushToken": format!("{device}:{}", "t".repeat(140))});
    let registered = world.api.ok("PUT", &format!("/v1/devices/{device}"), &body);
    world.api.check_in(&fix(device, 46.5, 12.3));
    world.wait_until_sent();
    let id = world.api.get(&format!("/v1/deliveries?userId={user}"))["items"][0]["id"].clone();
    let phone = world.api.with_key(registered["deviceToken"].as_str().expect("a token"));
    (phone, id.as_str().expect("an id").to_owned())
}

fn until(world: &World, what: &str, mut happened: impl FnMut() -> bool) {
    wait_for(what, || {
        world.clock.advance(DurationMs(30));
        happened()
    });
}

#[test]
fn a_phone_tells_what_became_of_its_own_push_and_each_thing_counts_once() {
    let world = world();
    let (phone, id) = pushed(&world, "phone", "mia");
    let (other, _) = pushed(&world, "other-phone", "ann");
    let path = format!("/v1/deliveries/{id}/events");
    let tell = |api: &Api, body: &Value| {
        let answer = api.json("POST", &path, body);
        let told = if answer.status == 200 { "status" } else { "code" };
        (answer.status, answer.body[told].clone())
    };
    let opened = json!({"type": "opened"});
    assert_eq!(tell(&phone, &opened), (200, json!("recorded")));
    assert_eq!(tell(&phone, &opened), (200, json!("duplicate")));
    assert_eq!(
        tell(&world.api, &json!({"type": "delivered"})).1,
        "recorded",
        "a server may tell, too"
    );
    assert_eq!(
        tell(&phone, &json!({"type": "action", "action": "later"})).1,
        "recorded"
    );
    assert_eq!(tell(&phone, &json!({"type": "action", "action": "now"})).1, "recorded");
    assert_eq!(
        tell(&other, &opened),
        (404, json!("delivery_unknown")),
        "another's push"
    );
    let publishable = world.api.ok("POST", "/v1/keys", &json!({"role": "publishable"}));
    let app = world.api.with_key(publishable["key"].as_str().expect("a key"));
    assert_eq!(tell(&app, &opened).0, 403);
    for (body, pointer) in [
        (json!({"type": "eaten"}), "/type"),
        (json!({"type": "action"}), "/action"),
        (json!({"type": "opened", "action": "x"}), "/action"),
        (json!({"type": "action", "action": "a\nb"}), "/action"),
        (json!({"type": "opened", "at": "2199-01-01T00:00:00Z"}), "/at"),
    ] {
        let answer = phone.json("POST", &path, &body);
        assert_eq!(
            (answer.status, &answer.body["errors"][0]["pointer"]),
            (400, &json!(pointer)),
            "{answer:?}"
        );
    }
    let nobody = format!("/v1/deliveries/{}/events", uuid::Uuid::nil());
    assert_eq!(phone.json("POST", &nobody, &opened).body["code"], "delivery_unknown");
    // What was never sent can't have been opened.
    world.api.put_phone("silent", "bob1");
    world
        .api
        .ok("PATCH", "/v1/users/bob1", &json!({"consent": {"push": true}}));
    world.api.ok("POST", "/v1/campaigns/hello/pause", &json!({}));
    assert_eq!(
        world
            .api
            .get("/metrics")
            .as_str()
            .map(|text| text.contains("beckon_reactions_total{kind=\"opened\"} 1")),
        Some(true)
    );
}

#[test]
fn endpoints_are_told_in_order_signed_and_again_after_a_failure() {
    let world = world();
    let receiver = Receiver::start();
    let created = world.api.ok("POST", "/v1/webhooks", &json!({"url": receiver.url}));
    let secret = created["secret"].as_str().expect("a secret").to_owned();
    let path = format!("/v1/webhooks/{}", created["id"].as_str().expect("an id"));
    assert_eq!(world.api.get(&path)["secret"], Value::Null, "told only once");
    let only = Receiver::start();
    let types = json!({"url": only.url, "types": ["delivery.opened"]});
    world.api.ok("POST", "/v1/webhooks", &types);

    receiver.answer(500);
    let (phone, id) = pushed(&world, "phone", "mia");
    until(&world, "a failure", || world.api.get(&path)["status"] == "failing");
    let failing = world.api.get(&path);
    assert_eq!(failing["failure"], "the endpoint answered 500");
    assert!(failing["nextAttemptAt"].is_string() && failing["failingSince"].is_string());
    let refused = receiver.calls();
    receiver.answer(200);
    phone.ok(
        "POST",
        &format!("/v1/deliveries/{id}/events"),
        &json!({"type": "opened"}),
    );
    until(&world, "all to be told", || {
        world.clock.advance(DurationMs(500));
        receiver
            .calls()
            .iter()
            .any(|call| call.body.contains("delivery.opened"))
    });
    until(&world, "it to be well", || world.api.get(&path)["status"] == "active");

    let told: Vec<Value> = receiver
        .calls()
        .iter()
        .map(|call| serde_json::from_str(&call.body).expect("JSON"))
        .collect();
    let kinds: Vec<&str> = told[refused.len()..]
        .iter()
        .filter_map(|event| event["type"].as_str())
        .collect();
    assert_eq!(kinds, ["user.entered_geofence", "delivery.accepted", "delivery.opened"]);
    let last = told.last().expect("events");
    assert_eq!(last["specversion"], "1.0");
    assert_eq!(last["source"], "/workspaces/default");
    assert_eq!(
        (&last["subject"], &last["data"]["deliveryId"]),
        (&json!("mia"), &json!(id))
    );
    assert_eq!(
        (&last["data"]["campaign"], &last["data"]["deviceId"]),
        (&json!("hello"), &json!("phone"))
    );
    assert_eq!(
        told[0]["id"],
        told[refused.len()]["id"],
        "the same event again has the same name"
    );

    for call in receiver.calls() {
        let header = |name: &str| call.headers[name].clone();
        assert_eq!(header("content-type"), "application/cloudevents+json; charset=utf-8");
        let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signed = format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), call.body);
        let signature = header("webhook-signature");
        let tag = STANDARD.decode(signature.trim_start_matches("v1,")).expect("base64");
        hmac::verify(&key, signed.as_bytes(), &tag).expect("the signature is right");
        let event: Value = serde_json::from_str(&call.body).expect("JSON");
        assert_eq!(event["id"], header("webhook-id"));
    }
    until(&world, "the other endpoint", || !only.calls().is_empty());
    assert!(
        only.calls()
            .iter()
            .all(|call| call.body.contains("\"type\":\"delivery.opened\""))
    );
}

#[test]
fn an_endpoint_that_fails_for_72_hours_or_is_gone_is_disabled_and_can_be_enabled() {
    let world = world();
    let (gone, failing) = (Receiver::start(), Receiver::start());
    gone.answer(410);
    // A redirect is a failure, too: it could lead anywhere.
    failing.answer(302);
    let put = |receiver: &Receiver| {
        let created = world.api.ok(
            "POST",
            "/v1/webhooks",
            &json!({"url": receiver.url, "types": ["user.entered_geofence"]}),
        );
        format!("/v1/webhooks/{}", created["id"].as_str().expect("an id"))
    };
    let (gone_path, failing_path) = (put(&gone), put(&failing));
    pushed(&world, "phone", "mia");
    until(&world, "the end of the first", || {
        world.api.get(&gone_path)["status"] == "disabled"
    });
    wait_for("the end of the second", || {
        world.clock.advance(DurationMs::from_secs(1800));
        world.api.get(&failing_path)["status"] == "disabled"
    });
    assert_eq!(gone.calls().len(), 1);
    let calls = failing.calls().len();
    assert!((5..=110).contains(&calls), "{calls} calls in 72 hours");
    failing.answer(200);
    assert_eq!(
        world.api.ok("POST", &format!("{failing_path}/enable"), &json!({}))["status"],
        "active"
    );
    until(&world, "what it had missed", || failing.calls().len() == calls + 1);
    assert_eq!(world.api.call("DELETE", &failing_path, "", &[]).status, 204);
    assert_eq!(world.api.call("GET", &failing_path, "", &[]).status, 404);
}

#[test]
fn an_event_that_an_endpoint_never_takes_is_named_and_can_be_left_out() {
    let world = world();
    let receiver = Receiver::start();
    receiver.refuse("\"subject\":\"mia\"");
    let wanted = json!({"url": receiver.url, "types": ["user.entered_geofence"]});
    let created = world.api.ok("POST", "/v1/webhooks", &wanted);
    assert_eq!(created["held"], Value::Null);
    let path = format!("/v1/webhooks/{}", created["id"].as_str().expect("an id"));
    pushed(&world, "phone", "mia");
    until(&world, "a refusal", || world.api.get(&path)["held"].is_object());
    pushed(&world, "other-phone", "ann");
    let first = world.api.get(&path);
    let (held, refusals) = (first["held"].clone(), receiver.calls().len());
    assert_eq!(
        (&held["type"], &held["since"]),
        (&wanted["types"][0], &first["failingSince"])
    );
    wait_for("more refusals", || {
        world.clock.advance(DurationMs::from_secs(5));
        receiver.calls().len() > refusals + 3
    });
    assert_eq!(world.api.get(&path)["held"], held, "the same, since the same time");
    let skip = |id: &Value| world.api.json("POST", &format!("{path}/enable"), &json!({"skip": id}));
    let wrong = skip(&json!("another"));
    assert_eq!((wrong.status, &wrong.body["code"]), (409, &json!("event_not_held")));
    assert_eq!(world.api.get(&path)["held"], held);

    let before = receiver.calls().len();
    let enabled = skip(&held["id"]);
    assert_eq!((enabled.status, &enabled.body["status"]), (200, &json!("active")));
    assert_eq!(enabled.body["held"], Value::Null);
    pushed(&world, "third-phone", "bob");
    let told = || {
        receiver.calls()[before..]
            .iter()
            .map(|call| call.body.clone())
            .collect::<Vec<_>>()
    };
    until(&world, "what came after it", || {
        ["ann", "bob"].iter().all(|user| {
            let subject = format!("\"subject\":\"{user}\"");
            told().iter().any(|body| body.contains(&subject))
        })
    });
    assert!(told().iter().all(|body| !body.contains("mia")), "{:?}", told());
    assert_eq!(skip(&held["id"]).status, 409, "it is left out already");
    // Without a body it is only called again.
    assert_eq!(world.api.call("POST", &format!("{path}/enable"), "", &[]).status, 200);
}

#[test]
fn endpoints_inside_are_refused_and_so_is_what_nobody_can_be_told() {
    let world = World::start();
    for url in [
        "https://127.0.0.1/",
        "http://example.org/",
        "https://[::1]/",
        "https://me@example.org",
        "nothing",
    ] {
        let answer = world.api.json("POST", "/v1/webhooks", &json!({"url": url}));
        assert_eq!(
            (answer.status, &answer.body["errors"][0]["pointer"]),
            (400, &json!("/url")),
            "{answer:?}"
        );
    }
    let good = "https://example.org/hook";
    let answer = world.api.json(
        "POST",
        "/v1/webhooks",
        &json!({"url": good, "types": ["delivery.opened", "x"]}),
    );
    assert_eq!(
        (answer.status, &answer.body["errors"][0]["pointer"]),
        (400, &json!("/types/1"))
    );
    for _ in 0..20 {
        world.api.ok("POST", "/v1/webhooks", &json!({"url": good}));
    }
    let answer = world.api.json("POST", "/v1/webhooks", &json!({"url": good}));
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (409, &json!("too_many_webhooks"))
    );
    assert_eq!(
        world.api.get("/v1/webhooks")["items"].as_array().map(Vec::len),
        Some(20)
    );
    let key = world
        .api
        .ok("POST", "/v1/keys", &json!({"role": "marketer", "name": "n"}));
    let marketer = world.api.with_key(key["key"].as_str().expect("a key"));
    assert_eq!(marketer.call("GET", "/v1/webhooks", "", &[]).status, 403);
}
