//! Gathers what the readers find: each identity once, findings up to the limit, what is common to many summed up.

use std::collections::BTreeMap;

use super::{
    FileError, Finding, FindingCode, Format, ReadOptions, Reading, Severity, Take,
    attributes::Attributes,
    finding::quote,
    geometry::Drawn,
    lint::{Identities, Lint},
};
use crate::{domain::geofence::Geofence, geo::ShapeError};

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

impl Place {
    /// A number that tells people where it is. Files with pointers may have everything in one line.
    fn number(&self) -> u32 {
        let number = self.line_that_tells().or(self.feature).unwrap_or_default();
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// The same number in words.
    fn number_in_words(&self, number: u32) -> String {
        if self.line_that_tells().is_some() {
            format!("in line {number}")
        } else {
            format!("as feature {number}")
        }
    }

    fn line_that_tells(&self) -> Option<u64> {
        self.line.filter(|_| self.pointer.is_none())
    }
}

pub(super) struct Collector<'a> {
    options: &'a ReadOptions,
    take: Take<'a>,
    reading: Reading,
    seen: Identities,
    lint: Lint,
    /// Findings that were left out.
    hidden: BTreeMap<FindingCode, u64>,
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
            seen: Identities::default(),
            lint: Lint::default(),
            hidden: BTreeMap::new(),
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
        outcome: Result<(Attributes, Drawn), Finding>,
    ) -> Result<(), FileError> {
        match outcome {
            Ok((attributes, drawn)) => self.accept(place, attributes, drawn),
            Err(finding) => {
                self.reject(place, finding);
                Ok(())
            }
        }
    }

    fn reject(&mut self, place: &Place, finding: Finding) {
        self.reading.rejected += 1;
        if finding.is_swappable() {
            self.lint.see_swappable(place);
        }
        self.find(place, finding);
    }

    fn accept(&mut self, place: &Place, attributes: Attributes, drawn: Drawn) -> Result<(), FileError> {
        if let Some(first) = self.seen.insert(&attributes.id, place.number()) {
            let first = place.number_in_words(first);
            let detail = format!("{} appears again, first {first}", quote(&attributes.id.to_string()));
            let hint = "the first one is kept; give each geofence an id of its own";
            self.reject(place, Finding::error(FindingCode::DuplicateIdentity, detail, hint));
            return Ok(());
        }
        self.lint.look(place, &attributes.id.tag, &drawn);
        if attributes.is_id_from_name {
            self.lint.tallies().add(FindingCode::IdFromName, place, id_from_name);
        }
        self.reading.accepted += 1;
        (self.take)(Geofence {
            id: attributes.id,
            set: self.options.set.clone(),
            description: attributes.description,
            shape: drawn.shape,
            enabled: attributes.enabled,
            dwell_threshold: attributes.dwell_threshold,
            operating_hours: attributes.operating_hours,
            brand: attributes.brand,
            beacons: attributes.beacons,
            codes: attributes.codes,
            presence: attributes.presence.boxed(),
            metadata: attributes.metadata.into(),
        })
        .map_err(FileError::NotTaken)
    }

    /// Adds a finding with its place, unless there are too many. Warnings and notes of one code are one finding.
    pub(super) fn find(&mut self, place: &Place, finding: Finding) {
        if finding.severity != Severity::Error {
            self.lint.tallies().add(finding.code, place, || finding);
        } else if self.reading.findings.len() >= self.options.limits.findings_max {
            *self.hidden.entry(finding.code).or_default() += 1;
        } else {
            self.reading.findings.push(finding.at(place));
        }
    }

    /// Adds a finding of a kind that a file has only a few of: these are neither capped nor summed up.
    pub(super) fn remark(&mut self, place: &Place, finding: Finding) {
        self.reading.findings.push(finding.at(place));
    }

    /// What all came to, with the summaries.
    pub(super) fn finish(mut self) -> Reading {
        if self.reading.read == 0 {
            let finding = Finding::new(
                Severity::Warning,
                FindingCode::NothingFound,
                "the file holds no rows or features",
                "an upload of it is refused while the set has geofences",
            );
            self.find(&Place::default(), finding);
        }
        self.reading.findings.extend(self.lint.finish(self.reading.read));
        if !self.hidden.is_empty() {
            let hidden: Vec<String> = self
                .hidden
                .iter()
                .map(|(code, count)| format!("{count} {}", code.as_str()))
                .collect();
            self.reading.findings.push(Finding::new(
                Severity::Note,
                FindingCode::FindingsCapped,
                format!("more errors are left out: {}", hidden.join(", ")),
                "mend these and try again",
            ));
        }
        self.reading
    }
}

fn id_from_name() -> Finding {
    Finding::new(
        Severity::Warning,
        FindingCode::IdFromName,
        "there is no id; the name stands for it",
        "add `externalId`: with a new name it would be a new geofence",
    )
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
