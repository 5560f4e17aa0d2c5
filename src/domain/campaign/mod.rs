//! When a campaign speaks, to whom, with which offer and how often.

use std::sync::Arc;

use serde_json::Value;

use super::{
    audience::Rule,
    ids::{BrandId, CampaignId},
    json_reader::{Node, Refusal},
    pace::Speed,
    push_options::PushOptions,
    time::DurationMs,
};

mod caps;
mod offer;
mod trigger;

pub use caps::{CAP_MAX, Cap, CapScope, WINDOW_MAX};
pub use offer::Offer;
pub use trigger::{GeofenceSelector, Trigger};

use caps::read_window;

/// Most offers of a campaign.
const OFFERS_MAX: usize = 50;
/// Most caps of a campaign.
const CAPS_MAX: usize = 10;
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
    /// What, in the order of preference: the first that fits the person is made.
    pub offers: Vec<Offer>,
}

/// Whether a campaign speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CampaignStatus {
    /// Not yet: it is being written.
    Draft,
    /// Does.
    Active,
    /// Does not, for now.
    Paused,
    /// Does not any more.
    Ended,
}

impl CampaignStatus {
    /// Every status, by its name in JSON.
    pub const NAMES: [(&str, Self); 4] = [
        ("draft", Self::Draft),
        ("active", Self::Active),
        ("paused", Self::Paused),
        ("ended", Self::Ended),
    ];

    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
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
            "offers",
        ])?;
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
            status: node.field("status")?.map_or(Ok(CampaignStatus::Active), |status| {
                status.one_of(&CampaignStatus::NAMES)
            })?,
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
