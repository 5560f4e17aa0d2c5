use super::*;

fn refused(body: &str) -> String {
    let campaign = json!({"message": {"en": {"title": "t", "body": body}}});
    read(&campaign).expect_err(body).to_string()
}

#[test]
fn a_variable_that_may_be_missing_needs_a_default() {
    assert_eq!(
        refused("Hi {{ user.name }}"),
        "/message/en/body: `user.name` may be missing: write `{{ user.name | default(\"...\") }}`, ask for it with \
         `{% if user.name %}`, or add `\"user.name\": \"...\"` to the campaign's `defaults`"
    );
    for hole in [
        "{{ user.name | upper }}",
        "{{ user.name | default(user.nick) }}",
        "{{ user.name or event.name }}",
        "{{ user.name if user.vip }}",
        "{{ offer.code }}",
        "{{ geofence.metadata.floor }}",
        "{{ user['first name'] }}",
        "{% if user.name %}Hi{% else %}{{ user.name }}{% endif %}",
        "{% if user.name or user.nick %}{{ user.name }}{% endif %}",
        "{% if event.n < 5 %}{{ event.n }}{% endif %}",
        "{% if user.name is undefined %}{{ user.name }}{% endif %}",
        "{% if user.name %}{% endif %}{{ user.name }}",
        "{{ 1 | plural(other=user.word) }}",
    ] {
        assert!(refused(hole).contains("may be missing"), "{hole}");
    }
    for whole in [
        "{{ offer.value }} {{ geofence.tag }} {{ geofence.description }}",
        "{{ user.name | default('you') }}",
        "{{ user.name | upper | default('you') | trim }}",
        "{{ user.name or 'you' }}",
        "{{ user.name if user.name else 'you' }}",
        "{{ user.tags | length }} {{ user.tags | contains('vip') }}",
        "{% if user.name %}{{ user.name }}{% endif %}",
        "{% if not user.name %}Hi{% else %}{{ user.name }}{% endif %}",
        "{% if user.name is defined and event.n > 5 %}{{ user.name }} {{ event.n }}{% endif %}",
        "{% if user.tier == 'gold' %}{{ user.tier }}{% elif user.tier in ['silver'] %}{{ user.tier }}{% endif %}",
        "{% if user.name | trim %}{{ user.name }}{% endif %}",
    ] {
        assert!(english(whole).is_ok(), "{whole}: {:?}", english(whole));
    }
}

#[test]
fn without_a_geofence_its_fields_may_be_missing() {
    let campaign = json!({"en": {"title": "t", "body": "{{ geofence.tag }}"}});
    let words = Words::read(&Node::root(&json!({})), false, false).expect("valid");
    assert!(Messages::read(&Node::root(&campaign), &words, &Value::Null).is_err());
}

#[test]
fn the_campaigns_own_words_stand_for_what_is_missing_null_or_blank() {
    let messages = read(&json!({
        "message": {
            "en": {"title": "Dear {{ user.name }}", "body": "{{ user.name | default('you') }}, {% if user.name %}!{% else %}?{% endif %}"},
            "de": {"title": "Hallo {{ user.name }}", "body": "b"},
            "fr": {"title": "Bonjour {{ user.name | default('vous') }}", "body": "b"}
        },
        "defaults": {"user.name": {"en": "guest", "DE": "Gast"}}
    }))
    .expect("valid");
    for nobody in [
        json!({}),
        json!({"user": {"name": null}}),
        json!({"user": {"name": " "}}),
        json!({"user": 5}),
    ] {
        assert_eq!(title(&messages, None, &nobody), "Dear guest");
        assert_eq!(title(&messages, Some("de-CH"), &nobody), "Hallo Gast");
        assert_eq!(body(&messages, &nobody), "you, ?", "a template's own word counts first");
    }
    let li = json!({"user": {"name": "Li"}});
    assert_eq!(title(&messages, Some("de"), &li), "Hallo Li");
    assert_eq!(body(&messages, &li), "Li, !");
}

#[test]
fn wrong_defaults_are_refused() {
    let refusal = |defaults: Value| {
        let campaign = json!({"message": {"en": {"title": "t", "body": "b"}}, "defaults": defaults});
        read(&campaign).expect_err("refused").to_string()
    };
    assert!(
        refusal(json!({"usr.name": "x"})).starts_with("/defaults/usr.name: `usr` is no variable; did you mean `user`?")
    );
    assert!(refusal(json!({"user..name": "x"})).contains("is no variable"));
    assert!(refusal(json!({"user.name": ""})).contains("must not be blank"));
    assert!(refusal(json!({"user.name": ["x"]})).contains("must be a text or a number"));
    assert!(
        refusal(json!({"user.name": {"klingon!": "x"}}))
            .starts_with("/defaults/user.name/klingon!: `klingon!` is no language")
    );
    assert!(refusal(json!({"user.name": "x".repeat(201)})).contains("the limit is 200"));
    let in_german = json!({
        "message": {"en": {"title": "{{ user.name }}", "body": "b"}}, "defaults": {"user.name": {"de": "Gast"}}
    });
    assert!(
        read(&in_german)
            .expect_err("refused")
            .to_string()
            .contains("may be missing")
    );
}
