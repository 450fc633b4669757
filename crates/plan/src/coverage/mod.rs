//! What an app consists of, row by row, and what of it this version does not bring back.
//!
//! A row that is not covered is named for every app that it applies to, never lost in silence. Rows
//! that do not apply to an app are not reported.

mod project;

use serde::{Deserialize, Serialize};

use crate::app::{App, AppKind, BindClass, VolumeBacking};
use crate::inventory::{Container, Inventory, MountKind};
use crate::label;

/// Parts of an app that users lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    /// Compose files and overrides.
    ComposeFiles,
    /// What compose files pull in: `include`, `extends`, `env_file`, secrets, build contexts.
    IncludedFiles,
    /// `.env` and `--env-file`.
    EnvironmentFiles,
    /// Do files and containers agree?
    Drift,
    /// What was put into writable layers: inline configs and secrets, `docker cp`, installers.
    WritableLayers,
    /// Bind mounts.
    Binds,
    /// Volumes' data.
    Volumes,
    /// Anonymous volumes.
    AnonymousVolumes,
    /// Volumes with driver options: `o=bind`, NFS, CIFS, …
    VolumeOptions,
    /// Volumes of other drivers.
    VolumeDrivers,
    /// Networks and volumes that belong to others as well.
    Shared,
    /// Networks of other drivers than `bridge`.
    NetworkDrivers,
    /// Images.
    Images,
    /// Swarm services, configs and secrets.
    Swarm,
    /// Compose's life-cycle hooks.
    Hooks,
    /// Mounts that are neither volume, bind nor tmpfs.
    OtherMounts,
    /// Labels that leave something out.
    OptOuts,
    /// Containers that the engine removes when they end.
    AutoRemove,
}

/// How far a row is covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Comes back.
    Covered,
    /// Comes back in part: the sentence says what does not.
    Partly,
    /// Does not come back in this version.
    NotCovered,
}

/// One row that applies to an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which row.
    pub row: Row,
    /// How far it is covered.
    pub status: Status,
    /// What of the app: names, as people know them.
    pub subjects: Vec<String>,
    /// One sentence.
    pub text: String,
    /// Nobody has looked, so there may be nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unseen: bool,
}

/// What only reading the project's files can tell. Handed in by who has read them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectFacts {
    /// Files that labels name and that are not there.
    pub missing: Vec<String>,
    /// Files and folders outside of the project folder that are captured with it.
    pub outside: Vec<String>,
    /// Files that compose files name, that Compose needs and that are not captured.
    pub lost: Vec<String>,
    /// Services with `post_start`, `pre_stop` and the like.
    pub hooks: Vec<String>,
    /// Services whose containers are other than the files say; `None`: not looked at.
    pub drift: Option<Vec<String>>,
}

/// Reports every row that applies to an app, in the order of [`Row`].
///
/// `facts` is `None` where the project's files have not been read.
#[must_use]
pub fn coverage(app: &App, inventory: &Inventory, facts: Option<&ProjectFacts>) -> Vec<Finding> {
    let mut found = Vec::new();
    project::rows(app, facts, &mut found);
    containers(app, inventory, &mut found);
    storage(app, &mut found);
    networks(app, &mut found);
    found.sort_by(|a, b| (a.row, a.status, &a.subjects).cmp(&(b.row, b.status, &b.subjects)));
    found
}

/// How a finding is to be said to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// Comes back: nothing to say.
    Nothing,
    /// Holds for every app of its kind, and nobody has to act: for those who ask for details.
    Limit,
    /// Worth knowing of this app.
    Note,
    /// Is not in the point.
    Gap,
}

impl Finding {
    /// How it is to be said.
    #[must_use]
    pub fn weight(&self) -> Weight {
        match (self.status, self.row) {
            (Status::Covered, _) => Weight::Nothing,
            (Status::NotCovered, _) => Weight::Gap,
            (Status::Partly, Row::WritableLayers | Row::Binds | Row::VolumeOptions) => {
                Weight::Limit
            }
            (Status::Partly, Row::Drift | Row::IncludedFiles) if self.unseen => Weight::Limit,
            (Status::Partly, _) => Weight::Note,
        }
    }
}

/// Only what does not come back, or only in part.
pub fn gaps(findings: &[Finding]) -> impl Iterator<Item = &Finding> {
    findings.iter().filter(|f| f.status != Status::Covered)
}

fn add(
    found: &mut Vec<Finding>,
    row: Row,
    status: Status,
    subjects: Vec<String>,
    text: impl Into<String>,
) {
    if !subjects.is_empty() {
        found.push(Finding {
            row,
            status,
            subjects,
            text: text.into(),
            unseen: false,
        });
    }
}

fn containers(app: &App, inventory: &Inventory, found: &mut Vec<Finding>) {
    let raw: Vec<&Container> = inventory
        .containers
        .iter()
        .filter(|c| app.container(&c.id).is_some())
        .collect();
    let which = |wanted: &dyn Fn(&Container) -> bool| -> Vec<String> {
        let mut names: Vec<String> = raw
            .iter()
            .filter(|c| wanted(c))
            .map(|c| c.name.clone())
            .collect();
        names.sort();
        names
    };
    let why = "Swarm services, configs and secrets are not captured yet: the tasks' containers would come back as plain containers.";
    let tasks = which(&|c| {
        c.labels.contains_key(label::SWARM_TASK) || label::get(&c.labels, label::STACK).is_some()
    });
    let is_swarm = app.kind == AppKind::SwarmStack && tasks.is_empty();
    add(
        found,
        Row::Swarm,
        Status::NotCovered,
        if is_swarm {
            vec![app.name.to_string()]
        } else {
            tasks
        },
        why,
    );
    let why = "A mount that is neither volume, bind nor tmpfs is recorded in the definition; its content is not captured.";
    let other = which(&|c| c.mounts.iter().any(|m| m.kind == MountKind::Other));
    add(found, Row::OtherMounts, Status::NotCovered, other, why);
    let why = "What was put into writable layers is captured up to a bound; what is above it is named at each backup.";
    add(
        found,
        Row::WritableLayers,
        Status::Partly,
        which(&|_| true),
        why,
    );
    let why = "The engine deletes it and its anonymous volumes when it ends; it is captured while it is there.";
    add(
        found,
        Row::AutoRemove,
        Status::Partly,
        which(&|c| c.auto_remove),
        why,
    );
    let opted = |c: &Container| {
        label::get(&c.labels, label::EXCLUDE).is_some()
            || label::FOREIGN_OPT_OUTS
                .iter()
                .any(|(key, value)| label::get(&c.labels, key) == Some(value))
    };
    let why = "A label leaves something out of backups; such labels are not honoured yet, so it is captured.";
    add(found, Row::OptOuts, Status::Partly, which(&opted), why);
    let (missing, there): (Vec<_>, Vec<_>) = app.images.iter().partition(|i| i.missing);
    let name = |i: &crate::app::AppImage| {
        i.references
            .first()
            .cloned()
            .unwrap_or_else(|| i.id.clone())
    };
    add(
        found,
        Row::Images,
        Status::Covered,
        there.into_iter().map(name).collect(),
        "The images are captured, those built here too.",
    );
    let why =
        "The engine no longer lists the image that a container was made of: it cannot be captured.";
    add(
        found,
        Row::Images,
        Status::NotCovered,
        missing.into_iter().map(name).collect(),
        why,
    );
}

fn storage(app: &App, found: &mut Vec<Finding>) {
    let volumes = |wanted: &dyn Fn(&crate::app::AppVolume) -> bool| -> Vec<String> {
        app.volumes
            .iter()
            .filter(|v| wanted(v))
            .map(|v| v.name.clone())
            .collect()
    };
    let plain = |v: &crate::app::AppVolume| v.backing == VolumeBacking::Directory;
    add(
        found,
        Row::Volumes,
        Status::Covered,
        volumes(&|v| plain(v) && !v.anonymous),
        "The volumes are captured.",
    );
    let why = "The anonymous volumes are captured and come back under their names.";
    add(
        found,
        Row::AnonymousVolumes,
        Status::Covered,
        volumes(&|v| plain(v) && v.anonymous),
        why,
    );
    let gap = |row, backing, why: &str, found: &mut Vec<Finding>| {
        add(
            found,
            row,
            Status::NotCovered,
            volumes(&|v| v.backing == backing),
            why,
        );
    };
    let why = "A volume that the engine mounts from another folder (`o=bind`): its definition is captured, its data is not yet.";
    gap(Row::VolumeOptions, VolumeBacking::LocalBind, why, found);
    let why =
        "A volume on another machine (NFS, CIFS, …): its definition is captured, its data is not.";
    gap(Row::VolumeOptions, VolumeBacking::Remote, why, found);
    let why = "A volume in memory: its definition is captured; its data ends with the container by design.";
    let memory = volumes(&|v| v.backing == VolumeBacking::Memory);
    add(found, Row::VolumeOptions, Status::Partly, memory, why);
    let why = "A volume that the engine mounts from a device: its definition is captured, its data is not yet.";
    gap(Row::VolumeOptions, VolumeBacking::OtherMount, why, found);
    let why =
        "A volume of a driver that is not `local`: its definition is captured, its data is not.";
    gap(Row::VolumeDrivers, VolumeBacking::Plugin, why, found);
    let why = "A container mounts a volume that the engine does not list: it cannot be captured.";
    gap(Row::Volumes, VolumeBacking::Missing, why, found);
    let binds = |system: bool| -> Vec<String> {
        let wanted =
            |b: &&crate::app::AppBind| matches!(b.class, BindClass::System { .. }) == system;
        app.binds
            .iter()
            .filter(wanted)
            .map(|b| b.source.clone())
            .collect()
    };
    add(
        found,
        Row::Binds,
        Status::Covered,
        binds(false),
        "Bind mounts are captured, up to the bound or your decision.",
    );
    let why = "Paths of the host itself are recorded, not captured: they have to be there after a recovery.";
    add(found, Row::Binds, Status::Partly, binds(true), why);
    let shared: Vec<String> = app
        .volumes
        .iter()
        .filter(|v| v.external || !v.shared_with.is_empty())
        .map(|v| v.name.clone())
        .chain(
            app.own_networks()
                .filter(|n| n.external || !n.shared_with.is_empty())
                .map(|n| n.name.clone()),
        )
        .collect();
    let why = "Volumes and networks of others as well are captured with each app and made again only where absent.";
    add(found, Row::Shared, Status::Covered, shared, why);
}

fn networks(app: &App, found: &mut Vec<Finding>) {
    let drivers = |wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
        app.own_networks()
            .filter(|n| !n.driver.is_empty() && wanted(&n.driver))
            .map(|n| n.name.clone())
            .collect()
    };
    let why = "Overlay networks need a Swarm and are not made again yet.";
    add(
        found,
        Row::NetworkDrivers,
        Status::NotCovered,
        drivers(&|d| d == "overlay"),
        why,
    );
    let why =
        "A network that lies on an interface of the host: it comes back where that interface is.";
    add(
        found,
        Row::NetworkDrivers,
        Status::Partly,
        drivers(&|d| matches!(d, "macvlan" | "ipvlan")),
        why,
    );
    let why = "A network of a plugin: it comes back where the plugin is.";
    let known = |d: &str| {
        matches!(
            d,
            "bridge" | "overlay" | "macvlan" | "ipvlan" | "host" | "null"
        )
    };
    add(
        found,
        Row::NetworkDrivers,
        Status::Partly,
        drivers(&|d| !known(d)),
        why,
    );
    let gone: Vec<String> = app
        .own_networks()
        .filter(|n| n.id.is_empty())
        .map(|n| n.name.clone())
        .collect();
    let why = "A container names a network that the engine does not list: it cannot be made again as it was.";
    add(found, Row::NetworkDrivers, Status::NotCovered, gone, why);
}
