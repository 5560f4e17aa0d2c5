//! A marketer asks why somebody got a push, or none.

use std::process::Command;

use beckon::domain::time::DurationMs;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, World, fix};

const SHOP: (f64, f64) = (46.5, 12.3);

fn visit(world: &World, device: &str) {
    for latitude in [SHOP.0 + 0.008, SHOP.0] {
        world.clock.advance(DurationMs::from_secs(60));
        world.api.check_in(&fix(device, latitude, SHOP.1));
    }
    world.wait_until_sent();
}

/// What one check of a campaign came to in the latest decision: the decision's check, as JSON.
fn check<'d>(decision: &'d Value, campaign: &str, kind: &str) -> &'d Value {
    let verdicts = decision["verdicts"].as_array().into_iter().flatten();
    let mut of_campaign = verdicts.filter(|verdict| verdict["campaign"] == campaign);
    let trace = of_campaign.next().expect("a verdict")["trace"].as_array();
    let mut found = trace.into_iter().flatten().filter(|check| check["check"] == kind);
    found.next().unwrap_or(&Value::Null)
}

fn decisions(world: &World, query: &str) -> Vec<Value> {
    let page = world.api.get(&format!("/v1/decisions?{query}"));
    page["items"].as_array().cloned().expect("items")
}

fn why(world: &World, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_beckon"))
        .arg("why")
        .args(arguments)
        .args(["--server", &world.api.base, "--key", ADMIN_KEY])
        .output()
        .expect("beckon runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a text")
}

/// Times and names that differ from run to run, made alike.
fn alike(text: &str) -> String {
    let alike = |word: &str| {
        let bare = word.trim_end_matches([',', ':']);
        let is_time = bare.ends_with('Z') && bare.contains('T') && bare.len() >= 20;
        let is_id = bare.len() == 36 && bare.matches('-').count() == 4;
        match (is_time, is_id) {
            (true, _) => word.replace(bare, "[time]"),
            (_, true) => word.replace(bare, "[id]"),
            _ => word.to_owned(),
        }
    };
    let line = |line: &str| line.split(' ').map(alike).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn world() -> World {
    let world = World::start();
    let api = &world.api;
    api.put_circles("shops", &[("shop", "one", SHOP.0, SHOP.1, 100.0)]);
    api.ok(
        "PATCH",
        "/v1/settings",
        &json!({"campaigns": {"trace": {"sampled": 0}}}),
    );
    let cap = json!([{"max": 1, "per": "P7D"}]);
    api.put_campaign("welcome", "entered", "shop", &json!({"priority": 9, "caps": cap}));
    let shoppers = json!({"audience": {"all": [
        {"trait": "persona", "is": "shopper"}, {"visits": {"tag": "shop", "within": "P30D"}, "atLeast": 1}]}, "caps": cap});
    api.put_campaign("coupon", "entered", "shop", &shoppers);
    api.put_campaign(
        "control",
        "entered",
        "shop",
        &json!({"holdout": 1, "priority": -1, "caps": cap}),
    );
    api.ok("PUT", "/v1/users/mia", &json!({"traits": {"persona": "tourist"}}));
    api.put_phone("phone", "mia");
    world
}

#[test]
fn a_marketer_finds_out_why_somebody_got_nothing() {
    let world = world();
    visit(&world, "phone");
    visit(&world, "phone");
    visit(&world, "phone");
    let bare = decisions(&world, "userId=mia");
    assert_eq!(bare.len(), 3);
    let pushed = &bare[2];
    assert_eq!(pushed["delivery"]["state"], "accepted");
    assert_eq!(pushed["delivery"]["attempts"], 1);
    assert_eq!(check(pushed, "welcome", "arbitration")["saw"], "the best of 2");
    assert_eq!(
        check(pushed, "control", "arbitration")["saw"],
        "welcome has priority 9, this one -1"
    );
    assert_eq!(bare[0]["delivery"], Value::Null);
    let reasons: Vec<&Value> = bare[0]["verdicts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|verdict| &verdict["suppressed"])
        .collect();
    assert_eq!(reasons, ["cap", "audience", "cap"], "the reason is kept always");
    assert!(bare[0]["verdicts"][0]["trace"].is_null(), "and no more of a boring no");
    let hint = why(&world, &["--user", "mia", "--campaign", "coupon", "--limit", "1"]);
    assert!(hint.contains("PATCH /v1/users/mia with {\"debug\": true}"), "{hint}");

    // With the flag, every no tells all.
    let patched = world.api.ok("PATCH", "/v1/users/mia", &json!({"debug": true}));
    assert_eq!(patched["debug"], true);
    let put = world
        .api
        .ok("PUT", "/v1/users/mia", &json!({"traits": {"persona": "tourist"}}));
    assert_eq!(put["debug"], true, "the owner's nightly update doesn't end it");
    visit(&world, "phone");
    let full = &decisions(&world, "userId=mia&limit=1")[0];
    assert_eq!(
        check(full, "welcome", "cap"),
        &json!({"check": "cap", "holds": false, "saw": "1 of 1 per PT168H, counted by campaign"})
    );
    let rule = &check(full, "coupon", "audience")["rule"];
    assert_eq!(
        (&rule["of"][0]["holds"], &rule["of"][0]["saw"], &rule["of"][1]["holds"]),
        (&json!(false), &json!("\"tourist\""), &json!(true))
    );
    let told = check(full, "control", "holdout");
    assert_eq!(told["saw"], "belongs to the campaign's hold-out of 1");
    insta::assert_snapshot!(
        "why_nothing_came",
        alike(&why(&world, &["--user", "mia", "--limit", "1"]))
    );
    insta::assert_snapshot!(
        "why_a_push_came",
        alike(&why(
            &world,
            &["--user", "mia", "--campaign", "welcome", "--limit", "4"]
        ))
    );
    let lines = why(&world, &["--user", "mia", "--json"]);
    assert_eq!(lines.lines().count(), 4);
    for line in lines.lines() {
        let decision: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(decision["trigger"], "entered");
    }
}

#[test]
fn decisions_are_filtered_and_come_in_pages() {
    let world = world();
    for _ in 0..3 {
        visit(&world, "phone");
    }
    for (query, count) in [
        ("", 3),
        ("&outcome=push", 1),
        ("&outcome=silent", 2),
        ("&outcome=held_out", 1),
        ("&outcome=cap", 2),
        ("&campaign=welcome&outcome=cap", 2),
        ("&campaign=coupon&outcome=push", 0),
        ("&geofence=shop/one", 3),
        ("&geofence=shop/two", 0),
        ("&campaign=nothing", 0),
    ] {
        let found = decisions(&world, &format!("userId=mia{query}"));
        assert_eq!(found.len(), count, "{query}: {found:?}");
    }
    let all = decisions(&world, "userId=mia");
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.api.get(&format!("/v1/decisions?userId=mia&limit=1{cursor}"));
        paged.extend(page["items"].as_array().cloned().unwrap_or_default());
        let Some(next) = page["nextCursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, all);
    for (query, status, says) in [
        ("", 400, "`userId`: is required"),
        ("userId=nobody", 404, "no customer"),
        ("userId=mia&outcome=cup", 400, "no reason such as audience or cap"),
        ("userId=mia&geofence=shop", 400, "TAG/EXTERNAL-ID"),
        ("userId=mia&color=red", 400, "color"),
    ] {
        let refused = world.api.call("GET", &format!("/v1/decisions?{query}"), "", &[]);
        let detail = refused.body["detail"].as_str().unwrap_or_default();
        assert!(
            refused.status == status && detail.contains(says),
            "{query}: {refused:?}"
        );
    }
}

#[test]
fn who_was_never_asked_about_is_told_where_to_look() {
    let world = world();
    insta::assert_snapshot!(why(&world, &["--user", "mia", "--campaign", "coupon"]));
}
