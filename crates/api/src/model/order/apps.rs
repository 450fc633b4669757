//! About apps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
