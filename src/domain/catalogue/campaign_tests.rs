//! The index of campaigns against asking every one.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::Campaigns;
use crate::{
    domain::{
        campaign::{Campaign, CampaignStatus, Trigger},
        delivery::TriggerKind,
        geofence::Geofence,
        ids::{BrandId, ExternalId, GeofenceId, SetName, Tag, Topic},
    },
    geo::{Position, Shape},
};

const KINDS: [(&str, TriggerKind); 4] = [
    ("entered", TriggerKind::Entered),
    ("exited", TriggerKind::Exited),
    ("scanned", TriggerKind::Scanned),
    ("dwelled", TriggerKind::Dwelled),
];

/// One of three names, or none.
fn a_name(of: &'static str) -> impl Strategy<Value = Option<String>> {
    prop::option::of((0..3u8).prop_map(move |number| format!("{of}-{number}")))
}

fn a_selector() -> impl Strategy<Value = Map<String, Value>> {
    (a_name("tag"), a_name("id"), a_name("set"), a_name("brand")).prop_map(|(tag, id, set, brand)| {
        let fields = [("tag", tag), ("externalId", id), ("set", set), ("brand", brand)];
        let given = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
        let mut selector: Map<String, Value> = given.collect();
        if selector.is_empty() {
            selector.insert("tag".to_owned(), json!("tag-0"));
        }
        selector
    })
}

fn a_trigger() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => (0..KINDS.len(), a_selector()).prop_map(|(kind, geofences)| json!({"on": KINDS[kind].0, "geofences": geofences})),
        1 => (0..3u8, a_name("topic")).prop_map(|(number, topic)| json!({"on": "event", "type": format!("type-{number}"), "topic": topic})),
    ]
}

fn campaigns(triggers: Vec<(Value, i64, bool)>) -> Vec<Arc<Campaign>> {
    let read = |(number, (trigger, priority, active)): (usize, (Value, i64, bool))| {
        let document = json!({
            "id": format!("c-{number}"), "trigger": trigger, "priority": priority,
            "status": if active { "active" } else { "paused" },
            "offers": [{"message": {"en": {"title": "t", "body": "b"}}}],
        });
        Arc::new(Campaign::read(&document, 1).unwrap())
    };
    triggers.into_iter().enumerate().map(read).collect()
}

/// Names of those that fit, best first, by asking every one.
fn asked(all: &[Arc<Campaign>], fits: impl Fn(&Trigger) -> bool) -> Vec<String> {
    let mut fitting: Vec<&Arc<Campaign>> = all
        .iter()
        .filter(|campaign| campaign.status == CampaignStatus::Active && fits(&campaign.trigger))
        .collect();
    fitting.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.id.cmp(&b.id)));
    fitting.into_iter().map(|campaign| campaign.id.to_string()).collect()
}

fn names(found: Vec<&Campaign>) -> Vec<String> {
    found.into_iter().map(|campaign| campaign.id.to_string()).collect()
}

proptest! {
    #[test]
    fn the_index_finds_what_asking_every_campaign_finds(
        triggers in prop::collection::vec((a_trigger(), -2..3i64, prop::bool::weighted(0.8)), 0..60),
        kind in 0..KINDS.len(),
        place in (0..3u8, 0..3u8, 0..3u8, prop::option::of(0..3u8)),
        event in (0..4u8, a_name("topic")),
    ) {
        let all = campaigns(triggers);
        let index = Campaigns::build(all.clone());
        let (tag, id, set, brand) = place;
        let center = Position::new(46.0, 7.0).unwrap();
        let identity = GeofenceId {
            tag: Tag::new(format!("tag-{tag}")).unwrap(),
            external_id: ExternalId::new(format!("id-{id}")).unwrap(),
        };
        let geofence = Geofence {
            set: SetName::new(format!("set-{set}")).unwrap(),
            brand: brand.map(|brand| BrandId::new(format!("brand-{brand}")).unwrap()),
            ..Geofence::new(identity, Shape::circle(center, 100.0).unwrap())
        };
        let of_kind = |trigger: &Trigger| match (KINDS[kind].1, trigger) {
            (TriggerKind::Entered, Trigger::Entered(geofences))
            | (TriggerKind::Exited, Trigger::Exited(geofences))
            | (TriggerKind::Scanned, Trigger::Scanned(geofences))
            | (TriggerKind::Dwelled, Trigger::Dwelled { geofences, .. }) => geofences.selects(&geofence),
            _ => false,
        };
        prop_assert_eq!(names(index.at_geofence(KINDS[kind].1, &geofence)), asked(&all, of_kind));
        let event_type = format!("type-{}", event.0);
        let topic = event.1.map(|topic| Topic::new(topic).unwrap());
        let of_event = |trigger: &Trigger| match trigger {
            Trigger::Event { event_type: wanted, topic: only, .. } => *wanted == event_type && (only.is_none() || *only == topic),
            _ => false,
        };
        prop_assert_eq!(names(index.at_event(&event_type, topic.as_ref())), asked(&all, of_event));
    }
}
