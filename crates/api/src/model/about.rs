//! Which agent it is, so that a command knows whether it would do the same.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

/// What the agent's commands reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Place of the vault.
    pub vault: String,
    /// Address of the engine.
    pub engine: String,
    /// `SITE/HOST` where they are said.
    pub at: String,
}

impl Reach {
    /// The same for everybody: it names no path, and whoever reaches the same has the same.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.vault, &self.engine, &self.at] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hex::encode(&hash.finalize()[..16])
    }
}

/// Which agent it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct About {
    /// Version of the program.
    pub version: String,
    /// The same where vault, engine, site and host are the same.
    pub reaches: String,
    /// What the caller may.
    pub role: crate::guard::Role,
}
