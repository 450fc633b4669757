//! When what is done: captures so that no RPO is missed, and the upkeep of vaults.
//!
//! [`Scheduler::step`] takes an [`Event`] and the time, and gives [`Effect`]s: jobs to start, alerts to send. It does
//! nothing itself, so that one seed replays a whole week. [`Scheduler::next_wake`] says when it wants to be asked again.
//!
//! - A point's age counts from the instant at which its capture *began*, and only once it is complete. So the next
//!   capture must *start* at the latest `rpo - duration` after the beginning of the one before. The duration is the
//!   longest of the last ones, and a quarter more.
//! - Captures are let start somewhat earlier, each app at its own moment, so that they do not all fall together.
//! - Who must start soonest goes first. Where not all can be kept (one is late already), priority decides.
//! - The last free place is kept from captures that would take longer than the shortest RPO can wait.
//! - A window holds captures back; where it would close too early, a capture is made before it closes.
//! - What fails is tried again after a pause that doubles, never longer than half of the RPO.
//! - Upkeep (forget, prune, check, registries) has a place of its own, and so has each further vault: neither ever holds
//!   a capture up. Copies to further vaults go by the RPO of that vault.
//! - After a sleep, what was due meanwhile is done once. A clock that was set back makes nothing wait for it.

mod alert;
mod app;
mod copies;
pub mod job;
mod order;
mod pick;
mod step;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::policy::{Cron, Policy, Windows};

pub use alert::{Alert, AlertKind};
use app::AppState;
use copies::Copies;
pub use job::{Job, JobEvent, JobState, Outcome};
pub use order::{Form, Order};
use upkeep::Upkeep;

/// Milliseconds since 1970.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// So many milliseconds later.
    #[must_use]
    pub fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add_unsigned(millis))
    }

    /// So many milliseconds earlier.
    #[must_use]
    pub fn minus(self, millis: u64) -> Self {
        Self(self.0.saturating_sub_unsigned(millis))
    }

    /// Milliseconds since then; none if it lies ahead.
    #[must_use]
    pub fn since(self, then: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(then.0)).unwrap_or(0)
    }

    /// As the calendar has it.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_millisecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Of the calendar.
    #[must_use]
    pub fn of(timestamp: Timestamp) -> Self {
        Self(timestamp.as_millisecond())
    }
}

/// An app, as everybody names it: `site/host/app`.
pub type Key = Arc<str>;

/// What the schedule needs to know of an app's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// RPO in milliseconds.
    pub rpo: u64,
    /// When a capture may begin.
    pub window: Option<Windows>,
    /// Fixed times.
    pub schedule: Option<Cron>,
    /// Who goes first.
    pub priority: i8,
}

impl From<&Policy> for Plan {
    fn from(policy: &Policy) -> Self {
        Self {
            rpo: policy.rpo.value.as_millis(),
            window: policy.window.as_ref().map(|said| said.value.clone()),
            schedule: policy.schedule.as_ref().map(|said| said.value.clone()),
            priority: policy.priority.value.number(),
        }
    }
}

/// Work on a vault or a registry, not on an app of this host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "task", content = "name")]
pub enum Task {
    /// Forget points by the policies.
    Forget,
    /// Free space.
    Prune,
    /// Check the vault, a part at a time.
    Check,
    /// Back up a registry.
    Registry(String),
    /// Take tags that no rule keeps out of a registry in the vault.
    ForgetTags(String),
    /// Copy to a further vault.
    Copy(String),
    /// Forget points of this host's apps in a further vault, by its own retention.
    ForgetIn(String),
    /// Free space in a further vault.
    PruneIn(String),
    /// Check a further vault, a part at a time.
    CheckIn(String),
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Work {
    /// Capture an app.
    Capture {
        /// Which.
        app: Key,
    },
    /// Upkeep.
    Upkeep(Task),
    /// Something that was asked for once; whoever keeps the records runs it, not the schedule.
    Order(Order),
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// Time passed.
    Tick,
    /// An app is there and to be protected, or its policy changed.
    Planned {
        /// Which.
        app: Key,
        /// How.
        plan: Plan,
    },
    /// An app is gone or opted out.
    Gone {
        /// Which.
        app: Key,
    },
    /// A usable point was found, or made by hand.
    Point {
        /// Of which app.
        app: Key,
        /// When its capture began.
        began: Time,
        /// How long it took, where that is known.
        took: Option<u64>,
    },
    /// Somebody wants it now.
    Asked {
        /// What.
        work: Work,
        /// The job's number, from [`Scheduler::reserve`].
        job: u64,
    },
    /// They do not want it any more; what has begun is none of this.
    Unasked {
        /// The number that it was asked for with.
        job: u64,
    },
    /// A task is to be done this often; `None`: never.
    Every {
        /// Which.
        task: Task,
        /// Milliseconds. For copies: the RPO at that vault.
        every: Option<u64>,
        /// When it was done last.
        last: Option<Time>,
    },
    /// A further vault holds this.
    Held {
        /// Which vault.
        vault: String,
        /// Which app.
        app: Key,
        /// When the capture of the newest point there began.
        began: Time,
    },
    /// A job ended.
    Ended {
        /// Which.
        job: u64,
        /// How.
        ended: Ended,
    },
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Done; the point that was made, or `None` where none was to be made.
    Done {
        /// When the capture began, by the point itself.
        began: Option<Time>,
    },
    /// Failed.
    Failed,
    /// Somebody ended it, or we did.
    Cancelled,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start this job.
    Start {
        /// Its number, never used before.
        job: u64,
        /// What it does.
        work: Work,
    },
    /// Tell people.
    Alert(Alert),
}

/// How much at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Captures.
    pub captures: usize,
    /// Upkeep of the vault and registries.
    pub upkeep: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            captures: 2,
            upkeep: 1,
        }
    }
}

/// Everything that the schedule knows.
pub struct Scheduler {
    now: Time,
    zone: TimeZone,
    limits: Limits,
    next_job: u64,
    apps: BTreeMap<Key, AppState>,
    /// Apps that wait, by when they may start.
    waiting: BTreeSet<(Time, Key)>,
    /// Apps that may start, by when they must.
    ready: BTreeSet<(Time, Key)>,
    /// The same, by who goes first where not all can.
    ranked: BTreeSet<(i8, Time, Key)>,
    /// All apps by how long they can wait.
    patience: BTreeSet<(u64, Key)>,
    /// Apps by when they are to be looked at for alerts.
    watched: BTreeSet<(Time, Key)>,
    /// Captures under way.
    captures: BTreeMap<u64, Key>,
    upkeep: Upkeep,
    copies: BTreeMap<String, Copies>,
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
