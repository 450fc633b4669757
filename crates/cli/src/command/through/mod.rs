//! A command by way of the agent: it is asked for as an operation, followed, and shown as the command itself would show it.
//!
//! Only where the agent would do the very same: same program, same vault, engine, site and host; and only what can be said over the
//! API. Everything else, and everything where no agent answers, a command does by itself. What is read from or written to a path of
//! this host for the caller, it does itself in any case, with the caller's rights.

mod wanted;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lifeboat_api::{
    Error,
    client::{Client, Followed},
    model::{Job, JobState, Wanted},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    args::{BackupArgs, Command},
    command::backup,
    exit::{Exit, Failure, Result},
    session::Session,
    signals,
};

/// An agent that begins anew is waited for so long.
const AWAY: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(500);

/// Does the command by way of the agent. None: nothing was begun, and the command does it by itself.
pub fn instead(session: &Session, command: &Command) -> Option<Result<Exit>> {
    let wanted = match command {
        Command::Backup(args) => return backups(session, args),
        Command::Restore(args) => wanted::restore(args),
        Command::Rm(args) => wanted::rm(args),
        Command::Pin(args) => Some(Wanted::Pin(wanted::points(&args.references))),
        Command::Unpin(args) => Some(Wanted::Unpin(wanted::points(&args.references))),
        Command::Forget(args) => wanted::forget(args),
        Command::Prune(args) => Some(wanted::prune(args)),
        Command::Check(args) => Some(wanted::check(args)),
        Command::Copy(args) => wanted::copy(session, args),
        _ => None,
    };
    one(session, &wanted?)
}

/// Takes a copy, or data set aside, away, once a person has said its name.
pub fn removal(session: &Session, name: &str) -> Option<Result<Exit>> {
    one(session, &wanted::removal(name))
}

fn one(session: &Session, wanted: &Wanted) -> Option<Result<Exit>> {
    let socket = session.agent()?;
    let client = Client::at(&socket);
    let job = first(session, &client, wanted)?;
    let done = || {
        let (job, stop) = (job?, Stop::on_signal()?);
        let done = Asked::of(session, &client).end(job, &stop)?;
        if let Some(answer) = &done.answer {
            session.out.json(answer)?;
        }
        Ok(done.exit)
    };
    Some(done())
}

/// `backup`: each app is a job, one after the other, and a point of its own in the records; together they are shown as one command.
fn backups(session: &Session, args: &BackupArgs) -> Option<Result<Exit>> {
    let of = wanted::backup(args)?;
    let socket = session.agent()?;
    let client = Client::at(&socket);
    let apps = backup::apps(session.connect().ok()?.as_ref(), args).ok()?;
    // One that the agent does not know, or has not seen yet, is explained by the command itself, or done with the others.
    let known = |app: &String| {
        let name = utf8_percent_encode(app, NON_ALPHANUMERIC);
        client.get::<Value>(&format!("/api/v1/apps/{name}")).is_ok()
    };
    if !apps.iter().all(known) {
        return None;
    }
    let (app, rest) = apps.split_first()?;
    let job = first(session, &client, &of(app))?;
    let all = || {
        let (job, stop) = (job?, Stop::on_signal()?);
        let mut asked = Asked::of(session, &client);
        let (mut exit, mut answers) = (Exit::Done, Vec::new());
        session.reporter.subject(app);
        let done = asked.end(job, &stop)?;
        exit = exit.worse(done.exit);
        answers.extend(done.answer);
        for app in rest {
            if stop.is_wanted() || exit == Exit::Interrupted {
                exit = Exit::Interrupted;
                break;
            }
            session.reporter.subject(app);
            let ended = match ask(session, &client, &of(app)) {
                Ok(job) => asked.end(job, &stop),
                Err(why) => Err(Failure::new(why.to_string())),
            };
            match ended {
                Ok(done) => {
                    exit = exit.worse(done.exit);
                    answers.extend(done.answer);
                }
                Err(failure) => {
                    exit = exit.worse(failure.exit);
                    let sentence = format!("lifeboat: {app}: {failure}\n");
                    session.reporter.above(&sentence);
                    answers.push(json!({"protected": [], "failed": [
                        {"app": app, "error": failure.to_string(), "exit_code": failure.exit.code()}
                    ]}));
                }
            }
        }
        if !answers.is_empty() {
            session.out.json(&together(&answers))?;
        }
        Ok(exit)
    };
    Some(all())
}

/// The answers of all as one.
fn together(answers: &[Value]) -> Value {
    let of = |key: &str| -> Vec<&Value> {
        let lists = answers.iter().filter_map(|answer| answer[key].as_array());
        lists.flatten().collect()
    };
    json!({"protected": of("protected"), "failed": of("failed")})
}

/// None: the agent refused it, and the command says itself why, as people know it.
fn first(session: &Session, client: &Client<'_>, wanted: &Wanted) -> Option<Result<Job>> {
    use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
    match ask(session, client, wanted) {
        Ok(job) => Some(Ok(job)),
        Err(Error::Refused { status, .. }) if status >= 400 => None,
        Err(Error::NotRunning { source, .. })
            if matches!(
                source.kind(),
                ConnectionRefused | NotFound | PermissionDenied
            ) =>
        {
            None
        }
        // Done by both it would be done twice.
        Err(why) => Some(Err(Failure::new(format!(
            "the agent broke off while it was asked ({why}), and may have taken the order: `lifeboat jobs` says whether it did"
        )))),
    }
}

fn ask(session: &Session, client: &Client<'_>, wanted: &Wanted) -> lifeboat_api::Result<Job> {
    let form = if session.out.is_json() {
        "json"
    } else {
        "text"
    };
    let quiet = session.global.quiet;
    let path = format!("/api/v1/operations?form={form}&quiet={quiet}");
    client.post(&path, wanted)
}

/// The first signal ends the job, as it would end the command; it ends cleanly, and is waited for.
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn on_signal() -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let wanted = Arc::clone(&stop);
        signals::on_first(move || wanted.store(true, Ordering::SeqCst))?;
        Ok(Self(stop))
    }

    fn is_wanted(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What came of a job.
struct Done {
    exit: Exit,
    answer: Option<Value>,
}

/// Jobs that were asked for, one after the other.
struct Asked<'s> {
    session: &'s Session,
    client: &'s Client<'s>,
    /// Lines that stand on standard error already: what holds for several jobs is said once.
    said: BTreeSet<String>,
}

impl<'s> Asked<'s> {
    fn of(session: &'s Session, client: &'s Client<'s>) -> Self {
        Self {
            session,
            client,
            said: BTreeSet::new(),
        }
    }

    /// Follows a job to its end and shows what it said.
    fn end(&mut self, job: Job, stop: &Stop) -> Result<Done> {
        let job = self.follow(job, stop)?;
        self.session.reporter.finish();
        self.show(&job, stop)
    }

    /// Until it is over; an agent that begins anew meanwhile goes on with it.
    fn follow(&self, mut job: Job, stop: &Stop) -> Result<Job> {
        let (session, client, id) = (self.session, self.client, job.id);
        let mut shown = Shown::default();
        let mut away: Option<Instant> = None;
        let (mut told, mut asked) = (false, false);
        while !job.is_over() {
            let followed = client.follow(id, |now| {
                if let Some(now) = now {
                    shown.show(session, &now);
                    job = now;
                    away = None;
                }
                if stop.is_wanted() && !told {
                    told = true;
                    let note = format!(
                        "job {id} is asked to end, and is waited for; ^C once more leaves it to the agent"
                    );
                    session.reporter.note(&note, session.global.quiet);
                }
                // One that is just being started refuses it, and is asked again.
                asked = asked || stop.is_wanted() && client.cancel(id).is_ok();
            });
            match followed {
                Ok(Followed::Ended) => {}
                _ if away.is_some_and(|since| since.elapsed() > AWAY) => {
                    return Err(Failure::new(format!(
                        "the agent does not answer any more; what it began goes on without it: `lifeboat jobs show {id}` says how it ends"
                    )));
                }
                _ => {
                    away.get_or_insert_with(Instant::now);
                    std::thread::sleep(AGAIN);
                }
            }
        }
        Ok(job)
    }

    /// As the command itself shows it, with its exit code.
    fn show(&mut self, job: &Job, stop: &Stop) -> Result<Done> {
        let path = format!("/api/v1/operations/{}/result", job.id);
        let result: lifeboat_api::Outcome = match self.client.get(&path) {
            Ok(result) => result,
            // It was taken back before it began.
            Err(_) if job.state == JobState::Cancelled => return Err(Failure::interrupted()),
            Err(why) => return Err(Failure::new(why.to_string())),
        };
        for line in result.said.iter().flat_map(|said| said.lines()) {
            if self.said.insert(line.to_owned()) {
                self.session.reporter.above(&format!("{line}\n"));
            }
        }
        if let Some(text) = &result.text {
            self.session.out.text(text)?;
        }
        match result.code.and_then(|code| u8::try_from(code).ok()) {
            Some(code) => Ok(Done {
                exit: Exit::of(code),
                answer: result.answer,
            }),
            None if stop.is_wanted() => Err(Failure::interrupted()),
            None => Err(Failure::new(format!(
                "its process ended without a word; `lifeboat jobs show {}` says what is known",
                job.id
            ))),
        }
    }
}

/// What was shown of it.
#[derive(Default)]
struct Shown {
    phase: String,
    files: u64,
    bytes: u64,
    of: u64,
}

impl Shown {
    fn show(&mut self, session: &Session, job: &Job) {
        let phase = job.phase.clone().unwrap_or_default();
        if job.is_over() || phase.is_empty() || phase == "run" {
            return;
        }
        if phase != self.phase {
            session.reporter.begin_step(&phase);
            *self = Self {
                phase,
                ..Self::default()
            };
        }
        let of = job.of.unwrap_or(0);
        session
            .reporter
            .more_expected(0, of.saturating_sub(self.of));
        session.reporter.more_done(
            job.files.saturating_sub(self.files),
            job.bytes.saturating_sub(self.bytes),
        );
        (self.files, self.bytes, self.of) = (job.files, job.bytes, of.max(self.of));
    }
}
