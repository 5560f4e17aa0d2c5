//! How often one customer may be pushed.

use jiff::Span;

use super::Class;
use crate::domain::{
    json_reader::{Node, Refusal},
    time::{DurationMs, Timestamp},
    zone::Zone,
};

/// Greatest `max` of a cap. Each campaign's latest sends are remembered up to this many, so a cap never undercounts.
pub const CAP_MAX: usize = 100;
/// Most caps of a campaign, and of a workspace.
pub const CAPS_MAX: usize = 10;
/// Longest window of a cap or cooldown.
pub const WINDOW_MAX: DurationMs = DurationMs::from_secs(31 * 24 * 3600);
/// Sends older than this are forgotten: no window is longer, and no month by any clock.
pub const KEPT_MAX: DurationMs = DurationMs::from_secs(33 * 24 * 3600);

/// At most `max` in any `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    /// So many, 1 to [`CAP_MAX`].
    pub max: usize,
    /// In which time.
    pub per: Per,
    /// Counting what.
    pub scope: CapScope,
}

/// The time in which a cap counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// Any window of this length, by the events' time.
    Rolling(DurationMs),
    /// A day by the customer's clock.
    Day,
    /// A week by the customer's clock, from Monday on.
    Week,
    /// A month by the customer's clock.
    Month,
}

/// What a cap counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapScope {
    /// Pushes of this campaign.
    Campaign,
    /// Pushes of this campaign's brand, of its class.
    Brand,
    /// All pushes of the workspace that are of its class.
    Class,
    /// All pushes of the workspace.
    Workspace,
}

/// A cap that a workspace has for all campaigns of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassCap {
    /// Of which class.
    pub class: Class,
    /// The cap.
    pub cap: Cap,
}

impl Per {
    fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        Ok(match node.text()? {
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            _ => Self::Rolling(
                read_window(node)
                    .map_err(|refusal| node.refuse(format!("{}; or write day, week or month", refusal.detail)))?,
            ),
        })
    }

    /// The first instant that counts at `at`.
    pub fn opens(self, at: Timestamp, zone: Zone) -> Timestamp {
        let today = || zone.local(at).date();
        match self {
            Self::Rolling(window) => Timestamp(at.minus(window).0.saturating_add(1)),
            Self::Day => zone.start_of(today()),
            Self::Week => {
                let since_monday = today().weekday().to_monday_zero_offset();
                zone.start_of(today().saturating_sub(Span::new().days(since_monday)))
            }
            Self::Month => zone.start_of(today().first_of_month()),
        }
    }
}

impl std::fmt::Display for Per {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rolling(window) => write!(f, "{window}"),
            Self::Day => f.write_str("day"),
            Self::Week => f.write_str("week"),
            Self::Month => f.write_str("month"),
        }
    }
}

impl CapScope {
    pub(super) const NAMES: [(&str, Self); 4] = [
        ("campaign", Self::Campaign),
        ("brand", Self::Brand),
        ("class", Self::Class),
        ("workspace", Self::Workspace),
    ];

    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Campaign => "campaign",
            Self::Brand => "brand",
            Self::Class => "class",
            Self::Workspace => "workspace",
        }
    }
}

impl Cap {
    /// Reads a campaign's `{"max": 3, "per": "day", "scope": "workspace"}`.
    pub(super) fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        node.only(&["max", "per", "scope"])?;
        Self::read_with(node, CapScope::Campaign)
    }

    fn read_with(node: &Node<'_>, scope: CapScope) -> Result<Self, Refusal> {
        Ok(Self {
            max: node.required("max")?.integer(1, CAP_MAX as i64)? as usize,
            per: Per::read(&node.required("per")?)?,
            scope: node
                .field("scope")?
                .map_or(Ok(scope), |scope| scope.one_of(&CapScope::NAMES))?,
        })
    }
}

impl ClassCap {
    /// Reads a workspace's `{"class": "marketing", "max": 3, "per": "day", "scope": "brand"}`.
    pub(in crate::domain) fn read(node: &Node<'_>) -> Result<Self, Refusal> {
        node.only(&["class", "max", "per", "scope"])?;
        Ok(Self {
            class: node
                .field("class")?
                .map_or(Ok(Class::Marketing), |class| class.one_of(&Class::NAMES))?,
            cap: Cap::read_with(node, CapScope::Class)?,
        })
    }
}

/// A window of time: longer than nothing, at most [`WINDOW_MAX`].
pub(in crate::domain) fn read_window(node: &Node<'_>) -> Result<DurationMs, Refusal> {
    let window = node.parse(DurationMs::parse)?;
    if window.0 == 0 || window > WINDOW_MAX {
        return Err(node.refuse("must be longer than nothing and at most P31D"));
    }
    Ok(window)
}
