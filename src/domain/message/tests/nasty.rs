//! Templates made to hurt: whatever is accepted renders, without failing and within bounds.

use proptest::{prelude::*, strategy::ValueTree as _};

use super::*;
use crate::domain::message::{ENVIRONMENT, check, filters::TEXT_BYTES_MAX, locale::Language, render, scope::Wanted};

/// No rendering makes more.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// A customer who is as bad as the templates.
fn hostile() -> Value {
    let deep = (0..60).fold(json!("x"), |inner, _| json!([inner, {"a": "y"}]));
    json!({
        "user": {
            "long": "aé👨‍👩‍👧‍👦".repeat(4000), "ligature": "ŉΐﬃ".repeat(3000), "number": 1e308, "small": 5e-324, "minus": -0.0,
            "whole": i64::MIN, "huge": u64::MAX, "list": vec!["abc"; 3000], "deep": deep, "flag": true, "null": null,
            "date": "-009999-01-02T00:00:00Z", "late": "9999-12-31T23:59:59Z", "day": "2024-02-29", "text": "12.5", "zero": 0,
        },
        "event": {"n": 3, "none": null, "empty": ""},
    })
}

const VARIABLES: [&str; 20] = [
    "user.long",
    "user.ligature",
    "user.number",
    "user.small",
    "user.minus",
    "user.whole",
    "user.huge",
    "user.list",
    "user.deep",
    "user.flag",
    "user.null",
    "user.date",
    "user.late",
    "user.day",
    "user.text",
    "user.zero",
    "event.n",
    "event.none.x",
    "event",
    "user.long.deeper",
];

fn operand() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(VARIABLES.to_vec()).prop_map(str::to_owned),
        1 => proptest::sample::select(vec!["1", "0", "-1", "1e300", "99999999999999999999", "0.1", "''", "'a'", "'{{'", "none", "true"])
            .prop_map(str::to_owned),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    operand().prop_recursive(6, 60, 3, |inner| {
        let filters = vec![
            "abs", "capitalize", "contains(@)", "date", "date('short')", "date('weekday')", "date('long', zone='Asia/Tokyo')",
            "default(@)", "divided_by(@)", "first", "join", "join(@)", "last", "length", "lower", "minus(@)", "money('JPY')",
            "money('KWD', digits=@)", "money(@)", "number", "number(@)", "percent", "percent(@)", "plural(one=@, other=@)",
            "plural(other='####')", "plus(@)", "replace(@, @)", "replace('a', @)", "round", "round(@)", "string", "time",
            "times(@)", "title", "trim", "truncate(@)", "upper", "indent(@)", "format(@)", "center(@)",
        ];
        prop_oneof![
            6 => (inner.clone(), proptest::sample::select(filters), inner.clone())
                .prop_map(|(value, filter, with)| format!("({value}) | {}", filter.replace('@', &format!("({with})")))),
            2 => (inner.clone(), proptest::sample::select(vec!["and", "or", "==", "!=", "<", ">=", "~", "*", "+", "**", "in"]), inner.clone())
                .prop_map(|(a, operator, b)| format!("({a}) {operator} ({b})")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a}) if ({b}) else ({c})")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a}) in [({b}), ({c})]")),
            1 => inner.clone().prop_map(|a| format!("not ({a})")),
            1 => inner.clone().prop_map(|a| format!("({a}) is defined")),
            1 => inner.prop_map(|a| format!("{a}.x['y']")),
        ]
    })
}

fn template() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        5 => expression().prop_map(|expression| format!("{{{{ {expression} }}}}")),
        1 => expression().prop_map(|expression| format!("{{% if {expression} %}}")),
        1 => Just("{% else %}".to_owned()),
        1 => Just("{% endif %}".to_owned()),
        1 => Just("{% raw %}{{ x }}{% endraw %}{# {{ #}".to_owned()),
        1 => proptest::sample::select(vec!["{% for x in user.list %}", "{% set a = user.long %}", "text", "{{", "%}", "\u{0}"])
            .prop_map(str::to_owned),
    ];
    proptest::collection::vec(piece, 1..12).prop_map(|pieces| {
        let opened = pieces.iter().filter(|piece| piece.starts_with("{% if")).count();
        let closed = pieces.iter().filter(|piece| *piece == "{% endif %}").count();
        format!(
            "{}{}",
            pieces.concat(),
            "{% endif %}".repeat(opened.saturating_sub(closed))
        )
    })
}

/// Renders a source that is accepted but for missing defaults; `None`: it was refused.
fn try_to_render(source: &str) -> Option<String> {
    let language = Language::parse("ar").expect("a language");
    let reads = check::check(source, &language).ok()?;
    let mut wanted = Wanted::default();
    for read in &reads {
        wanted.add(&read.path, None);
    }
    let mut environment = ENVIRONMENT.clone();
    environment
        .add_template_owned("t", source.to_owned())
        .expect("compiles");
    let formats = super::super::Formats {
        language,
        zone: jiff::tz::TimeZone::UTC,
    };
    let seen = wanted.see(&hostile(), minijinja::Value::from_object(formats));
    Some(render(&environment, "t", seen, OUTPUT_BYTES_MAX).expect("what is accepted renders"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_accepted_renders_within_its_fuel_and_bounds(source in template()) {
        if let Some(text) = try_to_render(&source) {
            prop_assert!(text.len() <= OUTPUT_BYTES_MAX);
        }
    }

    #[test]
    fn one_expression_makes_no_more_than_a_text_may_have(source in expression()) {
        if let Some(text) = try_to_render(&format!("{{{{ {source} }}}}")) {
            prop_assert!(text.len() <= TEXT_BYTES_MAX, "{}", text.len());
        }
    }

    #[test]
    fn random_sources_do_no_harm(source in "(\\{\\{|\\}\\}|\\{%|%\\}|\\{#|[a-z.|'\"()\\[\\] =~*-]|if |user\\.|\\PC){0,60}") {
        drop(try_to_render(&source));
    }
}

/// Without this the properties could hold of nothing.
#[test]
fn many_of_the_nasty_templates_are_accepted() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let sources = (0..300).map(|_| expression().new_tree(&mut runner).expect("a tree").current());
    let accepted = sources.filter(|source| try_to_render(&format!("{{{{ {source} }}}}")).is_some());
    let accepted = accepted.count();
    assert!((60..300).contains(&accepted), "{accepted}");
}

#[test]
fn texts_do_not_grow_from_filter_to_filter() {
    let growing = format!(
        "{{{{ user.long{} | length }}}}",
        " | replace('a', 'aaaaaaaaaaaaaaaa')".repeat(20)
    );
    let length: usize = try_to_render(&growing).expect("accepted").parse().unwrap_or(usize::MAX);
    assert!(length <= TEXT_BYTES_MAX, "{length}");
    let upper = format!("{{{{ user.ligature{} | length }}}}", " | upper | title".repeat(10));
    assert!(try_to_render(&upper).is_some());
    let all = "{{ user.long }}".repeat(200);
    assert_eq!(
        try_to_render(&all).map(|text| text.len() <= OUTPUT_BYTES_MAX && text.len() > OUTPUT_BYTES_MAX - 4),
        Some(true)
    );
}

/// A worker's stack is 2 MiB; half of it must do for the deepest that a source can nest.
#[test]
fn deep_sources_do_not_overflow_the_stack() {
    let sources = [
        format!("{{{{ {}1 }}}}", "(".repeat(2000)),
        format!("{{{{ {}1 }}}}", "-".repeat(4000)),
        format!("{{{{ {}1 }}}}", "not ".repeat(1000)),
        format!("{{{{ {} }}}}", "[".repeat(2000)),
        format!("{{{{ user{} }}}}", ".a".repeat(2000)),
        format!("{{{{ 1{} }}}}", "|abs".repeat(1000)),
        format!("{{{{ 1{} }}}}", "|abs".repeat(90)),
        format!("{{{{ 1{} }}}}", " or 1".repeat(800)),
        format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(300)),
        format!("{{{{ {}1{} }}}}", "(".repeat(90), ")".repeat(90)),
        format!("{}{}", "{% if 1 %}".repeat(200), "{% endif %}".repeat(170)),
        format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(330)),
        "{{ 1".repeat(1000),
        "{#".repeat(2000),
    ];
    let small = std::thread::Builder::new().stack_size(1024 * 1024).spawn(move || {
        for source in sources {
            drop(try_to_render(&source));
        }
    });
    small.expect("a thread").join().expect("no overflow");
}
