//! Each workspace's catalogue in memory: immutable snapshots behind a pointer, so that a reader never sees half of two.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::ports::{ControlStore, StoreError};
use crate::domain::{
    catalogue::{Campaigns, Catalogue, Places},
    ids::WorkspaceId,
};

/// Catalogues of all workspaces.
pub struct Catalogues {
    store: Arc<dyn ControlStore>,
    current: ArcSwap<HashMap<WorkspaceId, Arc<Catalogue>>>,
    reloading: Mutex<()>,
}

/// Which half of a catalogue to read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// Geofences.
    Places,
    /// Campaigns.
    Campaigns,
}

impl Catalogues {
    /// Empty until [`Catalogues::load_all`].
    pub fn new(store: Arc<dyn ControlStore>) -> Self {
        Self {
            store,
            current: ArcSwap::default(),
            reloading: Mutex::new(()),
        }
    }

    /// The workspace's catalogue as it is now.
    pub fn of(&self, workspace: &WorkspaceId) -> Arc<Catalogue> {
        self.current.load().get(workspace).map(Arc::clone).unwrap_or_default()
    }

    /// How many geofences all workspaces have.
    pub fn geofences(&self) -> usize {
        self.current
            .load()
            .values()
            .map(|catalogue| catalogue.places.len())
            .sum()
    }

    /// Reads every workspace from the store.
    pub async fn load_all(&self) -> Result<(), StoreError> {
        for workspace in self.store.workspaces().await? {
            self.reload(&workspace, Half::Places).await?;
            self.reload(&workspace, Half::Campaigns).await?;
        }
        Ok(())
    }

    /// Reads one half of one workspace from the store and makes it current. One at a time, so that an older read never
    /// replaces a newer one.
    pub async fn reload(&self, workspace: &WorkspaceId, half: Half) -> Result<(), StoreError> {
        let _one_at_a_time = self.reloading.lock().await;
        let mut catalogue = Catalogue::clone(&self.of(workspace));
        match half {
            Half::Places => {
                let geofences = self.store.load_geofences(workspace).await?;
                let places = tokio::task::spawn_blocking(move || Places::build(geofences.into_iter().map(Arc::new)))
                    .await
                    .map_err(|error| StoreError::Unavailable(error.to_string()))?;
                catalogue.places = Arc::new(places);
            }
            Half::Campaigns => {
                let campaigns = self.store.load_campaigns(workspace).await?;
                catalogue.campaigns = Arc::new(Campaigns::build(
                    campaigns.into_iter().map(|(campaign, _)| Arc::new(campaign)),
                ));
            }
        }
        let mut all = HashMap::clone(&self.current.load());
        all.insert(workspace.clone(), Arc::new(catalogue));
        self.current.store(Arc::new(all));
        Ok(())
    }
}
