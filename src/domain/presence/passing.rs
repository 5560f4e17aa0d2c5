//! What time alone brings about: stays that have grown long enough, evidence that runs out, visits of which nothing is
//! heard any more.
//!
//! It is the same whether a timer comes or a check-in: a check-in first lets the time pass that lies before it. So it
//! doesn't matter which of them is first, and nothing comes due twice.

use super::{Evidence, ExitReason, PresenceRules, Transition, TransitionKind, Visit};
use crate::domain::time::{DurationMs, Timestamp};

/// What comes due next of a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Dwelled(DurationMs),
    BeaconUnheard,
    CodeOld,
    Silent,
}

impl Visit {
    /// What comes due next, and when. `lengths`: how long a stay must last to be told.
    fn next(&self, lengths: &[DurationMs], rules: PresenceRules) -> Option<(Timestamp, Due)> {
        let dwell = lengths.iter().filter(|length| **length > self.dwelled).min();
        let dwell = dwell.map(|length| (self.since.plus(*length), Due::Dwelled(*length)));
        let beacon = self
            .beacon_at
            .map(|at| (at.plus(rules.beacon_holds), Due::BeaconUnheard));
        let code = self.code_at.map(|at| (at.plus(rules.code_holds), Due::CodeOld));
        let silent = (self.seen_at.plus(rules.silent_after), Due::Silent);
        [dwell, beacon, code, Some(silent)].into_iter().flatten().min()
    }

    /// When something comes due next.
    pub(super) fn next_due(&self, lengths: &[DurationMs], rules: PresenceRules) -> Option<Timestamp> {
        self.next(lengths, rules).map(|(at, _)| at)
    }

    /// Lets time pass up to `until`, which still belongs to it; false when the visit is over.
    pub(super) fn pass(
        &mut self,
        until: Timestamp,
        lengths: &[DurationMs],
        rules: PresenceRules,
        transitions: &mut Vec<Transition>,
    ) -> bool {
        while let Some((at, due)) = self.next(lengths, rules).filter(|(at, _)| *at <= until) {
            let rested_on = self.evidence().unwrap_or(Evidence::Gps);
            match due {
                Due::Dwelled(length) => {
                    self.dwelled = length;
                    self.dwelled_at = Some(at);
                    transitions.push(Transition {
                        duration: Some(length),
                        timed: true,
                        ..self.transition(TransitionKind::Dwelled, at, rested_on, 3)
                    });
                    continue;
                }
                Due::BeaconUnheard => self.beacon_at = None,
                Due::CodeOld => self.code_at = None,
                Due::Silent => {
                    // Known to have been there when it was last told of, and still taken for it when it had dwelled.
                    let known_at = self
                        .dwelled_at
                        .map_or(self.seen_at, |dwelled_at| self.seen_at.max(dwelled_at));
                    transitions.push(self.exited(known_at, rested_on, 1, Some(ExitReason::Silent), true));
                    return false;
                }
            }
            if self.evidence().is_none() {
                transitions.push(self.exited(at, rested_on, 2, Some(ExitReason::EvidenceEnded), true));
                return false;
            }
        }
        true
    }
}
