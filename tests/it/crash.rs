//! The process is killed at moments that nobody chose, started again, and must have lost nothing.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};

use crate::{
    harness::{Api, fix, kinds, real_data, wait_for},
    porto::{TAXIS, beckon, happenings, import_stands},
    proofs::rounds,
    redis_server::{Cluster, Redis},
    stage::Stage,
};

/// Rounds of kill and restart.
const ROUNDS: u64 = 4;

fn replay(server: &str, track: &Path, events: &Path) -> std::process::Output {
    let (track, events) = (track.to_str().expect("a path"), events.to_str().expect("a path"));
    beckon(
        server,
        &["replay", track, "--speed", "max", "--batch", "100", "--events", events],
    )
}

#[test]
fn a_replay_that_is_killed_and_started_again_brings_the_same_events_and_no_push_twice() {
    let Some(data) = real_data("crash during a replay") else {
        return;
    };
    let track = data.join(TAXIS);
    let campaign = json!({"caps": [{"max": 2, "per": "P1D"}], "validFor": "P1D"});
    let register_taxis = |api: &Api| {
        let text = fs::read_to_string(&track).expect("the taxis");
        let taxis: BTreeSet<&str> = text.lines().skip(1).filter_map(|line| line.split(',').nth(1)).collect();
        for taxi in taxis {
            api.put_phone(taxi, taxi);
        }
    };

    let calm = Stage::set();
    let (server, api) = calm.serve();
    import_stands(&api.base, &data);
    register_taxis(&api);
    api.put_campaign("stand", "entered", "taxi-stand", &campaign);
    assert!(replay(&api.base, &track, &calm.path("events")).status.success());
    let undisturbed = happenings(&fs::read_to_string(calm.path("events")).expect("events"));
    let pushes = calm.judge(&api);
    assert!(pushes > 300, "{pushes}");
    assert_eq!(server.terminate(), Some(0));

    let stage = Stage::set();
    let (mut server, mut api) = stage.serve();
    import_stands(&api.base, &data);
    register_taxis(&api);
    api.put_campaign("stand", "entered", "taxi-stand", &campaign);
    for round in 0..rounds(ROUNDS) {
        let (base, events) = (api.base.clone(), stage.path("events"));
        std::thread::scope(|scope| {
            let replaying = scope.spawn(|| replay(&base, &track, &events));
            // Killed after so many pushes have arrived: somewhere in the middle, elsewhere in each round.
            let wanted = stage.accepted().len() + 20 + (round as usize * 37) % 50;
            wait_for("some pushes", || {
                stage.accepted().len() >= wanted || replaying.is_finished()
            });
            server.kill();
            replaying.join().expect("the replay ends");
        });
        (server, api) = stage.serve();
    }
    assert!(replay(&api.base, &track, &stage.path("events")).status.success());
    assert_eq!(
        happenings(&fs::read_to_string(stage.path("events")).expect("events")),
        undisturbed
    );
    assert_eq!(stage.judge(&api), pushes);
}

#[test]
fn what_was_acknowledged_survives_kill_and_sigterm() {
    acknowledged_survives(&Stage::set());
}

#[test]
fn what_was_acknowledged_survives_kill_and_sigterm_on_redis() {
    let redis = Redis::start();
    acknowledged_survives(&Stage::set_on(&redis.url("")));
}

#[test]
fn what_was_acknowledged_survives_kill_and_sigterm_on_a_cluster() {
    let cluster = Cluster::start();
    acknowledged_survives(&Stage::set_on(&cluster.url("")));
}

fn acknowledged_survives(stage: &Stage) {
    stage.write_settings("beckon.toml", None);
    let serve = || stage.serve_with("beckon.toml");
    let (first, mut api) = serve();
    let mut server = Some(first);
    api.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    api.put_campaign("hello", "entered", "shop", &json!({"validFor": "P1D"}));
    let mut acknowledged: Vec<(String, Value)> = Vec::new();
    for round in 0..rounds(ROUNDS) {
        let before = acknowledged.len();
        let told = std::sync::Mutex::new(&mut acknowledged);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let (api, told) = (&api, &told);
                scope.spawn(move || {
                    for number in 0.. {
                        let device = format!("r{round}-w{worker}-n{number}");
                        let user = format!("u{device}");
                        let registration = json!({"platform": "android", "app": "app.beckon.test", "userId": user,
                            "pushToken": format!("{device}:{}", "t".repeat(100))});
                        let path = format!("/v1/devices/{device}");
                        let Some(put) =
                            api.try_call("PUT", &path, "application/json", registration.to_string().as_bytes())
                        else {
                            return;
                        };
                        assert_eq!(put.status, 200, "{put:?}");
                        let body = fix(&device, 46.5, 12.3).to_string();
                        let Some(answer) = api.try_call("POST", "/v1/check-ins", "application/json", body.as_bytes())
                        else {
                            return;
                        };
                        if answer.status == 200 {
                            let event = answer.body["results"][0]["events"][0]["id"].clone();
                            told.lock().expect("a lock").push((user, event));
                        }
                    }
                });
            }
            wait_for("acknowledged check-ins", || {
                told.lock().expect("a lock").len() > before + 40
            });
            let running = server.take().expect("a server");
            if round % 2 == 0 {
                running.kill();
            } else {
                assert_eq!(running.terminate(), Some(0), "SIGTERM ends in order");
            }
        });
        let (next, next_api) = serve();
        (server, api) = (Some(next), next_api);
    }
    for (user, event) in &acknowledged {
        let customer = api.get(&format!("/v1/users/{user}"));
        assert_eq!(customer["devices"][0]["geofences"][0]["externalId"], "one", "{user}");
        let deliveries = api.get(&format!("/v1/deliveries?userId={user}"));
        assert_eq!(deliveries["items"][0]["eventId"], *event, "{user}");
    }
    assert!(stage.judge(&api) >= acknowledged.len());
    assert_eq!(server.expect("a server").terminate(), Some(0));
}

#[test]
fn pushes_that_wait_are_sent_by_the_next_server() {
    let stage = Stage::set();
    let (server, api) = stage.serve();
    api.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    api.put_campaign("hello", "entered", "shop", &json!({"validFor": "P1D"}));
    server.kill();
    // A server whose provider nobody can reach decides; the next one, which can, sends.
    stage.write_settings("unreachable.toml", Some("https://127.0.0.1:9"));
    let (server, api) = stage.serve_with("unreachable.toml");
    for number in 0..10 {
        api.put_phone(&format!("phone-{number}"), &format!("mia{number}"));
        api.check_in(&fix(&format!("phone-{number}"), 46.5, 12.3));
    }
    assert_eq!(server.terminate(), Some(0));
    assert!(stage.accepted().is_empty());
    let (server, api) = stage.serve();
    assert_eq!(stage.judge(&api), 10);
    drop(server);
}

/// Geofences of an upload in the test below.
const UPLOADED: usize = 20_000;

/// A file of circles at one place whose ids begin with the version.
fn versioned(version: &str) -> String {
    (0..UPLOADED).fold("id,lat,lon,radius\n".to_owned(), |text, number| {
        let latitude = 40.0 + number as f64 * 0.001;
        format!("{text}{version}{number},{latitude:.3},8.5,150\n")
    })
}

#[test]
fn a_kill_during_an_upload_leaves_the_old_version_or_the_new_one() {
    let stage = Stage::set();
    let path = "/v1/geofence-sets/shops";
    let (server, api) = stage.serve();
    assert_eq!(
        api.call("PUT", path, "text/csv", versioned("0-").as_bytes()).status,
        200
    );
    server.kill();
    let mut live = 0;
    for round in 1..=rounds(ROUNDS) {
        let (server, api) = stage.serve();
        let file = versioned(&format!("{round}-"));
        let upload = {
            let (api, file) = (api.clone(), file.clone());
            std::thread::spawn(move || {
                api.try_call("PUT", path, "text/csv", file.as_bytes())
                    .map(|answer| answer.status)
            })
        };
        // Each round kills a little later, from before the first part is written to after the answer. Whatever it hits is
        // judged: the pause chooses the moment and waits for nothing.
        let pause = std::time::Duration::from_millis(40 * round % 400);
        std::thread::sleep(pause);
        server.kill();
        let answered = upload.join().expect("the upload ends");
        let (server, api) = stage.serve();
        let list = api.get("/v1/geofences?set=shops&limit=1000");
        let versions: BTreeSet<String> = list["items"]
            .as_array()
            .expect("items")
            .iter()
            .filter_map(|item| item["externalId"].as_str()?.split('-').next().map(str::to_owned))
            .collect();
        assert_eq!(versions.len(), 1, "{versions:?}");
        let count = api.get("/v1/geofence-sets")["items"][0]["count"].clone();
        assert_eq!(count, UPLOADED);
        let found: u64 = versions
            .first()
            .and_then(|version| version.parse().ok())
            .expect("a version");
        assert!(
            found == round || (found == live && answered != Some(200)),
            "{found} after {live}, {answered:?}"
        );
        live = found;
        server.kill();
    }
}

#[test]
fn stays_come_due_though_the_server_is_killed() {
    let stage = Stage::set();
    let config = fs::read_to_string(stage.path("gateway/beckon.toml")).expect("settings");
    // Few at a time, so that a kill falls between two of them.
    let config = format!("{config}\n[timers]\nbatch_max = 3\nlease = \"PT1S\"\n");
    fs::write(stage.path("small-batches.toml"), config).expect("settings");
    let (mut server, mut api) = stage.serve_with("small-batches.toml");
    api.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    let trigger = json!({"on": "dwelled", "geofences": {"tag": "shop"}, "after": "PT2S"});
    api.put_campaign("stay", "entered", "shop", &json!({"trigger": trigger}));
    let users: BTreeSet<String> = (0..60).map(|number| format!("user-{number}")).collect();
    for user in &users {
        api.put_phone(&format!("{user}-phone"), user);
    }
    let check_ins: Vec<Value> = users
        .iter()
        .map(|user| fix(&format!("{user}-phone"), 46.5, 12.3))
        .collect();
    api.check_in(&json!(check_ins));
    let stayed = |api: &Api| -> Vec<String> {
        let list = api.get("/v1/deliveries?limit=1000");
        let items = list["items"].as_array().expect("items").iter();
        items
            .filter_map(|item| item["userId"].as_str().map(str::to_owned))
            .collect()
    };
    for at_least in [0, 5, 20, 40] {
        wait_for("some stays", || stayed(&api).len() >= at_least);
        server.kill();
        (server, api) = stage.serve_with("small-batches.toml");
    }
    wait_for("every stay", || stayed(&api).len() >= users.len());
    wait_for("every push", || api.get("/v1/status")["outbox"] == 0);
    let stayed = stayed(&api);
    assert_eq!(
        (stayed.len(), stayed.into_iter().collect::<BTreeSet<_>>()),
        (users.len(), users)
    );
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_backup_of_a_running_server_keeps_everything_and_sends_nothing_again() {
    let mut stage = Stage::set();
    // Nobody is there to take the push: it waits.
    stage.write_settings("nobody.toml", Some("https://127.0.0.1:9"));
    let (server, api) = stage.serve_with("nobody.toml");
    api.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    let caps = json!({"caps": [{"max": 1, "per": "P1D"}]});
    api.put_campaign("hello", "entered", "shop", &caps);
    api.put_phone("phone", "mia");
    api.check_in(&fix("phone", 46.5, 12.3));
    wait_for("the push to wait", || {
        api.get("/v1/deliveries?userId=mia")["items"][0]["attempts"] != 0
    });
    let copy = stage.path("copy");
    let to = copy.to_str().expect("a path");
    let made = beckon(&api.base, &["backup", "--store", &stage.store, "--to", to]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let again = beckon(&api.base, &["backup", "--store", &stage.store, "--to", to]);
    assert!(!again.status.success(), "a copy is never written over");
    server.kill();

    // The original goes on and sends; then the copy is started, as if the original had been lost.
    let (server, api) = stage.serve();
    assert_eq!(stage.judge(&api), 1);
    server.kill();
    stage.store = format!("sqlite:{to}");
    let (_server, api) = stage.serve();
    assert_eq!(api.get("/v1/status")["outbox"], 0);
    let row = &api.get("/v1/deliveries?userId=mia")["items"][0];
    assert_eq!(
        (&row["state"], row["reason"].is_string()),
        (&json!("unknown"), true),
        "{row}"
    );
    // It knows the geofence, the campaign, and that the customer has had their push.
    let left = api.check_in(&fix("phone", 46.508, 12.3));
    assert_eq!(kinds(&left[0]), ["exited one"]);
    let entered = api.check_in(&fix("phone", 46.5, 12.3));
    assert_eq!(kinds(&entered[0]), ["entered one"]);
    assert_eq!(
        api.get("/v1/deliveries?userId=mia")["items"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(stage.accepted().len(), 1, "only the original has sent");
}
