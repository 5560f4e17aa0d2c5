//! Who is where: in each partition a sorted set for each geofence, changed by the very commit that changes the customer's
//! record, so that it is never wrong for longer than that. Readers put the partitions together.

use futures_util::future::join_all;
use redis::cmd;

use super::{
    RedisStore,
    control::{damaged, parse},
    keys::join,
};
use crate::{
    domain::{
        ids::{DeviceId, GeofenceId, SubjectId, WorkspaceId},
        presence::Evidence,
        time::Timestamp,
    },
    engine::ports::{Present, Stay, StoreError},
};

/// A geofence in the name of a key.
pub(super) fn place_of(geofence: &GeofenceId) -> String {
    join(geofence.tag.as_str(), geofence.external_id.as_str())
}

impl RedisStore {
    pub(super) async fn list_present(
        &self,
        workspace: &WorkspaceId,
        geofence: &GeofenceId,
        after: Option<(&SubjectId, &DeviceId)>,
        limit: usize,
    ) -> Result<Vec<Present>, StoreError> {
        let place = join(workspace.as_str(), &place_of(geofence));
        let after = after.map(|(subject, device)| join(&subject.to_key(), device.as_str()));
        let mut members = self.members(&format!("h:{place}"), after.as_deref(), limit).await?;
        members.truncate(limit);
        let present = join_all(members.iter().map(async |member| {
            let (key, device) = member.split_once('\0').ok_or_else(|| damaged(member))?;
            let subject = SubjectId::from_key(key).ok_or_else(|| damaged(member))?;
            let partition = self.keys.partition(self.keys.of_subject(workspace, &subject));
            let mut stay = cmd("HGET");
            stay.arg(format!("{partition}:hd:{place}")).arg(member);
            let Some(stay) = self.link.ask::<Option<String>>(&stay).await? else {
                // It ended between the two questions.
                return Ok(None);
            };
            let (since, evidence) = stay.split_once(' ').ok_or_else(|| damaged(&stay))?;
            Ok(Some(Present {
                subject,
                device: DeviceId::new(device).map_err(damaged)?,
                stay: Stay {
                    since: Timestamp(parse(since)?),
                    evidence: Evidence::from_name(evidence).ok_or_else(|| damaged(&stay))?,
                },
            }))
        }))
        .await;
        present.into_iter().filter_map(Result::transpose).collect()
    }
    pub(super) async fn number_of_present(
        &self,
        workspace: &WorkspaceId,
        geofence: &GeofenceId,
    ) -> Result<u64, StoreError> {
        let place = join(workspace.as_str(), &place_of(geofence));
        self.number_of_members(&format!("h:{place}")).await
    }
}
