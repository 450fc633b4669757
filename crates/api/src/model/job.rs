//! Jobs.

use lifeboat_objectives::{commands, progress::Progress};
use lifeboat_plan::schedule::{self, Outcome};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::mask;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Not begun.
    Queued,
    /// Under way.
    Running,
    /// Done.
    Done,
    /// Done, but something could not be read.
    Incomplete,
    /// Failed.
    Failed,
    /// Somebody ended it.
    Cancelled,
    /// Its process ended before it did.
    Interrupted,
}

/// A phase that a job went through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// When it began.
    pub began: i64,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Number.
    pub id: u64,
    /// `capture default/host/shop`, `prune`, …
    pub what: String,
    /// Where it stands.
    pub state: JobState,
    /// Why it failed, or what could not be read.
    pub why: Vec<String>,
    /// What it does now.
    pub phase: Option<String>,
    /// When it was queued.
    pub queued: i64,
    /// When it began.
    pub began: Option<i64>,
    /// When it ended.
    pub ended: Option<i64>,
    /// What it went through.
    pub phases: Vec<Phase>,
    /// Files seen; of the phase under way while it runs.
    pub files: u64,
    /// Bytes seen; of the phase under way while it runs.
    pub bytes: u64,
    /// Bytes that the phase under way will come to, where that is known.
    pub of: Option<u64>,
    /// Bytes that the vault grew by.
    pub added: u64,
    /// How long the app could not write because of us.
    pub stall: Option<u64>,
    /// The point that it made.
    pub point: Option<String>,
    /// What it said, the last lines; for admins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

impl Job {
    /// As somebody may see it.
    #[must_use]
    pub fn of(job: schedule::Job, progress: Option<Progress>, all: bool) -> Self {
        let (mut state, mut why, mut phase) = (JobState::Queued, Vec::new(), None);
        match &job.state {
            schedule::JobState::Queued => {}
            schedule::JobState::Running { phase: now } => {
                state = JobState::Running;
                phase = Some(now.clone());
            }
            schedule::JobState::Ended { outcome } => match outcome {
                Outcome::Done => state = JobState::Done,
                Outcome::Incomplete { why: reasons } => {
                    state = JobState::Incomplete;
                    why.clone_from(reasons);
                }
                Outcome::Failed { why: reason } => {
                    state = JobState::Failed;
                    why = vec![reason.clone()];
                }
                Outcome::Cancelled => state = JobState::Cancelled,
                Outcome::Interrupted => state = JobState::Interrupted,
            },
        }
        let mut shown = Self {
            id: job.id,
            what: commands::shown(&job.work),
            state,
            why: why.iter().map(|why| mask::unless(all, why)).collect(),
            phase,
            queued: job.queued.0,
            began: job.began.map(|at| at.0),
            ended: job.ended.map(|at| at.0),
            phases: job
                .phases
                .into_iter()
                .map(|phase| Phase {
                    name: mask::unless(all, &phase.name),
                    began: phase.began.0,
                })
                .collect(),
            files: job.files,
            bytes: job.bytes,
            of: None,
            added: job.added,
            stall: job.stall,
            point: job.point,
            log: if all { job.log } else { Vec::new() },
        };
        if let Some(progress) = progress.filter(|_| state == JobState::Running) {
            shown.files = progress.files;
            shown.bytes = progress.bytes;
            shown.of = (progress.of > 0).then_some(progress.of);
            if !progress.phase.is_empty() {
                shown.phase = Some(mask::unless(all, &progress.phase));
            }
        }
        shown
    }

    /// Whether nothing more comes of it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !matches!(self.state, JobState::Queued | JobState::Running)
    }
}
