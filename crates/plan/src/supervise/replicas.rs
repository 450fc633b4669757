//! `lifeboat.replicas=N`: a container and its siblings, as many as it says, on one engine.
//!
//! The container that carries the label is the first; the others are made from it as `NAME-2` and so on, and
//! carry [`LABEL_OF`] and [`LABEL_FROM`]. One is made or taken away at a time. Those that were made from a
//! container that has been made again since are replaced, one after the other: [`rolling`](super::rolling) says how.
//! A sibling that a person stops counts, and is left; one that is removed is made again after a while.
//!
//! It is for what keeps nothing: whatever two instances cannot share is a finding, and then nothing is done.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::Effect;
use super::facts::ASIDE;
use super::rolling::Rolling;
use super::unit::{Phase, Unit, Wanted};
use super::{Backoff, Moment, World};
use crate::inventory::{Container, MountKind};
use crate::label;
use crate::probe::parse_duration;

/// The wish.
pub const LABEL: &str = "lifeboat.replicas";
/// How long a new instance has to become ready when an older one is replaced.
pub const LABEL_WITHIN: &str = "lifeboat.replicas.ready-within";
/// What the name of an instance ends with while the one that is to take its place proves itself.
pub const FORMER: &str = ".lifeboat-old-former";
/// Whose sibling it is, by name.
pub const LABEL_OF: &str = "lifeboat.replica-of";
/// From which container it was made, by id.
pub const LABEL_FROM: &str = "lifeboat.replica-from";

/// As many as one engine is asked for.
const MOST: u32 = 50;
/// So long somebody who removed one has for what else they are about to do.
const HANDS_OFF: Duration = Duration::from_secs(30);
/// A failure keeps the next try waiting so long at most.
const LONGEST_WAIT: Duration = Duration::from_secs(330);
/// So long the engine's word on what was done has to come.
const SETTLES: Duration = Duration::from_secs(1);
/// So long what was made and not started is somebody else's work.
const UNFINISHED: Duration = Duration::from_secs(10);

/// How many instances there are to be, and whose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    /// So many, itself included.
    #[serde(default)]
    pub wanted: Option<u32>,
    /// It is a sibling of the container with this name.
    #[serde(default)]
    pub of: Option<String>,
    /// It was made from the container with this id.
    #[serde(default)]
    pub from: Option<String>,
    /// So long a new one has to become ready; [`READY_WITHIN`](super::rolling::READY_WITHIN) without.
    #[serde(default)]
    pub within: Option<Duration>,
}

/// What is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Replicating {
    /// The name that is being made or taken away.
    #[serde(skip)]
    pub(super) under_way: Option<String>,
    /// Ids of those that we take away: that they go is nobody's wish.
    #[serde(skip)]
    withdrawn: BTreeSet<String>,
    /// Those that are being replaced.
    #[serde(default)]
    pub(super) rolling: Rolling,
    /// Failures in a row, and the next try.
    #[serde(default)]
    backoff: Backoff,
    /// Nothing is done before.
    #[serde(default)]
    not_before: Moment,
}

impl Replicas {
    /// What the labels ask for; what stands in the way is a finding, and nothing is asked for then.
    pub(super) fn of(container: &Container, findings: &mut Vec<String>) -> Self {
        let get = |key| label::get(&container.labels, key).map(str::to_owned);
        let mut replicas = Self {
            wanted: None,
            of: get(LABEL_OF),
            from: get(LABEL_FROM),
            within: None,
        };
        if let Some(text) = label::get(&container.labels, LABEL_WITHIN) {
            match parse_duration(text) {
                Ok(within) => replicas.within = Some(within),
                Err(why) => findings.push(format!("label {LABEL_WITHIN}={text}: {why}")),
            }
        }
        let Some(text) = label::get(&container.labels, LABEL) else {
            return replicas;
        };
        let Some(wanted) = text.parse().ok().filter(|n| (1..=MOST).contains(n)) else {
            findings.push(format!(
                "label {LABEL}={text} is not understood; it can be a number from 1 to {MOST}"
            ));
            return replicas;
        };
        match cannot(container) {
            Some(why) if wanted > 1 => {
                findings.push(format!("label {LABEL}={text} cannot be kept: {why}"));
            }
            _ => replicas.wanted = Some(wanted),
        }
        replicas
    }
}

/// Why there can be only one of it.
fn cannot(container: &Container) -> Option<String> {
    if label::get(&container.labels, label::SERVICE).is_some() {
        return Some(
            "Compose manages it, and removes what is beyond its own count; say `deploy.replicas` in the compose file, or `docker compose up --scale`".to_owned(),
        );
    }
    let host = &container.raw["HostConfig"];
    let mode = host["NetworkMode"].as_str().unwrap_or_default();
    if mode == "host" || mode.starts_with("container:") {
        return Some(format!(
            "with the network mode {mode} all of them would listen in one place; give it a network of its own"
        ));
    }
    let ports = host["PortBindings"].as_object().into_iter().flatten();
    let bound = ports.flat_map(|(_, to)| to.as_array().into_iter().flatten());
    let fixed = |to: &Value| {
        let port = to["HostPort"].as_str().unwrap_or_default();
        (!matches!(port, "" | "0") && !port.contains('-')).then(|| port.to_owned())
    };
    if let Some(port) = bound.filter_map(fixed).next() {
        return Some(format!(
            "port {port} of the host can be published by one of them alone; leave the port of the host out, and put a proxy before them"
        ));
    }
    let networks = container.raw["NetworkSettings"]["Networks"].as_object();
    let address = networks.into_iter().flatten().find_map(|(_, endpoint)| {
        let fixed = &endpoint["IPAMConfig"];
        let address = ["IPv4Address", "IPv6Address"].iter();
        let mut address = address.filter_map(|key| fixed[*key].as_str());
        address.find(|text| !text.is_empty()).map(str::to_owned)
    });
    if let Some(address) = address {
        return Some(format!(
            "the address {address} can be had by one of them alone; let the network give the addresses"
        ));
    }
    let shared = container.mounts.iter().find(|mount| {
        let kept = match mount.kind {
            MountKind::Volume => mount.name.as_ref().is_some_and(|name| !is_nameless(name)),
            MountKind::Bind => true,
            _ => false,
        };
        kept && mount.writable
    });
    shared.map(|mount| {
        let what = mount.name.as_ref().unwrap_or(&mount.source);
        format!(
            "all of them would write into {what}, and what keeps data is no replica; mount it read-only, or leave the label out"
        )
    })
}

/// What the engine names by itself is each one's own.
fn is_nameless(volume: &str) -> bool {
    volume.len() == 64 && volume.bytes().all(|b| b.is_ascii_hexdigit())
}

impl Replicating {
    /// Nothing of it lies in the future, or further off than the longest wait.
    pub(super) fn resumed(&mut self, at: Moment) {
        self.not_before = self.not_before.min(at.plus(LONGEST_WAIT));
        self.rolling.resumed(at);
    }
}

impl World {
    /// Makes one that is missing, or takes one away that is too many or out of date. One at a time.
    pub(super) fn keep_replicas(&mut self, at: Moment) {
        let keeping = &self.replicating;
        if !self.connected || keeping.under_way.is_some() || keeping.not_before > at {
            return;
        }
        let firsts = self.units.values().filter(|unit| {
            unit.is_supervised()
                && unit.phase == Phase::Running
                && unit.wanted == Wanted::Run
                && unit.doing.is_none()
                && !unit.is_off(at)
                && !self.in_maintenance(unit.app())
        });
        let firsts: Vec<String> = firsts.map(|unit| unit.id.clone()).collect();
        self.watch_rolls(at, &firsts);
        let found = firsts.iter().find_map(|id| self.next_of(at, id));
        let Some(Step { name, why, effect }) = found else {
            return;
        };
        let (id, goes) = match &effect {
            Effect::Replicate { of, .. } | Effect::Supersede { of, .. } => (of.clone(), None),
            Effect::Withdraw { id, .. } => (id.clone(), Some(id.clone())),
            Effect::TakeBack { id, instead, .. } => (id.clone(), instead.clone()),
            _ => return,
        };
        if let Effect::Replicate { of, name } | Effect::Supersede { of, name, .. } = &effect {
            self.roll_begins(at, of, name);
        }
        self.replicating.under_way = Some(name);
        self.replicating.withdrawn.extend(goes);
        self.tell(at, &id, "replicas", why);
        self.effects.push(effect);
    }

    /// What is to be done next for one, and why.
    fn next_of(&self, at: Moment, first: &str) -> Option<Step> {
        let first = self.units.get(first)?;
        let wanted = first.replicas()?.wanted?;
        let siblings = self.siblings(first);
        let number = |unit: &Unit| {
            let tail = unit.name.strip_suffix(FORMER).unwrap_or(&unit.name);
            let tail = tail.strip_prefix(&first.name)?.strip_prefix('-')?;
            tail.parse::<u32>().ok()
        };
        let away = |unit: &&Unit| unit.doing.is_none() && unit.phase != Phase::Gone;
        let formers = self.formers(first);
        let surplus = siblings.iter().chain(&formers).copied().filter(away);
        let surplus = surplus.filter(|unit| number(unit).is_none_or(|n| n > wanted));
        if let Some(unit) = surplus.max_by_key(|unit| number(unit)) {
            let why = format!("{} is taken away: {LABEL}={wanted}", unit.name);
            return Some(Step::withdraw(unit, why));
        }
        if let Some(step) = self.next_of_rolls(at, first, &formers) {
            return Some(step);
        }
        for number in 2..=wanted {
            let name = format!("{}-{number}", first.name);
            let there = self.units.values().find(|unit| unit.name == name);
            let unfinished = there.is_some_and(|unit| {
                unit.phase == Phase::Created && at.since(unit.since) > UNFINISHED
            });
            if there.is_some() && !unfinished {
                continue;
            }
            let why = format!("{name} is made: {LABEL}={wanted}");
            let of = first.id.clone();
            let effect = Effect::Replicate {
                of,
                name: name.clone(),
            };
            return Some(Step { name, why, effect });
        }
        if formers.is_empty() {
            let siblings: Vec<&Unit> = siblings.into_iter().filter(away).collect();
            self.next_roll(first, &siblings)
        } else {
            None
        }
    }

    /// Its instances that have a name of their own.
    fn siblings(&self, first: &Unit) -> Vec<&Unit> {
        let is_one = |unit: &&Unit| {
            !unit.name.contains(ASIDE)
                && unit.replicas().and_then(|r| r.of.as_ref()) == Some(&first.name)
        };
        self.units.values().filter(is_one).collect()
    }

    /// What a person should know of a wish that cannot be kept: somebody else has the name.
    pub(super) fn replicas_short(&self, first: &Unit) -> Option<String> {
        let wanted = first.replicas()?.wanted?;
        let names = (2..=wanted).map(|number| format!("{}-{number}", first.name));
        let strangers = names.filter(|name| {
            let mut named = self.units.values().filter(|unit| unit.name == *name);
            named.any(|unit| {
                unit.replicas()
                    .is_some_and(|r| r.of.as_ref() != Some(&first.name))
            })
        });
        let strangers: Vec<String> = strangers.collect();
        if strangers.is_empty() {
            return self.refused(first).map(str::to_owned);
        }
        Some(format!(
            "{LABEL}={wanted} cannot be kept: {} is somebody else's; rename or remove it",
            strangers.join(", ")
        ))
    }

    /// What came of it.
    pub(super) fn replicated(&mut self, at: Moment, name: &str, failed: Option<String>) {
        if self.replicating.under_way.as_deref() != Some(name) {
            return;
        }
        self.replicating.under_way = None;
        self.replicating.not_before = at.plus(SETTLES);
        let Some(why) = failed else {
            self.replicating.backoff = Backoff::default();
            return;
        };
        let chance = self.chance();
        let again = self.replicating.backoff.failed(at, chance);
        self.replicating.not_before = again.max(at.plus(SETTLES));
        let first = self.units.values().find(|unit| {
            let is_first = unit.replicas().is_some_and(|r| r.wanted.is_some());
            is_first && name.starts_with(&format!("{}-", unit.name))
        });
        let id = first.map(|unit| unit.id.clone()).unwrap_or_default();
        self.tell(at, &id, "failed", format!("{name}: {why}"));
    }

    /// One of them was removed: whoever did it may not be finished.
    pub(super) fn replica_removed(&mut self, at: Moment, id: &str) {
        let Some(unit) = self.units.get(id) else {
            return;
        };
        let is_one = unit.replicas().is_some_and(|r| r.of.is_some());
        if self.replicating.withdrawn.remove(id) {
            return;
        }
        if is_one {
            let until = at.plus(HANDS_OFF);
            self.replicating.not_before = self.replicating.not_before.max(until);
        }
    }

    /// When to look again.
    pub(super) fn replicas_due(&self, at: Moment) -> Option<Moment> {
        if !self.connected || self.replicating.under_way.is_some() {
            return None;
        }
        let due = self.replicating.not_before;
        if due > at {
            return Some(due);
        }
        self.rolls_due(at)
    }
}

/// What is done next, with whom, and why.
pub(super) struct Step {
    pub(super) name: String,
    pub(super) why: String,
    pub(super) effect: Effect,
}

impl Step {
    pub(super) fn withdraw(unit: &Unit, why: String) -> Self {
        let (id, name) = (unit.id.clone(), unit.name.clone());
        Self {
            name: name.clone(),
            why,
            effect: Effect::Withdraw { id, name },
        }
    }
}

impl Unit {
    pub(super) fn replicas(&self) -> Option<&Replicas> {
        Some(&self.facts.as_ref()?.rules.replicas)
    }
}
