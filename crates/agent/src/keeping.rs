//! Definitions go into the vault after each change, in a thread of its own: a vault that is away holds nobody up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use lifeboat_plan::supervise::Note;
use parking_lot::Mutex;

use crate::Clock;
use crate::follow::Current;
use crate::help::Help;
use crate::run::Message;

/// Changes come in bursts (a deployment): so long nothing changes, and then it is done once.
const QUIET: Duration = Duration::from_secs(3);
/// But no later than so long after the first.
const LATEST: Duration = Duration::from_secs(60);
/// Between two tries where it did not work, doubled up to the second.
const AGAIN: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(600);
/// How often it is seen whether to end.
const POLL: Duration = Duration::from_millis(200);

/// Apps of which something is gone, and what: their definitions as the engine has them would be no whole ones.
pub(crate) type Gone = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// The thread's own.
pub(crate) struct Keeping {
    pub(crate) help: Arc<dyn Help>,
    pub(crate) current: Current,
    pub(crate) gone: Gone,
    /// The agent knows nothing of before: it is new here, or its state is lost.
    pub(crate) knows_nothing: bool,
    pub(crate) changes: Receiver<()>,
    pub(crate) clock: Clock,
    pub(crate) to: Sender<Message>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// When it is to be done.
#[derive(Debug, Default)]
struct Due {
    /// The first change that is not in the vault, and the last.
    changed: Option<(Instant, Instant)>,
    /// Not before.
    not_before: Option<Instant>,
    failures: u32,
}

impl Due {
    fn changed(&mut self, at: Instant) {
        let first = self.changed.map_or(at, |(first, _)| first);
        self.changed = Some((first, at));
    }

    fn is_due(&self, at: Instant) -> bool {
        let Some((first, last)) = self.changed else {
            return false;
        };
        let settled = at - last >= QUIET || at - first >= LATEST;
        settled && self.not_before.is_none_or(|not_before| at >= not_before)
    }

    /// It was done, but for what is not whole at the moment.
    fn done(&mut self, at: Instant, all: bool) {
        *self = Self::default();
        if !all {
            self.changed = Some((at, at));
            self.not_before = Some(at + AGAIN);
        }
    }

    fn failed(&mut self, at: Instant) {
        let wait = AGAIN.saturating_mul(1 << self.failures.min(8)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(at + wait);
    }
}

impl Keeping {
    /// The thread's work.
    pub(crate) fn run(&self) {
        let mut due = Due::default();
        let mut ask = self.knows_nothing;
        // While no agent ran, anything may have changed.
        due.changed(Instant::now());
        while !self.stop.load(Ordering::Relaxed) {
            match self.changes.recv_timeout(POLL) {
                Ok(()) => due.changed(Instant::now()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if due.is_due(Instant::now()) && self.current.get().is_some() {
                self.keep(&mut due, &mut ask);
            }
        }
    }

    fn keep(&self, due: &mut Due, ask: &mut bool) {
        let except: BTreeSet<String> = self.gone.lock().keys().cloned().collect();
        let kept = self.help.keep(&except, &self.stop);
        if self.stop.load(Ordering::Relaxed) {
            return;
        }
        let at = Instant::now();
        match kept {
            Ok(absent) => {
                if std::mem::take(ask) && !absent.is_empty() {
                    // Nobody knows who of them is to run, or runs elsewhere by now: a person does.
                    self.tell(&format!(
                        "the vault knows apps of this host that are not here: {}; if the host was lost with all that was known of it, `lifeboat restore APP` brings each of them back",
                        absent.join(", ")
                    ));
                }
                if due.failures > 0 {
                    self.tell("the definitions of all apps are in the vault again");
                }
                due.done(at, except.is_empty());
            }
            Err(why) => {
                if due.failures == 0 {
                    self.tell(&format!(
                        "the definitions of the apps cannot be put into the vault: {why}; it is tried again, and said once it works"
                    ));
                }
                due.failed(at);
            }
        }
    }

    fn tell(&self, text: &str) {
        // Nobody listens once the agent ends.
        let _ = self.to.send(Message::Note(Note {
            at: self.clock.now(),
            app: String::new(),
            container: String::new(),
            kind: "definitions".to_owned(),
            text: text.to_owned(),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_taken_together_and_a_vault_that_is_away_is_tried_with_patience() {
        let start = Instant::now();
        let at = |secs: u64| start + Duration::from_secs(secs);
        let mut due = Due::default();
        assert!(!due.is_due(at(100)));
        // One each second: done after a minute all the same.
        for second in 0..60 {
            due.changed(at(second));
            assert!(!due.is_due(at(second)), "{second}");
        }
        due.changed(at(60));
        assert!(due.is_due(at(60)));
        due.failed(at(60));
        assert!(!due.is_due(at(89)) && due.is_due(at(90)));
        due.failed(at(90));
        assert!(!due.is_due(at(149)) && due.is_due(at(150)));
        for _ in 0..20 {
            due.failed(at(150));
        }
        assert!(due.is_due(at(150) + LONGEST));
        due.done(at(200), true);
        assert!(!due.is_due(at(1000)));
        due.changed(at(1000));
        assert!(!due.is_due(at(1002)) && due.is_due(at(1003)));
        due.done(at(1003), false);
        assert!(!due.is_due(at(1032)) && due.is_due(at(1033)));
    }
}
