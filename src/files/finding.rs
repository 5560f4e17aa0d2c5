//! What a file's reader has to say about a row or feature.

use serde::{Deserialize, Serialize};

use super::collect::Place;
use crate::domain::ids::{GeofenceId, SetName};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The row or feature was rejected.
    Error,
    /// It was accepted, and is probably not what was meant.
    Warning,
    /// Good to know.
    Note,
}

/// What it is about. Each code is documented for users by its comment here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingCode {
    /// A row has fewer fields than the header.
    ColumnMissing,
    /// A row has more fields than the header; often an unquoted separator in a text.
    ColumnExtra,
    /// A row or feature can't be parsed at all.
    RowUnreadable,
    /// A JSON value that should be a GeoJSON feature isn't one.
    FeatureInvalid,
    /// A feature without a geometry, or a row without coordinates.
    GeometryMissing,
    /// A geometry without coordinates.
    GeometryEmpty,
    /// A geometry that can't be a geofence (lines, several points).
    GeometryUnsupported,
    /// Lines and points beside the polygons of a collection were left out.
    PartsLeftOut,
    /// The coordinates aren't nested lists of numbers as the geometry's type asks for.
    CoordinatesInvalid,
    /// A text that should be a number.
    NumberUnreadable,
    /// A time (in a track) that is neither unix seconds or milliseconds nor RFC 3339 with a zone.
    TimeUnreadable,
    /// Not in -90 to 90.
    LatitudeOutOfRange,
    /// Not in -180 to 180.
    LongitudeOutOfRange,
    /// A point without a radius, and no default was given.
    RadiusMissing,
    /// A radius that isn't above 0 and at most 1,000 km.
    RadiusInvalid,
    /// A ring has fewer than four vertices.
    RingTooShort,
    /// A ring's last vertex isn't its first; it was closed.
    RingNotClosed,
    /// A polygon's rings cross or run along each other; what they go round an odd number of times is inside.
    RingSelfIntersects,
    /// A polygon's ring touches itself, which changes nothing about what is inside.
    RingTouchesItself,
    /// A hole lies outside its outer ring.
    HoleOutside,
    /// The polygon crosses the antimeridian and was cut there.
    AntimeridianCrossed,
    /// The polygon goes round a pole, which is inside.
    PoleEnclosed,
    /// A vertex of a ring is outside the world.
    RingOutsideWorld,
    /// A ring encloses no area.
    RingWithoutArea,
    /// It isn't clear what a ring encloses: it goes round the Earth.
    RingAmbiguous,
    /// A geometry has too many vertices.
    VerticesTooMany,
    /// A feature is too long to be parsed.
    FeatureTooLong,
    /// There is nothing that tells the geofence from the others.
    IdMissing,
    /// An id that can't be one (too long, control characters, not a text or number).
    IdInvalid,
    /// No id was found and the names stand for it.
    IdFromName,
    /// A tag that can't be one.
    TagInvalid,
    /// The file has several tags.
    TagsMixed,
    /// The same tag and id again; the first one is kept.
    DuplicateIdentity,
    /// The same tag and id is in another set, too; only one of them counts.
    IdentityElsewhere,
    /// The same shape and tag again.
    DuplicateGeometry,
    /// It overlaps another geofence of its tag.
    Overlap,
    /// A brand that can't be one.
    BrandInvalid,
    /// `enabled` is neither yes nor no.
    EnabledInvalid,
    /// A time to stay that is neither seconds nor an ISO 8601 duration, or not above zero and at most 7 days.
    DwellThresholdInvalid,
    /// Operating hours that can't be read.
    OperatingHoursInvalid,
    /// Beacons that can't be read.
    BeaconsInvalid,
    /// Codes that can't be read.
    CodesInvalid,
    /// A field that tells how presence is told can't be read.
    PresenceInvalid,
    /// `metadata` isn't an object.
    MetadataInvalid,
    /// Radius below 100 m, which phones don't monitor reliably in the background.
    RadiusSmall,
    /// Radius above 10 km.
    RadiusLarge,
    /// Latitude and longitude seem to be swapped: the place lies far from the file's others, and swapped among them.
    CoordinatesSwapped,
    /// A coordinate has more than seven decimals; the seventh is a centimetre.
    PrecisionNeedless,
    /// The same name appears twice in a JSON object; the last one counts.
    KeyDuplicate,
    /// Latitude and longitude are both 0, which is in the Atlantic and mostly means that they are unknown.
    NullIsland,
    /// The file names a coordinate system of its own; GeoJSON knows only WGS84 longitude and latitude.
    CrsIgnored,
    /// The file isn't UTF-8 and was read as Windows-1252.
    EncodingGuessed,
    /// The file is UTF-8 with some bytes that aren't, which were replaced.
    EncodingBroken,
    /// The file is too large for all geofences to be compared with each other.
    ChecksSkipped,
    /// The file holds no rows or features.
    NothingFound,
    /// There were more findings than are kept.
    FindingsCapped,
    /// No id or name was found and the number in the file stands for it.
    IdFromOrder,
    /// Parts of the file that no geofence can be made of (tracks, overlays, lines) are left out.
    PartSkipped,
    /// An archive holds several files that could be meant.
    FileChosen,
    /// A document type declaration isn't looked at.
    DtdIgnored,
    /// The file doesn't say which coordinate system it is in, and longitude and latitude are assumed.
    ProjectionAssumed,
    /// Coordinates were converted to WGS84.
    Reprojected,
    /// A file is shorter or longer than it says, or its parts have different numbers of rows.
    LengthsDisagree,
    /// A shapefile without its table of attributes.
    AttributesMissing,
}

impl FindingCode {
    /// The code as it appears in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ColumnMissing => "column_missing",
            Self::ColumnExtra => "column_extra",
            Self::RowUnreadable => "row_unreadable",
            Self::FeatureInvalid => "feature_invalid",
            Self::GeometryMissing => "geometry_missing",
            Self::GeometryEmpty => "geometry_empty",
            Self::PartsLeftOut => "parts_left_out",
            Self::GeometryUnsupported => "geometry_unsupported",
            Self::CoordinatesInvalid => "coordinates_invalid",
            Self::NumberUnreadable => "number_unreadable",
            Self::TimeUnreadable => "time_unreadable",
            Self::LatitudeOutOfRange => "latitude_out_of_range",
            Self::LongitudeOutOfRange => "longitude_out_of_range",
            Self::RadiusMissing => "radius_missing",
            Self::RadiusInvalid => "radius_invalid",
            Self::RingTooShort => "ring_too_short",
            Self::RingNotClosed => "ring_not_closed",
            Self::RingSelfIntersects => "ring_self_intersects",
            Self::RingTouchesItself => "ring_touches_itself",
            Self::HoleOutside => "hole_outside",
            Self::AntimeridianCrossed => "antimeridian_crossed",
            Self::PoleEnclosed => "pole_enclosed",
            Self::RingOutsideWorld => "ring_outside_world",
            Self::RingWithoutArea => "ring_without_area",
            Self::RingAmbiguous => "ring_ambiguous",
            Self::VerticesTooMany => "vertices_too_many",
            Self::FeatureTooLong => "feature_too_long",
            Self::IdMissing => "id_missing",
            Self::IdInvalid => "id_invalid",
            Self::IdFromName => "id_from_name",
            Self::TagInvalid => "tag_invalid",
            Self::TagsMixed => "tags_mixed",
            Self::DuplicateGeometry => "duplicate_geometry",
            Self::Overlap => "overlap",
            Self::DuplicateIdentity => "duplicate_identity",
            Self::IdentityElsewhere => "identity_elsewhere",
            Self::BrandInvalid => "brand_invalid",
            Self::EnabledInvalid => "enabled_invalid",
            Self::DwellThresholdInvalid => "dwell_threshold_invalid",
            Self::OperatingHoursInvalid => "operating_hours_invalid",
            Self::BeaconsInvalid => "beacons_invalid",
            Self::CodesInvalid => "codes_invalid",
            Self::PresenceInvalid => "presence_invalid",
            Self::MetadataInvalid => "metadata_invalid",
            Self::RadiusSmall => "radius_small",
            Self::RadiusLarge => "radius_large",
            Self::CoordinatesSwapped => "coordinates_swapped",
            Self::PrecisionNeedless => "precision_needless",
            Self::KeyDuplicate => "key_duplicate",
            Self::NullIsland => "null_island",
            Self::CrsIgnored => "crs_ignored",
            Self::EncodingGuessed => "encoding_guessed",
            Self::EncodingBroken => "encoding_broken",
            Self::ChecksSkipped => "checks_skipped",
            Self::NothingFound => "nothing_found",
            Self::FindingsCapped => "findings_capped",
            Self::IdFromOrder => "id_from_order",
            Self::PartSkipped => "part_skipped",
            Self::FileChosen => "file_chosen",
            Self::DtdIgnored => "dtd_ignored",
            Self::ProjectionAssumed => "projection_assumed",
            Self::Reprojected => "reprojected",
            Self::LengthsDisagree => "lengths_disagree",
            Self::AttributesMissing => "attributes_missing",
        }
    }
}

/// Something about a row, a feature or the whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub code: FindingCode,
    /// The line as an editor counts it, from 1 (a header is line 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Which feature or row, counted from 1 without the header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<u64>,
    /// JSON pointer (RFC 6901, counts from 0) to the place in the file, or in the line where each is a document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What is wrong, with the value.
    pub detail: String,
    /// What to do about it.
    pub hint: String,
}

impl Finding {
    pub(super) fn new(
        severity: Severity,
        code: FindingCode,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            code,
            line: None,
            feature: None,
            pointer: None,
            detail: detail.into(),
            hint: hint.into(),
        }
    }

    /// About identities that another set has, too: how many, the first of them, and where that is.
    pub fn identity_elsewhere(count: u64, first: &GeofenceId, set: &SetName) -> Self {
        Self::new(
            Severity::Warning,
            FindingCode::IdentityElsewhere,
            format!("{count} of these geofences are in another set, too; the first is {first} in set `{set}`"),
            "of two such geofences that of the set whose name sorts last counts; keep each in one set",
        )
    }

    pub(super) fn error(code: FindingCode, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, detail, hint)
    }

    /// Whether the place would be on Earth with its two numbers swapped.
    pub(super) fn is_swappable(&self) -> bool {
        self.hint == SWAPPED_HINT
    }

    /// The same at a place of the file; the pointer, if the format has them, goes on from the place's.
    pub(super) fn at(mut self, place: &Place) -> Self {
        self.line = place.line;
        self.feature = place.feature;
        self.pointer = place
            .pointer
            .as_ref()
            .map(|base| format!("{base}{}", self.pointer.as_deref().unwrap_or_default()));
        self
    }

    pub(super) fn pointing(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }
}

impl std::fmt::Display for Finding {
    /// `line 42: error column_missing: what is wrong — what to do`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.line, self.feature) {
            (Some(line), _) => write!(f, "line {line}: ")?,
            (None, Some(feature)) => write!(f, "feature {feature}: ")?,
            (None, None) => {}
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        write!(f, "{severity} {}: {}", self.code.as_str(), self.detail)?;
        if let Some(pointer) = self.pointer.as_ref().filter(|pointer| !pointer.is_empty()) {
            write!(f, " (at {pointer})")?;
        }
        if !self.hint.is_empty() {
            write!(f, " — {}", self.hint)?;
        }
        Ok(())
    }
}

/// What to do about a place that is on Earth only with its two numbers swapped.
pub(super) const SWAPPED_HINT: &str = "latitude and longitude seem to be swapped";

/// A value as it is quoted in a detail: shortened, without control characters.
pub(super) fn quote(value: &str) -> String {
    const CHARS_MAX: usize = 60;
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = value.chars().take(CHARS_MAX).map(clean).collect();
    if value.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    format!("`{short}`")
}
