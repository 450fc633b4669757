//! The facts that planning needs, read from raw inspect answers. The raw answer goes along.

use std::collections::BTreeMap;

use lifeboat_plan::inventory::{
    Container, ContainerState, Image, Mount, MountKind, Network, Volume,
};
use serde_json::Value;

use super::text;

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn string_map(value: &Value) -> BTreeMap<String, String> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}

/// The facts in a raw container inspect.
#[must_use]
pub fn container(raw: Value) -> Container {
    let config = &raw["Config"];
    let host = &raw["HostConfig"];
    let state = &raw["State"];
    let pid = state["Pid"]
        .as_u64()
        .and_then(|pid| u32::try_from(pid).ok())
        .unwrap_or(0);
    Container {
        id: text(&raw, "Id").to_owned(),
        name: text(&raw, "Name").trim_start_matches('/').to_owned(),
        labels: string_map(&config["Labels"]),
        state: container_state(state),
        pid,
        image_ref: text(config, "Image").to_owned(),
        image_id: text(&raw, "Image").to_owned(),
        mounts: raw["Mounts"]
            .as_array()
            .into_iter()
            .flatten()
            .map(mount)
            .collect(),
        networks: raw["NetworkSettings"]["Networks"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect(),
        network_mode: text(host, "NetworkMode").to_owned(),
        refers_to: refers_to(host),
        auto_remove: host["AutoRemove"].as_bool().unwrap_or(false),
        env: strings(&config["Env"]),
        raw,
    }
}

/// A paused container says `Running` as well: the word in `Status` is the one to go by.
pub(super) fn container_state(state: &Value) -> ContainerState {
    match text(state, "Status") {
        "running" => ContainerState::Running,
        "paused" => ContainerState::Paused,
        "restarting" => ContainerState::Restarting,
        "exited" | "stopped" => ContainerState::Exited,
        "removing" | "dead" => ContainerState::Dead,
        _ => ContainerState::Created,
    }
}

/// Containers that this one cannot be without: links, volumes-from, shared namespaces.
fn refers_to(host: &Value) -> Vec<String> {
    let links = host["Links"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let links = links.map(|link| {
        link.trim_start_matches('/')
            .split(':')
            .next()
            .unwrap_or_default()
    });
    let from = host["VolumesFrom"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let from = from.map(|entry| entry.split(':').next().unwrap_or_default());
    let modes =
        ["NetworkMode", "PidMode", "IpcMode"].map(|key| text(host, key).strip_prefix("container:"));
    let mut out: Vec<String> = Vec::new();
    for name in links.chain(from).chain(modes.into_iter().flatten()) {
        if !name.is_empty() && !out.iter().any(|known| known == name) {
            out.push(name.to_owned());
        }
    }
    out
}

fn mount(raw: &Value) -> Mount {
    let kind = match text(raw, "Type") {
        "volume" => MountKind::Volume,
        "bind" => MountKind::Bind,
        "tmpfs" => MountKind::Tmpfs,
        _ => MountKind::Other,
    };
    Mount {
        kind,
        name: raw["Name"]
            .as_str()
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
        source: text(raw, "Source").to_owned(),
        destination: text(raw, "Destination").to_owned(),
        writable: raw["RW"].as_bool().unwrap_or(true),
    }
}

/// The facts in a raw volume inspect.
pub(super) fn volume(raw: Value) -> Volume {
    Volume {
        name: text(&raw, "Name").to_owned(),
        driver: text(&raw, "Driver").to_owned(),
        mountpoint: text(&raw, "Mountpoint").to_owned(),
        options: string_map(&raw["Options"]),
        labels: string_map(&raw["Labels"]),
        raw,
    }
}

/// The facts in a raw network inspect.
pub(super) fn network(raw: Value) -> Network {
    let name = text(&raw, "Name").to_owned();
    Network {
        id: text(&raw, "Id").to_owned(),
        driver: text(&raw, "Driver").to_owned(),
        scope: text(&raw, "Scope").to_owned(),
        labels: string_map(&raw["Labels"]),
        // Podman's predefined network has a name of its own.
        predefined: ["bridge", "host", "none", "podman"].contains(&name.as_str()),
        name,
        raw,
    }
}

/// The facts in a raw image inspect.
pub(super) fn image(raw: Value) -> Image {
    Image {
        id: text(&raw, "Id").to_owned(),
        tags: strings(&raw["RepoTags"])
            .into_iter()
            .filter(|tag| tag != "<none>:<none>")
            .collect(),
        repo_digests: strings(&raw["RepoDigests"])
            .into_iter()
            .filter(|tag| !tag.starts_with("<none>"))
            .collect(),
        size: raw["Size"].as_u64().unwrap_or(0),
        raw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_what_a_container_refers_to() {
        let host = json!({
            "Links": ["/db:/web/database", "/db:/web/db"],
            "VolumesFrom": ["data:ro", "abc"],
            "NetworkMode": "container:vpn", "PidMode": "host", "IpcMode": "container:abc",
        });
        assert_eq!(refers_to(&host), ["db", "data", "abc", "vpn"]);
    }

    #[test]
    fn a_paused_container_is_paused_though_it_says_running() {
        let state = json!({"Status": "paused", "Running": true, "Paused": true});
        assert_eq!(container_state(&state), ContainerState::Paused);
    }

    #[test]
    fn keeps_the_raw_answer_in_its_order() {
        let text = r#"{"Id":"a1","Zeta":1,"Alpha":{"y":1,"b":2},"Name":"/web"}"#;
        let facts = container(serde_json::from_str(text).unwrap());
        assert_eq!(facts.name, "web");
        assert_eq!(facts.raw.to_string(), text);
    }
}
