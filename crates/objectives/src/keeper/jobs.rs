//! Jobs: begun as processes, closed by what these left, remembered by their records.

use std::sync::Arc;

use lifeboat_plan::schedule::{
    Ended, Event, Job, JobEvent, JobState, Order, Outcome, Task, Time, Work,
};

use super::{Loop, Msg, now};
use crate::{
    Result, commands,
    policies::AppPolicy,
    process, progress, results,
    run::{self, Files},
};

impl Loop {
    /// What the records say, and what became of jobs that were not over.
    pub(super) fn remember(&mut self) -> Result<()> {
        for job in self.records.all()? {
            self.learn(&job);
        }
        for mut job in self.records.open_jobs()? {
            if job.state == JobState::Queued {
                match job.work {
                    Work::Order(order) => self.orders.push((job.id, order)),
                    work => self.queued.push((job.id, work)),
                }
            } else if job.owner != process::own() && process::lives(job.owner) {
                tracing::info!(
                    "job {} ({}) of an agent before this one still runs",
                    job.id,
                    commands::shown(&job.work)
                );
                run::watch(job.id, job.owner, self.to.clone());
                self.jobs.insert(job.id, job);
            } else if let Some(order) = self.not_begun(&job) {
                // The agent before this one died just before it began; it was promised.
                let mut again = Job::new(job.id, job.work, process::own(), now());
                again.queued = job.queued;
                self.keep(&again);
                self.orders.push((again.id, order));
            } else {
                self.close(&mut job, None);
                self.learn(&job);
            }
        }
        Ok(())
    }

    /// The order of a job whose process was never started: that makes the file of its output first.
    fn not_begun(&self, job: &Job) -> Option<Order> {
        let Work::Order(order) = &job.work else {
            return None;
        };
        let begun = Files::of(&self.folder(), job.id).out.exists();
        (!begun).then(|| order.clone())
    }

    pub(super) fn learn(&mut self, job: &Job) {
        if let (Work::Capture { app }, Some(_)) = (&job.work, &job.point) {
            self.pointed.insert(app.to_string());
        }
        if job.outcome() != Some(&Outcome::Done) {
            return;
        }
        let took = job
            .ended
            .zip(job.began)
            .map(|(ended, began)| ended.since(began));
        if let Work::Upkeep(task) = &job.work {
            self.last_done
                .insert(task.clone(), job.began.unwrap_or(job.queued));
        }
        if let (Some(app), Some(began), Some(took)) =
            (commands::captures(&job.work), job.began, took)
        {
            self.known.insert(app.to_owned(), (began, Some(took)));
            let figures = (took, job.stall, job.bytes, job.added);
            self.last.insert(app.to_owned(), figures);
        }
    }

    pub(super) fn start(&mut self, id: u64, work: Work) {
        let asked = self.records.get(id).ok().flatten();
        // The schedule never starts an app twice; what an agent before this one started, it does not know, nor what was
        // ordered: an app that is just being restored is captured afterwards.
        let mut running = self.jobs.values();
        let about = commands::about(&work).filter(|_| asked.is_none());
        let other = running.find(|job| {
            let same = job.work == work && !matches!(work, Work::Order(_));
            same || about.is_some_and(|app| commands::about(&job.work) == Some(app))
        });
        if let Some(other) = other {
            let why = format!("job {} is at it already", other.id);
            self.close_queued(id, &why);
            let _ = self.to.send(Msg::Busy(id));
            return;
        }
        let mut job = Job::new(id, work, process::own(), now());
        if let Some(asked) = asked {
            job.queued = asked.queued;
        }
        job.step(now(), JobEvent::Phase("run".to_owned()));
        self.keep(&job);
        self.outbox.began(&job, &self.sender, &self.settings);
        let forgets = matches!(job.work, Work::Upkeep(Task::Forget | Task::ForgetIn(_)));
        let protected: Vec<AppPolicy> = self
            .apps
            .iter()
            .filter(|a| a.policy.protect.value)
            .filter(|a| !forgets || self.pointed.contains(&a.app))
            .cloned()
            .collect();
        let files = Files::of(&self.folder(), id);
        let mut commands = commands::commands(&job.work, &self.settings, &protected, &files.given);
        if let Work::Capture { app } = &job.work
            && let Some(millis) = self.scheduler.may_stand_back(app)
        {
            let idle = format!("--idle={}s", millis / 1000);
            commands
                .iter_mut()
                .for_each(|line| line.push(idle.clone().into()));
        }
        files.remove();
        let is_order = matches!(job.work, Work::Order(_));
        self.jobs.insert(id, job);
        if commands.is_empty() && is_order {
            // Done would be a lie.
            let why = "what it copies to is not in lifeboat.toml any more".to_owned();
            let _ = self.to.send(Msg::NotStarted(id, why));
            return;
        }
        run::run(
            id,
            self.options.program.clone(),
            commands,
            files,
            self.to.clone(),
        );
    }

    /// Ends a record by what its process left; the beginning of the point that counts.
    pub(super) fn close(&mut self, job: &mut Job, code: Option<i32>) -> Option<Time> {
        let files = Files::of(&self.folder(), job.id);
        for (at, phase) in progress::phases(&files.progress) {
            job.step(at, phase);
        }
        for line in files.log() {
            job.step(now(), JobEvent::Said(line));
        }
        let code = code.or_else(|| progress::exit_code(&files.progress));
        let (outcome, began) = commands::ended(job, code, &files.record());
        if let Work::Order(_) = job.work {
            results::keep(&self.folder(), job.id, &files.said(code));
        }
        job.step(now(), JobEvent::Ended(outcome));
        // The time that the point bears, which is what its age is counted from.
        if began.is_some() {
            job.began = began;
        }
        self.keep(job);
        files.remove();
        files.remove_given();
        began
    }

    pub(super) fn over(&mut self, job: &Job, began: Option<Time>) {
        self.keep(job);
        self.learn(job);
        if let Some(traces) = &self.traces {
            traces.ended(job);
        }
        let outcome = job.outcome().cloned().unwrap_or(Outcome::Interrupted);
        *self
            .view
            .lock()
            .ended
            .entry((kind(&job.work).to_owned(), outcome.word()))
            .or_default() += 1;
        if let Some(app) = commands::captures(&job.work) {
            let failures = self.failures.entry(app.to_string()).or_default();
            match &outcome {
                Outcome::Done => {
                    *failures = 0;
                    self.why.remove(app);
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
        self.begin_orders();
        // A job of an agent before this one is none of this schedule's, nor is an order.
        if let (Some(app), Some(began)) = (commands::captures(&job.work), began) {
            self.step(Event::Point {
                app: Arc::from(app),
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

    pub(super) fn keep(&mut self, job: &Job) {
        // Protecting goes on without a record; the vault knows what was made.
        let why = self.records.put(job).err().map(|why| why.to_string());
        self.unwritten(why);
    }
}

fn kind(work: &Work) -> &'static str {
    match work {
        Work::Capture { .. } => "capture",
        Work::Upkeep(Task::Forget) => "forget",
        Work::Upkeep(Task::Prune) => "prune",
        Work::Upkeep(Task::Check) => "check",
        Work::Upkeep(Task::Registry(_)) => "registry",
        Work::Upkeep(Task::ForgetTags(_)) => "registry forget",
        Work::Upkeep(Task::Copy(_)) => "copy",
        Work::Upkeep(Task::ForgetIn(_)) => "forget",
        Work::Upkeep(Task::PruneIn(_)) => "prune",
        Work::Upkeep(Task::CheckIn(_)) => "check",
        Work::Order(_) => "order",
    }
}
