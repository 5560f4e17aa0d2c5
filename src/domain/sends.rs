//! What a customer was sent, and what follows from it for the next push: caps, cooldowns, gaps, whose turn it is.

use serde::{Deserialize, Serialize};

use super::{
    campaign::{CAP_MAX, Campaign, Cap, CapScope, Class, Fairness, KEPT_MAX},
    ids::{BrandId, CampaignId},
    record::Record,
    time::{DurationMs, Timestamp},
    zone::Zone,
};

/// When one campaign was decided for this customer. Held-out customers have the same, as if they had been sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignSends {
    /// Which campaign.
    pub campaign: CampaignId,
    /// Its merchant.
    pub brand: Option<BrandId>,
    /// Its class.
    pub class: Class,
    /// The latest times, oldest first, at most [`CAP_MAX`].
    pub at: Vec<Timestamp>,
}

impl CampaignSends {
    /// How many there were from then on. Later ones than the present count, too, so that devices that report out of step
    /// can't get round a cap.
    fn since(&self, opens: Timestamp) -> usize {
        self.at.len() - self.at.partition_point(|sent| *sent < opens)
    }
}

impl Record {
    /// Whether the cap leaves no room for one more push of this campaign at `at`. `zone`: by whose clock days begin.
    pub fn cap_reached(&self, cap: &Cap, campaign: &Campaign, at: Timestamp, zone: Zone) -> bool {
        self.count_for_cap(cap, campaign, at, zone) >= cap.max
    }

    /// How many pushes the cap counts at `at`.
    pub fn count_for_cap(&self, cap: &Cap, campaign: &Campaign, at: Timestamp, zone: Zone) -> usize {
        let counted = self.sends.iter().filter(|sends| match cap.scope {
            CapScope::Campaign => sends.campaign == campaign.id,
            CapScope::Brand => sends.brand == campaign.brand && sends.class == campaign.class,
            CapScope::Class => sends.class == campaign.class,
            CapScope::Workspace => true,
        });
        let opens = cap.per.opens(at, zone);
        counted.map(|sends| sends.since(opens)).sum()
    }

    /// Whether the campaign's cooldown still runs at `at`.
    pub fn cooling_down(&self, campaign: &Campaign, at: Timestamp) -> bool {
        let last = self.last_send_of(&campaign.id);
        let runs = |cooldown: DurationMs| last.is_some_and(|last| last > at.minus(cooldown));
        campaign.cooldown.is_some_and(runs)
    }

    /// Whether any push was less than `gap` before `at`.
    pub fn within_gap(&self, gap: DurationMs, at: Timestamp) -> bool {
        let opens = at.minus(gap);
        let mut last = self.sends.iter().filter_map(|sends| sends.at.last());
        last.any(|last| *last > opens)
    }

    /// When the campaign was decided last; `None`: not that anybody remembers.
    pub fn last_send_of(&self, campaign: &CampaignId) -> Option<Timestamp> {
        let sends = self.sends.iter().find(|sends| sends.campaign == *campaign)?;
        sends.at.last().copied()
    }

    /// How much of its share of the customer's attention a brand has had before `at`: its pushes of the class, divided by
    /// its weight.
    pub fn attention(&self, brand: Option<&BrandId>, class: Class, fairness: &Fairness, at: Timestamp) -> f64 {
        let opens = at.minus(fairness.within);
        let of_brand = |sends: &&CampaignSends| sends.brand.as_ref() == brand && sends.class == class;
        let pushes: usize = self.sends.iter().filter(of_brand).map(|sends| sends.since(opens)).sum();
        pushes as f64 / fairness.weight(brand)
    }

    /// Notes that the campaign was decided at `at` and forgets what no window can reach any more, neither at `at` nor at
    /// the server's `now`.
    pub fn note_send(&mut self, campaign: &Campaign, at: Timestamp, now: Timestamp) {
        let forgotten = at.min(now).minus(KEPT_MAX);
        for sends in &mut self.sends {
            sends.at.retain(|sent| *sent > forgotten);
        }
        self.sends.retain(|sends| !sends.at.is_empty());
        if let Some(sends) = self.sends.iter_mut().find(|sends| sends.campaign == campaign.id) {
            sends.brand.clone_from(&campaign.brand);
            sends.class = campaign.class;
            if sends.at.len() >= CAP_MAX {
                sends.at.remove(0);
            }
            let place = sends.at.partition_point(|sent| *sent <= at);
            sends.at.insert(place, at);
        } else {
            self.sends.push(CampaignSends {
                campaign: campaign.id.clone(),
                brand: campaign.brand.clone(),
                class: campaign.class,
                at: vec![at],
            });
        }
    }

    /// Takes over what an anonymous customer was sent, when its device turns out to be this customer's. What has been
    /// taken over already is not counted again.
    pub(super) fn adopt_sends(&mut self, sends: &[CampaignSends]) {
        for other in sends {
            match self.sends.iter_mut().find(|mine| mine.campaign == other.campaign) {
                None => self.sends.push(other.clone()),
                Some(mine) => {
                    for (index, at) in other.at.iter().enumerate() {
                        let so_often = |times: &[Timestamp]| times.iter().filter(|time| *time == at).count();
                        if so_often(&mine.at) < so_often(&other.at[..=index]) {
                            mine.at.push(*at);
                        }
                    }
                    mine.at.sort_unstable();
                    let surplus = mine.at.len().saturating_sub(CAP_MAX);
                    mine.at.drain(..surplus);
                }
            }
        }
    }
}
