//! When a campaign speaks, to whom, with which offer and how often.

use std::sync::Arc;

use serde_json::Value;

use super::{
    ids::{BrandId, CampaignId},
    json_reader::{Node, Refusal},
    message::{Sample, Words},
    pace::Speed,
    push_options::PushOptions,
    rule::Rule,
    time::{DurationMs, Timestamp},
    zone::Zone,
};

mod caps;
mod codes;
mod daily;
mod holdout;
mod offer;
mod quiet;
mod rules;
mod schedule;
mod schema;
mod trigger;

#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;

pub use caps::{CAP_MAX, CAPS_MAX, Cap, CapScope, ClassCap, KEPT_MAX, Per, WINDOW_MAX};
pub use codes::{Codes, POOL_BYTES_MAX};
pub use daily::{DailySpan, ZoneChoice, Zones};
pub use holdout::{HoldoutScope, Share};
pub use offer::{CONTENT_BYTES_MAX, Offer};
pub use quiet::{QuietHours, Then};
pub use rules::{CampaignRules, Fairness, TraceRules};
pub use schedule::Schedule;
pub use trigger::{GeofenceSelector, Ladder, PRESENT_WITHIN_MAX, Present, Trigger};

use caps::read_window;
use codes::read_budget;
use offer::read_worth;

/// Most offers of a campaign.
const OFFERS_MAX: usize = 50;
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
    /// In which time; `None`: always.
    pub schedule: Option<Schedule>,
    /// Only while the geofence is open, by its own hours.
    pub during_opening_hours: bool,
    /// When customers are left alone; `None`: as the workspace has it for marketing.
    pub quiet_hours: Option<QuietHours>,
    /// At most so often.
    pub caps: Vec<Cap>,
    /// Least time between two of its pushes to one customer.
    pub cooldown: Option<DurationMs>,
    /// Least time after any push to the customer; `None`: as the workspace has it for marketing.
    pub minimum_gap: Option<DurationMs>,
    /// What a push of it is worth to the marketer, for the choice among campaigns.
    pub worth: f64,
    /// Who gets nothing, to compare others with.
    pub holdout: Share,
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

/// What kind of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Advertising.
    Marketing,
    /// What customers need to know, such as a delay.
    Service,
}

impl Class {
    /// Every class, by its name in JSON.
    pub const NAMES: [(&str, Self); 2] = [("marketing", Self::Marketing), ("service", Self::Service)];

    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Marketing => "marketing",
            Self::Service => "service",
        }
    }
}

impl Campaign {
    /// Whether it may still speak, in some zone: active, and not past its schedule.
    pub fn is_live(&self, now: Timestamp, workspace: Zone) -> bool {
        let is_over = |schedule: &Schedule| schedule.is_over_everywhere(now, workspace);
        self.status == CampaignStatus::Active && !self.schedule.as_ref().is_some_and(is_over)
    }

    /// Whether its schedule is over, by the clock that counts.
    pub fn is_over(&self, now: Timestamp, zones: &Zones) -> bool {
        let is_over = |schedule: &Schedule| schedule.is_over(now, zones.choose(schedule.zone));
        self.schedule.as_ref().is_some_and(is_over)
    }

    /// When the quiet hours that count for it end, if they hold the instant, and what becomes of its pushes. The
    /// workspace's are for marketing: what customers need to know goes on.
    pub fn quiet(&self, rules: &CampaignRules, now: Timestamp, zones: &Zones) -> Option<(Then, Timestamp)> {
        let of_all = rules.quiet_hours.filter(|_| self.class == Class::Marketing);
        let quiet = self.quiet_hours.or(of_all)?;
        Some((quiet.then, quiet.end(now, zones)?))
    }

    /// The least time after any push that counts for it.
    pub fn gap(&self, rules: &CampaignRules) -> Option<DurationMs> {
        let of_all = rules.minimum_gap.filter(|_| self.class == Class::Marketing);
        self.minimum_gap.or(of_all)
    }

    /// Reads a campaign's JSON document. Unknown fields are refused: one that is ignored could send what nobody wanted.
    pub fn read(document: &Value, version: u32) -> Result<Self, Refusal> {
        let node = Node::root(document);
        node.only(&[
            // Editors look there for the schema.
            "$schema",
            "id",
            "status",
            "brand",
            "class",
            "priority",
            "trigger",
            "audience",
            "schedule",
            "duringOpeningHours",
            "quietHours",
            "caps",
            "cooldown",
            "minimumGap",
            "value",
            "holdout",
            "speed",
            "validFor",
            "stillThere",
            "push",
            "budget",
            "offers",
            "defaults",
            "defaultLocale",
            "sample",
        ])?;
        let push = node.field("push")?.map_or_else(
            || Ok(PushOptions::default()),
            |push| PushOptions::read(&push, &PushOptions::default()),
        )?;
        let push = Arc::new(push);
        let trigger_node = node.required("trigger")?;
        let trigger = Trigger::read(&trigger_node)?;
        let words = Words::read(&node, trigger.has_geofence(), trigger.has_ladder())?;
        Sample::read(&node, &words)?;
        let offers = node.required("offers")?;
        let offers_read = offers
            .items(OFFERS_MAX)?
            .iter()
            .map(|offer| Offer::read(offer, &push, &words))
            .collect::<Result<Vec<Offer>, Refusal>>()?;
        if offers_read.is_empty() {
            return Err(offers.refuse("needs at least one offer"));
        }
        let during_opening_hours = node.field("duringOpeningHours")?;
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
                .map_or(Ok(Class::Marketing), |class| class.one_of(&Class::NAMES))?,
            priority: node
                .field("priority")?
                .map_or(Ok(0), |priority| priority.integer(-1000, 1000))?,
            trigger,
            audience: node.field("audience")?.map(|rule| Rule::read(&rule)).transpose()?,
            schedule: node
                .field("schedule")?
                .map(|schedule| Schedule::read(&schedule))
                .transpose()?,
            during_opening_hours: during_opening_hours.as_ref().map_or(Ok(false), Node::boolean)?,
            quiet_hours: node
                .field("quietHours")?
                .map(|quiet| QuietHours::read(&quiet))
                .transpose()?,
            minimum_gap: node.field("minimumGap")?.map(|gap| read_window(&gap)).transpose()?,
            worth: node.field("value")?.map_or(Ok(0.0), |worth| read_worth(&worth))?,
            holdout: node
                .field("holdout")?
                .map_or(Ok(Share::default()), |share| Share::read(&share))?,
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
        let (has_place, can_stay) = match &campaign.trigger {
            Trigger::Entered(_) | Trigger::Scanned(_) | Trigger::Dwelled { .. } => (true, true),
            Trigger::Exited(_) => (true, false),
            Trigger::Event { present: None, .. } => (false, false),
            Trigger::Event {
                present: Some(present), ..
            } => (true, present.within.is_none()),
        };
        if still_there && !can_stay {
            return Err(trigger_node.refuse("`stillThere` needs a trigger that puts the customer into a geofence"));
        }
        if let Some(flag) = during_opening_hours.filter(|_| campaign.during_opening_hours && !has_place) {
            return Err(flag.refuse("needs a trigger with geofences, or an event with `present`"));
        }
        Ok(campaign)
    }

    /// Tries every message with the document's `sample`, to be called when a campaign is saved. Refuses what comes out
    /// empty; answers which texts are longer than phones show.
    pub fn try_out(&self, document: &Value) -> Result<Vec<String>, Refusal> {
        let node = Node::root(document);
        let words = Words::read(&node, self.trigger.has_geofence(), self.trigger.has_ladder())?;
        let sample = Sample::read(&node, &words)?;
        let mut warnings = Vec::new();
        for (index, offer) in self.offers.iter().enumerate() {
            let pointer = format!("/offers/{index}/message");
            warnings.extend(offer.messages.try_out(&pointer, &sample, &offer.seen_terms())?);
        }
        Ok(warnings)
    }
}
