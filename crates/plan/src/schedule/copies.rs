//! Copies to one further vault, with an RPO of its own.
//!
//! A point counts there from the beginning of its capture, and only once it is there. One copy carries all new points;
//! it starts so early that it is complete before any app's RPO there is missed, and only when there is something new.

use std::collections::BTreeMap;

use super::{Alert, AlertKind, Effect, Ended, Key, Task, Time, Work};

const PAUSE: u64 = 30_000;
/// What a first copy is thought to take.
const UNKNOWN: u64 = 30_000;

#[derive(Debug, Clone)]
struct There {
    seen: Time,
    /// The newest at home.
    home: Option<Time>,
    /// The newest at home when the copy under way began.
    carried: Option<Time>,
    /// The newest there.
    held: Option<Time>,
    told: Option<AlertKind>,
}

#[derive(Debug, Clone)]
pub(super) struct Copies {
    rpo: u64,
    apps: BTreeMap<Key, There>,
    took: Option<u64>,
    running: Option<(u64, Time)>,
    /// The number of the job that somebody asked for.
    asked: Option<u64>,
    failures: u32,
    not_before: Time,
    /// When the next copy starts; `None`: there is nothing new.
    due: Option<Time>,
    /// When somebody may have to be told.
    watch: Option<Time>,
}

impl Copies {
    pub fn new(rpo: u64) -> Self {
        Self {
            rpo,
            apps: BTreeMap::new(),
            took: None,
            running: None,
            asked: None,
            failures: 0,
            not_before: Time(i64::MIN),
            due: None,
            watch: None,
        }
    }

    pub fn set_rpo(&mut self, rpo: u64) {
        self.rpo = rpo;
    }

    pub fn known(&mut self, app: &Key, seen: Time) {
        self.apps.entry(app.clone()).or_insert(There {
            seen,
            home: None,
            carried: None,
            held: None,
            told: None,
        });
    }

    pub fn gone(&mut self, app: &Key) {
        self.apps.remove(app);
    }

    /// A new point at home.
    pub fn made(&mut self, app: &Key, began: Time, now: Time) {
        let (rpo, takes) = (self.rpo, self.takes());
        let Some(there) = self.apps.get_mut(app) else {
            return;
        };
        there.home = there.home.max(Some(began));
        let due = there
            .due(rpo, takes, now)
            .map(|due| due.max(self.not_before));
        self.due = match (self.due, due) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let watch = there.watch(rpo, takes, now);
        self.watch = Some(self.watch.map_or(watch, |w| w.min(watch)));
    }

    pub fn held(&mut self, app: Key, began: Time) {
        if let Some(there) = self.apps.get_mut(&app) {
            there.held = there.held.max(Some(began));
        }
    }

    pub fn asked(&self) -> Option<u64> {
        self.asked
    }

    pub fn unask(&mut self, job: u64, now: Time) {
        if self.asked == Some(job) {
            self.asked = None;
            self.plan(now);
        }
    }

    pub fn ask(&mut self, job: u64, now: Time) {
        self.asked = Some(job);
        self.not_before = now;
        self.due = Some(now);
    }

    fn takes(&self) -> u64 {
        let took = self.took.unwrap_or_else(|| UNKNOWN.min(self.rpo / 4));
        took + took / 4 + 500
    }

    /// Looks at all apps again.
    pub fn plan(&mut self, now: Time) {
        let (rpo, takes) = (self.rpo, self.takes());
        let due = self
            .apps
            .values()
            .filter_map(|a| a.due(rpo, takes, now))
            .min();
        self.due = due.map(|due| due.max(self.not_before));
        if self.asked.is_some() {
            self.due = Some(now);
        }
        let open = self
            .apps
            .values()
            .filter(|a| a.told != Some(AlertKind::Missed));
        self.watch = open.map(|a| a.watch(rpo, takes, now)).min();
    }

    pub fn next(&self) -> Option<Time> {
        let due = self.due.filter(|_| self.running.is_none());
        [due, self.watch].into_iter().flatten().min()
    }

    pub fn wake(&mut self, now: Time, vault: &str, next_job: &mut u64, effects: &mut Vec<Effect>) {
        if self.running.is_none() && self.due.is_some_and(|due| due <= now) {
            let job = self.asked.take().unwrap_or_else(|| {
                *next_job += 1;
                *next_job - 1
            });
            self.running = Some((job, now));
            self.due = None;
            for there in self.apps.values_mut() {
                there.carried = there.home;
            }
            effects.push(Effect::Start {
                job,
                work: Work::Upkeep(Task::Copy(vault.to_owned())),
            });
        }
        if self.watch.is_some_and(|watch| watch <= now) {
            self.tell(now, vault, effects);
            self.plan(now);
            // What could not be told yet is looked at again a little later, never in a circle.
            self.watch = self.watch.map(|watch| watch.max(now.plus(1000)));
        }
    }

    fn tell(&mut self, now: Time, vault: &str, effects: &mut Vec<Effect>) {
        let (rpo, takes) = (self.rpo, self.takes());
        for (key, there) in &mut self.apps {
            let misses = there.base(now).plus(rpo);
            let kind = match () {
                () if now >= misses => AlertKind::Missed,
                () if now >= there.watch(rpo, takes, now) && there.told.is_none() => {
                    AlertKind::Soon
                }
                () => continue,
            };
            if there.told != Some(kind) {
                there.told = Some(kind);
                let alert = there.alert(key, vault, kind, rpo, now, self.failures);
                effects.push(Effect::Alert(alert));
            }
        }
    }

    pub fn ended(
        &mut self,
        job: u64,
        ended: &Ended,
        now: Time,
        vault: &str,
        effects: &mut Vec<Effect>,
    ) {
        let Some((_, since)) = self.running.filter(|(running, _)| *running == job) else {
            return;
        };
        self.running = None;
        match ended {
            Ended::Done { .. } => {
                self.failures = 0;
                self.not_before = Time(i64::MIN);
                self.took = Some(self.took.map_or(now.since(since), |took| {
                    // Forgets slowly how long a copy can take.
                    now.since(since).max(took - took / 4)
                }));
                let (rpo, takes) = (self.rpo, self.takes());
                for (key, there) in &mut self.apps {
                    there.held = there.held.max(there.carried);
                    if there.told.is_some()
                        && there.held.is_some()
                        && now < there.watch(rpo, takes, now)
                    {
                        there.told = None;
                        let alert = there.alert(key, vault, AlertKind::Kept, rpo, now, 0);
                        effects.push(Effect::Alert(alert));
                    }
                }
            }
            Ended::Failed | Ended::Cancelled => {
                self.failures = self.failures.saturating_add(1);
                let pause = PAUSE.saturating_mul(1 << (self.failures - 1).min(10));
                let pause = pause.min(self.rpo / 4).clamp(1000, 3_600_000);
                self.not_before = now.plus(pause);
            }
        }
        self.plan(now);
    }
}

impl There {
    fn base(&self, now: Time) -> Time {
        self.held.unwrap_or(self.seen).min(now)
    }

    /// When a copy has to start for this app.
    fn due(&self, rpo: u64, takes: u64, now: Time) -> Option<Time> {
        let new = self.home > self.held;
        new.then(|| self.base(now).plus(rpo.saturating_sub(takes) / 10 * 8))
    }

    /// When its RPO there is about to be missed.
    fn watch(&self, rpo: u64, takes: u64, now: Time) -> Time {
        let misses = self.base(now).plus(rpo);
        match self.told {
            Some(_) => misses,
            None => misses.minus((takes * 3 / 4).min(rpo / 2)),
        }
    }

    fn alert(
        &self,
        key: &Key,
        vault: &str,
        kind: AlertKind,
        rpo: u64,
        now: Time,
        failures: u32,
    ) -> Alert {
        Alert {
            app: key.clone(),
            vault: Some(vault.to_owned()),
            kind,
            rpo,
            began: self.held,
            misses: self.base(now).plus(rpo),
            failures,
            takes: None,
        }
    }
}
