//! Rules read from JSON: everything that is wrong is refused with its place and a hint.

use jiff::{civil::Weekday, tz::TimeZone};
use serde_json::Value;

use super::{
    Answer, Articles, Calendar, Comparison, DEPTH_MAX, ITEMS_MAX, LocalTime, Moment, Number, Places, Platform, Purpose,
    REACH, RULES_MAX, Rule, Said, TEXT_BYTES_MAX, TopicRule, Weekdays, Window, Zone, comparison::read_instant,
};
use crate::domain::{
    figures::{AMOUNT_MAX, COUNT_MAX, Currency},
    ids::{AppId, BrandId, CampaignId, Category, ExternalId, ID_BYTES_MAX, Product, SetName, Tag, Topic},
    json_reader::{Node, Refusal, did_you_mean},
    time::{DurationMs, TimeError, Timestamp},
};

/// What rules begin with.
pub(super) const KINDS: [&str; 18] = [
    "all",
    "any",
    "not",
    "trait",
    "data",
    "visits",
    "purchased",
    "spent",
    "opened",
    "dismissed",
    "firstSeen",
    "lastSeen",
    "topic",
    "consent",
    "platform",
    "app",
    "locale",
    "localTime",
];
/// How values compare.
pub(super) const VALUE_WORDS: [&str; 11] = [
    "is", "in", "atLeast", "atMost", "moreThan", "lessThan", "exists", "contains", "before", "after", "within",
];
/// How counts and amounts do.
pub(super) const NUMBER_WORDS: [&str; 5] = ["atLeast", "atMost", "moreThan", "lessThan", "is"];
/// How instants do.
pub(super) const MOMENT_WORDS: [&str; 3] = ["before", "after", "within"];
/// Days by name.
pub(super) const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];
/// Longest name of a trait or field, in bytes.
const NAME_BYTES_MAX: usize = ID_BYTES_MAX;

impl Rule {
    /// Reads a rule such as `{"trait": "persona", "is": "shopper"}`.
    pub fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        read_at(node, 0, &mut 0)
    }
}

fn read_at(node: &Node<'_>, depth: usize, rules: &mut usize) -> Result<Rule, Refusal> {
    if depth >= DEPTH_MAX {
        return Err(node.refuse(format!("rules are nested deeper than {DEPTH_MAX}")));
    }
    *rules += 1;
    if *rules > RULES_MAX {
        return Err(node.refuse(format!("there are more than {RULES_MAX} rules in all")));
    }
    let (kind, field) = kind_of(node)?;
    let mut list = || -> Result<Vec<Rule>, Refusal> {
        node.only(&[kind])?;
        let items = field.items(ITEMS_MAX)?;
        items.iter().map(|item| read_at(item, depth + 1, rules)).collect()
    };
    match kind {
        "all" => Ok(Rule::All(list()?)),
        "any" => Ok(Rule::Any(list()?)),
        "not" => {
            node.only(&[kind])?;
            Ok(Rule::Not(Box::new(read_at(&field, depth + 1, rules)?)))
        }
        _ => read_leaf(node, kind, &field),
    }
}

/// What kind of rule it is.
fn kind_of<'a>(node: &Node<'a>) -> Result<(&'static str, Node<'a>), Refusal> {
    let fields = node.object()?;
    let mut found = KINDS
        .iter()
        .filter_map(|kind| Some((*kind, node.field(kind).transpose()?)));
    match (found.next(), found.next()) {
        (Some((kind, field)), None) => Ok((kind, field?)),
        (Some((one, _)), Some((other, _))) => Err(node.refuse(format!(
            "has both `{one}` and `{other}`; write {{\"all\": [...]}} for two rules that must both hold"
        ))),
        (None, _) => {
            let near = fields.keys().find_map(|key| did_you_mean(key, &KINDS));
            let hint = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            Err(node.refuse(format!("is no rule; {hint}a rule has one of {}", KINDS.join(", "))))
        }
    }
}

fn read_leaf(node: &Node<'_>, kind: &'static str, field: &Node<'_>) -> Result<Rule, Refusal> {
    let alone = || node.only(&[kind]);
    Ok(match kind {
        "trait" => Rule::Trait(name(field)?, read_comparison(node, kind)?),
        "data" => Rule::Data(name(field)?, read_comparison(node, kind)?),
        "visits" => {
            field.only(&["tag", "externalId", "set", "brand", "here", "within", "this"])?;
            let places = Places {
                tag: id(field, "tag", Tag::new)?,
                external_id: id(field, "externalId", ExternalId::new)?,
                set: id(field, "set", SetName::new)?,
                brand: id(field, "brand", BrandId::new)?,
                here: field.field("here")?.map_or(Ok(false), |here| here.boolean())?,
            };
            Rule::Visits(places, read_window(field)?, read_count(node, kind)?)
        }
        "purchased" => {
            field.only(&["category", "product", "within", "this"])?;
            let articles = Articles {
                category: id(field, "category", Category::new)?,
                product: id(field, "product", Product::new)?,
            };
            Rule::Purchased(articles, read_window(field)?, read_count(node, kind)?)
        }
        "spent" => {
            field.only(&["currency", "within", "this"])?;
            let currency = field.required("currency")?.parse(Currency::parse)?;
            let number = read_number(node, kind, &|node| node.number_within(0.0, AMOUNT_MAX))?;
            let number = number.ok_or_else(|| node.refuse(format!("needs one of {}", NUMBER_WORDS.join(", "))))?;
            Rule::Spent(currency, read_window(field)?, number)
        }
        "opened" | "dismissed" => {
            field.only(&["campaign", "within", "this"])?;
            let answer = if kind == "opened" {
                Answer::Opened
            } else {
                Answer::Dismissed
            };
            let campaign = id(field, "campaign", CampaignId::new)?;
            Rule::Reacted(answer, campaign, read_window(field)?, read_count(node, kind)?)
        }
        "firstSeen" | "lastSeen" => {
            alone()?;
            field.only(&MOMENT_WORDS)?;
            let moment = match one_word(field, &MOMENT_WORDS)? {
                Some((word, value)) => read_moment(word, &value)?,
                None => return Err(field.refuse(format!("needs exactly one of {}", MOMENT_WORDS.join(", ")))),
            };
            if kind == "firstSeen" {
                Rule::FirstSeen(moment)
            } else {
                Rule::LastSeen(moment)
            }
        }
        "topic" => {
            alone()?;
            Rule::Topic(match field.value() {
                Value::Object(_) => {
                    field.only(&["startsWith"])?;
                    TopicRule::StartsWith(field.required("startsWith")?.parse(Topic::new)?.as_str().to_owned())
                }
                _ => TopicRule::Is(field.parse(Topic::new)?),
            })
        }
        "consent" => {
            node.only(&["consent", "is"])?;
            let purpose = field.one_of(&[
                ("push", Purpose::Push),
                ("location", Purpose::Location),
                ("personalisation", Purpose::Personalisation),
            ])?;
            let said = [
                ("given", Said::Given),
                ("refused", Said::Refused),
                ("unsaid", Said::Unsaid),
            ];
            Rule::Consent(purpose, node.field("is")?.map(|word| word.one_of(&said)).transpose()?)
        }
        "platform" => {
            alone()?;
            Rule::Platform(field.one_of(&[("ios", Platform::Ios), ("android", Platform::Android)])?)
        }
        "app" => {
            alone()?;
            Rule::App(field.parse(AppId::new)?)
        }
        "locale" => {
            alone()?;
            Rule::Locale(name(field)?)
        }
        _ => {
            alone()?;
            Rule::LocalTime(read_local_time(field)?)
        }
    })
}

fn name(node: &Node<'_>) -> Result<String, Refusal> {
    let text = node.text()?;
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        return Err(node.refuse(format!("must have 1 to {NAME_BYTES_MAX} bytes")));
    }
    Ok(text.to_owned())
}

fn id<T, E: std::fmt::Display>(
    node: &Node<'_>,
    key: &str,
    new: fn(String) -> Result<T, E>,
) -> Result<Option<T>, Refusal> {
    node.field(key)?
        .map(|id| id.parse(|text| new(text.to_owned())))
        .transpose()
}

/// The one of the words that is given.
fn one_word<'a>(node: &Node<'a>, words: &[&'static str]) -> Result<Option<(&'static str, Node<'a>)>, Refusal> {
    let mut given = words
        .iter()
        .filter_map(|word| Some((*word, node.field(word).transpose()?)));
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some((word, field)), None) => Ok(Some((word, field?))),
        (Some(_), Some(_)) => Err(node.refuse(format!("needs exactly one of {}", words.join(", ")))),
    }
}

fn read_comparison(node: &Node<'_>, kind: &'static str) -> Result<Comparison, Refusal> {
    let mut known = vec![kind];
    known.extend(VALUE_WORDS);
    node.only(&known)?;
    let Some((word, field)) = one_word(node, &VALUE_WORDS)? else {
        return Err(node.refuse(format!("needs exactly one of {}", VALUE_WORDS.join(", "))));
    };
    Ok(match word {
        "is" => Comparison::Is(scalar(&field)?),
        "in" => Comparison::In(field.items(ITEMS_MAX)?.iter().map(scalar).collect::<Result<_, _>>()?),
        "exists" => Comparison::Exists(field.boolean()?),
        "contains" => Comparison::Contains(scalar(&field)?),
        "before" | "after" | "within" => Comparison::Moment(read_moment(word, &field)?),
        _ => Comparison::Number(number_by(word, field.number()?)),
    })
}

/// A text, a number or a truth value: what can be compared at a glance.
fn scalar(node: &Node<'_>) -> Result<Value, Refusal> {
    match node.value() {
        Value::String(text) if text.len() > TEXT_BYTES_MAX => {
            Err(node.refuse(format!("is longer than {TEXT_BYTES_MAX} bytes")))
        }
        value @ (Value::String(_) | Value::Number(_) | Value::Bool(_)) => Ok(value.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(node.refuse("must be a text, a number, true or false; for a list of values write `in`"))
        }
    }
}

fn number_by(word: &str, number: f64) -> Number {
    match word {
        "atLeast" => Number::AtLeast(number),
        "atMost" => Number::AtMost(number),
        "moreThan" => Number::MoreThan(number),
        "lessThan" => Number::LessThan(number),
        _ => Number::Is(number),
    }
}

fn read_number(
    node: &Node<'_>,
    kind: &'static str,
    read: &dyn Fn(&Node<'_>) -> Result<f64, Refusal>,
) -> Result<Option<Number>, Refusal> {
    let mut known = vec![kind];
    known.extend(NUMBER_WORDS);
    node.only(&known)?;
    let given = one_word(node, &NUMBER_WORDS)?;
    given
        .map(|(word, field)| Ok(number_by(word, read(&field)?)))
        .transpose()
}

/// How often; at least once, if nothing is said.
fn read_count(node: &Node<'_>, kind: &'static str) -> Result<Number, Refusal> {
    let count = |node: &Node<'_>| node.integer(0, COUNT_MAX).map(|count| count as f64);
    Ok(read_number(node, kind, &count)?.unwrap_or(Number::AtLeast(1.0)))
}

fn read_window(node: &Node<'_>) -> Result<Window, Refusal> {
    match (node.field("within")?, node.field("this")?) {
        (None, None) => Ok(Window::Ever),
        (Some(within), None) => {
            let length = within.parse(DurationMs::parse)?;
            if length.0 == 0 || length > REACH {
                return Err(within.refuse("must be longer than nothing and at most P400D; nothing older is remembered"));
            }
            Ok(Window::Within(length))
        }
        (None, Some(this)) => Ok(Window::This(this.one_of(&[
            ("day", Calendar::Day),
            ("week", Calendar::Week),
            ("month", Calendar::Month),
            ("year", Calendar::Year),
        ])?)),
        (Some(_), Some(this)) => Err(this.refuse("goes not with `within`; keep one of them")),
    }
}

fn read_moment(word: &str, node: &Node<'_>) -> Result<Moment, Refusal> {
    let instant = || -> Result<Timestamp, Refusal> {
        let not_a_time = || TimeError::NotATime(node.text().unwrap_or_default().chars().take(40).collect());
        read_instant(node.text()?)
            .ok_or_else(|| node.refuse(format!("{}, nor a date such as 2026-11-22", not_a_time())))
    };
    match word {
        "before" => Ok(Moment::Before(instant()?)),
        "after" => Ok(Moment::After(instant()?)),
        _ => match node.parse(DurationMs::parse)? {
            DurationMs(0) => Err(node.refuse("must be longer than nothing")),
            length => Ok(Moment::Within(length)),
        },
    }
}

fn read_local_time(node: &Node<'_>) -> Result<LocalTime, Refusal> {
    node.only(&["from", "until", "days", "zone"])?;
    let clock = |key: &str, default: u16| node.field(key)?.map_or(Ok(default), |field| field.parse(minute_of_day));
    let mut days = Weekdays::default();
    match node.field("days")? {
        None => days = Weekdays::ALL,
        Some(names) => {
            for name in names.items(DAYS.len())? {
                days.add(name.one_of(&DAYS)?);
            }
        }
    }
    let time = LocalTime {
        from: clock("from", 0)?,
        until: clock("until", 24 * 60)?,
        days,
        zone: match node.field("zone")? {
            None => Zone::Customer,
            Some(zone) => read_zone(&zone)?,
        },
    };
    if time.from == time.until {
        return Err(node.refuse("begins and ends at the same time; for a whole day leave out `from` and `until`"));
    }
    Ok(time)
}

fn read_zone(node: &Node<'_>) -> Result<Zone, Refusal> {
    match node.text()? {
        "customer" => Ok(Zone::Customer),
        "geofence" => Ok(Zone::Geofence),
        name if name.len() <= NAME_BYTES_MAX && TimeZone::get(name).is_ok() => Ok(Zone::Fixed(name.to_owned())),
        _ => Err(node.refuse("must be `customer`, `geofence` or an IANA time zone, such as Europe/Lisbon")),
    }
}

/// Minutes since midnight of a text from 00:00 to 24:00.
fn minute_of_day(text: &str) -> Result<u16, &'static str> {
    const WRONG: &str = "must be a time from 00:00 to 24:00";
    let digits = |part: &str| -> Result<u16, &'static str> {
        let two = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        two.then(|| part.parse().ok()).flatten().ok_or(WRONG)
    };
    let (hours, minutes) = text.split_once(':').ok_or(WRONG)?;
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    let minute = hours * 60 + minutes;
    if minutes > 59 || minute > 24 * 60 {
        return Err(WRONG);
    }
    Ok(minute)
}
