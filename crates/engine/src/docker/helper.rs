//! Containers of ours that never run: through them the engine's archive reads and writes volumes and
//! paths of *its* host, where that is not this one.
//!
//! Two kinds. A **scratch** container lives for one question and is taken away by the next run if we die
//! over it (see [`super::local`]). A **helper** stays: as long as it is there the engine refuses to remove
//! the volumes that it mounts, so whoever finds it again knows that they are still the same. It carries
//! the label `lifeboat.helper`, is no part of an inventory, and whoever made it takes it away.

use serde_json::{Value, json};

use super::http::escape;
use super::local::{Scratch, ignore_gone};
use super::{DockerEngine, text};
use crate::{Error, HostPath, Result};

/// Label on helpers, with value `1`.
pub(crate) const HELPER_LABEL: &str = "lifeboat.helper";
/// Where a path that is looked at is mounted.
const LOOKED_AT: &str = "/lifeboat-look";
/// How many local images are tried before one is made: some are for other machines.
const TRIED_IMAGES: usize = 3;
/// A tar stream with nothing in it: two empty blocks.
static EMPTY_TAR: [u8; 1024] = [0; 1024];

impl DockerEngine {
    /// Makes a helper with this `HostConfig` and returns its id. `image` may name the image that it is
    /// made of; one that is not there, or none, and another serves.
    ///
    /// # Errors
    /// The name is in use, or the engine refuses what it is to mount.
    pub fn create_helper(&self, name: &str, image: Option<&str>, host: &Value) -> Result<String> {
        self.never_started(name, image, &json!({HELPER_LABEL: "1"}), host)
    }

    /// Takes a helper away, and the image that was made for it if no other served. One that is gone is
    /// no error, a container of that name which is none is left alone.
    ///
    /// # Errors
    /// The engine does not answer, or cannot remove it.
    pub fn remove_helper(&self, name: &str) -> Result<()> {
        match self.inspect_container(name) {
            Ok(raw) if raw["Config"]["Labels"].get(HELPER_LABEL).is_none() => return Ok(()),
            Ok(raw) => ignore_gone(self.remove_container(text(&raw, "Id"), true, false))?,
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        ignore_gone(self.remove_image(name, true))
    }

    /// What stands at a path of the engine's own host. Nothing is changed there.
    ///
    /// # Errors
    /// The engine cannot tell.
    pub fn host_path(&self, path: &str) -> Result<HostPath> {
        let scratch = Scratch::new(self);
        let mount = json!({"Type": "bind", "Source": path, "Target": LOOKED_AT, "ReadOnly": true});
        let host = json!({"NetworkMode": "none", "Mounts": [mount]});
        match self.never_started(&scratch.name, None, &scratch.labels(), &host) {
            Ok(_) => {}
            Err(error) if is_missing_source(&error) => return Ok(HostPath::Absent),
            Err(error) => return Err(error),
        }
        let context = format!("look at {path} of the engine's host");
        let broke = |source| Error::Transport {
            context: context.clone(),
            source,
        };
        let mut archive = tar::Archive::new(self.archive_get(&scratch.name, LOOKED_AT)?);
        let mut entries = archive.entries().map_err(broke)?;
        let is_dir = match entries.next() {
            Some(first) => first.map_err(broke)?.header().entry_type().is_dir(),
            None => false,
        };
        Ok(match entries.next() {
            None if is_dir => HostPath::EmptyFolder,
            _ => HostPath::Something,
        })
    }

    /// Makes a container that is never started, from the first image that serves.
    pub(super) fn never_started(
        &self,
        name: &str,
        image: Option<&str>,
        labels: &Value,
        host: &Value,
    ) -> Result<String> {
        let mut body = json!({
            "Entrypoint": ["lifeboat-never-starts-this"],
            "Labels": labels,
            "NetworkDisabled": true,
            "HostConfig": host,
        });
        let mut candidates: Vec<String> = image.map(str::to_owned).into_iter().collect();
        let list = self.get_json("/images/json", "list images")?;
        let local = list
            .as_array()
            .into_iter()
            .flatten()
            .map(|entry| text(entry, "Id").to_owned());
        candidates.extend(local.take(TRIED_IMAGES));
        for candidate in candidates {
            body["Image"] = candidate.into();
            match self.create_container(name, &body) {
                Err(error) if is_missing_source(&error) => return Err(error),
                Err(error @ (Error::NotFound { .. } | Error::Refused { .. })) => {
                    tracing::debug!(%error, "image does not serve for a container of ours");
                }
                other => return other,
            }
        }
        let keys = labels.as_object().into_iter().flatten();
        let changes: Vec<String> = keys
            .map(|(key, value)| format!("LABEL {key}={}", value.as_str().unwrap_or_default()))
            .collect();
        let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
        // Named after the container, so that it can be removed by name whatever its id turns out to be.
        self.import_image(&mut EMPTY_TAR.as_slice(), name, &changes)?;
        body["Image"] = name.into();
        self.create_container(name, &body)
    }

    /// Ids or names in a list answer that carry a label of ours.
    pub(super) fn with_label(&self, path: &str, label: &str, context: &str) -> Result<Value> {
        let filter = escape(&json!({"label": [format!("{label}=1")]}).to_string());
        self.get_json(&format!("{path}filters={filter}"), context)
    }
}

/// The engine's words for a bind whose source is not there: Docker's and Podman's.
fn is_missing_source(error: &Error) -> bool {
    match error {
        Error::Refused { message, .. } | Error::NotFound { message, .. } => {
            message.contains("bind source path does not exist")
                || message.contains("no such file or directory")
        }
        _ => false,
    }
}
