//! The records that a manifest is made of.

use serde::{Deserialize, Serialize};

use crate::app::{AppContainer, AppNetwork, Database, DatabaseKind};
use crate::inventory::{ContainerState, EngineFacts};

/// Facts about the engine that the point was captured from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineRecord {
    /// `docker`, `podman`.
    pub kind: String,
    /// Server version.
    pub version: String,
    /// Negotiated API version.
    pub api_version: String,
    /// Architecture in OCI terms.
    pub architecture: String,
    /// `linux`.
    pub os: String,
    /// Storage driver.
    #[serde(default)]
    pub storage_driver: String,
    /// Data root.
    #[serde(default)]
    pub data_root: String,
    /// Ids inside containers are mapped.
    #[serde(default)]
    pub user_namespaces: bool,
}

impl From<&EngineFacts> for EngineRecord {
    fn from(facts: &EngineFacts) -> Self {
        Self {
            kind: facts.kind.clone(),
            version: facts.version.clone(),
            api_version: facts.api_version.clone(),
            architecture: facts.architecture.clone(),
            os: facts.os.clone(),
            storage_driver: facts.storage_driver.clone(),
            data_root: facts.data_root.clone(),
            user_namespaces: facts.user_namespaces,
        }
    }
}

/// What a container did at the point, and so what it does after recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It ran: it is started.
    Running,
    /// It was paused by somebody else: it is started, then paused.
    Paused,
    /// It did not run: it is created and left.
    Stopped,
}

impl From<ContainerState> for RunState {
    fn from(state: ContainerState) -> Self {
        match state {
            ContainerState::Running | ContainerState::Restarting => Self::Running,
            ContainerState::Paused => Self::Paused,
            ContainerState::Created | ContainerState::Exited | ContainerState::Dead => {
                Self::Stopped
            }
        }
    }
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// Full id at the point.
    pub id: String,
    /// Name.
    pub name: String,
    /// Compose or Swarm service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What it did at the point, as it was before we froze anything.
    pub state: RunState,
    /// Image id.
    pub image_id: String,
    /// Image reference as given at creation.
    pub image_ref: String,
    /// Removed by the engine when it ends.
    #[serde(default)]
    pub auto_remove: bool,
}

impl From<&AppContainer> for ContainerRecord {
    fn from(c: &AppContainer) -> Self {
        Self {
            id: c.id.clone(),
            name: c.name.clone(),
            service: c.service.clone(),
            state: c.state.into(),
            image_id: c.image_id.clone(),
            image_ref: c.image_ref.clone(),
            auto_remove: c.auto_remove,
        }
    }
}

/// What of a volume is in the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeContent {
    /// Its data, under `volumes/<name>/`.
    Data,
    /// Its definition alone.
    Definition,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// Name.
    pub name: String,
    /// Driver.
    pub driver: String,
    /// Made without a name.
    #[serde(default)]
    pub anonymous: bool,
    /// Belongs to others as well: created only when absent.
    #[serde(default)]
    pub shared: bool,
    /// What of it is in the point.
    pub content: VolumeContent,
    /// Bytes of its files, as counted at capture.
    #[serde(default)]
    pub bytes: u64,
    /// Number of its files, as counted at capture.
    #[serde(default)]
    pub files: u64,
}

/// What was decided about a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BindDecision {
    /// Its data is in the point.
    Captured,
    /// Left out; the reason stands in `left_out`.
    LeftOut,
    /// The host's own: recorded only.
    System,
    /// Lies in another captured bind or in the project: captured once, there.
    Within,
}

/// File or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathKind {
    /// A folder.
    Dir,
    /// A file.
    File,
    /// A socket, pipe or device.
    Special,
}

/// What was there at the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BindContent {
    /// Something.
    Present,
    /// An empty folder or file.
    Empty,
    /// Nothing: the source did not exist.
    Absent,
    /// Not looked at.
    Unknown,
}

/// One bind source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindRecord {
    /// Absolute path on the engine's host.
    pub source: String,
    /// What was decided.
    pub decision: BindDecision,
    /// File or folder; `None` if it was not there or not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<PathKind>,
    /// What was there at the point. `present` then and empty at recovery is worth a refusal.
    pub content: BindContent,
    /// The captured path that it lies in, for [`BindDecision::Within`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// Belongs to others as well.
    #[serde(default)]
    pub shared: bool,
    /// Some container may write it.
    #[serde(default)]
    pub writable: bool,
    /// Bytes of its files, as counted at capture.
    #[serde(default)]
    pub bytes: u64,
    /// Number of its files, as counted at capture.
    #[serde(default)]
    pub files: u64,
}

/// One network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// Id at the point.
    pub id: String,
    /// Name.
    pub name: String,
    /// Driver.
    pub driver: String,
    /// Belongs to others as well: created only when absent.
    #[serde(default)]
    pub shared: bool,
}

impl From<&AppNetwork> for NetworkRecord {
    fn from(n: &AppNetwork) -> Self {
        Self {
            id: n.id.clone(),
            name: n.name.clone(),
            driver: n.driver.clone(),
            shared: n.external || !n.shared_with.is_empty(),
        }
    }
}

/// One image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Id on the engine that it came from.
    pub id: String,
    /// Digest of the OCI config: the id on a classic store.
    pub config_digest: String,
    /// Digest of its manifest in `images/index.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<String>,
    /// All tags at the point.
    #[serde(default)]
    pub tags: Vec<String>,
    /// `name@sha256:…` that registries served it under.
    #[serde(default)]
    pub repo_digests: Vec<String>,
    /// Bytes on the engine.
    #[serde(default)]
    pub size: u64,
    /// `name@sha256:…` by which its bytes came from a registry; `None`: from the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_registry: Option<String>,
}

/// What was put into one container's writable layer, under `layers/<container>/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Container name.
    pub container: String,
    /// Paths that are captured, absolute in the container.
    #[serde(default)]
    pub captured: Vec<String>,
    /// Paths that the container deleted from its image, absolute in the container.
    #[serde(default)]
    pub deleted: Vec<String>,
    /// Bytes captured.
    #[serde(default)]
    pub bytes: u64,
}

/// The Compose project's files, under `project/<absolute path>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectRecord {
    /// Project name.
    pub name: String,
    /// Project folder on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Compose files, absolute, in order. Empty: none was found, see `left_out`.
    #[serde(default)]
    pub config_files: Vec<String>,
    /// Env files given on the command line, absolute.
    #[serde(default)]
    pub environment_files: Vec<String>,
    /// Folders and files that stand under `project/`, absolute, none within another.
    #[serde(default)]
    pub roots: Vec<String>,
    /// Bytes captured.
    #[serde(default)]
    pub bytes: u64,
}

/// A database recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseRecord {
    /// Container name.
    pub container: String,
    /// Kind.
    pub kind: DatabaseKind,
    /// Data directory in the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_path: Option<String>,
}

impl From<&Database> for DatabaseRecord {
    fn from(d: &Database) -> Self {
        Self {
            container: d.container_name.clone(),
            kind: d.kind,
            data_path: d.data_path.clone(),
        }
    }
}

/// One dump, under `dumps/<service>/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpRecord {
    /// Service or container name.
    pub service: String,
    /// Database name.
    pub database: String,
    /// Kind.
    pub kind: DatabaseKind,
    /// File name under `dumps/<service>/`.
    pub file: String,
}

/// What kind of thing is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutKind {
    /// A volume's data.
    Volume,
    /// A bind's data.
    Bind,
    /// A file of the project.
    ProjectFile,
    /// A path in a writable layer.
    Layer,
    /// An image.
    Image,
    /// A file that could not be read.
    File,
    /// Something else.
    Other,
}

/// Something that is not in the point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// What kind of thing.
    pub kind: LeftOutKind,
    /// Its name or path.
    pub what: String,
    /// Why, one clause.
    pub reason: String,
    /// Bytes, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Somebody (or a fixed rule, as for system paths) decided so. `false`: exit 3, tag `partial`.
    #[serde(default)]
    pub decided: bool,
}
