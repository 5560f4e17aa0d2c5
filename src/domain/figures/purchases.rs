//! What was bought when, and for how much.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};

use super::{
    tally::{Bounds, Key, Tally},
    times::Span,
};
use crate::domain::{
    ids::{Category, Product},
    json_reader::{Node, Refusal},
    time::Timestamp,
};

/// The type of the outside events that are folded.
pub const PURCHASE: &str = "purchase";
/// Most items of one purchase.
const ITEMS_MAX: usize = 100;
/// Greatest amount of one purchase, in units of its currency.
pub const AMOUNT_MAX: f64 = 1e9;
/// Greatest quantity of one item.
const QUANTITY_MAX: f64 = 1e6;
/// Most currencies of one customer; the one spent longest ago makes room.
const CURRENCIES_MAX: usize = 8;
/// Most amounts kept of one currency. Beyond it the two that are nearest in time are kept as one, at the later's time.
const AMOUNTS_MAX: usize = 100;
/// So many latest items of a category decide which product is the usual one.
pub const USUAL_OF_LATEST: usize = 20;
/// Amounts are kept in so many parts of a unit, enough for every currency.
const PARTS: f64 = 10_000.0;

/// What is remembered of what was bought.
pub(super) const BOUNDS: Bounds = Bounds {
    keys: 200,
    times_of_key: 100,
    times: 500,
};

/// What was bought.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Article {
    /// Of which kind.
    pub category: Option<Category>,
    /// Which.
    pub product: Option<Product>,
}

impl Key for Article {
    type Packed = (Option<Option<Category>>, Option<Product>);

    fn pack(&self, before: Option<&Self>) -> Self::Packed {
        let same = before.is_some_and(|before| before.category == self.category);
        ((!same).then(|| self.category.clone()), self.product.clone())
    }

    fn unpack((category, product): Self::Packed, before: Option<&Self>) -> Option<Self> {
        Some(Self {
            category: category.or_else(|| before.map(|before| before.category.clone()))?,
            product,
        })
    }
}

/// Three capital letters, as in ISO 4217.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Currency([u8; 3]);

/// A text is no currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be three capital letters (ISO 4217), such as EUR")]
pub struct NotACurrency;

impl Currency {
    /// Takes three capital letters.
    pub fn parse(text: &str) -> Result<Self, NotACurrency> {
        let letters: [u8; 3] = text.as_bytes().try_into().map_err(|_| NotACurrency)?;
        let all = letters.iter().all(u8::is_ascii_uppercase);
        all.then_some(Self(letters)).ok_or(NotACurrency)
    }
}

impl std::fmt::Display for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|letter| write!(f, "{}", *letter as char))
    }
}

/// What an outside event of type [`PURCHASE`] says.
#[derive(Debug, Clone, PartialEq)]
pub struct Purchase {
    /// What was bought; each counts once, whatever its quantity.
    pub articles: Vec<Article>,
    /// For how much in all.
    pub spent: Option<(Currency, f64)>,
}

impl Purchase {
    /// Reads an event's data: `{product?, category?, amount?, currency?, quantity?, items?: [{product?, category?, amount?,
    /// quantity?}]}`. Without an `amount` of its own, the purchase comes to the sum of its items' amounts. Other fields
    /// are the owner's.
    pub fn read(data: &Node<'_>) -> Result<Self, Refusal> {
        let number = |node: &Node<'_>, name: &str, max: f64| {
            node.field(name)?.map(|field| field.number_within(0.0, max)).transpose()
        };
        let article = |node: &Node<'_>| -> Result<Article, Refusal> {
            number(node, "quantity", QUANTITY_MAX)?;
            Ok(Article {
                category: node
                    .field("category")?
                    .map(|text| text.parse(Category::new))
                    .transpose()?,
                product: node
                    .field("product")?
                    .map(|text| text.parse(Product::new))
                    .transpose()?,
            })
        };
        let (mut articles, mut sum) = (Vec::new(), None);
        for item in data
            .field("items")?
            .map_or(Ok(Vec::new()), |items| items.items(ITEMS_MAX))?
        {
            articles.push(article(&item)?);
            sum = match (sum, number(&item, "amount", AMOUNT_MAX)?) {
                (sum, None) => sum,
                (sum, Some(amount)) => Some(sum.unwrap_or(0.0) + amount),
            };
        }
        let own = article(data)?;
        if articles.is_empty() || own.category.is_some() || own.product.is_some() {
            articles.push(own);
        }
        let currency = data
            .field("currency")?
            .map(|text| text.parse(Currency::parse))
            .transpose()?;
        let amount = number(data, "amount", AMOUNT_MAX)?.or(sum);
        let spent = match (currency, amount) {
            (None, Some(_)) => return Err(data.refuse("has an `amount`, but no `currency`, such as EUR")),
            (currency, amount) => currency.zip(amount),
        };
        Ok(Self { articles, spent })
    }

    /// The purchase of an event that was found right when it came.
    pub fn of(data: &Map<String, Value>) -> Option<Self> {
        let data = Value::Object(data.clone());
        Self::read(&Node::root(&data)).ok()
    }
}

/// What was spent in one currency, earliest first.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Amounts(Vec<(Timestamp, i64)>);

/// What was spent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spent(Vec<(Currency, Amounts)>);

impl Spent {
    pub(super) fn note(&mut self, currency: Currency, amount: f64, at: Timestamp) {
        let known = self.0.iter().position(|(known, _)| *known == currency);
        let place = known.unwrap_or_else(|| {
            self.0.push((currency, Amounts(Vec::new())));
            self.0.len() - 1
        });
        self.0[place].1.add(at, (amount * PARTS).round() as i64);
        if self.0.len() > CURRENCIES_MAX {
            let last = |(_, (_, amounts)): &(usize, &(Currency, Amounts))| amounts.0.last().map(|(at, _)| *at);
            if let Some((oldest, _)) = self.0.iter().enumerate().min_by_key(last) {
                self.0.remove(oldest);
            }
        }
    }

    /// How much in the span, in units of the currency.
    pub fn sum(&self, currency: Currency, span: Span) -> f64 {
        let of_it = self.0.iter().filter(|(known, _)| *known == currency);
        let amounts = of_it.flat_map(|(_, amounts)| &amounts.0);
        let parts = amounts
            .filter(|(at, _)| span.holds(*at))
            .fold(0_i64, |sum, (_, parts)| sum.saturating_add(*parts));
        parts as f64 / PARTS
    }

    /// In which currencies.
    pub fn currencies(&self) -> impl Iterator<Item = Currency> {
        self.0.iter().map(|(currency, _)| *currency)
    }

    pub(super) fn forget_until(&mut self, at: Timestamp) {
        for (_, amounts) in &mut self.0 {
            amounts.0.retain(|(time, _)| *time > at);
        }
        self.0.retain(|(_, amounts)| !amounts.0.is_empty());
    }
}

impl Amounts {
    fn add(&mut self, at: Timestamp, parts: i64) {
        let place = self.0.partition_point(|(time, _)| *time <= at);
        self.0.insert(place, (at, parts));
        if self.0.len() > AMOUNTS_MAX {
            let gap = |place: &usize| self.0[*place].0.since(self.0[place - 1].0);
            if let Some(place) = (1..self.0.len()).min_by_key(gap) {
                let (_, earlier) = self.0.remove(place - 1);
                let later = &mut self.0[place - 1].1;
                *later = later.saturating_add(earlier);
            }
        }
    }
}

impl Serialize for Amounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut before = 0;
        serializer.collect_seq(self.0.iter().map(|(at, parts)| {
            let step = at.0.wrapping_sub(before);
            before = at.0;
            (step, parts)
        }))
    }
}

impl<'de> Deserialize<'de> for Amounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut at = 0_i64;
        let amounts: Vec<(Timestamp, i64)> = Vec::<(i64, i64)>::deserialize(deserializer)?
            .into_iter()
            .map(|(step, parts)| {
                at = at.wrapping_add(step);
                (Timestamp(at), parts)
            })
            .collect();
        if amounts.is_sorted_by_key(|(at, _)| *at) {
            Ok(Self(amounts))
        } else {
            Err(D::Error::custom("amounts are not in order"))
        }
    }
}

/// The product of each category that was bought most often among its [`USUAL_OF_LATEST`] latest items; of equals the one
/// bought last, then the last by name.
pub(super) fn usual(bought: &Tally<Article>) -> BTreeMap<&Category, &Product> {
    let mut of_category: BTreeMap<&Category, Vec<(Timestamp, &Product)>> = BTreeMap::new();
    for (article, times) in bought.iter() {
        if let (Some(category), Some(product)) = (&article.category, &article.product) {
            let items = of_category.entry(category).or_default();
            items.extend(times.as_slice().iter().map(|at| (*at, product)));
        }
    }
    let usual = of_category.into_iter().filter_map(|(category, mut items)| {
        items.sort_unstable_by(|a, b| b.cmp(a));
        items.truncate(USUAL_OF_LATEST);
        let mut counts: BTreeMap<&Product, (usize, Timestamp)> = BTreeMap::new();
        for (at, product) in items {
            let (count, last) = counts.entry(product).or_insert((0, at));
            *count += 1;
            *last = (*last).max(at);
        }
        let (product, _) = counts.into_iter().max_by_key(|(_, rank)| *rank)?;
        Some((category, product))
    });
    usual.collect()
}
