//! About registries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
