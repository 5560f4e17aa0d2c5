//! Zipped shapefiles: points and polygons of the `.shp`, values of the `.dbf`, coordinates by the `.prj`.

mod dbf;
mod rings;
mod shp;

use std::io::{BufRead, Read, Seek};

use super::{
    FileError, Finding, FindingCode, Format, ReadOptions, Reading, Severity, Take,
    archive::{Archive, Entry},
    attributes::{Attributes, Values},
    collect::{Collector, Place},
    finding::quote,
    geometry::{Drawn, Geometry, Vertex, shape},
    names::Field,
    projection::Projection,
    skipped::Skipped,
    text::decode,
};

/// How a `.shp` file begins.
pub(super) const MAGIC: [u8; 4] = shp::FILE_CODE.to_be_bytes();

/// Longest `.prj` and `.cpg`, in bytes.
const SIDE_FILE_BYTES_MAX: u64 = 64 * 1024;

/// The files of one shapefile, which share a name.
pub(super) struct Parts<'a> {
    shp: &'a Entry,
    dbf: Option<&'a Entry>,
    prj: Option<&'a Entry>,
    cpg: Option<&'a Entry>,
}

impl<'a> Parts<'a> {
    /// Finds the only shapefile of an archive, in whatever folder it is.
    pub(super) fn find<R: Read + Seek>(archive: &'a Archive<R>) -> Result<Self, FileError> {
        let shp = match archive.with_extension("shp").as_slice() {
            [] => return Err(archive.lacks("shapefile (.shp)")),
            [shp] => *shp,
            several => {
                let found = several.iter().map(|entry| quote(&entry.name)).collect();
                return Err(FileError::SeveralShapefiles { found });
            }
        };
        let stem = |entry: &Entry| entry.name.rsplit_once('.').map(|(stem, _)| stem.to_lowercase());
        let part = |extension: &str| {
            let entries = archive.with_extension(extension);
            entries.into_iter().find(|entry| stem(entry) == stem(shp))
        };
        Ok(Self {
            shp,
            dbf: part("dbf"),
            prj: part("prj"),
            cpg: part("cpg"),
        })
    }
}

pub(super) fn read<R: Read + Seek>(
    archive: &Archive<R>,
    options: &ReadOptions,
    take: Take<'_>,
) -> Result<Reading, FileError> {
    let parts = Parts::find(archive)?;
    let side_file = |entry: Option<&Entry>| entry.map(|entry| text_of(archive, entry)).transpose();
    let projection = side_file(parts.prj)?.map(|prj| Projection::parse(&prj)).transpose()?;
    let code_page = side_file(parts.cpg)?;
    let shapes = shp::Shapes::open(archive.open_entry(parts.shp)?, options.limits.feature_bytes_max)?;
    let rows = match parts.dbf {
        Some(dbf) => Some(dbf::Rows::open(archive.open_entry(dbf)?, code_page.as_deref())?),
        None => None,
    };
    let mut reader = ShapefileReader {
        shapes,
        rows,
        projection,
        collector: Collector::new(Format::Shapefile, options, take),
        skipped: Skipped::default(),
        number: 0,
    };
    reader.records()?;
    reader.finish()
}

fn text_of<R: Read + Seek>(archive: &Archive<R>, entry: &Entry) -> Result<String, FileError> {
    let mut bytes = Vec::new();
    archive
        .open_entry(entry)?
        .take(SIDE_FILE_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    Ok(decode(&bytes).0.into_owned())
}

struct ShapefileReader<'a, S, D> {
    shapes: shp::Shapes<S>,
    rows: Option<dbf::Rows<D>>,
    projection: Option<Projection>,
    collector: Collector<'a>,
    skipped: Skipped,
    number: u64,
}

impl<S: BufRead, D: BufRead> ShapefileReader<'_, S, D> {
    fn records(&mut self) -> Result<(), FileError> {
        while let Some(record) = self.shapes.next()? {
            self.number += 1;
            let place = Place {
                feature: Some(self.number),
                ..Place::default()
            };
            let row = match &mut self.rows {
                Some(rows) => rows.next()?,
                None => None,
            };
            match record {
                shp::Record::Skipped(kind) => self.skipped.add(kind, place),
                _ if matches!(row, Some(dbf::Row::Deleted)) => self.skipped.add("deleted row", place),
                shp::Record::Broken(finding) => {
                    self.collector.begin()?;
                    self.collector.end(&place, Err(finding))?;
                }
                shp::Record::Shape(geometry) => {
                    self.collector.begin()?;
                    let values = match row {
                        Some(dbf::Row::Values(values)) => values,
                        Some(dbf::Row::Deleted) | None => Values::default(),
                    };
                    let outcome = match self.on_earth(geometry)? {
                        Ok(geometry) => geofence(values, geometry, self.collector.options()),
                        Err(finding) => Err(finding),
                    };
                    self.collector.end(&place, outcome)?;
                }
            }
        }
        Ok(())
    }

    /// The geometry in longitude and latitude.
    fn on_earth(&self, geometry: Geometry) -> Result<Result<Geometry, Finding>, FileError> {
        let mut problem = None;
        let mut is_lost = false;
        let mut convert = |vertex: &mut Vertex| match &self.projection {
            _ if !vertex.iter().all(|value| value.is_finite()) => {
                problem.get_or_insert_with(|| not_convertible(*vertex, "give finite numbers"));
            }
            Some(projection) => {
                if let Some(converted) = projection.convert(*vertex) {
                    *vertex = converted;
                } else {
                    let hint = "check that the .prj belongs to the file, and leave out what lies off its map";
                    problem.get_or_insert_with(|| not_convertible(*vertex, hint));
                }
            }
            None => is_lost |= vertex[0].abs() > 360.0 || vertex[1].abs() > 90.0,
        };
        let geometry = geometry.map_vertices(&mut convert);
        if is_lost {
            return Err(FileError::Projection {
                name: "of the shapefile".to_owned(),
                why: "it has no .prj file, and its numbers are not longitude and latitude".to_owned(),
            });
        }
        Ok(problem.map_or(Ok(geometry), Err))
    }

    fn finish(mut self) -> Result<Reading, FileError> {
        let everywhere = Place::default();
        let mut remarks = Vec::new();
        match &self.projection {
            Some(projection) => remarks.extend(projection.note()),
            None if self.number > 0 => remarks.push(Finding::new(
                Severity::Warning,
                FindingCode::ProjectionAssumed,
                "the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude",
                "look at some places on a map, or add the .prj file",
            )),
            None => {}
        }
        match &mut self.rows {
            Some(rows) => {
                remarks.extend(rows.encoding_note());
                remarks.extend(rows.types_note());
                let rows = rows.count_to_end()?;
                if rows != self.number {
                    remarks.push(lengths_disagree(format!(
                        "the .shp has {} records and the .dbf {rows} rows",
                        self.number
                    )));
                }
            }
            None => remarks.push(Finding::new(
                Severity::Warning,
                FindingCode::AttributesMissing,
                "the archive has no .dbf file of the same name, so that nothing has an id or a name",
                "put the .dbf into the zip file",
            )),
        }
        remarks.extend(self.shapes.length_problem()?.map(lengths_disagree));
        for remark in remarks {
            self.collector.remark(&everywhere, remark);
        }
        self.skipped.tell(&mut self.collector);
        Ok(self.collector.finish())
    }
}

fn lengths_disagree(what: String) -> Finding {
    Finding::new(
        Severity::Warning,
        FindingCode::LengthsDisagree,
        what,
        "the file may be cut off or damaged; export it again",
    )
}

fn not_convertible([x, y]: Vertex, hint: &str) -> Finding {
    Finding::error(
        FindingCode::CoordinatesInvalid,
        format!("the position {x}, {y} can't be converted to longitude and latitude"),
        hint,
    )
}

fn geofence(mut values: Values, geometry: Geometry, options: &ReadOptions) -> Result<(Attributes, Drawn), Finding> {
    let radius = values.take(Field::Radius);
    let mut drawn = shape(geometry, "", radius.as_ref(), options)?;
    // Nobody chose the decimals: the file has binary numbers.
    drawn.is_too_precise = false;
    Ok((Attributes::read(values, options)?, drawn))
}
