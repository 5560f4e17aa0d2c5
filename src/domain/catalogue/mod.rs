//! What check-ins are matched against and decided by: an immutable snapshot of a workspace's geofences, campaigns
//! and settings.

use std::{collections::HashMap, sync::Arc};

use super::{
    campaign::{Campaign, CampaignStatus, Trigger},
    delivery::TriggerKind,
    geofence::Geofence,
    ids::CampaignId,
    settings::Settings,
    time::DurationMs,
};

mod layer;
mod places;
mod vote;

#[cfg(test)]
mod tests;

pub use places::{Edit, Places};

/// The active campaigns of a workspace, findable by what triggers them, best first.
#[derive(Default)]
pub struct Campaigns {
    all: HashMap<CampaignId, Arc<Campaign>>,
    by_trigger: HashMap<TriggerKind, Vec<Arc<Campaign>>>,
}

impl Campaigns {
    /// Builds the snapshot.
    pub fn build(campaigns: impl IntoIterator<Item = Arc<Campaign>>) -> Self {
        let all: HashMap<CampaignId, Arc<Campaign>> = campaigns
            .into_iter()
            .map(|campaign| (campaign.id.clone(), campaign))
            .collect();
        let mut by_trigger: HashMap<TriggerKind, Vec<Arc<Campaign>>> = HashMap::new();
        for campaign in all
            .values()
            .filter(|campaign| campaign.status == CampaignStatus::Active)
        {
            by_trigger
                .entry(campaign.trigger.kind())
                .or_default()
                .push(Arc::clone(campaign));
        }
        for campaigns in by_trigger.values_mut() {
            campaigns.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.id.cmp(&b.id)));
        }
        Self { all, by_trigger }
    }

    /// Every campaign, whatever its status.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Campaign>> {
        self.all.values()
    }

    /// The campaign of that name, whatever its status.
    pub fn get(&self, id: &CampaignId) -> Option<&Arc<Campaign>> {
        self.all.get(id)
    }

    /// Active campaigns whose trigger fits, by falling priority.
    pub fn triggered<'a>(
        &'a self,
        kind: TriggerKind,
        fits: impl Fn(&Trigger) -> bool + 'a,
    ) -> impl Iterator<Item = &'a Arc<Campaign>> {
        self.by_trigger
            .get(&kind)
            .into_iter()
            .flatten()
            .filter(move |campaign| fits(&campaign.trigger))
    }
}

impl Catalogue {
    /// How long stays in this geofence must last to be told: its own threshold, and what campaigns wait for.
    pub fn dwell_lengths(&self, geofence: &Geofence) -> Vec<DurationMs> {
        let waiting = self.campaigns.by_trigger.get(&TriggerKind::Dwelled);
        let waited_for = waiting
            .into_iter()
            .flatten()
            .filter_map(|campaign| match &campaign.trigger {
                Trigger::Dwelled { geofences, after } if geofences.selects(geofence) => *after,
                _ => None,
            });
        geofence.dwell_threshold.into_iter().chain(waited_for).collect()
    }
}

/// All of it, as one check-in sees it.
#[derive(Clone, Default)]
pub struct Catalogue {
    /// Geofences.
    pub places: Arc<Places>,
    /// Campaigns.
    pub campaigns: Arc<Campaigns>,
    /// What the workspace decides for itself.
    pub settings: Arc<Settings>,
}
