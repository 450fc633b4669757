//! When something is done: dependencies first, at most [`MOST_STARTS`] at a time, never two things with one container.
//!
//! What a person stopped, what gave up or is not supervised keeps nobody waiting: only what is on its way does, and
//! that for at most three minutes. In a cycle nobody waits for anybody. What is taken to run is looked at once more just
//! before a start (`untold`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::event::Effect;
use super::facts::NeedCondition;
use super::unit::{Doing, Job, Phase, Queued, Reason, Unit, Wanted};
use super::{MOST_STARTS, Moment, World};

/// So long a dependent waits for what runs and is not ready.
const READY_WITHIN: Duration = Duration::from_secs(180);

impl World {
    /// Does what can be done now.
    pub(super) fn dispatch(&mut self, at: Moment) {
        if !self.connected {
            return;
        }
        let due: Vec<(Moment, String)> = self
            .units
            .values()
            .filter(|unit| unit.doing.is_none() && unit.judge_at.is_none() && !unit.is_off(at))
            .filter_map(|unit| Some((unit.queued.as_ref()?.not_before, unit.id.clone())))
            .filter(|(not_before, _)| *not_before <= at)
            .collect();
        for (_, id) in due {
            let Some(queued) = self.units.get(&id).and_then(|unit| unit.queued.clone()) else {
                continue;
            };
            if !self.is_still_needed(&id, &queued) {
                if let Some(unit) = self.units.get_mut(&id) {
                    unit.queued = None;
                }
                // It waited for this; something else may have happened to it meanwhile.
                self.consider(at, &id);
                continue;
            }
            if self.starts(&id, queued.job) && self.starts_under_way() >= MOST_STARTS {
                continue;
            }
            if self.waits(at, &id) {
                continue;
            }
            self.begin(at, &id, queued);
        }
    }

    /// Whether it is a start at once: a restart of what has ended meanwhile is one too.
    fn starts(&self, id: &str, job: Job) -> bool {
        let running = self.units.get(id).map(|unit| unit.phase) == Some(Phase::Running);
        matches!(job, Job::Start | Job::Recreate) || (job == Job::Restart && !running)
    }

    fn starts_under_way(&self) -> usize {
        let starts =
            |unit: &&Unit| matches!(unit.doing, Some((Doing::Starting | Doing::Recreating, _)));
        self.units.values().filter(starts).count()
    }

    pub(super) fn is_still_needed(&self, id: &str, queued: &Queued) -> bool {
        let Some(unit) = self.units.get(id) else {
            return false;
        };
        if unit.wanted != Wanted::Run || !unit.is_supervised() || self.in_maintenance(unit.app()) {
            return false;
        }
        match &queued.reason {
            Reason::Down => matches!(unit.phase, Phase::Exited | Phase::Created),
            Reason::Gone => unit.phase == Phase::Gone,
            Reason::Unhealthy => {
                let bad = matches!(unit.health, super::Health::Unhealthy { .. });
                (unit.phase == Phase::Running && bad)
                    || (unit.phase == Phase::Exited && queued.job != Job::Stop)
            }
            Reason::Follows(parent) => self.still_follows(id, parent, queued.job),
        }
    }

    fn begin(&mut self, at: Moment, id: &str, queued: Queued) {
        let refers = self.references(id);
        let also = self.gone_beside(id);
        let after = self.to_be_alive(id);
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        unit.queued = None;
        unit.begun = Some(queued.clone());
        unit.check_at = None;
        let grace = unit.facts.as_ref().and_then(|facts| facts.rules.stop_grace);
        let running = unit.phase == Phase::Running;
        let own = id.to_owned();
        let (doing, word, effect) = match queued.job {
            Job::Stop => (Doing::Stopping, "stop", Effect::Stop { id: own, grace }),
            Job::Restart if running => (
                Doing::StoppingToStart,
                "restart",
                Effect::Stop { id: own, grace },
            ),
            Job::Restart | Job::Start => {
                (Doing::Starting, "start", Effect::Start { id: own, after })
            }
            Job::Recreate => {
                let name = unit.name.clone();
                let effect = Effect::Recreate {
                    id: own,
                    name,
                    refers,
                    also,
                    after,
                };
                (Doing::Recreating, "recreate", effect)
            }
        };
        unit.doing = Some((doing, at));
        self.tell(at, id, word, queued.why);
        self.effects.push(effect);
    }

    /// What it refers to, and who that is now.
    fn references(&self, id: &str) -> BTreeMap<String, String> {
        let Some(unit) = self.units.get(id) else {
            return BTreeMap::new();
        };
        let needs = unit.facts.iter().flat_map(|facts| &facts.needs);
        needs
            .filter_map(|need| {
                Some((
                    need.on.clone(),
                    self.resolve(unit, need).into_iter().next()?,
                ))
            })
            .collect()
    }

    /// Others of its app that are to run and are not there.
    fn gone_beside(&self, id: &str) -> Vec<String> {
        let Some(unit) = self.units.get(id).filter(|unit| unit.phase == Phase::Gone) else {
            return Vec::new();
        };
        let beside = |other: &&Unit| {
            other.id != id
                && other.app() == unit.app()
                && other.phase == Phase::Gone
                && other.wanted == Wanted::Run
                && other.is_supervised()
        };
        let names = self.units.values().filter(beside);
        names.map(|other| other.name.clone()).collect()
    }

    /// Whether something that has to be there first is on its way.
    fn waits(&self, at: Moment, id: &str) -> bool {
        let Some(unit) = self.units.get(id) else {
            return true;
        };
        let needs = unit.facts.iter().flat_map(|facts| &facts.needs);
        for need in needs {
            for on in self.resolve(unit, need) {
                let Some(first) = self.units.get(&on) else {
                    continue;
                };
                if self.keeps_waiting(at, first, need.condition) && !self.reaches(&on, id) {
                    return true;
                }
            }
        }
        false
    }

    fn keeps_waiting(&self, at: Moment, first: &Unit, condition: NeedCondition) -> bool {
        let looked_after = first.is_supervised() && !self.in_maintenance(first.app());
        let on_its_way = first
            .doing
            .is_some_and(|(doing, _)| doing != Doing::Stopping)
            || (looked_after
                && first.wanted == Wanted::Run
                && (first.queued.is_some()
                    || first.check_at.is_some()
                    || first.judge_at.is_some()
                    || first.phase == Phase::Restarting))
            || self.is_untold(at, first);
        match (first.phase, condition) {
            (Phase::Running, NeedCondition::Ready) => {
                on_its_way || (!first.is_ready() && at.since(first.started) < READY_WITHIN)
            }
            (Phase::Running, NeedCondition::Completed) => at.since(first.started) < READY_WITHIN,
            _ => on_its_way,
        }
    }

    /// Whether `from` depends on `to`, directly or not.
    pub(super) fn reaches(&self, from: &str, to: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut look = vec![from.to_owned()];
        while let Some(id) = look.pop() {
            if id == to {
                return true;
            }
            let Some(unit) = self.units.get(&id) else {
                continue;
            };
            if seen.insert(id) {
                let needs = unit.facts.iter().flat_map(|facts| &facts.needs);
                look.extend(needs.flat_map(|need| self.resolve(unit, need)));
            }
        }
        false
    }
}
