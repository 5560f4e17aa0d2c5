//! Ids for what has none: the number in the file.

use serde_json::Value;

use super::{
    Finding, FindingCode, Severity,
    attributes::Values,
    collect::{Collector, Place},
};

/// Counts what is known by its number only.
#[derive(Debug, Default)]
pub(super) struct Ordinals {
    count: u64,
    first: Place,
}

impl Ordinals {
    /// Gives a feature its number (from 1) as id.
    pub(super) fn stand_in(number: u64, values: &mut Values) {
        values.add_feature_id(Value::Number(number.into()));
    }

    /// Counts a good feature that has its number as id.
    pub(super) fn count(&mut self, place: &Place) {
        if self.count == 0 {
            self.first = place.clone();
        }
        self.count += 1;
    }

    /// Warns, once for all.
    pub(super) fn tell(self, collector: &mut Collector<'_>) {
        if self.count == 0 {
            return;
        }
        let finding = Finding::new(
            Severity::Warning,
            FindingCode::IdFromOrder,
            format!(
                "there is neither an id nor a name for {}; the number in the file stands for it",
                match self.count {
                    1 => "1 geofence".to_owned(),
                    count => format!("{count} geofences"),
                }
            ),
            "keep the order in later uploads, or use a format with names such as GeoJSON: what changes its number \
             becomes another geofence",
        );
        collector.remark(&self.first, finding);
    }
}
