//! Several servers on one Redis: no leader, and any of them may go.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use beckon::{
    app::DEFAULT_WORKSPACE,
    domain::{
        ids::{ExternalId, GeofenceId, Tag, WorkspaceId},
        presence::Evidence,
    },
    store,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    harness::{Api, fix, kinds, wait_for},
    porto::beckon,
    redis_server::{Cluster, Redis},
    stage::Stage,
};

/// What one node changes is live on the others within this.
const LIVE_WITHIN: Duration = Duration::from_secs(1);

fn stage_on(store: &str) -> Stage {
    let stage = Stage::set_on(store);
    stage.write_settings("node.toml", None);
    stage
}

/// Waits for `happened` and says how long that took.
fn within_a_second(what: &str, happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    wait_for(what, happened);
    let took = begun.elapsed();
    println!("{what}: {took:?}");
    assert!(took < LIVE_WITHIN, "{what} took {took:?}");
}

fn has_campaign(api: &Api, device: &str, at: f64) -> bool {
    // Each is a new customer who walks in.
    api.put_phone(device, device);
    api.check_in(&fix(device, at, 12.3));
    let list = api.get(&format!("/v1/deliveries?userId={device}"));
    !list["items"].as_array().expect("items").is_empty()
}

/// Whether a phone that is probably inside, and not surely, counts as inside.
fn enters_doubtfully(api: &Api, device: &str) -> bool {
    let mut check_in = fix(device, 46.5, 12.3);
    check_in["location"]["accuracy"] = json!(80.0);
    kinds(&api.check_in(&check_in)[0]) == ["entered one"]
}

#[test]
fn what_one_node_changes_is_live_on_the_others_within_a_second() {
    let cluster = Cluster::start();
    let stage = stage_on(&cluster.url(""));
    let (_one, here) = stage.serve_with("node.toml");
    let (_other, there) = stage.serve_with("node.toml");
    let sees = |id: &str| there.call("GET", &format!("/v1/geofences/shop/{id}"), "", &[]).status == 200;
    here.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    within_a_second("a set", || sees("one"));
    let single = json!({"type": "Feature", "properties": {"radius": 50},
        "geometry": {"type": "Point", "coordinates": [12.3, 46.6]}});
    here.ok("PUT", "/v1/geofences/shop/two", &single);
    within_a_second("a single geofence", || sees("two"));
    assert_eq!(here.call("DELETE", "/v1/geofences/shop/two", "", &[]).status, 204);
    within_a_second("its removal", || !sees("two"));
    here.put_campaign("hello", "entered", "shop", &json!({"validFor": "P1D"}));
    let mut number = 0;
    within_a_second("a campaign", || {
        number += 1;
        has_campaign(&there, &format!("phone{number}"), 46.5)
    });
    // How sure a position must be.
    here.ok("PATCH", "/v1/settings", &json!({"presence": {"enterAt": 0.99}}));
    number = 0;
    within_a_second("settings", || {
        number += 1;
        !enters_doubtfully(&there, &format!("doubt{number}"))
    });
    here.ok("PATCH", "/v1/settings", &json!({"presence": null}));
    within_a_second("settings taken back", || {
        number += 1;
        enters_doubtfully(&there, &format!("doubt{number}"))
    });
    let key = here.ok("POST", "/v1/keys", &json!({"role": "viewer", "name": "n"}));
    let viewer = there.with_key(key["key"].as_str().expect("a key"));
    let may = || viewer.call("GET", "/v1/campaigns", "", &[]).status == 200;
    within_a_second("a key", may);
    let id = key["id"].as_str().expect("an id");
    assert_eq!(here.call("DELETE", &format!("/v1/keys/{id}"), "", &[]).status, 204);
    within_a_second("a key's removal", || !may());
    // The file is the truth: a new version without the shop, then the old one again.
    here.put_circles("shops", &[("shop", "three", 46.7, 12.3, 100.0)]);
    within_a_second("a new version", || sees("three") && !sees("one"));
    assert_eq!(
        here.call("POST", "/v1/geofence-sets/shops/versions/1/activate", "", &[])
            .status,
        200
    );
    within_a_second("the old version", || sees("one") && !sees("three"));
    assert_eq!(here.call("DELETE", "/v1/geofence-sets/shops", "", &[]).status, 204);
    within_a_second("a set's removal", || !sees("one"));
    assert_eq!(here.call("DELETE", "/v1/campaigns/hello", "", &[]).status, 204);
}

#[test]
fn a_customer_may_speak_to_any_node() {
    let redis = Redis::start();
    let stage = stage_on(&redis.url(""));
    let (_one, here) = stage.serve_with("node.toml");
    here.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    let (_other, there) = stage.serve_with("node.toml");
    for round in 0..5 {
        let (mia, phone) = (format!("mia{round}"), format!("phone-{round}"));
        // Both nodes know the customer before the other one changes it.
        here.ok("PATCH", &format!("/v1/users/{mia}"), &json!({"name": "Mia"}));
        assert_eq!(there.get(&format!("/v1/users/{mia}"))["name"], "Mia");
        here.put_phone(&phone, &mia);
        assert_eq!(kinds(&there.check_in(&fix(&phone, 46.5, 12.3))[0]), ["entered one"]);
        assert_eq!(
            here.get(&format!("/v1/users/{mia}"))["devices"][0]["geofences"][0]["externalId"],
            "one"
        );
        there.ok(
            "PATCH",
            &format!("/v1/users/{mia}"),
            &json!({"consent": {"location": false}}),
        );
        assert_eq!(here.check_in(&fix(&phone, 46.9, 12.3))[0]["status"], "ignored");
        there.ok(
            "PATCH",
            &format!("/v1/users/{mia}"),
            &json!({"consent": {"location": true}}),
        );
        assert_eq!(here.check_in(&fix(&phone, 46.5, 12.3))[0]["status"], "processed");
        // The phone changes hands on one node and checks in on the other.
        there.put_phone(&phone, &format!("ann{round}"));
        let entered = here.check_in(&fix(&phone, 46.5, 12.3));
        assert_eq!(
            kinds(&entered[0]),
            ["entered one"],
            "a phone that changes hands begins anew"
        );
        assert_eq!(entered[0]["events"][0]["userId"], format!("ann{round}"));
    }
    // Who is there, by the store: the phones of those who have them now.
    let place = GeofenceId {
        tag: Tag::new("shop").expect("a tag"),
        external_id: ExternalId::new("one").expect("an id"),
    };
    let present = Runtime::new().expect("threads").block_on(async {
        let store = store::open(&redis.url("")).await.expect("a store");
        let workspace = WorkspaceId::new(DEFAULT_WORKSPACE).expect("an id");
        store.hot.present(&workspace, &place, None, 100).await.expect("a list")
    });
    let present = present.iter().map(|one| {
        let user = one.subject.user().expect("a user");
        assert_eq!(one.stay.evidence, Evidence::Gps);
        format!("{user} {}", one.device)
    });
    let expected: Vec<String> = (0..5).map(|round| format!("ann{round} phone-{round}")).collect();
    assert_eq!(present.collect::<Vec<_>>(), expected);
}

#[test]
fn a_node_that_stops_is_replaced_by_another() {
    let redis = Redis::start();
    let stage = stage_on(&redis.url(""));
    // A provider that takes connections and never says a word: what this node sends stays under way.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}", silent.local_addr().expect("an address"));
    stage.write_settings("silent.toml", Some(&url));
    let (stopped, api) = stage.serve_with("silent.toml");
    api.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    api.put_campaign("hello", "entered", "shop", &json!({"validFor": "P1D"}));
    for number in 0..10 {
        api.put_phone(&format!("phone-{number}"), &format!("mia{number}"));
        api.check_in(&fix(&format!("phone-{number}"), 46.5, 12.3));
    }
    let states = |api: &Api, state: &str| {
        let list = api.get(&format!("/v1/deliveries?state={state}"));
        list["items"].as_array().map_or(0, Vec::len)
    };
    wait_for("requests under way", || states(&api, "sending") > 0);
    stopped.signal("-STOP");
    let (_other, there) = stage.serve_with("node.toml");
    assert_eq!(stage.judge(&there), 10);
    // It wakes up and believes that it still has the rows.
    stopped.signal("-CONT");
    wait_for("the node that was stopped", || api.get("/v1/status")["outbox"] == 0);
    assert_eq!(states(&there, "accepted"), 10);
    assert_eq!(stopped.terminate(), Some(0));
    assert_eq!(stage.judge(&there), 10);
}

#[test]
fn without_redis_the_server_says_when_to_come_again_and_recovers() {
    let redis = Redis::start();
    let stage = stage_on(&redis.url("timeout_ms=100"));
    let (_server, api) = stage.serve_with("node.toml");
    api.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    api.put_phone("phone", "mia1");
    redis.signal("-STOP");
    let check_in = fix("phone", 46.5, 12.3);
    let mut named: Value = check_in.clone();
    named["id"] = json!("the-same");
    let refused = api.json("POST", "/v1/check-ins", &named);
    assert_eq!(
        (refused.status, refused.retry_after.as_deref()),
        (503, Some("1")),
        "{refused:?}"
    );
    assert_eq!(refused.body["code"], "unavailable");
    assert_eq!(api.call("GET", "/readyz", "", &[]).status, 503);
    redis.signal("-CONT");
    // Whether the first one was taken is unknown; sent again, it is taken once.
    wait_for("the server", || api.json("POST", "/v1/check-ins", &named).status == 200);
    let again = api.check_in(&named);
    assert_eq!(
        (again[0]["status"].as_str(), kinds(&again[0])),
        (Some("duplicate"), vec!["entered one".to_owned()])
    );
    assert_eq!(api.call("GET", "/readyz", "", &[]).status, 200);
}

/// Damages the body of the only row of the outbox, and mends it again.
const DAMAGE: &str = "local p = '{beckon:p0000}' local lane = redis.call('ZRANGE', p .. ':rt', 0, 0)[1]
    local key = p .. ':d:' .. redis.call('ZRANGE', p .. ':rt:' .. lane, 0, 0)[1]
    redis.call('SET', p .. ':saved', redis.call('HGET', key, 'b')) redis.call('HSET', key, 'b', 'garbage')";
const MEND: &str = "local p = '{beckon:p0000}' local key = p .. ':d:' .. redis.call('ZRANGE', p .. ':dlq', 0, 0)[1]
    redis.call('HSET', key, 'b', redis.call('GET', p .. ':saved'))";

#[test]
fn what_cannot_be_read_is_set_aside_and_an_operator_queues_it_anew() {
    let redis = Redis::start();
    let stage = stage_on(&redis.url("partitions=1"));
    stage.write_settings("unreachable.toml", Some("https://127.0.0.1:9"));
    let (server, api) = stage.serve_with("unreachable.toml");
    api.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    api.put_campaign("hello", "entered", "shop", &json!({"validFor": "P1D"}));
    api.put_phone("phone", "mia1");
    api.check_in(&fix("phone", 46.5, 12.3));
    let id = api.get("/v1/deliveries")["items"][0]["id"].clone();
    redis.cli(&["eval", DAMAGE, "0"]);
    let letters = || api.get("/v1/dead-letters")["items"].clone();
    wait_for("a dead letter", || {
        letters().as_array().is_some_and(|all| all.len() == 1)
    });
    let letter = &letters()[0];
    assert_eq!((&letter["id"], &letter["row"]), (&id, &json!("garbage")));
    assert!(
        letter["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("unreadable")),
        "{letter}"
    );
    assert_eq!(
        api.get("/v1/deliveries")["items"],
        json!([]),
        "the others are still listed"
    );
    let key = api.ok("POST", "/v1/keys", &json!({"role": "marketer", "name": "n"}));
    let marketer = api.with_key(key["key"].as_str().expect("a key"));
    assert_eq!(marketer.call("GET", "/v1/dead-letters", "", &[]).status, 403);
    let listed = beckon(&api.base, &["dead-letters", "list"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.starts_with(id.as_str().expect("an id")), "{listed}");

    redis.cli(&["eval", MEND, "0"]);
    assert_eq!(server.terminate(), Some(0));
    let (_server, api) = stage.serve_with("node.toml");
    let requeued = beckon(&api.base, &["dead-letters", "requeue", "--all"]);
    assert_eq!(
        String::from_utf8_lossy(&requeued.stdout),
        "1 queued anew\n",
        "{requeued:?}"
    );
    assert_eq!(stage.judge(&api), 1);
    assert_eq!(api.get("/v1/dead-letters")["items"], json!([]));
    let again = api.json(
        "POST",
        &format!("/v1/dead-letters/{}/requeue", id.as_str().expect("an id")),
        &json!(null),
    );
    assert_eq!(again.status, 404);
}
