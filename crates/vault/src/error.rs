//! What can go wrong with a vault, and what the caller must do about it.

use lifeboat_store::StoreError;

/// Result of a vault operation.
pub type Result<T, E = VaultError> = std::result::Result<T, E>;

/// What the caller must do, and which exit code it deserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// There is no vault there: create one, or name another place.
    NoVault,
    /// Another program holds an exclusive lock: wait.
    Locked,
    /// The password opens no key: give the right one.
    WrongPassword,
    /// Bytes in the vault are not what they were when they were written: check, then repair.
    Damaged,
    /// The place is full: free some space.
    Full,
    /// We may not: mend the permissions.
    Denied,
    /// The work was stopped on demand or by an outage: run it again.
    Interrupted,
    /// We do not do that.
    Unsupported,
    /// Anything else.
    Other,
}

/// What went wrong. Sentences for people, without secrets.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Nothing there.
    #[error("there is no vault at {0}; create one with `lifeboat init`, or name another place")]
    NoVault(String),
    /// Something there already.
    #[error("there is a vault at {0} already; open it, or name an empty place")]
    AlreadyThere(String),
    /// A foreign exclusive lock.
    #[error(
        "the vault at {location} is locked by {holder}; wait until that has ended, or remove the lock with `restic unlock` if its program is dead"
    )]
    Locked {
        /// Where.
        location: String,
        /// Who, e.g. `PID 12 on host a by root since …`.
        holder: String,
    },
    /// Our own lock ran out or was taken away.
    #[error(
        "our lock on the vault at {0} was lost ({1}), so that what was written may rest on data that is gone; run the operation again"
    )]
    LockLost(String, String),
    /// No key opens.
    #[error("the password is wrong: it opens none of the {keys} key(s) of the vault at {location}")]
    WrongPassword {
        /// Where.
        location: String,
        /// Keys that were tried.
        keys: usize,
    },
    /// Bytes are not what was written.
    #[error("{what} is damaged: {why}; run `lifeboat check` to see what else is affected")]
    Damaged {
        /// Which object.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The index names a pack that is not there.
    #[error("pack {0} is damaged: it is gone; run `lifeboat check` to see what else is affected")]
    PackGone(crate::id::PackId),
    /// What a session rests on was removed by another program while its lock did not hold.
    #[error(
        "{0} blob(s) that this run rests on were removed from the vault while its lock did not hold; nothing was committed, run the operation again"
    )]
    ReuseLost(usize),
    /// Index files cannot be read, and something was to be written.
    #[error(
        "the index of the vault is damaged ({what}: {why}), and nothing is written on it until `lifeboat repair index` has mended it; restores work all the same"
    )]
    DamagedIndex {
        /// Which file.
        what: String,
        /// What is wrong with it, and how many more there are.
        why: String,
    },
    /// A blob is in no index, nor (where a reader looked) in any other pack.
    #[error(
        "{kind} blob {id} is in no index of the vault; run `lifeboat check`: its pack or the index was lost"
    )]
    MissingBlob {
        /// `data` or `tree`.
        kind: &'static str,
        /// Id.
        id: crate::id::BlobId,
    },
    /// There is no such snapshot.
    #[error("there is no recovery point {0} in this vault")]
    NoSnapshot(String),
    /// Stopped.
    #[error("interrupted: {0}; run the operation again")]
    Interrupted(String),
    /// Not done here.
    #[error("{0}")]
    Unsupported(String),
    /// The session failed before.
    #[error("the write session failed: {0}")]
    Poisoned(std::sync::Arc<VaultError>),
    /// The store said no.
    #[error("{context}: {source}")]
    Store {
        /// What was being done, as a present-tense phrase.
        context: String,
        /// What the store said.
        source: StoreError,
    },
    /// The system said no.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, as a present-tense phrase.
        context: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Wrong use of this library.
    #[error("{0}")]
    Invalid(String),
}

impl VaultError {
    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            VaultError::NoVault(_) => ErrorKind::NoVault,
            VaultError::Locked { .. } => ErrorKind::Locked,
            VaultError::LockLost(..) | VaultError::Interrupted(_) | VaultError::ReuseLost(_) => {
                ErrorKind::Interrupted
            }
            VaultError::WrongPassword { .. } => ErrorKind::WrongPassword,
            VaultError::Damaged { .. }
            | VaultError::PackGone(_)
            | VaultError::DamagedIndex { .. }
            | VaultError::MissingBlob { .. } => ErrorKind::Damaged,
            VaultError::Unsupported(_) => ErrorKind::Unsupported,
            VaultError::Poisoned(inner) => inner.kind(),
            VaultError::Store { source, .. } => match source {
                StoreError::Full { .. } => ErrorKind::Full,
                StoreError::Denied { .. } => ErrorKind::Denied,
                StoreError::ShortRead { .. } | StoreError::TooLarge { .. } => ErrorKind::Damaged,
                _ => ErrorKind::Other,
            },
            VaultError::AlreadyThere(_)
            | VaultError::NoSnapshot(_)
            | VaultError::Io { .. }
            | VaultError::Invalid(_) => ErrorKind::Other,
        }
    }

    /// A damaged object.
    pub fn damaged(what: impl Into<String>, why: impl Into<String>) -> Self {
        VaultError::Damaged {
            what: what.into(),
            why: why.into(),
        }
    }

    /// The reason alone, for a sentence that names the object.
    pub(crate) fn reason(&self) -> String {
        match self {
            VaultError::Damaged { why, .. } => why.clone(),
            VaultError::PackGone(_) => "it is gone".to_owned(),
            other => other.to_string(),
        }
    }

    /// What the store said, with what was being done.
    pub fn store(context: impl Into<String>) -> impl FnOnce(StoreError) -> Self {
        let context = context.into();
        move |source| VaultError::Store { context, source }
    }
}
