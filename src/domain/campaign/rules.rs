//! What a workspace decides for all its campaigns.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{CAPS_MAX, ClassCap, QuietHours, Share, caps::read_window};
use crate::domain::{
    ids::BrandId,
    json_reader::{Node, Refusal},
    time::DurationMs,
    zone::Zone,
};

/// Longest wait for better campaigns.
const ARBITRATION_WINDOW_MAX: DurationMs = DurationMs::from_secs(5 * 60);
/// Most brands with a weight.
const WEIGHTS_MAX: usize = 200;
/// What a brand's weight may be.
const WEIGHTS: std::ops::RangeInclusive<f64> = 0.01..=100.0;

/// What a workspace decides for all its campaigns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CampaignRules {
    /// By whose clock, where nothing else is chosen or known.
    pub time_zone: Zone,
    /// When customers are left alone by marketing that has no quiet hours of its own.
    pub quiet_hours: Option<QuietHours>,
    /// Limits for all campaigns of a class.
    pub caps: Vec<ClassCap>,
    /// Least time after any push for marketing that has no gap of its own.
    pub minimum_gap: Option<DurationMs>,
    /// How long to wait for better campaigns before one is chosen. Zero: not at all.
    pub arbitration_window: DurationMs,
    /// How brands share the customers' attention.
    pub fairness: Fairness,
    /// Who gets no marketing at all, to compare others with.
    pub holdout: Share,
    /// Which decisions tell how they came about.
    pub trace: TraceRules,
}

/// Which decisions tell how they came about, beside those that push somebody and those about customers who are looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TraceRules {
    /// So many of the others.
    pub sampled: Share,
}

impl Default for TraceRules {
    fn default() -> Self {
        Self {
            sampled: Share::HUNDREDTH,
        }
    }
}

impl TraceRules {
    fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        node.only(&["sampled"])?;
        let own = node.field("sampled")?.map(|share| Share::read(&share)).transpose()?;
        Ok(own.map_or_else(Self::default, |sampled| Self { sampled }))
    }
}

/// How brands share the customers' attention: of campaigns of equal priority, that one speaks whose brand has had the
/// fewest pushes to the customer, in proportion to its weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Fairness {
    /// Counting the pushes of so long.
    pub within: DurationMs,
    /// A brand with weight 2 may have twice the pushes of one with weight 1, as it is if it isn't named.
    pub weights: BTreeMap<BrandId, f64>,
}

impl Default for Fairness {
    fn default() -> Self {
        Self {
            within: DurationMs::from_secs(7 * 24 * 3600),
            weights: BTreeMap::new(),
        }
    }
}

impl Fairness {
    fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        node.only(&["within", "weights"])?;
        let mut fairness = Self::default();
        if let Some(within) = node.field("within")? {
            fairness.within = read_window(&within)?;
        }
        if let Some(weights) = node.field("weights")? {
            let fields = weights.fields()?;
            if fields.len() > WEIGHTS_MAX {
                return Err(weights.refuse(format!("has more than {WEIGHTS_MAX} brands")));
            }
            for (brand, weight) in fields {
                let brand = BrandId::new(brand).map_err(|error| weight.refuse(error.to_string()))?;
                let value = weight.number()?;
                if !WEIGHTS.contains(&value) {
                    let detail = format!("must be from {} to {}", WEIGHTS.start(), WEIGHTS.end());
                    return Err(weight.refuse(detail));
                }
                fairness.weights.insert(brand, value);
            }
        }
        Ok(fairness)
    }

    /// What a brand's pushes are divided by.
    pub fn weight(&self, brand: Option<&BrandId>) -> f64 {
        brand.and_then(|brand| self.weights.get(brand)).copied().unwrap_or(1.0)
    }
}

impl CampaignRules {
    /// Reads what a workspace has of its own.
    pub(in crate::domain) fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        node.only(&[
            "timeZone",
            "quietHours",
            "caps",
            "minimumGap",
            "arbitrationWindow",
            "fairness",
            "holdout",
            "trace",
        ])?;
        let window = node.field("arbitrationWindow")?.map(|window| {
            let length = window.parse(DurationMs::parse)?;
            if length > ARBITRATION_WINDOW_MAX {
                return Err(window.refuse("must be at most PT5M"));
            }
            Ok(length)
        });
        Ok(Self {
            time_zone: node
                .field("timeZone")?
                .map_or(Ok(Zone::default()), |zone| zone.parse(Zone::named))?,
            quiet_hours: node
                .field("quietHours")?
                .map(|quiet| QuietHours::read(&quiet))
                .transpose()?,
            caps: node.field("caps")?.map_or(Ok(Vec::new()), |caps| {
                caps.items(CAPS_MAX)?.iter().map(ClassCap::read).collect()
            })?,
            minimum_gap: node.field("minimumGap")?.map(|gap| read_window(&gap)).transpose()?,
            arbitration_window: window.transpose()?.unwrap_or_default(),
            fairness: node
                .field("fairness")?
                .map_or(Ok(Fairness::default()), |fairness| Fairness::read(&fairness))?,
            holdout: node
                .field("holdout")?
                .map_or(Ok(Share::default()), |share| Share::read(&share))?,
            trace: node
                .field("trace")?
                .map_or(Ok(TraceRules::default()), |trace| TraceRules::read(&trace))?,
        })
    }

    /// What counts, under the same names as in the document.
    pub fn to_json(&self) -> Value {
        let quiet = self.quiet_hours.map(|quiet| {
            let [from, until] = quiet.span.clocks();
            json!({"from": from, "until": until, "timeZone": quiet.zone.name(), "then": quiet.then.as_str()})
        });
        let cap = |ClassCap { class, cap }: &ClassCap| {
            json!({
                "class": class.as_str(), "max": cap.max, "per": cap.per.to_string(), "scope": cap.scope.as_str(),
            })
        };
        json!({
            "timeZone": self.time_zone.name(), "quietHours": quiet,
            "caps": self.caps.iter().map(cap).collect::<Vec<Value>>(),
            "minimumGap": self.minimum_gap, "arbitrationWindow": self.arbitration_window,
            "fairness": {"within": self.fairness.within, "weights": self.fairness.weights},
            "holdout": self.holdout.value(), "trace": {"sampled": self.trace.sampled.value()},
        })
    }
}
