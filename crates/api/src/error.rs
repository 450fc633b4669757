//! Why the API cannot be served or asked.

use std::io;
use std::path::PathBuf;

/// Result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why. Each is one sentence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody answers.
    #[error("no agent answers at {} ({source}); start it with `lifeboat agent`", .socket.display())]
    NotRunning {
        /// Its socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The agent answered, and not as it should.
    #[error("the agent answered {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// The certificate.
    #[error("the API's certificate and key cannot be used: {0}")]
    Certificate(#[from] lifeboat_tls::Error),
    /// `[api]` in `lifeboat.toml`.
    #[error("{0}")]
    Settings(String),
    /// The file of keys of requests.
    #[error("keys of requests cannot be remembered: {0}")]
    Keys(String),
    /// A file or an address.
    #[error("{context}: {source}")]
    At {
        /// What we were about to do.
        context: String,
        /// The cause.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn at(context: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let context = context.into();
        |source| Self::At { context, source }
    }
}
