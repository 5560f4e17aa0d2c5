//! The filters of messages. None of them fails, whatever it is given, and none makes much out of little: what is missing
//! stays missing, so that a `default` behind it counts, and a text has at most [`TEXT_BYTES_MAX`].
#![expect(
    clippy::needless_pass_by_value,
    reason = "minijinja hands values and named arguments to filters by value"
)]

use jiff::{Timestamp, civil, tz::TimeZone};
use minijinja::{
    Environment, State,
    value::{Kwargs, Value, ValueKind},
};
use unicode_segmentation::UnicodeSegmentation as _;

use super::{
    formats::{DATE_STYLES, DateStyle, Formats, decimal, number_of},
    money,
    scope::FORMATS,
};
use crate::domain::message::ELLIPSIS;

/// Longest text that a filter takes or makes, in bytes; the rest is cut. More than a whole push holds.
pub(super) const TEXT_BYTES_MAX: usize = 8192;

/// What a filter takes besides the value before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter {
    /// Its name.
    pub(super) name: &'static str,
    /// Least and most arguments without a name.
    pub(super) positional: (usize, usize),
    /// Arguments with a name.
    pub(super) named: &'static [&'static str],
}

const fn filter(name: &'static str, least: usize, most: usize) -> Filter {
    Filter {
        name,
        positional: (least, most),
        named: &[],
    }
}

/// All that there are.
pub(super) const FILTERS: [Filter; 26] = [
    filter("abs", 0, 0),
    filter("capitalize", 0, 0),
    filter("contains", 1, 1),
    Filter {
        named: &["zone"],
        ..filter("date", 0, 1)
    },
    filter("default", 1, 1),
    filter("divided_by", 1, 1),
    filter("first", 0, 0),
    filter("join", 0, 1),
    filter("last", 0, 0),
    filter("length", 0, 0),
    filter("lower", 0, 0),
    filter("minus", 1, 1),
    Filter {
        named: &["digits"],
        ..filter("money", 1, 1)
    },
    filter("number", 0, 1),
    filter("percent", 0, 1),
    Filter {
        named: &["zero", "one", "two", "few", "many", "other"],
        ..filter("plural", 0, 0)
    },
    filter("plus", 1, 1),
    filter("replace", 2, 2),
    filter("round", 0, 1),
    filter("string", 0, 0),
    Filter {
        named: &["zone"],
        ..filter("time", 0, 0)
    },
    filter("times", 1, 1),
    filter("title", 0, 0),
    filter("trim", 0, 0),
    filter("truncate", 1, 1),
    filter("upper", 0, 0),
];

/// Makes them known to templates.
pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter("abs", |value: Value| calculate(&value, f64::abs));
    environment.add_filter("capitalize", |value: Value| with_text(&value, capitalize));
    environment.add_filter("contains", |value: Value, wanted: Value| contains(&value, &wanted));
    environment.add_filter("date", date);
    environment.add_filter(
        "default",
        |value: Value, other: Value| if is_missing(&value) { other } else { value },
    );
    environment.add_filter("divided_by", |value: Value, by: Value| {
        arithmetic(&value, &by, |a, b| a / b)
    });
    environment.add_filter("first", |value: Value| {
        at_end(&value, |items| items.next(), |text| text.graphemes(true).next())
    });
    environment.add_filter("join", join);
    environment.add_filter("last", |value: Value| {
        at_end(&value, |items| items.last(), |text| text.graphemes(true).next_back())
    });
    environment.add_filter("length", length);
    environment.add_filter("lower", |value: Value| with_text(&value, str::to_lowercase));
    environment.add_filter("minus", |value: Value, less: Value| {
        arithmetic(&value, &less, |a, b| a - b)
    });
    environment.add_filter("money", money_of);
    environment.add_filter("number", |state: &State, value: Value, digits: Option<Value>| {
        formatted(state, &value, digits.as_ref(), Formats::number)
    });
    environment.add_filter("percent", |state: &State, value: Value, digits: Option<Value>| {
        formatted(state, &value, digits.as_ref(), money::percent)
    });
    environment.add_filter("plural", plural);
    environment.add_filter("plus", |value: Value, more: Value| {
        arithmetic(&value, &more, |a, b| a + b)
    });
    environment.add_filter("replace", replace);
    environment.add_filter("round", |value: Value, digits: Option<Value>| {
        let digits = digits_of(digits.as_ref()).unwrap_or(0);
        let rounded = number_of(&value).and_then(|number| decimal(number, Some(digits)));
        rounded
            .and_then(|rounded| rounded.to_string().parse().ok())
            .map_or(Value::UNDEFINED, number)
    });
    environment.add_filter("string", |value: Value| with_text(&value, str::to_owned));
    environment.add_filter("time", time);
    environment.add_filter("times", |value: Value, by: Value| arithmetic(&value, &by, |a, b| a * b));
    environment.add_filter("title", |value: Value| with_text(&value, title));
    environment.add_filter("trim", |value: Value| with_text(&value, |text| text.trim().to_owned()));
    environment.add_filter("truncate", truncate);
    environment.add_filter("upper", |value: Value| with_text(&value, str::to_uppercase));
}

/// Whether there is nothing to be shown.
fn is_missing(value: &Value) -> bool {
    match value.as_str() {
        Some(text) => text.trim().is_empty(),
        None => matches!(value.kind(), ValueKind::Undefined | ValueKind::None | ValueKind::Map),
    }
}

/// What a template shows of a value: nothing of what is missing and of objects, numbers without needless digits, and the
/// items of a list with commas between them.
pub(super) fn shown(value: &Value) -> String {
    match value.kind() {
        ValueKind::String => bounded(value.as_str().unwrap_or_default()).to_owned(),
        ValueKind::Bool => value.is_true().to_string(),
        ValueKind::Number => f64::try_from(value.clone()).map_or_else(|_| value.to_string(), plain),
        ValueKind::Seq | ValueKind::Iterable => joined(value, ", "),
        _ => String::new(),
    }
}

/// Six digits behind the point hide what binary fractions can't hold.
fn plain(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return format!("{number:.0}");
    }
    if number.abs() >= 1e15 {
        return format!("{number:e}");
    }
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn bounded(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default()
}

fn text_value(text: &str) -> Value {
    Value::from(bounded(text))
}

fn with_text(value: &Value, make: impl Fn(&str) -> String) -> Value {
    if is_missing(value) {
        return Value::UNDEFINED;
    }
    text_value(&make(&shown(value)))
}

fn capitalize(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next();
    first.into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

fn title(text: &str) -> String {
    text.split_word_bounds().map(capitalize).collect()
}

fn truncate(value: Value, most: Value) -> Value {
    let most = number_of(&most).unwrap_or(0.0).max(1.0) as usize;
    with_text(&value, |text| {
        if text.graphemes(true).count() <= most {
            return text.to_owned();
        }
        let head: String = text.graphemes(true).take(most - 1).collect();
        format!("{}{ELLIPSIS}", head.trim_end())
    })
}

fn replace(value: Value, old: Value, new: Value) -> Value {
    let (old, new) = (shown(&old), shown(&new));
    with_text(&value, |text| {
        if old.is_empty() {
            return text.to_owned();
        }
        let mut made = String::new();
        for (number, piece) in text.split(old.as_str()).enumerate() {
            if made.len() > TEXT_BYTES_MAX {
                break;
            }
            if number > 0 {
                made.push_str(&new);
            }
            made.push_str(piece);
        }
        made
    })
}

fn items(value: &Value) -> impl Iterator<Item = Value> {
    let is_list = matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    let items = if is_list { value.try_iter().ok() } else { None };
    items.into_iter().flatten()
}

fn joined(value: &Value, between: &str) -> String {
    let mut made = String::new();
    for item in items(value) {
        if made.len() > TEXT_BYTES_MAX {
            break;
        }
        // Lists in lists are not shown.
        let text = if items(&item).next().is_some() {
            String::new()
        } else {
            shown(&item)
        };
        if !made.is_empty() && !text.is_empty() {
            made.push_str(between);
        }
        made.push_str(&text);
    }
    bounded(&made).to_owned()
}

fn join(value: Value, between: Option<Value>) -> Value {
    if is_missing(&value) {
        return Value::UNDEFINED;
    }
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return value;
    }
    Value::from(joined(&value, &between.as_ref().map_or_else(|| ", ".to_owned(), shown)))
}

fn at_end(
    value: &Value,
    item: impl Fn(&mut dyn Iterator<Item = Value>) -> Option<Value>,
    letter: impl Fn(&str) -> Option<&str>,
) -> Value {
    match value.as_str() {
        Some(text) => letter(text).map_or(Value::UNDEFINED, Value::from),
        None => item(&mut items(value)).unwrap_or(Value::UNDEFINED),
    }
}

fn length(value: Value) -> usize {
    match value.as_str() {
        Some(text) => text.graphemes(true).count(),
        None => value.len().unwrap_or(0),
    }
}

fn contains(value: &Value, wanted: &Value) -> bool {
    match value.as_str() {
        Some(text) => text.to_lowercase().contains(&shown(wanted).to_lowercase()),
        None => items(value).any(|item| item == *wanted),
    }
}

/// A whole number as one.
fn number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        Value::from(number as i64)
    } else if number.is_finite() {
        Value::from(number)
    } else {
        Value::UNDEFINED
    }
}

fn calculate(value: &Value, make: impl Fn(f64) -> f64) -> Value {
    number_of(value).map(make).map_or(Value::UNDEFINED, number)
}

fn arithmetic(value: &Value, other: &Value, make: impl Fn(f64, f64) -> f64) -> Value {
    number_of(other).map_or(Value::UNDEFINED, |other| calculate(value, |value| make(value, other)))
}

fn digits_of(value: Option<&Value>) -> Option<u8> {
    value.and_then(number_of).map(|digits| digits.clamp(0.0, 6.0) as u8)
}

/// Does something with the reader's conventions.
fn with_formats(state: &State, make: impl FnOnce(&Formats) -> Option<String>) -> Value {
    state
        .lookup(FORMATS)
        .and_then(|formats| make(formats.downcast_object_ref()?))
        .map_or(Value::UNDEFINED, Value::from)
}

fn formatted(
    state: &State,
    value: &Value,
    digits: Option<&Value>,
    format: impl FnOnce(&Formats, &fixed_decimal::Decimal) -> String,
) -> Value {
    with_formats(state, |formats| {
        let number = decimal(number_of(value)?, digits_of(digits))?;
        Some(format(formats, &number))
    })
}

fn named(named: &Kwargs, name: &str) -> Option<Value> {
    named.get::<Option<Value>>(name).ok().flatten()
}

fn money_of(state: &State, value: Value, currency: Value, options: Kwargs) -> Value {
    let currency = shown(&currency).to_uppercase();
    with_formats(state, |formats| {
        let digits = digits_of(named(&options, "digits").as_ref());
        let digits = digits.unwrap_or_else(|| money::minor_digits(&currency));
        let sum = decimal(number_of(&value)?, Some(digits))?;
        Some(if money::is_currency(&currency) {
            money::money(formats, &sum, &currency)
        } else {
            formats.number(&sum)
        })
    })
}

fn plural(state: &State, value: Value, forms: Kwargs) -> Value {
    with_formats(state, |formats| {
        let count = decimal(number_of(&value)?, None)?;
        let form = named(&forms, formats.category(&count)).or_else(|| named(&forms, "other"))?;
        Some(bounded(&shown(&form).replace('#', &formats.number(&count))).to_owned())
    })
}

/// An instant in the reader's zone or the given one, or a date without any.
fn moment(formats: &Formats, value: &Value, zone: Option<Value>) -> Option<(civil::Date, Option<civil::Time>)> {
    let text = value.as_str()?;
    if text.len() > 64 {
        return None;
    }
    let zone = match zone {
        Some(name) => TimeZone::get(name.as_str()?).ok()?,
        None => formats.zone.clone(),
    };
    if let Ok(instant) = text.parse::<Timestamp>() {
        let local = zone.to_datetime(instant);
        return Some((local.date(), Some(local.time())));
    }
    // Without a zone it is local time already.
    if let Ok(local) = text.parse::<civil::DateTime>() {
        let has_time = text.contains(['T', 't', ' ']);
        return Some((local.date(), has_time.then(|| local.time())));
    }
    None
}

fn date(state: &State, value: Value, style: Option<Value>, options: Kwargs) -> Value {
    let style = style.as_ref().map(shown).unwrap_or_default();
    let style = DATE_STYLES.iter().find(|(name, _)| *name == style);
    let style = style.map_or(DateStyle::Medium, |(_, style)| *style);
    with_formats(state, |formats| {
        let (date, _) = moment(formats, &value, named(&options, "zone"))?;
        formats.date(date, style)
    })
}

fn time(state: &State, value: Value, options: Kwargs) -> Value {
    with_formats(state, |formats| {
        let (_, time) = moment(formats, &value, named(&options, "zone"))?;
        formats.time(time?)
    })
}
