//! A service's networks, and the networks of the file.

use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use super::{File, own_labels, put, strings, text};

impl File<'_> {
    /// How a container is attached: a mode, or networks with what was asked for on each.
    pub(super) fn attached(
        &mut self,
        service: &str,
        container: &str,
        raw: &Value,
        out: &mut Map<String, Value>,
    ) {
        let host = &raw["HostConfig"];
        let mode = host["NetworkMode"].as_str().unwrap_or_default();
        self.links(host, out);
        if let Some(other) = mode.strip_prefix("container:") {
            let mode = match self.service_of(other) {
                Some(service) => format!("service:{service}"),
                None => mode.to_owned(),
            };
            put(out, "network_mode", mode);
            return;
        }
        if mode == "host" || mode == "none" {
            put(out, "network_mode", mode);
            return;
        }
        let attached = raw["NetworkSettings"]["Networks"].as_object();
        let attached: Vec<(&String, &Value)> = attached.into_iter().flatten().collect();
        if attached.iter().all(|(name, _)| *name == "bridge") {
            put(out, "network_mode", "bridge");
            return;
        }
        if let Some(mac) = text(&raw["Config"], "MacAddress") {
            put(out, "mac_address", mac);
        }
        let id = raw["Id"].as_str().unwrap_or_default();
        let mut networks = Map::new();
        let several = attached.len() > 1;
        for (name, endpoint) in attached {
            if name == "bridge" {
                self.notes.push(format!(
                    "{container} was on the engine's own network `bridge` too, beside networks of its own: that a compose file cannot say"
                ));
                continue;
            }
            let key = self.network(name);
            let mut wanted = Map::new();
            let aliases: Vec<String> = strings(&endpoint["Aliases"])
                .into_iter()
                .filter(|a| a != service && a != container && id.get(..12) != Some(a.as_str()))
                .collect();
            put(&mut wanted, "aliases", aliases);
            let address = &endpoint["IPAMConfig"];
            for (key, name) in [
                ("IPv4Address", "ipv4_address"),
                ("IPv6Address", "ipv6_address"),
            ] {
                put(&mut wanted, name, text(address, key).unwrap_or_default());
            }
            put(
                &mut wanted,
                "link_local_ips",
                strings(&address["LinkLocalIPs"]),
            );
            put(&mut wanted, "driver_opts", endpoint["DriverOpts"].clone());
            // The one that it was made with; Compose takes the first by name otherwise.
            if several && (name == mode || endpoint["NetworkID"] == mode) {
                wanted.insert("priority".to_owned(), 1.into());
            }
            networks.insert(key, Value::Object(wanted));
        }
        put(out, "networks", networks);
    }

    fn links(&self, host: &Value, out: &mut Map<String, Value>) {
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for link in strings(&host["Links"]) {
            let (target, alias) = link.split_once(':').unwrap_or((&link, &link));
            let alias = alias.rsplit('/').next().unwrap_or(alias);
            match self.service_of(target) {
                Some(service) => own.push(format!("{service}:{alias}")),
                None => others.push(format!("{}:{alias}", target.trim_start_matches('/'))),
            }
        }
        put(out, "links", own);
        put(out, "external_links", others);
    }

    /// Notes that a network is used, and gives its key.
    fn network(&mut self, name: &str) -> String {
        let raw = self.facts.networks.get(name);
        let key = self.key(raw, "com.docker.compose.network", name);
        self.used_networks.insert(name.to_owned(), key.clone());
        key
    }

    pub(super) fn networks(&mut self) -> Map<String, Value> {
        let mut all = Map::new();
        for (name, key) in &self.used_networks {
            let record = self
                .facts
                .manifest
                .networks
                .iter()
                .find(|n| n.name == *name);
            let mut out = Map::new();
            if *name != format!("{}_{key}", self.project) {
                put(&mut out, "name", name.clone());
            }
            match self.facts.networks.get(name) {
                Some(raw) if !record.is_none_or(|r| r.shared) => {
                    self.definition(raw, self.has_fixed_addresses(name), &mut out);
                }
                _ => put(&mut out, "external", true),
            }
            all.insert(key.clone(), Value::Object(out));
        }
        all
    }

    /// `true` if somebody chose a container's address in a network.
    fn has_fixed_addresses(&self, network: &str) -> bool {
        self.facts.containers.values().any(|raw| {
            let asked = &raw["NetworkSettings"]["Networks"][network]["IPAMConfig"];
            text(asked, "IPv4Address").is_some() || text(asked, "IPv6Address").is_some()
        })
    }

    fn definition(&self, raw: &Value, fixed: bool, out: &mut Map<String, Value>) {
        let driver = text(raw, "Driver").filter(|d| *d != "bridge");
        put(out, "driver", driver.unwrap_or_default());
        put(out, "driver_opts", raw["Options"].clone());
        for (key, name) in [
            ("Internal", "internal"),
            ("Attachable", "attachable"),
            ("EnableIPv6", "enable_ipv6"),
        ] {
            if raw[key] == true {
                put(out, name, true);
            }
        }
        put(
            out,
            "ipam",
            ipam(raw, fixed, &self.facts.engine["DefaultAddressPools"]),
        );
        put(out, "labels", own_labels(&raw["Labels"], &json!({})));
    }
}

/// Subnets that somebody chose. What the engine takes by itself looks the same, so one from its own
/// pools is left out, unless an address in it was chosen: elsewhere it may be taken.
fn ipam(raw: &Value, fixed: bool, pools: &Value) -> Map<String, Value> {
    let ipam = &raw["IPAM"];
    let mut out = Map::new();
    let driver = text(ipam, "Driver").filter(|d| *d != "default");
    put(&mut out, "driver", driver.unwrap_or_default());
    put(&mut out, "options", ipam["Options"].clone());
    let mut config = Vec::new();
    for entry in ipam["Config"].as_array().into_iter().flatten() {
        let subnet = text(entry, "Subnet").unwrap_or_default();
        let detailed = text(entry, "IPRange").is_some() || !entry["AuxiliaryAddresses"].is_null();
        if !fixed && !detailed && is_of_a_pool(subnet, pools) {
            continue;
        }
        let mut wanted = Map::new();
        for (key, name) in [("Subnet", "subnet"), ("IPRange", "ip_range")] {
            put(&mut wanted, name, text(entry, key).unwrap_or_default());
        }
        let gateway = text(entry, "Gateway").unwrap_or_default();
        let gateway = gateway
            .split_once('/')
            .map_or(gateway, |(address, _)| address);
        put(&mut wanted, "gateway", gateway);
        put(
            &mut wanted,
            "aux_addresses",
            entry["AuxiliaryAddresses"].clone(),
        );
        config.push(Value::Object(wanted));
    }
    put(&mut out, "config", config);
    out
}

/// Whether the engine may have taken a subnet by itself: one of the pools that it was given, else
/// `172.17.0.0/16` to `172.31.0.0/16`, `192.168.0.0/20` and so on.
fn is_of_a_pool(subnet: &str, pools: &Value) -> bool {
    let given: Vec<(Ipv4Addr, u32, u32)> = pools
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|pool| {
            let (base, length) = network(text(pool, "Base")?)?;
            Some((base, length, u32::try_from(pool["Size"].as_u64()?).ok()?))
        })
        .collect();
    let usual = [
        (Ipv4Addr::new(172, 16, 0, 0), 12, 16),
        (Ipv4Addr::new(192, 168, 0, 0), 16, 20),
    ];
    let pools = if given.is_empty() {
        &usual[..]
    } else {
        &given[..]
    };
    let Some((address, size)) = network(subnet) else {
        return false;
    };
    pools.iter().any(|(base, length, each)| {
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        size == *each && u32::from(address) & mask == u32::from(*base) & mask
    })
}

/// `10.0.0.0/8` as address and length.
fn network(text: &str) -> Option<(Ipv4Addr, u32)> {
    let (address, length) = text.split_once('/')?;
    let length = length.parse().ok().filter(|n| *n <= 32)?;
    Some((address.parse().ok()?, length))
}
