//! Follows what other processes on the same store change: geofences, campaigns, keys. They tell nobody, so this one asks,
//! often; an answer without changes is one small read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;

use super::{
    Engine,
    ports::{ControlChange, StoreError},
};
use crate::domain::ids::{GeofenceId, SetName, WorkspaceId};

/// How often to ask.
const ASK_EVERY: Duration = Duration::from_millis(250);

impl Engine {
    /// Makes what others change current here, until `stop` turns true. Begins with what was changed after `since`; with
    /// `reload_keys` the caller takes over changed keys.
    pub async fn follow_changes(
        self: Arc<Self>,
        mut since: String,
        reload_keys: impl AsyncFn() -> Result<(), StoreError>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            match self.follow_once(&since, &reload_keys).await {
                Ok(upto) => since = upto,
                Err(error) => tracing::warn!(%error, "what other nodes have changed is not known yet; asking again"),
            }
            tokio::select! {
                () = tokio::time::sleep(ASK_EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Until when it is current now. After an error all of it is done again, which changes nothing.
    async fn follow_once(
        &self,
        since: &str,
        reload_keys: &impl AsyncFn() -> Result<(), StoreError>,
    ) -> Result<String, StoreError> {
        let changes = self.store.control.changes(Some(since)).await?;
        let (mut keys, mut everything) = (false, false);
        let (mut campaigns, mut sets) = (BTreeSet::new(), BTreeSet::new());
        let mut edits: BTreeMap<WorkspaceId, Vec<(SetName, GeofenceId)>> = BTreeMap::new();
        for change in changes.by_others {
            match change {
                ControlChange::Keys => keys = true,
                ControlChange::Campaigns(workspace) => {
                    campaigns.insert(workspace);
                }
                ControlChange::Sets(workspace) => {
                    sets.insert(workspace);
                }
                ControlChange::Edit(workspace, set, id) => edits.entry(workspace).or_default().push((set, id)),
                ControlChange::Everything => everything = true,
            }
        }
        if keys || everything {
            reload_keys().await?;
        }
        if everything {
            self.catalogues.load_all().await?;
            return Ok(changes.upto);
        }
        // What is quick is not kept waiting by large sets.
        for workspace in &campaigns {
            self.catalogues.reload_campaigns(workspace).await?;
        }
        for (workspace, edits) in &edits {
            self.catalogues.follow_edits(workspace, edits).await?;
        }
        for workspace in &sets {
            self.catalogues.reload_places(workspace).await?;
        }
        Ok(changes.upto)
    }
}
