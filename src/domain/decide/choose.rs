//! The best of several campaigns that would all speak.
//!
//! In turn: the highest priority; the brand that has had the least of its share of the customer's attention; what is worth
//! most to the marketer; what the customer hasn't heard for longest; the first by name.
//!
//! Each choice between brands goes to one that is not ahead. So while the same brands compete, their pushes to a customer,
//! divided by their weights, differ by one push at most.

use std::cmp::Reverse;

use super::Context;
use crate::domain::{campaign::Campaign, record::Record, time::Timestamp};

/// A campaign that would speak.
pub(super) struct Contender<'a> {
    pub(super) campaign: &'a Campaign,
    /// Which of its offers, counted from 0.
    pub(super) offer: usize,
    /// When what it is about happened.
    pub(super) at: Timestamp,
}

impl Contender<'_> {
    fn worth(&self) -> f64 {
        let offer = self.campaign.offers.get(self.offer);
        offer.and_then(|offer| offer.worth).unwrap_or(self.campaign.worth)
    }
}

/// The position of the best one; `None` of none.
pub(super) fn best(contenders: &[Contender<'_>], record: &Record, context: Context<'_>) -> Option<usize> {
    let highest = contenders.iter().map(|contender| contender.campaign.priority).max()?;
    let is_highest = |position: &usize| contenders[*position].campaign.priority == highest;
    let mut left: Vec<usize> = (0..contenders.len()).filter(is_highest).collect();
    if left.len() > 1 {
        leave_fairest(&mut left, contenders, record, context);
    }
    let rank = |position: &usize| {
        let contender = &contenders[*position];
        let heard = record.last_send_of(&contender.campaign.id);
        // Numbers of at least zero are in the order of their bits.
        let worth = Reverse(contender.worth().to_bits());
        (worth, heard, &contender.campaign.id, *position)
    };
    left.into_iter().min_by(|a, b| rank(a).cmp(&rank(b)))
}

/// In which step of the choice the first one was better than the second, for people.
pub(super) fn why_outranked(
    better: &Contender<'_>,
    other: &Contender<'_>,
    record: &Record,
    context: Context<'_>,
) -> String {
    let name = &better.campaign.id;
    let (high, low) = (better.campaign.priority, other.campaign.priority);
    if high != low {
        return format!("{name} has priority {high}, this one {low}");
    }
    let fairness = &context.catalogue.settings.campaigns.fairness;
    let attention = |one: &Contender<'_>| {
        let campaign = one.campaign;
        record.attention(campaign.brand.as_ref(), campaign.class, fairness, one.at)
    };
    let (least, most) = (attention(better), attention(other));
    if better.campaign.brand != other.campaign.brand && least < most {
        return format!("{name}'s brand has had {least} of its share of attention, this one's {most}");
    }
    let (high, low) = (better.worth(), other.worth());
    if high > low {
        return format!("{name} is worth {high}, this one {low}");
    }
    let heard = |one: &Contender<'_>| record.last_send_of(&one.campaign.id);
    if heard(better) < heard(other) {
        return format!("{name} was not heard for longer");
    }
    format!("{name} is as good, and before it by name or in time")
}

/// Leaves those of the brands that are least ahead.
fn leave_fairest(left: &mut Vec<usize>, contenders: &[Contender<'_>], record: &Record, context: Context<'_>) {
    let first = contenders[left[0]].campaign.brand.as_ref();
    if left
        .iter()
        .all(|position| contenders[*position].campaign.brand.as_ref() == first)
    {
        return;
    }
    let fairness = &context.catalogue.settings.campaigns.fairness;
    let attention: Vec<f64> = left
        .iter()
        .map(|position| {
            let contender = &contenders[*position];
            let campaign = contender.campaign;
            record.attention(campaign.brand.as_ref(), campaign.class, fairness, contender.at)
        })
        .collect();
    let least = attention.iter().copied().fold(f64::INFINITY, f64::min);
    let mut had = attention.into_iter();
    left.retain(|_| had.next().is_some_and(|had| had <= least));
}
