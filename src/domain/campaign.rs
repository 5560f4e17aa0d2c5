//! When a campaign speaks, to whom, with which offer and how often.

use std::sync::Arc;

use serde_json::Value;

use super::{
    delivery::TriggerKind,
    geofence::{DWELL_THRESHOLD_MAX, Geofence},
    ids::{BrandId, CampaignId, ExternalId, SetName, Tag, Topic},
    json_reader::{Node, Refusal},
    message::Messages,
    pace::Speed,
    push_options::PushOptions,
    rule::Rule,
    time::DurationMs,
};

/// Most offers of a campaign.
const OFFERS_MAX: usize = 50;
/// Most caps of a campaign.
const CAPS_MAX: usize = 10;
/// Greatest `max` of a cap. Each campaign's latest sends are remembered up to this many, so a cap never undercounts.
pub const CAP_MAX: usize = 100;
/// Longest window of a cap or cooldown; older sends are forgotten.
pub const WINDOW_MAX: DurationMs = DurationMs::from_secs(31 * 24 * 3600);
/// Greatest budget.
const BUDGET_MAX: i64 = 1_000_000_000_000;
/// Longest name of a pool of codes, in bytes.
pub const POOL_BYTES_MAX: usize = 100;
/// How long an offer is worth something unless the campaign says otherwise.
const VALID_FOR_DEFAULT: DurationMs = DurationMs::from_secs(30 * 60);

/// A campaign, validated.
#[derive(Debug, Clone, PartialEq)]
pub struct Campaign {
    /// Its name.
    pub id: CampaignId,
    /// Counted up at each change, from 1.
    pub version: u32,
    /// Whether it speaks.
    pub status: CampaignStatus,
    /// The merchant.
    pub brand: Option<BrandId>,
    /// Advertising or service.
    pub class: Class,
    /// Of several that fit, the highest speaks.
    pub priority: i64,
    /// When.
    pub trigger: Trigger,
    /// To whom; `None`: everybody.
    pub audience: Option<Rule>,
    /// At most so often.
    pub caps: Vec<Cap>,
    /// Least time between two of its pushes to one customer.
    pub cooldown: Option<DurationMs>,
    /// At most so fast; `None`: as fast as the providers take it.
    pub speed: Option<Speed>,
    /// How long a push is worth sending after the decision.
    pub valid_for: DurationMs,
    /// Send only while the customer is still there.
    pub still_there: bool,
    /// At most so many pushes in all; `None`: any number.
    pub budget_max: Option<u64>,
    /// What, in the order of preference: the first that fits the person is made.
    pub offers: Vec<Offer>,
}

/// Whether a campaign speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CampaignStatus {
    /// Does.
    Active,
    /// Does not, for now.
    Paused,
}

/// What kind of message it is. Caps count only sends of their campaign's own class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Advertising.
    Marketing,
    /// What customers need to know, such as a delay.
    Service,
}

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

/// At most `max` in any `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    /// So many, 1 to [`CAP_MAX`].
    pub max: usize,
    /// In any window of this length, by the events' time.
    pub per: DurationMs,
    /// Counting what.
    pub scope: CapScope,
}

/// What a cap counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapScope {
    /// Pushes of this campaign.
    Campaign,
    /// Pushes of this campaign's brand, of its class.
    Brand,
    /// All pushes of the workspace, of its class.
    Workspace,
}

/// An offer, for whom, in which words.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// For whom; `None`: for everybody in the audience.
    pub when: Option<Rule>,
    /// What templates see as `offer`: `kind`, `value`, `name`, `code`.
    pub terms: Value,
    /// Where each delivery's own code comes from.
    pub codes: Codes,
    /// The words.
    pub messages: Messages,
    /// How the push looks, sounds and behaves: the offer's own wishes over the campaign's.
    pub push: Arc<PushOptions>,
}

/// Where the codes of an offer come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Codes {
    /// It has none of its own; all may share one in its terms.
    #[default]
    None,
    /// Made for each delivery.
    Generated,
    /// Taken from an uploaded pool.
    Pool(String),
}

impl Codes {
    /// Reads `"generated"` or `{"pool": "summer"}`.
    fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        if node.value().is_string() {
            return node.one_of(&[("generated", ())]).map(|()| Self::Generated);
        }
        node.only(&["pool"])?;
        let pool = node.required("pool")?;
        let name = pool.text()?;
        if name.trim().is_empty() || name.len() > POOL_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(pool.refuse(format!("must be the name of a pool, of at most {POOL_BYTES_MAX} bytes")));
        }
        Ok(Self::Pool(name.to_owned()))
    }
}

impl GeofenceSelector {
    fn read(node: &Node<'_>) -> Result<Self, Refusal> {
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
    fn read(node: &Node<'_>) -> Result<Self, Refusal> {
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

    /// Which kind it is.
    pub fn kind(&self) -> TriggerKind {
        match self {
            Self::Entered(_) => TriggerKind::Entered,
            Self::Exited(_) => TriggerKind::Exited,
            Self::Scanned(_) => TriggerKind::Scanned,
            Self::Dwelled { .. } => TriggerKind::Dwelled,
            Self::Event { .. } => TriggerKind::Event,
        }
    }
}

impl Cap {
    fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        node.only(&["max", "per", "scope"])?;
        let scopes = [
            ("campaign", CapScope::Campaign),
            ("brand", CapScope::Brand),
            ("workspace", CapScope::Workspace),
        ];
        Ok(Self {
            max: node.required("max")?.integer(1, CAP_MAX as i64)? as usize,
            per: read_window(&node.required("per")?)?,
            scope: node
                .field("scope")?
                .map_or(Ok(CapScope::Campaign), |scope| scope.one_of(&scopes))?,
        })
    }
}

/// How many pushes there may be in all.
fn read_budget(node: &Node<'_>) -> Result<u64, Refusal> {
    node.only(&["max"])?;
    Ok(node.required("max")?.integer(1, BUDGET_MAX)? as u64)
}

/// How long a stay must be.
fn read_stay(node: &Node<'_>) -> Result<DurationMs, Refusal> {
    let stay = node.parse(DurationMs::parse)?;
    if stay.0 == 0 || stay > DWELL_THRESHOLD_MAX {
        return Err(node.refuse("must be longer than nothing and at most P7D"));
    }
    Ok(stay)
}

fn read_window(node: &Node<'_>) -> Result<DurationMs, Refusal> {
    let window = node.parse(DurationMs::parse)?;
    if window.0 == 0 || window > WINDOW_MAX {
        return Err(node.refuse("must be longer than nothing and at most P31D"));
    }
    Ok(window)
}

impl Offer {
    fn read(node: &Node<'_>, push: &Arc<PushOptions>) -> Result<Self, Refusal> {
        node.only(&["when", "offer", "message", "push"])?;
        let terms = match node.field("offer")? {
            None => Value::Null,
            Some(terms) => {
                terms.only(&["kind", "value", "name", "code", "currency", "codes"])?;
                terms
                    .required("kind")?
                    .one_of(&[("percent", ()), ("amount", ()), ("voucher", ()), ("content", ())])?;
                if let Some(value) = terms.field("value")? {
                    value.number()?;
                }
                for text in ["name", "code", "currency"] {
                    if let Some(field) = terms.field(text)? {
                        field.text()?;
                    }
                }
                terms.value().clone()
            }
        };
        let codes = node.field("offer")?.map(|terms| terms.field("codes")).transpose()?.flatten();
        let codes = codes.map_or(Ok(Codes::None), |codes| Codes::read(&codes))?;
        Ok(Self {
            codes,
            when: node.field("when")?.map(|rule| Rule::read(&rule)).transpose()?,
            terms,
            messages: Messages::read(&node.required("message")?)?,
            push: node.field("push")?.map_or_else(
                || Ok(Arc::clone(push)),
                |own| PushOptions::read(&own, push).map(Arc::new),
            )?,
        })
    }
}

impl Campaign {
    /// Reads a campaign's JSON document. Unknown fields are refused: one that is ignored could send what nobody wanted.
    pub fn read(document: &Value, version: u32) -> Result<Self, Refusal> {
        let node = Node::root(document);
        node.only(&[
            "id",
            "status",
            "brand",
            "class",
            "priority",
            "trigger",
            "audience",
            "caps",
            "cooldown",
            "speed",
            "validFor",
            "stillThere",
            "push",
            "budget",
            "offers",
        ])?;
        let statuses = [("active", CampaignStatus::Active), ("paused", CampaignStatus::Paused)];
        let classes = [("marketing", Class::Marketing), ("service", Class::Service)];
        let push = node.field("push")?.map_or_else(
            || Ok(PushOptions::default()),
            |push| PushOptions::read(&push, &PushOptions::default()),
        )?;
        let push = Arc::new(push);
        let offers = node.required("offers")?;
        let offers_read = offers
            .items(OFFERS_MAX)?
            .iter()
            .map(|offer| Offer::read(offer, &push))
            .collect::<Result<Vec<Offer>, Refusal>>()?;
        if offers_read.is_empty() {
            return Err(offers.refuse("needs at least one offer"));
        }
        let trigger = node.required("trigger")?;
        let still_there = node.field("stillThere")?.map_or(Ok(false), |flag| flag.boolean())?;
        let campaign = Self {
            id: node.required("id")?.parse(CampaignId::new)?,
            version,
            status: node
                .field("status")?
                .map_or(Ok(CampaignStatus::Active), |status| status.one_of(&statuses))?,
            brand: node
                .field("brand")?
                .map(|brand| brand.parse(BrandId::new))
                .transpose()?,
            class: node
                .field("class")?
                .map_or(Ok(Class::Marketing), |class| class.one_of(&classes))?,
            priority: node
                .field("priority")?
                .map_or(Ok(0), |priority| priority.integer(-1000, 1000))?,
            trigger: Trigger::read(&trigger)?,
            audience: node.field("audience")?.map(|rule| Rule::read(&rule)).transpose()?,
            caps: node.field("caps")?.map_or(Ok(Vec::new()), |caps| {
                caps.items(CAPS_MAX)?.iter().map(Cap::read).collect()
            })?,
            cooldown: node.field("cooldown")?.map(|window| read_window(&window)).transpose()?,
            speed: node.field("speed")?.map(|speed| Speed::read(&speed)).transpose()?,
            valid_for: node
                .field("validFor")?
                .map_or(Ok(VALID_FOR_DEFAULT), |length| read_window(&length))?,
            still_there,
            budget_max: node.field("budget")?.map(|budget| read_budget(&budget)).transpose()?,
            offers: offers_read,
        };
        let can_stay = match &campaign.trigger {
            Trigger::Entered(_) | Trigger::Scanned(_) | Trigger::Dwelled { .. } => true,
            Trigger::Event { present, .. } => present.is_some(),
            Trigger::Exited(_) => false,
        };
        if still_there && !can_stay {
            return Err(trigger.refuse("`stillThere` needs a trigger that puts the customer into a geofence"));
        }
        Ok(campaign)
    }
}
