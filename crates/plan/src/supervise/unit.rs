//! One container, as the supervisor knows it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{Lack, Process, Seen};
use super::{Backoff, Facts, Moment, Policy, Slot};
use crate::inventory::ContainerState;

/// So soon after the kernel killed something in it the end of a container comes of that.
const ENDS_OF_IT: Duration = Duration::from_secs(10);

/// What a container is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Made, and never started.
    #[default]
    Created,
    /// Runs.
    Running,
    /// Frozen.
    Paused,
    /// The engine waits before it starts it again.
    Restarting,
    /// Ended.
    Exited,
    /// Not there any more, though it should be.
    Gone,
}

impl From<ContainerState> for Phase {
    fn from(state: ContainerState) -> Self {
        match state {
            ContainerState::Created => Self::Created,
            ContainerState::Running => Self::Running,
            ContainerState::Paused => Self::Paused,
            ContainerState::Restarting => Self::Restarting,
            ContainerState::Exited | ContainerState::Dead => Self::Exited,
        }
    }
}

/// What it is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// Run.
    Run,
    /// Nothing: it was never started.
    #[default]
    Nothing,
    /// Stay stopped: somebody stopped it.
    Stopped {
        /// Since when.
        since: Moment,
        /// Who or what, for a person.
        by: String,
    },
    /// Stay frozen: somebody paused it.
    Paused {
        /// Since when.
        since: Moment,
    },
    /// Nothing more: it ended, as it was to.
    Done,
    /// Nothing more can be done.
    GaveUp {
        /// Since when.
        since: Moment,
        /// Why.
        why: String,
    },
}

/// What its health check and liveness probe say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// There is none, or it has not answered since the start.
    #[default]
    Unknown,
    /// In its start period.
    Starting,
    /// Well.
    Healthy,
    /// Not well.
    Unhealthy {
        /// Since when.
        since: Moment,
        /// What said so.
        why: String,
    },
}

/// How it ended last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 128 and more is a signal.
    pub code: i64,
    /// The kernel killed something in it for want of memory.
    pub oom: bool,
    /// When.
    pub at: Moment,
}

/// What is being done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// Stopped, to be started again.
    StoppingToStart,
    /// Stopped, to stay so.
    Stopping,
    /// Started.
    Starting,
    /// Made again.
    Recreating,
    /// What it needs to be made again is fetched: from a registry or the vault.
    Fetching,
}

/// What is to be done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Start what does not run.
    Start,
    /// Stop and start.
    Restart,
    /// Make again, and start.
    Recreate,
    /// Stop.
    Stop,
}

/// Why it is to be done; looked at again just before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It does not run.
    Down,
    /// It is not well.
    Unhealthy,
    /// What it follows was started after it.
    Follows(String),
    /// It is not there.
    Gone,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// What.
    pub job: Job,
    /// Why.
    pub reason: Reason,
    /// Why, for a person.
    pub why: String,
    /// Not before.
    pub not_before: Moment,
}

/// One container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Full id.
    pub id: String,
    /// Name.
    pub name: String,
    /// What is known of it, once it was inspected.
    pub facts: Option<Facts>,
    /// What it does.
    pub phase: Phase,
    /// Since when.
    pub since: Moment,
    /// What it is to do.
    pub wanted: Wanted,
    /// What its checks say.
    pub health: Health,
    /// What its readiness probe says, if it has one.
    pub ready: Option<bool>,
    /// When it was started last.
    pub started: Moment,
    /// How it ended last.
    pub exit: Option<Exit>,
    /// Failures and waits.
    pub backoff: Backoff,
    /// What is being done to it, and since when.
    pub doing: Option<(Doing, Moment)>,
    /// What is to be done to it.
    pub queued: Option<Queued>,
    /// What is being done to it, as it was queued.
    #[serde(skip)]
    pub begun: Option<Queued>,
    /// Its first process, while it runs.
    #[serde(skip)]
    pub process: Option<Process>,
    /// Since when that is known to have ended, though the engine has not told so.
    #[serde(skip)]
    pub untold: Option<Moment>,
    /// Until when somebody else works on it.
    pub hands_off: Option<Moment>,
    /// When a signal that stops it came through the API.
    pub killed: Option<Moment>,
    /// When its end counts as its own, if nobody has asked for it by then.
    #[serde(default)]
    pub judge_at: Option<Moment>,
    /// When to see what the engine's policy made of it.
    pub check_at: Option<Moment>,
    /// Asked what became of it; no answer yet.
    #[serde(skip)]
    pub asked: bool,
    /// The agent died while it restarted it: its end, however it looks, was ours.
    #[serde(skip)]
    pub interrupted: bool,
    /// It is looked at because nobody looked for a while: no event will say how it ended.
    #[serde(skip)]
    pub after_gap: bool,
    /// Its health counts from then on again.
    pub quiet_until: Moment,
    /// When the kernel killed something in it for want of memory, since its start.
    #[serde(default, rename = "oom_at")]
    pub oom: Option<Moment>,
    /// When that was said.
    #[serde(skip)]
    pub oom_told: Option<Moment>,
    /// What was fetched for it last, before it could be made again.
    #[serde(skip)]
    pub fetched: Option<Lack>,
    /// Times that we started it again.
    pub restarts: u32,
    /// Times that the engine did.
    pub engine_restarts: u32,
    /// What is wrong and what to do about it.
    pub trouble: Option<String>,
    /// Its policy, where we have set it to `no`.
    pub policy_was: Option<Policy>,
}

impl Unit {
    /// One that is seen for the first time.
    pub(super) fn seen(seen: &Seen, at: Moment) -> Self {
        let wanted = match seen.phase {
            Phase::Running | Phase::Restarting => Wanted::Run,
            Phase::Paused => Wanted::Paused { since: at },
            Phase::Created | Phase::Gone => Wanted::Nothing,
            Phase::Exited => Wanted::Stopped {
                since: at,
                by: "before Lifeboat looked".to_owned(),
            },
        };
        Self {
            id: seen.id.clone(),
            name: seen.name.clone(),
            phase: seen.phase,
            since: at,
            wanted,
            ..Self::default()
        }
    }

    pub(super) fn enter(&mut self, phase: Phase, at: Moment) {
        if self.phase != phase {
            self.phase = phase;
            self.since = at;
            if !matches!(phase, Phase::Running | Phase::Paused) {
                self.forget_process();
            }
        }
    }

    /// When it ended, where it does not run.
    pub(super) fn ended_at(&self) -> Option<Moment> {
        (self.phase == Phase::Exited).then_some(self.since)
    }

    /// Whether it is looked after.
    #[must_use]
    pub fn is_supervised(&self) -> bool {
        self.facts
            .as_ref()
            .is_some_and(|facts| facts.rules.supervised)
    }

    /// The app it belongs to.
    #[must_use]
    pub fn app(&self) -> &str {
        self.facts.as_ref().map_or(&self.name, |facts| &facts.app)
    }

    /// Its policy as it is meant, whatever stands at the engine.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let stands = self.facts.as_ref().map_or(Policy::No, |facts| facts.policy);
        self.policy_was.unwrap_or(stands)
    }

    /// Whether the engine starts it again by itself.
    pub(super) fn engine_restarts_it(&self) -> bool {
        let policy = self.facts.as_ref().map_or(Policy::No, |facts| facts.policy);
        policy != Policy::No && self.phase != Phase::Gone
    }

    /// Whether its end now may come of what the kernel killed in it: of what happened long before it does not.
    pub(super) fn starved_just_now(&self, at: Moment) -> bool {
        self.oom
            .is_some_and(|starved| at.since(starved) <= ENDS_OF_IT)
    }

    pub(super) fn slot(&self) -> Option<&Slot> {
        self.facts.as_ref().and_then(|facts| facts.slot.as_ref())
    }

    /// Seconds that a stop may take.
    pub(super) fn grace(&self) -> u64 {
        self.facts.as_ref().map_or(10, |facts| {
            facts.rules.stop_grace.unwrap_or(facts.stop_grace)
        })
    }

    pub(super) fn is_off(&self, at: Moment) -> bool {
        self.hands_off.is_some_and(|until| until > at)
    }

    /// Ready for those that depend on it.
    pub(super) fn is_ready(&self) -> bool {
        let has_check = self.facts.as_ref().is_some_and(|facts| facts.has_check);
        let by_health = match self.health {
            Health::Healthy => true,
            Health::Unknown => !has_check,
            Health::Starting | Health::Unhealthy { .. } => false,
        };
        let has_probe = self.facts.as_ref().is_some_and(|facts| facts.has_readiness);
        self.phase == Phase::Running && self.ready.unwrap_or(by_health && !has_probe)
    }

    /// It may not be well, and nobody is to be surprised by it.
    pub(super) fn is_wanted_running(&self) -> bool {
        self.wanted == Wanted::Run
    }
}
