//! One step of a restore: planned, shown beforehand, taken, and told of afterwards.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of work a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// The app as it is goes into the vault.
    SafetyPoint,
    /// An image onto the engine.
    Image,
    /// A network.
    Network,
    /// A volume and its data.
    Volume,
    /// Files of the project.
    Project,
    /// A bind source and its data.
    Bind,
    /// A container is created.
    Container,
    /// An old container stops and steps aside.
    Stop,
    /// Old and new data change places.
    Exchange,
    /// A container is started.
    Start,
    /// A container is waited for until it is up.
    Probe,
    /// A container that stays is stopped and started around the rest.
    Around,
    /// An old container goes.
    Remove,
    /// Old data is kept for a while.
    Keep,
    /// A file or folder into a container.
    File,
    /// What was put somewhere is read again and compared.
    ReadBack,
    /// A file that says how the app is made.
    Definition,
}

impl Work {
    /// As people read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::SafetyPoint => "safety point",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Project => "project",
            Self::Bind => "bind",
            Self::Container => "container",
            Self::Stop => "stop",
            Self::Exchange => "exchange",
            Self::Start => "start",
            Self::Probe => "probe",
            Self::Around => "around",
            Self::Remove => "remove",
            Self::Keep => "keep",
            Self::File => "file",
            Self::ReadBack => "read back",
            Self::Definition => "definition",
        }
    }

    /// The measured part of the run that it belongs to.
    pub fn segment(self) -> &'static str {
        match self {
            Self::SafetyPoint => "safety point",
            Self::Image => "images",
            Self::Network | Self::Volume | Self::Project | Self::Bind => "data",
            Self::Container => "containers",
            Self::Stop => "stop",
            Self::Exchange => "exchange",
            Self::Start => "start",
            Self::Probe => "validate",
            Self::Around => "around",
            Self::Remove | Self::Keep => "finish",
            Self::File => "files",
            Self::ReadBack => "read back",
            Self::Definition => "definition",
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Segments that steps belong to, in the order in which they come.
pub(super) const SEGMENTS: [&str; 13] = [
    "safety point",
    "images",
    "data",
    "files",
    "read back",
    "definition",
    "containers",
    "stop",
    "exchange",
    "start",
    "validate",
    "around",
    "finish",
];

/// How far a step is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It lies ahead.
    #[default]
    Planned,
    /// There is nothing to do: it is there already, or was not wanted.
    There,
    /// Taken.
    Done,
    /// Taken by the run that was interrupted.
    Before,
    /// It turned out that it was not needed.
    NotTaken,
}

/// One step that a restore will take, or took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What kind of work it is.
    pub kind: Work,
    /// What it is about.
    pub name: String,
    /// Bytes, where they are known.
    pub bytes: Option<u64>,
    /// What will be done, in words.
    pub action: String,
    /// How far it is.
    #[serde(default)]
    pub state: StepState,
    /// How long it will take, by what earlier ones took here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_seconds: Option<f64>,
    /// How long it took. What is done together with others has no time of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

impl Step {
    /// A step that lies ahead.
    pub fn new(kind: Work, name: impl Into<String>, action: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            bytes: None,
            action: action.into(),
            state: StepState::Planned,
            expected_seconds: None,
            seconds: None,
        }
    }

    /// It moves so much.
    #[must_use]
    pub fn bytes(self, bytes: u64) -> Self {
        Self {
            bytes: Some(bytes),
            ..self
        }
    }

    /// There is nothing to do.
    #[must_use]
    pub fn there(self) -> Self {
        Self {
            state: StepState::There,
            ..self
        }
    }
}
