//! Customers and their devices, as owners and apps tell of them.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value};

use super::{
    Engine, EngineError,
    records::{Change, Write},
};
use crate::domain::{
    customer::{Consent, Device, Profile},
    decide::{self, Context},
    delivery::{Environment, Platform, PushTarget},
    event::Fact,
    ids::{AppId, CauseId, DeviceId, PushToken, SubjectId, Topic, UserId, WorkspaceId},
    presence::{ExitReason, Whereabouts},
    record::Record,
};

/// What an app tells about its installation.
#[derive(Debug, Clone)]
pub struct DeviceUpdate {
    /// Its platform.
    pub platform: Platform,
    /// Its app.
    pub app: AppId,
    /// The push token, once the app has one.
    pub token: Option<PushToken>,
    /// Apple's world.
    pub environment: Environment,
    /// Who is logged in.
    pub user: Option<UserId>,
    /// What its user reads.
    pub locale: Option<String>,
    /// Where its user lives.
    pub time_zone: Option<String>,
    /// What its user allows.
    pub consent: Consent,
}

/// What an owner's system tells about a customer. `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct ProfileUpdate {
    /// How to address them.
    pub name: Option<String>,
    /// Fields to set; null takes one away.
    pub traits: Option<Map<String, Value>>,
    /// All that they follow.
    pub topics: Option<BTreeSet<Topic>>,
    /// What they allow.
    pub consent: Consent,
    /// BCP 47 tag of the language they read.
    pub locale: Option<String>,
    /// IANA name of the zone they live in.
    pub time_zone: Option<String>,
    /// Whether every decision about them tells how it came about.
    pub debug: Option<bool>,
}

/// Whether an update keeps what it does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateMode {
    /// What is not named is taken away.
    Replace,
    /// What is not named stays.
    Merge,
}

impl Engine {
    /// Registers a device or renews what is known of it. When an anonymous customer turns out to be a known one, the
    /// device brings along where it is and what that one was sent. A device that changes hands begins anew, and the
    /// visits of the customer before end.
    pub async fn put_device(
        &self,
        workspace: &WorkspaceId,
        device: &DeviceId,
        update: &DeviceUpdate,
    ) -> Result<SubjectId, EngineError> {
        let owner = self.owner_of(workspace, device).await?;
        if let Some(owner) = &owner {
            self.finish_move(workspace, owner, device).await?;
        }
        let subject = match (&update.user, &owner) {
            (Some(user), _) => SubjectId::User(user.clone()),
            (None, Some(owner @ SubjectId::Anonymous(_))) => owner.clone(),
            (None, _) => SubjectId::Anonymous(device.clone()),
        };
        let before = match owner.filter(|owner| *owner != subject) {
            None => None,
            Some(owner) => self.records.get(workspace, &owner).await?.map(|record| (owner, record)),
        };
        let now = self.clock.now();
        let catalogue = self.catalogues.of(workspace);
        let context = self.context(workspace, &subject, now, &catalogue);
        let changes_hands = before.as_ref().is_some_and(|(owner, _)| owner.user().is_some());
        self.records
            .change(workspace, &subject, |record, _| {
                let known = record
                    .device(device)
                    .or_else(|| before.as_ref().and_then(|(_, old)| old.device(device)));
                let mut renewed = known.cloned().unwrap_or_else(|| Device::new(device.clone(), now));
                if changes_hands {
                    renewed.whereabouts = Whereabouts::default();
                }
                renewed.platform = Some(update.platform);
                renewed.target = update.token.clone().map(|token| PushTarget {
                    platform: update.platform,
                    app: update.app.clone(),
                    token,
                    environment: update.environment,
                    // The app has the token from the system at each start: it is good now, whatever was said before.
                    registered_at: now,
                });
                renewed.locale.clone_from(&update.locale);
                renewed.time_zone.clone_from(&update.time_zone);
                renewed.seen_at = now;
                let mut facts = Vec::new();
                if let Some((owner, old)) = &before {
                    renewed.taken_from = Some(owner.clone());
                    if !changes_hands {
                        // What it was sent counts from this commit on, whatever becomes of the next ones.
                        record.adopt(old);
                    }
                }
                if let Some(oldest) = record.makes_room_for(device) {
                    let ended = decide::end_visits(record, Some(&oldest), ExitReason::DeviceMoved, context);
                    facts.extend(ended.into_iter().map(|fact| (None, fact)));
                }
                let forgotten = record.put_device(renewed);
                facts.extend(take_consent(record, &update.consent, context));
                if let Err(error) = record.profile.check_size() {
                    return Change::new(Err(error), Write::Nothing);
                }
                decide::schedule(record, context);
                Change {
                    facts,
                    claims: vec![device.clone()],
                    releases: forgotten.into_iter().collect(),
                    ..Change::new(Ok(()), Write::Record)
                }
            })
            .await??;
        if before.is_some() {
            self.finish_move(workspace, &subject, device).await?;
        }
        Ok(subject)
    }

    /// Forgets a device; false when there was none.
    pub async fn delete_device(&self, workspace: &WorkspaceId, device: &DeviceId) -> Result<bool, EngineError> {
        let Some(owner) = self.owner_of(workspace, device).await? else {
            return Ok(false);
        };
        self.finish_move(workspace, &owner, device).await?;
        self.take_device(workspace, &owner, device, true).await
    }

    /// A customer's record; `None` when there is none.
    pub async fn customer(&self, workspace: &WorkspaceId, user: &UserId) -> Result<Option<Arc<Record>>, EngineError> {
        self.records.get(workspace, &SubjectId::User(user.clone())).await
    }

    /// Writes what the owner's system tells about a customer, who is made when new.
    pub async fn put_customer(
        &self,
        workspace: &WorkspaceId,
        user: &UserId,
        update: &ProfileUpdate,
        mode: UpdateMode,
    ) -> Result<Profile, EngineError> {
        let subject = SubjectId::User(user.clone());
        let catalogue = self.catalogues.of(workspace);
        let context = self.context(workspace, &subject, self.clock.now(), &catalogue);
        self.records
            .change(workspace, &subject, |record, _| {
                let facts = take_consent(record, &update.consent, context);
                let profile = &mut record.profile;
                if mode == UpdateMode::Replace {
                    *profile = Profile {
                        consent: std::mem::take(&mut profile.consent),
                        debug: profile.debug,
                        ..Profile::default()
                    };
                }
                profile.name = update.name.clone().or(profile.name.take());
                profile.locale = update.locale.clone().or(profile.locale.take());
                profile.time_zone = update.time_zone.clone().or(profile.time_zone.take());
                profile.debug = update.debug.unwrap_or(profile.debug);
                for (name, value) in update.traits.iter().flatten() {
                    if value.is_null() {
                        profile.traits.0.remove(name);
                    } else {
                        profile.traits.0.insert(name.clone(), value.clone());
                    }
                }
                if let Some(topics) = &update.topics {
                    profile.topics.clone_from(topics);
                }
                match profile.check_size() {
                    Ok(()) => Change {
                        facts,
                        ..Change::new(Ok(profile.clone()), Write::Record)
                    },
                    Err(error) => Change::new(Err(error), Write::Nothing),
                }
            })
            .await?
            .map_err(EngineError::from)
    }

    /// Erases a customer: devices, facts, deliveries and all; false when there was none.
    pub async fn delete_customer(&self, workspace: &WorkspaceId, user: &UserId) -> Result<bool, EngineError> {
        let subject = SubjectId::User(user.clone());
        if let Some(record) = self.records.get(workspace, &subject).await? {
            self.finish_moves(workspace, &subject, &record).await?;
        }
        let existed = self
            .records
            .change(workspace, &subject, |record: &mut Record, exists| {
                let releases = record.devices.iter().map(|device| device.id.clone()).collect();
                let write = if exists { Write::Erase } else { Write::Nothing };
                Change {
                    releases,
                    ..Change::new(exists, write)
                }
            })
            .await?;
        // After the rows of the outbox: none of them claims anything any more.
        self.store.offers.forget_grants(workspace, &subject).await?;
        Ok(existed)
    }
}

/// Takes over what the customer allows now. Who does not want to be located is nowhere.
fn take_consent(record: &mut Record, newer: &Consent, context: Context<'_>) -> Vec<(Option<CauseId>, Fact)> {
    record.update_consent(newer);
    if record.profile.consent.location != Some(false) {
        return Vec::new();
    }
    let facts = decide::end_visits(record, None, ExitReason::Consent, context);
    facts.into_iter().map(|fact| (None, fact)).collect()
}
