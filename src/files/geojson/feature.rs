//! One feature, or a bare geometry that stands for one.

use serde_json::Value;

use super::{
    super::{
        Finding, FindingCode, ReadOptions, Severity,
        attributes::{Attributes, Values},
        finding::quote,
        geometry::{Drawn, shape},
        names::{Field, Target},
    },
    geometry,
    scanner::Part,
    value,
};

/// Most values of one feature, by which its parsing is bounded to some 100 MB. The longest outline that is accepted has
/// 100,000 corners, which with heights are 400,000 values.
const VALUES_MAX: u64 = 1_000_000;

/// The feature's geofence, and a name that appears twice in it.
pub(super) type Outcome = (Result<(Attributes, Drawn), Finding>, Option<Finding>);

/// Reads a feature from its text.
pub(super) fn read(part: &Part, options: &ReadOptions) -> Outcome {
    let text = match check(part, options) {
        Ok(text) => text,
        Err(finding) => return (Err(finding), None),
    };
    match value::parse(text) {
        Ok((value, twice)) => (geofence(value, options), twice.map(|name| key_duplicate(&name))),
        Err(error) => (Err(unreadable(&error)), None),
    }
}

/// The text, if it is neither too long nor too rich.
fn check<'a>(part: &'a Part, options: &ReadOptions) -> Result<&'a [u8], Finding> {
    let hint = "simplify the outline or shorten the properties";
    let Some(text) = part.text() else {
        let detail = format!(
            "the feature is {} bytes long, the limit is {}",
            part.bytes, options.limits.feature_bytes_max
        );
        return Err(Finding::error(FindingCode::FeatureTooLong, detail, hint));
    };
    if part.values > VALUES_MAX {
        let detail = format!(
            "the feature holds about {} values, the limit is {VALUES_MAX}",
            part.values
        );
        return Err(Finding::error(FindingCode::FeatureTooLong, detail, hint));
    }
    Ok(text)
}

fn geofence(value: Value, options: &ReadOptions) -> Result<(Attributes, Drawn), Finding> {
    let Value::Object(mut feature) = value else {
        return Err(not_a_feature("it is no object"));
    };
    let kind = feature.get("type").and_then(Value::as_str).unwrap_or_default();
    if geometry::is_type(kind) {
        let drawn = shape(geometry::parse(&Value::Object(feature), "")?, "", None, options)?;
        return Ok((Attributes::read(Values::default(), options)?, drawn));
    }
    if kind != "Feature" {
        return Err(not_a_feature(&format!("its `type` is {}", quote(kind))));
    }
    let mut values = Values::default();
    match feature.remove("properties") {
        None | Some(Value::Null) => {}
        Some(Value::Object(properties)) => {
            for (name, value) in properties {
                match Target::of(&name) {
                    // A point's place is its geometry; properties of these names are the owner's.
                    Target::Field(Field::Latitude | Field::Longitude | Field::Geometry, _)
                        if !value.is_array() && !value.is_object() =>
                    {
                        values.add(&name, &Target::Metadata(name.clone()), value);
                    }
                    Target::Metadata(_) if value.is_array() || value.is_object() => {}
                    target => values.add(&name, &target, value),
                }
            }
        }
        Some(_) => return Err(not_a_feature("its `properties` is no object").pointing("/properties")),
    }
    if let Some(id) = feature.remove("id") {
        values.add_feature_id(id);
    }
    let radius = values.take(Field::Radius);
    let geometry = feature.remove("geometry").unwrap_or(Value::Null);
    let drawn = shape(
        geometry::parse(&geometry, "/geometry")?,
        "/geometry",
        radius.as_ref(),
        options,
    )?;
    Ok((Attributes::read(values, options)?, drawn))
}

fn key_duplicate(name: &str) -> Finding {
    Finding::new(
        Severity::Warning,
        FindingCode::KeyDuplicate,
        format!("{} appears twice in one object; the last one counts", quote(name)),
        "give each property a name of its own",
    )
}

fn unreadable(error: &serde_json::Error) -> Finding {
    Finding::error(
        FindingCode::RowUnreadable,
        format!("this can't be parsed: {}", message_of(error)),
        "mend the JSON here",
    )
}

/// What the parser says, without its own idea of the place.
pub(super) fn message_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split_once(" at line ")
        .map_or(text.as_str(), |(message, _)| message)
        .to_owned()
}

pub(super) fn not_a_feature(why: &str) -> Finding {
    Finding::error(
        FindingCode::FeatureInvalid,
        format!("this is no GeoJSON feature: {why}"),
        r#"write {"type": "Feature", "geometry": {...}, "properties": {...}}"#,
    )
}
