//! What an engine with an older API does not understand. It takes no notice of fields that it does not
//! know, so a part of a volume would become the whole of it.

use lifeboat_engine::ApiVersion;
use serde_json::Value;

use super::Ground;

/// Something that came with a version.
struct Feature {
    since: ApiVersion,
    what: &'static str,
    used: fn(&Value) -> bool,
}

/// Without these the app is another one.
const NEEDED: &[Feature] = &[
    Feature {
        since: ApiVersion::new(1, 42),
        what: "a cluster volume",
        used: |raw| mounts(raw).any(|m| m["Type"] == "cluster"),
    },
    Feature {
        since: ApiVersion::new(1, 45),
        what: "a folder within a volume (subpath)",
        used: |raw| mounts(raw).any(|m| is_said(&m["VolumeOptions"]["Subpath"])),
    },
    Feature {
        since: ApiVersion::new(1, 48),
        what: "an image as a mount",
        used: |raw| mounts(raw).any(|m| m["Type"] == "image"),
    },
];

/// Without these it does its work, but not quite as before.
const LOST: &[Feature] = &[
    Feature {
        since: ApiVersion::new(1, 43),
        what: "annotations for the runtime",
        used: |raw| {
            let all = raw["HostConfig"]["Annotations"].as_object();
            all.is_some_and(|all| !all.is_empty())
        },
    },
    Feature {
        since: ApiVersion::new(1, 44),
        what: "a health check's start interval",
        used: |raw| is_said(&raw["Config"]["Healthcheck"]["StartInterval"]),
    },
    Feature {
        since: ApiVersion::new(1, 48),
        what: "a network that is the way out before others (gateway priority)",
        used: |raw| {
            let all = raw["NetworkSettings"]["Networks"].as_object();
            let mut all = all.into_iter().flatten();
            all.any(|(_, network)| is_said(&network["GwPriority"]))
        },
    },
];

pub(super) fn api(on: &Ground<'_>, found: &mut Vec<String>) {
    for (name, feature, here) in newer(on, NEEDED) {
        found.push(format!(
            "{name} uses {}, which needs API {}, and this engine speaks {here}; update the engine",
            feature.what, feature.since
        ));
    }
}

/// What gets lost on the way, and stops nobody.
pub(super) fn lost(on: &Ground<'_>) -> Vec<String> {
    let lost = newer(on, LOST).map(|(name, feature, here)| {
        format!(
            "{name} uses {}, which needs API {}; this engine speaks {here} and takes no notice of it",
            feature.what, feature.since
        )
    });
    lost.collect()
}

fn newer<'a>(
    on: &'a Ground<'_>,
    features: &'static [Feature],
) -> impl Iterator<Item = (&'a String, &'static Feature, ApiVersion)> {
    let here: Option<ApiVersion> = on.here.engine.api_version.parse().ok();
    on.definitions
        .containers
        .iter()
        .flat_map(move |(name, raw)| {
            let newer = features
                .iter()
                .filter(move |f| here.is_some_and(|here| here < f.since) && (f.used)(raw));
            newer.filter_map(move |feature| Some((name, feature, here?)))
        })
}

fn mounts(raw: &Value) -> impl Iterator<Item = &Value> {
    raw["HostConfig"]["Mounts"].as_array().into_iter().flatten()
}

fn is_said(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_i64() != Some(0),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_came_with_a_later_version_is_seen() {
        let raw = json!({
            "Config": {"Healthcheck": {"StartInterval": 5}},
            "HostConfig": {"Mounts": [{"Type": "volume", "VolumeOptions": {"Subpath": "a"}}]},
            "NetworkSettings": {"Networks": {"n": {"GwPriority": 0}}},
        });
        let used = |list: &[Feature]| -> Vec<String> {
            let used = list.iter().filter(|f| (f.used)(&raw));
            used.map(|f| f.since.to_string()).collect()
        };
        assert_eq!(used(NEEDED), ["1.45"]);
        assert_eq!(used(LOST), ["1.44"]);
    }
}
