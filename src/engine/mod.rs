//! Use cases over traits: what Beckon does, without knowing which store, provider or web framework serves it.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::{
    domain::{
        catalogue::Catalogue,
        decide::Context,
        ids::{SubjectId, WorkspaceId},
        presence::PresenceRules,
        time::Timestamp,
    },
    metrics::SharedMetrics,
};

pub mod catalogues;
mod correct_environment;
pub mod customers;
pub mod dispatch;
pub mod follow;
pub mod geofence_sets;
pub mod geofences;
pub mod ingest;
mod look_again;
mod moves;
pub mod offers;
pub mod outside_events;
pub mod ports;
pub mod reactions;
pub mod records;
pub mod regions;
pub mod retry;
pub mod settings;
pub mod streams;
pub mod timers;
pub mod topics;
pub mod trackers;
pub mod webhooks;
pub mod who_is_here;

use catalogues::Catalogues;
use dispatch::holds::Holds;
use ports::{Clock, Store, StoreError};
use records::Records;
use streams::{StreamLimits, Streams};
use timers::WakeBell;

/// Everything that the use cases share.
pub struct Engine {
    /// Where everything is kept.
    pub store: Store,
    /// The only clock.
    pub clock: Arc<dyn Clock>,
    /// Geofences and campaigns in memory.
    pub catalogues: Arc<Catalogues>,
    /// Records, by way of a cache.
    pub records: Records,
    /// How evidence is weighed and how long it holds, where a workspace has nothing of its own.
    pub presence: PresenceRules,
    /// Versions of a geofence set that can be made live again.
    pub versions_kept: u32,
    /// Counters.
    pub metrics: SharedMetrics,
    /// Rings when the outbox has got a row.
    pub outbox_filled: Arc<Notify>,
    /// Rings when an outside event waits to be told.
    pub event_arrived: Arc<Notify>,
    /// Rings when a record wants to be woken earlier than any before.
    pub wake_bell: Arc<WakeBell>,
    /// Who listens to what happens.
    pub streams: Streams,
    /// What the dispatcher leaves alone.
    pub holds: Holds,
}

/// Why a use case did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The store did not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Others kept changing the same customer.
    #[error("the customer's record is being changed by too many at once; send it again")]
    Contended,
    /// A customer's profile would grow beyond a limit.
    #[error(transparent)]
    Profile(#[from] crate::domain::customer::ProfileTooLarge),
    /// A stored record is unreadable.
    #[error(transparent)]
    Record(#[from] crate::domain::record::RecordError),
}

impl Engine {
    /// Puts the parts together.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        presence: PresenceRules,
        versions_kept: u32,
        cached_records_max: usize,
        stream_limits: StreamLimits,
        metrics: SharedMetrics,
    ) -> Self {
        let wake_bell = Arc::new(WakeBell::default());
        let committed = Arc::new(Notify::new());
        let records = Records::new(
            Arc::clone(&store.hot),
            cached_records_max,
            Arc::clone(&metrics),
            Arc::clone(&wake_bell),
            Arc::clone(&committed),
        );
        Self {
            catalogues: Arc::new(Catalogues::new(Arc::clone(&store.control))),
            store,
            clock,
            records,
            presence,
            versions_kept,
            metrics,
            outbox_filled: Arc::new(Notify::new()),
            event_arrived: Arc::new(Notify::new()),
            wake_bell,
            streams: Streams::new(stream_limits, committed),
            holds: Holds::default(),
        }
    }

    /// How evidence counts in a workspace.
    fn rules(&self, catalogue: &Catalogue) -> PresenceRules {
        catalogue.settings.presence.over(self.presence)
    }

    /// What a step of this customer needs.
    fn context<'a>(
        &self,
        workspace: &'a WorkspaceId,
        subject: &'a SubjectId,
        now: Timestamp,
        catalogue: &'a Catalogue,
    ) -> Context<'a> {
        Context {
            workspace,
            subject,
            now,
            catalogue,
            rules: self.rules(catalogue),
        }
    }
}
