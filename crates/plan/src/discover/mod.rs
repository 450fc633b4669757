//! From an engine's inventory to apps.
//!
//! Rules, in this order. What `restore --as` made (`lifeboat.copy`) is a copy, which nothing protects.
//! A container with our label `lifeboat.app` belongs to that app (and so to
//! the Compose project of that name, if there is one); else one with Compose's project label to
//! that project; else one with a stack's label to that stack; else it is an app by itself. One-off
//! and hook containers, and the second container of a recreate that Compose is in the middle of,
//! belong to nothing and are named in the notes. A volume belongs to every app that mounts it and
//! to the project that its labels name; one that nobody claims is the app `volume:NAME`.
//!
//! Deterministic: the same inventory in any order gives the same apps in the same order.

mod database;
mod group;
mod project;
mod storage;

use std::collections::{BTreeMap, BTreeSet};

use crate::app::{App, AppContainer, AppImage, AppKind, AppNetwork, Note};
use crate::inventory::{Container, Inventory};
use crate::label;
use crate::name::AppName;

use group::Group;
pub use storage::backing;

/// What was found on an engine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Discovery {
    /// All apps, by name.
    pub apps: Vec<App>,
    /// What a person should know about the engine as a whole, or about what belongs to no app.
    pub notes: Vec<Note>,
}

impl Discovery {
    /// The app with this name.
    #[must_use]
    pub fn app(&self, name: &str) -> Option<&App> {
        self.apps.iter().find(|a| a.name.as_str() == name)
    }

    /// The app with this name, or the error to show: with the names that are near.
    ///
    /// # Errors
    /// A sentence-sized list of suggestions (see [`crate::suggest::sentence`]).
    pub fn find(&self, name: &str) -> Result<&App, Vec<String>> {
        self.app(name)
            .ok_or_else(|| crate::suggest::suggest(name, self.apps.iter().map(|a| a.name.as_str())))
    }

    /// Names of the apps that a container belongs to (one at most), by container id.
    #[must_use]
    pub fn app_of_container(&self, id: &str) -> Option<&App> {
        self.apps.iter().find(|a| a.container(id).is_some())
    }
}

/// Finds the apps of an engine.
#[must_use]
pub fn discover(inventory: &Inventory) -> Discovery {
    let mut notes = Vec::new();
    let groups = group::groups(inventory, &mut notes);
    let mut apps: Vec<App> = groups
        .iter()
        .map(|group| app_of(group, inventory))
        .collect();
    apps.extend(storage::unclaimed_volumes(inventory, &apps, &mut notes));
    share(&mut apps);
    apps.sort_by(|a, b| a.name.cmp(&b.name));
    healers(inventory, &mut notes);
    Discovery { apps, notes }
}

fn app_of(group: &Group<'_>, inventory: &Inventory) -> App {
    let mut notes = group.notes.clone();
    let mut containers: Vec<AppContainer> = group.containers.iter().map(|c| container(c)).collect();
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    let project = project::of_group(group, inventory, &mut notes);
    let volumes = storage::volumes(group, inventory);
    let binds = storage::binds(group, inventory, &volumes, project.as_ref(), &mut notes);
    let networks = networks(group, inventory);
    let images = images(&group.containers, inventory);
    let databases = database::databases(&group.containers, inventory, &volumes, &mut notes);
    outside_references(group, inventory, &mut notes);
    App {
        name: group.name.clone(),
        kind: group.kind,
        containers,
        volumes,
        binds,
        networks,
        images,
        project,
        databases,
        enabled: group.kind != AppKind::Copy && enabled(&group.containers, &mut notes),
        notes,
    }
}

fn container(c: &Container) -> AppContainer {
    let service = label::get(&c.labels, label::SERVICE)
        .or_else(|| label::get(&c.labels, label::SWARM_SERVICE));
    AppContainer {
        id: c.id.clone(),
        name: c.name.clone(),
        service: service.map(str::to_owned),
        number: label::get(&c.labels, label::NUMBER).and_then(|n| n.parse().ok()),
        state: c.state,
        image_id: c.image_id.clone(),
        image_ref: c.image_ref.clone(),
        auto_remove: c.auto_remove,
    }
}

/// All containers have to opt out; one alone cannot take the others' protection away.
fn enabled(containers: &[&Container], notes: &mut Vec<Note>) -> bool {
    let out: Vec<&str> = containers
        .iter()
        .filter(|c| label::flag(&c.labels, label::ENABLE) == Some(false))
        .map(|c| c.name.as_str())
        .collect();
    if out.is_empty() || out.len() < containers.len() {
        if !out.is_empty() {
            notes.push(Note::warning(format!(
                "`{}=false` stands on {} only: the app is captured whole",
                label::ENABLE,
                out.join(", ")
            )));
        }
        return true;
    }
    false
}

fn networks(group: &Group<'_>, inventory: &Inventory) -> Vec<AppNetwork> {
    let mut names: BTreeSet<&str> = group
        .containers
        .iter()
        .flat_map(|c| &c.networks)
        .map(String::as_str)
        .collect();
    if group.containers.iter().any(|c| c.network_mode == "host") {
        names.insert("host");
    }
    let mut found = Vec::new();
    for network in &inventory.networks {
        let claimed = group.claims(&network.labels) && !network.predefined;
        if !names.contains(network.name.as_str()) && !claimed {
            continue;
        }
        // Two networks of one name: the id in the container's settings tells which.
        let twins = inventory
            .networks
            .iter()
            .filter(|n| n.name == network.name)
            .count()
            > 1;
        if twins
            && !claimed
            && !group
                .containers
                .iter()
                .any(|c| is_attached(c, &network.name, &network.id))
        {
            continue;
        }
        found.push(AppNetwork {
            id: network.id.clone(),
            name: network.name.clone(),
            driver: network.driver.clone(),
            predefined: network.predefined,
            external: !network.predefined && group.is_foreign(&network.labels),
            shared_with: Vec::new(),
        });
    }
    for name in names {
        if !found.iter().any(|n| n.name == name) {
            found.push(AppNetwork {
                id: String::new(),
                name: name.to_owned(),
                driver: String::new(),
                predefined: matches!(name, "bridge" | "host" | "none"),
                external: true,
                shared_with: Vec::new(),
            });
        }
    }
    found.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    found
}

fn is_attached(container: &Container, network: &str, id: &str) -> bool {
    let at = &container.raw["NetworkSettings"]["Networks"][network]["NetworkID"];
    at.as_str()
        .is_none_or(|found| found.is_empty() || found == id)
}

fn images(containers: &[&Container], inventory: &Inventory) -> Vec<AppImage> {
    let mut references: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for c in containers {
        references
            .entry(&c.image_id)
            .or_default()
            .insert(&c.image_ref);
    }
    let image = |(id, references): (&str, BTreeSet<&str>)| {
        let found = inventory.images.iter().find(|i| i.id == id);
        AppImage {
            id: id.to_owned(),
            references: references.into_iter().map(str::to_owned).collect(),
            tags: found.map(|i| i.tags.clone()).unwrap_or_default(),
            repo_digests: found.map(|i| i.repo_digests.clone()).unwrap_or_default(),
            size: found.map_or(0, |i| i.size),
            missing: found.is_none(),
        }
    };
    references.into_iter().map(image).collect()
}

/// A namespace, link or volume of a container of another app: that app has to be there first.
fn outside_references(group: &Group<'_>, inventory: &Inventory, notes: &mut Vec<Note>) {
    for c in &group.containers {
        for reference in &c.refers_to {
            let Some(target) = crate::order::target(reference, &inventory.containers) else {
                notes.push(Note::warning(format!(
                    "{} refers to container {reference}, which does not exist: it cannot be made again as it is",
                    c.name
                )));
                continue;
            };
            if !group.containers.iter().any(|own| own.id == target.id) {
                notes.push(Note::warning(format!(
                    "{} needs container {} of another app: recover that one first",
                    c.name, target.name
                )));
            }
        }
    }
}

/// Fills in which apps share what.
fn share(apps: &mut [App]) {
    let mut volumes: BTreeMap<String, BTreeSet<AppName>> = BTreeMap::new();
    let mut networks: BTreeMap<String, BTreeSet<AppName>> = BTreeMap::new();
    let mut binds: Vec<(String, AppName)> = Vec::new();
    for app in apps.iter() {
        for v in &app.volumes {
            volumes
                .entry(v.name.clone())
                .or_default()
                .insert(app.name.clone());
        }
        for n in app.own_networks() {
            networks
                .entry(n.name.clone())
                .or_default()
                .insert(app.name.clone());
        }
        binds.extend(
            app.binds
                .iter()
                .filter(|b| !b.is_system())
                .map(|b| (b.source.clone(), app.name.clone())),
        );
    }
    for app in apps {
        let name = app.name.clone();
        let others = |all: Option<&BTreeSet<AppName>>| -> Vec<AppName> {
            all.into_iter()
                .flatten()
                .filter(|other| **other != name)
                .cloned()
                .collect()
        };
        for v in &mut app.volumes {
            v.shared_with = others(volumes.get(&v.name));
        }
        for n in app.networks.iter_mut().filter(|n| !n.predefined) {
            n.shared_with = others(networks.get(&n.name));
        }
        for b in app.binds.iter_mut().filter(|b| !b.is_system()) {
            let overlap = |path: &str| {
                crate::path::is_within(path, &b.source) || crate::path::is_within(&b.source, path)
            };
            let with: BTreeSet<AppName> = binds
                .iter()
                .filter(|(path, app)| *app != name && overlap(path))
                .map(|(_, app)| app.clone())
                .collect();
            b.shared_with = with.into_iter().collect();
        }
    }
}

/// Tools that restart what is paused or unhealthy: they may meet a freeze.
fn healers(inventory: &Inventory, notes: &mut Vec<Note>) {
    let mut names: Vec<&str> = inventory
        .containers
        .iter()
        .filter(|c| crate::app::is_live(c.state))
        .filter(|c| {
            c.image_ref.contains("autoheal") || c.env.iter().any(|e| e.starts_with("AUTOHEAL_"))
        })
        .map(|c| c.name.as_str())
        .collect();
    names.sort_unstable();
    for name in names {
        notes.push(Note::warning(format!(
            "{name} restarts unhealthy containers: a freeze longer than a health check's time-out may make it do so in the middle of a capture"
        )));
    }
}

/// `true` if an app kind is made by Compose's labels or may hold them.
pub(crate) fn may_hold_project(kind: AppKind) -> bool {
    matches!(kind, AppKind::Compose | AppKind::Labelled)
}

#[cfg(test)]
mod tests;
