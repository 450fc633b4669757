//! Events into effects.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;

use super::{
    Alert, AlertKind, AppState, Copies, Effect, Ended, Event, Key, Limits, Plan, Scheduler, Task,
    Time, Upkeep, Work,
};
use crate::policy::{Period, judge};

/// A clock that goes back by more than this was set.
const SET_BACK: i64 = 1_000;

/// A host that is busy all day does not hold a capture up for longer, in milliseconds.
const LONGEST_IDLE: u64 = 30 * 60_000;

impl Scheduler {
    /// Nothing to do yet. `next_job`: numbers from here on were never used.
    #[must_use]
    pub fn new(now: Time, zone: TimeZone, limits: Limits, next_job: u64) -> Self {
        Self {
            now,
            zone,
            limits,
            next_job,
            apps: BTreeMap::new(),
            waiting: BTreeSet::new(),
            ready: BTreeSet::new(),
            ranked: BTreeSet::new(),
            patience: BTreeSet::new(),
            watched: BTreeSet::new(),
            captures: BTreeMap::new(),
            upkeep: Upkeep::default(),
            copies: BTreeMap::new(),
        }
    }

    /// Takes an event in, at this time, and says what is to be done.
    pub fn step(&mut self, now: Time, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        let set_back = now.0 < self.now.0 - SET_BACK;
        self.now = now;
        if set_back {
            self.clock_was_set_back();
        }
        match event {
            Event::Tick => {}
            Event::Planned { app, plan } => self.planned(app, plan),
            Event::Gone { app } => self.gone(&app),
            Event::Point { app, began, took } => self.point(&app, began, took, &mut effects),
            Event::Asked { work, job } => self.ask(&work, job),
            Event::Unasked { job } => self.unask(job),
            Event::Every { task, every, last } => self.every(task, every, last),
            Event::Held { vault, app, began } => self.held(&vault, app, began),
            Event::Ended { job, ended } => self.ended(job, &ended, &mut effects),
        }
        self.wake(&mut effects);
        effects
    }

    fn planned(&mut self, key: Key, plan: Plan) {
        match self.apps.get_mut(&key) {
            Some(app) if app.plan == plan => return,
            Some(_) => {
                self.forget_places(&key);
                if let Some(app) = self.apps.get_mut(&key) {
                    app.plan = plan;
                    app.told_impossible = false;
                }
            }
            None => {
                let app = AppState::new(&key, plan, self.now);
                self.apps.insert(key.clone(), app);
                for copies in self.copies.values_mut() {
                    copies.known(&key, self.now);
                }
            }
        }
        self.replace(&key);
    }

    fn gone(&mut self, key: &Key) {
        self.forget_places(key);
        // A capture under way ends by itself, and counts for nobody.
        self.apps.remove(key);
        for copies in self.copies.values_mut() {
            copies.gone(key);
        }
    }

    fn point(&mut self, key: &Key, began: Time, took: Option<u64>, effects: &mut Vec<Effect>) {
        self.forget_places(key);
        if let Some(app) = self.apps.get_mut(key) {
            app.began = app.began.max(Some(began));
            if let Some(took) = took {
                app.measure(took);
            }
            for copies in self.copies.values_mut() {
                copies.made(key, began, self.now);
            }
        }
        self.kept_again(key, effects);
        self.replace(key);
    }

    fn ask(&mut self, work: &Work, job: u64) {
        match work {
            Work::Capture { app: key } => {
                self.forget_places(key);
                if let Some(app) = self.apps.get_mut(key) {
                    app.asked = Some(job);
                    app.not_before = self.now;
                }
                self.replace(key);
            }
            Work::Upkeep(Task::Copy(vault)) => {
                if let Some(copies) = self.copies.get_mut(vault) {
                    copies.ask(job, self.now);
                }
            }
            Work::Upkeep(task) => self.upkeep.ask(task, job, self.now),
            Work::Order(_) => {}
        }
    }

    fn unask(&mut self, job: u64) {
        let mut apps = self.apps.iter();
        let asked = apps.find(|(_, app)| app.asked == Some(job));
        if let Some(key) = asked.map(|(key, _)| key.clone()) {
            self.forget_places(&key);
            if let Some(app) = self.apps.get_mut(&key) {
                app.asked = None;
            }
            self.replace(&key);
        }
        self.upkeep.unask(job);
        for copies in self.copies.values_mut() {
            copies.unask(job, self.now);
        }
    }

    fn every(&mut self, task: Task, every: Option<u64>, last: Option<Time>) {
        match (task, every) {
            (Task::Copy(vault), None) => drop(self.copies.remove(&vault)),
            (Task::Copy(vault), Some(rpo)) => {
                let copies = self.copies.entry(vault).or_insert_with(|| Copies::new(rpo));
                copies.set_rpo(rpo);
                for (key, app) in &self.apps {
                    copies.known(key, app.seen);
                    if let Some(began) = app.began {
                        copies.made(key, began, self.now);
                    }
                }
                copies.plan(self.now);
            }
            (task, every) => self.upkeep.every(task, every, last, self.now),
        }
    }

    fn held(&mut self, vault: &str, app: Key, began: Time) {
        if let Some(copies) = self.copies.get_mut(vault) {
            copies.held(app, began);
            copies.plan(self.now);
        }
    }

    fn ended(&mut self, job: u64, ended: &Ended, effects: &mut Vec<Effect>) {
        let Some(key) = self.captures.remove(&job) else {
            if !self.upkeep.ended(job, ended, self.now) {
                for (vault, copies) in &mut self.copies {
                    copies.ended(job, ended, self.now, vault, effects);
                }
            }
            return;
        };
        self.forget_places(&key);
        let now = self.now;
        if let Some(app) = self.apps.get_mut(&key) {
            let since = app.running.take().map(|(_, since)| since);
            match ended {
                Ended::Done { began } => {
                    app.failures = 0;
                    app.not_before = Time(i64::MIN);
                    if let (Some(since), Some(_)) = (since, began) {
                        app.measure(now.since(since));
                    }
                    // Whatever the clock did since: it began when it was started, at the earliest.
                    app.began = app.began.max(*began);
                    if let Some(began) = began {
                        for copies in self.copies.values_mut() {
                            copies.made(&key, *began, now);
                        }
                    }
                }
                Ended::Failed => {
                    app.failures = app.failures.saturating_add(1);
                    app.not_before = now.plus(app.pause());
                }
                Ended::Cancelled => app.not_before = now.plus(app.pause()),
            }
        }
        if matches!(ended, Ended::Done { .. }) {
            self.kept_again(&key, effects);
            self.impossible(&key, effects);
        }
        self.replace(&key);
    }

    /// Moves on what time has brought, starts what can start, tells what is to be told.
    fn wake(&mut self, effects: &mut Vec<Effect>) {
        while let Some((time, key)) = self.waiting.first().cloned() {
            if time > self.now {
                break;
            }
            self.forget_places(&key);
            self.replace(&key);
            // It may have to wait for its window after all.
            if self
                .apps
                .get(&key)
                .is_some_and(|app| app.waits == Some(time))
            {
                break;
            }
        }
        self.fill(effects);
        while let Some((time, key)) = self.watched.first().cloned() {
            if time > self.now {
                break;
            }
            self.tell(&key, effects);
            self.rewatch(&key);
        }
        let limit = self.limits.upkeep;
        while let Some(task) = self.upkeep.due(self.now, limit) {
            let asked = self.upkeep.asked(&task);
            let job = asked.unwrap_or_else(|| self.number());
            self.upkeep.started(&task, job, self.now);
            effects.push(Effect::Start {
                job,
                work: Work::Upkeep(task),
            });
        }
        let mut next = self.next_job;
        for (vault, copies) in &mut self.copies {
            copies.wake(self.now, vault, &mut next, effects);
        }
        self.next_job = next;
    }

    /// Puts an app where it belongs: waiting or ready, and watched.
    pub(super) fn replace(&mut self, key: &Key) {
        let now = self.now;
        let Some(app) = self.apps.get_mut(key) else {
            return;
        };
        self.patience.insert((app.patience(), key.clone()));
        if app.running.is_none() {
            let release = app.release(now, &self.zone);
            let latest = app.latest(now);
            if release <= now {
                app.ready = Some(latest);
                self.ready.insert((latest, key.clone()));
                self.ranked
                    .insert((-app.plan.priority, latest, key.clone()));
            } else {
                app.waits = Some(release);
                self.waiting.insert((release, key.clone()));
            }
        }
        self.rewatch(key);
    }

    /// Takes an app out of the queues.
    pub(super) fn leave_queues(&mut self, key: &Key) {
        let Some(app) = self.apps.get_mut(key) else {
            return;
        };
        if let Some(time) = app.waits.take() {
            self.waiting.remove(&(time, key.clone()));
        }
        if let Some(latest) = app.ready.take() {
            self.ready.remove(&(latest, key.clone()));
            self.ranked
                .remove(&(-app.plan.priority, latest, key.clone()));
        }
    }

    /// Takes an app out of every set; whoever changes what a place in a set depends on does this first.
    fn forget_places(&mut self, key: &Key) {
        self.leave_queues(key);
        let Some(app) = self.apps.get_mut(key) else {
            return;
        };
        self.patience.remove(&(app.patience(), key.clone()));
        if let Some(time) = app.watch.take() {
            self.watched.remove(&(time, key.clone()));
        }
    }

    pub(super) fn rewatch(&mut self, key: &Key) {
        let now = self.now;
        let Some(app) = self.apps.get_mut(key) else {
            return;
        };
        if let Some(time) = app.watch.take() {
            self.watched.remove(&(time, key.clone()));
        }
        let next = match app.told {
            None | Some(AlertKind::Kept) => app.soon(now),
            Some(AlertKind::Soon) => app.misses(now),
            // Nothing more to tell until it is kept again.
            Some(_) => return,
        };
        app.watch = Some(next);
        self.watched.insert((next, key.clone()));
    }

    fn tell(&mut self, key: &Key, effects: &mut Vec<Effect>) {
        let now = self.now;
        let Some(app) = self.apps.get_mut(key) else {
            return;
        };
        let kind = if now >= app.misses(now) {
            AlertKind::Missed
        } else if now >= app.soon(now) {
            AlertKind::Soon
        } else {
            return;
        };
        if app.told != Some(kind) {
            app.told = Some(kind);
            effects.push(Effect::Alert(alert(key, app, kind, now)));
        }
    }

    fn kept_again(&mut self, key: &Key, effects: &mut Vec<Effect>) {
        let now = self.now;
        let Some(app) = self.apps.get_mut(key) else {
            return;
        };
        let troubled = matches!(app.told, Some(AlertKind::Soon | AlertKind::Missed));
        if troubled && app.began.is_some() && now < app.soon(now) {
            app.told = None;
            effects.push(Effect::Alert(alert(key, app, AlertKind::Kept, now)));
        }
    }

    fn impossible(&mut self, key: &Key, effects: &mut Vec<Effect>) {
        let now = self.now;
        let Some(app) = self.apps.get_mut(key) else {
            return;
        };
        let measured = Period::millis(app.measured().unwrap_or(0));
        let is = judge::too_short(Period::millis(app.plan.rpo), measured).is_some();
        if is && !app.told_impossible {
            effects.push(Effect::Alert(alert(key, app, AlertKind::Impossible, now)));
        }
        app.told_impossible = is;
    }

    fn clock_was_set_back(&mut self) {
        let keys: Vec<Key> = self.apps.keys().cloned().collect();
        for key in &keys {
            self.forget_places(key);
            if let Some(app) = self.apps.get_mut(key) {
                // What was put off until a time of the old clock would wait for it.
                app.not_before = app.not_before.min(self.now.plus(app.pause()));
                app.seen = app.seen.min(self.now);
                app.attempted = app.attempted.map(|time| time.min(self.now));
                // A point that bears a time ahead is as good as one of now.
                app.began = app.began.map(|time| time.min(self.now));
                app.running = app.running.map(|(job, since)| (job, since.min(self.now)));
            }
            self.replace(key);
        }
        self.upkeep.clock_was_set_back(self.now);
        for copies in self.copies.values_mut() {
            copies.plan(self.now);
        }
    }

    /// How much at a time, from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// A job's number that is used for something else.
    pub fn reserve(&mut self) -> u64 {
        self.number()
    }

    /// Whether this is anything that is done here.
    #[must_use]
    pub fn knows(&self, work: &Work) -> bool {
        match work {
            Work::Capture { app } => self.apps.contains_key(app),
            Work::Upkeep(Task::Copy(vault)) => self.copies.contains_key(vault),
            Work::Upkeep(task) => self.upkeep.knows(task),
            Work::Order(_) => false,
        }
    }

    /// The job that somebody asked for and that has not begun, if this is what it does.
    #[must_use]
    pub fn asked(&self, work: &Work) -> Option<u64> {
        match work {
            Work::Capture { app } => self.apps.get(app)?.asked,
            Work::Upkeep(Task::Copy(vault)) => self.copies.get(vault)?.asked(),
            Work::Upkeep(task) => self.upkeep.asked(task),
            Work::Order(_) => None,
        }
    }

    /// When the RPO of an app is missed, if no further point comes.
    #[must_use]
    pub fn misses(&self, key: &str) -> Option<Time> {
        self.apps.get(key).map(|app| app.misses(self.now))
    }

    /// When the next capture of an app is to start; `None` while one runs.
    #[must_use]
    pub fn next_capture(&self, key: &str) -> Option<Time> {
        let app = self.apps.get(key)?;
        app.waits.or_else(|| app.ready.map(|_| self.now))
    }

    /// When the capture of the newest usable point of an app began.
    #[must_use]
    pub fn began(&self, key: &str) -> Option<Time> {
        self.apps.get(key)?.began
    }

    /// How long a capture of an app takes, as measured.
    #[must_use]
    pub fn takes(&self, key: &str) -> Option<u64> {
        self.apps.get(key)?.measured()
    }

    /// For how many milliseconds a capture that begins now may let everything else on the host go first, without its RPO
    /// being in danger: twice what it takes is kept for the time after that. `None` where that leaves little.
    #[must_use]
    pub fn may_stand_back(&self, key: &str) -> Option<u64> {
        let app = self.apps.get(key)?;
        let left = app.misses(self.now).since(self.now);
        let spare = left.saturating_sub(2 * app.takes()).min(LONGEST_IDLE);
        (spare >= 2 * app.takes()).then_some(spare)
    }

    /// What is under way: job and app.
    pub fn under_way(&self) -> impl Iterator<Item = (u64, &Key)> {
        self.captures.iter().map(|(job, key)| (*job, key))
    }

    /// All apps.
    pub fn apps(&self) -> impl Iterator<Item = &Key> {
        self.apps.keys()
    }
}

fn alert(key: &Key, app: &AppState, kind: AlertKind, now: Time) -> Alert {
    Alert {
        app: key.clone(),
        vault: None,
        kind,
        rpo: app.plan.rpo,
        began: app.began,
        misses: app.misses(now),
        failures: app.failures,
        takes: app.measured(),
    }
}
