//! The campaigns of a workspace, found by what triggers them.
//!
//! A lookup costs a few hashes and what it finds, however many campaigns there are: each campaign lies under the
//! narrowest thing that its trigger names (one geofence, then a tag, a set, a brand; an event's type and topic).

use std::{collections::HashMap, hash::Hash, sync::Arc};

use crate::domain::{
    campaign::{Campaign, CampaignStatus, GeofenceSelector, Trigger},
    delivery::TriggerKind,
    geofence::Geofence,
    ids::{BrandId, CampaignId, ExternalId, GeofenceId, SetName, Tag, Topic},
    time::DurationMs,
};

/// Positions among the active campaigns, best first.
type Ranks = Vec<u32>;

/// Every campaign of a workspace; the active ones are findable by what triggers them, best first.
#[derive(Default)]
pub struct Campaigns {
    all: HashMap<CampaignId, Arc<Campaign>>,
    /// By falling priority, then by id.
    active: Vec<Arc<Campaign>>,
    entered: ByPlace,
    exited: ByPlace,
    scanned: ByPlace,
    dwelled: ByPlace,
    by_event: HashMap<String, ByTopic>,
}

/// Campaigns that geofences trigger.
#[derive(Default)]
struct ByPlace {
    by_id: HashMap<GeofenceId, Ranks>,
    by_external_id: HashMap<ExternalId, Ranks>,
    by_tag: HashMap<Tag, Ranks>,
    by_set: HashMap<SetName, Ranks>,
    by_brand: HashMap<BrandId, Ranks>,
}

/// Campaigns that one type of event triggers.
#[derive(Default)]
struct ByTopic {
    any: Ranks,
    by_topic: HashMap<Topic, Ranks>,
}

impl Campaigns {
    /// Builds the snapshot.
    pub fn build(campaigns: impl IntoIterator<Item = Arc<Campaign>>) -> Self {
        let all: HashMap<CampaignId, Arc<Campaign>> = campaigns
            .into_iter()
            .map(|campaign| (campaign.id.clone(), campaign))
            .collect();
        let is_active = |campaign: &&Arc<Campaign>| campaign.status == CampaignStatus::Active;
        let mut active: Vec<Arc<Campaign>> = all.values().filter(is_active).cloned().collect();
        active.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.id.cmp(&b.id)));
        let mut campaigns = Self { all, ..Self::default() };
        for (rank, campaign) in (0_u32..).zip(&active) {
            campaigns.add(rank, &campaign.trigger);
        }
        campaigns.active = active;
        campaigns
    }

    fn add(&mut self, rank: u32, trigger: &Trigger) {
        match trigger {
            Trigger::Entered(geofences) => self.entered.add(rank, geofences),
            Trigger::Exited(geofences) => self.exited.add(rank, geofences),
            Trigger::Scanned(geofences) => self.scanned.add(rank, geofences),
            Trigger::Dwelled { geofences, .. } => self.dwelled.add(rank, geofences),
            Trigger::Event { event_type, topic, .. } => {
                let of_type = self.by_event.entry(event_type.clone()).or_default();
                match topic {
                    None => of_type.any.push(rank),
                    Some(topic) => push(&mut of_type.by_topic, topic, rank),
                }
            }
        }
    }

    /// Every campaign, whatever its status.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Campaign>> {
        self.all.values()
    }

    /// The campaign of that name, whatever its status.
    pub fn get(&self, id: &CampaignId) -> Option<&Arc<Campaign>> {
        self.all.get(id)
    }

    /// Active campaigns that something at a geofence may trigger, best first. None at all for outside events.
    pub fn at_geofence(&self, kind: TriggerKind, geofence: &Geofence) -> Vec<&Campaign> {
        let by_place = match kind {
            TriggerKind::Entered => &self.entered,
            TriggerKind::Exited => &self.exited,
            TriggerKind::Scanned => &self.scanned,
            TriggerKind::Dwelled => &self.dwelled,
            TriggerKind::Event => return Vec::new(),
        };
        let mut ranks = by_place.of(geofence);
        ranks.sort_unstable();
        let ranked = ranks.into_iter().map(|rank| &*self.active[rank as usize]);
        ranked
            .filter(|campaign| campaign.trigger.geofences().is_some_and(|all| all.selects(geofence)))
            .collect()
    }

    /// Active campaigns that an outside event of the type triggers, told to all who follow the topic, if to any; best
    /// first.
    pub fn at_event(&self, event_type: &str, topic: Option<&Topic>) -> Vec<&Campaign> {
        let Some(of_type) = self.by_event.get(event_type) else {
            return Vec::new();
        };
        let of_topic = topic.and_then(|topic| of_type.by_topic.get(topic));
        let mut ranks: Ranks = of_type
            .any
            .iter()
            .chain(of_topic.into_iter().flatten())
            .copied()
            .collect();
        ranks.sort_unstable();
        ranks.into_iter().map(|rank| &*self.active[rank as usize]).collect()
    }

    /// The stays in this geofence that campaigns wait for.
    pub(super) fn waited_for(&self, geofence: &Geofence) -> impl Iterator<Item = DurationMs> {
        let waiting = self.at_geofence(TriggerKind::Dwelled, geofence).into_iter();
        waiting.filter_map(|campaign| match &campaign.trigger {
            Trigger::Dwelled { after, .. } => *after,
            _ => None,
        })
    }
}

impl ByPlace {
    /// Under the narrowest thing that the selector names.
    fn add(&mut self, rank: u32, selector: &GeofenceSelector) {
        match selector {
            GeofenceSelector {
                tag: Some(tag),
                external_id: Some(external_id),
                ..
            } => {
                let id = GeofenceId {
                    tag: tag.clone(),
                    external_id: external_id.clone(),
                };
                push(&mut self.by_id, &id, rank);
            }
            GeofenceSelector {
                external_id: Some(id), ..
            } => push(&mut self.by_external_id, id, rank),
            GeofenceSelector { tag: Some(tag), .. } => push(&mut self.by_tag, tag, rank),
            GeofenceSelector { set: Some(set), .. } => push(&mut self.by_set, set, rank),
            GeofenceSelector { brand: Some(brand), .. } => push(&mut self.by_brand, brand, rank),
            // Can't be read, and selects nothing here.
            GeofenceSelector {
                tag: None,
                external_id: None,
                set: None,
                brand: None,
            } => {}
        }
    }

    /// What may fit the geofence, in no order. Empty maps are not even hashed for: a check-in asks at each visit.
    fn of(&self, geofence: &Geofence) -> Ranks {
        let brand = geofence.brand.as_ref();
        let found = [
            get(&self.by_id, &geofence.id),
            get(&self.by_external_id, &geofence.id.external_id),
            get(&self.by_tag, &geofence.id.tag),
            get(&self.by_set, &geofence.set),
            brand.and_then(|brand| get(&self.by_brand, brand)),
        ];
        found.into_iter().flatten().flatten().copied().collect()
    }
}

fn push<K: Clone + Eq + Hash>(map: &mut HashMap<K, Ranks>, key: &K, rank: u32) {
    map.entry(key.clone()).or_default().push(rank);
}

fn get<'a, K: Eq + Hash>(map: &'a HashMap<K, Ranks>, key: &K) -> Option<&'a Ranks> {
    if map.is_empty() { None } else { map.get(key) }
}
