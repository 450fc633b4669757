//! The loop that keeps objectives.

mod handle;
mod jobs;
mod messages;
mod orders;
mod planned;
mod points;

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
    AlertKind, Effect, Ended, Event, Job, JobEvent, Limits, Order, Outcome, Scheduler, Task, Time,
    Work, job::Owner,
};
use parking_lot::Mutex;

pub use handle::{Handle, Refused};

use crate::{
    Records, Result, Settings, commands,
    follow::Follow,
    outbox::Outbox,
    policies::{AppPolicy, Where},
    run::Files,
    traces::{Collector, Traces},
    view::{AppView, View},
    wishes::ApiWishes,
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
    /// The collector that traces go to, if any.
    pub traces: Option<Collector>,
}

pub(crate) enum Msg {
    /// With the number of the API's last change that it heeds.
    Seen(Vec<AppPolicy>, Arc<Settings>, u64),
    Blind(String),
    Unsettled(String),
    Points(std::result::Result<Vec<Point>, String>),
    Runs(u64, Owner),
    NotStarted(u64, String),
    Exited(u64, Option<i32>),
    /// The app is being captured by a job of an agent before this one.
    Busy(u64),
    Ask(handle::Ask),
    Stop,
}

/// A point, as `lifeboat points` lists it.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    app: String,
    id: String,
    began: Time,
    /// Nothing is missing in it, and it is as consistent as was asked for.
    usable: bool,
}

/// Keeps objectives until it is stopped.
pub struct Keeper {
    to: Sender<Msg>,
    stop: Arc<AtomicBool>,
    turned: Arc<Mutex<Instant>>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts it.
    pub fn start(options: Options) -> Result<Self> {
        let (to, from) = unbounded();
        let stop = Arc::new(AtomicBool::new(false));
        let view = Arc::new(Mutex::new(View::default()));
        let wishes = ApiWishes::open(&options.state)?;
        let turned = Arc::new(Mutex::new(Instant::now()));
        let turning = Arc::clone(&turned);
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
            wishes: wishes.clone(),
            to: to.clone(),
            stop: Arc::clone(&stop),
        };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        thread("objectives-look").spawn(move || follow.run())?;
        let thread = thread("objectives").spawn(move || work.run(&from, &turning))?;
        let folder = options.state.join("objectives");
        let handle = Handle {
            to: to.clone(),
            view,
            wishes,
            folder,
            program: options.program.clone(),
            lookups: Arc::default(),
            connect: Arc::clone(&options.connect),
        };
        Ok(Self {
            to,
            stop,
            turned,
            handle,
            thread: Some(thread),
        })
    }

    /// What others ask it through.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// How long ago its loop turned last; it does every few seconds.
    pub fn turned(&self) -> impl Fn() -> Duration + Send + 'static {
        let turned = Arc::clone(&self.turned);
        move || turned.lock().elapsed()
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

/// What is told wrongly about traces keeps nobody from protecting.
fn traces(to: &Collector) -> Option<Traces> {
    let traces = Traces::to(to);
    traces
        .map_err(|why| tracing::error!("no traces are sent: {why}"))
        .ok()
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
    traces: Option<Traces>,
    settings: Arc<Settings>,
    apps: Vec<AppPolicy>,
    /// What was seen before anything could be planned.
    waiting: Option<(Vec<AppPolicy>, Arc<Settings>)>,
    changes: u64,
    jobs: BTreeMap<u64, Job>,
    /// Asked of an agent before this one, and not begun.
    queued: Vec<(u64, Work)>,
    /// Orders that have not begun, the oldest first.
    orders: Vec<(u64, Order)>,
    /// What `lifeboat.toml` says is known.
    knows_settings: bool,
    /// The newest usable point of each app, and how long its capture took.
    known: BTreeMap<String, (Time, Option<u64>)>,
    /// Apps that have points of any kind: of the others there is nothing to forget.
    pointed: BTreeSet<String>,
    planned: BTreeSet<String>,
    told: BTreeMap<String, AlertKind>,
    why: BTreeMap<String, String>,
    failures: BTreeMap<String, u64>,
    last: BTreeMap<String, (u64, Option<u64>, u64, u64)>,
    last_done: BTreeMap<Task, Time>,
    /// What the schedule was told of; what the settings say no more is taken back.
    tasks: BTreeSet<Task>,
    knows_points: bool,
    /// The records were empty: what the vault holds is put into them.
    rebuild: bool,
    tries: usize,
    /// When the digest was sent last.
    digested: Option<Time>,
    /// When records in memory were tried to be written last.
    settled: Instant,
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
            traces: options.traces.as_ref().and_then(traces),
            settings: Arc::default(),
            apps: Vec::new(),
            waiting: None,
            changes: 0,
            jobs: BTreeMap::new(),
            queued: Vec::new(),
            orders: Vec::new(),
            knows_settings: false,
            known: BTreeMap::new(),
            pointed: BTreeSet::new(),
            planned: BTreeSet::new(),
            told: BTreeMap::new(),
            why: BTreeMap::new(),
            failures: BTreeMap::new(),
            last: BTreeMap::new(),
            last_done: BTreeMap::new(),
            tasks: BTreeSet::new(),
            knows_points: false,
            rebuild: first == 1,
            tries: 0,
            digested: None,
            settled: Instant::now(),
            began: Instant::now(),
            serving: None,
            options,
            to,
            stop,
            view,
            records,
        };
        work.remember()?;
        work.unwritten(None);
        Ok(work)
    }

    fn run(&mut self, from: &Receiver<Msg>, turned: &Mutex<Instant>) {
        self.ask_for_points(Duration::ZERO);
        self.begin_orders();
        loop {
            *turned.lock() = Instant::now();
            let wait = self.wait();
            match from.recv_timeout(wait) {
                Ok(Msg::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(msg) => self.take(msg),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.begin_if_ready();
            self.step(Event::Tick);
            self.digest();
            self.settle_records();
            if self.outbox.due().is_some_and(|due| due <= Instant::now()) {
                self.outbox.flush(&self.sender, &self.settings);
            }
            self.show();
        }
        self.outbox.flush(&self.sender, &self.settings);
        if let Some(traces) = &self.traces {
            traces.finish();
        }
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
            Msg::Seen(apps, settings, changes) => {
                let mut view = self.view.lock();
                view.blind = None;
                view.unsettled = None;
                drop(view);
                self.changes = changes;
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
                    Files::of(&self.folder(), id).remove_given();
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
            Msg::Ask(ask) => self.answer(ask),
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

    fn folder(&self) -> PathBuf {
        self.options.state.join("objectives")
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
        if self.waiting.is_none() {
            view.changes = self.changes;
        }
        view.copies = self.settings.copies.keys().cloned().collect();
        let backed_up = self
            .settings
            .registries
            .iter()
            .filter(|(_, r)| r.every.is_some());
        view.registries = backed_up.map(|(name, _)| name.clone()).collect();
        view.troubles = self.sender.troubles();
    }
}
