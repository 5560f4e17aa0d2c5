//! The Lua scripts. Each touches one slot, so each is done as a whole or not at all.

use std::io::Write as _;

use redis::{Cmd, FromRedisValue, RedisWrite, Script, ToRedisArgs};

use super::link::{Failure, Link, in_slot};

/// A script and its text, which is sent when a server does not know it yet.
pub(super) struct Lua {
    script: Script,
    text: &'static str,
}

impl Lua {
    fn new(text: &'static str) -> Self {
        Self {
            script: Script::new(text),
            text,
        }
    }

    /// Its command with the whole text, for a pipeline; arguments follow.
    pub(super) fn in_full(&self, key: &str) -> Cmd {
        in_slot("EVAL", self.text, key)
    }

    /// Runs it in the slot of `key`.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        link: &Link,
        key: &str,
        arguments: &Arguments,
    ) -> Result<T, Failure> {
        link.run(&self.script, self.text, key, arguments).await
    }

    /// Runs it for several keys at once; an answer for each.
    pub(super) async fn run_all<T: FromRedisValue>(
        &self,
        link: &Link,
        runs: &[(&str, &Arguments)],
    ) -> Vec<Result<T, Failure>> {
        link.run_all(&self.script, self.text, runs).await
    }
}

macro_rules! scripts {
    ($($name:ident $(after $($part:literal)+)?),+ $(,)?) => {
        /// All of them. Before some comes what they share with others: making functions that nobody calls costs a small
        /// script as much as its work.
        pub(super) struct Scripts {
            $(pub(super) $name: Lua,)+
        }

        impl Scripts {
            pub(super) fn new() -> Self {
                Self {
                    $($name: Lua::new(concat!(
                        $($(include_str!(concat!("lua/", $part, ".lua")),)+)?
                        include_str!(concat!("lua/", stringify!($name), ".lua"))
                    )),)+
                }
            }
        }
    };
}

scripts!(
    activate_version,
    advance_event,
    begin,
    claim_offers,
    commit after "swap" "waiting" "appending",
    delete_campaign,
    delete_key,
    delete_set,
    delete_webhook,
    depth,
    drop_free_codes,
    facts,
    facts_end,
    fence,
    finish after "waiting" "appending",
    finish_upload,
    forget_grants,
    grants,
    hand_back after "waiting",
    lease,
    lease_wakes,
    lease_webhooks,
    pace,
    pending_events,
    pools,
    put_campaign,
    put_codes,
    put_edit,
    put_event,
    put_key,
    put_settings,
    put_webhook,
    react after "appending",
    redeem_offer,
    requeue after "waiting",
    reserve,
    settle,
    settle_offers,
    share_token,
    webhooks,
);

/// Collects a script's arguments, one behind the other.
#[derive(Default)]
pub(super) struct Arguments {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Arguments {
    pub(super) fn add(&mut self, value: impl AsRef<[u8]>) -> &mut Self {
        self.bytes.extend_from_slice(value.as_ref());
        self.ends.push(self.bytes.len());
        self
    }

    /// One of several parts.
    pub(super) fn join(&mut self, parts: &[&[u8]]) -> &mut Self {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.ends.push(self.bytes.len());
        self
    }

    pub(super) fn number(&mut self, value: impl std::fmt::Display) -> &mut Self {
        // Writing into memory does not fail.
        write!(self.bytes, "{value}").unwrap_or_default();
        self.ends.push(self.bytes.len());
        self
    }

    pub(super) fn flag(&mut self, value: bool) -> &mut Self {
        self.add(if value { "1" } else { "0" })
    }

    /// All that another one has.
    pub(super) fn append(&mut self, other: &Self) {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.ends.extend(other.ends.iter().map(|end| before + end));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The first one, a flag that says whether this was sent before, becomes true.
    pub(super) fn sent_before(&mut self) {
        if let (Some(flag), Some(1)) = (self.bytes.first_mut(), self.ends.first()) {
            *flag = b'1';
        }
    }
}

impl ToRedisArgs for Arguments {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let mut begin = 0;
        for &end in &self.ends {
            out.write_arg(&self.bytes[begin..end]);
            begin = end;
        }
    }

    fn num_of_args(&self) -> usize {
        self.ends.len()
    }
}
