//! What must hold while servers and Redis die, stop and come back: short and with one seed in every run of the tests, long
//! and with seeds of their own by `make prove-nodes` and `make prove-redis`. `BECKON_PROVE_SEED` repeats one.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::{
    harness::{Answer, Api, fix, registration, wait_for},
    stage::Stage,
};

mod cluster;
mod nodes;
mod proxy;
mod redis;

/// Check-ins inside the shop, and far from it.
const INSIDE: f64 = 46.5;
const OUTSIDE: f64 = 46.9;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// How many rounds; `BECKON_PROVE_ROUNDS` makes it a long proof.
pub(crate) fn rounds(short: u64) -> u64 {
    setting("BECKON_PROVE_ROUNDS").unwrap_or(short)
}

/// Where the random numbers begin: the same in every run of the tests, another in each long proof.
fn seed() -> u64 {
    let seed = setting("BECKON_PROVE_SEED").unwrap_or_else(|| {
        let fresh = uuid::Uuid::new_v4().as_u64_pair().0;
        setting("BECKON_PROVE_ROUNDS").map_or(1, |_| fresh)
    });
    println!("seed {seed} (BECKON_PROVE_SEED={seed} begins with the same faults)");
    seed
}

/// Random numbers by a seed (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to one less than `end`.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// A length of a fault, or a moment: nobody waits for anything by it.
    fn pause(&mut self, from_ms: usize, to_ms: usize) {
        std::thread::sleep(Duration::from_millis((from_ms + self.below(to_ms - from_ms)) as u64));
    }
}

/// A check-in with a name, so that it can be sent again.
fn named(id: &str, device: &str, latitude: f64) -> Value {
    let mut check_in = fix(device, latitude, 12.3);
    check_in["id"] = json!(id);
    check_in
}

/// Sends it until it is taken, each time to whoever `api` names then. Whoever does not take it must say when to come again,
/// or be gone. How often it was turned away, and the answer.
fn insist(api: impl Fn() -> Api, method: &str, path: &str, body: &Value) -> (usize, Value) {
    let (mut turned_away, mut taken) = (0, Value::Null);
    wait_for(&format!("{method} {path} to be taken"), || {
        let text = body.to_string();
        match api().try_call(method, path, "application/json", text.as_bytes()) {
            Some(Answer { status: 200, body, .. }) => {
                taken = body;
                true
            }
            Some(refused) => {
                assert_eq!(
                    (refused.status, refused.retry_after.as_deref()),
                    (503, Some("1")),
                    "{method} {path}: {refused:?}"
                );
                turned_away += 1;
                false
            }
            None => false,
        }
    });
    (turned_away, taken)
}

/// A shop, and three campaigns that together may push a customer so often.
fn prepare(api: &Api, pushes_max: usize) {
    api.put_circles("shops", &[("shop", "one", INSIDE, 12.3, 100.0)]);
    for campaign in ["a", "b", "c"] {
        let caps = json!({"validFor": "P1D", "caps": [{"max": pushes_max, "per": "P1D", "scope": "workspace"}]});
        api.put_campaign(campaign, "entered", "shop", &caps);
    }
}

fn wait_until_prepared(api: &Api) {
    wait_for("the campaigns and the shop", || {
        let campaigns = api.get("/v1/campaigns")["items"].as_array().map(Vec::len);
        campaigns == Some(3) && api.call("GET", "/v1/geofences/shop/one", "", &[]).status == 200
    });
}

/// Phones and whose they are.
#[derive(Default)]
struct Phones(BTreeMap<String, String>);

impl Phones {
    /// Registers a phone; how often that was turned away.
    fn put(&mut self, api: &Api, device: &str, user: &str) {
        let registration = registration(device, user);
        insist(|| api.clone(), "PUT", &format!("/v1/devices/{device}"), &registration);
        let token = registration["pushToken"].as_str().expect("a token").to_owned();
        self.0.insert(token, user.to_owned());
    }

    /// How many pushes have reached each customer, by the gateway's log; one that replaced itself on the phone counts once.
    fn pushes(&self, stage: &Stage) -> BTreeMap<String, usize> {
        let mut pushes: BTreeMap<String, usize> = self.0.values().map(|user| (user.clone(), 0)).collect();
        for arrival in stage.arrivals().iter().filter(|arrival| arrival["replaces"].is_null()) {
            let token = arrival["token"].as_str().expect("a token");
            if let Some(user) = self.0.get(token) {
                *pushes.entry(user.clone()).or_default() += 1;
            }
        }
        pushes
    }
}
