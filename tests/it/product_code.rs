//! The story of a product whose code is scanned: profile and place together choose the offer, and the app gets a document
//! for its AR view.

use beckon::domain::time::DurationMs;
use serde_json::{Value, json};

use crate::harness::World;

fn world() -> World {
    let world = World::start();
    for (shop, latitude) in [("duty-free", 46.5), ("outlet", 46.6)] {
        let place = json!({
            "latitude": latitude, "longitude": 12.3, "radius": 50, "codes": [format!("{shop}/serum")],
            "metadata": {"content": {"model": "serum.usdz", "shop": shop}},
        });
        world.api.ok("PUT", &format!("/v1/geofences/{shop}/serum"), &place);
    }
    let message = |title: &str| json!({"en": {"title": title, "body": "{{ geofence.tag }}"}});
    let campaign = |audience: &str, priority: i64, kind: &Value| {
        json!({
            "trigger": {"on": "scanned", "geofences": {"tag": "duty-free"}}, "priority": priority,
            "audience": {"trait": "persona", "is": audience}, "caps": [{"max": 1, "per": "P1D"}],
            "offers": [{"when": {"trait": "level", "atLeast": 3}, "offer": {"kind": "percent", "value": 20}, "message": message("20 %")},
                       {"offer": kind, "message": message(audience)}],
        })
    };
    let story = json!({"kind": "content", "content": {"model": "story.usdz", "tips": ["twice a day"]}});
    world
        .api
        .ok("PUT", "/v1/campaigns/shopper", &campaign("shopper", 5, &story));
    world.api.ok(
        "PUT",
        "/v1/campaigns/business",
        &campaign("business", 1, &json!({"kind": "voucher", "name": "travel size"})),
    );
    for (user, persona, level) in [("mia", "shopper", 1), ("eva", "shopper", 5), ("ben", "business", 1)] {
        world.api.put_phone(&format!("phone-{user}"), user);
        world.api.ok(
            "PATCH",
            &format!("/v1/users/{user}"),
            &json!({"traits": {"persona": persona, "level": level}}),
        );
    }
    world
}

#[test]
fn profile_and_place_choose_and_the_app_gets_its_document() {
    let world = world();
    let scan = |user: &str, shop: &str, id: &str| {
        let check_in = json!({"id": id, "deviceId": format!("phone-{user}"), "code": format!("{shop}/serum")});
        world.api.check_in(&check_in)[0].clone()
    };
    let of_shop = |shop: &str| json!({"model": "serum.usdz", "shop": shop});
    let story = json!({"model": "story.usdz", "tips": ["twice a day"]});
    let mia = scan("mia", "duty-free", "m-1");
    assert_eq!(mia["content"], story, "the campaign's, for her");
    assert_eq!(
        scan("eva", "duty-free", "e-1")["content"],
        of_shop("duty-free"),
        "her offer has none of its own"
    );
    assert_eq!(scan("ben", "duty-free", "b-1")["content"], of_shop("duty-free"));
    assert_eq!(
        scan("ben", "outlet", "b-2")["content"],
        of_shop("outlet"),
        "no campaign there"
    );
    // Sent again, it is answered the same; scanned again, the story comes and no second push.
    let again = scan("mia", "duty-free", "m-1");
    assert_eq!((&again["status"], &again["content"]), (&json!("duplicate"), &story));
    world.clock.advance(DurationMs::from_secs(60));
    assert_eq!(scan("mia", "duty-free", "m-2")["content"], story);
    world.wait_until_sent();
    let mut titles: Vec<String> = world
        .accepted()
        .iter()
        .map(|arrival| arrival.asked.title.clone().unwrap_or_default())
        .collect();
    titles.sort();
    assert_eq!(titles, ["20 %", "business", "shopper"]);
    // A check-in that scans nothing is answered with no document.
    world.clock.advance(DurationMs::from_secs(60));
    let walks = json!({"deviceId": "phone-mia", "location": {"latitude": 46.5, "longitude": 12.3}});
    assert!(world.api.check_in(&walks)[0].get("content").is_none());
}
