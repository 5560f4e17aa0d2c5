//! The story: who travels, what happens, and which pushes must come of it.

use serde_json::{Value, json};

/// A customer of the story.
pub(super) struct Traveller {
    pub(super) user: &'static str,
    pub(super) device: &'static str,
    pub(super) profile: fn() -> Value,
    pub(super) registration: fn() -> Value,
}

/// One scene.
pub(super) struct Scene {
    /// What happens, for people.
    pub(super) title: &'static str,
    /// What is posted.
    pub(super) actions: Vec<Action>,
    /// Which pushes must arrive: user and campaign.
    pub(super) expects: &'static [(&'static str, &'static str)],
}

/// Something that the outside tells the server.
pub(super) enum Action {
    CheckIn(Value),
    Event(Value),
}

pub(super) const ADA: Traveller = Traveller {
    user: "ada",
    device: "ada-phone",
    profile: || json!({"name": "Ada", "traits": {"persona": "business", "status": "gold"}, "topics": [FLIGHT]}),
    registration: || {
        json!({
            "platform": "ios", "app": "app.beckon.demo", "userId": "ada", "locale": "en-GB",
            "pushToken": "ada0".repeat(16), "consent": {"push": true, "location": true, "personalisation": true},
        })
    },
};

pub(super) const MIA: Traveller = Traveller {
    user: "mia",
    device: "mia-phone",
    profile: || {
        json!({
            "name": "Mia", "topics": [FLIGHT],
            "traits": {"persona": "shopper", "favourites": ["skincare", "perfume"]},
        })
    },
    registration: || {
        json!({
            "platform": "android", "app": "app.beckon.demo", "userId": "mia", "locale": "en",
            "pushToken": format!("mia-phone:{}", "Demo0token".repeat(14)),
            "consent": {"push": true, "location": true, "personalisation": true},
        })
    },
};

const FLIGHT: &str = "flight:SR1501/today";
const AT_ENTRANCE: (f64, f64) = (46.5015, 12.3060);
const AT_SECURITY: (f64, f64) = (46.5053, 12.3104);
const AT_GATE: (f64, f64) = (46.5081, 12.3201);
const AT_DUTY_FREE: (f64, f64) = (46.5063, 12.3136);
const AT_CAFE: (f64, f64) = (46.5072, 12.3166);
const IN_BETWEEN: (f64, f64) = (46.5045, 12.3180);

fn at(traveller: &Traveller, (latitude, longitude): (f64, f64)) -> Action {
    let location = json!({"latitude": latitude, "longitude": longitude, "accuracy": 12});
    Action::CheckIn(json!({"deviceId": traveller.device, "location": location}))
}

fn bought(id: &str, product: &str) -> Action {
    let data = json!({"product": product, "category": "skincare", "amount": 39.9, "currency": "EUR"});
    Action::Event(json!({"id": id, "type": "purchase", "userId": MIA.user, "data": data}))
}

/// The scenes, in order.
pub(super) fn scenes() -> Vec<Scene> {
    vec![
        Scene {
            title: "The shop's tills tell what Mia has bought on earlier journeys.",
            actions: vec![
                bought("till-1", "Rose Cream"),
                bought("till-2", "Night Serum"),
                bought("till-3", "Rose Cream"),
            ],
            expects: &[],
        },
        Scene {
            title: "Ada and Mia come to the airport.",
            actions: vec![at(&ADA, AT_ENTRANCE), at(&MIA, AT_ENTRANCE)],
            expects: &[],
        },
        Scene {
            title: "Both queue at security. The fast lane is for Ada only.",
            actions: vec![at(&ADA, AT_SECURITY), at(&MIA, AT_SECURITY)],
            expects: &[("ada", "security-fast-lane")],
        },
        Scene {
            title: "They look for their gate.",
            actions: vec![at(&ADA, AT_GATE), at(&MIA, AT_GATE)],
            expects: &[("ada", "gate-info"), ("mia", "gate-info")],
        },
        Scene {
            title: "Ada walks past the duty-free shop; Mia's phone hears the beacon at its door.",
            actions: vec![
                at(&ADA, AT_DUTY_FREE),
                at(&MIA, IN_BETWEEN),
                Action::CheckIn(json!({
                    "deviceId": MIA.device,
                    "beacons": [{
                        "type": "ibeacon", "uuid": "f7826da6-4fa2-4e98-8024-bc5b71e0893e", "major": 7, "minor": 1,
                        "rssi": -61,
                    }],
                })),
            ],
            expects: &[("mia", "duty-free-usual")],
        },
        Scene {
            title: "Coffee: Ada sits down, Mia scans the code on her cup.",
            actions: vec![
                at(&ADA, AT_CAFE),
                Action::CheckIn(json!({"deviceId": MIA.device, "beacons": [], "code": "BLUECUP-AIRSIDE"})),
            ],
            expects: &[("ada", "cafe-welcome"), ("mia", "cafe-welcome")],
        },
        Scene {
            title: "Ada stretches her legs and comes back. One coffee a day is enough: the cap says no.",
            actions: vec![at(&ADA, IN_BETWEEN), at(&ADA, AT_CAFE)],
            expects: &[],
        },
        Scene {
            title: "Their flight is delayed by 45 minutes.",
            actions: vec![Action::Event(json!({
                "id": "delay-1", "type": "flight.delayed", "topic": FLIGHT,
                "data": {"flight": "SR1501", "delayMinutes": 45},
            }))],
            expects: &[("ada", "flight-delayed"), ("mia", "flight-delayed")],
        },
    ]
}
