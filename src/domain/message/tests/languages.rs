use super::*;

#[test]
fn the_nearest_language_is_rendered() {
    let messages = read(&json!({"message": {
        "en": {"title": "Hi {{ user.name | default('there') }}", "body": "{{ offer.value }} % off"},
        "zh": {"title": "你好", "body": "{{ offer.value }} %"},
        "zh_TW": {"title": "您好", "body": "{{ offer.value }} %"},
        "pt-BR": {"title": "Oi", "body": "{{ offer.value }} %"}
    }}))
    .expect("valid");
    let context = json!({"user": {"name": "Li"}, "offer": {"value": 25}});
    let title = |locale| title(&messages, locale, &context);
    assert_eq!(title(Some("zh-Hant-TW")), "您好");
    assert_eq!(title(Some("ZH_tw_#Hant")), "您好");
    assert_eq!(title(Some("zh-Hant-HK")), "你好", "by way of `zh`");
    assert_eq!(title(Some("zh-CN")), "你好");
    assert_eq!(
        title(Some("pt-PT")),
        "Oi",
        "another region's is better than a foreign language"
    );
    assert_eq!(title(Some("fr")), "Hi Li");
    assert_eq!(title(Some("")), "Hi Li");
    assert_eq!(title(None), "Hi Li");
}

#[test]
fn the_last_resort_is_what_the_campaign_says_or_english_or_the_first() {
    let message = json!({"fr": {"title": "Salut", "body": "b"}, "de": {"title": "Hallo", "body": "b"}});
    let says = |campaign: &Value| title(&read(campaign).expect("valid"), Some("ja"), &json!({}));
    assert_eq!(says(&json!({"message": message})), "Hallo");
    assert_eq!(says(&json!({"message": message, "defaultLocale": "FR"})), "Salut");
    let missing = read(&json!({"message": message, "defaultLocale": "en"})).expect_err("refused");
    assert_eq!(
        missing.to_string(),
        "/message: needs `en`, the campaign's defaultLocale"
    );
}

#[test]
fn numbers_follow_the_reader_unless_the_message_is_in_a_foreign_language() {
    let messages = read(&json!({"message": {
        "en": {"title": "{{ '2026-11-22' | date('short') }}", "body": "b"},
        "de": {"title": "{{ 1234.5 | money('CHF') }}", "body": "b"}
    }}))
    .expect("valid");
    let title = |locale| title(&messages, Some(locale), &json!({}));
    assert_eq!(title("en-US"), "11/22/26");
    assert_eq!(title("en-GB"), "22/11/2026");
    assert_eq!(title("fr-FR"), "11/22/26", "an English message is English");
    assert_eq!(title("de-DE"), "1.234,50\u{a0}CHF");
    assert_eq!(title("de-CH"), "CHF\u{a0}1'234.50");
}

#[test]
fn times_are_told_where_the_customer_is() {
    let messages = read(&json!({
        "message": {"en": {
            "title": "{{ event.at | time }}, {{ event.at | date('weekday') }}",
            "body": "{{ event.at | time(zone='Asia/Shanghai') }} {{ event.day | date('long') }}"
        }},
        "defaults": {"event.at": "soon", "event.day": "soon"}
    }))
    .expect("valid");
    let context = json!({"event": {"at": "2026-11-22T23:40:00Z", "day": "2026-02-28"}});
    let told = |time_zone| {
        let reader = Reader {
            locale: Some("en-GB"),
            time_zone,
        };
        let message = messages.render(&reader, &context).expect("renders");
        (message.title, message.body)
    };
    let body = "07:40 28 February 2026".to_owned();
    assert_eq!(told(Some("Europe/Zurich")), ("00:40, Monday".to_owned(), body.clone()));
    assert_eq!(told(None), ("23:40, Sunday".to_owned(), body.clone()));
    assert_eq!(told(Some("Nowhere/Else")), ("23:40, Sunday".to_owned(), body));
}

/// What CLDR says of the languages that differ most.
#[test]
fn plurals_follow_the_language() {
    let forms = |tag: &str, source: &str| -> Vec<String> {
        let messages = read(&json!({
            "message": {tag: {"title": source, "body": "b"}}, "defaults": {"event.n": 0}
        }))
        .expect("valid");
        [0.0, 1.0, 2.0, 5.0, 1.5, 21.0, 1_000_000.0]
            .map(|n| title(&messages, Some(tag), &json!({"event": {"n": n}})))
            .to_vec()
    };
    assert_eq!(
        forms("en", "{{ event.n | plural(one='# minute', other='# minutes') }}"),
        [
            "0 minutes",
            "1 minute",
            "2 minutes",
            "5 minutes",
            "1.5 minutes",
            "21 minutes",
            "1,000,000 minutes"
        ]
    );
    assert_eq!(
        forms(
            "ru",
            "{{ event.n | plural(one='# минута', few='# минуты', many='# минут', other='# минуты') }}"
        ),
        [
            "0 минут",
            "1 минута",
            "2 минуты",
            "5 минут",
            "1,5 минуты",
            "21 минута",
            "1\u{a0}000\u{a0}000 минут"
        ]
    );
    assert_eq!(
        forms(
            "ar",
            "{{ event.n | plural(zero='z', one='o', two='t', few='f', many='m', other='x') }}"
        ),
        ["z", "o", "t", "f", "x", "m", "x"]
    );
    assert_eq!(forms("ja", "{{ event.n | plural(other='#分') }}")[1], "1分");
}
