//! What a recovery point says: its manifest and its raw definitions, read once.

use std::collections::BTreeMap;

use lifeboat_engine::{
    ApiVersion,
    recreate::{Mapping, network_create_body, volume_create_body},
};
use lifeboat_plan::manifest::{Manifest, layout};
use lifeboat_vault::{
    Reader,
    id::{BlobId, SnapshotId},
    snapshot::Snapshot,
};
use serde_json::Value;

use crate::{
    RecoveryError, Result,
    points::{manifest_from, read_file},
};

/// A recovery point, opened.
pub struct OpenPoint {
    /// Its id.
    pub id: SnapshotId,
    /// When its capture began, RFC 3339.
    pub time: String,
    /// Root tree.
    pub root: BlobId,
    /// `app.json`, validated.
    pub manifest: Manifest,
    /// Raw definitions.
    pub definitions: Definitions,
}

/// Raw inspect answers by name.
#[derive(Default)]
pub struct Definitions {
    api: Option<ApiVersion>,
    containers: BTreeMap<String, Value>,
    networks: BTreeMap<String, Value>,
    volumes: BTreeMap<String, Value>,
}

impl OpenPoint {
    /// Reads manifest and definitions. A plain snapshot is refused: it has no app.
    pub fn open(
        reader: &Reader,
        id: SnapshotId,
        snapshot: &Snapshot,
        api: ApiVersion,
    ) -> Result<Self> {
        let (Some(manifest), Some(root)) = (manifest_from(reader, snapshot)?, snapshot.tree) else {
            return Err(RecoveryError::Refused(format!(
                "{} is a plain snapshot without an app; restore its files with --target DIR",
                id.short()
            )));
        };
        let definitions = Definitions::read(reader, snapshot, &manifest, api)?;
        Ok(Self {
            id,
            time: snapshot.time.clone(),
            root,
            manifest,
            definitions,
        })
    }
}

impl Definitions {
    fn read(
        reader: &Reader,
        snapshot: &Snapshot,
        manifest: &Manifest,
        api: ApiVersion,
    ) -> Result<Self> {
        let load = |path: String| -> Result<Value> {
            let bytes = read_file(reader, snapshot, &path)?.ok_or_else(|| {
                RecoveryError::Failed(format!(
                    "{path} is missing from the recovery point; run `lifeboat check`"
                ))
            })?;
            serde_json::from_slice(&bytes).map_err(|e| {
                RecoveryError::Failed(format!("{path} of the recovery point is no JSON: {e}"))
            })
        };
        let mut read = Self {
            api: Some(api),
            ..Self::default()
        };
        for container in &manifest.containers {
            let raw = load(layout::container_definition(&container.name))?;
            read.containers.insert(container.name.clone(), raw);
        }
        for network in &manifest.networks {
            let raw = load(layout::network_definition(&network.name))?;
            read.networks.insert(network.name.clone(), raw);
        }
        for volume in &manifest.volumes {
            let raw = load(layout::volume_definition(&volume.name))?;
            read.volumes.insert(volume.name.clone(), raw);
        }
        Ok(read)
    }

    fn mapping(&self) -> Mapping {
        Mapping::exact(self.api.unwrap_or(ApiVersion::new(1, 41)))
    }

    /// Raw inspect of a container.
    pub fn container(&self, name: &str) -> Result<&Value> {
        self.containers
            .get(name)
            .ok_or_else(|| missing("container", name))
    }

    /// Create body of a network.
    pub fn network_body(&self, name: &str) -> Result<Value> {
        let raw = self
            .networks
            .get(name)
            .ok_or_else(|| missing("network", name))?;
        Ok(network_create_body(raw, &self.mapping())?)
    }

    /// Create body of a volume.
    pub fn volume_body(&self, name: &str) -> Result<Value> {
        let raw = self
            .volumes
            .get(name)
            .ok_or_else(|| missing("volume", name))?;
        Ok(volume_create_body(raw, &self.mapping())?)
    }
}

fn missing(what: &str, name: &str) -> RecoveryError {
    RecoveryError::Failed(format!(
        "the recovery point holds no definition of {what} {name}"
    ))
}
