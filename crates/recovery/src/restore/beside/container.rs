//! One container of a copy: under another name, on the copy's networks and folders, with nothing by
//! which others would act on it, and with nothing of the host that was not allowed by name.

use lifeboat_plan::{label, path};
use serde_json::{Map, Value, json};

use super::{
    labels,
    network::PREDEFINED,
    transform::{Job, into_map, take},
    wanted::Allow,
};
use crate::{forward::CopyPort, restore::point::Definitions};

/// Log drivers that keep what they get on this host.
const LOCAL_LOGS: &[&str] = &[
    "",
    "json-file",
    "local",
    "journald",
    "none",
    "k8s-file",
    "passthrough",
];
/// An address of the container itself at which nobody listens: names that are not the copy's own are
/// refused at once. Without it some engines ask the host's resolver even for an internal network.
const NO_RESOLVER: &str = "127.0.0.254";

impl Job<'_> {
    /// The raw inspect of the copy's container, made from the original's.
    pub(super) fn container(
        &mut self,
        raw: Value,
        old: &str,
        new: &str,
        definitions: &Definitions,
    ) -> Value {
        if !raw["Config"].is_object() || !raw["HostConfig"].is_object() {
            self.refuse(format!("the point's definition of {old} cannot be read"));
        }
        self.host_access(&raw, old);
        self.known_mounts(&raw, old, definitions);
        let mut raw = into_map(raw);
        raw.insert("Name".to_owned(), format!("/{new}").into());
        let mut config = take(&mut raw, "Config");
        let mut host = take(&mut raw, "HostConfig");
        let mut settings = take(&mut raw, "NetworkSettings");
        self.config(&mut config, new);
        self.mounts(&mut host);
        self.references(&mut host, old);
        let on_own = self.network_mode(&mut host);
        let networks = take(&mut settings, "Networks");
        let networks = self.endpoints(networks, &mut host, old, new);
        settings.insert("Networks".to_owned(), Value::Object(networks));
        self.ports(&mut host, &config, new, on_own);
        if on_own && !self.wanted.network_access {
            host.insert("Dns".to_owned(), json!([NO_RESOLVER]));
        }
        let never = json!({"Name": "no", "MaximumRetryCount": 0});
        host.insert("RestartPolicy".to_owned(), never);
        host.insert("AutoRemove".to_owned(), false.into());
        let logs = take(&mut host, "LogConfig");
        let driver = logs.get("Type").and_then(Value::as_str).unwrap_or_default();
        let logs = if LOCAL_LOGS.contains(&driver) {
            Value::Object(logs)
        } else {
            self.changed(format!("{new} logs to a file instead of {driver}"));
            json!({"Type": "json-file", "Config": {}})
        };
        host.insert("LogConfig".to_owned(), logs);
        raw.insert("Config".to_owned(), Value::Object(config));
        raw.insert("HostConfig".to_owned(), Value::Object(host));
        raw.insert("NetworkSettings".to_owned(), Value::Object(settings));
        Value::Object(raw)
    }

    fn config(&mut self, config: &mut Map<String, Value>, new: &str) {
        let mut labels = take(config, "Labels");
        let depends = depends_on(&labels, |name| self.containers.get(name).cloned());
        let dropped = self.mark.rewrite(&mut labels);
        if let Some(depends) = depends {
            labels.insert(label::LIFEBOAT_DEPENDS_ON.to_owned(), depends.into());
        }
        config.insert("Labels".to_owned(), Value::Object(labels));
        self.dropped(new, &dropped);
        if let Some(env) = config.get_mut("Env").and_then(Value::as_array_mut) {
            let variables = labels::drop_variables(env);
            if !variables.is_empty() {
                self.changed(format!(
                    "{new} is without the variables {} (reverse proxy)",
                    variables.join(", ")
                ));
            }
        }
    }

    /// Volumes and binds are renamed when the container is made; here it is seen to it that each of
    /// them is known.
    fn known_mounts(&mut self, raw: &Value, old: &str, definitions: &Definitions) {
        for mount in raw["Mounts"].as_array().into_iter().flatten() {
            let text = |key: &str| mount[key].as_str().unwrap_or_default();
            let (name, source) = (text("Name"), text("Source"));
            let known = match text("Type") {
                "volume" => {
                    self.renamed.volumes.contains_key(name) || definitions.fresh.contains_key(name)
                }
                "bind" => path::clean(source)
                    .is_some_and(|s| self.kept.contains(&s) || self.is_mapped(&s)),
                "tmpfs" | "image" => true,
                _ => false,
            };
            // What is refused already is named there.
            let said = |sentence: &String| sentence.contains(source) && !source.is_empty();
            if !known && !self.said.refusals.iter().any(said) {
                let what = if name.is_empty() { source } else { name };
                self.refuse(format!(
                    "{old} mounts {what}, which is not in the point and would be the original's own"
                ));
            }
        }
    }

    /// What is the host's own is mounted read-only.
    fn mounts(&self, host: &mut Map<String, Value>) {
        let kept = |source: &str| path::clean(source).is_some_and(|s| self.kept.contains(&s));
        for bind in list(host, "Binds") {
            let given = bind.as_str().unwrap_or_default();
            let Some((source, rest)) = given.split_once(':') else {
                continue;
            };
            if kept(source) {
                *bind = read_only(source, rest).into();
            }
        }
        for mount in list(host, "Mounts").filter_map(Value::as_object_mut) {
            let is_kept = mount
                .get("Source")
                .and_then(Value::as_str)
                .is_some_and(kept);
            if is_kept && mount.get("Type").is_some_and(|t| t == "bind") {
                mount.insert("ReadOnly".to_owned(), true.into());
            }
            if let Some(options) = mount
                .get_mut("VolumeOptions")
                .and_then(Value::as_object_mut)
            {
                options.remove("DriverConfig");
            }
        }
    }

    /// Without access to the network nothing is published; with it, on free ports of 127.0.0.1.
    fn ports(
        &mut self,
        host: &mut Map<String, Value>,
        config: &Map<String, Value>,
        new: &str,
        on_own: bool,
    ) {
        let ports = ports(host, config);
        let publish = self.wanted.network_access && on_own;
        if !ports.is_empty() && !publish {
            self.changed(format!("{new} publishes no port ({})", ports.join(", ")));
        }
        let mut bindings = Map::new();
        for port in ports.into_iter().filter(|_| on_own) {
            let local = self.local_port(host, &port);
            if publish {
                let number = local.map(|l| l.to_string()).unwrap_or_default();
                let at = json!([{"HostIp": "127.0.0.1", "HostPort": number}]);
                bindings.insert(port.clone(), at);
            }
            self.said.ports.push(CopyPort {
                container: new.to_owned(),
                port,
                local,
            });
        }
        host.insert("PortBindings".to_owned(), Value::Object(bindings));
        host.insert("PublishAllPorts".to_owned(), false.into());
    }

    /// The port of 127.0.0.1 that was asked for in the place of one that the original publishes.
    fn local_port(&mut self, host: &Map<String, Value>, port: &str) -> Option<u16> {
        let protocol = port.split_once('/').map_or("tcp", |(_, p)| p);
        let bindings = host.get("PortBindings")?.get(port)?.as_array()?;
        let numbers = bindings
            .iter()
            .filter_map(|b| b["HostPort"].as_str()?.parse::<u16>().ok());
        let (old, new) = numbers
            .filter_map(|old| Some((old, self.wanted.maps.local_port(old, protocol)?)))
            .next()?;
        self.renamed.ports.insert(new, old);
        Some(new)
    }

    /// Refuses what reaches the host itself.
    fn host_access(&mut self, raw: &Value, old: &str) {
        let host = &raw["HostConfig"];
        let is_host = |key: &str| host[key] == "host";
        let some = |key: &str| host[key].as_array().is_some_and(|list| !list.is_empty());
        let devices = some("Devices") || some("DeviceRequests") || some("DeviceCgroupRules");
        for (there, what, allow) in [
            (
                is_host("NetworkMode"),
                "the host's network",
                Allow::HostNetwork,
            ),
            (is_host("PidMode"), "the host's processes", Allow::HostPid),
            (
                is_host("IpcMode"),
                "the host's shared memory",
                Allow::HostIpc,
            ),
            (is_host("UTSMode"), "the host's name", Allow::HostUts),
            (devices, "devices of the host", Allow::Devices),
            (
                host["Privileged"] == true,
                "the host's privileges",
                Allow::Privileged,
            ),
        ] {
            if there && !self.wanted.allows(&allow) {
                self.refuse(format!(
                    "{old} uses {what}: a copy does so only with `--allow {allow}`"
                ));
            }
        }
    }

    /// Rewrites what points at other containers: the id at the point leads to the new one.
    fn references(&mut self, host: &mut Map<String, Value>, old: &str) {
        for key in ["NetworkMode", "PidMode", "IpcMode"] {
            let given = text(host, key).to_owned();
            let Some(other) = given.strip_prefix("container:") else {
                continue;
            };
            match self.own_container(other) {
                Some(own) => {
                    host.insert(key.to_owned(), format!("container:{}", own.id).into());
                }
                None => self.refuse(format!(
                    "{old} runs in a namespace of a container ({other}) that is not in the point"
                )),
            }
        }
        for from in list(host, "VolumesFrom") {
            let given = from.as_str().unwrap_or_default().to_owned();
            let (name, options) = match given.split_once(':') {
                Some((name, options)) => (name, format!(":{options}")),
                None => (given.as_str(), String::new()),
            };
            match self.own_container(name) {
                Some(own) => *from = format!("{}{options}", own.id).into(),
                None => self.refuse(format!(
                    "{old} takes volumes from a container ({name}) that is not in the point"
                )),
            }
        }
    }

    /// `true` if the container is on networks of its own.
    fn network_mode(&mut self, host: &mut Map<String, Value>) -> bool {
        let mode = text(host, "NetworkMode").to_owned();
        if mode == "host" || mode == "none" || mode.starts_with("container:") {
            return false;
        }
        let name = if mode.is_empty() { "default" } else { &mode };
        if let Some(new) = self.networks.get(name) {
            host.insert("NetworkMode".to_owned(), new.as_str().into());
        }
        true
    }

    fn endpoints(
        &mut self,
        networks: Map<String, Value>,
        host: &mut Map<String, Value>,
        old: &str,
        new: &str,
    ) -> Map<String, Value> {
        // Between networks of one's own links belong to the endpoint.
        let given = host.remove("Links").unwrap_or_default();
        let mut host_links = self.links(&given);
        let mut renamed = Map::new();
        for (name, endpoint) in networks {
            if name == "host" || name == "none" {
                renamed.insert(name, endpoint);
                continue;
            }
            let mut endpoint = into_map(endpoint);
            let by_id = self.networks.get(text(&endpoint, "NetworkID"));
            let Some(network) = by_id.or_else(|| self.networks.get(&name)).cloned() else {
                // What was not allowed is refused already, by the network's name.
                if !self.old.networks.iter().any(|n| n.name == name) {
                    self.refuse(format!(
                        "{old} is attached to the network {name}, which is not in the point"
                    ));
                }
                continue;
            };
            let ipam = take(&mut endpoint, "IPAMConfig");
            for key in ["IPv4Address", "IPv6Address"] {
                let address = text(&ipam, key);
                if !address.is_empty() {
                    self.changed(format!(
                        "{new} has an address that the engine chose on {network}, not {address}"
                    ));
                }
            }
            let given = endpoint.remove("Links").unwrap_or_default();
            let mut links = self.links(&given);
            if PREDEFINED.contains(&name.as_str()) {
                links.append(&mut host_links);
            }
            if !links.is_empty() {
                endpoint.insert("Links".to_owned(), Value::Array(links));
            }
            if self.said.others_networks.contains(&network) {
                endpoint.remove("Aliases");
            }
            renamed.insert(network, Value::Object(endpoint));
        }
        renamed
    }

    fn links(&mut self, links: &Value) -> Vec<Value> {
        let links = links.as_array().into_iter().flatten();
        let links: Vec<&str> = links.filter_map(Value::as_str).collect();
        links
            .into_iter()
            .filter_map(|link| self.link(link))
            .collect()
    }

    /// A link to a container of the copy; one to another app's is dropped.
    fn link(&mut self, link: &str) -> Option<Value> {
        let (target, alias) = link.split_once(':').unwrap_or((link, link));
        let found = self.own_container(target).map(|own| own.name.clone());
        let Some(new) = found.and_then(|name| self.containers.get(&name)) else {
            self.changed(format!(
                "the link {link} to a container of another app is dropped"
            ));
            return None;
        };
        let alias = alias.rsplit('/').next().unwrap_or(alias);
        Some(format!("{new}:{alias}").into())
    }
}

fn list<'v>(map: &'v mut Map<String, Value>, key: &str) -> impl Iterator<Item = &'v mut Value> {
    map.get_mut(key)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

fn text<'v>(map: &'v Map<String, Value>, key: &str) -> &'v str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// `source:destination[:options]`, read-only.
fn read_only(source: &str, rest: &str) -> String {
    let (destination, options) = rest.split_once(':').unwrap_or((rest, ""));
    let others = options.split(',').filter(|o| !["", "rw", "ro"].contains(o));
    let options: Vec<&str> = others.chain(["ro"]).collect();
    format!("{source}:{destination}:{}", options.join(","))
}

/// The ports that a container publishes.
fn ports(host: &Map<String, Value>, config: &Map<String, Value>) -> Vec<String> {
    let bindings = host.get("PortBindings").and_then(Value::as_object);
    let mut ports: Vec<String> = bindings.into_iter().flat_map(Map::keys).cloned().collect();
    if host.get("PublishAllPorts") == Some(&Value::Bool(true)) {
        let exposed = config.get("ExposedPorts").and_then(Value::as_object);
        ports.extend(exposed.into_iter().flat_map(Map::keys).cloned());
    }
    ports.sort();
    ports.dedup();
    ports
}

/// What a label says about the order, in new names.
fn depends_on(
    labels: &Map<String, Value>,
    rename: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let keys = [label::LIFEBOAT_DEPENDS_ON, label::WATCHTOWER_DEPENDS_ON];
    let names: Vec<String> = keys
        .iter()
        .filter_map(|key| labels.get(*key)?.as_str())
        .flat_map(|value| value.split(','))
        .map(|name| {
            let name = name.trim();
            rename(name.trim_start_matches('/')).unwrap_or_else(|| name.to_owned())
        })
        .filter(|name| !name.is_empty())
        .collect();
    (!names.is_empty()).then(|| names.join(","))
}
