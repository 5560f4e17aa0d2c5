//! Follows what other processes on the same store change: geofences, campaigns, settings,
//! keys. They tell nobody, so this one asks,
//! often; an answer without changes is one small read.
//!
//! What is told once is owed until it has been read. So something unreadable keeps back only its own workspace, and is
//! tried again, ever more seldom, until it is mended.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    Engine,
    ports::{ControlChange, StoreError},
};
use crate::domain::ids::{GeofenceId, SetName, WorkspaceId};

/// How often to ask.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// What is unreadable is tried again after twice as long each time, at most this.
const RETRY_MAX: Duration = Duration::from_mins(1);

/// What was told and has not been read yet.
#[derive(Default)]
struct Owed {
    keys: bool,
    everything: bool,
    workspaces: BTreeMap<WorkspaceId, Debt>,
    keys_retry: Retry,
}

/// The same of one workspace.
#[derive(Default)]
struct Debt {
    campaigns: bool,
    settings: bool,
    places: bool,
    edits: Vec<(SetName, GeofenceId)>,
    retry: Retry,
}

/// When to try what could not be read again.
#[derive(Default)]
struct Retry {
    failures: u32,
    not_before: Option<Instant>,
}

impl Retry {
    fn is_due(&self) -> bool {
        self.not_before.is_none_or(|at| at <= Instant::now())
    }

    fn later(&mut self) {
        self.failures = self.failures.saturating_add(1);
        let pause = ASK_EVERY.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.not_before = Some(Instant::now() + pause.min(RETRY_MAX));
    }
}

impl Debt {
    fn is_paid(&self) -> bool {
        !self.campaigns && !self.settings && !self.places && self.edits.is_empty()
    }
}

impl Owed {
    fn add(&mut self, change: ControlChange) {
        match change {
            ControlChange::Keys => {
                self.keys = true;
                self.keys_retry.not_before = None;
            }
            ControlChange::Campaigns(workspace) => self.of(workspace).campaigns = true,
            ControlChange::Settings(workspace) => self.of(workspace).settings = true,
            ControlChange::Sets(workspace) => self.of(workspace).places = true,
            ControlChange::Edit(workspace, set, id) => self.of(workspace).edits.push((set, id)),
            ControlChange::Everything => self.everything = true,
        }
    }

    /// The workspace's debt, to be tried at once: what was unreadable may be what has changed.
    fn of(&mut self, workspace: WorkspaceId) -> &mut Debt {
        let debt = self.workspaces.entry(workspace).or_default();
        debt.retry.not_before = None;
        debt
    }
}

impl Engine {
    /// Makes what others change current here, until `stop` turns true. Begins with what was changed after `since`; with
    /// `reload_keys` the caller takes over changed keys.
    pub async fn follow_changes(
        self: Arc<Self>,
        mut since: String,
        reload_keys: impl AsyncFn() -> Result<(), StoreError>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut owed = Owed::default();
        loop {
            let followed = match self.store.control.changes(Some(&since)).await {
                Ok(changes) => {
                    since = changes.upto;
                    changes.by_others.into_iter().for_each(|change| owed.add(change));
                    self.pay(&mut owed, &reload_keys).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = followed {
                tracing::warn!(%error, "what other nodes have changed is not known yet; asking again");
            }
            tokio::select! {
                () = tokio::time::sleep(ASK_EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Reads what is owed. What can't be read is told and put off; while the store is away, all is tried again soon.
    async fn pay(
        &self,
        owed: &mut Owed,
        reload_keys: &impl AsyncFn() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if owed.everything {
            let mut all = self.store.control.workspaces().await?;
            all.extend(self.catalogues.workspaces());
            for workspace in all {
                let debt = owed.of(workspace);
                (debt.campaigns, debt.settings, debt.places) = (true, true, true);
            }
            owed.add(ControlChange::Keys);
            owed.everything = false;
        }
        let mut away = Ok(());
        if owed.keys && owed.keys_retry.is_due() {
            match reload_keys().await {
                Ok(()) => (owed.keys, owed.keys_retry) = (false, Retry::default()),
                Err(error) => away = put_off(error, &mut owed.keys_retry, None),
            }
        }
        // What is quick is not kept waiting by large sets.
        let due = owed.workspaces.iter_mut().filter(|(_, debt)| debt.retry.is_due());
        let mut due: Vec<(&WorkspaceId, &mut Debt)> = due.collect();
        for (workspace, debt) in &mut due {
            for paid in [
                self.pay_campaigns(workspace, debt).await,
                self.pay_settings(workspace, debt).await,
                self.pay_edits(workspace, debt).await,
            ] {
                away = away.and(paid.or_else(|error| put_off(error, &mut debt.retry, Some(workspace))));
            }
        }
        for (workspace, debt) in &mut due {
            let paid = self.pay_places(workspace, debt).await;
            away = away.and(paid.or_else(|error| put_off(error, &mut debt.retry, Some(workspace))));
        }
        owed.workspaces.retain(|_, debt| !debt.is_paid());
        away
    }

    async fn pay_campaigns(&self, workspace: &WorkspaceId, debt: &mut Debt) -> Result<(), StoreError> {
        if debt.campaigns {
            self.catalogues.reload_campaigns(workspace).await?;
            debt.campaigns = false;
        }
        Ok(())
    }

    async fn pay_settings(&self, workspace: &WorkspaceId, debt: &mut Debt) -> Result<(), StoreError> {
        if debt.settings {
            self.catalogues.reload_settings(workspace).await?;
            debt.settings = false;
        }
        Ok(())
    }

    async fn pay_edits(&self, workspace: &WorkspaceId, debt: &mut Debt) -> Result<(), StoreError> {
        let edits = std::mem::take(&mut debt.edits);
        if edits.is_empty() {
            return Ok(());
        }
        // Reading all brings the edits, too.
        let all_needed = self.catalogues.follow_edits(workspace, &edits).await;
        debt.places |= *all_needed.as_ref().unwrap_or(&true);
        all_needed.map(|_| ())
    }

    async fn pay_places(&self, workspace: &WorkspaceId, debt: &mut Debt) -> Result<(), StoreError> {
        if debt.places {
            self.catalogues.reload_places(workspace).await?;
            debt.places = false;
        }
        Ok(())
    }
}

/// Tells of what can't be read and puts it off; an error that will pass is handed back.
fn put_off(error: StoreError, retry: &mut Retry, workspace: Option<&WorkspaceId>) -> Result<(), StoreError> {
    match error {
        StoreError::Unavailable(_) => Err(error),
        StoreError::Damaged(_) | StoreError::UnknownCursor => {
            let workspace = workspace.map_or("", WorkspaceId::as_str);
            tracing::error!(%error, workspace, "what another node has changed can't be read; trying again later");
            retry.later();
            Ok(())
        }
    }
}
