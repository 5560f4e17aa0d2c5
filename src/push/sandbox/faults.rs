//! Faults on demand: which request meets which one. Pure; the same script and seed give the same faults to the same
//! sequence of requests.
//!
//! A rule is flat, so that it can be a JSON object in a script, or a query: `?fault=answer&status=503&token=00*&times=3`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::log::Provider;

/// Most rules at the same time.
const RULES_MAX: usize = 100;
/// Longest wait that may be asked for, in milliseconds.
const WAIT_MS_MAX: u64 = 3_600_000;

/// A list of rules.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultScript {
    /// Where chance begins.
    #[serde(default)]
    pub seed: u64,
    /// In the order in which they are asked. The first fault that is met counts; delays add up.
    pub rules: Vec<FaultRule>,
}

/// When something goes wrong, and what.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FaultRule {
    /// Only there.
    pub provider: Option<Provider>,
    /// Only device tokens like this; `*` stands for anything, at the beginning or the end.
    pub token: Option<String>,
    /// The first so many that fit are spared.
    pub after: u64,
    /// Then each so-manieth; 0: each.
    pub every: u64,
    /// With this chance, 0 to 1.
    pub share: Option<f64>,
    /// At most so many times.
    pub times: Option<u64>,
    /// What happens.
    pub fault: FaultKind,
    /// `delay`: so long. In milliseconds.
    pub ms: u64,
    /// `delay`: up to so much longer, by chance. In milliseconds.
    pub jitter_ms: u64,
    /// `answer`: the HTTP status.
    pub status: Option<u16>,
    /// `answer`: the provider's word for it.
    pub reason: Option<String>,
    /// `answer`: `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// `answer`: `Retry-After` as a date.
    pub as_date: bool,
    /// `answer`: dates an APNs answer so many seconds from now; negative: before now.
    pub since: Option<i64>,
    /// `reset`: `RST_STREAM` with this code (RFC 9113 section 7).
    pub code: Option<ResetCode>,
    /// `cut`: so many more bytes leave first.
    pub bytes: usize,
    /// `goaway`: the last stream that is processed.
    pub last: LastStream,
    /// `goaway`: the connection is cut right after it.
    pub close: bool,
    /// `streams`: how many the client may have open from now on.
    pub max: Option<u32>,
    /// `reset`, `stall`, `cut`: whether the push is taken all the same.
    pub processed: bool,
    /// `world`: the one of Apple's to which the token belongs.
    pub world: World,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultKind {
    /// The answer takes its time.
    #[default]
    Delay,
    /// Another answer than the push deserves.
    Answer,
    /// The stream is reset.
    Reset,
    /// No answer, ever.
    Stall,
    /// The connection is cut.
    Cut,
    /// GOAWAY.
    Goaway,
    /// Another number of streams.
    Streams,
    /// The provider token counts as expired.
    ExpiredToken,
    /// The device token belongs to one of Apple's worlds only.
    World,
}

/// A code of `RST_STREAM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetCode {
    /// Proof that it was not processed.
    RefusedStream,
    /// No proof of anything.
    Cancel,
    /// No proof of anything.
    InternalError,
}

/// Which streams GOAWAY still lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastStream {
    /// This one, and those before it.
    #[default]
    This,
    /// Those before it.
    Before,
    /// All that are under way.
    All,
}

/// One of Apple's two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum World {
    /// Apps from the store.
    #[default]
    Production,
    /// Development builds; the host `localhost` stands for it.
    Development,
}

impl FaultScript {
    /// Reads a script and checks it.
    pub fn read(json: &[u8]) -> Result<Self, String> {
        let script: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if script.rules.len() > RULES_MAX {
            return Err(format!("there are more than {RULES_MAX} rules"));
        }
        for (number, rule) in script.rules.iter().enumerate() {
            rule.check().map_err(|why| format!("rule {number}: {why}"))?;
        }
        Ok(script)
    }
}

impl FaultRule {
    /// Reads a rule from a query, `fault=stall&token=00*`.
    pub fn from_query(query: &str) -> Result<Self, String> {
        let mut fields = Map::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
            let text = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            let is_text = matches!(name, "token" | "reason");
            let parsed = serde_json::from_str(&text).ok().filter(|_| !is_text);
            fields.insert(name.to_owned(), parsed.unwrap_or_else(|| Value::from(text)));
        }
        if !fields.contains_key("fault") {
            return Err("`fault` says what is to happen".to_owned());
        }
        let rule: Self = serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
        rule.check()?;
        Ok(rule)
    }

    fn check(&self) -> Result<(), String> {
        if self.fault == FaultKind::Answer && !self.status.is_some_and(|status| (100..=599).contains(&status)) {
            return Err("`answer` needs a `status` from 100 to 599".to_owned());
        }
        if self.fault == FaultKind::Streams && self.max.is_none() {
            return Err("`streams` needs `max`".to_owned());
        }
        if self.fault == FaultKind::Reset && self.code.is_none() {
            return Err("`reset` needs a `code`: refused_stream, cancel or internal_error".to_owned());
        }
        if self.fault == FaultKind::Reset && self.code == Some(ResetCode::RefusedStream) && self.processed {
            return Err("a refused stream is never processed".to_owned());
        }
        if self.share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err("`share` is from 0 to 1".to_owned());
        }
        if self.ms.saturating_add(self.jitter_ms) > WAIT_MS_MAX {
            return Err(format!("no wait is longer than {WAIT_MS_MAX} ms"));
        }
        Ok(())
    }

    fn fits(&self, provider: Provider, token: &str) -> bool {
        self.provider.is_none_or(|only| only == provider)
            && self.token.as_ref().is_none_or(|pattern| matches(pattern, token))
    }
}

fn matches(pattern: &str, token: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), Some(_)) => token.contains(end.trim_end_matches('*')),
        (Some(end), None) => token.ends_with(end),
        (None, Some(beginning)) => token.starts_with(beginning),
        (None, None) => token == pattern,
    }
}

/// What one request meets.
#[derive(Debug, Clone, Default)]
pub(super) struct Met {
    /// In milliseconds.
    pub(super) delay_ms: u64,
    pub(super) fault: Option<FaultRule>,
}

/// A script that is being played.
#[derive(Default)]
pub(super) struct Faults {
    chance: u64,
    rules: Vec<Running>,
}

struct Running {
    rule: FaultRule,
    seen: u64,
    fired: u64,
}

impl Faults {
    pub(super) fn new(script: FaultScript) -> Self {
        let running = |rule| Running {
            rule,
            seen: 0,
            fired: 0,
        };
        Self {
            chance: script.seed,
            rules: script.rules.into_iter().map(running).collect(),
        }
    }

    /// One more rule, asked last. False when there are too many.
    pub(super) fn add(&mut self, rule: FaultRule) -> bool {
        let there_is_room = self.rules.len() < RULES_MAX;
        if there_is_room {
            self.rules.push(Running {
                rule,
                seen: 0,
                fired: 0,
            });
        }
        there_is_room
    }

    /// How often each rule was met.
    pub(super) fn fired(&self) -> Vec<u64> {
        self.rules.iter().map(|running| running.fired).collect()
    }

    /// `own`: the rule that the request itself brought.
    pub(super) fn meet(&mut self, provider: Provider, token: &str, own: Option<FaultRule>) -> Met {
        let mut met = Met::default();
        let mut chance = self.chance;
        let mut fired = Vec::from_iter(own);
        for running in &mut self.rules {
            if running.rule.fits(provider, token) && running.fires(&mut chance) {
                fired.push(running.rule.clone());
            }
        }
        for rule in fired {
            if rule.fault == FaultKind::Delay {
                met.delay_ms += rule.ms + (unit(&mut chance) * (rule.jitter_ms as f64 + 1.0)) as u64;
            } else if met.fault.is_none() {
                met.fault = Some(rule);
            }
        }
        self.chance = chance;
        met
    }
}

impl Running {
    fn fires(&mut self, chance: &mut u64) -> bool {
        let rule = &self.rule;
        self.seen += 1;
        let turn = self.seen.checked_sub(rule.after + 1);
        let fires = turn.is_some_and(|turn| rule.every == 0 || turn % rule.every == 0)
            && rule.times.is_none_or(|times| self.fired < times)
            && rule.share.is_none_or(|share| unit(chance) < share);
        self.fired += u64::from(fires);
        fires
    }
}

/// The next number below one (`SplitMix64`).
fn unit(chance: &mut u64) -> f64 {
    *chance = chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *chance;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(json: &str) -> Faults {
        Faults::new(FaultScript::read(json.as_bytes()).unwrap())
    }

    #[test]
    fn rules_choose_by_provider_token_and_turn() {
        let mut faults = faults(
            r#"{"rules": [
                {"fault": "stall", "provider": "fcm"},
                {"fault": "answer", "status": 503, "token": "aa*", "after": 2, "every": 3, "times": 2},
                {"fault": "delay", "ms": 7}
            ]}"#,
        );
        let statuses: Vec<Option<u16>> = (0..12)
            .map(|_| {
                faults
                    .meet(Provider::Apns, "aabb", None)
                    .fault
                    .and_then(|rule| rule.status)
            })
            .collect();
        let busy = Some(503);
        let expected = [None, None, busy, None, None, busy, None, None, None, None, None, None];
        assert_eq!(statuses, expected, "the third, then each third, twice");
        let other = faults.meet(Provider::Apns, "bbaa", None);
        assert!(other.fault.is_none() && other.delay_ms == 7);
        assert_eq!(
            faults.meet(Provider::Fcm, "x", None).fault.unwrap().fault,
            FaultKind::Stall
        );
        assert_eq!(faults.fired(), [1, 2, 14]);
    }

    #[test]
    fn chance_is_the_same_for_the_same_seed() {
        let count = |seed: u64| {
            let mut faults = faults(&format!(
                r#"{{"seed": {seed}, "rules": [{{"fault": "stall", "share": 0.1}}]}}"#
            ));
            let met: Vec<bool> = (0..10_000)
                .map(|_| faults.meet(Provider::Apns, "a", None).fault.is_some())
                .collect();
            met
        };
        assert_eq!(count(1), count(1));
        assert_ne!(count(1), count(2));
        let share = count(1).iter().filter(|met| **met).count();
        assert!((900..1100).contains(&share), "{share}");
    }

    #[test]
    fn patterns_have_a_star_at_the_ends() {
        for (pattern, token, expected) in [
            ("ab", "ab", true),
            ("ab", "abc", false),
            ("ab*", "abc", true),
            ("*bc", "abc", true),
            ("*b*", "abc", true),
            ("*", "abc", true),
            ("b*", "abc", false),
        ] {
            assert_eq!(matches(pattern, token), expected, "{pattern} {token}");
        }
    }

    #[test]
    fn a_query_is_a_rule_and_what_makes_no_sense_is_refused() {
        let rule =
            FaultRule::from_query("fault=answer&status=429&reason=TooManyRequests&retryAfter=5&token=00%2A").unwrap();
        assert_eq!(
            (rule.status, rule.retry_after, rule.token.as_deref()),
            (Some(429), Some(5), Some("00*"))
        );
        for (bad, expected) in [
            ("token=1", "`fault`"),
            ("fault=explode", "explode"),
            ("fault=answer", "`status`"),
            ("fault=streams", "`max`"),
            ("fault=reset", "`code`"),
            ("fault=reset&code=refused_stream&processed", "never processed"),
            ("fault=stall&share=2", "`share`"),
            ("fault=delay&ms=99999999", "no wait"),
            ("fault=stall&colour=red", "colour"),
        ] {
            let why = FaultRule::from_query(bad).unwrap_err();
            assert!(why.contains(expected), "{bad}: {why}");
        }
        assert!(
            FaultScript::read(b"{\"rules\": [{\"fault\": \"reset\"}]}")
                .unwrap_err()
                .starts_with("rule 0: ")
        );
    }
}
