//! What came of what was done.

use super::engine_events::seconds;
use super::event::{Did, Effect, Failed, Lack, Trouble};
use super::unit::{Doing, Health, Job, Phase, Queued, Reason, Unit, Wanted};
use super::{Moment, World};

impl World {
    pub(super) fn did(&mut self, at: Moment, id: &str, did: Did) {
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        let Some((doing, since)) = unit.doing.take() else {
            return;
        };
        let begun = unit.begun.take();
        if unit.phase == Phase::Gone {
            unit.interrupted = false;
        }
        match did {
            Did::Started => self.was_started(at, id, since),
            Did::Stopped => self.was_stopped(at, id, doing),
            Did::Recreated { id: new } => self.was_recreated(at, id, &new),
            Did::Lacks(lack) => self.lacks(at, id, lack),
            Did::Fetched => self.was_fetched(at, id),
            Did::EndedFirst(ended) => self.ended_first(at, id, begun, &ended),
            Did::Failed(failed) => self.has_failed(at, id, doing, failed),
        }
    }

    fn was_started(&mut self, at: Moment, id: &str, since: Moment) {
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        unit.restarts += 1;
        unit.trouble = unit.trouble.take().filter(|_| unit.backoff.failures >= 3);
        let ended_again = unit
            .exit
            .as_ref()
            .is_some_and(|exit| exit.at >= since && unit.started >= since);
        let down = unit.exit.as_ref().map_or(unit.since, |exit| exit.at);
        if ended_again && unit.phase == Phase::Exited {
            // It died before we heard that it had started.
            if unit.judge_at.is_some() {
                return;
            }
            let exit = unit.exit.clone().unwrap_or_default();
            self.died_by_itself(at, id, exit.code, exit.oom);
            return;
        }
        if unit.started < since {
            // The event is still on its way.
            self.started(at, id);
        }
        self.tell(
            at,
            id,
            "started",
            format!("runs again, after {}", seconds(at.since(down))),
        );
    }

    fn was_stopped(&mut self, at: Moment, id: &str, doing: Doing) {
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        unit.enter(Phase::Exited, at);
        unit.killed = None;
        unit.health = Health::Unknown;
        if doing == Doing::Stopping {
            unit.wanted = Wanted::GaveUp {
                since: at,
                why: "it was not well, and lifeboat.on-unhealthy=stop".to_owned(),
            };
            self.tell(
                at,
                id,
                "stopped",
                "stopped, as lifeboat.on-unhealthy=stop says",
            );
            return;
        }
        unit.queued = Some(Queued {
            job: Job::Start,
            reason: Reason::Down,
            why: "second half of the restart".to_owned(),
            not_before: at,
        });
    }

    fn was_recreated(&mut self, at: Moment, old: &str, new: &str) {
        let met = self.units.remove(new);
        let Some(unit) = self.forget(old) else {
            return;
        };
        let mut unit = Unit {
            id: new.to_owned(),
            restarts: unit.restarts + 1,
            exit: unit.exit.clone(),
            trouble: None,
            hands_off: None,
            killed: None,
            check_at: None,
            judge_at: None,
            queued: None,
            begun: None,
            fetched: None,
            ..unit
        };
        if let Some(facts) = &mut unit.facts {
            facts.id = new.to_owned();
        }
        unit.enter(Phase::Created, at);
        self.roll_follows(old, new);
        // Until its start is taken note of, so that it counts as ours.
        unit.doing = Some((Doing::Recreating, at));
        let ended = met
            .filter(|met| met.phase == Phase::Exited)
            .and_then(|met| met.exit);
        self.units.insert(new.to_owned(), unit);
        self.started(at, new);
        if let Some(unit) = self.units.get_mut(new) {
            unit.doing = None;
        }
        self.tell(
            at,
            new,
            "recreated",
            "made again from its definition, and started",
        );
        self.inspect(new);
        if let Some(exit) = ended {
            self.died(at, new, exit.code);
        }
    }

    /// It cannot be made again yet. What was fetched and is missing all the same is not fetched for ever.
    fn lacks(&mut self, at: Moment, id: &str, lack: Lack) {
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        let words = lack.words();
        if unit.fetched.as_ref() == Some(&lack) {
            unit.fetched = None;
            let failed = Failed {
                kind: Trouble::Other,
                text: format!("{words} was fetched, and is not there all the same"),
            };
            self.has_failed(at, id, Doing::Fetching, failed);
            return;
        }
        unit.doing = Some((Doing::Fetching, at));
        unit.fetched = Some(lack.clone());
        let app = unit.app().to_owned();
        self.tell(
            at,
            id,
            "fetch",
            format!("{words} is not here, and is fetched before it is made again"),
        );
        self.effects.push(Effect::Fetch {
            id: id.to_owned(),
            app,
            lack,
        });
    }

    fn was_fetched(&mut self, at: Moment, id: &str) {
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        let lack = unit.fetched.clone().unwrap_or_default();
        if unit.phase != Phase::Gone {
            self.tell(at, id, "fetched", format!("{} is there", lack.words()));
            self.consider(at, id);
            return;
        }
        unit.queued = Some(Queued {
            job: Job::Recreate,
            reason: Reason::Gone,
            why: "what it needs is there".to_owned(),
            not_before: at,
        });
        self.tell(at, id, "fetched", format!("{} is there", lack.words()));
    }

    fn has_failed(&mut self, at: Moment, id: &str, doing: Doing, failed: Failed) {
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        unit.fetched = None;
        match failed.kind {
            Trouble::NotFound if !matches!(doing, Doing::Recreating | Doing::Fetching) => {
                self.vanished(at, id);
                return;
            }
            Trouble::Engine => {
                // Nothing is known of it; the next listing says.
                unit.check_at = Some(at);
                return;
            }
            Trouble::Unsafe => {
                unit.wanted = Wanted::GaveUp {
                    since: at,
                    why: failed.text.clone(),
                };
                unit.trouble = Some(failed.text.clone());
                self.tell(at, id, "gave-up", failed.text);
                return;
            }
            _ => {}
        }
        let (job, reason) = match (doing, unit.phase) {
            (Doing::Stopping | Doing::StoppingToStart, Phase::Running) => {
                (Job::Restart, Reason::Unhealthy)
            }
            (_, Phase::Gone) => (Job::Recreate, Reason::Gone),
            (Doing::Starting, _) if failed.kind == Trouble::Stale => (Job::Recreate, Reason::Down),
            _ => (Job::Start, Reason::Down),
        };
        unit.trouble = Some(failed.text.clone());
        self.tell(at, id, "failed", failed.text.clone());
        self.effects.push(Effect::Diagnose {
            id: id.to_owned(),
            error: Some(failed.text.clone()),
        });
        let why = if job == Job::Recreate && reason == Reason::Down {
            format!("it cannot be started as it is ({})", failed.text)
        } else {
            failed.text
        };
        let running = self
            .units
            .get(id)
            .is_some_and(|unit| unit.phase == Phase::Running);
        if reason == Reason::Down && running {
            return;
        }
        self.bring_back(at, id, job, reason, &why);
    }
}
