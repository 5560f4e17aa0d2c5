//! What makes a campaign speak.

use serde_json::{Map, Value};

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
        /// Only for customers who are, or have just been, somewhere.
        present: Option<Present>,
        /// Speaks again each time that a number has grown by so much.
        ladder: Option<Ladder>,
    },
}

/// Where a customer must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// In one of these geofences.
    pub geofences: GeofenceSelector,
    /// Or has left one no longer ago than this; `None`: must be there now.
    pub within: Option<DurationMs>,
}

/// The steps of a number that grows, such as a delay: one push a step, until something ends it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ladder {
    /// The event's field with the number.
    pub field: String,
    /// A step each so much; above zero.
    pub every: f64,
    /// Types of events after which it is over, for the same topic.
    pub until: Vec<String>,
}

/// Longest time after leaving in which a customer counts as present.
pub const PRESENT_WITHIN_MAX: DurationMs = DurationMs::from_secs(24 * 3600);
/// Most types of events that end a ladder.
pub(super) const UNTIL_MAX: usize = 10;

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

impl Present {
    fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        node.only(&["tag", "externalId", "set", "brand", "within"])?;
        let within = node.field("within")?.map(|within| {
            let length = within.parse(DurationMs::parse)?;
            if length.0 == 0 || length > PRESENT_WITHIN_MAX {
                return Err(within.refuse("must be longer than nothing and at most PT24H"));
            }
            Ok(length)
        });
        Ok(Self {
            geofences: GeofenceSelector::read_fields(node)?,
            within: within.transpose()?,
        })
    }
}

impl Ladder {
    fn read(node: &Node<'_>, until: Option<&Node<'_>>) -> Result<Self, Refusal> {
        node.only(&["field", "every", "per"])?;
        if let Some(per) = node.field("per")? {
            per.one_of(&[("topic", ())])?;
        }
        let every = node.required("every")?;
        let step = every.number()?;
        if !(step > 0.0 && step.is_finite()) {
            return Err(every.refuse("must be above zero"));
        }
        let ends = until.map_or(Ok(Vec::new()), |until| {
            let ends = until.items(UNTIL_MAX)?;
            ends.iter().map(|end| Ok(end.text()?.to_owned())).collect()
        })?;
        Ok(Self {
            field: node.required("field")?.text()?.to_owned(),
            every: step,
            until: ends,
        })
    }

    /// The step that the event's fields have reached, from 1; `None`: none, or they have no such number.
    pub fn step(&self, data: &Map<String, Value>) -> Option<u32> {
        let value = data.get(&self.field)?.as_f64()?;
        let step = (value / self.every).floor();
        (step >= 1.0).then(|| step.min(f64::from(u32::MAX)) as u32)
    }
}

impl GeofenceSelector {
    fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        node.only(&["tag", "externalId", "set", "brand"])?;
        Self::read_fields(node)
    }

    fn read_fields(node: &Node<'_>) -> Result<Self, Refusal> {
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
    /// Whether it is about a customer in a geofence, or one who has just left it.
    pub fn has_geofence(&self) -> bool {
        match self {
            Self::Entered(_) | Self::Exited(_) | Self::Scanned(_) | Self::Dwelled { .. } => true,
            Self::Event { present, .. } => present.is_some(),
        }
    }

    /// Whether it counts the steps of a ladder.
    pub fn has_ladder(&self) -> bool {
        matches!(self, Self::Event { ladder: Some(_), .. })
    }

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
            node.only(&["on", "type", "topic", "present", "ladder", "until"])?;
            let until = node.field("until")?;
            let ladder = node.field("ladder")?;
            if let (Some(until), None) = (&until, &ladder) {
                return Err(until.refuse("ends a `ladder`, and there is none"));
            }
            return Ok(Self::Event {
                event_type: node.required("type")?.text()?.to_owned(),
                topic: node.field("topic")?.map(|topic| topic.parse(Topic::new)).transpose()?,
                present: node
                    .field("present")?
                    .map(|present| Present::read(&present))
                    .transpose()?,
                ladder: ladder.map(|ladder| Ladder::read(&ladder, until.as_ref())).transpose()?,
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
