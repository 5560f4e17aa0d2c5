//! Which format a file has.

use serde::{Deserialize, Serialize};

use super::{gzip, shapefile, wkt};

/// A file format that Beckon reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// GeoJSON (RFC 7946), also one feature a line.
    GeoJson,
    /// Rows with a header, separated by comma, semicolon, tab or bar.
    Csv,
    /// KML: points and polygons of placemarks.
    Kml,
    /// KML in a zip archive.
    Kmz,
    /// GPX: waypoints.
    Gpx,
    /// A shapefile in a zip archive.
    Shapefile,
    /// Well-known text: geometries without names.
    Wkt,
    /// A zip archive with a shapefile or KML: which of them is seen when it is read.
    Zip,
}

/// What is known about a file before it is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct FormatHints<'a> {
    /// What the user named (`format=`). When it is given nothing else counts.
    pub name: Option<&'a str>,
    /// The Content-Type header.
    pub content_type: Option<&'a str>,
    /// The file's name.
    pub file_name: Option<&'a str>,
}

/// Nothing told the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; understood are {}", Format::understood())]
pub struct UnknownFormat {
    /// What was looked at.
    what: String,
}

/// What tells a format from the others.
struct Marks {
    format: Format,
    title: &'static str,
    names: &'static [&'static str],
    content_types: &'static [&'static str],
    extensions: &'static [&'static str],
}

const FORMATS: &[Marks] = &[
    Marks {
        format: Format::GeoJson,
        title: "GeoJSON",
        names: &["geojson", "json", "ndjson", "geojsonl"],
        content_types: &[
            "application/geo+json",
            "application/json",
            "application/vnd.geo+json",
            "application/x-ndjson",
            "application/geo+json-seq",
        ],
        extensions: &["geojson", "json", "geojsonl", "geojsons", "ndjson", "jsonl"],
    },
    Marks {
        format: Format::Csv,
        title: "CSV",
        names: &["csv", "tsv"],
        content_types: &["text/csv", "application/csv", "text/tab-separated-values"],
        extensions: &["csv", "tsv", "tab"],
    },
    Marks {
        format: Format::Kml,
        title: "KML",
        names: &["kml"],
        content_types: &[
            "application/vnd.google-earth.kml+xml",
            "application/vnd.google-earth.kml",
        ],
        extensions: &["kml"],
    },
    Marks {
        format: Format::Kmz,
        title: "KMZ",
        names: &["kmz"],
        content_types: &["application/vnd.google-earth.kmz"],
        extensions: &["kmz"],
    },
    Marks {
        format: Format::Gpx,
        title: "GPX",
        names: &["gpx"],
        content_types: &["application/gpx+xml", "application/gpx"],
        extensions: &["gpx"],
    },
    Marks {
        format: Format::Shapefile,
        title: "zipped shapefiles",
        names: &["shapefile", "shp"],
        content_types: &["application/x-shapefile", "application/vnd.shp"],
        extensions: &["shz", "shp"],
    },
    Marks {
        format: Format::Wkt,
        title: "WKT",
        names: &["wkt", "ewkt"],
        content_types: &["text/wkt", "application/wkt"],
        extensions: &["wkt", "ewkt"],
    },
    Marks {
        format: Format::Zip,
        title: "ZIP",
        names: &["zip"],
        content_types: &["application/zip", "application/x-zip-compressed", "application/x-zip"],
        extensions: &["zip"],
    },
];

impl Format {
    /// Tells the format by the name that was given, else by content type, file extension and first bytes, in that
    /// order. Content types that say nothing (`application/octet-stream`) are passed over.
    pub fn detect(hints: FormatHints<'_>, first_bytes: &[u8]) -> Result<Self, UnknownFormat> {
        if let Some(name) = hints.name {
            let wanted = name.trim().to_ascii_lowercase();
            return find(|marks| marks.names.contains(&wanted.as_str())).ok_or_else(|| UnknownFormat {
                what: format!("`{}` is no known format", wanted.chars().take(40).collect::<String>()),
            });
        }
        let by_type = hints.content_type.and_then(|content_type| {
            let essence = content_type
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase();
            find(|marks| marks.content_types.contains(&essence.as_str()))
        });
        let by_extension = || {
            let name = hints.file_name?.to_ascii_lowercase();
            let (_, extension) = name.strip_suffix(".gz").unwrap_or(&name).rsplit_once('.')?;
            find(|marks| marks.extensions.contains(&extension))
        };
        by_type
            .or_else(by_extension)
            .or_else(|| sniff(first_bytes))
            .ok_or_else(|| UnknownFormat {
                what: "neither the content type nor the file's name nor its content tells the format".to_owned(),
            })
    }

    /// The content type to send a file of this format with.
    pub fn content_type(self) -> &'static str {
        let marks = FORMATS.iter().find(|marks| marks.format == self);
        marks.map_or("application/octet-stream", |marks| marks.content_types[0])
    }

    fn understood() -> String {
        let titles: Vec<&str> = FORMATS
            .iter()
            .filter(|marks| marks.format != Self::Zip)
            .map(|marks| marks.title)
            .collect();
        let (last, others) = titles.split_last().unwrap_or((&"", &[]));
        format!("{} and {last}", others.join(", "))
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::GeoJson => "geojson",
            Self::Csv => "csv",
            Self::Kml => "kml",
            Self::Kmz => "kmz",
            Self::Gpx => "gpx",
            Self::Shapefile => "shapefile",
            Self::Wkt => "wkt",
            Self::Zip => "zip",
        })
    }
}

fn find(is_it: impl Fn(&Marks) -> bool) -> Option<Format> {
    FORMATS.iter().find(|marks| is_it(marks)).map(|marks| marks.format)
}

/// Looks at the first bytes, through gzip.
fn sniff(first_bytes: &[u8]) -> Option<Format> {
    if gzip::is_gzip(first_bytes) {
        let inner = gzip::peek(first_bytes);
        return (!gzip::is_gzip(&inner)).then(|| sniff(&inner)).flatten();
    }
    if first_bytes.starts_with(b"PK\x03\x04") || first_bytes.starts_with(b"PK\x05\x06") {
        return Some(Format::Zip);
    }
    if first_bytes.starts_with(&shapefile::MAGIC) {
        return Some(Format::Shapefile);
    }
    sniff_text(first_bytes)
}

/// JSON begins with a brace, XML is told by its root, WKT by a type before a parenthesis; a first line with a separator
/// and no mark-up is taken for a header.
fn sniff_text(first_bytes: &[u8]) -> Option<Format> {
    let text = String::from_utf8_lossy(first_bytes);
    let text = text.trim_start_matches(['\u{feff}', '\u{1e}']).trim_start();
    if text.starts_with('{') {
        return Some(Format::GeoJson);
    }
    if text.starts_with('<') {
        return match root_of(text)? {
            "kml" | "Document" | "Folder" | "Placemark" => Some(Format::Kml),
            "gpx" => Some(Format::Gpx),
            _ => None,
        };
    }
    if is_wkt(text) {
        return Some(Format::Wkt);
    }
    let line = text.lines().next().unwrap_or_default();
    let is_markup = text.starts_with('[') || line.contains('\0') || line.starts_with("PK");
    (!is_markup && line.contains([',', ';', '\t', '|'])).then_some(Format::Csv)
}

/// The name of the first element, without its prefix, after declarations and comments.
fn root_of(mut text: &str) -> Option<&str> {
    loop {
        text = text.trim_start();
        let (_, rest) = if let Some(comment) = text.strip_prefix("<!--") {
            comment.split_once("-->")?
        } else if let Some(doctype) = text.strip_prefix("<!") {
            match doctype.split_once('>')? {
                (inner, _) if inner.contains('[') => doctype.split_once("]>")?,
                split => split,
            }
        } else if text.starts_with("<?") {
            text.split_once("?>")?
        } else {
            let name = text.strip_prefix('<')?;
            let end = |c: char| c.is_whitespace() || matches!(c, '>' | '/');
            let name = name.split(end).next()?;
            return Some(name.rsplit_once(':').map_or(name, |(_, local)| local));
        };
        text = rest;
    }
}

/// A geometry type, then a parenthesis, `EMPTY` or dimensions.
fn is_wkt(text: &str) -> bool {
    let is_end = |c: char| !c.is_ascii_alphabetic();
    let (word, rest) = text.split_at(text.find(is_end).unwrap_or(text.len()));
    let rest = rest.trim_start();
    if word.eq_ignore_ascii_case("srid") {
        return rest.starts_with('=');
    }
    let next = rest.split(is_end).next().unwrap_or_default().to_ascii_uppercase();
    wkt::is_type(word) && (rest.starts_with('(') || matches!(next.as_str(), "Z" | "M" | "ZM" | "EMPTY"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints<'a>(name: &'a str, content_type: &'a str, file_name: &'a str) -> FormatHints<'a> {
        let given = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        FormatHints {
            name: given(name),
            content_type: given(content_type),
            file_name: given(file_name),
        }
    }

    #[test]
    fn the_surest_mark_wins() {
        let detect =
            |name, content_type, file, bytes: &str| Format::detect(hints(name, content_type, file), bytes.as_bytes());
        assert_eq!(detect("CSV", "application/json", "a.json", "{"), Ok(Format::Csv));
        assert_eq!(detect("", "text/csv; charset=utf-8", "a.json", "{"), Ok(Format::Csv));
        assert_eq!(
            detect("", "application/octet-stream", "a.GeoJSON", ""),
            Ok(Format::GeoJson)
        );
        assert_eq!(detect("", "", "stands", "\u{feff} {\"type\""), Ok(Format::GeoJson));
        assert_eq!(detect("", "", "", "id;lat;lon\n"), Ok(Format::Csv));
        for bytes in ["", "<html>", "<!-- a <kml> -->", "hello", "POINT of interest"] {
            assert!(detect("", "", "", bytes).is_err(), "{bytes}");
        }
        let error = detect("dwg", "", "a.csv", "").unwrap_err().to_string();
        assert_eq!(
            error,
            "`dwg` is no known format; understood are GeoJSON, CSV, KML, KMZ, GPX, zipped shapefiles and WKT"
        );
    }

    #[test]
    fn content_tells_what_nothing_else_does() {
        for (bytes, expected) in [
            ("<kml>", Format::Kml),
            (
                "\u{feff}<?xml version='1.0'?>\n<!-- <gpx> --><k:kml xmlns:k=''>",
                Format::Kml,
            ),
            ("<!DOCTYPE kml [<!ENTITY a \"b\">]><kml>", Format::Kml),
            ("<!DOCTYPE gpx SYSTEM 'x'><gpx\n version='1.1'>", Format::Gpx),
            ("<Placemark/>", Format::Kml),
            ("PK\u{3}\u{4},", Format::Zip),
            ("POINT (1 2)", Format::Wkt),
            ("SRID=4326;POINT(1 2)", Format::Wkt),
            ("\nmultipolygon z empty", Format::Wkt),
            ("point;lat;lon", Format::Csv),
        ] {
            assert_eq!(sniff(bytes.as_bytes()), Some(expected), "{bytes}");
            for content_type in ["application/octet-stream", "text/xml", "application/xml"] {
                let found = Format::detect(hints("", content_type, "stands.xml"), bytes.as_bytes());
                assert_eq!(found, Ok(expected), "{bytes}");
            }
        }
        let found = |file| Format::detect(hints("", "application/gzip", file), b"");
        assert_eq!(found("stands.csv.GZ"), Ok(Format::Csv));
        assert_eq!(found("stands.kmz"), Ok(Format::Kmz));
    }

    #[test]
    fn a_content_type_leads_back_to_its_format() {
        for marks in FORMATS {
            let content_type = marks.format.content_type();
            assert_eq!(Format::detect(hints("", content_type, "a.csv"), b""), Ok(marks.format));
        }
    }
}
