//! Shapes across the antimeridian and round the poles against the same ones cut by another tool.

use std::path::Path;

use super::{data, options, read_text};
use crate::{
    files::Format,
    geo::{Position, Shape},
};

/// The file's only shape, if it is one.
fn shape(path: &Path) -> Option<Shape> {
    let geometry = std::fs::read_to_string(path).ok()?;
    let text = format!(r#"{{"type": "Feature", "id": 1, "properties": {{}}, "geometry": {geometry}}}"#);
    let reading = read_text(Format::GeoJson, &text, &options()).unwrap();
    reading
        .geofences
        .into_iter()
        .next()
        .map(|geofence| geofence.shape.clone())
}

/// On how many points of a grid the two don't say the same.
fn differences(a: &Shape, b: &Shape) -> usize {
    let grid = (0..358).flat_map(|x| (0..178).map(move |y| (f64::from(x) - 178.93, f64::from(y) - 88.91)));
    grid.map(|(x, y)| Position::new(y, x).unwrap())
        .filter(|point| a.contains(*point) != b.contains(*point))
        .count()
}

#[test]
fn uncut_shapes_are_what_they_are_when_cut() {
    let Some(folder) = data("nasty/antimeridian") else {
        return;
    };
    let (mut same, mut refused) = (0, Vec::new());
    for entry in std::fs::read_dir(folder.join("input")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // The other tool lost one of the two holes of `issues-171`.
        let Some(cut) = shape(&folder.join("output/flat").join(&name)).filter(|_| name != "issues-171.json") else {
            continue;
        };
        let Some(uncut) = shape(&path) else {
            refused.push(name);
            continue;
        };
        assert_eq!(differences(&uncut, &cut), 0, "{name}");
        let Shape::Polygons(polygons) = &uncut else {
            panic!("{name} is a circle");
        };
        let stored: Vec<Vec<Vec<[f64; 2]>>> = polygons
            .coordinates()
            .map(|rings| rings.map(<[[f64; 2]]>::to_vec).collect())
            .collect();
        let within = |vertex: &[f64; 2]| vertex[0].abs() <= 180.0;
        assert!(stored.iter().flatten().flatten().all(within), "{name}");
        let again = Shape::multi_polygon(stored).unwrap();
        assert_eq!(again, uncut, "{name}");
        assert_eq!(again.was_cut(), None, "{name}");
        same += 1;
    }
    assert!(same >= 20, "{same}");
    refused.sort();
    // They go round the Earth through both hemispheres, so that either pole could be inside.
    assert_eq!(
        refused,
        [
            "extra-crossing.json",
            "force-north-pole.json",
            "issues-124.json",
            "issues-164.json",
            "overlap.json"
        ]
    );
}
