//! What can go wrong in a use case, and what a caller must do about it.

use lifeboat_vault::VaultError;

/// Result of a use case.
pub type Result<T, E = RecoveryError> = std::result::Result<T, E>;

/// Kinds of failure, named by what the caller does next; the CLI gives each its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Failed; the message says why.
    Failed,
    /// The arguments name something that is not there or is ambiguous.
    Usage,
    /// There is no vault at that place.
    NoVault,
    /// Somebody else holds the vault.
    Locked,
    /// The password or key is wrong.
    WrongPassword,
    /// Interrupted by a signal; everything was put back.
    Interrupted,
}

/// An error of a use case: one sentence that says what, why and what next.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// From the vault.
    #[error("{0}")]
    Vault(#[from] VaultError),
    /// From the engine.
    #[error("{0}")]
    Engine(#[from] lifeboat_engine::Error),
    /// From capturing or restoring files.
    #[error("{0}")]
    Capture(#[from] lifeboat_capture::CaptureError),
    /// From images.
    #[error("{0}")]
    Images(#[from] lifeboat_images::Error),
    /// From reading a reference, an identity or a manifest.
    #[error("{0}")]
    Plan(#[from] lifeboat_plan::Error),
    /// From a file of ours.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// We refuse, and nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// What was named is not there.
    #[error("{0}")]
    NotFound(String),
    /// It failed.
    #[error("{0}")]
    Failed(String),
    /// Interrupted; everything was put back.
    #[error("interrupted; what was frozen runs again and nothing half-done was left behind")]
    Interrupted,
}

impl RecoveryError {
    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Vault(e) => of_vault(e.kind()),
            Self::Capture(e) => of_vault(e.kind()),
            Self::NotFound(_) | Self::Plan(_) => ErrorKind::Usage,
            Self::Interrupted | Self::Images(lifeboat_images::Error::Interrupted) => {
                ErrorKind::Interrupted
            }
            _ => ErrorKind::Failed,
        }
    }
}

fn of_vault(kind: lifeboat_vault::ErrorKind) -> ErrorKind {
    use lifeboat_vault::ErrorKind as V;
    match kind {
        V::NoVault => ErrorKind::NoVault,
        V::Locked => ErrorKind::Locked,
        V::WrongPassword => ErrorKind::WrongPassword,
        V::Interrupted => ErrorKind::Interrupted,
        _ => ErrorKind::Failed,
    }
}
