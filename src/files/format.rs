//! Which format a file has.

use serde::{Deserialize, Serialize};

/// A file format that Beckon reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// GeoJSON (RFC 7946), also one feature a line.
    GeoJson,
    /// Rows with a header, separated by comma, semicolon, tab or bar.
    Csv,
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
            let (_, extension) = hints.file_name?.rsplit_once('.')?;
            let extension = extension.to_ascii_lowercase();
            find(|marks| marks.extensions.contains(&extension.as_str()))
        };
        by_type
            .or_else(by_extension)
            .or_else(|| sniff(first_bytes))
            .ok_or_else(|| UnknownFormat {
                what: "neither the content type nor the file's name nor its content tells the format".to_owned(),
            })
    }

    fn understood() -> String {
        FORMATS
            .iter()
            .map(|marks| marks.title)
            .collect::<Vec<_>>()
            .join(" and ")
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::GeoJson => "geojson",
            Self::Csv => "csv",
        })
    }
}

fn find(is_it: impl Fn(&Marks) -> bool) -> Option<Format> {
    FORMATS.iter().find(|marks| is_it(marks)).map(|marks| marks.format)
}

/// JSON begins with a brace; a first line with a separator and no mark-up is taken for a header.
fn sniff(first_bytes: &[u8]) -> Option<Format> {
    let text = String::from_utf8_lossy(first_bytes);
    let text = text.trim_start_matches(['\u{feff}', '\u{1e}']).trim_start();
    if text.starts_with('{') {
        return Some(Format::GeoJson);
    }
    let line = text.lines().next().unwrap_or_default();
    let is_markup = text.starts_with(['<', '[']) || line.contains('\0') || line.starts_with("PK");
    (!is_markup && line.contains([',', ';', '\t', '|'])).then_some(Format::Csv)
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
        for bytes in ["", "<kml>", "PK\u{3}\u{4},", "hello"] {
            assert!(detect("", "", "", bytes).is_err(), "{bytes}");
        }
        let error = detect("dwg", "", "a.csv", "").unwrap_err().to_string();
        assert_eq!(error, "`dwg` is no known format; understood are GeoJSON and CSV");
    }
}
