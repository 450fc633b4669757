//! What can go wrong with images.

use std::io;

/// Result of an image operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an image operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine refused or broke off.
    #[error(transparent)]
    Engine(#[from] lifeboat_engine::Error),
    /// The engine's stream of images is not what it should be.
    #[error("the engine's image stream cannot be used: {0}")]
    Stream(String),
    /// An image that was asked for is not in the stream.
    #[error("the engine did not give image {0}, though it was asked for it")]
    NotInStream(String),
    /// The layout is not what it should be.
    #[error("the saved images cannot be used: {file}: {why}")]
    BadLayout {
        /// File in the layout.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// Bytes do not have the digest that they are known by.
    #[error("{what} is damaged: it should have digest {wanted} and has {found}")]
    DigestMismatch {
        /// Which bytes.
        what: String,
        /// The digest that they are known by.
        wanted: String,
        /// The digest that they have.
        found: String,
    },
    /// The image was loaded, but the engine does not know it by any id that it could have.
    #[error(
        "the engine took image {0} but does not know it afterwards; load it by hand and try again"
    )]
    NotLoaded(String),
    /// A registry does not answer, or breaks off again and again.
    #[error(
        "the registry {registry} cannot be reached: {why}; run the command again once it answers"
    )]
    Unreachable {
        /// Its address.
        registry: String,
        /// Why.
        why: String,
    },
    /// A registry does not let us.
    #[error("the registry {registry} refuses {what}: {why}")]
    Refused {
        /// Its address.
        registry: String,
        /// What was asked for.
        what: String,
        /// Why, and what to do.
        why: String,
    },
    /// A registry answers what no registry should.
    #[error("the registry {registry} cannot be used: {what}: {why}")]
    BadAnswer {
        /// Its address.
        registry: String,
        /// What was asked for.
        what: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// What was given to reach a registry with cannot be used.
    #[error("{0}")]
    Setup(String),
    /// Somebody wants it to end.
    #[error("interrupted")]
    Interrupted,
    /// The file of a registry server's users is not what it should be.
    #[error("the users cannot be taken: {0}")]
    Users(String),
    /// A certificate of a registry server cannot be used.
    #[error("the certificate cannot be used: {0}")]
    Certificate(String),
    /// Reading from where the layout is kept, or writing to it, failed.
    #[error("{context}: {source}")]
    Io {
        /// What we were about to do.
        context: String,
        /// The cause.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(context: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let context = context.into();
        move |source| Self::Io { context, source }
    }

    pub(crate) fn layout(file: impl Into<String>, why: impl Into<String>) -> Self {
        Self::BadLayout {
            file: file.into(),
            why: why.into(),
        }
    }
}
