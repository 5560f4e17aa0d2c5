//! What a format holds and a geofence can't be made of: counted by kind, told at the end.

use std::collections::BTreeMap;

use super::{
    Finding, FindingCode, Severity,
    collect::{Collector, Place},
};

/// How many of each kind were left out, and where the first was.
#[derive(Debug, Default)]
pub(super) struct Skipped(BTreeMap<&'static str, (u64, Place)>);

impl Skipped {
    /// Counts one of a kind, which is named in the singular.
    pub(super) fn add(&mut self, kind: &'static str, place: Place) {
        self.0.entry(kind).or_insert((0, place)).0 += 1;
    }

    /// A note a kind, in the order of the file.
    pub(super) fn tell(self, collector: &mut Collector<'_>) {
        let mut kinds: Vec<_> = self.0.into_iter().collect();
        kinds.sort_by_key(|(_, (_, first))| (first.line, first.feature));
        for (kind, (count, first)) in kinds {
            let what = if count == 1 {
                format!("1 {kind} is left out")
            } else {
                format!("{count} {} are left out", plural(kind))
            };
            let finding = Finding::new(
                Severity::Note,
                FindingCode::PartSkipped,
                what,
                "fine, unless they should be geofences: those need a point or a polygon",
            );
            collector.remark(&first, finding);
        }
    }
}

/// `track` to `tracks`, `record without a shape` to `records without a shape`.
fn plural(kind: &str) -> String {
    let end = [" with", " in "].iter().filter_map(|word| kind.find(word)).min();
    let (noun, rest) = kind.split_at(end.unwrap_or(kind.len()));
    let ending = if noun.ends_with('h') { "es" } else { "s" };
    format!("{noun}{ending}{rest}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn kinds_have_plurals() {
        for (one, many) in [
            ("track", "tracks"),
            ("multipatch", "multipatches"),
            ("record without a shape", "records without a shape"),
            (
                "placemark within an unknown element",
                "placemarks within an unknown element",
            ),
        ] {
            assert_eq!(super::plural(one), many);
        }
    }
}
