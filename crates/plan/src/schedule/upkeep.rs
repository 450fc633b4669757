//! Upkeep of the vault and of registries: each task on its own period.

use std::collections::BTreeMap;

use super::{Ended, Task, Time};

/// The first pause after a failure.
const PAUSE: u64 = 60_000;
/// The longest.
const LONGEST_PAUSE: u64 = 6 * 3_600_000;

#[derive(Debug, Clone)]
struct Entry {
    every: u64,
    due: Time,
    failures: u32,
    running: Option<u64>,
    /// The number of the job that somebody asked for, and when it was due otherwise.
    asked: Option<(u64, Time)>,
}

/// All tasks but copies.
#[derive(Debug, Clone, Default)]
pub(super) struct Upkeep {
    tasks: BTreeMap<Task, Entry>,
}

impl Upkeep {
    pub fn every(&mut self, task: Task, every: Option<u64>, last: Option<Time>, now: Time) {
        let Some(every) = every else {
            self.tasks.remove(&task);
            return;
        };
        // What was never done is done after a tenth of its period, an hour at most: captures come first.
        let first = now.plus((every / 10).min(3_600_000));
        let due = last.map_or(first, |last| last.min(now).plus(every));
        match self.tasks.get_mut(&task) {
            Some(entry) if entry.every == every => {}
            Some(entry) => {
                entry.every = every;
                entry.due = due;
            }
            None => {
                let entry = Entry {
                    every,
                    due,
                    failures: 0,
                    running: None,
                    asked: None,
                };
                self.tasks.insert(task, entry);
            }
        }
    }

    pub fn knows(&self, task: &Task) -> bool {
        self.tasks.contains_key(task)
    }

    pub fn asked(&self, task: &Task) -> Option<u64> {
        self.tasks.get(task)?.asked.map(|(job, _)| job)
    }

    pub fn ask(&mut self, task: &Task, job: u64, now: Time) {
        if let Some(entry) = self.tasks.get_mut(task) {
            let due = entry.asked.map_or(entry.due, |(_, due)| due);
            entry.asked = Some((job, due));
            entry.due = now;
        }
    }

    pub fn unask(&mut self, job: u64) {
        for entry in self.tasks.values_mut() {
            if let Some((_, due)) = entry.asked.take_if(|(asked, _)| *asked == job) {
                entry.due = due;
            }
        }
    }

    pub fn next(&self, limit: usize) -> Option<Time> {
        if self.running() >= limit {
            return None;
        }
        let idle = self.tasks.values().filter(|entry| entry.running.is_none());
        idle.map(|entry| entry.due).min()
    }

    fn running(&self) -> usize {
        self.tasks.values().filter(|e| e.running.is_some()).count()
    }

    /// The task that has waited longest, if there is a place for it.
    pub fn due(&self, now: Time, limit: usize) -> Option<Task> {
        if self.running() >= limit {
            return None;
        }
        let due = self
            .tasks
            .iter()
            .filter(|(_, entry)| entry.running.is_none() && entry.due <= now);
        due.min_by_key(|(_, entry)| entry.due)
            .map(|(task, _)| task.clone())
    }

    pub fn started(&mut self, task: &Task, job: u64, now: Time) {
        if let Some(entry) = self.tasks.get_mut(task) {
            entry.running = Some(job);
            entry.asked = None;
            entry.due = now.plus(entry.every);
        }
    }

    /// Whether it was one of ours.
    pub fn ended(&mut self, job: u64, ended: &Ended, now: Time) -> bool {
        let mut entries = self.tasks.values_mut();
        let Some(entry) = entries.find(|entry| entry.running == Some(job)) else {
            return false;
        };
        entry.running = None;
        match ended {
            Ended::Done { .. } => entry.failures = 0,
            Ended::Failed | Ended::Cancelled => {
                entry.failures = entry.failures.saturating_add(1);
                let pause = PAUSE.saturating_mul(1 << (entry.failures - 1).min(20));
                let pause = pause.min(LONGEST_PAUSE).min(entry.every);
                if entry.asked.is_none() {
                    entry.due = now.plus(pause);
                }
            }
        }
        true
    }

    pub fn clock_was_set_back(&mut self, now: Time) {
        for entry in self.tasks.values_mut() {
            entry.due = entry.due.min(now.plus(entry.every));
        }
    }
}
