//! `lifeboat.replicas=N`: a container and its siblings, as many as it says, on one engine.
//!
//! The container that carries the label is the first; the others are made from it as `NAME-2` and so on, and
//! carry [`LABEL_OF`] and [`LABEL_FROM`]. One is made or taken away at a time. Those that were made from a
//! container that has been made again since are replaced, one after the other, each when all others run.
//! A sibling that a person stops counts, and is left; one that is removed is made again after a while.
//!
//! It is for what keeps nothing: whatever two instances cannot share is a finding, and then nothing is done.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::Effect;
use super::unit::{Phase, Unit, Wanted};
use super::{Backoff, Moment, World};
use crate::inventory::{Container, MountKind};
use crate::label;

/// The wish.
pub const LABEL: &str = "lifeboat.replicas";
/// Whose sibling it is, by name.
pub const LABEL_OF: &str = "lifeboat.replica-of";
/// From which container it was made, by id.
pub const LABEL_FROM: &str = "lifeboat.replica-from";

/// As many as one engine is asked for.
const MOST: u32 = 50;
/// So long somebody who removed one has for what else they are about to do.
const HANDS_OFF: Duration = Duration::from_secs(30);
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
}

/// What is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Replicating {
    /// The name that is being made or taken away.
    #[serde(skip)]
    under_way: Option<String>,
    /// Ids of those that we take away: that they go is nobody's wish.
    #[serde(skip)]
    withdrawn: BTreeSet<String>,
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
        };
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
        let found = firsts.filter_map(|first| self.next_of(at, first)).next();
        let Some((name, why, effect)) = found else {
            return;
        };
        let id = match &effect {
            Effect::Replicate { of, .. } => of.clone(),
            Effect::Withdraw { id, .. } => id.clone(),
            _ => return,
        };
        self.replicating.under_way = Some(name);
        if matches!(effect, Effect::Withdraw { .. }) {
            self.replicating.withdrawn.insert(id.clone());
        }
        self.tell(at, &id, "replicas", why);
        self.effects.push(effect);
    }

    /// What is to be done next for one, and why.
    fn next_of(&self, at: Moment, first: &Unit) -> Option<(String, String, Effect)> {
        let wanted = first.replicas()?.wanted?;
        let siblings: Vec<&Unit> = self
            .units
            .values()
            .filter(|unit| unit.replicas().and_then(|r| r.of.as_ref()) == Some(&first.name))
            .collect();
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
            return Some((name, why, effect));
        }
        let number = |unit: &Unit| {
            let tail = unit.name.strip_prefix(&first.name)?.strip_prefix('-')?;
            tail.parse::<u32>().ok()
        };
        let away = |unit: &&Unit| unit.doing.is_none() && unit.phase != Phase::Gone;
        let surplus = siblings
            .iter()
            .copied()
            .filter(away)
            .max_by_key(|unit| number(unit));
        if let Some(unit) = surplus.filter(|unit| number(unit).is_none_or(|n| n > wanted)) {
            let why = format!("{} is taken away: {LABEL}={wanted}", unit.name);
            return Some((
                unit.name.clone(),
                why,
                Effect::Withdraw {
                    id: unit.id.clone(),
                    name: unit.name.clone(),
                },
            ));
        }
        // While one is replaced, the others serve.
        let all_run = siblings.iter().all(|unit| unit.is_ready());
        let old = |unit: &&Unit| {
            let from = unit.replicas().and_then(|r| r.from.as_ref());
            from.is_some_and(|from| *from != first.id)
        };
        let outdated = siblings.iter().copied().filter(away).find(old)?;
        if !(all_run && first.is_ready()) {
            return None;
        }
        let why = format!(
            "{} is replaced: {} has been made again since",
            outdated.name, first.name
        );
        Some((
            outdated.name.clone(),
            why,
            Effect::Withdraw {
                id: outdated.id.clone(),
                name: outdated.name.clone(),
            },
        ))
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
        (!strangers.is_empty()).then(|| {
            format!(
                "{LABEL}={wanted} cannot be kept: {} is somebody else's; rename or remove it",
                strangers.join(", ")
            )
        })
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
        let waits = self.connected && self.replicating.under_way.is_none();
        let due = self.replicating.not_before;
        (waits && due > at).then_some(due)
    }
}

impl Unit {
    fn replicas(&self) -> Option<&Replicas> {
        Some(&self.facts.as_ref()?.rules.replicas)
    }
}
