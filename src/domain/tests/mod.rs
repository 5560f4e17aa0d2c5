//! Properties of the step: whatever comes, in whatever order, the promises hold.

use std::{collections::HashMap, sync::Arc};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::domain::{
    beacon::{BeaconId, BeaconSighting},
    campaign::Campaign,
    catalogue::{Campaigns, Catalogue, Places},
    checkin::{CheckIn, Fix},
    customer::{Device, JsonObject},
    decide::{self, Context, Effects, Status},
    delivery::{Environment, Platform, PushTarget},
    event::{EventTarget, EventType, OutsideEvent},
    geofence::Geofence,
    ids::{AppId, CauseId, DeviceId, ExternalId, GeofenceId, PushToken, SetName, SubjectId, Tag, UserId, WorkspaceId},
    metadata::Metadata,
    presence::PresenceRules,
    record::{RECORD_SCHEMA, Record},
    rule::{Person, Rule},
    time::Timestamp,
};
use crate::geo::{Position, Shape};

mod decisions;
mod ladders;
mod stays;
mod traces;
mod waiting;

const DAY: i64 = 24 * 3600 * 1000;
const RULES: PresenceRules = PresenceRules::DEFAULT;

fn beacon(minor: u16) -> BeaconId {
    BeaconId::IBeacon {
        uuid: uuid::Uuid::from_u128(7),
        major: 1,
        minor,
    }
}

/// Three places along a street: two overlap, the third stands alone; each has a beacon and a code.
fn places() -> Places {
    Places::build((0..3u16).map(|number| {
        Arc::new(Geofence {
            id: GeofenceId {
                tag: Tag::new("shop").expect("a tag"),
                external_id: ExternalId::new(number.to_string()).expect("an id"),
            },
            set: SetName::new("street").expect("a name"),
            description: None,
            shape: Shape::circle(
                Position::new(46.5 + f64::from(number * number) * 0.001, 12.3).expect("a position"),
                100.0,
            )
            .expect("a circle"),
            enabled: true,
            brand: None,
            beacons: vec![beacon(number).into()],
            presence: None,
            dwell_threshold: None,
            operating_hours: None,
            codes: vec![format!("code-{number}")],
            metadata: Metadata::default(),
        })
    }))
}

fn campaign(id: &str, extra: &Value) -> Campaign {
    let mut document = json!({
        "id": id, "trigger": {"on": "entered", "geofences": {"tag": "shop"}},
        "offers": [{"message": {"en": {"title": "t", "body": "b"}}}],
    });
    for (field, value) in extra.as_object().into_iter().flatten() {
        document[field] = value.clone();
    }
    Campaign::read(&document, 1).expect("a campaign")
}

fn catalogue(campaigns: Vec<Campaign>) -> Catalogue {
    Catalogue {
        places: Arc::new(places()),
        campaigns: Arc::new(Campaigns::build(campaigns.into_iter().map(Arc::new))),
        settings: Arc::default(),
    }
}

fn device_id(number: u8) -> DeviceId {
    DeviceId::new(format!("phone-{number}")).expect("an id")
}

/// A customer with two phones.
fn customer() -> Record {
    let mut record = Record::default();
    for number in 0..2 {
        let mut device = Device::new(device_id(number), Timestamp(0));
        device.target = Some(PushTarget {
            platform: Platform::Ios,
            app: AppId::new("app").expect("an app"),
            token: PushToken::new("ab".repeat(32)).expect("a token"),
            environment: Environment::Production,
            registered_at: Timestamp(0),
        });
        record.put_device(device);
    }
    record
}

struct Stage {
    workspace: WorkspaceId,
    subject: SubjectId,
    catalogue: Catalogue,
}

impl Stage {
    fn set(campaigns: Vec<Campaign>) -> Self {
        Self {
            workspace: WorkspaceId::new("w").expect("an id"),
            subject: SubjectId::User(UserId::new("mia").expect("an id")),
            catalogue: catalogue(campaigns),
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            workspace: &self.workspace,
            subject: &self.subject,
            now: Timestamp(1_000 * DAY),
            catalogue: &self.catalogue,
            rules: RULES,
        }
    }

    fn step(&self, record: &mut Record, check_in: &CheckIn) -> Effects {
        let matches = self.catalogue.places.matching(check_in);
        decide::check_in(record, check_in, &matches, self.context())
    }
}

fn a_check_in() -> impl Strategy<Value = CheckIn> {
    let location = prop::option::weighted(0.8, (0..14u32, prop::option::of(1.0..400.0f64)));
    let beacons = prop::option::weighted(0.3, prop::collection::vec(0..3u16, 0..3));
    let code = prop::option::weighted(0.1, 0..4u8);
    (0..60u32, 0..2u8, 0..3 * DAY, location, beacons, code).prop_map(|(id, device, at, location, beacons, code)| {
        CheckIn {
            id: CauseId::new(format!("c-{id}")).expect("an id"),
            device: device_id(device),
            at: Timestamp(at),
            location: location.map(|(step, accuracy_m)| Fix {
                position: Position {
                    latitude: 46.4985 + f64::from(step) * 0.0005,
                    longitude: 12.3,
                },
                accuracy_m,
                floor: None,
            }),
            beacons: beacons.map(|minors| {
                minors
                    .into_iter()
                    .map(|minor| BeaconSighting {
                        id: beacon(minor),
                        rssi_dbm: None,
                    })
                    .collect()
            }),
            code: code.map(|number| format!("code-{number}")),
            regions: false,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn entered_and_exited_alternate_for_each_device_and_place(check_ins in prop::collection::vec(a_check_in(), 1..60)) {
        let stage = Stage::set(Vec::new());
        let mut record = customer();
        let mut inside: HashMap<(DeviceId, GeofenceId), bool> = HashMap::new();
        for check_in in &check_ins {
            for event in stage.step(&mut record, check_in).events {
                let place = inside.entry((event.device_id.clone(), event.geofence.id.clone())).or_default();
                match event.kind {
                    EventType::Entered => prop_assert!(!std::mem::replace(place, true), "entered twice"),
                    EventType::Exited => prop_assert!(std::mem::replace(place, false), "exited without having entered"),
                    EventType::Scanned | EventType::Dwelled | EventType::Crossed => {
                        prop_assert!(*place, "something happened in a place where nobody is");
                    }
                }
            }
        }
        for ((device, geofence), is_inside) in inside {
            let visits = &record.device(&device).expect("the device").whereabouts.visits;
            prop_assert_eq!(visits.iter().any(|visit| visit.geofence == geofence), is_inside);
        }
    }

    #[test]
    fn duplicate_and_late_check_ins_change_nothing(check_ins in prop::collection::vec(a_check_in(), 1..60)) {
        let stage = Stage::set(vec![campaign("c", &json!({}))]);
        let mut record = customer();
        for check_in in &check_ins {
            stage.step(&mut record, check_in);
            let before = record.clone();
            let again = stage.step(&mut record, check_in);
            prop_assert!(matches!(again.status, Status::Duplicate | Status::Late));
            let last_at = before.device(&check_in.device).and_then(|device| device.last_at).expect("a time");
            let late = CheckIn { id: CauseId::new("another").expect("an id"), at: Timestamp(last_at.0 - 1), ..check_in.clone() };
            prop_assert_eq!(stage.step(&mut record, &late).status, Status::Late);
            prop_assert!(again.events.is_empty() && again.deliveries.is_empty() && again.facts.is_empty());
            prop_assert_eq!(&record, &before);
        }
    }

    #[test]
    fn caps_and_cooldowns_are_never_broken(check_ins in prop::collection::vec(a_check_in(), 1..80), max in 1..4usize) {
        let stage = Stage::set(vec![
            campaign("capped", &json!({"priority": 3, "caps": [{"max": max, "per": "P1D"}]})),
            campaign("cooled", &json!({"priority": 2, "cooldown": "PT6H"})),
            campaign("all", &json!({"priority": 1, "caps": [{"max": max + 2, "per": "P1D", "scope": "workspace"}]})),
            campaign("service", &json!({"class": "service", "caps": [{"max": 1, "per": "P1D", "scope": "workspace"}]})),
        ]);
        let mut record = customer();
        let mut sent: HashMap<String, Vec<i64>> = HashMap::new();
        for check_in in &check_ins {
            let effects = stage.step(&mut record, check_in);
            for delivery in &effects.deliveries {
                sent.entry(delivery.campaign.to_string()).or_default().push(delivery.event_at.0);
            }
            let entered = effects.events.iter().filter(|event| event.kind == EventType::Entered).count();
            prop_assert!(effects.deliveries.len() <= entered, "one push an event at most");
        }
        let most_in = |campaign: &str, window: i64| {
            let times = sent.get(campaign).cloned().unwrap_or_default();
            times.iter().map(|end| times.iter().filter(|at| **at > end - window && *at <= end).count()).max().unwrap_or(0)
        };
        prop_assert!(most_in("capped", DAY) <= max);
        prop_assert!(most_in("cooled", DAY / 4) <= 1);
        prop_assert!(most_in("service", DAY) <= 1);
    }

    #[test]
    fn a_record_comes_back_from_its_bytes(
        check_ins in prop::collection::vec(a_check_in(), 0..20),
        name in prop::option::of(".{0,20}"),
        traits in prop::collection::btree_map("[a-z]{1,8}", prop_oneof![
            any::<i32>().prop_map(Value::from), ".{0,12}".prop_map(Value::from), any::<bool>().prop_map(Value::from),
            Just(json!({"nested": [1, "two", null]})),
        ], 0..6),
    ) {
        let stage = Stage::set(vec![campaign("c", &json!({}))]);
        let mut record = customer();
        record.profile.name = name;
        record.profile.traits = JsonObject(traits.into_iter().collect());
        for check_in in &check_ins {
            stage.step(&mut record, check_in);
        }
        let bytes = record.encode().expect("encodes");
        prop_assert_eq!(Record::decode(RECORD_SCHEMA, &bytes).expect("decodes"), record);
    }
}

#[test]
fn a_newer_record_is_refused_rather_than_misread() {
    let bytes = customer().encode().expect("encodes");
    let error = Record::decode(RECORD_SCHEMA + 1, &bytes).expect_err("refused");
    assert!(error.to_string().contains("upgrade this node"), "{error}");
}

#[test]
fn the_same_step_gives_the_same_deliveries() {
    let stage = Stage::set(vec![campaign("c", &json!({}))]);
    let check_in = CheckIn {
        id: CauseId::new("c-1").expect("an id"),
        device: device_id(0),
        at: Timestamp(0),
        location: Some(Fix {
            position: Position {
                latitude: 46.5,
                longitude: 12.3,
            },
            accuracy_m: None,
            floor: None,
        }),
        beacons: None,
        code: None,
        regions: false,
    };
    let (mut one, mut other) = (customer(), customer());
    let effects = stage.step(&mut one, &check_in);
    // The place overlaps with the next: two events, two deliveries with names of their own.
    assert_eq!(effects.deliveries.len(), effects.events.len());
    assert_eq!(stage.step(&mut other, &check_in), effects);
}

#[test]
fn an_outside_event_is_told_once_and_only_to_those_present() {
    let trigger = json!({"on": "event", "type": "sale", "present": {"tag": "shop"}});
    let stage = Stage::set(vec![campaign("c", &json!({"trigger": trigger}))]);
    let event = |id: &str| OutsideEvent {
        id: CauseId::new(id).expect("an id"),
        event_type: "sale".to_owned(),
        at: Timestamp(DAY),
        target: EventTarget::User(UserId::new("mia").expect("an id")),
        data: serde_json::Map::new(),
    };
    let mut record = customer();
    assert!(
        decide::outside_event(&mut record, &event("e-0"), stage.context())
            .deliveries
            .is_empty()
    );
    let here = CheckIn {
        id: CauseId::new("another").expect("an id"),
        device: device_id(1),
        at: stage.context().now,
        location: None,
        beacons: None,
        code: Some("code-2".to_owned()),
        regions: false,
    };
    stage.step(&mut record, &here);
    assert_eq!(
        decide::outside_event(&mut record, &event("e-1"), stage.context())
            .deliveries
            .len(),
        1
    );
    let again = decide::outside_event(&mut record, &event("e-1"), stage.context());
    assert_eq!((again.status, again.deliveries.len()), (Status::Duplicate, 0));
}

#[test]
fn a_rule_sees_the_person_the_phone_and_the_event() {
    let mut record = customer();
    record.device_mut(&device_id(0)).expect("a phone").locale = Some("zh-Hant-HK".to_owned());
    let data = json!({"delayMinutes": 50});
    let person = Person {
        record: &record,
        device: record.device(&device_id(0)),
        data: data.as_object(),
        geofence: None,
        geofence_zone: None,
        workspace_zone: crate::domain::zone::Zone::default(),
        brand: None,
        at: Timestamp(0),
    };
    for (rule, holds) in [
        (json!({"platform": "ios"}), true),
        (json!({"locale": "zh"}), true),
        (json!({"locale": "z"}), false),
        (json!({"data": "delayMinutes", "atLeast": 45}), true),
        (json!({"topic": "t"}), false),
    ] {
        let read = Rule::read(&crate::domain::json_reader::Node::root(&rule)).expect("a rule");
        assert_eq!(read.holds(person), holds, "{rule}");
    }
}
