//! `jobs`, `policy`, `notify`, and what the agent keeps objectives with.

use std::{collections::BTreeMap, ffi::OsString, sync::Arc};

use lifeboat_api::client::Client;
use lifeboat_engine::{DockerEngine, Engine};
use lifeboat_objectives::{
    Collector, Keeper, Options, Records, Settings, commands,
    policies::{self, AppPolicy, Where},
    process, try_targets,
};
use lifeboat_plan::{
    manifest::Level,
    schedule::{Job, JobState, Outcome, Time},
    suggest,
};
use serde::Serialize;

use crate::{
    args::{Jobs, JobsArgs, Notify, NotifyArgs, PolicyArgs},
    environment,
    exit::{Exit, Failure, Result},
    human,
    session::Session,
    table::{Align, Table},
    which_engine::{Asked, which},
};

fn agent_socket(session: &Session) -> std::path::PathBuf {
    session.socket()
}

fn failed(error: lifeboat_objectives::Error) -> Failure {
    Failure::new(error.to_string())
}

/// What the agent keeps objectives with.
pub fn keeper(session: &Session, traces: Option<Collector>) -> Result<Keeper> {
    let asked = Asked {
        engine: session.global.engine.as_deref(),
        context: session.global.context.as_deref(),
        plain_tcp: session.global.allow_plain_tcp,
    };
    let endpoint = which(&asked, &environment::docker())?;
    let options = Options {
        connect: Arc::new(move || {
            let engine = DockerEngine::connect(&endpoint)?;
            Ok(Arc::new(engine) as Arc<dyn lifeboat_engine::Engine>)
        }),
        state: session.places.state.clone(),
        file: file(session),
        program: program(session)?,
        at: place(session),
        traces,
    };
    Keeper::start(options).map_err(failed)
}

fn file(session: &Session) -> std::path::PathBuf {
    session.places.config.join("lifeboat.toml")
}

pub fn place(session: &Session) -> Where {
    let given = |flag: &Option<String>, remembered: &Option<String>| {
        let flag = flag.clone().filter(|name| !name.is_empty());
        flag.or_else(|| remembered.clone())
    };
    Where {
        site: given(&session.global.site, &session.settings.site).unwrap_or_default(),
        host: given(&session.global.host, &session.settings.host),
    }
}

/// This program with the flags that reach the same vault and engine.
pub fn program(session: &Session) -> Result<Vec<OsString>> {
    let own = std::env::current_exe()
        .map_err(|e| Failure::new(format!("the path of this program cannot be told: {e}")))?;
    let global = &session.global;
    let mut words = vec![own.into_os_string()];
    let mut flag = |name: &str, value: Option<OsString>| {
        if let Some(value) = value {
            words.push(name.into());
            words.push(value);
        }
    };
    let text = |value: &Option<String>| value.as_ref().map(OsString::from);
    flag("--vault", text(&global.vault));
    flag(
        "--password-file",
        global.password_file.as_ref().map(OsString::from),
    );
    flag("--password-command", global.password_command.clone());
    flag("--engine", text(&global.engine));
    flag("--context", text(&global.context));
    flag("--site", text(&global.site));
    flag("--host", text(&global.host));
    flag("--config-dir", global.config_dir.clone());
    flag("--state-dir", global.state_dir.clone());
    flag("--cacert", global.store.cacert.as_ref().map(OsString::from));
    flag(
        "--cache-dir",
        global.store.cache_dir.as_ref().map(OsString::from),
    );
    let number = |n: Option<u64>| n.map(|n| OsString::from(n.to_string()));
    flag("--limit-upload", number(global.store.limit_upload));
    flag("--limit-download", number(global.store.limit_download));
    flag("--retry-store", number(global.store.retry_store));
    for (name, given) in [
        ("--allow-plain-tcp", global.allow_plain_tcp),
        ("--insecure-http", global.store.insecure_http),
        ("--no-cache", global.store.no_cache),
    ] {
        if given {
            words.push(name.into());
        }
    }
    Ok(words)
}

/// Shows jobs, or ends one.
pub fn jobs(session: &Session, args: &JobsArgs) -> Result<Exit> {
    let records = Records::look(&session.places.state).map_err(failed)?;
    let one = |id: u64| -> Result<Job> {
        let job = match &records {
            Some(records) => records.get(id).map_err(failed)?,
            None => None,
        };
        job.ok_or_else(|| {
            Failure::usage(format!("there is no job {id}; `lifeboat jobs` lists them"))
        })
    };
    match &args.what {
        Some(Jobs::Show { id }) => show(session, &one(*id)?),
        Some(Jobs::Cancel { id }) => cancel(session, &one(*id)?),
        None => {
            let jobs = match &records {
                Some(records) => records.newest(args.most).map_err(failed)?,
                None => Vec::new(),
            };
            if session.out.is_json() {
                session.out.json(&jobs)?;
            } else {
                session.out.text(&list(&jobs, session.out.width()))?;
            }
            Ok(Exit::Done)
        }
    }
}

fn list(jobs: &[Job], width: Option<u16>) -> String {
    let columns = [
        ("JOB", Align::Right),
        ("WHAT", Align::Left),
        ("BEGAN", Align::Left),
        ("TOOK", Align::Right),
        ("STATE", Align::Left),
    ];
    let mut table = Table::new(&columns, width);
    for job in jobs {
        table.row([
            job.id.to_string(),
            human::escape(commands::shown(&job.work).as_bytes()),
            time(job.began.unwrap_or(job.queued)),
            took(job).unwrap_or_default(),
            state(job),
        ]);
    }
    let mut text = table.render();
    text.push_str(&format!("{}\n", human::plural(jobs.len() as u64, "job")));
    text
}

fn time(at: Time) -> String {
    human::local_seconds(at.0.div_euclid(1000))
}

fn took(job: &Job) -> Option<String> {
    let millis = job.ended?.since(job.began?);
    Some(human::seconds(millis as f64 / 1000.0))
}

fn state(job: &Job) -> String {
    let why = |why: &str| human::escape(why.as_bytes());
    match &job.state {
        JobState::Queued => "queued".to_owned(),
        JobState::Running { .. } if !process::lives(job.owner) => {
            "its process is no more; the agent closes it".to_owned()
        }
        JobState::Running { .. } => "running".to_owned(),
        JobState::Ended { outcome } => match outcome {
            Outcome::Failed { why: text } => format!("failed: {}", why(text)),
            Outcome::Incomplete { why: texts } => format!("incomplete: {}", why(&texts.join("; "))),
            other => other.word().to_owned(),
        },
    }
}

fn show(session: &Session, job: &Job) -> Result<Exit> {
    if session.out.is_json() {
        session.out.json(job)?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    let mut line = |name: &str, what: String| text.push_str(&format!("{name:<8} {what}\n"));
    line("job", job.id.to_string());
    line("what", human::escape(commands::shown(&job.work).as_bytes()));
    line("state", state(job));
    line("queued", time(job.queued));
    if !job.is_over()
        && let Ok(now) = Client::at(&agent_socket(session)).job(job.id)
        && let Some(phase) = now.phase
    {
        let of = now
            .of
            .map_or_else(String::new, |of| format!(" of {}", human::size(of)));
        let far = format!(
            "{}: {}{of}, {}",
            human::escape(phase.as_bytes()),
            human::size(now.bytes),
            human::plural(now.files, "file")
        );
        line("now", far);
    }
    if let Some(began) = job.began {
        line("began", time(began));
    }
    if let (Some(ended), Some(took)) = (job.ended, took(job)) {
        line("ended", format!("{} after {took}", time(ended)));
    }
    if let Some(point) = &job.point {
        line("point", point.chars().take(8).collect());
        line(
            "files",
            format!(
                "{} in {}",
                human::size(job.bytes),
                human::plural(job.files, "file")
            ),
        );
        line("added", human::size(job.added));
    }
    if let Some(stall) = job.stall {
        line("stall", human::seconds(stall as f64 / 1000.0));
    }
    for said in &job.log {
        line("log", human::escape(said.as_bytes()));
    }
    session.out.text(&text)?;
    Ok(Exit::Done)
}

fn cancel(session: &Session, job: &Job) -> Result<Exit> {
    if job.is_over() {
        return Err(Failure::usage(format!(
            "job {} is over: {}",
            job.id,
            state(job)
        )));
    }
    match Client::at(&agent_socket(session)).cancel(job.id) {
        Ok(()) => {}
        // Nobody keeps it: then it is asked itself.
        Err(lifeboat_api::Error::NotRunning { .. }) if process::ask_to_stop(job.owner) => {}
        Err(lifeboat_api::Error::NotRunning { .. }) => {
            return Err(Failure::new(format!(
                "job {} cannot be asked to stop: its process is another user's, or no more",
                job.id
            )));
        }
        Err(why) => return Err(Failure::new(why.to_string())),
    }
    session.reporter.note(
        &format!(
            "job {} was asked to stop; `lifeboat jobs show {}` says when it has",
            job.id, job.id
        ),
        session.global.quiet,
    );
    Ok(Exit::Done)
}

/// Shows policies.
pub fn policy(session: &Session, args: &PolicyArgs) -> Result<Exit> {
    let settings = Settings::load(&file(session)).map_err(failed)?;
    let engine = session.connect()?;
    let mut all = policies::policies(
        engine.as_ref(),
        &place(session),
        &settings.policies,
        &lifeboat_objectives::set_by_api(&session.places.state),
    )
    .map_err(failed)?;
    for name in &args.apps {
        if !all.iter().any(|app| app.name == *name || app.app == *name) {
            let near = suggest::suggest(name, all.iter().map(|app| app.name.as_str()));
            return Err(Failure::usage(format!(
                "there is no app named `{name}` on this engine{}; `lifeboat apps` lists them",
                suggest::sentence(&near)
            )));
        }
    }
    if !args.apps.is_empty() {
        all.retain(|app| {
            args.apps
                .iter()
                .any(|name| app.name == *name || app.app == *name)
        });
    }
    if session.out.is_json() {
        session.out.json(&all)?;
    } else if args.apps.is_empty() {
        session.out.text(&table(&all, session.out.width()))?;
    } else {
        let text: Vec<String> = all
            .iter()
            .map(|app| whole(app, session.out.width()))
            .collect();
        session.out.text(&text.join("\n"))?;
    }
    Ok(Exit::Done)
}

/// The level of consistency that each app's policy asks for. Where the settings cannot be read, what they say does not
/// hold, which is said; what labels say holds in any case.
pub fn levels(session: &Session, engine: &dyn Engine) -> Result<BTreeMap<String, Level>> {
    let settings = Settings::load(&file(session)).unwrap_or_else(|why| {
        session.reporter.warn_once(&why.to_string());
        Settings::default()
    });
    let set = lifeboat_objectives::set_by_api(&session.places.state);
    let all = policies::policies(engine, &place(session), &settings.policies, &set);
    let asked = all.map_err(failed)?.into_iter().filter_map(|app| {
        let asked = app.policy.consistency?;
        Some((app.name, asked.value.into()))
    });
    Ok(asked.collect())
}

fn table(all: &[AppPolicy], width: Option<u16>) -> String {
    let columns = [
        ("APP", Align::Left),
        ("RPO", Align::Left),
        ("RTO", Align::Left),
        ("KEEPS", Align::Left),
        ("WHEN", Align::Left),
        ("NOTES", Align::Left),
    ];
    let mut table = Table::new(&columns, width);
    for app in all {
        let policy = &app.policy;
        let protected = policy.protect.value;
        let shown = |value: String| if protected { value } else { String::new() };
        let notes = policy.notes.len() as u64;
        table.row([
            human::escape(app.name.as_bytes()),
            if protected {
                policy.rpo.value.to_string()
            } else {
                "UNPROTECTED".to_owned()
            },
            shown(
                policy
                    .rto
                    .as_ref()
                    .map(|rto| rto.value.to_string())
                    .unwrap_or_default(),
            ),
            shown(policy.retain.value.to_string()),
            shown(
                policy
                    .schedule
                    .as_ref()
                    .map_or("as the RPO asks".to_owned(), |s| s.value.to_string()),
            ),
            match (protected, notes) {
                (false, _) => policy.protect.origin.to_string(),
                (true, 0) => String::new(),
                (true, n) => human::plural(n, "note"),
            },
        ]);
    }
    table.render()
}

fn whole(app: &AppPolicy, width: Option<u16>) -> String {
    let columns = [
        ("VALUE", Align::Left),
        ("IS", Align::Left),
        ("BY", Align::Left),
    ];
    let mut table = Table::new(&columns, width);
    for (name, value, origin) in app.policy.rows() {
        table.row([
            name.to_owned(),
            value,
            human::escape(origin.to_string().as_bytes()),
        ]);
    }
    let mut text = format!("{}\n{}", app.app, table.render());
    for label in &app.policy.foreign {
        let line = format!(
            "{}={} on {} {}",
            label.label, label.value, label.on, label.meaning
        );
        text.push_str(&format!("other   {}\n", human::escape(line.as_bytes())));
    }
    for note in &app.policy.notes {
        text.push_str(&format!(
            "note    {}\n",
            human::escape(note.text.as_bytes())
        ));
    }
    text
}

/// How a try went.
#[derive(Serialize)]
struct Tried {
    place: String,
    error: Option<String>,
}

/// Sends a message to each place.
pub fn notify(session: &Session, args: &NotifyArgs) -> Result<Exit> {
    let Notify::Test = args.what;
    let settings = Settings::load(&file(session)).map_err(failed)?;
    if settings.targets.is_empty() {
        return Err(Failure::usage(format!(
            "nobody is told anything: {} has no [notify] urls",
            file(session).display()
        )));
    }
    let at = place(session);
    let mut exit = Exit::Done;
    let mut tried = Vec::new();
    for (place, error) in try_targets(&settings, at.host.as_deref()).map_err(failed)? {
        if !session.out.is_json() {
            let said = error.clone().unwrap_or_else(|| "sent".to_owned());
            session
                .out
                .line(&format!("{place}  {}", human::escape(said.as_bytes())))?;
        }
        if error.is_some() {
            exit = Exit::Failed;
        }
        tried.push(Tried { place, error });
    }
    if session.out.is_json() {
        session.out.json(&tried)?;
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use lifeboat_plan::schedule::{JobEvent, Work};

    use super::*;

    #[test]
    fn a_job_says_how_it_ended() {
        let work = Work::Capture {
            app: "default/h/shop".into(),
        };
        let mut job = Job::new(7, work, process::own(), Time(0));
        assert_eq!(state(&job), "queued");
        job.step(Time(0), JobEvent::Phase("run".to_owned()));
        assert_eq!(state(&job), "running");
        let why = "the vault is away\u{7}".to_owned();
        job.step(Time(1500), JobEvent::Ended(Outcome::Failed { why }));
        assert_eq!(state(&job), "failed: the vault is away\\x07");
        assert!(list(&[job], None).contains("capture default/h/shop"));
    }
}
