//! What others ask of the keeper while it runs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use lifeboat_plan::{
    policy::Wishes,
    schedule::{JobEvent, JobState, Order, Outcome, Work},
};
use parking_lot::Mutex;

use super::{Connect, Loop, Msg, now};
use crate::{
    Result, commands,
    flow::Flow,
    metrics, process,
    progress::{self, Progress},
    results::{self, Said},
    run::Files,
    view::View,
    wishes::ApiWishes,
};

/// The loop answers at once, unless its disk stands still.
const ANSWER: Duration = Duration::from_secs(10);
/// A vault far away may take long to say what it holds.
const LOOKUP: Duration = Duration::from_secs(120);

/// Why something that was asked is not done. Each is one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is nothing of this name.
    #[error("{0}")]
    Unknown(String),
    /// It does not go as things stand.
    #[error("{0}")]
    Conflict(String),
    /// Nobody answers.
    #[error("the keeper of objectives is ending, or does not get to it; ask again in a moment")]
    Away,
}

/// What is asked for, with where the answer goes.
pub(crate) enum Ask {
    Work(Work, Sender<Result<u64, Refused>>),
    /// With the content of the file that the order came with.
    Order(Order, Option<String>, Sender<Result<u64, Refused>>),
    Cancel(u64, Sender<Result<(), Refused>>),
}

/// Asks a keeper; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(super) to: Sender<Msg>,
    pub(super) view: Arc<Mutex<View>>,
    pub(super) wishes: ApiWishes,
    pub(super) folder: PathBuf,
    pub(super) program: Vec<OsString>,
    pub(super) lookups: Arc<AtomicU64>,
    pub(super) connect: Connect,
}

impl Handle {
    /// What it knows now.
    #[must_use]
    pub fn view(&self) -> View {
        self.view.lock().clone()
    }

    /// Reads something of what it knows, without a copy of all.
    pub fn look<T>(&self, what: impl FnOnce(&View) -> T) -> T {
        what(&self.view.lock())
    }

    /// Figures for Prometheus.
    #[must_use]
    pub fn metrics(&self) -> String {
        metrics::text(&self.view.lock(), now())
    }

    /// Has something done now: the number of the job that does it. Asked for twice before it begins, it is one job.
    ///
    /// # Errors
    /// There is nothing of this name, or it is not protected.
    pub fn ask(&self, work: Work) -> Result<u64, Refused> {
        self.answer(|reply| Ask::Work(work, reply))
    }

    /// Has an order carried out: the number of its job, once that is written down. `file` is the content of the file that
    /// the order came with; it may hold secrets.
    ///
    /// # Errors
    /// Too many wait already, or it cannot be written down.
    pub fn order(&self, order: Order, file: Option<String>) -> Result<u64, Refused> {
        self.answer(|reply| Ask::Order(order, file, reply))
    }

    /// What an order that is over said; none: it is not over, or too long ago.
    #[must_use]
    pub fn result(&self, job: u64) -> Option<Said> {
        results::read(&self.folder, job)
    }

    /// Ends a job: one that waits at once, one that runs cleanly, in its own time.
    ///
    /// # Errors
    /// There is no such job, or it is over.
    pub fn cancel(&self, job: u64) -> Result<(), Refused> {
        self.answer(|reply| Ask::Cancel(job, reply))
    }

    fn answer<T>(&self, ask: impl FnOnce(Sender<Result<T, Refused>>) -> Ask) -> Result<T, Refused> {
        let (reply, answer) = bounded(1);
        let sent = self.to.send(Msg::Ask(ask(reply)));
        sent.map_err(|_| Refused::Away)?;
        answer.recv_timeout(ANSWER).map_err(|_| Refused::Away)?
    }

    /// How far a job is that runs.
    #[must_use]
    pub fn progress(&self, job: u64) -> Option<Progress> {
        progress::last(&Files::of(&self.folder, job).progress)
    }

    /// What a command of this program says (`points`, …), as JSON; blocking.
    ///
    /// # Errors
    /// It failed, with its own words, or took too long.
    pub fn lookup(&self, args: &[&str]) -> Result<serde_json::Value, String> {
        let said = self.said(args, false, None)?;
        if !matches!(said.code, Some(0 | 3)) {
            return Err(said.last_word());
        }
        serde_json::from_str(&said.out).map_err(|why| why.to_string())
    }

    /// The same, whatever its exit code is; for people if `text`. `given` comes over its standard input: a secret, or what `-` is told to read.
    ///
    /// # Errors
    /// It cannot be started, or took too long.
    pub fn said(&self, args: &[&str], text: bool, given: Option<&[u8]>) -> Result<Said, String> {
        let number = self.lookups.fetch_add(1, Ordering::Relaxed);
        let files = Files::named(&self.folder, &format!("lookup-{number}"));
        files.remove();
        let form = if text { "table" } else { "json" };
        let args: Vec<OsString> = ["--output", form]
            .iter()
            .chain(args)
            .map(OsString::from)
            .collect();
        let said = self.run_lookup(&args, given, &files);
        files.remove();
        said
    }

    /// A command of this program that writes bytes (`dump`), to be read as it writes them.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn stream(&self, args: &[String]) -> Result<Flow, String> {
        let number = self.lookups.fetch_add(1, Ordering::Relaxed);
        let files = Files::named(&self.folder, &format!("lookup-{number}"));
        files.remove();
        Flow::start(&self.program, args, files).map_err(|why| why.to_string())
    }

    /// What an app that runs here is made of, as the engine has it: the raw definitions of its containers, by name.
    ///
    /// # Errors
    /// The engine does not answer, or there is no such app.
    pub fn definitions(&self, app: &str) -> Result<BTreeMap<String, serde_json::Value>, String> {
        let engine = (self.connect)().map_err(|why| why.to_string())?;
        let inventory = engine.inventory().map_err(|why| why.to_string())?;
        let name = app.rsplit('/').next().unwrap_or(app);
        let apps = lifeboat_plan::discover::discover(&inventory).apps;
        let found = apps.iter().find(|found| found.name.to_string() == name);
        let found = found.ok_or_else(|| format!("there is no app `{name}` here any more"))?;
        let mut all = BTreeMap::new();
        for container in &found.containers {
            let raw = engine.inspect_container(&container.name);
            all.insert(container.name.clone(), raw.map_err(|why| why.to_string())?);
        }
        Ok(all)
    }

    fn run_lookup(
        &self,
        args: &[OsString],
        given: Option<&[u8]>,
        files: &Files,
    ) -> Result<Said, String> {
        let mut child = process::start_with(&self.program, args, given, files)
            .map_err(|why| why.to_string())?;
        let until = Instant::now() + LOOKUP;
        loop {
            match child.try_wait().map_err(|why| why.to_string())? {
                Some(status) => return Ok(files.said(status.code())),
                None if Instant::now() > until => {
                    // It only reads.
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err("the vault did not answer within two minutes".to_owned());
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// What the API set for an app (`site/host/app`).
    #[must_use]
    pub fn wishes(&self, app: &str) -> Option<Wishes> {
        self.wishes.get(app)
    }

    /// Sets it, or takes it back; it holds once [`View::changes`] is this number.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn set_wishes(&self, app: &str, wishes: Option<Wishes>) -> Result<u64> {
        self.wishes.set(app, wishes)
    }
}

impl Loop {
    pub(super) fn answer(&mut self, ask: Ask) {
        // Whoever asked may have gone.
        match ask {
            Ask::Work(work, reply) => {
                let _ = reply.send(self.asked(work));
            }
            Ask::Order(order, file, reply) => {
                let _ = reply.send(self.order(order, file.as_deref()));
            }
            Ask::Cancel(job, reply) => {
                let _ = reply.send(self.cancel(job));
            }
        }
    }

    fn asked(&mut self, work: Work) -> Result<u64, Refused> {
        if let Work::Order(order) = work {
            return self.order(order, None);
        }
        if let Some(job) = self.scheduler.asked(&work) {
            return Ok(job);
        }
        if !self.scheduler.knows(&work) {
            let what = commands::shown(&work);
            let opted_out = |app: &str| self.apps.iter().any(|a| a.app == app);
            return Err(match &work {
                Work::Capture { app } if opted_out(app) => Refused::Conflict(format!(
                    "{app} opted out of protection; `lifeboat policy` says by what"
                )),
                _ => Refused::Unknown(format!("there is nothing here that is called `{what}`")),
            });
        }
        let id = self.scheduler.reserve();
        let job = lifeboat_plan::schedule::Job::new(id, work.clone(), process::own(), now());
        self.keep(&job);
        self.step(lifeboat_plan::schedule::Event::Asked { work, job: id });
        Ok(id)
    }

    fn cancel(&mut self, id: u64) -> Result<(), Refused> {
        if let Some(job) = self.jobs.get(&id) {
            if job.owner == process::own() {
                let why = format!("job {id} is just being started; ask again in a moment");
                return Err(Refused::Conflict(why));
            }
            return match process::ask_to_stop(job.owner) {
                true => Ok(()),
                false => Err(Refused::Conflict(format!("job {id} is just ending"))),
            };
        }
        match self.records.get(id) {
            Ok(Some(job)) if job.state == JobState::Queued => {
                self.close_queued(id, "it was taken back before it began");
                Ok(())
            }
            Ok(Some(_)) => Err(Refused::Conflict(format!("job {id} is over"))),
            Ok(None) => Err(Refused::Unknown(format!("there is no job {id}"))),
            Err(why) => Err(Refused::Conflict(why.to_string())),
        }
    }

    /// Closes a job that somebody asked for and that will not begin.
    pub(super) fn close_queued(&mut self, id: u64, why: &str) {
        self.queued.retain(|(queued, _)| *queued != id);
        self.orders.retain(|(queued, _)| *queued != id);
        Files::of(&self.folder(), id).remove_given();
        self.step(lifeboat_plan::schedule::Event::Unasked { job: id });
        let Ok(Some(mut job)) = self.records.get(id) else {
            return;
        };
        job.step(now(), JobEvent::Said(why.to_owned()));
        job.step(now(), JobEvent::Ended(Outcome::Cancelled));
        self.keep(&job);
    }

    /// Asks again for what was asked of an agent before this one and had not begun: it was promised.
    pub(super) fn ask_again(&mut self) {
        for (job, work) in std::mem::take(&mut self.queued) {
            if self.scheduler.knows(&work) {
                self.step(lifeboat_plan::schedule::Event::Asked { work, job });
            } else {
                self.close_queued(job, "what it was about is not here any more");
            }
        }
    }
}
