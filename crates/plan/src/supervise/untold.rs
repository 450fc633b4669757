//! What has ended and was not told of yet.
//!
//! An engine takes seconds to tell of hundreds of ends. Until it has, what ended is taken to run, and who needs it would
//! be started before it. So just before a start it is looked whether the processes of what it needs are still there
//! ([`Effect::Start`](super::Effect::Start)); where one is not, the start waits until its end is told, and with it whose
//! wish it was: by the process alone nobody knows. It does not wait for ever: an engine that lost its shim never tells.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::Process;
use super::facts::NeedCondition;
use super::unit::{Phase, Queued, Unit, Wanted};
use super::{Moment, World};

/// So long a start waits for the engine's word.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

impl World {
    /// Processes that have to live when it is started: of what it needs, and would wait for, had it ended. In a cycle
    /// nobody waits for anybody.
    pub(super) fn to_be_alive(&self, id: &str) -> BTreeMap<String, Process> {
        let Some(unit) = self.units.get(id) else {
            return BTreeMap::new();
        };
        let needs = unit.facts.iter().flat_map(|facts| &facts.needs);
        needs
            .filter(|need| need.condition != NeedCondition::Completed)
            .flat_map(|need| self.resolve(unit, need))
            .filter_map(|on| self.units.get(&on))
            .filter(|first| self.would_come_back(first) && first.untold.is_none())
            .filter_map(|first| Some((first.id.clone(), first.process?)))
            .filter(|(on, _)| !self.reaches(on, id))
            .collect()
    }

    fn would_come_back(&self, first: &Unit) -> bool {
        first.phase == Phase::Running
            && first.wanted == Wanted::Run
            && first.is_supervised()
            && !self.in_maintenance(first.app())
    }

    /// Whether its process has ended, and the engine still has to say so.
    pub(super) fn is_untold(&self, at: Moment, first: &Unit) -> bool {
        let waited = first.untold.map(|since| at.since(since));
        waited.is_some_and(|waited| waited < TOLD_WITHIN) && self.would_come_back(first)
    }

    /// It was not started, since these have ended: it goes back to where it stood.
    pub(super) fn ended_first(
        &mut self,
        at: Moment,
        id: &str,
        begun: Option<Queued>,
        ended: &BTreeMap<String, Process>,
    ) {
        let mut names = Vec::new();
        for (on, process) in ended {
            let Some(first) = self.units.get_mut(on) else {
                continue;
            };
            names.push(first.name.clone());
            // Of one that was started again meanwhile it says nothing.
            if first.process == Some(*process) && first.untold.is_none() {
                first.untold = Some(at);
                // Should the process be an older one's, this says so.
                self.inspect(on);
            }
        }
        let text = format!(
            "{} ended too, and the engine has not told so yet; it is started after that",
            names.join(", ")
        );
        self.tell(at, id, "waits", text);
        match begun.filter(|begun| self.is_still_needed(id, begun)) {
            Some(begun) => {
                if let Some(unit) = self.units.get_mut(id) {
                    unit.queued = Some(begun);
                }
            }
            None => self.consider(at, id),
        }
    }

    /// It was inspected: this is the process that it has now.
    pub(super) fn has_process(&mut self, id: &str, process: Option<Process>) {
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        let runs = matches!(unit.phase, Phase::Running | Phase::Paused);
        // One that cannot be seen may have ended: that is no news.
        if runs && process.is_some() && unit.process != process {
            unit.process = process;
            unit.untold = None;
        }
    }
}

impl Unit {
    /// Another run of it, or none.
    pub(super) fn forget_process(&mut self) {
        self.process = None;
        self.untold = None;
    }
}
