//! The examples of docs/messages.md, rendered as they stand.

use super::*;
use crate::domain::{campaign::Campaign, message::filters::FILTERS};

const PAGE: &str = include_str!("../../../../docs/messages.md");

fn blocks(kind: &str) -> Vec<&'static str> {
    let fence = format!("```{kind}\n");
    let blocks = PAGE.split(fence.as_str()).skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect()
}

/// Spaces that don't break look like others on the page.
fn plain(text: &str) -> String {
    text.replace(['\u{a0}', '\u{202f}'], " ").replace('\u{200f}', "")
}

fn rendered(template: &str, locale: &str, context: &Value) -> Result<String, Refusal> {
    let campaign = json!({
        "message": {locale: {"title": "t", "body": template}},
        "defaults": {"event.delayMinutes": 0, "event.departure": "soon", "event.date": "soon", "user.name": "you", "user.tags": "none", "user.traits.points": 0},
    });
    let words = Words::read(&Node::root(&campaign), true, false)?;
    let messages = Messages::read(&Node::root(&campaign).required("message")?, &words, &context["offer"])?;
    let reader = Reader {
        locale: Some(locale),
        time_zone: Some("Europe/Zurich"),
    };
    Ok(plain(&messages.render(&reader, context).expect("renders").body))
}

/// `template → result · de: result`
#[test]
fn every_example_comes_out_as_written() {
    let contexts = blocks("json");
    let context: Value = serde_json::from_str(contexts.first().expect("a context")).expect("JSON");
    let mut count = 0;
    let mut wrong = Vec::new();
    for line in blocks("jinja")
        .iter()
        .flat_map(|block| block.lines())
        .filter(|line| !line.trim().is_empty())
    {
        let (template, results) = line.split_once(" → ").expect(line);
        for (index, result) in results.split(" · ").enumerate() {
            let (locale, result) = match result.split_once(": ") {
                Some((locale, result)) if index > 0 => (locale, result),
                _ => ("en", result),
            };
            let shown = rendered(template.trim(), locale, &context).expect(line);
            if shown != plain(result.trim()) {
                wrong.push(format!("{template} in {locale}: {shown}"));
            }
            count += 1;
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(count > 40, "{count}");
}

#[test]
fn every_filter_has_an_example() {
    let examples = blocks("jinja").concat();
    for filter in FILTERS {
        let name = filter.name;
        let is_shown = examples.contains(&format!("| {name} ")) || examples.contains(&format!("| {name}("));
        assert!(is_shown, "`{name}` has none");
    }
}

#[test]
fn the_pages_campaigns_are_taken() {
    let campaigns: Vec<Value> = blocks("json")
        .iter()
        .skip(1)
        .map(|block| serde_json::from_str(block).expect("JSON"))
        .collect();
    assert!(!campaigns.is_empty());
    let api = include_str!("../../../../docs/api.md");
    let example = api
        .split("```json\n")
        .find(|block| block.contains("\"offers\""))
        .expect("a campaign");
    let mut example: Value = serde_json::from_str(example.split("```").next().expect("an end")).expect("JSON");
    example["id"] = json!("cafe-welcome");
    for document in campaigns.into_iter().chain([example]) {
        let campaign = Campaign::read(&document, 1).expect("valid");
        assert_eq!(campaign.try_out(&document), Ok(Vec::new()));
    }
}

#[test]
fn what_the_page_says_is_refused_is() {
    for line in blocks("refused")
        .iter()
        .flat_map(|block| block.lines())
        .filter(|line| !line.trim().is_empty())
    {
        assert!(english(line.trim()).is_err(), "{line}");
    }
}
