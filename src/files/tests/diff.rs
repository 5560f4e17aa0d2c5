use std::sync::Arc;

use super::{options, read_text};
use crate::{
    domain::geofence::Geofence,
    files::{Differ, Difference, Format, Identities},
};

#[test]
fn an_upload_is_compared_by_identity() {
    let read = |rows: &[&str]| -> Vec<Arc<Geofence>> {
        let text = format!("id,lat,lon,radius\n{}", rows.join("\n"));
        let read = read_text(Format::Csv, &text, &options()).unwrap();
        read.geofences.into_iter().map(Arc::new).collect()
    };
    let old = read(&["same,1,1,100", "moved,1,1,100", "gone,1,1,100"]);
    let new = read(&["new,1,1,100", "moved,1,2,100", "same,1,1,100"]);
    let mut differ = Differ::new(old);
    let seen: Vec<Difference> = new.iter().map(|geofence| differ.see(geofence)).collect();
    assert_eq!(seen, [Difference::Added, Difference::Changed, Difference::Unchanged]);
    let diff = differ.finish();
    let ids = |list: &Identities| -> Vec<String> {
        assert_eq!(list.count, list.named.len() as u64);
        list.named.iter().map(|id| id.external_id.to_string()).collect()
    };
    assert_eq!(ids(&diff.added), ["new"]);
    assert_eq!(ids(&diff.changed), ["moved"]);
    assert_eq!(ids(&diff.unchanged), ["same"]);
    assert_eq!(ids(&diff.removed), ["gone"]);
}
