//! Gathers what the readers find: each identity once, findings up to the limit, what is common to many summed up.

use std::collections::{HashMap, hash_map::Entry};

use super::{
    FileError, Finding, FindingCode, Format, ReadOptions, Reading, Severity, Take, attributes::Attributes,
    finding::quote,
};
use crate::{
    domain::{geofence::Geofence, ids::GeofenceId},
    geo::{Shape, ShapeError},
};

/// Below this radius in metres phones miss visits: Apple and Google both advise at least 100 m.
const RADIUS_SMALL_M: f64 = 100.0;

/// Where a row or feature is.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// From 1.
    pub(super) line: Option<u64>,
    /// From 1.
    pub(super) feature: Option<u64>,
    /// JSON pointer to it; `None` in files without pointers.
    pub(super) pointer: Option<String>,
}

/// Something that many rows share: the first one and how many there are.
#[derive(Debug, Default)]
struct Tally {
    count: u64,
    first: Place,
}

impl Tally {
    fn add(&mut self, place: &Place) {
        if self.count == 0 {
            self.first = place.clone();
        }
        self.count += 1;
    }
}

pub(super) struct Collector<'a> {
    options: &'a ReadOptions,
    take: Take<'a>,
    reading: Reading,
    /// Where each identity was first: the line, or the feature where there are no lines.
    seen: HashMap<GeofenceId, Option<u64>>,
    hidden: u64,
    small: Tally,
    smallest_m: f64,
    named: Tally,
}

impl<'a> Collector<'a> {
    pub(super) fn new(format: Format, options: &'a ReadOptions, take: Take<'a>) -> Self {
        Self {
            options,
            take,
            reading: Reading {
                format,
                read: 0,
                accepted: 0,
                findings: Vec::new(),
                rejected: 0,
            },
            seen: HashMap::new(),
            hidden: 0,
            small: Tally::default(),
            smallest_m: f64::INFINITY,
            named: Tally::default(),
        }
    }

    pub(super) fn options(&self) -> &'a ReadOptions {
        self.options
    }

    /// Counts a row or feature, which is then accepted or rejected; its number from 1.
    pub(super) fn begin(&mut self) -> Result<u64, FileError> {
        self.reading.read += 1;
        let features_max = self.options.limits.features_max;
        if self.reading.read > features_max {
            return Err(FileError::TooManyFeatures { features_max });
        }
        Ok(self.reading.read)
    }

    /// Takes a row's outcome.
    pub(super) fn end(
        &mut self,
        place: &Place,
        outcome: Result<(Attributes, Shape), Finding>,
    ) -> Result<(), FileError> {
        match outcome {
            Ok((attributes, shape)) => self.accept(place, attributes, shape),
            Err(finding) => {
                self.reject(place, finding);
                Ok(())
            }
        }
    }

    fn reject(&mut self, place: &Place, finding: Finding) {
        self.reading.rejected += 1;
        self.find(place, finding);
    }

    fn accept(&mut self, place: &Place, attributes: Attributes, shape: Shape) -> Result<(), FileError> {
        match self.seen.entry(attributes.id.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(place.line.or(place.feature));
            }
            Entry::Occupied(entry) => {
                let unit = if place.line.is_some() { "line" } else { "feature" };
                let first = entry
                    .get()
                    .map_or_else(String::new, |number| format!(", first in {unit} {number}"));
                let detail = format!("{} appears again{first}", quote(&attributes.id.to_string()));
                let hint = "the first one is kept; give each geofence an id of its own";
                self.reject(place, Finding::error(FindingCode::DuplicateIdentity, detail, hint));
                return Ok(());
            }
        }
        if let Shape::Circle { center, radius_m } = &shape {
            if *radius_m < RADIUS_SMALL_M {
                self.small.add(place);
                self.smallest_m = self.smallest_m.min(*radius_m);
            }
            if center.latitude == 0.0 && center.longitude == 0.0 {
                let detail = "latitude and longitude are both 0, a place in the Atlantic";
                let hint = "leave the row out if the place isn't known";
                let finding = Finding::new(Severity::Warning, FindingCode::NullIsland, detail, hint);
                self.find(place, finding);
            }
        }
        if attributes.is_id_from_name {
            self.named.add(place);
        }
        self.reading.accepted += 1;
        (self.take)(Geofence {
            id: attributes.id,
            set: self.options.set.clone(),
            description: attributes.description,
            shape,
            enabled: attributes.enabled,
            dwell_threshold: attributes.dwell_threshold,
            operating_hours: attributes.operating_hours,
            brand: attributes.brand,
            beacons: attributes.beacons,
            codes: attributes.codes,
            metadata: attributes.metadata,
        })
        .map_err(FileError::NotTaken)
    }

    /// Adds a finding with its place, unless there are too many.
    pub(super) fn find(&mut self, place: &Place, finding: Finding) {
        if self.reading.findings.len() >= self.options.limits.findings_max {
            self.hidden += 1;
            return;
        }
        self.remark(place, finding);
    }

    /// Adds a finding of a kind that a file has only a few of: these are not capped.
    pub(super) fn remark(&mut self, place: &Place, mut finding: Finding) {
        finding.line = place.line;
        finding.feature = place.feature;
        finding.pointer = place
            .pointer
            .as_ref()
            .map(|base| format!("{base}{}", finding.pointer.as_deref().unwrap_or_default()));
        self.reading.findings.push(finding);
    }

    /// What all came to, with the summaries.
    pub(super) fn finish(mut self) -> Reading {
        let accepted = self.reading.accepted;
        if self.small.count > 0 {
            let detail = format!(
                "{} of {accepted} geofences have a radius below {RADIUS_SMALL_M} m, the smallest {} m",
                self.small.count, self.smallest_m
            );
            let hint =
                "phones in the background miss visits to circles below 100 m; use 100 m or more, beacons or codes";
            self.summary(FindingCode::RadiusSmall, detail, hint, |all| &all.small);
        }
        if self.named.count > 0 {
            let detail = format!(
                "{} of {accepted} geofences have no id; their names stand for it",
                self.named.count
            );
            let hint = "add `externalId`: with a new name it would be a new geofence";
            self.summary(FindingCode::IdFromName, detail, hint, |all| &all.named);
        }
        if self.reading.read == 0 {
            let finding = Finding::new(
                Severity::Warning,
                FindingCode::NothingFound,
                "the file holds no rows or features",
                "uploading it would remove every geofence of the set",
            );
            self.reading.findings.push(finding);
        }
        if self.hidden > 0 {
            let detail = format!("{} more findings are left out", self.hidden);
            let finding = Finding::new(
                Severity::Note,
                FindingCode::FindingsCapped,
                detail,
                "mend these and try again",
            );
            self.reading.findings.push(finding);
        }
        self.reading
    }

    /// A warning about many rows, at the first of them. Not counted among the findings that are capped.
    fn summary(&mut self, code: FindingCode, detail: String, hint: &str, tally: impl Fn(&Self) -> &Tally) {
        let mut finding = Finding::new(Severity::Warning, code, detail, hint);
        let first = &tally(self).first;
        finding.line = first.line;
        finding.feature = first.feature;
        finding.pointer.clone_from(&first.pointer);
        self.reading.findings.push(finding);
    }
}

/// A circle round a point, with the default radius where the file names none.
pub(super) fn radius_m(given: Option<f64>, options: &ReadOptions) -> Result<f64, Finding> {
    given.or(options.default_radius_m).ok_or_else(|| {
        Finding::error(
            FindingCode::RadiusMissing,
            "a point needs a radius, and there is none",
            "add a column or property `radius` in metres, or pass a radius for all with `radius=`",
        )
    })
}

/// What is wrong with a circle, as a finding.
pub(super) fn circle_finding(error: &ShapeError) -> Finding {
    Finding::error(
        FindingCode::RadiusInvalid,
        error.to_string(),
        "give metres, above 0 and at most 1,000,000",
    )
}
