//! Ladders: each step once, whatever the order and repetition of the events.

use super::{
    stays::{Day, campaigns_of, suppressed},
    *,
};
use crate::domain::{delivery::Suppression, ids::Topic, ladder::LADDERS_MAX};

fn delays() -> Campaign {
    let trigger = json!({
        "on": "event", "type": "flight.delayed", "ladder": {"field": "delayMinutes", "every": 45, "per": "topic"},
        "until": ["flight.boarded", "flight.cancelled"],
    });
    campaign("delay", &json!({"class": "service", "trigger": trigger}))
}

fn event(id: usize, event_type: &str, flight: &str, minutes: Option<f64>, at: i64) -> OutsideEvent {
    let data = minutes.map_or(json!({}), |minutes| json!({"delayMinutes": minutes}));
    OutsideEvent {
        id: CauseId::new(format!("e-{id}")).expect("an id"),
        event_type: event_type.to_owned(),
        at: Timestamp(at),
        target: EventTarget::Topic(Topic::new(flight).expect("a topic")),
        data: data.as_object().cloned().unwrap_or_default(),
    }
}

/// The step that is told at an event; 0: none.
fn told(day: &mut Day, event: &OutsideEvent) -> (u32, Vec<Suppression>) {
    let mut record = std::mem::take(&mut day.record);
    let effects = decide::outside_event(&mut record, event, day.context());
    day.record = record;
    let ladder = effects.deliveries.first().and_then(|delivery| delivery.ladder.as_ref());
    (ladder.map_or(0, |ladder| ladder.step), suppressed(&effects))
}

#[test]
fn a_delay_that_grows_is_told_step_by_step_until_boarding() {
    let mut day = Day::with(vec![delays()]);
    let now = day.now;
    let mut number = 0;
    let mut tell = |day: &mut Day, event_type: &str, flight: &str, minutes: Option<f64>| {
        number += 1;
        told(day, &event(number, event_type, flight, minutes, now))
    };
    let delayed = "flight.delayed";
    let not_new = (0, vec![Suppression::LadderStep]);
    assert_eq!(tell(&mut day, delayed, "CA1", Some(44.9)), not_new);
    assert_eq!(tell(&mut day, delayed, "CA1", Some(45.0)).0, 1);
    assert_eq!(tell(&mut day, delayed, "CA1", Some(60.0)), not_new);
    assert_eq!(
        tell(&mut day, delayed, "CA1", Some(185.0)).0,
        4,
        "a jump tells the highest only"
    );
    assert_eq!(
        tell(&mut day, delayed, "CA1", Some(100.0)),
        not_new,
        "and nothing lower afterwards"
    );
    assert_eq!(tell(&mut day, delayed, "CA1", None), not_new);
    assert_eq!(
        tell(&mut day, delayed, "CA2", Some(50.0)).0,
        1,
        "each flight has its own"
    );
    tell(&mut day, "flight.boarded", "CA1", None);
    assert_eq!(
        tell(&mut day, delayed, "CA1", Some(300.0)),
        (0, vec![Suppression::LadderEnded])
    );
    assert_eq!(tell(&mut day, delayed, "CA2", Some(90.0)).0, 2);
    // Who boards before any delay was heard of gets none either.
    tell(&mut day, "flight.cancelled", "CA3", None);
    assert_eq!(tell(&mut day, delayed, "CA3", Some(50.0)).0, 0);
    assert_eq!(tell(&mut day, delayed, "CA1", Some(f64::MAX)).0, 0);
}

#[test]
fn an_event_about_a_user_may_name_its_topic() {
    let mut day = Day::with(vec![delays()]);
    let now = day.now;
    let mut number = 0;
    let mut tell = |day: &mut Day, event_type: &str, flight: &str| {
        number += 1;
        let mut event = event(number, event_type, "unused", Some(50.0), now);
        event.target = EventTarget::User(UserId::new("mia").expect("an id"));
        event.data.insert("topic".to_owned(), json!(flight));
        told(day, &event).0
    };
    assert_eq!(tell(&mut day, "flight.delayed", "CA1"), 1);
    tell(&mut day, "flight.boarded", "CA1");
    assert_eq!(tell(&mut day, "flight.delayed", "CA1"), 0);
    assert_eq!(tell(&mut day, "flight.delayed", "CA2"), 1);
}

#[test]
fn ladders_are_bounded_and_forgotten() {
    let mut day = Day::with(vec![delays()]);
    for number in 0..3 * LADDERS_MAX {
        let flight = format!("F{number}");
        let now = day.now;
        assert_eq!(
            told(&mut day, &event(number, "flight.delayed", &flight, Some(50.0), now)).0,
            1
        );
        assert!(day.record.ladders.len() <= LADDERS_MAX);
    }
    let now = day.now;
    told(&mut day, &event(5000, "flight.boarded", "over", None, now));
    day.now += 20 * DAY;
    let now = day.now;
    assert_eq!(
        told(&mut day, &event(5001, "flight.delayed", "over", Some(50.0), now)).0,
        0
    );
    day.now += 14 * DAY;
    let now = day.now;
    told(&mut day, &event(9999, "flight.delayed", "new", Some(50.0), now));
    assert_eq!(day.record.ladders.len(), 1);
}

#[test]
fn a_step_that_was_decided_and_has_not_left_is_stopped_by_boarding() {
    let mut day = Day::with(vec![delays()]);
    let now = day.now;
    let mut record = std::mem::take(&mut day.record);
    let effects = decide::outside_event(
        &mut record,
        &event(1, "flight.delayed", "CA1", Some(50.0), now),
        day.context(),
    );
    assert_eq!(campaigns_of([&effects]), ["delay"]);
    let delivery = &effects.deliveries[0];
    let step = delivery.ladder.as_ref().expect("a step");
    assert!(record.is_step_live(&delivery.campaign, step));
    decide::outside_event(
        &mut record,
        &event(2, "flight.boarded", "CA1", None, now),
        day.context(),
    );
    assert!(!record.is_step_live(&delivery.campaign, step));
}

#[derive(Debug, Clone)]
enum Word {
    Delayed { flight: u8, minutes: u16 },
    Boarded { flight: u8 },
}

fn a_word() -> impl Strategy<Value = Word> {
    prop_oneof![
        8 => (0..3u8, 0..400u16).prop_map(|(flight, minutes)| Word::Delayed { flight, minutes }),
        1 => (0..3u8).prop_map(|flight| Word::Boarded { flight }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Any events in any order, each any number of times: steps only grow, the highest of a flight that never boards is
    /// told, and nothing after boarding.
    #[test]
    fn steps_are_told_once_in_any_order(words in prop::collection::vec((a_word(), 1..4usize), 0..40), order in any::<prop::sample::Index>()) {
        let mut all: Vec<(usize, Word)> = words.into_iter().enumerate()
            .flat_map(|(number, (word, times))| std::iter::repeat_n((number, word), times)).collect();
        if !all.is_empty() {
            let turn = order.index(all.len());
            all.rotate_left(turn);
        }
        let mut day = Day::with(vec![delays()]);
        let now = day.now;
        let mut last: HashMap<u8, u32> = HashMap::new();
        let mut highest: HashMap<u8, u32> = HashMap::new();
        let mut boarded: HashMap<u8, bool> = HashMap::new();
        for (position, (number, word)) in all.into_iter().enumerate() {
            // The same event, told again under the same name or under another one.
            let id = if position % 2 == 0 { number } else { 1000 + position };
            match word {
                Word::Delayed { flight, minutes } => {
                    let step = told(&mut day, &event(id, "flight.delayed", &format!("F{flight}"), Some(f64::from(minutes)), now)).0;
                    if step > 0 {
                        prop_assert_eq!(step, u32::from(minutes) / 45);
                        prop_assert!(!boarded.contains_key(&flight), "told after boarding");
                        prop_assert!(last.insert(flight, step).is_none_or(|before| before < step), "told again, or backwards");
                    }
                    if !boarded.contains_key(&flight) {
                        let highest = highest.entry(flight).or_default();
                        *highest = (*highest).max(u32::from(minutes) / 45);
                    }
                }
                Word::Boarded { flight } => {
                    told(&mut day, &event(id, "flight.boarded", &format!("F{flight}"), None, now));
                    boarded.insert(flight, true);
                }
            }
        }
        for (flight, highest) in highest {
            prop_assert_eq!(last.get(&flight).copied().unwrap_or(0), highest, "the highest step of F{}", flight);
        }
    }
}
