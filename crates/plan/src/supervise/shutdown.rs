//! A person's stop, and an engine's shutdown: both emit `kill`, `die`, `stop`.
//!
//! What tells them apart is what comes after. An engine that shuts down signals all its containers within a moment
//! and is gone within the grace. So: when the connection is lost, the burst of signals before it is looked at; where
//! nothing was left running without one, and it was gone soon after the last had ended, it was the engine, and what was
//! before the first of them counts. A person who stops the last one that runs, a moment before the engine goes, cannot be
//! told from it: that one runs again. An engine that
//! was killed stops what it left running when it comes up again, with the same events once more: until it has been
//! listed, they are its own.

use std::time::Duration;

use super::event::{Effect, Note};
use super::unit::{Phase, Unit, Wanted};
use super::{Moment, World};

/// Signals of one shutdown come within so long of each other.
const BURST: Duration = Duration::from_secs(3);
/// An engine waits for so long for its containers, and a little more for itself.
const SHUTDOWN: Duration = Duration::from_secs(20);
/// Once the last has ended, an engine that shuts down is gone within this. What ended before, a person stopped.
const LAST_RITES: Duration = Duration::from_secs(10);

impl World {
    /// The engine does not answer any more.
    pub(super) fn lost(&mut self, at: Moment) {
        if !self.connected {
            return;
        }
        self.connected = false;
        self.booting = true;
        self.connection_since = at;
        let stopped = self.was_shutdown(at);
        for id in &stopped {
            if let Some(unit) = self.units.get_mut(id) {
                unit.wanted = Wanted::Run;
                unit.killed = None;
                unit.hands_off = None;
                unit.check_at = None;
            }
        }
        // No signal will be told of any more.
        let ended: Vec<String> = self.units.keys().cloned().collect();
        for id in ended {
            self.judge(at, &id);
        }
        for unit in self.units.values_mut() {
            unit.killed = None;
        }
        let text = if stopped.is_empty() {
            "the engine does not answer any more".to_owned()
        } else {
            self.came_back = true;
            format!(
                "the engine was shut down, and {} container(s) with it; they are to run again",
                stopped.len()
            )
        };
        self.effects.push(Effect::Tell(Note {
            at,
            app: String::new(),
            container: String::new(),
            kind: "engine-lost".to_owned(),
            text,
        }));
    }

    /// Those that a shutdown stopped; none if there was no shutdown.
    fn was_shutdown(&self, at: Moment) -> Vec<String> {
        let mut signals: Vec<(Moment, &str)> = self
            .units
            .values()
            .filter_map(|unit| Some((unit.killed?, unit.id.as_str())))
            .collect();
        signals.sort_unstable();
        let longest = self
            .units
            .values()
            .map(super::Unit::grace)
            .max()
            .unwrap_or(10);
        let within = SHUTDOWN + Duration::from_secs(longest.min(120));
        let Some(&(last, _)) = signals.last() else {
            return Vec::new();
        };
        if at.since(last) > within {
            return Vec::new();
        }
        let mut burst = Vec::new();
        let mut edge = last;
        for (moment, id) in signals.iter().rev() {
            if edge.since(*moment) > BURST {
                break;
            }
            edge = *moment;
            burst.push((*id).to_owned());
        }
        let left_running = self
            .units
            .values()
            .any(|unit| unit.phase == Phase::Running && !burst.contains(&unit.id));
        let last_end = burst
            .iter()
            .map(|id| self.units.get(id).and_then(Unit::ended_at))
            .collect::<Option<Vec<Moment>>>();
        let long_ended = last_end
            .and_then(|ends| ends.into_iter().max())
            .is_some_and(|end| at.since(end) > LAST_RITES);
        if left_running || long_ended {
            Vec::new()
        } else {
            burst
        }
    }
}
