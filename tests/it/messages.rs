//! The words of pushes, from a campaign to the phone.

use serde_json::json;

use crate::harness::{World, fix, registration};

#[test]
fn each_customer_reads_their_own_language_numbers_and_times() {
    let world = World::start();
    world
        .api
        .put_circles("places", &[("shop", "corner", 46.5, 12.3, 100.0)]);
    let message = json!({
        "en": {"title": "{{ user.name }}, {{ offer.value | money(offer.currency) }} off at {{ geofence.description }}",
               "body": "until {{ event.until | time }}, {{ event.stock | plural(one='one left', other='# left') }}"},
        "zh-TW": {"title": "{{ user.name }}，{{ offer.value | money(offer.currency) }}", "body": "到{{ event.until | time }}，剩{{ event.stock | plural(other='#件') }}"},
    });
    let campaign = json!({
        "trigger": {"on": "event", "type": "sale", "present": {"tag": "shop"}},
        "defaults": {"user.name": {"en": "Dear guest", "zh": "貴賓"}, "event.until": "soon", "event.stock": 1},
        "offers": [{"offer": {"kind": "amount", "value": 1250, "currency": "JPY"}, "message": message}],
    });
    world.api.ok("PUT", "/v1/campaigns/sale", &campaign);
    for (device, user, locale, zone) in [
        ("one", "anna", "zh_TW", "Asia/Taipei"),
        ("two", "bert", "en-GB", "Europe/London"),
    ] {
        let mut phone = registration(device, user);
        phone["locale"] = json!(locale);
        phone["timeZone"] = json!(zone);
        world.api.ok("PUT", &format!("/v1/devices/{device}"), &phone);
        world.api.check_in(&fix(device, 46.5, 12.3));
        let event = json!({"type": "sale", "userId": user, "data": {"until": "2026-11-22T17:40:00Z", "stock": 1234}});
        world.api.ok("POST", "/v1/events", &event);
    }
    crate::harness::wait_for("both pushes", || world.accepted().len() == 2);
    let mut told: Vec<(String, String)> = world
        .accepted()
        .iter()
        .map(|push| {
            (
                push.asked.title.clone().unwrap_or_default(),
                push.asked.body.clone().unwrap_or_default(),
            )
        })
        .collect();
    told.sort();
    assert_eq!(told.len(), 2);
    assert!(told[0].0.ends_with("¥1,250 off at corner"), "{told:?}");
    assert_eq!(told[0].1, "until 17:40, 1,234 left");
    assert_eq!(
        told[1],
        ("貴賓，JP¥1,250".to_owned(), "到凌晨1:40，剩1,234件".to_owned())
    );
}

#[test]
fn saving_names_the_hole_in_a_message_and_warns_of_what_phones_cut() {
    let world = World::start();
    let put = |title: &str| {
        let offers = json!([{"message": {"en": {"title": title, "body": "b"}}}]);
        let campaign = json!({"trigger": {"on": "entered", "geofences": {"tag": "shop"}}, "offers": offers});
        world.api.json("PUT", "/v1/campaigns/c", &campaign)
    };
    let hole = put("Dear {{ user.name }}");
    assert_eq!(hole.status, 422);
    let error = &hole.body["errors"][0];
    assert_eq!(error["pointer"], "/offers/0/message/en/title");
    let detail = error["detail"].as_str().expect("a text");
    assert!(detail.contains("`user.name` may be missing: write `{{ user.name | default(\"...\") }}`"));
    let empty = put("{% if user.name %}Hi{% endif %}");
    assert_eq!(
        (empty.status, empty.body["errors"][0]["pointer"].as_str()),
        (422, Some("/offers/0/message/en/title"))
    );

    let fine = put("Hi {{ user.name | default('you') }}");
    assert_eq!((fine.status, fine.warning), (200, None));
    let long = put(&"long ".repeat(20));
    assert_eq!(long.status, 200);
    let warning = "/offers/0/message/en/title has 100 characters, phones show about 65";
    assert_eq!(long.warning.as_deref(), Some(warning));
}
