//! What makes a campaign speak.

use crate::domain::{
    delivery::TriggerKind,
    geofence::{DWELL_THRESHOLD_MAX, Geofence},
    ids::{BrandId, ExternalId, SetName, Tag, Topic},
    json_reader::{Node, Refusal},
    time::DurationMs,
};

/// What makes a campaign speak.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// A customer came into one of these geofences.
    Entered(GeofenceSelector),
    /// Left one.
    Exited(GeofenceSelector),
    /// Scanned a code of one.
    Scanned(GeofenceSelector),
    /// Stayed in one.
    Dwelled {
        /// Which ones.
        geofences: GeofenceSelector,
        /// For so long; `None`: for the geofence's own `dwellThreshold`.
        after: Option<DurationMs>,
    },
    /// An outside event.
    Event {
        /// Its type, such as `flight.delayed`.
        event_type: String,
        /// Only for this topic.
        topic: Option<Topic>,
        /// Only for customers who are in one of these geofences.
        present: Option<GeofenceSelector>,
    },
}

/// Which geofences. Every field that is given must fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GeofenceSelector {
    /// Kind of place.
    pub tag: Option<Tag>,
    /// Which one.
    pub external_id: Option<ExternalId>,
    /// The file it came with.
    pub set: Option<SetName>,
    /// The merchant.
    pub brand: Option<BrandId>,
}

impl GeofenceSelector {
    pub(super) fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        node.only(&["tag", "externalId", "set", "brand"])?;
        let selector = Self {
            tag: node.field("tag")?.map(|tag| tag.parse(Tag::new)).transpose()?,
            external_id: node
                .field("externalId")?
                .map(|id| id.parse(ExternalId::new))
                .transpose()?,
            set: node.field("set")?.map(|set| set.parse(SetName::new)).transpose()?,
            brand: node
                .field("brand")?
                .map(|brand| brand.parse(BrandId::new))
                .transpose()?,
        };
        if selector == Self::default() {
            return Err(node.refuse("needs at least one of tag, externalId, set, brand"));
        }
        Ok(selector)
    }

    /// Whether the geofence is one of these.
    pub fn selects(&self, geofence: &Geofence) -> bool {
        self.tag.as_ref().is_none_or(|tag| *tag == geofence.id.tag)
            && self
                .external_id
                .as_ref()
                .is_none_or(|id| *id == geofence.id.external_id)
            && self.set.as_ref().is_none_or(|set| *set == geofence.set)
            && self
                .brand
                .as_ref()
                .is_none_or(|brand| Some(brand) == geofence.brand.as_ref())
    }
}

impl Trigger {
    pub(super) fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        let kind = node.required("on")?.one_of(&[
            ("entered", TriggerKind::Entered),
            ("exited", TriggerKind::Exited),
            ("scanned", TriggerKind::Scanned),
            ("dwelled", TriggerKind::Dwelled),
            ("event", TriggerKind::Event),
        ])?;
        if kind == TriggerKind::Dwelled {
            node.only(&["on", "geofences", "after"])?;
            return Ok(Self::Dwelled {
                geofences: GeofenceSelector::read(&node.required("geofences")?)?,
                after: node.field("after")?.map(|after| read_stay(&after)).transpose()?,
            });
        }
        if kind == TriggerKind::Event {
            node.only(&["on", "type", "topic", "present"])?;
            return Ok(Self::Event {
                event_type: node.required("type")?.text()?.to_owned(),
                topic: node.field("topic")?.map(|topic| topic.parse(Topic::new)).transpose()?,
                present: node
                    .field("present")?
                    .map(|present| GeofenceSelector::read(&present))
                    .transpose()?,
            });
        }
        node.only(&["on", "geofences"])?;
        let geofences = GeofenceSelector::read(&node.required("geofences")?)?;
        Ok(match kind {
            TriggerKind::Exited => Self::Exited(geofences),
            TriggerKind::Scanned => Self::Scanned(geofences),
            TriggerKind::Entered | TriggerKind::Dwelled | TriggerKind::Event => Self::Entered(geofences),
        })
    }

    /// Which geofences trigger it; `None` for outside events.
    pub fn geofences(&self) -> Option<&GeofenceSelector> {
        match self {
            Self::Entered(geofences)
            | Self::Exited(geofences)
            | Self::Scanned(geofences)
            | Self::Dwelled { geofences, .. } => Some(geofences),
            Self::Event { .. } => None,
        }
    }
}

/// How long a stay must be.
fn read_stay(node: &Node<'_>) -> Result<DurationMs, Refusal> {
    let stay = node.parse(DurationMs::parse)?;
    if stay.0 == 0 || stay > DWELL_THRESHOLD_MAX {
        return Err(node.refuse("must be longer than nothing and at most P7D"));
    }
    Ok(stay)
}
