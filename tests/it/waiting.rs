//! What quiet hours put off: kept through a restart, looked at again in the morning.

use beckon::domain::time::{DurationMs, Timestamp};
use serde_json::{Value, json};

use crate::harness::{TestClock, World, fix, wait_for};
use beckon::engine::ports::Clock as _;

const SHOP: (f64, f64) = (46.5, 12.3);

/// Quiet hours by UTC that hold now and end in ten to forty minutes.
fn quiet_now(clock: &TestClock) -> (Value, Timestamp) {
    const HALF_AN_HOUR: i64 = 30 * 60 * 1000;
    let end = Timestamp(((clock.now().0 + HALF_AN_HOUR / 3) / HALF_AN_HOUR + 1) * HALF_AN_HOUR);
    let text = |at: Timestamp| at.to_string().get(11..16).map(str::to_owned);
    let from = text(Timestamp(end.0 - 2 * HALF_AN_HOUR));
    (
        json!({"from": from, "until": text(end), "timeZone": "UTC", "then": "defer"}),
        end,
    )
}

fn world() -> (World, Timestamp) {
    let world = World::start();
    world
        .api
        .put_circles("shops", &[("shop", "one", SHOP.0, SHOP.1, 100.0)]);
    world.api.put_phone("phone", "mia");
    let (quiet, end) = quiet_now(&world.clock);
    world.api.put_campaign(
        "hello",
        "entered",
        "shop",
        &json!({"stillThere": true, "quietHours": quiet}),
    );
    (world, end)
}

fn until(world: &World, at: Timestamp) {
    world.clock.advance(at.since(world.clock.now()));
}

#[test]
fn what_was_put_off_outlives_a_restart_and_comes_once() {
    let (world, end) = world();
    world.api.check_in(&fix("phone", SHOP.0, SHOP.1));
    assert_eq!(world.deliveries("mia"), []);
    let world = world.restart();
    until(&world, end);
    wait_for("the push", || !world.deliveries("mia").is_empty());
    world.wait_until_sent();
    assert_eq!(
        world.deliveries("mia"),
        [("hello".to_owned(), "accepted".to_owned(), None)]
    );
    world.clock.advance(DurationMs::from_secs(24 * 3600));
    world.api.check_in(&json!({"deviceId": "phone", "beacons": []}));
    assert_eq!(world.deliveries("mia").len(), 1);
}

#[test]
fn who_has_left_by_then_is_not_disturbed() {
    let (world, end) = world();
    world.api.check_in(&fix("phone", SHOP.0, SHOP.1));
    world.clock.advance(DurationMs::from_secs(60));
    world.api.check_in(&fix("phone", SHOP.0 + 0.008, SHOP.1));
    // The next one is in the shop, so that one push shows that the timers have come.
    world.api.put_phone("other", "eva");
    world.api.check_in(&fix("other", SHOP.0, SHOP.1));
    until(&world, end);
    wait_for("the push", || !world.deliveries("eva").is_empty());
    world.wait_until_sent();
    assert_eq!(world.deliveries("mia"), []);
}
