//! What can be asked for over `POST operations`.
//!
//! Each kind has fields of its own, and none of them is a command, a place that is written to outside of the engine and the vault, or
//! a place of a vault: those come from root's files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::guard::Role;

/// Something that is to be done now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Wanted {
    /// A recovery point of an app.
    Backup(BackupWanted),
    /// How much a backup of an app would read, and what it would leave out; nothing is written.
    Estimate(EstimateWanted),
    /// An app, or a part of it, comes back from a point.
    Restore(Box<RestoreWanted>),
    /// A restore that was interrupted goes on.
    ContinueRestore(InterruptedWanted),
    /// A restore that was interrupted is taken back.
    UndoRestore(InterruptedWanted),
    /// A copy that a restore made, or the data that one replaced, goes away.
    RemoveCopy(RemoveCopyWanted),
    /// What has been aside for longer than its time goes away.
    RemoveExpired(NothingMore),
    /// Points that no policy forgets.
    Pin(PointsWanted),
    /// Points that policies may forget again.
    Unpin(PointsWanted),
    /// Forget points: by the policies, or (admin) by rules or by name.
    Forget(ForgetWanted),
    /// Free space.
    Prune(PruneWanted),
    /// Read and check the vault: a part of it each time, or (with `read`) as it is said.
    Check(CheckWanted),
    /// Mend the vault; for admins.
    Repair(RepairWanted),
    /// Copy to a further vault of `lifeboat.toml`.
    Copy(CopyWanted),
    /// Back up a registry of `lifeboat.toml`.
    Registry(RegistryWanted),
    /// Whether a registry's point is whole.
    RegistryCheck(RegistryCheckWanted),
    /// Take tags out of a registry that the vault is itself; for admins.
    RegistryForget(RegistryForgetWanted),
    /// Push a registry's point into a registry; for admins.
    RegistryRestore(RegistryRestoreWanted),
}

/// Nothing more is to be said.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NothingMore {}

/// A backup.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BackupWanted {
    /// The app, `[[SITE/]HOST/]APP`.
    #[schema(required)]
    pub app: String,
    /// At once and whatever its policy says, as the command does it; else as soon as the schedule has room.
    pub now: bool,
    /// Tags of the point.
    pub tags: Vec<String>,
    /// Patterns of files that are left out.
    pub excludes: Vec<String>,
    /// Stay on one file system below each source.
    pub one_file_system: bool,
    /// Take all images from the engine.
    pub engine_images: bool,
    /// Let everything else on the machine go first.
    pub idle: bool,
    /// Bind mounts that are taken in any case; for admins.
    pub include_binds: Vec<String>,
    /// Bind mounts that are left out; for admins.
    pub exclude_binds: Vec<String>,
}

impl BackupWanted {
    /// Whether it is just a capture, as the schedule makes it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let lists = [
            &self.tags,
            &self.excludes,
            &self.include_binds,
            &self.exclude_binds,
        ];
        let flags = [
            self.now,
            self.one_file_system,
            self.engine_images,
            self.idle,
        ];
        lists.iter().all(|list| list.is_empty()) && flags.iter().all(|flag| !flag)
    }
}

/// An estimate.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EstimateWanted {
    /// The app, `[[SITE/]HOST/]APP`.
    pub app: String,
}

/// A restore: onto free names, as a copy beside the app (`as`), or over it (`replace`); whole, or a part.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RestoreWanted {
    /// The point: `[[SITE/]HOST/]APP[@ID]`, an id, or `latest`.
    #[schema(required)]
    pub point: String,
    /// A copy under this name beside the original, and nothing of that is touched.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub copy: Option<String>,
    /// In the place of the app that is here.
    pub replace: bool,
    /// Name of the app that is replaced, once more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// Do not save the app as it is first; for admins.
    pub no_safety_point: bool,
    /// Only these volumes.
    pub volumes: Vec<String>,
    /// Only these bind sources; for admins.
    pub binds: Vec<String>,
    /// Only these services.
    pub services: Vec<String>,
    /// Volumes and binds of the services stay as they are.
    pub keep_data: bool,
    /// Containers of other apps that use what is replaced may be stopped for it.
    pub stop_users: bool,
    /// The images and nothing else.
    pub images: bool,
    /// The copy may reach out, and its ports are open on 127.0.0.1; for admins.
    pub network_access: bool,
    /// What of the host or of others the copy may have, as `--allow` says it; for admins.
    pub allow: Vec<String>,
    /// What is to be otherwise than at the point; for admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maps: Option<Maps>,
    /// Files of the point into a container that is there: `CONTAINER:PATH`; for admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// A file or folder of the point (with `into`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only files that match (with `into`).
    pub includes: Vec<String>,
    /// Do not keep what `into` overwrites.
    pub no_backup: bool,
    /// Refused with 403: a path of the host is written by `lifeboat restore --target`, with its caller's own rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// Mappings for a restore, `OLD: NEW` each, as `--map-file` has them. Values may be secrets: they are kept in no log.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Maps {
    /// Ports of the host.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, String>,
    /// Bind sources.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub binds: BTreeMap<String, String>,
    /// Networks.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, String>,
    /// Subnets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub subnets: BTreeMap<String, String>,
    /// Volumes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, String>,
    /// Images.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// Variables: `[SERVICE:]KEY` and its value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// Which interrupted restore.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InterruptedWanted {
    /// App or copy; none: the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
}

/// Which copy goes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveCopyWanted {
    /// Name of the copy, or of the app whose replaced data goes.
    pub name: String,
    /// The name once more.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// Which points.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PointsWanted {
    /// `[[SITE/]HOST/]APP[@ID]`, ids, `latest`.
    pub points: Vec<String>,
}

/// What is forgotten. Nothing said: by the policies of all apps.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ForgetWanted {
    /// These points; with `keep`, these apps; for admins.
    pub points: Vec<String>,
    /// Rules; for admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// Only among points with these tags; for admins.
    pub tags: Vec<String>,
    /// Free the space afterwards.
    pub prune: bool,
    /// A named point even if it is the newest complete one of its app.
    pub even_newest: bool,
    /// The rules for apps that are gone as well.
    pub gone_too: bool,
    /// Say what would go, and forget nothing.
    pub dry_run: bool,
}

impl ForgetWanted {
    /// Whether it is what the schedule does.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.points.is_empty()
            && self.keep.is_none()
            && self.tags.is_empty()
            && !(self.prune || self.even_newest || self.gone_too || self.dry_run)
    }
}

/// What stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Keep {
    /// The newest so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
    /// The newest of so many hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hourly: Option<u32>,
    /// … days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily: Option<u32>,
    /// … weeks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weekly: Option<u32>,
    /// … months.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monthly: Option<u32>,
    /// … years.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub yearly: Option<u32>,
    /// All within this span before the newest: `1y5m7d2h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// Those with one of these tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// How space is freed. Nothing said: as the schedule does it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PruneWanted {
    /// How much may stay unused: `5%`, `2GiB`, `unlimited`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unused: Option<String>,
    /// Write no more than this anew: `5GiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_repack_size: Option<String>,
    /// Be alone in the vault and wait for nothing; for admins.
    pub instant: bool,
    /// Say what would be done.
    pub dry_run: bool,
}

impl PruneWanted {
    /// Whether it is what the schedule does.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.max_unused.is_none()
            && self.max_repack_size.is_none()
            && !self.instant
            && !self.dry_run
    }
}

/// What is read.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckWanted {
    /// `structure`, `all`, or a part: `5%`, `1/10`, `500M`. None: as the schedule does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<String>,
}

/// What is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mend {
    /// The index, from the packs.
    Index,
    /// What is whole in damaged packs.
    Packs,
    /// Points, without what is lost for good.
    Points,
    /// What was deleted or written over in a locked vault.
    Deleted,
}

/// A repair.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RepairWanted {
    /// What.
    pub what: Mend,
    /// Ids of packs (`packs`), or points (`points`); none: all that are damaged.
    #[serde(default)]
    pub only: Vec<String>,
    /// Damaged files are left out whole (`points`).
    #[serde(default)]
    pub drop_damaged: bool,
    /// The old points go (`points`).
    #[serde(default)]
    pub forget: bool,
    /// Say what would be done (`packs`, `points`).
    #[serde(default)]
    pub dry_run: bool,
}

/// A copy to a further vault.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyWanted {
    /// As `lifeboat.toml` names it.
    pub name: String,
    /// Only these points.
    #[serde(default)]
    pub points: Vec<String>,
    /// Say what would be sent.
    #[serde(default)]
    pub dry_run: bool,
}

/// A registry that is backed up.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryWanted {
    /// As `lifeboat.toml` names it.
    pub name: String,
    /// Only these repositories; `*` stands for anything.
    #[serde(default)]
    pub repositories: Vec<String>,
    /// Only these tags.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// A registry's point that is checked.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RegistryCheckWanted {
    /// Address of the registry, or id of a point; none: the newest of the only registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub point: Option<String>,
    /// Hash every byte.
    pub read_data: bool,
}

/// Tags that no rule keeps.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RegistryForgetWanted {
    /// Address of the registry; none: the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// Only of these repositories.
    pub repositories: Vec<String>,
    /// So many tags of each repository stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<u32>,
    /// Tags that are called so stay.
    pub keep_tags: Vec<String>,
    /// Tags of this span stay: `30d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_within: Option<String>,
    /// Manifests that never had a tag go as well.
    pub untagged: bool,
    /// Say what would go.
    pub dry_run: bool,
}

/// A registry's point goes into a registry.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryRestoreWanted {
    /// Address of the registry that was backed up, or id of a point.
    #[serde(default)]
    pub point: Option<String>,
    /// The registry that gets it: `HOST` or `HOST:PORT`.
    pub to: String,
    /// Only these repositories.
    #[serde(default)]
    pub repositories: Vec<String>,
    /// Other names: old and new.
    #[serde(default)]
    pub renames: BTreeMap<String, String>,
    /// Plain HTTP to another machine.
    #[serde(default)]
    pub plain_http: bool,
}

impl Wanted {
    /// Who may ask for it. What names paths of the host, changes what runs in containers, takes data out of them or out of the
    /// vault for good, is an admin's.
    #[must_use]
    pub fn least(&self) -> Role {
        let admin = match self {
            Self::Backup(wanted) => {
                !wanted.include_binds.is_empty() || !wanted.exclude_binds.is_empty()
            }
            Self::Restore(wanted) => wanted.is_for_admins(),
            Self::Forget(wanted) => !wanted.is_plain(),
            Self::Prune(wanted) => wanted.instant,
            Self::Repair(_) | Self::RegistryForget(_) | Self::RegistryRestore(_) => true,
            _ => false,
        };
        if admin { Role::Admin } else { Role::Operator }
    }
}

impl RestoreWanted {
    /// Whether it touches what only admins may.
    #[must_use]
    pub fn is_for_admins(&self) -> bool {
        self.no_safety_point
            || self.network_access
            || self.maps.is_some()
            || self.into.is_some()
            || !self.binds.is_empty()
            || !self.allow.is_empty()
    }
}
