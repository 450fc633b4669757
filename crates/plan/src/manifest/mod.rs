//! `app.json`: what one recovery point is and holds. Schema version 1.
//!
//! Contract: forward compatible within a version (unknown fields are ignored when reading), a
//! newer version is refused with a clear sentence, and nothing in a manifest is trusted before
//! [`Manifest::validate`] has passed: it comes from a vault that somebody else may have written.
//! It holds no secrets: environment, labels and driver options stand in `definition/` only.
//!
//! Where things lie in the snapshot's tree is said by [`layout`].

pub mod layout;
mod parts;
mod validate;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::AppKind;
use crate::fingerprint::Fingerprints;
use crate::identity::AppIdentity;

pub use parts::{
    BindContent, BindDecision, BindRecord, ContainerRecord, DatabaseRecord, DumpRecord,
    EngineRecord, ImageRecord, LayerRecord, LeftOut, LeftOutKind, NetworkRecord, PathKind,
    ProjectRecord, RunState, VolumeContent, VolumeRecord,
};

/// The schema version that this code writes, and the newest that it reads.
pub const SCHEMA: u32 = 1;

/// How consistent a recovery point is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Captured while it was being written: parts may be of different instants.
    Live,
    /// One instant over all volumes, as after a power cut.
    Crash,
    /// One instant, and the application itself took part.
    Application,
}

impl Level {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Crash => "crash",
            Self::Application => "application",
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How the instant was reached, and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Consistency {
    /// The level reached.
    pub level: Level,
    /// The level that the policy asked for; `None`: nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Level>,
    /// Why it is no better, one sentence; empty if there is nothing to say.
    #[serde(default)]
    pub reason: String,
    /// The provider that made it: `precopy`, `stopped`, `live`, later `btrfs`, …
    pub provider: String,
    /// How long the application could not write because of us, in nanoseconds, measured.
    pub stall_ns: u64,
    /// When the capture began: what RPO is counted from.
    pub began: Timestamp,
    /// When the capture ended.
    pub ended: Timestamp,
    /// The instant of the point: when the freeze was complete; `None` at level `live`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instant: Option<Timestamp>,
    /// Containers that were frozen, by name, other apps' included.
    #[serde(default)]
    pub frozen: Vec<String>,
    /// Passes before the freeze.
    #[serde(default)]
    pub passes: u32,
}

impl Consistency {
    /// A sentence where the point is less consistent than was asked for.
    #[must_use]
    pub fn shortfall(&self) -> Option<String> {
        let asked = self.asked.filter(|asked| *asked > self.level)?;
        let because = match self.reason.as_str() {
            "" if asked == Level::Application => {
                ", because nothing here makes the application take part"
            }
            "" => "",
            reason => &format!(", because {}", reason.trim_end_matches('.')),
        };
        Some(format!(
            "the point is {} where the policy asks for {asked}{because}; it does not count as usable",
            self.level
        ))
    }
}

/// The manifest of one recovery point of one app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Schema version: [`SCHEMA`].
    pub schema: u32,
    /// Versions of what wrote it: `lifeboat` and whatever else matters.
    pub versions: BTreeMap<String, String>,
    /// Whose point it is.
    pub identity: AppIdentity,
    /// What the app was.
    pub kind: AppKind,
    /// Where it was captured: facts, never the identity.
    #[serde(default)]
    pub fingerprints: Fingerprints,
    /// The engine.
    pub engine: EngineRecord,
    /// How consistent, when, at what cost.
    pub consistency: Consistency,
    /// Containers.
    #[serde(default)]
    pub containers: Vec<ContainerRecord>,
    /// Volumes.
    #[serde(default)]
    pub volumes: Vec<VolumeRecord>,
    /// Bind mounts.
    #[serde(default)]
    pub binds: Vec<BindRecord>,
    /// Networks.
    #[serde(default)]
    pub networks: Vec<NetworkRecord>,
    /// Images.
    #[serde(default)]
    pub images: Vec<ImageRecord>,
    /// What was put into writable layers.
    #[serde(default)]
    pub layers: Vec<LayerRecord>,
    /// The Compose project's files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectRecord>,
    /// Databases recognised.
    #[serde(default)]
    pub databases: Vec<DatabaseRecord>,
    /// Dumps beside the data.
    #[serde(default)]
    pub dumps: Vec<DumpRecord>,
    /// What is not in the point, and why. Not empty: the point is `partial` where `decided` is false.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// What a person should know.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// No JSON, or not of our form.
    #[error(
        "app.json of this recovery point cannot be read ({why}): the point is damaged or was not written by lifeboat"
    )]
    Malformed {
        /// What the parser says.
        why: String,
    },
    /// Written by a later version.
    #[error(
        "this recovery point has manifest version {found}, this lifeboat reads up to {SCHEMA}: use a newer lifeboat, or plain restic for the files"
    )]
    NewerSchema {
        /// The version found.
        found: u64,
    },
    /// It says something that no honest manifest says.
    #[error("app.json of this recovery point is refused: {what} `{value}` {why}")]
    Hostile {
        /// Which field.
        what: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Manifest {
    /// Reads and validates `app.json`.
    ///
    /// # Errors
    /// [`ManifestError`] if it is no manifest, a newer one, or a hostile one.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Head {
            schema: u64,
        }
        let malformed = |e: serde_json::Error| ManifestError::Malformed { why: e.to_string() };
        let head: Head = serde_json::from_slice(bytes).map_err(malformed)?;
        if head.schema != u64::from(SCHEMA) {
            if head.schema == 0 {
                return Err(ManifestError::Malformed {
                    why: "schema version 0".to_owned(),
                });
            }
            return Err(ManifestError::NewerSchema { found: head.schema });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// Writes `app.json`: indented, for people, with a newline at the end.
    ///
    /// # Errors
    /// [`ManifestError`] if it does not pass its own validation: nothing is written that could not
    /// be read back.
    pub fn to_json(&self) -> Result<Vec<u8>, ManifestError> {
        self.validate()?;
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| ManifestError::Malformed { why: e.to_string() })?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Refuses what no honest manifest says: see the module's document.
    ///
    /// # Errors
    /// [`ManifestError::Hostile`], naming the first offending field.
    pub fn validate(&self) -> Result<(), ManifestError> {
        validate::validate(self)
    }

    /// `true` if something is missing that nobody decided to leave out, or if it is less consistent than was asked for.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.left_out.iter().any(|l| !l.decided) || self.consistency.shortfall().is_some()
    }
}

#[cfg(test)]
mod tests;
