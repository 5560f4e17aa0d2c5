//! What comes due with no new check-in.

use super::*;

fn shop() -> Geofence {
    Geofence {
        codes: vec!["c".to_owned()],
        dwell_threshold: Some(DurationMs::from_secs(600)),
        ..circle("one", 0.0, 0.0, 50.0)
    }
}

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;

#[test]
fn a_stay_is_told_once_and_not_after_the_exit() {
    let mut phone = Phone::among([shop()]);
    phone.is_at(0.0, fix(0.0, 0.0, 10.0));
    assert_eq!(told(&phone.waits(599.9)), Vec::<String>::new());
    let dwelled = phone.waits(600.0);
    assert_eq!(told(&dwelled), ["dwelled one"]);
    assert_eq!(
        (dwelled[0].at, dwelled[0].duration),
        (Timestamp(600_000), Some(DurationMs::from_secs(600)))
    );
    assert_eq!(told(&phone.waits(5.0 * HOUR)), Vec::<String>::new(), "once a visit");
    phone.is_at(5.0 * HOUR, fix(1_000.0, 0.0, 10.0));
    assert_eq!(phone.is_at(5.1 * HOUR, fix(0.0, 0.0, 10.0)), ["entered one"]);
    assert_eq!(phone.is_at(5.2 * HOUR, fix(1_000.0, 0.0, 10.0)), ["exited one"]);
    assert_eq!(
        told(&phone.waits(6.0 * HOUR)),
        Vec::<String>::new(),
        "who has left does not stay"
    );
}

#[test]
fn a_check_in_first_lets_the_time_before_it_pass() {
    let mut phone = Phone::among([shop()]);
    phone.is_at(0.0, fix(0.0, 0.0, 10.0));
    // No timer has come: the stay is told before the exit that ends it.
    assert_eq!(
        phone.is_at(700.0, fix(1_000.0, 0.0, 10.0)),
        ["dwelled one", "exited one"]
    );
}

#[test]
fn a_silent_visit_ends_when_it_was_last_known() {
    let mut phone = Phone::among([circle("one", 0.0, 0.0, 50.0)]);
    phone.is_at(0.0, fix(0.0, 0.0, 10.0));
    phone.is_at(30.0 * MINUTE, fix(0.0, 0.0, 10.0));
    assert_eq!(told(&phone.waits(6.0 * HOUR + 29.0 * MINUTE)), Vec::<String>::new());
    let exited = phone.waits(6.0 * HOUR + 30.0 * MINUTE);
    assert_eq!(told(&exited), ["exited one (Silent)"]);
    assert_eq!((exited[0].at, exited[0].confidence), (Timestamp(30 * 60_000), 1));
    assert_eq!(exited[0].duration, Some(DurationMs::from_secs(30 * 60)));
    // Who then turns out to be there still has come in again.
    assert_eq!(phone.is_at(7.0 * HOUR, fix(0.0, 0.0, 10.0)), ["entered one"]);
}

#[test]
fn a_device_that_reports_without_saying_anything_about_a_place_is_silent_there() {
    let mut phone = Phone::among([circle("one", 0.0, 0.0, 50.0)]);
    phone.is_at(0.0, fix(0.0, 0.0, 10.0));
    for hour in 1..6 {
        assert_eq!(
            phone.is_at(f64::from(hour) * HOUR, fix(0.0, 0.0, 900.0)),
            Vec::<String>::new()
        );
    }
    assert_eq!(phone.is_at(6.5 * HOUR, fix(0.0, 0.0, 900.0)), ["exited one (Silent)"]);
}

#[test]
fn a_code_holds_for_its_time_or_until_a_fix_outside() {
    let mut phone = Phone::among([shop()]);
    assert_eq!(phone.scans(0.0, "c"), ["entered one"]);
    assert_eq!(phone.is_in("one"), Some(Evidence::Code));
    let ended = phone.waits(15.0 * MINUTE);
    assert_eq!(told(&ended), ["dwelled one", "exited one (EvidenceEnded)"]);
    assert_eq!(ended[1].at, Timestamp(15 * 60_000));
    assert_eq!(phone.scans(HOUR, "c"), ["entered one"]);
    assert_eq!(phone.is_at(HOUR + 30.0, fix(300.0, 0.0, 20.0)), ["exited one"]);
}

#[test]
fn weaker_evidence_carries_on_a_visit_and_a_code_outranks_it() {
    let mut phone = Phone::among([shop()]);
    assert_eq!(phone.is_at(0.0, fix(0.0, 0.0, 10.0)), ["entered one"]);
    assert_eq!(phone.scans(1.0, "c"), Vec::<String>::new());
    assert_eq!(phone.is_in("one"), Some(Evidence::Code));
    assert_eq!(told(&phone.waits(20.0 * MINUTE)), ["dwelled one"]);
    assert_eq!(
        phone.is_in("one"),
        Some(Evidence::Gps),
        "the code is old, the position is not"
    );
}

#[test]
fn what_is_removed_is_left_a_minute_later() {
    let mut phone = Phone::among([circle("one", 0.0, 0.0, 50.0)]);
    phone.is_at(0.0, fix(0.0, 0.0, 10.0));
    phone.places = Places::build([]);
    assert_eq!(told(&phone.waits(10.0)), Vec::<String>::new());
    assert_eq!(phone.is_at(40.0, fix(0.0, 0.0, 10.0)), Vec::<String>::new());
    assert_eq!(told(&phone.waits(69.9)), Vec::<String>::new());
    let exited = phone.waits(70.0);
    assert_eq!(told(&exited), ["exited one (GeofenceRemoved)"]);
    assert_eq!(exited[0].at, Timestamp(10_000), "when it was found missing");
}

#[test]
fn a_server_that_has_not_heard_of_a_geofence_yet_ends_no_visit() {
    let mut phone = Phone::among([shop()]);
    phone.is_at(0.0, fix(0.0, 0.0, 10.0));
    // The next check-ins come to a server that is a moment behind, then to the first one again.
    let behind = Places::build([]);
    let current = std::mem::replace(&mut phone.places, behind);
    for second in [1.0, 30.0] {
        assert_eq!(phone.is_at(second, fix(0.0, 0.0, 10.0)), Vec::<String>::new());
    }
    let behind = std::mem::replace(&mut phone.places, current);
    assert_eq!(phone.is_at(50.0, fix(0.0, 0.0, 10.0)), Vec::<String>::new());
    // Known in between, it counts anew.
    phone.places = behind;
    assert_eq!(phone.is_at(80.0, fix(0.0, 0.0, 10.0)), Vec::<String>::new());
    assert_eq!(phone.is_in("one"), Some(Evidence::Gps));
}
