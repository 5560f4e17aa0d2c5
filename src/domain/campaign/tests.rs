//! What documents of campaigns say, and when.

use jiff::civil::datetime;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::{
    ids::{SubjectId, UserId, WorkspaceId},
    record::Record,
};

fn document(extra: &Value) -> Value {
    let mut document = json!({
        "id": "c", "trigger": {"on": "entered", "geofences": {"tag": "shop"}},
        "offers": [{"message": {"en": {"title": "t", "body": "b"}}}],
    });
    for (field, value) in extra.as_object().into_iter().flatten() {
        document[field] = value.clone();
    }
    document
}

fn campaign(extra: &Value) -> Campaign {
    Campaign::read(&document(extra), 1).expect("a campaign")
}

fn schedule(document: &Value) -> Schedule {
    Schedule::read(&Node::root(document)).expect("a schedule")
}

fn zurich() -> Zone {
    Zone::named("Europe/Zurich").expect("a zone")
}

fn utc(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

/// The minutes of the days at which something holds, as spans of what clocks in Zurich show.
fn spans(first: &str, minutes: i64, holds: impl Fn(Timestamp) -> bool) -> Vec<String> {
    let begin = utc(first);
    let at = |minute: i64| begin.plus(DurationMs::from_secs(60 * minute));
    let mut spans: Vec<String> = Vec::new();
    for minute in 0..minutes {
        let (before, now) = (minute > 0 && holds(at(minute - 1)), holds(at(minute)));
        let shown = zurich().local(at(minute)).strftime("%d %H:%M").to_string();
        if now && !before {
            spans.push(shown);
        } else if before
            && !now
            && let Some(last) = spans.last_mut()
        {
            *last = format!("{last} to {shown}");
        }
    }
    spans
}

#[test]
fn a_schedule_counts_days_hours_and_holidays_of_its_zone() {
    let plan = schedule(&json!({
        "from": "2026-11-02T00:00", "until": "2026-11-07T00:00", "days": ["mon", "wed", "fri"],
        "hours": ["22:00", "02:00"], "except": ["2026-11-04"],
    }));
    // From Sunday the 1st to Sunday the 8th. Hours over midnight belong to the day on which they begin.
    let on = spans("2026-10-31T23:00:00Z", 8 * 24 * 60, |now| plan.is_on(now, zurich()));
    assert_eq!(on, ["02 22:00 to 03 02:00", "06 22:00 to 07 00:00"]);
    assert!(plan.is_over(utc("2026-11-06T23:00:00Z"), zurich()));
    assert!(!plan.is_over(utc("2026-11-06T22:59:59Z"), zurich()));
    // By the customer's clock it goes on somewhere until it is over in the last zone.
    let travelling = schedule(&json!({"until": "2026-11-07T00:00", "timeZone": "customer"}));
    assert!(!travelling.is_over_everywhere(utc("2026-11-07T11:59:59Z"), zurich()));
    assert!(travelling.is_over_everywhere(utc("2026-11-07T12:00:00Z"), zurich()));
}

#[test]
fn days_on_which_clocks_change_have_their_hours() {
    let plan = schedule(&json!({"hours": ["01:30", "03:30"]}));
    let on = |first: &str| spans(first, 24 * 60, |now| plan.is_on(now, zurich()));
    // Forward at 02:00: an hour is left out. Back at 03:00: one comes twice.
    assert_eq!(on("2026-03-28T23:00:00Z"), ["29 01:30 to 29 03:30"]);
    let hours_on = |first: &str| {
        (0..24 * 60)
            .filter(|minute| plan.is_on(utc(first).plus(DurationMs(minute * 60_000)), zurich()))
            .count()
    };
    assert_eq!(hours_on("2026-03-28T23:00:00Z"), 60);
    assert_eq!(hours_on("2026-10-24T22:00:00Z"), 180);
    // Hours within the one that is left out are as much later; within the one that comes twice, they come once.
    let inside = schedule(&json!({"hours": ["02:15", "02:45"]}));
    let on = |first: &str| spans(first, 24 * 60, |now| inside.is_on(now, zurich()));
    assert_eq!(on("2026-03-28T23:00:00Z"), ["29 03:15 to 29 03:45"]);
    assert_eq!(on("2026-10-24T22:00:00Z"), ["25 02:15 to 25 02:45"]);
    let whole = schedule(&json!({"hours": ["00:00", "24:00"], "days": ["sun"]}));
    let minutes = |first: &str| {
        (0..26 * 60)
            .filter(|minute| whole.is_on(utc(first).plus(DurationMs(minute * 60_000)), zurich()))
            .count()
    };
    assert_eq!(minutes("2026-10-24T22:00:00Z"), 25 * 60);
    assert_eq!(minutes("2026-03-28T23:00:00Z"), 23 * 60);
}

#[test]
fn quiet_hours_end_on_the_clock_of_whom_they_are_for() {
    let quiet = QuietHours::read(&Node::root(&json!({"from": "22:00", "until": "08:00"}))).expect("quiet hours");
    assert_eq!((quiet.then, quiet.zone), (Then::Drop, ZoneChoice::Customer));
    let zones = |customer: Option<&str>| Zones {
        geofence: None,
        customer: customer.map(|name| Zone::named(name).expect("a zone")),
        workspace: zurich(),
    };
    let now = utc("2026-11-22T22:30:00Z");
    assert_eq!(quiet.end(now, &zones(None)), Some(utc("2026-11-23T07:00:00Z")));
    assert_eq!(
        quiet.end(now, &zones(Some("Asia/Shanghai"))),
        Some(utc("2026-11-23T00:00:00Z"))
    );
    assert_eq!(quiet.end(now, &zones(Some("America/New_York"))), None);
    // The night on which clocks go back is an hour longer.
    let night = utc("2026-10-24T20:00:00Z");
    assert_eq!(quiet.end(night, &zones(None)), Some(utc("2026-10-25T07:00:00Z")));
    assert_eq!(quiet.end(utc("2026-10-25T07:00:00Z"), &zones(None)), None);
}

#[test]
fn calendar_caps_begin_with_the_customers_days() {
    let opens = |per: Per, at: &str| per.opens(utc(at), zurich());
    let at = "2026-11-18T22:59:00Z"; // Wednesday, 23:59 in Zurich
    assert_eq!(opens(Per::Day, at), utc("2026-11-17T23:00:00Z"));
    assert_eq!(opens(Per::Day, "2026-11-18T23:00:00Z"), utc("2026-11-18T23:00:00Z"));
    assert_eq!(opens(Per::Week, at), utc("2026-11-15T23:00:00Z"));
    assert_eq!(opens(Per::Month, at), utc("2026-10-31T23:00:00Z"));
    assert_eq!(
        opens(Per::Rolling(DurationMs(1000)), at),
        utc("2026-11-18T22:58:59.001Z")
    );
    let october = zurich().instant(datetime(2026, 10, 31, 23, 59, 59, 0));
    assert!(
        october.since(Per::Month.opens(october, zurich())) < KEPT_MAX,
        "a month of 31 days and an hour is kept"
    );
}

#[test]
fn scopes_count_what_they_say() {
    let mine = campaign(&json!({"id": "mine", "brand": "sun"}));
    let sends = [
        campaign(&json!({"id": "mine", "brand": "sun"})),
        campaign(&json!({"id": "sister", "brand": "sun"})),
        campaign(&json!({"id": "other", "brand": "cup"})),
        campaign(&json!({"id": "delay", "brand": "sun", "class": "service"})),
    ];
    let mut record = Record::default();
    for (hour, sent) in (1..).zip(&sends) {
        let at = Timestamp(hour * 3_600_000);
        record.note_send(sent, at, at);
    }
    for (scope, counted) in [("campaign", 1), ("brand", 2), ("class", 3), ("workspace", 4)] {
        let reached = |max: usize| {
            let cap = json!([{"max": max, "per": "P1D", "scope": scope}]);
            let cap = campaign(&json!({"caps": cap})).caps[0];
            record.cap_reached(&cap, &mine, Timestamp(5 * 3_600_000), Zone::default())
        };
        assert!(reached(counted) && !reached(counted + 1), "{scope}");
    }
    assert!(record.within_gap(DurationMs::from_secs(3601), Timestamp(5 * 3_600_000)));
    assert!(!record.within_gap(DurationMs::from_secs(3600), Timestamp(5 * 3_600_000)));
}

#[test]
fn what_is_wrong_is_refused_with_its_place() {
    for (extra, place) in [
        (json!({"schedule": {"from": "tomorrow"}}), "/schedule/from"),
        (json!({"schedule": {"from": "2026-11-01T00:00Z[x"}}), "/schedule/from"),
        (
            json!({"schedule": {"from": "2026-11-02T00:00", "until": "2026-11-01T00:00"}}),
            "/schedule/until",
        ),
        (json!({"schedule": {"days": ["monday"]}}), "/schedule/days/0"),
        (json!({"schedule": {"days": []}}), "/schedule/days"),
        (json!({"schedule": {"hours": ["09:00"]}}), "/schedule/hours"),
        (json!({"schedule": {"hours": ["09:00", "9:30"]}}), "/schedule/hours/1"),
        (json!({"schedule": {"hours": ["09:00", "09:00"]}}), "/schedule/hours/1"),
        (json!({"schedule": {"except": ["25.12."]}}), "/schedule/except/0"),
        (json!({"schedule": {"timeZone": "Mars/Olympus"}}), "/schedule/timeZone"),
        (json!({"schedule": {"weekdays": []}}), "/schedule/weekdays"),
        (json!({"quietHours": {"from": "22:00"}}), "/quietHours/until"),
        (
            json!({"quietHours": {"from": "22:00", "until": "08:00", "then": "wait"}}),
            "/quietHours/then",
        ),
        (json!({"caps": [{"max": 1, "per": "year"}]}), "/caps/0/per"),
        (json!({"caps": [{"max": 101, "per": "day"}]}), "/caps/0/max"),
        (json!({"minimumGap": "P40D"}), "/minimumGap"),
        (json!({"holdout": 10}), "/holdout"),
        (json!({"value": -1}), "/value"),
        (json!({"status": "live"}), "/status"),
        (
            json!({"duringOpeningHours": true, "trigger": {"on": "event", "type": "sale"}}),
            "/duringOpeningHours",
        ),
        (
            json!({"trigger": {"on": "event", "type": "x", "until": ["y"]}}),
            "/trigger/until",
        ),
        (
            json!({"trigger": {"on": "event", "type": "x", "ladder": {"field": "f", "every": 0}}}),
            "/trigger/ladder/every",
        ),
        (
            json!({"trigger": {"on": "event", "type": "x", "present": {"tag": "t", "within": "P2D"}}}),
            "/trigger/present/within",
        ),
        (
            json!({"stillThere": true, "trigger": {"on": "event", "type": "x", "present": {"tag": "t", "within": "PT1H"}}}),
            "/trigger",
        ),
        (
            json!({"offers": [{"offer": {"kind": "percent", "content": {}}, "message": {"en": {"title": "t", "body": "b"}}}]}),
            "/offers/0/offer/content",
        ),
        (
            json!({"offers": [{"offer": {"kind": "content", "content": "x".repeat(20_000)}, "message": {"en": {"title": "t", "body": "b"}}}]}),
            "/offers/0/offer/content",
        ),
    ] {
        let refusal = Campaign::read(&document(&extra), 1).expect_err("refused");
        assert_eq!(refusal.pointer, place, "{extra}: {refusal}");
    }
}

fn customer(number: u32) -> SubjectId {
    SubjectId::User(UserId::new(format!("customer-{number}")).expect("an id"))
}

fn share(value: f64) -> Share {
    Share::read(&Node::root(&json!(value))).expect("a share")
}

#[test]
fn shares_are_what_they_say_and_independent_of_each_other() {
    const CUSTOMERS: u32 = 20_000;
    let workspace = WorkspaceId::new("w").expect("an id");
    let (a, b) = (
        CampaignId::new("a").expect("an id"),
        CampaignId::new("b").expect("an id"),
    );
    let is_within = |found: usize, expected: f64| {
        // Six standard deviations of a binomial.
        let deviation = (f64::from(CUSTOMERS) * expected * (1.0 - expected)).sqrt();
        (found as f64 - f64::from(CUSTOMERS) * expected).abs() <= 6.0 * deviation
    };
    for value in [0.01, 0.1, 0.5, 0.9] {
        let held = |campaign: Option<&CampaignId>, number: u32| {
            share(value).holds_out(&workspace, campaign, &customer(number))
        };
        let count = |holds: &dyn Fn(u32) -> bool| (0..CUSTOMERS).filter(|number| holds(*number)).count();
        for campaign in [None, Some(&a), Some(&b)] {
            assert!(
                is_within(count(&|number| held(campaign, number)), value),
                "{value} {campaign:?}"
            );
        }
        let both = count(&|number| held(Some(&a), number) && held(Some(&b), number));
        let all = count(&|number| held(None, number) && held(Some(&a), number));
        assert!(
            is_within(both, value * value) && is_within(all, value * value),
            "{value}: {both}, {all}"
        );
    }
}

proptest! {
    #[test]
    fn a_greater_share_holds_out_the_same_customers_and_more(less in 0.0..=1.0f64, more in 0.0..=1.0f64, number in 0..10_000u32) {
        let (less, more) = (less.min(more), less.max(more));
        let workspace = WorkspaceId::new("w").expect("an id");
        let campaign = CampaignId::new("c").expect("an id");
        let held = |value: f64| share(value).holds_out(&workspace, Some(&campaign), &customer(number));
        prop_assert!(!held(less) || held(more));
        prop_assert_eq!(held(less), held(less));
        prop_assert!(!held(0.0) && held(1.0));
    }
}
