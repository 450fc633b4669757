//! What can go wrong between the live files and the vault.

use std::path::PathBuf;

use lifeboat_vault::error::{ErrorKind, VaultError};
use rustix::io::Errno;

/// Result of a capture or a restore.
pub type Result<T, E = CaptureError> = std::result::Result<T, E>;

/// What ended the work. What concerns single files is a [`crate::Problem`] instead, and does not.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The vault said no.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The system said no.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// A present-tense phrase: `open`, `create`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file system of the target is full.
    #[error(
        "no space is left where {} lies; free some or choose another target, then run the restore again",
        path.display()
    )]
    Full {
        /// The file that could not be written.
        path: PathBuf,
    },
    /// A name that is to be restored is there already.
    #[error(
        "{} is there already and is left as it is; restore into an empty directory, or move it away",
        path.display()
    )]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// A tree says what no honest writer writes.
    #[error("the vault names a file that cannot be restored safely: {what} in {}", path.display())]
    Hostile {
        /// What is wrong, e.g. "the name `..`".
        what: String,
        /// The directory that it would have gone into.
        path: PathBuf,
    },
    /// A pattern that cannot be read.
    #[error("the pattern `{pattern}` cannot be understood: {why}")]
    Pattern {
        /// As it was given.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// The root of a capture is a place that is never captured.
    #[error("{} belongs to Lifeboat itself (vault, key or state) and is never captured", .0.display())]
    Skipped(PathBuf),
    /// Wrong use of this library.
    #[error("{0}")]
    Invalid(String),
    /// Stopped on demand.
    #[error("interrupted; run it again")]
    Interrupted,
}

impl CaptureError {
    /// What the caller must do, in the vault's words.
    pub fn kind(&self) -> ErrorKind {
        match self {
            CaptureError::Vault(e) => e.kind(),
            CaptureError::Full { .. } => ErrorKind::Full,
            CaptureError::Interrupted => ErrorKind::Interrupted,
            CaptureError::Hostile { .. } => ErrorKind::Damaged,
            CaptureError::Io { source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                ErrorKind::Denied
            }
            _ => ErrorKind::Other,
        }
    }

    /// A system error, told apart by what the caller must do.
    pub(crate) fn os(what: &'static str, path: &[u8], errno: Errno) -> Self {
        let path = crate::sys::to_path(path);
        match errno {
            Errno::NOSPC | Errno::DQUOT => CaptureError::Full { path },
            Errno::EXIST => CaptureError::Exists { path },
            errno => CaptureError::Io {
                what,
                path,
                source: errno.into(),
            },
        }
    }
}
