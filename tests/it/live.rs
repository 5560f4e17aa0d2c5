//! The live stream: whatever happens is told once and in order, also to those who lose the connection.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use beckon::domain::time::DurationMs;
use serde_json::{Value, json};

use crate::{
    harness::{Api, World, fix, wait_for},
    redis_server::Redis,
    stage::Stage,
};

/// What is told comes within this.
const PATIENCE: Duration = Duration::from_secs(20);

/// One block of a stream.
#[derive(Debug, Clone, PartialEq, Default)]
struct Told {
    id: String,
    kind: String,
    data: Value,
    comment: String,
}

/// A client that listens in a thread of its own.
struct Listener(Receiver<Told>);

impl Listener {
    /// The answer's status, and the stream if it is one.
    fn try_open(api: &Api, path: &str, last: Option<&str>) -> Result<Self, (u16, Value)> {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .new_agent();
        let mut request = ureq::http::Request::builder()
            .uri(format!("{}{path}", api.base))
            .header("Authorization", format!("Bearer {}", api.key));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let mut response = agent.run(request.body(()).expect("a request")).expect("an answer");
        let status = response.status().as_u16();
        if status != 200 {
            let body = response.body_mut().read_to_string().expect("a body");
            return Err((status, serde_json::from_str(&body).expect("a problem")));
        }
        assert_eq!(response.headers()["Content-Type"], "text/event-stream");
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(response.into_body().into_reader()).lines();
            let mut told = Told::default();
            while let Some(Ok(line)) = lines.next() {
                match line.split_once(':').map(|(field, value)| (field, value.trim_start())) {
                    Some(("id", value)) => value.clone_into(&mut told.id),
                    Some(("event", value)) => value.clone_into(&mut told.kind),
                    Some(("data", value)) => told.data = serde_json::from_str(value).expect("JSON"),
                    Some(("", value)) => value.clone_into(&mut told.comment),
                    Some(_) => {}
                    None => {
                        if sender.send(std::mem::take(&mut told)).is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Ok(Self(receiver))
    }

    /// Opens a stream and waits until it stands.
    fn open(api: &Api, path: &str, last: Option<&str>) -> (Self, String) {
        let listener = Self::try_open(api, path, last).expect("a stream");
        let hello = listener.next().expect("a first word");
        assert_eq!(hello.comment, "open");
        (listener, hello.id)
    }

    /// The next block; `None` at the end.
    fn next(&self) -> Option<Told> {
        match self.0.recv_timeout(PATIENCE) {
            Ok(told) => Some(told),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing is told for {PATIENCE:?}"),
        }
    }

    /// The next event or the end's word, whatever beats meanwhile.
    fn next_event(&self) -> Option<Told> {
        let begun = Instant::now();
        std::iter::from_fn(|| self.next()).find(|told| {
            assert!(begun.elapsed() < PATIENCE, "no event is told for {PATIENCE:?}");
            !told.kind.is_empty()
        })
    }

    fn events(&self, count: usize) -> Vec<Told> {
        (0..count).map(|_| self.next_event().expect("an event")).collect()
    }
}

fn short(told: &Told) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert_eq!(told.kind, text(&told.data["type"]));
    format!(
        "{} {}",
        text(&told.data["deviceId"]),
        text(&told.data["geofence"]["externalId"])
    )
}

fn shops(api: &Api) {
    api.put_circles(
        "shops",
        &[
            ("shop", "one", 46.5, 12.3, 100.0),
            ("shop", "two", 46.6, 12.3, 100.0),
            ("gate", "one", 46.7, 12.3, 100.0),
        ],
    );
}

#[test]
fn everybody_hears_what_they_asked_for() {
    let world = World::start();
    let api = &world.api;
    shops(api);
    api.put_phone("anns-phone", "ann");
    api.check_in(&fix("before", 46.5, 12.3));
    let (all, _) = Listener::open(api, "/v1/stream", None);
    let (gates, _) = Listener::open(api, "/v1/stream?tag=gate", None);
    let (ones, _) = Listener::open(api, "/v1/stream?externalId=one&type=user.entered_geofence", None);
    let (ann, _) = Listener::open(api, "/v1/stream?userId=ann", None);
    api.check_in(&fix("a", 46.5, 12.3));
    api.check_in(&fix("b", 46.7, 12.3));
    let answer = api.check_in(&fix("anns-phone", 46.6, 12.3));
    let heard = all.events(3);
    assert_eq!(
        heard.iter().map(short).collect::<Vec<_>>(),
        ["a one", "b one", "anns-phone two"],
        "what was before it was opened is not told"
    );
    assert_eq!(
        heard[2].data, answer[0]["events"][0],
        "an event is told as the check-in's answer has it"
    );
    let of = |listener: &Listener, count| listener.events(count).iter().map(short).collect::<Vec<_>>();
    assert_eq!(of(&gates, 1), ["b one"]);
    assert_eq!(of(&ones, 2), ["a one", "b one"]);
    assert_eq!(of(&ann, 1), ["anns-phone two"]);

    let (again, _) = Listener::open(api, &format!("/v1/stream?after={}", heard[0].id), None);
    assert_eq!(again.events(2), heard[1..]);
    let (again, _) = Listener::open(api, &format!("/v1/stream?after={}", heard[0].id), Some(&heard[1].id));
    assert_eq!(again.events(1), heard[2..], "the header is newer than the address");
}

#[test]
fn what_cannot_be_listened_to_is_said() {
    let world = World::start_with(|_| {}, |config| config.stream.connections_max = 2);
    let api = &world.api;
    let refused = |path: &str, last: Option<&str>| {
        let (status, problem) = Listener::try_open(api, path, last).err().expect("refused");
        (status, problem["code"].as_str().expect("a code").to_owned())
    };
    for place in ["soon", "99999999", "-1", "1.2.3"] {
        assert_eq!(refused("/v1/stream", Some(place)), (410, "cursor_gone".to_owned()));
    }
    assert_eq!(
        refused("/v1/stream?type=entered", None),
        (400, "parameter_invalid".to_owned())
    );
    assert_eq!(
        refused("/v1/stream?user=ann", None),
        (400, "parameter_invalid".to_owned())
    );
    let publishable = api.ok("POST", "/v1/keys", &json!({"role": "publishable"}));
    let app = api.with_key(publishable["key"].as_str().expect("a key"));
    assert_eq!(
        Listener::try_open(&app, "/v1/stream", None).err().expect("refused").0,
        403
    );
    let (_one, _) = Listener::open(api, "/v1/stream", None);
    let (two, _) = Listener::open(api, "/v1/stream", None);
    assert_eq!(refused("/v1/stream", None), (503, "too_many_streams".to_owned()));
    drop(two);
}

#[test]
fn nothing_is_told_of_who_does_not_want_to_be_located() {
    let world = World::start();
    let api = &world.api;
    shops(api);
    api.put_phone("anns-phone", "ann");
    let (live, start) = Listener::open(api, "/v1/stream", None);
    api.check_in(&fix("anns-phone", 46.5, 12.3));
    assert_eq!(live.events(1)[0].kind, "user.entered_geofence");
    api.ok("PATCH", "/v1/users/ann", &json!({"consent": {"location": false}}));
    let ended = &live.events(1)[0];
    assert_eq!(
        (ended.kind.as_str(), &ended.data["reason"]),
        ("user.exited_geofence", &json!("consent"))
    );
    api.check_in(&fix("stranger", 46.5, 12.3));
    let (again, _) = Listener::open(api, "/v1/stream", Some(&start));
    let told: Vec<String> = again.events(2).iter().map(short).collect();
    assert_eq!(
        told,
        ["anns-phone one", "stranger one"],
        "that she had come in is not told any more"
    );
}

#[test]
fn a_quiet_stream_beats_and_ends_in_order() {
    let world = World::start_with(|_| {}, |config| config.stream.heartbeat = DurationMs(50));
    let api = world.api.clone();
    shops(&api);
    let (filtered, start) = Listener::open(&api, "/v1/stream?tag=gate", None);
    api.check_in(&fix("a", 46.5, 12.3));
    let mut place = start.clone();
    while place == start {
        let beat = filtered.next().expect("a beat");
        assert_eq!((beat.comment.as_str(), beat.kind.as_str()), ("heartbeat", ""));
        place = beat.id;
    }
    // Who goes on from a beat misses nothing.
    api.check_in(&fix("b", 46.5, 12.3));
    let (again, _) = Listener::open(&api, "/v1/stream", Some(&place));
    assert_eq!(short(&again.events(1)[0]), "b one");

    let viewer = api.ok("POST", "/v1/keys", &json!({"role": "viewer"}));
    let (watched, _) = Listener::open(
        &api.with_key(viewer["key"].as_str().expect("a key")),
        "/v1/stream",
        None,
    );
    let id = viewer["id"].as_str().expect("an id");
    assert_eq!(api.call("DELETE", &format!("/v1/keys/{id}"), "", &[]).status, 204);
    let end = watched.next_event().expect("a last word");
    assert_eq!((end.kind.as_str(), &end.data["reason"]), ("end", &json!("key_deleted")));
    assert_eq!(watched.next_event(), None);

    let begun = Instant::now();
    drop(world);
    let took = begun.elapsed();
    let end = again.next_event().expect("a last word");
    assert_eq!((end.kind.as_str(), &end.data["reason"]), ("end", &json!("shutdown")));
    assert_eq!(again.next_event(), None);
    println!("down with open streams within {took:?}");
    assert!(
        took < Duration::from_secs(5),
        "the drain may take 20 s, and took {took:?}"
    );
}

#[test]
fn a_client_that_takes_nothing_is_sent_away() {
    let world = World::start_with(|_| {}, |config| config.stream.slow_after = DurationMs(300));
    let api = &world.api;
    // Events as large as they get: forty places at one point, each with much to tell.
    let features: Vec<Value> = (0..40)
        .map(|number| {
            json!({"type": "Feature", "geometry": {"type": "Point", "coordinates": [12.3, 46.5]},
                "properties": {"tag": "shop", "externalId": number.to_string(), "radius": 100,
                    "metadata": {"text": "x".repeat(15_000)}}})
        })
        .collect();
    api.ok(
        "PUT",
        "/v1/geofence-sets/shops",
        &json!({"type": "FeatureCollection", "features": features}),
    );
    let mut silent = TcpStream::connect(api.base.trim_start_matches("http://")).expect("connected");
    let request = format!(
        "GET /v1/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        api.key
    );
    silent.write_all(request.as_bytes()).expect("asked");
    let open = || {
        let metrics = api.get("/metrics");
        let line = metrics
            .as_str()
            .expect("text")
            .lines()
            .find(|line| line.starts_with("beckon_streams "));
        line.expect("a metric").ends_with(" 1")
    };
    wait_for("the stream", open);
    let mut device = 0;
    wait_for("the stream to end", || {
        device += 1;
        api.check_in(&fix(&format!("phone-{device}"), 46.5, 12.3));
        !open()
    });
    silent.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let mut text = Vec::new();
    silent.read_to_end(&mut text).expect("the rest, and the end");
    let text = String::from_utf8_lossy(&text);
    assert!(
        text.contains("event: end\ndata: {\"reason\":\"slow\"}"),
        "{}",
        &text[text.len().saturating_sub(300)..]
    );
}

/// Everything that devices did, as one stream tells it through kills of the server.
fn listen_through_kills(stage: &Stage, rounds: usize) {
    const CHECK_INS: usize = 12;
    let (mut server, mut api) = stage.serve_with("gateway/beckon.toml");
    shops(&api);
    let (mut heard, mut done) = (Vec::new(), Vec::new());
    let (mut listener, mut last) = Listener::open(&api, "/v1/stream", None);
    for round in 0..rounds {
        for number in 0..CHECK_INS {
            let device = format!("phone-{round}-{number}");
            api.check_in(&fix(&device, 46.5, 12.3));
            done.push(format!("{device} one"));
        }
        // Some of it is read, the rest waits in the connection when the server dies.
        for told in listener.events(CHECK_INS / 2) {
            last.clone_from(&told.id);
            heard.push(short(&told));
        }
        server.kill();
        drop(listener);
        (server, api) = stage.serve_with("gateway/beckon.toml");
        (listener, _) = Listener::open(&api, "/v1/stream", Some(&last));
        while heard.len() < done.len() {
            let told = listener.next_event().expect("an event");
            last.clone_from(&told.id);
            heard.push(short(&told));
        }
        assert_eq!(heard, done, "round {round}");
    }
    api.check_in(&fix("last", 46.5, 12.3));
    assert_eq!(short(&listener.events(1)[0]), "last one", "and nothing twice");
}

#[test]
fn a_stream_goes_on_after_the_server_was_killed() {
    listen_through_kills(&Stage::set(), 3);
}

#[test]
fn a_stream_goes_on_with_another_node_and_hears_of_it_within_a_second() {
    let redis = Redis::start();
    let stage = Stage::set_on(&redis.url(""));
    stage.write_settings("node.toml", None);
    let (one, here) = stage.serve_with("node.toml");
    let (_other, there) = stage.serve_with("node.toml");
    shops(&here);
    wait_for("the shop", || {
        there.call("GET", "/v1/geofences/shop/one", "", &[]).status == 200
    });
    let (on_here, _) = Listener::open(&here, "/v1/stream", None);
    let (on_there, start) = Listener::open(&there, "/v1/stream", None);
    let mut slowest = Duration::ZERO;
    let mut heard = Vec::new();
    for number in 0..10 {
        let begun = Instant::now();
        here.check_in(&fix(&format!("phone-{number}"), 46.5, 12.3));
        heard.extend(on_there.events(1));
        slowest = slowest.max(begun.elapsed());
    }
    println!("another node's events are told within {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let expected: Vec<String> = (0..10).map(|number| format!("phone-{number} one")).collect();
    assert_eq!(heard.iter().map(short).collect::<Vec<_>>(), expected);
    let first = on_here.events(6);
    assert_eq!(first, heard[..6]);
    one.kill();
    let (again, _) = Listener::open(&there, "/v1/stream", Some(&first[5].id));
    assert_eq!(again.events(4), heard[6..]);
    let (all, _) = Listener::open(&there, "/v1/stream", Some(&start));
    assert_eq!(all.events(10), heard);
    drop((on_here, all));
}
