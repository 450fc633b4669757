//! From single answers to a verdict: the state of one run of one container.
//!
//! Kubernetes' rules. A container begins alive and not ready. A verdict changes only after so many equal answers one
//! after the other. Until the startup probe has passed, the others do not count. Without a startup probe it has started
//! when it runs; without a readiness probe it is ready when it has started.
//!
//! Two rules are ours. An answer that could not be had ([`Outcome::Unknown`]: the engine does not answer) counts
//! neither way. And a database that says that it is still recovering ([`Outcome::Recovering`]) is not ready, but its
//! failures begin to count anew: to restart it would begin the recovery from the start.

use std::time::Duration;

use serde::Serialize;

use super::{Probe, Probes, Which};

/// What one question brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "outcome", content = "why")]
pub enum Outcome {
    /// The answer is good.
    Success,
    /// There was none, or a bad one: a phrase that says which.
    Failure(String),
    /// It works on coming up, by its own words: recovery of a database, `starting`.
    Recovering(String),
    /// Nobody could ask: a phrase that says why.
    Unknown(String),
}

/// What is thought of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// It has come up.
    pub started: bool,
    /// Nothing says that it should be restarted.
    pub alive: bool,
    /// It can be relied on.
    pub ready: bool,
}

/// What an answer changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum Change {
    /// It has come up: the startup probe passed.
    Started,
    /// It has not come up: so many failures one after the other. Said once until it has.
    StartupFailed {
        /// How many failures that were.
        failures: u32,
        /// What the last one was.
        why: String,
    },
    /// It does not answer any more. Said once until it does.
    Unresponsive {
        /// How many failures that were.
        failures: u32,
        /// What the last one was.
        why: String,
    },
    /// It answers again, and nobody restarted it.
    Responsive,
    /// It can be relied on.
    Ready,
    /// It can no longer be relied on.
    NotReady {
        /// How many failures that were.
        failures: u32,
        /// What the last one was.
        why: String,
    },
    /// It says that it is still coming up (recovery of a database); it is left to it. Said once at the beginning.
    Recovering {
        /// In its own words.
        why: String,
    },
}

/// Answers of one probe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Track {
    /// The verdict.
    good: bool,
    /// So many equal answers one after the other; failures are negative.
    run: i64,
    /// A failure was reported.
    reported: bool,
    /// Its last word was that it is recovering.
    recovering: bool,
    /// What the last failure was.
    why: Option<String>,
    /// When the verdict was reached.
    since: Duration,
}

/// The state of one run of one container: made anew at each of its starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    startup: Track,
    liveness: Track,
    readiness: Track,
}

impl Health {
    /// That of a container that started just now.
    #[must_use]
    pub fn new(probes: &Probes, now: Duration) -> Self {
        let track = |good| Track {
            good,
            since: now,
            ..Track::default()
        };
        let started = probes.startup.is_none();
        Self {
            startup: track(started),
            liveness: track(true),
            readiness: track(started && probes.readiness.is_none()),
        }
    }

    /// What is thought of it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict {
            started: self.startup.good,
            alive: self.liveness.good && !self.startup.reported,
            ready: self.startup.good && self.readiness.good,
        }
    }

    /// Whether a probe is asked at all: `startup` until it has passed, the others from then on.
    #[must_use]
    pub fn is_asked(&self, which: Which) -> bool {
        (which == Which::Startup) != self.startup.good
    }

    /// Since when one of the verdicts is what it is.
    #[must_use]
    pub fn since(&self, which: Which) -> Duration {
        self.track(which).since
    }

    /// What the last failure of a probe was, if its last answer was none that is good.
    #[must_use]
    pub fn why(&self, which: Which) -> Option<&str> {
        self.track(which).why.as_deref()
    }

    /// Takes one answer.
    #[must_use]
    pub fn step(
        mut self,
        probes: &Probes,
        which: Which,
        outcome: Outcome,
        now: Duration,
    ) -> (Self, Vec<Change>) {
        let mut changes = Vec::new();
        // An answer that was on its way when the gate closed or opened is nobody's.
        if let Some(probe) = probes.get(which).filter(|_| self.is_asked(which)) {
            let turned = self
                .track_mut(which)
                .take(which, probe, outcome, now, &mut changes);
            if turned {
                self.turned(probes, which, now, &mut changes);
            }
        }
        (self, changes)
    }

    /// The verdict of a probe has changed.
    fn turned(&mut self, probes: &Probes, which: Which, now: Duration, out: &mut Vec<Change>) {
        let track = self.track(which);
        let failures = u32::try_from(track.run.unsigned_abs()).unwrap_or(u32::MAX);
        let why = track.why.clone().unwrap_or_default();
        match (which, track.good) {
            (Which::Startup, true) => {
                self.startup.reported = false;
                out.push(Change::Started);
                if probes.readiness.is_none() {
                    self.readiness.good = true;
                    self.readiness.since = now;
                    out.push(Change::Ready);
                }
            }
            (Which::Startup, false) => out.push(Change::StartupFailed { failures, why }),
            (Which::Liveness, true) => out.push(Change::Responsive),
            (Which::Liveness, false) => out.push(Change::Unresponsive { failures, why }),
            (Which::Readiness, true) => out.push(Change::Ready),
            (Which::Readiness, false) => out.push(Change::NotReady { failures, why }),
        }
    }

    fn track(&self, which: Which) -> &Track {
        match which {
            Which::Startup => &self.startup,
            Which::Liveness => &self.liveness,
            Which::Readiness => &self.readiness,
        }
    }

    fn track_mut(&mut self, which: Which) -> &mut Track {
        match which {
            Which::Startup => &mut self.startup,
            Which::Liveness => &mut self.liveness,
            Which::Readiness => &mut self.readiness,
        }
    }
}

impl Track {
    /// Takes an answer; whether it changed the verdict (of startup: for the first time into a failure).
    fn take(
        &mut self,
        which: Which,
        probe: &Probe,
        outcome: Outcome,
        now: Duration,
        out: &mut Vec<Change>,
    ) -> bool {
        let timing = &probe.timing;
        let entered = !self.recovering;
        self.recovering = matches!(outcome, Outcome::Recovering(_))
            || (self.recovering && matches!(outcome, Outcome::Unknown(_)));
        match outcome {
            Outcome::Unknown(_) => false,
            Outcome::Success => {
                self.run = self.run.max(0).saturating_add(1);
                self.why = None;
                let enough = self.run >= i64::from(timing.successes.value);
                self.turn(enough && !self.good, true, now)
            }
            Outcome::Recovering(why) => {
                if entered {
                    out.push(Change::Recovering { why: why.clone() });
                }
                if which == Which::Readiness {
                    return self.fail(timing.failures.value, why, which, now);
                }
                self.run = 0;
                self.why = Some(why);
                false
            }
            Outcome::Failure(why) => self.fail(timing.failures.value, why, which, now),
        }
    }

    fn fail(&mut self, failures: u32, why: String, which: Which, now: Duration) -> bool {
        self.run = self.run.min(0).saturating_sub(1);
        self.why = Some(why);
        let enough = self.run <= -i64::from(failures);
        if which == Which::Startup {
            // Not started is what it was before: the failure itself is the news.
            let news = enough && !self.reported;
            self.reported |= enough;
            return self.turn(news, false, now);
        }
        self.turn(enough && self.good, false, now)
    }

    fn turn(&mut self, turns: bool, to: bool, now: Duration) -> bool {
        if turns {
            self.good = to;
            self.since = now;
        }
        turns
    }
}
