//! Coordinate systems as a shapefile's `.prj` tells them, converted to WGS84 longitude and latitude.
//!
//! Datums that lie on the Earth as WGS84 does (NAD83, ETRS89, GDA94 and their like) are taken as WGS84: they differ from
//! it by one or two metres, which is less than any phone's accuracy. Older datums are off by up to some hundred metres.
//! Where their shift is well known it is applied and good to a few metres; where it isn't, the file is refused.

use proj4rs::{Proj, transform::transform};

use super::{FileError, Finding, FindingCode, Severity, finding::quote, geometry::Vertex};

/// Longest description of a coordinate system, in bytes.
const PRJ_BYTES_MAX: usize = 16 * 1024;

/// Brackets within brackets: descriptions have some five.
const DEPTH_MAX: usize = 16;

/// What comes out is rounded to: a centimetre, for more decimals would only look exact.
const STEPS_PER_DEGREE: f64 = 1e7;

const WGS84: &str = "+proj=longlat +a=6378137 +rf=298.257223563 +towgs84=0,0,0,0,0,0,0";

/// Shifts to WGS84 of older datums by the names that ESRI and OGC give them (without `D_`, in lower case), as the PROJ
/// library has them: metres, seconds of arc, parts in a million.
const SHIFTS: &[(&[&str], &str)] = &[
    (
        &["osgb_1936", "osgb36", "ordnance_survey_of_great_britain_1936"],
        "446.448,-125.157,542.060,0.1502,0.2470,0.8421,-20.4894",
    ),
    (
        &[
            "mgi",
            "hermannskogel",
            "militar_geographische_institute",
            "militar_geographische_institut",
        ],
        "577.326,90.129,463.919,5.137,1.474,5.297,2.4232",
    ),
    (
        &["deutsches_hauptdreiecksnetz", "dhdn", "potsdam"],
        "598.1,73.7,418.2,0.202,0.045,-2.455,6.7",
    ),
    (&["ch1903", "ch1903+"], "674.374,15.056,405.346"),
    (
        &["amersfoort"],
        "565.417,50.3319,465.552,-0.398957,0.343988,-1.8774,4.0725",
    ),
    (
        &["belge_1972", "reseau_national_belge_1972"],
        "-106.8686,52.2978,-103.7239,0.3366,-0.457,1.8422,-1.2747",
    ),
    (
        &["tm65", "ireland_1965", "ire65"],
        "482.530,-130.596,564.557,-1.042,-0.214,-0.631,8.15",
    ),
    (
        &["new_zealand_1949", "new_zealand_geodetic_datum_1949", "nzgd49"],
        "59.47,-5.04,187.44,0.47,-0.1,1.024,-4.5993",
    ),
];

/// How coordinates become longitude and latitude.
pub(super) struct Projection {
    name: String,
    /// `None` where they are that already.
    conversion: Option<Conversion>,
}

struct Conversion {
    from: Proj,
    to: Proj,
}

impl Projection {
    /// Reads the content of a `.prj` file.
    pub(super) fn parse(prj: &str) -> Result<Self, FileError> {
        let prj = prj.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}' || c == '\0');
        let name = quoted_after(prj, "[").unwrap_or_default().to_owned();
        let refused = |why: &str| FileError::Projection {
            name: quote(&name),
            why: why.to_owned(),
        };
        if prj.len() > PRJ_BYTES_MAX || depth(prj) > DEPTH_MAX {
            return Err(refused("its description is too long or nests too deep"));
        }
        // Grids of shifts would be files on this machine.
        if prj.to_ascii_lowercase().contains("nadgrids") {
            return Err(refused("it needs a grid of shifts"));
        }
        let Ok(mut system) = proj4wkt::wkt_to_projstring(prj) else {
            let method = quoted_after(prj, "PROJECTION[").or_else(|| quoted_after(prj, "METHOD["));
            return Err(refused(&match method {
                Some(method) => format!("its projection {} is not known here or not complete", quote(method)),
                None => "its description can't be read".to_owned(),
            }));
        };
        if !system.contains("+towgs84=") {
            let datum = quoted_after(prj, "DATUM[").unwrap_or_default();
            let shift = shift_of(datum).ok_or_else(|| {
                refused(&format!(
                    "how far its datum {} is from WGS84 is not known here",
                    quote(datum)
                ))
            })?;
            system.push_str(" +towgs84=");
            system.push_str(shift);
        }
        let from = Proj::from_proj_string(&system).map_err(|error| refused(&error.to_string()))?;
        let to = Proj::from_proj_string(WGS84).map_err(|error| refused(&error.to_string()))?;
        let is_plain = from.is_latlong() && system.contains("+towgs84=0,0,0,0,0,0,0") && !system.contains("+pm=");
        if from.is_latlong() && !is_in_degrees(prj) {
            return Err(refused("its angles are not in degrees"));
        }
        if from.is_geocent() || !from.has_inverse() {
            return Err(refused("there is no way back from it"));
        }
        let conversion = (!is_plain).then_some(Conversion { from, to });
        Ok(Self { name, conversion })
    }

    /// Longitude and latitude in degrees; `None` where there are none, such as beyond the edge of the projection.
    pub(super) fn convert(&self, [x, y]: Vertex) -> Option<Vertex> {
        let Some(Conversion { from, to }) = &self.conversion else {
            return Some([x, y]);
        };
        let mut point = if from.is_latlong() {
            (x.to_radians(), y.to_radians(), 0.0)
        } else {
            (x, y, 0.0)
        };
        transform(from, to, &mut point).ok()?;
        let vertex =
            [point.0, point.1].map(|radians| (radians.to_degrees() * STEPS_PER_DEGREE).round() / STEPS_PER_DEGREE);
        vertex.iter().all(|value| value.is_finite()).then_some(vertex)
    }

    /// That coordinates were converted.
    pub(super) fn note(&self) -> Option<Finding> {
        self.conversion.as_ref()?;
        Some(Finding::new(
            Severity::Note,
            FindingCode::Reprojected,
            format!("coordinates were converted from {} to WGS84", quote(&self.name)),
            "they are good to a few metres; save the file in WGS84 (EPSG:4326) if you need better",
        ))
    }
}

/// The text in the first quotes after a mark.
fn quoted_after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    let at = text.to_ascii_uppercase().find(mark)?;
    text.get(at + mark.len()..)?.split('"').nth(1)
}

fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'[' | b'(' => depth += 1,
            b']' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn shift_of(datum: &str) -> Option<&'static str> {
    let datum = datum.to_ascii_lowercase().replace(' ', "_");
    let datum = datum.strip_prefix("d_").unwrap_or(&datum);
    let known = SHIFTS.iter().find(|(names, _)| names.contains(&datum));
    known.map(|(_, shift)| *shift)
}

/// Whether the first angle unit is the degree.
fn is_in_degrees(prj: &str) -> bool {
    let after = prj.to_ascii_uppercase();
    let Some((_, unit)) = after.split_once("UNIT[") else {
        return true;
    };
    let factor = unit
        .split([',', ']'])
        .nth(1)
        .and_then(|factor| factor.trim().parse::<f64>().ok());
    factor.is_none_or(|factor| (factor - 1.0_f64.to_radians()).abs() < 1e-9)
}
