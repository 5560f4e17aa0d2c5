//! The campaigns of a workspace, found by what triggers them.
//!
//! A lookup costs a few hashes and what it finds, however many campaigns there are: each campaign lies under the
//! narrowest thing that its trigger names (one geofence, then a tag, a set, a brand; an event's type and topic).

use std::{borrow::Borrow, collections::HashMap, hash::Hash, sync::Arc};

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
    /// Those whose ladders events of a type end.
    ends_ladder: HashMap<String, Ranks>,
    /// Where somebody may have been to be asked.
    asks_for_past: Vec<GeofenceSelector>,
}

/// Campaigns that geofences trigger.
#[derive(Default)]
struct ByPlace {
    ids: HashMap<GeofenceId, Ranks>,
    external_ids: HashMap<ExternalId, Ranks>,
    tags: HashMap<Tag, Ranks>,
    sets: HashMap<SetName, Ranks>,
    brands: HashMap<BrandId, Ranks>,
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
            Trigger::Event {
                event_type,
                topic,
                present,
                ladder,
            } => {
                for end in ladder.iter().flat_map(|ladder| &ladder.until) {
                    push(&mut self.ends_ladder, end, rank);
                }
                if let Some(present) = present.as_ref().filter(|present| present.within.is_some()) {
                    self.asks_for_past.push(present.geofences.clone());
                }
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

    /// Active campaigns whose ladder of a topic such an event ends.
    pub fn with_ladder_until(&self, event_type: &str, topic: Option<&Topic>) -> impl Iterator<Item = &Campaign> {
        let ranks = get(&self.ends_ladder, event_type).into_iter().flatten();
        let campaigns = ranks.map(|rank| &*self.active[*rank as usize]);
        campaigns.filter(move |campaign| match &campaign.trigger {
            Trigger::Event { topic: Some(only), .. } => topic == Some(only),
            _ => true,
        })
    }

    /// Whether a campaign may ask for those who have been there.
    pub fn ask_for_past(&self, geofence: &Geofence) -> bool {
        self.asks_for_past.iter().any(|selector| selector.selects(geofence))
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
                push(&mut self.ids, &id, rank);
            }
            GeofenceSelector {
                external_id: Some(id), ..
            } => push(&mut self.external_ids, id, rank),
            GeofenceSelector { tag: Some(tag), .. } => push(&mut self.tags, tag, rank),
            GeofenceSelector { set: Some(set), .. } => push(&mut self.sets, set, rank),
            GeofenceSelector { brand: Some(brand), .. } => push(&mut self.brands, brand, rank),
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
            get(&self.ids, &geofence.id),
            get(&self.external_ids, &geofence.id.external_id),
            get(&self.tags, &geofence.id.tag),
            get(&self.sets, &geofence.set),
            brand.and_then(|brand| get(&self.brands, brand)),
        ];
        found.into_iter().flatten().flatten().copied().collect()
    }
}

fn push<K: Clone + Eq + Hash>(map: &mut HashMap<K, Ranks>, key: &K, rank: u32) {
    map.entry(key.clone()).or_default().push(rank);
}

fn get<'a, K, Q>(map: &'a HashMap<K, Ranks>, key: &Q) -> Option<&'a Ranks>
where
    K: Eq + Hash + Borrow<Q>,
    Q: Eq + Hash + ?Sized,
{
    if map.is_empty() { None } else { map.get(key) }
}
