//! Which fixes are believed, and what lies between two of them.

use proptest::prelude::*;

use super::*;
use crate::domain::geofence::PresenceOptions;

#[test]
fn one_bad_fix_far_away_moves_nothing_and_is_told() {
    let mut phone = Phone::among([circle("one", 0.0, 0.0, 50.0), circle("far", 30_000.0, 0.0, 500.0)]);
    assert_eq!(phone.is_at(0.0, fix(0.0, 0.0, 10.0)), ["entered one"]);
    assert_eq!(phone.is_at(10.0, fix(30_000.0, 0.0, 10.0)), Vec::<String>::new());
    assert_eq!(phone.doubt, Some(Doubt::ImpossibleSpeed));
    assert_eq!(phone.is_at(20.0, fix(5.0, 0.0, 10.0)), Vec::<String>::new());
    assert_eq!((phone.doubt, phone.is_in("one")), (None, Some(Evidence::Gps)));
}

#[test]
fn a_device_that_has_really_moved_is_believed_at_the_second_fix() {
    let mut phone = Phone::among([circle("one", 0.0, 0.0, 50.0), circle("far", 30_000.0, 0.0, 500.0)]);
    phone.is_at(0.0, fix(0.0, 0.0, 10.0));
    phone.is_at(10.0, fix(30_000.0, 0.0, 10.0));
    assert_eq!(
        phone.is_at(20.0, fix(30_010.0, 0.0, 10.0)),
        ["exited one", "entered far"]
    );
    assert_eq!(phone.doubt, None);
}

#[test]
fn a_flight_is_no_lie() {
    let mut phone = Phone::among([circle("one", 0.0, 0.0, 50.0), circle("far", 450_000.0, 0.0, 50_000.0)]);
    phone.is_at(0.0, fix(0.0, 0.0, 10.0));
    assert_eq!(
        phone.is_at(1_800.0, fix(450_000.0, 0.0, 10.0)),
        ["exited one", "entered far"],
        "900 km/h"
    );
    assert_eq!(phone.doubt, None);
}

#[test]
fn a_coarse_fix_far_away_is_allowed_its_error() {
    let mut phone = Phone::among([circle("one", 0.0, 0.0, 50.0)]);
    phone.is_at(0.0, fix(0.0, 0.0, 10.0));
    phone.is_at(1.0, fix(3_000.0, 0.0, 1_500.0));
    assert_eq!(phone.doubt, None);
}

fn tells_crossings(mut phone: Phone) -> Phone {
    phone.rules.crossed = true;
    phone
}

#[test]
fn a_fast_pass_between_two_fixes_is_crossed_and_no_visit() {
    let ring = |north: f64| {
        let corner = |n: f64, e: f64| {
            let at = at_m(north + n, e);
            [at.longitude, at.latitude]
        };
        vec![vec![
            corner(-40.0, -40.0),
            corner(-40.0, 40.0),
            corner(40.0, 40.0),
            corner(40.0, -40.0),
            corner(-40.0, -40.0),
        ]]
    };
    let places = || {
        [
            circle("on the way", 300.0, 10.0, 50.0),
            circle("beside it", 300.0, 200.0, 50.0),
            Geofence::new(id("square"), Shape::polygon(ring(600.0)).unwrap()),
            circle("begins in it", 0.0, 0.0, 60.0),
            circle("too small to tell", 450.0, 0.0, 15.0),
        ]
    };
    let mut quiet = Phone::among(places());
    quiet.is_at(0.0, fix(0.0, 0.0, 20.0));
    assert_eq!(
        quiet.is_at(30.0, fix(900.0, 0.0, 20.0)),
        ["exited begins in it"],
        "off unless asked for"
    );

    let mut phone = tells_crossings(Phone::among(places()));
    phone.is_at(0.0, fix(0.0, 0.0, 20.0));
    let told = phone.reports(30.0, |check_in| check_in.location = Some(fix(900.0, 0.0, 20.0)));
    assert_eq!(
        super::told(&told),
        ["exited begins in it", "crossed on the way", "crossed square"]
    );
    assert!(phone.whereabouts.visits.is_empty());
    // At about the time when it was there: 251 m of 900 m, half a minute.
    assert!((8_000..8_800).contains(&told[1].at.0), "{:?}", told[1].at);
}

#[test]
fn what_is_too_far_apart_or_unsure_crosses_nothing() {
    for (north, second, accuracy) in [(900.0, 30.0, 60.0), (900.0, 121.0, 10.0), (2_100.0, 30.0, 10.0)] {
        let mut phone = tells_crossings(Phone::among([circle("on the way", 400.0, 0.0, 50.0)]));
        phone.is_at(0.0, fix(0.0, 0.0, 10.0));
        assert_eq!(
            phone.is_at(second, fix(north, 0.0, accuracy)),
            Vec::<String>::new(),
            "{north} {second} {accuracy}"
        );
    }
}

#[test]
fn a_place_may_have_its_own_wish_about_crossings() {
    let wish = |name: &str, crossed| Geofence {
        presence: PresenceOptions {
            crossed: Some(crossed),
            ..PresenceOptions::default()
        }
        .boxed(),
        ..circle(name, 400.0, 0.0, 50.0)
    };
    let places = || [wish("yes", true), wish("no", false), circle("usual", 400.0, 0.0, 50.0)];
    let pass = |mut phone: Phone| {
        phone.is_at(0.0, fix(0.0, 0.0, 10.0));
        phone.is_at(30.0, fix(900.0, 0.0, 10.0))
    };
    assert_eq!(pass(Phone::among(places())), ["crossed yes"]);
    assert_eq!(
        pass(tells_crossings(Phone::among(places()))),
        ["crossed usual", "crossed yes"]
    );
}

proptest! {
    /// Against walking along the way in small steps.
    #[test]
    fn crossings_are_those_that_small_steps_find(
        (to_north, to_east) in (-900.0..900.0f64, -900.0..900.0f64),
        (north, east, radius) in (-900.0..900.0f64, -900.0..900.0f64, 30.0..300.0f64),
    ) {
        let shape = Shape::circle(at_m(north, east), radius).unwrap();
        let mut phone = tells_crossings(Phone::among([circle("one", north, east, radius)]));
        let before = phone.is_at(0.0, fix(0.0, 0.0, 5.0));
        let told = phone.is_at(30.0, fix(to_north, to_east, 5.0));
        let deepest = (0..=2000)
            .map(|step| f64::from(step) / 2000.0)
            .map(|share| shape.signed_distance_m(at_m(share * to_north, share * to_east)))
            .fold(f64::MIN, f64::max);
        let ends_outside = before.is_empty() && !shape.contains(at_m(to_north, to_east));
        if ends_outside && deepest > 1.0 {
            prop_assert_eq!(told, ["crossed one"]);
        } else if ends_outside && deepest < -1.0 {
            prop_assert_eq!(told, Vec::<String>::new());
        } else if !ends_outside {
            prop_assert!(!told.contains(&"crossed one".to_owned()));
        }
    }
}
