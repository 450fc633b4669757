//! What the agent is helped with from the side of the vault, which it knows nothing of.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lifeboat_plan::supervise::Lack;

/// What a bind source held at the newest point of its app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The app, as commands name it.
    pub app: String,
    /// When the point's capture began, for people.
    pub time: String,
}

/// Help from the side of the vault. What takes long runs in a process of its own, and goes on where it was after a crash
/// of either.
pub trait Help: Send + Sync {
    /// Volumes that a restore on this host has begun to fill and has not ended: what mounts them is not started.
    fn unfinished(&self) -> BTreeSet<String>;

    /// What lay in this folder of the host at the newest point of an app that mounts it; `None` where it held nothing, or
    /// nobody knows. Asks no vault.
    fn held(&self, source: &str) -> Option<Held>;

    /// Brings what an app's containers cannot be made again without. Returns when it is there, or early once `stop` is set.
    ///
    /// # Errors
    /// Why not, as a sentence.
    fn bring(&self, app: &str, lack: &Lack, stop: &AtomicBool) -> Result<(), String>;

    /// Puts the definitions of all apps but these into the vault, where they are others than the last ones there. Names of
    /// apps of this host that the vault knows and the engine does not.
    ///
    /// # Errors
    /// Why not, as a sentence.
    fn keep(&self, except: &BTreeSet<String>, stop: &AtomicBool) -> Result<Vec<String>, String>;
}

/// There may be no vault.
pub type Helper = Option<Arc<dyn Help>>;
