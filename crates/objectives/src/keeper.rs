//! The loop that keeps objectives.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use lifeboat_engine::Engine;
use lifeboat_plan::schedule::{
    AlertKind, Effect, Ended, Event, Job, JobEvent, Limits, Outcome, Plan, Scheduler, Task, Time,
    Work, job::Owner,
};
use parking_lot::Mutex;

use crate::{
    Error, Records, Result, Settings, commands,
    follow::Follow,
    metrics,
    outbox::Outbox,
    policies::{AppPolicy, Where},
    process,
    run::{self, Files},
    serve,
    view::{AppView, View},
};

/// Connects to the engine; asked again after each loss.
pub type Connect = Arc<dyn Fn() -> lifeboat_engine::Result<Arc<dyn Engine>> + Send + Sync>;

/// Whoever waits for the vault's points before it captures anything waits no longer than this.
const WITHOUT_POINTS: Duration = Duration::from_secs(20);
/// Pauses between two tries to read them.
const AGAIN: [u64; 4] = [1, 5, 20, 60];
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What the keeper is given.
#[derive(Clone)]
pub struct Options {
    /// How the engine is reached.
    pub connect: Connect,
    /// State directory; records lie in `objectives/`.
    pub state: PathBuf,
    /// `lifeboat.toml`.
    pub file: PathBuf,
    /// This program and its global flags: what a job's command is put behind.
    pub program: Vec<OsString>,
    /// Where the apps are.
    pub at: Where,
}

pub(crate) enum Msg {
    Seen(Vec<AppPolicy>, Arc<Settings>),
    Blind(String),
    Unsettled(String),
    Points(std::result::Result<Vec<Point>, String>),
    Runs(u64, Owner),
    NotStarted(u64, String),
    Exited(u64, Option<i32>),
    /// The app is being captured by a job of an agent before this one.
    Busy(u64),
    Stop,
}

/// A usable point, as `lifeboat points` lists it.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    app: String,
    id: String,
    began: Time,
}

/// Keeps objectives until it is stopped.
pub struct Keeper {
    to: Sender<Msg>,
    stop: Arc<AtomicBool>,
    view: Arc<Mutex<View>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts it.
    pub fn start(options: Options) -> Result<Self> {
        let (to, from) = unbounded();
        let stop = Arc::new(AtomicBool::new(false));
        let view = Arc::new(Mutex::new(View::default()));
        let mut work = Loop::new(
            options.clone(),
            to.clone(),
            Arc::clone(&stop),
            Arc::clone(&view),
        )?;
        let follow = Follow {
            connect: Arc::clone(&options.connect),
            file: options.file.clone(),
            at: options.at.clone(),
            to: to.clone(),
            stop: Arc::clone(&stop),
        };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        thread("objectives-look").spawn(move || follow.run())?;
        let thread = thread("objectives").spawn(move || work.run(&from))?;
        Ok(Self {
            to,
            stop,
            view,
            thread: Some(thread),
        })
    }

    /// What it knows now.
    #[must_use]
    pub fn view(&self) -> View {
        self.view.lock().clone()
    }

    /// Figures for Prometheus.
    #[must_use]
    pub fn metrics(&self) -> String {
        metrics::text(&self.view.lock(), now())
    }

    /// Ends it. Jobs under way go on in their own processes; the next keeper finds them.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.to.send(Msg::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.end();
    }
}

fn now() -> Time {
    Time::of(jiff::Timestamp::now())
}

struct Loop {
    options: Options,
    to: Sender<Msg>,
    stop: Arc<AtomicBool>,
    view: Arc<Mutex<View>>,
    records: Records,
    scheduler: Scheduler,
    sender: lifeboat_notify::Sender,
    outbox: Outbox,
    settings: Arc<Settings>,
    apps: Vec<AppPolicy>,
    /// What was seen before anything could be planned.
    waiting: Option<(Vec<AppPolicy>, Arc<Settings>)>,
    jobs: BTreeMap<u64, Job>,
    /// The newest usable point of each app, and how long its capture took.
    known: BTreeMap<String, (Time, Option<u64>)>,
    planned: BTreeSet<String>,
    told: BTreeMap<String, AlertKind>,
    why: BTreeMap<String, String>,
    failures: BTreeMap<String, u64>,
    last: BTreeMap<String, (u64, Option<u64>, u64, u64)>,
    last_done: BTreeMap<Task, Time>,
    knows_points: bool,
    /// The records were empty: what the vault holds is put into them.
    rebuild: bool,
    tries: usize,
    began: Instant,
    serving: Option<std::net::SocketAddr>,
}

impl Loop {
    fn new(
        options: Options,
        to: Sender<Msg>,
        stop: Arc<AtomicBool>,
        view: Arc<Mutex<View>>,
    ) -> Result<Self> {
        let records = Records::open(&options.state)?;
        if let Some(why) = &records.begun_anew {
            tracing::warn!(
                "the records of jobs were damaged ({why}) and are begun anew from the vault's points"
            );
        }
        let first = records.next_id()?;
        let mut work = Self {
            scheduler: Scheduler::new(
                now(),
                jiff::tz::TimeZone::system(),
                Limits::default(),
                first,
            ),
            sender: lifeboat_notify::Sender::start(lifeboat_notify::Options::default())?,
            outbox: Outbox::default(),
            settings: Arc::default(),
            apps: Vec::new(),
            waiting: None,
            jobs: BTreeMap::new(),
            known: BTreeMap::new(),
            planned: BTreeSet::new(),
            told: BTreeMap::new(),
            why: BTreeMap::new(),
            failures: BTreeMap::new(),
            last: BTreeMap::new(),
            last_done: BTreeMap::new(),
            knows_points: false,
            rebuild: first == 1,
            tries: 0,
            began: Instant::now(),
            serving: None,
            options,
            to,
            stop,
            view,
            records,
        };
        work.remember()?;
        Ok(work)
    }

    /// What the records say, and what became of jobs that were not over.
    fn remember(&mut self) -> Result<()> {
        for job in self.records.all()? {
            self.learn(&job);
        }
        for mut job in self.records.open_jobs()? {
            if job.owner != process::own() && process::lives(job.owner) {
                tracing::info!(
                    "job {} ({}) of an agent before this one still runs",
                    job.id,
                    commands::shown(&job.work)
                );
                run::watch(job.id, job.owner, self.to.clone());
                self.jobs.insert(job.id, job);
            } else {
                self.close(&mut job, None);
                self.learn(&job);
            }
        }
        Ok(())
    }

    fn learn(&mut self, job: &Job) {
        if job.outcome() != Some(&Outcome::Done) {
            return;
        }
        let took = job
            .ended
            .zip(job.began)
            .map(|(ended, began)| ended.since(began));
        match &job.work {
            Work::Capture { app } => {
                if let (Some(began), Some(took)) = (job.began, took) {
                    self.known.insert(app.to_string(), (began, Some(took)));
                    self.last
                        .insert(app.to_string(), (took, job.stall, job.bytes, job.added));
                }
            }
            Work::Upkeep(task) => {
                self.last_done
                    .insert(task.clone(), job.began.unwrap_or(job.queued));
            }
        }
    }

    fn run(&mut self, from: &Receiver<Msg>) {
        self.ask_for_points(Duration::ZERO);
        loop {
            let wait = self.wait();
            match from.recv_timeout(wait) {
                Ok(Msg::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(msg) => self.take(msg),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.begin_if_ready();
            self.step(Event::Tick);
            if self.outbox.due().is_some_and(|due| due <= Instant::now()) {
                self.outbox.flush(&self.sender, &self.settings);
            }
            self.show();
        }
        self.outbox.flush(&self.sender, &self.settings);
        // What is on its way gets a moment; nothing is waited for longer.
        let _ = self.sender.drain(Duration::from_secs(3));
    }

    fn wait(&self) -> Duration {
        let wake = self
            .scheduler
            .next_wake()
            .map(|wake| Duration::from_millis(wake.since(now())));
        let out = self
            .outbox
            .due()
            .map(|due| due.saturating_duration_since(Instant::now()));
        let wait = [wake, out]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(LONGEST_WAIT);
        wait.clamp(Duration::from_millis(1), LONGEST_WAIT)
    }

    fn take(&mut self, msg: Msg) {
        match msg {
            Msg::Seen(apps, settings) => {
                let mut view = self.view.lock();
                view.blind = None;
                view.unsettled = None;
                drop(view);
                self.waiting = Some((apps, settings));
            }
            Msg::Blind(why) => self.view.lock().blind = Some(why),
            Msg::Unsettled(why) => self.view.lock().unsettled = Some(why),
            Msg::Points(Ok(points)) => self.points(points),
            Msg::Points(Err(why)) => {
                if self.tries == 0 {
                    tracing::warn!("the vault's points cannot be read yet: {why}");
                }
                let pause = AGAIN[self.tries.min(AGAIN.len() - 1)];
                self.tries += 1;
                self.ask_for_points(Duration::from_secs(pause));
            }
            Msg::Runs(id, owner) => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.owner = owner;
                    let job = job.clone();
                    self.keep(&job);
                }
            }
            Msg::NotStarted(id, why) => {
                if let Some(mut job) = self.jobs.remove(&id) {
                    let why = format!("its process cannot be started: {why}");
                    job.step(now(), JobEvent::Ended(Outcome::Failed { why }));
                    self.over(&job, None);
                }
            }
            Msg::Exited(id, code) => {
                if let Some(mut job) = self.jobs.remove(&id) {
                    let began = self.close(&mut job, code);
                    self.over(&job, began);
                }
            }
            Msg::Busy(job) => self.step(Event::Ended {
                job,
                ended: Ended::Cancelled,
            }),
            Msg::Stop => {}
        }
    }

    /// Nothing is planned before it is known what is there: else everything would be captured anew at each start.
    fn begin_if_ready(&mut self) {
        let ready =
            self.knows_points || !self.known.is_empty() || self.began.elapsed() > WITHOUT_POINTS;
        if let Some((apps, settings)) = self.waiting.take_if(|_| ready) {
            self.seen(apps, settings);
        }
    }

    fn seen(&mut self, apps: Vec<AppPolicy>, settings: Arc<Settings>) {
        let captures = settings.upkeep.captures;
        self.scheduler.set_limits(Limits {
            captures,
            ..Limits::default()
        });
        self.settings = settings;
        let mut there = BTreeSet::new();
        for app in apps.iter().filter(|app| app.policy.protect.value) {
            there.insert(app.app.clone());
            let key: Arc<str> = app.app.as_str().into();
            let plan = Plan::from(&app.policy);
            self.step(Event::Planned {
                app: Arc::clone(&key),
                plan,
            });
            if self.planned.insert(app.app.clone())
                && let Some((began, took)) = self.known.get(&app.app).copied()
            {
                self.step(Event::Point {
                    app: key,
                    began,
                    took,
                });
            }
        }
        for gone in self.planned.difference(&there).cloned().collect::<Vec<_>>() {
            self.planned.remove(&gone);
            self.told.remove(&gone);
            self.step(Event::Gone {
                app: gone.as_str().into(),
            });
        }
        self.apps = apps;
        self.upkeep();
        self.serve();
    }

    fn upkeep(&mut self) {
        let settings = Arc::clone(&self.settings);
        let mut wanted: Vec<(Task, u64)> = vec![
            (Task::Forget, settings.upkeep.forget.as_millis()),
            (Task::Prune, settings.upkeep.prune.as_millis()),
            (Task::Check, settings.upkeep.check.as_millis()),
        ];
        wanted.extend(
            settings
                .registries
                .iter()
                .map(|(n, e)| (Task::Registry(n.clone()), e.every.as_millis())),
        );
        wanted.extend(
            settings
                .copies
                .iter()
                .map(|(n, c)| (Task::Copy(n.clone()), c.rpo.as_millis())),
        );
        for (task, every) in wanted {
            let last = self.last_done.get(&task).copied();
            self.step(Event::Every {
                task,
                every: Some(every),
                last,
            });
        }
    }

    fn serve(&mut self) {
        let wanted = self.settings.metrics.listen;
        if self.serving == wanted {
            return;
        }
        self.serving = wanted;
        let Some(at) = wanted else { return };
        let view = Arc::clone(&self.view);
        let served = serve::serve(at, Arc::clone(&self.stop), move || {
            metrics::text(&view.lock(), now())
        });
        if let Err(why) = served {
            tracing::error!("figures cannot be served at {at}: {why}");
        }
    }

    fn points(&mut self, points: Vec<Point>) {
        self.knows_points = true;
        let mut newest: BTreeMap<String, Time> = BTreeMap::new();
        for point in &points {
            let at = newest.entry(point.app.clone()).or_insert(point.began);
            *at = point.began.max(*at);
        }
        for (app, began) in newest {
            let known = self.known.entry(app.clone()).or_insert((began, None));
            known.0 = known.0.max(began);
            if self.planned.contains(&app) {
                self.step(Event::Point {
                    app: app.as_str().into(),
                    began,
                    took: None,
                });
            }
        }
        if std::mem::take(&mut self.rebuild) {
            self.rebuild_records(&points);
        }
    }

    fn rebuild_records(&mut self, points: &[Point]) {
        let mut points: Vec<&Point> = points.iter().collect();
        points.sort_by_key(|point| point.began);
        for point in points {
            let work = Work::Capture {
                app: point.app.as_str().into(),
            };
            let mut job = Job::new(self.scheduler.reserve(), work, process::own(), point.began);
            job.began = Some(point.began);
            job.point = Some(point.id.clone());
            job.step(
                point.began,
                JobEvent::Said("found in the vault; its own record was lost".to_owned()),
            );
            job.step(point.began, JobEvent::Ended(Outcome::Done));
            self.keep(&job);
        }
    }

    /// Lists the vault's points, as a person would; the answer comes as a message.
    fn ask_for_points(&self, after: Duration) {
        let files = Files::of(&self.folder(), 0);
        let (program, to, stop) = (
            self.options.program.clone(),
            self.to.clone(),
            Arc::clone(&self.stop),
        );
        let work = move || {
            std::thread::sleep(after);
            if stop.load(Ordering::Relaxed) {
                return;
            }
            files.remove();
            let args: Vec<OsString> = ["points", "--output", "json"].map(OsString::from).to_vec();
            let ended = process::start(&program, &args, &files.out, &files.err)
                .and_then(|mut child| child.wait());
            let points = match ended {
                Ok(status) if status.success() => read_points(&files.answer()),
                Ok(_) => Err(files
                    .log()
                    .last()
                    .cloned()
                    .unwrap_or_else(|| "it ended without a word".to_owned())),
                Err(why) => Err(why.to_string()),
            };
            files.remove();
            let _ = to.send(Msg::Points(points));
        };
        let _ = std::thread::Builder::new()
            .name("objectives-job".to_owned())
            .spawn(work);
    }

    fn folder(&self) -> PathBuf {
        self.options.state.join("objectives")
    }

    fn keep(&self, job: &Job) {
        // Protecting goes on without a record; the vault knows what was made.
        if let Err(why) = self.records.put(job) {
            tracing::error!("job {}: {why}", job.id);
        }
    }

    /// Steps the schedule and does what it says.
    fn step(&mut self, event: Event) {
        for effect in self.scheduler.step(now(), event) {
            match effect {
                Effect::Start { job, work } => self.start(job, work),
                Effect::Alert(alert) => {
                    match alert.kind {
                        AlertKind::Kept => drop(self.told.remove(&*alert.app)),
                        AlertKind::Impossible => {}
                        kind => drop(self.told.insert(alert.app.to_string(), kind)),
                    }
                    let why = self.why.get(&*alert.app).map(String::as_str);
                    self.outbox.alert(&alert, why);
                }
            }
        }
    }

    fn start(&mut self, id: u64, work: Work) {
        // The schedule never starts an app twice; what an agent before this one started, it does not know.
        if self.jobs.values().any(|job| job.work == work) {
            let _ = self.to.send(Msg::Busy(id));
            return;
        }
        let mut job = Job::new(id, work, process::own(), now());
        job.step(now(), JobEvent::Phase("run".to_owned()));
        self.keep(&job);
        self.outbox.began(&job, &self.sender, &self.settings);
        let protected: Vec<AppPolicy> = self
            .apps
            .iter()
            .filter(|a| a.policy.protect.value)
            .cloned()
            .collect();
        let commands = commands::commands(&job.work, &self.settings, &protected);
        let files = Files::of(&self.folder(), id);
        files.remove();
        self.jobs.insert(id, job);
        run::run(
            id,
            self.options.program.clone(),
            commands,
            files,
            self.to.clone(),
        );
    }

    /// Ends a record by what its process left; the beginning of the point that counts.
    fn close(&mut self, job: &mut Job, code: Option<i32>) -> Option<Time> {
        let files = Files::of(&self.folder(), job.id);
        for line in files.log() {
            job.step(now(), JobEvent::Said(line));
        }
        let (outcome, began) = commands::ended(job, code, &files.answer());
        job.step(now(), JobEvent::Ended(outcome));
        // The time that the point bears, which is what its age is counted from.
        if began.is_some() {
            job.began = began;
        }
        self.keep(job);
        files.remove();
        began
    }

    fn over(&mut self, job: &Job, began: Option<Time>) {
        self.keep(job);
        self.learn(job);
        let outcome = job.outcome().cloned().unwrap_or(Outcome::Interrupted);
        *self
            .view
            .lock()
            .ended
            .entry((kind(&job.work).to_owned(), outcome.word()))
            .or_default() += 1;
        if let Work::Capture { app } = &job.work {
            let failures = self.failures.entry(app.to_string()).or_default();
            match &outcome {
                Outcome::Done => {
                    *failures = 0;
                    self.why.remove(&**app);
                }
                Outcome::Failed { why } => {
                    *failures += 1;
                    self.why.insert(app.to_string(), why.clone());
                }
                other => {
                    *failures += 1;
                    self.why.insert(app.to_string(), other.word().to_owned());
                }
            }
        }
        let ended = match (&job.work, &outcome) {
            (_, Outcome::Done) => Ended::Done { began },
            (Work::Upkeep(_), Outcome::Incomplete { .. }) => Ended::Done { began: None },
            (_, Outcome::Cancelled) => Ended::Cancelled,
            _ => Ended::Failed,
        };
        self.step(Event::Ended { job: job.id, ended });
        // A job of an agent before this one is none of this schedule's.
        if let (Work::Capture { app }, Some(began)) = (&job.work, began) {
            self.step(Event::Point {
                app: Arc::clone(app),
                began,
                took: None,
            });
        }
        let kept = self.planned.iter().all(|app| {
            self.scheduler
                .misses(app)
                .is_none_or(|misses| misses > now())
        });
        self.outbox.ended(job, &self.sender, &self.settings, kept);
    }

    fn show(&self) {
        let mut apps = BTreeMap::new();
        for app in &self.apps {
            let view = AppView {
                policy: app.policy.clone(),
                began: self
                    .scheduler
                    .began(&app.app)
                    .or_else(|| self.known.get(&app.app).map(|k| k.0)),
                misses: self.scheduler.misses(&app.app),
                next: self.scheduler.next_capture(&app.app),
                told: self.told.get(&app.app).copied(),
                failures: self.failures.get(&app.app).copied().unwrap_or(0),
                last: self.last.get(&app.app).copied(),
            };
            apps.insert(app.app.clone(), view);
        }
        let jobs = self
            .jobs
            .iter()
            .map(|(id, job)| (*id, commands::shown(&job.work)));
        let mut view = self.view.lock();
        view.apps = apps;
        view.jobs = jobs.collect();
        view.knows_points = self.knows_points;
        view.troubles = self.sender.troubles();
    }
}

fn kind(work: &Work) -> &'static str {
    match work {
        Work::Capture { .. } => "capture",
        Work::Upkeep(Task::Forget) => "forget",
        Work::Upkeep(Task::Prune) => "prune",
        Work::Upkeep(Task::Check) => "check",
        Work::Upkeep(Task::Registry(_)) => "registry",
        Work::Upkeep(Task::Copy(_)) => "copy",
    }
}

fn read_points(answer: &str) -> std::result::Result<Vec<Point>, String> {
    let answer: serde_json::Value =
        serde_json::from_str(answer).map_err(|e| Error::Records(e.to_string()).to_string())?;
    let points = answer["points"]
        .as_array()
        .or_else(|| answer.as_array())
        .into_iter()
        .flatten();
    let usable = points.filter(|point| point["partial"] == false);
    let read = usable.filter_map(|point| {
        let (site, host, app) = (
            point["site"].as_str()?,
            point["host"].as_str()?,
            point["app"].as_str()?,
        );
        Some(Point {
            app: format!("{site}/{host}/{app}"),
            id: point["id"].as_str()?.to_owned(),
            began: Time::of(point["time"].as_str()?.parse().ok()?),
        })
    });
    Ok(read.collect())
}
