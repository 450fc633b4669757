//! From an app's point to the definitions of a copy beside it. Pure: neither engine nor disk is asked.
//!
//! Invariants of what comes out: no name, no path of the host and no network of the original is left
//! in it, but for what was allowed by name; what is not known is refused, never passed on. Whatever
//! differs from the original for another reason than its name is told in `changes`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use lifeboat_plan::manifest::{ContainerRecord, Manifest, layout};
use lifeboat_vault::id::SnapshotId;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{labels::Mark, names::Names, wanted::Wanted};
use crate::{
    forward::CopyPort,
    restore::point::{Definitions, Renamed},
};

/// The longest name that is found in a network.
const LONGEST_IN_NETWORK: usize = 63;
/// The longest name that is a file name.
const LONGEST: usize = 255;

/// What is called what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rename {
    /// `container`, `network`, `volume`, `bind`, `project`.
    pub kind: &'static str,
    /// At the point.
    pub old: String,
    /// In the copy.
    pub new: String,
}

/// A copy's definitions, and what has to be said of them.
pub struct Transformed {
    /// The manifest, in new names.
    pub manifest: Manifest,
    /// Definitions by new name.
    pub definitions: Definitions,
    /// Old and new names.
    pub renamed: Vec<Rename>,
    /// What else differs from the original, one sentence each.
    pub changes: Vec<String>,
    /// What the copy may not have, each with a way out. Not empty: refused.
    pub refusals: Vec<String>,
    /// Folders of ours that are empty: bind sources that were.
    pub folders: Vec<String>,
    /// Networks of others that were allowed and have to be there.
    pub others_networks: Vec<String>,
    /// Ports that the original publishes.
    pub ports: Vec<CopyPort>,
}

/// The work in progress.
pub(super) struct Job<'a> {
    pub wanted: &'a Wanted,
    pub mark: Mark,
    /// Folder of ours for this copy.
    pub folder: String,
    pub old: &'a Manifest,
    pub names: Names,
    /// Old container name to new.
    pub containers: BTreeMap<String, String>,
    /// Old network name, and old id, to new name.
    pub networks: BTreeMap<String, String>,
    pub renamed: Renamed,
    /// Paths of the host that are mounted as they are, read-only.
    pub kept: BTreeSet<String>,
    pub said: Said,
}

/// What has to be said.
#[derive(Default)]
pub(super) struct Said {
    pub renamed: Vec<Rename>,
    pub changes: Vec<String>,
    pub refusals: Vec<String>,
    pub folders: Vec<String>,
    pub others_networks: Vec<String>,
    pub ports: Vec<CopyPort>,
}

/// Makes the copy's definitions. `copies` is the folder of ours that holds every copy's.
pub fn transform(
    old: &Manifest,
    mut definitions: Definitions,
    id: SnapshotId,
    wanted: &Wanted,
    copies: &Path,
) -> Transformed {
    let app = &old.identity.name;
    let prefix = match &old.project {
        Some(project) => project.name.clone(),
        None => app.volume().unwrap_or_else(|| app.to_string()),
    };
    let mut job = Job {
        wanted,
        mark: Mark {
            name: wanted.name.clone(),
            of: format!("{}@{}", old.identity, id.short()),
        },
        folder: copies.join(&wanted.name).display().to_string(),
        old,
        names: Names::new(&prefix, &wanted.name),
        containers: BTreeMap::new(),
        networks: BTreeMap::new(),
        renamed: Renamed::default(),
        kept: BTreeSet::new(),
        said: Said::default(),
    };
    let mut manifest = old.clone();
    if app.as_str() == wanted.name || prefix == wanted.name {
        job.refuse(format!(
            "`{}` is the app itself; give the copy another name",
            wanted.name
        ));
    }
    job.name_containers(&mut manifest);
    job.networks(&mut manifest, &mut definitions);
    job.volumes(&mut manifest, &mut definitions);
    job.project(&mut manifest);
    job.binds(&mut manifest);
    let mut containers = BTreeMap::new();
    for (name, raw) in std::mem::take(&mut definitions.containers) {
        let Some(new) = job.containers.get(&name).cloned() else {
            continue;
        };
        let raw = job.container(raw, &name, &new, &definitions);
        containers.insert(new, raw);
    }
    definitions.containers = containers;
    for (container, _) in definitions.fresh.values_mut() {
        if let Some(new) = job.containers.get(container) {
            container.clone_from(new);
        }
    }
    let Said {
        renamed,
        changes,
        refusals,
        folders,
        others_networks,
        ports,
    } = job.said;
    definitions.renamed = job.renamed;
    Transformed {
        manifest,
        definitions,
        renamed,
        changes,
        refusals,
        folders,
        others_networks,
        ports,
    }
}

impl Job<'_> {
    pub(super) fn refuse(&mut self, sentence: String) {
        self.said.refusals.push(sentence);
    }

    pub(super) fn changed(&mut self, sentence: String) {
        self.said.changes.push(sentence);
    }

    /// Gives and notes a name.
    pub(super) fn rename(&mut self, kind: &'static str, old: &str, between: char) -> String {
        let chosen = self.wanted.maps.name_of(kind, old);
        let new = match chosen.map(str::to_owned) {
            Some(new) => {
                if !self.names.take(&new) {
                    self.refuse(format!(
                        "--map-{kind} {old}:{new}: something of the copy is called {new} already; choose another name"
                    ));
                }
                new
            }
            None => self.names.give(old, between),
        };
        let longest = match kind {
            "container" => LONGEST_IN_NETWORK,
            _ => LONGEST,
        };
        // A name that is found in no network now would be found in none under another name.
        if new.len() > longest.max(old.len().min(LONGEST)) {
            self.refuse(format!(
                "the {kind} {old} would be called {new}, which is longer than {longest} characters; give the copy a shorter name"
            ));
        }
        self.note(kind, old, &new);
        new
    }

    pub(super) fn note(&mut self, kind: &'static str, old: &str, new: &str) {
        self.said.renamed.push(Rename {
            kind,
            old: old.to_owned(),
            new: new.to_owned(),
        });
    }

    fn name_containers(&mut self, manifest: &mut Manifest) {
        for record in &mut manifest.containers {
            let new = self.rename("container", &record.name, '-');
            self.containers.insert(record.name.clone(), new.clone());
            record.name = new;
        }
        for layer in &mut manifest.layers {
            let Some(new) = self.containers.get(&layer.container) else {
                continue;
            };
            let places = &mut self.renamed.places;
            places.insert(layout::layer(new), layout::layer(&layer.container));
            layer.container.clone_from(new);
        }
        for database in &mut manifest.databases {
            if let Some(new) = self.containers.get(&database.container) {
                database.container.clone_from(new);
            }
        }
    }

    /// The container of this app that a reference (name, id, beginning of an id) means.
    pub(super) fn own_container(&self, reference: &str) -> Option<&ContainerRecord> {
        let reference = reference.trim_start_matches('/');
        let is_id = reference.len() >= 12;
        let mut all = self.old.containers.iter();
        all.find(|c| c.name == reference || (is_id && c.id.starts_with(reference)))
    }
}

/// Takes the object at `key` out of another one; empty for anything else that may stand there.
pub(super) fn take(map: &mut Map<String, Value>, key: &str) -> Map<String, Value> {
    match map.remove(key) {
        Some(Value::Object(taken)) => taken,
        _ => Map::new(),
    }
}

/// The object that a definition is; empty for anything else.
pub(super) fn into_map(raw: Value) -> Map<String, Value> {
    match raw {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
