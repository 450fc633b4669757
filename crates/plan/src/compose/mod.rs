//! A compose file made from what an engine says of an app's containers, for an app that had none or
//! whose own is lost.
//!
//! What the image says itself is left out, so that a newer image brings its own; what the engine
//! chose by itself (addresses, ids, names of anonymous volumes) is left out too. What a compose file
//! cannot say becomes a note. Pure: facts come in as values.
//!
//! The text holds every value of the environment, secrets included.

mod host;
mod mounts;
mod network;
mod service;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::{label, manifest::Manifest};

/// What a file is made from: raw inspect answers of a recovery point.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The point's manifest.
    pub manifest: &'a Manifest,
    /// Raw `/info`; null if it is not known.
    pub engine: &'a Value,
    /// Raw containers by name.
    pub containers: &'a BTreeMap<String, Value>,
    /// Raw networks by name.
    pub networks: &'a BTreeMap<String, Value>,
    /// Raw volumes by name.
    pub volumes: &'a BTreeMap<String, Value>,
    /// Raw images by id.
    pub images: &'a BTreeMap<String, Value>,
}

/// A compose file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposeFile {
    /// Its text, without a heading.
    pub text: String,
    /// What it cannot say, one sentence each.
    pub notes: Vec<String>,
}

/// Makes the file.
#[must_use]
pub fn from_inspect(facts: Facts<'_>) -> ComposeFile {
    let mut file = File::new(facts);
    let mut services = Map::new();
    for (name, containers) in file.services.clone() {
        let service = file.service(&name, &containers);
        services.insert(name, Value::Object(service));
    }
    let mut top = Map::new();
    top.insert("name".to_owned(), file.project.clone().into());
    top.insert("services".to_owned(), Value::Object(services));
    let (networks, volumes) = (file.networks(), file.volumes());
    if !networks.is_empty() {
        top.insert("networks".to_owned(), Value::Object(networks));
    }
    if !volumes.is_empty() {
        top.insert("volumes".to_owned(), Value::Object(volumes));
    }
    file.layers();
    ComposeFile {
        text: yaml::document(&Value::Object(top)),
        notes: file.notes,
    }
}

/// The file under way.
struct File<'a> {
    facts: Facts<'a>,
    /// Project name.
    project: String,
    /// Service to its containers, in the order of their numbers.
    services: BTreeMap<String, Vec<String>>,
    /// Networks and volumes that the services name: name on the engine to key in the file.
    used_networks: BTreeMap<String, String>,
    used_volumes: BTreeMap<String, String>,
    notes: Vec<String>,
}

impl<'a> File<'a> {
    fn new(facts: Facts<'a>) -> Self {
        let recorded = facts.manifest.project.as_ref().map(|p| p.name.clone());
        let of_label = || {
            let mut all = facts.containers.values();
            all.find_map(|raw| label_of(raw, label::PROJECT).map(str::to_owned))
        };
        let project = recorded
            .or_else(of_label)
            .unwrap_or_else(|| project_name(facts.manifest.identity.name.as_str()));
        let mut numbered: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
        let mut notes = Vec::new();
        for (name, raw) in facts.containers {
            let one_off =
                label_of(raw, label::ONE_OFF).is_some_and(|v| v.eq_ignore_ascii_case("true"));
            if one_off {
                notes.push(format!(
                    "{name} was a single run (`compose run`) and is no service"
                ));
                continue;
            }
            let of_project = label_of(raw, label::PROJECT) == Some(project.as_str());
            let service = label_of(raw, label::SERVICE).filter(|_| of_project);
            let number = label_of(raw, label::NUMBER).and_then(|n| n.parse().ok());
            numbered
                .entry(service.unwrap_or(name).to_owned())
                .or_default()
                .push((number.unwrap_or(1), name.clone()));
        }
        let services = numbered.into_iter().map(|(service, mut containers)| {
            containers.sort();
            (
                service,
                containers.into_iter().map(|(_, name)| name).collect(),
            )
        });
        Self {
            facts,
            project,
            services: services.collect(),
            used_networks: BTreeMap::new(),
            used_volumes: BTreeMap::new(),
            notes,
        }
    }

    /// The service that a reference to a container (name, id, beginning of an id) means.
    fn service_of(&self, reference: &str) -> Option<&str> {
        let reference = reference.trim_start_matches('/');
        let is_id = reference.len() >= 12;
        let named = |name: &&String| {
            *name == reference
                || self.facts.containers.get(*name).is_some_and(|raw| {
                    is_id
                        && raw["Id"]
                            .as_str()
                            .is_some_and(|id| id.starts_with(reference))
                })
        };
        let mut all = self.services.iter();
        all.find(|(_, containers)| containers.iter().any(|c| named(&c)))
            .map(|(service, _)| service.as_str())
    }

    /// The key of a network or volume in the file: Compose's own name for it where that was kept.
    fn key(&self, raw: Option<&Value>, of: &str, name: &str) -> String {
        let labels = raw.map(|raw| &raw["Labels"]);
        let text = |key: &str| labels.and_then(|l| l[key].as_str());
        match text(of) {
            Some(key) if text(label::PROJECT) == Some(self.project.as_str()) && !key.is_empty() => {
                key.to_owned()
            }
            _ => name.to_owned(),
        }
    }

    /// What was put into writable layers is in no compose file.
    fn layers(&mut self) {
        /// Put there by the engine itself, for `init`.
        const INIT: &str = "/sbin/docker-init";
        for layer in &self.facts.manifest.layers {
            let captured: Vec<&String> = layer.captured.iter().filter(|p| *p != INIT).collect();
            if let Some(first) = captured.first() {
                self.notes.push(format!(
                    "{} had {} path(s) in its writable layer that are in the point and in no compose file, e.g. {first}",
                    layer.container,
                    captured.len()
                ));
            }
        }
    }
}

/// A project's name as Compose takes it: lower case, digits, `-` and `_`, beginning with one of the
/// first two.
fn project_name(app: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || c == '_' => c,
        _ => '-',
    };
    let name: String = app.chars().map(plain).collect();
    let name = name.trim_start_matches(['-', '_']);
    if name.is_empty() {
        "app".to_owned()
    } else {
        name.to_owned()
    }
}

/// A container's label.
fn label_of<'r>(raw: &'r Value, key: &str) -> Option<&'r str> {
    raw["Config"]["Labels"][key]
        .as_str()
        .filter(|v| !v.is_empty())
}

/// Labels without what Compose puts there by itself.
fn own_labels(labels: &Value, of_image: &Value) -> Map<String, Value> {
    let all = labels.as_object().cloned().unwrap_or_default();
    all.into_iter()
        .filter(|(key, value)| {
            !key.starts_with("com.docker.compose.")
                && *key != label::ANONYMOUS
                && of_image[key.as_str()] != *value
        })
        .collect()
}

/// The strings of a list; none for null and anything else.
fn strings(value: &Value) -> Vec<String> {
    let list = value.as_array().into_iter().flatten();
    list.filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// A text that is not empty.
fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value[key].as_str().filter(|v| !v.is_empty())
}

/// Names of an object's members; none for null.
fn keys(value: &Value) -> BTreeSet<String> {
    value
        .as_object()
        .map(|map| map.keys().cloned().collect())
        .unwrap_or_default()
}

/// Sets a member unless it is empty: null, `""`, `[]`, `{}`.
fn put(map: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    let value = value.into();
    let is_empty = match &value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    if !is_empty {
        map.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests;
