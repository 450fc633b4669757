//! What people have to be told of an objective.

use serde::{Deserialize, Serialize};

use super::{Key, Time};

/// What.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// It will be missed unless something changes.
    Soon,
    /// It is missed.
    Missed,
    /// It is kept again.
    Kept,
    /// It is shorter than can be kept, by what captures take.
    Impossible,
}

/// An objective, and what is the matter with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Which app.
    pub app: Key,
    /// At which further vault; `None`: the agent's own.
    pub vault: Option<String>,
    /// What.
    pub kind: AlertKind,
    /// Its RPO in milliseconds.
    pub rpo: u64,
    /// When the newest usable point's capture began.
    pub began: Option<Time>,
    /// When the RPO is missed, or was.
    pub misses: Time,
    /// How many attempts failed in a row.
    pub failures: u32,
    /// What a capture takes, as measured.
    pub takes: Option<u64>,
}
