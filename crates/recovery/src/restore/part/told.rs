//! Steps and times of the forms of `restore` that bring no app up and have a report of their own: files
//! into a container, images, the definition. Planned, estimated, counted, measured and remembered as
//! those of the others are.

use serde::Serialize;

use crate::{
    Context,
    restore::{
        Segment, Step, Way,
        history::{self, Estimate},
        report::Stopwatch,
    },
};

/// The steps, and how long they take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// Which form it is.
    pub way: Way,
    /// The steps; once they are taken, with what came of each.
    pub steps: Vec<Step>,
    /// How long it will take, by what earlier ones took here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// Once it is done: what the plan had said of how long it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_seconds: Option<f64>,
    /// Once it is done: what took how long.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<Segment>,
}

impl Told {
    /// Of steps that lie ahead.
    pub(super) fn ahead(ctx: &Context, app: &str, way: Way, mut steps: Vec<Step>) -> Self {
        let estimate = Some(history::estimate(ctx, app, way, &mut steps));
        Self {
            way,
            steps,
            estimate,
            expected_seconds: None,
            segments: Vec::new(),
        }
    }

    /// The steps were taken under `ctx`, which followed them. Only what came `whole` to its end tells
    /// how long the next one will take.
    pub(super) fn ended(&mut self, ctx: &Context, app: &str, watch: &Stopwatch, whole: bool) {
        self.steps = ctx.steps_taken(&self.steps, false);
        self.expected_seconds = self.estimate.take().and_then(|e| e.seconds);
        self.segments = watch.segments().to_vec();
        if whole {
            history::remember_run(ctx, (app, self.way), &self.steps, &self.segments);
        }
    }
}
