//! All containers of one engine, and the way in.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::engine_events::{AFTER_PAUSE, PATIENCE};
use super::event::{Effect, Event, Note};
use super::facts::Need;
use super::host::Host;
use super::replicas::Replicating;
use super::unit::{Doing, Phase, Unit};
use super::{Moment, Slot};

/// Starts that are under way at the same time.
pub const MOST_STARTS: usize = 4;
/// Names of containers that are gone, for those that still refer to their ids.
const MOST_FORMER: usize = 1000;

/// All containers of one engine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct World {
    /// By full id.
    pub units: BTreeMap<String, Unit>,
    /// Name by id of those that were made again or removed.
    pub(super) formerly: BTreeMap<String, String>,
    /// Apps in maintenance, since when; `*` is all.
    pub maintenance: BTreeMap<String, Moment>,
    /// Fingerprint of the engine.
    pub engine: String,
    /// Whether it answers.
    #[serde(skip)]
    pub connected: bool,
    /// Since when it answers, or does not.
    pub connection_since: Moment,
    /// What was seen at the last listing, and the engine ended in between: what ran is to run.
    pub(super) came_back: bool,
    /// The engine went away and is not back yet: what it signals and stops while it comes up is its own doing.
    #[serde(skip)]
    pub(super) booting: bool,
    /// Policies were put back, and are left so.
    pub released: bool,
    /// The last event of the engine that was taken: nanoseconds since 1970 by its clock.
    pub last_event: i64,
    /// Instances that are being made or taken away.
    #[serde(default)]
    pub(super) replicating: Replicating,
    /// The host that it is on.
    #[serde(skip)]
    pub(super) host: Host,
    /// Where chance stands.
    chance: u64,
    #[serde(skip)]
    pub(super) effects: Vec<Effect>,
}

impl World {
    /// An empty one. The seed decides all chance.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            chance: seed,
            ..Self::default()
        }
    }

    /// What was written down before, at a later time: nothing lies in the future, and nothing is under way.
    #[must_use]
    pub fn resumed(mut self, at: Moment) -> Self {
        self.connected = false;
        self.released = false;
        self.replicating.resumed(at);
        for unit in self.units.values_mut() {
            let past = |moment: &mut Moment| *moment = (*moment).min(at);
            past(&mut unit.since);
            past(&mut unit.started);
            unit.exit.iter_mut().for_each(|exit| past(&mut exit.at));
            unit.killed.iter_mut().for_each(past);
            unit.check_at.iter_mut().for_each(past);
            unit.backoff.well_since.iter_mut().for_each(past);
            unit.quiet_until = unit.quiet_until.min(at.plus(AFTER_PAUSE));
            unit.judge_at = unit.judge_at.map(|judge| judge.min(at.plus(PATIENCE)));
            let doing = unit.doing.take();
            if doing.is_some() && unit.phase == Phase::Gone {
                // It is looked at with the next listing; to be interrupted was no failure of it.
                unit.backoff.failures = unit.backoff.failures.saturating_sub(1);
                unit.interrupted = matches!(doing, Some((Doing::Recreating, _)));
                continue;
            }
            if let Some((doing, _)) = doing {
                unit.hands_off = None;
                // Between our stop and our start: it is to run.
                if matches!(
                    doing,
                    Doing::StoppingToStart | Doing::Starting | Doing::Recreating | Doing::Fetching
                ) {
                    unit.wanted = super::Wanted::Run;
                    unit.killed = None;
                    unit.interrupted = true;
                    unit.check_at = Some(at);
                }
            }
            if let Some(queued) = &mut unit.queued {
                queued.not_before = queued.not_before.min(at.plus(Duration::from_secs(300)));
            }
            unit.hands_off = unit
                .hands_off
                .map(|until| until.min(at.plus(Duration::from_secs(30))));
        }
        self
    }

    /// Takes what happened; says what is to be done.
    pub fn step(&mut self, at: Moment, event: Event) -> Vec<Effect> {
        match event {
            Event::Listed { engine, containers } => self.listed(at, engine, &containers),
            Event::Inspected { facts, state } => self.inspected(at, *facts, &state),
            Event::Vanished { id } => self.vanished(at, &id),
            Event::Happened(happened) => self.happened(at, &happened),
            Event::Lost => self.lost(at),
            Event::Probed {
                id,
                kind,
                well,
                why,
            } => self.probed(at, &id, kind, well, &why),
            Event::Did { id, did } => self.did(at, &id, did),
            Event::Replicated { name, failed } => self.replicated(at, &name, failed),
            Event::Host(reading) => self.read_host(at, &reading),
            Event::Blamed { shortage, takers } => self.blamed(at, shortage, takers),
            Event::Maintenance { app, on } => self.set_maintenance(at, app, on),
            Event::Release => self.release(at),
            Event::Diagnosed { id, sentence } => self.diagnosed(at, &id, sentence),
            Event::Tick => {}
        }
        self.time_passed(at);
        self.dispatch(at);
        self.keep_replicas(at);
        self.watch_healers(at);
        std::mem::take(&mut self.effects)
    }

    /// When to come again although nothing happens. What waits for others is looked at each second: their time may
    /// run out.
    #[must_use]
    pub fn next_due(&self, at: Moment) -> Option<Moment> {
        let soon = at.plus(Duration::from_secs(1));
        let of_unit = |unit: &Unit| {
            let queued = unit.queued.as_ref().map(|queued| queued.not_before);
            let queued = queued.filter(|_| self.connected && unit.doing.is_none());
            let check = unit
                .check_at
                .filter(|_| self.connected && unit.doing.is_none());
            let judge = unit
                .judge_at
                .filter(|_| self.connected && unit.doing.is_none());
            let due = [queued, check, judge, unit.hands_off]
                .into_iter()
                .flatten()
                .min()?;
            Some(if due > at { due } else { soon })
        };
        let replicas = self.replicas_due(at);
        self.units
            .values()
            .filter_map(of_unit)
            .chain(replicas)
            .min()
    }

    /// What is gone and is to be there: names of containers by app.
    #[must_use]
    pub fn gone(&self) -> BTreeMap<String, Vec<String>> {
        let mut gone: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for unit in self.units.values().filter(|unit| unit.phase == Phase::Gone) {
            let of_app = gone.entry(unit.app().to_owned()).or_default();
            of_app.push(unit.name.clone());
        }
        gone
    }

    /// Whether somebody looks after this app at the moment.
    #[must_use]
    pub fn in_maintenance(&self, app: &str) -> bool {
        self.maintenance.contains_key("*") || self.maintenance.contains_key(app)
    }

    pub(super) fn chance(&mut self) -> u64 {
        // SplitMix64.
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn tell(&mut self, at: Moment, id: &str, kind: &str, text: impl Into<String>) {
        let (app, container) = self.units.get(id).map_or_else(Default::default, |unit| {
            (unit.app().to_owned(), unit.name.clone())
        });
        self.effects.push(Effect::Tell(Note {
            at,
            app,
            container,
            kind: kind.to_owned(),
            text: text.into(),
        }));
    }

    /// Ids that a need of this unit leads to, itself left out.
    pub(super) fn resolve(&self, of: &Unit, need: &Need) -> Vec<String> {
        let project = of.slot().map(|slot| slot.project.as_str());
        let is_service =
            |slot: &Slot| slot.service == need.on && Some(slot.project.as_str()) == project;
        let name = self.formerly.get(&need.on).unwrap_or(&need.on);
        let name = name.trim_start_matches('/');
        let by_name = |unit: &&Unit| unit.id != of.id && (unit.id == need.on || unit.name == name);
        let exact: Vec<String> = self
            .units
            .values()
            .filter(by_name)
            .map(|unit| unit.id.clone())
            .collect();
        if !exact.is_empty() {
            return exact;
        }
        self.units
            .values()
            .filter(|unit| unit.id != of.id && unit.slot().is_some_and(is_service))
            .map(|unit| unit.id.clone())
            .collect()
    }

    /// The unit is no more; who still refers to its id finds its name.
    pub(super) fn forget(&mut self, id: &str) -> Option<Unit> {
        let unit = self.units.remove(id)?;
        while self.formerly.len() >= MOST_FORMER {
            self.formerly.pop_first();
        }
        self.formerly.insert(id.to_owned(), unit.name.clone());
        Some(unit)
    }

    fn set_maintenance(&mut self, at: Moment, app: Option<String>, on: bool) {
        let key = app.clone().unwrap_or_else(|| "*".to_owned());
        if on {
            self.maintenance.entry(key).or_insert(at);
        } else if app.is_none() {
            self.maintenance.clear();
            self.released = false;
        } else {
            self.maintenance.remove(&key);
        }
        let whose = app.as_deref().unwrap_or("all apps");
        let word = if on { "begins" } else { "ends" };
        self.effects.push(Effect::Tell(Note {
            at,
            app: app.clone().unwrap_or_default(),
            container: String::new(),
            kind: "maintenance".to_owned(),
            text: format!("maintenance of {whose} {word}"),
        }));
        let ids: Vec<String> = self.units.keys().cloned().collect();
        for id in ids {
            let in_it = self
                .units
                .get(&id)
                .is_some_and(|u| self.in_maintenance(u.app()));
            if in_it {
                if let Some(unit) = self.units.get_mut(&id) {
                    unit.queued = None;
                }
                self.put_policy_back(&id);
            } else {
                self.take_over(&id);
                self.consider(at, &id);
            }
        }
    }

    fn release(&mut self, at: Moment) {
        self.released = true;
        let ids: Vec<String> = self.units.keys().cloned().collect();
        for id in ids {
            if self.put_policy_back(&id) {
                self.tell(at, &id, "released", "its restart policy is what it was");
            }
        }
    }

    fn put_policy_back(&mut self, id: &str) -> bool {
        let Some(unit) = self.units.get_mut(id) else {
            return false;
        };
        let Some(policy) = unit.policy_was.take() else {
            return false;
        };
        if let Some(facts) = &mut unit.facts {
            facts.policy = policy;
        }
        self.effects.push(Effect::Policy {
            id: id.to_owned(),
            policy,
        });
        true
    }

    /// `lifeboat.start=managed`: the engine is not to start it.
    pub(super) fn take_over(&mut self, id: &str) {
        let maintained = self
            .units
            .get(id)
            .is_some_and(|u| self.in_maintenance(u.app()));
        if self.released || maintained {
            return;
        }
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        let Some(facts) = &mut unit.facts else { return };
        let wanted = facts.rules.managed && facts.rules.supervised;
        if !wanted || facts.policy == super::Policy::No || facts.auto_remove {
            return;
        }
        unit.policy_was = Some(facts.policy);
        facts.policy = super::Policy::No;
        self.effects.push(Effect::Policy {
            id: id.to_owned(),
            policy: super::Policy::No,
        });
    }

    fn diagnosed(&mut self, at: Moment, id: &str, sentence: String) {
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        if unit.phase == Phase::Running && unit.backoff.failures == 0 {
            return;
        }
        unit.trouble = Some(sentence.clone());
        self.tell(at, id, "diagnosis", sentence);
    }
}
