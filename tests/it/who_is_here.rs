//! Staff look at who is in their shop.

use beckon::domain::time::DurationMs;
use serde_json::{Value, json};

use crate::harness::{World, fix};

fn guests(list: &Value) -> Vec<(String, Option<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let items = list["items"].as_array().expect("items").iter();
    items
        .map(|item| (text(&item["deviceId"]).expect("a device"), text(&item["name"])))
        .collect()
}

const PATH: &str = "/v1/geofences/shop/one/users";

#[test]
fn who_is_there_is_listed_with_what_they_allow() {
    let world = World::start();
    let api = &world.api;
    api.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    assert_eq!(api.get(PATH), json!({"items": [], "nextCursor": null}));
    for name in ["ann", "bob", "cem", "dia"] {
        api.put_phone(&format!("{name}s-phone"), name);
        api.ok(
            "PATCH",
            &format!("/v1/users/{name}"),
            &json!({"name": name.to_uppercase()}),
        );
    }
    api.ok(
        "PATCH",
        "/v1/users/bob",
        &json!({"consent": {"personalisation": false}}),
    );
    api.ok("PATCH", "/v1/users/cem", &json!({"consent": {"location": false}}));
    let at = world.clock.now_text(-60);
    for device in ["anns-phone", "bobs-phone", "cems-phone", "stranger"] {
        let mut check_in = fix(device, 46.5, 12.3);
        check_in["at"] = json!(at);
        api.check_in(&check_in);
    }
    api.check_in(&fix("dias-phone", 46.9, 12.3));
    let list = api.get(PATH);
    let expected = [
        ("stranger".to_owned(), None),
        ("anns-phone".to_owned(), Some("ANN".to_owned())),
        ("bobs-phone".to_owned(), None),
    ];
    assert_eq!(guests(&list), expected, "{list}");
    assert_eq!(
        list["items"][1],
        json!({"userId": "ann", "deviceId": "anns-phone", "name": "ANN", "since": at, "evidence": "gps"})
    );
    assert_eq!(list["items"][0]["userId"], Value::Null);

    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("{PATH}?limit=1{cursor}"));
        paged.extend(guests(&page));
        assert!(paged.len() <= expected.len());
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, expected);

    // Who withdraws is gone at once; who leaves, too.
    api.ok("PATCH", "/v1/users/ann", &json!({"consent": {"location": false}}));
    world.clock.advance(DurationMs::from_secs(600));
    let mut away = fix("bobs-phone", 46.9, 12.3);
    away["at"] = json!(world.clock.now_text(0));
    api.check_in(&away);
    assert_eq!(guests(&api.get(PATH)), [("stranger".to_owned(), None)]);
    world.clock.advance(DurationMs::from_secs(7 * 3600));
    assert_eq!(guests(&api.get(PATH)), [], "nothing was heard for long");
}

#[test]
fn only_secret_keys_may_ask_and_what_is_wrong_is_named() {
    let world = World::start();
    let api = &world.api;
    api.put_circles("shops", &[("shop", "one", 46.5, 12.3, 100.0)]);
    let key = |role: &str| {
        let key = api.ok("POST", "/v1/keys", &json!({"role": role}));
        api.with_key(key["key"].as_str().expect("a key"))
    };
    assert_eq!(key("viewer").call("GET", PATH, "", &[]).status, 200);
    assert_eq!(key("publishable").call("GET", PATH, "", &[]).status, 403);
    let unknown = api.call("GET", "/v1/geofences/shop/two/users", "", &[]);
    assert_eq!(
        (unknown.status, &unknown.body["code"]),
        (404, &json!("geofence_unknown"))
    );
    let wrong = api.call("GET", &format!("{PATH}?cursor=x"), "", &[]);
    assert_eq!((wrong.status, &wrong.body["code"]), (400, &json!("parameter_invalid")));
}
