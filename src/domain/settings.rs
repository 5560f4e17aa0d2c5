//! What a workspace decides for itself, over the settings of the installation.
//!
//! A workspace's document holds only what it has of its own; everything else is as the installation has it, also when that
//! changes later.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::{
    campaign::CampaignRules,
    geofence::PROBABILITIES,
    json_reader::{Node, Refusal},
    presence::{PresenceRules, Thresholds},
    time::DurationMs,
};

/// How long evidence may hold, and silence last.
const HOLDS: RangeInclusive<DurationMs> = DurationMs::from_secs(1)..=DurationMs::from_secs(31 * 24 * 3600);
/// How long the way between two fixes may take.
const CROSSED_TIMES: RangeInclusive<DurationMs> = DurationMs::from_secs(0)..=DurationMs::from_secs(24 * 3600);
/// How long that way may be, in metres.
const CROSSED_LENGTHS_M: RangeInclusive<f64> = 0.0..=100_000.0;
/// Speeds that nobody exceeds, in km/h.
const SPEEDS_KM_PER_H: RangeInclusive<f64> = 1.0..=1e9;
/// Most pushes in a minute that a limit may allow.
const PER_MINUTE_MAX: i64 = 60_000_000;

/// A workspace's own settings.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    /// How evidence is weighed and how long it holds.
    pub presence: PresenceSettings,
    /// What counts for all campaigns.
    pub campaigns: CampaignRules,
    /// How fast its pushes leave.
    pub pace: PaceSettings,
}

/// What a workspace has of its own of how fast its pushes leave.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PaceSettings {
    per_minute_max: Option<u32>,
}

/// What a workspace has of its own of [`PresenceRules`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PresenceSettings {
    enter_at: Option<f64>,
    exit_at: Option<f64>,
    exit_after_fixes: Option<u8>,
    beacon_holds: Option<DurationMs>,
    code_holds: Option<DurationMs>,
    silent_after: Option<DurationMs>,
    speed_max_km_per_h: Option<f64>,
    crossed: Option<bool>,
    crossed_length_max_m: Option<f64>,
    crossed_time_max: Option<DurationMs>,
}

impl Settings {
    /// Reads a workspace's document. Fields that nobody knows are refused: one that is ignored would be believed to hold.
    pub fn read(document: &Value) -> Result<Self, Refusal> {
        let root = Node::root(document);
        root.only(&["presence", "campaigns", "pace"])?;
        let (presence, pace) = (root.field("presence")?, root.field("pace")?);
        Ok(Self {
            presence: presence
                .map(|node| PresenceSettings::read(&node))
                .transpose()?
                .unwrap_or_default(),
            campaigns: root
                .field("campaigns")?
                .map(|node| CampaignRules::read(&node))
                .transpose()?
                .unwrap_or_default(),
            pace: pace
                .map(|node| PaceSettings::read(&node))
                .transpose()?
                .unwrap_or_default(),
        })
    }
}

impl PaceSettings {
    fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        node.only(&["perMinuteMax"])?;
        let max = node.field("perMinuteMax")?;
        let max = max.map(|node| node.integer(0, PER_MINUTE_MAX)).transpose()?;
        Ok(Self {
            per_minute_max: max.map(|max| max as u32),
        })
    }

    /// The limit that counts, in pushes a minute; 0: none. A workspace may be slower than the installation lets it be, and
    /// not faster.
    pub fn per_minute_max(&self, installation: u32) -> u32 {
        match (self.per_minute_max.unwrap_or_default(), installation) {
            (own, 0) => own,
            (0, installation) => installation,
            (own, installation) => own.min(installation),
        }
    }
}

impl PresenceSettings {
    fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        node.only(&[
            "enterAt",
            "exitAt",
            "exitAfterFixes",
            "beaconHolds",
            "codeHolds",
            "silentAfter",
            "speedMaxKmPerH",
            "crossed",
            "crossedLengthMax",
            "crossedTimeMax",
        ])?;
        let number = |name: &str, range: RangeInclusive<f64>| {
            let read = |node: Node<'_>| within(&node, node.number()?, &range);
            node.field(name)?.map(read).transpose()
        };
        let duration = |name: &str, range: RangeInclusive<DurationMs>| {
            let read = |node: Node<'_>| within(&node, node.parse(DurationMs::parse)?, &range);
            node.field(name)?.map(read).transpose()
        };
        let fixes = node.field("exitAfterFixes")?;
        let fixes = fixes.map(|node| node.integer(1, u8::MAX.into())).transpose()?;
        Ok(Self {
            enter_at: number("enterAt", PROBABILITIES)?,
            exit_at: number("exitAt", PROBABILITIES)?,
            exit_after_fixes: fixes.map(|fixes| fixes as u8),
            beacon_holds: duration("beaconHolds", HOLDS)?,
            code_holds: duration("codeHolds", HOLDS)?,
            silent_after: duration("silentAfter", HOLDS)?,
            speed_max_km_per_h: number("speedMaxKmPerH", SPEEDS_KM_PER_H)?,
            crossed: node.field("crossed")?.map(|node| node.boolean()).transpose()?,
            crossed_length_max_m: number("crossedLengthMax", CROSSED_LENGTHS_M)?,
            crossed_time_max: duration("crossedTimeMax", CROSSED_TIMES)?,
        })
    }

    /// The rules that count: these, and the installation's where there are none.
    pub fn over(&self, rules: PresenceRules) -> PresenceRules {
        PresenceRules {
            thresholds: Thresholds {
                enter_at: self.enter_at.unwrap_or(rules.thresholds.enter_at),
                exit_at: self.exit_at.unwrap_or(rules.thresholds.exit_at),
                exit_after_fixes: self.exit_after_fixes.unwrap_or(rules.thresholds.exit_after_fixes),
            },
            beacon_holds: self.beacon_holds.unwrap_or(rules.beacon_holds),
            code_holds: self.code_holds.unwrap_or(rules.code_holds),
            silent_after: self.silent_after.unwrap_or(rules.silent_after),
            speed_max_km_per_h: self.speed_max_km_per_h.unwrap_or(rules.speed_max_km_per_h),
            clock_ahead_max: rules.clock_ahead_max,
            crossed: self.crossed.unwrap_or(rules.crossed),
            crossed_length_max_m: self.crossed_length_max_m.unwrap_or(rules.crossed_length_max_m),
            crossed_time_max: self.crossed_time_max.unwrap_or(rules.crossed_time_max),
        }
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    node: &Node<'_>,
    value: T,
    range: &RangeInclusive<T>,
) -> Result<T, Refusal> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(node.refuse(format!("must be from {} to {}", range.start(), range.end())))
}

/// A document with a merge patch applied (RFC 7396): null takes a field away, objects are merged, the rest is replaced.
#[must_use]
pub fn merge(document: &Value, patch: &Value) -> Value {
    let Value::Object(fields) = patch else {
        return patch.clone();
    };
    let mut merged = document.as_object().cloned().unwrap_or_else(Map::new);
    for (name, value) in fields {
        if value.is_null() {
            merged.remove(name);
            continue;
        }
        let field = merge(merged.get(name).unwrap_or(&Value::Null), value);
        // What a workspace has nothing of is not kept as an empty object.
        if field.as_object().is_some_and(Map::is_empty) {
            merged.remove(name);
        } else {
            merged.insert(name.clone(), field);
        }
    }
    Value::Object(merged)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_workspace_has_of_its_own_counts_and_the_rest_is_the_installations() {
        let own = json!({"presence": {"enterAt": 0.8, "silentAfter": "PT1H", "crossed": true}});
        let rules = Settings::read(&own).unwrap().presence.over(PresenceRules::DEFAULT);
        assert_eq!(rules.thresholds.enter_at, 0.8);
        assert_eq!(rules.silent_after, DurationMs::from_secs(3600));
        assert!(rules.crossed);
        assert_eq!(rules.thresholds.exit_at, PresenceRules::DEFAULT.thresholds.exit_at);
        let none = Settings::read(&json!({}))
            .unwrap()
            .presence
            .over(PresenceRules::DEFAULT);
        assert_eq!(none, PresenceRules::DEFAULT);
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_place() {
        for (document, place) in [
            (json!([]), ""),
            (json!({"presense": {}}), "/presense"),
            (json!({"presence": 1}), "/presence"),
            (json!({"presence": {"enterAT": 0.6}}), "/presence/enterAT"),
            (json!({"presence": {"enterAt": 0.4}}), "/presence/enterAt"),
            (json!({"presence": {"exitAt": "high"}}), "/presence/exitAt"),
            (json!({"presence": {"exitAfterFixes": 0}}), "/presence/exitAfterFixes"),
            (json!({"presence": {"beaconHolds": "PT0S"}}), "/presence/beaconHolds"),
            (json!({"presence": {"silentAfter": "P2M"}}), "/presence/silentAfter"),
            (json!({"presence": {"crossed": "yes"}}), "/presence/crossed"),
            (json!({"pace": {"perMinute": 7}}), "/pace/perMinute"),
            (json!({"pace": {"perMinuteMax": -1}}), "/pace/perMinuteMax"),
            (json!({"pace": {"perMinuteMax": 1.5}}), "/pace/perMinuteMax"),
            (json!({"pace": {"perMinuteMax": 60_000_001}}), "/pace/perMinuteMax"),
        ] {
            let refusal = Settings::read(&document).expect_err("refused");
            assert_eq!(refusal.pointer, place, "{document}");
        }
        let refusal = Settings::read(&json!({"presence": {"silentAfter": "P40D"}})).expect_err("refused");
        assert_eq!(refusal.detail, "must be from PT1S to PT744H");
    }

    #[test]
    fn a_workspace_may_be_slower_than_the_installation_and_not_faster() {
        let pace = |own: Value| Settings::read(&json!({"pace": own})).unwrap().pace;
        let (none, zero, slow) = (
            pace(json!({})),
            pace(json!({"perMinuteMax": 0})),
            pace(json!({"perMinuteMax": 60})),
        );
        let over = |installation| [none, zero, slow].map(|pace| pace.per_minute_max(installation));
        assert_eq!(over(0), [0, 0, 60]);
        assert_eq!(over(100), [100, 100, 60]);
        assert_eq!(over(30), [30, 30, 30]);
    }

    #[test]
    fn a_patch_sets_and_takes_away() {
        let own = json!({"presence": {"enterAt": 0.8, "crossed": true}});
        let patched = merge(&own, &json!({"presence": {"enterAt": null, "exitAt": 0.7}}));
        assert_eq!(patched, json!({"presence": {"crossed": true, "exitAt": 0.7}}));
        assert_eq!(merge(&own, &json!({"presence": null})), json!({}));
        assert_eq!(
            merge(&own, &json!({"presence": {"enterAt": null, "crossed": null}})),
            json!({})
        );
        assert_eq!(merge(&own, &json!(7)), json!(7));
    }
}
