//! In which order containers are made and started, and in which they are stopped.
//!
//! Dependencies come first. Two kinds: *hard* ones, without which a container cannot be made
//! (`container:` namespaces, links, volumes-from), and *wishes* (`depends_on`). A cycle is reported
//! and broken at a wish where it has one. Among containers that are free to start, those with a
//! fixed address, and what they wait for, go first, so that nobody else is given the address; then by
//! name. Deterministic.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::inventory::Container;
use crate::label;

/// What has to be true of a dependency before its dependent starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// Started.
    Started,
    /// Its health check passes.
    Healthy,
    /// It ended with 0.
    CompletedSuccessfully,
}

/// Why one container comes before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Because {
    /// It cannot be made without: namespace, link, volumes-from.
    Reference,
    /// A label says so.
    Label,
}

/// One dependency.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// Id of the container that comes first.
    pub on: String,
    /// What it has to be.
    pub condition: Condition,
    /// Its restart restarts the dependent too.
    pub restart: bool,
    /// Why.
    pub because: Because,
}

/// One container's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Container id.
    pub id: String,
    /// Container name.
    pub name: String,
    /// What it waits for, all of it in earlier steps (but for what a broken cycle took out).
    pub waits_for: Vec<Dependency>,
    /// It has a fixed address on some network.
    pub fixed_address: bool,
}

/// The order of an app's containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    /// First to last.
    pub steps: Vec<Step>,
    /// Cycles by container name, the first name again at the end, each broken at its last arrow.
    pub cycles: Vec<Vec<String>>,
    /// Dependencies that lead to no container of the app: container name, and what it names.
    pub unresolved: Vec<(String, String)>,
}

impl Order {
    /// Ids in starting order.
    pub fn start(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(|s| s.id.as_str())
    }

    /// Ids in stopping order: the reverse.
    pub fn stop(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().rev().map(|s| s.id.as_str())
    }
}

/// The container that a reference means: an id, a name, with or without `container:`, `/`, `:alias`.
#[must_use]
pub fn target<'a>(reference: &str, containers: &'a [Container]) -> Option<&'a Container> {
    let all: Vec<&Container> = containers.iter().collect();
    target_of(reference, &all)
}

fn target_of<'a>(reference: &str, containers: &[&'a Container]) -> Option<&'a Container> {
    let text = reference.strip_prefix("container:").unwrap_or(reference);
    let text = text
        .split(':')
        .next()
        .unwrap_or(text)
        .trim_start_matches('/');
    if text.is_empty() {
        return None;
    }
    let by_name = containers.iter().find(|c| c.id == text || c.name == text);
    let is_id = text.len() >= 12 && text.bytes().all(|b| b.is_ascii_hexdigit());
    by_name
        .or_else(|| containers.iter().find(|c| is_id && c.id.starts_with(text)))
        .copied()
}

/// `true` if somebody gave the container an address.
#[must_use]
pub fn has_fixed_address(container: &Container) -> bool {
    let set = |v: &Value| v.as_str().is_some_and(|s| !s.is_empty());
    let networks = container.raw["NetworkSettings"]["Networks"].as_object();
    networks
        .into_iter()
        .flat_map(|n| n.values())
        .any(|endpoint| {
            let config = &endpoint["IPAMConfig"];
            set(&config["IPv4Address"]) || set(&config["IPv6Address"])
        })
}

/// Orders the containers of one app.
#[must_use]
pub fn order(containers: &[&Container]) -> Order {
    let mut sorted: Vec<&Container> = containers.to_vec();
    sorted.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    let mut unresolved = Vec::new();
    let mut waits: Vec<BTreeSet<Dependency>> = Vec::new();
    for c in &sorted {
        waits.push(dependencies(c, &sorted, &mut unresolved));
    }
    let position: BTreeMap<&str, usize> = sorted
        .iter()
        .enumerate()
        .map(|(at, c)| (c.id.as_str(), at))
        .collect();
    let helps_fixed = helps_fixed(&sorted, &position, &waits);
    let mut steps: Vec<Step> = Vec::new();
    let mut cycles = Vec::new();
    let mut done = vec![false; sorted.len()];
    while steps.len() < sorted.len() {
        let is_done = |d: &Dependency| position.get(d.on.as_str()).is_none_or(|at| done[*at]);
        let free = (0..sorted.len())
            .filter(|at| !done[*at] && waits[*at].iter().all(is_done))
            .min_by_key(|at| (!has_fixed_address(sorted[*at]), !helps_fixed[*at], *at));
        match free {
            Some(at) => {
                done[at] = true;
                let c = sorted[at];
                steps.push(Step {
                    id: c.id.clone(),
                    name: c.name.clone(),
                    waits_for: waits[at].iter().cloned().collect(),
                    fixed_address: has_fixed_address(c),
                });
            }
            None => match break_cycle(&sorted, &position, &done, &mut waits) {
                Some(cycle) => cycles.push(cycle),
                // Nothing free and no cycle cannot be; ending beats turning for ever.
                None => break,
            },
        }
    }
    unresolved.sort();
    unresolved.dedup();
    Order {
        steps,
        cycles,
        unresolved,
    }
}

/// Which containers one with a fixed address waits for, directly or not.
fn helps_fixed(
    sorted: &[&Container],
    position: &BTreeMap<&str, usize>,
    waits: &[BTreeSet<Dependency>],
) -> Vec<bool> {
    let mut helps = vec![false; sorted.len()];
    let mut look: Vec<usize> = (0..sorted.len())
        .filter(|at| has_fixed_address(sorted[*at]))
        .collect();
    while let Some(at) = look.pop() {
        for on in waits[at]
            .iter()
            .filter_map(|d| position.get(d.on.as_str()).copied())
        {
            if !std::mem::replace(&mut helps[on], true) {
                look.push(on);
            }
        }
    }
    helps
}

fn dependencies(
    c: &Container,
    all: &[&Container],
    unresolved: &mut Vec<(String, String)>,
) -> BTreeSet<Dependency> {
    let mut found = BTreeSet::new();
    for reference in &c.refers_to {
        match target_of(reference, all) {
            Some(t) if t.id != c.id => {
                found.insert(Dependency {
                    on: t.id.clone(),
                    condition: Condition::Started,
                    restart: true,
                    because: Because::Reference,
                });
            }
            Some(_) => {}
            None => unresolved.push((c.name.clone(), reference.clone())),
        }
    }
    let mut wish = |name: &str, condition, restart, on: Vec<&Container>| {
        if on.is_empty() {
            unresolved.push((c.name.clone(), name.to_owned()));
        }
        for t in on.into_iter().filter(|t| t.id != c.id) {
            found.insert(Dependency {
                on: t.id.clone(),
                condition,
                restart,
                because: Because::Label,
            });
        }
    };
    for entry in label::list(&c.labels, label::DEPENDS_ON) {
        let (service, condition, restart) = depends_on(entry);
        wish(service, condition, restart, of_service(service, c, all));
    }
    for key in [label::LIFEBOAT_DEPENDS_ON, label::WATCHTOWER_DEPENDS_ON] {
        for name in label::list(&c.labels, key) {
            let by_name: Vec<&Container> = target_of(name, all).into_iter().collect();
            let on = if by_name.is_empty() {
                of_service(name, c, all)
            } else {
                by_name
            };
            wish(name, Condition::Started, false, on);
        }
    }
    found
}

/// `svc:condition:restart`; older `svc:condition` or `svc`, where Compose assumes restart.
pub(crate) fn depends_on(entry: &str) -> (&str, Condition, bool) {
    let mut parts = entry.split(':').map(str::trim);
    let service = parts.next().unwrap_or_default();
    let condition = match parts.next() {
        Some("service_healthy") => Condition::Healthy,
        Some("service_completed_successfully") => Condition::CompletedSuccessfully,
        _ => Condition::Started,
    };
    (
        service,
        condition,
        parts
            .next()
            .is_none_or(|restart| restart.eq_ignore_ascii_case("true")),
    )
}

fn of_service<'a>(service: &str, of: &Container, all: &[&'a Container]) -> Vec<&'a Container> {
    let project = label::get(&of.labels, label::PROJECT);
    let is_it = |c: &&&Container| {
        label::get(&c.labels, label::SERVICE) == Some(service)
            && label::get(&c.labels, label::PROJECT) == project
    };
    all.iter().filter(is_it).copied().collect()
}

/// Finds a cycle among what is left and takes one of its dependencies out, a wish if there is one.
fn break_cycle(
    sorted: &[&Container],
    position: &BTreeMap<&str, usize>,
    done: &[bool],
    waits: &mut [BTreeSet<Dependency>],
) -> Option<Vec<String>> {
    // Everything left waits for something left, so walking on must come back to where it was.
    let next = |at: usize, waits: &[BTreeSet<Dependency>]| {
        waits[at]
            .iter()
            .filter_map(|d| position.get(d.on.as_str()).copied())
            .filter(|to| !done[*to])
            .min()
    };
    let mut walk: Vec<usize> = vec![(0..sorted.len()).find(|at| !done[*at])?];
    let mut cycle = loop {
        let to = next(*walk.last()?, waits)?;
        if let Some(start) = walk.iter().position(|at| *at == to) {
            break walk.split_off(start);
        }
        walk.push(to);
    };
    let arrow = |from: usize, to: usize, waits: &[BTreeSet<Dependency>]| -> Vec<Dependency> {
        waits[from]
            .iter()
            .filter(|d| d.on == sorted[to].id)
            .cloned()
            .collect()
    };
    let count = cycle.len();
    let is_wish = |i: usize| {
        arrow(cycle[i], cycle[(i + 1) % count], waits)
            .iter()
            .all(|d| d.because == Because::Label)
    };
    let at = (0..count).rev().find(|i| is_wish(*i)).unwrap_or(count - 1);
    // Turned so that the arrow that is taken out is the last one.
    cycle.rotate_left((at + 1) % count);
    let (first, last) = (*cycle.first()?, *cycle.last()?);
    for dependency in arrow(last, first, waits) {
        waits[last].remove(&dependency);
    }
    Some(
        cycle
            .iter()
            .chain([&first])
            .map(|at| sorted[*at].name.clone())
            .collect(),
    )
}

#[cfg(test)]
mod tests;
