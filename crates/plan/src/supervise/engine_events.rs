//! What the engine tells as it happens.
//!
//! A `kill` with a signal that stops, a `stop`, a `pause`, a `destroy` come through the API: from a person or from a
//! manager, unless they are ours. A `die` by itself is the container's own.

use std::time::Duration;

use super::event::{Effect, Happened, Kind, What};
use super::facts::ASIDE;
use super::replicas::FORMER;
use super::unit::{Doing, Exit, Health, Job, Phase, Queued, Reason, Unit, Wanted};
use super::{Moment, Seen, World};

/// So long nothing is done to what somebody else works on.
pub(super) const HANDS_OFF: Duration = Duration::from_secs(30);
/// So long an end waits for the signal that asked for it. The engine sends a signal first and tells of it then, so of
/// what ends at once the end may be told before: by milliseconds, on a busy machine by tens of them. What ended by
/// itself is to serve again within a second, so this cannot be much longer.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);
/// Between a signal and the end that it asked for there may be the grace, and so much more.
const AFTER_GRACE: Duration = Duration::from_secs(10);
/// A check that ran into a pause says nothing until it has run again.
pub(super) const AFTER_PAUSE: Duration = Duration::from_secs(30);
/// So long the engine has to start again what its policy says (it waits 100 ms at first).
pub(super) const ENGINES_TURN: Duration = Duration::from_millis(700);

impl World {
    pub(super) fn happened(&mut self, at: Moment, event: &Happened) {
        self.last_event = self.last_event.max(event.nano);
        if event.what == What::Create {
            self.created(at, event);
            return;
        }
        if !self.units.contains_key(&event.id) {
            if matches!(event.what, What::Destroy | What::Update) {
                return;
            }
            self.meet(at, event, Phase::Created);
        }
        match event.what {
            What::Create => {}
            What::Start => self.started(at, &event.id),
            What::Die { code } => self.died(at, &event.id, code),
            What::Kill { signal } => self.killed(at, &event.id, signal),
            What::Stop => self.stopped(at, &event.id),
            What::Pause => self.paused(at, &event.id),
            What::Unpause => self.unpaused(at, &event.id),
            What::Destroy => self.destroyed(at, &event.id),
            What::Rename => self.renamed(at, event),
            What::Health { healthy } => {
                let why = "its health check fails";
                self.probed(at, &event.id, Kind::Liveness, healthy, why);
            }
            What::Oom => self.starved(at, &event.id),
            What::Update => self.inspect(&event.id),
        }
    }

    pub(super) fn inspect(&mut self, id: &str) {
        self.effects.push(Effect::Inspect { id: id.to_owned() });
    }

    fn meet(&mut self, at: Moment, event: &Happened, phase: Phase) {
        let seen = Seen {
            id: event.id.clone(),
            name: event.name.clone(),
            phase,
            healthy: None,
        };
        self.units.insert(event.id.clone(), Unit::seen(&seen, at));
        self.inspect(&event.id);
    }

    /// Somebody makes a container: whose name or place it takes is being re-created.
    fn created(&mut self, at: Moment, event: &Happened) {
        let takes = |unit: &Unit| {
            let temporary = event.name.strip_suffix(&unit.name);
            let temporary = temporary.and_then(|front| front.strip_suffix('_'));
            let by_name = event.name == unit.name
                || temporary.is_some_and(|id| id.len() == 12 && unit.id.starts_with(id));
            by_name || (event.slot.is_some() && unit.slot() == event.slot.as_ref())
        };
        let taken: Vec<String> = self
            .units
            .values()
            .filter(|unit| unit.id != event.id && takes(unit))
            .map(|unit| unit.id.clone())
            .collect();
        let mut ours = self.replicating.under_way.as_ref() == Some(&event.name);
        for id in taken {
            let Some(unit) = self.units.get_mut(&id) else {
                continue;
            };
            if matches!(unit.doing, Some((Doing::Recreating, _))) {
                ours = true;
            } else if unit.phase == Phase::Gone && unit.interrupted {
                // We made it, and ended before it was started.
                ours = true;
            } else if unit.phase == Phase::Gone {
                self.tell(at, &id, "adopted", "somebody else made it again");
                self.forget(&id);
            } else {
                unit.hands_off = Some(at.plus(HANDS_OFF));
                unit.queued = None;
            }
        }
        self.meet(at, event, Phase::Created);
        if let Some(unit) = self.units.get_mut(&event.id)
            && !ours
        {
            unit.hands_off = Some(at.plus(HANDS_OFF));
        }
    }

    pub(super) fn started(&mut self, at: Moment, id: &str) {
        // Whoever starts it again so soon, nobody asked for its end.
        self.judge(at, id);
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        let was_down = unit.phase != Phase::Running;
        let by_us = matches!(unit.doing, Some((Doing::Starting | Doing::Recreating, _)));
        let by_engine = !by_us && unit.is_wanted_running() && unit.engine_restarts_it();
        let down_for = at.since(unit.exit.as_ref().map_or(unit.since, |exit| exit.at));
        let ended = unit.exit.is_some();
        unit.enter(Phase::Running, at);
        unit.forget_process();
        unit.wanted = Wanted::Run;
        unit.started = at;
        unit.killed = None;
        unit.interrupted = false;
        unit.oom = None;
        unit.ready = None;
        let has_check = unit.facts.as_ref().is_some_and(|facts| facts.has_check);
        unit.health = if has_check {
            Health::Starting
        } else {
            Health::Unknown
        };
        if !has_check {
            unit.backoff.well(at);
        }
        unit.check_at = None;
        unit.queued = None;
        if by_engine && was_down && ended {
            unit.engine_restarts += 1;
            let text = format!(
                "started again by the engine, as its restart policy says; down for {}",
                seconds(down_for)
            );
            self.tell(at, id, "restarted", text);
        }
        // A new run for the probes.
        self.inspect(id);
        self.cascade(at, id, false);
    }

    pub(super) fn died(&mut self, at: Moment, id: &str, code: i64) {
        let booting = self.booting;
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        let patience = Duration::from_secs(unit.grace()) + AFTER_GRACE;
        let by_hand = unit
            .killed
            .is_some_and(|killed| at.since(killed) <= patience);
        let oom = unit.starved_just_now(at);
        unit.check_at = None;
        unit.judge_at = None;
        unit.exit = Some(Exit { code, oom, at });
        unit.enter(Phase::Exited, at);
        unit.health = Health::Unknown;
        unit.ready = None;
        if let Some((Doing::Stopping | Doing::StoppingToStart | Doing::Recreating, _)) = unit.doing
        {
            return;
        }
        if unit.interrupted || (booting && unit.is_wanted_running()) {
            unit.check_at = Some(at);
            return;
        }
        if by_hand {
            self.was_wished(at, id);
            return;
        }
        unit.judge_at = Some(at.plus(PATIENCE));
    }

    /// Its end was asked for through the API: it is left so.
    fn was_wished(&mut self, at: Moment, id: &str) {
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        unit.queued = None;
        unit.check_at = None;
        unit.judge_at = None;
        unit.wanted = Wanted::Stopped {
            since: at,
            by: "a person, or a program that manages it".to_owned(),
        };
        let code = unit.exit.as_ref().map_or(0, |exit| exit.code);
        self.tell(
            at,
            id,
            "stopped",
            format!("stopped through the engine's API (exit code {code}); it is left so"),
        );
    }

    /// Nobody has asked for its end: it was its own.
    pub(super) fn judge(&mut self, at: Moment, id: &str) {
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        if unit.judge_at.take().is_none() || unit.phase != Phase::Exited {
            return;
        }
        // That the kernel killed in it may be told after its end.
        let oom = unit.starved_just_now(at);
        let exit = unit.exit.get_or_insert_default();
        exit.oom |= oom;
        let (code, oom) = (exit.code, exit.oom);
        self.died_by_itself(at, id, code, oom);
    }

    /// It ended, and nobody asked it to.
    pub(super) fn died_by_itself(&mut self, at: Moment, id: &str, code: i64, oom: bool) {
        let awaited = self.is_job(id);
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        // To be started after whom it follows: it is to be started anyway now.
        let follows = |queued: &Queued| {
            matches!(queued.reason, Reason::Follows(_)) && queued.job != Job::Recreate
        };
        unit.queued = unit.queued.take().filter(|queued| !follows(queued));
        if !unit.is_supervised() {
            return;
        }
        let policy = unit.policy();
        if (code == 0 && !policy.is_forever())
            || (awaited && !policy.is_forever() && policy == super::Policy::No)
        {
            unit.wanted = Wanted::Done;
            unit.queued = None;
            let word = if code == 0 {
                "ended as it was to"
            } else {
                "ended, and is to run once"
            };
            self.tell(at, id, "ended", format!("{word} (exit code {code})"));
            return;
        }
        if unit.engine_restarts_it() {
            unit.check_at = Some(unit.since.plus(ENGINES_TURN).max(at));
            // Counted, so that a crash loop is seen, whoever starts it again.
            unit.backoff.failed(at, 0);
        }
        let failures = unit.backoff.failures;
        let by_engine = unit.engine_restarts_it();
        let mut text = format!("ended by itself, {}", exit_words(code));
        if oom {
            text.push_str("; the kernel killed in it for want of memory");
        }
        self.tell(at, id, "died", text);
        if oom || failures >= 3 {
            self.effects.push(Effect::Diagnose {
                id: id.to_owned(),
                error: None,
            });
        }
        if !by_engine {
            self.consider(at, id);
        }
    }

    /// Somebody waits for its end with 0: it is to run once.
    fn is_job(&self, id: &str) -> bool {
        self.units.values().any(|unit| {
            let needs = unit.facts.iter().flat_map(|facts| &facts.needs);
            needs
                .filter(|need| need.condition == super::facts::NeedCondition::Completed)
                .any(|need| self.resolve(unit, need).iter().any(|on| on == id))
        })
    }

    fn killed(&mut self, at: Moment, id: &str, signal: u32) {
        if self.booting {
            return;
        }
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        let stop_signal = unit.facts.as_ref().map_or(15, |facts| facts.stop_signal);
        // Our own stops signal; a start does not.
        let ours = unit
            .doing
            .is_some_and(|(doing, _)| doing != Doing::Starting);
        if ours || unit.interrupted || !(signal == 9 || signal == 15 || signal == stop_signal) {
            return;
        }
        unit.killed = Some(at);
        unit.hands_off = Some(at.plus(HANDS_OFF));
        unit.queued = None;
        unit.check_at = None;
        // Only what runs can be sent a signal: it was sent before the end, and told after it.
        if unit.phase == Phase::Exited && unit.doing.is_none() && unit.is_wanted_running() {
            self.was_wished(at, id);
        }
    }

    fn stopped(&mut self, at: Moment, id: &str) {
        if self.booting {
            return;
        }
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        if unit.doing.is_none()
            && !unit.interrupted
            && unit.phase == Phase::Exited
            && unit.is_wanted_running()
        {
            // Nothing is stopped without a signal, though it was not told of: a shutdown is known by it.
            unit.killed.get_or_insert(at);
            self.was_wished(at, id);
        }
    }

    pub(super) fn paused(&mut self, at: Moment, id: &str) {
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        unit.enter(Phase::Paused, at);
        unit.wanted = Wanted::Paused { since: at };
        unit.queued = None;
    }

    pub(super) fn unpaused(&mut self, at: Moment, id: &str) {
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        unit.enter(Phase::Running, at);
        unit.wanted = Wanted::Run;
        unit.health = Health::Unknown;
        unit.quiet_until = at.plus(AFTER_PAUSE);
    }

    fn destroyed(&mut self, at: Moment, id: &str) {
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        if matches!(unit.doing, Some((Doing::Recreating, _))) {
            return;
        }
        self.removed(at, id, "removed through the engine's API");
    }

    /// It is gone, and somebody wanted it so; what is kept for ever comes back all the same, once nobody works on it.
    pub(super) fn removed(&mut self, at: Moment, id: &str, how: &str) {
        self.replica_removed(at, id);
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        let keep = unit.facts.as_ref().is_some_and(|facts| facts.rules.keep);
        let (name, place) = (unit.name.clone(), unit.slot().cloned());
        let ended = matches!(unit.wanted, Wanted::Done | Wanted::Nothing);
        let successor = |other: &Unit| {
            other.id != id
                && other.phase != Phase::Gone
                && (other.name == name || (place.is_some() && other.slot() == place.as_ref()))
        };
        let replaced = self.units.values().any(successor);
        if keep && !ended && !replaced && self.units.get(id).is_some_and(Unit::is_supervised) {
            self.tell(
                at,
                id,
                "gone",
                format!("{how}; it carries lifeboat.keep, and is made again"),
            );
            if let Some(unit) = self.units.get_mut(id) {
                unit.enter(Phase::Gone, at);
                unit.wanted = Wanted::Run;
                unit.doing = None;
                unit.queued = None;
                unit.check_at = None;
                unit.judge_at = None;
                unit.hands_off = Some(unit.hands_off.unwrap_or(at).max(at.plus(HANDS_OFF)));
            }
            return;
        }
        self.tell(at, id, "removed", how);
        self.forget(id);
    }

    fn renamed(&mut self, at: Moment, event: &Happened) {
        let by_us = self.replicating.under_way.as_deref().is_some_and(|name| {
            event.name == name || event.name.strip_suffix(FORMER) == Some(name)
        });
        let Some(unit) = self.units.get_mut(&event.id) else {
            return;
        };
        let was_aside = unit.name.contains(ASIDE);
        unit.name.clone_from(&event.name);
        if let Some(facts) = &mut unit.facts {
            facts.name.clone_from(&event.name);
            if unit.doing.is_none() && event.name.contains(ASIDE) {
                facts.rules.set_aside();
            }
        }
        if unit.doing.is_none() && !by_us {
            unit.hands_off = Some(at.plus(HANDS_OFF));
        }
        if was_aside {
            // What it was taken back for, its labels say.
            self.inspect(&event.id);
        }
    }

    /// A probe, or the engine's own health check, has another opinion.
    pub(super) fn probed(&mut self, at: Moment, id: &str, kind: Kind, well: bool, why: &str) {
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        if unit.phase != Phase::Running {
            return;
        }
        if kind == Kind::Recovering {
            self.tell(at, id, "recovering", why);
            return;
        }
        if kind == Kind::Readiness {
            let changed = unit.ready != Some(well);
            unit.ready = Some(well);
            if changed && !well {
                self.tell(at, id, "not-ready", why);
            } else if changed {
                self.tell(at, id, "ready", "ready to serve");
            }
            return;
        }
        if well {
            let was = std::mem::replace(&mut unit.health, Health::Healthy);
            unit.backoff.well(at);
            if unit
                .queued
                .as_ref()
                .is_some_and(|q| q.reason == Reason::Unhealthy)
            {
                unit.queued = None;
            }
            if matches!(was, Health::Unhealthy { .. }) {
                self.tell(at, id, "healthy", "well again");
            }
            return;
        }
        if unit.quiet_until > at || unit.doing.is_some() {
            return;
        }
        let known = matches!(unit.health, Health::Unhealthy { .. });
        if !known {
            unit.health = Health::Unhealthy {
                since: at,
                why: why.to_owned(),
            };
            self.tell(at, id, "unhealthy", why);
        }
        self.consider(at, id);
    }
}

/// An exit code in words.
pub(super) fn exit_words(code: i64) -> String {
    match code {
        137 => "killed by SIGKILL (exit code 137)".to_owned(),
        139 => "crashed with a segmentation fault (exit code 139)".to_owned(),
        134 => "aborted (exit code 134)".to_owned(),
        143 => "ended by SIGTERM (exit code 143)".to_owned(),
        126 => "its command cannot be run (exit code 126)".to_owned(),
        127 => "its command was not found (exit code 127)".to_owned(),
        129..=159 => format!("killed by signal {} (exit code {code})", code - 128),
        _ => format!("exit code {code}"),
    }
}

/// A duration for a person.
pub(super) fn seconds(duration: Duration) -> String {
    let secs = duration.as_secs_f64();
    if secs < 10.0 {
        format!("{secs:.1} s")
    } else {
        format!("{secs:.0} s")
    }
}
