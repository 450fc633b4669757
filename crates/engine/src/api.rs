//! What the layers above may ask of an engine, whichever it is.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use lifeboat_plan::fingerprint::Fingerprints;
use lifeboat_plan::inventory::{EngineFacts, Inventory};
use serde_json::Value;

use crate::Result;
use crate::docker::{
    ApiVersion, EventStream, HostNetwork, Listed, LoadedImages, OwnPath, OwnPathQuery,
};

/// How a path in a writable layer differs from the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// Content or metadata changed; for a directory also: something in it did.
    Modified,
    /// Not in the image.
    Added,
    /// In the image, deleted here.
    Deleted,
}

/// One path that differs from the image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Absolute path in the container.
    pub path: String,
    /// How it differs.
    pub kind: ChangeKind,
}

/// What stands at a path of the engine's host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostPath {
    /// Nothing.
    Absent,
    /// An empty folder.
    EmptyFolder,
    /// A file, or a folder with something in it.
    Something,
}

/// How a container came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Its health check passes.
    Healthy,
    /// It runs and has no health check.
    NoCheck,
}

/// What the engine makes of a container's HEALTHCHECK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// Its start period has not passed, or it has not been asked yet.
    Starting,
    /// It passes.
    Healthy,
    /// It failed as often as it may.
    Unhealthy,
}

/// A command to run in a container.
#[derive(Debug, Clone)]
pub struct ExecRequest {
    /// Program and arguments. No shell unless it is named. Never a secret: it is seen in the process list.
    pub command: Vec<String>,
    /// Further environment, `KEY=value`.
    pub env: Vec<String>,
    /// User, `uid[:gid]` or a name; empty: the container's.
    pub user: String,
    /// Working directory; empty: the container's.
    pub working_dir: String,
    /// How long it may take.
    pub limit: Duration,
    /// How much of each stream is kept.
    pub max_output: usize,
}

impl ExecRequest {
    /// A command with the container's own user and directory, a minute's time and 16 MiB of output.
    pub fn new<I, S>(command: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            user: String::new(),
            working_dir: String::new(),
            limit: Duration::from_secs(60),
            max_output: 16 << 20,
        }
    }
}

/// What a command left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Its exit code.
    pub exit_code: i64,
    /// What it wrote to stdout, up to the bound.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr, up to the bound.
    pub stderr: Vec<u8>,
    /// Something was beyond the bound.
    pub truncated: bool,
}

/// An engine. Blocking, and shared by threads.
///
/// What each operation does, and what is an error, stands with [`crate::DockerEngine`]'s methods of the same names.
#[allow(missing_docs)]
pub trait Engine: Send + Sync {
    /// The API version in use; create bodies are made for it.
    fn api(&self) -> ApiVersion;
    /// Where it listens, as [`crate::Endpoint`] reads it.
    fn endpoint(&self) -> String;
    /// `None` where it cannot be seen.
    fn host_network(&self) -> Option<HostNetwork>;
    fn facts(&self) -> Result<EngineFacts>;
    fn inventory(&self) -> Result<Inventory>;
    fn fingerprints(&self) -> Result<Fingerprints>;
    fn prove_local(&self, image: Option<&str>) -> Result<()>;
    fn host_path(&self, path: &str) -> Result<HostPath>;
    fn create_helper(&self, name: &str, image: Option<&str>, host: &Value) -> Result<String>;
    fn remove_helper(&self, name: &str) -> Result<()>;
    fn events(&self, since: Option<i64>) -> Result<Box<dyn EventStream>>;
    fn own_path(&self, query: &OwnPathQuery) -> Result<Vec<OwnPath>>;

    fn list_containers(&self) -> Result<Vec<Listed>>;
    fn inspect_container(&self, id: &str) -> Result<Value>;
    fn create_container(&self, name: &str, body: &Value) -> Result<String>;
    fn rename(&self, id: &str, name: &str) -> Result<()>;
    fn update_container(&self, id: &str, changes: &Value) -> Result<()>;
    fn remove_container(&self, id: &str, force: bool, with_anonymous_volumes: bool) -> Result<()>;
    fn start(&self, id: &str) -> Result<()>;
    fn stop(&self, id: &str, grace: Option<Duration>) -> Result<()>;
    fn kill(&self, id: &str, signal: &str) -> Result<()>;
    fn log_tail(&self, id: &str, lines: usize) -> Result<String>;
    fn pause(&self, id: &str) -> Result<()>;
    fn unpause(&self, id: &str) -> Result<()>;
    fn wait_healthy(&self, id: &str, limit: Duration) -> Result<Health>;
    fn exec(&self, id: &str, request: &ExecRequest) -> Result<ExecOutput>;
    fn changes(&self, id: &str) -> Result<Vec<Change>>;
    fn archive_get(&self, id: &str, path: &str) -> Result<Box<dyn Read + Send>>;
    fn archive_put(&self, id: &str, directory: &str, tar: &mut dyn Read) -> Result<()>;

    fn inspect_volume(&self, name: &str) -> Result<Value>;
    fn create_volume(&self, body: &Value) -> Result<Value>;
    fn remove_volume(&self, name: &str) -> Result<()>;

    fn inspect_network(&self, id: &str) -> Result<Value>;
    fn create_network(&self, body: &Value) -> Result<String>;
    fn remove_network(&self, id: &str) -> Result<()>;
    fn connect_network(&self, network: &str, container: &str, endpoint: &Value) -> Result<()>;
    fn disconnect_network(&self, network: &str, container: &str, force: bool) -> Result<()>;

    fn inspect_image(&self, name: &str) -> Result<Value>;
    fn save_images(&self, names: &[&str]) -> Result<Box<dyn Read + Send>>;
    fn load_images(&self, tar: &mut dyn Read) -> Result<LoadedImages>;
    fn tag_image(&self, id: &str, tag: &str) -> Result<()>;
    fn remove_image(&self, name: &str, force: bool) -> Result<()>;
    fn image_for_create(&self, reference: &str, id: &str) -> Result<String>;

    fn health_states(&self) -> Result<BTreeMap<String, Checked>>;
    fn network_is_ours(&self) -> bool;
}
