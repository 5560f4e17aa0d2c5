//! The words of a push: templates by language, rendered at the moment of sending.

use std::collections::BTreeMap;

use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use unicode_segmentation::UnicodeSegmentation as _;

use super::{
    delivery::Message,
    json_reader::{Node, Refusal},
};

/// Longest template, in bytes.
pub(super) const TEMPLATE_BYTES_MAX: usize = 4096;
/// Longest rendered title, in bytes; what is beyond is cut, with an ellipsis. Phones show far less.
const TITLE_BYTES_MAX: usize = 512;
/// Longest rendered body, in bytes. No provider takes more than 4096 for a whole push; the one who sends cuts it to what
/// is left beside the rest.
const BODY_BYTES_MAX: usize = 4096;
/// Stands for what was cut.
pub const ELLIPSIS: &str = "…";
/// Instructions that one rendering may use.
const FUEL: u64 = 20_000;
/// Most languages of one message.
pub(super) const LOCALES_MAX: usize = 100;
/// Statements that a template may use. Loops and assignments can make texts without bound.
const STATEMENTS: [&str; 4] = ["if", "elif", "else", "endif"];

/// A message in one or more languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Messages {
    by_locale: BTreeMap<String, Template>,
}

/// Title and body before rendering.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template {
    title: String,
    body: String,
}

/// Why a message could not be rendered.
#[derive(Debug, thiserror::Error)]
#[error("the template failed: {0}")]
pub struct RenderError(String);

impl Messages {
    /// Reads `{"en": {"title": "...", "body": "..."}, "zh": {...}}` and checks that every template compiles and renders.
    pub fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        let languages = node.fields()?;
        if languages.is_empty() {
            return Err(node.refuse("needs at least one language, such as \"en\""));
        }
        if languages.len() > LOCALES_MAX {
            return Err(node.refuse(format!("has more than {LOCALES_MAX} languages")));
        }
        let mut by_locale = BTreeMap::new();
        for (locale, message) in languages {
            message.only(&["title", "body"])?;
            let template = Template {
                title: read_template(&message.required("title")?)?,
                body: read_template(&message.required("body")?)?,
            };
            by_locale.insert(locale.to_owned(), template);
        }
        Ok(Self { by_locale })
    }

    /// Renders in the language nearest to `locale`: `zh-Hant-HK`, then `zh-Hant`, then `zh`, then English, then the first.
    pub fn render(&self, locale: Option<&str>, context: &impl Serialize) -> Result<Message, RenderError> {
        let Some(template) = self.nearest(locale) else {
            return Err(RenderError("it has no language".to_owned()));
        };
        let title = render(&template.title, context).map_err(RenderError)?;
        let body = render(&template.body, context).map_err(RenderError)?;
        let shortened = title.len() > TITLE_BYTES_MAX || body.len() > BODY_BYTES_MAX;
        Ok(Message {
            title: shorten(title, TITLE_BYTES_MAX),
            body: shorten(body, BODY_BYTES_MAX),
            shortened,
        })
    }

    fn nearest(&self, locale: Option<&str>) -> Option<&Template> {
        let mut wanted = locale;
        while let Some(tag) = wanted {
            if let Some(template) = self.by_locale.get(tag) {
                return Some(template);
            }
            wanted = tag.rsplit_once('-').map(|(shorter, _)| shorter);
        }
        self.by_locale.get("en").or_else(|| self.by_locale.values().next())
    }
}

fn read_template(node: &Node<'_>) -> Result<String, Refusal> {
    let source = node.text()?;
    if source.len() > TEMPLATE_BYTES_MAX {
        return Err(node.refuse(format!(
            "is {} bytes long, the limit is {TEMPLATE_BYTES_MAX}",
            source.len()
        )));
    }
    for statement in source.split("{%").skip(1) {
        let word = statement.trim_start_matches(['-', '+', ' ', '\n', '\t']);
        let word = word
            .split(|c: char| !c.is_ascii_alphabetic())
            .next()
            .unwrap_or_default();
        if !STATEMENTS.contains(&word) {
            return Err(node.refuse(format!(
                "`{{% {word} %}}` is not allowed; only if, elif, else, endif are"
            )));
        }
    }
    render(source, &serde_json::json!({})).map_err(|error| node.refuse(error))?;
    Ok(source.to_owned())
}

fn render(source: &str, context: &impl Serialize) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_formatter(|out, state, value| {
        if value.is_none() {
            Ok(())
        } else {
            minijinja::escape_formatter(out, state, value)
        }
    });
    environment
        .render_str(source, minijinja::value::Serde(context))
        .map_err(|error| error.to_string())
}

/// Cuts what is longer than `bytes_max`, between two characters as people see them, and says so with an ellipsis.
fn shorten(text: String, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    let head = head_within(&text, bytes_max.saturating_sub(ELLIPSIS.len()), char::len_utf8);
    format!("{head}{ELLIPSIS}")
}

/// The longest beginning of `text` whose characters together cost at most `room`, without blanks at its end. It never
/// ends within a character as people see it, such as an emoji of several code points (UAX #29).
pub fn head_within(text: &str, room: usize, cost: impl Fn(char) -> usize) -> &str {
    let mut used = 0;
    let end = text
        .grapheme_indices(true)
        .find(|(_, grapheme)| {
            used += grapheme.chars().map(&cost).sum::<usize>();
            used > room
        })
        .map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn messages(value: &serde_json::Value) -> Result<Messages, Refusal> {
        Messages::read(&Node::root(value))
    }

    #[test]
    fn the_nearest_language_is_rendered() {
        let messages = messages(&json!({
            "en": {"title": "Hi {{ user.name | default('there') }}", "body": "{{ offer.value }} % off"},
            "zh": {"title": "你好", "body": "{{ offer.value }} %"}
        }))
        .expect("valid");
        let context = json!({"user": {"name": "Li"}, "offer": {"value": 25}});
        let title = |locale| messages.render(locale, &context).expect("renders").title;
        assert_eq!(title(Some("zh-Hant-HK")), "你好");
        assert_eq!(title(Some("fr")), "Hi Li");
        assert_eq!(title(None), "Hi Li");
        assert_eq!(messages.render(None, &json!({})).expect("renders").title, "Hi there");
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_said_to_be() {
        let messages =
            messages(&json!({"en": {"title": "{{ user.name }}", "body": "{{ user.story }}"}})).expect("valid");
        let family = "👨‍👩‍👧‍👦";
        let story = format!("{}{}", "x".repeat(20), family.repeat(400));
        let context = json!({"user": {"name": format!("{}é", "n".repeat(511)), "story": story}});
        let message = messages.render(None, &context).expect("renders");
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
        let short = messages.render(None, &json!({})).expect("renders");
        assert!(!short.shortened);
    }

    #[test]
    fn templates_that_could_grow_or_do_not_compile_are_refused() {
        let refusal = |body: &str| {
            messages(&json!({"en": {"title": "t", "body": body}}))
                .expect_err("refused")
                .to_string()
        };
        assert!(refusal("{% for x in range(10) %}a{% endfor %}").starts_with("/en/body: `{% for %}` is not allowed"));
        assert!(refusal("{%- set a = 'x' -%}").contains("`{% set %}`"));
        assert!(refusal("{{ user.name ").starts_with("/en/body: "));
        assert!(refusal(&"x".repeat(5000)).contains("the limit is 4096"));
    }
}
