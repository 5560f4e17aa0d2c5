//! How often a campaign may speak to one customer.

use crate::domain::{
    json_reader::{Node, Refusal},
    time::DurationMs,
};

/// Greatest `max` of a cap. Each campaign's latest sends are remembered up to this many, so a cap never undercounts.
pub const CAP_MAX: usize = 100;
/// Longest window of a cap or cooldown; older sends are forgotten.
pub const WINDOW_MAX: DurationMs = DurationMs::from_secs(31 * 24 * 3600);
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

impl Cap {
    pub(super) fn read(node: &Node<'_>) -> Result<Self, Refusal> {
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

/// A window of time: longer than nothing, at most [`WINDOW_MAX`].
pub(super) fn read_window(node: &Node<'_>) -> Result<DurationMs, Refusal> {
    let window = node.parse(DurationMs::parse)?;
    if window.0 == 0 || window > WINDOW_MAX {
        return Err(node.refuse("must be longer than nothing and at most P31D"));
    }
    Ok(window)
}
