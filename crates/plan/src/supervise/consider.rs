//! Whether something has to be done with a container.

use std::time::Duration;

use super::event::Effect;
use super::unit::{Health, Job, Phase, Queued, Reason, Wanted};
use super::{Moment, OnUnhealthy, World};

/// Where no answer came to the question what a container does.
const ASK_AGAIN: Duration = Duration::from_secs(3);
/// So long after an engine came back what does not run is taken for its doing.
const CAME_BACK: Duration = Duration::from_secs(30);

impl World {
    /// Looks at one container, and queues what has to be done.
    pub(super) fn consider(&mut self, at: Moment, id: &str) {
        let Some(unit) = self.units.get(id) else {
            return;
        };
        let held = unit.doing.is_some()
            || unit.queued.is_some()
            || unit.is_off(at)
            || unit.check_at.is_some()
            || unit.judge_at.is_some()
            || !self.connected
            || self.in_maintenance(unit.app());
        if held || !unit.is_supervised() || unit.wanted != Wanted::Run {
            return;
        }
        match unit.phase {
            Phase::Exited | Phase::Created => {
                self.bring_back(at, id, Job::Start, Reason::Down, "it does not run")
            }
            Phase::Gone => self.bring_back(
                at,
                id,
                Job::Recreate,
                Reason::Gone,
                "it is not there any more",
            ),
            Phase::Running => self.consider_health(at, id),
            Phase::Paused | Phase::Restarting => {}
        }
    }

    fn consider_health(&mut self, at: Moment, id: &str) {
        let Some(unit) = self.units.get(id) else {
            return;
        };
        let (Health::Unhealthy { why, .. }, Some(facts)) = (&unit.health, &unit.facts) else {
            return;
        };
        if unit.quiet_until > at {
            return;
        }
        let why = why.clone();
        match facts.rules.on_unhealthy {
            OnUnhealthy::Notify => {}
            OnUnhealthy::Restart => self.bring_back(at, id, Job::Restart, Reason::Unhealthy, &why),
            OnUnhealthy::Recreate => {
                self.bring_back(at, id, Job::Recreate, Reason::Unhealthy, &why)
            }
            OnUnhealthy::Stop => {
                if let Some(unit) = self.units.get_mut(id) {
                    unit.queued = Some(Queued {
                        job: Job::Stop,
                        reason: Reason::Unhealthy,
                        why,
                        not_before: at,
                    });
                }
            }
        }
    }

    pub(super) fn bring_back(&mut self, at: Moment, id: &str, job: Job, reason: Reason, why: &str) {
        let chance = self.chance();
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        // Deaths of what the engine starts again were counted when they happened, and the wait was the engine's.
        let counted =
            unit.engine_restarts_it() && reason == Reason::Down && unit.backoff.failures > 0;
        let tries = unit.backoff.failures;
        let most = unit
            .facts
            .as_ref()
            .and_then(|facts| facts.rules.give_up_after);
        if most.is_some_and(|most| tries >= most && !counted) {
            let why = format!("it was brought back {tries} times, and {why}");
            unit.wanted = Wanted::GaveUp {
                since: at,
                why: why.clone(),
            };
            self.tell(at, id, "gave-up", why);
            self.effects.push(Effect::Diagnose {
                id: id.to_owned(),
                error: None,
            });
            return;
        }
        let not_before = if counted {
            at
        } else {
            unit.backoff.failed(at, chance)
        };
        let failures = unit.backoff.failures;
        unit.queued = Some(Queued {
            job,
            reason: reason.clone(),
            why: why.to_owned(),
            not_before,
        });
        let wait = not_before.since(at);
        if wait > Duration::ZERO {
            let text = format!(
                "{why}; failure {failures} in a row, next try in {} s",
                wait.as_secs()
            );
            self.tell(at, id, "back-off", text);
            // Of what is not there nothing can be found out.
            if failures >= 3 && unit_is_down(job) && reason != Reason::Gone {
                self.effects.push(Effect::Diagnose {
                    id: id.to_owned(),
                    error: None,
                });
            }
        }
    }

    /// Waits that are over: what was left to others or to the engine is looked at again.
    pub(super) fn time_passed(&mut self, at: Moment) {
        if self.connected && at.since(self.connection_since) > CAME_BACK {
            self.came_back = false;
        }
        let mut look = Vec::new();
        let mut over = Vec::new();
        let mut ended = Vec::new();
        for unit in self.units.values_mut() {
            if self.connected
                && unit.doing.is_none()
                && unit.judge_at.is_some_and(|judge| judge <= at)
            {
                ended.push(unit.id.clone());
            }
            if unit.hands_off.is_some_and(|until| until <= at) {
                unit.hands_off = None;
                over.push(unit.id.clone());
            }
            if self.connected
                && unit.doing.is_none()
                && unit.check_at.is_some_and(|check| check <= at)
            {
                unit.asked = true;
                unit.check_at = Some(at.plus(ASK_AGAIN));
                look.push(unit.id.clone());
            }
        }
        for id in ended {
            self.judge(at, &id);
        }
        for id in look {
            self.inspect(&id);
        }
        for id in over {
            self.consider(at, &id);
            self.follow_again(at, &id);
        }
    }

    /// Nobody works on it any more: what it follows may have been started meanwhile.
    fn follow_again(&mut self, at: Moment, id: &str) {
        let Some(unit) = self.units.get(id) else {
            return;
        };
        let needs: Vec<super::Need> = unit
            .facts
            .iter()
            .flat_map(|facts| &facts.needs)
            .filter(|need| need.namespace || need.restart)
            .cloned()
            .collect();
        let parents: Vec<String> = needs
            .iter()
            .flat_map(|need| self.resolve(unit, need))
            .collect();
        for parent in parents {
            self.cascade(at, &parent, false);
        }
    }
}

fn unit_is_down(job: Job) -> bool {
    matches!(job, Job::Start | Job::Recreate)
}
