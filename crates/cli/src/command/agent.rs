//! `agent`, `status`, `events`, `maintenance`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use lifeboat_agent::{
    Agent, Clock, Options, api,
    api::Status,
    log::{self, Entry},
};
use lifeboat_plan::supervise::view::Level;
use serde_json::json;

use crate::{
    args::{AgentArgs, AgentCommand, EventsArgs, MaintenanceArgs, StatusArgs},
    exit::{Exit, Failure, Result},
    session::Session,
    signals,
    table::{Align, Table},
};

/// Between two looks of `--watch` and `--follow`.
const AGAIN: Duration = Duration::from_secs(2);
const FOLLOW: Duration = Duration::from_millis(500);

fn failed(error: lifeboat_agent::Error) -> Failure {
    Failure::new(error.to_string())
}

fn socket(session: &Session) -> PathBuf {
    Options::socket(&session.places.state)
}

/// Runs the agent, or asks it for something.
pub fn agent(session: &Session, args: &AgentArgs) -> Result<Exit> {
    if let Some(AgentCommand::Release) = args.what {
        api::release(&socket(session)).map_err(failed)?;
        session.reporter.note(
            "restart policies are what they were; the agent leaves them so until it is started again",
            session.global.quiet,
        );
        return Ok(Exit::Done);
    }
    let now = jiff::Timestamp::now();
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let options = Options {
        connect: session.connector()?,
        state: session.places.state.clone(),
        clock: Clock::at(millis),
        seed: now.as_nanosecond().unsigned_abs() as u64 ^ u64::from(std::process::id()),
        heal_all: args.all,
        probes: probes(session)?,
    };
    let agent = Agent::open(options).map_err(failed)?;
    let stopper = agent.stopper();
    signals::on_first(move || stopper.stop())?;
    let keeper = keeper(session);
    agent.run().map_err(failed)?;
    if let Some(keeper) = keeper {
        keeper.stop();
    }
    Ok(Exit::Done)
}

/// What keeps objectives, once there is a vault. Containers are looked after in any case.
fn keeper(session: &Session) -> Option<lifeboat_objectives::Keeper> {
    if session.settings.vault.is_none() && session.named_vault().is_none() {
        tracing::warn!(
            "there is no vault, so nothing is protected: `lifeboat init` makes one; then start the agent again"
        );
        return None;
    }
    match super::objectives::keeper(session) {
        Ok(keeper) => Some(keeper),
        Err(why) => {
            tracing::error!("objectives are not kept: {why}");
            None
        }
    }
}

/// Probes that stand in `lifeboat.toml` beside the settings.
fn probes(session: &Session) -> Result<lifeboat_plan::probe::Settings> {
    #[derive(Default, serde::Deserialize)]
    struct File {
        #[serde(default)]
        probes: lifeboat_plan::probe::Settings,
    }
    let path = session.places.config.join("lifeboat.toml");
    let text = match fs_err::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(lifeboat_plan::probe::Settings::default());
        }
        Err(error) => return Err(error.into()),
    };
    let file: File = toml::from_str(&text).map_err(|error| {
        Failure::new(format!(
            "{} cannot be read: {}; correct that line",
            path.display(),
            error.message()
        ))
    })?;
    Ok(file.probes)
}

/// Shows how all containers are.
pub fn status(session: &Session, args: &StatusArgs) -> Result<Exit> {
    loop {
        let mut status = api::status(&socket(session)).map_err(failed)?;
        if let Some(app) = &args.app {
            let names: Vec<String> = status
                .picture
                .rows
                .iter()
                .map(|row| row.app.clone())
                .collect();
            status.picture.rows.retain(|row| row.app == *app);
            if status.picture.rows.is_empty() {
                let meant = lifeboat_plan::suggest::suggest(app, names.iter().map(String::as_str));
                let hint = lifeboat_plan::suggest::sentence(&meant);
                return Err(Failure::new(format!("there is no app `{app}` here{hint}")));
            }
        }
        let well = status.picture.is_well();
        if session.out.is_json() {
            session.out.json(&status)?;
        } else if !session.global.quiet {
            let clear = if args.watch && session.out.is_terminal() {
                "\u{1b}[2J\u{1b}[H"
            } else {
                ""
            };
            session
                .out
                .text(&format!("{clear}{}", shown(session, &status)))?;
        }
        if !args.watch || session.out.is_closed() {
            return Ok(if well { Exit::Done } else { Exit::NotWell });
        }
        std::thread::sleep(AGAIN);
    }
}

fn shown(session: &Session, status: &Status) -> String {
    let columns = [
        ("", Align::Left),
        ("APP", Align::Left),
        ("CONTAINER", Align::Left),
        ("STATE", Align::Left),
        ("SINCE", Align::Right),
        ("RESTARTS", Align::Right),
        ("NOTE", Align::Left),
    ];
    let mut table = Table::new(&columns, session.out.width());
    for row in &status.picture.rows {
        let mark = match row.level {
            Level::Bad => "!!",
            Level::Note => "!",
            Level::Well => "",
        };
        let note = if row.supervised || row.because.is_empty() {
            row.note.clone()
        } else if row.note.is_empty() {
            format!("not looked after: {}", row.because)
        } else {
            format!("{} (not looked after: {})", row.note, row.because)
        };
        table.row([
            mark.to_owned(),
            row.app.clone(),
            row.container.clone(),
            row.state.clone(),
            ago(status.now.saturating_sub(row.since)),
            row.restarts.to_string(),
            note,
        ]);
    }
    let mut text = String::new();
    if !status.picture.connected {
        let since = ago(status.now.saturating_sub(status.picture.connection_since));
        text.push_str(&format!("!! the engine does not answer, since {since}\n"));
    }
    for found in &status.picture.host {
        let mark = if found.level == Level::Bad {
            "!!"
        } else {
            "! "
        };
        let since = ago(status.now.saturating_sub(found.since));
        text.push_str(&format!(
            "{mark} host: {} (since {since})\n",
            crate::human::escape(found.text.as_bytes())
        ));
    }
    for app in &status.picture.maintenance {
        let whose = if app == "*" {
            "everything"
        } else {
            app.as_str()
        };
        text.push_str(&format!("!  in maintenance: {whose}\n"));
    }
    text.push_str(&table.render());
    text
}

/// A time in the past, as people say it.
fn ago(millis: u64) -> String {
    let secs = millis / 1000;
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min", secs / 60),
        3600..172_800 => format!("{} h", secs / 3600),
        _ => format!("{} d", secs / 86_400),
    }
}

/// Shows what happened.
pub fn events(session: &Session, args: &EventsArgs) -> Result<Exit> {
    let folder = Options::folder(&session.places.state);
    let wanted = |entry: &Entry| {
        args.app
            .as_ref()
            .is_none_or(|app| entry.note.app == *app || entry.note.container == *app)
    };
    let mut seen = 0;
    let mut first = true;
    loop {
        let mut all = log::read(&folder).map_err(failed)?;
        all.retain(|entry| entry.seq > seen);
        seen = all.last().map_or(seen, |entry| entry.seq);
        all.retain(wanted);
        if first {
            let skip = all.len().saturating_sub(args.last);
            all.drain(..skip);
        }
        if session.out.is_json() {
            for entry in all.iter().filter(|_| args.follow) {
                session.out.json(entry)?;
            }
            if !args.follow {
                session.out.json(&all)?;
            }
        } else {
            for entry in &all {
                session.out.line(&line(entry))?;
            }
        }
        first = false;
        if !args.follow || session.out.is_closed() {
            return Ok(Exit::Done);
        }
        std::thread::sleep(FOLLOW);
    }
}

fn line(entry: &Entry) -> String {
    let note = &entry.note;
    let millis = i64::try_from(note.at.0).unwrap_or(0);
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    let zoned = time.to_zoned(jiff::tz::TimeZone::system());
    let who = match (note.app.as_str(), note.container.as_str()) {
        ("", _) => "engine".to_owned(),
        (app, container) if app == container => app.to_owned(),
        (app, container) => format!("{app}/{container}"),
    };
    format!(
        "{}  {who}  {}: {}",
        zoned.strftime("%Y-%m-%d %H:%M:%S%.3f"),
        note.kind,
        note.text
    )
}

/// Begins or ends maintenance.
pub fn maintenance(session: &Session, args: &MaintenanceArgs) -> Result<Exit> {
    let on = args.word == "on";
    api::maintenance(&socket(session), args.app.as_deref(), on).map_err(failed)?;
    if session.out.is_json() {
        session.out.json(&json!({"app": args.app, "on": on}))?;
        return Ok(Exit::Done);
    }
    let whose = args.app.as_deref().unwrap_or("everything");
    let word = if on {
        "left alone until `lifeboat maintenance off`"
    } else {
        "looked after again"
    };
    session
        .reporter
        .note(&format!("{whose} is {word}"), session.global.quiet);
    Ok(Exit::Done)
}

/// Connects again and again, as long as the agent runs.
impl Session {
    fn connector(&self) -> Result<lifeboat_agent::Connect> {
        let endpoint = self.endpoint()?;
        Ok(Arc::new(move || {
            let engine = lifeboat_engine::DockerEngine::connect(&endpoint)?;
            Ok(Arc::new(engine) as Arc<dyn lifeboat_engine::Engine>)
        }))
    }
}
