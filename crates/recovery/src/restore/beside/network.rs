//! Networks of a copy: bridges of its own with addresses that the engine chooses, without a way out
//! unless it is asked for.

use lifeboat_engine::ApiVersion;
use lifeboat_plan::{
    label,
    manifest::{Manifest, NetworkRecord},
};
use serde_json::{Map, Value, json};

use super::{
    transform::{Job, into_map, take},
    wanted::Allow,
};
use crate::restore::point::Definitions;

/// Networks that every engine has, where everything of the engine meets.
pub(super) const PREDEFINED: &[&str] = &["bridge", "default", "podman"];
/// Options of a bridge that say nothing of this host.
const KEPT_OPTIONS: &[&str] = &[
    "com.docker.network.driver.mtu",
    "com.docker.network.bridge.enable_icc",
];
/// Engines from here on can give a bridge no address of the host.
const ISOLATED_SINCE: ApiVersion = ApiVersion::new(1, 48);

impl Job<'_> {
    pub(super) fn networks(&mut self, manifest: &mut Manifest, definitions: &mut Definitions) {
        let old = std::mem::take(&mut definitions.networks);
        let api = definitions.api.unwrap_or(ApiVersion::OLDEST);
        let records = std::mem::take(&mut manifest.networks);
        for record in records {
            let raw = old.get(&record.name).cloned().unwrap_or_default();
            if record.shared && !self.is_own(&raw) {
                self.others(&record);
                continue;
            }
            let new = self.rename("network", &record.name, '_');
            let body = self.network(&record.name, &new, raw, api);
            definitions.networks.insert(new.clone(), body);
            self.networks.insert(record.name.clone(), new.clone());
            self.networks.insert(record.id.clone(), new.clone());
            manifest.networks.push(NetworkRecord {
                name: new,
                driver: "bridge".to_owned(),
                shared: false,
                ..record
            });
        }
        if definitions.containers.values().any(uses_predefined) {
            let new = self.rename("network", "bridge", '_');
            self.changed(format!(
                "containers on the engine's own network `bridge` are on {new} instead"
            ));
            let body = self.network("bridge", &new, json!({"Driver": "bridge"}), api);
            definitions.networks.insert(new.clone(), body);
            for name in PREDEFINED {
                self.networks.insert((*name).to_owned(), new.clone());
            }
            manifest.networks.push(NetworkRecord {
                id: "bridge".to_owned(),
                name: new,
                driver: "bridge".to_owned(),
                shared: false,
            });
        }
    }

    /// A network that others use as well may still be the project's own.
    fn is_own(&self, raw: &Value) -> bool {
        let project = raw["Labels"][label::PROJECT].as_str();
        let own = self.old.project.as_ref().map(|p| p.name.as_str());
        project.is_some() && project == own
    }

    fn others(&mut self, record: &NetworkRecord) {
        let name = &record.name;
        if self.wanted.allows(&Allow::Network(name.clone())) {
            self.networks.insert(name.clone(), name.clone());
            self.networks.insert(record.id.clone(), name.clone());
            self.said.others_networks.push(name.clone());
            self.changed(format!(
                "the copy is attached to the network {name}, where it meets others; it has no aliases there"
            ));
        } else {
            self.refuse(format!(
                "network {name} is not the app's own: a copy is attached to it only with `--allow network:{name}`"
            ));
        }
    }

    fn network(&mut self, old: &str, new: &str, raw: Value, api: ApiVersion) -> Value {
        let driver = raw["Driver"].as_str().unwrap_or_default().to_owned();
        if driver != "bridge" {
            self.changed(format!(
                "network {new} is a bridge; {old} is of the driver {driver}, which reaches beyond this host"
            ));
        }
        if raw["EnableIPv6"] == true {
            self.changed(format!("network {new} has no IPv6 addresses"));
        }
        let internal = !self.wanted.network_access || raw["Internal"] == true;
        let mut options: Map<String, Value> = Map::new();
        for key in KEPT_OPTIONS {
            if let (Some(value), "bridge") = (raw["Options"].get(*key), driver.as_str()) {
                options.insert((*key).to_owned(), value.clone());
            }
        }
        if internal {
            // Without an address of the host there is nothing of the host to be reached, the ports that
            // the original publishes included.
            let (key, value) = if api < ISOLATED_SINCE {
                ("com.docker.network.bridge.inhibit_ipv4", "true")
            } else {
                ("com.docker.network.bridge.gateway_mode_ipv4", "isolated")
            };
            options.insert(key.to_owned(), value.into());
        }
        let attachable = raw["Attachable"] == true;
        let mut labels = take(&mut into_map(raw), "Labels");
        let dropped = self.mark.rewrite(&mut labels);
        self.dropped(new, &dropped);
        json!({
            "Name": new, "Driver": "bridge", "Scope": "local", "Internal": internal,
            "Attachable": attachable, "EnableIPv6": false, "Options": options,
            "IPAM": {"Driver": "default", "Config": []}, "Labels": labels,
        })
    }
}

/// `true` if a container is on the network where everything of the engine meets.
fn uses_predefined(raw: &Value) -> bool {
    let mode = raw["HostConfig"]["NetworkMode"]
        .as_str()
        .unwrap_or_default();
    let networks = raw["NetworkSettings"]["Networks"].as_object();
    mode.is_empty()
        || PREDEFINED.contains(&mode)
        || networks.is_some_and(|n| n.keys().any(|k| PREDEFINED.contains(&k.as_str())))
}
