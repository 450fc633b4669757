//! Instances of a container that has been made again since are replaced, one after the other.
//!
//! The older one gives its name away and runs on under [`FORMER`], so that nobody serves less meanwhile. The new one
//! has to be ready, and to stay so for `SETTLED`, within its time; then the older one goes. Where it is not, it goes
//! itself, the older one gets its name back, and there is no other try until the first one is made again once more:
//! what it is now does not work in more than one place.
//!
//! All that is under way can be seen at the engine by the names; what is written down beside it is since when, and
//! what was given up.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::Effect;
use super::replicas::{FORMER, LABEL_WITHIN, Step};
use super::unit::{Health, Unit, Wanted};
use super::{Moment, World};
use crate::probe::show_duration;

/// So long a new one has to become ready, unless its label says otherwise.
pub const READY_WITHIN: Duration = Duration::from_secs(180);
/// So long it has to stay ready: what ends right after its start was never up.
pub(super) const SETTLED: Duration = Duration::from_secs(5);
/// So many ends in a row need no more time to prove themselves.
const ENDS: u32 = 3;

/// What is being replaced, and what is not tried any more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rolling {
    /// By the name of the instance.
    rolls: BTreeMap<String, Roll>,
    /// By the name of the first one.
    refused: BTreeMap<String, Refused>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Roll {
    /// Id of the first one that it is made from.
    from: String,
    /// Since when it is tried.
    since: Moment,
    /// Since when it is ready.
    ready: Option<Moment>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Refused {
    /// Id of the first one.
    from: String,
    why: String,
}

impl Rolling {
    pub(super) fn resumed(&mut self, at: Moment) {
        for roll in self.rolls.values_mut() {
            roll.since = roll.since.min(at);
            roll.ready = roll.ready.map(|since| since.min(at));
        }
    }
}

impl World {
    /// Older ones of this one that are aside while a new one proves itself.
    pub(super) fn formers(&self, first: &Unit) -> Vec<&Unit> {
        let is_one = |unit: &&Unit| {
            unit.name.ends_with(FORMER)
                && unit.replicas().and_then(|r| r.of.as_ref()) == Some(&first.name)
        };
        self.units.values().filter(is_one).collect()
    }

    fn named(&self, name: &str) -> Option<&Unit> {
        self.units.values().find(|unit| unit.name == name)
    }

    /// Why nothing more is made from this one.
    pub(super) fn refused(&self, first: &Unit) -> Option<&str> {
        let refused = self.replicating.rolling.refused.get(&first.name)?;
        (refused.from == first.id).then_some(refused.why.as_str())
    }

    /// One is made: from when on its time counts.
    pub(super) fn roll_begins(&mut self, at: Moment, of: &str, name: &str) {
        let roll = self
            .replicating
            .rolling
            .rolls
            .entry(name.to_owned())
            .or_default();
        if roll.from != of {
            *roll = Roll {
                from: of.to_owned(),
                since: at,
                ready: None,
            };
        }
    }

    /// The first one was made again as it was: what did not work does not work now.
    pub(super) fn roll_follows(&mut self, old: &str, new: &str) {
        for refused in self.replicating.rolling.refused.values_mut() {
            if refused.from == old {
                new.clone_into(&mut refused.from);
            }
        }
    }

    /// Sees how those that are new are doing, and gives up on what had its time.
    pub(super) fn watch_rolls(&mut self, at: Moment, firsts: &[String]) {
        if self.replicating.rolling.rolls.is_empty() {
            return;
        }
        let mut rolls = std::mem::take(&mut self.replicating.rolling.rolls);
        rolls.retain(|name, roll| {
            let new = self.named(name).filter(|unit| unit.is_from(&roll.from));
            let ready = new.is_some_and(Unit::is_ready);
            roll.ready = ready.then(|| roll.ready.unwrap_or(at));
            // Nothing to go back to: it is one like all others.
            new.is_none() || self.named(&format!("{name}{FORMER}")).is_some()
        });
        let given_up = firsts.iter().find_map(|id| {
            let first = self.units.get(id)?;
            let within = first.replicas()?.within.unwrap_or(READY_WITHIN);
            let (name, roll) = rolls.iter().find(|(name, roll)| {
                roll.from == *id
                    && roll.ready.is_none()
                    && self.has_had_its_time(at, name, roll, within)
            })?;
            let why = self.not_ready(at, name, roll);
            Some((id.clone(), first.name.clone(), name.clone(), why))
        });
        self.replicating.rolling.rolls = rolls;
        let Some((id, first, name, why)) = given_up else {
            return;
        };
        self.replicating.rolling.rolls.remove(&name);
        let text = format!(
            "{name} was to be replaced by one of the new definition of {first}, which {why}; the former one serves on, and it is not tried again until {first} is made again (more time can be given by {LABEL_WITHIN})"
        );
        let refused = Refused {
            from: id.clone(),
            why: text.clone(),
        };
        self.tell(at, &id, "rolled-back", text);
        self.replicating.rolling.refused.insert(first, refused);
    }

    fn has_had_its_time(&self, at: Moment, name: &str, roll: &Roll, within: Duration) -> bool {
        let new = self.named(name).filter(|unit| unit.is_from(&roll.from));
        let by_a_person = new.is_some_and(Unit::is_by_a_person);
        let hopeless = new.is_some_and(|unit| {
            unit.backoff.failures >= ENDS || matches!(unit.wanted, Wanted::GaveUp { .. })
        });
        !by_a_person && (hopeless || at.since(roll.since) >= within)
    }

    /// What became of it instead, as the end of a sentence.
    fn not_ready(&self, at: Moment, name: &str, roll: &Roll) -> String {
        let took = show_duration(Duration::from_secs(at.since(roll.since).as_secs()));
        let Some(unit) = self.named(name).filter(|unit| unit.is_from(&roll.from)) else {
            return format!("could not be made for {took}");
        };
        let why = match (&unit.health, &unit.exit, &unit.trouble) {
            (Health::Unhealthy { why, .. }, ..) => format!(" ({why})"),
            (_, Some(exit), _) => format!(" (it ended with exit code {})", exit.code),
            (.., Some(trouble)) => format!(" ({trouble})"),
            _ if unit.ready == Some(false) => " (its readiness probe fails)".to_owned(),
            _ => String::new(),
        };
        format!("was not ready after {took}{why}")
    }

    /// What is to be done with those that are under way.
    pub(super) fn next_of_rolls(
        &self,
        at: Moment,
        first: &Unit,
        formers: &[&Unit],
    ) -> Option<Step> {
        let rolls = &self.replicating.rolling.rolls;
        for former in formers {
            let name = former.name.strip_suffix(FORMER).unwrap_or(&former.name);
            let new = self.named(name);
            if new.is_some_and(|unit| unit.doing.is_some()) || former.doing.is_some() {
                continue;
            }
            if self.refused(first).is_some() {
                let why = format!("{name} is again the one that it was before");
                let effect = Effect::TakeBack {
                    id: former.id.clone(),
                    name: name.to_owned(),
                    instead: new.map(|unit| unit.id.clone()),
                };
                let name = name.to_owned();
                return Some(Step { name, why, effect });
            }
            let Some(new) = new else { continue };
            if !new.is_from(&first.id) {
                // Made from one that has been made again since: it needs no more proof.
                let why = format!(
                    "{name} is replaced: {} has been made again since",
                    first.name
                );
                return Some(Step::withdraw(new, why));
            }
            let ready = rolls.get(name).and_then(|roll| roll.ready);
            if ready.is_some_and(|since| at.since(since) >= SETTLED) || new.is_by_a_person() {
                let why = format!(
                    "{} is taken away: {name} is there in its place",
                    former.name
                );
                return Some(Step::withdraw(former, why));
            }
        }
        None
    }

    /// The next one that is to be replaced. One that does not serve anyway comes first; those that are new already have
    /// to serve.
    pub(super) fn next_roll(&self, first: &Unit, siblings: &[&Unit]) -> Option<Step> {
        if self.refused(first).is_some() || !first.is_ready() {
            return None;
        }
        let is_new = |unit: &Unit| {
            unit.replicas().is_some_and(|r| r.from.is_none()) || unit.is_from(&first.id)
        };
        let serves = |unit: &&&Unit| unit.is_ready() || unit.is_by_a_person();
        if !siblings
            .iter()
            .filter(|unit| is_new(unit))
            .all(|unit| serves(&unit))
        {
            return None;
        }
        let old = siblings.iter().filter(|unit| !is_new(unit));
        let next = old.min_by_key(|unit| (unit.is_ready(), &unit.name))?;
        let effect = Effect::Supersede {
            of: first.id.clone(),
            id: next.id.clone(),
            name: next.name.clone(),
        };
        Some(Step {
            name: next.name.clone(),
            why: format!(
                "{} is replaced: {} has been made again since",
                next.name, first.name
            ),
            effect,
        })
    }

    /// When to look again.
    pub(super) fn rolls_due(&self, at: Moment) -> Option<Moment> {
        let within = |roll: &Roll| {
            let first = self.units.get(&roll.from)?;
            Some(first.replicas()?.within.unwrap_or(READY_WITHIN))
        };
        let due = |roll: &Roll| match roll.ready {
            Some(since) => Some(since.plus(SETTLED)),
            None => Some(roll.since.plus(within(roll)?)),
        };
        let rolls = self.replicating.rolling.rolls.values();
        rolls.filter_map(due).filter(|due| *due > at).min()
    }
}

impl Unit {
    fn is_from(&self, id: &str) -> bool {
        self.replicas().and_then(|r| r.from.as_deref()) == Some(id)
    }

    fn is_by_a_person(&self) -> bool {
        matches!(self.wanted, Wanted::Stopped { .. } | Wanted::Paused { .. })
    }
}
