//! Which places were visited when.

use super::tally::{Bounds, Key};
use crate::domain::{
    geofence::Geofence,
    ids::{BrandId, ExternalId, SetName, Tag},
};

/// What is remembered of visits.
pub(super) const BOUNDS: Bounds = Bounds {
    keys: 200,
    times_of_key: 100,
    times: 1000,
};

/// A geofence as it was when it was visited.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Kind of place.
    pub tag: Tag,
    /// The file it came with.
    pub set: SetName,
    /// The merchant.
    pub brand: Option<BrandId>,
    /// Which one.
    pub external_id: ExternalId,
}

impl Place {
    /// What is remembered of a geofence.
    pub fn of(geofence: &Geofence) -> Self {
        Self {
            tag: geofence.id.tag.clone(),
            set: geofence.set.clone(),
            brand: geofence.brand.clone(),
            external_id: geofence.id.external_id.clone(),
        }
    }
}

impl Key for Place {
    type Packed = (Option<Tag>, Option<SetName>, Option<Option<BrandId>>, ExternalId);

    fn pack(&self, before: Option<&Self>) -> Self::Packed {
        let differs = |same: &dyn Fn(&Self) -> bool| !before.is_some_and(same);
        (
            differs(&|before| before.tag == self.tag).then(|| self.tag.clone()),
            differs(&|before| before.set == self.set).then(|| self.set.clone()),
            differs(&|before| before.brand == self.brand).then(|| self.brand.clone()),
            self.external_id.clone(),
        )
    }

    fn unpack((tag, set, brand, external_id): Self::Packed, before: Option<&Self>) -> Option<Self> {
        Some(Self {
            tag: tag.or_else(|| before.map(|before| before.tag.clone()))?,
            set: set.or_else(|| before.map(|before| before.set.clone()))?,
            brand: brand.or_else(|| before.map(|before| before.brand.clone()))?,
            external_id,
        })
    }
}
