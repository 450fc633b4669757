//! Published ports and variables of containers.

use std::collections::BTreeMap;

use lifeboat_plan::label;
use serde_json::{Value, json};

use super::{
    PortMap, Variable,
    apply::{Job, Scope},
};

/// A port as a definition publishes it.
pub struct Published {
    /// Container.
    pub container: String,
    /// Port in it, `80/tcp`.
    pub port: String,
    /// Address of the host; empty for all.
    pub address: String,
    /// Port of the host.
    pub number: u16,
}

impl Published {
    /// `tcp`, `udp`, `sctp`.
    pub fn protocol(&self) -> &str {
        self.port.split_once('/').map_or("tcp", |(_, p)| p)
    }

    /// Whether two of them cannot be had at once.
    pub fn meets(&self, other: &Self) -> bool {
        let every = |address: &str| ["", "0.0.0.0", "::"].contains(&address);
        self.number == other.number
            && self.protocol() == other.protocol()
            && (self.address == other.address || every(&self.address) || every(&other.address))
    }
}

/// The ports of the host that definitions ask for, free ones left out.
pub fn published(containers: &BTreeMap<String, Value>) -> Vec<Published> {
    let mut found = Vec::new();
    for (container, raw) in containers {
        let ports = raw["HostConfig"]["PortBindings"].as_object();
        for (port, bindings) in ports.into_iter().flatten() {
            for binding in bindings.as_array().into_iter().flatten() {
                let text = |key: &str| binding[key].as_str().unwrap_or_default();
                let Some(number) = text("HostPort").parse().ok().filter(|n| *n != 0) else {
                    continue;
                };
                found.push(Published {
                    container: container.clone(),
                    port: port.clone(),
                    address: text("HostIp").to_owned(),
                    number,
                });
            }
        }
    }
    found
}

impl Job<'_> {
    pub(super) fn ports(&mut self) {
        let before = published(&self.definitions.containers);
        for map in &self.maps.ports {
            let found = before
                .iter()
                .filter(|p| map.fits(p.number, p.protocol()))
                .count();
            if found == 0 {
                let mut known: Vec<String> = before.iter().map(|p| p.number.to_string()).collect();
                known.sort();
                known.dedup();
                self.unknown("--map-port", "published port", &map.old.to_string(), &known);
            }
        }
        if self.scope == Scope::Copy {
            for port in &before {
                let new = self.maps.local_port(port.number, port.protocol());
                if let Some(new) = new {
                    let of = port.container.clone();
                    self.mapped(
                        "port",
                        Some(&of),
                        &shown(&port.address, port.number),
                        &shown("127.0.0.1", new),
                    );
                }
            }
            return;
        }
        let mut said = Vec::new();
        let renamed = &mut self.definitions.renamed.ports;
        for (container, raw) in &mut self.definitions.containers {
            let ports = raw.pointer_mut("/HostConfig/PortBindings");
            let ports = ports.and_then(Value::as_object_mut);
            for (port, bindings) in ports.into_iter().flatten() {
                let protocol = port.split_once('/').map_or("tcp", |(_, p)| p);
                for binding in bindings.as_array_mut().into_iter().flatten() {
                    let Some(map) = fitting(binding, protocol, &self.maps.ports) else {
                        continue;
                    };
                    renamed.insert(map.new, map.old);
                    let (old, new) = publish(binding, map);
                    said.push((container.clone(), old, new));
                }
            }
        }
        for (container, old, new) in said {
            self.mapped("port", Some(&container), &old, &new);
        }
        let after = published(&self.definitions.containers);
        for (at, one) in after.iter().enumerate() {
            let new = |p: &super::PortMap| p.new == one.number;
            for other in &after[..at] {
                let twice = (&one.container, &one.port) != (&other.container, &other.port);
                if twice && one.meets(other) && self.maps.ports.iter().any(new) {
                    self.problem(format!(
                        "--map-port: {} would be published twice, by {} ({}) and by {} ({}); give each a port of its own",
                        one.number, other.container, other.port, one.container, one.port
                    ));
                }
            }
        }
    }

    pub(super) fn variables(&mut self) {
        for variable in &self.maps.variables {
            let mut done: Vec<(String, bool)> = Vec::new();
            let mut services = Vec::new();
            for (name, raw) in &mut self.definitions.containers {
                let labels = &raw["Config"]["Labels"];
                let service = labels[label::SERVICE].as_str().unwrap_or(name).to_owned();
                let meant = match &variable.service {
                    Some(meant) => *meant == service || meant == name,
                    None => true,
                };
                let given = meant
                    && set(raw, variable).is_some_and(|was| {
                        done.push((name.clone(), was));
                        true
                    });
                if !given || variable.service.is_none() {
                    services.push(service);
                }
            }
            services.sort();
            services.dedup();
            match (&variable.service, done.is_empty()) {
                (Some(service), true) => {
                    self.unknown("--map-env", "service or container", service, &services);
                }
                (None, true) => self.problem(format!(
                    "--map-env: no container has the variable {}; to add it, name the service: SERVICE:{}=VALUE ({})",
                    variable.key,
                    variable.key,
                    services.join(", ")
                )),
                _ => {}
            }
            for (container, was) in done {
                let new = if was { "another value" } else { "added" };
                self.mapped("variable", Some(&container), &variable.key, new);
            }
        }
    }
}

/// The mapping of a binding.
fn fitting<'m>(binding: &Value, protocol: &str, maps: &'m [PortMap]) -> Option<&'m PortMap> {
    let number: u16 = binding["HostPort"].as_str()?.parse().ok()?;
    maps.iter().find(|m| m.fits(number, protocol))
}

/// Publishes elsewhere; old and new, as a person reads them.
fn publish(binding: &mut Value, map: &PortMap) -> (String, String) {
    let address = binding["HostIp"].as_str().unwrap_or_default().to_owned();
    let old = shown(&address, map.old);
    let address = map.address.map_or(address, |a| a.to_string());
    let new = if map.new == 0 {
        String::new()
    } else {
        map.new.to_string()
    };
    let said = shown(&address, map.new);
    *binding = json!({"HostIp": address, "HostPort": new});
    (old, said)
}

fn shown(address: &str, port: u16) -> String {
    let port = if port == 0 {
        "a free port".to_owned()
    } else {
        port.to_string()
    };
    match address {
        "" => port,
        v6 if v6.contains(':') => format!("[{v6}]:{port}"),
        address => format!("{address}:{port}"),
    }
}

/// Sets a variable; whether it was there. Without a service only what is there is set.
fn set(raw: &mut Value, variable: &Variable) -> Option<bool> {
    let new = format!("{}={}", variable.key, variable.value);
    let of_key = |entry: &Value| {
        let text = entry.as_str().unwrap_or_default();
        text.split('=').next() == Some(variable.key.as_str())
    };
    let env = &mut raw["Config"]["Env"];
    if let Some(entry) = env.as_array_mut().into_iter().flatten().find(|e| of_key(e)) {
        *entry = new.into();
        return Some(true);
    }
    variable.service.as_ref()?;
    match env.as_array_mut() {
        Some(env) => env.push(new.into()),
        None => *env = json!([new]),
    }
    Some(false)
}
