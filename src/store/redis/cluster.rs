//! A connection to a cluster, made anew when it has fallen silent.
//!
//! The client follows slots and masters as they move. While it learns where they are it answers nobody, and it can get stuck
//! there for good: a master is killed, its replica takes over, and no command is answered any more, not even by nodes that
//! are well (seen with redis 1.8.1). Nothing but a new connection helps. One is made when nothing at all was heard for a
//! while though somebody asked, so a single master that is away ends no connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use redis::{ErrorKind, RedisError, cluster::ClusterClient, cluster_async::ClusterConnection};
use tokio::time::{Instant, timeout};

/// Silence of all nodes that ends a connection: several commands' time-outs.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// The nodes that were named are found, and all others by them, within this.
const FIND_TIMEOUT: Duration = Duration::from_secs(10);

/// The connection of the moment.
pub(super) struct Cluster {
    client: ClusterClient,
    current: ArcSwap<ClusterConnection>,
    begun: Instant,
    /// Milliseconds from `begun` to when something was heard, or a new connection was tried.
    heard_ms: AtomicU64,
    is_renewing: AtomicBool,
}

impl Cluster {
    /// Finds the nodes.
    pub(super) async fn open(client: ClusterClient) -> Result<Self, RedisError> {
        Ok(Self {
            current: ArcSwap::from_pointee(connect(&client).await?),
            client,
            begun: Instant::now(),
            heard_ms: AtomicU64::new(0),
            is_renewing: AtomicBool::new(false),
        })
    }

    /// For one command.
    pub(super) fn connection(&self) -> ClusterConnection {
        ClusterConnection::clone(&self.current.load())
    }

    /// Notes whether a command was answered, by whatever node, with whatever answer.
    pub(super) fn note(self: &Arc<Self>, is_answered: bool) {
        let now_ms = self.begun.elapsed().as_millis() as u64;
        if is_answered {
            self.heard_ms.fetch_max(now_ms, Ordering::Relaxed);
            return;
        }
        let silence_ms = now_ms.saturating_sub(self.heard_ms.load(Ordering::Relaxed));
        if silence_ms < SILENCE_MAX.as_millis() as u64 || self.is_renewing.swap(true, Ordering::AcqRel) {
            return;
        }
        let cluster = Arc::clone(self);
        tokio::spawn(async move {
            match connect(&cluster.client).await {
                Ok(connection) => {
                    tracing::warn!(silence_ms, "the cluster had fallen silent; it is connected anew");
                    cluster.current.store(Arc::new(connection));
                }
                Err(error) => tracing::warn!(%error, silence_ms, "the cluster is silent"),
            }
            let now_ms = cluster.begun.elapsed().as_millis() as u64;
            cluster.heard_ms.fetch_max(now_ms, Ordering::Relaxed);
            cluster.is_renewing.store(false, Ordering::Release);
        });
    }
}

async fn connect(client: &ClusterClient) -> Result<ClusterConnection, RedisError> {
    let late = |_| RedisError::from((ErrorKind::Io, "the nodes were not found in time"));
    timeout(FIND_TIMEOUT, client.get_async_connection())
        .await
        .map_err(late)?
}
