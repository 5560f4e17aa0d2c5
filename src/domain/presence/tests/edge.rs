//! At the edge: noise moves nothing, and who walks away is soon gone.

use super::*;
use crate::domain::geofence::PresenceOptions;

/// How often a phone comes into and goes out of a circle of 50 m while it stands so many metres beyond its edge, located
/// 3,600 times, once a second, with noise of that deviation, which it reports honestly. `alike`: how much the error of a
/// fix is that of the one before.
fn stands(beyond_m: f64, sigma_m: f64, alike: f64, seed: u64) -> (usize, usize) {
    stands_for(3600, 1, beyond_m, sigma_m, alike, seed)
}

fn stands_for(fixes: u32, every_s: u32, beyond_m: f64, sigma_m: f64, alike: f64, seed: u64) -> (usize, usize) {
    let mut phone = Phone::among([circle("one", 0.0, 0.0, 50.0)]);
    let mut random = Random(seed);
    let (mut north, mut east) = (0.0, 0.0);
    let (mut entered, mut exited) = (0, 0);
    let fresh = (1.0 - alike * alike).sqrt();
    for second in (0..fixes).map(|number| number * every_s) {
        north = alike * north + fresh * sigma_m * random.normal();
        east = alike * east + fresh * sigma_m * random.normal();
        for told in phone.is_at(f64::from(second), fix(50.0 + beyond_m + north, east, 1.51 * sigma_m)) {
            match told.as_str() {
                "entered one" => entered += 1,
                "exited one" => exited += 1,
                other => panic!("{other}"),
            }
        }
    }
    (entered, exited)
}

#[test]
fn a_phone_that_stands_at_the_edge_comes_in_at_most_once() {
    for sigma_m in [5.0, 10.0, 20.0, 35.0, 50.0] {
        for beyond_m in [-5.0, 0.0, 10.0] {
            for seed in 0..4 {
                let (entered, exited) = stands(beyond_m, sigma_m, 0.0, seed);
                assert!(
                    entered <= 1,
                    "{entered} at {beyond_m} m, sigma {sigma_m} m, seed {seed}"
                );
                assert!(exited <= entered);
            }
        }
    }
    // Not because nobody ever comes in.
    assert_eq!(stands(0.0, 5.0, 0.0, 1).0, 1);
}

#[test]
fn nor_does_it_when_its_errors_last_for_many_seconds() {
    for sigma_m in [5.0, 20.0, 50.0] {
        for seed in 0..4 {
            let (entered, _) = stands(0.0, sigma_m, 0.9, seed);
            assert!(entered <= 1, "{entered} at sigma {sigma_m} m, seed {seed}");
        }
    }
}

#[test]
fn nor_when_it_is_located_less_often() {
    // Once a minute each fix has to be believed by itself: then it is seldom, not never.
    for (every_s, most) in [(5, 1), (15, 1), (60, 2)] {
        for sigma_m in [5.0, 20.0, 50.0] {
            for seed in 0..4 {
                let (entered, _) = stands_for(7200 / every_s, every_s, 0.0, sigma_m, 0.0, seed);
                assert!(
                    entered <= most,
                    "{entered} in two hours, every {every_s} s, sigma {sigma_m} m, seed {seed}"
                );
            }
        }
    }
}

#[test]
fn a_lone_fix_outside_after_long_is_believed() {
    let mut phone = Phone::among([circle("one", 0.0, 0.0, 100.0)]);
    phone.is_at(0.0, fix(0.0, 0.0, 30.0));
    // As phones report when they have left a region that they monitor: 80 m beyond the edge, 97 %.
    assert_eq!(phone.is_at(1200.0, fix(180.0, 0.0, 65.0)), ["exited one"]);
}

#[test]
fn who_stands_inside_stays_in() {
    for (inside_m, sigma_m) in [(45.0, 20.0), (20.0, 10.0), (10.0, 5.0)] {
        for seed in 0..4 {
            assert_eq!(
                stands(-inside_m, sigma_m, 0.0, seed),
                (1, 0),
                "{inside_m} m, sigma {sigma_m} m, seed {seed}"
            );
        }
    }
}

/// Seconds from being 1.65 deviations outside to the exit, for somebody who walks from the middle of a circle of 50 m.
fn seconds_to_leave(speed_m_per_s: f64, accuracy_m: f64, every_s: f64, seed: u64) -> f64 {
    let mut phone = Phone::among([circle("one", 0.0, 0.0, 50.0)]);
    let mut random = Random(seed);
    let sigma_m = accuracy_m / 1.51;
    let out_at = (50.0 + 1.65 * sigma_m) / speed_m_per_s;
    let mut second = 0.0;
    loop {
        let (north, east) = (sigma_m * random.normal(), sigma_m * random.normal());
        let told = phone.is_at(second, fix(speed_m_per_s * second + north, east, accuracy_m));
        if told.contains(&"exited one".to_owned()) {
            return second - out_at;
        }
        assert!(second < out_at + 600.0, "never left");
        second += every_s;
    }
}

#[test]
fn who_walks_away_leaves_within_seconds() {
    for seed in 0..20 {
        let late_s = seconds_to_leave(1.4, 10.0, 1.0, seed);
        assert!((-15.0..=12.0).contains(&late_s), "{late_s} s, seed {seed}");
    }
    for seed in 0..20 {
        // With a fix every half minute, the first or second that is out.
        let late_s = seconds_to_leave(1.4, 10.0, 30.0, seed);
        assert!(late_s <= 60.0, "{late_s} s, seed {seed}");
        // By car.
        let late_s = seconds_to_leave(14.0, 10.0, 1.0, seed);
        assert!(late_s <= 5.0, "{late_s} s, seed {seed}");
    }
}

#[test]
fn who_comes_back_comes_in_again() {
    let mut phone = Phone::among([circle("one", 0.0, 0.0, 50.0)]);
    assert_eq!(phone.is_at(0.0, fix(0.0, 0.0, 10.0)), ["entered one"]);
    assert_eq!(phone.is_at(60.0, fix(100.0, 0.0, 10.0)), ["exited one"]);
    assert_eq!(
        phone.is_at(120.0, fix(10.0, 0.0, 10.0)),
        ["entered one"],
        "from far away"
    );
    assert_eq!(phone.is_at(180.0, fix(65.0, 0.0, 10.0)), ["exited one"]);
    assert_eq!(
        phone.is_at(182.0, fix(49.0, 0.0, 10.0)),
        Vec::<String>::new(),
        "not for noise at the edge"
    );
    for second in 183..190 {
        let told = phone.is_at(f64::from(second), fix(20.0, 0.0, 10.0));
        if told == ["entered one"] {
            return;
        }
    }
    panic!("who is well inside is in");
}

#[test]
fn who_was_not_located_for_long_comes_in_as_at_first() {
    let mut phone = Phone::among([circle("one", 0.0, 0.0, 50.0)]);
    phone.is_at(0.0, fix(0.0, 0.0, 10.0));
    assert_eq!(phone.is_at(60.0, fix(65.0, 0.0, 10.0)), ["exited one"]);
    assert_eq!(phone.is_at(3600.0, fix(49.0, 0.0, 10.0)), ["entered one"]);
}

#[test]
fn a_place_may_ask_for_more_or_less_certainty() {
    let own = |name: &str, presence: PresenceOptions| Geofence {
        presence: presence.boxed(),
        ..circle(name, 0.0, 0.0, 50.0)
    };
    let none = PresenceOptions::default();
    let mut phone = Phone::among([
        own("usual", none),
        own(
            "surer in",
            PresenceOptions {
                enter_at: Some(0.99),
                ..none
            },
        ),
        own(
            "surer out",
            PresenceOptions {
                exit_at: Some(0.999),
                exit_after_fixes: Some(5),
                ..none
            },
        ),
    ]);
    // 5 m inside, sigma 10 m: 69 %.
    let accuracy = 15.1;
    assert_eq!(
        phone.is_at(0.0, fix(45.0, 0.0, accuracy)),
        ["entered usual", "entered surer out"]
    );
    assert_eq!(
        phone.is_at(60.0, fix(0.0, 0.0, accuracy)),
        ["entered surer in"],
        "50 m inside"
    );
    // 20 m outside: 98 %.
    let told = phone.is_at(120.0, fix(70.0, 0.0, accuracy));
    assert_eq!(told, ["exited usual", "exited surer in"]);
    assert_eq!(phone.is_in("surer out"), Some(Evidence::Gps));
    for round in 3..6 {
        assert_eq!(
            phone.is_at(60.0 * f64::from(round), fix(70.0, 0.0, accuracy)),
            Vec::<String>::new()
        );
    }
    assert_eq!(
        phone.is_at(360.0, fix(70.0, 0.0, accuracy)),
        ["exited surer out"],
        "the fifth in a row"
    );
}

#[test]
fn two_fixes_in_a_row_that_are_unsure_end_a_visit_and_one_moment_does_not() {
    let mut phone = Phone::among([circle("one", 0.0, 0.0, 50.0)]);
    phone.is_at(0.0, fix(0.0, 0.0, 50.0));
    // 15 m outside, sigma 33 m: 67 %.
    for second in [60.0, 61.0, 75.0] {
        assert_eq!(
            phone.is_at(second, fix(65.0, 0.0, 50.0)),
            Vec::<String>::new(),
            "{second}"
        );
    }
    assert_eq!(phone.is_at(91.0, fix(65.0, 0.0, 50.0)), ["exited one"]);
}

#[test]
fn a_fix_that_is_too_coarse_moves_nothing() {
    let mut phone = Phone::among([circle("one", 0.0, 0.0, 50.0), circle("large", 0.0, 0.0, 2_000.0)]);
    assert_eq!(phone.is_at(0.0, fix(0.0, 0.0, 201.0)), ["entered large"], "not in 50 m");
    assert_eq!(phone.is_at(60.0, fix(0.0, 0.0, 200.0)), ["entered one"]);
    for minute in 2..8 {
        let told = phone.is_at(60.0 * f64::from(minute), fix(1_500.0, 0.0, 900.0));
        assert_eq!(told, Vec::<String>::new());
    }
    assert_eq!(
        (phone.is_in("one"), phone.is_in("large")),
        (Some(Evidence::Gps), Some(Evidence::Gps))
    );
}

#[test]
fn the_same_accuracy_says_less_on_ios() {
    // 18 m outside with an accuracy of 20 m: 91.3 % by Android's meaning, 89.9 % by Apple's.
    for (platform, expected) in [(Platform::Android, vec!["exited one"]), (Platform::Ios, vec![])] {
        let mut phone = Phone::among([circle("one", 0.0, 0.0, 50.0)]);
        phone.platform = Some(platform);
        phone.is_at(0.0, fix(0.0, 0.0, 20.0));
        assert_eq!(phone.is_at(600.0, fix(68.0, 0.0, 20.0)), expected, "{platform:?}");
    }
}

#[test]
fn confidence_tells_how_sure_an_entry_is() {
    for (north, accuracy, expected) in [
        (0.0, Some(10.0), 3),
        (45.0, Some(15.1), 2),
        (49.0, Some(50.0), 1),
        (0.0, None, 2),
    ] {
        let mut phone = Phone::among([circle("one", 0.0, 0.0, 50.0)]);
        let entered = phone.reports(0.0, |check_in| check_in.location = Some(fix(north, 0.0, accuracy)));
        assert_eq!(entered[0].confidence, expected, "{north} {accuracy:?}");
    }
}
