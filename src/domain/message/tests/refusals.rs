use super::*;

#[test]
fn what_could_grow_loop_or_fail_is_refused_and_told_what_to_write() {
    for (source, hint) in [
        (
            "{% for x in user.list %}a{% endfor %}",
            "`{% for %}` is not allowed; only if, elif",
        ),
        ("{%- set a = 'x' -%}", "`{% set %}`"),
        ("{% with a = 'x' %}{% endwith %}", "`{% with %}`"),
        ("{% filter upper %}x{% endfilter %}", "`{% filter %}`"),
        ("{% include 'x' %}", "unknown statement include"),
        ("{% macro x() %}{% endmacro %}", "unknown statement macro"),
        ("{{ user.name ", "line 1: "),
        ("{{ 'x' * 100000000 }}", "write a filter, such as `| times(2)`"),
        ("{{ user.name ~ user.name }}", "one after the other"),
        ("{{ event.n + 1 }}", "`| plus(2)`"),
        ("{{ -event.n }}", "`| times(-1)`"),
        ("{{ 2 ** 1000 }}", "not allowed"),
        ("{{ range(1000000) }}", "functions can't be called"),
        ("{{ user.name.upper() }}", "functions can't be called"),
        ("{{ user.name[:1] }}", "`| truncate(10)`"),
        ("{{ user.list[0] }}", "`| first` and `| last`"),
        ("{{ user[event.field] }}", "only a name in quotes"),
        ("{{ [1, 2] | join }}", "a list may only stand after `in`"),
        ("{{ {'a': 1} }}", "not allowed inside a template"),
        ("{% if 'x' in user.tags %}{% endif %}", "`| contains(\"gold\")`"),
        (
            "{{ user.name | uper }}",
            "`uper` is no filter here; did you mean `upper`? known are abs, capitalize",
        ),
        ("{{ user.name | indent(1000000) }}", "`indent` is no filter here"),
        ("{{ user.name | upper(1) }}", "`upper` takes 0 values"),
        ("{{ user.name | default }}", "`default` takes 1 values"),
        ("{{ user.name | default(*user.x) }}", "`*` is not allowed"),
        (
            "{% if user.name is odd %}{% endif %}",
            "`odd` is no test here; known are defined, undefined",
        ),
        ("{{ usr.name }}", "`usr` is no variable; did you mean `user`?"),
        ("{{ name }}", "they begin with user, offer"),
        ("{{ user.a.b.c.d.e.f.g.h }}", "at most 8 parts"),
        ("{{ 1 | plural(one='#') }}", "`plural` needs `other`"),
        (
            "{{ 1 | plural(few='#', other='#') }}",
            "`en` has no plural `few`; it has one, other",
        ),
        ("{{ 1 | plural(ohter='#') }}", "did you mean `other`?"),
        (
            "{{ 1 | money('EURO') }}",
            "`EURO` is no currency (ISO 4217) here; did you mean `EUR`?",
        ),
        ("{{ 1 | money(5) }}", "`| money(\"EUR\")`"),
        (
            "{{ user.at | date('tiny') }}",
            "`tiny` is no style of `date` here; known are short, medium, long, weekday",
        ),
        (
            "{{ user.at | date(user.style) }}",
            "takes one of short, medium, long, weekday in quotes",
        ),
        ("{{ user.at | time(zone='Europe/Zurch') }}", "no IANA time zone"),
        (&format!("{{{{ {}1 }}}}", "not ".repeat(300)), "more than 200 parts"),
        (&"x".repeat(5000), "the limit is 4096"),
    ] {
        let refusal = english(source).expect_err(source);
        assert_eq!(refusal.pointer, "/message/en/body");
        assert!(refusal.detail.contains(hint), "{source}: {refusal}");
    }
    let reads = |n| format!("{{{{ user.a{n} | default(1) }}}}");
    let many = (0..51).map(reads).collect::<Vec<_>>().concat();
    assert!(
        english(&many)
            .expect_err("refused")
            .detail
            .contains("more than 50 variables")
    );
}

#[test]
fn languages_are_known_and_told_once() {
    let refusal = |message: Value| read(&json!({"message": message})).expect_err("refused").to_string();
    let words = json!({"title": "t", "body": "b"});
    assert!(refusal(json!({"english!": words})).starts_with("/message/english!: `english!` is no language"));
    assert!(refusal(json!({"zh-TW": words, "zh_Hant_tw": words})).contains("is the same language as `zh"));
    assert!(refusal(json!({})).contains("at least one language"));
    let wrong = json!({"message": {"en": words}, "defaultLocale": "?"});
    assert!(
        read(&wrong)
            .expect_err("refused")
            .to_string()
            .starts_with("/defaultLocale: `?` is no language")
    );
}
