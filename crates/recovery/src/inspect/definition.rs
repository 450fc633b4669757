//! What differs between two points of an app: containers, images, volumes, binds, networks, and what stands in their
//! definitions. Definitions hold secrets, so that of what differs in them only the names are told, never the values.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_plan::manifest::{Manifest, layout};
use lifeboat_vault::{Reader, Snapshot};
use serde::Serialize;
use serde_json::Value;

use crate::{
    Result,
    points::{manifest_from, read_file},
};

/// What happened to a part of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is in the second point alone.
    Added,
    /// It is in the first point alone.
    Removed,
    /// It is in both, and differs.
    Changed,
}

/// One part of an app that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppChange {
    /// `container`, `image`, `volume`, `bind`, `network`, `app`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What happened to it.
    pub change: ChangeKind,
    /// How it differs: one phrase each, without values that may be secret.
    pub details: Vec<String>,
}

/// What an object of a definition says about the moment, not about what it is.
const OF_THE_MOMENT: [&str; 18] = [
    "Id",
    "Created",
    "CreatedAt",
    "State",
    "Pid",
    "ExecIDs",
    "RestartCount",
    "ResolvConfPath",
    "HostnamePath",
    "HostsPath",
    "LogPath",
    "GraphDriver",
    "SizeRw",
    "SizeRootFs",
    "Containers",
    "Peers",
    "UsageData",
    "Image",
];
/// What of a container's place in a network is not drawn anew at each start.
const OF_A_NETWORK: [&str; 4] = ["Aliases", "IPAMConfig", "Links", "DriverOpts"];

/// What differs between two points; `None` where one of them is no point of an app.
pub fn app_changes(
    reader: &Reader,
    before: &Snapshot,
    after: &Snapshot,
) -> Result<Option<Vec<AppChange>>> {
    let (Some(a), Some(b)) = (
        manifest_from(reader, before)?,
        manifest_from(reader, after)?,
    ) else {
        return Ok(None);
    };
    let definition = |snapshot: &Snapshot, path: &str| -> Result<Value> {
        let bytes = read_file(reader, snapshot, path)?;
        Ok(bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or(Value::Null))
    };
    let mut changes = Vec::new();
    for (kind, was, is, path) in [
        (
            "container",
            containers(&a),
            containers(&b),
            layout::container_definition as fn(&str) -> String,
        ),
        (
            "network",
            networks(&a),
            networks(&b),
            layout::network_definition,
        ),
        (
            "volume",
            volumes(&a),
            volumes(&b),
            layout::volume_definition,
        ),
    ] {
        compare(kind, &was, &is, &mut changes, &mut |name| {
            let path = path(name);
            Ok(differences(
                &definition(before, &path)?,
                &definition(after, &path)?,
            ))
        })?;
    }
    let nothing: &mut dyn FnMut(&str) -> Result<Vec<String>> = &mut |_| Ok(Vec::new());
    compare("image", &images(&a), &images(&b), &mut changes, nothing)?;
    compare("bind", &binds(&a), &binds(&b), &mut changes, nothing)?;
    let app = facts([
        ("level", a.consistency.level.to_string()),
        ("engine", format!("{} {}", a.engine.kind, a.engine.version)),
        ("left out", a.left_out.len().to_string()),
    ]);
    let now = facts([
        ("level", b.consistency.level.to_string()),
        ("engine", format!("{} {}", b.engine.kind, b.engine.version)),
        ("left out", b.left_out.len().to_string()),
    ]);
    let details = changed_facts(&app, &now);
    if !details.is_empty() {
        changes.push(AppChange {
            kind: "app",
            name: b.identity.name.to_string(),
            change: ChangeKind::Changed,
            details,
        });
    }
    Ok(Some(changes))
}

/// What the manifest says of a part, by what it is called. None of it is secret.
type Facts = BTreeMap<&'static str, String>;
type Parts = BTreeMap<String, Facts>;

fn facts<const N: usize>(facts: [(&'static str, String); N]) -> Facts {
    facts.into_iter().collect()
}

fn containers(m: &Manifest) -> Parts {
    m.containers
        .iter()
        .map(|c| {
            let state = format!("{:?}", c.state).to_lowercase();
            let image = c.image_ref.clone();
            let id: String = c.image_id.chars().take(19).collect();
            let facts = facts([("state", state), ("image", image), ("image id", id)]);
            (c.name.clone(), facts)
        })
        .collect()
}

fn networks(m: &Manifest) -> Parts {
    let networks = m.networks.iter();
    networks
        .map(|n| (n.name.clone(), facts([("driver", n.driver.clone())])))
        .collect()
}

fn volumes(m: &Manifest) -> Parts {
    m.volumes
        .iter()
        .map(|v| {
            let facts = facts([
                ("driver", v.driver.clone()),
                ("files", v.files.to_string()),
                ("bytes", v.bytes.to_string()),
                ("content", format!("{:?}", v.content).to_lowercase()),
            ]);
            (v.name.clone(), facts)
        })
        .collect()
}

fn images(m: &Manifest) -> Parts {
    m.images
        .iter()
        .map(|image| {
            let mut tags = image.tags.clone();
            tags.sort();
            let id: String = image.id.chars().take(19).collect();
            // What people call it, so that a new build of the same name shows as a change of it.
            let name = tags.first().cloned().unwrap_or_else(|| id.clone());
            let facts = facts([
                ("id", id),
                ("tags", tags.join(" ")),
                ("bytes", image.size.to_string()),
            ]);
            (name, facts)
        })
        .collect()
}

fn binds(m: &Manifest) -> Parts {
    m.binds
        .iter()
        .map(|b| {
            let facts = facts([
                ("decision", format!("{:?}", b.decision).to_lowercase()),
                ("content", format!("{:?}", b.content).to_lowercase()),
                ("files", b.files.to_string()),
                ("bytes", b.bytes.to_string()),
            ]);
            (b.source.clone(), facts)
        })
        .collect()
}

fn compare(
    kind: &'static str,
    was: &Parts,
    is: &Parts,
    changes: &mut Vec<AppChange>,
    more: &mut dyn FnMut(&str) -> Result<Vec<String>>,
) -> Result<()> {
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    for name in names {
        let (change, details) = match (was.get(name), is.get(name)) {
            (Some(_), None) => (ChangeKind::Removed, Vec::new()),
            (None, Some(_)) => (ChangeKind::Added, Vec::new()),
            (Some(a), Some(b)) => {
                let mut details = changed_facts(a, b);
                details.extend(more(name)?);
                if details.is_empty() {
                    continue;
                }
                (ChangeKind::Changed, details)
            }
            (None, None) => continue,
        };
        changes.push(AppChange {
            kind,
            name: name.clone(),
            change,
            details,
        });
    }
    Ok(())
}

fn changed_facts(was: &Facts, is: &Facts) -> Vec<String> {
    was.iter()
        .filter_map(|(key, a)| {
            let b = is.get(key).filter(|b| *b != a)?;
            Some(format!("{key} {a} -> {b}"))
        })
        .collect()
}

/// Names of what differs in two definitions, never values: `HostConfig.Memory`, `Config.Env: PASSWORD`.
fn differences(was: &Value, is: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(&mut Vec::new(), was, is, &mut found);
    found
}

fn walk<'v>(path: &mut Vec<&'v str>, was: &'v Value, is: &'v Value, found: &mut Vec<String>) {
    if was == is {
        return;
    }
    match (was, is) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                // `Image` within `Config` is what the person wrote; on top it is an id, told elsewhere.
                if path.is_empty() && OF_THE_MOMENT.contains(&key.as_str()) {
                    continue;
                }
                if path.first() == Some(&"NetworkSettings") && !of_a_network(path, key) {
                    continue;
                }
                path.push(key);
                let (a, b) = (a.get(key), b.get(key));
                walk(
                    path,
                    a.unwrap_or(&Value::Null),
                    b.unwrap_or(&Value::Null),
                    found,
                );
                path.pop();
            }
        }
        (Value::Array(a), Value::Array(b)) if path.last() == Some(&"Env") => {
            let name = |v: &'v Value| v.as_str().and_then(|v| v.split('=').next());
            let differ = a.iter().filter(|v| !b.contains(v));
            let differ = differ.chain(b.iter().filter(|v| !a.contains(v)));
            let names: BTreeSet<&str> = differ.filter_map(name).collect();
            found.extend(
                names
                    .iter()
                    .map(|name| format!("{}: {name}", path.join("."))),
            );
        }
        _ => found.push(path.join(".")),
    }
}

/// Addresses and the ids of endpoints are drawn at each start.
fn of_a_network(path: &[&str], key: &str) -> bool {
    match path.len() {
        1 => key == "Networks",
        2 => true,
        _ => OF_A_NETWORK.contains(&key) || path.len() > 3,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_told_and_values_are_not() {
        let was = json!({"Id": "1", "Config": {"Env": ["A=1", "SECRET=one", "GONE=x"], "Image": "web:1"},
            "HostConfig": {"Memory": 1}, "State": {"Pid": 1},
            "NetworkSettings": {"SandboxID": "x", "Networks": {"a": {"IPAddress": "10.0.0.1", "Aliases": ["w"]}}}});
        let is = json!({"Id": "2", "Config": {"Env": ["A=1", "SECRET=two"], "Image": "web:2"},
            "HostConfig": {"Memory": 2}, "State": {"Pid": 2},
            "NetworkSettings": {"SandboxID": "y", "Networks": {"a": {"IPAddress": "10.0.0.9", "Aliases": ["v"]}, "b": {}}}});
        let found = differences(&was, &is);
        assert_eq!(
            found,
            [
                "Config.Env: GONE",
                "Config.Env: SECRET",
                "Config.Image",
                "HostConfig.Memory",
                "NetworkSettings.Networks.a.Aliases",
                "NetworkSettings.Networks.b"
            ]
        );
        assert!(differences(&was, &was).is_empty());
    }

    #[test]
    fn parts_come_and_go() {
        let part =
            |name: &str, state: &str| (name.to_owned(), facts([("state", state.to_owned())]));
        let was = Parts::from([
            part("a", "running"),
            part("b", "running"),
            part("c", "running"),
        ]);
        let is = Parts::from([
            part("b", "stopped"),
            part("c", "running"),
            part("d", "running"),
        ]);
        let mut changes = Vec::new();
        compare(
            "container",
            &was,
            &is,
            &mut changes,
            &mut |_| Ok(Vec::new()),
        )
        .unwrap();
        let told: Vec<_> = changes
            .iter()
            .map(|c| (c.name.as_str(), c.change))
            .collect();
        assert_eq!(
            told,
            [
                ("a", ChangeKind::Removed),
                ("b", ChangeKind::Changed),
                ("d", ChangeKind::Added)
            ]
        );
        assert_eq!(changes[1].details, ["state running -> stopped"]);
    }
}
