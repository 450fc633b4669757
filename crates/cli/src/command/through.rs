//! A command by way of the agent: it is asked for as an operation, followed, and shown as the command itself would show it.
//!
//! Only where the agent would do the very same: same program, same vault, engine, site and host; and only what can be said over the
//! API. Everything else, and everything where no agent answers, a command does by itself. What is read from or written to a path of
//! this host for the caller, it does itself in any case, with the caller's rights.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lifeboat_api::{
    client::{Client, Followed},
    model::{BackupWanted, Job, JobState, RestoreWanted, Wanted},
};

use crate::{
    args::{BackupArgs, RestoreArgs},
    exit::{Exit, Failure, Result},
    session::Session,
    signals,
};

/// An agent that begins anew is waited for so long.
const AWAY: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(500);

/// `backup` of one app, if the agent can do it.
pub fn backup(session: &Session, args: &BackupArgs) -> Result<Option<Exit>> {
    let ([app], false) = (args.apps.as_slice(), args.all) else {
        return Ok(None);
    };
    let own = !args.exclude_files.is_empty()
        || !args.paths.is_empty()
        || args.dry_run
        || args.read_concurrency.is_some()
        || args.consistency.is_some()
        || matches!(args.idle, Some(Some(_)))
        || args.take_over.is_some();
    if own {
        return Ok(None);
    }
    let wanted = Wanted::Backup(BackupWanted {
        app: app.clone(),
        now: true,
        tags: args.tags.clone(),
        excludes: args.excludes.clone(),
        one_file_system: args.one_file_system,
        engine_images: args.engine_images,
        idle: args.idle.is_some(),
        include_binds: args.include_binds.clone(),
        exclude_binds: args.exclude_binds.clone(),
    });
    run(session, &wanted)
}

/// `restore` onto the engine, if the agent can do it.
pub fn restore(session: &Session, args: &RestoreArgs) -> Result<Option<Exit>> {
    let part = &args.part;
    let own = args.dry_run
        || args.undo
        || args.go_on
        || args.ports
        || args.target.is_some()
        || args.resume
        || part.definition.is_some()
        || part.into.is_some()
        || !args.maps.is_empty();
    if own {
        return Ok(None);
    }
    let point = args.reference();
    // The program asks for no name where a flag says it.
    let name = lifeboat_api::app_of(point);
    if args.replace && name.is_none() {
        return Ok(None);
    }
    let wanted = Wanted::Restore(Box::new(RestoreWanted {
        point: point.to_owned(),
        copy: args.copy.clone(),
        replace: args.replace,
        confirm: name.map(str::to_owned).filter(|_| args.replace),
        no_safety_point: args.no_safety_point,
        volumes: part.volumes.clone(),
        binds: part.binds.clone(),
        services: part.services.clone(),
        keep_data: part.keep_data,
        stop_users: part.stop_users,
        images: part.images,
        network_access: args.network_access,
        allow: args.allow.iter().map(ToString::to_string).collect(),
        ..RestoreWanted::default()
    }));
    run(session, &wanted)
}

/// Asks, follows, shows. None: nothing was begun, and the command does it by itself.
fn run(session: &Session, wanted: &Wanted) -> Result<Option<Exit>> {
    let Some(socket) = session.agent() else {
        return Ok(None);
    };
    let client = Client::at(&socket);
    let form = if session.out.is_json() {
        "json"
    } else {
        "text"
    };
    let path = format!(
        "/api/v1/operations?form={form}&quiet={}",
        session.global.quiet
    );
    let job: Job = match client.post(&path, wanted) {
        Ok(job) => job,
        // The command says itself why it does not go, as people know it.
        Err(_) => return Ok(None),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let wanted_stop = Arc::clone(&stop);
    signals::on_first(move || wanted_stop.store(true, Ordering::SeqCst))?;
    let job = follow(session, &client, job, &stop)?;
    session.reporter.finish();
    show(session, &client, &job).map(Some)
}

/// Until it is over; an agent that begins anew meanwhile goes on with it.
fn follow(session: &Session, client: &Client<'_>, mut job: Job, stop: &AtomicBool) -> Result<Job> {
    let id = job.id;
    let mut shown = Shown::default();
    let mut away: Option<Instant> = None;
    let mut asked = false;
    while !job.is_over() {
        let followed = client.follow(id, |now| {
            if let Some(now) = now {
                shown.show(session, &now);
                job = now;
                away = None;
            }
            if stop.load(Ordering::SeqCst) && !asked {
                asked = true;
                // It ends cleanly, in its own time.
                let _ = client.cancel(id);
            }
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

/// As the command itself shows it, with its exit code.
fn show(session: &Session, client: &Client<'_>, job: &Job) -> Result<Exit> {
    let path = format!("/api/v1/operations/{}/result", job.id);
    let result: lifeboat_api::Outcome = match client.get(&path) {
        Ok(result) => result,
        // It was taken back before it began.
        Err(_) if job.state == JobState::Cancelled => return Err(Failure::interrupted()),
        Err(why) => return Err(Failure::new(why.to_string())),
    };
    let said = result.said.unwrap_or_default();
    if !said.is_empty() {
        session.reporter.above(&format!("{}\n", said.trim_end()));
    }
    if let Some(text) = &result.text {
        session.out.text(text)?;
    }
    if let Some(answer) = &result.answer {
        session.out.json(answer)?;
    }
    match result.code.and_then(|code| u8::try_from(code).ok()) {
        Some(code) => Ok(Exit::of(code)),
        None => Err(Failure::new(format!(
            "its process ended without a word; `lifeboat jobs show {}` says what is known",
            job.id
        ))),
    }
}
