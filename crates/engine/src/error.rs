//! What can go wrong between us and an engine, one clear sentence each.
//!
//! No variant carries a request body: bodies hold environments, and environments hold secrets.

use std::io;
use std::time::Duration;

/// Result of an engine operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an engine operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The endpoint string says nothing that we can connect to.
    #[error(
        "the engine's address {given:?} cannot be used: {why}; give it as unix:///path/to/socket, tcp://host:port or ssh://user@host"
    )]
    BadEndpoint {
        /// The string as given.
        given: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nothing listens there.
    #[error(
        "no container engine answers at {endpoint} ({source}): start it, or name its address in DOCKER_HOST"
    )]
    NoEngine {
        /// Where we tried.
        endpoint: String,
        /// What the system said.
        source: io::Error,
    },
    /// The socket is there, but not for us.
    #[error(
        "no permission to use the engine's socket {endpoint}: run as root, or as a member of the group that owns the socket"
    )]
    PermissionDenied {
        /// Where we tried.
        endpoint: String,
        /// What the system said.
        source: io::Error,
    },
    /// Both sides do not trust each other.
    #[error("no trusted connection to the engine at {endpoint}: {why}")]
    Tls {
        /// Where we tried.
        endpoint: String,
        /// What is wrong, and what next.
        why: String,
    },
    /// `ssh` did not get us to the engine.
    #[error("the engine at {endpoint} cannot be reached: {why}")]
    Ssh {
        /// Where we tried.
        endpoint: String,
        /// What is wrong, and what next.
        why: String,
    },
    /// What listens there is not a container engine.
    #[error("what answers at {endpoint} is not a container engine: {why}")]
    NotAnEngine {
        /// Where we tried.
        endpoint: String,
        /// What it answered.
        why: String,
    },
    /// The engine is older than what we can talk to.
    #[error(
        "the engine at {endpoint} is too old: it speaks API {found}, at least {needed} (Docker 20.10) is needed; update the engine"
    )]
    ApiTooOld {
        /// Where it listens.
        endpoint: String,
        /// Its newest API version.
        found: String,
        /// Our oldest.
        needed: String,
    },
    /// The engine no longer speaks any API version that we know.
    #[error(
        "the engine at {endpoint} is too new: it speaks no API older than {found}, this version knows up to {known}; update lifeboat"
    )]
    ApiTooNew {
        /// Where it listens.
        endpoint: String,
        /// Its oldest API version.
        found: String,
        /// Our newest.
        known: String,
    },
    /// The engine knows no such object.
    #[error("{context}: not found: {message}")]
    NotFound {
        /// What we were about to do.
        context: String,
        /// The engine's own words.
        message: String,
    },
    /// A name is in use, or the object's state forbids it.
    #[error("{context}: conflict: {message}")]
    Conflict {
        /// What we were about to do.
        context: String,
        /// The engine's own words.
        message: String,
    },
    /// The engine refused for another reason.
    #[error("{context}: the engine answered {status}: {message}")]
    Refused {
        /// What we were about to do.
        context: String,
        /// HTTP status.
        status: u16,
        /// The engine's own words.
        message: String,
    },
    /// The connection broke.
    #[error("{context}: the connection to the engine broke: {source}")]
    Transport {
        /// What we were about to do.
        context: String,
        /// The cause.
        source: io::Error,
    },
    /// The engine did not answer in time.
    #[error("{context}: the engine did not answer within {} s", .after.as_secs())]
    Timeout {
        /// What we were about to do.
        context: String,
        /// How long we waited.
        after: Duration,
    },
    /// The answer could not be understood.
    #[error("{context}: the engine's answer could not be understood: {why}")]
    Protocol {
        /// What we were about to do.
        context: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// A read or write on our own side failed.
    #[error("{context}: {source}")]
    Local {
        /// What we were about to do.
        context: String,
        /// The cause.
        source: io::Error,
    },
    /// The engine's files are not on this machine, or not where it says.
    #[error(
        "the engine at {endpoint} keeps its files where this process cannot see them ({why}): run lifeboat on the engine's own host, as root"
    )]
    NotOurFiles {
        /// The engine.
        endpoint: String,
        /// What the proof found.
        why: String,
    },
    /// A container did not come up.
    #[error("container {name} did not become healthy: {why}")]
    NotHealthy {
        /// The container.
        name: String,
        /// Its state.
        why: String,
    },
    /// A captured definition cannot be turned into a create request.
    #[error("the definition of {what} cannot be used: {why}")]
    BadDefinition {
        /// Which object.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// The engine knows no such object.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// A name is in use, or the object's state forbids the operation.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// Nobody, or nobody for us, answers at the endpoint.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::NoEngine { .. }
                | Self::PermissionDenied { .. }
                | Self::Transport { .. }
                | Self::Tls { .. }
                | Self::Ssh { .. }
        )
    }
}
