//! KMZ and other archives, good and hostile.

use insta::assert_snapshot;

use super::{
    data, findings, fuzz, ids, options, read, with_radius,
    zipping::{Packed, zip, zip_of},
};
use crate::files::{FileError, Format};

fn placemark(name: &str) -> String {
    format!("<Placemark><name>{name}</name><Point><coordinates>1,2</coordinates></Point></Placemark>")
}

#[test]
fn the_main_file_is_found() {
    let [a, b, c] = ["a", "b", "c"].map(placemark);
    let [a, b, c] = [&a, &b, &c].map(String::as_bytes);
    for (files, expected) in [
        (vec![("a.kml", a), ("doc.kml", b), ("x/doc.kml", c)], "stands/b"),
        (vec![("x/a.kml", a), ("b.KML", b), ("c.kml", c)], "stands/b"),
        (vec![("x/a.kml", a), ("y/b.kml", b)], "stands/a"),
        (
            vec![("__MACOSX/._doc.kml", c), ("images/x.png", b), ("../../etc/a.kml", a)],
            "stands/a",
        ),
    ] {
        for format in [Format::Kmz, Format::Zip] {
            let reading = read(&zip(&files), format, &with_radius(100.0)).unwrap();
            assert_eq!(ids(&reading), [expected]);
            assert_eq!(reading.format, Format::Kmz);
            let kmls = files
                .iter()
                .filter(|(name, _)| !name.contains("MACOSX") && !name.contains("png"))
                .count();
            assert_eq!(findings(&reading).contains("file_chosen"), kmls > 1);
        }
    }
}

#[test]
fn what_cannot_be_unpacked_is_refused_with_the_reason() {
    let text = placemark("a");
    let good = Packed::new("doc.kml", text.as_bytes());
    let with = |change: fn(&mut Packed<'_>)| {
        let mut packed = Packed::new("doc.kml", text.as_bytes());
        change(&mut packed);
        zip_of(&[packed])
    };
    let archive = zip_of(&[good]);
    let overlapping = {
        let mut bytes = zip(&[("a.kml", text.as_bytes()), ("b.kml", text.as_bytes())]);
        let at = bytes.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
        bytes[at + 42..at + 46].fill(0);
        bytes
    };
    let bomb = vec![b' '; 20 * 1024 * 1024];
    let cases = [
        ("nothing", Vec::new()),
        ("no zip", text.clone().into_bytes()),
        ("no files", zip(&[])),
        ("no KML", zip(&[("a.txt", b"a"), ("b/", b""), ("c/d.png", b"c")])),
        ("cut off", archive[..archive.len() - 30].to_vec()),
        ("encrypted", with(|packed| packed.flags = 1)),
        ("bzip2", with(|packed| packed.method = Some(12))),
        ("wrong checksum", with(|packed| packed.crc_error = 1)),
        ("stored as deflated", with(|packed| packed.method = Some(0))),
        (
            "deflated as stored",
            with(|packed| (packed.is_deflated, packed.method) = (false, Some(8))),
        ),
        (
            "claims 2 GB packed",
            with(|packed| packed.claimed = Some((0x7fff_ffff, 10))),
        ),
        ("overlapping", overlapping),
        ("bomb", zip(&[("doc.kml", &bomb)])),
    ];
    let errors = cases.map(|(name, bytes)| format!("{name}: {}", read(&bytes, Format::Zip, &options()).unwrap_err()));
    assert_snapshot!(errors.join("\n"), @r"
    nothing: the file is empty
    no zip: the zip file can't be unpacked: it has no directory at its end; it is cut off, or no zip file
    no files: the zip file has no shapefile (.shp) or KML file in it; it has no files
    no KML: the zip file has no shapefile (.shp) or KML file in it; it has `a.txt`, `c/d.png`
    cut off: the zip file can't be unpacked: it has no directory at its end; it is cut off, or no zip file
    encrypted: the zip file can't be unpacked: `doc.kml` is encrypted; pack it without a password
    bzip2: the zip file can't be unpacked: `doc.kml` is packed by method 12; only deflate and none are read
    wrong checksum: the zip file can't be unpacked: `doc.kml` is damaged
    stored as deflated: the zip file can't be unpacked: `doc.kml` is damaged
    deflated as stored: the zip file can't be unpacked: `doc.kml` is damaged
    claims 2 GB packed: the zip file can't be unpacked: `doc.kml` and what follows it overlap
    overlapping: the zip file can't be unpacked: `a.kml` and what follows it overlap
    bomb: the zip file can't be unpacked: `doc.kml` becomes more than 300 times longer when unpacked
    ");
}

#[test]
fn claimed_lengths_do_not_matter() {
    let text = placemark("a");
    for claimed in [0, 1, 0x7fff_ffff, 0xffff_fffe] {
        let mut packed = Packed::new("doc.kml", text.as_bytes());
        packed.is_deflated = false;
        packed.claimed = Some((text.len() as u32, claimed));
        assert_eq!(
            ids(&read(&zip_of(&[packed]), Format::Kmz, &with_radius(100.0)).unwrap()),
            ["stands/a"]
        );
    }
}

#[test]
fn lengths_may_be_in_the_extra_field() {
    let text = placemark("a");
    let mut packed = Packed::new("doc.kml", text.as_bytes());
    packed.is_deflated = false;
    packed.claimed = Some((u32::MAX, u32::MAX));
    let length = (text.len() as u64).to_le_bytes();
    packed.extra = [b"\x99\x99\x01\0x\x01\0\x10\0".as_slice(), &length, &length].concat();
    let reading = read(&zip_of(&[packed]), Format::Kmz, &with_radius(100.0)).unwrap();
    assert_eq!(ids(&reading), ["stands/a"]);
}

#[test]
fn everything_together_is_bounded() {
    let text = format!("<kml>{}</kml>", placemark(&"x".repeat(100)).repeat(1000));
    let bytes = zip(&[("doc.kml", text.as_bytes())]);
    let mut options = with_radius(100.0);
    options.limits.bytes_max = 100_000;
    let error = read(&bytes, Format::Kmz, &options).unwrap_err();
    assert!(matches!(error, FileError::TooLong { bytes_max: 100_000 }), "{error}");
    options.limits.bytes_max = 50;
    let error = read(&bytes, Format::Kmz, &options).unwrap_err();
    assert!(matches!(error, FileError::TooLong { bytes_max: 50 }), "{error}");
}

#[test]
fn archives_of_others_get_a_verdict() {
    let mut verdicts = Vec::new();
    for name in [
        "bad-pk-data",
        "bad-too-large",
        "doc",
        "hier",
        "multikml-doc",
        "multikml-nodoc",
        "nokml",
        "overflow_bad_offset",
        "overflow_corrupted_stack",
        "overflow_unzOpenCurrentFile",
        "overflow_unzReadCurrentFile",
    ] {
        let Some(path) = data(&format!("nasty/kmz-libkml/{name}.kmz")) else {
            return;
        };
        let verdict = match read(&std::fs::read(path).unwrap(), Format::Kmz, &with_radius(100.0)) {
            Ok(reading) => format!("{name}: {} accepted\n{}", reading.accepted, findings(&reading)),
            Err(error) => format!("{name}: {error}"),
        };
        verdicts.push(verdict);
    }
    assert_snapshot!(verdicts.join("\n"), @r"
    bad-pk-data: 1 accepted
    line 3: warning id_from_name: there is no id; the name stands for it — add `externalId`: with a new name it would be a new geofence
    line 3: note precision_needless: a coordinate has more than seven decimals, and the seventh is a centimetre — nothing to do; rounded to seven decimals the file would be smaller
    bad-too-large: 0 accepted
    line 3: error row_unreadable: `&ent;` is not known, and a DTD's entities are not looked up — write the character itself, or its number like `&#233;`
    line 1: note dtd_ignored: the document type declaration (DTD) is passed over — nothing that it declares or links to is used
    doc: 0 accepted
    note file_chosen: `doc.kml` was read, and 1 other KML files in the archive were not — upload the others in archives or as files of their own
    line 1: note part_skipped: 1 placemark without a geometry is left out — fine, unless they should be geofences: those need a point or a polygon
    warning nothing_found: the file holds no rows or features — an upload of it is refused while the set has geofences
    hier: 0 accepted
    note file_chosen: `doc.kml` was read, and 1 other KML files in the archive were not — upload the others in archives or as files of their own
    line 3: note part_skipped: 2 network links are left out — fine, unless they should be geofences: those need a point or a polygon
    warning nothing_found: the file holds no rows or features — an upload of it is refused while the set has geofences
    multikml-doc: 0 accepted
    note file_chosen: `b.kml` was read, and 3 other KML files in the archive were not — upload the others in archives or as files of their own
    line 1: note part_skipped: 1 placemark without a geometry is left out — fine, unless they should be geofences: those need a point or a polygon
    warning nothing_found: the file holds no rows or features — an upload of it is refused while the set has geofences
    multikml-nodoc: 0 accepted
    note file_chosen: `b.kml` was read, and 2 other KML files in the archive were not — upload the others in archives or as files of their own
    line 1: note part_skipped: 1 placemark without a geometry is left out — fine, unless they should be geofences: those need a point or a polygon
    warning nothing_found: the file holds no rows or features — an upload of it is refused while the set has geofences
    nokml: the zip file has no KML file in it; it has `hi.txt`, `foo/bar/bar.txt`, `foo/foo.txt`
    overflow_bad_offset: the zip file can't be unpacked: `kmlsamples.kml` and what follows it overlap
    overflow_corrupted_stack: the zip file can't be unpacked: `kmlsamples.kml` and what follows it overlap
    overflow_unzOpenCurrentFile: the zip file can't be unpacked: `kmlsamples.kml` and what follows it overlap
    overflow_unzReadCurrentFile: the zip file can't be unpacked: `kmlsamples.kml` is damaged
    ");
}

#[test]
fn files_are_broken_in_every_way() {
    let text = format!("<kml>{}{}</kml>", placemark("a"), placemark("b"));
    let mut packed = Packed::new("b.txt", b"b");
    packed.is_deflated = false;
    let sample = zip_of(&[Packed::new("doc.kml", text.as_bytes()), packed]);
    fuzz::every_beginning(Format::Zip, &sample);
    for format in [Format::Kmz, Format::Zip] {
        fuzz::broken_copies(format, &sample);
    }
}
