//! What a recovery point says: its manifest and its raw definitions, read once.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_engine::{
    ApiVersion,
    recreate::{Mapping, in_dockers_words, network_create_body, volume_create_body},
};
use lifeboat_images::Layout;
use lifeboat_plan::{
    manifest::{Manifest, VolumeContent, layout},
    order::{Order, order},
};
use lifeboat_vault::{
    Reader,
    id::{BlobId, SnapshotId},
    snapshot::Snapshot,
};
use serde_json::Value;

use crate::{
    RecoveryError, Result,
    layout_source::VaultLayout,
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
    pub(super) api: Option<ApiVersion>,
    pub(super) containers: BTreeMap<String, Value>,
    pub(super) networks: BTreeMap<String, Value>,
    pub(super) volumes: BTreeMap<String, Value>,
    /// By id.
    pub(super) images: BTreeMap<String, Value>,
    /// Architectures of an image that the point holds, of one for several; by id.
    pub(super) platforms: BTreeMap<String, BTreeSet<String>>,
    pub(super) fresh: BTreeMap<String, (String, String)>,
    /// What is called otherwise here than at the point; empty for an exact recovery.
    pub(super) renamed: Renamed,
    /// Old id or name of a container that is not restored and is here, to its id.
    pub(super) present: BTreeMap<String, String>,
    /// Place that goes with a name at the point, to another one where the point has it.
    pub(super) found: BTreeMap<String, String>,
}

/// What is called otherwise here than at the point.
#[derive(Default)]
pub struct Renamed {
    /// Old volume name to new.
    pub volumes: BTreeMap<String, String>,
    /// Old network name or id to new name, where that is not in the definitions already.
    pub networks: BTreeMap<String, String>,
    /// New port of the host to the one that was published at the point.
    pub ports: BTreeMap<u16, u16>,
    /// Old path of the host to new; a folder stands for all below it.
    pub paths: BTreeMap<String, String>,
    /// Place in a point's tree that goes with a new name, to the place where this point has it.
    pub places: BTreeMap<String, String>,
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
        let mut definitions = Definitions::read(reader, snapshot, &manifest, api)?;
        definitions.find_platforms(reader, root)?;
        Ok(Self {
            id,
            time: snapshot.time.clone(),
            root,
            manifest,
            definitions,
        })
    }
}

impl OpenPoint {
    /// Who of its containers comes before whom.
    pub fn order(&self) -> Result<Order> {
        let mut containers = Vec::new();
        for record in &self.manifest.containers {
            let raw = self.definitions.container(&record.name)?.clone();
            containers.push(lifeboat_engine::container_facts(raw));
        }
        Ok(order(&containers.iter().collect::<Vec<_>>()))
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
            let mut raw = load(layout::container_definition(&container.name))?;
            if manifest.engine.kind == "podman" {
                in_dockers_words(&mut raw);
            }
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
        for image in &manifest.images {
            // What an image sets is needed only where another one takes its place.
            let path = layout::image_definition(&image.id);
            if let Ok(raw) = load(path) {
                read.images.insert(image.id.clone(), raw);
            }
        }
        read.find_fresh(manifest);
        Ok(read)
    }

    /// Looks into images that are for several platforms: those of containerd's store may be.
    fn find_platforms(&mut self, reader: &Reader, root: BlobId) -> Result<()> {
        let is_index = |raw: &Value| {
            let kind = raw["Descriptor"]["mediaType"].as_str().unwrap_or_default();
            kind.contains("index") || kind.contains("manifest.list")
        };
        if !self.images.values().any(is_index) {
            return Ok(());
        }
        let source = VaultLayout::new(reader, root);
        // What is wrong with the images is said when they are read to be loaded.
        let Ok(layout) = Layout::read(&source) else {
            return Ok(());
        };
        for id in self.images.keys() {
            if let Some(image) = layout.find(id) {
                let held = image.architectures(&source)?;
                self.platforms.insert(id.clone(), held);
            }
        }
        Ok(())
    }

    /// Anonymous volumes that only one container uses and nothing names: the engine makes them anew
    /// with their container, so that they stay anonymous and go with it. By old name.
    fn find_fresh(&mut self, manifest: &Manifest) {
        for volume in manifest.volumes.iter().filter(|v| v.anonymous && !v.shared) {
            if volume.content != VolumeContent::Data {
                continue;
            }
            let mut users = self.containers.iter().filter_map(|(container, raw)| {
                let mounts = raw["Mounts"].as_array()?;
                let mount = mounts.iter().find(|m| m["Name"] == volume.name.as_str())?;
                Some((container, raw, mount["Destination"].as_str()?))
            });
            let (Some((container, raw, destination)), None) = (users.next(), users.next()) else {
                continue;
            };
            if is_declared(raw, destination) {
                let place = (container.clone(), destination.to_owned());
                self.fresh.insert(volume.name.clone(), place);
            }
        }
    }

    /// Container and place of each anonymous volume that is made anew, by old name.
    pub fn fresh(&self) -> &BTreeMap<String, (String, String)> {
        &self.fresh
    }

    /// What create bodies are made with.
    pub fn mapping(&self) -> Mapping {
        let renamed = &self.renamed;
        Mapping {
            volumes: renamed.volumes.clone(),
            networks: renamed.networks.clone(),
            binds: renamed.paths.clone(),
            fresh: self.fresh.keys().cloned().collect(),
            transformed: !renamed.places.is_empty() || !renamed.networks.is_empty(),
            ..Mapping::exact(self.api.unwrap_or(ApiVersion::new(1, 41)))
        }
    }

    /// Where the point has what would stand at this place under its present name.
    pub fn place<'a>(&'a self, place: &'a str) -> &'a str {
        let was = self.renamed.places.get(place);
        let was = was.map_or(place, String::as_str);
        self.found.get(was).map_or(was, String::as_str)
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

/// `true` if the container asks for a volume at this place without naming one.
fn is_declared(raw: &Value, destination: &str) -> bool {
    let same = |place: &str| place.trim_end_matches('/') == destination.trim_end_matches('/');
    let by_config = raw["Config"]["Volumes"]
        .as_object()
        .is_some_and(|v| v.keys().any(|place| same(place)));
    let host = &raw["HostConfig"];
    let list = |key: &str| host[key].as_array().cloned().unwrap_or_default();
    let named_bind = |bind: &Value| {
        bind.as_str()
            .and_then(|b| b.split_once(':'))
            .is_some_and(|(_, rest)| same(rest.split(':').next().unwrap_or_default()))
    };
    let bare_bind = |bind: &Value| bind.as_str().is_some_and(|b| !b.contains(':') && same(b));
    let at = |mount: &Value| mount["Target"].as_str().is_some_and(same);
    let is_named = |mount: &Value| mount["Source"].as_str().is_some_and(|s| !s.is_empty());
    let (binds, mounts) = (list("Binds"), list("Mounts"));
    let named = binds.iter().any(named_bind) || mounts.iter().any(|m| at(m) && is_named(m));
    !named && (by_config || binds.iter().any(bare_bind) || mounts.iter().any(at))
}

fn missing(what: &str, name: &str) -> RecoveryError {
    RecoveryError::Failed(format!(
        "the recovery point holds no definition of {what} {name}"
    ))
}
