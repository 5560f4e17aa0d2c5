//! Single edits on top of packed geofences against packing everything anew.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use proptest::prelude::*;

use super::{Edit, Places};
use crate::{
    domain::{
        beacon::{BeaconId, BeaconSighting},
        checkin::CheckIn,
        geofence::Geofence,
        ids::{CauseId, DeviceId, ExternalId, GeofenceId, SetName, Tag},
        time::Timestamp,
    },
    geo::{Position, Shape},
};

fn id(number: u8) -> GeofenceId {
    GeofenceId {
        tag: Tag::new("shop").unwrap(),
        external_id: ExternalId::new(number.to_string()).unwrap(),
    }
}

fn beacon(number: u8) -> BeaconId {
    BeaconId::Eddystone {
        namespace: [number; 10],
        instance: [0; 6],
    }
}

fn geofence(number: u8, set: &str, east: u8, enabled: bool) -> Arc<Geofence> {
    let center = Position::new(46.0, f64::from(east) * 0.001).unwrap();
    Arc::new(Geofence {
        set: SetName::new(set).unwrap(),
        enabled,
        beacons: vec![beacon(east % 3).into()],
        codes: vec![format!("code-{}", east % 3)],
        ..Geofence::new(id(number), Shape::circle(center, 100.0).unwrap())
    })
}

/// One of three sets, so that several have the same identities.
fn set(number: u8, east: u8) -> &'static str {
    ["a", "b", "c"][usize::from((number + east) % 3)]
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = (0..12_u8, 0..8_u8, 0..4_u8).prop_map(|(number, east, kind)| match kind {
        0 => Edit::Remove(SetName::new(set(number, east)).unwrap(), id(number)),
        kind => Edit::Put(geofence(number, set(number, east), east, kind != 1)),
    });
    prop::collection::vec(edit, 0..30)
}

type Content = BTreeMap<(SetName, GeofenceId), Arc<Geofence>>;

fn base() -> impl Strategy<Value = Content> {
    let one = (0..12_u8, 0..8_u8, prop::bool::weighted(0.8));
    prop::collection::vec(one, 0..20).prop_map(|all| {
        let geofences = all
            .into_iter()
            .map(|(number, east, enabled)| geofence(number, set(number, east), east, enabled));
        geofences
            .map(|geofence| ((geofence.set.clone(), geofence.id.clone()), geofence))
            .collect()
    })
}

fn ids(places: &Places, found: impl IntoIterator<Item = u32>) -> Vec<GeofenceId> {
    let mut ids: Vec<GeofenceId> = found.into_iter().map(|place| places.get(place).id.clone()).collect();
    ids.sort();
    ids
}

fn check_in(east: u8) -> CheckIn {
    CheckIn {
        id: CauseId::new("c").unwrap(),
        device: DeviceId::new("d").unwrap(),
        at: Timestamp(0),
        location: None,
        beacons: Some(vec![BeaconSighting {
            id: beacon(east % 3),
            rssi_dbm: None,
        }]),
        code: Some(format!("code-{}", east % 3)),
        regions: false,
    }
}

proptest! {
    #[test]
    fn edits_on_top_are_the_same_as_packing_anew(base in base(), edits in edits()) {
        let mut places = Places::build(base.values().cloned());
        let mut content = base;
        for edit in edits {
            let key = (edit.key().0.clone(), edit.key().1.clone());
            match &edit {
                Edit::Put(geofence) => content.insert(key, Arc::clone(geofence)),
                Edit::Remove(..) => content.remove(&key),
            };
            places = places.with_edit(edit);
        }
        for places in [&places, &places.repacked()] {
            let packed = Places::build(content.values().cloned());
            prop_assert_eq!(places.len(), packed.len());
            let visible: BTreeMap<&GeofenceId, &Arc<Geofence>> = content.iter().map(|((_, id), geofence)| (id, geofence)).collect();
            prop_assert_eq!(places.iter().count(), visible.len());
            prop_assert!(places.in_order(None, None).eq(visible.values().copied()));
            prop_assert!(places.in_order(None, Some(&id(5))).eq(visible.range::<GeofenceId, _>((Bound::Excluded(&id(5)), Bound::Unbounded)).map(|(_, geofence)| *geofence)));
            for name in ["a", "b", "c"].map(|name| SetName::new(name).unwrap()) {
                let mut of_set: Vec<GeofenceId> = places.of_set(&name).iter().map(|geofence| geofence.id.clone()).collect();
                of_set.sort();
                let expected: Vec<GeofenceId> = content.keys().filter(|(set, _)| *set == name).map(|(_, id)| id.clone()).collect();
                prop_assert_eq!(of_set, expected);
            }
            for number in 0..12 {
                prop_assert_eq!(places.lookup(&id(number)), visible.get(&id(number)).map(AsRef::as_ref));
                prop_assert_eq!(places.find(&id(number)).is_some(), packed.find(&id(number)).is_some());
            }
            for east in 0..8 {
                let at = Position::new(46.0, f64::from(east) * 0.001).unwrap();
                let (mut found, mut expected) = (Vec::new(), Vec::new());
                places.containing(at, &mut found);
                packed.containing(at, &mut expected);
                prop_assert_eq!(ids(places, found), ids(&packed, expected));
                let metres = |places: &Places| -> Vec<f64> {
                    places.nearest(at, 5).into_iter().map(|(_, inside_m)| inside_m).collect()
                };
                prop_assert_eq!(metres(places), metres(&packed));
                let matched = |places: &Places| {
                    ids(places, places.matching(&check_in(east)).into_iter().map(|seen| seen.place))
                };
                prop_assert_eq!(matched(places), matched(&packed));
            }
        }
    }
}

#[test]
fn a_geofence_that_another_set_hides_comes_back_when_that_set_goes() {
    let [a, b] = ["a", "b"].map(|name| SetName::new(name).unwrap());
    let both = Places::default()
        .with_set(&b, vec![geofence(1, "b", 2, true)])
        .with_set(&a, vec![geofence(1, "a", 1, true)]);
    assert_eq!((both.len(), both.lookup(&id(1)).map(|found| &found.set)), (1, Some(&b)));
    let rest = both.with_set(&b, Vec::new());
    assert_eq!((rest.len(), rest.lookup(&id(1)).map(|found| &found.set)), (1, Some(&a)));
}

#[test]
fn a_set_that_is_replaced_takes_its_edits_along_and_no_others() {
    let [a, b] = ["a", "b"].map(|name| SetName::new(name).unwrap());
    let places = Places::default()
        .with_set(&a, vec![geofence(1, "a", 1, true)])
        .with_edit(Edit::Put(geofence(2, "a", 2, true)))
        .with_edit(Edit::Put(geofence(3, "b", 3, true)))
        .with_set(&a, vec![geofence(4, "a", 4, true)]);
    let mut left: Vec<&GeofenceId> = places.iter().map(|geofence| &geofence.id).collect();
    left.sort();
    assert_eq!(left, [&id(3), &id(4)]);
    assert_eq!(places.with_set(&b, Vec::new()).len(), 1);
}
