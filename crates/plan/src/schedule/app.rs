//! One app: when its next capture may start, when it must, and when somebody has to be told.

use jiff::tz::TimeZone;

use super::{AlertKind, Plan, Time};
use crate::policy::Windows;

/// How many durations are remembered.
const REMEMBERED: usize = 5;
/// What a first capture is thought to take.
const UNKNOWN: u64 = 10_000;
/// Added to the quarter more.
const SLACK: u64 = 500;
/// Steps in which an open window is looked for before a moment.
const STEP: u64 = 15 * 60_000;

#[derive(Debug, Clone)]
pub(super) struct AppState {
    pub plan: Plan,
    /// When we first knew of it: what never had a point counts from here.
    pub seen: Time,
    /// When the capture of its newest usable point began.
    pub began: Option<Time>,
    took: Vec<u64>,
    /// The job under way, and since when.
    pub running: Option<(u64, Time)>,
    /// When the last attempt began.
    pub attempted: Option<Time>,
    pub failures: u32,
    pub not_before: Time,
    /// The number of the job that somebody asked for.
    pub asked: Option<u64>,
    /// What people were told last.
    pub told: Option<AlertKind>,
    pub told_impossible: bool,
    /// A number of its own, 0 to 1000.
    share: u64,
    // Where it stands in the sets of the scheduler.
    pub waits: Option<Time>,
    pub ready: Option<Time>,
    pub watch: Option<Time>,
}

impl AppState {
    pub fn new(key: &str, plan: Plan, now: Time) -> Self {
        Self {
            plan,
            seen: now,
            began: None,
            took: Vec::new(),
            running: None,
            attempted: None,
            failures: 0,
            not_before: Time(i64::MIN),
            asked: None,
            told: None,
            told_impossible: false,
            share: crate::policy::spread(key) % 1000,
            waits: None,
            ready: None,
            watch: None,
        }
    }

    /// What a capture is thought to take: the longest of the last ones, and a quarter more.
    pub fn takes(&self) -> u64 {
        let longest = self.took.iter().copied().max();
        let longest = longest.unwrap_or_else(|| UNKNOWN.min(self.plan.rpo / 4));
        longest + longest / 4 + SLACK.min(self.plan.rpo / 20)
    }

    /// The longest of the last ones, as it was measured.
    pub fn measured(&self) -> Option<u64> {
        self.took.iter().copied().max()
    }

    pub fn measure(&mut self, took: u64) {
        if self.took.len() == REMEMBERED {
            self.took.remove(0);
        }
        self.took.push(took);
    }

    /// What its age is counted from. Never ahead of the clock: it may have been set back.
    fn base(&self, now: Time) -> Time {
        self.began.unwrap_or(self.seen).min(now)
    }

    /// How long after that the next capture has to start.
    pub fn patience(&self) -> u64 {
        self.plan.rpo.saturating_sub(self.takes())
    }

    /// When the next capture must start at the latest.
    pub fn latest(&self, now: Time) -> Time {
        self.base(now).plus(self.patience())
    }

    /// When the RPO is missed.
    pub fn misses(&self, now: Time) -> Time {
        self.base(now).plus(self.plan.rpo)
    }

    /// When the next capture may start.
    pub fn release(&self, now: Time, zone: &TimeZone) -> Time {
        let patience = self.patience();
        let wanted = if self.asked.is_some() || self.failures > 0 {
            now
        } else if self.began.is_none() && self.attempted.is_none() {
            // Never protected: now, but not all at once, and not before somebody can say what the vault holds of it.
            let spread = (patience / 10).min(5_000) * self.share / 1000;
            self.seen.plus(1 + spread)
        } else if let Some(schedule) = &self.plan.schedule {
            let from = self.attempted.max(self.began).unwrap_or(self.seen).min(now);
            let fixed = schedule.next(from.timestamp(), zone).map(Time::of);
            let latest = self.base(now).plus(patience / 20 * 19);
            fixed.map_or(latest, |fixed| fixed.min(latest))
        } else {
            self.base(now)
                .plus(patience / 10 * 8 + patience * self.share / 10_000)
        };
        let wanted = match &self.plan.window {
            Some(window) if self.asked.is_none() => self.within(window, wanted, now, zone),
            _ => wanted,
        };
        wanted.max(self.not_before)
    }

    /// The moment within the window that is best for a capture that is wanted then.
    fn within(&self, window: &Windows, wanted: Time, now: Time, zone: &TimeZone) -> Time {
        let wanted = wanted.max(now);
        if window.open(wanted.timestamp(), zone) {
            return wanted;
        }
        let opens = Time::of(window.next_open(wanted.timestamp(), zone));
        if opens <= self.latest(now) {
            return opens;
        }
        // It opens too late: then before it closes.
        let mut at = wanted;
        while at > now {
            at = at.minus(STEP).max(now);
            if window.open(at.timestamp(), zone) {
                return at;
            }
        }
        opens
    }

    /// How long to wait after so many failures.
    pub fn pause(&self) -> u64 {
        let first = (self.plan.rpo / 8).clamp(1_000, 60_000);
        let longest = (self.plan.rpo / 2).clamp(2_000, 3_600_000);
        let doubled = first.saturating_mul(1 << self.failures.saturating_sub(1).min(20));
        doubled.min(longest)
    }

    /// When people have to be told that the RPO is about to be missed: the latest moment is over and no capture is on its
    /// way that can be complete in time; earlier where captures fail. Always before it is missed.
    pub fn soon(&self, now: Time) -> Time {
        let misses = self.misses(now);
        let soon = match self.running {
            Some((_, since)) => {
                let done = since.min(now).plus(self.takes());
                if done > misses {
                    since
                } else {
                    done.max(self.latest(now))
                }
            }
            None if self.failures > 0 => self.base(now).plus(self.plan.rpo / 2),
            None => {
                let latest = self.latest(now);
                latest.plus(misses.since(latest) / 4)
            }
        };
        soon.min(misses.minus((self.plan.rpo / 20).min(60_000)))
    }
}
