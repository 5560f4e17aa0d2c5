//! What Redis must be before it is used, and what is fixed when it is used first.

use redis::cmd;

use super::{link::Link, url::Address};
use crate::engine::ports::StoreError;

/// The form of the keys. Raised when it changes.
const SCHEMA: u32 = 6;
/// Scripts and options of this version are used.
const REDIS_VERSION_MIN: (u32, u32) = (7, 0);

fn refuse(why: String) -> StoreError {
    StoreError::Unavailable(why)
}

/// Refuses a Redis that would lose what was acknowledged.
pub(super) async fn check_server(link: &Link, address: &Address) -> Result<(), StoreError> {
    let facts: Vec<String> = link.ask_masters(cmd("INFO").arg("everything")).await?;
    for facts in facts {
        let fact = |name: &str| {
            facts
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
        };
        let mut version = fact("redis_version").split('.').map_while(|part| part.parse().ok());
        let version = (version.next().unwrap_or(0), version.next().unwrap_or(0));
        if version < REDIS_VERSION_MIN {
            return Err(refuse(format!(
                "Redis {}.{} is too old; 7.0 or newer, or Valkey, is needed",
                version.0, version.1
            )));
        }
        if fact("maxmemory_policy") != "noeviction" {
            return Err(refuse(format!(
                "Redis may throw customers away: maxmemory-policy is `{}`, it must be `noeviction`",
                fact("maxmemory_policy")
            )));
        }
        if fact("aof_enabled") != "1" && !address.allow_volatile {
            return Err(refuse(
                "Redis keeps no append-only file, so a restart would lose what was acknowledged: set `appendonly yes`, \
                 or add `?allow_volatile=true` to the URL if that does not matter"
                    .to_owned(),
            ));
        }
    }
    Ok(())
}

/// How many partitions the installation has; a new one gets as many as wanted.
pub(super) async fn partitions(link: &Link, meta: &str, address: &Address) -> Result<u16, StoreError> {
    let mut settle = cmd("HSETNX");
    let _: i64 = link.ask(settle.arg(meta).arg("schema").arg(SCHEMA)).await?;
    let mut settle = cmd("HSETNX");
    let _: i64 = link
        .ask(settle.arg(meta).arg("partitions").arg(address.partitions_wanted()))
        .await?;
    let mut known = cmd("HMGET");
    let (schema, partitions): (u32, u16) = link.ask(known.arg(meta).arg("schema").arg("partitions")).await?;
    if schema > SCHEMA {
        return Err(refuse(format!(
            "its keys have version {schema}, this Beckon knows {SCHEMA}: use a newer Beckon"
        )));
    }
    if schema < SCHEMA {
        return Err(refuse(format!(
            "its keys have version {schema}, this Beckon knows {SCHEMA}: it is from before the first release"
        )));
    }
    if address.partitions.is_some_and(|wanted| wanted != partitions) {
        return Err(refuse(format!(
            "it was installed with {partitions} partitions, which can't be changed: take `partitions` out of the URL"
        )));
    }
    if partitions == 0 {
        return Err(StoreError::Damaged("it says that it has no partitions".to_owned()));
    }
    Ok(partitions)
}
