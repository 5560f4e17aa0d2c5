//! All that Beckon remembers of one customer, as one versioned value that is swapped as a whole.

use serde::{Deserialize, Serialize};

use super::{
    campaign::{CAP_MAX, Campaign, Cap, CapScope, Class, WINDOW_MAX},
    customer::{Consent, DEVICES_MAX, Device, Profile},
    delivery::PushTarget,
    ids::{BrandId, CampaignId, DeviceId, GeofenceId},
    presence::{PresenceRules, Visit},
    time::{DurationMs, Timestamp},
};

/// The form in which records are stored now. Raised when [`Record`] changes shape; [`Record::decode`] reads older ones.
pub const RECORD_SCHEMA: u8 = 6;

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
}

/// When one campaign was decided for this customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignSends {
    /// Which campaign.
    pub campaign: CampaignId,
    /// Its merchant.
    pub brand: Option<BrandId>,
    /// Its class.
    pub class: Class,
    /// The latest times, oldest first, at most [`CAP_MAX`].
    pub at: Vec<Timestamp>,
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
        Some(self.devices.remove(index))
    }

    /// Takes over what an anonymous customer was sent, when its device turns out to be this customer's. What has been
    /// taken over already is not counted again.
    pub fn adopt_sends(&mut self, sends: &[CampaignSends]) {
        for other in sends {
            match self.sends.iter_mut().find(|mine| mine.campaign == other.campaign) {
                None => self.sends.push(other.clone()),
                Some(mine) => {
                    for (index, at) in other.at.iter().enumerate() {
                        let so_often = |times: &[Timestamp]| times.iter().filter(|time| *time == at).count();
                        if so_often(&mine.at) < so_often(&other.at[..=index]) {
                            mine.at.push(*at);
                        }
                    }
                    mine.at.sort_unstable();
                    let surplus = mine.at.len().saturating_sub(CAP_MAX);
                    mine.at.drain(..surplus);
                }
            }
        }
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
    pub fn update_consent(&mut self, newer: Consent) {
        self.profile.consent.update(newer);
    }

    /// Whether the cap leaves no room for one more push of this campaign at `at`. Sends later than `at` count too, so
    /// that devices that report out of step can't get round a cap.
    pub fn cap_reached(&self, cap: &Cap, campaign: &Campaign, at: Timestamp) -> bool {
        let opens = at.minus(cap.per);
        let counted = self.sends.iter().filter(|sends| match cap.scope {
            CapScope::Campaign => sends.campaign == campaign.id,
            CapScope::Brand => sends.brand == campaign.brand && sends.class == campaign.class,
            CapScope::Workspace => sends.class == campaign.class,
        });
        counted
            .flat_map(|sends| &sends.at)
            .filter(|sent| **sent > opens)
            .count()
            >= cap.max
    }

    /// Whether the campaign's cooldown still runs at `at`.
    pub fn cooling_down(&self, campaign: &Campaign, at: Timestamp) -> bool {
        let Some(cooldown) = campaign.cooldown else {
            return false;
        };
        let opens = at.minus(cooldown);
        self.sends
            .iter()
            .any(|sends| sends.campaign == campaign.id && sends.at.iter().any(|sent| *sent > opens))
    }

    /// Notes that the campaign was decided at `at` and forgets what no window can reach any more, neither at `at` nor at
    /// the server's `now`.
    pub fn note_send(&mut self, campaign: &Campaign, at: Timestamp, now: Timestamp) {
        let forgotten = at.min(now).minus(WINDOW_MAX);
        for sends in &mut self.sends {
            sends.at.retain(|sent| *sent > forgotten);
        }
        self.sends.retain(|sends| !sends.at.is_empty());
        if let Some(sends) = self.sends.iter_mut().find(|sends| sends.campaign == campaign.id) {
            sends.brand.clone_from(&campaign.brand);
            sends.class = campaign.class;
            if sends.at.len() >= CAP_MAX {
                sends.at.remove(0);
            }
            let place = sends.at.partition_point(|sent| *sent <= at);
            sends.at.insert(place, at);
        } else {
            self.sends.push(CampaignSends {
                campaign: campaign.id.clone(),
                brand: campaign.brand.clone(),
                class: campaign.class,
                at: vec![at],
            });
        }
    }
}
