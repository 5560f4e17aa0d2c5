//! Presence from the outside: what comes due by itself, what is not believed, and whose a device is.

use beckon::domain::time::DurationMs;
use serde_json::{Value, json};

use crate::harness::{World, fix, kinds, wait_for};

const SHOP: (f64, f64) = (46.5, 12.3);
const NEARBY: f64 = 46.508;

fn minutes(number: i64) -> DurationMs {
    DurationMs::from_secs(60 * number)
}

fn world() -> World {
    let world = World::start();
    world
        .api
        .put_circles("shops", &[("shop", "one", SHOP.0, SHOP.1, 100.0)]);
    // By APNs, whose tokens go by the test's clock.
    world.api.put_phone("phone", "anna");
    world
}

fn waits(world: &World, after: &str) {
    let trigger = json!({"on": "dwelled", "geofences": {"tag": "shop"}, "after": after});
    world.api.put_campaign(
        "stay",
        "entered",
        "shop",
        &json!({"trigger": trigger, "stillThere": true}),
    );
}

fn comes(world: &World, device: &str) -> Vec<String> {
    kinds(&world.api.check_in(&fix(device, SHOP.0, SHOP.1))[0])
}

fn goes(world: &World, device: &str) -> Vec<String> {
    kinds(&world.api.check_in(&fix(device, NEARBY, SHOP.1))[0])
}

/// How many events of a kind the server has counted.
fn counted(world: &World, kind: &str) -> u64 {
    let metrics = world.api.with_key("").call("GET", "/metrics", "", &[]).body;
    let name = format!("beckon_events_total{{kind=\"{kind}\"}} ");
    let text = metrics.as_str().expect("text").to_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&name).map(str::to_owned));
    line.map_or(0, |count| count.parse().expect("a number"))
}

fn geofences_of(world: &World, user: &str) -> Value {
    world.api.get(&format!("/v1/users/{user}"))["devices"][0]["geofences"].clone()
}

#[test]
fn a_stay_is_pushed_with_no_new_check_in() {
    let world = world();
    waits(&world, "PT10M");
    assert_eq!(comes(&world, "phone"), ["entered one"]);
    world.clock.advance(minutes(9));
    world.clock.advance(minutes(2));
    wait_for("the push", || world.accepted().len() == 1);
    let delivery = world.api.get("/v1/deliveries?userId=anna")["items"][0].clone();
    assert_eq!(delivery["why"][0], "stayed PT10M in shop/one");
    world.clock.advance(minutes(120));
    assert_eq!(goes(&world, "phone"), ["exited one"]);
    assert_eq!(
        (counted(&world, "dwelled"), world.accepted().len()),
        (1, 1),
        "once a visit"
    );
}

#[test]
fn a_stay_is_not_pushed_after_the_exit() {
    let world = world();
    waits(&world, "PT10M");
    comes(&world, "phone");
    world.clock.advance(minutes(9));
    assert_eq!(goes(&world, "phone"), ["exited one"]);
    // Another customer's stay shows that the timers have come by.
    world.api.put_phone("other", "berta");
    comes(&world, "other");
    world.clock.advance(minutes(11));
    wait_for("the other's stay", || counted(&world, "dwelled") == 1);
    world.wait_until_sent();
    assert_eq!(world.deliveries("anna"), []);
    assert_eq!(world.deliveries("berta").len(), 1);
}

#[test]
fn a_stay_comes_due_after_a_restart() {
    let world = world();
    waits(&world, "PT10M");
    comes(&world, "phone");
    let world = world.restart();
    assert_eq!(counted(&world, "dwelled"), 0);
    world.clock.advance(minutes(11));
    wait_for("the push", || world.accepted().len() == 1);
    let world = world.restart();
    world.clock.advance(minutes(20));
    assert_eq!(goes(&world, "phone"), ["exited one"]);
    assert_eq!(
        (counted(&world, "dwelled"), world.deliveries("anna").len()),
        (0, 1),
        "not again"
    );
}

#[test]
fn what_was_due_while_no_server_ran_is_caught_up_in_batches() {
    let world = World::start_with(|_| {}, |config| config.timers.batch_max = 7);
    let shop = json!({"latitude": SHOP.0, "longitude": SHOP.1, "radius": 100, "dwellThreshold": "PT10M"});
    world.api.ok("PUT", "/v1/geofences/shop/one", &shop);
    let customers = 200;
    let check_ins: Vec<Value> = (0..customers)
        .map(|number| fix(&format!("phone-{number}"), SHOP.0, SHOP.1))
        .collect();
    world.api.check_in(&json!(check_ins));
    // All at once is due what each of them waited for.
    world.clock.advance(minutes(60));
    wait_for("every stay", || counted(&world, "dwelled") == customers);
    // And then every silent end.
    world.clock.advance(minutes(6 * 60));
    wait_for("every end", || counted(&world, "exited") == customers);
    assert_eq!(counted(&world, "dwelled"), customers);
}

#[test]
fn a_beacon_that_is_not_heard_ends_by_itself() {
    let world = World::start();
    let beacon = json!({"type": "ibeacon", "uuid": "f7826da6-4fa2-4e98-8024-bc5b71e0893e", "major": 7, "minor": 1});
    let shop = json!({"latitude": SHOP.0, "longitude": SHOP.1, "radius": 50, "beacons": [beacon]});
    world.api.ok("PUT", "/v1/geofences/shop/one", &shop);
    world.api.put_phone("phone", "anna");
    let hears = json!({"deviceId": "phone", "beacons": [beacon]});
    assert_eq!(kinds(&world.api.check_in(&hears)[0]), ["entered one"]);
    assert_eq!(geofences_of(&world, "anna")[0]["evidence"], "beacon");
    world.clock.advance(minutes(6));
    wait_for("the end", || geofences_of(&world, "anna") == json!([]));
}

#[test]
fn a_position_that_nobody_can_have_reached_is_told_and_moves_nothing() {
    let world = world();
    comes(&world, "phone");
    world.clock.advance(DurationMs::from_secs(10));
    let result = world.api.check_in(&fix("phone", SHOP.0 + 1.0, SHOP.1)).remove(0);
    assert_eq!(
        (&result["status"], &result["doubt"]),
        (&json!("processed"), &json!("impossible_speed"))
    );
    assert_eq!(result["geofences"][0]["externalId"], "one");
    world.clock.advance(DurationMs::from_secs(10));
    let result = world.api.check_in(&fix("phone", SHOP.0 + 1.0, SHOP.1)).remove(0);
    assert_eq!(
        (&result["doubt"], kinds(&result)),
        (&Value::Null, vec!["exited one".to_owned()])
    );
}

#[test]
fn check_ins_sent_together_are_taken_by_their_times() {
    let world = world();
    let now = world.clock.now_text(0);
    let check_in = |at: String, latitude: f64| {
        let mut check_in = fix("phone", latitude, SHOP.1);
        check_in["at"] = json!(at);
        check_in
    };
    // Newest first, as phones keep them.
    let results = world.api.check_in(&json!([
        check_in(now, NEARBY),
        check_in(world.clock.now_text(-60), SHOP.0),
        check_in(world.clock.now_text(-120), NEARBY),
    ]));
    let told: Vec<Vec<String>> = results.iter().map(kinds).collect();
    assert_eq!(
        told,
        [vec!["exited one".to_owned()], vec!["entered one".to_owned()], vec![]]
    );
    let late = world
        .api
        .check_in(&check_in(world.clock.now_text(-30), SHOP.0))
        .remove(0);
    assert_eq!((&late["status"], &late["geofences"]), (&json!("late"), &json!([])));
}

#[test]
fn a_device_that_changes_hands_leaves_the_visits_behind() {
    let world = world();
    world.api.put_campaign("hello", "entered", "shop", &json!({}));
    world.api.put_campaign("bye", "exited", "shop", &json!({}));
    comes(&world, "phone");
    world.wait_until_sent();
    world.api.put_phone("phone", "berta");
    assert_eq!(world.api.get("/v1/users/anna")["devices"], json!([]));
    assert_eq!(geofences_of(&world, "berta"), json!([]), "she has not come in yet");
    world.clock.advance(minutes(1));
    assert_eq!(comes(&world, "phone"), ["entered one"]);
    world.wait_until_sent();
    let campaigns = |user: &str| {
        let deliveries = world.deliveries(user).into_iter();
        deliveries.map(|(campaign, ..)| campaign).collect::<Vec<_>>()
    };
    assert_eq!(
        (campaigns("anna"), campaigns("berta")),
        (vec!["hello".to_owned()], vec!["hello".to_owned()])
    );
}

#[test]
fn an_anonymous_customer_who_logs_in_brings_the_visit_and_what_was_sent() {
    let world = World::start();
    world
        .api
        .put_circles("shops", &[("shop", "one", SHOP.0, SHOP.1, 100.0)]);
    waits(&world, "PT10M");
    let capped = json!({"caps": [{"max": 1, "per": "P1D"}]});
    world.api.put_campaign("hello", "entered", "shop", &capped);
    let token = "ab".repeat(32);
    let mut registration = json!({"platform": "ios", "app": "app.beckon.test", "pushToken": token});
    world.api.ok("PUT", "/v1/devices/phone", &registration);
    assert_eq!(comes(&world, "phone"), ["entered one"]);
    world.wait_until_sent();
    world.clock.advance(minutes(5));
    registration["userId"] = json!("anna");
    world.api.ok("PUT", "/v1/devices/phone", &registration);
    assert_eq!(geofences_of(&world, "anna")[0]["externalId"], "one");
    // The stay goes on, and is hers.
    world.clock.advance(minutes(6));
    wait_for("the stay", || {
        world.deliveries("anna").iter().any(|(campaign, ..)| campaign == "stay")
    });
    goes(&world, "phone");
    world.clock.advance(minutes(1));
    comes(&world, "phone");
    world.wait_until_sent();
    let sent = world.accepted();
    let hello = sent
        .iter()
        .filter(|arrival| arrival.asked.title.as_deref() == Some("hello"));
    assert_eq!(hello.count(), 1, "the cap counts what the anonymous customer was sent");
}
