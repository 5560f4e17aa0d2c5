//! Why nothing of a file could be read.

/// Why nothing of a file could be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The input broke off.
    #[error("the file could not be read: {0}")]
    Io(#[source] std::io::Error),
    /// Whoever took the geofences could not.
    #[error("what was read could not be kept: {0}")]
    NotTaken(#[source] std::io::Error),
    /// Above [`super::Limits::bytes_max`].
    #[error("the file is longer than {bytes_max} bytes; split it into several sets")]
    TooLong {
        /// The limit.
        bytes_max: u64,
    },
    /// Above [`super::Limits::features_max`].
    #[error("the file has more than {features_max} rows or features; split it into several sets")]
    TooManyFeatures {
        /// The limit.
        features_max: u64,
    },
    /// Nothing, or only blanks.
    #[error("the file is empty")]
    Empty,
    /// Neither UTF-8 nor UTF-16 with a mark nor Windows-1252; mostly no text at all.
    #[error("line {line}: the byte 0x{byte:02x} is in no text; is this another kind of file? Save it as UTF-8")]
    EncodingUnreadable {
        /// From 1.
        line: u64,
        /// The first such byte.
        byte: u8,
    },
    /// A row above [`super::Limits::feature_bytes_max`].
    #[error(
        "line {line}: the row that begins here is longer than {bytes_max} bytes; a double quote seems not to be closed"
    )]
    RowTooLong {
        /// Where the row begins, from 1.
        line: u64,
        /// The limit.
        bytes_max: usize,
    },
    /// UTF-16 in a format where it isn't read.
    #[error("the file is in UTF-16; save it as UTF-8")]
    Utf16,
    /// The JSON can't be parsed.
    #[error("line {line}, column {column}: this is not JSON: {message}")]
    Json {
        /// From 1.
        line: u64,
        /// From 1, in bytes.
        column: u64,
        /// What the parser says.
        message: String,
    },
    /// JSON, but of another kind.
    #[error(
        "this is JSON but not GeoJSON: {found}; expected an object whose `type` is FeatureCollection, Feature or a geometry"
    )]
    NotGeoJson {
        /// What it is instead.
        found: String,
    },
    /// The header lacks columns that can't be done without.
    #[error(
        "line {line}: no column for {}; the first line must name the columns, and these were found: {}",
        missing.join(" and "), shown(found)
    )]
    ColumnsMissing {
        /// The header's line, from 1.
        line: u64,
        /// What is missing.
        missing: Vec<String>,
        /// The columns that there are.
        found: Vec<String>,
    },
    /// The header is longer than columns' names can be.
    #[error(
        "line {line}: the first line, which names the columns, has {columns} of them in {bytes} bytes; at most \
         {COLUMNS_MAX} columns and {HEADER_BYTES_MAX} bytes are read; is a double quote not closed?"
    )]
    HeaderTooLong {
        /// The header's line, from 1.
        line: u64,
        /// How many columns it has.
        columns: usize,
        /// How long their names are, all together.
        bytes: usize,
    },
    /// The first line holds data instead of the columns' names.
    #[error(
        "line {line}: the columns have no names: the first line seems to be data, {}; put a line such as \
         `id,name,latitude,longitude` before it, or name all {} columns with `columns=`",
        shown(found), found.len()
    )]
    HeaderMissing {
        /// The first line, from 1.
        line: u64,
        /// What it holds.
        found: Vec<String>,
    },
    /// An encoding that isn't known.
    #[error("the file says that it is in the encoding {label}, which is not known; save it as UTF-8")]
    Encoding {
        /// What the file says.
        label: String,
    },
    /// The XML can't be parsed.
    #[error("line {line}: this is not XML: {message}")]
    Xml {
        /// From 1.
        line: u64,
        /// What the parser says.
        message: String,
    },
    /// XML, but of another kind.
    #[error("line {line}: this is not {expected}: it begins with {found}")]
    WrongRoot {
        /// From 1.
        line: u64,
        /// The format that was expected.
        expected: &'static str,
        /// What it begins with.
        found: String,
    },
    /// Elements nest too deep.
    #[error("line {line}: elements nest deeper than {depth_max}; put the places into fewer folders")]
    TooDeep {
        /// From 1.
        line: u64,
        /// The limit.
        depth_max: usize,
    },
    /// A single tag or text is too long to be held.
    #[error("line {line}: a single tag, text or comment is longer than {bytes_max} bytes")]
    PartTooLong {
        /// From 1.
        line: u64,
        /// The limit.
        bytes_max: usize,
    },
    /// The gzip wrapping is broken.
    #[error("the gzip file can't be unpacked: {0}")]
    Gzip(String),
    /// The zip archive is broken, hostile or of a kind that isn't read.
    #[error("the zip file can't be unpacked: {0}")]
    Zip(String),
    /// The zip archive lacks what was looked for.
    #[error("the zip file has no {wanted} in it; it has {}", if found.is_empty() { "no files".to_owned() } else { found.join(", ") })]
    NotInZip {
        /// What was looked for.
        wanted: &'static str,
        /// Some of the files that there are.
        found: Vec<String>,
    },
    /// The zip archive holds more than one shapefile.
    #[error("the zip file has several shapefiles in it: {}; upload each in a zip of its own", found.join(", "))]
    SeveralShapefiles {
        /// Their names.
        found: Vec<String>,
    },
    /// Only a part of a shapefile.
    #[error(
        "a .shp file alone has no names and no coordinate system; upload a zip file with the .dbf and .prj beside it"
    )]
    ShapefileAlone,
    /// The shapefile is broken.
    #[error("the shapefile can't be read: {0}")]
    Shapefile(String),
    /// The shapefile's coordinate system can't be converted.
    #[error(
        "the coordinate system {name} can't be converted to longitude and latitude: {why}; \
         save the shapefile in WGS84 (EPSG:4326)"
    )]
    Projection {
        /// What the file calls it.
        name: String,
        /// What is wrong.
        why: String,
    },
}

/// Most columns of a CSV file.
pub const COLUMNS_MAX: usize = 2_000;

/// Longest names of a CSV file's columns, all together, in bytes: each row's values are kept under them.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;

/// The first few of a list, and how many more there are.
pub(super) fn shown(names: &[String]) -> String {
    const SHOWN_MAX: usize = 8;
    let shown = names[..names.len().min(SHOWN_MAX)].join(", ");
    match names.len().saturating_sub(SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// An error that our own streams put into an I/O error comes out again as it was.
impl From<std::io::Error> for FileError {
    fn from(error: std::io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::Io)
    }
}

impl FileError {
    /// The line (from 1) where reading ended, where it is known.
    pub fn line(&self) -> Option<u64> {
        match self {
            Self::Json { line, .. }
            | Self::ColumnsMissing { line, .. }
            | Self::HeaderMissing { line, .. }
            | Self::HeaderTooLong { line, .. }
            | Self::EncodingUnreadable { line, .. }
            | Self::RowTooLong { line, .. }
            | Self::Xml { line, .. }
            | Self::WrongRoot { line, .. }
            | Self::TooDeep { line, .. }
            | Self::PartTooLong { line, .. } => Some(*line),
            Self::Io(_)
            | Self::NotTaken(_)
            | Self::TooLong { .. }
            | Self::TooManyFeatures { .. }
            | Self::Empty
            | Self::Utf16
            | Self::NotGeoJson { .. }
            | Self::Encoding { .. }
            | Self::Gzip(_)
            | Self::Zip(_)
            | Self::NotInZip { .. }
            | Self::SeveralShapefiles { .. }
            | Self::ShapefileAlone
            | Self::Shapefile(_)
            | Self::Projection { .. } => None,
        }
    }
}
