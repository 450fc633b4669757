//! Objectives and policies: what a person wants of an app (RPO, RTO, how long to keep, when not to be disturbed), where
//! each value comes from, and what contradicts what.
//!
//! An app's [`Policy`] is resolved from layers, value by value: the labels of its containers win, then `lifeboat.toml`
//! (its own section before the one for all, `*`), then what the API set, then labels of other backup tools that say the
//! same, then the default. Each value keeps its [`Origin`]. A value that cannot be read is a note with a suggestion and
//! counts as not said, so that a typo never takes protection away. Everything that runs is protected unless it opts out.
//!
//! Pure: labels, settings, clock and time zone come in as values.

pub mod cron;
pub mod foreign;
pub mod judge;
mod labels;
pub mod period;
mod resolve;
pub mod retain;
pub mod window;
mod wishes;

use std::fmt;

use serde::Serialize;

pub use cron::Cron;
pub use foreign::Foreign;
pub use labels::{KNOWN_LABELS, Labelled};
pub use period::Period;
pub(crate) use resolve::spread;
pub use resolve::{Change, Layers, overruled, resolve};
pub use retain::Retain;
pub use window::Windows;
pub use wishes::{Consistency, Priority, Settings, Wishes};

use crate::app::Note;

/// The RPO of the default policy: daily, and two hours to do it in.
pub const DEFAULT_RPO: Period = Period::hours(26);
/// What the default policy keeps.
pub const DEFAULT_RETAIN: &str = "7d,4w,12m";

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum Origin {
    /// A label of ours.
    Label {
        /// The label.
        label: String,
        /// The container (or volume) that bears it.
        on: String,
    },
    /// `lifeboat.toml`.
    File {
        /// The section: an app's name, or `*`.
        section: String,
    },
    /// The API.
    Api,
    /// A label of another tool.
    Foreign {
        /// The label.
        label: String,
        /// The container that bears it.
        on: String,
    },
    /// It follows from the schedule.
    Schedule,
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label { label, on } => write!(f, "label {label} on {on}"),
            Self::File { section } => write!(f, "lifeboat.toml, [policy.\"{section}\"]"),
            Self::Api => f.write_str("API"),
            Self::Foreign { label, on } => write!(f, "{label} on {on}, another tool's label"),
            Self::Schedule => f.write_str("its schedule"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value, and who said it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said<T> {
    /// The value.
    pub value: T,
    /// Who said it.
    pub origin: Origin,
}

impl<T> Said<T> {
    /// Joins the two.
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }

    fn default(value: T) -> Self {
        Self::new(value, Origin::Default)
    }
}

/// What holds for one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Whether it is protected at all.
    pub protect: Said<bool>,
    /// How old its newest usable point may be.
    pub rpo: Said<Period>,
    /// How long it may be away. `None`: nobody said.
    pub rto: Option<Said<Period>>,
    /// What is kept.
    pub retain: Said<Retain>,
    /// The level that its points should reach.
    pub consistency: Option<Said<Consistency>>,
    /// When a capture may begin. `None`: at any time.
    pub window: Option<Said<Windows>>,
    /// Fixed times. `None`: as the RPO asks.
    pub schedule: Option<Said<Cron>>,
    /// Who goes first.
    pub priority: Said<Priority>,
    /// Labels of other tools, and what is made of each.
    pub foreign: Vec<Foreign>,
    /// What cannot be read, contradicts or cannot be kept.
    pub notes: Vec<Note>,
}

impl Policy {
    /// The values as rows: name, value, origin.
    #[must_use]
    pub fn rows(&self) -> Vec<(&'static str, String, &Origin)> {
        let mut rows = vec![
            (
                "protect",
                self.protect.value.to_string(),
                &self.protect.origin,
            ),
            ("rpo", self.rpo.value.to_string(), &self.rpo.origin),
        ];
        if let Some(rto) = &self.rto {
            rows.push(("rto", rto.value.to_string(), &rto.origin));
        }
        rows.push(("retain", self.retain.value.to_string(), &self.retain.origin));
        if let Some(said) = &self.consistency {
            rows.push(("consistency", said.value.to_string(), &said.origin));
        }
        if let Some(said) = &self.window {
            rows.push(("window", said.value.to_string(), &said.origin));
        }
        if let Some(said) = &self.schedule {
            rows.push(("schedule", said.value.to_string(), &said.origin));
        }
        let priority = &self.priority;
        rows.push(("priority", priority.value.to_string(), &priority.origin));
        rows
    }
}

#[cfg(test)]
mod tests;
