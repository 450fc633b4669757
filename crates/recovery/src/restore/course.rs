//! The plan under way. The run says which step it takes next; so the one that is under way is known to
//! whoever listens, each step is measured, and the report is made of the same steps as the plan.
//!
//! A step that the run takes and no plan had stands in the report as that: plans that are wrong are seen.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::step::{Step, StepState, Work};

/// What stands in a report for a step that no plan had.
pub const UNPLANNED: &str = "was not planned";

/// The steps of a plan, and which one is under way.
pub struct Course {
    state: Mutex<State>,
}

struct State {
    steps: Vec<Step>,
    now: Option<(usize, Instant)>,
}

/// What is told of a step that begins.
pub(crate) struct Begun {
    /// Its number, from 1.
    pub at: usize,
    /// Steps in all.
    pub of: usize,
    /// What it is.
    pub label: String,
}

impl Course {
    /// Nothing of it is taken yet.
    pub fn new(steps: Vec<Step>) -> Self {
        Self {
            state: Mutex::new(State { steps, now: None }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The step before has ended, this one begins. `None` if it is under way already.
    pub(crate) fn begin(&self, work: Work, name: &str) -> Option<Begun> {
        let mut state = self.state();
        let is_it = |step: &Step| step.kind == work && step.name == name;
        if state.now.is_some_and(|(at, _)| is_it(&state.steps[at])) {
            return None;
        }
        state.end();
        let ahead = |step: &Step| is_it(step) && step.state == StepState::Planned;
        let at = state.steps.iter().position(ahead);
        let at = at.or_else(|| state.steps.iter().position(is_it));
        let at = at.unwrap_or_else(|| {
            state.steps.push(Step::new(work, name, UNPLANNED));
            state.steps.len() - 1
        });
        state.now = Some((at, Instant::now()));
        Some(Begun {
            at: at + 1,
            of: state.steps.len(),
            label: format!("{work} {name}"),
        })
    }

    /// The step under way has ended.
    pub(crate) fn end(&self) {
        self.state().end();
    }

    /// There was nothing to do.
    pub(crate) fn is_there(&self, work: Work, name: &str) {
        let mut state = self.state();
        let steps = state.steps.iter_mut();
        for step in steps.filter(|s| s.kind == work && s.name == name) {
            step.state = StepState::There;
        }
    }

    /// All steps of a kind that lay ahead are done, together.
    pub(crate) fn done_together(&self, work: Work) {
        let mut state = self.state();
        let steps = state.steps.iter_mut();
        for step in steps.filter(|s| s.kind == work && s.state == StepState::Planned) {
            step.state = StepState::Done;
        }
    }

    /// The steps as they came out. What was not taken, the run before this one had, if there was one.
    pub(crate) fn ended(&self, continues: bool) -> Vec<Step> {
        let mut state = self.state();
        state.end();
        for step in &mut state.steps {
            step.state = match step.state {
                StepState::Planned if continues => StepState::Before,
                StepState::Planned => StepState::NotTaken,
                other => other,
            };
        }
        state.steps.clone()
    }
}

impl State {
    fn end(&mut self) {
        if let Some((at, began)) = self.now.take() {
            let step = &mut self.steps[at];
            step.state = StepState::Done;
            step.seconds = Some(step.seconds.unwrap_or_default() + began.elapsed().as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course() -> Course {
        Course::new(vec![
            Step::new(Work::Image, "web:1", "load").bytes(9),
            Step::new(Work::Volume, "data", "create and fill").bytes(7),
            Step::new(Work::Network, "net", "create"),
            Step::new(Work::Start, "web", "start"),
        ])
    }

    #[test]
    fn each_step_is_numbered_measured_and_told() {
        let course = course();
        course.done_together(Work::Image);
        let begun = course.begin(Work::Volume, "data").unwrap();
        assert_eq!((begun.at, begun.of), (2, 4));
        assert_eq!(begun.label, "volume data");
        assert!(course.begin(Work::Volume, "data").is_none(), "the same one");
        course.is_there(Work::Network, "net");
        course.begin(Work::Stop, "web").unwrap();
        course.begin(Work::Start, "web").unwrap();
        let steps = course.ended(false);
        let states: Vec<StepState> = steps.iter().map(|s| s.state).collect();
        use StepState::{Done, There};
        assert_eq!(states, [Done, Done, There, Done, Done]);
        let timed: Vec<bool> = steps.iter().map(|s| s.seconds.is_some()).collect();
        assert_eq!(timed, [false, true, false, true, true]);
        assert_eq!(steps[4].action, UNPLANNED);
    }

    #[test]
    fn what_was_not_taken_was_taken_before_or_not_at_all() {
        let states = |continues| -> Vec<StepState> {
            let course = course();
            course.begin(Work::Start, "web");
            course.ended(continues).iter().map(|s| s.state).collect()
        };
        use StepState::{Before, Done, NotTaken};
        assert_eq!(states(true), [Before, Before, Before, Done]);
        assert_eq!(states(false), [NotTaken, NotTaken, NotTaken, Done]);
    }
}
