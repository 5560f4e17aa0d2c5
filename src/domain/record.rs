//! All that Beckon remembers of one customer, as one versioned value that is swapped as a whole.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use super::sends::CampaignSends;
use super::{
    campaign::PRESENT_WITHIN_MAX,
    customer::{Consent, DEVICES_MAX, Device, Profile, Purpose, remember},
    delivery::PushTarget,
    figures::Figures,
    ids::{CauseId, DeviceId, GeofenceId},
    ladder::LadderState,
    presence::{PresenceRules, Visit},
    time::{DurationMs, Timestamp},
    waiting::Waiting,
};

/// The form in which records are stored now. Raised when [`Record`] changes shape; [`Record::decode`] reads older ones.
pub const RECORD_SCHEMA: u8 = 9;

/// Most geofences that a customer has left and that are remembered; the one left first is forgotten.
const BEEN_MAX: usize = 32;

/// A customer's record.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Record {
    /// The person.
    pub profile: Profile,
    /// Their devices.
    pub devices: Vec<Device>,
    /// What they were sent, by campaign.
    pub sends: Vec<CampaignSends>,
    /// Fingerprints of the latest outside events' ids, oldest first.
    pub recent: Vec<u64>,
    /// When it wants to be looked at without an input; `None`: never.
    pub wake_at: Option<Timestamp>,
    /// What was folded of visits, purchases and reactions; shared until it changes, since most steps leave it alone.
    pub figures: Arc<Figures>,
    /// What is decided later.
    pub waiting: Vec<Waiting>,
    /// How far ladders have come, the one heard of last at the end.
    pub ladders: Vec<LadderState>,
    /// Where they were a while ago, as far as campaigns ask, oldest first; each geofence once.
    pub been: Vec<Been>,
}

/// A geofence that the customer has left not long ago.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Been {
    /// Which.
    pub geofence: GeofenceId,
    /// When they left, by the server's clock.
    pub left_at: Timestamp,
}

/// Why stored bytes are no record.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer Beckon.
    #[error("the record has schema {0}, this Beckon knows up to {RECORD_SCHEMA}: upgrade this node")]
    NewerSchema(u8),
    /// Not what was written.
    #[error("the record can't be read: {0}")]
    Damaged(#[from] postcard::Error),
}

impl Record {
    /// The bytes to store, beside [`RECORD_SCHEMA`].
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        // Most are small: a buffer that never grows, and a copy that fits.
        let mut buffer = [0; 1024];
        match postcard::to_slice(self, &mut buffer) {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(postcard::Error::SerializeBufferFull) => Ok(postcard::to_stdvec(self)?),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads stored bytes.
    pub fn decode(schema: u8, bytes: &[u8]) -> Result<Self, RecordError> {
        if schema != RECORD_SCHEMA {
            return Err(RecordError::NewerSchema(schema));
        }
        Ok(postcard::from_bytes(bytes)?)
    }

    /// The device of that name.
    pub fn device(&self, id: &DeviceId) -> Option<&Device> {
        self.devices.iter().find(|device| device.id == *id)
    }

    /// The device of that name, to change.
    pub fn device_mut(&mut self, id: &DeviceId) -> Option<&mut Device> {
        self.devices.iter_mut().find(|device| device.id == *id)
    }

    /// Adds a device or takes its place. Beyond [`DEVICES_MAX`] the one unseen for longest is forgotten and returned.
    pub fn put_device(&mut self, device: Device) -> Option<DeviceId> {
        if let Some(known) = self.device_mut(&device.id) {
            *known = device;
            return None;
        }
        let forgotten = self.makes_room_for(&device.id);
        if let Some(forgotten) = &forgotten {
            self.remove_device(forgotten);
        }
        if self.figures.first_seen.is_none() {
            self.figures_mut().first_seen = Some(device.seen_at);
        }
        self.devices.push(device);
        forgotten
    }

    /// The device that is forgotten when this one is put.
    pub fn makes_room_for(&self, id: &DeviceId) -> Option<DeviceId> {
        if self.devices.len() < DEVICES_MAX || self.device(id).is_some() {
            return None;
        }
        let oldest = self.devices.iter().min_by_key(|device| device.seen_at)?;
        Some(oldest.id.clone())
    }

    /// Takes a device out.
    pub fn remove_device(&mut self, id: &DeviceId) -> Option<Device> {
        let index = self.devices.iter().position(|device| device.id == *id)?;
        let device = self.devices.remove(index);
        let figures = self.figures_mut();
        figures.last_seen = figures.last_seen.max(Some(device.seen_at));
        Some(device)
    }

    /// When anything was heard of the customer's devices last.
    pub fn last_seen(&self) -> Option<Timestamp> {
        let seen = self.devices.iter().map(|device| device.seen_at);
        seen.chain(self.figures.last_seen).max()
    }

    /// Notes an input among the latest ones; false when it is there already.
    pub fn remember(&mut self, cause: &CauseId) -> bool {
        remember(&mut self.recent, cause)
    }

    /// Whether what the customer does may be folded: not while personalisation is refused. What was folded before stays,
    /// and is not looked at.
    pub fn is_folded(&self) -> bool {
        self.profile.consent.allows(Purpose::Personalisation, None)
    }

    /// What was folded, to change.
    pub fn figures_mut(&mut self) -> &mut Figures {
        Arc::make_mut(&mut self.figures)
    }

    /// Takes over what was folded of an anonymous customer. What has been taken over already is not counted again.
    pub fn adopt_figures(&mut self, figures: &Figures) {
        let mut own = Figures::clone(&self.figures);
        own.adopt(figures);
        if own != *self.figures {
            self.figures = Arc::new(own);
        }
    }

    /// Takes over what is known of an anonymous customer beside its device, when that turns out to be this customer's. What
    /// has been taken over already changes nothing.
    pub fn adopt(&mut self, other: &Self) {
        self.adopt_sends(&other.sends);
        self.adopt_ladders(&other.ladders);
        self.adopt_waiting(&other.waiting);
        for been in &other.been {
            self.note_been(been.clone());
        }
        self.adopt_figures(&other.figures);
        self.profile.consent.take_refusals(&other.profile.consent);
        self.forget_places();
    }

    /// Devices of which what their customer before knows has not been taken over yet.
    pub fn moving(&self) -> impl Iterator<Item = &DeviceId> {
        let moving = self.devices.iter().filter(|device| device.taken_from.is_some());
        moving.map(|device| &device.id)
    }

    /// The device to push: `preferred` if it has a token, else the one with a token that was seen last.
    pub fn push_device(&self, preferred: Option<&DeviceId>) -> Option<(&Device, &PushTarget)> {
        let reachable = || {
            self.devices
                .iter()
                .filter_map(|device| Some((device, device.target.as_ref()?)))
        };
        reachable()
            .find(|(device, _)| Some(&device.id) == preferred)
            .or_else(|| reachable().max_by_key(|(device, _)| device.seen_at))
    }

    /// Whether any device is in the geofence at `now`.
    pub fn is_in(&self, geofence: &GeofenceId, now: Timestamp, rules: PresenceRules) -> bool {
        self.devices.iter().any(|device| {
            let mut visits = device.whereabouts.visits.iter();
            visits.any(|visit| visit.geofence == *geofence && visit.holds_at(device.decided_until(now), rules))
        })
    }

    /// Whether another device of the customer is in the geofence.
    pub fn has_other_in(&self, geofence: &GeofenceId, device: &DeviceId) -> bool {
        self.others_in(geofence, device).next().is_some()
    }

    /// The longest stay that was told of another device's visit to the geofence.
    pub fn told_of_others(&self, geofence: &GeofenceId, device: &DeviceId) -> DurationMs {
        let told = self.others_in(geofence, device).map(|visit| visit.dwelled);
        told.max().unwrap_or_default()
    }

    fn others_in<'a>(&'a self, geofence: &'a GeofenceId, device: &'a DeviceId) -> impl Iterator<Item = &'a Visit> {
        let others = self.devices.iter().filter(move |other| other.id != *device);
        others
            .flat_map(|other| &other.whereabouts.visits)
            .filter(move |visit| visit.geofence == *geofence)
    }

    /// A device has left a geofence of which this stay was told: what its others tell there goes on from it, since the
    /// customer's visit does. The device itself may have come in again by now.
    pub fn hand_on_stay(&mut self, geofence: &GeofenceId, device: &DeviceId, told: DurationMs) {
        let others = self.devices.iter_mut().filter(|other| other.id != *device);
        let visits = others.flat_map(|other| &mut other.whereabouts.visits);
        for visit in visits.filter(|visit| visit.geofence == *geofence) {
            visit.dwelled = visit.dwelled.max(told);
        }
    }

    /// Takes over what the customer allows now.
    pub fn update_consent(&mut self, newer: &Consent) {
        self.profile.consent.update(newer);
        self.forget_places();
    }

    /// Notes that the customer has left a geofence, and forgets those that were left too long before.
    pub fn note_been(&mut self, been: Been) {
        let forgotten = been.left_at.minus(PRESENT_WITHIN_MAX);
        let known = self.been.iter().find(|known| known.geofence == been.geofence);
        let left_at = known.map_or(been.left_at, |known| known.left_at.max(been.left_at));
        self.been
            .retain(|known| known.geofence != been.geofence && known.left_at > forgotten);
        self.been.push(Been { left_at, ..been });
        self.been.sort_by_key(|known| known.left_at);
        let surplus = self.been.len().saturating_sub(BEEN_MAX);
        self.been.drain(..surplus);
    }

    /// Who does not want to be located has been nowhere.
    fn forget_places(&mut self) {
        if self.profile.consent.location == Some(false) {
            self.been.clear();
            self.waiting.retain(|waiting| waiting.occasion.geofence.is_none());
        }
    }
}
