//! The life of a campaign, and what its documents may say.

use beckon::domain::time::{DurationMs, Timestamp};
use beckon::engine::ports::Clock as _;
use serde_json::{Value, json};

use crate::harness::{World, fix};

const SHOP: (f64, f64) = (46.5, 12.3);

fn visit(world: &World) {
    for latitude in [SHOP.0 + 0.008, SHOP.0] {
        world.clock.advance(DurationMs::from_secs(60));
        world.api.check_in(&fix("phone", latitude, SHOP.1));
    }
}

#[test]
fn a_campaign_is_drafted_started_paused_and_ended() {
    let world = World::start();
    world
        .api
        .put_circles("shops", &[("shop", "one", SHOP.0, SHOP.1, 100.0)]);
    world.api.put_phone("phone", "mia");
    let over = Timestamp(world.clock.now().0 + 3_600_000).to_string();
    world.api.put_campaign(
        "hello",
        "entered",
        "shop",
        &json!({"status": "draft", "schedule": {"until": over}}),
    );
    let mut pushes = 0;
    let mut said = || {
        visit(&world);
        world.wait_until_sent();
        let before = std::mem::replace(&mut pushes, world.deliveries("mia").len());
        pushes - before
    };
    assert_eq!(said(), 0, "a draft");
    let to = |verb: &str| {
        world
            .api
            .json("POST", &format!("/v1/campaigns/hello/{verb}"), &json!({}))
    };
    let state = || {
        let campaign = world.api.get("/v1/campaigns/hello");
        (campaign["status"].clone(), campaign["version"].clone())
    };
    assert_eq!(state(), (json!("draft"), json!(1)));
    for (verb, status, version, pushed) in [
        ("start", "active", 2, 1),
        ("pause", "paused", 3, 0),
        ("start", "active", 4, 1),
        ("end", "ended", 5, 0),
    ] {
        assert_eq!(to(verb).status, 200);
        assert_eq!(state(), (json!(status), json!(version)));
        assert_eq!(said(), pushed, "{verb}");
    }
    let versions = world.api.get("/v1/campaigns/hello/versions")["items"].clone();
    let said_then: Vec<(Value, Value)> = versions
        .as_array()
        .into_iter()
        .flatten()
        .map(|version| (version["version"].clone(), version["campaign"]["status"].clone()))
        .collect();
    let expected = [(5, "ended"), (4, "active"), (3, "paused"), (2, "active"), (1, "draft")];
    assert_eq!(
        said_then,
        expected.map(|(version, status)| (json!(version), json!(status)))
    );
    to("start");
    world.clock.advance(DurationMs::from_secs(3600));
    assert_eq!(state(), (json!("ended"), json!(6)), "its schedule is over");
    assert_eq!(said(), 0);
    let refused = to("start");
    assert_eq!(
        (refused.status, &refused.body["errors"][0]["pointer"]),
        (422, &json!("/schedule/until"))
    );
}

#[test]
fn a_workspaces_campaign_settings_are_checked_and_shown() {
    let world = World::start();
    let own = json!({"campaigns": {
        "timeZone": "Europe/Zurich", "quietHours": {"from": "22:00", "until": "07:30", "then": "defer"},
        "caps": [{"max": 3, "per": "week", "scope": "workspace"}], "minimumGap": "PT1H", "arbitrationWindow": "PT10S",
        "fairness": {"weights": {"sunrise": 2.0}}, "holdout": 0.05,
    }});
    let shown = world.api.ok("PATCH", "/v1/settings", &own);
    assert_eq!(shown["own"], own);
    insta::assert_json_snapshot!(shown["campaigns"]);
    // What is answered can be sent back.
    let again = world
        .api
        .ok("PATCH", "/v1/settings", &json!({"campaigns": shown["campaigns"]}));
    assert_eq!(again["campaigns"], shown["campaigns"]);
    for (wrong, pointer) in [
        (json!({"timeZone": "Mars"}), "/campaigns/timeZone"),
        (json!({"caps": [{"max": 0, "per": "day"}]}), "/campaigns/caps/0/max"),
        (json!({"arbitrationWindow": "PT1H"}), "/campaigns/arbitrationWindow"),
        (
            json!({"fairness": {"weights": {"sunrise": 0}}}),
            "/campaigns/fairness/weights/sunrise",
        ),
        (json!({"holdout": 5}), "/campaigns/holdout"),
        (json!({"quiet": 1}), "/campaigns/quiet"),
    ] {
        let refused = world.api.json("PATCH", "/v1/settings", &json!({"campaigns": wrong}));
        assert_eq!(
            (refused.status, &refused.body["errors"][0]["pointer"]),
            (400, &json!(pointer)),
            "{refused:?}"
        );
    }
}

/// The examples of docs/campaigns.md, each taken by a server as it stands.
#[test]
fn every_example_of_the_guide_is_taken() {
    let guide = include_str!("../../docs/campaigns.md");
    let world = World::start();
    let mut taken = 0;
    for block in guide.split("```json\n").skip(1) {
        let text = block.split("```").next().unwrap_or_default();
        let document: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let answer = if document.get("campaigns").is_some() {
            world.api.json("PATCH", "/v1/settings", &document)
        } else {
            let mut campaign = json!({
                "id": format!("example-{taken}"), "trigger": {"on": "entered", "geofences": {"tag": "shop"}},
                "offers": [{"message": {"en": {"title": "t", "body": "b"}}}],
            });
            for (field, value) in document.as_object().into_iter().flatten() {
                campaign[field] = value.clone();
            }
            let id = campaign["id"].as_str().map(str::to_owned).unwrap_or_default();
            world.api.json("PUT", &format!("/v1/campaigns/{id}"), &campaign)
        };
        assert_eq!(answer.status, 200, "{text}: {answer:?}");
        taken += 1;
    }
    assert!(taken >= 14, "{taken}");
}
