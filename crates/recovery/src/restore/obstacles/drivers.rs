//! What an engine needs installed to run the app: drivers of volumes, networks and logs, runtimes.

use serde_json::Value;

use super::Ground;

pub(super) fn drivers(on: &Ground<'_>, found: &mut Vec<String>) {
    let info = &on.here.engine.raw;
    let plugins = &info["Plugins"];
    for volume in &on.manifest.volumes {
        let there = on.here.volumes.iter().any(|v| v.name == volume.name);
        if !(volume.shared && there) && is_missing(&plugins["Volume"], &volume.driver) {
            found.push(format!(
                "volume {} needs the volume driver {}, which this engine does not have; install it there (docker plugin install {})",
                volume.name, volume.driver, volume.driver
            ));
        }
    }
    for network in &on.manifest.networks {
        let there = on.here.networks.iter().any(|n| n.name == network.name);
        if !(network.shared && there) && is_missing(&plugins["Network"], &network.driver) {
            found.push(format!(
                "network {} needs the network driver {}, which this engine does not have; install it there, or attach the app to another network (--map-network {}:OTHER)",
                network.name, network.driver, network.name
            ));
        }
    }
    for (name, raw) in &on.definitions.containers {
        let host = &raw["HostConfig"];
        let log = host["LogConfig"]["Type"].as_str().unwrap_or_default();
        // Not to log needs no driver.
        let by_another_name = log == "json-file" && !is_missing(&plugins["Log"], PODMANS_JSON);
        if log != "none" && !by_another_name && is_missing(&plugins["Log"], log) {
            found.push(format!(
                "{name} logs with the driver {log}, which this engine does not have; install it there (docker plugin install {log})"
            ));
        }
        let runtime = host["Runtime"].as_str().unwrap_or_default();
        if is_unknown_runtime(&info["Runtimes"], runtime) {
            found.push(format!(
                "{name} runs with the runtime {runtime}, which this engine does not have; install it there and name it in daemon.json (\"runtimes\")"
            ));
        }
    }
}

/// What Podman takes for Docker's `json-file`.
const PODMANS_JSON: &str = "k8s-file";

/// What Podman's side of Docker's API takes and does not do: found before, because afterwards it would be missing
/// without a word.
pub(super) fn podman(on: &Ground<'_>, found: &mut Vec<String>) {
    if on.here.engine.kind != "podman" {
        return;
    }
    for (name, raw) in &on.definitions.containers {
        let host = &raw["HostConfig"];
        for (field, what, way) in [
            (
                "Links",
                "is linked to other containers (--link)",
                "attach both to a network of their own, where they find each other by name",
            ),
            (
                "DeviceRequests",
                "asks for devices by what they can do (--gpus)",
                "name the devices themselves",
            ),
            (
                "StorageOpt",
                "has a bound on its writable layer",
                "take it away",
            ),
        ] {
            let is_set = match &host[field] {
                Value::Array(list) => !list.is_empty(),
                Value::Object(map) => !map.is_empty(),
                _ => false,
            };
            if is_set {
                found.push(format!(
                    "{name} {what}, which Podman leaves out when it is asked through Docker's API; restore it on Docker, or {way} before the next backup"
                ));
            }
        }
    }
}

/// An engine that lists nothing says nothing.
fn is_missing(list: &Value, driver: &str) -> bool {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    // A plugin's tag is not always said.
    let same = |there: &str| there == driver || there.strip_suffix(":latest") == Some(driver);
    let known = |name: &Value| name.as_str().is_some_and(same);
    !driver.is_empty() && !list.is_empty() && !list.iter().any(known)
}

/// Shims of containerd and programs by path are found without being listed.
fn is_unknown_runtime(list: &Value, runtime: &str) -> bool {
    let found_by_itself =
        runtime.is_empty() || runtime.starts_with("io.containerd.") || runtime.starts_with('/');
    let listed = list.as_object();
    !found_by_itself && listed.is_some_and(|all| !all.is_empty() && !all.contains_key(runtime))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_engine_does_not_list_is_missing() {
        let list = json!(["local", "vieux/sshfs:latest"]);
        for (driver, missing) in [
            ("local", false),
            ("", false),
            ("vieux/sshfs", false),
            ("rexray/ebs", true),
        ] {
            assert_eq!(is_missing(&list, driver), missing, "{driver}");
        }
        assert!(!is_missing(&Value::Null, "rexray/ebs"));
        let runtimes = json!({"runc": {}, "io.containerd.runc.v2": {}});
        for (runtime, missing) in [
            ("", false),
            ("runc", false),
            ("io.containerd.runsc.v1", false),
            ("nvidia", true),
        ] {
            assert_eq!(is_unknown_runtime(&runtimes, runtime), missing, "{runtime}");
        }
    }
}
