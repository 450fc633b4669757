//! About the vault.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// At once and as the command does it: without rules by `[retention]` of the vault's settings; for admins.
    pub now: bool,
    /// Only among points of these apps; for admins.
    pub apps: Vec<String>,
    /// Only among points with these tags; for admins.
    pub tags: Vec<String>,
    /// Who competes for the same places: `app`, `host`, `paths`, `tags`, with commas between them; for admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_by: Option<String>,
    /// Believe the time that a point bears; for admins.
    pub trust_times: bool,
    /// Free the space afterwards.
    pub prune: bool,
    /// With `prune`: how much may stay unused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unused: Option<String>,
    /// With `prune`: write no more than this anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_repack_size: Option<String>,
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
        let lists = [&self.points, &self.apps, &self.tags];
        let values = [&self.group_by, &self.max_unused, &self.max_repack_size];
        let flags = [
            self.now,
            self.trust_times,
            self.prune,
            self.even_newest,
            self.gone_too,
            self.dry_run,
        ];
        self.keep.is_none()
            && lists.iter().all(|list| list.is_empty())
            && values.iter().all(|value| value.is_none())
            && flags.iter().all(|flag| !flag)
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
    /// The newest of each hour within this span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_hourly: Option<String>,
    /// … of each day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_daily: Option<String>,
    /// … of each week.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_weekly: Option<String>,
    /// … of each month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_monthly: Option<String>,
    /// … of each year.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_yearly: Option<String>,
    /// Those with one of these tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// How space is freed. Nothing said: as the schedule does it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PruneWanted {
    /// At once, as the command does it; else in its turn.
    pub now: bool,
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
            && !self.now
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
    /// In the place of `read`: what was not read for the longest time, `1/30`, `5%`, `10G`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<String>,
    /// Believe what is kept near of a vault on a server.
    pub with_cache: bool,
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
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyWanted {
    /// As `lifeboat.toml` names it.
    pub name: String,
    /// Only these points.
    #[serde(default)]
    pub points: Vec<String>,
    /// Only points of these apps.
    #[serde(default)]
    pub apps: Vec<String>,
    /// Only points with these tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Nothing that is older than the newest there of the same app.
    #[serde(default)]
    pub only_newer: bool,
    /// At once, as the command does it; else in its turn.
    #[serde(default)]
    pub now: bool,
    /// Say what would be sent.
    #[serde(default)]
    pub dry_run: bool,
}

impl CopyWanted {
    /// Whether it is what the schedule does.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let lists = [&self.points, &self.apps, &self.tags];
        lists.iter().all(|list| list.is_empty()) && !(self.now || self.only_newer || self.dry_run)
    }
}
