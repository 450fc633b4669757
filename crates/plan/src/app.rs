//! The app model: containers that belong together, with everything that has to come back with them.
//!
//! Made by [`crate::discover`] out of an [`crate::inventory::Inventory`]; small and free of secrets
//! (raw definitions and environment stay in the inventory, to be looked up by id or name).

use serde::{Deserialize, Serialize};

use crate::inventory::ContainerState;
use crate::name::AppName;

/// What makes containers belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppKind {
    /// A Compose project (`com.docker.compose.project`).
    Compose,
    /// A Swarm stack (`com.docker.stack.namespace`).
    SwarmStack,
    /// Containers with our label `lifeboat.app`.
    Labelled,
    /// One container that belongs to nothing.
    Container,
    /// A volume that no container uses and no label claims.
    Volume,
    /// What `restore --as` made beside an app (`lifeboat.copy`): never protected.
    Copy,
}

/// One app as it stands on the engine now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// Its name within the host.
    pub name: AppName,
    /// What it is.
    pub kind: AppKind,
    /// Its containers, by name.
    pub containers: Vec<AppContainer>,
    /// Its volumes, by name.
    pub volumes: Vec<AppVolume>,
    /// Its bind mounts, one a source, by path; system paths included (see [`BindClass`]).
    pub binds: Vec<AppBind>,
    /// Its networks, by name; `bridge`, `host` and `none` included, marked as predefined.
    pub networks: Vec<AppNetwork>,
    /// The images that its containers were made of, by id.
    pub images: Vec<AppImage>,
    /// Its Compose project, if it is one.
    pub project: Option<ComposeProject>,
    /// Databases recognised by the facts at hand.
    pub databases: Vec<Database>,
    /// What a person should know.
    pub notes: Vec<Note>,
    /// `false` if a label (`lifeboat.enable=false`) opts it out.
    pub enabled: bool,
}

/// One container of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppContainer {
    /// Full id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Compose or Swarm service.
    pub service: Option<String>,
    /// Compose's container number within the service.
    pub number: Option<u32>,
    /// State.
    pub state: ContainerState,
    /// Image id.
    pub image_id: String,
    /// Image reference as given at creation.
    pub image_ref: String,
    /// Removed by the engine when it ends (`--rm`).
    pub auto_remove: bool,
}

/// Where a volume or bind is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Container id (of this app).
    pub container: String,
    /// Container name.
    pub container_name: String,
    /// Path in the container.
    pub destination: String,
    /// Writable.
    pub writable: bool,
}

/// One volume of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppVolume {
    /// Name.
    pub name: String,
    /// Driver.
    pub driver: String,
    /// Data directory on the engine's host; empty if the engine says none.
    pub mountpoint: String,
    /// Made without a name.
    pub anonymous: bool,
    /// What its data needs.
    pub backing: VolumeBacking,
    /// Made outside the project (`external: true`, or another project's).
    pub external: bool,
    /// Other apps that use it.
    pub shared_with: Vec<AppName>,
    /// Where this app's containers mount it; empty if none does.
    pub uses: Vec<Use>,
}

/// What lies behind a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeBacking {
    /// A plain directory of the engine: captured at its mountpoint.
    Directory,
    /// The local driver with `o=bind`: a directory elsewhere that the engine mounts on use.
    LocalBind,
    /// The local driver with NFS, CIFS, …: another machine's data.
    Remote,
    /// The local driver with tmpfs: memory, gone with the container.
    Memory,
    /// The local driver with a block device or other options.
    OtherMount,
    /// Another driver: the engine does not know where the data lies.
    Plugin,
    /// A container mounts it, but the engine does not list it.
    Missing,
}

impl VolumeBacking {
    /// `true` if the data can be read at the mountpoint at any time.
    #[must_use]
    pub fn is_readable(self) -> bool {
        matches!(self, Self::Directory)
    }
}

/// What a bind source is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "class")]
pub enum BindClass {
    /// The host's own: recorded, never captured.
    System {
        /// What it is, for people.
        what: String,
    },
    /// Below the project folder: belongs to the project.
    Project {
        /// Path relative to the project folder; `.` for the folder itself.
        relative: String,
    },
    /// Data like any volume.
    Data,
}

/// One bind source of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppBind {
    /// Path on the engine's host, cleaned.
    pub source: String,
    /// What it is.
    pub class: BindClass,
    /// Another bind of this app, or a volume's data directory, that it lies in: captured once, there.
    pub nested_in: Option<String>,
    /// Other apps that use it, or a path above or below it.
    pub shared_with: Vec<AppName>,
    /// Where this app's containers mount it.
    pub uses: Vec<Use>,
}

impl AppBind {
    /// `true` if any container of this app may write it.
    #[must_use]
    pub fn writable(&self) -> bool {
        self.uses.iter().any(|u| u.writable)
    }

    /// `true` if it is the host's own.
    #[must_use]
    pub fn is_system(&self) -> bool {
        matches!(self.class, BindClass::System { .. })
    }
}

/// One network of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppNetwork {
    /// Id; empty if the engine does not list it.
    pub id: String,
    /// Name.
    pub name: String,
    /// Driver.
    pub driver: String,
    /// Every engine has it: never created, never captured.
    pub predefined: bool,
    /// Made outside the project (`external: true`, or another project's).
    pub external: bool,
    /// Other apps that use it.
    pub shared_with: Vec<AppName>,
}

/// One image of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppImage {
    /// Id.
    pub id: String,
    /// References that this app's containers were created with.
    pub references: Vec<String>,
    /// All tags that it carries on the engine.
    pub tags: Vec<String>,
    /// `name@sha256:…` that registries served it under; none: built here or loaded.
    pub repo_digests: Vec<String>,
    /// Bytes on the engine; 0 if the engine does not list it.
    pub size: u64,
    /// The engine does not list it any more, although a container was made of it.
    pub missing: bool,
}

/// What Compose's labels say about the project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeProject {
    /// Project name.
    pub name: String,
    /// Version of the Compose that brought it up.
    pub version: Option<String>,
    /// Project folder, as the label gives it.
    pub working_dir: Option<String>,
    /// Other host paths that it may mean, if the label was written inside a manager's container.
    #[serde(default)]
    pub working_dir_alternatives: Vec<String>,
    /// Compose files, in the order of the label.
    pub config_files: Vec<ProjectFile>,
    /// Files given with `--env-file`, in the order of the label. `.env` in the folder is in no label.
    pub environment_files: Vec<ProjectFile>,
    /// Other projects that our label joins with this one: their files are not looked for.
    #[serde(default)]
    pub joined: Vec<String>,
}

/// One file that a label names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectFile {
    /// As the label has it.
    pub label: String,
    /// What it means on the engine's host.
    pub place: FilePlace,
    /// Other host paths that it may mean, if the label was written inside a manager's container
    /// (Portainer, Dockhand, …): the path translated through the mounts of each candidate, most
    /// specific first. To be tried where `place` does not exist.
    pub alternatives: Vec<String>,
}

/// What a labelled file name means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "at")]
pub enum FilePlace {
    /// An absolute path.
    Path {
        /// Cleaned.
        path: String,
    },
    /// Relative to the project folder (Compose v1), resolved.
    Relative {
        /// The absolute path that it comes to.
        path: String,
    },
    /// `-`: piped in, there is no file.
    Stdin,
    /// No path of this host can be made of it.
    Unknown,
}

impl FilePlace {
    /// The absolute path, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Path { path } | Self::Relative { path } => Some(path),
            Self::Stdin | Self::Unknown => None,
        }
    }
}

/// Kinds of databases that are recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseKind {
    /// PostgreSQL and its distributions.
    Postgres,
    /// MySQL.
    Mysql,
    /// MariaDB.
    Mariadb,
    /// Redis, Valkey, KeyDB.
    Redis,
    /// MongoDB.
    Mongodb,
    /// Microsoft SQL Server.
    SqlServer,
    /// SQLite (told by files, so never by discovery itself).
    Sqlite,
}

impl DatabaseKind {
    /// The product's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MySQL",
            Self::Mariadb => "MariaDB",
            Self::Redis => "Redis",
            Self::Mongodb => "MongoDB",
            Self::SqlServer => "SQL Server",
            Self::Sqlite => "SQLite",
        }
    }
}

/// A database that a container runs, as far as its definition tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Container id.
    pub container: String,
    /// Container name.
    pub container_name: String,
    /// Kind.
    pub kind: DatabaseKind,
    /// Its data directory in the container, as far as known.
    pub data_path: Option<String>,
    /// Where the data directory lies: a volume's name or a bind's source; `None`: in no volume.
    pub stored_in: Option<String>,
    /// What it was recognised by.
    pub recognised_by: String,
}

/// How much a note matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something may surprise.
    Warning,
}

/// What a person should know about an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// How much it matters.
    pub severity: Severity,
    /// One sentence.
    pub text: String,
}

impl Note {
    /// Good to know.
    #[must_use]
    pub fn info(text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Info,
            text: text.into(),
        }
    }

    /// Something may surprise.
    #[must_use]
    pub fn warning(text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            text: text.into(),
        }
    }
}

impl App {
    /// Ids of its containers.
    pub fn container_ids(&self) -> impl Iterator<Item = &str> {
        self.containers.iter().map(|c| c.id.as_str())
    }

    /// The container with this id.
    #[must_use]
    pub fn container(&self, id: &str) -> Option<&AppContainer> {
        self.containers.iter().find(|c| c.id == id)
    }

    /// `true` if at least one of its containers runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.containers.iter().any(|c| is_live(c.state))
    }

    /// Networks that have to be created on recovery.
    pub fn own_networks(&self) -> impl Iterator<Item = &AppNetwork> {
        self.networks.iter().filter(|n| !n.predefined)
    }
}

/// `true` for a container with processes: it can write.
#[must_use]
pub fn is_live(state: ContainerState) -> bool {
    matches!(
        state,
        ContainerState::Running | ContainerState::Paused | ContainerState::Restarting
    )
}
