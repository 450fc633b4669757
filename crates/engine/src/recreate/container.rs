//! Containers.

use serde_json::{Map, Value, json};

use super::network::{Attachments, attachments, is_namespace_mode, map_link, place_mac};
use super::{ContainerPlan, Mapping, mounts, object, text};
use crate::{Error, Result};

/// Which image a container of Compose was made from, by id.
const COMPOSE_IMAGE: &str = "com.docker.compose.image";
/// Which container it replaced, while Compose was replacing it.
const COMPOSE_REPLACE: &str = "com.docker.compose.replace";

/// How a container is made again from its raw inspect: see the module's table for what is changed.
///
/// The volumes must exist before (with their data: an engine fills an **empty** volume from the image
/// when the container is created), the networks too, and the containers that it refers to.
///
/// # Errors
/// The definition is not that of a container.
pub fn container_create_body(raw: &Value, mapping: &Mapping) -> Result<ContainerPlan> {
    let name = raw["Name"]
        .as_str()
        .unwrap_or_default()
        .trim_start_matches('/')
        .to_owned();
    let bad = |why: &str| Error::BadDefinition {
        what: format!("container {name:?}"),
        why: why.to_owned(),
    };
    if name.is_empty() {
        return Err(bad("it has no name"));
    }
    if !raw["Config"].is_object() || !raw["HostConfig"].is_object() {
        return Err(bad("Config or HostConfig is missing"));
    }
    let mut config = object(raw, "Config");
    let mut host = object(raw, "HostConfig");
    let mut found = attachments(raw, mapping);
    let mut notes = Vec::new();

    host_name(raw, &mut config, &host, mapping);
    let mac = text(&config, "MacAddress").to_owned();
    config.remove("MacAddress");
    place_mac(&mac, mapping.api, &mut config, &mut found);
    if found.mode.starts_with("container:") {
        // The image's ports are merged in again; given explicitly they are refused beside this mode.
        config.remove("ExposedPorts");
    }
    image(raw, &mut config, mapping);
    mounts::rewrite(raw, &config, &mut host, mapping);
    references(&mut host, mapping);
    devices(&mut host);
    if !found.mode.is_empty() {
        host.insert("NetworkMode".to_owned(), found.mode.clone().into());
    }
    if !found.leave.is_empty() {
        notes.push(format!(
            "{name} was made with network {} and detached from it later; it is detached again",
            found.leave.join(", ")
        ));
    }

    let mut body = config;
    body.insert("HostConfig".to_owned(), Value::Object(host));
    body.insert("NetworkingConfig".to_owned(), networking(&found));
    Ok(ContainerPlan {
        name,
        body: Value::Object(body),
        connect: found.others,
        disconnect: found.leave,
        notes,
    })
}

/// Whether a container has an address that somebody chose: those start first, before the engine can
/// give the address to another one.
#[must_use]
pub fn has_fixed_address(raw: &Value) -> bool {
    let networks = object(&raw["NetworkSettings"], "Networks");
    networks.values().any(|endpoint| {
        let ipam = object(endpoint, "IPAMConfig");
        ["IPv4Address", "IPv6Address"]
            .into_iter()
            .any(|key| !text(&ipam, key).is_empty())
    })
}

/// Drops a host name that nobody chose.
fn host_name(
    raw: &Value,
    config: &mut Map<String, Value>,
    host: &Map<String, Value>,
    mapping: &Mapping,
) {
    let id = raw["Id"].as_str().unwrap_or_default();
    let name = text(config, "Hostname");
    let mode = text(host, "NetworkMode");
    let of_id = !id.is_empty() && id.get(..12).unwrap_or(id) == name;
    let of_host = mode == "host"
        && mapping
            .source_hostname
            .as_deref()
            .is_none_or(|source| source == name);
    let shared = mode.starts_with("container:") || text(host, "UTSMode") == "host";
    if of_id || of_host || shared {
        config.remove("Hostname");
    }
    if of_host || shared {
        config.remove("Domainname");
    }
}

/// The image, and the label by which Compose knows it.
fn image(raw: &Value, config: &mut Map<String, Value>, mapping: &Mapping) {
    if let Some(image) = &mapping.image {
        config.insert("Image".to_owned(), image.clone().into());
    }
    let Some(labels) = config.get_mut("Labels").and_then(Value::as_object_mut) else {
        return;
    };
    labels.remove(COMPOSE_REPLACE);
    let of_old_image = labels
        .get(COMPOSE_IMAGE)
        .is_some_and(|label| *label == raw["Image"]);
    if let (true, Some(id)) = (of_old_image, &mapping.image_id) {
        labels.insert(COMPOSE_IMAGE.to_owned(), id.clone().into());
    }
}

/// Everything in a host configuration that points at another container.
fn references(host: &mut Map<String, Value>, mapping: &Mapping) {
    for link in host
        .get_mut("Links")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let mapped = link.as_str().map(|given| map_link(given, mapping));
        if let Some(mapped) = mapped {
            *link = mapped.into();
        }
    }
    for from in host
        .get_mut("VolumesFrom")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let Some(given) = from.as_str() else { continue };
        let mapped = match given.split_once(':') {
            Some((container, options)) => format!("{}:{options}", mapping.container(container)),
            None => mapping.container(given).to_owned(),
        };
        *from = mapped.into();
    }
    for key in ["PidMode", "IpcMode"] {
        let mapped = text(host, key)
            .strip_prefix("container:")
            .map(|other| format!("container:{}", mapping.container(other)));
        if let Some(mapped) = mapped {
            host.insert(key.to_owned(), mapped.into());
        }
    }
}

fn devices(host: &mut Map<String, Value>) {
    for device in host
        .get_mut("Devices")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if device["CgroupPermissions"]
            .as_str()
            .is_none_or(str::is_empty)
            && device.is_object()
        {
            device["CgroupPermissions"] = "rwm".into();
        }
    }
}

/// The one network at create. A predefined one without settings is not named at all: the mode does it.
fn networking(found: &Attachments) -> Value {
    match &found.primary {
        Some(primary) if !is_namespace_mode(&found.mode) => {
            let bare = primary.endpoint.as_object().is_none_or(Map::is_empty);
            let predefined = ["bridge", "default", ""].contains(&found.mode.as_str());
            if bare && predefined {
                return json!({});
            }
            json!({"EndpointsConfig": {&primary.network: primary.endpoint}})
        }
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApiVersion;

    fn raw(config: Value, host: Value, networks: Value) -> Value {
        json!({
            "Id": "ab".repeat(32), "Name": "/web", "Image": "sha256:old", "Config": config, "HostConfig": host,
            "NetworkSettings": {"Networks": networks},
        })
    }

    fn on_front() -> Value {
        let config = json!({"Hostname": "abababababab", "MacAddress": "02:00:00:00:00:01", "Image": "x:1", "FromTheFuture": [1]});
        let front = json!({
            "IPAMConfig": {"IPv4Address": "10.0.0.9"}, "Links": null, "Aliases": ["web", "abababababab"], "NetworkID": "f00d",
            "IPAddress": "10.0.0.9", "MacAddress": "02:00:00:00:00:01", "DNSNames": ["web"], "GwPriority": 5,
        });
        let second = json!({"IPAMConfig": null, "Aliases": null, "NetworkID": "beef", "IPAddress": "10.1.0.2", "MacAddress": "02:00:00:00:00:02"});
        raw(
            config,
            json!({"NetworkMode": "f00d", "Unknown": {"a": 1}}),
            json!({"second": second, "front": front}),
        )
    }

    #[test]
    fn one_network_at_create_and_only_what_was_asked_for() {
        let plan =
            container_create_body(&on_front(), &Mapping::exact(ApiVersion::new(1, 44))).unwrap();
        let endpoints = &plan.body["NetworkingConfig"]["EndpointsConfig"];
        let wanted = json!({"front": {
            "IPAMConfig": {"IPv4Address": "10.0.0.9"}, "Aliases": ["web"], "GwPriority": 5, "MacAddress": "02:00:00:00:00:01",
        }});
        assert_eq!(*endpoints, wanted);
        assert_eq!(
            plan.body["HostConfig"]["NetworkMode"], "front",
            "it was named by its id"
        );
        assert_eq!(plan.connect.len(), 1);
        assert_eq!(
            (plan.connect[0].network.as_str(), &plan.connect[0].endpoint),
            ("second", &json!({}))
        );
        assert!(plan.body.get("MacAddress").is_none() && plan.body.get("Hostname").is_none());
        assert_eq!(
            (
                &plan.body["FromTheFuture"],
                &plan.body["HostConfig"]["Unknown"]
            ),
            (&json!([1]), &json!({"a": 1}))
        );
    }

    #[test]
    fn the_mac_goes_where_the_version_wants_it() {
        let plan =
            container_create_body(&on_front(), &Mapping::exact(ApiVersion::new(1, 43))).unwrap();
        assert_eq!(plan.body["MacAddress"], "02:00:00:00:00:01");
        assert!(
            plan.body["NetworkingConfig"]["EndpointsConfig"]["front"]
                .get("MacAddress")
                .is_none()
        );
        let plain = raw(
            json!({"MacAddress": "02:00:00:00:00:01"}),
            json!({"NetworkMode": "default"}),
            json!({"bridge": {"MacAddress": "x"}}),
        );
        let plan = container_create_body(&plain, &Mapping::exact(ApiVersion::new(1, 52))).unwrap();
        assert_eq!(
            plan.body["NetworkingConfig"],
            json!({"EndpointsConfig": {"bridge": {"MacAddress": "02:00:00:00:00:01"}}})
        );
        assert_eq!(plan.body["HostConfig"]["NetworkMode"], "bridge");
        let made_up = raw(
            json!({}),
            json!({"NetworkMode": "bridge"}),
            json!({"bridge": {"MacAddress": "02:42:ac:11:00:02"}}),
        );
        let plan =
            container_create_body(&made_up, &Mapping::exact(ApiVersion::new(1, 52))).unwrap();
        assert_eq!(plan.body["NetworkingConfig"], json!({}));
    }

    #[test]
    fn a_host_name_counts_only_if_somebody_chose_it() {
        let mut mapping = Mapping::exact(ApiVersion::OLDEST);
        let host_name = |name: &str, mode: &str, mapping: &Mapping| {
            let raw = raw(
                json!({"Hostname": name, "Domainname": "d"}),
                json!({"NetworkMode": mode}),
                json!({}),
            );
            container_create_body(&raw, mapping)
                .unwrap()
                .body
                .get("Hostname")
                .cloned()
        };
        assert_eq!(
            host_name("chosen", "bridge", &mapping),
            Some("chosen".into())
        );
        assert_eq!(host_name("abababababab", "bridge", &mapping), None);
        assert_eq!(host_name("parent", "container:x", &mapping), None);
        assert_eq!(
            host_name("machine", "host", &mapping),
            None,
            "it cannot be told: the safe way"
        );
        mapping.source_hostname = Some("machine".to_owned());
        assert_eq!(host_name("machine", "host", &mapping), None);
        assert_eq!(host_name("chosen", "host", &mapping), Some("chosen".into()));
    }

    #[test]
    fn composes_labels_follow_the_image() {
        let labels = json!({COMPOSE_IMAGE: "sha256:old", COMPOSE_REPLACE: "web", "com.docker.compose.config-hash": "h"});
        let raw = raw(
            json!({"Image": "x:1", "Labels": labels}),
            json!({"Devices": [{"PathOnHost": "/dev/x", "CgroupPermissions": ""}]}),
            json!({}),
        );
        let mut mapping = Mapping::exact(ApiVersion::OLDEST);
        mapping.image = Some("sha256:new".to_owned());
        mapping.image_id = Some("sha256:new".to_owned());
        let body = container_create_body(&raw, &mapping).unwrap().body;
        assert_eq!(
            body["Labels"],
            json!({COMPOSE_IMAGE: "sha256:new", "com.docker.compose.config-hash": "h"})
        );
        assert_eq!(body["Image"], "sha256:new");
        assert_eq!(body["HostConfig"]["Devices"][0]["CgroupPermissions"], "rwm");
        assert!(container_create_body(&json!({"Name": "/x"}), &mapping).is_err());
        assert!(container_create_body(&json!({"Config": {}, "HostConfig": {}}), &mapping).is_err());
    }
}
