//! What check-ins are matched against and decided by: an immutable snapshot of a workspace's geofences and campaigns.

use std::{collections::HashMap, sync::Arc};

use super::{
    campaign::{Campaign, CampaignStatus, Trigger},
    checkin::{BeaconId, CheckIn},
    delivery::TriggerKind,
    geofence::Geofence,
    ids::{CampaignId, GeofenceId},
    presence::{Evidence, PlaceMatch},
};
use crate::geo::GeofenceIndex;

/// All geofences of a workspace, findable by place, identity, beacon and code.
pub struct Places {
    geofences: Vec<Geofence>,
    index: GeofenceIndex,
    by_id: HashMap<GeofenceId, u32>,
    by_beacon: HashMap<BeaconId, Vec<u32>>,
    by_code: HashMap<String, Vec<u32>>,
}

impl Default for Places {
    fn default() -> Self {
        Self::build([])
    }
}

impl Places {
    /// Builds the snapshot. Disabled geofences are left out; of two with one identity the later one counts.
    pub fn build(geofences: impl IntoIterator<Item = Geofence>) -> Self {
        let mut by_id: HashMap<GeofenceId, u32> = HashMap::new();
        let mut kept: Vec<Geofence> = Vec::new();
        for geofence in geofences {
            if !geofence.enabled {
                continue;
            }
            if let Some(&place) = by_id.get(&geofence.id) {
                kept[place as usize] = geofence;
            } else {
                by_id.insert(geofence.id.clone(), kept.len() as u32);
                kept.push(geofence);
            }
        }
        let mut by_beacon: HashMap<BeaconId, Vec<u32>> = HashMap::new();
        let mut by_code: HashMap<String, Vec<u32>> = HashMap::new();
        for (place, geofence) in (0u32..).zip(&kept) {
            for beacon in &geofence.beacons {
                by_beacon.entry(*beacon).or_default().push(place);
            }
            for code in &geofence.codes {
                by_code.entry(code.clone()).or_default().push(place);
            }
        }
        let index = GeofenceIndex::build(kept.iter().map(|geofence| geofence.shape.clone()));
        Self {
            geofences: kept,
            index,
            by_id,
            by_beacon,
            by_code,
        }
    }

    /// How many geofences there are.
    pub fn len(&self) -> usize {
        self.geofences.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.geofences.is_empty()
    }

    /// Where in the list the geofence with this identity is.
    pub fn find(&self, id: &GeofenceId) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    /// The geofence at a position that [`Places::find`] or [`Places::matching`] gave.
    pub fn get(&self, place: u32) -> &Geofence {
        &self.geofences[place as usize]
    }

    /// The index over the shapes; its ids are the positions.
    pub fn index(&self) -> &GeofenceIndex {
        &self.index
    }

    /// Everything that a check-in is evidence for: by position, then by beacon, then by code.
    pub fn matching(&self, check_in: &CheckIn) -> Vec<PlaceMatch> {
        let mut matches = Vec::new();
        if let Some(fix) = &check_in.location {
            let mut found = Vec::new();
            self.index.containing(fix.position, &mut found);
            matches.extend(found.into_iter().map(|place| PlaceMatch {
                place,
                evidence: Evidence::Gps,
            }));
        }
        let heard = check_in
            .beacons
            .iter()
            .flatten()
            .filter_map(|sighting| self.by_beacon.get(&sighting.id))
            .flatten();
        for &place in heard {
            let seen = PlaceMatch {
                place,
                evidence: Evidence::Beacon,
            };
            if !matches.contains(&seen) {
                matches.push(seen);
            }
        }
        for &place in self.with_code(check_in.code.as_deref()) {
            matches.push(PlaceMatch {
                place,
                evidence: Evidence::Code,
            });
        }
        matches
    }

    fn with_code(&self, code: Option<&str>) -> &[u32] {
        code.and_then(|code| self.by_code.get(code)).map_or(&[], Vec::as_slice)
    }
}

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

/// Both, as one check-in sees them.
#[derive(Clone, Default)]
pub struct Catalogue {
    /// Geofences.
    pub places: Arc<Places>,
    /// Campaigns.
    pub campaigns: Arc<Campaigns>,
}
