//! What the engine says when it is asked: after each gap, and now and then, because events are never to be trusted
//! alone.
//!
//! After a gap, what was seen before counts: what ran is to run. Where that cannot be told from a person's wish, it is
//! taken for one: a container that ended with 0, or by SIGINT, SIGTERM or SIGKILL, while nobody looked and others ran
//! on, is left; one that crashed is started. Where the engine is another, or most of what ran does not run or is not
//! there any more, it was no person.

use std::collections::BTreeSet;
use std::time::Duration;

use super::event::{Effect, Note};
use super::facts::Facts;
use super::unit::{Health, Job, Phase, Queued, Reason, Unit, Wanted};
use super::{Moment, Policy, Seen, State, World};

/// So long an engine that has just come up has for what it starts itself.
const ENGINE_BOOTS: Duration = Duration::from_secs(3);
/// An event that has not come by then was lost.
const EVENT_COMES: Duration = Duration::from_secs(2);
/// Codes of those that were asked to end.
const ASKED_TO_END: [i64; 4] = [0, 130, 137, 143];

impl World {
    pub(super) fn listed(&mut self, at: Moment, engine: String, seen: &[Seen]) {
        let after_gap = !self.connected;
        let first = self.engine.is_empty();
        let other_engine = !first && !is_same(&self.engine, &engine);
        let there: BTreeSet<&str> = seen.iter().map(|s| s.id.as_str()).collect();
        let ran: Vec<&Unit> = self
            .units
            .values()
            .filter(|unit| unit.wanted == Wanted::Run && unit.phase != Phase::Gone)
            .collect();
        let missing = ran
            .iter()
            .filter(|u| !there.contains(u.id.as_str()))
            .count();
        let down = seen
            .iter()
            .filter(|s| s.phase == Phase::Exited)
            .filter(|s| ran.iter().any(|u| u.id == s.id))
            .count();
        let many = ran.len();
        let most_gone = missing >= 2 && missing * 2 > many;
        let most_down = many > 0 && down * 2 > many && (many > 1 || self.came_back);
        if after_gap {
            self.connected = true;
            self.came_back |= std::mem::take(&mut self.booting);
            self.connection_since = at;
            self.came_back |= other_engine || most_down;
            let text = match (first, other_engine) {
                (true, _) => "the engine is looked after from now on",
                (_, true) => "an engine answers again, and it is another one than before",
                _ => "the engine answers again",
            };
            self.effects.push(Effect::Tell(Note {
                at,
                app: String::new(),
                container: String::new(),
                kind: "engine".to_owned(),
                text: text.to_owned(),
            }));
        }
        self.engine = engine;
        for one in seen {
            self.compare(at, one, after_gap);
        }
        let lost: Vec<String> = self
            .units
            .values()
            .filter(|unit| unit.phase != Phase::Gone && !there.contains(unit.id.as_str()))
            .filter(|unit| unit.doing.is_none())
            .map(|unit| unit.id.clone())
            .collect();
        for id in lost {
            if !after_gap {
                // An event may be on its way.
                self.inspect(&id);
            } else if other_engine || most_gone {
                self.lost_by_engine(at, &id);
            } else {
                self.removed(
                    at,
                    &id,
                    "not there any more: somebody removed it while nobody looked",
                );
            }
        }
        let all: Vec<String> = self.units.keys().cloned().collect();
        for id in all {
            self.consider(at, &id);
        }
    }

    /// One that runs under the name of one that is gone was made by somebody while nobody looked, or by us just before we
    /// ended.
    fn adopt(&mut self, at: Moment, seen: &Seen) {
        let gone = |unit: &&Unit| {
            unit.phase == Phase::Gone && unit.name == seen.name && unit.doing.is_none()
        };
        let gone = self.units.values().find(gone).map(|unit| unit.id.clone());
        if let Some(id) = gone.filter(|_| seen.phase == Phase::Running) {
            self.tell(at, &id, "adopted", "it runs again");
            self.forget(&id);
        }
    }

    fn lost_by_engine(&mut self, at: Moment, id: &str) {
        let supervised = self.units.get(id).is_some_and(Unit::is_supervised);
        let wanted = self
            .units
            .get(id)
            .is_some_and(|unit| unit.wanted == Wanted::Run);
        if !(supervised && wanted) {
            self.forget(id);
            return;
        }
        self.tell(at, id, "gone", "the engine lost it; it is made again");
        if let Some(unit) = self.units.get_mut(id) {
            unit.enter(Phase::Gone, at);
            unit.queued = None;
            unit.check_at = None;
            unit.judge_at = None;
            unit.hands_off = None;
            // It did not fail; the engine did.
            unit.backoff = super::Backoff::default();
        }
    }

    fn compare(&mut self, at: Moment, seen: &Seen, after_gap: bool) {
        let came_back = self.came_back;
        let Some(unit) = self.units.get_mut(&seen.id) else {
            self.adopt(at, seen);
            self.units.insert(seen.id.clone(), Unit::seen(seen, at));
            self.inspect(&seen.id);
            return;
        };
        unit.name.clone_from(&seen.name);
        if unit.doing.is_some() {
            return;
        }
        if after_gap && came_back {
            unit.check_at = Some(at.plus(ENGINE_BOOTS));
        } else if seen.phase != unit.phase || after_gap {
            unit.after_gap = after_gap;
            self.inspect(&seen.id);
            return;
        }
        if seen.phase == Phase::Running && unit.phase == Phase::Running {
            let bad = matches!(unit.health, Health::Unhealthy { .. });
            match seen.healthy {
                Some(false) if !bad => {
                    let why = "its health check fails";
                    self.probed(at, &seen.id, super::Kind::Liveness, false, why);
                }
                Some(true) if unit.health == Health::Starting => {
                    unit.health = Health::Healthy;
                    unit.backoff.well(at);
                }
                _ => {}
            }
        }
    }

    /// A container was inspected: what is known of it is renewed, and what it does compared.
    pub(super) fn inspected(&mut self, at: Moment, facts: Facts, state: &State) {
        let id = facts.id.clone();
        let Some(unit) = self.units.get_mut(&id) else {
            return;
        };
        let first = unit.facts.is_none();
        let findings = facts.rules.findings.clone();
        let had = unit.facts.as_ref().map(|old| old.rules.findings.clone());
        let has_check = facts.has_check;
        let meant = unit.policy_was;
        if meant.is_some() && facts.policy != Policy::No {
            // Somebody gave it a policy again: that is what is meant now.
            unit.policy_was = None;
        }
        unit.name.clone_from(&facts.name);
        unit.facts = Some(facts);
        let gap = std::mem::take(&mut unit.after_gap);
        let due = std::mem::take(&mut unit.asked);
        if due {
            unit.check_at = None;
        }
        if first {
            unit.health = state.health(has_check, at);
            unit.started = unit.started.max(state.started.min(at));
            if unit.phase == Phase::Running
                && state.healthy != Some(false)
                && unit.health != Health::Starting
            {
                unit.backoff.well(unit.started);
            }
        }
        for finding in findings {
            if had.as_ref().is_none_or(|had| !had.contains(&finding)) {
                self.tell(at, &id, "label", finding);
            }
        }
        self.take_over(&id);
        let ended = matches!(state.phase, Phase::Exited | Phase::Created);
        let ran = self.units.get(&id).is_some_and(|unit| {
            matches!(unit.phase, Phase::Running | Phase::Paused) && unit.doing.is_none()
        });
        if ended && ran && !gap && !due {
            // Its event is on its way and says more. Should it not come, it is looked at again.
            if let Some(unit) = self.units.get_mut(&id) {
                unit.check_at = Some(at.plus(EVENT_COMES));
            }
            return;
        }
        self.compare_state(at, &id, state, due, first);
        self.has_process(&id, state.process);
        self.consider(at, &id);
    }

    fn compare_state(&mut self, at: Moment, id: &str, state: &State, due: bool, first: bool) {
        let came_back = self.came_back;
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        if unit.doing.is_some() {
            return;
        }
        let stale = state.started < unit.started && state.phase != Phase::Running;
        match (unit.phase, state.phase) {
            (Phase::Running, Phase::Running) => {
                if first || state.started > unit.started {
                    unit.started = state.started.min(at);
                    self.cascade(at, id, true);
                }
                // What came up before us, while it was still on its way.
                let late = self.units.get(id).map(|u| u.needs_parents());
                for parent in late.unwrap_or_default() {
                    let parents = self.parents(id, &parent);
                    for parent in parents {
                        self.cascade(at, &parent, true);
                    }
                }
            }
            (_, Phase::Running) => {
                self.started(at, id);
                if let Some(unit) = self.units.get_mut(id) {
                    unit.started = state.started.min(at);
                    unit.health =
                        state.health(unit.facts.as_ref().is_some_and(|f| f.has_check), at);
                }
            }
            (Phase::Running, Phase::Paused) => self.paused(at, id),
            (_, Phase::Restarting) => unit.enter(Phase::Restarting, at),
            (_, Phase::Exited) if stale && unit.phase == Phase::Running => {}
            (
                Phase::Running | Phase::Paused | Phase::Restarting,
                Phase::Exited | Phase::Created,
            ) => {
                let exit = state.exit.clone().unwrap_or_default();
                let by_hand = unit.killed.is_some() || unit.interrupted;
                unit.exit = Some(exit.clone());
                unit.enter(Phase::Exited, at);
                unit.health = Health::Unknown;
                if unit.wanted != Wanted::Run || by_hand {
                    return;
                }
                let asked = ASKED_TO_END.contains(&exit.code) && !exit.oom;
                if asked && exit.code == 0 && !unit.policy().is_forever() {
                    unit.wanted = Wanted::Done;
                } else if asked && !came_back && !due {
                    unit.wanted = Wanted::Stopped {
                        since: at,
                        by: "somebody, while nobody looked".to_owned(),
                    };
                    self.tell(
                        at,
                        id,
                        "stopped",
                        format!("it ended with {} while nobody looked; it is left so, in case a person stopped it", exit.code),
                    );
                } else if !came_back {
                    self.died_by_itself(at, id, exit.code, exit.oom);
                }
            }
            _ => {}
        }
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        if due && std::mem::take(&mut unit.interrupted) && unit.phase == Phase::Exited {
            unit.queued = Some(Queued {
                job: Job::Start,
                reason: Reason::Down,
                why: "second half of a restart in which the agent ended".to_owned(),
                not_before: at,
            });
        }
        // The engine has had its turn.
        if due && unit.phase == Phase::Exited && unit.wanted == Wanted::Run {
            let gave_up = match unit.policy() {
                Policy::OnFailure(most) if most > 0 => state.restart_count >= most,
                _ => false,
            };
            if gave_up {
                let why = format!(
                    "the engine gave up after {} tries, as its restart policy says",
                    state.restart_count
                );
                unit.wanted = Wanted::GaveUp {
                    since: at,
                    why: why.clone(),
                };
                self.tell(at, id, "gave-up", why);
                self.effects.push(Effect::Diagnose {
                    id: id.to_owned(),
                    error: Some(state.error.clone()).filter(|error| !error.is_empty()),
                });
            }
        } else if due && unit.phase == Phase::Restarting {
            unit.check_at = Some(at.plus(Duration::from_secs(30)));
        }
    }

    fn parents(&self, id: &str, need: &super::Need) -> Vec<String> {
        self.units
            .get(id)
            .map(|unit| self.resolve(unit, need))
            .unwrap_or_default()
    }

    /// It was to be inspected, and is not there.
    pub(super) fn vanished(&mut self, at: Moment, id: &str) {
        let there = self
            .units
            .get(id)
            .is_some_and(|unit| unit.phase != Phase::Gone && unit.doing.is_none());
        if there {
            self.removed(at, id, "not there any more");
        }
    }
}

/// Whether two fingerprints are of one engine. What stands behind `#` tells its data root from one that took its
/// place; an agent of before did not write it.
fn is_same(before: &str, now: &str) -> bool {
    match (before.split_once('#'), now.split_once('#')) {
        (Some(_), Some(_)) | (None, None) => before == now,
        (Some((before, _)), None) => before == now,
        (None, Some((now, _))) => before == now,
    }
}

impl Unit {
    /// Needs that make it follow somebody.
    fn needs_parents(&self) -> Vec<super::Need> {
        let needs = self.facts.iter().flat_map(|facts| &facts.needs);
        needs.filter(|need| need.namespace).cloned().collect()
    }
}
