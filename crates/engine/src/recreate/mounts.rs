//! Mounts: anonymous volumes pinned, names and sources mapped.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Mapping, text};

/// Rewrites `Binds` and `Mounts` of a host configuration, and pins each anonymous volume of the raw
/// inspect by its name.
pub(super) fn rewrite(
    raw: &Value,
    config: &Map<String, Value>,
    host: &mut Map<String, Value>,
    mapping: &Mapping,
) {
    let mut covered: BTreeSet<String> = BTreeSet::new();
    for bind in host
        .get_mut("Binds")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let Some(given) = bind.as_str() else { continue };
        let (mapped, destination) = map_bind(given, mapping);
        covered.extend(destination.map(clean));
        *bind = mapped.into();
    }
    for mount in host
        .get_mut("Mounts")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let Some(mount) = mount.as_object_mut() else {
            continue;
        };
        let target = text(mount, "Target").to_owned();
        let source = match (text(mount, "Type"), text(mount, "Source")) {
            ("volume" | "cluster", "") => {
                volume_at(raw, &target).map(|name| mapping.volume(name).to_owned())
            }
            ("volume" | "cluster", name) => Some(mapping.volume(name).to_owned()),
            ("bind", source) => Some(mapping.bind(source)),
            _ => None,
        };
        covered.insert(clean(&target));
        if let Some(source) = source {
            mount.insert("Source".to_owned(), source.into());
        }
    }
    let pinned = pins(raw, config, host, &covered, mapping);
    if pinned.is_empty() {
        return;
    }
    match host.get_mut("Mounts").and_then(Value::as_array_mut) {
        Some(mounts) => mounts.extend(pinned),
        None => {
            host.insert("Mounts".to_owned(), Value::Array(pinned));
        }
    }
}

/// Mount entries for volumes that nothing in the host configuration names. What comes through
/// `volumes-from` comes again that way, unless the container (or its image) declares the place itself:
/// then the engine would make a new volume should the other container have lost its own.
fn pins(
    raw: &Value,
    config: &Map<String, Value>,
    host: &Map<String, Value>,
    covered: &BTreeSet<String>,
    mapping: &Mapping,
) -> Vec<Value> {
    let inherits = host
        .get("VolumesFrom")
        .and_then(Value::as_array)
        .is_some_and(|from| !from.is_empty());
    let declared = config.get("Volumes").and_then(Value::as_object);
    let is_declared = |destination: &str| {
        declared.is_some_and(|declared| declared.keys().any(|path| clean(path) == destination))
    };
    let mut out = Vec::new();
    for mount in raw["Mounts"].as_array().into_iter().flatten() {
        let destination = clean(mount["Destination"].as_str().unwrap_or_default());
        let name = mount["Name"].as_str().unwrap_or_default();
        let wanted =
            mount["Type"] == "volume" && !name.is_empty() && !covered.contains(&destination);
        if !wanted || (inherits && !is_declared(&destination)) {
            continue;
        }
        let mut pin =
            json!({"Type": "volume", "Source": mapping.volume(name), "Target": destination});
        if mount["RW"] == false {
            pin["ReadOnly"] = true.into();
        }
        out.push(pin);
    }
    out
}

/// The name of the volume that is mounted at a place.
fn volume_at<'r>(raw: &'r Value, target: &str) -> Option<&'r str> {
    let mounts = raw["Mounts"].as_array()?;
    let at = |mount: &&Value| {
        mount["Destination"]
            .as_str()
            .is_some_and(|place| clean(place) == clean(target))
    };
    mounts.iter().find(at)?["Name"]
        .as_str()
        .filter(|name| !name.is_empty())
}

/// `source:destination[:options]` with its source mapped, and its destination.
fn map_bind<'b>(bind: &'b str, mapping: &Mapping) -> (String, Option<&'b str>) {
    let Some((source, rest)) = bind.split_once(':') else {
        return (bind.to_owned(), Some(bind));
    };
    let mapped = if source.starts_with('/') {
        mapping.bind(source)
    } else {
        mapping.volume(source).to_owned()
    };
    (format!("{mapped}:{rest}"), rest.split(':').next())
}

/// A destination without a slash at its end: both spellings are one place.
fn clean(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        "/".to_owned()
    } else {
        trimmed.to_owned()
    }
}
