use super::{options, read_text};
use crate::files::{Format, diff};

#[test]
fn a_diff_goes_by_identity() {
    let read = |rows: &str| {
        let text = format!("id,lat,lon,radius\n{rows}");
        read_text(Format::Csv, &text, &options()).unwrap().geofences
    };
    let old = read("a,1,1,100\nb,1,1,100\nc,1,1,100\n");
    let new = read("d,1,1,100\nc,1,1,100\nb,1,1,200\n");
    let diff = diff(&old, &new);
    let names =
        |ids: &[crate::domain::ids::GeofenceId]| -> Vec<String> { ids.iter().map(ToString::to_string).collect() };
    assert_eq!(names(&diff.added), ["stands/d"]);
    assert_eq!(names(&diff.changed), ["stands/b"]);
    assert_eq!(names(&diff.unchanged), ["stands/c"]);
    assert_eq!(names(&diff.removed), ["stands/a"]);
}
