//! Networks that are here: they stay, and what differs is said.

use serde_json::Value;

use crate::restore::point::OpenPoint;

/// Compares a network with the point's of the same name. One that differs is left; it is refused where
/// a container of the point has a fixed address that it cannot have there.
pub fn compare(
    here: &Value,
    point: &OpenPoint,
    name: &str,
    notes: &mut Vec<String>,
    refused: &mut Vec<String>,
) {
    let Ok(wanted) = point.definitions.network_body(name) else {
        return;
    };
    let subnets = |raw: &Value| -> Vec<String> {
        let config = raw["IPAM"]["Config"].as_array();
        let subnets = config.into_iter().flatten();
        subnets
            .filter_map(|c| c["Subnet"].as_str().map(str::to_owned))
            .collect()
    };
    let mut differs = Vec::new();
    for (key, what) in [
        ("Driver", "driver"),
        ("Internal", "way out"),
        ("EnableIPv6", "IPv6"),
        ("Options", "options"),
    ] {
        let empty = |value: &Value| {
            value.is_null() || value == false || value.as_object().is_some_and(|o| o.is_empty())
        };
        if here[key] != wanted[key] && !(empty(&here[key]) && empty(&wanted[key])) {
            differs.push(what);
        }
    }
    let (is, was) = (subnets(here), subnets(&wanted));
    if is != was {
        let fixed = point.manifest.containers.iter().find(|c| {
            let raw = point.definitions.container(&c.name).ok();
            let config = raw.map(|raw| &raw["NetworkSettings"]["Networks"][name]["IPAMConfig"]);
            config.is_some_and(|c| c["IPv4Address"].is_string() || c["IPv6Address"].is_string())
        });
        if let Some(container) = fixed {
            refused.push(format!(
                "network {name} has other addresses here ({}) than at the point ({}), and {} needs a fixed one; take the app down (`docker compose down`) and restore without --replace",
                is.join(", "),
                was.join(", "),
                container.name
            ));
            return;
        }
        differs.push("addresses");
    }
    if !differs.is_empty() {
        notes.push(format!(
            "network {name} differs from the point's ({}): left as it is",
            differs.join(", ")
        ));
    }
}
