//! Who is in a geofence now, as staff may see it.
//!
//! The store's list says where to look; the record decides. So a stay that has ended by time alone, or by a customer who
//! does not want to be located any more, is not shown even before the list knows.

use super::{Engine, EngineError, ports::Stay};
use crate::domain::{
    ids::{DeviceId, GeofenceId, SubjectId, UserId, WorkspaceId},
    presence::PresenceRules,
    record::Record,
};

/// Reads of the store for one page. What is left then is on the next one.
const READS_MAX: usize = 8;

/// A device in a geofence, with what its customer lets be seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Guest {
    /// Whose; `None` for an anonymous customer.
    pub user: Option<UserId>,
    /// Which device.
    pub device: DeviceId,
    /// How to address them, unless they refuse to be known by their profile.
    pub name: Option<String>,
    /// Since when, on what evidence.
    pub stay: Stay,
}

/// Where a list goes on.
pub type Place = (SubjectId, DeviceId);

impl Engine {
    /// Up to `limit` devices in a geofence after a place, ordered by customer and device, and where the list goes on.
    pub async fn who_is_here(
        &self,
        workspace: &WorkspaceId,
        geofence: &GeofenceId,
        mut after: Option<Place>,
        limit: usize,
    ) -> Result<(Vec<Guest>, Option<Place>), EngineError> {
        let mut guests = Vec::new();
        let rules = self.rules(&self.catalogues.of(workspace));
        for _ in 0..READS_MAX {
            let place = after.as_ref().map(|(subject, device)| (subject, device));
            let wanted = limit - guests.len();
            let present = self.store.hot.present(workspace, geofence, place, wanted).await?;
            let Some(last) = present.last() else {
                return Ok((guests, None));
            };
            after = Some((last.subject.clone(), last.device.clone()));
            let subjects: Vec<SubjectId> = present.iter().map(|present| present.subject.clone()).collect();
            let records = self.records.get_many(workspace, &subjects).await?;
            for (present, record) in present.into_iter().zip(records) {
                let seen =
                    record.and_then(|record| self.guest(&record, &present.subject, present.device, geofence, rules));
                guests.extend(seen);
            }
            if guests.len() >= limit {
                break;
            }
        }
        Ok((guests, after))
    }

    /// `None`: the device is not there, or its customer does not want it to be known.
    fn guest(
        &self,
        record: &Record,
        subject: &SubjectId,
        device: DeviceId,
        geofence: &GeofenceId,
        rules: PresenceRules,
    ) -> Option<Guest> {
        let consent = &record.profile.consent;
        if consent.location == Some(false) {
            return None;
        }
        let known = record.device(&device)?;
        let visit = known
            .whereabouts
            .visits
            .iter()
            .find(|visit| visit.geofence == *geofence)?;
        if !visit.holds_at(known.clock(self.clock.now()), rules) {
            return None;
        }
        let stay = Stay {
            since: visit.since,
            evidence: visit.evidence()?,
        };
        let name = record.profile.name.clone();
        Some(Guest {
            user: subject.user().cloned(),
            device,
            name: name.filter(|_| consent.personalisation != Some(false)),
            stay,
        })
    }
}
