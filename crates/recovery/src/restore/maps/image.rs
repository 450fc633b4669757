//! Other images for containers: the new one has to be on the engine, the old one is not loaded.
//!
//! A captured definition holds the old image's defaults merged in. With another image they go, or the
//! new one would run with the old one's command and environment; what differs from the defaults was
//! chosen by somebody and stays.

use lifeboat_plan::{
    inventory::{Image, Inventory},
    manifest::ContainerRecord,
};
use serde_json::Value;

use super::apply::Job;

/// What an image sets as a whole unless somebody chooses otherwise.
const WHOLE: &[&str] = &[
    "Cmd",
    "Entrypoint",
    "WorkingDir",
    "User",
    "StopSignal",
    "Healthcheck",
    "Shell",
    "OnBuild",
];

impl Job<'_> {
    pub(super) fn images(&mut self) {
        for map in &self.maps.images {
            let used = |old: &str| {
                let all = self.manifest.containers.iter();
                let names = all.filter(|c| self.runs(c, old)).map(|c| c.name.clone());
                names.collect::<Vec<_>>()
            };
            let splits = map.splits.iter().map(|(old, new)| (old, new, used(old)));
            // `a:1:b:2` fits `a` as well as `a:1`: the longer one is meant.
            let found = splits
                .filter(|(_, _, used)| !used.is_empty())
                .max_by_key(|(old, _, _)| old.len());
            let Some((old, new, containers)) = found else {
                let all = self.manifest.containers.iter();
                let mut known: Vec<String> = all.map(|c| c.image_ref.clone()).collect();
                known.sort();
                known.dedup();
                let given = map.splits.last().map_or(map.given.as_str(), |(old, _)| old);
                self.unknown("--map-image", "container of the image", given, &known);
                continue;
            };
            let Some(image) = find(self.here, new) else {
                self.problem(format!(
                    "--map-image {}: {new} is not on this engine; bring it there first (docker pull {new})",
                    map.given
                ));
                continue;
            };
            let id = image.id.clone();
            for container in containers {
                self.use_image(&container, new, &id);
                self.mapped("image", Some(&container), old, new);
            }
        }
        self.forget_images();
    }

    /// Whether a container of the point runs from this image.
    fn runs(&self, container: &ContainerRecord, image: &str) -> bool {
        let mut records = self.manifest.images.iter();
        let record = records.find(|i| i.id == container.image_id);
        let tagged = record.is_some_and(|i| i.tags.iter().any(|t| *t == with_tag(image)));
        with_tag(&container.image_ref) == with_tag(image)
            || tagged
            || is_id(&container.image_id, image)
    }

    fn use_image(&mut self, container: &str, image: &str, id: &str) {
        let mut records = self.manifest.containers.iter_mut();
        let Some(record) = records.find(|c| c.name == *container) else {
            return;
        };
        let defaults = self.definitions.images.get(&record.image_id).cloned();
        record.image_ref = image.to_owned();
        record.image_id = id.to_owned();
        let raw = self.definitions.containers.get_mut(container);
        if let Some(config) = raw.map(|raw| &mut raw["Config"]) {
            if let Some(defaults) = defaults {
                subtract(config, &defaults["Config"]);
            }
            config["Image"] = image.into();
        }
    }

    /// Images that no container runs from any more are not loaded.
    fn forget_images(&mut self) {
        let containers = &self.manifest.containers;
        if !self.applied.mapped.iter().any(|m| m.kind == "image") {
            return;
        }
        self.manifest
            .images
            .retain(|i| containers.iter().any(|c| c.image_id == i.id));
    }
}

/// Takes the old image's defaults out of a container's configuration.
fn subtract(config: &mut Value, defaults: &Value) {
    let Some(config) = config.as_object_mut() else {
        return;
    };
    for key in WHOLE {
        let same = config.get(*key).is_some_and(|v| *v == defaults[*key]);
        if same {
            config.remove(*key);
        }
    }
    let old = defaults["Env"].as_array().cloned().unwrap_or_default();
    if let Some(env) = config.get_mut("Env").and_then(Value::as_array_mut) {
        env.retain(|entry| !old.contains(entry));
    }
    if let Some(labels) = config.get_mut("Labels").and_then(Value::as_object_mut) {
        labels.retain(|key, value| defaults["Labels"].get(key) != Some(value));
    }
}

/// The image on the engine that a reference or an id means.
fn find<'i>(here: &'i Inventory, image: &str) -> Option<&'i Image> {
    let named = |i: &&Image| {
        i.tags.iter().any(|tag| *tag == with_tag(image))
            || i.repo_digests.iter().any(|digest| digest == image)
            || is_id(&i.id, image)
    };
    here.images.iter().find(named)
}

/// A reference as engines list it.
fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

/// Whether this is the id, or the beginning of it.
fn is_id(id: &str, given: &str) -> bool {
    let given = given.strip_prefix("sha256:").unwrap_or(given);
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    given.len() >= 12 && id.starts_with(given)
}
