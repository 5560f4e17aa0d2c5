//! The story of a delayed flight: an apology that fits the passenger, again with every 45 minutes, until boarding.

use beckon::domain::time::DurationMs;
use serde_json::{Value, json};

use crate::harness::{World, fix, wait_for};

const AIRPORT: (f64, f64) = (40.0799, 116.6031);
/// Beside the airport, and not so far that nobody could be there a few minutes later.
const OUTSIDE: f64 = 40.0999;
const FLIGHT: &str = "flight:CA1501/2026-11-22";

fn world() -> World {
    let world = World::start();
    let api = &world.api;
    api.put_circles("airport", &[("airport", "PEK", AIRPORT.0, AIRPORT.1, 1000.0)]);
    let message =
        |body: &str| json!({"en": {"title": "Step {{ ladder.step }}: {{ event.delayMinutes }} min", "body": body}});
    let campaign = json!({
        "class": "service", "status": "draft", "defaults": {"event.delayMinutes": "many"},
        "trigger": {"on": "event", "type": "flight.delayed", "present": {"tag": "airport", "within": "PT30M"},
                    "ladder": {"field": "delayMinutes", "every": 45, "per": "topic"},
                    "until": ["flight.boarded", "flight.cancelled"]},
        "offers": [
            {"when": {"trait": "persona", "is": "business"},
             "offer": {"kind": "voucher", "name": "lounge pass", "code": "WIFI-42"},
             "message": message("Your {{ offer.name }}, Wi-Fi {{ offer.code }}")},
            {"offer": {"kind": "percent", "value": 25}, "message": message("{{ offer.value }} % off at the shop")},
        ],
    });
    api.ok("PUT", "/v1/campaigns/flight-delayed", &campaign);
    for (user, persona) in [
        ("anna", "business"),
        ("mia", "shopper"),
        ("otto", "shopper"),
        ("emil", "shopper"),
    ] {
        api.put_phone(&format!("phone-{user}"), user);
        api.ok(
            "PATCH",
            &format!("/v1/users/{user}"),
            &json!({"traits": {"persona": persona}}),
        );
        api.ok("PUT", &format!("/v1/users/{user}/topics/{FLIGHT}"), &json!({}));
    }
    // Anna and Mia are at the airport; Otto has been there; Emil has not.
    for user in ["anna", "mia", "otto"] {
        api.check_in(&fix(&format!("phone-{user}"), AIRPORT.0, AIRPORT.1));
    }
    world
}

/// Tells what happened to the flight and waits until everybody was told.
fn happens(world: &World, id: &str, event_type: &str, minutes: Option<i64>) {
    let data = minutes.map_or(json!({}), |minutes| json!({"delayMinutes": minutes}));
    let event = json!({"id": id, "type": event_type, "topic": FLIGHT, "data": data});
    let answer = world.api.ok("POST", "/v1/events", &event);
    assert_eq!(answer["matched"], 4);
    wait_for("everybody to be told", || {
        world.api.get("/v1/status")["eventsWaiting"] == 0
    });
    world.wait_until_sent();
}

/// What phones showed since `seen`, in the order of the words.
fn shown(world: &World, seen: &mut usize) -> Vec<String> {
    let accepted = world.accepted();
    let words = accepted[*seen..].iter().map(|arrival| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        format!("{}. {}", text(&arrival.asked.title), text(&arrival.asked.body))
    });
    let mut words: Vec<String> = words.collect();
    *seen = accepted.len();
    words.sort();
    words
}

#[test]
fn a_delay_brings_everybody_something_that_fits_and_boarding_ends_it() {
    let world = world();
    let mut seen = 0;
    happens(&world, "too-early", "flight.delayed", Some(50));
    assert!(shown(&world, &mut seen).is_empty(), "a draft says nothing");
    world.api.ok("POST", "/v1/campaigns/flight-delayed/start", &json!({}));

    world.clock.advance(DurationMs::from_secs(600));
    world.api.check_in(&fix("phone-otto", OUTSIDE, AIRPORT.1));
    world.clock.advance(DurationMs::from_secs(600));
    happens(&world, "e-1", "flight.delayed", Some(50));
    let lounge = "Your lounge pass, Wi-Fi WIFI-42";
    let shop = "25 % off at the shop";
    let step = |step: u32, minutes: u32, words: &str| format!("Step {step}: {minutes} min. {words}");
    assert_eq!(
        shown(&world, &mut seen),
        [step(1, 50, shop), step(1, 50, shop), step(1, 50, lounge)],
        "Otto has left a few minutes ago"
    );
    // Told again, under the same name and another, and with a number that tells nothing new.
    happens(&world, "e-1", "flight.delayed", Some(50));
    happens(&world, "e-2", "flight.delayed", Some(50));
    happens(&world, "e-3", "flight.delayed", Some(80));
    assert!(shown(&world, &mut seen).is_empty());

    // Two steps at once are one push; Otto left more than half an hour ago.
    world.clock.advance(DurationMs::from_secs(1800));
    happens(&world, "e-4", "flight.delayed", Some(140));
    assert_eq!(shown(&world, &mut seen), [step(3, 140, shop), step(3, 140, lounge)]);
    happens(&world, "e-5", "flight.delayed", Some(95));
    assert!(shown(&world, &mut seen).is_empty(), "later and lower");

    happens(&world, "e-6", "flight.boarded", None);
    happens(&world, "e-7", "flight.delayed", Some(300));
    assert!(shown(&world, &mut seen).is_empty(), "they have boarded");
    // Another flight of theirs has its own steps.
    let other = json!({"type": "flight.delayed", "userId": "mia", "data": {"delayMinutes": 45}});
    world.api.ok("POST", "/v1/events", &other);
    wait_for("the other flight", || world.accepted().len() > seen);
    world.wait_until_sent();
    assert_eq!(shown(&world, &mut seen), [step(1, 45, shop)]);
}

#[test]
fn everybody_in_a_place_is_told_and_nobody_else() {
    let world = world();
    let campaign = json!({
        "class": "service", "trigger": {"on": "event", "type": "gate.changed"}, "stillThere": false,
        "defaults": {"geofence.externalId": "Gates", "event.gate": "?"},
        "offers": [{"message": {"en": {"title": "{{ geofence.externalId }}", "body": "Gate {{ event.gate }}"}}}],
    });
    world.api.ok("PUT", "/v1/campaigns/gate", &campaign);
    world.clock.advance(DurationMs::from_secs(600));
    world.api.check_in(&fix("phone-otto", OUTSIDE, AIRPORT.1));
    let event = json!({
        "type": "gate.changed", "geofence": {"tag": "airport", "externalId": "PEK"}, "data": {"gate": "C7"},
    });
    assert_eq!(world.api.ok("POST", "/v1/events", &event)["matched"], 2);
    wait_for("the event to be told", || {
        world.api.get("/v1/status")["eventsWaiting"] == 0
    });
    world.wait_until_sent();
    let mut seen = 0;
    assert_eq!(shown(&world, &mut seen), ["PEK. Gate C7", "PEK. Gate C7"]);
    let gone: Value = world.api.get("/v1/deliveries?userId=otto")["items"].clone();
    assert_eq!(gone, json!([]));
    for (body, pointer) in [
        (
            json!({"type": "x", "geofence": {"tag": "a", "externalId": ""}}),
            "/geofence/externalId",
        ),
        (
            json!({"type": "x", "geofence": {"tag": "a", "externalId": "b"}, "topic": "t"}),
            "",
        ),
    ] {
        let problem = world.api.json("POST", "/v1/events", &body);
        assert_eq!(
            (problem.status, &problem.body["errors"][0]["pointer"]),
            (400, &json!(pointer)),
            "{problem:?}"
        );
    }
}
