//! What Beckon itself has learned of a customer: visits, purchases, and what became of pushes.
//!
//! Everything is kept as times, so that it can be counted in any window. What is older than [`REACH`] is forgotten. A count
//! is exact up to 100, the greatest that a rule may ask for: of each geofence, product and campaign the latest 100 times
//! are kept, of at most 200 of them, and 1,000 visits, 500 items and 500 reactions in all. Beyond that what was longest
//! ago and what has most makes room, so that "the third visit this month" stays right.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::time::{DurationMs, Timestamp};

mod purchases;
mod reactions;
mod tally;
mod times;
mod visits;

#[cfg(test)]
mod tests;

pub use purchases::{AMOUNT_MAX, Article, Currency, NotACurrency, PURCHASE, Purchase, Spent, USUAL_OF_LATEST};
pub use reactions::{Answer, Reacted};
pub use tally::{Key, Tally};
pub use times::{Span, Times};
pub use visits::Place;

/// Nothing is remembered for longer; no window of a rule is.
pub const REACH: DurationMs = DurationMs::from_secs(400 * 24 * 3600);

/// Counts are exact up to this.
pub const COUNT_MAX: i64 = 100;

/// What is folded of one customer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// When the first device was heard of.
    pub first_seen: Option<Timestamp>,
    /// When devices that are gone were heard of last.
    pub last_seen: Option<Timestamp>,
    /// When which geofence was entered. Two devices that come in together make one visit.
    pub visits: Tally<Place>,
    /// When what was bought.
    pub bought: Tally<Article>,
    /// What was spent.
    pub spent: Spent,
    /// When which campaign's pushes were opened and dismissed.
    pub reactions: Tally<Reacted>,
}

impl Figures {
    /// Counts a visit that began at `at`; `now` is the server's time.
    pub fn note_visit(&mut self, place: Place, at: Timestamp, now: Timestamp) {
        self.forget(at, now);
        self.visits.note(place, at, visits::BOUNDS);
    }

    /// Counts a purchase.
    pub fn note_purchase(&mut self, purchase: Purchase, at: Timestamp, now: Timestamp) {
        self.forget(at, now);
        for article in purchase.articles {
            self.bought.note(article, at, purchases::BOUNDS);
        }
        if let Some((currency, amount)) = purchase.spent {
            self.spent.note(currency, amount, at);
        }
    }

    /// Counts what became of a push; the same of the same instant counts once.
    pub fn note_reaction(&mut self, reacted: Reacted, at: Timestamp, now: Timestamp) {
        let known = self.reactions.find(&reacted);
        if known.is_some_and(|times| times.as_slice().contains(&at)) {
            return;
        }
        self.forget(at, now);
        self.reactions.note(reacted, at, reactions::BOUNDS);
    }

    /// Takes over what an anonymous customer did before logging in. Done again, it changes nothing.
    pub fn adopt(&mut self, other: &Self) {
        self.first_seen = self.first_seen.into_iter().chain(other.first_seen).min();
        self.last_seen = self.last_seen.max(other.last_seen);
        self.visits.adopt(&other.visits, visits::BOUNDS);
        self.reactions.adopt(&other.reactions, reactions::BOUNDS);
    }

    /// Forgets what no window reaches any more, neither from `at` nor from the server's `now`.
    fn forget(&mut self, at: Timestamp, now: Timestamp) {
        let until = at.min(now).minus(REACH);
        self.visits.forget_until(until);
        self.bought.forget_until(until);
        self.spent.forget_until(until);
        self.reactions.forget_until(until);
    }

    /// What templates see: the usual product of each category, and the visits of each tag.
    pub fn for_templates(&self) -> FiguresForTemplates<'_> {
        let mut visits: BTreeMap<&str, usize> = BTreeMap::new();
        for (place, times) in self.visits.iter() {
            *visits.entry(place.tag.as_str()).or_default() += times.as_slice().len();
        }
        let usual = purchases::usual(&self.bought).into_iter();
        FiguresForTemplates {
            usual: usual
                .map(|(category, product)| (category.as_str(), product.as_str()))
                .collect(),
            visits,
        }
    }

    /// What people are shown.
    pub fn to_json(&self, last_seen: Option<Timestamp>) -> Value {
        let all = Span {
            after: Timestamp(i64::MIN),
            until: Timestamp(i64::MAX),
        };
        let counted = |times: &Times| (times.as_slice().len(), times.last());
        let visits = self.visits.iter().map(|(place, times)| {
            let (count, last_at) = counted(times);
            json!({"tag": place.tag, "externalId": place.external_id, "set": place.set, "brand": place.brand,
                "count": count, "lastAt": last_at})
        });
        let bought = self.bought.iter().map(|(article, times)| {
            let (count, last_at) = counted(times);
            json!({"category": article.category, "product": article.product, "count": count, "lastAt": last_at})
        });
        let reactions = self.reactions.iter().map(|(reacted, times)| {
            let (count, last_at) = counted(times);
            let kind = match reacted.answer {
                Answer::Opened => "opened",
                Answer::Dismissed => "dismissed",
            };
            json!({"campaign": reacted.campaign, "type": kind, "count": count, "lastAt": last_at})
        });
        let spent = self.spent.currencies();
        let spent = spent.map(|currency| (currency.to_string(), Value::from(self.spent.sum(currency, all))));
        json!({
            "firstSeen": self.first_seen, "lastSeen": last_seen, "usual": self.for_templates().usual,
            "visits": visits.collect::<Vec<_>>(), "purchases": bought.collect::<Vec<_>>(),
            "spent": spent.collect::<serde_json::Map<_, _>>(), "reactions": reactions.collect::<Vec<_>>(),
        })
    }
}

/// Figures as templates name them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FiguresForTemplates<'a> {
    /// Product by category.
    pub usual: BTreeMap<&'a str, &'a str>,
    /// Visits that are remembered, by tag.
    pub visits: BTreeMap<&'a str, usize>,
}
