//! Who follows whom: what shares a namespace with a container that was started again has lost it, and stays
//! *healthy* all the same; what says `restart: true` wants to be started again too. Nobody else is touched.

use std::time::Duration;

use super::unit::{Job, Phase, Queued, Reason, Wanted};
use super::{Moment, World};

/// Where somebody else started it: their own work on its followers comes first.
const OTHER_HANDS: Duration = Duration::from_secs(5);

impl World {
    /// `parent` runs, since its last start: those that follow it and ran before are to be started again. Where
    /// nobody saw the start, only those to whom it does harm.
    pub(super) fn cascade(&mut self, at: Moment, parent: &str, namespaces_alone: bool) {
        let Some(above) = self.units.get(parent) else {
            return;
        };
        if above.phase != Phase::Running {
            return;
        }
        let (name, started, others) = (above.name.clone(), above.started, above.is_off(at));
        let not_before = if others { at.plus(OTHER_HANDS) } else { at };
        let mut found = Vec::new();
        for unit in self.units.values() {
            let Some(facts) = &unit.facts else { continue };
            let follows = |need: &&super::Need| {
                (need.namespace || (need.restart && !namespaces_alone))
                    && self.resolve(unit, need).iter().any(|id| id == parent)
            };
            let Some(need) = facts.needs.iter().find(follows) else {
                continue;
            };
            // A namespace of a container that was made again cannot be joined any more, by whatever start.
            let stale = need.namespace && self.formerly.contains_key(&need.on);
            let ran_before = unit.phase == Phase::Running && unit.started < started;
            let down = stale && unit.wanted == Wanted::Run && unit.phase != Phase::Paused;
            if !facts.rules.supervised || !(ran_before || down) {
                continue;
            }
            let why = if need.namespace {
                format!("it shares a namespace of {name}, which was started after it")
            } else {
                format!("it depends on {name} with `restart: true`, which was started after it")
            };
            let job = if stale { Job::Recreate } else { Job::Restart };
            found.push((unit.id.clone(), job, why));
        }
        for (id, job, why) in found {
            if let Some(unit) = self.units.get_mut(&id)
                && unit.doing.is_none()
                && unit.wanted == Wanted::Run
            {
                unit.queued = Some(Queued {
                    job,
                    reason: Reason::Follows(parent.to_owned()),
                    why,
                    not_before,
                });
            }
        }
    }

    /// Whether a follower still has to be started again.
    pub(super) fn still_follows(&self, id: &str, parent: &str, job: Job) -> bool {
        let (Some(unit), Some(above)) = (self.units.get(id), self.units.get(parent)) else {
            return false;
        };
        let older = unit.phase == Phase::Running && unit.started < above.started;
        unit.wanted == Wanted::Run
            && above.phase == Phase::Running
            && (older || job == Job::Recreate)
    }
}
