//! The schema says what the reader takes.

use serde_json::{Value, json};

use super::{Rule, read};
use crate::domain::schema_check::is_valid;

/// Whether the schema takes a rule.
pub(super) fn takes(value: &Value) -> bool {
    is_valid(&Rule::json_schema(), value)
}

#[test]
fn the_schema_takes_what_the_reader_takes() {
    for (rule, good) in [
        (json!({"all": []}), true),
        (
            json!({"any": [{"topic": "t"}, {"not": {"topic": {"startsWith": "f"}}}]}),
            true,
        ),
        (json!({"topic": {"startsWith": ""}}), false),
        (json!({"topic": 1}), false),
        (json!({"trait": "a", "is": "b"}), true),
        (json!({"trait": "a", "is": "b", "in": []}), false),
        (json!({"trait": "a", "in": ["b", 1, true]}), true),
        (json!({"trait": "a", "in": "b"}), false),
        (json!({"trait": "", "is": 1}), false),
        (json!({"data": "a", "exists": true}), true),
        (json!({"data": "a", "exists": 1}), false),
        (json!({"data": "a", "within": "3 days"}), false),
        (json!({"visits": {"tag": "cafe", "within": "P30D"}, "atLeast": 3}), true),
        (
            json!({"visits": {"tag": "cafe", "within": "P30D", "this": "day"}}),
            false,
        ),
        (json!({"visits": {"tag": "cafe"}, "atLeast": 3, "atMost": 4}), false),
        (json!({"visits": {"tag": "cafe"}, "atLeast": 101}), false),
        (json!({"visits": {"tag": "cafe"}, "exists": true}), false),
        (
            json!({"visits": {"here": true, "set": "s", "brand": "b", "externalId": "e", "this": "year"}}),
            true,
        ),
        (json!({"visits": "cafe"}), false),
        (
            json!({"purchased": {"category": "c", "product": "p", "within": "P7D"}}),
            true,
        ),
        (json!({"purchased": {"tag": "c"}}), false),
        (
            json!({"spent": {"currency": "EUR", "this": "month"}, "moreThan": 10.5}),
            true,
        ),
        (json!({"spent": {"currency": "EUR"}}), false),
        (json!({"spent": {"currency": "eur"}, "is": 1}), false),
        (json!({"spent": {}, "is": 1}), false),
        (json!({"spent": {"currency": "EUR"}, "is": -1}), false),
        (json!({"opened": {"campaign": "c", "within": "P7D"}}), true),
        (json!({"dismissed": {}, "lessThan": 2}), true),
        (json!({"opened": {"brand": "c"}}), false),
        (json!({"lastSeen": {"within": "P7D"}}), true),
        (json!({"lastSeen": {"within": "P7D", "before": "2026-01-01"}}), false),
        (json!({"lastSeen": {"after": "2026-01-01T00:00:00+01:00"}}), true),
        (json!({"trait": "a", "before": ""}), false),
        (json!({"trait": "a", "after": "ab"}), false),
        (json!({"firstSeen": {}}), false),
        (json!({"firstSeen": {"before": "2026-01-01"}, "is": 1}), false),
        (json!({"consent": "push"}), true),
        (json!({"consent": "push", "is": "given"}), true),
        (json!({"consent": "push", "is": true}), false),
        (json!({"consent": "sound"}), false),
        (json!({"platform": "ios"}), true),
        (json!({"platform": "windows"}), false),
        (json!({"app": "app.beckon.test"}), true),
        (json!({"locale": "zh"}), true),
        (json!({"locale": ""}), false),
        (
            json!({"localTime": {"from": "22:00", "until": "24:00", "days": ["mon"], "zone": "customer"}}),
            true,
        ),
        (json!({"localTime": {"from": "24:01"}}), false),
        (json!({"localTime": {"days": ["monday"]}}), false),
        (json!({"localTime": {"at": "10:00"}}), false),
        (json!({"topic": "t", "platform": "ios"}), false),
        (json!({}), false),
        (json!("topic"), false),
        (json!(null), false),
    ] {
        assert_eq!(read(&rule).is_ok(), good, "the reader: {rule}: {:?}", read(&rule));
        assert_eq!(takes(&rule), good, "the schema: {rule}");
    }
}

#[test]
fn the_examples_of_the_page_are_rules() {
    let page = include_str!("../../../../docs/rules.md");
    let mut examples = 0;
    for block in page.split("```json\n").skip(1) {
        let text = block.split("```").next().expect("an end");
        let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let rule = read(&value);
        assert!(rule.is_ok() && takes(&value), "{text}: {rule:?}");
        examples += 1;
    }
    for line in page.lines().filter(|line| line.starts_with("| `{")) {
        let text = line.trim_start_matches("| `").split('`').next().expect("an end");
        let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let rule = read(&value);
        assert!(rule.is_ok() && takes(&value), "{text}: {rule:?}");
        examples += 1;
    }
    assert!(examples >= 25, "{examples} examples");
}
