//! How it is found out whether a container does its work: what is asked ([`Check`]), how often, and what
//! the answers mean.
//!
//! Three probes with Kubernetes' meaning. Until `startup` has passed once, the other two are not asked.
//! `liveness` fails: the container is to be restarted. `readiness` fails: it is not to be relied on.
//!
//! Where a value comes from, the first of these that has one: labels of the container
//! (`lifeboat.liveness`, `lifeboat.liveness.period`, …), `lifeboat.toml` ([`Settings`]), the container's own
//! HEALTHCHECK (then both `liveness` and `readiness` are [`Check::Docker`]), the defaults of [`Timing`]'s document.
//! Each value keeps its [`Origin`].
//!
//! **In doubt nothing is restarted**: a probe of which any label or setting is not understood, a misspelt one
//! too, is off, and a [`Finding`] says so with a suggestion. It does not fall back on something weaker.
//!
//! The way through it: [`read()`] makes [`Probes`]; a scheduler asks when the [due](Timing::first) time is there; [`Health::step`]
//! takes each [`Outcome`] and says what changed. None of it asks a clock: times are a [`Duration`](std::time::Duration) since
//! a moment that the caller chooses, on a clock that is never set.

mod check;
mod exec;
mod health;
mod http;
mod known;
mod origin;
mod read;
mod reference;
mod settings;
mod timing;

#[cfg(test)]
mod tests;

pub use check::{Check, Database};
pub use health::{Change, Health, Outcome, Verdict};
pub use http::{HeaderText, Http, JsonTest};
pub use origin::{Finding, Origin, Valued};
pub use read::read;
pub use reference::{Login, Reference};
pub use settings::Settings;
pub use timing::{Timing, parse_duration, show_duration};

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which of the three probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// Has it come up? Until it says yes the others are not asked.
    Startup,
    /// Does it still answer? If not it is to be restarted.
    Liveness,
    /// Can it be relied on?
    Readiness,
}

impl Which {
    /// All three, in the order in which they matter.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// As it stands in labels.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One probe: what is asked, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What is asked.
    pub check: Valued<Check>,
    /// When, and what an answer counts.
    pub timing: Timing,
}

/// The probes of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probes {
    /// Has it come up?
    pub startup: Option<Probe>,
    /// Does it still answer?
    pub liveness: Option<Probe>,
    /// Can it be relied on?
    pub readiness: Option<Probe>,
    /// What was not understood, and is therefore off.
    pub findings: Vec<Finding>,
}

impl Probes {
    /// One of them.
    #[must_use]
    pub fn get(&self, which: Which) -> Option<&Probe> {
        match which {
            Which::Startup => self.startup.as_ref(),
            Which::Liveness => self.liveness.as_ref(),
            Which::Readiness => self.readiness.as_ref(),
        }
    }

    /// Those that there are.
    pub fn iter(&self) -> impl Iterator<Item = (Which, &Probe)> {
        let all = Which::ALL.into_iter();
        all.filter_map(|which| self.get(which).map(|probe| (which, probe)))
    }

    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Every value with its origin, for a table or JSON: `liveness.period`, `10s`, where it comes from.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, String, String)> {
        let mut rows = Vec::new();
        for (which, probe) in self.iter() {
            let check = &probe.check;
            rows.push((
                which.to_string(),
                check.value.to_string(),
                check.origin.to_string(),
            ));
            for (name, value, origin) in probe.timing.rows() {
                rows.push((format!("{which}.{name}"), value, origin.to_string()));
            }
        }
        rows
    }
}
