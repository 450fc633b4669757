//! What a restore will do, and what it did.

use std::{collections::BTreeSet, time::Instant};

use lifeboat_vault::{id::SnapshotId, node::Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Outcome,
    history::Estimate,
    journal::{Intent, RestoreJournal},
    maps::{Applied, Mapped, Maps},
    step::Step,
};
use crate::{Context, Result};

/// Which kind of restore it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Onto free names.
    New,
    /// A copy beside the original.
    Copy,
    /// In the place of the app that is here.
    Replace,
    /// Some things of the point.
    Part,
    /// Its images alone.
    Images,
    /// Files of it into a container.
    Into,
    /// Its compose file.
    Definition,
}

/// What a restore will do, and what stands in its way.
#[derive(Debug, Clone, Serialize)]
pub struct RestorePlan {
    /// `site/host/app`.
    pub app: String,
    /// Which kind of restore it is.
    pub way: Way,
    /// The point.
    pub id: SnapshotId,
    /// When its capture began.
    pub time: String,
    /// Steps in order.
    pub steps: Vec<Step>,
    /// Names in use and other obstacles, all at once, each with a way out. Not empty: it is refused.
    pub obstacles: Vec<String>,
    /// What will differ from the original or is not in the point.
    pub warnings: Vec<String>,
    /// What is otherwise than at the point because somebody asked for it.
    pub mappings: Vec<Mapped>,
    /// An interrupted restore of this point is continued.
    pub continues: bool,
    /// How long it will take, by what earlier ones took here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
}

impl RestorePlan {
    /// Adds what mapping the point did. `ours` are the intents of an interrupted run, where
    /// these tell the mappings that it had.
    pub(super) fn mapped(
        mut self,
        applied: Applied,
        maps: &Maps,
        ours: Option<&BTreeSet<Intent>>,
    ) -> Self {
        if let Some(others) = ours.and_then(|ours| maps.begun_with_others(ours)) {
            self.obstacles.insert(0, others);
        }
        let found = std::mem::take(&mut self.obstacles);
        self.obstacles = applied.problems;
        self.obstacles.extend(found);
        self.warnings.extend(applied.warnings);
        self.mappings = applied.mapped;
        self
    }
}

impl RestorePlan {
    /// Writes the steps down before the first is taken; where a run was interrupted, its steps are
    /// what is carried out, and told of at the end.
    pub(super) fn journaled(&mut self, journal: &mut RestoreJournal) -> Result<()> {
        let before = journal.intents().find_map(|intent| match intent {
            Intent::Steps(text) => serde_json::from_str(text).ok(),
            _ => None,
        });
        if let Some(steps) = before {
            self.steps = steps;
            return Ok(());
        }
        let text = serde_json::to_string(&self.steps).map_err(std::io::Error::other)?;
        journal.intend(Intent::Steps(text))
    }
}

/// Whether a container was found to be up: healthy where it has a health check, running otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Probe {
    /// Container.
    pub container: String,
    /// It passed.
    pub passed: bool,
    /// Seconds since everything was started.
    pub seconds: f64,
}

/// One measured part of a recovery.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Segment {
    /// `plan`, `images`, `data`, `containers`, `start`, `validate` and others: see [`super::Work::segment`].
    pub name: String,
    /// Seconds.
    pub seconds: f64,
}

/// What a restore did.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// `site/host/app`.
    pub app: String,
    /// Which kind of restore it was.
    pub way: Way,
    /// The point.
    pub id: SnapshotId,
    /// When its capture began.
    pub time: String,
    /// When the restore began.
    pub began: String,
    /// Age of the point when the restore began, seconds.
    pub age_seconds: f64,
    /// RTO by segment.
    pub segments: Vec<Segment>,
    /// Sum of the segments.
    pub rto_seconds: f64,
    /// What the plan had said of how long it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_seconds: Option<f64>,
    /// Containers that run again.
    pub running: Vec<String>,
    /// Containers that had been stopped and stay so.
    pub stopped: Vec<String>,
    /// Bytes written and checked.
    pub bytes: u64,
    /// What is missing or did not become healthy. Not empty: exit code 3.
    pub incomplete: Vec<String>,
    /// Other things worth knowing.
    pub warnings: Vec<String>,
    /// What is otherwise than at the point because somebody asked for it.
    pub mappings: Vec<Mapped>,
    /// The plan's steps, with what came of each.
    pub steps: Vec<Step>,
    /// What was probed at the end.
    pub probes: Vec<Probe>,
}

/// Measures segments, one after another.
pub struct Stopwatch {
    began_at: jiff::Timestamp,
    last: Instant,
    segments: Vec<Segment>,
}

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self {
            began_at: jiff::Timestamp::now(),
            last: Instant::now(),
            segments: Vec::new(),
        }
    }

    /// The segments so far.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Ends a segment and begins the next.
    pub fn split(&mut self, name: &str) {
        let now = Instant::now();
        let seconds = (now - self.last).as_secs_f64();
        self.segments.push(Segment {
            name: name.to_owned(),
            seconds,
        });
        self.last = now;
    }
}

/// Puts the report together: the plan, and what the run that followed it found.
pub(super) fn report(
    ctx: &Context,
    plan: &RestorePlan,
    outcome: Outcome,
    watch: Stopwatch,
) -> Restored {
    let age_seconds = Timestamp::parse_rfc3339(&plan.time).map_or(0.0, |time| {
        (watch.began_at.as_nanosecond() - time.as_nanos()) as f64 / 1e9
    });
    let Outcome {
        mut data,
        containers,
        image_warnings,
        incomplete,
    } = outcome;
    data.not_read_back
        .extend(containers.data.not_read_back.iter().cloned());
    if !data.not_read_back.is_empty() {
        data.warnings.push(format!(
            "checked before it was sent to the engine, and too large to be read back from there: {}",
            data.not_read_back.join(", ")
        ));
    }
    Restored {
        app: plan.app.clone(),
        way: plan.way,
        id: plan.id,
        time: plan.time.clone(),
        began: watch.began_at.to_string(),
        age_seconds,
        expected_seconds: plan.estimate.as_ref().and_then(|e| e.seconds),
        rto_seconds: watch.segments.iter().map(|s| s.seconds).sum(),
        segments: watch.segments,
        running: containers.running,
        stopped: containers.stopped,
        bytes: data.bytes + containers.data.bytes,
        incomplete: incomplete
            .into_iter()
            .chain(containers.incomplete)
            .collect(),
        warnings: [
            plan.warnings.clone(),
            image_warnings,
            data.warnings,
            containers.data.warnings,
            containers.warnings,
        ]
        .concat(),
        mappings: plan.mappings.clone(),
        steps: ctx.steps_taken(&plan.steps, plan.continues),
        probes: containers.probes,
    }
}
