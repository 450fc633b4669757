//! What Podman says of a container in Docker's words, as far as it says it otherwise.
//!
//! Podman answers the same inspect, with values of its own in it that neither engine takes back at a create. Which
//! engine said it stands in the recovery point, not in the answer, so the caller has to know.

use serde_json::Value;

/// What Podman puts into every environment.
const OWN_ENVIRONMENT: &[&str] = &["container=podman", "TERM=xterm"];
/// Options of a bind that Docker's syntax has, beside propagation.
const BIND_OPTIONS: &[&str] = &["ro", "rw", "z", "Z", "nocopy"];

/// Rewrites Podman's raw inspect of a container.
pub fn in_dockers_words(raw: &mut Value) {
    let short: String = raw["Id"]
        .as_str()
        .unwrap_or_default()
        .chars()
        .take(12)
        .collect();
    let own_name = format!("HOSTNAME={short}");
    let network = first_network(raw);
    let Some(host) = raw["HostConfig"].as_object_mut() else {
        return;
    };
    // `oci`: whichever runtime the engine has.
    if host.get("Runtime").is_some_and(|runtime| runtime == "oci") {
        host.remove("Runtime");
    }
    // It says `json-file` of what it writes by a driver of its own.
    if host
        .get("LogConfig")
        .is_some_and(|log| log["Type"] == "json-file" && log["Config"].is_null())
    {
        host.remove("LogConfig");
    }
    for (mode, own) in [
        ("PidMode", "private"),
        ("UTSMode", "private"),
        ("IpcMode", "shareable"),
    ] {
        if host.get(mode).is_some_and(|value| value == own) {
            host.remove(mode);
        }
    }
    // It says `bridge` of every network.
    if let (Some(network), true) = (
        network,
        host.get("NetworkMode").is_some_and(|m| m == "bridge"),
    ) {
        host.insert("NetworkMode".to_owned(), network.into());
    }
    for limit in list(host.get_mut("Ulimits")) {
        if let Some(name) = limit["Name"]
            .as_str()
            .and_then(|n| n.strip_prefix("RLIMIT_"))
        {
            limit["Name"] = name.to_ascii_lowercase().into();
        }
    }
    for bind in list(host.get_mut("Binds")) {
        if let Some(written) = bind.as_str().map(bind_in_dockers_words) {
            *bind = written.into();
        }
    }
    let config = &mut raw["Config"];
    if let Some(environment) = config["Env"].as_array_mut() {
        environment.retain(|entry| {
            let text = entry.as_str().unwrap_or_default();
            !OWN_ENVIRONMENT.contains(&text) && text != own_name
        });
    }
    if let Some(config) = config.as_object_mut() {
        // It shows none where there is the default, and would take it for "kill at once".
        if config.get("StopTimeout").is_some_and(|t| t == 0) {
            config.remove("StopTimeout");
        }
        // An empty list would take the image's own away.
        if config
            .get("Entrypoint")
            .is_some_and(|e| e.as_array().is_some_and(Vec::is_empty))
        {
            config.remove("Entrypoint");
        }
    }
}

fn first_network(raw: &Value) -> Option<String> {
    let networks = raw["NetworkSettings"]["Networks"].as_object()?;
    let name = networks.keys().next()?;
    (name != "podman").then(|| name.clone())
}

fn list(value: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    value.and_then(Value::as_array_mut).into_iter().flatten()
}

/// `data:/data:rw,rprivate,nosuid,nodev,rbind` without what Docker has no words for.
fn bind_in_dockers_words(bind: &str) -> String {
    let Some((place, options)) = bind
        .rsplit_once(':')
        .filter(|(place, _)| place.contains(':'))
    else {
        return bind.to_owned();
    };
    let kept: Vec<&str> = options
        .split(',')
        .filter(|option| BIND_OPTIONS.contains(option))
        .collect();
    if kept.is_empty() {
        place.to_owned()
    } else {
        format!("{place}:{}", kept.join(","))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_podman_says_of_itself_goes_and_the_rest_stays() {
        let mut raw = json!({
            "Id": "a3512de970a96021d7b3adce2efd8ba7164b7a5a2318e1b8af7e119fc09e5f6c",
            "Config": {
                "Env": ["PATH=/bin", "TERM=xterm", "container=podman", "HOSTNAME=a3512de970a9", "A=1"],
                "Entrypoint": [], "StopTimeout": 0, "StopSignal": "15",
            },
            "HostConfig": {
                "Binds": ["d:/d:rw,rprivate,nosuid,nodev,rbind", "/a:/b:ro,rprivate,rbind", "/c:/c"],
                "Runtime": "oci", "LogConfig": {"Type": "json-file", "Config": null},
                "PidMode": "private", "UTSMode": "private", "IpcMode": "shareable", "NetworkMode": "bridge",
                "Ulimits": [{"Name": "RLIMIT_NOFILE", "Soft": 1, "Hard": 2}], "Memory": 5,
            },
            "NetworkSettings": {"Networks": {"notes_net": {}}},
        });
        in_dockers_words(&mut raw);
        assert_eq!(
            raw["Config"],
            json!({"Env": ["PATH=/bin", "A=1"], "StopSignal": "15"})
        );
        assert_eq!(
            raw["HostConfig"],
            json!({
                "Binds": ["d:/d:rw", "/a:/b:ro", "/c:/c"], "NetworkMode": "notes_net",
                "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}], "Memory": 5,
            })
        );
        let before = raw.clone();
        in_dockers_words(&mut raw);
        assert_eq!(raw, before);
    }

    #[test]
    fn its_own_network_is_dockers_bridge() {
        let mut raw = json!({"Id": "a", "Config": {}, "HostConfig": {"NetworkMode": "bridge"},
            "NetworkSettings": {"Networks": {"podman": {}}}});
        in_dockers_words(&mut raw);
        assert_eq!(raw["HostConfig"]["NetworkMode"], "bridge");
    }
}
