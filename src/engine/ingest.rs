//! The way of a check-in: whose is it, where is it, what follows, commit, answer.

use std::collections::HashMap;

use super::{
    Engine, EngineError,
    records::{Change, Changed, Write},
    regions::{Regions, regions_for},
};
use crate::{
    domain::{
        catalogue::Catalogue,
        checkin::CheckIn,
        customer::Device,
        decide::{self, Context, Effects, Status},
        event::Event,
        ids::{CauseId, DeviceId, GeofenceId, SubjectId, WorkspaceId},
        presence::{Doubt, Evidence, PlaceMatch},
        record::Record,
        time::Timestamp,
    },
    metrics::CheckInLabel,
};

/// How often a check-in whose device moves is tried.
const ROUNDS_MAX: usize = 3;

/// What to do with a device that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownDevice {
    /// Say so.
    Refuse,
    /// Take it for an anonymous customer.
    Create,
}

/// A geofence that the device is in.
#[derive(Debug, Clone, PartialEq)]
pub struct Present {
    /// Which.
    pub geofence: GeofenceId,
    /// Since when.
    pub since: Timestamp,
    /// What says so.
    pub evidence: Evidence,
}

/// The answer to one check-in.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The check-in's id.
    pub id: CauseId,
    /// Its time.
    pub at: Timestamp,
    /// What became of it.
    pub status: Status,
    /// What it brought about.
    pub events: Vec<Event>,
    /// What of it was not believed.
    pub doubt: Option<Doubt>,
    /// Where the device is.
    pub geofences: Vec<Present>,
    /// What to monitor next, if that was asked.
    pub regions: Option<Regions>,
}

/// A check-in beside what it matches.
struct Item {
    position: usize,
    check_in: CheckIn,
    matches: Vec<PlaceMatch>,
}

impl Engine {
    /// Takes check-ins of one workspace. Those of one customer are taken in the order of their times, in one commit. The answers
    /// come in the order of `check_ins`, each for itself: where a part of the store is away, only its customers are turned
    /// away. `None` for a device that is unknown.
    pub async fn check_in(
        &self,
        workspace: &WorkspaceId,
        check_ins: Vec<CheckIn>,
        unknown: UnknownDevice,
    ) -> Vec<Result<Option<Answer>, EngineError>> {
        let catalogue = self.catalogues.of(workspace);
        let mut answers: Vec<Result<Option<Answer>, EngineError>> = check_ins.iter().map(|_| Ok(None)).collect();
        let mut items: Vec<Item> = check_ins
            .into_iter()
            .enumerate()
            .map(|(position, check_in)| {
                let matches = catalogue.places.matching(&check_in);
                Item {
                    position,
                    check_in,
                    matches,
                }
            })
            .collect();
        // A device that has moved to another customer since its owner was looked up is looked up once more. One that is
        // about to move arrives first: what was sent before must count.
        for _ in 0..ROUNDS_MAX {
            let (subjects, groups) = self.group_by_subject(workspace, items, unknown, &mut answers).await;
            let steps = self
                .step_groups(workspace, &catalogue, &subjects, &groups, unknown)
                .await;
            items = Vec::new();
            for ((subject, group), step) in subjects.iter().zip(groups).zip(steps) {
                let arrived = async {
                    let step = step?;
                    self.finish_moves(workspace, subject, &step.record).await?;
                    Ok::<_, EngineError>((step.record, step.output))
                };
                let (record, effects) = match arrived.await {
                    Ok(step) => step,
                    Err(error) => {
                        fail(&mut answers, group.iter().map(|item| item.position), &error);
                        continue;
                    }
                };
                for (item, effects) in group.into_iter().zip(effects) {
                    if effects.status == Status::NotHere {
                        self.records.forget_owner(workspace, &item.check_in.device);
                        items.push(item);
                        continue;
                    }
                    let position = item.position;
                    let answer = self.answer(workspace, subject, &record, &catalogue, item.check_in, effects);
                    answers[position] = answer.await.map(Some);
                }
            }
            if items.is_empty() {
                break;
            }
        }
        fail(
            &mut answers,
            items.iter().map(|item| item.position),
            &EngineError::Contended,
        );
        for answer in &answers {
            self.metrics.check_in(match answer {
                Ok(Some(answer)) => answer.status.into(),
                Ok(None) => CheckInLabel::Rejected,
                Err(_) => CheckInLabel::TurnedAway,
            });
        }
        answers
    }

    /// Finds the customers and puts each one's check-ins together, in the order of their times. Unknown devices are left out or become
    /// anonymous customers; where it can't be told whose a device is, that is its answer.
    async fn group_by_subject(
        &self,
        workspace: &WorkspaceId,
        items: Vec<Item>,
        unknown: UnknownDevice,
        answers: &mut [Result<Option<Answer>, EngineError>],
    ) -> (Vec<SubjectId>, Vec<Vec<Item>>) {
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_unstable_by_key(|&index| &items[index].check_in.device);
        let by_device: Vec<&[usize]> = order
            .chunk_by(|&a, &b| items[a].check_in.device == items[b].check_in.device)
            .collect();
        let devices: Vec<DeviceId> = by_device
            .iter()
            .map(|indexes| items[indexes[0]].check_in.device.clone())
            .collect();
        let mut owners: Vec<Option<SubjectId>> = items.iter().map(|_| None).collect();
        for (indexes, owner) in by_device
            .into_iter()
            .zip(self.records.each_owner(workspace, &devices).await)
        {
            match (owner, unknown) {
                (Err(error), _) => fail(answers, indexes.iter().map(|&index| items[index].position), &error),
                (Ok(Some(owner)), _) => indexes.iter().for_each(|&index| owners[index] = Some(owner.clone())),
                (Ok(None), UnknownDevice::Create) => {
                    for &index in indexes {
                        owners[index] = Some(SubjectId::Anonymous(items[index].check_in.device.clone()));
                    }
                }
                (Ok(None), UnknownDevice::Refuse) => {}
            }
        }
        let (mut subjects, mut groups) = (Vec::<SubjectId>::new(), Vec::<Vec<Item>>::new());
        let mut places: HashMap<SubjectId, usize> = HashMap::new();
        let several = items.len() > 1;
        for (item, subject) in items.into_iter().zip(owners) {
            let Some(subject) = subject else { continue };
            if several {
                let place = *places.entry(subject.clone()).or_insert(groups.len());
                if let Some(group) = groups.get_mut(place) {
                    group.push(item);
                    continue;
                }
            }
            subjects.push(subject);
            groups.push(vec![item]);
        }
        // Phones send what they kept in any order, some newest first. What has the same time stays as it was given.
        for group in &mut groups {
            group.sort_by_key(|item| item.check_in.at);
        }
        (subjects, groups)
    }

    /// Steps each customer through their check-ins and commits.
    async fn step_groups(
        &self,
        workspace: &WorkspaceId,
        catalogue: &Catalogue,
        subjects: &[SubjectId],
        groups: &[Vec<Item>],
        unknown: UnknownDevice,
    ) -> Vec<Result<Changed<Vec<Effects>>, EngineError>> {
        let now = self.clock.now();
        let steps = self
            .records
            .change_each(workspace, subjects, |index, record, _| {
                let subject = &subjects[index];
                let context = self.context(workspace, subject, now, catalogue);
                step_one(record, &groups[index], context, unknown)
            })
            .await;
        let mut decided = 0;
        for step in steps.iter().flatten() {
            for effects in &step.output {
                decided += effects.deliveries.len();
                effects.events.iter().for_each(|event| self.metrics.event(event.kind));
            }
        }
        if decided > 0 {
            self.metrics.decided(decided);
            self.outbox_filled.notify_one();
        }
        steps
    }

    /// What the phone is told. A check-in that was here before is told what it brought about then.
    async fn answer(
        &self,
        workspace: &WorkspaceId,
        subject: &SubjectId,
        record: &Record,
        catalogue: &Catalogue,
        check_in: CheckIn,
        effects: Effects,
    ) -> Result<Answer, EngineError> {
        let (mut status, mut events) = (effects.status, effects.events);
        if matches!(status, Status::Duplicate | Status::Late) {
            events = self.store.hot.events_of(workspace, subject, &check_in.id).await?;
            if !events.is_empty() {
                status = Status::Duplicate;
            }
        }
        let device = record.device(&check_in.device);
        let geofences = device
            .into_iter()
            .flat_map(|device| &device.whereabouts.visits)
            .filter_map(|visit| {
                let evidence = visit.evidence()?;
                Some(Present {
                    geofence: visit.geofence.clone(),
                    since: visit.since,
                    evidence,
                })
            })
            .collect();
        let regions = check_in
            .location
            .filter(|_| check_in.regions && status != Status::Ignored)
            .map(|fix| {
                let platform = device
                    .and_then(|device| device.target.as_ref())
                    .map(|target| target.platform);
                regions_for(&catalogue.places, fix.position, platform)
            });
        Ok(Answer {
            id: check_in.id,
            at: check_in.at,
            status,
            events,
            doubt: effects.doubt,
            geofences,
            regions,
        })
    }
}

/// The same answer for several.
fn fail(
    answers: &mut [Result<Option<Answer>, EngineError>],
    positions: impl Iterator<Item = usize>,
    error: &EngineError,
) {
    for position in positions {
        answers[position] = Err(error.clone());
    }
}

/// What check-ins come to that are for another record, or for this one in a moment.
fn not_here(items: &[Item]) -> Vec<Effects> {
    items.iter().map(|_| Effects::none(Status::NotHere)).collect()
}

/// Steps one customer through their check-ins, in order.
fn step_one(record: &mut Record, items: &[Item], context: Context<'_>, unknown: UnknownDevice) -> Change<Vec<Effects>> {
    if record.moving().next().is_some() {
        return Change::new(not_here(items), Write::Nothing);
    }
    let mut claims = Vec::new();
    if let (SubjectId::Anonymous(device), UnknownDevice::Create) = (context.subject, unknown)
        && record.device(device).is_none()
    {
        record.put_device(Device::new(device.clone(), context.now));
        claims.push(device.clone());
    }
    let (mut deliveries, mut facts, mut all) = (Vec::new(), Vec::new(), Vec::with_capacity(items.len()));
    let mut write = if claims.is_empty() {
        Write::Nothing
    } else {
        Write::Record
    };
    for item in items {
        let effects = decide::check_in(record, &item.check_in, &item.matches, context);
        if effects.status == Status::Processed || !effects.facts.is_empty() {
            write = Write::Record;
        }
        deliveries.extend(effects.deliveries.iter().cloned());
        facts.extend(
            effects
                .facts
                .iter()
                .map(|fact| (Some(item.check_in.id.clone()), fact.clone())),
        );
        all.push(effects);
    }
    if !claims.is_empty() && all.iter().all(|effects| effects.status == Status::ClockAhead) {
        // A stranger of whom nothing was taken stays one.
        return Change::new(all, Write::Nothing);
    }
    Change {
        // Whoever has the device now is who is meant.
        if_taken: (!claims.is_empty()).then(|| not_here(items)),
        first_claims: claims,
        deliveries,
        facts,
        ..Change::new(all, write)
    }
}
