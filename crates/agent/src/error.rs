//! Why the agent cannot run or cannot be asked.

use std::io;
use std::path::PathBuf;

/// Result of an operation of the agent.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is one already.
    #[error(
        "an agent runs already (process {pid}) with the state in {}; `lifeboat status` asks it, and stopping it makes room",
        .state.display()
    )]
    Running {
        /// Its process.
        pid: String,
        /// Its state directory.
        state: PathBuf,
    },
    /// A file of the agent's cannot be used.
    #[error("{context}: {source}")]
    File {
        /// What we were about to do.
        context: String,
        /// The cause.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn file(context: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let context = context.into();
        |source| Self::File { context, source }
    }
}
