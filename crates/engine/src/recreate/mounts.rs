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
        let (mapped, destination) = map_bind(raw, given, mapping);
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
            ("volume" | "cluster", "") => volume_at(raw, &target)
                .filter(|name| !mapping.fresh.contains(*name))
                .map(|name| mapping.volume(name).to_owned()),
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
        let made_anew = mapping.fresh.contains(name) && is_declared(&destination);
        if !wanted || made_anew || (inherits && !is_declared(&destination)) {
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

/// `source:destination[:options]` with its source mapped, and its destination. A destination alone is
/// an anonymous volume.
fn map_bind<'b>(raw: &Value, bind: &'b str, mapping: &Mapping) -> (String, Option<&'b str>) {
    let Some((source, rest)) = bind.split_once(':') else {
        let pinned = volume_at(raw, bind)
            .filter(|name| !mapping.fresh.contains(*name))
            .map(|name| format!("{}:{bind}", mapping.volume(name)));
        return (pinned.unwrap_or_else(|| bind.to_owned()), Some(bind));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApiVersion;

    fn rewritten(raw: &Value, mapping: &Mapping) -> Value {
        let config = raw["Config"].as_object().cloned().unwrap_or_default();
        let mut host = raw["HostConfig"].as_object().cloned().unwrap_or_default();
        rewrite(raw, &config, &mut host, mapping);
        Value::Object(host)
    }

    fn volume(name: &str, destination: &str) -> Value {
        json!({"Type": "volume", "Name": name, "Destination": destination, "RW": true})
    }

    #[test]
    fn anonymous_volumes_are_pinned_wherever_they_hide() {
        let raw = json!({
            "Config": {"Volumes": {"/image/": {}}},
            "HostConfig": {"Binds": ["named:/named", "/anonymous-bind"], "Mounts": [{"Type": "volume", "Target": "/unnamed/"}]},
            "Mounts": [volume("named", "/named"), volume("a1", "/image"), volume("a2", "/unnamed"), volume("a3", "/anonymous-bind"), {"Type": "bind", "Destination": "/b", "Source": "/b"}],
        });
        let host = rewritten(&raw, &Mapping::exact(ApiVersion::OLDEST));
        assert_eq!(
            host["Mounts"],
            json!([
                {"Type": "volume", "Target": "/unnamed/", "Source": "a2"},
                {"Type": "volume", "Source": "a1", "Target": "/image"},
            ])
        );
        assert_eq!(host["Binds"], json!(["named:/named", "a3:/anonymous-bind"]));
    }

    #[test]
    fn what_is_inherited_is_inherited_again() {
        let mut read_only = volume("v3", "/own");
        read_only["RW"] = false.into();
        let raw = json!({
            "Config": {"Volumes": {"/own": {}}}, "HostConfig": {"VolumesFrom": ["x"], "Binds": null, "Mounts": null},
            "Mounts": [volume("v1", "/inherited"), read_only],
        });
        let host = rewritten(&raw, &Mapping::exact(ApiVersion::OLDEST));
        assert_eq!(
            host["Mounts"],
            json!([{"Type": "volume", "Source": "v3", "Target": "/own", "ReadOnly": true}])
        );
    }

    #[test]
    fn names_and_sources_are_mapped() {
        let mut mapping = Mapping::exact(ApiVersion::OLDEST);
        mapping.volumes = [
            ("data".to_owned(), "try_data".to_owned()),
            ("a1".to_owned(), "b1".to_owned()),
        ]
        .into();
        mapping.binds = [("/srv".to_owned(), "/try".to_owned())].into();
        let raw = json!({
            "Config": {}, "Mounts": [volume("data", "/d"), volume("a1", "/x")],
            "HostConfig": {
                "Binds": ["data:/d:ro", "/srv/app:/app:rshared"],
                "Mounts": [{"Type": "bind", "Source": "/srv/other", "Target": "/o"}, {"Type": "tmpfs", "Target": "/t"}],
            },
        });
        let host = rewritten(&raw, &mapping);
        assert_eq!(
            host["Binds"],
            json!(["try_data:/d:ro", "/try/app:/app:rshared"])
        );
        assert_eq!(host["Mounts"][0]["Source"], "/try/other");
        assert_eq!(host["Mounts"][1], json!({"Type": "tmpfs", "Target": "/t"}));
        assert_eq!(host["Mounts"][2]["Source"], "b1");
    }
}
