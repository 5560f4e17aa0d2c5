//! KMZ: a zip archive with a KML file in it, and with images that nobody needs here.

use std::io::{Read, Seek};

use super::{
    FileError, Finding, FindingCode, Format, ReadOptions, Reading, Severity, Take,
    archive::{Archive, Entry},
    collect::{Collector, Place},
    finding::quote,
    kml,
};

pub(super) fn read<R: Read + Seek>(
    archive: &Archive<R>,
    options: &ReadOptions,
    take: Take<'_>,
) -> Result<Reading, FileError> {
    let found = archive.with_extension("kml");
    let Some(entry) = main_file(&found) else {
        return Err(archive.lacks("KML file"));
    };
    let content = archive.open_entry(entry)?;
    let mut collector = Collector::new(Format::Kmz, options, take);
    if found.len() > 1 {
        let others = found.len() - 1;
        let finding = Finding::new(
            Severity::Note,
            FindingCode::FileChosen,
            format!(
                "{} was read, and {others} other KML files in the archive were not",
                quote(&entry.name)
            ),
            "upload the others in archives or as files of their own",
        );
        collector.remark(&Place::default(), finding);
    }
    kml::read_into(content, &mut collector)?;
    Ok(collector.finish())
}

/// `doc.kml`, else the first at the root, else the first of all.
fn main_file<'a>(found: &[&'a Entry]) -> Option<&'a Entry> {
    let is_doc = |entry: &&&Entry| entry.name.eq_ignore_ascii_case("doc.kml");
    let is_at_root = |entry: &&&Entry| !entry.name.contains('/');
    let chosen = found.iter().find(is_doc).or_else(|| found.iter().find(is_at_root));
    chosen.or(found.first()).copied()
}
