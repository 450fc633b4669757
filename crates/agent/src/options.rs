//! What the agent is given.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_engine::Engine;
use lifeboat_plan::probe::Settings;

use crate::Clock;
use crate::help::Helper;

/// Connects to the engine; asked again after each loss, since what comes back may speak another version.
pub type Connect = Arc<dyn Fn() -> lifeboat_engine::Result<Arc<dyn Engine>> + Send + Sync>;

/// What the agent is given.
#[derive(Clone)]
pub struct Options {
    /// How the engine is reached.
    pub connect: Connect,
    /// State directory; the agent's own things lie in `agent/`.
    pub state: PathBuf,
    /// The time.
    pub clock: Clock,
    /// Decides all chance.
    pub seed: u64,
    /// autoheal's setting for all: every container counts as labelled.
    pub heal_all: bool,
    /// Help from the side of the vault; none where there is no vault.
    pub help: Helper,
    /// Probes that stand in settings and not in labels.
    pub probes: Settings,
}

impl Options {
    /// The agent's own folder in a state directory.
    #[must_use]
    pub fn folder(state: &Path) -> PathBuf {
        state.join("agent")
    }

    /// Its socket in a state directory.
    #[must_use]
    pub fn socket(state: &Path) -> PathBuf {
        Self::folder(state).join("socket")
    }
}
