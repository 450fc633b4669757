//! A job's record: queued, running through phases, ended with a result.
//!
//! A record only moves forward, and what ended stays as it ended. None is under way for ever: a record whose process is
//! no more is closed as interrupted by whoever finds it ([`Job::close_if_orphaned`]).

use serde::{Deserialize, Serialize};

use super::{Time, Work};

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum Outcome {
    /// Done.
    Done,
    /// Done, but something could not be read.
    Incomplete {
        /// What.
        why: Vec<String>,
    },
    /// Failed.
    Failed {
        /// One sentence.
        why: String,
    },
    /// Somebody ended it.
    Cancelled,
    /// Its process ended before it did.
    Interrupted,
}

impl Outcome {
    /// In one word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Incomplete { .. } => "incomplete",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    /// Whether what was to be made is there.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        matches!(self, Self::Done | Self::Incomplete { .. })
    }
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum JobState {
    /// Not begun.
    Queued,
    /// Under way.
    Running {
        /// What it does now.
        phase: String,
    },
    /// Over.
    Ended {
        /// How.
        outcome: Outcome,
    },
}

/// The process that a job runs in. A process id alone comes again; with its start time it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Process id.
    pub pid: u32,
    /// When the process began, in the kernel's own count.
    pub started: u64,
}

/// A phase that a job went through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// When it began.
    pub began: Time,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Number.
    pub id: u64,
    /// What it does.
    pub work: Work,
    /// Where it stands.
    #[serde(flatten)]
    pub state: JobState,
    /// Who runs it.
    pub owner: Owner,
    /// When it was queued.
    pub queued: Time,
    /// When it began.
    pub began: Option<Time>,
    /// When it ended.
    pub ended: Option<Time>,
    /// What it went through.
    pub phases: Vec<Phase>,
    /// Files seen.
    pub files: u64,
    /// Bytes seen.
    pub bytes: u64,
    /// Bytes that the vault grew by.
    pub added: u64,
    /// How long the app could not write because of us, in milliseconds.
    pub stall: Option<u64>,
    /// The point that it made.
    pub point: Option<String>,
    /// What it said, the last lines.
    pub log: Vec<String>,
}

/// Lines of a log that are kept.
pub const LOG_LINES: usize = 100;
/// The longest line.
const LINE: usize = 500;

/// What happens to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
    /// It begins, or goes on to this phase.
    Phase(String),
    /// It said something.
    Said(String),
    /// It ended.
    Ended(Outcome),
}

impl Job {
    /// A job that waits.
    #[must_use]
    pub fn new(id: u64, work: Work, owner: Owner, now: Time) -> Self {
        Self {
            id,
            work,
            state: JobState::Queued,
            owner,
            queued: now,
            began: None,
            ended: None,
            phases: Vec::new(),
            files: 0,
            bytes: 0,
            added: 0,
            stall: None,
            point: None,
            log: Vec::new(),
        }
    }

    /// Moves the record on; `false`: it is over, and nothing was changed.
    pub fn step(&mut self, now: Time, event: JobEvent) -> bool {
        if matches!(self.state, JobState::Ended { .. }) {
            return false;
        }
        match event {
            JobEvent::Phase(name) => {
                self.began.get_or_insert(now);
                self.phases.push(Phase {
                    name: name.clone(),
                    began: now,
                });
                self.state = JobState::Running { phase: name };
            }
            JobEvent::Said(line) => {
                if self.log.len() == LOG_LINES {
                    self.log.remove(0);
                }
                self.log.push(line.chars().take(LINE).collect());
            }
            JobEvent::Ended(outcome) => {
                self.ended = Some(now);
                self.state = JobState::Ended { outcome };
            }
        }
        true
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, JobState::Ended { .. })
    }

    /// How it ended, if it did.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.state {
            JobState::Ended { outcome } => Some(outcome),
            _ => None,
        }
    }

    /// Closes it if the process that ran it is no more; `true` if it was closed.
    pub fn close_if_orphaned(&mut self, now: Time, lives: impl Fn(Owner) -> bool) -> bool {
        if self.is_over() || lives(self.owner) {
            return false;
        }
        let said =
            "the process that ran it is no more; what it had not completed is not there".to_owned();
        self.step(now, JobEvent::Said(said));
        self.step(now, JobEvent::Ended(Outcome::Interrupted))
    }
}
