//! `agent`, `status`, `events`, `maintenance`.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lifeboat_agent::{
    Agent, Clock, Options,
    log::{self, Entry},
    service,
};
use lifeboat_api::{
    Parts, Shared,
    client::Client,
    guard::{Groups, Role},
    serve::{Places, Server, Tls},
    settings as api,
};
use lifeboat_objectives::Collector;
use lifeboat_recovery::forward::standing::Standing;
use serde_json::json;

use crate::{
    args::{AgentArgs, AgentCommand, ApiArgs, EventsArgs, MaintenanceArgs},
    environment,
    exit::{Exit, Failure, Result},
    session::Session,
    signals,
};

/// Where collectors listen when nothing else is said.
const COLLECTOR: &str = "http://127.0.0.1:4318";
/// Between two looks of `--follow`.
const FOLLOW: Duration = Duration::from_millis(500);

fn failed(error: lifeboat_agent::Error) -> Failure {
    Failure::new(error.to_string())
}

fn unserved(error: lifeboat_api::Error) -> Failure {
    Failure::new(error.to_string())
}

pub(super) fn socket(session: &Session) -> PathBuf {
    session.socket()
}

/// Runs the agent, or asks it for something.
pub fn agent(session: &Session, args: &AgentArgs) -> Result<Exit> {
    if let Some(AgentCommand::Release) = args.what {
        Client::at(&socket(session)).release().map_err(unserved)?;
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
        help: help(session)?,
        probes: probes_of(&settings_file(session))?,
    };
    let settings = api_settings(&settings_file(session), &args.api)?;
    let places = places(session, &settings)?;
    let agent = Agent::open(options).map_err(failed)?;
    let reloads = Arc::new(AtomicBool::new(false));
    listen(
        &agent,
        settings_file(session),
        args.api.clone(),
        Arc::clone(&reloads),
    )?;
    let keeper = keeper(session, collector(args));
    let shared = Shared::new(Parts {
        agent: agent.handle(),
        keeper: keeper
            .as_ref()
            .map(lifeboat_objectives::Keeper::handle)
            .map_err(Clone::clone),
        state: session.places.state.clone(),
        config: session.places.config.clone(),
        host: super::objectives::place(session).host,
        tokens: settings.tokens,
        reach: session.reach()?,
    });
    let server = shared
        .and_then(|shared| Server::start(places, shared))
        .map_err(unserved)?;
    if let Some(at) = server.at() {
        tracing::info!("the API is served at https://{at}/api/v1");
    }
    let turned = agent.turned();
    let mut loops: Vec<(&str, service::Ago)> =
        vec![("the supervisor", Box::new(move || turned.ago()))];
    if let Ok(keeper) = &keeper {
        loops.push(("what keeps objectives", Box::new(keeper.turned())));
    }
    let watch = service::Watch::over(loops).map_err(failed)?;
    let ports = Standing::begin(session.connector()?, session.places.clone())?;
    service::ready();
    agent.run().map_err(failed)?;
    drop((watch, ports));
    server.finish();
    if let Ok(keeper) = keeper {
        keeper.stop();
    }
    match reloads.load(Ordering::SeqCst) {
        true => begin_anew(),
        false => Ok(Exit::Done),
    }
}

/// SIGTERM and SIGINT end it. SIGHUP makes it begin anew, in the same process, with the settings as they are then; if
/// they cannot be read, it goes on with those that it has.
fn listen(agent: &Agent, file: PathBuf, api: ApiArgs, reloads: Arc<AtomicBool>) -> Result<()> {
    let (stopper, again) = (agent.stopper(), agent.stopper());
    // Whoever wants it to end means so, also while it is about to begin anew.
    let ends = Arc::new(AtomicBool::new(false));
    let (ending, anew) = (Arc::clone(&ends), Arc::clone(&reloads));
    let stop = move || {
        ending.store(true, Ordering::SeqCst);
        anew.store(false, Ordering::SeqCst);
        service::stopping();
        stopper.stop();
    };
    let reload = move || {
        if ends.load(Ordering::SeqCst) {
            return true;
        }
        let read = lifeboat_objectives::Settings::load(&file).map_err(|e| e.to_string());
        let read = read.and_then(|_| probes_of(&file).map_err(|e| e.to_string()));
        let read = read.and_then(|_| {
            let settings = api_settings(&file, &api);
            settings
                .and_then(|api| sound(&api))
                .map_err(|e| e.to_string())
        });
        match read {
            Ok(_) => {
                tracing::info!("the settings are read again");
                service::reloading();
                reloads.store(true, Ordering::SeqCst);
                again.stop();
            }
            Err(why) => tracing::error!("the settings stay as they were: {why}"),
        }
        true
    };
    signals::on_each(stop, reload)
}

/// Becomes the program anew: as it lies on the disk now, which an upgrade may have replaced.
#[allow(clippy::disallowed_methods, reason = "it becomes that program")]
fn begin_anew() -> Result<Exit> {
    use std::os::unix::{ffi::OsStringExt as _, process::CommandExt as _};
    let program = std::env::current_exe()?.into_os_string().into_vec();
    // What Linux appends where the file was replaced.
    let program = program.strip_suffix(b" (deleted)").unwrap_or(&program);
    let program = OsString::from_vec(program.to_vec());
    let failed = std::process::Command::new(program)
        .args(std::env::args_os().skip(1))
        .exec();
    Err(Failure::new(format!(
        "the agent cannot begin anew: {failed}; start it again"
    )))
}

/// What flags and `[api]` say together; a flag wins over the file.
fn api_settings(file: &Path, args: &ApiArgs) -> Result<api::Settings> {
    let mut settings = api::Settings::load(file).map_err(unserved)?;
    if args.api_listen.is_some() {
        settings.listen = args.api_listen;
        settings.cert.clone_from(&args.api_cert);
        settings.key.clone_from(&args.api_key);
        settings.client_ca.clone_from(&args.api_client_ca);
    }
    if args.api_socket.is_some() {
        settings.socket.clone_from(&args.api_socket);
        settings.viewers.clone_from(&args.api_viewers);
        settings.operators.clone_from(&args.api_operators);
    }
    Ok(settings)
}

/// Whether its certificates can be used.
fn sound(settings: &api::Settings) -> Result<()> {
    if let (Some(cert), Some(key)) = (&settings.cert, &settings.key) {
        let tls = Tls::from_files(cert, key, settings.client_ca.as_deref());
        tls.map_err(|why| unserved(why.into()))?;
    }
    Ok(())
}

/// Where the API is served. What cannot be served is said before anything begins.
fn places(session: &Session, settings: &api::Settings) -> Result<Places> {
    let network = match (settings.listen, &settings.cert, &settings.key) {
        (Some(at), Some(cert), Some(key)) => {
            let tls = Tls::from_files(cert, key, settings.client_ca.as_deref());
            Some((at, tls.map_err(|why| unserved(why.into()))?))
        }
        _ => None,
    };
    let of = |groups: &[String], role| -> Vec<(String, Role)> {
        groups.iter().map(|name| (name.clone(), role)).collect()
    };
    let mut roles = of(&settings.viewers, Role::Viewer);
    roles.extend(of(&settings.operators, Role::Operator));
    let open = settings.socket.as_ref();
    Ok(Places {
        socket: Options::socket(&session.places.state),
        open: open.map(|path| (path.clone(), Groups::of_this_machine(roles))),
        network,
    })
}

/// Where traces go, if they are wanted.
fn collector(args: &AgentArgs) -> Option<Collector> {
    let named = args.otlp.as_ref()?;
    let known = || environment::collector().unwrap_or_else(|| COLLECTOR.to_owned());
    Some(Collector {
        endpoint: named.clone().unwrap_or_else(known),
        authority: environment::collectors_authority(),
    })
}

/// What keeps objectives, once there is a vault. Containers are looked after in any case.
fn keeper(
    session: &Session,
    traces: Option<Collector>,
) -> std::result::Result<lifeboat_objectives::Keeper, String> {
    if session.settings.vault.is_none() && session.named_vault().is_none() {
        let why = "there is no vault, so nothing is protected: `lifeboat init` makes one; then start the agent again";
        tracing::warn!("{why}");
        return Err(why.to_owned());
    }
    super::objectives::keeper(session, traces).map_err(|why| {
        tracing::error!("objectives are not kept: {why}");
        why.to_string()
    })
}

/// Help from the side of the vault, where there is one.
fn help(session: &Session) -> Result<lifeboat_agent::Helper> {
    if session.settings.vault.is_none() && session.named_vault().is_none() {
        return Ok(None);
    }
    Ok(Some(Arc::new(super::gone::ByProcess {
        program: super::objectives::program(session)?,
        places: session.places.clone(),
    })))
}

fn settings_file(session: &Session) -> PathBuf {
    session.places.config.join("lifeboat.toml")
}

/// Probes that stand in `lifeboat.toml` beside the settings.
fn probes_of(path: &Path) -> Result<lifeboat_plan::probe::Settings> {
    #[derive(Default, serde::Deserialize)]
    struct File {
        #[serde(default)]
        probes: lifeboat_plan::probe::Settings,
    }
    let text = match fs_err::read_to_string(path) {
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
    Client::at(&socket(session))
        .maintenance(args.app.as_deref(), on)
        .map_err(unserved)?;
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
