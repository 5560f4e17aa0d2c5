//! Why a rule held or not: each part with what it saw.

use serde::{Deserialize, Serialize};

use super::{Person, Rule, Said, words::bounded};

/// Longest words of one rule, in bytes.
const WORDS_BYTES_MAX: usize = 200;
/// Longest value that is shown, in bytes.
const SAW_BYTES_MAX: usize = 120;

/// A rule, what it saw, and whether it held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// The rule in words; `all of`, `any of` or `not` above others.
    pub rule: String,
    /// Whether it holds.
    pub holds: bool,
    /// What it saw; `None`: nothing, or it stands above others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saw: Option<String>,
    /// Those below it, all of them, also when the first ones had decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<Explained>,
}

impl Explained {
    /// How many parts it has.
    pub fn size(&self) -> usize {
        1 + self.of.iter().map(Self::size).sum::<usize>()
    }
}

impl Rule {
    /// Tells why the rule holds of this person or does not. There are as many parts as the rule has.
    pub fn explain(&self, person: Person<'_>) -> Explained {
        let above = |word: &str, rules: &[Self]| Explained {
            rule: word.to_owned(),
            holds: self.holds(person),
            saw: None,
            of: rules.iter().map(|rule| rule.explain(person)).collect(),
        };
        match self {
            Self::All(rules) => above("all of", rules),
            Self::Any(rules) => above("any of", rules),
            Self::Not(rule) => above("not", std::slice::from_ref(&**rule)),
            _ => Explained {
                rule: bounded(self, WORDS_BYTES_MAX),
                holds: self.holds(person),
                saw: self.saw(person),
                of: Vec::new(),
            },
        }
    }

    fn is_personal(&self) -> bool {
        match self {
            Self::Trait(..)
            | Self::Visits(..)
            | Self::Purchased(..)
            | Self::Spent(..)
            | Self::Reacted(..)
            | Self::FirstSeen(_)
            | Self::LastSeen(_) => true,
            Self::All(_)
            | Self::Any(_)
            | Self::Not(_)
            | Self::Data(..)
            | Self::Topic(_)
            | Self::Consent(..)
            | Self::Platform(_)
            | Self::App(_)
            | Self::Locale(_)
            | Self::LocalTime(_) => false,
        }
    }

    fn saw(&self, person: Person<'_>) -> Option<String> {
        fn shown(value: &impl std::fmt::Display) -> String {
            bounded(value, SAW_BYTES_MAX)
        }
        if self.is_personal() && !person.is_personal() {
            return Some("personalisation is refused".to_owned());
        }
        let target = person.device.and_then(|device| device.target.as_ref());
        match self {
            Self::All(_) | Self::Any(_) | Self::Not(_) | Self::Topic(_) => None,
            Self::Trait(name, _) => person.trait_of(name).map(shown),
            Self::Data(name, _) => person.field_of(name).map(shown),
            Self::Visits(places, window, _) => Some(shown(&person.visits(places, *window))),
            Self::Purchased(articles, window, _) => Some(shown(&person.bought(articles, *window))),
            Self::Spent(currency, window, _) => Some(shown(&person.spent(*currency, *window))),
            Self::Reacted(answer, campaign, window, _) => {
                Some(shown(&person.reactions(*answer, campaign.as_ref(), *window)))
            }
            Self::FirstSeen(_) => person.record.figures.first_seen.as_ref().map(shown),
            Self::LastSeen(_) => person.record.last_seen().as_ref().map(shown),
            Self::Consent(purpose, _) => Some(
                match person.said(*purpose) {
                    Said::Given => "given",
                    Said::Refused => "refused",
                    Said::Unsaid => "unsaid",
                }
                .to_owned(),
            ),
            Self::Platform(_) => target.map(|target| format!("{:?}", target.platform)),
            Self::App(_) => target.map(|target| shown(&target.app)),
            Self::Locale(_) => person.locale().as_ref().map(shown),
            Self::LocalTime(time) => time
                .clock(&person)
                .map(|clock| clock.strftime("%a %H:%M %Q").to_string()),
        }
    }
}
