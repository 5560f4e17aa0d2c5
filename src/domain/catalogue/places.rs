//! All geofences of a workspace: a large packed layer, and a small one of single edits on top.
//!
//! A new set makes a new packed layer, which costs about a microsecond a geofence. A single edit only makes the small
//! layer anew; what it replaces or removes is hidden below. When the small layer grows, both are packed into one again.
//! Places (`u32`) count through the lower layer, then the upper one, and hold for one snapshot.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{layer::Layer, vote::vote};
use crate::{
    domain::{
        beacon::BeaconPattern,
        checkin::CheckIn,
        geofence::Geofence,
        ids::{GeofenceId, SetName, Tag},
        presence::{Evidence, PlaceMatch, VISITS_MAX},
        zone::Zone,
    },
    geo::{GeofenceIndex, LonLatBox, Position},
};

/// A change of one geofence of one set.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Adds it to its set, or replaces the one with its identity there.
    Put(Arc<Geofence>),
    /// Takes it out of a set.
    Remove(SetName, GeofenceId),
}

impl Edit {
    /// Which geofence of which set.
    pub fn key(&self) -> (&SetName, &GeofenceId) {
        match self {
            Self::Put(geofence) => (&geofence.set, &geofence.id),
            Self::Remove(set, id) => (set, id),
        }
    }
}

/// All geofences of a workspace, findable by place, identity, beacon and code. Immutable.
#[derive(Default)]
pub struct Places {
    packed: Arc<Layer>,
    /// In the order they were made, each key once.
    edits: Vec<Edit>,
    /// What edits show instead of something in the packed layer, or beside it.
    edited: Layer,
    /// Visible places of the packed layer that don't count any more.
    hidden: HashSet<u32>,
}

impl Places {
    /// Builds the snapshot. Disabled geofences match nothing; of two with one identity the later one counts.
    pub fn build(geofences: impl IntoIterator<Item = Arc<Geofence>>) -> Self {
        Self {
            packed: Arc::new(Layer::build(geofences)),
            ..Self::default()
        }
    }

    /// The same with another content of one set; its edits are gone, others stay, all packed.
    #[must_use]
    pub fn with_set(&self, set: &SetName, content: Vec<Arc<Geofence>>) -> Self {
        let mut all: Vec<Arc<Geofence>> = self
            .content()
            .filter(|geofence| geofence.set != *set)
            .cloned()
            .collect();
        all.extend(content);
        // The order of the sets decides which of two with one identity counts, whichever was uploaded last.
        all.sort_by(|a, b| a.set.cmp(&b.set));
        Self::build(all)
    }

    /// The same in one layer.
    #[must_use]
    pub fn repacked(&self) -> Self {
        let mut all: Vec<Arc<Geofence>> = self.content().cloned().collect();
        all.sort_by(|a, b| a.set.cmp(&b.set));
        Self::build(all)
    }

    /// The same with one more edit. Costs about a microsecond for each edit since the last packing.
    #[must_use]
    pub fn with_edit(&self, edit: Edit) -> Self {
        let mut edits: Vec<Edit> = self
            .edits
            .iter()
            .filter(|before| before.key() != edit.key())
            .cloned()
            .collect();
        edits.push(edit);
        self.with_edits(edits)
    }

    /// For each identity that an edit touches, that one counts whose set's name sorts last.
    fn with_edits(&self, edits: Vec<Edit>) -> Self {
        let keys: HashSet<(&SetName, &GeofenceId)> = edits.iter().map(Edit::key).collect();
        let mut winners: HashMap<&GeofenceId, Option<&Arc<Geofence>>> = HashMap::new();
        let mut hidden = HashSet::new();
        for edit in &edits {
            let (_, id) = edit.key();
            let winner = winners.entry(id).or_insert_with(|| {
                hidden.extend(self.packed.find(id));
                let others = self.packed.find_all(id).map(|place| self.packed.get(place));
                let others = others.filter(|other| !keys.contains(&(&other.set, &other.id)));
                others.max_by(|a, b| a.set.cmp(&b.set))
            });
            if let Edit::Put(geofence) = edit
                && winner.is_none_or(|winner| winner.set < geofence.set)
            {
                *winner = Some(geofence);
            }
        }
        Self {
            packed: Arc::clone(&self.packed),
            edited: Layer::build(winners.into_values().flatten().cloned()),
            hidden,
            edits,
        }
    }

    /// Edits since the last packing, in the order they were made.
    pub fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// Edits that `before` didn't have, in the order they were made.
    pub fn edits_since(&self, before: &Self) -> Vec<Edit> {
        let known: HashMap<(&SetName, &GeofenceId), &Edit> =
            before.edits.iter().map(|edit| (edit.key(), edit)).collect();
        let is_new = |edit: &&Edit| match (edit, known.get(&edit.key())) {
            (Edit::Put(now), Some(Edit::Put(then))) => !Arc::ptr_eq(now, then),
            (Edit::Remove(..), Some(Edit::Remove(..))) => false,
            _ => true,
        };
        self.edits.iter().filter(is_new).cloned().collect()
    }

    /// How many geofences match.
    pub fn len(&self) -> usize {
        let hidden = self.hidden.iter().filter(|place| self.packed.is_enabled(**place));
        self.packed.enabled() - hidden.count() + self.edited.enabled()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The place of the geofence with this identity, if it matches.
    pub fn find(&self, id: &GeofenceId) -> Option<u32> {
        let place = self.find_any(id)?;
        self.get(place).enabled.then_some(place)
    }

    /// The geofence with this identity, disabled or not.
    pub fn lookup(&self, id: &GeofenceId) -> Option<&Geofence> {
        self.find_any(id).map(|place| self.get(place))
    }

    fn find_any(&self, id: &GeofenceId) -> Option<u32> {
        if let Some(place) = self.edited.find(id) {
            return Some(self.above(place));
        }
        self.packed.find(id).filter(|place| !self.hidden.contains(place))
    }

    /// The geofence at a place of this snapshot.
    pub fn get(&self, place: u32) -> &Geofence {
        match (place as usize).checked_sub(self.packed.visible()) {
            None => self.packed.get(place),
            Some(above) => self.edited.get(above as u32),
        }
    }

    /// The time zone there: the geofence's own `timeZone`, else by its middle. It is looked up once.
    pub fn zone(&self, place: u32) -> Zone {
        match (place as usize).checked_sub(self.packed.visible()) {
            None => self.packed.zone(place),
            Some(above) => self.edited.zone(above as u32),
        }
    }

    /// The place of something in the upper layer.
    fn above(&self, place: u32) -> u32 {
        self.packed.visible() as u32 + place
    }

    /// Every geofence that can be found, disabled or not.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Geofence>> {
        let packed = self.packed.all()[..self.packed.visible()].iter();
        let below = (0_u32..).zip(packed).filter(|(place, _)| !self.hidden.contains(place));
        below
            .map(|(_, geofence)| geofence)
            .chain(&self.edited.all()[..self.edited.visible()])
    }

    /// The same in the order of their identities, from the first of a tag or after an identity. The first call for a
    /// packing sorts it.
    pub fn in_order<'a>(
        &'a self,
        tag: Option<&Tag>,
        after: Option<&GeofenceId>,
    ) -> impl Iterator<Item = &'a Arc<Geofence>> + use<'a> {
        let mut below = from_in(&self.packed, tag, after)
            .filter(|place| !self.hidden.contains(place))
            .map(|place| self.packed.get(place))
            .peekable();
        let mut above = from_in(&self.edited, tag, after)
            .map(|place| self.edited.get(place))
            .peekable();
        std::iter::from_fn(move || match (below.peek(), above.peek()) {
            (Some(lower), Some(upper)) if upper.id < lower.id => above.next(),
            (Some(_), _) => below.next(),
            (None, _) => above.next(),
        })
    }

    /// Every geofence, also those that another one of the same identity hides.
    fn content(&self) -> impl Iterator<Item = &Arc<Geofence>> {
        let edited: HashSet<(&SetName, &GeofenceId)> = self.edits.iter().map(Edit::key).collect();
        let put = self.edits.iter().filter_map(|edit| match edit {
            Edit::Put(geofence) => Some(geofence),
            Edit::Remove(..) => None,
        });
        let packed = self.packed.all().iter();
        packed
            .filter(move |geofence| !edited.contains(&(&geofence.set, &geofence.id)))
            .chain(put)
    }

    /// The content of one set, also what another one of the same identity hides.
    pub fn of_set(&self, set: &SetName) -> Vec<Arc<Geofence>> {
        self.content()
            .filter(|geofence| geofence.set == *set)
            .cloned()
            .collect()
    }

    /// Puts into `found`, in place of what it held, the geofences that contain the position, in ascending order.
    pub fn containing(&self, at: Position, found: &mut Vec<u32>) {
        self.packed.index().containing(at, found);
        found.sort_unstable();
        if self.edits.is_empty() {
            return;
        }
        found.retain(|place| !self.hidden.contains(place));
        let mut above = Vec::new();
        self.edited.index().containing(at, &mut above);
        above.sort_unstable();
        found.extend(above.into_iter().map(|place| self.above(place)));
    }

    /// The `k` geofences whose enclosing circles are nearest, best first, with the metres to the circle's edge,
    /// positive inside.
    pub fn nearest(&self, at: Position, k: usize) -> Vec<(u32, f64)> {
        let mut best = self.packed.index().nearest(at, k + self.hidden.len());
        if self.edits.is_empty() {
            return best;
        }
        best.retain(|(place, _)| !self.hidden.contains(place));
        let above = self.edited.index().nearest(at, k);
        best.extend(above.into_iter().map(|(place, inside_m)| (self.above(place), inside_m)));
        best.sort_by(|(a, a_inside_m), (b, b_inside_m)| b_inside_m.total_cmp(a_inside_m).then(a.cmp(b)));
        best.truncate(k);
        best
    }

    /// Those that match and whose enclosing circles come within `radius_m` of a position, in no order.
    pub fn near(&self, at: Position, radius_m: f64) -> Vec<&Arc<Geofence>> {
        self.select(|index, found| index.near(at, radius_m, found))
    }

    /// Those that match and whose enclosing circles touch a box, in no order.
    pub fn within_box(&self, area: &LonLatBox) -> Vec<&Arc<Geofence>> {
        self.select(|index, found| index.within_box(area, found))
    }

    fn select(&self, search: impl Fn(&GeofenceIndex, &mut Vec<u32>)) -> Vec<&Arc<Geofence>> {
        let (mut below, mut above) = (Vec::new(), Vec::new());
        search(self.packed.index(), &mut below);
        search(self.edited.index(), &mut above);
        let below = below.into_iter().filter(|place| !self.hidden.contains(place));
        let below = below.map(|place| self.packed.get(place));
        below
            .chain(above.into_iter().map(|place| self.edited.get(place)))
            .collect()
    }

    /// Whether any geofence wants to know who went through it.
    pub fn have_crossings(&self) -> bool {
        self.packed.tells_crossings() || self.edited.tells_crossings()
    }

    /// Everything that a check-in is evidence for: by position, then by beacon, then by code. Of a code that stands for
    /// very many places only so many count as a device can be in; of beacons those places that win the vote.
    pub fn matching(&self, check_in: &CheckIn) -> Vec<PlaceMatch> {
        let mut matches = Vec::new();
        if let Some(fix) = &check_in.location {
            let mut found = Vec::new();
            self.containing(fix.position, &mut found);
            matches.extend(found.into_iter().map(|place| PlaceMatch {
                place,
                evidence: Evidence::Gps,
            }));
        }
        let heard = check_in.beacons.as_deref().map_or(Vec::new(), |sightings| {
            vote(self, sightings, check_in.location.map(|fix| fix.position))
        });
        let mut add = |places: &mut dyn Iterator<Item = u32>, evidence| {
            matches.extend(places.take(VISITS_MAX).map(|place| PlaceMatch { place, evidence }));
        };
        add(&mut heard.into_iter(), Evidence::Beacon);
        if let Some(code) = check_in.code.as_deref() {
            add(&mut self.select_places(|layer| layer.with_code(code)), Evidence::Code);
        }
        matches
    }

    /// Places that say that these beacons stand for them.
    pub(super) fn with_beacon(&self, pattern: BeaconPattern) -> impl Iterator<Item = u32> {
        self.select_places(move |layer| layer.with_beacon(pattern))
    }

    /// Places that both layers name and that count.
    fn select_places<'a>(&'a self, of: impl Fn(&'a Layer) -> &'a [u32]) -> impl Iterator<Item = u32> {
        let below = of(&self.packed).iter().copied();
        let below = below.filter(|place| !self.hidden.contains(place));
        below.chain(of(&self.edited).iter().map(|place| self.above(*place)))
    }
}

/// Places of a layer in the order of identities, from there on.
fn from_in<'a>(layer: &'a Layer, tag: Option<&Tag>, after: Option<&GeofenceId>) -> impl Iterator<Item = u32> + use<'a> {
    let order = layer.in_order();
    let is_before = |place: &u32| {
        let id = &layer.get(*place).id;
        after.is_some_and(|after| id <= after) || tag.is_some_and(|tag| id.tag < *tag)
    };
    order[order.partition_point(is_before)..].iter().copied()
}
