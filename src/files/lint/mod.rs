//! What is remarkable about good geofences. Thousands of like findings are told as one, with the first place and how
//! many there are.

mod compare;
mod identities;
mod outline;
mod overlap;
mod swapped;

use std::collections::{BTreeMap, HashMap};

use super::{Finding, FindingCode, Severity, collect::Place, geometry::Drawn};
use crate::{
    domain::ids::Tag,
    geo::{Shape, validity::Effort},
};

pub(super) use identities::Identities;

/// Below this radius in metres phones miss visits: Apple and Google both advise at least 100 m.
const RADIUS_SMALL_M: f64 = 100.0;

/// Above this radius in metres a circle is a region rather than a place.
const RADIUS_LARGE_M: f64 = 10_000.0;

/// Most tags that are counted by name.
const TAGS_COUNTED_MAX: usize = 1_000;

/// Most tags that are named in a finding.
const TAGS_NAMED_MAX: usize = 5;

/// Warnings and notes of one code: the first and how many there are.
#[derive(Debug)]
struct Tally {
    count: u64,
    first: Finding,
}

/// Sums up like findings.
#[derive(Debug, Default)]
pub(super) struct Tallies(BTreeMap<FindingCode, Tally>);

impl Tallies {
    /// Counts one more; only the first is made.
    pub(super) fn add(&mut self, code: FindingCode, place: &Place, make: impl FnOnce() -> Finding) {
        self.0
            .entry(code)
            .and_modify(|tally| tally.count += 1)
            .or_insert_with(|| Tally {
                count: 1,
                first: make().at(place),
            });
    }

    /// Sets how many there are of a code that was added once.
    fn add_all(&mut self, code: FindingCode, place: &Place, count: u64, make: impl FnOnce() -> Finding) {
        self.add(code, place, make);
        if let Some(tally) = self.0.get_mut(&code) {
            tally.count += count - 1;
        }
    }

    /// One finding for each code.
    pub(super) fn into_findings(self) -> impl Iterator<Item = Finding> {
        self.0.into_values().map(|Tally { count, mut first }| {
            if count > 1 {
                first.detail = format!("{} ({} more like it)", first.detail, count - 1);
            }
            first
        })
    }
}

/// Looks at each good geofence, and at the end at all of them together.
#[derive(Debug, Default)]
pub(super) struct Lint {
    tallies: Tallies,
    tags: HashMap<Tag, u64>,
    /// Geofences whose tags are beyond those that are counted.
    tags_uncounted: u64,
    fences: compare::Fences,
    /// What is left for the checks of outlines.
    effort: Effort,
    /// Rejected places that would be on Earth with latitude and longitude swapped.
    swappable: u64,
    first_swappable: Place,
}

impl Lint {
    /// The sums, for what others find.
    pub(super) fn tallies(&mut self) -> &mut Tallies {
        &mut self.tallies
    }

    /// Looks at a good geofence.
    pub(super) fn look(&mut self, place: &Place, tag: &Tag, drawn: &Drawn) {
        for note in &drawn.notes {
            self.tallies.add(note.code, place, || note.clone());
        }
        if drawn.is_too_precise {
            self.tallies
                .add(FindingCode::PrecisionNeedless, place, precision_needless);
        }
        self.count_tag(tag);
        match &drawn.shape {
            Shape::Circle { center, radius_m } => {
                self.look_at_radius(place, *radius_m);
                if center.latitude == 0.0 && center.longitude == 0.0 {
                    self.tallies.add(FindingCode::NullIsland, place, null_island);
                    return;
                }
            }
            Shape::Polygons(polygons) => outline::look(&mut self.tallies, place, polygons, &mut self.effort),
        }
        self.fences.add(place, tag, &drawn.shape);
    }

    /// Remembers a rejected place that is on Earth with its two numbers swapped.
    pub(super) fn see_swappable(&mut self, place: &Place) {
        if self.swappable == 0 {
            self.first_swappable = place.clone();
        }
        self.swappable += 1;
    }

    fn look_at_radius(&mut self, place: &Place, radius_m: f64) {
        if radius_m < RADIUS_SMALL_M {
            self.tallies.add(FindingCode::RadiusSmall, place, || {
                Finding::new(
                    Severity::Warning,
                    FindingCode::RadiusSmall,
                    format!("the radius is {radius_m} m, below {RADIUS_SMALL_M} m"),
                    "phones in the background miss visits to circles below 100 m; use 100 m or more, beacons or codes",
                )
            });
        } else if radius_m > RADIUS_LARGE_M {
            self.tallies.add(FindingCode::RadiusLarge, place, || {
                Finding::new(
                    Severity::Warning,
                    FindingCode::RadiusLarge,
                    format!("the radius is {radius_m} m, more than 10 km"),
                    "give metres; a place that customers visit is seldom wider than a few hundred",
                )
            });
        }
    }

    fn count_tag(&mut self, tag: &Tag) {
        if let Some(count) = self.tags.get_mut(tag) {
            *count += 1;
        } else if self.tags.len() < TAGS_COUNTED_MAX {
            self.tags.insert(tag.clone(), 1);
        } else {
            self.tags_uncounted += 1;
        }
    }

    /// What only all of them together tell. `read` is how many rows or features there were.
    pub(super) fn finish(mut self, read: u64) -> impl Iterator<Item = Finding> {
        if self.swappable * 2 > read {
            let (count, place) = (self.swappable, std::mem::take(&mut self.first_swappable));
            self.tallies.add(FindingCode::CoordinatesSwapped, &place, || {
                Finding::new(
                    Severity::Warning,
                    FindingCode::CoordinatesSwapped,
                    format!(
                        "{count} of {read} places are not on Earth, and would be with latitude and longitude swapped"
                    ),
                    "swap the two columns; GeoJSON has [longitude, latitude]",
                )
            });
        }
        if let Some(finding) = self.mixed_tags() {
            self.tallies.add(FindingCode::TagsMixed, &Place::default(), || finding);
        }
        self.fences.compare(&mut self.tallies);
        self.tallies.into_findings()
    }

    fn mixed_tags(&self) -> Option<Finding> {
        if self.tags.len() < 2 {
            return None;
        }
        let mut tags: Vec<(&Tag, u64)> = self.tags.iter().map(|(tag, count)| (tag, *count)).collect();
        tags.sort_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.as_str().cmp(b.as_str())));
        let named: Vec<String> = tags
            .iter()
            .take(TAGS_NAMED_MAX)
            .map(|(tag, count)| format!("`{tag}` ({count})"))
            .collect();
        let more = if self.tags_uncounted > 0 { "more than " } else { "" };
        Some(Finding::new(
            Severity::Note,
            FindingCode::TagsMixed,
            format!(
                "the file has {more}{} tags, most often {}",
                tags.len(),
                named.join(", ")
            ),
            "nothing to do, if that is meant; campaigns choose places by tag",
        ))
    }
}

fn precision_needless() -> Finding {
    Finding::new(
        Severity::Note,
        FindingCode::PrecisionNeedless,
        "a coordinate has more than seven decimals, and the seventh is a centimetre",
        "nothing to do; rounded to seven decimals the file would be smaller",
    )
}

fn null_island() -> Finding {
    Finding::new(
        Severity::Warning,
        FindingCode::NullIsland,
        "latitude and longitude are both 0, a place in the Atlantic",
        "leave the row out if the place isn't known",
    )
}
