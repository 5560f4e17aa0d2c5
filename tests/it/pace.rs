//! How fast pushes leave, whose turn it is, and what one provider's trouble means for the other.

use std::{net::TcpListener, time::Duration};

use beckon::domain::time::{DurationMs, Timestamp};
use serde_json::{Value, json};

use crate::{
    harness::{Api, World, fix, wait_for},
    redis_server::Redis,
    stage::Stage,
};

/// Registers phones whose users follow a topic.
fn put_followers(api: &Api, count: usize, topic: &str) {
    for number in 0..count {
        let user = format!("{topic}-{number}");
        let registration = json!({"platform": "android", "app": "app.beckon.test", "userId": user,
            "pushToken": format!("{user}:{}", "t".repeat(140))});
        api.ok("PUT", &format!("/v1/devices/{user}-phone"), &registration);
        let followed = api.call("PUT", &format!("/v1/users/{user}/topics/{topic}"), "", &[]);
        assert_eq!(followed.status, 204);
    }
}

fn put_campaign(api: &Api, id: &str, extra: &Value) {
    let mut campaign = json!({
        "trigger": {"on": "event", "type": id}, "validFor": "P1D",
        "offers": [{"message": {"en": {"title": id, "body": "b"}}}],
    });
    for (field, value) in extra.as_object().into_iter().flatten() {
        campaign[field] = value.clone();
    }
    api.ok("PUT", &format!("/v1/campaigns/{id}"), &campaign);
}

#[test]
fn four_nodes_keep_a_campaigns_speed_together_and_let_others_pass() {
    let redis = Redis::start();
    let stage = Stage::set_on(&redis.url(""));
    stage.write_settings("node.toml", None);
    let nodes: Vec<_> = (0..4).map(|_| stage.serve_with("node.toml")).collect();
    let api = &nodes[0].1;
    // A campaign is known everywhere within a second; it is put first.
    put_campaign(api, "slow", &json!({"speed": {"max": 40, "per": "PT1S"}}));
    put_campaign(api, "quick", &json!({}));
    put_followers(api, 200, "all");
    api.ok(
        "POST",
        "/v1/events",
        &json!({"id": "1", "type": "slow", "topic": "all"}),
    );
    wait_for("the first pushes", || stage.accepted().len() > 20);
    let sent_before = stage.accepted().len();
    api.ok(
        "POST",
        "/v1/events",
        &json!({"id": "2", "type": "quick", "userId": "all-7"}),
    );
    wait_for("the other campaign's push", || {
        stage.log().iter().any(|entry| entry["title"] == "quick")
    });
    assert!(stage.accepted().len() < sent_before + 80, "it waited for the others");
    wait_for("every push", || stage.accepted().len() == 201);
    let mut at: Vec<i64> = stage
        .log()
        .iter()
        .filter(|entry| entry["title"] == "slow")
        .map(|entry| {
            Timestamp::parse(entry["at"].as_str().expect("a time"))
                .expect("a time")
                .0
        })
        .collect();
    at.sort_unstable();
    assert_eq!(at.len(), 200);
    let took = (at[199] - at[0]) as f64 / 1000.0;
    println!("199 pushes took {took:.3} s, 4.975 are wanted");
    // A busy machine makes it slower; nothing makes it faster.
    assert!(took >= 4.9, "{took} s");
    assert_eq!(stage.judge(api), 201);
}

#[test]
fn a_provider_that_hangs_does_not_hold_up_the_other() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let hangs = format!("https://{}", silent.local_addr().expect("an address"));
    let world = World::start_with(
        |_| {},
        |config| {
            config.push.fcm.base_url = hangs;
            config.dispatch.in_flight_max = 4;
        },
    );
    world.api.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    world.api.put_campaign("hello", "entered", "shop", &json!({}));
    let enter = |number: usize, user: &str| {
        let (device, user) = (format!("phone-{number}"), format!("{user}{number:03}"));
        world.api.put_phone(&device, &user);
        world.api.check_in(&fix(&device, 46.5, 12.3));
    };
    // Users of an odd length have Androids.
    (0..40).for_each(|number| enter(number, "ab"));
    (100..110).for_each(|number| enter(number, "abc"));
    wait_for("the iPhones' pushes", || world.accepted().len() == 10);
    wait_for("their ends", || world.api.get("/v1/status")["outbox"] == 40);
    drop(silent);
}

#[test]
fn a_wrong_credential_rests_while_others_work_and_goes_on_when_it_is_mended() {
    let wrong = |config: &mut beckon::config::Config| {
        config.push.apns.key_id = "WRONGKEY00".to_owned();
        config.dispatch.in_flight_max = 4;
    };
    let world = World::start_with(|_| {}, wrong);
    world.api.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    world
        .api
        .put_campaign("hello", "entered", "shop", &json!({"validFor": "P1D"}));
    for number in 0..60 {
        let (device, user) = (format!("phone-{number}"), format!("u{number:03}"));
        world.api.put_phone(&device, &user);
        world.api.check_in(&fix(&device, 46.5, 12.3));
    }
    world.api.put_phone("android", "mia");
    world.api.check_in(&fix("android", 46.5, 12.3));
    wait_for("the Android's push", || world.accepted().len() == 1);
    wait_for("the alarm", || {
        world.api.get("/v1/status")["paused"][0]["platform"] == "ios"
    });
    let status = world.api.get("/v1/status");
    assert_eq!(status["paused"][0]["app"], "app.beckon.test");
    let ready = world.api.get("/readyz");
    assert!(
        ready["checks"].as_array().is_some_and(|checks| {
            checks
                .iter()
                .any(|check| check["name"] == "push" && check["status"] == "warning")
        }),
        "{ready}"
    );
    assert_eq!(ready["status"], "ok", "the server itself is ready");
    let metrics = world.api.get("/metrics");
    assert!(
        metrics
            .as_str()
            .is_some_and(|text| text.contains("beckon_push_credentials_paused 1"))
    );
    // From now on one push tries it every 15 s.
    let refused = || world.arrivals().iter().filter(|arrival| arrival.status == 403).count();
    let before = refused();
    assert!(before <= 12, "{before} requests before it rested");
    let mut seconds = 0;
    wait_for("ten tries more", || {
        seconds += 1;
        world.clock.advance(DurationMs::from_secs(1));
        refused() >= before + 10
    });
    let tries = refused() - before;
    assert!(tries <= 12 + seconds / 15, "{tries} tries in {seconds} s");
    assert!(world.deliveries("u007").iter().all(|(_, state, _)| state == "queued"));
    let mended = world.restart();
    wait_for("everybody's push", || {
        mended.clock.advance(DurationMs::from_secs(1));
        mended.api.get("/v1/status")["outbox"] == 0
    });
    assert_eq!(mended.deliveries("u007")[0].1, "accepted");
}

#[test]
fn a_push_that_waits_for_its_speed_does_not_use_up_the_probe_of_a_resting_credential() {
    const SLOW: usize = 10;
    let wrong = |config: &mut beckon::config::Config| config.push.apns.key_id = "WRONGKEY00".to_owned();
    let world = World::start_with(|_| {}, wrong);
    let campaigns: Vec<String> = (0..=SLOW).map(|number| format!("c{number:02}")).collect();
    for (number, id) in campaigns.iter().enumerate() {
        let speed = json!({"speed": {"max": 1, "per": "P1D"}});
        put_campaign(&world.api, id, if number < SLOW { &speed } else { &Value::Null });
    }
    // An iPhone's.
    world.api.put_phone("phone", "mia1");
    for id in &campaigns {
        world
            .api
            .ok("POST", "/v1/events", &json!({"id": id, "type": id, "userId": "mia1"}));
    }
    wait_for("the alarm", || world.api.get("/v1/status")["paused"] != json!([]));
    wait_for("all to wait", || world.deliveries("mia1").len() == campaigns.len());
    // Each slow campaign has used its slot of the day; one push is left that may try.
    let refused = || world.arrivals().iter().filter(|arrival| arrival.status == 403).count();
    for _ in 0..3 {
        let before = refused();
        world.clock.advance(DurationMs::from_secs(17));
        wait_for("a try", || refused() > before);
    }
    let none_has_ended = |(_, state, _): &(String, String, Option<String>)| state == "queued" || state == "sending";
    assert!(world.deliveries("mia1").iter().all(none_has_ended));
}

#[test]
fn a_workspaces_own_pace_counts_on_all_nodes_within_a_second() {
    let redis = Redis::start();
    let stage = Stage::set_on(&redis.url(""));
    stage.write_settings("node.toml", None);
    let nodes: Vec<_> = (0..3).map(|_| stage.serve_with("node.toml")).collect();
    let api = &nodes[0].1;
    put_campaign(api, "news", &json!({}));
    put_followers(api, 60, "all");
    let patched = api.ok("PATCH", "/v1/settings", &json!({"pace": {"perMinuteMax": 1200}}));
    assert_eq!(patched["pace"]["perMinuteMax"], 1200);
    // What is promised: from then on nobody is faster.
    std::thread::sleep(Duration::from_secs(1));
    api.ok(
        "POST",
        "/v1/events",
        &json!({"id": "1", "type": "news", "topic": "all"}),
    );
    wait_for("every push", || stage.accepted().len() == 60);
    let at = |entry: &Value| {
        Timestamp::parse(entry["at"].as_str().expect("a time"))
            .expect("a time")
            .0
    };
    let mut times: Vec<i64> = stage.log().iter().map(at).collect();
    times.sort_unstable();
    let took = (times[59] - times[0]) as f64 / 1000.0;
    println!("59 pushes took {took:.3} s, 2.95 are wanted");
    assert!(took >= 2.9, "{took} s");
    assert_eq!(stage.judge(api), 60);
}
