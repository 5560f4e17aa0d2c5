//! What a workspace decides for itself.

use beckon::domain::time::DurationMs;
use serde_json::json;

use crate::harness::{World, fix, kinds, wait_for};

#[test]
fn a_workspaces_own_thresholds_count_at_once_and_after_a_restart() {
    let world = World::start();
    world.api.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    let defaults = world.api.get("/v1/settings");
    insta::assert_json_snapshot!(defaults);
    let doubtful = |world: &World, device: &str| {
        let mut check_in = fix(device, 46.5, 12.3);
        check_in["location"]["accuracy"] = json!(80.0);
        kinds(&world.api.check_in(&check_in)[0])
    };
    assert_eq!(doubtful(&world, "a"), ["entered one"]);
    let own = json!({"presence": {"enterAt": 0.99, "silentAfter": "PT10M"}});
    let patched = world.api.ok("PATCH", "/v1/settings", &own);
    assert_eq!(patched["own"], own);
    assert_eq!(patched["presence"]["enterAt"], 0.99);
    assert_eq!(patched["presence"]["exitAt"], 0.9, "the installation's");
    assert_eq!(doubtful(&world, "b"), [""; 0], "not sure enough");

    // Silence ends a visit after ten minutes, not six hours, also by a server that has just started.
    assert_eq!(kinds(&world.api.check_in(&fix("c", 46.5, 12.3))[0]), ["entered one"]);
    let world = world.restart();
    assert_eq!(world.api.get("/v1/settings"), patched);
    let there = || world.api.get("/v1/geofences/shop/one/users")["items"].clone();
    assert_eq!(there().as_array().map(Vec::len), Some(2));
    world.clock.advance(DurationMs::from_secs(601));
    wait_for("the silence to count", || there() == json!([]));

    // What is taken back is the installation's again, what is not named stays.
    let patched = world
        .api
        .ok("PATCH", "/v1/settings", &json!({"presence": {"enterAt": null}}));
    assert_eq!(patched["own"], json!({"presence": {"silentAfter": "PT10M"}}));
    assert_eq!(doubtful(&world, "d"), ["entered one"]);
}

#[test]
fn what_is_wrong_with_settings_is_named_and_nothing_changes() {
    let world = World::start();
    for (patch, place) in [
        (json!({"presence": {"enterAt": 2}}), "/presence/enterAt"),
        (
            json!({"presence": {"exitAt": 0.8, "enterAT": 0.6}}),
            "/presence/enterAT",
        ),
        (json!({"presense": {"exitAt": 0.8}}), "/presense"),
        (json!({"presence": 7}), "/presence"),
        (json!([]), ""),
    ] {
        let refused = world.api.json("PATCH", "/v1/settings", &patch);
        assert_eq!(
            (refused.status, &refused.body["code"]),
            (400, &json!("field_invalid")),
            "{patch}"
        );
        assert_eq!(refused.body["errors"][0]["pointer"], place, "{patch}");
    }
    assert_eq!(world.api.get("/v1/settings")["own"], json!({}));
    let with_role = |role: &str| {
        let key = world.api.ok("POST", "/v1/keys", &json!({"role": role, "name": role}));
        world.api.with_key(key["key"].as_str().expect("a key"))
    };
    let patch = json!({"presence": {"crossed": true}});
    assert_eq!(with_role("marketer").json("PATCH", "/v1/settings", &patch).status, 403);
    assert_eq!(with_role("operator").json("PATCH", "/v1/settings", &patch).status, 200);
    assert_eq!(with_role("viewer").get("/v1/settings")["presence"]["crossed"], true);
}
