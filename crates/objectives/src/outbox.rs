//! What people are told: at once, together, and once.
//!
//! Alerts that come within a second are one message a level. A job that fails is told the first time, and its recovery
//! once. Dead man's switches hear of a success only when a point is complete and durable; the one for the whole host
//! (`*`) only while no app misses its RPO.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lifeboat_notify::{Beat, Level, Message, Sender};
use lifeboat_plan::{
    policy::Period,
    schedule::{Alert, AlertKind, Job, Outcome, Work},
};

use crate::{commands, settings::Settings};

const TOGETHER: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Outbox {
    waiting: Vec<(Level, String, String)>,
    since: Option<Instant>,
    failing: BTreeSet<String>,
}

impl Outbox {
    pub fn alert(&mut self, alert: &Alert, why: Option<&str>) {
        let level = match alert.kind {
            AlertKind::Missed => Level::Failure,
            AlertKind::Soon | AlertKind::Impossible => Level::Warning,
            AlertKind::Kept => Level::Recovery,
        };
        let (title, body) = sentence(alert, why);
        self.add(level, title, body);
    }

    fn add(&mut self, level: Level, title: String, body: String) {
        match level {
            Level::Failure => tracing::error!("{title}: {body}"),
            Level::Warning => tracing::warn!("{title}: {body}"),
            _ => tracing::info!("{title}: {body}"),
        }
        self.since.get_or_insert_with(Instant::now);
        self.waiting.push((level, title, body));
    }

    /// A job ended.
    pub fn ended(&mut self, job: &Job, sender: &Sender, settings: &Settings, all_kept: bool) {
        // Whoever ordered something is told by the answer.
        if let Work::Order(_) = job.work {
            return;
        }
        let name = commands::shown(&job.work);
        match job.outcome() {
            Some(Outcome::Done) => {
                if self.failing.remove(&name) {
                    self.add(
                        Level::Recovery,
                        format!("{name} works again"),
                        String::new(),
                    );
                }
            }
            Some(Outcome::Failed { why }) => self.failed(&name, why),
            Some(Outcome::Incomplete { why }) => {
                self.failed(&name, &format!("incomplete: {}", why.join("; ")))
            }
            Some(Outcome::Interrupted) => {
                self.failed(&name, "its process was ended before it was done")
            }
            Some(Outcome::Cancelled) | None => {}
        }
        self.beat(job, sender, settings, all_kept);
    }

    fn failed(&mut self, name: &str, why: &str) {
        if self.failing.insert(name.to_owned()) {
            self.add(Level::Failure, format!("{name} failed"), why.to_owned());
        }
    }

    /// Something that is no job fails, or no more; told once.
    pub fn state(&mut self, what: &str, why: Option<String>) {
        match why {
            Some(why) => self.failed(what, &why),
            None if self.failing.remove(what) => {
                self.add(
                    Level::Recovery,
                    format!("{what} works again"),
                    String::new(),
                );
            }
            None => {}
        }
    }

    /// A capture began.
    pub fn began(&self, job: &Job, sender: &Sender, settings: &Settings) {
        for (_, heartbeat) in switches(job, settings) {
            sender.beat(heartbeat, Beat::Start { run: run(job) });
        }
    }

    fn beat(&self, job: &Job, sender: &Sender, settings: &Settings, all_kept: bool) {
        for (of_all, heartbeat) in switches(job, settings) {
            let beat = match job.outcome() {
                Some(Outcome::Done) if job.point.is_some() && (all_kept || !of_all) => {
                    let point = job.point.as_deref().unwrap_or_default();
                    let took = job
                        .ended
                        .unwrap_or_default()
                        .since(job.began.unwrap_or_default());
                    let line = format!(
                        "{}: point {} in {}",
                        commands::shown(&job.work),
                        &point[..point.len().min(8)],
                        Period::millis(took)
                    );
                    Beat::Success {
                        run: run(job),
                        took,
                        line,
                    }
                }
                Some(Outcome::Done | Outcome::Cancelled) | None => continue,
                Some(other) => {
                    let why = match other {
                        Outcome::Failed { why } => why.clone(),
                        Outcome::Incomplete { why } => why.join("; "),
                        other => other.word().to_owned(),
                    };
                    let log = format!(
                        "{}\n{}: {why}",
                        job.log.join("\n"),
                        commands::shown(&job.work)
                    );
                    Beat::Fail { run: run(job), log }
                }
            };
            sender.beat(heartbeat, beat);
        }
    }

    /// Something that nothing else is put together with.
    pub fn tell(&self, message: &Message, sender: &Sender, settings: &Settings) {
        tracing::info!("{}", message.title);
        for target in &settings.targets {
            sender.tell(target, message.clone());
        }
    }

    /// When what waits is to go.
    pub fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + TOGETHER)
    }

    /// Hands over what waits.
    pub fn flush(&mut self, sender: &Sender, settings: &Settings) {
        self.since = None;
        let waiting = std::mem::take(&mut self.waiting);
        for level in [Level::Failure, Level::Warning, Level::Recovery] {
            let of_level: Vec<_> = waiting.iter().filter(|(l, ..)| *l == level).collect();
            let (title, body) = match of_level.as_slice() {
                [] => continue,
                [(_, title, body)] => (title.clone(), body.clone()),
                [(_, first, _), rest @ ..] => {
                    let lines: Vec<String> = of_level
                        .iter()
                        .map(|(_, t, b)| format!("{t}: {b}"))
                        .collect();
                    (
                        format!("{first}, and {} more", rest.len()),
                        lines.join("\n"),
                    )
                }
            };
            for target in &settings.targets {
                let (title, body) = (title.clone(), body.clone());
                sender.tell(target, Message { level, title, body });
            }
        }
    }
}

/// The switches that a job is for, and whether they are for the host as a whole.
fn switches<'s>(
    job: &Job,
    settings: &'s Settings,
) -> impl Iterator<Item = (bool, &'s std::sync::Arc<lifeboat_notify::Heartbeat>)> {
    let app = match &job.work {
        Work::Capture { app } => Some(app.to_string()),
        Work::Upkeep(_) | Work::Order(_) => None,
    };
    settings.heartbeats.iter().flat_map(move |(name, beats)| {
        let is = app
            .as_ref()
            .is_some_and(|app| name == "*" || app == name || app.rsplit('/').next() == Some(name));
        beats
            .iter()
            .filter(move |_| is)
            .map(move |beat| (name == "*", beat))
    })
}

/// A UUID that is the same for the beginning and the end of a job: its number and the time at which it was queued.
fn run(job: &Job) -> String {
    let id = job.id;
    let time = job.queued.0;
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        id & 0xffff_ffff,
        (time >> 48) & 0xffff,
        (time >> 36) & 0xfff,
        (time >> 24) & 0xfff,
        time & 0xff_ffff
    )
}

/// An alert in words: a title and a sentence.
#[must_use]
pub fn sentence(alert: &Alert, why: Option<&str>) -> (String, String) {
    let app = &alert.app;
    let rpo = Period::millis(alert.rpo);
    let at = match &alert.vault {
        Some(vault) => format!(" at the vault {vault}"),
        None => String::new(),
    };
    let newest = match alert.began {
        Some(began) => format!(
            "its newest usable point is of {}",
            began.timestamp().strftime("%Y-%m-%d %H:%M:%S UTC")
        ),
        None => "it has no usable point yet".to_owned(),
    };
    let failed = match (alert.failures, why) {
        (0, _) => String::new(),
        (1, Some(why)) => format!("; the last attempt failed: {why}"),
        (n, Some(why)) => format!("; {n} attempts failed, the last because {why}"),
        (n, None) => format!("; {n} attempts failed"),
    };
    let misses = alert.misses.timestamp().strftime("%Y-%m-%d %H:%M:%S UTC");
    match alert.kind {
        AlertKind::Soon => (
            format!("RPO of {app}{at} is about to be missed"),
            format!("it is {rpo}, and will be missed at {misses}; {newest}{failed}"),
        ),
        AlertKind::Missed => (
            format!("RPO of {app}{at} is missed"),
            format!("it is {rpo}, and was missed at {misses}; {newest}{failed}"),
        ),
        AlertKind::Kept => (
            format!("RPO of {app}{at} is kept again"),
            format!("it is {rpo}; {newest}"),
        ),
        AlertKind::Impossible => {
            let takes = Period::millis(alert.takes.unwrap_or(0));
            let why = lifeboat_plan::policy::judge::too_short(rpo, takes);
            (
                format!("RPO of {app}{at} cannot be kept"),
                why.unwrap_or_default(),
            )
        }
    }
}
