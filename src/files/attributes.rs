//! Everything of a geofence but its shape, out of named values.

use serde_json::{Map, Value};

use super::{
    Finding, FindingCode, ReadOptions,
    finding::quote,
    names::{FEATURE_ID_RANK, Field, Target, plain},
    presence_options::read_presence,
};
use crate::domain::{
    beacon::BeaconPattern,
    geofence::{DWELL_THRESHOLD_MAX, PresenceOptions},
    ids::{BrandId, ExternalId, GeofenceId, ID_BYTES_MAX, Tag},
    operating_hours::OperatingHours,
    time::DurationMs,
};

/// The values of one row or feature, sorted by what they mean.
#[derive(Debug, Default)]
pub(super) struct Values {
    fields: Vec<Entry>,
    metadata: Map<String, Value>,
}

#[derive(Debug)]
struct Entry {
    field: Field,
    rank: u8,
    /// The name in the file; empty for a GeoJSON feature's own id.
    name: String,
    value: Value,
}

/// A value that was found, and under which name.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) value: Value,
    name: String,
    rank: u8,
}

impl Found {
    /// The column or property that it was found under.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// JSON pointer within the feature; to all properties where the name is endless.
    pub(super) fn pointer(&self) -> String {
        /// Longest name in a pointer, in bytes.
        const NAME_BYTES_MAX: usize = 1024;
        if self.name.is_empty() {
            return "/id".to_owned();
        }
        if self.name.len() > NAME_BYTES_MAX {
            return "/properties".to_owned();
        }
        format!("/properties/{}", self.name.replace('~', "~0").replace('/', "~1"))
    }

    pub(super) fn error(&self, code: FindingCode, what: &str, hint: &str) -> Finding {
        let value = match &self.value {
            Value::String(text) => quote(text),
            other => quote(&other.to_string()),
        };
        Finding::error(code, format!("{what} {value}"), hint).pointing(self.pointer())
    }
}

impl Values {
    /// Adds a value; blanks and nulls count as absent, and so does what has no name.
    pub(super) fn add(&mut self, name: &str, target: &Target, value: Value) {
        let value = match value {
            Value::String(text) => Value::String(text.trim().to_owned()),
            other => other,
        };
        if value.is_null() || value.as_str() == Some("") {
            return;
        }
        match target {
            Target::Field(field, rank) => self.fields.push(Entry {
                field: *field,
                rank: *rank,
                name: name.to_owned(),
                value,
            }),
            Target::Metadata(key) if key.is_empty() => {}
            Target::Metadata(key) => {
                self.metadata.insert(key.clone(), value);
            }
        }
    }

    /// Adds the `id` that a GeoJSON feature has beside its properties.
    pub(super) fn add_feature_id(&mut self, value: Value) {
        self.add("", &Target::Field(Field::ExternalId, FEATURE_ID_RANK), value);
    }

    /// Makes the value of this name the external id, before all others.
    fn choose_id(&mut self, wanted: &str) -> Result<(), Finding> {
        let is_wanted = |name: &str| plain(name) == plain(wanted);
        let of_field = self.fields.iter().find(|entry| is_wanted(&entry.name));
        let chosen = if let Some(entry) = of_field {
            Some((entry.name.clone(), entry.value.clone()))
        } else {
            let key = self.metadata.keys().find(|key| is_wanted(key)).cloned();
            key.and_then(|key| self.metadata.remove_entry(&key))
        };
        let (name, value) = chosen.ok_or_else(|| {
            Finding::error(
                FindingCode::IdMissing,
                format!("there is no {}, which was named as the id", quote(wanted)),
                "give every place one, or choose another column or property",
            )
        })?;
        let entry = Entry {
            field: Field::ExternalId,
            rank: 0,
            name,
            value,
        };
        self.fields.insert(0, entry);
        Ok(())
    }

    /// Takes out the best value of a field; values under lesser names go to the metadata.
    pub(super) fn take(&mut self, field: Field) -> Option<Found> {
        let (mut entries, others): (Vec<Entry>, Vec<Entry>) = std::mem::take(&mut self.fields)
            .into_iter()
            .partition(|entry| entry.field == field);
        self.fields = others;
        entries.sort_by_key(|entry| entry.rank);
        let mut entries = entries.into_iter();
        let best = entries.next()?;
        for lesser in entries {
            self.keep_scalar(lesser.name, lesser.value);
        }
        Some(Found {
            value: best.value,
            name: best.name,
            rank: best.rank,
        })
    }

    /// Numbers, texts and truth values of unknown meaning are the owner's; lists and objects are left out.
    fn keep_scalar(&mut self, name: String, value: Value) {
        if !name.is_empty() && !value.is_array() && !value.is_object() {
            self.metadata.entry(name).or_insert(value);
        }
    }
}

/// What a geofence has beside its shape and set.
#[derive(Debug)]
pub(super) struct Attributes {
    pub(super) id: GeofenceId,
    /// Whether the name stands for the id.
    pub(super) is_id_from_name: bool,
    pub(super) description: Option<String>,
    pub(super) enabled: bool,
    pub(super) dwell_threshold: Option<DurationMs>,
    pub(super) operating_hours: Option<OperatingHours>,
    pub(super) brand: Option<BrandId>,
    pub(super) beacons: Vec<BeaconPattern>,
    pub(super) codes: Vec<String>,
    pub(super) presence: PresenceOptions,
    pub(super) metadata: Map<String, Value>,
}

impl Attributes {
    /// Reads all fields that are left in `values`. The first wrong one is returned.
    pub(super) fn read(mut values: Values, options: &ReadOptions) -> Result<Self, Finding> {
        if let Some(wanted) = &options.id_field {
            values.choose_id(wanted)?;
        }
        let id = values.take(Field::ExternalId);
        let tag = values.take(Field::Tag);
        let description = values.take(Field::Description).and_then(|found| text_of(&found.value));
        let enabled = values
            .take(Field::Enabled)
            .map_or(Ok(true), |found| read_enabled(&found))?;
        let dwell_threshold = values
            .take(Field::DwellThreshold)
            .map(|found| read_dwell_threshold(&found))
            .transpose()?;
        let operating_hours = read_operating_hours(&mut values)?;
        let brand = values.take(Field::Brand).map(|found| read_brand(&found)).transpose()?;
        let beacons = values
            .take(Field::Beacons)
            .map_or(Ok(Vec::new()), |found| read_beacons(&found))?;
        let codes = values
            .take(Field::Codes)
            .map_or(Ok(Vec::new()), |found| read_codes(&found))?;
        let presence = read_presence(&mut values)?;
        if let Some(found) = values.take(Field::Metadata) {
            for (key, value) in read_metadata(&found)? {
                values.metadata.entry(key).or_insert(value);
            }
        }
        let is_id_from_name = id.is_none();
        let external_id = match (&id, &description) {
            (Some(found), _) => read_id(found)?,
            (None, Some(name)) => ExternalId::new(name).map_err(|error| {
                Finding::error(
                    FindingCode::IdInvalid,
                    format!("there is no id, and the name {} {error}", quote(name)),
                    "add `externalId`",
                )
            })?,
            (None, None) => {
                return Err(Finding::error(
                    FindingCode::IdMissing,
                    "there is neither an id nor a name",
                    "add `externalId`: a text or number that stays the same in later uploads",
                ));
            }
        };
        let tag = read_tag(tag.as_ref(), options)?;
        for entry in std::mem::take(&mut values.fields) {
            values.keep_scalar(entry.name, entry.value);
        }
        Ok(Self {
            id: GeofenceId { tag, external_id },
            is_id_from_name,
            description,
            enabled,
            dwell_threshold,
            operating_hours,
            brand,
            beacons,
            codes,
            presence,
            metadata: values.metadata,
        })
    }
}

/// Texts, numbers and truth values as text.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn read_id(found: &Found) -> Result<ExternalId, Finding> {
    let hint = format!("give a text of 1 to {ID_BYTES_MAX} bytes, or a number");
    match &found.value {
        Value::String(text) => ExternalId::new(text)
            .map_err(|error| found.error(FindingCode::IdInvalid, &format!("the id {error}:"), &hint)),
        Value::Number(number) => ExternalId::new(number.to_string())
            .map_err(|error| found.error(FindingCode::IdInvalid, &format!("the id {error}:"), &hint)),
        _ => Err(found.error(FindingCode::IdInvalid, "the id is neither a text nor a number:", &hint)),
    }
}

fn read_tag(found: Option<&Found>, options: &ReadOptions) -> Result<Tag, Finding> {
    let invalid = |what: String| Finding::error(FindingCode::TagInvalid, what, "give a short text");
    match (found, &options.default_tag) {
        (Some(found), _) => text_of(&found.value)
            .and_then(|text| Tag::new(text).ok())
            .ok_or_else(|| {
                found.error(
                    FindingCode::TagInvalid,
                    "this can't be a tag:",
                    &format!("give a text of 1 to {ID_BYTES_MAX} bytes"),
                )
            }),
        (None, Some(tag)) => Ok(tag.clone()),
        (None, None) => Tag::new(options.set.as_str()).map_err(|error| invalid(format!("the set's name {error}"))),
    }
}

/// The words that people have for true and false.
pub(super) fn read_truth(value: &Value) -> Option<bool> {
    match text_of(value)?.to_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn read_enabled(found: &Found) -> Result<bool, Finding> {
    read_truth(&found.value).ok_or_else(|| {
        found.error(
            FindingCode::EnabledInvalid,
            "`enabled` is neither true nor false:",
            "write true or false, or leave it out",
        )
    })
}

/// ISO 8601, or seconds.
fn read_dwell_threshold(found: &Found) -> Result<DurationMs, Finding> {
    let seconds = match &found.value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let milliseconds = |seconds: f64| {
        seconds
            .is_finite()
            .then(|| DurationMs((seconds * 1000.0).round() as i64))
    };
    seconds
        .and_then(milliseconds)
        .or_else(|| DurationMs::parse(found.value.as_str()?).ok())
        .filter(|threshold| (1..=DWELL_THRESHOLD_MAX.0).contains(&threshold.0))
        .ok_or_else(|| {
            found.error(
                FindingCode::DwellThresholdInvalid,
                "this is no time to stay:",
                "write seconds such as 600 or an ISO 8601 duration such as PT10M, above zero and at most 7 days",
            )
        })
}

/// OpenStreetMap's `opening_hours` can say more than weekly hours; then it stays with the owner's own fields.
fn read_operating_hours(values: &mut Values) -> Result<Option<OperatingHours>, Finding> {
    const EXACT_RANK: u8 = 0;
    let Some(found) = values.take(Field::OperatingHours) else {
        return Ok(None);
    };
    match OperatingHours::from_json(&found.value) {
        Ok(hours) => Ok(Some(hours)),
        Err(_) if found.rank > EXACT_RANK => {
            values.keep_scalar(found.name, found.value);
            Ok(None)
        }
        Err(error) => Err(found.error(
            FindingCode::OperatingHoursInvalid,
            &format!("the operating hours can't be read ({error}):"),
            "write days and times such as `Mo-Fr 09:00-18:00; Sa 10:00-14:00`, or leave them out",
        )),
    }
}

fn read_brand(found: &Found) -> Result<BrandId, Finding> {
    text_of(&found.value)
        .and_then(|text| BrandId::new(text).ok())
        .ok_or_else(|| {
            found.error(
                FindingCode::BrandInvalid,
                "this can't be a brand:",
                &format!("give the brand's id, a text of 1 to {ID_BYTES_MAX} bytes"),
            )
        })
}

/// A list, or a text that holds JSON (in a CSV field).
fn read_beacons(found: &Found) -> Result<Vec<BeaconPattern>, Finding> {
    let parsed = match &found.value {
        Value::String(text) => serde_json::from_str(text),
        other => serde_json::from_value(other.clone()),
    };
    parsed.map_err(|error| {
        found.error(
            FindingCode::BeaconsInvalid,
            &format!("the beacons can't be read ({error}):"),
            r#"write a list like [{"type": "ibeacon", "uuid": "...", "major": 1, "minor": 2}]"#,
        )
    })
}

/// A list of texts or numbers, or a text with the codes between `|`, `;` or `,`.
fn read_codes(found: &Found) -> Result<Vec<String>, Finding> {
    let invalid = || {
        found.error(
            FindingCode::CodesInvalid,
            "the codes can't be read:",
            &format!("write a list of texts of at most {ID_BYTES_MAX} bytes, or one text with | between the codes"),
        )
    };
    let codes: Option<Vec<String>> = match &found.value {
        Value::Array(items) => items.iter().map(text_of).collect(),
        other => text_of(other).map(|text| text.split(['|', ';', ',']).map(str::to_owned).collect()),
    };
    let codes = codes
        .ok_or_else(invalid)?
        .into_iter()
        .map(|code| code.trim().to_owned());
    let codes: Vec<String> = codes.filter(|code| !code.is_empty()).collect();
    let is_good = |code: &String| code.len() <= ID_BYTES_MAX && !code.chars().any(char::is_control);
    if codes.iter().all(is_good) {
        Ok(codes)
    } else {
        Err(invalid())
    }
}

fn read_metadata(found: &Found) -> Result<Map<String, Value>, Finding> {
    let object = match &found.value {
        Value::Object(object) => Some(object.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    };
    object.ok_or_else(|| {
        found.error(
            FindingCode::MetadataInvalid,
            "`metadata` is no JSON object:",
            r#"write an object like {"floor": 2}, or give each field a name like `metadata.floor`"#,
        )
    })
}
