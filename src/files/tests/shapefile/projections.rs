//! Coordinate systems: what is computed by other formulas, and what is known of places.

use insta::assert_snapshot;

use super::*;

/// Lambert's conformal conic with two standard parallels after Snyder, "Map projections", page 107: feet of New York's
/// Long Island zone (EPSG:2263) on GRS80.
fn long_island_feet(longitude: f64, latitude: f64) -> [f64; 2] {
    let (semi_major, flattening) = (6_378_137.0, 1.0 / 298.257_222_101);
    let eccentricity = f64::sqrt(flattening * (2.0 - flattening));
    let m = |phi: f64| phi.cos() / (1.0 - (eccentricity * phi.sin()).powi(2)).sqrt();
    let t = |phi: f64| {
        let es = eccentricity * phi.sin();
        (std::f64::consts::FRAC_PI_4 - phi / 2.0).tan() / ((1.0 - es) / (1.0 + es)).powf(eccentricity / 2.0)
    };
    let degrees = |degrees: f64, minutes: f64| (degrees + minutes / 60.0).to_radians();
    let (south, north, origin) = (degrees(40.0, 40.0), degrees(41.0, 2.0), degrees(40.0, 10.0));
    let n = (m(south).ln() - m(north).ln()) / (t(south).ln() - t(north).ln());
    let f = m(south) / (n * t(south).powf(n));
    let rho = |phi: f64| semi_major * f * t(phi).powf(n);
    let theta = n * (longitude + 74.0).to_radians();
    let at = rho(latitude.to_radians());
    let foot = 1200.0 / 3937.0;
    [300_000.0 + at * theta.sin(), rho(origin) - at * theta.cos()].map(|metres| metres / foot)
}

pub(super) const LONG_ISLAND: &str = r#"PROJCS["NAD_1983_StatePlane_New_York_Long_Island_FIPS_3104_Feet",GEOGCS["GCS_North_American_1983",DATUM["D_North_American_1983",SPHEROID["GRS_1980",6378137.0,298.257222101]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],PROJECTION["Lambert_Conformal_Conic"],PARAMETER["False_Easting",984250.0],PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",-74.0],PARAMETER["Standard_Parallel_1",40.66666666666666],PARAMETER["Standard_Parallel_2",41.03333333333333],PARAMETER["Latitude_Of_Origin",40.16666666666666],UNIT["Foot_US",0.3048006096012192]]"#;

/// Where points come to, longitude and latitude.
fn places(prj: &str, points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let records: Vec<Vec<u8>> = points.iter().map(|[x, y]| point(*x, *y)).collect();
    let ids: Vec<String> = (0..points.len()).map(|id| id.to_string()).collect();
    let found = shapefile(
        &shp(&records),
        &names(&ids.iter().map(String::as_str).collect::<Vec<_>>()),
        prj,
    )
    .unwrap();
    found
        .geofences
        .iter()
        .map(|geofence| match geofence.shape {
            Shape::Circle { center, .. } => [center.longitude, center.latitude],
            Shape::Polygons(_) => panic!("no circle"),
        })
        .collect()
}

#[test]
fn feet_of_long_island_become_degrees_to_the_centimetre() {
    // A ten-millionth of a degree is a centimetre, and what is found was rounded to it.
    const TOLERANCE: f64 = 0.6e-7;
    let expected = [
        [-73.78, 40.64],
        [-74.17, 40.69],
        [-73.874, 40.774],
        [-72.0, 41.0],
        [-74.0, 40.1666],
    ];
    let found = places(
        LONG_ISLAND,
        &expected.map(|[longitude, latitude]| long_island_feet(longitude, latitude)),
    );
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found[0] - expected[0]).abs() < TOLERANCE, "{found:?} {expected:?}");
        assert!((found[1] - expected[1]).abs() < TOLERANCE, "{found:?} {expected:?}");
    }
}

#[test]
fn the_taxi_zones_of_new_york_are_where_they_should_be() {
    let Some(path) = data("geofences/nyc_taxi_zones_shapefile.zip") else {
        return;
    };
    let reading = read(&std::fs::read(path).unwrap(), Format::Zip, &options()).unwrap();
    assert_eq!(
        (reading.format, reading.read, reading.accepted),
        (Format::Shapefile, 263, 260)
    );
    assert_snapshot!(findings(&reading), @r"
    feature 57: error duplicate_identity: `stands/56` appears again, first as feature 56 — the first one is kept; give each geofence an id of its own
    feature 104: error duplicate_identity: `stands/103` appears again, first as feature 103 — the first one is kept; give each geofence an id of its own
    feature 105: error duplicate_identity: `stands/103` appears again, first as feature 103 — the first one is kept; give each geofence an id of its own
    note reprojected: coordinates were converted from `NAD_1983_StatePlane_New_York_Long_Island_FIPS_3104_Feet` to WGS84 — they are good to a few metres; save the file in WGS84 (EPSG:4326) if you need better
    ");
    for (id, zone, latitude, longitude) in [
        ("132", "JFK Airport", 40.64, -73.78),
        ("138", "LaGuardia Airport", 40.774, -73.874),
        ("1", "Newark Airport", 40.69, -74.17),
        ("161", "Midtown Center", 40.7587, -73.9787),
    ] {
        let geofence = reading
            .geofences
            .iter()
            .find(|geofence| geofence.id.external_id.to_string() == id)
            .unwrap();
        assert_eq!(geofence.metadata.to_map()["zone"], zone);
        let at = Position::new(latitude, longitude).unwrap();
        assert!(geofence.shape.contains(at), "{zone}");
        let inside = reading.geofences.iter().filter(|other| other.shape.contains(at));
        assert_eq!(inside.count(), 1, "{zone}");
    }
}

#[test]
fn other_systems_are_converted_too() {
    let geogcs = |name: &str, datum: &str, spheroid: &str| {
        format!(
            r#"GEOGCS["{name}",DATUM["{datum}",SPHEROID[{spheroid}]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]"#
        )
    };
    let wgs84 = r#""WGS_1984",6378137.0,298.257223563"#;
    let british = geogcs("GCS_OSGB_1936", "D_OSGB_1936", r#""Airy_1830",6377563.396,299.3249646"#);
    let dutch = geogcs(
        "GCS_Amersfoort",
        "D_Amersfoort",
        r#""Bessel_1841",6377397.155,299.1528128"#,
    );
    let web = geogcs("GCS_WGS_1984", "D_WGS_1984", wgs84);
    // Web Mercator's own formulas.
    let (longitude, latitude) = (8.5_f64, 47.3_f64);
    let mercator = [
        6_378_137.0 * longitude.to_radians(),
        6_378_137.0 * (std::f64::consts::FRAC_PI_4 + latitude.to_radians() / 2.0).tan().ln(),
    ];
    for (name, prj, at, expected, tolerance) in [
        (
            "Web Mercator",
            format!(
                r#"PROJCS["WGS_1984_Web_Mercator_Auxiliary_Sphere",{web},PROJECTION["Mercator_Auxiliary_Sphere"],PARAMETER["False_Easting",0.0],PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",0.0],PARAMETER["Standard_Parallel_1",0.0],PARAMETER["Auxiliary_Sphere_Type",0.0],UNIT["Meter",1.0]]"#
            ),
            mercator,
            [longitude, latitude],
            1e-7,
        ),
        (
            // On its central meridian, where the easting is known without a formula.
            "UTM 32",
            format!(
                r#"PROJCS["WGS_1984_UTM_Zone_32N",{web},PROJECTION["Transverse_Mercator"],PARAMETER["False_Easting",500000.0],PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",9.0],PARAMETER["Scale_Factor",0.9996],PARAMETER["Latitude_Of_Origin",0.0],UNIT["Meter",1.0]]"#
            ),
            [500_000.0, 0.0],
            [9.0, 0.0],
            1e-9,
        ),
        (
            // The water tower of Caister in the Ordnance Survey's guide to coordinate systems.
            "British National Grid",
            format!(
                r#"PROJCS["British_National_Grid",{british},PROJECTION["Transverse_Mercator"],PARAMETER["False_Easting",400000.0],PARAMETER["False_Northing",-100000.0],PARAMETER["Central_Meridian",-2.0],PARAMETER["Scale_Factor",0.9996012717],PARAMETER["Latitude_Of_Origin",49.0],UNIT["Meter",1.0]]"#
            ),
            [651_409.903, 313_177.270],
            [1.716_07, 52.658_0],
            1e-4,
        ),
        (
            // The tower of Amersfoort, the origin of the Dutch grid.
            "RD New",
            format!(
                r#"PROJCS["RD_New",{dutch},PROJECTION["Double_Stereographic"],PARAMETER["False_Easting",155000.0],PARAMETER["False_Northing",463000.0],PARAMETER["Central_Meridian",5.38763888888889],PARAMETER["Scale_Factor",0.9999079],PARAMETER["Latitude_Of_Origin",52.15616055555555],UNIT["Meter",1.0]]"#
            ),
            [155_000.0, 463_000.0],
            [5.387_206, 52.155_174],
            5e-5,
        ),
        ("WGS84", WGS84.to_owned(), [8.5, 47.3], [8.5, 47.3], 0.0),
    ] {
        let found = places(&prj, &[at])[0];
        let is_near = |axis: usize| (found[axis] - expected[axis]).abs() <= tolerance;
        assert!(is_near(0) && is_near(1), "{name}: {found:?} {expected:?}");
    }
}

#[test]
fn systems_that_cannot_be_converted_are_refused_by_name() {
    let shp = shp(&[point(1.0, 2.0)]);
    let with_datum = |datum: &str, a: &str| {
        format!(
            r#"GEOGCS["Ours",DATUM["{datum}",SPHEROID["x",{a}]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]"#
        )
    };
    let errors = [
        ("nothing", String::new()),
        ("junk", "hello".to_owned()),
        ("deep", "A[".repeat(5000)),
        ("unknown datum", with_datum("D_Pulkovo_1942", "6378245.0,298.3")),
        ("grads", WGS84.replace("\"Degree\",0.0174532925199433", "\"Grad\",0.015707963267949")),
        ("unknown projection", format!(r#"PROJCS["Mine",{WGS84},PROJECTION["Origami"],UNIT["Meter",1.0]]"#)),
        (
            "grid",
            format!(r#"PROJCS["Mine",{WGS84},PROJECTION["Origami"],UNIT["Meter",1.0],EXTENSION["PROJ4","+proj=longlat +nadgrids=/etc/passwd"]]"#),
        ),
        ("nan", with_datum("D_x", "nan,nan")),
    ]
    .map(|(name, prj)| format!("{name}: {}", shapefile(&shp, &names(&["a"]), &prj).unwrap_err()));
    assert_snapshot!(errors.join("\n"), @r"
    nothing: the coordinate system `` can't be converted to longitude and latitude: its description can't be read; save the shapefile in WGS84 (EPSG:4326)
    junk: the coordinate system `` can't be converted to longitude and latitude: its description can't be read; save the shapefile in WGS84 (EPSG:4326)
    deep: the coordinate system `` can't be converted to longitude and latitude: its description is too long or nests too deep; save the shapefile in WGS84 (EPSG:4326)
    unknown datum: the coordinate system `Ours` can't be converted to longitude and latitude: how far its datum `D_Pulkovo_1942` is from WGS84 is not known here; save the shapefile in WGS84 (EPSG:4326)
    grads: the coordinate system `GCS_WGS_1984` can't be converted to longitude and latitude: its angles are not in degrees; save the shapefile in WGS84 (EPSG:4326)
    unknown projection: the coordinate system `Mine` can't be converted to longitude and latitude: its projection `Origami` is not known here or not complete; save the shapefile in WGS84 (EPSG:4326)
    grid: the coordinate system `Mine` can't be converted to longitude and latitude: it needs a grid of shifts; save the shapefile in WGS84 (EPSG:4326)
    nan: the coordinate system `Ours` can't be converted to longitude and latitude: its description can't be read; save the shapefile in WGS84 (EPSG:4326)
    ");
}

#[test]
fn without_a_prj_degrees_are_assumed_where_they_fit() {
    let (degrees, feet) = (shp(&[point(-73.78, 40.64)]), shp(&[point(1_045_000.0, 172_000.0)]));
    let table = names(&["a"]);
    let reading = read(
        &zip(&[("b.shp", &degrees), ("b.dbf", &table)]),
        Format::Shapefile,
        &with_radius(100.0),
    )
    .unwrap();
    assert_eq!(ids(&reading), ["stands/a"]);
    assert_snapshot!(findings(&reading), @r"
    warning projection_assumed: the archive has no .prj file; the coordinates were taken as WGS84 longitude and latitude — look at some places on a map, or add the .prj file
    feature 1: warning id_from_name: there is no id; the name stands for it — add `externalId`: with a new name it would be a new geofence
    ");
    let error = read(
        &zip(&[("b.shp", &feet), ("b.dbf", &table)]),
        Format::Shapefile,
        &options(),
    )
    .unwrap_err();
    assert_snapshot!(error, @"the coordinate system of the shapefile can't be converted to longitude and latitude: it has no .prj file, and its numbers are not longitude and latitude; save the shapefile in WGS84 (EPSG:4326)");
}
