//! The words of a push: templates by language, compiled when the campaign is read, rendered at the moment of sending.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, LazyLock},
};

use jiff::tz::TimeZone;
use minijinja::Environment;
use serde_json::Value;
use unicode_segmentation::UnicodeSegmentation as _;

use super::{
    delivery::Message,
    json_reader::{Node, Refusal},
};

mod check;
mod filters;
mod formats;
mod guard;
mod locale;
mod money;
mod path;
mod sample;
mod scope;
#[cfg(test)]
mod tests;
mod words;

pub use sample::Sample;
pub use words::Words;

use formats::Formats;
use locale::Language;
use scope::Wanted;

/// Longest template, in bytes.
pub(super) const TEMPLATE_BYTES_MAX: usize = 4096;
/// Longest rendered title, in bytes; what is beyond is cut, with an ellipsis. Phones show far less.
const TITLE_BYTES_MAX: usize = 512;
/// Longest rendered body, in bytes. No provider takes more than 4096 for a whole push; the one who sends cuts it to what
/// is left beside the rest.
const BODY_BYTES_MAX: usize = 4096;
/// So much more than the longest text is rendered, so that what is cut ends with a whole character.
const BYTES_BEYOND: usize = 256;
/// Stands for what was cut.
pub const ELLIPSIS: &str = "…";
/// Instructions that one rendering may use. Without loops no template comes near.
const FUEL: u64 = 20_000;
/// Most languages of one message.
pub(super) const LOCALES_MAX: usize = 100;

/// A message in one or more languages, compiled.
#[derive(Debug, Clone)]
pub struct Messages(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    environment: Environment<'static>,
    /// By the language's tag in its usual spelling.
    by_language: BTreeMap<String, Template>,
    /// Whose words count when no other language fits.
    fallback: String,
}

/// Title and body in one language.
#[derive(Debug, PartialEq)]
struct Template {
    language: Language,
    /// As the campaign writes it.
    tag: String,
    title: Part,
    body: Part,
}

#[derive(Debug, PartialEq)]
struct Part {
    /// In the environment.
    name: String,
    source: String,
    wanted: Wanted,
}

/// Who reads a message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reader<'a> {
    /// BCP 47 tag of the language, as the phone tells it.
    pub locale: Option<&'a str>,
    /// IANA name of the zone in which times are told; UTC without one.
    pub time_zone: Option<&'a str>,
}

/// Why a message could not be rendered.
#[derive(Debug, thiserror::Error)]
#[error("the template failed: {0}")]
pub struct RenderError(String);

impl PartialEq for Messages {
    fn eq(&self, other: &Self) -> bool {
        self.0.by_language == other.0.by_language && self.0.fallback == other.0.fallback
    }
}

impl Messages {
    /// Reads `{"en": {"title": "...", "body": "..."}, "zh": {...}}`, checks every template and compiles it. `terms` are the
    /// offer's, which templates see as `offer`.
    pub fn read(node: &Node<'_>, words: &Words, terms: &Value) -> Result<Self, Refusal> {
        let messages = node.fields()?;
        if messages.is_empty() {
            return Err(node.refuse("needs at least one language, such as \"en\""));
        }
        if messages.len() > LOCALES_MAX {
            return Err(node.refuse(format!("has more than {LOCALES_MAX} languages")));
        }
        let mut environment = ENVIRONMENT.clone();
        let mut by_language = BTreeMap::new();
        for (tag, message) in messages {
            let language = Language::parse(tag).map_err(|detail| message.refuse(detail))?;
            message.only(&["title", "body"])?;
            let usual = language.to_string();
            let mut part = |field: &str| {
                let node = message.required(field)?;
                let part = read_part(&node, format!("{usual}/{field}"), &language, words, terms)?;
                environment
                    .add_template_owned(part.name.clone(), part.source.clone())
                    .map_err(|error| node.refuse(error.to_string()))?;
                Ok(part)
            };
            let template = Template {
                title: part("title")?,
                body: part("body")?,
                tag: tag.to_owned(),
                language,
            };
            if let Some(other) = by_language.insert(usual, template) {
                return Err(message.refuse(format!("is the same language as `{}`", other.tag)));
            }
        }
        let fallback = fallback(node, &by_language, words)?;
        Ok(Self(Arc::new(Compiled {
            environment,
            by_language,
            fallback,
        })))
    }

    /// Renders in the language nearest to the reader's: for `zh-Hant-HK` that, then `zh-Hant`, then `zh`, then another
    /// region's, then the campaign's `defaultLocale`, English, or the first.
    pub fn render(&self, reader: &Reader<'_>, context: &Value) -> Result<Message, RenderError> {
        let language = reader.locale.and_then(Language::of_phone);
        let Some(template) = self.nearest(language.as_ref()) else {
            return Err(RenderError("it has no language".to_owned()));
        };
        let zone = reader.time_zone.and_then(|name| TimeZone::get(name).ok());
        let formats = minijinja::Value::from_object(Formats {
            language: template.language.as_read_by(language.as_ref()),
            zone: zone.unwrap_or(TimeZone::UTC),
        });
        let part = |part: &Part, bytes_max| {
            let seen = part.wanted.see(context, formats.clone());
            render(&self.0.environment, &part.name, seen, bytes_max + BYTES_BEYOND)
        };
        let title = part(&template.title, TITLE_BYTES_MAX)?;
        let body = part(&template.body, BODY_BYTES_MAX)?;
        let shortened = title.len() > TITLE_BYTES_MAX || body.len() > BODY_BYTES_MAX;
        Ok(Message {
            title: shorten(title, TITLE_BYTES_MAX),
            body: shorten(body, BODY_BYTES_MAX),
            shortened,
        })
    }

    fn nearest(&self, reader: Option<&Language>) -> Option<&Template> {
        let by_language = &self.0.by_language;
        let nearest = reader.and_then(|reader| {
            let wider = reader.and_wider();
            let understood = wider.iter().find_map(|tag| by_language.get(tag));
            understood.or_else(|| {
                by_language
                    .values()
                    .find(|template| template.language.is_kin_of(reader))
            })
        });
        nearest.or_else(|| by_language.get(&self.0.fallback))
    }

    /// Tags of all languages in their usual spelling.
    fn languages(&self) -> impl Iterator<Item = &str> {
        self.0.by_language.keys().map(String::as_str)
    }

    /// The tag as the campaign writes it.
    fn written_tag<'a>(&'a self, usual: &'a str) -> &'a str {
        self.0.by_language.get(usual).map_or(usual, |template| &template.tag)
    }
}

fn fallback(node: &Node<'_>, by_language: &BTreeMap<String, Template>, words: &Words) -> Result<String, Refusal> {
    if let Some(language) = words.language() {
        let tag = language.to_string();
        if !by_language.contains_key(&tag) {
            return Err(node.refuse(format!("needs `{tag}`, the campaign's defaultLocale")));
        }
        return Ok(tag);
    }
    let first = by_language.keys().next().cloned().unwrap_or_default();
    Ok(by_language.get_key_value("en").map_or(first, |(tag, _)| tag.clone()))
}

fn read_part(
    node: &Node<'_>,
    name: String,
    language: &Language,
    words: &Words,
    terms: &Value,
) -> Result<Part, Refusal> {
    let source = node.text()?;
    if source.len() > TEMPLATE_BYTES_MAX {
        return Err(node.refuse(format!(
            "is {} bytes long, the limit is {TEMPLATE_BYTES_MAX}",
            source.len()
        )));
    }
    let reads = check::check(source, language).map_err(|detail| node.refuse(detail))?;
    let mut wanted = Wanted::default();
    for read in reads {
        let path = &read.path;
        let default = if read.is_needed && !words.is_sure(path, terms) {
            let default = words.default(path, language).ok_or_else(|| {
                node.refuse(format!(
                    "`{path}` may be missing: write `{{{{ {path} | default(\"...\") }}}}`, ask for it with \
                     `{{% if {path} %}}`, or add `\"{path}\": \"...\"` to the campaign's `defaults`"
                ))
            })?;
            Some(default)
        } else {
            None
        };
        wanted.add(path, default);
    }
    Ok(Part {
        name,
        source: source.to_owned(),
        wanted,
    })
}

/// Where templates are rendered: with our filters and tests only. Each message has a copy that shares them.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Chainable);
    environment.set_formatter(|out, _, value| {
        out.write_str(&filters::shown(value))?;
        Ok(())
    });
    filters::add_to(&mut environment);
    check::add_tests_to(&mut environment);
    environment
});

/// Takes so many bytes, and no more.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.bytes_max - self.bytes.len();
        if room == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.bytes.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Renders at most so many bytes; the rest of a longer text is never made.
fn render(
    environment: &Environment<'static>,
    name: &str,
    context: minijinja::Value,
    bytes_max: usize,
) -> Result<String, RenderError> {
    let failed = |error: minijinja::Error| RenderError(error.to_string());
    let mut out = Bounded {
        bytes: Vec::new(),
        bytes_max,
    };
    let template = environment.get_template(name).map_err(failed)?;
    let rendered = template.render_captured_to(context, &mut out).map(drop);
    let is_full = out.bytes.len() == bytes_max;
    match rendered {
        Err(error) if !is_full => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    // A full one may end within a character.
    Ok(String::from_utf8(out.bytes).unwrap_or_else(|error| {
        let whole = error.utf8_error().valid_up_to();
        let bytes = error.into_bytes();
        String::from_utf8_lossy(bytes.get(..whole).unwrap_or_default()).into_owned()
    }))
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
