//! Rules in words, for people.

use std::fmt::{Display, Formatter, Result, Write as _};

use serde_json::Value;

use super::{
    Answer, Articles, Calendar, Comparison, LocalTime, Moment, Number, Places, Purpose, Rule, Said, TopicRule, Window,
    Zone,
};
use crate::domain::ids::{BrandId, Category, ExternalId, Product, SetName, Tag};

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let list = |f: &mut Formatter<'_>, rules: &[Self], word: &str| {
            for (index, rule) in rules.iter().enumerate() {
                if index > 0 {
                    write!(f, " {word} ")?;
                }
                match rule {
                    Self::All(inner) | Self::Any(inner) if inner.len() > 1 => write!(f, "({rule})")?,
                    _ => write!(f, "{rule}")?,
                }
            }
            Ok(())
        };
        match self {
            Self::All(rules) if rules.is_empty() => f.write_str("anybody"),
            Self::Any(rules) if rules.is_empty() => f.write_str("nobody"),
            Self::All(rules) => list(f, rules, "and"),
            Self::Any(rules) => list(f, rules, "or"),
            Self::Not(rule) => write!(f, "not ({rule})"),
            Self::Trait(name, comparison) => write!(f, "{name} {comparison}"),
            Self::Data(name, comparison) => write!(f, "event's {name} {comparison}"),
            Self::Visits(places, window, number) => write!(f, "visits {places}{window} are {number}"),
            Self::Purchased(articles, window, number) => write!(f, "purchases {articles}{window} are {number}"),
            Self::Spent(currency, window, number) => write!(f, "{currency} spent{window} are {number}"),
            Self::Reacted(answer, campaign, window, number) => {
                f.write_str(match answer {
                    Answer::Opened => "pushes opened",
                    Answer::Dismissed => "pushes dismissed",
                })?;
                if let Some(campaign) = campaign {
                    write!(f, " of {campaign}")?;
                }
                write!(f, "{window} are {number}")
            }
            Self::FirstSeen(moment) => write!(f, "first seen {moment}"),
            Self::LastSeen(moment) => write!(f, "last seen {moment}"),
            Self::Topic(TopicRule::Is(topic)) => write!(f, "follows {topic}"),
            Self::Topic(TopicRule::StartsWith(prefix)) => write!(f, "follows {prefix}…"),
            Self::Consent(purpose, said) => {
                f.write_str(match said {
                    None => "allows ",
                    Some(Said::Given) => "has agreed to ",
                    Some(Said::Refused) => "has refused ",
                    Some(Said::Unsaid) => "was never asked about ",
                })?;
                f.write_str(match purpose {
                    Purpose::Push => "push",
                    Purpose::Location => "location",
                    Purpose::Personalisation => "personalisation",
                })
            }
            Self::Platform(platform) => write!(f, "is on {platform:?}"),
            Self::App(app) => write!(f, "uses {app}"),
            Self::Locale(locale) => write!(f, "reads {locale}"),
            Self::LocalTime(time) => write!(f, "it is {time}"),
        }
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Is(value) => write!(f, "is {value}"),
            Self::In(values) => write!(f, "is in {}", Value::from(values.clone())),
            Self::Number(number) => write!(f, "is {number}"),
            Self::Exists(true) => f.write_str("exists"),
            Self::Exists(false) => f.write_str("does not exist"),
            Self::Contains(value) => write!(f, "contains {value}"),
            Self::Moment(moment) => write!(f, "is {moment}"),
        }
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Is(number) => write!(f, "exactly {number}"),
            Self::AtLeast(number) => write!(f, "at least {number}"),
            Self::AtMost(number) => write!(f, "at most {number}"),
            Self::MoreThan(number) => write!(f, "more than {number}"),
            Self::LessThan(number) => write!(f, "less than {number}"),
        }
    }
}

impl Display for Moment {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Before(time) => write!(f, "before {time}"),
            Self::After(time) => write!(f, "after {time}"),
            Self::Within(length) => write!(f, "within {length}"),
        }
    }
}

impl Display for Window {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Ever => Ok(()),
            Self::Within(length) => write!(f, " within {length}"),
            Self::This(Calendar::Day) => f.write_str(" today"),
            Self::This(Calendar::Week) => f.write_str(" this week"),
            Self::This(Calendar::Month) => f.write_str(" this month"),
            Self::This(Calendar::Year) => f.write_str(" this year"),
        }
    }
}

impl Display for Places {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let fields = [
            ("tag", self.tag.as_ref().map(Tag::as_str)),
            ("externalId", self.external_id.as_ref().map(ExternalId::as_str)),
            ("set", self.set.as_ref().map(SetName::as_str)),
            ("brand", self.brand.as_ref().map(BrandId::as_str)),
        ];
        f.write_str(if self.here { "to this place" } else { "to places" })?;
        write_fields(f, &fields)
    }
}

impl Display for Articles {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("of things")?;
        write_fields(
            f,
            &[
                ("category", self.category.as_ref().map(Category::as_str)),
                ("product", self.product.as_ref().map(Product::as_str)),
            ],
        )
    }
}

fn write_fields(f: &mut Formatter<'_>, fields: &[(&str, Option<&str>)]) -> Result {
    let mut given = fields.iter().filter_map(|(name, value)| Some((name, (*value)?)));
    given.try_for_each(|(name, value)| write!(f, " {name} {value}"))
}

impl Display for LocalTime {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        write!(f, "{} to {}", clock(self.from), clock(self.until))?;
        for (name, day) in super::read::DAYS {
            if self.days != super::Weekdays::ALL && self.days.holds(day) {
                write!(f, " {name}")?;
            }
        }
        match &self.zone {
            Zone::Customer => Ok(()),
            Zone::Geofence => f.write_str(" at the geofence"),
            Zone::Fixed(name) => write!(f, " in {name}"),
        }
    }
}

/// Keeps the beginning of what is written, and stops whoever writes when there is more.
pub(super) struct Bounded {
    text: String,
    bytes_max: usize,
}

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, part: &str) -> Result {
        let room = self.bytes_max.saturating_sub(self.text.len());
        if part.len() <= room {
            self.text.push_str(part);
            return Ok(());
        }
        self.text.push_str(&part[..part.floor_char_boundary(room)]);
        self.text.push('…');
        Err(std::fmt::Error)
    }
}

/// The value as a text of at most so many bytes and an ellipsis.
pub(super) fn bounded(value: &impl Display, bytes_max: usize) -> String {
    let mut text = Bounded {
        text: String::new(),
        bytes_max,
    };
    // What it stops at is the bound, which the ellipsis tells.
    write!(text, "{value}").unwrap_or_default();
    text.text
}
