//! What the keeper shows of itself.

use std::collections::BTreeMap;

use lifeboat_notify::Trouble;
use lifeboat_plan::{
    policy::Policy,
    schedule::{AlertKind, Time},
};
use serde::Serialize;

/// Everything, at one moment.
#[derive(Debug, Clone, Default, Serialize)]
pub struct View {
    /// Apps by `site/host/app`.
    pub apps: BTreeMap<String, AppView>,
    /// Jobs under way: number, and what they do.
    pub jobs: BTreeMap<u64, String>,
    /// How jobs ended since the agent began: what, how, how often.
    pub ended: BTreeMap<(String, &'static str), u64>,
    /// Why the engine cannot be seen, if so.
    pub blind: Option<String>,
    /// Why `lifeboat.toml` cannot be used, if so.
    pub unsettled: Option<String>,
    /// Whether the vault's points were read.
    pub knows_points: bool,
    /// The number of the API's last change of a policy that is heeded.
    pub changes: u64,
    /// Names of further vaults.
    pub copies: Vec<String>,
    /// Addresses of registries.
    pub registries: Vec<String>,
    /// Places that did not take what they were sent.
    pub troubles: Vec<Trouble>,
}

/// One app.
#[derive(Debug, Clone, Serialize)]
pub struct AppView {
    /// What holds for it.
    pub policy: Policy,
    /// When the capture of its newest usable point began.
    pub began: Option<Time>,
    /// When its RPO is missed, if no further point comes.
    pub misses: Option<Time>,
    /// When its next capture starts.
    pub next: Option<Time>,
    /// What people were told last of it, and not taken back.
    pub told: Option<AlertKind>,
    /// Captures that failed in a row.
    pub failures: u64,
    /// Figures of its last capture: milliseconds, stall in milliseconds, bytes, bytes added.
    pub last: Option<(u64, Option<u64>, u64, u64)>,
}
