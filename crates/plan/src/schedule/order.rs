//! Work that somebody asked for once: nothing starts it by itself, and the schedule knows nothing of it.

use serde::{Deserialize, Serialize};

/// How the answer is wanted.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// For programs: JSON.
    #[default]
    Json,
    /// As a person at a terminal reads it.
    Text,
}

/// One order. It stands in a job's record: no secret may be in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Order {
    /// In a few words, as lists show it: `restore default/web1/shop`.
    pub title: String,
    /// Name of the app or copy that it changes. Of what has the same name one runs at a time.
    pub about: Option<String>,
    /// `site/host/app`, where it makes a recovery point of an app.
    pub captures: Option<String>,
    /// What this program is told.
    pub args: Vec<String>,
    /// A file that its caller gave the content of, and that is removed after the job: the flag that names it.
    pub file_flag: Option<String>,
    /// Name of the further vault that it copies to; its place and password are found when it begins.
    #[serde(default)]
    pub copy: Option<String>,
    /// How the answer is wanted.
    #[serde(default)]
    pub form: Form,
}
