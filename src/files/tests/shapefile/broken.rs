//! Shapefiles that are broken or hostile, wholly or in parts.

use insta::assert_snapshot;

use super::{projections::LONG_ISLAND, *};

#[test]
fn every_kind_of_record_has_its_outcome() {
    let points = |kind: i32, count: i32| {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend([0; 32]);
        bytes.extend(count.to_le_bytes());
        bytes.extend((0..count * 2).flat_map(|value| f64::from(value).to_le_bytes()));
        bytes
    };
    let claiming = |parts: i32, vertices: i32| {
        let mut bytes = polygon(5, &[square(0.0, 0.0, 1.0)]);
        bytes[36..40].copy_from_slice(&parts.to_le_bytes());
        bytes[40..44].copy_from_slice(&vertices.to_le_bytes());
        bytes
    };
    let mut point_z = point(5.0, 5.0);
    point_z[0] = 11;
    point_z.extend([0; 16]);
    let mut polygon_z = polygon(15, &[square(0.0, 0.0, 1.0)]);
    polygon_z.extend([0; 56]);
    let records = [
        ("point", point(1.0, 2.0)),
        ("pointZ", point_z),
        ("polygonZ", polygon_z),
        ("polygonM", polygon(25, &[square(0.0, 0.0, 1.0)])),
        ("onePoint", points(8, 1)),
        ("points", points(8, 2)),
        ("noPoints", points(8, 0)),
        ("null", 0_i32.to_le_bytes().to_vec()),
        ("line", polygon(3, &[square(0.0, 0.0, 1.0)])),
        ("patch", polygon(31, &[square(0.0, 0.0, 1.0)])),
        ("noRings", polygon(5, &[])),
        ("emptyRing", polygon(5, &[vec![]])),
        ("unknown", vec![77, 0, 0, 0]),
        ("nothing", vec![]),
        ("cut", point(1.0, 2.0)[..12].to_vec()),
        ("manyParts", claiming(i32::MAX, 5)),
        ("manyPoints", claiming(1, i32::MAX)),
        ("minus", claiming(-1, -1)),
        ("nan", point(f64::NAN, 1.0)),
        (
            "inf",
            polygon(5, &[vec![[0.0, 0.0], [f64::INFINITY, 1.0], [1.0, 1.0], [0.0, 0.0]]]),
        ),
        ("huge", point(1.0, 1e308)),
        ("deleted", point(3.0, 3.0)),
        ("last", point(9.0, 9.0)),
    ];
    let mut table = names(&records.each_ref().map(|(name, _)| *name));
    let at = table.len() - 1 - 2 * 21;
    table[at] = b'*';
    let prj = WGS84.replace("D_WGS_1984", "D_North_American_1983");
    let reading = shapefile(&shp(&records.map(|(_, record)| record)), &table, &prj).unwrap();
    assert_snapshot!(format!("{:?}\n{}", ids(&reading), findings(&reading)), @r#"
    ["stands/point", "stands/pointZ", "stands/polygonZ", "stands/polygonM", "stands/onePoint", "stands/last"]
    feature 6: error geometry_unsupported: 2 points can't be one geofence — make a feature of each point, with an id of its own, or draw a polygon
    feature 7: error geometry_missing: there is no geometry — draw a point or polygon for it, or leave it out
    feature 11: error geometry_missing: there is no geometry — draw a point or polygon for it, or leave it out
    feature 12: error geometry_missing: there is no geometry — draw a point or polygon for it, or leave it out
    feature 13: error row_unreadable: the record of 4 bytes holds no whole shape of its type — export the file again
    feature 14: error row_unreadable: the record of 0 bytes holds no whole shape of its type — export the file again
    feature 15: error row_unreadable: the record of 12 bytes holds no whole shape of its type — export the file again
    feature 16: error row_unreadable: the record of 128 bytes holds no whole shape of its type — export the file again
    feature 17: error row_unreadable: the record of 128 bytes holds no whole shape of its type — export the file again
    feature 18: error row_unreadable: the record of 128 bytes holds no whole shape of its type — export the file again
    feature 19: error coordinates_invalid: the position NaN, 1 can't be converted to longitude and latitude — give finite numbers
    feature 20: error coordinates_invalid: the position inf, 1 can't be converted to longitude and latitude — give finite numbers
    feature 21: error latitude_out_of_range: latitude 1e308 is not in -90 to 90 — give degrees (WGS84), not metres or degrees and minutes
    feature 8: note part_skipped: 1 record without a shape is left out — fine, unless they should be geofences: those need a point or a polygon
    feature 9: note part_skipped: 1 line is left out — fine, unless they should be geofences: those need a point or a polygon
    feature 10: note part_skipped: 1 multipatch is left out — fine, unless they should be geofences: those need a point or a polygon
    feature 22: note part_skipped: 1 deleted row is left out — fine, unless they should be geofences: those need a point or a polygon
    feature 1: warning id_from_name: there is no id; the name stands for it (5 more like it) — add `externalId`: with a new name it would be a new geofence
    feature 4: warning duplicate_geometry: this is where feature 3 is, with the same shape and tag — leave one of them out: a customer there would be in both
    feature 5: warning overlap: this overlaps feature 3, which has the same tag (1 more like it) — nothing to do, if that is meant: a customer may be in both, and a campaign for the tag sees two entries
    "#);
}

#[test]
fn what_is_no_whole_shapefile_is_refused() {
    let good = shp(&[point(1.0, 2.0), point(3.0, 4.0)]);
    let table = names(&["a", "b"]);
    let changed = |bytes: &[u8], at: usize, with: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    let claim = 0x7fff_ffff_i32;
    let cases = [
        ("two", zip(&[("a.shp", &good), ("x/b.shp", &good)])),
        ("no shp", zip(&[("a.dbf", &table)])),
        ("empty shp", zip(&[("a.shp", b"")])),
        ("wrong code", zip(&[("a.shp", &changed(&good, 0, &[1]))])),
        ("cut off in a record", zip(&[("a.shp", &good[..good.len() - 4])])),
        ("cut off after a record", zip(&[("a.shp", &good[..good.len() - 28])])),
        (
            "header claims 4 GB",
            zip(&[("a.shp", &changed(&good, 24, &claim.to_be_bytes()))]),
        ),
        (
            "header claims less",
            zip(&[("a.shp", &changed(&good, 24, &64_i32.to_be_bytes()))]),
        ),
        (
            "record claims 4 GB",
            zip(&[("a.shp", &changed(&good, 104, &claim.to_be_bytes()))]),
        ),
        ("no dbf", zip(&[("a.shp", &good)])),
        ("empty dbf", zip(&[("a.shp", &good), ("a.dbf", b"")])),
        (
            "dbf cut off",
            zip(&[("a.shp", &good), ("a.dbf", &table[..table.len() - 9])]),
        ),
        (
            "dbf rows too short",
            zip(&[("a.shp", &good), ("a.dbf", &changed(&table, 10, &[3, 0]))]),
        ),
        (
            "dbf header too long",
            zip(&[("a.shp", &good), ("a.dbf", &changed(&table, 8, &[255, 255]))]),
        ),
        (
            "dbf claims 4 billion rows",
            zip(&[("a.shp", &good), ("a.dbf", &changed(&table, 4, &[255; 4]))]),
        ),
        (
            "a row more",
            zip(&[("a.shp", &good), ("a.dbf", &names(&["a", "b", "c"]))]),
        ),
        ("a row less", zip(&[("a.shp", &good), ("a.dbf", &names(&["a"]))])),
    ];
    let verdicts = cases.map(
        |(name, bytes)| match read(&bytes, Format::Shapefile, &with_radius(100.0)) {
            Ok(reading) => format!("{name}: {:?}\n{}", ids(&reading), findings(&reading)),
            Err(error) => format!("{name}: {error}"),
        },
    );
    assert_snapshot!(verdicts.join("\n"), @r#"
    two: the zip file has several shapefiles in it: `a.shp`, `x/b.shp`; upload each in a zip of its own
    no shp: the zip file has no shapefile (.shp) in it; it has `a.dbf`
    empty shp: the shapefile can't be read: the .shp does not begin as one
    wrong code: the shapefile can't be read: the .shp does not begin as one
    cut off in a record: the shapefile can't be read: the .shp ends within record 2
    cut off after a record: []
    feature 1: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    warning attributes_missing: the archive has no .dbf file of the same name, so that nothing has an id or a name — put the .dbf into the zip file
    warning lengths_disagree: the .shp ends after 128 bytes, its header says 156 — the file may be cut off or damaged; export it again
    header claims 4 GB: []
    feature 1: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    feature 2: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    warning attributes_missing: the archive has no .dbf file of the same name, so that nothing has an id or a name — put the .dbf into the zip file
    warning lengths_disagree: the .shp ends after 156 bytes, its header says 4294967294 — the file may be cut off or damaged; export it again
    header claims less: []
    feature 1: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    warning attributes_missing: the archive has no .dbf file of the same name, so that nothing has an id or a name — put the .dbf into the zip file
    warning lengths_disagree: the .shp goes on for 28 bytes after the end that its header names — the file may be cut off or damaged; export it again
    record claims 4 GB: the shapefile can't be read: the .shp ends within record 1
    no dbf: []
    feature 1: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    feature 2: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    warning attributes_missing: the archive has no .dbf file of the same name, so that nothing has an id or a name — put the .dbf into the zip file
    empty dbf: the shapefile can't be read: the .dbf ends within its header
    dbf cut off: the shapefile can't be read: the .dbf ends within a row
    dbf rows too short: the shapefile can't be read: the .dbf has fields that are longer than its rows
    dbf header too long: the shapefile can't be read: the .dbf ends within its header
    dbf claims 4 billion rows: ["stands/a", "stands/b"]
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    feature 1: warning id_from_name: there is no id; the name stands for it (1 more like it) — add `externalId`: with a new name it would be a new geofence
    a row more: ["stands/a", "stands/b"]
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    warning lengths_disagree: the .shp has 2 records and the .dbf 3 rows — the file may be cut off or damaged; export it again
    feature 1: warning id_from_name: there is no id; the name stands for it (1 more like it) — add `externalId`: with a new name it would be a new geofence
    a row less: ["stands/a"]
    feature 2: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    warning lengths_disagree: the .shp has 2 records and the .dbf 1 rows — the file may be cut off or damaged; export it again
    feature 1: warning id_from_name: there is no id; the name stands for it — add `externalId`: with a new name it would be a new geofence
    "#);
}

#[test]
fn shapefiles_of_others_get_a_verdict() {
    let Some(folder) = data("nasty/shapefiles-pyshp") else {
        return;
    };
    let file = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let cases = [
        ("REL.zip", file("REL.zip")),
        ("blockgroups.zip", file("blockgroups.zip")),
        ("empty_zipfile.zip", file("empty_zipfile.zip")),
        ("latin1.shp", file("latin1.shp")),
        (
            "latin1",
            zip(&[("a.shp", &file("latin1.shp")), ("a.dbf", &file("latin1.dbf"))]),
        ),
        (
            "corrupt_too_long",
            zip(&[
                ("a.shp", &file("corrupt_too_long.shp")),
                ("a.dbf", &file("corrupt_too_long.dbf")),
            ]),
        ),
    ];
    let verdicts = cases.map(
        |(name, bytes)| match read(&bytes, Format::Shapefile, &with_radius(100.0)) {
            Ok(reading) => {
                let found = findings(&reading);
                let some: Vec<&str> = found.lines().filter(|line| !line.contains("error")).collect();
                let first = found.lines().next().unwrap_or_default();
                format!(
                    "{name}: {} of {} accepted\n{first}\n{}",
                    reading.accepted,
                    reading.read,
                    some.join("\n")
                )
            }
            Err(error) => format!("{name}: {error}"),
        },
    );
    assert_snapshot!(verdicts.join("\n"), @r"
    REL.zip: 1 of 1 accepted
    note reprojected: coordinates were converted from `MGI_Austria_Lambert` to WGS84 — they are good to a few metres; save the file in WGS84 (EPSG:4326) if you need better
    note reprojected: coordinates were converted from `MGI_Austria_Lambert` to WGS84 — they are good to a few metres; save the file in WGS84 (EPSG:4326) if you need better
    blockgroups.zip: 0 of 663 accepted
    feature 1: error id_missing: there is neither an id nor a name — add `externalId`: a text or number that stays the same in later uploads
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    empty_zipfile.zip: the zip file has no shapefile (.shp) in it; it has `dummyfile.txt`
    latin1.shp: a .shp file alone has no names and no coordinate system; upload a zip file with the .dbf and .prj beside it
    latin1: 1 of 1 accepted
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    note encoding_guessed: the .dbf is not UTF-8 and names no encoding that is known here; it was read as Windows-1252 — check the accents, or put a .cpg file that says UTF-8 into the zip file
    corrupt_too_long: the shapefile can't be read: the .shp ends within record 11
    ");
}

#[test]
fn files_are_broken_in_every_way() {
    let shp = shp(&[
        polygon(5, &[square(0.0, 0.0, 9.0), turned(square(1.0, 1.0, 1.0))]),
        point(1.0, 2.0),
    ]);
    let table = dbf(
        &[("ID", b'N', 3), ("NAME", b'C', 4)],
        &[
            vec!["1".to_owned(), "a".to_owned()],
            vec!["2".to_owned(), "é".to_owned()],
        ],
    );
    // Stored, so that what is broken is not only the packing.
    let stored = |name, content| {
        let mut packed = Packed::new(name, content);
        packed.is_deflated = false;
        packed
    };
    let sample = zip_of(&[
        stored("a.shp", &shp),
        stored("a.dbf", &table),
        stored("a.prj", LONG_ISLAND.as_bytes()),
    ]);
    fuzz::every_beginning(Format::Zip, &sample);
    let pack = |shp: &[u8], dbf: &[u8], prj: &[u8]| zip(&[("a.shp", shp), ("a.dbf", dbf), ("a.prj", prj)]);
    for length in 0..=shp.len() {
        fuzz::verdict(Format::Zip, &pack(&shp[..length], &table, b""));
        fuzz::verdict(
            Format::Zip,
            &pack(&shp, &table[..length.min(table.len())], WGS84.as_bytes()),
        );
        let prj = &LONG_ISLAND.as_bytes()[..length.min(LONG_ISLAND.len())];
        fuzz::verdict(Format::Zip, &pack(&shp, &table, prj));
    }
    fuzz::broken_copies(Format::Shapefile, &sample);
    fuzz::broken_parts(&shp, |shp| {
        fuzz::verdict(Format::Zip, &zip(&[("a.shp", shp), ("a.dbf", &table)]));
    });
    fuzz::broken_parts(&table, |table| {
        fuzz::verdict(Format::Zip, &zip(&[("a.shp", &shp), ("a.dbf", table)]));
    });
    fuzz::broken_parts(LONG_ISLAND.as_bytes(), |prj| {
        fuzz::verdict(Format::Zip, &zip(&[("a.shp", &shp), ("a.dbf", &table), ("a.prj", prj)]));
    });
}
