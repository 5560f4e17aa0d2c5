//! Ids for what has none: the number in the file.

use serde_json::Value;

use super::{Finding, FindingCode, Severity, attributes::Values};

/// Gives a feature its number (from 1) as id.
pub(super) fn stand_in(number: u64, values: &mut Values) {
    values.add_feature_id(Value::Number(number.into()));
}

/// That a good feature has its number as id.
pub(super) fn warning() -> Finding {
    Finding::new(
        Severity::Warning,
        FindingCode::IdFromOrder,
        "there is neither an id nor a name; the number in the file stands for it",
        "keep the order in later uploads, or use a format with names such as GeoJSON: what changes its number becomes \
         another geofence",
    )
}
