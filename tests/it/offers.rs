//! Offers that there is only so much of: each push gets a code of its own, what was not sent comes back, and a till redeems
//! each code once.

use beckon::domain::time::{DurationMs, Timestamp};
use serde_json::{Value, json};

use crate::harness::{World, fix, registration};

const SHOP: (f64, f64) = (46.5, 12.3);

/// A shop whose visitors get an offer each.
fn put_campaign(world: &World, offer: &Value, budget: &Value) {
    world.api.put_circles("shops", &[("shop", "one", SHOP.0, SHOP.1, 50.0)]);
    let campaign = json!({
        "trigger": {"on": "entered", "geofences": {"tag": "shop"}}, "brand": "sunrise", "budget": budget, "validFor": "PT1H",
        "offers": [{"offer": offer, "message": {"en": {"title": "{{ offer.name }}", "body": "{{ offer.code | default('none') }}"}}}],
    });
    world.api.ok("PUT", "/v1/campaigns/visit", &campaign);
}

fn visits(world: &World, user: &str) -> String {
    let device = format!("phone-{user}");
    let token = world
        .api
        .ok("PUT", &format!("/v1/devices/{device}"), &registration(&device, user))["deviceToken"]
        .clone();
    world.api.check_in(&fix(&device, SHOP.0, SHOP.1));
    world.wait_until_sent();
    token.as_str().expect("a token").to_owned()
}

fn redeem(world: &World, code: &str) -> (u16, Value) {
    let answer = world.api.json(
        "POST",
        "/v1/redemptions",
        &json!({"code": code, "amount": 12.5, "currency": "EUR"}),
    );
    (answer.status, answer.body)
}

fn code_of(world: &World, number: usize) -> String {
    world.accepted()[number].asked.body.clone().unwrap_or_default()
}

#[test]
fn a_generated_code_goes_from_the_push_to_the_till_once() {
    let world = World::start();
    let offer = json!({"kind": "percent", "value": 20, "name": "20 % off", "codes": "generated"});
    put_campaign(&world, &offer, &Value::Null);
    let token = visits(&world, "mia");
    visits(&world, "leo");
    let (code, other) = (code_of(&world, 0), code_of(&world, 1));
    assert_ne!(code, other);
    // The phone may ask for it, whatever became of the push.
    let live = world.api.with_key(&token).get("/v1/offers");
    assert_eq!(live["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&live["items"][0]["code"], &live["items"][0]["offer"]["value"]),
        (&json!(code), &json!(20))
    );
    // However it is typed.
    let typed = code.to_lowercase().replace('-', " ");
    let (status, redeemed) = redeem(&world, &typed);
    assert_eq!(status, 200, "{redeemed}");
    assert_eq!(
        (
            &redeemed["userId"],
            &redeemed["campaign"],
            &redeemed["brand"],
            &redeemed["offer"]["name"]
        ),
        (&json!("mia"), &json!("visit"), &json!("sunrise"), &json!("20 % off"))
    );
    let (status, again) = redeem(&world, &code);
    assert_eq!((status, &again["code"]), (409, &json!("code_used")));
    assert!(
        world.api.with_key(&token).get("/v1/offers")["items"]
            .as_array()
            .is_some_and(Vec::is_empty)
    );
    let timeline = world.api.get("/v1/users/mia/timeline");
    let facts = timeline["items"].as_array().expect("items");
    assert!(
        facts.iter().any(|fact| fact.to_string().contains("redeemed")),
        "{timeline}"
    );
    world.clock.advance(DurationMs::from_secs(2 * 3600));
    let (status, late) = redeem(&world, &other);
    assert_eq!((status, &late["code"]), (410, &json!("code_expired")));
    let (status, unknown) = redeem(&world, "0000-0000-0000");
    assert_eq!((status, &unknown["code"]), (404, &json!("code_unknown")));
}

#[test]
fn a_pool_gives_each_push_a_code_and_takes_back_what_was_not_sent() {
    // Nobody is reached by this token.
    let gone = "phone-noah"
        .bytes()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
        + &"a".repeat(44);
    let world = World::start_with(
        |options| {
            options.unregistered.insert(gone, Timestamp(i64::MAX / 2));
        },
        |_| {},
    );
    let wrong = world.api.call(
        "PUT",
        "/v1/code-pools/till",
        "text/plain",
        format!("code\nA-1\n{}\n", "x".repeat(65)).as_bytes(),
    );
    assert_eq!((wrong.status, &wrong.body["errors"][0]["line"]), (422, &json!(3)));
    let put = world
        .api
        .call("PUT", "/v1/code-pools/till", "text/csv", b"code\nA-1\nA-2\n\nA-2\n");
    assert_eq!((&put.body["added"], &put.body["known"]), (&json!(2), &json!(1)));
    put_campaign(
        &world,
        &json!({"kind": "voucher", "name": "coffee", "codes": {"pool": "till"}}),
        &Value::Null,
    );
    visits(&world, "noah");
    assert_eq!(world.deliveries("noah")[0].1, "dead_token");
    crate::harness::wait_for("the code to come back", || {
        world.api.get("/v1/code-pools")["items"][0]["free"] == 2
    });
    visits(&world, "mia");
    visits(&world, "leo");
    let mut codes = [code_of(&world, 0), code_of(&world, 1)];
    codes.sort();
    assert_eq!(codes, ["A-1", "A-2"]);
    visits(&world, "emma");
    assert_eq!(
        world.deliveries("emma"),
        [("visit".to_owned(), "suppressed".to_owned(), Some("no_code".to_owned()))]
    );
    assert_eq!(redeem(&world, "A-1").0, 200);
}

#[test]
fn a_budget_ends() {
    let world = World::start();
    put_campaign(
        &world,
        &json!({"kind": "percent", "value": 5, "name": "5 %"}),
        &json!({"max": 2}),
    );
    for user in ["mia", "leo", "emma"] {
        visits(&world, user);
    }
    assert_eq!(world.accepted().len(), 2);
    assert_eq!(world.deliveries("emma")[0].2.as_deref(), Some("budget"));
}
