//! What goes into the supervisor and what comes out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::blame::{Shortage, Taker};
use super::{Exit, Facts, Health, Moment, Phase, Policy, Slot};

/// A container in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Full id.
    pub id: String,
    /// Name.
    pub name: String,
    /// What it does.
    pub phase: Phase,
    /// What its health check says; `None` where the list does not show it.
    pub healthy: Option<bool>,
}

/// The first process of a container, where it can be seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it began, in ticks since boot: another one that has the number later began later.
    pub began: u64,
}

/// A container's state as its inspect answer has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// What it does.
    pub phase: Phase,
    /// What its health check says.
    pub healthy: Option<bool>,
    /// When it was started last.
    pub started: Moment,
    /// How it ended last, if it is not running.
    pub exit: Option<Exit>,
    /// Times that the engine started it again since its last start by hand.
    pub restart_count: u32,
    /// Why it could not be started.
    pub error: String,
    /// Its first process.
    pub process: Option<Process>,
}

/// What happened to one container, as the engine tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// Full id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Place in a Compose project.
    pub slot: Option<Slot>,
    /// What.
    pub what: What,
    /// Nanoseconds since 1970 by the engine's clock, to ask for what came after; 0 where they are not known.
    pub nano: i64,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Made.
    Create,
    /// Started.
    Start,
    /// Ended.
    Die {
        /// Exit code.
        code: i64,
    },
    /// A signal was sent through the API.
    Kill {
        /// Which.
        signal: u32,
    },
    /// Stopped through the API.
    Stop,
    /// Frozen.
    Pause,
    /// Thawed.
    Unpause,
    /// Removed.
    Destroy,
    /// Has another name.
    Rename,
    /// Its health check has another opinion.
    Health {
        /// Well.
        healthy: bool,
    },
    /// The kernel killed something in it.
    Oom,
    /// Its limits or policy were changed.
    Update,
}

/// Which probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whether it lives.
    Liveness,
    /// Whether it can serve.
    Readiness,
    /// It says itself that it is still coming up: nothing is done to it.
    Recovering,
}

/// Why something could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// What kind of.
    pub kind: Trouble,
    /// The engine's own words.
    pub text: String,
}

/// Kinds of failures to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The container is not there.
    NotFound,
    /// What it was made with is gone (a network, a container whose namespace it shares): made again it would start.
    Stale,
    /// It holds what could not be carried over, so it is not made again.
    Unsafe,
    /// The engine does not answer.
    Engine,
    /// Anything else.
    Other,
}

/// What a container cannot be made again without, and what is not on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lack {
    /// Containers whose definitions, or those of whose networks, are not here.
    pub definitions: Vec<String>,
    /// Images: id, and the name that it was made from.
    pub images: Vec<(String, String)>,
    /// Volumes that are to come back from the newest usable point.
    pub volumes: Vec<String>,
}

impl Lack {
    /// Nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.definitions.is_empty() && self.images.is_empty() && self.volumes.is_empty()
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        let mut parts = Vec::new();
        if !self.definitions.is_empty() {
            parts.push(format!("the definition of {}", self.definitions.join(", ")));
        }
        if !self.images.is_empty() {
            let names: Vec<&str> = self.images.iter().map(|(_, name)| name.as_str()).collect();
            parts.push(format!("image {}", names.join(", ")));
        }
        if !self.volumes.is_empty() {
            parts.push(format!("volume {}", self.volumes.join(", ")));
        }
        parts.join(" and ")
    }
}

/// What came of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Did {
    /// It was started.
    Started,
    /// It was stopped.
    Stopped,
    /// It was made again, under this id, and started.
    Recreated {
        /// New id.
        id: String,
    },
    /// It cannot be made again before this is fetched. Nothing was done.
    Lacks(Lack),
    /// What it needed is there.
    Fetched,
    /// These, which it needs, have ended. Nothing was done.
    EndedFirst(BTreeMap<String, Process>),
    /// It could not be done.
    Failed(Failed),
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// All that the engine holds. `engine` tells it from another.
    Listed {
        /// Fingerprint.
        engine: String,
        /// All containers.
        containers: Vec<Seen>,
    },
    /// A container was inspected.
    Inspected {
        /// What is known of it.
        facts: Box<Facts>,
        /// What it does.
        state: State,
    },
    /// A container was to be inspected and is not there.
    Vanished {
        /// Full id.
        id: String,
    },
    /// Something happened to a container.
    Happened(Happened),
    /// The engine does not answer any more.
    Lost,
    /// A probe has another opinion.
    Probed {
        /// Full id.
        id: String,
        /// Which probe.
        kind: Kind,
        /// What it thinks.
        well: bool,
        /// Why.
        why: String,
    },
    /// Something was done, or could not be.
    Did {
        /// Full id (the old one, where it was made again).
        id: String,
        /// What came of it.
        did: Did,
    },
    /// One of several instances was made or taken away, or could not be.
    Replicated {
        /// Its name.
        name: String,
        /// Why it could not be.
        failed: Option<String>,
    },
    /// The host was looked at.
    Host(Box<super::host::Reading>),
    /// Those who take what is short.
    Blamed {
        /// What.
        shortage: Shortage,
        /// In no order.
        takers: Vec<Taker>,
    },
    /// A person looks after an app, or after all of them, for a while.
    Maintenance {
        /// The app; all of them if none.
        app: Option<String>,
        /// Begins or ends.
        on: bool,
    },
    /// Restart policies go back to what they were: Lifeboat is going.
    Release,
    /// What was found out about a container that does not come up.
    Diagnosed {
        /// Full id.
        id: String,
        /// What is wrong and what to do.
        sentence: String,
    },
    /// Time passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Inspect it, and say what was found.
    Inspect {
        /// Full id.
        id: String,
    },
    /// Start it, and say what came of it.
    Start {
        /// Full id.
        id: String,
        /// What it needs, by full id: where one of these has ended, nothing is done.
        after: BTreeMap<String, Process>,
    },
    /// Stop it, and say what came of it.
    Stop {
        /// Full id.
        id: String,
        /// Seconds before it is killed, where they are not the container's own.
        grace: Option<u64>,
    },
    /// Make it again from its definition, start it, and say what came of it.
    Recreate {
        /// Full id of the old one.
        id: String,
        /// Its name.
        name: String,
        /// What it refers to by an id or a name that is another one now, and the id that it has.
        refers: BTreeMap<String, String>,
        /// Others of its app that are not there either: what is fetched for one is fetched for all of them, from one
        /// point.
        also: Vec<String>,
        /// What it needs, by full id: where one of these has ended, nothing is done.
        after: BTreeMap<String, Process>,
    },
    /// Fetch what it needs to be made again, and say what came of it.
    Fetch {
        /// Full id of the old one.
        id: String,
        /// Its app.
        app: String,
        /// What.
        lack: Lack,
    },
    /// Make another one of it under this name, start it, and say what came of it.
    Replicate {
        /// Full id of the one that it is made from.
        of: String,
        /// Its name.
        name: String,
    },
    /// Move it aside under [`FORMER`](super::replicas::FORMER) as it runs, make another one of `of` under its name,
    /// start it, and say what came of it.
    Supersede {
        /// Full id of the one that it is made from.
        of: String,
        /// Full id of the one that is moved aside.
        id: String,
        /// The name.
        name: String,
    },
    /// Give one that was moved aside its name back, and say what came of it.
    TakeBack {
        /// Full id of the one that lies aside.
        id: String,
        /// The name.
        name: String,
        /// Full id of the one that has the name now, which goes.
        instead: Option<String>,
    },
    /// Stop and remove it, and say what came of it.
    Withdraw {
        /// Full id.
        id: String,
        /// Its name.
        name: String,
    },
    /// Find out who takes what is short, and say so.
    Blame {
        /// What.
        shortage: Shortage,
    },
    /// Find out why it does not come up.
    Diagnose {
        /// Full id.
        id: String,
        /// What the engine said, if it could not be started.
        error: Option<String>,
    },
    /// Give it this restart policy.
    Policy {
        /// Full id.
        id: String,
        /// The policy.
        policy: Policy,
    },
    /// Write it into the event log.
    Tell(Note),
}

/// One line of the event log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When.
    pub at: Moment,
    /// App; empty for the engine as a whole.
    pub app: String,
    /// Container; empty for the engine as a whole.
    pub container: String,
    /// A word: `died`, `restart`, `stopped`, …
    pub kind: String,
    /// What and why.
    pub text: String,
}

impl State {
    /// What the check says, as a unit keeps it.
    pub(super) fn health(&self, has_check: bool, at: Moment) -> Health {
        match self.healthy {
            Some(true) => Health::Healthy,
            Some(false) => Health::Unhealthy {
                since: at,
                why: "its health check fails".to_owned(),
            },
            None if has_check => Health::Starting,
            None => Health::Unknown,
        }
    }
}
