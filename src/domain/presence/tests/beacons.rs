//! Beacons: which place they speak for, and for how long.

use super::*;
use crate::domain::{beacon::BeaconPattern, geofence::PresenceOptions};

fn beacon(major: u16, minor: u16) -> BeaconId {
    BeaconId::IBeacon {
        uuid: uuid::Uuid::from_u128(7),
        major,
        minor,
    }
}

fn any_of_uuid() -> BeaconPattern {
    BeaconPattern::IBeacon {
        uuid: uuid::Uuid::from_u128(7),
        major: None,
        minor: None,
    }
}

fn shop(name: &str, east: f64, beacons: impl IntoIterator<Item = BeaconPattern>) -> Geofence {
    Geofence {
        beacons: beacons.into_iter().collect(),
        ..circle(name, 0.0, east, 10.0)
    }
}

const NOTHING: Vec<String> = Vec::new();

#[test]
fn a_beacon_not_heard_ends_after_its_time_with_no_new_check_in() {
    let mut phone = Phone::among([shop("one", 0.0, [beacon(1, 1).into()])]);
    assert_eq!(phone.hears(0.0, &[(beacon(1, 1), -60)]), ["entered one"]);
    assert_eq!(phone.hears(200.0, &[(beacon(1, 1), -60)]), NOTHING);
    assert_eq!(told(&phone.waits(499.9)), NOTHING);
    let ended = phone.waits(500.0);
    assert_eq!(told(&ended), ["exited one (EvidenceEnded)"]);
    assert_eq!(ended[0].at, Timestamp(500_000));
}

#[test]
fn nothing_said_is_not_nothing_heard() {
    let mut phone = Phone::among([shop("one", 0.0, [beacon(1, 1).into()])]);
    phone.hears(0.0, &[(beacon(1, 1), -60)]);
    assert_eq!(
        phone.is_at(10.0, fix(5_000.0, 0.0, 3_000.0)),
        NOTHING,
        "says nothing about beacons"
    );
    assert_eq!(phone.hears(20.0, &[(beacon(9, 9), -60)]), NOTHING, "missed in one scan");
    assert_eq!(phone.is_in("one"), Some(Evidence::Beacon));
    assert_eq!(phone.hears(30.0, &[]), ["exited one"], "none is in range");
}

#[test]
fn a_position_outside_does_not_end_what_a_beacon_says() {
    let mut phone = Phone::among([shop("one", 0.0, [beacon(1, 1).into()])]);
    assert_eq!(phone.is_at(0.0, fix(0.0, 0.0, 5.0)), ["entered one"]);
    assert_eq!(phone.hears(1.0, &[(beacon(1, 1), -60)]), NOTHING);
    assert_eq!(
        phone.is_at(60.0, fix(150.0, 0.0, 20.0)),
        NOTHING,
        "positions are bad indoors"
    );
    assert_eq!(
        told(&phone.waits(400.0)),
        ["exited one (EvidenceEnded)"],
        "the position had ended before"
    );
}

#[test]
fn a_wildcard_stands_for_all_that_share_the_rest() {
    let majors = BeaconPattern::IBeacon {
        uuid: uuid::Uuid::from_u128(7),
        major: Some(2),
        minor: None,
    };
    let namespace = BeaconPattern::Eddystone {
        namespace: [1; 10],
        instance: None,
    };
    let places = || {
        [
            shop("mall", 0.0, [any_of_uuid()]),
            shop("wing", 0.0, [majors]),
            shop("shop", 0.0, [beacon(2, 3).into()]),
            shop("other", 0.0, [namespace]),
        ]
    };
    let mut phone = Phone::among(places());
    let told = phone.hears(0.0, &[(beacon(2, 3), -60)]);
    assert_eq!(
        told,
        ["entered mall", "entered wing", "entered shop"],
        "each has a pattern of its own"
    );
    let mut phone = Phone::among(places());
    assert_eq!(phone.hears(0.0, &[(beacon(1, 3), -60)]), ["entered mall"]);
    let eddystone = BeaconId::Eddystone {
        namespace: [1; 10],
        instance: [9; 6],
    };
    assert_eq!(phone.hears(1.0, &[(eddystone, -60)]), ["entered other"]);
}

#[test]
fn weak_beacons_do_not_reach_the_floor() {
    let floor = Geofence {
        presence: PresenceOptions {
            beacon_rssi_min_dbm: Some(-75),
            ..PresenceOptions::default()
        }
        .boxed(),
        ..shop("one", 0.0, [beacon(1, 1).into()])
    };
    let mut phone = Phone::among([floor]);
    assert_eq!(phone.hears(0.0, &[(beacon(1, 1), -76)]), NOTHING);
    assert_eq!(phone.hears(1.0, &[(beacon(1, 1), -75)]), ["entered one"]);
    assert_eq!(phone.hears(250.0, &[(beacon(1, 1), -90)]), NOTHING);
    assert_eq!(
        told(&phone.waits(301.0)),
        ["exited one (EvidenceEnded)"],
        "too weak is not heard"
    );
}

#[test]
fn of_places_that_share_an_identity_the_strongest_wins() {
    let shared = beacon(0, 0).into();
    let places = || {
        [
            shop("a", 0.0, [shared, beacon(1, 1).into(), beacon(1, 2).into()]),
            shop("b", 50.0, [shared, beacon(2, 1).into()]),
        ]
    };
    // Two beacons of a at -66 dBm are louder together than one of b at -64 dBm.
    let mut phone = Phone::among(places());
    let heard = [
        (beacon(0, 0), -50),
        (beacon(1, 1), -66),
        (beacon(1, 2), -66),
        (beacon(2, 1), -64),
    ];
    assert_eq!(
        phone.hears(0.0, &heard),
        ["entered a", "entered b"],
        "b has a beacon of its own"
    );
    let mut phone = Phone::among([places()[0].clone(), shop("b", 50.0, [shared])]);
    assert_eq!(phone.hears(0.0, &heard), ["entered a"], "b has nothing else to say");
    let mut phone = Phone::among([shop("a", 0.0, [shared]), shop("b", 50.0, [shared, beacon(2, 1).into()])]);
    assert_eq!(phone.hears(0.0, &heard), ["entered b"]);
}

#[test]
fn equal_votes_go_to_the_nearer_place_then_to_the_first_by_name() {
    let places = || [shop("b", 0.0, [any_of_uuid()]), shop("a", 200.0, [any_of_uuid()])];
    let mut phone = Phone::among(places());
    assert_eq!(phone.hears(0.0, &[(beacon(1, 1), -60)]), ["entered a"]);
    let mut phone = Phone::among(places());
    let told = phone.reports(0.0, |check_in| {
        check_in.location = Some(fix(30.0, 0.0, 20.0));
        check_in.beacons = Some(vec![BeaconSighting {
            id: beacon(1, 1),
            rssi_dbm: None,
        }]);
    });
    assert_eq!(super::told(&told), ["entered b"]);
}
