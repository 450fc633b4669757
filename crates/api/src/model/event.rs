//! What happened to containers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::mask;

/// One event.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Rising number.
    pub seq: u64,
    /// When.
    pub at: u64,
    /// App; empty for the engine as a whole.
    pub app: String,
    /// Container; empty for the engine as a whole.
    pub container: String,
    /// `died`, `restart`, `stopped`, …
    pub kind: String,
    /// What and why.
    pub text: String,
}

impl Event {
    pub(crate) fn of(entry: lifeboat_agent::log::Entry, all: bool) -> Self {
        let note = entry.note;
        Self {
            seq: entry.seq,
            at: note.at.0,
            app: note.app,
            container: note.container,
            kind: note.kind,
            text: mask::unless(all, &note.text),
        }
    }
}
