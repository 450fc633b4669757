//! What stands in the way of a restore, all at once and before anything is touched.
//!
//! One room for each kind of thing that is looked at. Each finding is one sentence with a way out.

mod api;
mod binds;
mod drivers;
mod names;
mod path_state;
mod platform;
mod ports;
mod subnets;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_engine::HostNetwork;
use lifeboat_plan::{inventory::Inventory, manifest::Manifest};

pub use self::{path_state::PathState, platform::foreign};
use super::{journal::Intent, point::Definitions};

/// What is looked at.
pub struct Ground<'a> {
    /// What is to be restored, in the names that it will have.
    pub manifest: &'a Manifest,
    /// Its definitions.
    pub definitions: &'a Definitions,
    /// What the engine holds.
    pub here: &'a Inventory,
    /// The intents of an interrupted run: what these name is ours and no obstacle.
    pub ours: &'a BTreeSet<Intent>,
    /// The network of the engine's host, where it can be seen.
    pub network: Option<&'a HostNetwork>,
    /// What stands at the bind sources on the engine's host.
    pub paths: &'a BTreeMap<String, PathState>,
}

impl Ground<'_> {
    /// What a volume, network or path is called in the point: what a mapping names.
    fn was<'a>(&'a self, name: &'a str) -> &'a str {
        let renamed = &self.definitions.renamed;
        let all = renamed.volumes.iter().chain(&renamed.paths);
        let mut old = all.filter(|(_, new)| *new == name).map(|(old, _)| old);
        old.next().map_or(name, String::as_str)
    }
}

/// Everything in the way, one sentence each with a way out.
pub fn obstacles(on: &Ground<'_>) -> Vec<String> {
    let mut found = Vec::new();
    names::containers(on, &mut found);
    names::volumes(on, &mut found);
    names::networks(on, &mut found);
    binds::binds(on, &mut found);
    ports::ports(on, &mut found);
    subnets::overlaps(on, &mut found);
    platform::platform(on, &mut found);
    drivers::drivers(on, &mut found);
    drivers::podman(on, &mut found);
    api::api(on, &mut found);
    found
}

/// What will be otherwise on this engine and stops nobody.
pub fn notes(on: &Ground<'_>) -> Vec<String> {
    let mut said = platform::emulated(on);
    said.extend(api::lost(on));
    said
}
