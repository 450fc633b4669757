/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong. Each is one sentence.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `lifeboat.toml`, or a name in it.
    #[error("{0}")]
    Settings(String),
    /// The engine.
    #[error("{0}")]
    Engine(#[from] lifeboat_engine::Error),
    /// The records.
    #[error("the records of jobs cannot be used: {0}")]
    Records(String),
    /// The records, by the database's own word.
    #[error("the records of jobs cannot be used: {0}")]
    Sqlite(rusqlite::Error),
    /// Where traces go.
    #[error("traces cannot be sent there: {0}; name a collector like http://127.0.0.1:4318")]
    Traces(String),
    /// Who may vouch for it.
    #[error(
        "no authority for the collector of traces is in {0}; OTEL_EXPORTER_OTLP_CERTIFICATE names its file"
    )]
    Authority(String),
    /// A file of ours.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Sending messages.
    #[error("messages cannot be sent: {0}")]
    Notify(#[from] lifeboat_notify::NotSent),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}
