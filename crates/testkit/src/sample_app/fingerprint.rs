//! The app as the engine describes it, without what differs from one creation to the next, so that
//! before and after can be compared field by field.
//!
//! Left out: ids, times, paths inside the data root, generated addresses. Empty and absent are the same.
//! An anonymous volume has another name and has to be as anonymous as before: nothing may name it.
//! Everything else is kept as it is, fields that nobody here has heard of included.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::definitions::{BACKEND, FRONTEND, WORKER_FILE, networks, volumes};
use super::{ARCHIVE, ATTIC, CONTAINERS, SampleApp, WORKER};
use crate::Result;
use crate::api::{Client, text};
use crate::engine::PrivateEngine;
use crate::oddities;

impl SampleApp {
    /// All of the app that a recovery has to bring back, for [`diff`].
    pub fn fingerprint(&self, engine: &PrivateEngine) -> Result<Value> {
        let api = engine.api();
        let mut found = BTreeMap::new();
        for name in CONTAINERS {
            let inspect = api.find(&format!("/containers/{name}/json"))?;
            let seen = inspect.map(|inspect| container(&inspect)).transpose()?;
            found.insert(format!("container {name}"), seen.unwrap_or_default());
        }
        for wanted in networks() {
            let name = text(&wanted, "/Name")?;
            let inspect = api.find(&format!("/networks/{name}"))?;
            let seen = inspect.map(network).unwrap_or_default();
            found.insert(format!("network {name}"), seen);
        }
        let mut names = quiet_volumes(&api)?;
        for wanted in volumes() {
            names.push(text(&wanted, "/Name")?.to_owned());
        }
        for name in names {
            let inspect = api.find(&format!("/volumes/{name}"))?;
            let seen =
                inspect.map(|inspect| keep(&inspect, &["Driver", "Labels", "Options", "Scope"]));
            found.insert(format!("volume {}", shown(&name)), seen.unwrap_or_default());
        }
        for name in quiet_volumes(&api)? {
            let tree = oddities::describe(&engine.volume_path(&name)?)?;
            found.insert(format!("content of volume {}", shown(&name)), json!(tree));
        }
        for image in self.images() {
            for tag in &image.tags {
                let inspect = api.find(&format!("/images/{tag}/json"))?;
                let fields = ["Id", "Config", "RootFS", "Architecture", "Os"];
                let seen = inspect.map(|inspect| keep(&inspect, &fields));
                found.insert(format!("image {tag}"), seen.unwrap_or_default());
            }
        }
        let path = format!("/containers/{WORKER}/archive?path={WORKER_FILE}");
        let file = api.get_bytes(&path).map(|tar| archived(&tar));
        found.insert(
            format!("file {WORKER_FILE}"),
            file.unwrap_or(Ok(Value::Null))?,
        );
        Ok(without_empty(json!(found)))
    }
}

/// The volumes of the app that nothing writes to: the unused ones and the anonymous one.
pub(super) fn quiet_volumes(api: &Client) -> Result<Vec<String>> {
    let mut names = vec![ARCHIVE.to_owned(), ATTIC.to_owned()];
    let worker = api.find(&format!("/containers/{WORKER}/json"))?;
    let mounts = worker
        .as_ref()
        .and_then(|worker| worker["Mounts"].as_array());
    for mount in mounts.into_iter().flatten() {
        if mount["Destination"] == "/scratch" {
            names.push(text(mount, "/Name")?.to_owned());
        }
    }
    Ok(names)
}

fn is_anonymous(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A volume's name, where somebody chose it.
fn shown(name: &str) -> &str {
    if is_anonymous(name) {
        "anonymous"
    } else {
        name
    }
}

/// What differs, one line a field: `container shop-db-1 / HostConfig / ShmSize: 1 became 2`.
pub fn diff(before: &Value, after: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    walk(&mut Vec::new(), before, after, &mut lines);
    lines
}

fn walk(path: &mut Vec<String>, before: &Value, after: &Value, lines: &mut Vec<String>) {
    if before == after {
        return;
    }
    if let (Value::Object(b), Value::Object(a)) = (before, after) {
        let added = a.keys().filter(|key| !b.contains_key(*key));
        for key in b.keys().chain(added) {
            path.push(key.clone());
            let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
            walk(path, &of(b), &of(a), lines);
            path.pop();
        }
        return;
    }
    let shown = |value: &Value| match value {
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    };
    let (before, after) = (shown(before), shown(after));
    lines.push(format!("{}: {before} became {after}", path.join(" / ")));
}

fn container(inspect: &Value) -> Result<Value> {
    let short = text(inspect, "/Id")?
        .get(..12)
        .unwrap_or_default()
        .to_owned();
    let mut seen = keep(
        inspect,
        &[
            "Name",
            "Path",
            "Args",
            "Config",
            "HostConfig",
            "Platform",
            "Driver",
        ],
    );
    seen["image id"] = inspect["Image"].clone();
    seen["State"] = keep(&inspect["State"], &["Running", "Paused"]);
    if seen["Config"]["Hostname"] == short.as_str() {
        seen["Config"]["Hostname"] = Value::Null;
    }
    let mounts = inspect["Mounts"].as_array().into_iter().flatten();
    let mounts: BTreeMap<_, _> = mounts
        .map(|mount| {
            let mut kept = keep(mount, &["Type", "Name", "Driver", "RW", "Propagation"]);
            if mount["Type"] == "bind" {
                kept["Source"] = mount["Source"].clone();
            }
            if mount["Name"].as_str().is_some_and(is_anonymous) {
                kept["Name"] = "anonymous".into();
            }
            (mount["Destination"].to_string(), kept)
        })
        .collect();
    seen["Mounts"] = json!(mounts);
    let mut networks = Map::new();
    for (name, endpoint) in inspect["NetworkSettings"]["Networks"]
        .as_object()
        .into_iter()
        .flatten()
    {
        let mut kept = keep(endpoint, &["IPAMConfig", "Links", "Aliases", "DriverOpts"]);
        if let Some(aliases) = kept["Aliases"].as_array_mut() {
            aliases.retain(|alias| *alias != short.as_str());
            aliases.sort_by_key(Value::to_string);
        }
        networks.insert(name.clone(), kept);
    }
    seen["Networks"] = Value::Object(networks);
    seen["Ports"] = inspect["NetworkSettings"]["Ports"].clone();
    Ok(seen)
}

fn network(inspect: Value) -> Value {
    let mut seen = inspect;
    for generated in ["Id", "Created", "Containers", "Peers"] {
        seen[generated] = Value::Null;
    }
    if seen["Name"] == FRONTEND {
        seen["IPAM"]["Config"] = Value::Null; // The engine chose it.
    }
    debug_assert!(seen["Name"] == FRONTEND || seen["Name"] == BACKEND);
    seen
}

fn archived(tar: &[u8]) -> Result<Value> {
    let mut archive = tar::Archive::new(tar);
    let mut files = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let mut content = String::new();
        std::io::Read::read_to_string(&mut entry, &mut content)?;
        let header = entry.header();
        files.push(json!({
            "mode": header.mode()? & 0o7777, // The kind of file is in it or not.
            "uid": header.uid()?, "gid": header.gid()?,
            "mtime": header.mtime()?, "content": content,
        }));
    }
    Ok(Value::Array(files))
}

fn keep(value: &Value, fields: &[&str]) -> Value {
    let pick = |field: &&str| Some(((*field).to_owned(), value.get(*field)?.clone()));
    Value::Object(fields.iter().filter_map(pick).collect())
}

/// Drops what is empty, at every depth: engines say null, [] and absent for the same thing.
fn without_empty(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map
                .into_iter()
                .map(|(key, value)| (key, without_empty(value)));
            Value::Object(kept.filter(|(_, value)| !is_empty(value)).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(without_empty).collect()),
        other => other,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_by_their_field() {
        let before = json!({"a": {"b": 1, "gone": [1]}, "same": 1});
        let after = json!({"a": {"b": 2, "new": true}, "same": 1});
        let lines = diff(&before, &after);
        assert_eq!(
            lines,
            [
                "a / b: 1 became 2",
                "a / gone: [1] became nothing",
                "a / new: nothing became true",
            ]
        );
        assert!(diff(&before, &before).is_empty());
    }

    #[test]
    fn empty_and_absent_are_the_same() {
        let one = without_empty(json!({"a": null, "b": {"c": []}, "d": 0, "e": ""}));
        assert_eq!(one, json!({"d": 0}));
    }
}
