//! What Beckon learns of its customers, seen through the API and on the phones.

use beckon::domain::time::DurationMs;
use serde_json::{Value, json};

use crate::harness::{World, fix, wait_for};

const SHOP: (f64, f64) = (46.5, 12.3);
const AWAY: (f64, f64) = (46.6, 12.3);
// Names have an even number of letters: their phones are iPhones. Tokens for FCM go by the real clock.
const DAY: DurationMs = DurationMs::from_secs(24 * 3600);

/// Titles of the pushes that reached phones, oldest first.
fn titles(world: &World) -> Vec<String> {
    let titles = world.accepted().into_iter().map(|arrival| arrival.asked.title.clone());
    titles.map(Option::unwrap_or_default).collect()
}

/// Comes into the shop, and leaves it an hour later.
fn comes_by(world: &World, device: &str) {
    world.api.check_in(&fix(device, SHOP.0, SHOP.1));
    world.wait_until_sent();
    world.clock.advance(DurationMs::from_secs(3600));
    for _ in 0..2 {
        world.api.check_in(&fix(device, AWAY.0, AWAY.1));
        world.clock.advance(DurationMs::from_secs(3600));
    }
}

fn buys(world: &World, user: &str, id: &str, data: &Value) {
    let event = json!({"id": id, "type": "purchase", "userId": user, "data": data});
    world.api.ok("POST", "/v1/events", &event);
}

fn figures(world: &World, user: &str) -> Value {
    world.api.get(&format!("/v1/users/{user}"))["figures"].clone()
}

fn wait_for_purchases(world: &World, user: &str, count: u64) {
    wait_for("purchases to be told", || {
        let bought = figures(world, user)["purchases"].clone();
        let items = bought.as_array().into_iter().flatten();
        items.filter_map(|item| item["count"].as_u64()).sum::<u64>() == count
    });
}

fn offer(when: &Value, title: &str) -> Value {
    let mut offer = json!({"message": {"en": {"title": title, "body": "b"}}});
    if !when.is_null() {
        offer["when"] = when.clone();
    }
    offer
}

#[test]
fn the_push_at_the_shop_names_the_product_she_usually_buys() {
    let world = World::start();
    let api = &world.api;
    api.put_circles("airport", &[("duty-free", "one", SHOP.0, SHOP.1, 100.0)]);
    let offers = json!([
        offer(
            &json!({"purchased": {"category": "skincare"}, "atLeast": 2}),
            "Your {{ usual.skincare | default('serum') }}, {{ user.name | default('dear guest') }}"
        ),
        offer(&Value::Null, "For {{ usual.skincare | default('everybody') }}"),
    ]);
    api.put_campaign("usual", "entered", "duty-free", &json!({"offers": offers}));
    for user in ["mira", "luca"] {
        api.ok("PUT", &format!("/v1/users/{user}"), &json!({"name": user}));
        api.put_phone(&format!("phone-{user}"), user);
    }
    let serum = json!({"product": "Aqua serum", "category": "skincare", "amount": 39.9, "currency": "EUR"});
    let cream = json!({"currency": "EUR", "items": [
        {"product": "Night cream", "category": "skincare", "amount": 20, "quantity": 2}, {"product": "Gin", "category": "spirits", "amount": 30}]});
    buys(&world, "mira", "b-1", &serum);
    buys(&world, "mira", "b-2", &cream);
    buys(&world, "mira", "b-3", &serum);
    buys(&world, "mira", "b-3", &serum);
    buys(&world, "luca", "b-4", &serum);
    wait_for_purchases(&world, "mira", 4);
    wait_for_purchases(&world, "luca", 1);
    let hers = figures(&world, "mira");
    assert_eq!(hers["usual"], json!({"skincare": "Aqua serum", "spirits": "Gin"}));
    assert_eq!(hers["spent"], json!({"EUR": 129.8}));

    comes_by(&world, "phone-mira");
    comes_by(&world, "phone-luca");
    assert_eq!(titles(&world), ["Your Aqua serum, mira", "For Aqua serum"]);
    assert_eq!(figures(&world, "mira")["visits"][0]["count"], 1);

    // Who wants no offers by profile gets those for everybody, and nothing more is learned.
    api.ok(
        "PATCH",
        "/v1/users/mira",
        &json!({"consent": {"personalisation": false}}),
    );
    world.clock.advance(DAY);
    comes_by(&world, "phone-mira");
    assert_eq!(titles(&world)[2], "For everybody");
    assert_eq!(figures(&world, "mira")["visits"][0]["count"], 1);
}

#[test]
fn the_third_visit_of_a_month_is_the_third_whatever_restarts_and_however_many_phones() {
    let world = World::start();
    let set_up = |world: &World| {
        let now = world.clock.now_text(0);
        // On the first of a month in the customer's zone, so that the month holds all visits.
        let month: Vec<&str> = now.splitn(3, '-').collect();
        let (year, month): (i64, i64) = (month[0].parse().expect("a year"), month[1].parse().expect("a month"));
        let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let first = beckon::domain::time::Timestamp::parse(&format!("{year}-{month:02}-01T08:00:00Z")).expect("a time");
        let now = beckon::domain::time::Timestamp::parse(&now).expect("a time");
        world.clock.advance(first.since(now));
    };
    world
        .api
        .put_circles("chain", &[("cafe", "north", SHOP.0, SHOP.1, 100.0)]);
    let third = json!({"visits": {"tag": "cafe", "this": "month"}, "is": 3});
    world.api.put_campaign(
        "third",
        "entered",
        "cafe",
        &json!({"audience": third, "offers": [offer(&Value::Null, "Try the new one")]}),
    );
    world.api.ok(
        "PUT",
        "/v1/users/luca",
        &json!({"timeZone": "Europe/Lisbon", "locale": "pt"}),
    );
    world.api.put_phone("phone-1", "luca");
    world.api.put_phone("phone-2", "luca");
    comes_by(&world, "phone-1");
    set_up(&world);
    for _ in 0..2 {
        // Both phones come in: one visit.
        world.api.check_in(&fix("phone-2", SHOP.0, SHOP.1));
        comes_by(&world, "phone-1");
        world.api.check_in(&fix("phone-2", AWAY.0, AWAY.1));
        world.clock.advance(DAY);
        world.api.check_in(&fix("phone-2", AWAY.0, AWAY.1));
    }
    assert!(titles(&world).is_empty(), "{:?}", titles(&world));
    let world = world.restart();
    comes_by(&world, "phone-1");
    assert_eq!(titles(&world), ["Try the new one"]);
    world.clock.advance(DAY);
    comes_by(&world, "phone-1");
    assert_eq!(titles(&world).len(), 1, "the fourth is not the third");
    assert_eq!(figures(&world, "luca")["visits"][0]["count"], 5);
}

#[test]
fn what_an_anonymous_customer_did_counts_after_the_login() {
    let world = World::start();
    let api = &world.api;
    api.put_circles("chain", &[("cafe", "north", SHOP.0, SHOP.1, 100.0)]);
    api.put_campaign("hello", "entered", "cafe", &json!({}));
    let mut anonymous = crate::harness::registration("phone", "mira");
    anonymous.as_object_mut().expect("an object").remove("userId");
    api.ok("PUT", "/v1/devices/phone", &anonymous);
    comes_by(&world, "phone");
    world.clock.advance(DAY);
    comes_by(&world, "phone");
    let delivery = api.get("/v1/deliveries")["items"][0]["id"].clone();
    let delivery = delivery.as_str().expect("an id");
    let path = format!("/v1/deliveries/{delivery}/events");
    let opened = json!({"type": "opened", "at": world.clock.now_text(-60)});
    api.ok("POST", &path, &opened);
    api.put_phone("phone", "mira");
    api.ok("POST", &path, &opened);
    api.ok("POST", &path, &json!({"type": "dismissed"}));
    world.clock.advance(DAY);
    comes_by(&world, "phone");
    let hers = figures(&world, "mira");
    assert_eq!(hers["visits"][0]["count"], 3, "{hers}");
    let reactions = hers["reactions"].as_array().expect("a list");
    let told: Vec<Value> = reactions.iter().map(|row| json!([row["type"], row["count"]])).collect();
    assert_eq!(told, [json!(["opened", 1]), json!(["dismissed", 1])]);
    assert!(hers["firstSeen"].as_str() < hers["lastSeen"].as_str(), "{hers}");
}

#[test]
fn a_brand_that_may_not_push_does_not_also_when_the_push_was_decided_before() {
    let world = World::start();
    let api = &world.api;
    api.put_circles("mall", &[("shop", "one", SHOP.0, SHOP.1, 100.0)]);
    for brand in ["sunrise", "blue-cup"] {
        let offers = json!([offer(&Value::Null, "{{ user.traits.persona | default('guest') }}")]);
        let priority = if brand == "sunrise" { 10 } else { 0 };
        api.put_campaign(
            brand,
            "entered",
            "shop",
            &json!({"brand": brand, "priority": priority, "offers": offers}),
        );
    }
    api.put_phone("phone", "mira");
    let consent = json!({"consent": {"push": true, "brands": {"sunrise": {"push": false}, "blue-cup": {"personalisation": false}}}});
    api.ok(
        "PATCH",
        "/v1/users/mira",
        &json!({"traits": {"persona": "shopper"}, "consent": consent["consent"]}),
    );
    comes_by(&world, "phone");
    assert_eq!(
        world.deliveries("mira"),
        [("blue-cup".to_owned(), "accepted".to_owned(), None)]
    );
    assert_eq!(
        titles(&world),
        ["guest"],
        "no traits for a brand that may not personalise"
    );

    let refused = api.json(
        "PATCH",
        "/v1/users/mira",
        &json!({"consent": {"brands": {"sunrise": {"location": false}}}}),
    );
    assert_eq!(
        (refused.status, &refused.body["errors"][0]["pointer"]),
        (400, &json!("/consent/brands/sunrise/location")),
        "{refused:?}"
    );
    let many: serde_json::Map<String, Value> = (0..100)
        .map(|brand| (format!("b{brand}"), json!({"push": true})))
        .collect();
    let refused = api.json("PATCH", "/v1/users/mira", &json!({"consent": {"brands": many}}));
    assert_eq!(
        (refused.status, &refused.body["errors"][0]["pointer"]),
        (400, &json!("/consent/brands")),
        "{refused:?}"
    );
    let kept = &api.get("/v1/users/mira")["consent"];
    assert_eq!(kept["brands"].as_object().map(serde_json::Map::len), Some(2), "{kept}");
}

#[test]
fn purchases_that_are_none_are_refused_with_their_place() {
    let world = World::start();
    let refusal = |event: &Value| {
        let answer = world.api.json("POST", "/v1/events", event);
        (
            answer.status,
            answer.body["errors"][0]["pointer"].clone(),
            answer.body["errors"][0]["detail"].clone(),
        )
    };
    let purchase = |data: Value| json!({"type": "purchase", "userId": "mira", "data": data});
    let (status, pointer, detail) = refusal(&purchase(json!({"items": [{"product": "a"}, {"amount": "12"}]})));
    assert_eq!(
        (status, pointer, detail),
        (400, json!("/data/items/1/amount"), json!("must be a number"))
    );
    let (status, pointer, _) = refusal(&purchase(json!({"amount": 12, "currency": "€"})));
    assert_eq!((status, pointer), (400, json!("/data/currency")));
    let (status, pointer, _) = refusal(&json!({"type": "purchase", "topic": "t", "data": {}}));
    assert_eq!((status, pointer), (400, json!("/topic")));
    let audience = json!({"all": [{"visit": {"tag": "cafe"}}]});
    let campaign = json!({"trigger": {"on": "entered", "geofences": {"tag": "t"}}, "audience": audience,
        "offers": [offer(&Value::Null, "t")]});
    let refused = world.api.json("PUT", "/v1/campaigns/wrong", &campaign);
    assert_eq!(refused.status, 422);
    assert_eq!(refused.body["errors"][0]["pointer"], "/audience/all/0");
    let detail = refused.body["errors"][0]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("did you mean `visits`?"), "{detail}");
}

#[test]
fn many_follow_a_topic_at_once_and_wrong_lines_are_named() {
    let world = World::start();
    let api = &world.api;
    let path = "/v1/topics/flight:CA1501/2026-11-22/members";
    let lines = "{\"userId\": \"mira\"}\n\"luca\"\n\n{\"user\": 1}\nnot json\n\"mira\"\n\"\"\n";
    let answer = api.call("POST", path, "application/x-ndjson", lines.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = |body: &Value| json!([body["read"], body["added"], body["unchanged"], body["rejected"]]);
    assert_eq!(told(&answer.body), json!([6, 2, 1, 3]));
    let errors = answer.body["errors"].as_array().expect("a list");
    let lines: Vec<Value> = errors
        .iter()
        .map(|error| json!([error["line"], error["code"]]))
        .collect();
    assert_eq!(
        lines,
        [
            json!([4, "field_invalid"]),
            json!([5, "json_broken"]),
            json!([7, "field_invalid"])
        ]
    );

    let answer = api.call(
        "POST",
        path,
        "text/csv; charset=utf-8",
        b"name,userId\nLuca,luca\nAda,ada\nNobody\n",
    );
    assert_eq!(told(&answer.body), json!([3, 1, 1, 1]), "{answer:?}");
    assert_eq!(answer.body["errors"][0]["line"], 4);
    let event = json!({"type": "flight.delayed", "topic": "flight:CA1501/2026-11-22"});
    assert_eq!(api.ok("POST", "/v1/events", &event)["matched"], 3);

    let answer = api.call("POST", path, "text/csv", b"id\nmira\n");
    assert_eq!(
        (answer.status, &answer.body["errors"][0]["line"]),
        (400, &json!(1)),
        "{answer:?}"
    );
    assert_eq!(api.call("POST", path, "application/json", b"[]").status, 415);
    let many = "\"u\"\n".repeat(10_001);
    let answer = api.call("POST", path, "application/x-ndjson", many.as_bytes());
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (400, &json!("too_many_items")),
        "{answer:?}"
    );
}

#[test]
fn everything_known_is_exported_and_nothing_is_left_after_the_erasure() {
    let world = World::start();
    let api = &world.api;
    api.put_circles("chain", &[("cafe", "north", SHOP.0, SHOP.1, 100.0)]);
    api.put_campaign("hello", "entered", "cafe", &json!({}));
    api.ok(
        "PUT",
        "/v1/users/miranda",
        &json!({"name": "Miranda", "timeZone": "Europe/Lisbon", "topics": ["news"]}),
    );
    api.put_phone("phone-m", "miranda");
    comes_by(&world, "phone-m");
    buys(
        &world,
        "miranda",
        "b-1",
        &json!({"product": "Aqua serum", "category": "skincare"}),
    );
    wait_for_purchases(&world, "miranda", 1);
    assert_eq!(
        api.json("PUT", "/v1/users/x", &json!({"timeZone": "Mars/North"}))
            .status,
        400
    );

    let timeline = api.get("/v1/users/miranda/timeline?limit=2");
    let items = timeline["items"].as_array().expect("a list");
    assert_eq!(
        (items.len(), &items[0]["type"]),
        (2, &json!("user.exited_geofence")),
        "{timeline}"
    );
    let cursor = timeline["nextCursor"].as_str().expect("more");
    let rest = api.get(&format!("/v1/users/miranda/timeline?cursor={cursor}"));
    let rest = rest["items"].as_array().expect("a list");
    assert_eq!(rest.last().expect("the first")["type"], "user.entered_geofence");

    let export = api.get("/v1/users/miranda/export");
    assert_eq!(export["isComplete"], true);
    assert_eq!(export["user"]["timeZone"], "Europe/Lisbon");
    assert_eq!(export["user"]["figures"]["usual"]["skincare"], "Aqua serum");
    assert_eq!(export["user"]["devices"][0]["deviceId"], "phone-m");
    assert_eq!(export["sends"][0]["campaign"], "hello");
    assert_eq!(export["deliveries"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        export["timeline"].as_array().map(Vec::len),
        Some(items.len() + rest.len())
    );

    assert_eq!(api.call("DELETE", "/v1/users/miranda", "", &[]).status, 204);
    for path in ["", "/timeline", "/export"] {
        assert_eq!(
            api.call("GET", &format!("/v1/users/miranda{path}"), "", &[]).status,
            404
        );
    }
    // Also not in what is kept of outside events, which are known by their names only.
    let tables = [
        "record",
        "device",
        "present",
        "follower",
        "fact",
        "delivery",
        "outside_event",
    ];
    let rows = world.rows(&tables);
    assert!(!rows.is_empty());
    let left: Vec<&String> = rows
        .iter()
        .filter(|row| row.contains("iranda") || row.contains("phone-m"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
