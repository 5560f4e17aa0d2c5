//! Who a campaign or an offer is for: a closed vocabulary of rules over the customer, the event and the time.
//!
//! Read and checked once, when the campaign is saved (`read`); asked often, without allocating (here); told in words with
//! what was seen (`explain`); described for editors and forms (`schema`). What is missing makes a rule false, never an
//! error.

use serde_json::{Map, Value};

use super::{
    customer::{Device, Profile, Purpose},
    delivery::Platform,
    figures::{Answer, Article, Currency, Place, REACH, Reacted, Span, Times},
    geofence::Geofence,
    ids::{AppId, BrandId, CampaignId, Category, ExternalId, Product, SetName, Tag, Topic},
    record::Record,
    time::Timestamp,
    zone,
};

mod comparison;
mod explain;
mod read;
mod schema;
mod window;
mod words;

#[cfg(test)]
mod tests;

pub use comparison::{Comparison, Moment, Number};
pub use explain::Explained;
pub use window::{Calendar, LocalTime, Weekdays, Window, Zone};

/// Deepest nesting of rules.
pub const DEPTH_MAX: usize = 8;
/// Most rules in one `all` or `any`, and most values in one `in`.
pub const ITEMS_MAX: usize = 100;
/// Most rules of one audience, with all that is nested.
pub const RULES_MAX: usize = 200;
/// Longest text in a rule, in bytes.
pub const TEXT_BYTES_MAX: usize = 500;

/// A condition.
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
    /// So many visits.
    Visits(Places, Window, Number),
    /// So many items bought.
    Purchased(Articles, Window, Number),
    /// So much spent.
    Spent(Currency, Window, Number),
    /// So many pushes opened or dismissed; of one campaign, or of all.
    Reacted(Answer, Option<CampaignId>, Window, Number),
    /// When a device of the customer was heard of first.
    FirstSeen(Moment),
    /// When one was heard of last.
    LastSeen(Moment),
    /// The customer follows it.
    Topic(TopicRule),
    /// What the customer has said; `None`: anything but no.
    Consent(Purpose, Option<Said>),
    /// The device is of that platform.
    Platform(Platform),
    /// The device runs that app.
    App(AppId),
    /// The customer's language begins with that BCP 47 tag.
    Locale(String),
    /// It is that time of the day or week.
    LocalTime(LocalTime),
}

/// Which visits count: those that fit all that is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    /// Kind of place.
    pub tag: Option<Tag>,
    /// Which one.
    pub external_id: Option<ExternalId>,
    /// The file it came with.
    pub set: Option<SetName>,
    /// The merchant.
    pub brand: Option<BrandId>,
    /// Only the geofence that the event is about.
    pub here: bool,
}

/// Which items count: those that fit all that is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Articles {
    /// Of which kind.
    pub category: Option<Category>,
    /// Which.
    pub product: Option<Product>,
}

/// Which topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicRule {
    /// This one.
    Is(Topic),
    /// Any that begins so.
    StartsWith(String),
}

/// What a customer has said about a purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Yes.
    Given,
    /// No.
    Refused,
    /// Nothing.
    Unsaid,
}

/// What rules look at.
#[derive(Clone, Copy)]
pub struct Person<'a> {
    /// The customer.
    pub record: &'a Record,
    /// The device that the push would go to.
    pub device: Option<&'a Device>,
    /// The outside event's fields.
    pub data: Option<&'a Map<String, Value>>,
    /// The geofence that the event is about.
    pub geofence: Option<&'a Geofence>,
    /// The zone of that geofence.
    pub geofence_zone: Option<zone::Zone>,
    /// The zone where nobody's clock is known.
    pub workspace_zone: zone::Zone,
    /// The merchant who asks: what is refused to a brand is not looked at for it.
    pub brand: Option<&'a BrandId>,
    /// When the event happened: windows end there, and it counts itself.
    pub at: Timestamp,
}

impl<'a> Person<'a> {
    fn profile(&self) -> &'a Profile {
        &self.record.profile
    }

    /// Whether traits and figures may be looked at.
    pub fn is_personal(&self) -> bool {
        self.profile().consent.allows(Purpose::Personalisation, self.brand)
    }

    fn trait_of(&self, name: &str) -> Option<&'a Value> {
        self.profile().traits.0.get(name)
    }

    fn field_of(&self, name: &str) -> Option<&'a Value> {
        self.data.and_then(|data| data.get(name))
    }

    fn locale(&self) -> Option<&'a str> {
        self.profile().locale(self.device)
    }

    fn said(&self, purpose: Purpose) -> Said {
        match self.profile().consent.to(purpose, self.brand) {
            Some(true) => Said::Given,
            Some(false) => Said::Refused,
            None => Said::Unsaid,
        }
    }

    fn span(&self, window: Window) -> Span {
        Span {
            after: window.opens(self),
            until: self.at,
        }
    }

    fn visits(&self, places: &Places, window: Window) -> f64 {
        let visits = self.record.figures.visits.iter();
        self.count(visits, window, |place| places.fits(place, self.geofence))
    }

    fn bought(&self, articles: &Articles, window: Window) -> f64 {
        let bought = self.record.figures.bought.iter();
        self.count(bought, window, |article| articles.fits(article))
    }

    fn reactions(&self, answer: Answer, campaign: Option<&CampaignId>, window: Window) -> f64 {
        let fits = |reacted: &Reacted| {
            reacted.answer == answer && campaign.is_none_or(|campaign| *campaign == reacted.campaign)
        };
        self.count(self.record.figures.reactions.iter(), window, fits)
    }

    fn count<'k, K: 'k>(
        &self,
        tally: impl Iterator<Item = (&'k K, &'k Times)>,
        window: Window,
        fits: impl Fn(&K) -> bool,
    ) -> f64 {
        let span = self.span(window);
        let counted = tally.filter(|(key, _)| fits(key)).map(|(_, times)| times.count(span));
        counted.sum::<usize>() as f64
    }

    fn spent(&self, currency: Currency, window: Window) -> f64 {
        self.record.figures.spent.sum(currency, self.span(window))
    }
}

impl Places {
    fn fits(&self, place: &Place, here: Option<&Geofence>) -> bool {
        self.tag.as_ref().is_none_or(|tag| *tag == place.tag)
            && self.external_id.as_ref().is_none_or(|id| *id == place.external_id)
            && self.set.as_ref().is_none_or(|set| *set == place.set)
            && (self.brand.is_none() || self.brand == place.brand)
            && (!self.here
                || here.is_some_and(|here| here.id.tag == place.tag && here.id.external_id == place.external_id))
    }
}

impl Articles {
    fn fits(&self, article: &Article) -> bool {
        (self.category.is_none() || self.category == article.category)
            && (self.product.is_none() || self.product == article.product)
    }
}

impl TopicRule {
    fn holds(&self, profile: &Profile) -> bool {
        match self {
            Self::Is(topic) => profile.topics.contains(topic),
            Self::StartsWith(prefix) => {
                let mut from = profile
                    .topics
                    .range::<str, _>((std::ops::Bound::Included(prefix.as_str()), std::ops::Bound::Unbounded));
                from.next().is_some_and(|topic| topic.as_str().starts_with(prefix))
            }
        }
    }
}

impl Rule {
    /// Whether the rule holds of this person.
    pub fn holds(&self, person: Person<'_>) -> bool {
        match self {
            Self::All(rules) => rules.iter().all(|rule| rule.holds(person)),
            Self::Any(rules) => rules.iter().any(|rule| rule.holds(person)),
            Self::Not(rule) => !rule.holds(person),
            Self::Trait(name, comparison) => person.is_personal() && comparison.holds(person.trait_of(name), person.at),
            Self::Data(name, comparison) => comparison.holds(person.field_of(name), person.at),
            Self::Visits(places, window, number) => {
                person.is_personal() && number.holds(person.visits(places, *window))
            }
            Self::Purchased(articles, window, number) => {
                person.is_personal() && number.holds(person.bought(articles, *window))
            }
            Self::Spent(currency, window, number) => {
                person.is_personal() && number.holds(person.spent(*currency, *window))
            }
            Self::Reacted(answer, campaign, window, number) => {
                person.is_personal() && number.holds(person.reactions(*answer, campaign.as_ref(), *window))
            }
            Self::FirstSeen(moment) => {
                person.is_personal() && moment.holds(person.record.figures.first_seen, person.at)
            }
            Self::LastSeen(moment) => person.is_personal() && moment.holds(person.record.last_seen(), person.at),
            Self::Topic(topic) => topic.holds(person.profile()),
            Self::Consent(purpose, None) => person.said(*purpose) != Said::Refused,
            Self::Consent(purpose, Some(said)) => person.said(*purpose) == *said,
            Self::Platform(platform) => person
                .device
                .and_then(|device| device.target.as_ref())
                .is_some_and(|to| to.platform == *platform),
            Self::App(app) => person
                .device
                .and_then(|device| device.target.as_ref())
                .is_some_and(|to| to.app == *app),
            Self::Locale(prefix) => person.locale().is_some_and(|locale| {
                locale
                    .strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            }),
            Self::LocalTime(time) => time.holds(&person),
        }
    }
}
