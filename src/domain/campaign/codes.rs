//! What of an offer there is only so much of: codes, and a budget.

use crate::domain::json_reader::{Node, Refusal};

/// Greatest budget.
pub(super) const BUDGET_MAX: i64 = 1_000_000_000_000;
/// Longest name of a pool of codes, in bytes.
pub const POOL_BYTES_MAX: usize = 100;

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
    pub(super) fn read(node: &Node<'_>) -> Result<Self, Refusal> {
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

/// Reads `{"max": 1000}`: how many pushes there may be in all.
pub(super) fn read_budget(node: &Node<'_>) -> Result<u64, Refusal> {
    node.only(&["max"])?;
    Ok(node.required("max")?.integer(1, BUDGET_MAX)? as u64)
}
