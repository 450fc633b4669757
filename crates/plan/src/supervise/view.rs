//! What is shown of it: one line a container, the bad ones first.

use serde::{Deserialize, Serialize};

use super::host::Finding;
use super::unit::{Doing, Health, Phase, Unit, Wanted};
use super::{Moment, World};

/// How bad it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It should run and be well, and is not.
    Bad,
    /// On its way, or something a person should look at.
    Note,
    /// As it should be.
    #[default]
    Well,
}

/// One container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// App.
    pub app: String,
    /// Container.
    pub container: String,
    /// Full id.
    pub id: String,
    /// How bad.
    pub level: Level,
    /// A word or two: `running`, `healthy`, `stopped`, `back-off`.
    pub state: String,
    /// Since when, milliseconds since 1970.
    pub since: u64,
    /// Restarts, ours and the engine's.
    pub restarts: u32,
    /// What a person should know.
    pub note: String,
    /// Whether it is looked after, and why or why not.
    pub supervised: bool,
    /// Why or why not.
    pub because: String,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Whether the engine answers.
    pub connected: bool,
    /// Since when it does, or does not.
    pub connection_since: u64,
    /// Apps in maintenance; `*` is all.
    pub maintenance: Vec<String>,
    /// What a person should know of the host.
    #[serde(default)]
    pub host: Vec<Finding>,
    /// The bad ones first, then by app and name.
    pub rows: Vec<Row>,
}

impl Picture {
    /// Whether all is as it should be.
    #[must_use]
    pub fn is_well(&self) -> bool {
        let host = self.host.iter().map(|found| found.level);
        let mut all = self.rows.iter().map(|row| row.level).chain(host);
        self.connected && all.all(|level| level != Level::Bad)
    }
}

impl World {
    /// What is shown at this time.
    #[must_use]
    pub fn picture(&self, at: Moment) -> Picture {
        let mut rows: Vec<Row> = self.units.values().map(|unit| self.row(at, unit)).collect();
        rows.sort_by(|a, b| (a.level, &a.app, &a.container).cmp(&(b.level, &b.app, &b.container)));
        Picture {
            connected: self.connected,
            connection_since: self.connection_since.0,
            maintenance: self.maintenance.keys().cloned().collect(),
            host: self.host_findings(),
            rows,
        }
    }

    fn row(&self, at: Moment, unit: &Unit) -> Row {
        let (level, state, since, note) = self.state_of(at, unit);
        let rules = unit.facts.as_ref().map(|facts| &facts.rules);
        let supervised = unit.is_supervised();
        let maintained = self.in_maintenance(unit.app());
        let short = self.replicas_short(unit);
        let findings = rules.into_iter().flat_map(|rules| &rules.findings);
        let findings: Vec<&str> = findings.chain(&short).map(String::as_str).collect();
        let findings = findings.join("; ");
        let notes: Vec<&str> = [note.as_str(), findings.as_str()]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect();
        let level = match level {
            Level::Bad if !supervised || maintained => Level::Note,
            Level::Well if !findings.is_empty() => Level::Note,
            level => level,
        };
        Row {
            app: unit.app().to_owned(),
            container: unit.name.clone(),
            id: unit.id.clone(),
            level,
            state: if maintained {
                format!("{state} (maintenance)")
            } else {
                state
            },
            since: since.0,
            restarts: unit.restarts + unit.engine_restarts,
            note: notes.join("; "),
            supervised,
            because: rules.map(|rules| rules.because.clone()).unwrap_or_default(),
        }
    }

    fn state_of(&self, at: Moment, unit: &Unit) -> (Level, String, Moment, String) {
        let trouble = || unit.trouble.clone().unwrap_or_default();
        let text = |level, state: &str, note: String| (level, state.to_owned(), unit.since, note);
        match (&unit.wanted, unit.phase) {
            (Wanted::Stopped { since, by }, _) => (
                Level::Well,
                "stopped".to_owned(),
                *since,
                format!("stopped by {by}; left so"),
            ),
            (Wanted::GaveUp { since, why }, _) => {
                let note = unit
                    .trouble
                    .as_ref()
                    .map_or_else(|| why.clone(), |t| format!("{why}: {t}"));
                (Level::Bad, "gave up".to_owned(), *since, note)
            }
            (Wanted::Paused { since }, _) => (
                Level::Well,
                "paused".to_owned(),
                *since,
                "paused by somebody; left so".to_owned(),
            ),
            (Wanted::Done, _) => text(Level::Well, "ended", "it was to run once".to_owned()),
            (Wanted::Nothing, _) => text(Level::Well, "created", "never started".to_owned()),
            (Wanted::Run, Phase::Running) => match &unit.health {
                Health::Unhealthy { since, why } => {
                    (Level::Bad, "unhealthy".to_owned(), *since, why.clone())
                }
                _ if unit.ready == Some(false) => text(Level::Bad, "not ready", trouble()),
                Health::Starting => text(Level::Note, "starting", trouble()),
                Health::Healthy => text(Level::Well, "healthy", String::new()),
                Health::Unknown if unit.trouble.is_some() => {
                    text(Level::Note, "running", trouble())
                }
                Health::Unknown => text(Level::Well, "running", String::new()),
            },
            (Wanted::Run, _) if matches!(unit.doing, Some((Doing::Fetching, _))) => {
                let lack = unit.fetched.as_ref().map(super::Lack::words);
                let note = lack.map(|words| format!("{words} is being fetched"));
                text(Level::Bad, "being fetched", note.unwrap_or_default())
            }
            (Wanted::Run, _) if unit.doing.is_some() => {
                text(Level::Bad, "being started", trouble())
            }
            (Wanted::Run, phase) => {
                let wait = unit
                    .queued
                    .as_ref()
                    .map(|queued| queued.not_before.since(at));
                let note = match wait {
                    Some(wait) if wait.as_secs() > 0 => {
                        let next = format!("next try in {} s", wait.as_secs());
                        unit.trouble
                            .as_ref()
                            .map_or_else(|| next.clone(), |t| format!("{next}; {t}"))
                    }
                    _ => trouble(),
                };
                let state = match (phase, wait) {
                    (Phase::Gone, _) => "gone",
                    (_, Some(_)) => "back-off",
                    (Phase::Restarting, _) => "restarting",
                    _ => "down",
                };
                text(Level::Bad, state, note)
            }
        }
    }
}
