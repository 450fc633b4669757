//! The facts about one engine at one moment, as an engine module reports them.
//!
//! Every object carries its raw inspect answer beside the few fields that planning needs: what this
//! version does not know must survive verbatim (`raw`), never be dropped in silence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything that one engine holds, read in one go.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// The engine itself.
    pub engine: EngineFacts,
    /// All containers, stopped ones included.
    pub containers: Vec<Container>,
    /// All volumes that the engine knows.
    pub volumes: Vec<Volume>,
    /// All networks, the predefined ones (`bridge`, `host`, `none`) included.
    pub networks: Vec<Network>,
    /// Every image that a container refers to, or that carries a tag.
    pub images: Vec<Image>,
}

/// Facts about the engine: fingerprints of its host, never its identity (see `identity`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EngineFacts {
    /// `docker`, `podman`.
    pub kind: String,
    /// Server version, e.g. `20.10.24`.
    pub version: String,
    /// Negotiated API version, e.g. `1.41`.
    pub api_version: String,
    /// Host name as the engine reports it.
    pub hostname: String,
    /// The engine's own id. Shared by engines on one machine, or new at each call on some engines.
    pub id: String,
    /// Architecture in OCI terms, e.g. `amd64`.
    pub architecture: String,
    /// `linux` or `windows`.
    pub os: String,
    /// Data root, e.g. `/var/lib/docker`.
    pub data_root: String,
    /// Storage driver, e.g. `overlay2`, or the snapshotter of a containerd image store.
    pub storage_driver: String,
    /// `true` where ids inside containers are mapped (rootless, `userns-remap`).
    pub user_namespaces: bool,
    /// Raw `/info`.
    pub raw: Value,
}

/// State of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// Created, never started.
    #[default]
    Created,
    /// Running.
    Running,
    /// Paused (frozen), by us or by somebody else.
    Paused,
    /// Restarting.
    Restarting,
    /// Ended.
    Exited,
    /// Being removed, or dead.
    Dead,
}

/// One container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Full id.
    pub id: String,
    /// Name without the leading slash.
    pub name: String,
    /// Labels, the image's included.
    pub labels: BTreeMap<String, String>,
    /// State.
    pub state: ContainerState,
    /// Process id of its first process on the engine's host, 0 if it does not run.
    pub pid: u32,
    /// Image reference as given at creation (`postgres:16`).
    pub image_ref: String,
    /// Image id (`sha256:…`).
    pub image_id: String,
    /// All mounts, anonymous volumes and binds included.
    pub mounts: Vec<Mount>,
    /// Networks by name that it is attached to.
    pub networks: Vec<String>,
    /// `HostConfig.NetworkMode`, e.g. `shop_default`, `host`, `container:<id>`.
    pub network_mode: String,
    /// Names or ids of containers that it refers to by `--link`, `volumes-from`, `container:<id>`
    /// (network, pid, ipc).
    pub refers_to: Vec<String>,
    /// `HostConfig.AutoRemove` (`--rm`).
    pub auto_remove: bool,
    /// Environment as `KEY=value`. Holds secrets: never print.
    pub env: Vec<String>,
    /// Raw `/containers/{id}/json`.
    pub raw: Value,
}

/// Kind of a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// A named or anonymous volume.
    #[default]
    Volume,
    /// A path of the host.
    Bind,
    /// Memory.
    Tmpfs,
    /// A named pipe (Windows), an image mount, or what we do not know.
    Other,
}

/// One mount of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Kind.
    pub kind: MountKind,
    /// Volume name, for volumes.
    pub name: Option<String>,
    /// Path on the engine's host: the bind source, or the volume's data directory.
    pub source: String,
    /// Path in the container.
    pub destination: String,
    /// Writable.
    pub writable: bool,
}

/// One volume.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Name; 64 hex digits for an anonymous one.
    pub name: String,
    /// Driver, usually `local`.
    pub driver: String,
    /// Data directory on the engine's host.
    pub mountpoint: String,
    /// Driver options. May hold passwords: never print.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Raw `/volumes/{name}`.
    pub raw: Value,
}

/// One network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Driver, e.g. `bridge`.
    pub driver: String,
    /// `local`, `swarm`, `global`.
    pub scope: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `true` for `bridge`, `host` and `none`, which every engine has.
    pub predefined: bool,
    /// Raw `/networks/{id}`.
    pub raw: Value,
}

/// One image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Id (`sha256:…`): digest of the config on classic stores, of the manifest on containerd's.
    pub id: String,
    /// All tags, `name:tag`.
    pub tags: Vec<String>,
    /// All `name@sha256:…` that registries served it under.
    pub repo_digests: Vec<String>,
    /// Bytes on the engine.
    pub size: u64,
    /// Raw `/images/{id}/json`.
    pub raw: Value,
}
