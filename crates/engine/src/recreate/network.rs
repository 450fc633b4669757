//! Networks, and how a container is attached to them.

use serde_json::{Map, Value, json};

use super::{Mapping, labels, object, text};
use crate::{ApiVersion, Error, Result};

/// What inspect adds to what create took.
const NETWORK_STATE: &[&str] = &[
    "Id",
    "Created",
    "Containers",
    "Peers",
    "Services",
    "Status",
    "Scope",
    "Labels",
    "Name",
];
/// What inspect adds to an endpoint while, or because, the container runs.
const ENDPOINT_STATE: &[&str] = &[
    "NetworkID",
    "EndpointID",
    "Gateway",
    "IPAddress",
    "IPPrefixLen",
    "IPv6Gateway",
    "GlobalIPv6Address",
    "GlobalIPv6PrefixLen",
    "MacAddress",
    "DNSNames",
];

/// The create body of a network from its raw inspect. Subnets and gateways are kept also where the
/// engine had chosen them: whatever has learned an address finds it again. Where they overlap with what
/// is there now, see [`without_subnets`].
///
/// # Errors
/// The definition names no network.
pub fn network_create_body(raw: &Value, mapping: &Mapping) -> Result<Value> {
    let mut body = raw.as_object().cloned().unwrap_or_default();
    let (name, id, scope) = (
        text(&body, "Name").to_owned(),
        text(&body, "Id").to_owned(),
        text(&body, "Scope").to_owned(),
    );
    if name.is_empty() {
        return Err(Error::BadDefinition {
            what: "a network".to_owned(),
            why: "it has no name".to_owned(),
        });
    }
    for key in NETWORK_STATE {
        body.remove(*key);
    }
    body.insert("Name".to_owned(), mapping.network(&name, &id).into());
    body.insert("Labels".to_owned(), labels(raw, mapping));
    if scope != "local" && !scope.is_empty() {
        body.insert("Scope".to_owned(), scope.into());
    }
    // Up to 1.43 an engine makes a second network of the same name unless it is told to look.
    if mapping.api < ApiVersion::new(1, 44) {
        body.insert("CheckDuplicate".to_owned(), true.into());
    }
    if text(&object(raw, "ConfigFrom"), "Network").is_empty() {
        body.remove("ConfigFrom");
    }
    for entry in body
        .get_mut("IPAM")
        .and_then(|ipam| ipam.get_mut("Config"))
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        // Some versions show the gateway with the subnet's length, none takes it so.
        if let Some((address, _)) = entry["Gateway"]
            .as_str()
            .and_then(|gateway| gateway.split_once('/'))
        {
            entry["Gateway"] = Value::from(address.to_owned());
        }
    }
    Ok(Value::Object(body))
}

/// The same network, with addresses that the engine chooses: for one whose subnet is taken now, when
/// nothing in it has a fixed address.
#[must_use]
pub fn without_subnets(mut body: Value) -> Value {
    if let Some(ipam) = body.get_mut("IPAM").and_then(Value::as_object_mut) {
        ipam.insert("Config".to_owned(), json!([]));
    }
    body
}

/// A container's place on a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Attachment {
    /// The network's name.
    pub network: String,
    /// Settings of the endpoint, raw.
    pub endpoint: Value,
}

/// How a container is attached: through which networks, and through which it is created.
pub(super) struct Attachments {
    /// What `HostConfig.NetworkMode` is to be.
    pub mode: String,
    /// The network at create; none where the mode says it all (`host`, `none`, `container:<id>`).
    pub primary: Option<Attachment>,
    /// The others.
    pub others: Vec<Attachment>,
    /// Networks to leave after create.
    pub leave: Vec<String>,
}

/// Modes that are no network which a container could be connected to with settings.
pub(super) fn is_namespace_mode(mode: &str) -> bool {
    mode == "host" || mode == "none" || mode.starts_with("container:")
}

fn is_predefined(network: &str) -> bool {
    ["bridge", "default", "host", "none", "podman"].contains(&network)
}

/// Reads the attachments of a container from its raw inspect.
pub(super) fn attachments(raw: &Value, mapping: &Mapping) -> Attachments {
    let mode = raw["HostConfig"]["NetworkMode"]
        .as_str()
        .unwrap_or_default();
    let networks = object(&raw["NetworkSettings"], "Networks");
    if let Some(other) = mode.strip_prefix("container:") {
        let mode = format!("container:{}", mapping.container(other));
        return Attachments {
            mode,
            primary: None,
            others: Vec::new(),
            leave: Vec::new(),
        };
    }
    if is_namespace_mode(mode) {
        return Attachments {
            mode: mode.to_owned(),
            primary: None,
            others: Vec::new(),
            leave: Vec::new(),
        };
    }
    let is_default = mode.is_empty() || mode == "default";
    let looked_for = if is_default { "bridge" } else { mode };
    let mut found = Attachments {
        mode: mode.to_owned(),
        primary: None,
        others: Vec::new(),
        leave: Vec::new(),
    };
    for (name, settings) in &networks {
        let id = settings["NetworkID"].as_str().unwrap_or_default();
        let attachment = Attachment {
            network: mapping.network(name, id).to_owned(),
            endpoint: endpoint(raw, name, settings, mapping),
        };
        // The mode may name the network by its id, which is another one now.
        if name == looked_for || (!id.is_empty() && id == looked_for) {
            if !is_default {
                found.mode.clone_from(&attachment.network);
            }
            found.primary = Some(attachment);
        } else if !is_namespace_mode(name) {
            found.others.push(attachment);
        }
    }
    if found.primary.is_none() {
        if !is_default {
            found.mode = mapping.network(mode, mode).to_owned();
        }
        if !networks.is_empty() {
            found.leave.push(if is_default {
                "bridge".to_owned()
            } else {
                found.mode.clone()
            });
        }
    }
    found
}

/// What create and connect take of an endpoint: what was asked for, not what came of it.
fn endpoint(raw: &Value, network: &str, settings: &Value, mapping: &Mapping) -> Value {
    let mut out = settings.as_object().cloned().unwrap_or_default();
    for key in ENDPOINT_STATE {
        out.remove(*key);
    }
    out.retain(|_, value| !value.is_null());
    if is_predefined(network) {
        // No aliases and no fixed addresses there: engines refuse the container, or worse.
        out.remove("Aliases");
        out.remove("IPAMConfig");
    }
    let id = raw["Id"].as_str().unwrap_or_default();
    let short_id = id.get(..12).unwrap_or(id);
    if let Some(aliases) = out.get_mut("Aliases").and_then(Value::as_array_mut) {
        aliases.retain(|alias| alias.as_str() != Some(short_id));
    }
    if let Some(links) = out.get_mut("Links").and_then(Value::as_array_mut) {
        for link in links.iter_mut() {
            let mapped = link.as_str().map(|link| map_link(link, mapping));
            if let Some(mapped) = mapped {
                *link = mapped.into();
            }
        }
    }
    Value::Object(out)
}

/// `/db:/web/alias`, as inspect shows a link, or `db:alias`, as it was given, into the latter.
pub(super) fn map_link(link: &str, mapping: &Mapping) -> String {
    let (target, alias) = link.split_once(':').unwrap_or((link, link));
    let alias = alias.rsplit('/').next().unwrap_or(alias);
    let target = target.trim_start_matches('/');
    format!("{}:{alias}", mapping.container(target))
}

/// Puts an address of the link layer where the API version wants it.
pub(super) fn place_mac(
    mac: &str,
    api: ApiVersion,
    config: &mut Map<String, Value>,
    found: &mut Attachments,
) {
    const ON_ENDPOINT: ApiVersion = ApiVersion::new(1, 44);
    if mac.is_empty() || is_namespace_mode(&found.mode) {
        return;
    }
    if api < ON_ENDPOINT {
        config.insert("MacAddress".to_owned(), mac.into());
        return;
    }
    if found.mode.is_empty() || found.mode == "default" {
        // The endpoint's network has to be named as the mode names it.
        found.mode = "bridge".to_owned();
    }
    let network = found.mode.clone();
    let primary = found.primary.get_or_insert_with(|| Attachment {
        network,
        endpoint: json!({}),
    });
    primary.endpoint["MacAddress"] = mac.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_keeps_its_addresses_and_unknown_fields() {
        let raw = json!({
            "Name": "shop_default", "Id": "f0", "Created": "x", "Scope": "local", "Driver": "bridge", "EnableIPv6": false,
            "IPAM": {"Driver": "default", "Options": null, "Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1/24"}]},
            "Internal": true, "Attachable": false, "Ingress": false, "ConfigFrom": {"Network": ""}, "ConfigOnly": false,
            "Containers": {"c": {}}, "Options": {"com.docker.network.bridge.name": "br-shop"}, "Labels": {"l": "1"}, "FromTheFuture": 7,
        });
        let body = network_create_body(&raw, &Mapping::exact(ApiVersion::OLDEST)).unwrap();
        assert_eq!(
            body["IPAM"]["Config"],
            json!([{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1"}])
        );
        assert_eq!(
            (&body["FromTheFuture"], &body["CheckDuplicate"]),
            (&json!(7), &json!(true))
        );
        for gone in ["Id", "Created", "Containers", "Scope", "ConfigFrom"] {
            assert!(body.get(gone).is_none(), "{gone}");
        }
        assert!(
            network_create_body(&raw, &Mapping::exact(ApiVersion::NEWEST))
                .unwrap()
                .get("CheckDuplicate")
                .is_none()
        );
        assert_eq!(without_subnets(body)["IPAM"]["Config"], json!([]));
    }

    #[test]
    fn a_link_is_given_as_create_takes_it() {
        let mut mapping = Mapping::exact(ApiVersion::OLDEST);
        assert_eq!(map_link("/db:/web/database", &mapping), "db:database");
        assert_eq!(map_link("db:database", &mapping), "db:database");
        mapping
            .containers
            .insert("db".to_owned(), "try-db".to_owned());
        assert_eq!(map_link("/db:/web/database", &mapping), "try-db:database");
    }
}
