//! Who starts next.

use super::{Effect, Key, Scheduler, Time, Work};

/// So many of those that may start are looked at for one that fits the last free place.
const LOOKED_AT: usize = 64;

impl Scheduler {
    /// Starts captures while there are places.
    pub(super) fn fill(&mut self, effects: &mut Vec<Effect>) {
        while self.captures.len() < self.limits.captures {
            let Some(key) = self.pick() else { break };
            if self.is_shut_out(&key) {
                self.leave_queues(&key);
                self.replace(&key);
                continue;
            }
            let asked = self.apps.get(&key).and_then(|app| app.asked);
            let job = asked.unwrap_or_else(|| self.number());
            self.leave_queues(&key);
            if let Some(app) = self.apps.get_mut(&key) {
                app.running = Some((job, self.now));
                app.attempted = Some(self.now);
                app.asked = None;
            }
            self.captures.insert(job, key.clone());
            self.rewatch(&key);
            effects.push(Effect::Start {
                job,
                work: Work::Capture { app: key },
            });
        }
    }

    /// Whether its window closed while it waited for its turn.
    fn is_shut_out(&self, key: &Key) -> bool {
        let app = self.apps.get(key).filter(|app| app.asked.is_none());
        let window = app.and_then(|app| app.plan.window.as_ref());
        window.is_some_and(|window| !window.open(self.now.timestamp(), &self.zone))
    }

    pub(super) fn number(&mut self) -> u64 {
        let job = self.next_job;
        self.next_job += 1;
        job
    }

    fn pick(&self) -> Option<Key> {
        let late = self
            .ready
            .first()
            .is_some_and(|(latest, _)| *latest < self.now);
        // Where one is late, not all can be kept: then who goes first matters more than who is soonest.
        if late {
            let keys = self.ranked.iter().map(|(_, _, key)| key);
            self.fitting(keys)
        } else {
            let keys = self.ready.iter().map(|(_, key)| key);
            self.fitting(keys)
        }
    }

    fn fitting<'k>(&self, mut keys: impl Iterator<Item = &'k Key>) -> Option<Key> {
        let free = self.limits.captures.saturating_sub(self.captures.len());
        if free > 1 || self.limits.captures < 2 {
            return keys.next().cloned();
        }
        keys.take(LOOKED_AT)
            .find(|key| self.leaves_room(key))
            .cloned()
    }

    /// Whether nobody else would have to wait for it longer than it can.
    fn leaves_room(&self, key: &Key) -> bool {
        let takes = self.apps.get(key).map_or(0, super::AppState::takes);
        let mut others = self.patience.iter().filter(|(_, other)| other != key);
        let Some((patience, _)) = others.next() else {
            return true;
        };
        // One that can never be kept is no reason to hold others back.
        takes < *patience || *patience == 0
    }

    /// When somebody has to look again: the next that may start, is to be watched, or is due.
    #[must_use]
    pub fn next_wake(&self) -> Option<Time> {
        let waiting = self.waiting.first().map(|(time, _)| *time);
        let watched = self.watched.first().map(|(time, _)| *time);
        let upkeep = self.upkeep.next(self.limits.upkeep);
        let copies = self.copies.values().filter_map(super::Copies::next).min();
        [waiting, watched, upkeep, copies]
            .into_iter()
            .flatten()
            .min()
    }
}
