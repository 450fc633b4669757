//! Volumes and networks under other names, networks in other subnets.

use std::{collections::BTreeMap, net::Ipv4Addr};

use lifeboat_plan::{inventory::Inventory, manifest::layout};
use serde_json::{Value, json};

use super::{
    Subnet,
    apply::{Job, Scope},
};

/// Networks that every engine has and that are none of an app's own.
const PREDEFINED: &[&str] = &["bridge", "default", "host", "none", "podman"];

impl Job<'_> {
    pub(super) fn volumes(&mut self) {
        let fresh = self.definitions.fresh();
        let all = self.manifest.volumes.iter().map(|v| v.name.clone());
        let known: Vec<String> = all.filter(|name| !fresh.contains_key(name)).collect();
        self.check("volume", &self.maps.volumes, &known);
        if self.scope == Scope::Copy {
            return;
        }
        let mut definitions = BTreeMap::new();
        for record in &mut self.manifest.volumes {
            let old = record.name.clone();
            let new = self.maps.volumes.get(&old).unwrap_or(&old).clone();
            if let Some(raw) = self.definitions.volumes.remove(&old) {
                // Its name follows from the renaming when it is made.
                definitions.insert(new.clone(), raw);
            }
            if new == old {
                continue;
            }
            let renamed = &mut self.definitions.renamed;
            renamed
                .places
                .insert(layout::volume(&new), layout::volume(&old));
            renamed.volumes.insert(old, new.clone());
            record.name = new;
        }
        self.definitions.volumes = definitions;
        self.say("volume", &self.maps.volumes, &known);
    }

    pub(super) fn networks(&mut self) {
        let all = self.manifest.networks.iter();
        let known: Vec<String> = all.map(|n| n.name.clone()).collect();
        self.check("network", &self.maps.networks, &known);
        for (old, new) in &self.maps.networks {
            if PREDEFINED.contains(&new.as_str()) {
                self.problem(format!(
                    "--map-network {old}:{new}: {new} is the engine's own network; choose another name"
                ));
            }
        }
        if self.scope == Scope::Copy {
            return;
        }
        for (old, new) in &self.maps.networks {
            self.joined(old, new);
        }
        let mut definitions = BTreeMap::new();
        for record in &mut self.manifest.networks {
            let old = record.name.clone();
            let new = self.maps.networks.get(&old).unwrap_or(&old).clone();
            if let Some(raw) = self.definitions.networks.remove(&old) {
                definitions.insert(new.clone(), raw);
            }
            if new == old {
                continue;
            }
            let networks = &mut self.definitions.renamed.networks;
            networks.insert(old, new.clone());
            networks.insert(record.id.clone(), new.clone());
            record.name = new;
        }
        self.definitions.networks = definitions;
        self.say("network", &self.maps.networks, &known);
    }

    /// Unknown old names; two of one new name.
    fn check(&mut self, kind: &str, pairs: &BTreeMap<String, String>, known: &[String]) {
        let flag = format!("--map-{kind}");
        for old in pairs.keys().filter(|old| !known.contains(old)) {
            self.unknown(&flag, kind, old, known);
        }
        let mut given: BTreeMap<&str, &str> = BTreeMap::new();
        for old in known {
            let new = pairs.get(old).unwrap_or(old);
            if let Some(other) = given.insert(new, old) {
                self.problem(format!(
                    "{flag}: the {kind}s {other} and {old} would both be called {new}; give each a name of its own"
                ));
            }
        }
    }

    fn say(&mut self, kind: &'static str, pairs: &BTreeMap<String, String>, known: &[String]) {
        for (old, new) in pairs.iter().filter(|(old, _)| known.contains(old)) {
            self.mapped(kind, None, old, new);
        }
    }

    /// A network that is there already is not made: the app is attached to it. Addresses that were
    /// chosen for the old one may not be in it.
    fn joined(&mut self, old: &str, new: &str) {
        let Some(there) = self.here.networks.iter().find(|n| n.name == *new) else {
            return;
        };
        self.applied.warnings.push(format!(
            "network {new} is there already; the app is attached to it in place of {old}, with what else is on it"
        ));
        let subnets = subnets(&there.raw);
        for (container, address) in self.fixed(old) {
            if !subnets.iter().any(|s| s.contains(address)) {
                self.problem(format!(
                    "{container} has the fixed address {address}, which is not in the network {new}; attach it to one that holds {address}, or leave out --map-network {old}:{new}"
                ));
            }
        }
    }

    /// Addresses that somebody chose on a network, with their containers.
    fn fixed(&self, network: &str) -> Vec<(String, Ipv4Addr)> {
        fixed(&self.definitions.containers, network)
    }

    pub(super) fn subnets(&mut self) {
        for (old, new) in &self.maps.subnets {
            let networks: Vec<String> = self
                .definitions
                .networks
                .iter()
                .filter(|(_, raw)| subnets(raw).contains(old))
                .map(|(name, _)| name.clone())
                .collect();
            if networks.is_empty() {
                let all = self.definitions.networks.values();
                let known: Vec<String> = all.flat_map(subnets).map(|s| s.to_string()).collect();
                self.unknown("--map-subnet", "subnet", &old.to_string(), &known);
            }
            for name in networks {
                match new {
                    Some(new) => self.move_network(&name, *old, *new),
                    None => self.free_network(&name, *old),
                }
                let new = new.map_or("one that the engine chooses".to_owned(), |n| n.to_string());
                self.mapped("subnet", Some(&name), &old.to_string(), &new);
            }
        }
    }

    fn move_network(&mut self, name: &str, old: Subnet, new: Subnet) {
        if let Some(raw) = self.definitions.networks.get_mut(name) {
            let entries = raw.pointer_mut("/IPAM/Config");
            let entries = entries.and_then(Value::as_array_mut);
            for entry in entries.into_iter().flatten() {
                for key in ["Subnet", "Gateway", "IPRange"] {
                    if let Some(text) = entry.get_mut(key) {
                        move_text(text, old, new);
                    }
                }
                let others = entry.get_mut("AuxiliaryAddresses");
                for address in others.and_then(Value::as_object_mut).into_iter().flatten() {
                    move_text(address.1, old, new);
                }
            }
        }
        let id = self.definitions.networks[name]["Id"].clone();
        for (_, raw) in self.containers() {
            let endpoints = raw.pointer_mut("/NetworkSettings/Networks");
            let endpoints = endpoints.and_then(Value::as_object_mut);
            for (key, endpoint) in endpoints.into_iter().flatten() {
                let of_it = key == name || (id.is_string() && endpoint["NetworkID"] == id);
                let address = endpoint.pointer_mut("/IPAMConfig/IPv4Address");
                if let Some(address) = address.filter(|_| of_it) {
                    move_text(address, old, new);
                }
            }
        }
    }

    fn free_network(&mut self, name: &str, old: Subnet) {
        for (container, address) in self.fixed(name) {
            if old.contains(address) {
                self.problem(format!(
                    "--map-subnet {old}:auto: {container} has the fixed address {address} in it; name the new subnet, and the address moves along"
                ));
            }
        }
        if let Some(raw) = self.definitions.networks.get_mut(name) {
            raw["IPAM"]["Config"] = json!([]);
        }
    }

    /// A subnet that is taken here gives way to one that the engine chooses, where nothing has a fixed
    /// address in it.
    pub(super) fn give_way(&mut self) {
        let mut free = Vec::new();
        for (name, raw) in &self.definitions.networks {
            let new = self.definitions.renamed.networks.get(name).unwrap_or(name);
            let there = self.here.networks.iter().any(|n| n.name == *new);
            if there
                || raw["IPAM"]["Config"]
                    .as_array()
                    .is_some_and(|c| c.len() > 1)
            {
                continue;
            }
            let Some((subnet, other)) = overlap(raw, self.here) else {
                continue;
            };
            let old = raw["Name"].as_str().unwrap_or(name);
            if self.fixed(old).is_empty() {
                free.push((name.clone(), subnet, other));
            }
        }
        for (name, subnet, other) in free {
            self.free_network(&name, subnet);
            self.applied.warnings.push(format!(
                "network {name} gets another subnet: {subnet} overlaps with that of {other}, which is there already"
            ));
        }
    }
}

/// A subnet of a network that overlaps with one that is there, and whose that is.
pub fn overlap(raw: &Value, here: &Inventory) -> Option<(Subnet, String)> {
    subnets(raw).into_iter().find_map(|subnet| {
        let other = here
            .networks
            .iter()
            .find(|n| subnets(&n.raw).iter().any(|s| s.overlaps(subnet)))?;
        Some((subnet, other.name.clone()))
    })
}

/// The IPv4 subnets of a raw network.
pub fn subnets(raw: &Value) -> Vec<Subnet> {
    let entries = raw["IPAM"]["Config"].as_array();
    entries
        .into_iter()
        .flatten()
        .filter_map(|entry| Subnet::parse(entry["Subnet"].as_str()?))
        .collect()
}

/// Addresses that somebody chose on a network, with their containers.
pub fn fixed(containers: &BTreeMap<String, Value>, network: &str) -> Vec<(String, Ipv4Addr)> {
    containers
        .iter()
        .filter_map(|(name, raw)| {
            let endpoint = &raw["NetworkSettings"]["Networks"][network];
            let address = endpoint["IPAMConfig"]["IPv4Address"].as_str()?;
            Some((name.clone(), address.parse().ok()?))
        })
        .collect()
}

/// An address, or one with the length of its subnet, at its place in another subnet.
fn move_text(value: &mut Value, old: Subnet, new: Subnet) {
    let Some(text) = value.as_str() else { return };
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, format!("/{length}")),
        None => (text, String::new()),
    };
    let moved = address.parse().ok().and_then(|a| old.moved(a, new));
    if let Some(moved) = moved {
        *value = format!("{moved}{length}").into();
    }
}
