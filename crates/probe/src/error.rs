//! What can go wrong with the prober itself. What is wrong with a container is an outcome, never an error.

use std::io;

/// Result of an operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why probes cannot be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system gave us no thread or no timer.
    #[error(
        "probes cannot be started: {context}: {source}; free memory or raise the limits of this process"
    )]
    Start {
        /// What we were about to do.
        context: &'static str,
        /// What the system said.
        source: io::Error,
    },
}
