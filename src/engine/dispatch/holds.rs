//! Which lanes of the outbox are left alone, and until when: those of a credential that is wrong, and those whose speed is
//! reached. Each node finds out for itself, by one batch of rows.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::{
    delivery::Platform,
    ids::{AppId, WorkspaceId},
    lane::LanePart,
    time::{DurationMs, Timestamp},
};

/// How long a wrong credential rests before one push tries it again.
const PAUSE: DurationMs = DurationMs::from_secs(15);
/// A wrong push configuration is told so often, however many pushes meet it.
const TELL_EVERY: DurationMs = DurationMs::from_secs(60);
/// Lanes that wait for their speed end their wait together, so that all are looked for at once.
const GRID_MS: i64 = 250;
/// Most lanes held for their speed; the rows of further ones are put off one by one.
const LANES_MAX: usize = 1000;
/// Most credentials that are known to be wrong; the one that was tried longest ago is forgotten for a further one.
const CREDENTIALS_MAX: usize = 1000;
/// A credential that nobody has tried for so long is forgotten.
const FORGOTTEN_AFTER: DurationMs = DurationMs::from_secs(300);

/// A credential that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PausedCredential {
    /// Whose.
    pub workspace: WorkspaceId,
    /// For which app.
    pub app: AppId,
    /// At which provider.
    pub platform: Platform,
    /// What the provider said.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    until: Timestamp,
    told_at: Timestamp,
}

/// Whether to tell operators of a wrong credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paused {
    TellIt,
    WasTold,
}

/// Whether rows of a credential may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Admission {
    /// As many as there are.
    Free,
    /// This one, to see whether it works again; the others have to wait.
    Probe(Probe),
    /// Not while the credential rests: until then its lanes are held.
    Wait,
}

/// The right to see whether a credential works again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    part: LanePart,
    /// When the credential's rest had ended.
    due: Timestamp,
    /// When it ends now.
    until: Timestamp,
}

/// What is held.
#[derive(Default)]
pub struct Holds {
    credentials: Mutex<HashMap<LanePart, PausedCredential>>,
    lanes: Mutex<HashMap<LanePart, Timestamp>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Holds {
    /// Everything that is held at `now`.
    pub(super) fn held(&self, now: Timestamp) -> Vec<LanePart> {
        let mut credentials = lock(&self.credentials);
        credentials.retain(|_, paused| now.since(paused.until) < FORGOTTEN_AFTER);
        let paused = credentials.iter().filter(|(_, paused)| paused.until > now);
        let mut held: Vec<LanePart> = paused.map(|(part, _)| part.clone()).collect();
        drop(credentials);
        let mut lanes = lock(&self.lanes);
        lanes.retain(|_, until| *until > now);
        held.extend(lanes.keys().cloned());
        held.sort_unstable();
        held
    }

    /// When the next hold ends.
    pub(super) fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        let credentials = lock(&self.credentials)
            .values()
            .map(|paused| paused.until)
            .min_by_key(|until| (*until <= now, *until));
        let lanes = lock(&self.lanes).values().copied().min();
        credentials.filter(|until| *until > now).into_iter().chain(lanes).min()
    }

    /// The credential has turned out to be wrong.
    pub(super) fn pause(
        &self,
        platform: Platform,
        workspace: &WorkspaceId,
        app: &AppId,
        reason: &str,
        now: Timestamp,
    ) -> Paused {
        let mut credentials = lock(&self.credentials);
        let part = LanePart::of_app(platform, workspace, app);
        if credentials.len() >= CREDENTIALS_MAX && !credentials.contains_key(&part) {
            let oldest = credentials.iter().min_by_key(|(_, paused)| paused.until);
            if let Some(oldest) = oldest.map(|(part, _)| part.clone()) {
                credentials.remove(&oldest);
            }
        }
        let mut told = Paused::WasTold;
        let paused = credentials.entry(part).or_insert_with(|| {
            told = Paused::TellIt;
            PausedCredential {
                workspace: workspace.clone(),
                app: app.clone(),
                platform,
                reason: String::new(),
                since: now,
                until: now,
                told_at: now,
            }
        });
        paused.until = now.plus(PAUSE);
        reason.clone_into(&mut paused.reason);
        if now.since(paused.told_at) >= TELL_EVERY {
            paused.told_at = now;
            told = Paused::TellIt;
        }
        told
    }

    /// The credential works; true when it was paused.
    pub(super) fn resume(&self, platform: Platform, workspace: &WorkspaceId, app: &AppId) -> bool {
        let mut credentials = lock(&self.credentials);
        !credentials.is_empty()
            && credentials
                .remove(&LanePart::of_app(platform, workspace, app))
                .is_some()
    }

    /// Whether a row of the credential may be sent. Who is to probe gets the answer for the next pause's length alone.
    pub(super) fn admit(&self, platform: Platform, workspace: &WorkspaceId, app: &AppId, now: Timestamp) -> Admission {
        let mut credentials = lock(&self.credentials);
        if credentials.is_empty() {
            return Admission::Free;
        }
        match credentials.get_mut(&LanePart::of_app(platform, workspace, app)) {
            None => Admission::Free,
            Some(paused) if paused.until > now => Admission::Wait,
            Some(paused) => {
                let due = std::mem::replace(&mut paused.until, now.plus(PAUSE));
                Admission::Probe(Probe {
                    part: LanePart::of_app(platform, workspace, app),
                    due,
                    until: paused.until,
                })
            }
        }
    }

    /// The probe was not made after all: another row may make it.
    pub(super) fn give_back(&self, probe: &Probe) {
        if let Some(paused) = lock(&self.credentials).get_mut(&probe.part)
            && paused.until == probe.until
        {
            paused.until = probe.due;
        }
    }

    /// Leaves a lane alone for that long, or a little longer; until when.
    pub(super) fn hold_lane(&self, lane: LanePart, now: Timestamp, wait: DurationMs) -> Timestamp {
        let end = now.plus(wait).0.max(now.0 + 1);
        let until = Timestamp(end.div_euclid(GRID_MS) * GRID_MS + GRID_MS);
        let mut lanes = lock(&self.lanes);
        if lanes.len() < LANES_MAX || lanes.contains_key(&lane) {
            lanes.insert(lane, until);
        }
        until
    }

    /// Credentials that are wrong, for operators.
    pub fn paused(&self) -> Vec<PausedCredential> {
        let mut all: Vec<PausedCredential> = lock(&self.credentials).values().cloned().collect();
        all.sort_by(|a, b| (&a.workspace, &a.app).cmp(&(&b.workspace, &b.app)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_credential_rests_and_is_then_tried_with_one_push() {
        let holds = Holds::default();
        let (workspace, app) = (WorkspaceId::new("w").expect("an id"), AppId::new("app").expect("an id"));
        let other = AppId::new("other").expect("an id");
        let at = |seconds: i64| Timestamp(seconds * 1000);
        assert_eq!(
            holds.pause(Platform::Ios, &workspace, &app, "403", at(0)),
            Paused::TellIt
        );
        assert_eq!(
            holds.pause(Platform::Ios, &workspace, &app, "403", at(1)),
            Paused::WasTold
        );
        let admit = |app, seconds| holds.admit(Platform::Ios, &workspace, app, at(seconds));
        assert_eq!(admit(&app, 2), Admission::Wait);
        assert_eq!(admit(&other, 2), Admission::Free);
        assert_eq!(holds.held(at(2)), [LanePart::of_app(Platform::Ios, &workspace, &app)]);
        assert_eq!((holds.held(at(16)), holds.next_end(at(2))), (vec![], Some(at(16))));
        let Admission::Probe(unused) = admit(&app, 16) else {
            panic!("no probe")
        };
        assert_eq!(admit(&app, 16), Admission::Wait);
        // It was not made after all, so somebody else may.
        holds.give_back(&unused);
        assert!(matches!(admit(&app, 17), Admission::Probe(_)));
        holds.give_back(&unused);
        assert_eq!(admit(&app, 17), Admission::Wait, "that one is another's now");
        assert!(holds.resume(Platform::Ios, &workspace, &app) && !holds.resume(Platform::Ios, &workspace, &app));
        assert_eq!(admit(&app, 17), Admission::Free);
    }

    #[test]
    fn wrong_credentials_are_forgotten_some_time() {
        let holds = Holds::default();
        let workspace = WorkspaceId::new("w").expect("an id");
        let pause = |number: usize| {
            let app = AppId::new(format!("app-{number}")).expect("an id");
            holds.pause(Platform::Ios, &workspace, &app, "403", Timestamp(number as i64));
        };
        (0..CREDENTIALS_MAX + 10).for_each(pause);
        let paused = holds.paused();
        assert_eq!(paused.len(), CREDENTIALS_MAX);
        assert!(paused.iter().all(|paused| paused.since >= Timestamp(10)));
        let end = Timestamp(10).plus(PAUSE).plus(FORGOTTEN_AFTER);
        assert_eq!(holds.held(end), []);
        assert_eq!(holds.paused().len(), CREDENTIALS_MAX - 1);
    }
}
