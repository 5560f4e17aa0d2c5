//! All geofences of a workspace: a large packed layer, and a small one of single edits on top.
//!
//! A new set makes a new packed layer, which costs about a microsecond a geofence. A single edit only makes the small
//! layer anew; what it replaces or removes is hidden below. When the small layer grows, both are packed into one again.
//! Places (`u32`) count through the lower layer, then the upper one, and hold for one snapshot.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::layer::Layer;
use crate::{
    domain::{
        checkin::CheckIn,
        geofence::Geofence,
        ids::{GeofenceId, SetName},
        presence::{Evidence, PlaceMatch},
    },
    geo::{GeofenceIndex, LonLatBox, Position},
};

/// A change of one geofence.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Adds it, or replaces the one with its identity.
    Put(Arc<Geofence>),
    /// Removes it.
    Remove(GeofenceId),
}

impl Edit {
    /// Which geofence.
    pub fn id(&self) -> &GeofenceId {
        match self {
            Self::Put(geofence) => &geofence.id,
            Self::Remove(id) => id,
        }
    }
}

/// All geofences of a workspace, findable by place, identity, beacon and code. Immutable.
#[derive(Default)]
pub struct Places {
    packed: Arc<Layer>,
    /// In the order they were made, each identity once.
    edits: Vec<Edit>,
    edited: Layer,
    /// Places of the packed layer that an edit replaces or removes.
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
            .filter(|before| before.id() != edit.id())
            .cloned()
            .collect();
        edits.push(edit);
        self.with_edits(edits)
    }

    fn with_edits(&self, edits: Vec<Edit>) -> Self {
        let hidden = edits.iter().filter_map(|edit| self.packed.find(edit.id())).collect();
        let put = edits.iter().filter_map(|edit| match edit {
            Edit::Put(geofence) => Some(Arc::clone(geofence)),
            Edit::Remove(_) => None,
        });
        Self {
            packed: Arc::clone(&self.packed),
            edited: Layer::build(put),
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
        let known: HashMap<&GeofenceId, &Edit> = before.edits.iter().map(|edit| (edit.id(), edit)).collect();
        let is_new = |edit: &&Edit| match (edit, known.get(edit.id())) {
            (Edit::Put(now), Some(Edit::Put(then))) => !Arc::ptr_eq(now, then),
            (Edit::Remove(_), Some(Edit::Remove(_))) => false,
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

    /// Every geofence, also those that another one of the same identity hides.
    fn content(&self) -> impl Iterator<Item = &Arc<Geofence>> {
        let hidden = &self.packed.all()[self.packed.visible()..];
        hidden.iter().chain(self.iter())
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

    /// Everything that a check-in is evidence for: by position, then by beacon, then by code.
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
        for sighting in check_in.beacons.iter().flatten() {
            self.add_matches(&mut matches, Evidence::Beacon, |layer| layer.with_beacon(sighting.id));
        }
        if let Some(code) = check_in.code.as_deref() {
            self.add_matches(&mut matches, Evidence::Code, |layer| layer.with_code(code));
        }
        matches
    }

    fn add_matches(&self, matches: &mut Vec<PlaceMatch>, evidence: Evidence, of: impl Fn(&Layer) -> &[u32]) {
        let below = of(&self.packed)
            .iter()
            .copied()
            .filter(|place| !self.hidden.contains(place));
        let above = of(&self.edited).iter().map(|place| self.above(*place));
        for place in below.chain(above) {
            let seen = PlaceMatch { place, evidence };
            if !matches.contains(&seen) {
                matches.push(seen);
            }
        }
    }
}
