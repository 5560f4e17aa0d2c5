//! The Lua scripts. Each touches one slot, so each is done as a whole or not at all.

use redis::{Cmd, FromRedisValue, Script};

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
        arguments: &[Vec<u8>],
    ) -> Result<T, Failure> {
        link.run(&self.script, self.text, key, arguments).await
    }

    /// Runs it for several keys at once; an answer for each.
    pub(super) async fn run_all<T: FromRedisValue>(
        &self,
        link: &Link,
        runs: &[(&str, &[Vec<u8>])],
    ) -> Vec<Result<T, Failure>> {
        link.run_all(&self.script, self.text, runs).await
    }
}

macro_rules! scripts {
    ($($name:ident),+ $(,)?) => {
        /// All of them.
        pub(super) struct Scripts {
            $(pub(super) $name: Lua,)+
        }

        impl Scripts {
            pub(super) fn new() -> Self {
                Self {
                    $($name: Lua::new(concat!(
                        include_str!("lua/shared.lua"),
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
    commit,
    delete_campaign,
    delete_key,
    delete_set,
    delete_webhook,
    depth,
    drop_free_codes,
    facts,
    facts_end,
    fence,
    finish,
    finish_upload,
    forget_grants,
    grants,
    hand_back,
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
    react,
    redeem_offer,
    requeue,
    reserve,
    settle,
    settle_offers,
    share_token,
    webhooks,
);

/// Collects a script's arguments.
#[derive(Default)]
pub(super) struct Arguments(pub(super) Vec<Vec<u8>>);

impl Arguments {
    pub(super) fn add(&mut self, value: impl AsRef<[u8]>) -> &mut Self {
        self.0.push(value.as_ref().to_vec());
        self
    }

    pub(super) fn number(&mut self, value: impl std::fmt::Display) -> &mut Self {
        self.0.push(value.to_string().into_bytes());
        self
    }

    pub(super) fn flag(&mut self, value: bool) -> &mut Self {
        self.add(if value { "1" } else { "0" })
    }
}
