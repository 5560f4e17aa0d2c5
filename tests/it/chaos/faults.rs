//! What the gateway does wrong, by chance: a script for it, which is another one after each death of a server.

use std::{collections::BTreeMap, sync::atomic::AtomicU64};

use serde_json::{Value, json};

use super::next;
use crate::harness::Api;

/// How often something goes wrong.
#[derive(Clone, Copy)]
pub(super) struct Shares {
    /// What strikes one push.
    common: f64,
    /// What strikes everything that is under way on a connection.
    rare: f64,
    /// Whether there is time for the providers' longest pauses.
    is_long: bool,
}

impl Shares {
    /// Few pushes meet more of each fault, so that they meet all.
    pub(super) fn of(pushes: u64, is_long: bool) -> Self {
        Self {
            common: (40.0 / pushes as f64).clamp(0.001, 0.03),
            rare: (8.0 / pushes as f64).clamp(0.000_05, 0.005),
            is_long,
        }
    }
}

/// Iphones' tokens begin with the hex of their device's name.
const GONE_IOS: &str = "676f6e65*";
const GONE_ANDROID: &str = "gone*";

/// A rule that is met by chance.
fn rule(fault: &str, share: f64, fields: Value) -> Value {
    let mut rule = json!({"fault": fault, "share": share});
    if let (Value::Object(rule), Value::Object(fields)) = (&mut rule, fields) {
        rule.extend(fields);
    }
    rule
}

fn answer(share: f64, provider: &str, status: u16, reason: &str, fields: Value) -> Value {
    let mut rule = rule("answer", share, fields);
    rule["provider"] = json!(provider);
    rule["status"] = json!(status);
    rule["reason"] = json!(reason);
    rule
}

/// All that the sandbox can do wrong, at random places.
pub(super) fn script(shares: Shares, random: &AtomicU64) -> Value {
    let Shares { common, rare, is_long } = shares;
    let mut rules = vec![
        rule("delay", 0.5, json!({"jitterMs": 40})),
        rule("delay", common, json!({"ms": 300, "jitterMs": 1500})),
        // Dead since now, so that the token is dropped.
        answer(0.3, "apns", 410, "Unregistered", json!({"since": 0, "token": GONE_IOS})),
        answer(0.3, "fcm", 404, "UNREGISTERED", json!({"token": GONE_ANDROID})),
        // Dead a year before it was registered: that was another life of the token.
        answer(common / 4.0, "apns", 410, "Unregistered", json!({"since": -31_536_000})),
        answer(common, "apns", 429, "TooManyRequests", json!({})),
        answer(common, "apns", 429, "TooManyRequests", json!({"retryAfter": 1})),
        answer(common, "apns", 503, "ServiceUnavailable", json!({})),
        answer(
            common,
            "apns",
            503,
            "Shutdown",
            json!({"retryAfter": 2, "asDate": true}),
        ),
        answer(common, "apns", 500, "InternalServerError", json!({"retryAfter": 1})),
        answer(common, "fcm", 429, "QUOTA_EXCEEDED", json!({"retryAfter": 1})),
        answer(
            common,
            "fcm",
            503,
            "UNAVAILABLE",
            json!({"retryAfter": 2, "asDate": true}),
        ),
        answer(common, "fcm", 500, "INTERNAL", json!({"retryAfter": 1})),
        rule("reset", common, json!({"code": "refused_stream"})),
        rule("stall", rare, json!({})),
        rule("stall", rare, json!({"processed": true})),
        rule("goaway", rare, json!({"last": "this"})),
        rule("goaway", rare, json!({"last": "before"})),
        rule("goaway", rare, json!({"last": "all"})),
        rule("goaway", rare, json!({"last": "this", "close": true})),
        rule("goaway", rare, json!({"last": "before", "close": true})),
    ];
    for code in ["cancel", "internal_error"] {
        for processed in [false, true] {
            rules.push(rule(
                "reset",
                common / 2.0,
                json!({"code": code, "processed": processed}),
            ));
        }
    }
    for processed in [false, true] {
        for _ in 0..3 {
            let cut = json!({"bytes": next(random) % 4096, "processed": processed});
            rules.push(rule("cut", rare / 3.0, cut));
        }
    }
    for max in [1, 1 + next(random) % 50, 50 + next(random) % 500, 1000] {
        rules.push(rule("streams", rare, json!({"max": max})));
    }
    for provider in ["apns", "fcm"] {
        let once = json!({"provider": provider, "after": next(random) % 200, "times": 1});
        rules.push(rule("expiredToken", 0.05, once));
    }
    if is_long {
        // Google's own pauses: a minute, ten seconds.
        rules.push(answer(common / 4.0, "fcm", 429, "QUOTA_EXCEEDED", json!({})));
        rules.push(answer(common / 4.0, "fcm", 503, "UNAVAILABLE", json!({})));
    }
    json!({"seed": next(random), "rules": rules})
}

/// The gateway's faults, and how often each kind was met.
pub(super) struct Faults {
    gateway: Api,
    playing: Vec<String>,
    met: BTreeMap<String, u64>,
}

impl Faults {
    pub(super) fn of(gateway: Api) -> Self {
        Self {
            gateway,
            playing: Vec::new(),
            met: BTreeMap::new(),
        }
    }

    /// Plays another script.
    pub(super) fn play(&mut self, script: &Value) {
        self.count();
        self.gateway.ok("PUT", "/faults", script);
        let rules = script["rules"].as_array().expect("rules").iter();
        self.playing = rules.map(name).collect();
    }

    /// Nothing goes wrong any more.
    pub(super) fn end(&mut self) {
        self.count();
        self.gateway.ok("DELETE", "/faults", &Value::Null);
        self.playing.clear();
    }

    fn count(&mut self) {
        let met = self.gateway.get("/faults")["met"].clone();
        let met = met.as_array().expect("numbers").iter();
        for (name, times) in self.playing.iter().zip(met) {
            *self.met.entry(name.clone()).or_default() += times.as_u64().expect("a number");
        }
    }

    /// How often each was met.
    pub(super) fn met(&self) -> &BTreeMap<String, u64> {
        &self.met
    }
}

/// What a rule is called in the summary.
fn name(rule: &Value) -> String {
    let text = |field: &str| rule[field].as_str().unwrap_or_default();
    let taken = if rule["processed"] == true { ", taken" } else { "" };
    match text("fault") {
        "answer" => {
            let wait = if rule["retryAfter"].is_null() {
                ""
            } else {
                " Retry-After"
            };
            let since = match rule["since"].as_i64() {
                Some(0) => " newer",
                Some(_) => " older",
                None => "",
            };
            format!("{} {}{wait}{since}", text("provider"), rule["status"])
        }
        "goaway" => {
            let close = if rule["close"] == true { ", closed" } else { "" };
            format!("goaway {}{close}", text("last"))
        }
        "reset" => format!("reset {}{taken}", text("code")),
        fault => format!("{fault}{taken}"),
    }
}
