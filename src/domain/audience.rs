//! Who a campaign or an offer is for: a closed vocabulary of rules over the customer and the event.

use serde_json::{Map, Value};

use super::{
    customer::{Device, Profile},
    delivery::Platform,
    ids::Topic,
    json_reader::{Node, Refusal},
};

/// Deepest nesting of rules.
const DEPTH_MAX: usize = 8;
/// Most rules in one `all` or `any`, and most values in one `in`.
const ITEMS_MAX: usize = 100;

/// A condition. A field that is missing makes it false, never an error.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Every one holds; true of none.
    All(Vec<Rule>),
    /// At least one holds; false of none.
    Any(Vec<Rule>),
    /// It does not hold.
    Not(Box<Rule>),
    /// A trait of the customer compares so.
    Trait(String, Comparison),
    /// A field of the outside event's data compares so.
    Data(String, Comparison),
    /// The customer follows the topic.
    Topic(Topic),
    /// The device is of that platform.
    Platform(Platform),
    /// The device's language begins with that BCP 47 tag.
    Locale(String),
}

/// How a value compares.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparison {
    /// Equal.
    Is(Value),
    /// One of these.
    In(Vec<Value>),
    /// Number of at least.
    AtLeast(f64),
    /// Number of at most.
    AtMost(f64),
    /// Number above.
    MoreThan(f64),
    /// Number below.
    LessThan(f64),
    /// Is there, or is not.
    Exists(bool),
    /// A list that holds it, or a text that holds this text.
    Contains(Value),
}

/// What rules look at.
#[derive(Clone, Copy)]
pub struct Person<'a> {
    /// The customer.
    pub profile: &'a Profile,
    /// The device that the push would go to.
    pub device: Option<&'a Device>,
    /// The outside event's fields.
    pub data: Option<&'a Map<String, Value>>,
}

impl Rule {
    /// Reads a rule such as `{"trait": "persona", "is": "shopper"}`.
    pub fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        Self::read_at(node, 0)
    }

    fn read_at(node: &Node<'_>, depth: usize) -> Result<Self, Refusal> {
        if depth >= DEPTH_MAX {
            return Err(node.refuse(format!("rules are nested deeper than {DEPTH_MAX}")));
        }
        let list = |key: &Node<'_>| -> Result<Vec<Self>, Refusal> {
            key.items(ITEMS_MAX)?
                .iter()
                .map(|item| Self::read_at(item, depth + 1))
                .collect()
        };
        if let Some(rules) = node.field("all")? {
            node.only(&["all"])?;
            return Ok(Self::All(list(&rules)?));
        }
        if let Some(rules) = node.field("any")? {
            node.only(&["any"])?;
            return Ok(Self::Any(list(&rules)?));
        }
        if let Some(rule) = node.field("not")? {
            node.only(&["not"])?;
            return Ok(Self::Not(Box::new(Self::read_at(&rule, depth + 1)?)));
        }
        if let Some(name) = node.field("trait")? {
            return Ok(Self::Trait(name.text()?.to_owned(), Comparison::read(node, "trait")?));
        }
        if let Some(name) = node.field("data")? {
            return Ok(Self::Data(name.text()?.to_owned(), Comparison::read(node, "data")?));
        }
        if let Some(topic) = node.field("topic")? {
            node.only(&["topic"])?;
            return Ok(Self::Topic(topic.parse(Topic::new)?));
        }
        if let Some(platform) = node.field("platform")? {
            node.only(&["platform"])?;
            return Ok(Self::Platform(
                platform.one_of(&[("ios", Platform::Ios), ("android", Platform::Android)])?,
            ));
        }
        if let Some(locale) = node.field("locale")? {
            node.only(&["locale"])?;
            return Ok(Self::Locale(locale.text()?.to_owned()));
        }
        Err(node.refuse("is no rule; a rule has one of all, any, not, trait, data, topic, platform, locale"))
    }

    /// Whether the rule holds of this person.
    pub fn holds(&self, person: Person<'_>) -> bool {
        match self {
            Self::All(rules) => rules.iter().all(|rule| rule.holds(person)),
            Self::Any(rules) => rules.iter().any(|rule| rule.holds(person)),
            Self::Not(rule) => !rule.holds(person),
            Self::Trait(name, comparison) => comparison.holds(person.profile.traits.0.get(name)),
            Self::Data(name, comparison) => comparison.holds(person.data.and_then(|data| data.get(name))),
            Self::Topic(topic) => person.profile.topics.contains(topic),
            Self::Platform(platform) => person
                .device
                .and_then(|device| device.target.as_ref())
                .is_some_and(|to| to.platform == *platform),
            Self::Locale(prefix) => person
                .device
                .and_then(|device| device.locale.as_deref())
                .is_some_and(|locale| {
                    locale
                        .strip_prefix(prefix.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
                }),
        }
    }
}

impl Comparison {
    fn read(node: &Node<'_>, subject: &str) -> Result<Self, Refusal> {
        const WORDS: [&str; 8] = [
            "is", "in", "atLeast", "atMost", "moreThan", "lessThan", "exists", "contains",
        ];
        let mut known = vec![subject];
        known.extend(WORDS);
        node.only(&known)?;
        let mut given = WORDS
            .iter()
            .filter_map(|word| node.field(word).transpose().map(|field| (*word, field)));
        let (Some((word, field)), None) = (given.next(), given.next()) else {
            return Err(node.refuse(format!("needs exactly one of {}", WORDS.join(", "))));
        };
        let field = field?;
        Ok(match word {
            "is" => Self::Is(field.value().clone()),
            "in" => Self::In(
                field
                    .items(ITEMS_MAX)?
                    .iter()
                    .map(|item| item.value().clone())
                    .collect(),
            ),
            "atLeast" => Self::AtLeast(field.number()?),
            "atMost" => Self::AtMost(field.number()?),
            "moreThan" => Self::MoreThan(field.number()?),
            "lessThan" => Self::LessThan(field.number()?),
            "exists" => Self::Exists(field.boolean()?),
            _ => Self::Contains(field.value().clone()),
        })
    }

    fn holds(&self, value: Option<&Value>) -> bool {
        let value = value.filter(|value| !value.is_null());
        let number = || value.and_then(Value::as_f64);
        match self {
            Self::Is(wanted) => value.is_some_and(|value| same(value, wanted)),
            Self::In(wanted) => value.is_some_and(|value| wanted.iter().any(|one| same(value, one))),
            Self::AtLeast(bound) => number().is_some_and(|number| number >= *bound),
            Self::AtMost(bound) => number().is_some_and(|number| number <= *bound),
            Self::MoreThan(bound) => number().is_some_and(|number| number > *bound),
            Self::LessThan(bound) => number().is_some_and(|number| number < *bound),
            Self::Exists(wanted) => value.is_some() == *wanted,
            Self::Contains(wanted) => match (value, wanted) {
                (Some(Value::Array(items)), wanted) => items.iter().any(|item| same(item, wanted)),
                (Some(Value::String(text)), Value::String(part)) => text.contains(part.as_str()),
                _ => false,
            },
        }
    }
}

/// Equality that takes 2 and 2.0 for the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |f: &mut std::fmt::Formatter<'_>, rules: &[Self], word: &str| {
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
            Self::All(rules) => list(f, rules, "and"),
            Self::Any(rules) => list(f, rules, "or"),
            Self::Not(rule) => write!(f, "not ({rule})"),
            Self::Trait(name, comparison) => write!(f, "{name} {comparison}"),
            Self::Data(name, comparison) => write!(f, "event's {name} {comparison}"),
            Self::Topic(topic) => write!(f, "follows {topic}"),
            Self::Platform(platform) => write!(f, "is on {platform:?}"),
            Self::Locale(locale) => write!(f, "reads {locale}"),
        }
    }
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Is(value) => write!(f, "is {value}"),
            Self::In(values) => write!(f, "is in {}", Value::from(values.clone())),
            Self::AtLeast(bound) => write!(f, "is at least {bound}"),
            Self::AtMost(bound) => write!(f, "is at most {bound}"),
            Self::MoreThan(bound) => write!(f, "is more than {bound}"),
            Self::LessThan(bound) => write!(f, "is less than {bound}"),
            Self::Exists(true) => f.write_str("exists"),
            Self::Exists(false) => f.write_str("does not exist"),
            Self::Contains(value) => write!(f, "contains {value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(rule: &Value, traits: &Value) -> bool {
        let rule = Rule::read(&Node::root(rule)).expect("a rule");
        let mut profile = Profile::default();
        profile.traits.0 = traits.as_object().expect("an object").clone();
        rule.holds(Person {
            profile: &profile,
            device: None,
            data: None,
        })
    }

    #[test]
    fn a_missing_trait_is_false_and_not_turns_it() {
        let shopper = json!({"trait": "persona", "is": "shopper"});
        assert!(holds(&shopper, &json!({"persona": "shopper"})));
        assert!(!holds(&shopper, &json!({})));
        assert!(holds(&json!({"not": shopper}), &json!({})));
        assert!(!holds(
            &json!({"trait": "age", "atMost": 30}),
            &json!({"age": "thirty"})
        ));
    }

    #[test]
    fn numbers_compare_by_value_and_lists_by_member() {
        assert!(holds(&json!({"trait": "level", "is": 2}), &json!({"level": 2.0})));
        assert!(holds(
            &json!({"trait": "likes", "contains": "tea"}),
            &json!({"likes": ["tea", "cake"]})
        ));
        assert!(holds(
            &json!({"all": [{"trait": "level", "moreThan": 1}, {"any": [{"trait": "x", "exists": true}, {"trait": "level", "in": [2, 3]}]}]}),
            &json!({"level": 3})
        ));
    }

    #[test]
    fn wrong_rules_are_refused_with_their_place() {
        let refusal = |rule: Value| Rule::read(&Node::root(&rule)).expect_err("refused").to_string();
        assert_eq!(
            refusal(json!({"all": [{"trait": "a", "is": 1}, {"trait": "b", "equals": 2}]})),
            "/all/1/equals: unknown field; known here are trait, is, in, atLeast, atMost, moreThan, lessThan, exists, contains"
        );
        assert!(refusal(json!({"trait": "a"})).contains("needs exactly one of"));
        let deep = (0..20).fold(json!({"topic": "t"}), |rule, _| json!({"not": rule}));
        assert!(refusal(deep).contains("nested deeper than 8"));
    }
}
