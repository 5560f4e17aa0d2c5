//! One geofence in a body: GeoJSON's feature, or the fields as lists answer them. Read and linted like a file of one.

use std::io::Cursor;

use serde_json::{Map, Value, json};

use crate::{
    domain::{
        geofence::Geofence,
        ids::{GeofenceId, SetName},
    },
    files::{self, Finding, Format, ReadOptions, Severity},
    http::problem::{Code, Problem, Wrong},
};

/// What answers hold beside the geofence's own fields.
const ANSWERED_FIELDS: [&str; 2] = ["distance", "warnings"];

/// Reads a body as the geofence of this identity, with what is remarkable about it.
pub(super) fn read(id: &GeofenceId, body: Map<String, Value>) -> Result<(Geofence, Vec<Finding>), Problem> {
    let is_feature = body.get("type").is_some_and(|kind| kind == "Feature");
    let (mut properties, geometry) = if is_feature {
        from_feature(body)?
    } else {
        from_fields(body)
    };
    let set = match properties.remove("set") {
        None | Some(Value::Null) => SetName::singles(),
        Some(Value::String(name)) => {
            SetName::new(name).map_err(|error| Problem::field(Code::FieldInvalid, "/set", error.to_string()))?
        }
        Some(_) => return Err(Problem::field(Code::FieldInvalid, "/set", "must be a text")),
    };
    for (name, expected) in [("tag", id.tag.as_str()), ("externalId", id.external_id.as_str())] {
        let given = properties.insert(name.to_owned(), expected.into());
        if given.is_some_and(|given| !given.is_null() && given != expected) {
            let detail = format!("is not `{expected}`, as the path has it; leave it out");
            return Err(Problem::field(Code::FieldInvalid, format!("/{name}"), detail));
        }
    }
    let feature = json!({"type": "Feature", "properties": properties, "geometry": geometry}).to_string();
    let mut found = None;
    let reading = files::read(
        Cursor::new(feature.as_bytes()),
        Format::GeoJson,
        &ReadOptions::new(set),
        &mut |geofence| {
            found = Some(geofence);
            Ok(())
        },
    );
    let reading = reading.map_err(|error| Problem::new(Code::FileUnreadable, error.to_string()))?;
    let (errors, mut warnings): (Vec<Finding>, Vec<Finding>) = reading
        .findings
        .into_iter()
        .map(|finding| located(finding, is_feature))
        .partition(|finding| finding.severity == Severity::Error);
    for warning in &mut warnings {
        (warning.line, warning.feature) = (None, None);
    }
    found.map(|geofence| (geofence, warnings)).ok_or_else(|| {
        let wrongs = errors.iter().map(|finding| Wrong {
            pointer: finding.pointer.clone(),
            line: None,
            code: finding.code.as_str(),
            detail: format!("{} — {}", finding.detail, finding.hint),
        });
        let detail = errors
            .first()
            .map_or("the geofence can't be read", |first| &first.detail);
        Problem::new(Code::FeaturesRejected, detail).with_errors(wrongs.collect())
    })
}

fn from_feature(mut feature: Map<String, Value>) -> Result<(Map<String, Value>, Value), Problem> {
    let properties = match feature.remove("properties") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(properties)) => properties,
        Some(_) => return Err(Problem::field(Code::FieldInvalid, "/properties", "must be an object")),
    };
    Ok((properties, feature.remove("geometry").unwrap_or_default()))
}

/// Everything but the place is a property; the place is `geometry`, or `latitude` and `longitude`.
fn from_fields(mut fields: Map<String, Value>) -> (Map<String, Value>, Value) {
    for name in ANSWERED_FIELDS {
        fields.remove(name);
    }
    let mut geometry = fields.remove("geometry").unwrap_or_default();
    if geometry["type"] == "Circle" {
        if let Some(radius) = geometry.get("radius") {
            fields.entry("radius").or_insert_with(|| radius.clone());
        }
        let center = &geometry["center"];
        geometry = json!({"type": "Point", "coordinates": [center["longitude"], center["latitude"]]});
    }
    if geometry.is_null() && fields.contains_key("latitude") {
        let [longitude, latitude] = ["longitude", "latitude"].map(|name| fields.remove(name).unwrap_or_default());
        geometry = json!({"type": "Point", "coordinates": [longitude, latitude]});
    }
    (fields, geometry)
}

/// The place in the body that was sent.
fn located(mut finding: Finding, is_feature: bool) -> Finding {
    if !is_feature && let Some(pointer) = &finding.pointer {
        finding.pointer = Some(pointer.strip_prefix("/properties").unwrap_or(pointer).to_owned());
    }
    finding
}
