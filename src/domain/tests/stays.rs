//! Stays, several devices of one customer, and time as the only input.

use super::*;
use crate::domain::{
    delivery::{Suppression, TriggerKind},
    event::{Event, Fact},
    presence::{Doubt, ExitReason},
    time::DurationMs,
};

pub(super) const MINUTE: i64 = 60_000;

/// A customer among the places, and a clock for both: the phones' and the server's.
pub(super) struct Day {
    pub(super) stage: Stage,
    pub(super) record: Record,
    pub(super) now: i64,
    number: u32,
}

impl Day {
    pub(super) fn with(campaigns: Vec<Campaign>) -> Self {
        Self {
            stage: Stage::set(campaigns),
            record: customer(),
            now: 10 * DAY,
            number: 0,
        }
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context {
            now: Timestamp(self.now),
            ..self.stage.context()
        }
    }

    /// The step of one device's check-in now.
    pub(super) fn check_in(&mut self, device: u8, with: impl FnOnce(&mut CheckIn)) -> Effects {
        self.number += 1;
        let mut check_in = CheckIn {
            id: CauseId::new(format!("day-{}", self.number)).expect("an id"),
            device: device_id(device),
            at: Timestamp(self.now),
            location: None,
            beacons: None,
            code: None,
            regions: false,
        };
        with(&mut check_in);
        let matches = self.stage.catalogue.places.matching(&check_in);
        let mut record = std::mem::take(&mut self.record);
        let effects = decide::check_in(&mut record, &check_in, &matches, self.context());
        self.record = record;
        effects
    }

    /// At a place of the street, by its latitude.
    pub(super) fn is_at(&mut self, device: u8, latitude: f64) -> Effects {
        self.check_in(device, |check_in| {
            check_in.location = Some(Fix {
                position: Position {
                    latitude,
                    longitude: 12.3,
                },
                accuracy_m: Some(10.0),
                floor: None,
            });
        })
    }

    /// Lets the timer come whenever it is wanted, as far as `minutes` from now; what it brought about.
    pub(super) fn passes(&mut self, minutes: i64) -> Vec<Effects> {
        let until = self.now + minutes * MINUTE;
        let mut all = Vec::new();
        while let Some(wake_at) = self.record.wake_at.filter(|wake_at| wake_at.0 <= until) {
            assert!(wake_at.0 > self.now - MINUTE, "a wish is fulfilled once: {wake_at}");
            self.now = self.now.max(wake_at.0);
            let mut record = std::mem::take(&mut self.record);
            all.push(decide::time_passed(&mut record, self.context()));
            self.record = record;
            assert_ne!(self.record.wake_at, Some(wake_at), "nothing comes due twice");
        }
        self.now = until;
        all
    }
}

pub(super) fn told<'a>(effects: impl IntoIterator<Item = &'a Effects>) -> Vec<String> {
    let one = |event: &Event| {
        let kind = event
            .kind
            .as_str()
            .trim_start_matches("user.")
            .trim_end_matches("_geofence");
        format!("{kind} {}", event.geofence.id.external_id)
    };
    effects
        .into_iter()
        .flat_map(|effects| &effects.events)
        .map(one)
        .collect()
}

pub(super) fn campaigns_of<'a>(effects: impl IntoIterator<Item = &'a Effects>) -> Vec<String> {
    let deliveries = effects.into_iter().flat_map(|effects| &effects.deliveries);
    deliveries.map(|delivery| delivery.campaign.to_string()).collect()
}

pub(super) fn suppressed(effects: &Effects) -> Vec<Suppression> {
    let verdicts = effects.facts.iter().filter_map(|fact| match fact {
        Fact::Decision { verdicts, .. } => Some(verdicts),
        _ => None,
    });
    verdicts.flatten().filter_map(|verdict| verdict.suppressed).collect()
}

/// The third place, which stands alone.
pub(super) const ALONE: f64 = 46.504;
pub(super) const NOWHERE: f64 = 46.51;

fn waits(id: &str, after: &str) -> Campaign {
    let trigger = json!({"on": "dwelled", "geofences": {"tag": "shop"}, "after": after});
    campaign(id, &json!({"trigger": trigger, "stillThere": true}))
}

#[test]
fn a_campaign_waits_for_its_own_time_once_a_visit() {
    let mut day = Day::with(vec![waits("ten", "PT10M"), waits("half", "PT30M")]);
    assert_eq!(told([&day.is_at(0, ALONE)]), ["entered 2"]);
    assert_eq!(campaigns_of(&day.passes(9)), Vec::<String>::new());
    let ten = day.passes(2);
    assert_eq!(
        (told(&ten), campaigns_of(&ten)),
        (vec!["dwelled_in 2".to_owned()], vec!["ten".to_owned()])
    );
    let event = &ten[0].events[0];
    assert_eq!(
        (event.duration, event.at),
        (Some(DurationMs::from_secs(600)), Timestamp(10 * DAY + 10 * MINUTE))
    );
    assert_eq!(ten[0].deliveries[0].trigger, TriggerKind::Dwelled);
    assert_eq!(ten[0].deliveries[0].why[0], "stayed PT10M in shop/2");
    assert_eq!(campaigns_of(&day.passes(60)), ["half"]);
    assert_eq!(campaigns_of(&day.passes(120)), Vec::<String>::new());
    // Another visit, another stay.
    assert_eq!(told([&day.is_at(0, NOWHERE)]), ["exited 2"]);
    day.now += MINUTE;
    day.is_at(0, ALONE);
    assert_eq!(campaigns_of(&day.passes(11)), ["ten"]);
}

#[test]
fn who_leaves_before_has_not_stayed() {
    let mut day = Day::with(vec![waits("ten", "PT10M")]);
    day.is_at(0, ALONE);
    day.passes(9);
    assert_eq!(told([&day.is_at(0, NOWHERE)]), ["exited 2"]);
    assert_eq!(day.record.wake_at, None, "nothing is due any more");
    assert!(day.passes(600).is_empty());
}

#[test]
fn a_timer_and_a_check_in_that_find_the_same_stay_give_it_the_same_name() {
    let start = || {
        let mut day = Day::with(vec![waits("ten", "PT10M")]);
        day.is_at(0, ALONE);
        day
    };
    let (mut timer, mut phone) = (start(), start());
    let by_timer = timer.passes(12);
    phone.now += 12 * MINUTE;
    let by_check_in = phone.is_at(0, ALONE);
    assert_eq!(by_timer[0].events, by_check_in.events);
    assert_eq!(by_timer[0].deliveries[0].id, by_check_in.deliveries[0].id);
}

#[test]
fn who_was_silent_and_is_there_again_stays_anew() {
    let mut day = Day::with(vec![waits("ten", "PT10M")]);
    day.is_at(0, ALONE);
    assert_eq!(campaigns_of(&day.passes(11)), ["ten"]);
    // No timer has come before the phone is heard again: the old visit ends and the new one begins in one step.
    day.now += 7 * 60 * MINUTE;
    assert_eq!(told([&day.is_at(0, ALONE)]), ["exited 2", "entered 2"]);
    assert_eq!(campaigns_of(&day.passes(11)), ["ten"]);
}

#[test]
fn a_stay_that_is_found_too_late_is_told_and_not_pushed() {
    let mut day = Day::with(vec![waits("ten", "PT10M")]);
    day.is_at(0, ALONE);
    // The server was down for two hours; the offer would have held for half an hour.
    day.now += 120 * MINUTE;
    let mut record = std::mem::take(&mut day.record);
    let found = decide::time_passed(&mut record, day.context());
    assert_eq!(told([&found]), ["dwelled_in 2"]);
    assert_eq!(
        (campaigns_of([&found]), suppressed(&found)),
        (vec![], vec![Suppression::Expired])
    );
}

#[test]
fn a_customer_with_several_devices_comes_stays_and_goes_once() {
    let leaves = json!({"trigger": {"on": "exited", "geofences": {"tag": "shop"}}});
    let mut day = Day::with(vec![
        campaign("hello", &json!({})),
        campaign("bye", &leaves),
        waits("ten", "PT10M"),
    ]);
    assert_eq!(campaigns_of([&day.is_at(0, ALONE)]), ["hello"]);
    day.passes(5);
    let second = day.is_at(1, ALONE);
    assert_eq!(told([&second]), ["entered 2"], "presence is a device's");
    assert_eq!(
        suppressed(&second),
        [Suppression::OtherDevice],
        "the visit is the customer's"
    );
    assert_eq!(campaigns_of(&day.passes(6)), ["ten"]);
    // The first device leaves: the customer is there still, and has been told of the stay.
    let first = day.is_at(0, NOWHERE);
    assert_eq!(
        (told([&first]), suppressed(&first)),
        (vec!["exited 2".to_owned()], vec![Suppression::OtherDevice])
    );
    assert_eq!(campaigns_of(&day.passes(30)), Vec::<String>::new());
    assert_eq!(campaigns_of([&day.is_at(1, NOWHERE)]), ["bye"]);
}

#[test]
fn a_stay_that_is_handed_on_moves_no_exit() {
    let mut day = Day::with(vec![waits("long", "PT7H")]);
    day.is_at(0, ALONE);
    let mut long = Vec::new();
    for _ in 0..15 {
        long.extend(campaigns_of(&day.passes(30)));
        day.is_at(0, ALONE);
    }
    assert_eq!(long, ["long"]);
    day.is_at(1, ALONE);
    let last_seen = Timestamp(day.now);
    day.now += MINUTE;
    assert_eq!(told([&day.is_at(0, NOWHERE)]), ["exited 2"]);
    // The second device has come in just now, and is not heard of again.
    let silent = day.passes(7 * 60);
    assert_eq!(told(&silent), ["exited 2"]);
    let event = &silent.last().expect("an end").events[0];
    assert_eq!((event.at, event.duration), (last_seen, Some(DurationMs(0))));
}

#[test]
fn a_phone_that_sends_what_it_kept_goes_by_its_own_time() {
    let mut day = Day::with(vec![waits("ten", "PT10M")]);
    let kept = |minutes: i64, latitude: f64| {
        move |check_in: &mut CheckIn| {
            check_in.at = Timestamp(10 * DAY - 60 * MINUTE + minutes * MINUTE);
            check_in.location = Some(Fix {
                position: Position {
                    latitude,
                    longitude: 12.3,
                },
                accuracy_m: Some(10.0),
                floor: None,
            });
        }
    };
    assert_eq!(told([&day.check_in(0, kept(0, ALONE))]), ["entered 2"]);
    // No timer claims that an hour has passed since, while the rest is on its way.
    assert!(day.passes(1).is_empty());
    assert_eq!(told([&day.check_in(0, kept(2, ALONE))]), Vec::<String>::new());
    assert_eq!(
        told([&day.check_in(0, kept(20, NOWHERE))]),
        ["dwelled_in 2", "exited 2"]
    );
}

#[test]
fn a_clock_that_is_ahead_moves_nothing_and_is_told_once() {
    let mut day = Day::with(Vec::new());
    day.is_at(0, ALONE);
    let before = day.record.device(&device_id(0)).cloned().expect("a phone");
    let mut facts = 0;
    for _ in 0..3 {
        let ahead = day.now + DAY;
        let effects = day.check_in(0, |check_in| {
            check_in.at = Timestamp(ahead);
            check_in.code = Some("code-0".to_owned());
        });
        assert_eq!((effects.status, effects.events.len()), (Status::ClockAhead, 0));
        facts += effects.facts.len();
        assert!(effects.facts.iter().all(|fact| matches!(
            fact,
            Fact::Doubted {
                doubt: Doubt::ClockAhead,
                ..
            }
        )));
    }
    assert_eq!(facts, 1);
    let after = day.record.device(&device_id(0)).expect("a phone");
    assert_eq!(
        (&after.whereabouts, after.last_at),
        (&before.whereabouts, before.last_at)
    );
}

#[test]
fn a_position_that_nobody_can_have_reached_is_a_fact() {
    let mut day = Day::with(Vec::new());
    day.is_at(0, ALONE);
    day.now += MINUTE;
    let effects = day.is_at(0, ALONE + 1.0);
    assert_eq!(
        (effects.status, effects.doubt),
        (Status::Processed, Some(Doubt::ImpossibleSpeed))
    );
    assert_eq!(told([&effects]), Vec::<String>::new());
    assert!(matches!(
        effects.facts.as_slice(),
        [Fact::Doubted {
            doubt: Doubt::ImpossibleSpeed,
            ..
        }]
    ));
}

#[test]
fn visits_that_end_for_another_reason_say_so_and_ask_no_campaign() {
    let leaves = json!({"trigger": {"on": "exited", "geofences": {"tag": "shop"}}});
    let mut day = Day::with(vec![campaign("bye", &leaves)]);
    day.is_at(0, ALONE);
    day.is_at(1, ALONE);
    let mut record = day.record.clone();
    let facts = decide::end_visits(&mut record, Some(&device_id(0)), ExitReason::DeviceMoved, day.context());
    let [Fact::Event(event)] = facts.as_slice() else {
        panic!("{facts:?}")
    };
    assert_eq!(
        (event.kind, event.reason),
        (EventType::Exited, Some(ExitReason::DeviceMoved))
    );
    assert_eq!(
        decide::end_visits(&mut record, None, ExitReason::Consent, day.context()).len(),
        1
    );
    assert_eq!(record.wake_at, None);
}

#[test]
fn two_hundred_places_round_one_point_are_entered_and_left() {
    let many = (0..200u16).map(|number| {
        let id = GeofenceId {
            tag: Tag::new("layer").expect("a tag"),
            external_id: ExternalId::new(format!("{number:03}")).expect("an id"),
        };
        let center = Position::new(ALONE, 12.3).expect("a position");
        Arc::new(Geofence::new(
            id,
            Shape::circle(center, 50.0 + f64::from(number)).expect("a circle"),
        ))
    });
    let mut day = Day::with(Vec::new());
    day.stage.catalogue.places = Arc::new(Places::build(many));
    assert_eq!(day.is_at(0, ALONE).events.len(), 200);
    day.now += MINUTE;
    // 110 m from the middle: outside of the 41 that are surely behind.
    let left = day.is_at(0, ALONE + 110.0 / 111_195.0);
    let inner = |event: &Event| event.geofence.id.external_id.as_str() < "052";
    assert!(
        left.events.len() > 40 && left.events.iter().all(inner),
        "{:?}",
        told([&left])
    );
    day.now += MINUTE;
    assert_eq!(day.is_at(0, NOWHERE).events.len(), 200 - left.events.len());
}

#[derive(Debug, Clone)]
enum Input {
    CheckIn(CheckIn),
    Passes(i64),
    Forgets(u8),
}

fn an_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        6 => a_check_in().prop_map(Input::CheckIn),
        3 => (0..8 * 60i64).prop_map(Input::Passes),
        1 => (0..2u8).prop_map(Input::Forgets),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever phones report, in whatever order, and however late timers come.
    #[test]
    fn a_visit_begins_is_stayed_and_ends_in_turn(inputs in prop::collection::vec(an_input(), 1..80)) {
        let mut day = Day::with(vec![waits("ten", "PT10M"), waits("hour", "PT1H")]);
        let mut visits: HashMap<(DeviceId, GeofenceId), Option<DurationMs>> = HashMap::new();
        for input in inputs {
            let events: Vec<Event> = match input {
                Input::CheckIn(check_in) => {
                    // Late by up to an hour, or early by what is allowed.
                    let at = Timestamp(day.now - 60 * MINUTE + check_in.at.0 % (65 * MINUTE));
                    day.check_in(0, |mine| *mine = CheckIn { at, ..check_in }).events
                }
                Input::Passes(minutes) => day.passes(minutes).into_iter().flat_map(|effects| effects.events).collect(),
                Input::Forgets(device) => {
                    let mut record = std::mem::take(&mut day.record);
                    let facts = decide::end_visits(&mut record, Some(&device_id(device)), ExitReason::DeviceMoved, day.context());
                    day.record = record;
                    let events = facts.into_iter().filter_map(|fact| match fact {
                        Fact::Event(event) => Some(event),
                        _ => None,
                    });
                    events.collect()
                }
            };
            for event in events {
                let visit = visits.entry((event.device_id.clone(), event.geofence.id.clone())).or_default();
                match event.kind {
                    EventType::Entered => prop_assert!(visit.replace(DurationMs(0)).is_none(), "entered twice"),
                    EventType::Exited => prop_assert!(visit.take().is_some(), "exited without having entered"),
                    EventType::Dwelled => {
                        let told = visit.replace(event.duration.unwrap_or_default());
                        prop_assert!(told.is_some_and(|told| told < event.duration.unwrap_or_default()), "stayed twice");
                    }
                    EventType::Scanned => prop_assert!(visit.is_some(), "scanned a code of a place and is not there"),
                    EventType::Crossed => prop_assert!(visit.is_none(), "crossed a place and is there"),
                }
            }
            // Whoever is somewhere is looked at some time, and nobody else is.
            let somewhere = day.record.devices.iter().any(|device| !device.whereabouts.visits.is_empty());
            prop_assert_eq!(somewhere, day.record.wake_at.is_some());
        }
        for ((device, geofence), visit) in visits {
            let whereabouts = &day.record.device(&device).expect("the device").whereabouts;
            prop_assert_eq!(whereabouts.visits.iter().any(|found| found.geofence == geofence), visit.is_some());
        }
    }

    /// Whether timers come at once, or never and only check-ins let time pass: what happens has the same names and times.
    #[test]
    fn it_does_not_matter_who_notices_first(inputs in prop::collection::vec((0..400i64, a_check_in()), 1..40)) {
        let follow = |with_timers: bool| {
            let mut day = Day::with(vec![waits("ten", "PT10M"), waits("hour", "PT1H")]);
            let mut events: Vec<Event> = Vec::new();
            for (minutes, check_in) in &inputs {
                if with_timers {
                    events.extend(day.passes(*minutes).into_iter().flat_map(|effects| effects.events));
                } else {
                    day.now += minutes * MINUTE;
                }
                // Nothing comes due in the very millisecond of a check-in.
                day.now += 7;
                events.extend(day.check_in(0, |mine| {
                    let (id, at) = (mine.id.clone(), mine.at);
                    *mine = CheckIn { id, at, device: device_id(0), ..check_in.clone() };
                }).events);
            }
            events.extend(day.passes(24 * 60).into_iter().flat_map(|effects| effects.events));
            events.sort_by_key(|event| (event.at, event.id.0));
            events
        };
        prop_assert_eq!(follow(true), follow(false));
    }
}

/// A phone hears a beacon once a minute and sends what it kept every ten.
#[test]
fn a_phone_that_sends_in_bundles_stays_until_it_says_otherwise() {
    let mut day = Day::with(vec![campaign("hello", &json!({})), waits("half", "PT30M")]);
    let begun = day.now;
    let (mut events, mut pushes) = (Vec::new(), Vec::new());
    for bundle in 0..6 {
        // The network is not always there at once.
        let timers = day.passes(if bundle == 3 { 13 } else { 10 });
        events.extend(told(&timers));
        pushes.extend(campaigns_of(&timers));
        for minute in 10 * bundle + 1..=10 * (bundle + 1) {
            let effects = day.check_in(0, |check_in| {
                check_in.at = Timestamp(begun + minute * MINUTE);
                check_in.beacons = Some(vec![BeaconSighting {
                    id: beacon(2),
                    rssi_dbm: Some(-60),
                }]);
            });
            assert_eq!(effects.status, Status::Processed);
            events.extend(told([&effects]));
            pushes.extend(campaigns_of([&effects]));
        }
    }
    assert_eq!(events, ["entered 2", "dwelled_in 2"]);
    assert_eq!(pushes, ["hello", "half"]);
    // Then it is gone: the beacon held for five minutes, and nothing else is on its way any more.
    let heard = Timestamp(begun + 60 * MINUTE);
    let gone = day.passes(60);
    assert_eq!(told(&gone), ["exited 2"]);
    let exited = &gone.last().expect("an end").events[0];
    assert_eq!(exited.at, heard.plus(RULES.beacon_holds));
}

#[test]
fn a_phone_that_sends_at_once_is_not_waited_for() {
    let mut day = Day::with(Vec::new());
    for _ in 0..3 {
        day.check_in(0, |check_in| {
            check_in.beacons = Some(vec![BeaconSighting {
                id: beacon(2),
                rssi_dbm: Some(-60),
            }]);
        });
        day.now += MINUTE;
    }
    day.now -= MINUTE;
    assert_eq!(told(&day.passes(4)), Vec::<String>::new());
    assert_eq!(told(&day.passes(1)), ["exited 2"]);
}
