//! The one error of the test kit.

use std::path::PathBuf;

/// What went wrong while a test environment was prepared or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed; the path is in the source.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A program could not be started.
    #[error("cannot run {program}: {source}; is it installed?")]
    Spawn {
        /// The program.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A program ended with an error.
    #[error("{command} failed ({status}): {output}")]
    Command {
        /// The command line, shortened.
        command: String,
        /// How it ended.
        status: String,
        /// The tail of what it printed.
        output: String,
    },
    /// The engine answered a request with an error.
    #[error("the engine refused {request}: {status} {message}")]
    Api {
        /// Method and path.
        request: String,
        /// HTTP status.
        status: u16,
        /// The engine's own words.
        message: String,
    },
    /// What came back could not be understood.
    #[error("cannot understand {what}: {why}")]
    Malformed {
        /// What was read.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {seconds} s; {hint}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// For how long.
        seconds: u64,
        /// Where to look.
        hint: String,
    },
    /// The machine cannot do what is asked.
    #[error("{0}")]
    Unsupported(String),
    /// A path is no good for the purpose.
    #[error("{path}: {why}", path = path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// What was recovered is not what was promised.
    #[error("{0}")]
    Broken(String),
}

impl Error {
    pub(crate) fn malformed(what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Malformed {
            what: what.into(),
            why: why.to_string(),
        }
    }
}

/// Shorthand.
pub type Result<T, E = Error> = std::result::Result<T, E>;
