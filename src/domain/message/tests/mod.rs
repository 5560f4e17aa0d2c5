//! Messages as campaigns write them and customers read them.

use serde_json::{Value, json};

use super::{Messages, Reader, Sample, Words};
use crate::domain::json_reader::{Node, Refusal};

mod defaults;
mod docs;
mod languages;
mod nasty;
mod refusals;

/// The messages of an offer of 25 % in a campaign of this document, whose trigger knows a geofence.
fn read(campaign: &Value) -> Result<Messages, Refusal> {
    let words = Words::read(&Node::root(campaign), true, false)?;
    let node = Node::root(campaign).required("message")?;
    Messages::read(&node, &words, &json!({"kind": "percent", "value": 25}))
}

/// The same message in English, with nothing around.
fn english(body: &str) -> Result<Messages, Refusal> {
    read(&json!({"message": {"en": {"title": "t", "body": body}}}))
}

fn title(messages: &Messages, locale: Option<&str>, context: &Value) -> String {
    let reader = Reader {
        locale,
        time_zone: None,
    };
    messages.render(&reader, context).expect("renders").title
}

fn body(messages: &Messages, context: &Value) -> String {
    messages.render(&Reader::default(), context).expect("renders").body
}

#[test]
fn what_is_too_long_is_cut_between_characters_and_said_to_be() {
    let messages = read(&json!({
        "message": {"en": {"title": "{{ user.name }}", "body": "{{ user.story }}"}},
        "defaults": {"user.name": "you", "user.story": "once"},
    }))
    .expect("valid");
    let family = "👨‍👩‍👧‍👦";
    let story = format!("{}{}", "x".repeat(20), family.repeat(400));
    let context = json!({"user": {"name": format!("{}é", "n".repeat(511)), "story": story}});
    let message = messages.render(&Reader::default(), &context).expect("renders");
    assert!(message.shortened);
    assert_eq!(message.title, format!("{}…", "n".repeat(509)));
    let kept = message
        .body
        .strip_prefix(&"x".repeat(20))
        .and_then(|rest| rest.strip_suffix('…'));
    let kept = kept.expect("cut");
    assert!(message.body.len() > 4096 - 2 * family.len() && message.body.len() <= 4096);
    assert_eq!(
        kept,
        family.repeat(kept.len() / family.len()),
        "no family is torn apart"
    );
    let short = messages.render(&Reader::default(), &json!({})).expect("renders");
    assert!(!short.shortened);
}

#[test]
fn numbers_and_lists_are_shown_as_people_write_them() {
    let context =
        json!({"user": {"list": ["tea", 2.0, null, ["x"], true], "map": {"a": 1}, "ratio": 0.1, "big": 1e300}});
    let shows = |source: &str| body(&english(source).expect("valid"), &context);
    assert_eq!(shows("{{ user.list | default('') }}"), "tea, 2, true");
    assert_eq!(shows("-{{ user.map | default('none') }}-"), "-none-");
    assert_eq!(shows("{{ user.ratio | default(0) | plus(0.2) }}"), "0.3");
    assert_eq!(shows("{{ user.big | default(0) }}"), "1e300");
    assert_eq!(shows("{{ user.big | money('EUR') | default('much') }}"), "much");
}

#[test]
fn a_message_is_compiled_once_and_stays_comparable() {
    let one = english("{{ offer.value }} %").expect("valid");
    assert_eq!(one, english("{{ offer.value }} %").expect("valid"));
    assert_ne!(one, english("{{ offer.value }} percent").expect("valid"));
    assert_eq!(body(&one.clone(), &json!({"offer": {"value": 25}})), "25 %");
}

#[test]
fn saving_tries_every_language_and_tells_what_phones_cut() {
    let try_out = |campaign: &Value| {
        let words = Words::read(&Node::root(campaign), true, false)?;
        let sample = Sample::read(&Node::root(campaign), &words)?;
        read(campaign)?.try_out("/offers/0/message", &sample, &json!({"kind": "percent", "value": 25}))
    };
    let fine = json!({"message": {"en": {"title": "Hi", "body": "{{ offer.value }} %"}}});
    assert_eq!(try_out(&fine), Ok(Vec::new()));

    let empty = json!({"message": {"en": {"title": "Hi", "body": "b"}, "DE": {"title": "{% if user.name %}Hallo{% endif %}", "body": "b"}}});
    let refusal = try_out(&empty).expect_err("refused");
    assert_eq!(refusal.pointer, "/offers/0/message/DE/title");
    assert!(refusal.detail.contains("give its `if` an `else`"), "{refusal}");

    let never = json!({"message": {"en": {"title": "Hi", "body": "{% if not user.name %}Hallo{% endif %}"}}});
    assert!(
        try_out(&never)
            .expect_err("refused")
            .detail
            .contains("empty for the sample")
    );
    let sampled = json!({"message": {"en": {"title": "Hi", "body": "{% if event.gate == 'B4' %}{{ event.gate }}{% else %}b{% endif %}"}}, "sample": {"event": {"gate": "B4"}}});
    assert_eq!(try_out(&sampled), Ok(Vec::new()));

    let long = json!({"message": {"en": {"title": "{{ user.name | default('you') }}", "body": "b".repeat(241)}}, "sample": {"user": {"name": "é".repeat(66)}}});
    assert_eq!(
        try_out(&long).expect("taken"),
        [
            "/offers/0/message/en/title has 66 characters, phones show about 65",
            "/offers/0/message/en/body has 241 characters, phones show about 240"
        ]
    );
    let wrong = json!({"message": {"en": {"title": "t", "body": "b"}}, "sample": {"usr": {}}});
    assert!(
        try_out(&wrong)
            .expect_err("refused")
            .to_string()
            .contains("did you mean `user`?")
    );
}
