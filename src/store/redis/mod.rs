//! The store for several nodes: Redis or Valkey, a single one or a cluster.
//!
//! A customer's record lies in one of a fixed number of partitions, each of which is a slot of a cluster, and everything
//! that is committed with the record lies beside it: pushes, facts, topics followed, wake-ups, stays. So one script does a commit
//! as a whole, on one node, and no other customer waits for it (`commit.rs`). Only whose a device is lies elsewhere
//! (`devices.rs`). Lists over all customers ask all partitions and put the answers together (`merge.rs`).
//!
//! How it survives:
//! - *a Beckon dies*: what it leased is due again when the lease ends; devices that it had reserved are settled by
//!   whoever meets them; an event that it was telling is told on by another.
//! - *an answer does not come in time*: nobody guesses. A commit is sent again under its id, and says whether it was done.
//! - *a master of a cluster is replaced*: the client finds the new one, or is itself replaced (`cluster.rs`).
//! - *Redis restarts*: the append-only file has what was acknowledged, up to the last second if the machine loses power.
//! - *Redis is full*: it refuses a script at its first write, so nothing is half done.

use std::{sync::atomic::AtomicU64, time::Duration};

use uuid::Uuid;

use crate::engine::ports::StoreError;

mod agenda;
mod cluster;
mod commit;
mod control;
mod deliveries;
mod devices;
mod events;
mod facts;
mod followers;
mod geofences;
mod hot;
mod install;
mod keys;
mod link;
mod merge;
mod offers;
mod outbox;
mod pace;
mod present;
mod replicas;
mod scripts;
mod tokens;
mod url;
mod webhooks;

use agenda::Agenda;
use keys::Keys;
use link::Link;
use replicas::Replicas;
use scripts::Scripts;
use url::Address;

/// A connection to Redis or Valkey.
pub struct RedisStore {
    link: Link,
    keys: Keys,
    scripts: Scripts,
    outbox: Agenda,
    wakes: Agenda,
    /// Names this process among those that share the installation.
    node: Uuid,
    /// Set when replicas must know of an attempt before it is made.
    replicas: Option<Replicas>,
    kept: Duration,
    /// Counts changes of the catalogue without an answer: each may have been done unseen.
    doubts: AtomicU64,
}

impl RedisStore {
    /// Whether the URL is one of ours.
    pub fn knows(url: &str) -> bool {
        ["redis://", "rediss://", "redis+cluster://", "rediss+cluster://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
    }

    /// Connects, and checks that what is acknowledged would be kept.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let address = Address::read(url).map_err(|why| StoreError::Unavailable(format!("the store's URL {why}")))?;
        let link = Link::open(&address).await?;
        install::check_server(&link, &address).await?;
        let meta = Keys::new(&address.prefix, 1).meta();
        let partitions = install::partitions(&link, &meta, &address).await?;
        let keys = Keys::new(&address.prefix, partitions);
        Ok(Self {
            outbox: Agenda::new("rt", keys.count()),
            wakes: Agenda::new("tm", keys.count()),
            link,
            keys,
            scripts: Scripts::new(),
            node: Uuid::new_v4(),
            replicas: Replicas::open(&address).await?,
            kept: address.kept,
            doubts: AtomicU64::new(0),
        })
    }
}
