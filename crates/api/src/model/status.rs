//! One screen: containers and objectives.

use lifeboat_objectives::{AppView, View};
use lifeboat_plan::{
    schedule::{AlertKind, Time},
    supervise::{host::Finding, view},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::mask;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It should run and be well, and is not.
    Bad,
    /// On its way, or something a person should look at.
    Note,
    /// As it should be.
    Well,
}

impl From<view::Level> for Level {
    fn from(level: view::Level) -> Self {
        match level {
            view::Level::Bad => Self::Bad,
            view::Level::Note => Self::Note,
            view::Level::Well => Self::Well,
        }
    }
}

/// One thing about the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostFinding {
    /// How bad.
    pub level: Level,
    /// `disk`, `inodes`, `memory`, `engine`, `clock` or `healer`.
    pub kind: String,
    /// What it is and what to do. Whoever is no admin does not see paths.
    pub text: String,
    /// Since when, milliseconds since 1970.
    pub since: u64,
}

impl HostFinding {
    fn of(found: Finding, all: bool) -> Self {
        Self {
            level: found.level.into(),
            kind: found.kind,
            text: mask::unless(all, &found.text),
            since: found.since,
        }
    }
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Row {
    /// App.
    pub app: String,
    /// Container.
    pub container: String,
    /// Full id.
    pub id: String,
    /// How bad.
    pub level: Level,
    /// `running`, `healthy`, `stopped`, `back-off`, …
    pub state: String,
    /// Since when.
    pub since: u64,
    /// Restarts, ours and the engine's.
    pub restarts: u32,
    /// What a person should know.
    pub note: String,
    /// Whether it is looked after.
    pub supervised: bool,
    /// Why or why not.
    pub because: String,
}

impl Row {
    fn of(row: view::Row, all: bool) -> Self {
        Self {
            level: row.level.into(),
            note: mask::unless(all, &row.note),
            because: mask::unless(all, &row.because),
            app: row.app,
            container: row.container,
            id: row.id,
            state: row.state,
            since: row.since,
            restarts: row.restarts,
            supervised: row.supervised,
        }
    }
}

/// How an app's RPO is kept, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveState {
    /// Its newest usable point is older than the RPO.
    Overdue,
    /// It is about to be missed.
    Soon,
    /// Nobody protects it.
    Unprotected,
    /// It has no point yet.
    Waiting,
    /// Kept.
    Kept,
}

/// One app and its objectives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct App {
    /// `site/host/app`.
    pub app: String,
    /// Its name on this host.
    pub name: String,
    /// How its RPO is kept.
    pub state: ObjectiveState,
    /// How old its newest usable point may be.
    pub rpo: Option<u64>,
    /// How old it is.
    pub age: Option<u64>,
    /// How long it may be away.
    pub rto: Option<u64>,
    /// When the capture of its newest usable point began.
    pub began: Option<i64>,
    /// When its RPO is missed, if no further point comes.
    pub misses: Option<i64>,
    /// When its next capture starts.
    pub next: Option<i64>,
    /// Captures that failed in a row.
    pub failures: u64,
    /// How long its last capture took.
    pub took: Option<u64>,
    /// How long it could not write then.
    pub stall: Option<u64>,
    /// Bytes that were seen then.
    pub bytes: Option<u64>,
    /// Bytes that the vault grew by then.
    pub added: Option<u64>,
    /// So many notes on its policy.
    pub notes: u64,
}

pub(crate) fn app(key: &str, view: &AppView, now: Time) -> App {
    let policy = &view.policy;
    let protected = policy.protect.value;
    let overdue = view.misses.is_some_and(|misses| misses <= now);
    let soon = matches!(view.told, Some(AlertKind::Soon | AlertKind::Missed));
    let state = match () {
        () if !protected => ObjectiveState::Unprotected,
        () if overdue => ObjectiveState::Overdue,
        () if soon => ObjectiveState::Soon,
        () if view.began.is_none() => ObjectiveState::Waiting,
        () => ObjectiveState::Kept,
    };
    App {
        app: key.to_owned(),
        name: key.rsplit('/').next().unwrap_or(key).to_owned(),
        state,
        rpo: protected.then(|| policy.rpo.value.as_millis()),
        age: view.began.map(|began| now.since(began)),
        rto: policy.rto.as_ref().map(|rto| rto.value.as_millis()),
        began: view.began.map(|at| at.0),
        misses: view.misses.filter(|_| protected).map(|at| at.0),
        next: view.next.filter(|_| protected).map(|at| at.0),
        failures: view.failures,
        took: view.last.map(|last| last.0),
        stall: view.last.and_then(|last| last.1),
        bytes: view.last.map(|last| last.2),
        added: view.last.map(|last| last.3),
        notes: policy.notes.len() as u64,
    }
}

/// A job under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnderWay {
    /// Its number.
    pub id: u64,
    /// What it does.
    pub what: String,
}

/// A place that did not take what it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trouble {
    /// Which, without secrets.
    pub place: String,
    /// Why.
    pub why: String,
    /// So many messages in a row.
    pub lost: u64,
}

/// Objectives, all of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Objectives {
    /// Whether they are kept at all.
    pub kept: bool,
    /// Why not; or why the engine cannot be seen, or `lifeboat.toml` cannot be used.
    pub troubles: Vec<String>,
    /// Apps, the worst first.
    pub apps: Vec<App>,
    /// Jobs under way.
    pub jobs: Vec<UnderWay>,
    /// Places that did not take what they were sent.
    pub unheard: Vec<Trouble>,
}

impl Objectives {
    pub(crate) fn of(view: &View, now: Time, all: bool) -> Self {
        let mut apps: Vec<App> = view.apps.iter().map(|(k, v)| app(k, v, now)).collect();
        apps.sort_by(|a, b| (a.state, &a.app).cmp(&(b.state, &b.app)));
        let troubles = view.blind.iter().chain(&view.unsettled);
        let jobs = view.jobs.iter().map(|(id, what)| UnderWay {
            id: *id,
            what: what.clone(),
        });
        let unheard = view.troubles.iter().map(|trouble| Trouble {
            place: trouble.place.clone(),
            why: mask::unless(all, &trouble.why),
            lost: trouble.lost,
        });
        Self {
            kept: true,
            troubles: troubles.map(|why| mask::unless(all, why)).collect(),
            apps,
            jobs: jobs.collect(),
            unheard: unheard.collect(),
        }
    }
}

/// How all is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The agent's time.
    pub now: u64,
    /// Its process.
    pub pid: u32,
    /// Whether nothing is red: the engine answers, no container is bad, no RPO is missed.
    pub well: bool,
    /// Whether the engine answers.
    pub connected: bool,
    /// Since when it does, or does not.
    pub connection_since: u64,
    /// Apps in maintenance; `*` is all.
    pub maintenance: Vec<String>,
    /// What a person should know of the host.
    #[serde(default)]
    pub host: Vec<HostFinding>,
    /// Containers, the bad ones first.
    pub rows: Vec<Row>,
    /// Objectives.
    pub objectives: Objectives,
}

impl Status {
    pub(crate) fn of(status: lifeboat_agent::Status, objectives: Objectives, all: bool) -> Self {
        let overdue = |app: &App| app.state == ObjectiveState::Overdue;
        let well = status.picture.is_well() && !objectives.apps.iter().any(overdue);
        let rows = status.picture.rows.into_iter();
        let host = status.picture.host.into_iter();
        Self {
            now: status.now,
            pid: status.pid,
            well,
            connected: status.picture.connected,
            connection_since: status.picture.connection_since,
            maintenance: status.picture.maintenance,
            host: host.map(|found| HostFinding::of(found, all)).collect(),
            rows: rows.map(|row| Row::of(row, all)).collect(),
            objectives,
        }
    }
}
