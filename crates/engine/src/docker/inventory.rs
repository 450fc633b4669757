//! All facts about an engine in one go.
//!
//! The lists only say what exists; each object is then inspected, because only inspect is complete. What
//! vanishes between list and inspect is left out: it is gone, and the next look will not see it either.

use std::collections::BTreeSet;

use lifeboat_plan::inventory::{Container, EngineFacts, Image, Inventory, Network, Volume};
use serde_json::Value;

use super::facts::{container, image, network, volume};
use super::{ApiVersion, DockerEngine, text};
use crate::{Error, Result};

impl DockerEngine {
    /// Everything that the engine holds.
    ///
    /// # Errors
    /// The engine does not answer, or not in a form that we understand.
    pub fn inventory(&self) -> Result<Inventory> {
        let engine = self.facts()?;
        let containers = self.containers()?;
        let used: BTreeSet<&str> = containers.iter().map(|c| c.image_id.as_str()).collect();
        let images = self.images(&used)?;
        Ok(Inventory {
            engine,
            volumes: self.volumes()?,
            networks: self.networks()?,
            images,
            containers,
        })
    }

    /// Facts about the engine itself.
    ///
    /// # Errors
    /// The engine does not answer, or not in a form that we understand.
    pub fn facts(&self) -> Result<EngineFacts> {
        let info = self.get_json("/info", "read the engine's facts")?;
        let podman = self.version["Components"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|part| text(part, "Name").to_ascii_lowercase().contains("podman"));
        let options = info["SecurityOptions"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let user_namespaces = options
            .iter()
            .filter_map(Value::as_str)
            .any(|option| option.starts_with("name=userns") || option.starts_with("name=rootless"));
        Ok(EngineFacts {
            kind: if podman { "podman" } else { "docker" }.to_owned(),
            version: text(&self.version, "Version").to_owned(),
            api_version: self.api.to_string(),
            hostname: text(&info, "Name").to_owned(),
            id: text(&info, "ID").to_owned(),
            architecture: text(&self.version, "Arch").to_owned(),
            os: text(&info, "OSType").to_owned(),
            data_root: text(&info, "DockerRootDir").to_owned(),
            storage_driver: text(&info, "Driver").to_owned(),
            user_namespaces,
            raw: info,
        })
    }

    /// Raw `/containers/{id}/json`.
    ///
    /// One fact is added where the answer lacks it: from API 1.52 on, `Config.MacAddress`, the only
    /// place that tells an address that a person chose from one that the engine made up, is gone from
    /// inspect. It is asked for under 1.51 and put where older engines have it.
    ///
    /// # Errors
    /// No such container, or the engine does not answer.
    pub fn inspect_container(&self, id: &str) -> Result<Value> {
        let context = format!("inspect container {id}");
        let path = format!("/containers/{}/json", super::http::escape(id));
        let mut raw = self.get_json(&path, &context)?;
        const LAST_WITH_MAC: ApiVersion = ApiVersion::new(1, 51);
        if self.api > LAST_WITH_MAC && has_some_mac(&raw) {
            // An engine that no longer speaks 1.51 answers with an error: then there is no such fact.
            let older = self.call_as(
                LAST_WITH_MAC,
                hyper::Method::GET,
                &path,
                super::http::Body::Empty,
                &context,
                super::http::ORDINARY,
            );
            if let Ok(older) = older.and_then(|answer| answer.json(&context)) {
                let mac = text(&older["Config"], "MacAddress");
                if let (false, Some(config)) = (mac.is_empty(), raw["Config"].as_object_mut()) {
                    config.insert("MacAddress".to_owned(), mac.into());
                }
            }
        }
        Ok(raw)
    }

    /// All containers, stopped ones included.
    ///
    /// # Errors
    /// The engine does not answer, or not in a form that we understand.
    pub fn containers(&self) -> Result<Vec<Container>> {
        let list = self.get_json("/containers/json?all=1", "list containers")?;
        let mut out = Vec::new();
        let entries = list
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| !is_scratch(entry));
        for id in entries.map(|entry| text(entry, "Id")) {
            if let Some(raw) = existing(self.inspect_container(id))? {
                out.push(container(raw));
            }
        }
        Ok(out)
    }

    /// All volumes.
    ///
    /// # Errors
    /// The engine does not answer, or not in a form that we understand.
    pub fn volumes(&self) -> Result<Vec<Volume>> {
        let list = self.get_json("/volumes", "list volumes")?;
        let mut out = Vec::new();
        let entries = list["Volumes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| !is_scratch(entry));
        for name in entries.map(|entry| text(entry, "Name")) {
            if let Some(raw) = existing(self.inspect_volume(name))? {
                out.push(volume(raw));
            }
        }
        Ok(out)
    }

    /// All networks.
    ///
    /// # Errors
    /// The engine does not answer, or not in a form that we understand.
    pub fn networks(&self) -> Result<Vec<Network>> {
        let list = self.get_json("/networks", "list networks")?;
        let mut out = Vec::new();
        for id in list
            .as_array()
            .into_iter()
            .flatten()
            .map(|entry| text(entry, "Id"))
        {
            if let Some(raw) = existing(self.inspect_network(id))? {
                out.push(network(raw));
            }
        }
        Ok(out)
    }

    /// The images named, and all that carry a tag.
    fn images(&self, used: &BTreeSet<&str>) -> Result<Vec<Image>> {
        let list = self.get_json("/images/json", "list images")?;
        let entries = list
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| !is_scratch(entry));
        let tagged = entries.filter(|entry| {
            entry["RepoTags"].as_array().is_some_and(|tags| {
                tags.iter()
                    .filter_map(Value::as_str)
                    .any(|tag| tag != "<none>:<none>")
            })
        });
        let mut ids: BTreeSet<&str> = tagged.map(|entry| text(entry, "Id")).collect();
        ids.extend(used);
        ids.remove("");
        let mut out = Vec::new();
        for id in ids {
            if let Some(raw) = existing(self.inspect_image(id))? {
                out.push(image(raw));
            }
        }
        Ok(out)
    }
}

/// What we make for ourselves for a moment is not part of what the engine holds.
pub(super) fn is_scratch(entry: &Value) -> bool {
    let ours = [super::local::SCRATCH_LABEL, super::helper::HELPER_LABEL];
    ours.iter()
        .any(|label| entry["Labels"].get(label).is_some())
}

/// `None` for what is not there any more.
fn existing(answer: Result<Value>) -> Result<Option<Value>> {
    match answer {
        Ok(raw) => Ok(Some(raw)),
        Err(error @ Error::NotFound { .. }) => {
            tracing::debug!(%error, "vanished between list and inspect");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn has_some_mac(raw: &Value) -> bool {
    raw["NetworkSettings"]["Networks"]
        .as_object()
        .into_iter()
        .flatten()
        .any(|(_, endpoint)| !text(endpoint, "MacAddress").is_empty())
}
