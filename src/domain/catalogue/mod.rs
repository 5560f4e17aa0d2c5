//! What check-ins are matched against and decided by: an immutable snapshot of a workspace's geofences, campaigns
//! and settings.

use std::sync::Arc;

use super::{geofence::Geofence, settings::Settings, time::DurationMs};

#[cfg(test)]
mod campaign_tests;
mod campaigns;
mod layer;
mod places;
mod vote;

#[cfg(test)]
mod tests;

pub use campaigns::Campaigns;
pub use places::{Edit, Places};

impl Catalogue {
    /// How long stays in this geofence must last to be told: its own threshold, and what campaigns wait for.
    pub fn dwell_lengths(&self, geofence: &Geofence) -> Vec<DurationMs> {
        geofence
            .dwell_threshold
            .into_iter()
            .chain(self.campaigns.waited_for(geofence))
            .collect()
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
